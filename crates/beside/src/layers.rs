//! A layer of an MM-DiT block, step by step: dense, and through the intervals of a strategy.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use serde_json::{Value, json};
use sparsym::engine::{Array, Engine, Layer, LayerState, StepKind};
use sparsym::ir::Strategy;
use sparsym::ir::strategy::{Scalar, Value as Number};
use sparsym::ir::{Bindings, DType};
use sparsym::{device, zoo};
use sparsym_cli::Rows;
use sparsym_mm_dit::count::{self, ROOMS, StepWork};
use sparsym_mm_dit::{Block, BlockWeights, Inputs, Shape};

/// Steps of a run: so many that what grows with the share of a run that is over stands still while it is timed.
const STEPS: u32 = 1 << 17;

/// A double-stream layer. Rows: a dense step, its kernels alone, an interval of the strategy, its kernels alone.
#[derive(Parser)]
#[command(name = "layers", no_binary_name = true)]
struct Line {
    /// Device.
    #[arg(long, default_value = "cuda")]
    device: String,
    /// small, medium, flux_1k, flux_2k or hunyuan.
    #[arg(long)]
    shape: String,
    /// Strategy of the zoo, one that has Updates.
    #[arg(long, default_value = "flash_omni")]
    strategy: String,
    /// Params as NAME=VALUE.
    #[arg(long)]
    set: Vec<String>,
    /// Share of the run that is over when the first step is timed.
    #[arg(long, default_value_t = 0.5)]
    at: f64,
}

/// A layer on its way through the steps.
struct Run<'a> {
    layer: &'a Layer<'a>,
    clock: Clock,
    state: LayerState,
    /// Where it starts, and starts again when the run is over.
    first: u32,
    next: u32,
    /// Steps that are timed together.
    steps: u32,
    /// What the rooms took, by kind of step, and how many steps of a kind: of the last steps that were timed together.
    rooms: BTreeMap<String, (u32, [f64; 4])>,
}

/// What is timed.
#[derive(Clone, Copy, PartialEq)]
enum Clock {
    /// Steps that are queued, until the last of them is done.
    Wall,
    /// Steps that are waited for: the time of their kernels alone.
    Kernels,
}

/// The runs, and where they read and write.
struct Layers<'a> {
    engine: &'a Engine,
    x: [&'a Array; 2],
    y: [&'a Array; 2],
    runs: Vec<Run<'a>>,
    description: String,
}

/// Intervals before the first that is timed: a forecast of order 2 rests on three Updates.
const WARM_UP: usize = 3;

/// Makes the rows of a layer and shows them to `visit`; they live until it returns.
///
/// # Errors
/// Arguments that do not fit, or what the engine has against them.
pub fn rows_of_layers(arguments: &[String], visit: &mut dyn FnMut(&mut dyn Rows)) -> Result<(), String> {
    let line = Line::try_parse_from(arguments).map_err(|wrong| wrong.to_string())?;
    show(&line, visit).map_err(|wrong| format!("{wrong:#}"))
}

fn show(line: &Line, visit: &mut dyn FnMut(&mut dyn Rows)) -> Result<()> {
    let mut shapes = Shape::TO_RUN.into_iter().chain(Shape::TO_COUNT);
    let shape = shapes.find(|shape| shape.name == line.shape).context("no such shape")?;
    let engine = Engine::new(Arc::from(device::open(&line.device)?))?;
    // Kernels take f16 as well; models of this kind come in bf16.
    let dtype = if engine.finest_dtype() == DType::F32 { DType::F32 } else { DType::Bf16 };
    let weights = BlockWeights::random(&engine, &shape, dtype, 1)?;
    let inputs = Inputs::new(&engine, &shape, 2, dtype)?;
    let entry = zoo::find(&line.strategy).with_context(|| format!("the zoo has no {}", line.strategy))?;
    let mut bindings = entry.defaults.clone();
    line.set.iter().try_for_each(|setting| set(&entry.strategy, &mut bindings, setting))?;
    let (hurried, dense, none) = (engine.without_waiting(), Strategy::dense(), Bindings::default());
    let mut blocks = Vec::new();
    for (strategy, bindings) in [(&dense, &none), (&entry.strategy, &bindings)] {
        for (clock, engine) in [(Clock::Wall, &hurried), (Clock::Kernels, &engine)] {
            blocks.push((clock, Block::new(engine, shape, &weights, strategy, bindings, STEPS)?));
        }
    }
    let (y, (x, _)) = (blocks[0].1.outputs()?, inputs.at(0, STEPS)?);
    let mut runs = Vec::new();
    for (clock, block) in &blocks {
        let layer = block.double();
        let [first, second] = match layer.strategy().caches() {
            true => updates(layer, (f64::from(STEPS) * line.at) as u32)?,
            false => [0, 1],
        };
        let (state, rooms) = (layer.state()?, BTreeMap::new());
        runs.push(Run { layer, clock: *clock, state, first, next: first, steps: second - first, rooms });
    }
    let mut layers = Layers { engine: &engine, x, y: [&y[0], &y[1]], runs, description: String::new() };
    for run in 0..layers.runs.len() {
        for _ in 0..WARM_UP {
            layers.advance(run)?;
        }
    }
    layers.description = layers.describe(&shape)?.to_string();
    visit(&mut layers);
    Ok(())
}

/// The first two Updates from this step on.
fn updates(layer: &Layer<'_>, from: u32) -> Result<[u32; 2]> {
    let schedule = layer.schedule();
    let is_update = |&step: &u32| schedule.at(step).is_some_and(|planned| planned.kind == StepKind::Update);
    let mut updates = (from..schedule.steps()).filter(is_update);
    let mut next = || updates.next().context("the strategy has no two Updates there");
    Ok([next()?, next()?])
}

impl Layers<'_> {
    /// The next step or interval of a run; milliseconds of its kernels, if somebody waits for them.
    fn advance(&mut self, run: usize) -> Result<f64> {
        let Run { layer, state, first, next, steps, rooms, .. } = &mut self.runs[run];
        if *next + *steps >= layer.schedule().steps() {
            state.reset();
            *next = *first;
        }
        rooms.clear();
        for _ in 0..*steps {
            let report = layer.step(*next, &self.x, &self.y, state)?;
            let (count, ms) = rooms.entry(format!("{:?}", report.kind)).or_default();
            *count += 1;
            ms.iter_mut().zip(&report.rooms).for_each(|(ms, room)| *ms += room.ms);
            *next += 1;
        }
        Ok(rooms.values().flat_map(|(_, ms)| ms).sum())
    }

    fn times(&mut self, run: usize, launches: usize) -> Result<Vec<f64>> {
        let start = Instant::now();
        let kernels = (0..launches).map(|_| self.advance(run)).collect::<Result<Vec<_>>>()?;
        if self.runs[run].clock == Clock::Kernels {
            return Ok(kernels);
        }
        self.engine.wait()?;
        Ok(vec![start.elapsed().as_secs_f64() * 1e3 / launches.max(1) as f64; launches])
    }

    fn describe(&self, shape: &Shape) -> Result<Value> {
        let mut rows = Vec::new();
        for Run { layer, state, first, steps, rooms, .. } in &self.runs {
            let of_kind = |(kind, (count, ms)): (&String, &(u32, [f64; 4]))| {
                let ms = ROOMS.iter().zip(ms.map(|ms| ms / f64::from(*count)));
                json!({ "kind": kind, "ms": ms.collect::<BTreeMap<_, _>>() })
            };
            // S_c, S_s alone, and the pairs that both leave.
            let mut densities = [1.0; 3];
            if let Some(symbols) = state.symbols() {
                let symbols = symbols.read(layer.problem())?;
                densities = [symbols.cache.density(), symbols.skip.density(), symbols.density()];
            }
            rows.push(json!({
                "strategy": layer.strategy().snake_name(), "steps": steps, "density_c": densities[0],
                "density": densities[2], "work": counted(shape, layer, *first, *steps, densities), "text": shape.text, "vision": shape.vision(), "heads": shape.heads,
                "head_dim": shape.head_dim, "width": shape.width,
                "rooms": rooms.iter().map(of_kind).collect::<Vec<_>>(),
            }));
        }
        Ok(rows.into())
    }
}

/// Operations of these steps, over those of as many dense ones.
fn counted(shape: &Shape, layer: &Layer<'_>, first: u32, steps: u32, [c, skipped, both]: [f64; 3]) -> f64 {
    let flops = |work: &StepWork| count::step(shape, work).iter().map(|room| room.flops).sum::<f64>();
    let reads_data = layer.strategy().reads_data();
    let dense = StepWork { kind: StepKind::Dense, order: None, density_c: 1.0, density_s: 1.0, reads_data };
    let planned = (first..first + steps).filter_map(|step| layer.schedule().at(step));
    let of_steps = planned.map(|planned| {
        let order = planned.order.filter(|_| layer.strategy().caches());
        let density_s = if planned.kind == StepKind::Dispatch { both } else { skipped };
        flops(&StepWork { kind: planned.kind, order, density_c: c, density_s, reads_data })
    });
    of_steps.sum::<f64>() / (f64::from(steps) * flops(&dense))
}

impl Rows for Layers<'_> {
    fn describe(&self) -> String {
        self.description.clone()
    }

    fn launch(&mut self, row: usize, launches: usize) -> Result<Vec<f64>, String> {
        match row < self.runs.len() {
            true => self.times(row, launches).map_err(|wrong| format!("{wrong:#}")),
            false => Err(format!("there is no row {row}")),
        }
    }
}

fn set(strategy: &Strategy, bindings: &mut Bindings, setting: &str) -> Result<()> {
    let (name, value) = setting.split_once('=').context("params are NAME=VALUE")?;
    let at = strategy.params.iter().position(|param| param.name == name);
    let at = at.with_context(|| format!("{} has no param {name}", strategy.name))?;
    let param = &strategy.params[at];
    let number = match param.scalar {
        Scalar::Bool => Number::Bool(value.parse()?),
        Scalar::U32 | Scalar::I32 => Number::Int(value.parse()?),
        Scalar::F32 => Number::Float(value.parse()?),
    };
    param.check(number)?;
    bindings.params[at] = number;
    Ok(())
}
