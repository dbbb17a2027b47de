//! Planted bugs: would the tests notice if a kernel were wrong?
//!
//! A mutant is one edit of a generated kernel's text, described in `tests/mutants/*.toml`. Each runs on the emulator as a
//! case of the corpus does, four times: with every check and without those for races and uninitialised bytes, which is
//! about what a GPU would show; each with asynchronous copies as late and as early as PTX allows. The kernels that they
//! are made of run unchanged too, and must pass.
//!
//! What caught each mutant is a table in docs/testing.md. `BLESS=1` rewrites it; otherwise it must be what the runs gave.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use libtest_mimic::{Arguments, Failed, Trial};
use serde::Deserialize;
use sparsym::device::Emulator;
use sparsym::device::emulator::{Checks, Copies, Options, Settings};
use sparsym::ir::DType;
use sparsym::kernel::cache::Cache;
use sparsym::kernel::nvrtc::{QualityError, Search};
use sparsym::kernel::{Compiler, Kernel, Room, Target, TileOrder};
use sparsym::{Error, ErrorKind};
use sparsym_tests::corpus::{self, AnyCase, FoundBy, Verdict};
use sparsym_tests::devices::Column;
use sparsym_tests::kernels::{Wanted, wanted_by_case, wanted_by_projection};

/// The target whose texts are edited, if a mutant names no other.
const TARGET: &str = "sm_80";

/// Far above what any of the cases takes: a mutant that runs for ever ends soon.
const MOST_INSTRUCTIONS: u64 = 5_000_000;

/// Comments of docs/testing.md between which the table stands.
const MARKS: (&str, &str) = ("<!-- mutants: begin; `cargo xtask bless` -->\n", "<!-- mutants: end -->");

/// What stands in the table where nothing went wrong.
const NOTHING: &str = "nothing";

/// Every mutant runs in each of these ways, a column of the table each.
const RUNS: [(&str, Checks, Copies); 4] = [
    ("all checks", Checks::All, Copies::Latest),
    ("all checks, copies early", Checks::All, Copies::Earliest),
    ("no checks", Checks::None, Copies::Latest),
    ("no checks, copies early", Checks::None, Copies::Earliest),
];

/// One planted bug.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Mutant {
    /// Unique over all files.
    name: String,
    /// What the bug is, in a sentence without a full stop.
    breaks: String,
    /// The room whose kernel is edited.
    #[serde(default = "attention")]
    room: Room,
    /// The case of the corpus that must notice.
    case: String,
    /// Attention takes its tiles from a list.
    #[serde(default)]
    heaviest_first: bool,
    /// The target whose text is edited.
    #[serde(default = "usual_target")]
    target: String,
    /// Nothing calls a function any more, which the compiler would refuse.
    #[serde(default)]
    leaves_unused: bool,
    /// Text of the generated kernel; it must occur once.
    old: String,
    /// What stands there in the mutant.
    new: String,
    /// What must stop it with every check on: a fault of the emulator, `wrong numbers`, `bank conflicts`, `compiler` or
    /// `nothing`.
    caught: String,
    /// Of a mutant that nothing catches: why.
    because: Option<String>,
    /// The file that it comes from, for messages.
    #[serde(skip)]
    file: String,
}

/// What came of each run, in the order of [`RUNS`].
type Outcomes = [&'static str; RUNS.len()];

/// By name of the mutant.
type Results = Arc<Mutex<BTreeMap<String, Outcomes>>>;

fn main() -> ExitCode {
    let mutants = Arc::new(mutants());
    let results = Results::default();
    let mut trials = vec![Trial::test("the table in docs/testing.md lists the mutants", {
        let mutants = mutants.clone();
        move || table_is_fresh(&mutants)
    })];
    match Search::run().into_result() {
        Ok(nvrtc) => {
            let compiler =
                || Compiler::with(nvrtc.clone(), Cache::at(concat!(env!("CARGO_TARGET_TMPDIR"), "/kernels")));
            let (whole, compiler) = (Arc::new(compiler()), Arc::new(compiler().without_machine_code()));
            let cases: BTreeMap<String, AnyCase> =
                corpus::all().into_iter().map(|case| (case.name().to_owned(), case)).collect();
            for mutant in mutants.iter() {
                assert!(cases.contains_key(&mutant.case), "{}: the corpus has no case {}", mutant.name, mutant.case);
            }
            for (name, target, heaviest_first) in mutants.iter().map(Mutant::original).collect::<BTreeSet<_>>() {
                let (case, compiler, of) = (cases[name].clone(), whole.clone(), target.to_owned());
                let listed = if heaviest_first { ", heaviest tiles first" } else { "" };
                let run = move || unchanged(&case, &of, order(heaviest_first), &compiler);
                trials.push(Trial::test(format!("unchanged kernels of {name} for {target}{listed}"), run));
            }
            for mutant in mutants.iter().cloned() {
                // Half the time, for what runs on the emulator alone; only ptxas sees that products wait for each other.
                let compiler = if mutant.caught == "compiler" { &whole } else { &compiler };
                let (case, compiler, results) = (cases[&mutant.case].clone(), compiler.clone(), results.clone());
                trials.push(Trial::test(mutant.name.clone(), move || changed(&mutant, &case, &compiler, &results)));
            }
        }
        Err(error) => trials.push(Trial::test("libnvrtc is found", move || {
            Err(format!("{error}\nhelp: `cargo xtask test` installs it").into())
        })),
    }
    let conclusion = libtest_mimic::run(&Arguments::from_args(), trials);
    let results = results.lock().unwrap();
    if is_blessing() && results.len() == mutants.len() {
        let (before, _, after) = document();
        let table = table(&mutants, &rows(&mutants, &results));
        fs::write(document_path(), format!("{before}{}{table}{}{after}", MARKS.0, MARKS.1)).unwrap();
    }
    conclusion.exit_code()
}

/// The kernels of a case as they are generated: what catches a mutant must not catch them.
fn unchanged(case: &AnyCase, target: &str, order: TileOrder, compiler: &Arc<Compiler>) -> Result<(), Failed> {
    let outcomes = run(case, emulators(target, order, compiler)?)?;
    match RUNS.iter().zip(&outcomes).find(|(_, outcome)| outcome.name != NOTHING) {
        Some(((name, ..), outcome)) => Err(format!("{name}: {}", outcome.report).into()),
        None => Ok(()),
    }
}

fn changed(mutant: &Mutant, case: &AnyCase, compiler: &Arc<Compiler>, results: &Results) -> Result<(), Failed> {
    let (kernel, strategy) = mutant.kernel(case)?;
    let outcomes = match compiler.compile(&kernel, &strategy) {
        Ok(_) => {
            let emulators = emulators(&mutant.target, order(mutant.heaviest_first), compiler)?;
            run(case, emulators.map(|emulator| emulator.with_text(mutant.room, &*kernel.source)))?
        }
        Err(error) if error.kind() == ErrorKind::Compile || is_serialised(&error) => {
            RUNS.map(|_| Outcome { name: "compiler", report: error.to_string() })
        }
        Err(error) => return Err(error.into()),
    };
    let report = |((name, ..), outcome): (&(&str, _, _), &Outcome)| format!("{name}: {}", outcome.report);
    let reports = RUNS.iter().zip(&outcomes).map(report).collect::<Vec<_>>().join("\n");
    if std::env::var_os("MUTANTS_SHOW").is_some() {
        println!("== {}\n{reports}", mutant.name);
    }
    let outcomes = outcomes.map(|outcome| outcome.name);
    let row = mutant.row(&outcomes);
    let caught = outcomes[0];
    results.lock().unwrap().insert(mutant.name.clone(), outcomes);
    if caught != mutant.caught {
        return Err(
            format!("{caught} caught it, tests/mutants/{} expects {}\n{reports}", mutant.file, mutant.caught).into()
        );
    }
    if !is_blessing() && !document().1.contains(&row) {
        return Err(format!("docs/testing.md does not say so: `cargo xtask bless`\n{row}\n{reports}").into());
    }
    Ok(())
}

/// Whether ptxas says of a product of a warpgroup that it must wait where the text does not: no kernel of ours may run so.
fn is_serialised(error: &Error) -> bool {
    matches!(error.downcast_ref(), Some(QualityError::Serialised { .. }))
}

/// In which order attention takes its tiles.
fn order(heaviest_first: bool) -> TileOrder {
    if heaviest_first { TileOrder::HeaviestFirst } else { TileOrder::Grid }
}

impl Mutant {
    /// What is edited: the kernels of a case for a target, in an order of tiles.
    fn original(&self) -> (&str, &str, bool) {
        (&self.case, &self.target, self.heaviest_first)
    }

    /// The edited kernel and the name of its strategy.
    fn kernel(&self, case: &AnyCase) -> Result<(Kernel, String), Failed> {
        let wanted = match case {
            AnyCase::Attention(case) => wanted_by_case(case, self.room)?,
            AnyCase::Projection(case) => wanted_by_projection(case),
        };
        let wanted = Wanted { order: order(self.heaviest_first), ..wanted };
        let target = Target::parse(&self.target)?;
        let mut kernel = wanted.generate(target).ok_or("the code generator has no such kernel")?;
        let found = kernel.source.matches(&self.old).count();
        if found != 1 {
            return Err(format!(
                "its old text occurs {found} times in {kernel} of case {case}, and must occur once:\n{old}\n\
                 help: a template changed. Find what does now what that text did, with \
                 `SPARSYM_DUMP=cuda` or in tests/snapshots, and make the same mistake there: `old` and `new` in \
                 tests/mutants/{file}. If nothing does it any more, remove the mutant",
                kernel = kernel.name,
                case = case.name(),
                old = self.old,
                file = self.file,
            )
            .into());
        }
        let allowed = if self.leaves_unused { "#pragma nv_diag_suppress 177\n" } else { "" };
        kernel.replace_source(format!("{allowed}{}", kernel.source.replace(&self.old, &self.new)));
        Ok((kernel, wanted.strategy.snake_name()))
    }

    /// Its line of the table.
    fn row(&self, outcomes: &Outcomes) -> String {
        let Mutant { name, breaks, case, .. } = self;
        format!("| `{name}` | {breaks} | `{case}` | {} |\n", outcomes.join(" | "))
    }
}

/// How a run ended.
struct Outcome {
    /// A fault of the emulator, `wrong numbers`, `bank conflicts`, `compiler` or `nothing`.
    name: &'static str,
    /// All of it.
    report: String,
}

/// Runs a case in bf16.
fn run(case: &AnyCase, emulators: [Emulator; RUNS.len()]) -> Result<[Outcome; RUNS.len()], Failed> {
    let mut case = case.clone();
    match &mut case {
        AnyCase::Attention(case) => case.dtypes = vec![DType::Bf16],
        AnyCase::Projection(case) => case.dtypes = vec![DType::Bf16],
    }
    let columns = emulators.map(|emulator| Column { name: TARGET.to_owned(), device: Arc::new(emulator) });
    let mut outcomes = Vec::new();
    for report in case.run(&columns) {
        let (name, report) = match report.verdict {
            Verdict::Passed { .. } => (NOTHING, "all is right".to_owned()),
            Verdict::Failed { reason, found_by: FoundBy::Trap(name) } => (name, reason),
            Verdict::Failed { reason, found_by: FoundBy::Comparison } => ("wrong numbers", reason),
            Verdict::Failed { reason, found_by: FoundBy::Conflicts } => ("bank conflicts", reason),
            Verdict::Failed { reason, found_by: FoundBy::Error } | Verdict::NotRun { reason } => {
                return Err(reason.into());
            }
        };
        outcomes.push(Outcome { name, report });
    }
    outcomes.try_into().map_err(|_| "one element type, one report for each run".into())
}

/// A device for each way to run.
fn emulators(target: &str, order: TileOrder, compiler: &Arc<Compiler>) -> Result<[Emulator; RUNS.len()], Failed> {
    let target = Target::parse(target)?;
    let open = |(_, checks, copies): (&str, _, _)| -> Result<Emulator, Error> {
        // One thread, so that what a race leaves behind is the same every time; the trials are parallel anyway.
        let options = Options { checks, copies, threads: 1, limit: MOST_INSTRUCTIONS, ..Options::default() };
        let emulator = Emulator::open(Settings { target, options, ..Settings::default() })?;
        Ok(emulator.with_compiler(compiler.clone()).with_tile_order(order))
    };
    let [a, b, c, d] = RUNS;
    Ok([open(a)?, open(b)?, open(c)?, open(d)?])
}

fn mutants() -> Vec<Mutant> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        mutant: Vec<Mutant>,
    }
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mutants");
    let mut paths: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let mut out = Vec::new();
    for path in paths {
        let file = path.file_name().unwrap().to_string_lossy().into_owned();
        let parsed: File = toml::from_str(&fs::read_to_string(&path).unwrap())
            .unwrap_or_else(|error| panic!("tests/mutants/{file}: {error}"));
        out.extend(parsed.mutant.into_iter().map(|mutant| Mutant { file: file.clone(), ..mutant }));
    }
    let names: BTreeSet<&str> = out.iter().map(|mutant| &*mutant.name).collect();
    assert_eq!(names.len(), out.len(), "two mutants of one name");
    for mutant in &out {
        assert_eq!(
            mutant.caught == NOTHING,
            mutant.because.is_some(),
            "{}: `because` says why {NOTHING} catches it",
            mutant.name
        );
    }
    out
}

fn usual_target() -> String {
    TARGET.to_owned()
}

fn attention() -> Room {
    Room::Attention
}

/// Whether the tests may rewrite what they compare with.
fn is_blessing() -> bool {
    std::env::var_os("BLESS").is_some()
}

/// Each row is compared where its mutant runs; here the list, the sums and the reasons.
fn table_is_fresh(mutants: &[Mutant]) -> Result<(), Failed> {
    let found = document().1;
    let rows: Vec<String> =
        found.lines().filter(|line| line.starts_with("| `")).map(|line| format!("{line}\n")).collect();
    if is_blessing() || found == table(mutants, &rows) {
        return Ok(());
    }
    Err("docs/testing.md is stale: `cargo xtask bless`".into())
}

fn rows(mutants: &[Mutant], results: &BTreeMap<String, Outcomes>) -> Vec<String> {
    mutants.iter().map(|mutant| mutant.row(&results[&mutant.name])).collect()
}

/// The part of docs/testing.md that is made here.
fn table(mutants: &[Mutant], rows: &[String]) -> String {
    let names: Vec<&str> = rows.iter().filter_map(|row| row.split('`').nth(1)).collect();
    let wanted: Vec<&str> = mutants.iter().map(|mutant| &*mutant.name).collect();
    if names != wanted {
        return String::new();
    }
    let caught_by = |what: &str| mutants.iter().filter(|mutant| mutant.caught == what).count();
    let [nothing, numbers, conflicts, compiler] =
        [NOTHING, "wrong numbers", "bank conflicts", "compiler"].map(caught_by);
    let traps = mutants.len() - nothing - numbers - conflicts - compiler;
    // After name, bug and case, two cells of the runs with checks and two without.
    let is_silent = |row: &&String| row.split(" | ").skip(5).any(|cell| cell.trim_end_matches(" |\n") == NOTHING);
    let silent = rows.iter().filter(is_silent).count() - nothing;
    let mut out = format!(
        "{} planted bugs: {traps} are stopped by a trap, {numbers} give wrong numbers, {compiler} do not compile, \
         bank conflicts give {conflicts} away, {nothing} are not caught. Of those that are caught, {silent} can pass unnoticed without the checks, as they may on a GPU.\n\n\
         | mutant | bug | case | {} |\n|---|---|---|{}\n",
        mutants.len(),
        RUNS.map(|(name, ..)| name).join(" | "),
        "---|".repeat(RUNS.len()),
    );
    out.extend(rows.iter().map(String::as_str));
    out.push_str("\nNot caught, and why:\n\n");
    for mutant in mutants {
        if let Some(because) = &mutant.because {
            let _ = writeln!(out, "- `{}`: {because}.", mutant.name);
        }
    }
    out
}

/// docs/testing.md before, inside and after the marks.
fn document() -> (String, String, String) {
    let text = fs::read_to_string(document_path()).unwrap();
    let (before, rest) = text.split_once(MARKS.0).expect("docs/testing.md has the mark where the table begins");
    let (table, after) = rest.split_once(MARKS.1).expect("docs/testing.md has the mark where the table ends");
    (before.to_owned(), table.to_owned(), after.to_owned())
}

fn document_path() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/testing.md")
}
