//! Finds Triton, a compiler of other people whose kernels the emulator is tested with, or installs its wheel.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use crate::cargo::target;
use crate::pip;

/// Names the folder of Python packages for the emulator's test.
pub(crate) const VARIABLE: &str = "PTX_EMULATOR_TRITON";

/// Triton needs neither a GPU nor PyTorch to make PTX.
const PACKAGES: [&str; 2] = ["triton==3.9.0", "numpy"];

/// The folder named by [`VARIABLE`], or one under `target/triton`, where Triton is installed if it is not yet.
///
/// # Errors
/// If pip is missing or fails.
pub(crate) fn find_or_install() -> Result<PathBuf> {
    if let Some(named) = std::env::var_os(VARIABLE) {
        return Ok(named.into());
    }
    let home = target().join("triton");
    let place = home.join(PACKAGES[0]);
    if place.is_dir() {
        return Ok(place);
    }
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    eprintln!("installing {} (about 1 GB) under {}", PACKAGES[0], home.display());
    // A folder appears under its version's name only when it is whole.
    let fresh = tempfile::tempdir_in(&home).context("cannot create a folder under target/triton")?;
    pip::install(&PACKAGES, fresh.path())?;
    match fs::rename(fresh.keep(), &place) {
        // Another run was faster.
        Err(_) if place.is_dir() => Ok(place),
        renamed => renamed.map(|()| place).context("cannot name the folder of Triton"),
    }
}
