//! `cargo xtask nvrtc-matrix`: the corpus under several compilers.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, ensure};
use comfy_table::{Table, presets};

use crate::cargo::{self, cargo, target};
use crate::nvrtc::{self, PINNED, Version, Wheel};

/// The oldest that the runtime takes, the one that tests pin, and today's, each with what a spill is there: of the oldest it
/// is only told.
const WHEELS: [(Wheel, &str); 3] = [
    (Wheel { package: "nvidia-cuda-nvrtc-cu12", version: Version::Exactly("12.0.140") }, "told"),
    (PINNED, "refused"),
    (Wheel { package: "nvidia-cuda-nvrtc", version: Version::Newest }, "refused"),
];
/// Targets that the oldest compiler does not know are left out for it.
const SINCE_12_8: [&str; 3] = ["sm_100", "sm_103", "sm_120"];

/// Compiles the corpus with each wheel, for one target (then at D 128, in bf16 and blocks of 128 alone) or for all, and prints a table, kernels down and compilers across.
///
/// # Errors
/// If a wheel cannot be had, or if a kernel does not compile or spills where that is refused.
pub(crate) fn run(target_name: Option<&str>) -> Result<()> {
    let (mut compilers, mut failing) = (Vec::new(), Vec::new());
    let mut cells: BTreeMap<String, BTreeMap<usize, String>> = BTreeMap::new();
    for (wheel, spills) in &WHEELS {
        let library = nvrtc::install(wheel)?;
        let version = version_of(&library)?;
        let report = target().join("nvrtc").join(format!("{version}.tsv"));
        let mut test = cargo(&["test", "--workspace", "--test", "compile_all", "--", "--quiet"]);
        // Names of tests end in head dimension, type, blocks and target. Of one target, one of each says what a compiler takes.
        test.args(target_name.map(|name| format!("d128_bf16 128x128 {name}")));
        if version.starts_with("12.0.") {
            test.args(SINCE_12_8.iter().flat_map(|name| ["--skip".to_owned(), format!(" {name}")]));
        }
        let compiled = cargo::run(
            test.env(nvrtc::VARIABLE, &library)
                .env("SPARSYM_COMPILE_REPORT", &report)
                .env("SPARSYM_COMPILE_SPILLS", spills),
        );
        // The comparison is wanted most when one compiler fails, so the others are still asked.
        if compiled.is_err() {
            failing.push(version.clone());
        }
        let text = fs::read_to_string(&report)
            .with_context(|| format!("compile_all wrote no report at {}", report.display()))?;
        for line in text.lines() {
            let (kernel, cell) = line.split_once('\t').context("a report line without a tab")?;
            cells.entry(kernel.to_owned()).or_default().insert(compilers.len(), cell.replace('\t', " "));
        }
        compilers.push(version);
    }
    print(&compilers, &cells);
    ensure!(failing.is_empty(), "kernels fail with NVRTC {}", failing.join(" and "));
    Ok(())
}

fn print(compilers: &[String], cells: &BTreeMap<String, BTreeMap<usize, String>>) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    let first = "kernel (registers, spill bytes, PTX)".to_owned();
    table.set_header(std::iter::once(first).chain(compilers.iter().cloned()));
    for (kernel, row) in cells {
        let columns = (0..compilers.len()).map(|at| row.get(&at).cloned().unwrap_or_else(|| "not compiled".to_owned()));
        table.add_row(std::iter::once(kernel.clone()).chain(columns));
    }
    println!("{table}");
}

/// The name of the folder under `target/nvrtc` that holds the library.
fn version_of(library: &Path) -> Result<String> {
    let below = library.strip_prefix(target().join("nvrtc")).context("the wheel was installed elsewhere")?;
    Ok(below.iter().next().unwrap_or_default().to_string_lossy().into_owned())
}
