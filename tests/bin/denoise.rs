//! Runs the loop of an MM-DiT block on a device: `denoise --device 'emulator sm_90a seed 1'`.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use clap::Parser;
use sparsym::ir::problem::DType;
use sparsym_mm_dit::Shape;
use sparsym_tests::denoise::{self, SMALL_OF_128};
use sparsym_tests::devices::{self, Availability};

/// Runs an MM-DiT block through denoising steps on a device, and compares every step with the reference.
#[derive(Parser)]
struct Options {
    /// Device: cpu, "emulator TARGET" or cuda; "emulator TARGET seed N" lets warps take turns at random.
    #[arg(long)]
    device: String,
    /// Denoising steps.
    #[arg(long, default_value_t = 20)]
    steps: u32,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Gives the number of runs that failed.
fn run(options: &Options) -> Result<usize> {
    let device = match devices::find(&options.device) {
        Availability::Present(column) => column.device,
        Availability::Absent { reason } => anyhow::bail!("{} not run: {reason}", options.device),
    };
    let mut failures = 0;
    for shape in [Shape::SMALL, SMALL_OF_128] {
        for (name, strategy, bindings) in denoise::strategies() {
            let start = Instant::now();
            let of = (strategy, &bindings);
            let found = denoise::error_and_bound(device.clone(), shape, options.steps, DType::Bf16, of);
            let (verdict, words) = match found {
                Ok([error, bound]) => (error <= bound, format!("{error:.1e} of {bound:.1e}")),
                Err(error) => (false, error.to_string()),
            };
            failures += usize::from(!verdict);
            let verdict = if verdict { "ok    " } else { "FAILED" };
            let seconds = start.elapsed().as_secs_f64();
            println!("{:<13} {name:<12} bf16  {verdict} {words}, {seconds:.1} s", shape.name);
        }
    }
    println!("{}: {} steps, {failures} failed", options.device, options.steps);
    Ok(failures)
}
