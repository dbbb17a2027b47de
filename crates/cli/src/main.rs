//! The `sparsym` binary.

use std::process::ExitCode;

fn main() -> ExitCode {
    sparsym_cli::main()
}
