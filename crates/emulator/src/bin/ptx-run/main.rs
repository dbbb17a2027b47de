//! `ptx-run` runs a kernel of a PTX text on the CPU, with arrays from NumPy files as arguments, and prints what it counted
//! or what the kernel did wrong. Help with all options: `ptx-run --help`.
//!
//! Failures are one message on stderr and an exit status: 2 for bad usage, 3 for a file that cannot be read or a text that
//! cannot be run, 5 for a kernel that the emulator stopped.
//!
//! ```text
//! main ─► arguments ─► npy (arrays in) ─► launch ─► npy (arrays out) ─► report
//! ```

mod arguments;
mod npy;
mod report;

use std::fs;
use std::io::{self, Write};
use std::process::ExitCode;

use ptx_emulator::syntax::{self, FunctionKind, Param};
use ptx_emulator::{Buffer, Launch, LaunchError, Memory, Program};

use arguments::{Argument, Command, HELP};
use npy::Array;

/// What ends the program before its time.
struct Failure {
    status: u8,
    message: String,
}

impl Failure {
    fn usage(message: impl Into<String>) -> Failure {
        Failure { status: 2, message: message.into() }
    }

    fn data(message: impl Into<String>) -> Failure {
        Failure { status: 3, message: message.into() }
    }
}

fn main() -> ExitCode {
    let words: Vec<String> = std::env::args().skip(1).collect();
    if words.is_empty() || words.iter().any(|word| word == "--help" || word == "-h") {
        return end(print(HELP));
    }
    if words.iter().any(|word| word == "--version") {
        return end(print(concat!("ptx-run ", env!("CARGO_PKG_VERSION"), "\n")));
    }
    end(arguments::parse(&words).map_err(Failure::usage).and_then(|command| run(&command)))
}

/// The status, and what is wrong on stderr.
fn end(outcome: Result<(), Failure>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            complain(&format!("error: {}", failure.message));
            ExitCode::from(failure.status)
        }
    }
}

/// Prints to stdout. A reader that has gone, as `head` does, has what it wanted.
fn print(text: &str) -> Result<(), Failure> {
    let mut stdout = io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(Failure::data(format!("stdout: {error}"))),
        _ => Ok(()),
    }
}

/// Prints a line to stderr, if anybody can read it.
fn complain(line: &str) {
    let _ = writeln!(io::stderr(), "{line}");
}

fn run(command: &Command) -> Result<(), Failure> {
    let text = fs::read_to_string(&command.text)
        .map_err(|error| Failure::data(format!("{}: {error}", command.text.display())))?;
    let program = Program::load(&text).map_err(|error| Failure::data(error.to_string()))?;
    let name = match &command.kernel {
        Some(name) => name,
        None => only(&program)?,
    };
    let kernel = program.kernel(name).map_err(|error| Failure::data(error.to_string()))?;

    let mut memory = Memory::new();
    let (params, outputs) = place(&params(&text, name)?, &command.arguments, &mut memory)?;
    let launch = Launch { grid: command.grid, block: command.block, dynamic_shared: command.shared, params: &params };
    let outcome = kernel.launch(&memory, &launch, &command.options);
    let printed = print(&memory.take_printed());
    let stats = outcome.map_err(|error| match error {
        LaunchError::Trap(_) => Failure { status: 5, message: error.to_string() },
        _ => Failure::usage(error.to_string()),
    })?;
    printed?;
    for output in outputs {
        let array = Array { bytes: memory.download(output.buffer), ..output.array };
        fs::write(output.path, npy::write(&array))
            .map_err(|error| Failure::data(format!("{}: {error}", output.path.display())))?;
        if let [first, ..] = memory.unwritten(output.buffer).as_slice() {
            complain(&format!("note: nothing has written bytes {first:?} of {}", output.path.display()));
        }
    }
    print(&report::table(&stats))
}

/// The kernel of a text that has one.
fn only(program: &Program) -> Result<&str, Failure> {
    let names: Vec<&str> = program.names().collect();
    match names.as_slice() {
        [one] => Ok(one),
        [] => Err(Failure::data("the text has no kernel")),
        several => Err(Failure::usage(format!("--kernel is needed: the text has {}", several.join(", ")))),
    }
}

/// What a kernel takes.
fn params(text: &str, kernel: &str) -> Result<Vec<Param>, Failure> {
    let module = syntax::parse(text).map_err(|error| Failure::data(error.to_string()))?;
    let mut functions = module.functions.into_iter();
    let found = functions.find(|function| function.kind == FunctionKind::Entry && function.name == kernel);
    Ok(found.map(|function| function.params).unwrap_or_default())
}

/// A buffer that is written to a file when the kernel has ended.
struct Output<'a> {
    buffer: Buffer,
    /// Its type and shape; the bytes are not there yet.
    array: Array,
    path: &'a std::path::Path,
}

/// Puts arrays into memory, and their addresses and the numbers where the kernel expects them.
fn place<'a>(
    params: &[Param],
    arguments: &'a [Argument],
    memory: &mut Memory,
) -> Result<(Vec<u8>, Vec<Output<'a>>), Failure> {
    if params.len() != arguments.len() {
        let names: Vec<&str> = params.iter().map(|param| param.name.as_str()).collect();
        return Err(Failure::usage(format!(
            "{} arguments, and the kernel takes {}: {}",
            arguments.len(),
            params.len(),
            names.join(", ")
        )));
    }
    let read = |path: &std::path::Path| {
        let bytes = fs::read(path).map_err(|error| Failure::data(format!("{}: {error}", path.display())))?;
        npy::read(&bytes).map_err(|error| Failure::data(format!("{}: {error}", path.display())))
    };
    let mut out = vec![0; params.iter().map(|param| param.offset + param.bytes).max().unwrap_or(0) as usize];
    let mut outputs = Vec::new();
    for (param, argument) in params.iter().zip(arguments) {
        let bytes = match argument {
            Argument::In(path) => {
                memory.upload_constant(&param.name, &read(path)?.bytes).address().to_le_bytes().to_vec()
            }
            Argument::InOut(from, path) => {
                let array = read(from)?;
                let buffer = memory.upload(&param.name, &array.bytes);
                outputs.push(Output { buffer, array, path });
                buffer.address().to_le_bytes().to_vec()
            }
            Argument::Out(path, array) => {
                let buffer = memory.alloc(&param.name, array.len());
                outputs.push(Output { buffer, array: array.clone(), path });
                buffer.address().to_le_bytes().to_vec()
            }
            Argument::Number(bytes) => bytes.clone(),
        };
        if param.bytes == 128 {
            return Err(Failure::usage(format!(
                "{} takes 128 bytes, as a tensor map does, and no argument can be one",
                param.name
            )));
        }
        if bytes.len() as u64 != param.bytes {
            return Err(Failure::usage(format!(
                "{} takes {} bytes, and its argument has {}",
                param.name,
                param.bytes,
                bytes.len()
            )));
        }
        out[param.offset as usize..][..bytes.len()].copy_from_slice(&bytes);
    }
    Ok((out, outputs))
}
