//! Packages of Python, without touching the user's own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};

/// Installs wheels into a folder, without what they depend on.
///
/// # Errors
/// If there is no pip, and with its last line if it fails.
pub(crate) fn install(requirements: &[&str], folder: &Path) -> Result<()> {
    let output = Command::new("python3")
        .args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-input", "--no-deps"])
        .args(["--only-binary", ":all:", "--target"])
        .arg(folder)
        .args(requirements)
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
