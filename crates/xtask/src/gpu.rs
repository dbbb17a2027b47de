//! `cargo xtask gpu`: what a machine with a GPU needs, as one folder.
//!
//! Such a machine may have neither Rust nor a network. The folder holds four programs and a library (the corpus is inside
//! one of them, the templates inside all) and the scripts of `scripts/gpu`; `run_gpu.sh` among them does everything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use crate::cargo::{self, cargo, root, target};
use crate::nvrtc;

/// Programs of the folder.
const PROGRAMS: [&str; 4] = ["sparsym", "corpus", "fuzz_kernels", "sparsym-mm-dit"];
/// What `bench.py` loads.
const LIBRARY: &str = "libsparsym_beside.so";

/// What travels by slow roads stays below this.
const MOST_BYTES: u64 = 60 << 20;

/// Builds the programs and puts them beside the scripts, into `folder` or `target/gpu-pack`.
///
/// # Errors
/// If something cannot be built or copied, or if the folder is too large.
pub(crate) fn pack(folder: Option<&Path>) -> Result<()> {
    let folder = folder.map_or_else(|| target().join("gpu-pack"), Path::to_path_buf);
    fill(&folder, "release")?;
    let bytes = strip(&folder)?;
    ensure!(bytes <= MOST_BYTES, "the folder holds {} MiB, and {} are the most", bytes >> 20, MOST_BYTES >> 20);
    println!("{}: {:.1} MiB; start run_gpu.sh in it", folder.display(), bytes as f64 / f64::from(1 << 20));
    Ok(())
}

/// Runs every script on the CPU, with programs of the profile that tests build.
///
/// # Errors
/// If something cannot be built, or if a script fails.
pub(crate) fn dry_run(folder: Option<&Path>) -> Result<()> {
    let folder = folder.map_or_else(|| target().join("gpu-dry-run"), Path::to_path_buf);
    fill(&folder, "debug")?;
    let mut command = Command::new("bash");
    command.arg(folder.join("run_gpu.sh")).args(["--device", "cpu"]).env(nvrtc::VARIABLE, nvrtc::find_or_install()?);
    cargo::run(&mut command)
}

/// Programs, the library and scripts into one folder.
fn fill(folder: &Path, profile: &str) -> Result<()> {
    // Of the whole workspace, as tests are: another choice of packages would compile their dependencies anew.
    let mut build = cargo(&["build", "--workspace", "--lib"]);
    build.args(PROGRAMS.iter().flat_map(|program| ["--bin", program]));
    if profile == "release" {
        build.arg("--release");
    }
    cargo::run(&mut build)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
    let built = PROGRAMS.iter().chain([&LIBRARY]).map(|name| target().join(profile).join(name));
    for file in built.chain(scripts()?) {
        let name = file.file_name().unwrap_or_default();
        // Copies keep the leave to execute.
        fs::copy(&file, folder.join(name)).with_context(|| format!("cannot copy {}", file.display()))?;
    }
    Ok(())
}

/// Takes names out of the copies, where there is a program that can; gives the bytes of the folder's files.
fn strip(folder: &Path) -> Result<u64> {
    let built: Vec<PathBuf> = PROGRAMS.iter().chain([&LIBRARY]).map(|name| folder.join(name)).collect();
    // Without it the folder is larger, and nothing else.
    let _ = Command::new("strip").args(&built).status();
    let mut bytes = 0;
    for file in built.into_iter().chain(scripts()?.iter().filter_map(|file| Some(folder.join(file.file_name()?)))) {
        bytes += fs::metadata(&file).with_context(|| format!("cannot read {}", file.display()))?.len();
    }
    Ok(bytes)
}

fn scripts() -> Result<Vec<PathBuf>> {
    let folder = root().join("scripts/gpu");
    let entries = fs::read_dir(&folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let files = entries.map(|entry| Ok(entry?.path()));
    Ok(files.collect::<Result<Vec<_>>>()?.into_iter().filter(|file| file.is_file()).collect())
}
