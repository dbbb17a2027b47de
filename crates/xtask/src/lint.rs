//! `cargo xtask lint`: what needs no test to run.

use std::process::Command;

use anyhow::{Context, Result};

use crate::cargo::{self, cargo};

/// What users of the façade may ask for; everything together is what the workspace is built with.
const FEATURES: [&str; 5] = ["", "cuda", "emulator", "reference", "language"];

/// Formatting, clippy over all targets and over each feature alone, and rustdoc, each with warnings as errors; then what needs
/// more than this toolchain, if it is there.
pub(crate) fn run() -> Result<()> {
    cargo::run(&mut cargo(&["fmt", "--all", "--check"]))?;
    cargo::run(&mut cargo(&["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"]))?;
    for feature in FEATURES {
        let only = ["--no-default-features", "--features", feature];
        cargo::run(cargo(&["clippy", "--package", "sparsym"]).args(only).args(["--", "-D", "warnings"]))?;
    }
    cargo::run(
        cargo(&["doc", "--workspace", "--no-deps", "--document-private-items"]).env("RUSTDOCFLAGS", "-D warnings"),
    )?;
    oldest_toolchain()?;
    dependencies()
}

/// Compiles with the toolchain that `rust-version` promises, unless this is the one. Where it is missing, clippy's
/// `incompatible_msrv` has judged the use of the standard library, and nothing the language.
fn oldest_toolchain() -> Result<()> {
    let manifest = std::fs::read_to_string(cargo::root().join("Cargo.toml"))?;
    let promised = manifest.lines().find_map(|line| line.strip_prefix("rust-version = "));
    let promised = promised.context("Cargo.toml has no rust-version")?.trim_matches('"');
    let is_promised = |version: &str| version == promised || version.starts_with(&format!("{promised}."));
    let this = output(&mut cargo(&["--version"])).unwrap_or_default();
    if this.split_whitespace().nth(1).is_some_and(is_promised) {
        eprintln!("rust-version {promised}: it is this toolchain");
        return Ok(());
    }
    // Names are `1.95.0-x86_64-unknown-linux-gnu`, with marks behind some.
    let installed = output(Command::new("rustup").args(["toolchain", "list"])).unwrap_or_default();
    let of_promise = |name: &&str| name.split('-').next().is_some_and(is_promised);
    let Some(toolchain) = installed.lines().filter_map(|line| line.split(' ').next()).find(of_promise) else {
        eprintln!(
            "rust-version {promised}: not compiled with it, because `rustup toolchain install {promised}` was not run"
        );
        return Ok(());
    };
    let check = ["run", toolchain, "cargo", "check", "--workspace", "--all-targets"];
    // The variables by which rustup and cargo tell their children which toolchain they are of would win over `run`.
    cargo::run(
        Command::new("rustup")
            .args(check)
            .current_dir(cargo::root())
            .env("CARGO_TARGET_DIR", cargo::target().join("oldest"))
            .env_remove("CARGO")
            .env_remove("RUSTC")
            .env_remove("RUSTUP_TOOLCHAIN"),
    )
}

/// `deny.toml` by the program that it is written for, on all platforms. Its advisories need a network, so they are asked for
/// by hand; tests/dependencies.rs holds the rest where the program is missing.
fn dependencies() -> Result<()> {
    if output(&mut cargo(&["deny", "--version"])).is_none() {
        eprintln!("deny.toml: read by tests alone, because `cargo install cargo-deny --locked` was not run");
        return Ok(());
    }
    cargo::run(&mut cargo(&["deny", "--all-features", "check", "bans", "licenses", "sources"]))
}

/// What a program prints; None if it is not there or fails.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}
