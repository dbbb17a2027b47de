//! Finds nvdisasm, NVIDIA's disassembler of machine code, or installs its PyPI wheel under `target/nvdisasm`.
//!
//! It reads cubins of every version, so one is enough. Like NVRTC it is under NVIDIA's licence and only fetched, never passed on.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};

use crate::cargo::{self, target};
use crate::pip;

/// Names the program for the test of machine code.
const VARIABLE: &str = "SPARSYM_NVDISASM";
/// Chooses the target in that test.
const TARGET_VARIABLE: &str = "SPARSYM_SASS_TARGET";

const PACKAGE: &str = "nvidia-cuda-nvdisasm==13.5.37";
/// Of its wheels for x86_64 and aarch64: what is executed here is what was looked at.
const HASHES: [&str; 2] = [
    "sha256:d3fdbdd49fa53e2e4aacd3db8259d052bd2b049ececdcb69e92e083c6728e7ca",
    "sha256:a3a8248074edb9fba63b74c38a5416b712a91ab09e70b8ab37186c3d293fc605",
];

/// The program named by [`VARIABLE`], or the one of the pinned wheel, installed if it is not yet.
///
/// # Errors
/// If pip is missing or fails.
pub(crate) fn find_or_install() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return Ok(named.into());
    }
    let home = target().join("nvdisasm");
    let place = home.join(PACKAGE);
    let program = place.join("nvidia/cu13/bin/nvdisasm");
    if !program.is_file() {
        fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
        eprintln!("installing {PACKAGE} (about 5 MB) under {}", home.display());
        // A folder appears under its version's name only when it is whole.
        let fresh = tempfile::tempdir_in(&home).context("cannot create a folder under target/nvdisasm")?;
        pip::install_checked(PACKAGE, &HASHES, fresh.path())?;
        if let Err(error) = fs::rename(fresh.keep(), &place) {
            // Unless another run was faster.
            ensure!(program.is_file(), "cannot name the folder of nvdisasm: {error}");
        }
    }
    ensure!(program.is_file(), "{PACKAGE} holds no nvdisasm for this machine");
    Ok(program)
}

/// Sets what a run of the tests needs to look at machine code; says so if it cannot be had.
pub(crate) fn name_in(test: &mut std::process::Command) {
    match find_or_install() {
        Ok(program) => drop(test.env(VARIABLE, program)),
        Err(error) => eprintln!("warning: machine code is not looked at, nvdisasm could not be installed: {error:#}"),
    }
}

/// `cargo xtask sass`: the table of the kernels' machine code, and what is wrong with it.
///
/// # Errors
/// If a compiler or the disassembler cannot be had, or if a kernel breaks a rule.
pub(crate) fn run(target_name: Option<&str>) -> Result<()> {
    let program = find_or_install()?;
    let mut test = cargo::cargo(&["test", "--workspace", "--test", "sass", "--", "--quiet"]);
    test.env("SPARSYM_SASS_ALL", "1");
    test.env(VARIABLE, program).env(crate::nvrtc::VARIABLE, crate::nvrtc::find_or_install()?);
    test.envs(target_name.map(|name| (TARGET_VARIABLE, name)));
    cargo::run(&mut test)
}
