//! The corpus on every device of this machine: one test for each case, and one line for each device that is absent.

use std::process::ExitCode;
use std::sync::Arc;

use libtest_mimic::{Arguments, Failed, Trial};
use sparsym_tests::corpus::{self, AnyCase, Verdict};
use sparsym_tests::devices::{self, Availability, Column};

fn main() -> ExitCode {
    let (mut present, mut trials) = (Vec::new(), Vec::new());
    for name in devices::NAMES {
        match devices::find(name) {
            Availability::Present(device) => present.push(device),
            // Shown as ignored with the reason beside it, so that nobody takes it for green.
            Availability::Absent { reason } => {
                trials.push(Trial::test(format!("{name} not run: {reason}"), || Ok(())).with_ignored_flag(true))
            }
        }
    }
    let present: Arc<Vec<Column>> = Arc::new(present);
    trials.push(Trial::test("devices that need no hardware are present", {
        let present = present.clone();
        move || needs_no_hardware(&present)
    }));
    for case in corpus::all() {
        let present = present.clone();
        trials.push(Trial::test(case.name().to_owned(), move || check(&case, &present)));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn needs_no_hardware(present: &[Column]) -> Result<(), Failed> {
    let is_present = |name: &&str| present.iter().any(|column| column.name == *name);
    match devices::EVERYWHERE.iter().find(|name| !is_present(name)) {
        Some(absent) => Err(format!("{absent} needs no hardware, yet it is absent; run `cargo xtask test`").into()),
        None => Ok(()),
    }
}

fn check(case: &AnyCase, present: &[Column]) -> Result<(), Failed> {
    let mut failures = Vec::new();
    for report in case.run(present) {
        let place = format!("{} on {}", report.dtype, report.device);
        match report.verdict {
            Verdict::Passed { near_ties: 0, .. } => {}
            Verdict::Passed { near_ties, .. } => println!("{}, {place}: {near_ties} bits are near ties", case.name()),
            Verdict::NotRun { reason } => println!("{}, {place}, not run: {reason}", case.name()),
            Verdict::Failed { reason, .. } => failures.push(format!("{place}: {reason}")),
        }
    }
    if failures.is_empty() { Ok(()) } else { Err(failures.join("\n").into()) }
}
