//! Judges thousands of random calls against f64, of attention on the device itself: `fuzz_kernels --device cuda`.

use std::collections::BTreeMap;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, ValueEnum};
use sparsym::device::emulator::Settings;
use sparsym::device::{Backend, Cuda, Device, Emulator, KernelDevice};
use sparsym::kernel::{Schedule, Target};
use sparsym_tests::fuzz::{self, Range, projection};

/// Draws calls from seeds, runs each twice, and compares with f64: attention by a plain kernel on the same device,
/// projections by the oracle on this machine.
#[derive(Parser)]
struct Options {
    /// cuda, or "emulator TARGET".
    #[arg(long)]
    device: String,
    /// attention or projections.
    #[arg(long, value_enum, default_value = "attention")]
    of: Of,
    /// How many calls.
    #[arg(long, default_value_t = 10_000)]
    count: u64,
    /// Seed of the first one; the next has the next.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Most tokens of an item, at most 2000; 200 on the emulator.
    #[arg(long)]
    tokens: Option<usize>,
    /// Most pairs of tokens of a call, roughly; fewer on the emulator if left out. Part of what a seed stands for, as tokens.
    #[arg(long)]
    pairs: Option<usize>,
    /// Only kernels of this schedule: portable or specialised. Other calls are declined.
    #[arg(long, value_parser = parse_schedule)]
    schedule: Option<Schedule>,
    /// Threads that make numbers and launch; as many as there are cores if left out.
    #[arg(long)]
    threads: Option<usize>,
}

/// What is drawn.
#[derive(Clone, Copy, ValueEnum)]
enum Of {
    Attention,
    Projections,
}

fn main() -> ExitCode {
    match run(&Options::parse()) {
        Ok(Found { failed, declined, summary }) => {
            declined.iter().for_each(|(why, calls)| println!("{calls} declined: {why}"));
            failed.iter().for_each(|failed| println!("FAILED: {failed}"));
            println!("{summary}");
            if failed.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// What came of all calls.
struct Found {
    failed: Vec<String>,
    declined: BTreeMap<String, u64>,
    /// A line.
    summary: String,
}

fn run(options: &Options) -> Result<Found> {
    let threads = options.threads.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from));
    let range = |tokens: usize, pairs| Range {
        seed: options.seed,
        count: options.count,
        most_tokens: options.tokens.unwrap_or(tokens).clamp(1, 2000),
        most_pairs: options.pairs.unwrap_or(pairs),
        threads,
    };
    match options.device.split_once(' ') {
        Some(("emulator", target)) => {
            let settings = Settings { target: Target::parse(target)?, ..Settings::default() };
            run_on(options, Emulator::open(settings)?, range(200, 60_000))
        }
        _ if options.device == "cuda" => run_on(options, Cuda::open(0).context("cuda")?, range(2000, 16_000_000)),
        _ => anyhow::bail!("{} is neither cuda nor \"emulator TARGET\"", options.device),
    }
}

fn run_on<B: Backend>(options: &Options, device: KernelDevice<B>, range: Range) -> Result<Found>
where
    KernelDevice<B>: Device,
{
    let device = match options.schedule {
        Some(schedule) => device.with_schedule(schedule),
        None => device,
    };
    Ok(match options.of {
        Of::Attention => {
            let summary = fuzz::run(&device, range)?;
            Found { summary: summary.to_string(), failed: summary.failed, declined: summary.declined }
        }
        Of::Projections => {
            let summary = projection::run(&device, range);
            Found { summary: summary.to_string(), failed: summary.failed, declined: summary.declined }
        }
    })
}

fn parse_schedule(name: &str) -> Result<Schedule, String> {
    let found = Schedule::ALL.iter().find(|schedule| schedule.name() == name);
    found.copied().ok_or_else(|| "write portable or specialised".to_owned())
}
