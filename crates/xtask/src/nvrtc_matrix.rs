//! `cargo xtask nvrtc-matrix`: the corpus under several compilers.

use std::collections::BTreeMap;
use std::fs;

use anyhow::{Context, Result};
use comfy_table::{Table, presets};

use crate::cargo::{self, cargo, target};
use crate::nvrtc::{self, Version, Wheel};

/// The oldest that Hopper kernels need, the one that tests pin, and today's.
const WHEELS: [Wheel; 3] = [
    Wheel { package: "nvidia-cuda-nvrtc-cu12", version: Version::Series("12.8.*") },
    Wheel { package: "nvidia-cuda-nvrtc", version: Version::Exactly("13.0.88") },
    Wheel { package: "nvidia-cuda-nvrtc", version: Version::Newest },
];

/// Compiles the corpus with each wheel and prints a table, kernels down and compilers across.
pub(crate) fn run() -> Result<()> {
    let mut compilers = Vec::new();
    let mut cells: BTreeMap<String, BTreeMap<usize, String>> = BTreeMap::new();
    for wheel in &WHEELS {
        let library = nvrtc::install(wheel)?;
        let version = version_of(&library)?;
        let report = target().join("nvrtc").join(format!("{version}.tsv"));
        cargo::run(
            cargo(&["test", "-p", "sparsym-tests", "--test", "compile_all", "--", "--nocapture"])
                .env(nvrtc::VARIABLE, &library)
                .env("SPARSYM_COMPILE_REPORT", &report),
        )?;
        let text = fs::read_to_string(&report)
            .with_context(|| format!("compile_all wrote no report at {}", report.display()))?;
        for line in text.lines() {
            let (kernel, cell) = line.split_once('\t').context("a report line without a tab")?;
            cells.entry(kernel.to_owned()).or_default().insert(compilers.len(), cell.replace('\t', " "));
        }
        compilers.push(version);
    }
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(std::iter::once("kernel (registers, spill bytes, PTX)".to_owned()).chain(compilers.clone()));
    for (kernel, row) in cells {
        let columns = (0..compilers.len()).map(|at| row.get(&at).cloned().unwrap_or_else(|| "not compiled".to_owned()));
        table.add_row(std::iter::once(kernel).chain(columns));
    }
    println!("{table}");
    Ok(())
}

/// The name of the folder under `target/nvrtc` that holds the library.
fn version_of(library: &std::path::Path) -> Result<String> {
    let below = library.strip_prefix(target().join("nvrtc")).context("the wheel was installed elsewhere")?;
    Ok(below.iter().next().unwrap_or_default().to_string_lossy().into_owned())
}
