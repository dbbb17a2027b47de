//! `cargo run --release -p sparsym-mm-dit -- --help`

use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use comfy_table::{CellAlignment, Table, presets::NOTHING};
use sparsym::engine::{Copied, Engine, LayerState, StepKind};
use sparsym::ir::strategy::{Scalar, Value};
use sparsym::ir::{Bindings, Strategy};
use sparsym::{device, zoo};
use sparsym_mm_dit::count::{self, Machine, ROOMS, StepWork, Work};
use sparsym_mm_dit::{Block, BlockWeights, Inputs, Shape};

/// Runs an MM-DiT block through denoising steps, and counts what larger ones would compute with the same symbols.
#[derive(Parser)]
struct Args {
    /// Device: reference, cpu, emulator or cuda.
    #[arg(long, default_value = "cpu")]
    device: String,
    /// Zoo strategies to run.
    #[arg(long, value_delimiter = ',', default_value = "flash_omni,taylor_seer,window")]
    strategy: Vec<String>,
    /// Denoising steps.
    #[arg(long, default_value_t = 20)]
    steps: u32,
    /// The shape that is run: small, medium, flux_1k, flux_2k or hunyuan; the last three want a GPU.
    #[arg(long, default_value = "medium")]
    shape: String,
    /// Params as NAME=VALUE, for strategies that have them.
    #[arg(long)]
    set: Vec<String>,
}

fn main() -> Result<()> {
    let args = Args::parse();
    let mut shapes = Shape::TO_RUN.into_iter().chain(Shape::TO_COUNT);
    let shape = shapes.find(|shape| shape.name == args.shape).context("no such shape")?;
    let engine = Engine::new(Arc::from(device::open(&args.device)?))?;
    let (start, dtype) = (Instant::now(), engine.finest_dtype());
    let weights = BlockWeights::random(&engine, &shape, dtype, 1)?;
    let model = Model { engine: &engine, shape, weights: &weights, inputs: Inputs::new(&engine, &shape, 2, dtype)? };
    println!(
        "weights and inputs made and placed in {:.2} s, {}",
        start.elapsed().as_secs_f64(),
        crossed(engine.copied())
    );
    let dense = run(&model, &Strategy::dense(), &Bindings::default(), args.steps)?;
    println!("dense on {}, {}: {}", engine.device(), shape.name, measured(dense.ms, dense.ms));
    println!("{}", dense.time);
    for name in &args.strategy {
        let entry = zoo::find(name).with_context(|| format!("the zoo has no {name}"))?;
        let (strategy, mut bindings) = (&entry.strategy, entry.defaults.clone());
        args.set.iter().try_for_each(|setting| set(strategy, &mut bindings, setting))?;
        let Run { steps, ms, time, table, memory, schedule } = run(&model, strategy, &bindings, args.steps)?;
        println!("\n{} on {}, {}: {schedule}", strategy.name, engine.device(), shape.name);
        println!("{memory}\n\n{table}\n\nShares of a dense step's work; symbols have none there.");
        println!("\nmeasured, both layers: {}\n{time}", measured(ms, dense.ms));
        for shape in &Shape::TO_COUNT {
            totals(shape, &steps);
        }
    }
    Ok(())
}

/// What all loops run.
struct Model<'a> {
    engine: &'a Engine,
    shape: Shape,
    weights: &'a BlockWeights,
    inputs: Inputs,
}

/// What a loop did.
struct Run {
    /// Work of the double-stream layer, step by step.
    steps: Vec<StepWork>,
    /// Milliseconds of the rooms of both layers.
    ms: [f64; 4],
    /// Of the clock on the wall, and who had it.
    time: String,
    table: Table,
    memory: String,
    schedule: String,
}

/// Runs the loop.
fn run(model: &Model<'_>, strategy: &Strategy, bindings: &Bindings, steps: u32) -> Result<Run> {
    let &Model { engine, shape, weights, ref inputs } = model;
    let start = Instant::now();
    let block = Block::new(engine, shape, weights, strategy, bindings, steps)?;
    let (mut state, outputs) = (block.state()?, block.outputs()?);
    let made = start.elapsed().as_secs_f64();
    let [double, single] = state.layers().map(LayerState::bytes);
    let memory = format!("state {double} + {single} B, workspace {} B", engine.workspace_bytes());
    let mut table = table(&["step", "kind", "order", "S_c", "S_s∧S_c", "gemm_q", "symbols", "attention", "gemm_o"]);
    let (mut works, mut ms, mut sums, mut wall, mut copied) = (Vec::new(), [0.0; 4], 0.0, 0.0, Copied::default());
    for step in 0..steps {
        let (start, before) = (Instant::now(), engine.copied());
        let (x, mixing) = inputs.at(step, steps)?;
        let done = block.step_on_device(step, x, [&outputs[0], &outputs[1]], &mut state)?;
        wall += start.elapsed().as_secs_f64();
        let Copied { to_device, to_host } = engine.copied() - before;
        (copied.to_device, copied.to_host) = (copied.to_device + to_device, copied.to_host + to_host);
        sums += mixing + done.sums;
        for report in &done.layers {
            ms.iter_mut().zip(&report.rooms).for_each(|(ms, room)| *ms += room.ms);
        }
        let report = &done.layers[0];
        let planned = block.double().schedule().at(step).context("a step of the run")?;
        let work = step_work(&block, state.layers()[0], report.kind, planned.order)?;
        let dense = count::step(&shape, &StepWork { kind: StepKind::Dense, ..work });
        let computed = count::step(&shape, &work).into_iter().zip(dense);
        let shares = computed.map(|(work, dense)| percent(work.flops / dense.flops));
        let order = report.order.map_or("–".to_owned(), |order| order.to_string());
        let kind = format!("{:?}", report.kind);
        let densities = [work.density_c, work.density_s].map(percent);
        table.add_row([step.to_string(), kind, order].into_iter().chain(densities).chain(shares));
        works.push(work);
    }
    let kernels = (ms.iter().sum::<f64>() + sums) / 1e3;
    let time = format!(
        "steps took {wall:.3} s: rooms {:.3} s, inputs and residuals {:.3} s, host {:.3} s; {}; prepared in {made:.2} s",
        kernels - sums / 1e3,
        sums / 1e3,
        wall - kernels,
        crossed(copied)
    );
    Ok(Run { steps: works, ms, time, table, memory, schedule: block.double().schedule().to_string() })
}

fn crossed(Copied { to_device, to_host }: Copied) -> String {
    format!("copied {:.2} MB to the device and {:.2} MB back", to_device as f64 / 1e6, to_host as f64 / 1e6)
}

/// Milliseconds of each room, and their share of a dense run's.
fn measured(ms: [f64; 4], dense: [f64; 4]) -> String {
    let (all, all_dense) = (ms.iter().sum::<f64>(), dense.iter().sum::<f64>());
    let rooms = ROOMS.iter().zip(ms.iter().zip(dense));
    let mut words: Vec<String> =
        rooms.map(|(room, (ms, dense))| format!("{room} {ms:.2} ms ({})", percent(ms / dense))).collect();
    words[1] = format!("{} {:.2} ms", ROOMS[1], ms[1]); // a dense run has none
    words.push(format!("all {all:.2} ms ({})", percent(all / all_dense)));
    words.join(", ")
}

fn step_work(block: &Block<'_>, state: &LayerState, kind: StepKind, order: Option<u32>) -> Result<StepWork> {
    let reads_data = block.double().strategy().reads_data();
    let (mut density_c, mut density_s) = (1.0, 1.0);
    if let Some(symbols) = state.symbols().filter(|_| kind != StepKind::Dense) {
        let symbols = symbols.read(block.double().problem())?;
        density_c = symbols.cache.density();
        density_s = if kind == StepKind::Update { symbols.skip.density() } else { symbols.density() };
    }
    let order = order.filter(|_| block.double().strategy().caches());
    Ok(StepWork { kind, order, density_c, density_s, reads_data })
}

/// Prints work and modelled time of a whole run against a dense one.
fn totals(shape: &Shape, steps: &[StepWork]) {
    let machine = Machine::H100;
    let mut table = table(&["room", "TFLOP", "dense", "share", "ms", "dense", "share"]);
    let mut all = [0.0; 4];
    for (room, name) in ROOMS.iter().enumerate() {
        let sum = |works: &dyn Fn(&StepWork) -> Work| {
            let (mut total, mut seconds) = (Work::default(), 0.0);
            for work in steps.iter().map(works) {
                total += work;
                seconds += machine.seconds(room, work);
            }
            [total.flops / 1e12, seconds * 1e3]
        };
        let [flops, ms] = sum(&|work| count::step(shape, work)[room]);
        let [dense_flops, dense_ms] =
            sum(&|work| count::step(shape, &StepWork { kind: StepKind::Dense, order: None, ..*work })[room]);
        let numbers = [flops, dense_flops, ms, dense_ms];
        all.iter_mut().zip(numbers).for_each(|(all, number)| *all += number);
        table.add_row(row(name, numbers));
    }
    table.add_row(row("layer", all));
    println!("\n{}, {} steps, modelled for {}:\n{table}", shape.name, steps.len(), machine.name);
}

fn row(name: &str, [flops, dense_flops, ms, dense_ms]: [f64; 4]) -> [String; 7] {
    let number = |value: f64| format!("{value:.2}");
    [
        name.to_owned(),
        number(flops),
        number(dense_flops),
        percent(flops / dense_flops),
        number(ms),
        number(dense_ms),
        percent(ms / dense_ms),
    ]
}

fn percent(share: f64) -> String {
    if share.is_finite() { format!("{:.1} %", share * 100.0) } else { "–".to_owned() }
}

fn table(header: &[&str]) -> Table {
    let mut table = Table::new();
    table.load_style(NOTHING).set_header(header);
    table.column_iter_mut().skip(1).for_each(|column| column.set_cell_alignment(CellAlignment::Right));
    table
}

fn set(strategy: &Strategy, bindings: &mut Bindings, setting: &str) -> Result<()> {
    let (name, value) = setting.split_once('=').context("params are NAME=VALUE")?;
    let Some(at) = strategy.params.iter().position(|param| param.name == name) else { return Ok(()) };
    let param = &strategy.params[at];
    let number = match param.scalar {
        Scalar::Bool => Value::Bool(value.parse()?),
        Scalar::U32 | Scalar::I32 => Value::Int(value.parse()?),
        Scalar::F32 => Value::Float(value.parse()?),
    };
    param.check(number)?;
    bindings.params[at] = number;
    Ok(())
}
