//! The table.

use std::path::PathBuf;

use comfy_table::presets::UTF8_FULL_CONDENSED;
use comfy_table::{CellAlignment, Table};
use serde::Serialize;

/// Everything that the demo found out.
#[derive(Debug, Serialize)]
pub(crate) struct DemoReport {
    /// Where attention was computed.
    pub(crate) device: String,
    /// Denoising steps.
    pub(crate) steps: u32,
    /// Tokens of the sequence.
    pub(crate) tokens: usize,
    /// Query heads.
    pub(crate) heads: usize,
    /// PSNR of the noisy photograph against the clean one, dB.
    pub(crate) noisy_psnr: f64,
    /// SSIM of the noisy photograph against the clean one.
    pub(crate) noisy_ssim: f64,
    /// Source of the photograph.
    pub(crate) photo: String,
    /// One for each strategy, dense first.
    pub(crate) rows: Vec<Row>,
    /// Pictures written.
    pub(crate) files: Vec<PathBuf>,
}

/// One strategy.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Its name.
    pub(crate) strategy: String,
    /// Share of query blocks computed, mean over the steps.
    pub(crate) density_c: f64,
    /// Share of block pairs computed (S_s ∧ S_c), mean over the steps.
    pub(crate) density_s: f64,
    /// Milliseconds of attention over all steps.
    pub(crate) ms: f64,
    /// Time of dense over this time.
    pub(crate) speedup: f64,
    /// PSNR against the result of dense, dB; null where they are equal.
    pub(crate) psnr_dense: Option<f64>,
    /// SSIM against the result of dense.
    pub(crate) ssim_dense: f64,
    /// PSNR against the clean photograph, dB.
    pub(crate) psnr_clean: f64,
    /// SSIM against the clean photograph.
    pub(crate) ssim_clean: f64,
}

impl std::fmt::Display for DemoReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "Non-local means as attention on {}", self.photo)?;
        writeln!(
            f,
            "{} tokens, {} heads, {} steps on the {} device\n",
            self.tokens, self.heads, self.steps, self.device
        )?;
        let mut table = Table::new();
        table.load_style(UTF8_FULL_CONDENSED).set_header([
            "strategy",
            "S_c",
            "S_s",
            "time",
            "speed-up",
            "PSNR dense",
            "SSIM dense",
            "PSNR clean",
            "SSIM clean",
        ]);
        table.add_row([
            "(noisy)".to_owned(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            String::new(),
            format!("{:.2} dB", self.noisy_psnr),
            format!("{:.3}", self.noisy_ssim),
        ]);
        for row in &self.rows {
            table.add_row([
                row.strategy.clone(),
                format!("{:.1} %", 100.0 * row.density_c),
                format!("{:.1} %", 100.0 * row.density_s),
                format!("{:.0} ms", row.ms),
                format!("{:.2}×", row.speedup),
                row.psnr_dense.map_or("equal".to_owned(), |ratio| format!("{ratio:.2} dB")),
                format!("{:.3}", row.ssim_dense),
                format!("{:.2} dB", row.psnr_clean),
                format!("{:.3}", row.ssim_clean),
            ]);
        }
        for column in table.column_iter_mut().skip(1) {
            column.set_cell_alignment(CellAlignment::Right);
        }
        writeln!(f, "{table}")?;
        writeln!(f, "S_c: query blocks computed; S_s: block pairs computed; both means over the steps.")?;
        let folder = self.files.first().and_then(|file| file.parent()).map(|folder| folder.display().to_string());
        write!(f, "{} pictures in {}; begin with overview.png", self.files.len(), folder.unwrap_or_default())
    }
}
