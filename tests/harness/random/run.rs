//! Runs random strategies.

use std::panic::{AssertUnwindSafe, catch_unwind};

use sparsym::ir::Bound;
use sparsym::kernel::{Compiler, Room, Scale, Target};

use super::Subject;
use crate::case::Case;
use crate::corpus::{self, Verdict};
use crate::devices::Column;
use crate::kernels::{Wanted, wanted_by_case};

/// Problems that each strategy gets.
pub const VARIANTS: u64 = 5;

/// Words that no text of a run may have, because of a fault that is known, and which one.
pub const EXCLUDED: &[(&str, &str)] = &[];

/// What came of one strategy, or of one problem.
#[derive(Clone, Debug)]
pub enum Outcome {
    /// A check of the whole found a mistake in it: its words.
    Refused(String),
    /// It reads what is broken at present: why.
    Excluded(&'static str),
    /// Devices and compilers agreed.
    Agreed(Tally),
    /// What was wrong, and where.
    Failed(String),
}

/// What the cases that passed were worth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Tally {
    /// Cases that ran on all devices which can do them.
    pub cases: usize,
    /// Of these the ones with some pairs computed and some not.
    pub mixed: usize,
    /// Calls that a device declined.
    pub declined: usize,
    /// Bits that are near ties.
    pub near_ties: usize,
    /// Kernels that were compiled.
    pub kernels: usize,
}

impl Tally {
    /// Both together.
    pub fn add(&mut self, other: Tally) {
        self.cases += other.cases;
        self.mixed += other.mixed;
        self.declined += other.declined;
        self.near_ties += other.near_ties;
        self.kernels += other.kernels;
    }
}

/// Why no run takes this text.
pub fn excluded(text: &str) -> Option<&'static str> {
    EXCLUDED.iter().find(|(word, _)| super::draft::names(text, word)).map(|(_, reason)| *reason)
}

/// Checks and runs a strategy on devices, with all its problems, and compiles its kernels for targets.
///
/// What fails is made smaller as long as it still fails on the same device.
pub fn run(subject: &Subject, columns: &[Column], compiler: Option<&Compiler>, targets: &[Target]) -> Outcome {
    let text = subject.text();
    if let Some(reason) = excluded(&text) {
        return Outcome::Excluded(reason);
    }
    let mut tally = Tally::default();
    if let Err(refused) = subject.case(0).strategy() {
        return Outcome::Refused(refused);
    }
    for variant in 0..VARIANTS {
        let case = subject.case(variant);
        match guarded(|| run_case(&case, columns)) {
            Ok(Ran::Passed(passed)) => tally.add(passed),
            Ok(Ran::Refused(refused)) => return Outcome::Refused(refused),
            Err(why) => return Outcome::Failed(report(subject, variant, why, columns)),
        }
    }
    if let Some(compiler) = compiler {
        match guarded(|| compile(&subject.case(0), compiler, targets)) {
            Ok(kernels) => tally.kernels += kernels,
            Err(why) => return Outcome::Failed(format!("{}\n{why}", heading(subject, 0, "cpu"))),
        }
    }
    Outcome::Agreed(tally)
}

/// What is wrong, and on which device.
#[derive(Clone, Debug)]
struct Wrong {
    device: String,
    words: String,
}

impl std::fmt::Display for Wrong {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.device, self.words)
    }
}

enum Ran {
    Passed(Tally),
    Refused(String),
}

/// A panic is a failure like any other, and must not hide the seed.
fn guarded<T>(run: impl FnOnce() -> Result<T, Wrong>) -> Result<T, Wrong> {
    catch_unwind(AssertUnwindSafe(run)).unwrap_or_else(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("?");
        Err(Wrong { device: "panic".to_owned(), words: words.to_owned() })
    })
}

fn run_case(case: &Case, columns: &[Column]) -> Result<Ran, Wrong> {
    let strategy = match case.strategy() {
        Ok(strategy) => strategy,
        Err(refused) => return Ok(Ran::Refused(refused)),
    };
    let problem = case.problem(&strategy);
    let bindings =
        case.bindings(&strategy, &problem).map_err(|words| Wrong { device: "generator".to_owned(), words })?;
    if let Err(findings) = Bound::new(&strategy, &problem, &bindings) {
        return Ok(Ran::Refused(findings.to_string()));
    }
    let mut tally = Tally { cases: 1, ..Tally::default() };
    for report in corpus::run(case, columns) {
        match report.verdict {
            Verdict::Passed { near_ties, density, .. } => {
                tally.near_ties += near_ties;
                tally.mixed = usize::from(density > 0.0 && density < 1.0);
            }
            Verdict::NotRun { .. } => tally.declined += 1,
            Verdict::Failed { reason, .. } => {
                return Err(Wrong { device: format!("{} {}", report.device, report.dtype), words: reason });
            }
        }
    }
    Ok(Ran::Passed(tally))
}

/// Kernels of both rooms for each target; a spill is a failure.
fn compile(case: &Case, compiler: &Compiler, targets: &[Target]) -> Result<usize, Wrong> {
    let mut compiled = 0;
    for room in [Room::Attention, Room::Symbols] {
        let wrong = |target: &str, words: String| Wrong { device: format!("compiler for {target}"), words };
        let wanted = wanted_by_case(case, room).map_err(|words| wrong("any target", words))?;
        // The kernels that the case has just run.
        let dtype = case.dtypes[0];
        let scale = case.scale.map_or(Scale::Positive, |scale| Scale::of(scale, dtype));
        let wanted = Wanted { dtype, scale, ..wanted };
        for &target in targets {
            if wanted.generate(target).is_none() {
                continue;
            }
            let name = target.name();
            let fitting = compiler.fitting(&wanted.request(target), &case.name);
            let (kernel, fitting) = fitting.map_err(|error| wrong(name, error.to_string()))?;
            let spills = fitting.image.resources.values().map(|found| found.spill_stores + found.spill_loads).max();
            if spills.is_none_or(|bytes| bytes > 0) {
                return Err(wrong(name, format!("{} spills {spills:?} bytes", kernel.plan.summary())));
            }
            compiled += 1;
        }
    }
    Ok(compiled)
}

fn report(subject: &Subject, variant: u64, why: Wrong, columns: &[Column]) -> String {
    /// Attempts to make a failing strategy smaller: each costs as much as a run.
    const ATTEMPTS: usize = 60;
    let guilty: Vec<&Column> = columns.iter().filter(|column| why.device.starts_with(&column.name)).collect();
    let (mut smallest, mut words) = (subject.clone(), why.clone());
    let mut left = if guilty.is_empty() { 0 } else { ATTEMPTS };
    'smaller: while left > 0 {
        for candidate in smallest.smaller() {
            left -= 1;
            if let Err(still) = guarded(|| run_case(&candidate.case(variant), columns))
                && still.device == why.device
            {
                (smallest, words) = (candidate, still);
                continue 'smaller;
            }
            if left == 0 {
                break;
            }
        }
        break;
    }
    let small = match smallest.text() == subject.text() {
        true => String::new(),
        false => format!("\nsmaller, with the same problem:\n{}\n{words}", smallest.text()),
    };
    let device = guilty.first().map_or("cpu", |column| column.name.as_str());
    format!("{}\n{why}{small}", heading(subject, variant, device))
}

fn heading(subject: &Subject, variant: u64, device: &str) -> String {
    let case = subject.case(variant);
    let (seed, text) = (subject.seed, subject.text());
    let shapes = Case { text: None, ..case };
    let shapes = toml::to_string(&shapes).unwrap_or_else(|error| error.to_string());
    let shapes: String = shapes.lines().map(|line| format!("  {}\n", shortened(line))).collect();
    format!(
        "seed {seed}, problem {variant}; again: cargo run -p sparsym-tests --bin corpus -- --device '{device}' --random 1 --seed {seed}\n{text}{shapes}"
    )
}

fn shortened(line: &str) -> String {
    match line.char_indices().nth(160) {
        Some((end, _)) => format!("{} …", &line[..end]),
        None => line.to_owned(),
    }
}
