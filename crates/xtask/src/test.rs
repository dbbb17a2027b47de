//! `cargo xtask test`: everything that can be checked on this machine.

use anyhow::Result;

use crate::{cargo, nvdisasm, nvrtc, triton};

/// Names the folder of compiled kernels.
const CACHE: &str = "SPARSYM_CACHE";

/// Finds or installs NVRTC, and a disassembler and Triton if their tests may run, then runs every unit test, integration test and doc example.
pub(crate) fn run(args: &[String]) -> Result<()> {
    with_environment(args, &[])
}

/// The same with further environment variables, which tell the tests to rewrite what they compare with.
pub(crate) fn with_environment(args: &[String], environment: &[(&str, &str)]) -> Result<()> {
    let library = nvrtc::find_or_install()?;
    eprintln!("NVRTC: {}", library.display());
    let mut test = cargo::cargo(&["test", "--workspace", "--no-fail-fast"]);
    test.args(args).env(nvrtc::VARIABLE, library).envs(environment.iter().copied());
    // Where `compile_all` keeps what it compiles, in a folder that only this user may write: tests that run those kernels find
    // them there, and leave none with the user's.
    if std::env::var_os(CACHE).is_none() {
        test.env(CACHE, cargo::target().join("tmp/kernels"));
    }
    if args.is_empty() || args.iter().any(|arg| arg.contains("sass")) {
        nvdisasm::name_in(&mut test);
    }
    if args.is_empty() || args.iter().any(|arg| arg.contains("triton")) {
        match triton::find_or_install() {
            Ok(folder) => drop(test.env(triton::VARIABLE, folder)),
            Err(error) => eprintln!("warning: kernels of Triton are not run, it could not be installed: {error:#}"),
        }
    }
    cargo::run(&mut test)
}
