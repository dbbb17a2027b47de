//! Machine code of the kernels with roles, looked at without a GPU: does the hot loop hold what its plan asks for and
//! nothing that makes it slow?
//!
//! Every kernel of the corpus with products of a warpgroup is compiled and disassembled. Its innermost loops with products
//! must have, once around on the usual way, exactly the products, fences and waits that follow from the plan, and at least
//! its exponentials; no local memory; at most so many instructions as `gates.rs` allows and `budgets.tsv` has it written
//! down. Roles must fit the registers of the CTA. That there is no stack and no spill is asked too, and ptxas must not have
//! serialised products. `BLESS=1` rewrites the budgets.
//!
//! In a run of all tests only dense and causal attention and projections at D 128 in bf16 are looked at, for the time's sake.
//! Ends with a table, which `cargo xtask sass` is for: it looks at all of them; with `SPARSYM_SASS_TARGET=sm_80` that of another target, whose
//! kernels have no such plan: they are counted and not judged. Without a disassembler it says that it did not run.

mod budgets;
mod examples;
mod flow;
mod gates;
mod listing;

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::sync::{Arc, Mutex};

use comfy_table::{Table, presets};
use libtest_mimic::{Arguments, Failed, Trial};
use sparsym::kernel::cache::Cache;
use sparsym::kernel::nvrtc::{Search, Source, log};
use sparsym::kernel::{Compiler, Room, Target};
use sparsym_tests::kernels::{self, Generated};

use budgets::Budgets;
use gates::{Counts, Step};
use listing::Disassembler;

/// Chooses another target than the one that has kernels with roles.
const TARGET_VARIABLE: &str = "SPARSYM_SASS_TARGET";
/// Looks at every kernel; otherwise, if nothing is filtered or blessed, at those of [`ALWAYS`], as time is short.
const ALL_VARIABLE: &str = "SPARSYM_SASS_ALL";
/// What a change of the templates shows in first: with and without a mask and a list, at D 128.
const ALWAYS: [&str; 2] = ["dense/", "causal/"];
/// The target of kernels with roles.
const WITH_ROLES: &str = "sm_90a";
/// Registers and threads of an SM, and shared memory that it keeps for itself for each CTA.
const SM: (u32, u32, u32) = (65536, 2048, 1024);

/// Of a kernel, for the table.
struct Row {
    registers: u32,
    spills: u32,
    shared_bytes: u32,
    ctas: u32,
    loops: Vec<Counts>,
}

/// By name of the kernel.
type Rows = Arc<Mutex<BTreeMap<String, Row>>>;

/// What all trials share.
struct Tools {
    compiler: Compiler,
    disassembler: Disassembler,
    target: Target,
    budgets: Budgets,
    rows: Rows,
}

fn main() -> ExitCode {
    let arguments = Arguments::from_args();
    let mut trials = examples::trials();
    let rows = Rows::default();
    let tools = tools(rows.clone()).map(Arc::new);
    match &tools {
        Ok(tools) => {
            let asked = [ALL_VARIABLE, TARGET_VARIABLE, "BLESS"].iter().any(|name| std::env::var_os(name).is_some());
            let all = asked || arguments.filter.is_some();
            let (now, later): (Vec<Trial>, Vec<Trial>) = kernel_trials(tools).into_iter().partition(|trial| {
                all || trial.name().contains("_d128_bf16") && ALWAYS.iter().any(|first| trial.name().starts_with(first))
            });
            trials.extend(now);
            if !later.is_empty() {
                let name = format!("{} other kernels: `cargo xtask sass` looks at them", later.len());
                trials.push(Trial::test(name, || Ok(())).with_ignored_flag(true));
            }
        }
        // Shown as ignored with the reason beside it, so that nobody takes it for green.
        Err(reason) => {
            let name = format!("machine code not looked at: {reason}");
            trials.push(Trial::test(name, || Ok(())).with_ignored_flag(true));
        }
    }
    let conclusion = libtest_mimic::run(&arguments, trials);
    let rows = rows.lock().unwrap();
    if !rows.is_empty() {
        println!("{}", table(&rows));
    }
    if let (Ok(tools), None) = (&tools, &arguments.filter) {
        tools.budgets.bless();
    }
    conclusion.exit_code()
}

fn tools(rows: Rows) -> Result<Tools, String> {
    let disassembler = Disassembler::find()?;
    let nvrtc = Search::run().into_result().map_err(|error| error.to_string())?;
    let named = std::env::var(TARGET_VARIABLE).unwrap_or_else(|_| WITH_ROLES.to_owned());
    let target = Target::parse(&named).map_err(|error| format!("{TARGET_VARIABLE}: {error}"))?;
    // Shared with compile_all, which has compiled these kernels.
    let compiler = Compiler::with(nvrtc, Cache::at(concat!(env!("CARGO_TARGET_TMPDIR"), "/kernels")));
    Ok(Tools { compiler, disassembler, target, budgets: Budgets::read(), rows })
}

fn kernel_trials(tools: &Arc<Tools>) -> Vec<Trial> {
    let mut trials = Vec::new();
    let judges = tools.target.name() == WITH_ROLES;
    for generated in kernels::generated(tools.target) {
        let has_products = generated.wanted.room != Room::Symbols;
        let has_roles = Step::of(&generated.kernel.plan).is_some();
        if if judges { has_roles } else { has_products } {
            let tools = tools.clone();
            trials.push(Trial::test(label(&generated), move || look(&tools, &generated)));
        }
    }
    if judges {
        for (name, entry, text, step) in handwritten() {
            let tools = tools.clone();
            trials.push(Trial::test(format!("tests/hopper/{name}"), move || look_at_text(&tools, entry, &text, &step)));
        }
    }
    trials
}

/// One name for one text: the kernel's own, what its name leaves out, and the strategy that asked for it first.
fn label(generated: &Generated) -> String {
    let Generated { strategy, wanted, kernel } = generated;
    format!("{strategy}/{} {}x{}", kernel.plan.name, wanted.blocks.q, wanted.blocks.kv)
}

fn look(tools: &Tools, generated: &Generated) -> Result<(), Failed> {
    let name = label(generated);
    let (kernel, compiled) = tools.compiler.fitting(&generated.wanted.request(tools.target), &generated.strategy)?;
    let step = Step::of(&kernel.plan);
    let mut wrong = Vec::new();
    if let Some(note) = log::slow_notes(&compiled.image.log).first() {
        wrong.push((*note).to_owned());
    }
    for function in tools.disassembler.functions(&compiled.image.cubin)? {
        let Some(launch) = kernel.launches.iter().find(|launch| launch.entry == function.name) else { continue };
        let Some(resources) = compiled.image.resources.get(&function.name) else { continue };
        let spills = resources.spill_stores + resources.spill_loads;
        if spills + resources.stack > 0 && step.is_some() {
            wrong.push(format!("{spills} bytes of spills, {} bytes of stack", resources.stack));
        }
        let loops = Counts::of(&function)?;
        if launch.entry != kernel.launches.last().map_or("", |last| &last.entry) {
            continue; // a list of tiles
        }
        if let Some(step) = &step {
            wrong.extend(gates::broken(&function, &loops, step, launch.threads, resources.registers)?);
            wrong.extend(tools.budgets.exceeded(&name, &loops));
        }
        let row = Row {
            registers: resources.registers,
            spills,
            shared_bytes: launch.shared_bytes + resources.shared_bytes,
            ctas: ctas_per_sm(tools.target, launch.threads, resources.registers, launch.shared_bytes),
            loops,
        };
        tools.rows.lock().unwrap().insert(name.clone(), row);
    }
    verdict(wrong)
}

/// The two kernels of tests/hopper, written by hand, with what their loops must have.
fn handwritten() -> [(&'static str, &'static str, String, Step); 2] {
    // Each uses a part of the file that they share.
    let ptx = format!("#pragma nv_diag_suppress 177\n{}", include_str!("../hopper/ptx/hopper.cuh"));
    let [attention, gemm] =
        [include_str!("../hopper/attention.cu"), include_str!("../hopper/gemm.cu")].map(|own| format!("{ptx}{own}"));
    [
        ("attention", "attention_d128_bf16", attention, Step::of_attention(128, 128)),
        ("gemm", "gemm_bf16", gemm, Step::of_gemm(64)),
    ]
}

fn look_at_text(tools: &Tools, entry: &str, text: &str, step: &Step) -> Result<(), Failed> {
    const THREADS: u32 = 384;
    let source = Source { name: entry, strategy: "tests/hopper", text, target: WITH_ROLES, template: &|_| None };
    let compiled = tools.compiler.compile_text(&source)?;
    let functions = tools.disassembler.functions(&compiled.image.cubin)?;
    let function = functions.iter().find(|function| function.name == entry).ok_or("its function is not there")?;
    let registers = compiled.image.resources[entry].registers;
    verdict(gates::broken(function, &Counts::of(function)?, step, THREADS, registers)?)
}

fn verdict(wrong: Vec<String>) -> Result<(), Failed> {
    if wrong.is_empty() { Ok(()) } else { Err(wrong.join("\n").into()) }
}

/// CTAs that an SM has room for.
fn ctas_per_sm(target: Target, threads: u32, registers: u32, shared_bytes: u32) -> u32 {
    let (all_registers, all_threads, system) = SM;
    let of_registers = all_registers / (registers.next_multiple_of(8) * threads.next_multiple_of(32));
    let of_shared = (target.shared_bytes() + system) / (shared_bytes + system);
    of_registers.min(of_shared).min(all_threads / threads)
}

fn table(rows: &BTreeMap<String, Row>) -> Table {
    let mut table = Table::new();
    table.load_style(presets::ASCII_MARKDOWN);
    table.set_header([
        "kernel",
        "registers",
        "spills, B",
        "shared, B",
        "CTAs an SM",
        "products",
        "instructions",
        "a product",
    ]);
    for (name, row) in rows {
        let each = |of: &dyn Fn(&Counts) -> String| row.loops.iter().map(of).collect::<Vec<_>>().join(" / ");
        table.add_row([
            name.clone(),
            row.registers.to_string(),
            row.spills.to_string(),
            row.shared_bytes.to_string(),
            row.ctas.to_string(),
            each(&|counts| counts.products.to_string()),
            each(&|counts| counts.instructions.to_string()),
            each(&|counts| format!("{:.1}", counts.instructions as f64 / counts.products.max(1) as f64)),
        ]);
    }
    table
}
