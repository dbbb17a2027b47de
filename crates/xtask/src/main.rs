//! Set-up and checks of the workspace: `cargo xtask VERB`.
//!
//! Each verb is one file. The crate knows nothing of the crates it builds and tests; it only runs cargo, and makes sure
//! that what cargo cannot fetch is there: the NVRTC library, and a disassembler and Triton for tests.
//!
//! Non-goals: no rules about the source (those are tests, in `tests/tidy.rs`), no releases.
//!
//! ```text
//! cargo xtask test            # everything, from a clean clone
//! cargo xtask test -- tidy    # tests whose name contains "tidy"
//! ```

mod bless;
mod cargo;
mod gpu;
mod lint;
mod nvdisasm;
mod nvrtc;
mod nvrtc_matrix;
mod pip;
mod test;
mod triton;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;

/// Set-up and checks of the workspace.
#[derive(Parser)]
#[command(bin_name = "cargo xtask")]
enum Verb {
    /// Finds or installs NVRTC, then runs every test of the workspace, doc examples included.
    Test {
        /// Passed on to `cargo test`, for instance a part of a test's name.
        #[arg(last = true)]
        args: Vec<String>,
    },
    /// Formatting, clippy and rustdoc, warnings as errors.
    Lint,
    /// Rewrites what tests compare with: snapshots, compiler messages, generated docs. Read the diff.
    Bless,
    /// Compiles the corpus with the oldest NVRTC that is taken, the pinned one and the newest, and compares registers, spills
    /// and PTX versions.
    NvrtcMatrix {
        /// One target, for instance sm_90a, in blocks of 128 alone; all that the corpus is compiled for if left out.
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
    },
    /// Looks at the machine code of the kernels for Hopper: registers, shared memory, instructions of the hot loops, as a table.
    Sass {
        /// Another target, for instance sm_80, whose kernels are counted and not judged.
        #[arg(long, value_name = "TARGET")]
        target: Option<String>,
    },
    /// For a machine with a GPU, which needs neither Rust nor a network: correctness and speed of every kernel.
    Gpu {
        /// Makes one folder with the programs, the corpus and run_gpu.sh, which does the rest.
        #[arg(long, required_unless_present = "dry_run", conflicts_with = "dry_run")]
        pack: bool,
        /// Runs that folder's scripts here, without a GPU, on debug programs and small shapes.
        #[arg(long)]
        dry_run: bool,
        /// The folder; target/gpu-pack or target/gpu-dry-run if left out.
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
    },
}

fn main() -> ExitCode {
    let done = match Verb::parse() {
        Verb::Test { args } => test::run(&args),
        Verb::Lint => lint::run(),
        Verb::Bless => bless::run(),
        Verb::NvrtcMatrix { target } => nvrtc_matrix::run(target.as_deref()),
        Verb::Sass { target } => nvdisasm::run(target.as_deref()),
        Verb::Gpu { dry_run: true, out, .. } => gpu::dry_run(out.as_deref()),
        Verb::Gpu { out, .. } => gpu::pack(out.as_deref()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
