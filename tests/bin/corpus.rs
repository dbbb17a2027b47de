//! Runs the corpus on a device: `corpus --device cuda`. The cases are inside the program, so it can be copied to a
//! machine that has nothing else.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, ensure};
use clap::Parser;
use glob::Pattern;
use sparsym_tests::corpus::{self, Report, Verdict};
use sparsym_tests::devices::{self, Availability, Column};
use sparsym_tests::random::run::{Outcome, Tally};
use sparsym_tests::random::{self, Subject};

/// Runs the test corpus on a device and compares it with the oracle.
#[derive(Parser)]
struct Options {
    /// Device: reference, cpu, "emulator TARGET" or cuda. `emulator` alone is `emulator sm_80`; "emulator TARGET seed N" lets
    /// warps take turns at random.
    #[arg(long)]
    device: String,
    /// Only cases whose name matches, for instance 'dense_*'.
    #[arg(long, default_value = "*")]
    case: Pattern,
    /// Only each N-th case, from the I-th on: several processes share the work.
    #[arg(long, value_name = "I/N", default_value = "1/1", value_parser = parse_part)]
    part: Part,
    /// In place of the corpus, so many random strategies, each with a few problems.
    #[arg(long, value_name = "N", conflicts_with_all = ["case", "json"])]
    random: Option<u64>,
    /// Seed of the first random strategy; the next one has the next.
    #[arg(long, value_name = "S", default_value_t = 1, requires = "random")]
    seed: u64,
    /// Writes all results to this file.
    #[arg(long)]
    json: Option<PathBuf>,
}

/// One of several shares of the cases, both numbers from 1 on.
#[derive(Clone, Copy)]
struct Part {
    index: usize,
    of: usize,
}

fn parse_part(text: &str) -> Result<Part, String> {
    let numbers = text.split_once('/').and_then(|(index, of)| Some((index.parse().ok()?, of.parse().ok()?)));
    match numbers {
        Some((index, of)) if (1..=of).contains(&index) => Ok(Part { index, of }),
        _ => Err("write I/N with I from 1 to N, for instance 2/8".to_owned()),
    }
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

/// Gives the number of failures.
fn run(options: &Options) -> Result<usize> {
    let device = match devices::find(&options.device) {
        Availability::Present(device) => device,
        Availability::Absent { reason } => anyhow::bail!("{} not run: {reason}", options.device),
    };
    if let Some(count) = options.random {
        return Ok(run_random(options, count, &[device]));
    }
    let cases: Vec<_> = corpus::all().into_iter().filter(|case| options.case.matches(case.name())).collect();
    ensure!(!cases.is_empty(), "no case matches {}", options.case);
    let cases: Vec<_> = cases.into_iter().skip(options.part.index - 1).step_by(options.part.of).collect();
    let present = [device];
    let mut reports = Vec::new();
    for case in &cases {
        for report in case.run(&present) {
            print(&report);
            reports.push(report);
        }
    }
    let count = |pick: fn(&Verdict) -> bool| reports.iter().filter(|report| pick(&report.verdict)).count();
    let failed = count(|verdict| matches!(verdict, Verdict::Failed { .. }));
    let not_run = count(|verdict| matches!(verdict, Verdict::NotRun { .. }));
    println!("{}: {} passed, {failed} failed, {not_run} not run", options.device, reports.len() - failed - not_run);
    if let Some(file) = &options.json {
        let text = serde_json::to_string_pretty(&reports)?;
        std::fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    Ok(failed)
}

/// Runs random strategies, and says of each failure how it is repeated. Gives their number.
fn run_random(options: &Options, count: u64, device: &[Column]) -> usize {
    let (mut tally, mut refused, mut failed, mut excluded) = (Tally::default(), 0, 0, 0);
    for seed in (options.seed..options.seed + count).skip(options.part.index - 1).step_by(options.part.of) {
        let subject = Subject::new(seed);
        match random::run::run(&subject, device, None, &[]) {
            Outcome::Agreed(of) => tally.add(of),
            Outcome::Excluded(_) => excluded += 1,
            Outcome::Refused(words) => {
                refused += 1;
                println!("seed {seed} refused: {words}");
            }
            Outcome::Failed(words) => {
                failed += 1;
                println!("FAILED: {words}");
            }
        }
        if count == 1 {
            println!("{}", subject.text());
        }
    }
    println!(
        "{}: {} problems passed, {} of them computed in part; strategies: {failed} failed, {refused} refused, {excluded} not \
         run; {} calls declined, {} bits near ties",
        options.device, tally.cases, tally.mixed, tally.declined, tally.near_ties
    );
    failed
}

fn print(report: &Report) {
    let outcome = match &report.verdict {
        Verdict::Passed { errors, near_ties, ms, .. } => {
            let errors = errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let ties = if *near_ties == 0 { String::new() } else { format!(", {near_ties} bits near ties") };
            format!("ok   {errors}{ties}, {ms:.1} ms")
        }
        Verdict::NotRun { reason } => format!("not run: {reason}"),
        Verdict::Failed { reason, .. } => format!("FAILED: {reason}"),
    };
    println!("{:28} {:5} {outcome}", report.case, report.dtype);
}
