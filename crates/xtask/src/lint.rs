//! `cargo xtask lint`: what needs no test to run.

use anyhow::Result;

use crate::cargo::{self, cargo};

/// What users of the façade may ask for; everything together is what the workspace is built with.
const FEATURES: [&str; 5] = ["", "cuda", "emulator", "reference", "language"];

/// Formatting, clippy over all targets and over each feature alone, and rustdoc, each with warnings as errors.
pub(crate) fn run() -> Result<()> {
    cargo::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    cargo::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    for feature in FEATURES {
        let only = ["--no-default-features", "--features", feature];
        cargo::run(cargo(&["clippy", "--package", "sparsym"]).args(only).args(["--", "-D", "warnings"]))?;
    }
    cargo::run(
        cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings"),
    )
}
