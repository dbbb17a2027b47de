//! Random strategies on the oracle, the CPU device and the emulator, and their kernels compiled for every kind of target.
//!
//! A failure names its seed and the command that repeats it alone. Thousands by hand:
//! `cargo run -p sparsym-tests --bin corpus -- --device 'emulator sm_80' --random 1000 --seed 1`.

use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use sparsym::kernel::{Compiler, Target};
use sparsym_tests::devices::{self, Availability, Column};
use sparsym_tests::random::Subject;
use sparsym_tests::random::run::{self, EXCLUDED, Outcome, Tally};

/// Seeds from 1 on, each with `VARIANTS` problems: what two cores compile and run in two minutes.
const SEEDS: u64 = 30;
/// Devices beside the oracle.
const DEVICES: [&str; 4] = ["reference", "cpu", "emulator sm_80", "emulator sm_90a"];
/// Of these every kernel is compiled without a spill. The emulator runs the first two.
const TARGETS: [&str; 3] = ["sm_80", "sm_90a", "sm_120"];

/// What came of all seeds.
#[derive(Default)]
struct Totals {
    tally: Tally,
    agreed: u64,
    refused: Vec<String>,
    excluded: u64,
    failed: u64,
}

fn main() -> ExitCode {
    let (mut columns, mut trials) = (Vec::new(), Vec::new());
    for name in DEVICES {
        match devices::find(name) {
            Availability::Present(column) => columns.push(column),
            Availability::Absent { reason } => {
                let words = format!("{name} needs no hardware, yet it is absent: {reason}");
                trials.push(Trial::test(format!("{name} is present"), || Err(words.into())));
            }
        }
    }
    let (columns, totals): (Arc<Vec<Column>>, _) = (Arc::new(columns), Arc::new(Mutex::new(Totals::default())));
    let compiler = Compiler::new().map(Arc::new);
    for seed in 1..=SEEDS {
        let (columns, totals) = (columns.clone(), totals.clone());
        let compiler = compiler.as_ref().map(Arc::clone).map_err(ToString::to_string);
        trials.push(Trial::test(format!("seed_{seed}"), move || {
            let outcome = run::run(&Subject::new(seed), &columns, Some(&*compiler?), &targets());
            count(seed, outcome, &mut totals.lock().unwrap())
        }));
    }
    let mut arguments = Arguments::from_args();
    // As many as there are seeds compile at once; more than two only take memory.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let (listing, is_whole) = (arguments.list, arguments.filter.is_none() && arguments.skip.is_empty());
    let conclusion = libtest_mimic::run(&arguments, trials);
    if listing {
        return conclusion.exit_code();
    }
    match summary(&totals.lock().unwrap(), is_whole) {
        Ok(()) => conclusion.exit_code(),
        Err(why) => {
            eprintln!("FAILED: {why}");
            ExitCode::FAILURE
        }
    }
}

fn targets() -> [Target; 3] {
    TARGETS.map(|name| Target::parse(name).expect("a known target"))
}

fn count(seed: u64, outcome: Outcome, totals: &mut Totals) -> Result<(), Failed> {
    match outcome {
        Outcome::Agreed(tally) => {
            totals.agreed += 1;
            totals.tally.add(tally);
        }
        Outcome::Refused(words) => totals.refused.push(format!("seed {seed}: {words}")),
        Outcome::Excluded(_) => totals.excluded += 1,
        Outcome::Failed(words) => {
            totals.failed += 1;
            return Err(words.into());
        }
    }
    Ok(())
}

/// Prints what was run. A generator whose texts are refused, or compute everything or nothing, proves nothing.
fn summary(totals: &Totals, is_whole: bool) -> Result<(), String> {
    let Totals { tally, agreed, refused, excluded, failed } = totals;
    for (word, reason) in EXCLUDED {
        println!("not run: strategies with `{word}`: {reason}");
    }
    for words in refused {
        println!("refused, {words}");
    }
    println!(
        "{agreed} strategies agreed, {} were refused, {excluded} not run, {failed} failed; {} problems, {} of them computed in \
         part; {} calls were declined; {} bits were near ties; {} kernels compiled",
        refused.len(),
        tally.cases,
        tally.mixed,
        tally.declined,
        tally.near_ties,
        tally.kernels
    );
    let least = |what: &str, found: usize, share: f64, of: usize| match (found as f64) < share * of as f64 {
        true if is_whole => Err(format!("{found} of {of} {what}, which is less than {share}")),
        _ => Ok(()),
    };
    least("strategies were run", (agreed + failed) as usize, 0.75, SEEDS as usize)?;
    least("problems were computed in part", tally.mixed, 0.4, tally.cases)?;
    least("kernels were compiled, three targets a strategy", tally.kernels, 1.0, 3 * *agreed as usize)
}
