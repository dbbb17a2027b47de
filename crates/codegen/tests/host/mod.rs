//! Generated symbols kernels as a program of the host: the same text, compiled by the C++ compiler.

use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};

use sparsym_codegen::{Argument, Buffer, Kernel, Numbers};
use sparsym_ir::bind::{Bound, Moment, TableData};
use sparsym_ir::strategy::{Element, Scalar};

const MAIN: &str = include_str!("main.cpp");

/// Kernels in one executable.
pub(crate) struct Program {
    folder: tempfile::TempDir,
}

/// One call of one kernel, as bytes for the program.
pub(crate) struct Launch {
    bytes: Vec<u8>,
    returned: Vec<(Buffer, usize)>,
}

impl Program {
    /// Compiles the kernels; they are called by their index.
    pub(crate) fn compile(kernels: &[Kernel]) -> Program {
        let (mut text, mut launches) = (String::new(), Vec::new());
        for (n, kernel) in kernels.iter().enumerate() {
            let source = kernel.source.replace("extern \"C\"", "static");
            let name = &kernel.name;
            text.push_str(&format!("namespace kernel_{n} {{\n{source}\n"));
            text.push_str("static void launch(const void* params) {\n    Params p;\n");
            text.push_str(&format!("    memcpy(&p, params, sizeof p);\n    {name}(p);\n}}\n}}\n\n"));
            launches.push(format!("kernel_{n}::launch"));
        }
        let text = MAIN.replace("@KERNELS@", &text).replace("@LAUNCHES@", &launches.join(", "));
        let folder = tempfile::tempdir().expect("a temporary folder");
        let source = folder.path().join("main.cpp");
        std::fs::write(&source, text).expect("the program's text is written");
        let compiler = std::env::var("CXX").unwrap_or("c++".to_owned());
        // No product is fused with a sum, and no operation is undefined: the program stops at the first that is.
        let output = Command::new(&compiler)
            .args([
                "-std=c++17",
                "-O1",
                "-ffp-contract=off",
                "-Wno-unknown-pragmas",
                "-fsanitize-undefined-trap-on-error",
            ])
            .args(["-fsanitize=signed-integer-overflow,integer-divide-by-zero,float-cast-overflow,shift", "-o"])
            .args([&executable(folder.path()), &source])
            .output()
            .unwrap_or_else(|error| {
                panic!("this test needs a C++ compiler: {compiler}: {error}; install g++ or set CXX")
            });
        assert!(output.status.success(), "{compiler}: {}", String::from_utf8_lossy(&output.stderr));
        Program { folder }
    }

    /// Runs the launches and gives for each the buffers it wrote, as 64-bit words.
    pub(crate) fn run(&self, launches: &[Launch]) -> Vec<Vec<(Buffer, Vec<u64>)>> {
        let mut child = Command::new(executable(self.folder.path()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("the compiled program starts");
        let mut stdin = child.stdin.take().expect("a pipe");
        let input: Vec<u8> = launches.iter().flat_map(|launch| launch.bytes.iter().copied()).collect();
        let writer = std::thread::spawn(move || stdin.write_all(&input));
        let output = child.wait_with_output().expect("the program ends");
        writer.join().expect("the writer ends").expect("the program reads all launches");
        assert!(output.status.success(), "the program failed: {}", output.status);
        let mut words = output.stdout.chunks_exact(8).map(|word| u64::from_le_bytes(word.try_into().unwrap()));
        let results = launches.iter().map(|launch| {
            let buffers = launch.returned.iter();
            buffers.map(|(buffer, n)| (*buffer, words.by_ref().take(*n).collect())).collect()
        });
        results.collect()
    }
}

fn executable(folder: &Path) -> std::path::PathBuf {
    folder.join("symbols")
}

impl Launch {
    /// A call of kernel `index` of a program; symbol words start as a pattern that no kernel would leave by chance.
    pub(crate) fn new(index: usize, kernel: &Kernel, bound: &Bound, moment: &Moment) -> Launch {
        let [launch] = &kernel.launches[..] else { panic!("{} is more than one kernel", kernel.name) };
        let numbers = Numbers::of_rules(bound, *moment);
        let grid = launch.ctas(&numbers, 4);
        let head = [index as u32, grid[0], grid[1], grid[2], launch.threads, kernel.params.size as u32];
        let mut params = vec![0u8; kernel.params.size];
        let (mut buffers, mut returned, mut n_buffers) = (Vec::new(), Vec::new(), 0u32);
        for (offset, argument) in kernel.arguments(&numbers) {
            match argument {
                Argument::I32(value) => params[offset..offset + 4].copy_from_slice(&value.to_le_bytes()),
                Argument::F32(value) => params[offset..offset + 4].copy_from_slice(&value.to_le_bytes()),
                Argument::Boxes { .. } => panic!("no host copies boxes"),
                Argument::Buffer(buffer) => {
                    let words = symbol_words(buffer, bound);
                    let content = match words {
                        Some(words) => [0x5a; 8].repeat(words),
                        None => content(buffer, bound),
                    };
                    returned.extend(words.map(|words| (buffer, words)));
                    buffers.extend((offset as u32).to_le_bytes());
                    buffers.extend(u32::from(words.is_some()).to_le_bytes());
                    buffers.extend((content.len() as u64).to_le_bytes());
                    buffers.extend(content);
                    n_buffers += 1;
                }
            }
        }
        let mut bytes: Vec<u8> = head.iter().flat_map(|word| word.to_le_bytes()).collect();
        bytes.extend(params);
        bytes.extend(n_buffers.to_le_bytes());
        bytes.extend(buffers);
        Launch { bytes, returned }
    }
}

fn symbol_words(buffer: Buffer, bound: &Bound) -> Option<usize> {
    let problem = bound.problem;
    let rows = problem.batch * problem.q_blocks();
    match buffer {
        Buffer::CacheSymbol => Some(rows * problem.heads.div_ceil(64)),
        Buffer::SkipSymbol | Buffer::FullSymbol => Some(rows * problem.heads * problem.kv_blocks().div_ceil(64)),
        _ => None,
    }
}

fn content(buffer: Buffer, bound: &Bound) -> Vec<u8> {
    let ragged = || bound.problem.ragged.as_ref().expect("only ragged kernels read index pointers");
    match buffer {
        Buffer::Table(n) => {
            let (Element::One(scalar) | Element::Three(scalar)) = bound.strategy.tables[n].element;
            let TableData { values, .. } = &bound.bindings.tables[n];
            numbers(scalar, values)
        }
        Buffer::Input(n) => numbers(bound.strategy.inputs[n].scalar, &bound.bindings.inputs[n].values),
        Buffer::QIndptr => ragged().q.iter().flat_map(|at| at.to_le_bytes()).collect(),
        Buffer::KvIndptr => ragged().kv.iter().flat_map(|at| at.to_le_bytes()).collect(),
        other => panic!("a symbols kernel has no use for {other:?}"),
    }
}

fn numbers(scalar: Scalar, values: &[f32]) -> Vec<u8> {
    match scalar {
        Scalar::F32 => values.iter().flat_map(|v| v.to_le_bytes()).collect(),
        _ => values.iter().flat_map(|v| (*v as i32).to_le_bytes()).collect(),
    }
}
