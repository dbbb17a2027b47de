//! Kernels that Triton compiles: `triton/run.py` makes their PTX when the test runs, launches each with `ptx-run` under all
//! checks, and compares with NumPy.

use std::io::Write;
use std::path::Path;
use std::process::Command;

/// Names a folder of Python packages with Triton and NumPy. `cargo xtask test` sets it.
const VARIABLE: &str = "PTX_EMULATOR_TRITON";

fn python() -> Command {
    let mut python = Command::new("python3");
    // Nothing is written beside the sources.
    python.env("PYTHONDONTWRITEBYTECODE", "1");
    if let Some(folder) = std::env::var_os(VARIABLE) {
        python.env("PYTHONPATH", folder);
    }
    python
}

#[test]
fn kernels_of_triton_hold() {
    let imports = python().args(["-c", "import numpy, triton"]).output();
    if !imports.is_ok_and(|output| output.status.success()) {
        // Not captured: a test that passes without having looked must say so.
        let _ = writeln!(
            std::io::stderr(),
            "triton: NOT RUN, python3 has no Triton and NumPy: `cargo xtask test` installs them, or {VARIABLE} names a \
             folder with both"
        );
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/triton/run.py");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("triton");
    let output = python().arg(script).arg(env!("CARGO_BIN_EXE_ptx-run")).arg(folder).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    let _ = writeln!(std::io::stderr(), "triton: {}", said.lines().last().unwrap_or("nothing was run"));
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
}
