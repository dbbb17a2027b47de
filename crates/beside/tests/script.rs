//! The script of a machine with a GPU, and the tables behind its step `bench`, on the CPU and without PyTorch.
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::tempdir;

/// Runs some steps in a folder of its own, with this `sparsym` and with the library, if `library` is one.
fn script(folder: &Path, sparsym: &str, library: Option<&Path>, arguments: &[&str]) -> (Option<i32>, String) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/gpu");
    for entry in fs::read_dir(scripts).unwrap().map(Result::unwrap).filter(|entry| entry.path().is_file()) {
        fs::copy(entry.path(), folder.join(entry.file_name())).unwrap();
    }
    let program = folder.join("sparsym");
    fs::write(&program, sparsym).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let place = folder.join("libsparsym_beside.so");
    if let Some(library) = library.filter(|_| !place.exists()) {
        symlink(library, place).unwrap();
    }
    let mut command = Command::new("bash");
    command.arg(folder.join("run_gpu.sh")).args(["--device", "cpu", "--steps"]).args(arguments);
    let done = command.env("SPARSYM_NVRTC", "none").output().unwrap();
    (done.status.code(), String::from_utf8_lossy(&done.stdout).into_owned())
}

/// cargo puts the library beside the tests that are linked with it.
fn library() -> PathBuf {
    let library = std::env::current_exe().unwrap().with_file_name("libsparsym_beside.so");
    assert!(library.is_file(), "{} is not there", library.display());
    library
}

/// A `sparsym` that does nothing, which is enough for `doctor`.
const IDLE: &str = "#!/bin/sh\nexit 0\n";

#[test]
fn tables_come_without_pytorch_and_say_so() {
    let (folder, library) = (tempdir().unwrap(), library());
    let only = ["bench", "--", "--only", "attention/short", "gemm_?", "layer/flux_1k"];
    let (status, said) = script(folder.path(), IDLE, Some(&library), &only);
    assert_eq!(status, Some(0), "{said}");
    for words in ["attention, N 256", "gemm_o, M 512", "layer of small", "interval", "cuBLAS linear not run"] {
        assert!(said.contains(words), "no {words} in {said}");
    }
    let lines = fs::read_to_string(folder.path().join("out/bench.jsonl")).unwrap();
    let tables: Vec<serde_json::Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(tables.len(), 4);
    let skipped = &tables[0]["rows"][1];
    assert!(skipped["density"].as_f64() < Some(1.0) && skipped["ms"].as_f64() > Some(0.0), "{skipped}");
    assert!(fs::read_to_string(folder.path().join("out/bench.md")).unwrap().contains("| 50 % skipped |"));

    let (status, said) = script(folder.path(), IDLE, Some(&library), &["bench", "--", "--only", "kitchen"]);
    assert_eq!(status, Some(1), "{said}");
    assert!(said.contains("no table is named kitchen"), "{said}");
}

#[test]
fn a_step_that_cannot_run_or_crashes_fails_the_script() {
    let folder = tempdir().unwrap();
    // Neither the library nor the other programs are there.
    for step in ["bench", "corpus", "layer"] {
        let (status, said) = script(folder.path(), IDLE, None, &[step]);
        assert_eq!(status, Some(1), "{said}");
        assert!(said.contains(&format!("there are failures: {step}")), "{said}");
    }
    assert_eq!(script(folder.path(), IDLE, None, &["bnech"]).0, Some(2));
}

/// What is worse than expected fails the run; what is as expected does not.
#[test]
fn a_regression_is_told_from_what_was_expected() {
    let program = r#"
import sys
sys.path.insert(0, sys.argv[1])
sys.argv = ["bench.py"]
import bench
measure = {"name": "times cuDNN", "value": 1.10, "at_least": 1.15, "at_most": None, "verdict": "missed"}
share = {"name": "cycles(s)/cycles(0)", "value": 0.30, "at_least": None, "at_most": 0.27, "verdict": "missed"}
record = {"table": "t", "rows": [{"row": "r", "measures": [measure, share]}]}
said = lambda known: list(bench.worse(record, known))
assert said({}) == [] and said({"t: r: times cuDNN": 1.12, "t: r: cycles(s)/cycles(0)": 0.295}) == []
assert said({"t: r: times cuDNN": 1.20}) == ["t: r: times cuDNN is 1.100, expected 1.200"]
assert said({"t: r: cycles(s)/cycles(0)": 0.26}) == ["t: r: cycles(s)/cycles(0) is 0.300, expected 0.260"]
"#;
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/gpu");
    let done = Command::new("python3").args(["-c", program]).arg(scripts).env("PYTHONDONTWRITEBYTECODE", "1").output();
    let done = done.unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
