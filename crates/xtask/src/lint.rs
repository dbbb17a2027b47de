//! `cargo xtask lint`: what needs no test to run.

use anyhow::Result;

use crate::cargo::{self, cargo};

/// Formatting, clippy over all targets, and rustdoc, each with warnings as errors.
pub(crate) fn run() -> Result<()> {
    cargo::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    cargo::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    cargo::run(
        cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings"),
    )
}
