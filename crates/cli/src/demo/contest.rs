//! The run: every strategy denoises the same photograph, step by step side by side.

use std::sync::Arc;

use indicatif::{ProgressBar, ProgressStyle};
use sparsym::device::Device;
use sparsym::engine::{Array, Engine, Layer, LayerPlace, LayerSpec, LayerState, StepKind};
use sparsym::ir::bind::{Bound, Geometry};
use sparsym::ir::{Problem, Symbols};

use super::photo::Picture;
use super::strategies::{Entrant, entrants};
use super::tokens::{self, Palette};
use super::weights::LayerWeights;
use crate::failure::Outcome;

/// Denoising steps. With Updates every three steps the last one is an Update.
pub(crate) const STEPS: u32 = 10;
/// Bandwidth of the first and the last step, in standard deviations of a patch's noise.
const BANDWIDTH: [f32; 2] = [1.3, 0.8];
/// Share of the noisy photograph in the guide. The rest is the last estimate; much more of it and the guide would slowly
/// forget what it saw.
const NOISY_SHARE: f32 = 0.7;

/// Everything that the strategies have in common.
pub(crate) struct Contest<'a> {
    engine: Engine,
    weights: LayerWeights,
    noisy: &'a Picture,
    palette: Palette,
    patch_sigma: f32,
    problem: Problem,
    entrants: Vec<Entrant>,
}

/// A strategy after the last step.
pub(crate) struct Finisher {
    /// Its name.
    pub(crate) name: &'static str,
    /// The denoised photograph.
    pub(crate) estimate: Picture,
    /// The palette after the last step.
    pub(crate) palette: Palette,
    /// Milliseconds of the layer over all steps.
    pub(crate) ms: f64,
    /// Mean over the steps of the share of query blocks that were computed.
    pub(crate) density_c: f64,
    /// Mean over the steps of the share of block pairs that were computed.
    pub(crate) density_s: f64,
    /// Symbols of a step: of the last Dispatch step if there was one.
    pub(crate) symbols: Symbols,
    /// Kind of that step.
    pub(crate) symbols_of: &'static str,
    /// What each step was.
    pub(crate) kinds: Vec<StepKind>,
    /// Where its token ranges lie.
    pub(crate) geometry: Geometry,
}

/// A strategy on its way.
struct Runner<'w> {
    layer: Layer<'w>,
    state: LayerState,
    x: Vec<Array>,
    y: Vec<Array>,
    raster_indices: Vec<usize>,
    estimate: Option<Picture>,
    palette: Palette,
    ms: f64,
    density_c: f64,
    density_s: f64,
    symbols: Option<(Symbols, &'static str)>,
    kinds: Vec<StepKind>,
}

impl<'a> Contest<'a> {
    /// A contest of all entrants over a photograph with noise of standard deviation `sigma`.
    pub(crate) fn new(device: Arc<dyn Device>, noisy: &'a Picture, sigma: f32) -> Outcome<Contest<'a>> {
        let engine = Engine::new(device)?;
        Ok(Contest {
            weights: LayerWeights::place(&engine, engine.finest_dtype())?,
            noisy,
            palette: Palette::of(noisy),
            patch_sigma: sigma * tokens::patch_len().sqrt(),
            problem: tokens::problem(),
            entrants: entrants()?,
            engine,
        })
    }

    /// Name of the device.
    pub(crate) fn device_name(&self) -> &'static str {
        self.engine.device()
    }

    /// Runs all steps of all strategies. The strategies take turns at every step, so that a machine that grows slower
    /// while it works does so for all of them.
    pub(crate) fn run(&self) -> Outcome<Vec<Finisher>> {
        let mut runners: Vec<Runner<'_>> =
            self.entrants.iter().map(|entrant| self.runner(entrant)).collect::<Outcome<_>>()?;
        let progress = ProgressBar::new(u64::from(STEPS) * runners.len() as u64 + 1);
        if let Ok(style) = ProgressStyle::with_template("{bar:32} {pos}/{len} {msg} ({eta} left)") {
            progress.set_style(style);
        }
        progress.set_message("warming up");
        self.warm_up()?;
        progress.inc(1);
        for step in 0..STEPS {
            for (runner, entrant) in runners.iter_mut().zip(&self.entrants) {
                progress.set_message(format!("step {step} of {}", entrant.name));
                self.step(step, runner)?;
                progress.inc(1);
            }
        }
        progress.finish_and_clear();
        self.entrants.iter().zip(runners).map(|(entrant, runner)| self.finish(entrant, runner)).collect()
    }

    fn runner(&self, entrant: &Entrant) -> Outcome<Runner<'_>> {
        let place = LayerPlace { layer: 0, steps: STEPS };
        let (strategy, bindings, problem) = (entrant.strategy.clone(), entrant.bindings.clone(), self.problem.clone());
        let layer = self.engine.layer(LayerSpec { strategy, problem, bindings, place }, self.weights.parts())?;
        Ok(Runner {
            state: layer.state()?,
            x: layer.inputs()?,
            y: layer.outputs()?,
            layer,
            raster_indices: entrant.order.raster_indices(),
            estimate: None,
            palette: self.palette.clone(),
            ms: 0.0,
            density_c: 0.0,
            density_s: 0.0,
            symbols: None,
            kinds: Vec::new(),
        })
    }

    /// One dense step that counts for nobody: threads start, buffers are mapped, kernels are compiled.
    fn warm_up(&self) -> Outcome {
        let mut runner = self.runner(&self.entrants[0])?;
        self.step(0, &mut runner)
    }

    fn step(&self, step: u32, runner: &mut Runner<'_>) -> Outcome {
        let guide = match &runner.estimate {
            Some(estimate) => self.noisy.mix(NOISY_SHARE, estimate),
            None => self.noisy.clone(),
        };
        let h = bandwidth(step) * self.patch_sigma;
        let dtype = self.engine.finest_dtype();
        let input = tokens::input(&guide, self.noisy, &runner.palette, h, &runner.raster_indices, dtype);
        runner.x[0].write(&input.vision)?;
        runner.x[1].write(&input.palette)?;
        let (x, y): (Vec<&Array>, Vec<&Array>) = (runner.x.iter().collect(), runner.y.iter().collect());
        let output = runner.layer.step(step, &x, &y, &mut runner.state)?;
        let (estimate, palette) = tokens::fold(&runner.y[0].read()?, &runner.y[1].read()?, &runner.raster_indices);
        (runner.estimate, runner.palette) = (Some(estimate), palette);
        runner.ms += output.rooms.iter().map(|room| room.ms).sum::<f64>();
        let symbols = match runner.state.symbols().filter(|_| output.kind != StepKind::Dense) {
            Some(symbols) => Some(symbols.read(&self.problem)?),
            None => None,
        };
        let [density_c, density_s] = match (&symbols, output.kind) {
            (Some(symbols), StepKind::Dispatch) => [symbols.cache.density(), symbols.density()],
            (Some(symbols), _) => [1.0, symbols.skip.density()],
            (None, _) => [1.0, 1.0],
        };
        runner.density_c += density_c / f64::from(STEPS);
        runner.density_s += density_s / f64::from(STEPS);
        runner.kinds.push(output.kind);
        let kind = match output.kind {
            StepKind::Update => "Update",
            StepKind::Dispatch => "Dispatch",
            StepKind::Dense => "dense",
        };
        // A Dispatch step shows what S_c leaves out; an Update computes every row, whatever its symbols say.
        if let Some(symbols) = symbols.filter(|_| kind == "Dispatch" || runner.symbols.is_none()) {
            runner.symbols = Some((symbols, kind));
        }
        Ok(())
    }

    fn finish(&self, entrant: &Entrant, runner: Runner<'_>) -> Outcome<Finisher> {
        let geometry = Bound::new(&entrant.strategy, &self.problem, &entrant.bindings)?.geometry;
        let all = || Symbols::dense(1, self.problem.heads, self.problem.q_blocks(), self.problem.kv_blocks());
        let (symbols, symbols_of) = runner.symbols.unwrap_or_else(|| (all(), "dense"));
        Ok(Finisher {
            name: entrant.name,
            estimate: runner.estimate.unwrap_or_else(|| self.noisy.clone()),
            palette: runner.palette,
            ms: runner.ms,
            density_c: runner.density_c,
            density_s: runner.density_s,
            symbols,
            symbols_of,
            kinds: runner.kinds,
            geometry,
        })
    }
}

/// Bandwidth of a step: from the first to the last value in equal ratios.
fn bandwidth(step: u32) -> f32 {
    let [first, last] = BANDWIDTH;
    first * (last / first).powf(step as f32 / (STEPS - 1) as f32)
}
