//! The words of the command line.

use std::path::PathBuf;

use ptx_emulator::{Checks, Copies, Options, Schedule};

use crate::npy::{self, Array};

/// What `--help` prints.
pub(crate) const HELP: &str = "\
ptx-run runs a kernel of a PTX text on the CPU and looks for what a GPU forgives silently.

usage: ptx-run TEXT.ptx [--OPTION VALUE]... [ARGUMENT]...

options:
  --kernel NAME       the kernel; needless where the text has one
  --grid X[,Y[,Z]]    CTAs (1)
  --block X[,Y[,Z]]   threads of a CTA (32)
  --cluster X[,Y[,Z]] CTAs of a cluster, where the kernel does not say it (1)
  --shared BYTES      dynamic shared memory of a CTA (0)
  --checks WHAT       all, memory (no races) or none (all)
  --schedule ORDER    which warp is next: in-order, reverse, random, or a number of instructions each (in-order)
  --copies MOMENT     when asynchronous copies happen: latest or earliest (latest)
  --seed NUMBER       of what is drawn (1)
  --threads NUMBER    of the host; 0: as many as it has cores (0)
  --limit NUMBER      most warp instructions (20000000000)
  -h, --help          this text
  --version           the version

arguments, one for each parameter of the kernel:
  in=A.npy            a pointer to an array that the kernel may only read
  inout=A.npy:B.npy   a pointer to the array of A, which the kernel may change; then it is written to B
  out=B.npy:f32[8,4]  a pointer to an array without values, which is written to B: reading what nothing wrote is an error
  i32=-1              a number; types: i8 u8 i16 u16 f16 bf16 i32 u32 f32 i64 u64 f64, of the last three floats as numbers
  null                a null pointer

No argument can be a tensor map: kernels that take one are run from Rust, with ptx_emulator::TensorMap.
Files are NumPy's, in C order; those of bf16 hold its bits as u16.
status: 0, 2 bad usage, 3 bad file or text, 5 the kernel did something wrong
";

/// Most bytes that the arrays without values may take together.
const MOST_BYTES: usize = 4 << 30;

/// A command line.
#[derive(Debug)]
pub(crate) struct Command {
    /// The file of the text.
    pub(crate) text: PathBuf,
    /// Name of the kernel.
    pub(crate) kernel: Option<String>,
    /// CTAs.
    pub(crate) grid: [u32; 3],
    /// Threads of a CTA.
    pub(crate) block: [u32; 3],
    /// Dynamic shared memory.
    pub(crate) shared: u32,
    /// How it is run.
    pub(crate) options: Options,
    /// What the kernel gets.
    pub(crate) arguments: Vec<Argument>,
}

/// An argument of the kernel.
#[derive(Debug)]
pub(crate) enum Argument {
    /// An array to read.
    In(PathBuf),
    /// An array to change, and where the changed one goes.
    InOut(PathBuf, PathBuf),
    /// Where an array goes that the kernel makes, and its type and shape.
    Out(PathBuf, Array),
    /// A number, in memory order.
    Number(Vec<u8>),
}

/// Reads a command line.
///
/// # Errors
/// What is wrong with it, in words.
pub(crate) fn parse(words: &[String]) -> Result<Command, String> {
    let mut command = Command {
        text: PathBuf::new(),
        kernel: None,
        grid: [1; 3],
        block: [32, 1, 1],
        shared: 0,
        options: Options::default(),
        arguments: Vec::new(),
    };
    let mut words = words.iter().map(String::as_str);
    while let Some(word) = words.next() {
        if let Some(name) = word.strip_prefix("--") {
            let value = words.next().ok_or_else(|| format!("{word} needs a value"))?;
            option(&mut command, name, value).map_err(|error| format!("{word} {value}: {error}"))?;
        } else if command.text.as_os_str().is_empty() {
            command.text = word.into();
        } else {
            command.arguments.push(argument(word).map_err(|error| format!("argument {word}: {error}"))?);
        }
    }
    if command.text.as_os_str().is_empty() {
        return Err("the file of a PTX text is missing".to_owned());
    }
    // In the end they are there three times: in memory, read from there, and as a file.
    let bytes = command.out_bytes();
    if bytes > MOST_BYTES {
        return Err(format!("the arrays of out= take {bytes} bytes; they may take {MOST_BYTES} together"));
    }
    match Vec::<u8>::new().try_reserve_exact(bytes.saturating_mul(3)) {
        Ok(()) => Ok(command),
        Err(_) => Err(format!("the arrays of out= take {bytes} bytes, which this machine does not have three times")),
    }
}

impl Command {
    /// Bytes of the arrays without values.
    fn out_bytes(&self) -> usize {
        let of = |argument: &Argument| match argument {
            Argument::Out(_, array) => array.len(),
            _ => 0,
        };
        self.arguments.iter().map(of).fold(0, usize::saturating_add)
    }
}

fn option(command: &mut Command, name: &str, value: &str) -> Result<(), String> {
    let options = &mut command.options;
    match name {
        "kernel" => command.kernel = Some(value.to_owned()),
        "grid" => command.grid = extents(value)?,
        "block" => command.block = extents(value)?,
        "cluster" => options.cluster = extents(value)?,
        "shared" => command.shared = number(value)?,
        "seed" => options.seed = number(value)?,
        "threads" => options.threads = number(value)?,
        "limit" => options.limit = number(value)?,
        "checks" => {
            options.checks = match value {
                "all" => Checks::All,
                "memory" => Checks::Memory,
                "none" => Checks::None,
                _ => return Err("it is all, memory or none".to_owned()),
            }
        }
        "schedule" => {
            options.schedule = match value {
                "in-order" => Schedule::InOrder,
                "reverse" => Schedule::Reverse,
                "random" => Schedule::Random,
                turns => Schedule::RoundRobin(
                    number(turns).map_err(|_| "it is in-order, reverse, random or a number of instructions")?,
                ),
            }
        }
        "copies" => {
            options.copies = match value {
                "latest" => Copies::Latest,
                "earliest" => Copies::Earliest,
                _ => return Err("it is latest or earliest".to_owned()),
            }
        }
        _ => return Err("there is no such option; --help lists them".to_owned()),
    }
    Ok(())
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("{text} is no number that fits"))
}

/// One to three numbers, none of them 0; those that are missing are 1.
fn extents(text: &str) -> Result<[u32; 3], String> {
    let mut out = [1; 3];
    for (at, part) in text.split(',').enumerate() {
        *out.get_mut(at).ok_or("at most three numbers")? = number(part)?;
    }
    match out.contains(&0) {
        true => Err("each number is at least 1".to_owned()),
        false => Ok(out),
    }
}

fn argument(word: &str) -> Result<Argument, String> {
    if word == "null" {
        return Ok(Argument::Number(vec![0; 8]));
    }
    let (kind, value) = word.split_once('=').ok_or("it is KIND=VALUE or null; --help lists the kinds")?;
    Ok(match kind {
        "in" => Argument::In(value.into()),
        "inout" => {
            let (from, to) = value.rsplit_once(':').ok_or("the file for the result is missing: inout=A.npy:B.npy")?;
            Argument::InOut(from.into(), to.into())
        }
        "out" => {
            let (to, what) = value.rsplit_once(':').ok_or("type and shape are missing: out=B.npy:f32[8,4]")?;
            Argument::Out(to.into(), shaped(what)?)
        }
        _ => Argument::Number(scalar(kind, value)?),
    })
}

/// An array without values, from `f32[8,4]`.
fn shaped(text: &str) -> Result<Array, String> {
    let (name, rest) = text.split_once('[').ok_or("a shape is missing, such as f32[8,4]")?;
    let inside = rest.strip_suffix(']').ok_or("the shape has no end")?;
    let shape = inside.split(',').filter(|part| !part.is_empty()).map(number).collect::<Result<Vec<usize>, _>>()?;
    let descr = npy::descr(name).ok_or_else(|| format!("there is no type {name}"))?.to_owned();
    let array = Array { descr, shape, bytes: Vec::new() };
    match array.checked_len() {
        Some(_) => Ok(array),
        None => Err("the array is too large".to_owned()),
    }
}

/// The bytes of a number.
fn scalar(kind: &str, value: &str) -> Result<Vec<u8>, String> {
    Ok(match kind {
        "i8" => number::<i8>(value)?.to_le_bytes().to_vec(),
        "u8" => number::<u8>(value)?.to_le_bytes().to_vec(),
        "i16" => number::<i16>(value)?.to_le_bytes().to_vec(),
        // The bits: Rust has no number of these two kinds.
        "u16" | "f16" | "bf16" => number::<u16>(value)?.to_le_bytes().to_vec(),
        "i32" => number::<i32>(value)?.to_le_bytes().to_vec(),
        "u32" => number::<u32>(value)?.to_le_bytes().to_vec(),
        "f32" => number::<f32>(value)?.to_le_bytes().to_vec(),
        "i64" => number::<i64>(value)?.to_le_bytes().to_vec(),
        "u64" => number::<u64>(value)?.to_le_bytes().to_vec(),
        "f64" => number::<f64>(value)?.to_le_bytes().to_vec(),
        _ => return Err(format!("there is no kind {kind}; --help lists them")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &str) -> Result<Command, String> {
        parse(&line.split(' ').map(str::to_owned).collect::<Vec<_>>())
    }

    #[test]
    fn a_whole_command_line() {
        let command = command(
            "k.ptx --grid 2,3 --block 128 --cluster 2 --shared 4096 --schedule 7 --copies earliest in=x.npy inout=a.npy:b.npy \
             out=o.npy:f16[2,8] i32=-1 f32=0.5 null",
        )
        .unwrap();
        assert_eq!((command.grid, command.block, command.shared), ([2, 3, 1], [128, 1, 1], 4096));
        assert_eq!(command.options.schedule, Schedule::RoundRobin(7));
        assert_eq!((command.options.copies, command.options.cluster), (Copies::Earliest, [2, 1, 1]));
        let [_, _, Argument::Out(path, array), Argument::Number(one), Argument::Number(half), Argument::Number(null)] =
            command.arguments.as_slice()
        else {
            panic!("{:?}", command.arguments)
        };
        assert_eq!((path.to_str(), array.len()), (Some("o.npy"), 32));
        assert_eq!((one.as_slice(), half.as_slice(), null.len()), (&[0xFF; 4][..], &[0, 0, 0, 0x3F][..], 8));
    }

    #[test]
    fn mistakes_are_named() {
        for (line, said) in [
            ("--grid 1", "the file of a PTX text is missing"),
            ("k.ptx --grid", "--grid needs a value"),
            ("k.ptx --grid 1,2,3,4", "--grid 1,2,3,4: at most three numbers"),
            ("k.ptx --blocks 1", "--blocks 1: there is no such option; --help lists them"),
            ("k.ptx x.npy", "argument x.npy: it is KIND=VALUE or null; --help lists the kinds"),
            ("k.ptx out=x.npy:f99[1]", "argument out=x.npy:f99[1]: there is no type f99"),
            ("k.ptx i8=200", "argument i8=200: 200 is no number that fits"),
            ("k.ptx out=x.npy:f64[4294967296,4294967296]", "the array is too large"),
        ] {
            let error = command(line).unwrap_err();
            assert!(error.ends_with(said), "{error}");
        }
    }
}
