//! Packages of Python, without touching the user's own.

use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Installs wheels into a folder, without what they depend on.
///
/// # Errors
/// If there is no pip, and with its last line if it fails.
pub(crate) fn install(requirements: &[&str], folder: &Path) -> Result<()> {
    pip(requirements.iter().map(OsStr::new), folder)
}

/// Installs one wheel into a folder, if it has one of these hashes.
///
/// # Errors
/// As [`install`].
pub(crate) fn install_checked(requirement: &str, hashes: &[&str], folder: &Path) -> Result<()> {
    // pip takes hashes from a file only.
    let list = tempfile::NamedTempFile::new().context("cannot create a file")?;
    let hashes: String = hashes.iter().map(|hash| format!(" --hash={hash}")).collect();
    fs::write(list.path(), format!("{requirement}{hashes}\n")).context("cannot write a file")?;
    pip([OsStr::new("--require-hashes"), OsStr::new("--requirement"), list.path().as_os_str()].into_iter(), folder)
}

fn pip<'a>(wanted: impl Iterator<Item = &'a OsStr>, folder: &Path) -> Result<()> {
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"])
        .args(["--only-binary", ":all:", "--target"])
        .arg(folder)
        .args(wanted)
        // A user's pip settings may ask for --user or a virtual environment, neither of which goes with --target.
        .envs([("PIP_USER", "0"), ("PIP_REQUIRE_VIRTUALENV", "0")])
        .output()
        .context("python3 could not be started")?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("pip says: {}", said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("nothing").trim());
    }
    Ok(())
}
