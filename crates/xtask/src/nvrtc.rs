//! Finds the NVRTC library, or installs its PyPI wheel under `target/nvrtc/VERSION`.
//!
//! NVRTC is the CUDA compiler as a library. It needs no GPU and no driver, so every machine can compile every kernel.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use crate::cargo::target;
use crate::pip;

/// Names the library file for the tests and for the `sparsym` binary.
pub(crate) const VARIABLE: &str = "SPARSYM_NVRTC";

/// The compiler that tests use: it writes PTX 9.0, which drivers of the 580 series accept.
pub(crate) const PINNED: Wheel = Wheel { package: "nvidia-cuda-nvrtc", version: Version::Exactly("13.0.88") };

/// A wheel on PyPI.
pub(crate) struct Wheel {
    /// Name of the package.
    pub(crate) package: &'static str,
    /// Which one.
    pub(crate) version: Version,
}

/// A release of a wheel.
pub(crate) enum Version {
    /// This one; not fetched again once it is installed.
    Exactly(&'static str),
    /// Whatever is newest today.
    Newest,
}

/// The library named by [`VARIABLE`], or the pinned wheel, installed if it is not yet.
///
/// # Errors
/// One sentence that says why there is none and what to do.
pub(crate) fn find_or_install() -> Result<PathBuf> {
    match std::env::var_os(VARIABLE) {
        Some(named) => named_library(Path::new(&named)),
        None => install(&PINNED),
    }
}

fn named_library(named: &Path) -> Result<PathBuf> {
    let found = if named.is_dir() { library_in(named) } else { Some(named.to_owned()).filter(|file| file.is_file()) };
    found.with_context(|| {
        format!("{VARIABLE} is {}, which holds no libnvrtc.so: correct it or unset it", named.display())
    })
}

/// Installs a wheel and gives the path of its library.
///
/// # Errors
/// If pip is missing or fails.
pub(crate) fn install(wheel: &Wheel) -> Result<PathBuf> {
    let home = target().join("nvrtc");
    fs::create_dir_all(&home).with_context(|| format!("cannot create {}", home.display()))?;
    // Two runs at once must not install the same wheel twice; the lock goes with the file handle.
    let lock = File::create(home.join("lock")).context("cannot create target/nvrtc/lock")?;
    lock.lock().context("cannot lock target/nvrtc/lock")?;
    if let Version::Exactly(version) = wheel.version
        && let Some(library) = library_in(&home.join(version))
    {
        return Ok(library);
    }
    download(wheel, &home)
}

fn download(wheel: &Wheel, home: &Path) -> Result<PathBuf> {
    let requirement = match wheel.version {
        Version::Exactly(version) => format!("{}=={version}", wheel.package),
        Version::Newest => wheel.package.to_owned(),
    };
    eprintln!("installing {requirement} (about 90 MB) under {}", home.display());
    // A folder appears under its version's name only when it is whole.
    let fresh = tempfile::tempdir_in(home).context("cannot create a folder under target/nvrtc")?;
    pip::install(&[&requirement], fresh.path()).with_context(|| {
        format!(
            "NVRTC, the CUDA compiler library, could not be installed: connect to the network and have python3 with \
             pip, or set {VARIABLE} to a libnvrtc.so that you have"
        )
    })?;
    let version = installed_version(fresh.path())?;
    let place = home.join(version);
    if library_in(&place).is_none() {
        fs::remove_dir_all(&place).or_else(|error| match error.kind() {
            std::io::ErrorKind::NotFound => Ok(()),
            _ => Err(error),
        })?;
        fs::rename(fresh.keep(), &place).with_context(|| format!("cannot create {}", place.display()))?;
    }
    library_in(&place).with_context(|| format!("{requirement} holds no libnvrtc.so for this machine"))
}

/// The version in the name of the wheel's `.dist-info` folder.
fn installed_version(folder: &Path) -> Result<String> {
    let names = names_in(folder);
    let versions = names.iter().filter_map(|name| name.strip_suffix(".dist-info")?.split_once('-'));
    let versions: Vec<&str> = versions.map(|(_, version)| version).collect();
    ensure!(versions.len() == 1, "pip installed {} packages where one was asked for", versions.len());
    Ok(versions[0].to_owned())
}

/// The library in a folder or in the wheel layouts below it: `nvidia/cu13/lib` and `nvidia/cuda_nvrtc/lib`.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let folders = ["", "nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"].map(|below| folder.join(below));
    folders.iter().find_map(|folder| {
        let names = names_in(folder);
        // Beside it lie libnvrtc-builtins.so.13.0 and, in some wheels, libnvrtc.alt.so.13.
        let name = names.iter().find(|name| name.starts_with("libnvrtc.so"))?;
        Some(folder.join(name))
    })
}

/// Names in a folder, sorted; none if there is no such folder.
fn names_in(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}
