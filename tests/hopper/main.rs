//! Two kernels of sm_90a, handwritten: would the emulator notice if one of them were wrong?
//!
//! `attention.cu` and `gemm.cu` have what makes Hopper fast and hard: bulk tensor copies into a ring of stages, full and
//! empty mbarriers, roles with registers of their own, wgmma from shared memory and from registers, a bulk store through
//! shared memory. They must be right under every check, in every order of the warps that is tried, with copies early and
//! late. Then `*.toml` plants bugs, one edit of the text each: every one must be caught, by a trap or by wrong numbers.
//!
//! What caught each is a table in docs/testing.md, beside what an H200 gave. `BLESS=1` rewrites it; otherwise it must be
//! what the runs gave. `MUTANTS_SHOW=1` prints the reports.

mod kernels;
mod mutants;
mod numbers;

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use libtest_mimic::{Arguments, Failed, Trial};
use ptx_emulator::{Checks, Copies, Options, Schedule};
use sparsym::kernel::nvrtc::{Nvrtc, Search};

use kernels::{Kernel, Outcome, Problem};
use mutants::{Mutant, NOTHING, Row};

/// Of the orders of the warps that are drawn.
const SEEDS: [u64; 3] = [1, 2, 3];

/// Orders of the warps that no generator of random numbers decides: what they find of a bug stays the same for long.
const ORDERS: [Schedule; 3] = [Schedule::InOrder, Schedule::Reverse, Schedule::RoundRobin(1)];

/// Far above what any of the problems takes: a mutant that runs for ever ends soon.
const MOST_INSTRUCTIONS: u64 = 3_000_000;

/// Where a figure is worth having.
const TIMED: Problem = Problem::Attention { heads: 2, n_q: 512, n_kv: 512 };

/// By full name of the mutant.
type Results = Arc<Mutex<BTreeMap<String, Row>>>;

fn main() -> ExitCode {
    let mutants = Arc::new(Mutant::all());
    let results = Results::default();
    let mut trials = vec![Trial::test("the table in docs/testing.md lists the bugs", {
        let mutants = mutants.clone();
        move || table_is_fresh(&mutants)
    })];
    match Search::run().into_result() {
        Ok(nvrtc) => {
            let nvrtc = Arc::new(nvrtc);
            for kernel in Kernel::ALL {
                let nvrtc = nvrtc.clone();
                trials.push(Trial::test(format!("{} as it is", kernel.name()), move || unchanged(kernel, &nvrtc)));
            }
            trials.push(Trial::test("figures", {
                let nvrtc = nvrtc.clone();
                move || figures(&nvrtc)
            }));
            for mutant in mutants.iter() {
                let (name, nvrtc, results) = (mutant.full_name(), nvrtc.clone(), results.clone());
                let mutant = mutant.clone();
                trials.push(Trial::test(name, move || changed(&mutant, &nvrtc, &results)));
            }
        }
        Err(error) => trials.push(Trial::test("libnvrtc is found", move || {
            Err(format!("{error}\nhelp: `cargo xtask test` installs it").into())
        })),
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    let results = results.lock().unwrap();
    if is_blessing() && results.len() == mutants.len() {
        let rows: Vec<String> = mutants.iter().map(|mutant| mutant.row(&results[&mutant.full_name()])).collect();
        mutants::write(&mutants::table(&mutants, &rows));
    }
    conclusion.exit_code()
}

/// What catches a mutant must not catch the kernel that it is made of.
fn unchanged(kernel: Kernel, nvrtc: &Nvrtc) -> Result<(), Failed> {
    let ptx = kernels::compile(kernel, &kernel.text(), nvrtc)?;
    let mut ways = Vec::new();
    for copies in [Copies::Latest, Copies::Earliest] {
        ways.extend(SEEDS.map(|seed| Options { copies, seed, ..ordered(Schedule::Random) }));
        ways.extend(ORDERS.map(|order| Options { copies, ..ordered(order) }));
    }
    let usual = ways.into_iter().map(|options| (kernel.usual(), options));
    let others = kernel.others().iter().map(|&problem| (problem, ordered(Schedule::Random)));
    for (problem, options) in usual.chain(others) {
        let (name, report) = told(&kernels::run(problem, &ptx, &options));
        if name != NOTHING {
            return Err(format!("{problem:?}, {options:?}: {name}\n{report}").into());
        }
    }
    Ok(())
}

/// Printed, not judged: they depend on the machine.
fn figures(nvrtc: &Nvrtc) -> Result<(), Failed> {
    let ptx = kernels::compile(TIMED.kernel(), &TIMED.kernel().text(), nvrtc)?;
    numbers::of(TIMED); // made before the clock starts
    for checks in [Checks::All, Checks::None] {
        let (mut least, mut instructions) = (f64::INFINITY, 0);
        for _ in 0..3 {
            let options = Options { checks, threads: 2, ..ordered(Schedule::InOrder) };
            let start = Instant::now();
            let outcome = kernels::run(TIMED, &ptx, &options);
            least = least.min(start.elapsed().as_secs_f64() * 1e3);
            match outcome {
                Outcome::Right(_, stats) => instructions = stats.warp_instructions,
                other => return Err(told(&other).1.into()),
            }
        }
        println!("{TIMED:?}, {checks:?}: {least:.0} ms with loading and comparing, {instructions} warp instructions");
    }
    Ok(())
}

fn changed(mutant: &Mutant, nvrtc: &Nvrtc, results: &Results) -> Result<(), Failed> {
    let problem = mutant.kernel.usual();
    let (row, report) = match kernels::compile(mutant.kernel, &mutant.text()?, nvrtc) {
        Ok(ptx) => {
            let [checked, unchecked] = [Checks::All, Checks::None].map(|checks| {
                let ends =
                    ORDERS.map(|order| told(&kernels::run(problem, &ptx, &Options { checks, ..ordered(order) })));
                let names: BTreeSet<&str> = ends.iter().map(|(name, _)| *name).collect();
                let reports =
                    ORDERS.iter().zip(&ends).map(|(order, (_, report))| format!("{checks:?}, {order:?}: {report}"));
                (names.into_iter().collect::<Vec<_>>().join(", "), reports.collect::<Vec<_>>().join("\n"))
            });
            (Row { checked: checked.0, unchecked: unchecked.0 }, format!("{}\n{}", checked.1, unchecked.1))
        }
        Err(refused) => (Row { checked: "compiler".to_owned(), unchecked: "compiler".to_owned() }, refused),
    };
    if std::env::var_os("MUTANTS_SHOW").is_some() {
        println!("== {}\n{report}", mutant.full_name());
    }
    let (caught, line) = (row.checked.clone(), mutant.row(&row));
    results.lock().unwrap().insert(mutant.full_name(), row);
    if caught != mutant.caught {
        let file = mutant.kernel.name();
        return Err(format!("{caught} caught it, tests/hopper/{file}.toml expects {}\n{report}", mutant.caught).into());
    }
    if !is_blessing() && !mutants::document().1.contains(&line) {
        return Err(format!("docs/testing.md does not say so: `cargo xtask bless`\n{line}\n{report}").into());
    }
    Ok(())
}

/// How a run ended in a word, and the whole report.
fn told(outcome: &Outcome) -> (&'static str, String) {
    match outcome {
        Outcome::Right(errors, _) => (NOTHING, format!("all is right, {errors}")),
        Outcome::Wrong(reason) => ("wrong numbers", reason.clone()),
        Outcome::Trapped(trap) => (trap.fault.name(), trap.to_string()),
        Outcome::Refused(reason) => ("refused", reason.clone()),
    }
}

/// Every check, and this order of the warps. One thread, so that what a bug leaves behind is the same every time; the trials
/// are parallel anyway.
fn ordered(schedule: Schedule) -> Options {
    Options { schedule, threads: 1, limit: MOST_INSTRUCTIONS, ..Options::default() }
}

/// Whether the tests may rewrite what they compare with.
fn is_blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Each row is compared where its mutant runs; here the list, the sums and the reasons.
fn table_is_fresh(mutants: &[Mutant]) -> Result<(), Failed> {
    let found = mutants::document().1;
    let rows: Vec<String> =
        found.lines().filter(|line| line.starts_with("| `")).map(|line| format!("{line}\n")).collect();
    let names = rows.iter().filter_map(|row| row.split('`').nth(1));
    let is_fresh = found == mutants::table(mutants, &rows) && names.eq(mutants.iter().map(|mutant| &*mutant.name));
    if is_blessing() || is_fresh { Ok(()) } else { Err("docs/testing.md is stale: `cargo xtask bless`".into()) }
}
