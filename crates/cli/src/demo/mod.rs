//! `sparsym demo`: non-local means denoising posed as attention, dense against sparse strategies.
//!
//! Ten steps turn a noisy photograph into a clean one. Each takes a guide (mostly the noisy photograph, partly the last
//! estimate), makes hidden states of its patches and of the noisy ones, sends them through an attention layer with its
//! projections, and takes the output for the next estimate; the bandwidth falls from step to step. Neighbouring steps therefore give nearly the same output, as in a diffusion
//! model, and that is what caching lives from.

mod contest;
mod metrics;
mod photo;
mod report;
mod sheet;
mod strategies;
mod tokens;
mod weights;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use sparsym::device::Device;

use crate::device::{self, TargetArg};
use crate::failure::Outcome;
use crate::output::{self, Report, write_png};
use crate::picture::{Panel, Words, draw_symbols};
use contest::{Contest, Finisher};
use metrics::{psnr, ssim};
use report::{DemoReport, Row};

/// Arguments of `sparsym demo`.
#[derive(Debug, Args)]
pub(crate) struct DemoArgs {
    /// Folder for the pictures.
    #[arg(long, value_name = "DIR", default_value = "demo-out")]
    out: PathBuf,
    /// A PNG or JPEG to denoise instead of the photograph that is shipped.
    #[arg(long, value_name = "FILE")]
    photo: Option<PathBuf>,
    /// reference, cpu, emulator or cuda; left out: cuda where there is a GPU, else cpu.
    #[arg(long, value_name = "D")]
    device: Option<String>,
    #[command(flatten)]
    target: TargetArg,
}

/// Standard deviation of the noise, for colours in 0..1.
const SIGMA: f32 = 0.1;

/// Runs the demo.
pub(crate) fn run(args: &DemoArgs, report: Report) -> Outcome {
    let clean = photo::load(args.photo.as_deref())?;
    let device = choose_device(args)?;
    output::prepare_folder(&args.out)?;
    let noisy = clean.with_noise(SIGMA);
    let contest = Contest::new(device, &noisy, SIGMA)?;
    let finishers = contest.run()?;

    let (clean_image, noisy_image) = (clean.to_image(), noisy.to_image());
    let dense_image = finishers[0].estimate.to_image();
    let dense_ms = finishers[0].ms;
    let rows: Vec<Row> = finishers
        .iter()
        .map(|finisher| {
            let image = finisher.estimate.to_image();
            Row {
                strategy: finisher.name.to_owned(),
                density_c: finisher.density_c,
                density_s: finisher.density_s,
                ms: finisher.ms,
                speedup: dense_ms / finisher.ms,
                psnr_dense: Some(psnr(&image, &dense_image)).filter(|ratio| ratio.is_finite()),
                ssim_dense: ssim(&image, &dense_image),
                psnr_clean: psnr(&image, &clean_image),
                ssim_clean: ssim(&image, &clean_image),
            }
        })
        .collect();
    let result = DemoReport {
        device: contest.device_name().to_owned(),
        steps: contest::STEPS,
        tokens: tokens::N,
        heads: tokens::HEADS.len(),
        noisy_psnr: psnr(&noisy_image, &clean_image),
        noisy_ssim: ssim(&noisy_image, &clean_image),
        photo: args.photo.as_ref().map_or(photo::CREDIT.to_owned(), |path| path.display().to_string()),
        files: write_pictures(&args.out, [&clean_image, &noisy_image], &finishers, &rows)?,
        rows,
    };
    output::print(report, &result, || result.to_string())
}

fn choose_device(args: &DemoArgs) -> Outcome<Arc<dyn Device>> {
    let opened = match args.device.as_deref() {
        Some(name) => device::open(name, &args.target)?,
        // Without a GPU, or without a compiler for it, the embedded device does the same work.
        None => device::open("cuda", &args.target).or_else(|_| device::open("cpu", &args.target))?,
    };
    Ok(Arc::from(opened))
}

fn write_pictures(
    folder: &Path,
    [clean, noisy]: [&image::RgbImage; 2],
    finishers: &[Finisher],
    rows: &[Row],
) -> Outcome<Vec<PathBuf>> {
    let mut files = Vec::new();
    let mut write = |name: String, picture: &image::RgbImage| -> Outcome {
        files.push(write_png(folder.join(name), picture)?);
        Ok(())
    };
    write("clean.png".to_owned(), &photo::enlarge(clean, 2))?;
    write("noisy.png".to_owned(), &photo::enlarge(noisy, 2))?;
    for finisher in finishers {
        write(format!("{}.png", finisher.name), &photo::enlarge(&finisher.estimate.to_image(), 2))?;
    }
    for finisher in finishers {
        let panel =
            Panel { symbols: &finisher.symbols, geometry: &finisher.geometry, blocks: [tokens::BLOCK, tokens::BLOCK] };
        let title = format!("{}: symbols of a {} step", finisher.name, finisher.symbols_of);
        let subtitle = ["blocks of 64 queries by 64 keys; palette tokens come last".to_owned()];
        let picture = draw_symbols(&panel, &Words { title: &title, subtitle: &subtitle }, None);
        write(format!("{}_symbols.png", finisher.name), &picture)?;
    }
    write("overview.png".to_owned(), &sheet::overview([clean, noisy], finishers, rows))?;
    Ok(files)
}
