//! Every kernel of the corpus compiles for every target, without spills and without a stack; for sm_89 those that are not
//! sm_80's.
//!
//! Ends with a table of registers and compile times. With `SPARSYM_COMPILE_REPORT` set to a file, the same goes there as
//! lines of kernel, tab, result: `cargo xtask nvrtc-matrix` reads them. With `SPARSYM_COMPILE_SPILLS=told` spills and stacks
//! are in the report and fail nothing: for compilers that are taken and not tuned for.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use comfy_table::{Table, presets};
use libtest_mimic::{Arguments, Failed, Trial};
use sparsym::kernel::cache::Cache;
use sparsym::kernel::nvrtc::{Image, QualityError, Resources, Search};
use sparsym::kernel::{Compiler, Kernel, Target};
use sparsym_tests::kernels::{self, Generated, Wanted};

/// Strategies whose rules ask for more registers than the fastest plan leaves, which no table could know.
const ROOMY: [&str; 1] = ["roomy"];
/// With the compiler for which the table of tiles was made all others fit the first plan.
const PINNED: (u32, u32) = (13, 0);

/// Result of a compilation by kernel and target.
type Results = Arc<Mutex<BTreeMap<String, BTreeMap<&'static str, Outcome>>>>;

/// What a compilation gave.
struct Outcome {
    /// Registers, PTX version, or what went wrong.
    words: String,
    /// Plans that spilled before this one.
    fit: usize,
    /// Milliseconds; from the cache if this kernel was compiled before.
    compile_ms: f64,
}

fn main() -> ExitCode {
    let results = Results::default();
    let mut trials = Vec::new();
    match Search::run().into_result() {
        // Kernels of an earlier run are not compiled again: the cache's key is the text, the options and the compiler.
        Ok(nvrtc) => {
            let compiler = Arc::new(Compiler::with(nvrtc, Cache::at(concat!(env!("CARGO_TARGET_TMPDIR"), "/kernels"))));
            for name in kernels::TARGETS {
                let target = Target::parse(name).expect("the targets of the corpus are known");
                for generated in kernels::to_compile(target) {
                    trials.push(trial(target, generated, compiler.clone(), results.clone()));
                }
            }
        }
        Err(error) => trials.push(Trial::test("libnvrtc is found", move || {
            Err(format!("{error}\nhelp: `cargo xtask test` installs it").into())
        })),
    }
    let mut arguments = Arguments::from_args();
    // NVRTC compiles two kernels at once as fast as one; more only take memory.
    arguments.test_threads = arguments.test_threads.or(Some(2));
    let listing = arguments.list;
    let conclusion = libtest_mimic::run(&arguments, trials);
    if !listing && conclusion.num_passed + conclusion.num_failed > 0 {
        show(&results.lock().unwrap());
    }
    conclusion.exit_code()
}

fn trial(target: Target, generated: Generated, compiler: Arc<Compiler>, results: Results) -> Trial {
    let Generated { strategy, wanted, kernel } = generated;
    let name = label(&strategy, &wanted, &kernel);
    Trial::test(format!("{name} {}", target.name()), move || {
        let fitting = (0..).map_while(|fit| Some((fit, wanted.fitting(target, fit)?)));
        let mut last = None;
        for (fit, kernel) in fitting {
            let compiled = compiler.compile(&kernel, &strategy);
            let spills = match &compiled {
                Ok(compiled) => compiled.image.spills().is_some(),
                Err(error) => error.downcast_ref::<QualityError>().is_some(),
            };
            last = Some((fit, compiled));
            if !spills {
                break;
            }
        }
        let (fit, compiled) = last.ok_or("there is no kernel")?;
        let (outcome, verdict) = match &compiled {
            Ok(compiled) => judge(&compiled.image, fit),
            Err(error) => {
                let words = error.to_string().lines().next().unwrap_or_default().to_owned();
                (Outcome { words, fit, compile_ms: 0.0 }, Err(Failed::from(error)))
            }
        };
        results.lock().unwrap().entry(name).or_default().insert(target.name(), outcome);
        let has_room = fit == 0 || ROOMY.iter().any(|roomy| strategy.starts_with(roomy));
        match compiler.nvrtc().version() {
            PINNED if !has_room => Err(format!("its first {fit} plans spill; correct the table of tiles").into()),
            _ => verdict,
        }
    })
}

fn judge(image: &Image, fit: usize) -> (Outcome, Result<(), Failed>) {
    let ptx = String::from_utf8_lossy(&image.ptx);
    let version = ptx.lines().find_map(|line| line.strip_prefix(".version ")).unwrap_or("?");
    let most = |of: fn(&Resources) -> u32| image.resources.values().map(of).max();
    let Some(registers) = most(|found| found.registers) else {
        let outcome = Outcome { words: "no report".to_owned(), fit, compile_ms: image.compile_ms };
        return (outcome, Err("the compiler reported no registers".into()));
    };
    // Of several functions: the most registers, and whatever one of them spills.
    let spills = most(|found| found.spill_stores + found.spill_loads).unwrap_or(0);
    let words = format!("{registers}\t{spills}\t{version}");
    let told = std::env::var("SPARSYM_COMPILE_SPILLS").is_ok_and(|spills| spills == "told");
    let verdict = match (spills, most(|found| found.stack).unwrap_or(0)) {
        (0, 0) => Ok(()),
        _ if told => Ok(()),
        (spills, stack) => Err(format!("{spills} bytes of spills, {stack} bytes of stack").into()),
    };
    (Outcome { words, fit, compile_ms: image.compile_ms }, verdict)
}

/// One name for one text: the kernel's own, what its name leaves out, and the strategy that asked for it first.
fn label(strategy: &str, wanted: &Wanted, kernel: &Kernel) -> String {
    format!("{strategy}/{} {}x{}", kernel.plan.name, wanted.blocks.q, wanted.blocks.kv)
}

fn show(results: &BTreeMap<String, BTreeMap<&'static str, Outcome>>) {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header(std::iter::once("registers, ms").chain(kernels::TARGETS));
    let mut report = String::new();
    for (kernel, by_target) in results {
        let cell = |target| match by_target.get(target) {
            Some(outcome) => {
                let room = if outcome.fit > 0 { format!(" of fit {}", outcome.fit) } else { String::new() };
                format!("{}{room}, {:.0}", outcome.words.split('\t').next().unwrap(), outcome.compile_ms)
            }
            None => "none".to_owned(),
        };
        table.add_row(std::iter::once(kernel.clone()).chain(kernels::TARGETS.map(cell)));
        for (target, outcome) in by_target {
            let _ = writeln!(report, "{kernel} {target}\t{}", outcome.words);
        }
    }
    println!("{table}");
    let total: f64 = results.values().flat_map(|row| row.values()).map(|outcome| outcome.compile_ms).sum();
    println!("{} kernels, {:.1} s of compilation in all", results.len(), total / 1e3);
    if let Some(file) = std::env::var_os("SPARSYM_COMPILE_REPORT") {
        std::fs::write(&file, report).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    }
}
