//! The engine through its public interface: published schedules and forecasts, states, and misuse.
//!
//! Most layers here have one token, one head and weights of 1: the token attends to itself, so y = x at an Update, and
//! x = F(step) makes the layer a scalar function of the step.

use std::sync::Arc;

use sparsym::device::session::ArrayError;
use sparsym::engine::{
    Array, Engine, Layer, LayerError, LayerPlace, LayerSpec, LayerState, Linear, Part, Schedule, StepError, StepKind,
    Weights,
};
use sparsym::ir::problem::{DType, Layout};
use sparsym::ir::strategy::Blocks;
use sparsym::ir::{Bindings, Bound, Code, Findings, Problem, Strategy, Tensor};
use sparsym::language::compile_str;
use sparsym::zoo::{FlashOmni, TaylorSeer};
use sparsym::{Error, StrategyType, device};

fn engine() -> Engine {
    Engine::new(Arc::from(device::open("reference").unwrap())).unwrap()
}

fn scalar(value: f32) -> Tensor {
    Tensor::from_f32(&[1, 1, 1], DType::F32, &[value])
}

fn one(engine: &Engine) -> Array {
    engine.place("w", &Tensor::from_f32(&[1, 1], DType::F32, &[1.0])).unwrap()
}

fn weights(weight: &Array) -> Weights<'_> {
    let linear = Linear { weight, bias: None };
    Weights { q: linear, k: linear, v: linear, o: linear, q_norm: None, k_norm: None, rope: None }
}

fn spec(strategy: &Strategy, params: Bindings, steps: u32) -> LayerSpec {
    LayerSpec {
        strategy: strategy.clone(),
        problem: Problem::self_attention(1, 1, 1, 1),
        bindings: params,
        place: LayerPlace { layer: 0, steps },
    }
}

/// A layer of one token.
fn layer<'w>(engine: &Engine, weight: &'w Array, strategy: &Strategy, params: Bindings, steps: u32) -> Layer<'w> {
    engine.layer(spec(strategy, params, steps), vec![Part { tokens: 1, weights: weights(weight) }]).unwrap()
}

fn strategy(rules: &str) -> Strategy {
    compile_str("test", &format!("pub Test {{ {rules} }}")).unwrap()
}

/// A layer with the arrays of its steps.
struct Run<'w> {
    layer: Layer<'w>,
    x: Array,
    y: Array,
}

impl<'w> Run<'w> {
    fn new(engine: &Engine, layer: Layer<'w>) -> Run<'w> {
        let array = |name| engine.array(name, &[1, 1, 1], DType::F32).unwrap();
        Run { layer, x: array("x"), y: array("y") }
    }

    fn step(&self, step: u32, value: f32, state: &mut LayerState) -> Result<f32, Error> {
        self.x.write(&scalar(value))?;
        self.layer.step(step, &[&self.x], &[&self.y], state)?;
        Ok(self.y.read()?.to_f32()[0])
    }
}

/// The FX2 feature.
fn feature(step: u32) -> f32 {
    (step * step) as f32 - 4.0 * step as f32 + 8.0
}

#[test]
fn published_schedules() {
    let engine = engine();
    let weight = one(&engine);
    let printed = |strategy: &Strategy, params: Bindings, steps| {
        layer(&engine, &weight, strategy, params, steps).schedule().to_string()
    };
    let taylor = |interval, warmup| TaylorSeer { interval, warmup, ..TaylorSeer::default() }.bindings().unwrap();
    assert_eq!(printed(TaylorSeer::ir(), taylor(5, 3), 20), "FFFPPPPFPPPPFPPPPFPP");
    let fora = TaylorSeer::fora(3).bindings().unwrap();
    assert_eq!(printed(TaylorSeer::ir(), fora, 20), "FPPFPPFPPFPPFPPFPPFP");
    assert_eq!(flash_omni(20).to_string(), "FFFFFFFFPPPPFPPPPFPF");
    let full = |schedule: &Schedule, step: &u32| schedule.at(*step).unwrap().kind == StepKind::Update;
    let (long, late) = (flash_omni(50), [12, 17, 22, 27, 32, 37, 42, 47, 49]);
    assert_eq!((0..50).filter(|step| full(&long, step)).collect::<Vec<u32>>(), (0..8).chain(late).collect::<Vec<_>>());
}

/// The schedule of FlashOmni's published settings; a layer of it needs text and vision.
fn flash_omni(steps: u32) -> Schedule {
    let mut problem = Problem::self_attention(1, 256, 1, 16);
    problem.layout = Layout::text_front(128, [1, 8, 16]);
    let params = FlashOmni::default().bindings().unwrap();
    Schedule::new(&Bound::new(FlashOmni::ir(), &problem, &params).unwrap(), LayerPlace { layer: 0, steps })
}

/// Order 0 in the first interval after the warm-up, one more in each; an Update knows what comes after it.
#[test]
fn orders_grow_with_history() {
    let schedule = flash_omni(20);
    let orders: Vec<Option<u32>> = (7..20).map(|step| schedule.at(step).unwrap().order).collect();
    let [zero, one, two] = [Some(0), Some(1), Some(2)];
    assert_eq!(orders, [zero, zero, zero, zero, zero, one, one, one, one, one, two, two, None]);
    assert_eq!((schedule.at(6).unwrap().order, schedule.most_order()), (None, two));
}

#[test]
fn published_forecasts() {
    let engine = engine();
    let weight = one(&engine);
    let expected = [
        [8.0, 5.0, 4.0, 4.0, 4.0, 4.0, 20.0, 20.0, 20.0, 20.0, 68.0, 68.0, 68.0],
        [8.0, 5.0, 4.0, 3.0, 2.0, 1.0, 20.0, 24.0, 28.0, 32.0, 68.0, 80.0, 92.0],
        [8.0, 5.0, 4.0, 3.0, 2.0, 1.0, 20.0, 24.625, 30.5, 37.625, 68.0, 81.0, 96.0],
    ];
    for (order, expected) in expected.iter().enumerate() {
        let params = TaylorSeer { interval: 4, order: order as u32, warmup: 3, ..TaylorSeer::default() };
        let run = Run::new(&engine, layer(&engine, &weight, TaylorSeer::ir(), params.bindings().unwrap(), 13));
        let mut state = run.layer.state().unwrap();
        let found: Vec<f32> = (0..13).map(|step| run.step(step, feature(step), &mut state).unwrap()).collect();
        assert_eq!(found, expected, "order {order}");
    }
}

/// Differences over intervals of 5 and of 3 steps, whose weights are no numbers of f32: exact, because they are rounded
/// before they are multiplied by steps.
#[test]
fn differences_over_any_interval_are_exact() {
    let engine = engine();
    let weight = one(&engine);
    let of = |rules: &str, steps, feature: &dyn Fn(u32) -> f32| -> Vec<f32> {
        let run = Run::new(&engine, layer(&engine, &weight, &strategy(rules), Bindings::default(), steps));
        let mut state = run.layer.state().unwrap();
        (0..steps).map(|step| run.step(step, feature(step), &mut state).unwrap()).collect()
    };
    let flash_omni = "cache q by taylor(min(2, max(step - 8, 0) / 5));
        update when step < 8 || since_update == 5 || step == 19;";
    let expected = [29.0, 29.0, 29.0, 29.0, 104.0, 119.0, 134.0, 149.0, 164.0, 229.0, 255.0, 293.0];
    assert_eq!(of(flash_omni, 20, &feature)[8..], expected);
    // Order 1 is exact on a line, and the higher differences of a line are 0.
    let line = |step: u32| 2.0 + 3.0 * step as f32;
    let found = of("cache q by taylor(3); update when step < 1 || since_update == 3;", 9, &line);
    assert_eq!(found[4..], [14.0, 17.0, 20.0, 23.0, 26.0]);
}

#[test]
fn published_forecasts_without_projections() {
    let engine = engine();
    let array = |name| engine.array(name, &[1, 1, 1, 1], DType::F32).unwrap();
    let (q, k, v, o) = (array("q"), array("k"), array("v"), array("o"));
    let params = TaylorSeer { interval: 4, order: 2, warmup: 3, ..TaylorSeer::default() };
    let spec = spec(TaylorSeer::ir(), params.bindings().unwrap(), 13);
    let attention = engine.attention(spec, DType::F32).unwrap();
    let mut state = attention.state().unwrap();
    let mut step = |step: u32| {
        v.write(&Tensor::from_f32(&[1, 1, 1, 1], DType::F32, &[feature(step)])).unwrap();
        attention.step(step, [&q, &k, &v], &o, &mut state).unwrap();
        o.read().unwrap().to_f32()[0]
    };
    let found: Vec<f32> = (0..13).map(&mut step).collect();
    assert_eq!(found, [8.0, 5.0, 4.0, 3.0, 2.0, 1.0, 20.0, 24.625, 30.5, 37.625, 68.0, 81.0, 96.0]);
    assert_eq!(attention.schedule().to_string(), "FFFPPPFPPPFPP");
}

/// Rows of a head are computed, those of the other are forecast; kernels and the reference agree over a run.
#[test]
fn kernels_forecast_without_projections() {
    const STEPS: u32 = 6;
    let rules = "cache q where head == 0 by taylor(1); update when step < 2 || since_update == 2;";
    let run = |device: &str| -> Vec<f32> {
        let engine = Engine::new(Arc::from(device::open(device).unwrap())).unwrap();
        let problem = Problem { blocks: Blocks { q: 64, kv: 64 }, ..Problem::self_attention(1, 96, 2, 64) };
        let place = LayerPlace { layer: 0, steps: STEPS };
        let (strategy, bindings) = (strategy(rules), Bindings::default());
        let attention = engine.attention(LayerSpec { strategy, problem, bindings, place }, DType::F16).unwrap();
        let mut state = attention.state().unwrap();
        let [q, k, v, o] = ["q", "k", "v", "o"].map(|name| engine.array(name, &[1, 96, 2, 64], DType::F16).unwrap());
        let mut outputs = Vec::new();
        for step in 0..STEPS {
            for (array, phase) in [(&q, 0.1), (&k, 0.2), (&v, 0.3)] {
                let value = |n: usize| (n as f32 * phase + step as f32 * 0.05).sin();
                let values: Vec<f32> = (0..96 * 2 * 64).map(value).collect();
                array.write(&Tensor::from_f32(&[1, 96, 2, 64], DType::F16, &values)).unwrap();
            }
            attention.step(step, [&q, &k, &v], &o, &mut state).unwrap();
            outputs.extend(o.read().unwrap().to_f32());
        }
        outputs
    };
    let (reference, kernels) = (run("reference"), run("emulator"));
    let most = reference.iter().zip(&kernels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    // Outputs are below 1: two units in the last place of f16 there, times the weights 1 + 2/2 of the forecast.
    assert!(most < 4.0 * f32::powi(2.0, -11), "{most}");
}

/// A layer may share memory with others; what another one's rules wrote there is none of its business.
#[test]
fn layers_that_share_memory_do_not_meet() {
    let engine = Engine::new(Arc::from(device::open("emulator").unwrap())).unwrap();
    let [q, k, v, o] = ["q", "k", "v", "o"].map(|name| engine.array(name, &[1, 64, 1, 64], DType::F16).unwrap());
    for (array, phase) in [(&q, 0.1), (&k, 0.2), (&v, 0.3)] {
        let values: Vec<f32> = (0..64 * 64).map(|n| (n as f32 * phase).sin()).collect();
        array.write(&Tensor::from_f32(&[1, 64, 1, 64], DType::F16, &values)).unwrap();
    }
    let last = |rules: &str| {
        let problem = Problem { blocks: Blocks { q: 32, kv: 32 }, ..Problem::self_attention(1, 64, 1, 64) };
        let (strategy, bindings) = (strategy(rules), Bindings::default());
        let place = LayerPlace { layer: 0, steps: 2 };
        let attention = engine.attention(LayerSpec { strategy, problem, bindings, place }, DType::F16).unwrap();
        let mut state = attention.state().unwrap();
        (0..2).for_each(|step| drop(attention.step(step, [&q, &k, &v], &o, &mut state).unwrap()));
        (attention, o.read().unwrap())
    };
    let caching = "cache q where q.block < step; update when since_update == 3;";
    let (_, alone) = last(caching);
    let (_skips, _) = last("skip q, kv where kv.block < step; update when since_update == 3;"); // lives on
    let (_, beside) = last(caching);
    assert_eq!(beside, alone);
    o.copy_to(&o).unwrap(); // nothing happens
    assert_eq!(o.read().unwrap(), beside);
}

#[test]
fn a_refused_step_changes_nothing() {
    let engine = engine();
    let weight = one(&engine);
    let params = TaylorSeer { interval: 2, order: 1, warmup: 2, ..TaylorSeer::default() }.bindings().unwrap();
    let run = Run::new(&engine, layer(&engine, &weight, TaylorSeer::ir(), params, 3));
    let mut state = run.layer.state().unwrap();
    run.step(0, 1.0, &mut state).unwrap();
    let half = engine.array("y", &[1, 1, 1], DType::F16).unwrap();
    assert_eq!(code(run.layer.step(1, &[&run.x], &[&half], &mut state).unwrap_err()), Code::TensorType);
    assert_eq!(state.last_update(), Some(0));
    run.step(1, 3.0, &mut state).unwrap();
    assert_eq!(run.step(2, 0.0, &mut state).unwrap(), 5.0);
}

#[test]
fn reset_forgets_and_duplicates_go_their_own_way() {
    let engine = engine();
    let weight = one(&engine);
    let params = TaylorSeer { interval: 3, order: 1, warmup: 2, ..TaylorSeer::default() }.bindings().unwrap();
    let run = Run::new(&engine, layer(&engine, &weight, TaylorSeer::ir(), params, 9));
    let mut first = run.layer.state().unwrap();
    for step in 0..4 {
        run.step(step, feature(step), &mut first).unwrap();
    }
    let mut second = first.duplicate().unwrap();
    assert_eq!(run.step(4, 100.0, &mut first).unwrap(), 100.0); // an Update
    assert_eq!(run.step(4, 200.0, &mut second).unwrap(), 200.0);
    let slope = |value: f32| value + (value - feature(1)) / 3.0;
    assert_eq!(run.step(5, 0.0, &mut second).unwrap(), slope(200.0));
    assert_eq!(run.step(5, 0.0, &mut first).unwrap(), slope(100.0));
    first.reset();
    assert_eq!(run.step(0, 7.0, &mut first).unwrap(), 7.0);
}

/// Schedules whose forecasts need more history than a late run has; with kinds D, F and P.
fn schedules() -> Vec<String> {
    let mut rules = Vec::new();
    for order in 0..4 {
        for update in ["step % 3 == 0", "since_update == 2", "step < 4 || step % 4 == 1", "step % 2 == 0"] {
            for dense in ["", "dense when step % 5 == 3;", "dense when step < 2;"] {
                rules.push(format!("cache q by taylor({order}); update when {update}; {dense}"));
            }
        }
    }
    rules.push("cache q by taylor(min(3, 1 + step / 7)); update when step % 3 == 0;".to_owned());
    rules
}

/// Σ D^k (s − s_m)^k / k!, from all Updates that were seen, the newest first, and as far as they reach.
fn expected(seen: &[(u32, f64)], most: u32, step: u32) -> f64 {
    let mut differences: Vec<f64> = seen.iter().map(|(_, value)| *value).collect();
    let (mut sum, mut factor) = (0.0, 1.0);
    for order in 0..=most {
        let Some(newest) = differences.first() else { break };
        sum += factor * newest;
        factor *= f64::from(step - seen[0].0) / f64::from(order + 1);
        differences = (1..differences.len())
            .map(|m| (differences[m - 1] - differences[m]) / f64::from(seen[m - 1].0 - seen[m].0))
            .collect();
    }
    sum
}

/// A run from `start` on, through something that takes a step as an Update or however it is planned: kinds and outputs
/// against the Updates that were seen.
fn check_late_run(
    what: &str,
    schedule: &Schedule,
    start: u32,
    mut step: impl FnMut(u32, Option<StepKind>) -> Result<(StepKind, Option<u32>, f32), Error>,
) {
    let mut seen: Vec<(u32, f64)> = Vec::new();
    for s in start..schedule.steps() {
        let planned = schedule.at(s).unwrap();
        let none_before = planned.kind == StepKind::Dispatch && seen.is_empty();
        let done = match none_before {
            true => {
                let refused = step(s, None);
                assert!(is(refused.unwrap_err(), &StepError::NoUpdate { step: s }), "{what} at {s}");
                step(s, Some(StepKind::Update))
            }
            false => step(s, None),
        };
        let (kind, order, value) = done.unwrap_or_else(|error| panic!("{what} from {start} at {s}: {error}"));
        assert_eq!(kind, if none_before { StepKind::Update } else { planned.kind });
        match kind {
            StepKind::Update => seen.insert(0, (s, f64::from(feature(s)))),
            StepKind::Dense => {}
            StepKind::Dispatch => {
                let most = order.unwrap();
                assert_eq!(most, planned.order.unwrap().min(seen.len() as u32 - 1), "{what} from {start} at {s}");
                let expected = expected(&seen, most, s);
                let off = (f64::from(value) - expected).abs();
                assert!(off <= 1e-5 * expected.abs().max(1.0), "{what} from {start} at {s}: {value}, not {expected}");
                continue;
            }
        }
        assert_eq!(value, feature(s), "{what} from {start} at {s}");
    }
}

#[test]
fn a_run_starts_at_any_step() {
    const STEPS: u32 = 12;
    for device in ["reference", "cpu"] {
        let engine = Engine::new(Arc::from(device::open(device).unwrap())).unwrap();
        let weight = one(&engine);
        for rules in schedules() {
            let strategy = strategy(&rules);
            let run = Run::new(&engine, layer(&engine, &weight, &strategy, Bindings::default(), STEPS));
            let attention = engine.attention(spec(&strategy, Bindings::default(), STEPS), DType::F32).unwrap();
            let array = |name| engine.array(name, &[1, 1, 1, 1], DType::F32).unwrap();
            let (q, k, v, o) = (array("q"), array("k"), array("v"), array("o"));
            let (mut of_layer, mut of_attention) = (run.layer.state().unwrap(), attention.state().unwrap());
            for start in 0..STEPS {
                let (memory, schedule) = (engine.workspace_bytes(), run.layer.schedule());
                check_late_run(&format!("a layer on {device}, {rules}"), schedule, start, |step, kind| {
                    run.x.write(&scalar(feature(step)))?;
                    let (x, y) = ([&run.x], [&run.y]);
                    let done = match kind {
                        Some(_) => run.layer.update(step, &x, &y, &mut of_layer)?,
                        None => run.layer.step(step, &x, &y, &mut of_layer)?,
                    };
                    Ok((done.kind, done.order, run.y.read()?.to_f32()[0]))
                });
                check_late_run(
                    &format!("attention on {device}, {rules}"),
                    attention.schedule(),
                    start,
                    |step, kind| {
                        v.write(&Tensor::from_f32(&[1, 1, 1, 1], DType::F32, &[feature(step)]))?;
                        let qkv = [&q, &k, &v];
                        let done = match kind {
                            Some(_) => attention.update(step, qkv, &o, &mut of_attention)?,
                            None => attention.step(step, qkv, &o, &mut of_attention)?,
                        };
                        Ok((done.kind, done.order, o.read()?.to_f32()[0]))
                    },
                );
                assert_eq!(engine.workspace_bytes(), memory, "a step allocated memory");
                // The same memory again: nothing of this run may be seen by the next.
                of_layer.reset();
                of_attention.reset();
            }
        }
    }
}

/// Kernels take the orders of a late run as the reference does; the layer prepared them.
#[test]
fn kernels_start_late() {
    const STEPS: u32 = 9;
    let run = |device: &str, start: u32| -> Vec<f32> {
        let engine = Engine::new(Arc::from(device::open(device).unwrap())).unwrap();
        let problem = Problem { blocks: Blocks { q: 64, kv: 64 }, ..Problem::self_attention(1, 64, 2, 64) };
        let values = |n: usize, phase: f32| (0..n).map(|n| (n as f32 * phase).sin() / 8.0).collect::<Vec<f32>>();
        let square = engine.place("w", &Tensor::from_f32(&[128, 64], DType::F16, &values(128 * 64, 0.37))).unwrap();
        let back = engine.place("w", &Tensor::from_f32(&[64, 128], DType::F16, &values(128 * 64, 0.61))).unwrap();
        let [to, from] = [&square, &back].map(|weight| Linear { weight, bias: None });
        let weights = Weights { q: to, k: to, v: to, o: from, q_norm: None, k_norm: None, rope: None };
        let strategy = strategy("cache q where head == 0 by taylor(2); update when step < 5 || step % 2 == 0;");
        let (bindings, place) = (Bindings::default(), LayerPlace { layer: 0, steps: STEPS });
        let spec = LayerSpec { strategy, problem, bindings, place };
        let layer = engine.layer(spec, vec![Part { tokens: 64, weights }]).unwrap();
        let (x, y, mut state) = (layer.inputs().unwrap(), layer.outputs().unwrap(), layer.state().unwrap());
        let mut outputs = Vec::new();
        let memory = engine.workspace_bytes();
        for step in start..STEPS {
            let moved: Vec<f32> = values(64 * 64, 0.13 + 0.01 * step as f32).iter().map(|v| v * 8.0).collect();
            x[0].write(&Tensor::from_f32(&[1, 64, 64], DType::F16, &moved)).unwrap();
            layer.step(step, &[&x[0]], &[&y[0]], &mut state).unwrap();
            outputs.extend(y[0].read().unwrap().to_f32());
        }
        assert_eq!(engine.workspace_bytes(), memory, "a step allocated memory");
        outputs
    };
    for start in [3, 4, 6] {
        let (reference, kernels) = (run("reference", start), run("emulator", start));
        let most = reference.iter().zip(&kernels).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
        let largest = reference.iter().fold(0.0_f32, |most, value| most.max(value.abs()));
        assert!(
            reference.iter().all(|value| value.is_finite()) && most < 2e-2 * largest,
            "{start}: {most} of {largest}"
        );
    }
}

/// Up to four arrays, any factors, rounded once; on kernels too.
#[test]
fn sums_are_rounded_once() {
    for device in ["reference", "cpu", "emulator"] {
        let engine = Engine::new(Arc::from(device::open(device).unwrap())).unwrap();
        let shape = [2, 70, 24];
        let sum = engine.sum(shape, DType::F16).unwrap();
        let values = |phase: f32| -> Vec<f32> { (0..2 * 70 * 24).map(|n| (n as f32 * phase).sin()).collect() };
        let tensors = [0.1, 0.2, 0.3, 0.4].map(|phase| Tensor::from_f32(&shape, DType::F16, &values(phase)));
        let arrays = tensors.each_ref().map(|tensor| engine.place("x", tensor).unwrap());
        let y = engine.array("y", &shape, DType::F16).unwrap();
        for (terms, factors) in [(1, [-2.0; 4]), (2, [1.0; 4]), (4, [0.5, -1.0, 3.0, 0.25])] {
            let named: Vec<(f32, &Array)> = factors.into_iter().zip(&arrays).take(terms).collect();
            sum.run(&named, &y).unwrap();
            let mut expected = vec![0.0; 2 * 70 * 24];
            for (factor, tensor) in factors.iter().zip(&tensors).take(terms) {
                expected.iter_mut().zip(tensor.to_f32()).for_each(|(sum, value)| *sum += factor * value);
            }
            assert_eq!(y.read().unwrap(), Tensor::from_f32(&shape, DType::F16, &expected), "{device}, {terms} terms");
        }
        let five: Vec<(f32, &Array)> = (0..5).map(|n| (1.0, &arrays[n % 4])).collect();
        assert_eq!(code(sum.run(&five, &y).unwrap_err()), Code::CacheMissing);
        let error = sum.run(&[(1.0, &y)], &y).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(ArrayError::Aliased { .. })), "{error}");
    }
}

#[test]
fn memory_goes_in_any_order() {
    let engine = engine();
    let weight = one(&engine);
    let run = Run::new(&engine, layer(&engine, &weight, &Strategy::dense(), Bindings::default(), 2));
    let state = run.layer.state().unwrap();
    let Run { layer, x, y } = run;
    drop(engine);
    drop(x);
    drop(layer);
    drop(state);
    y.write(&scalar(3.0)).unwrap();
    assert_eq!(y.read().unwrap(), scalar(3.0));
}

#[test]
fn a_degraded_layer_repeats_its_output() {
    let engine = engine();
    let weight = one(&engine);
    let strategy = strategy("cache q; update when since_update == 3; degrade when density(cache) <= 0.5;");
    let run = Run::new(&engine, layer(&engine, &weight, &strategy, Bindings::default(), 6));
    let mut state = run.layer.state().unwrap();
    let found: Vec<f32> = (0..6).map(|step| run.step(step, feature(step), &mut state).unwrap()).collect();
    assert_eq!(found, [8.0, 8.0, 8.0, 5.0, 5.0, 5.0]);
    assert!(state.is_degraded());
}

#[test]
fn steps_out_of_order_are_refused() {
    let engine = engine();
    let weight = one(&engine);
    let params = TaylorSeer { interval: 3, order: 0, warmup: 1, ..TaylorSeer::default() }.bindings().unwrap();
    let run = Run::new(&engine, layer(&engine, &weight, TaylorSeer::ir(), params.clone(), 5));
    let fresh = || run.layer.state().unwrap();
    let refused = |step, state: &mut LayerState| {
        let error = run.step(step, 1.0, state).unwrap_err();
        *error.downcast_ref::<StepError>().unwrap_or_else(|| panic!("{error:?}"))
    };
    assert_eq!(refused(1, &mut fresh()), StepError::NoUpdate { step: 1 });
    assert_eq!(refused(5, &mut fresh()), StepError::BeyondRun { step: 5, steps: 5 });
    let mut state = fresh();
    run.step(0, 1.0, &mut state).unwrap();
    run.step(1, 1.0, &mut state).unwrap();
    assert_eq!(refused(1, &mut state), StepError::OutOfOrder { step: 1, last: 1 });
    assert_eq!(refused(0, &mut state), StepError::OutOfOrder { step: 0, last: 1 });
    let other = layer(&engine, &weight, TaylorSeer::ir(), params, 5);
    assert_eq!(refused(2, &mut other.state().unwrap()), StepError::OtherLayer);
    let kind = run.layer.update(2, &[&run.x], &[&run.y], &mut state).unwrap_err();
    let expected = StepError::OtherKind { step: 2, asked: StepKind::Update, planned: StepKind::Dispatch };
    assert!(is(kind, &expected));
}

#[test]
fn arrays_that_do_not_fit_are_refused() {
    let engine = engine();
    let weight = one(&engine);
    let run = Run::new(&engine, layer(&engine, &weight, &Strategy::dense(), Bindings::default(), 2));
    let mut state = run.layer.state().unwrap();
    let mut refused = |x: &Array, y: &Array| run.layer.step(0, &[x], &[y], &mut state).unwrap_err();
    run.x.write(&scalar(1.0)).unwrap();

    let aliased = ArrayError::Aliased { written: "y".to_owned(), other: "x".to_owned() };
    assert!(is(refused(&run.x, &run.x), &aliased));
    let elsewhere = Engine::new(Arc::from(device::open("reference").unwrap())).unwrap();
    let foreign = elsewhere.place("x", &scalar(1.0)).unwrap();
    assert!(matches!(refused(&foreign, &run.y).downcast_ref(), Some(ArrayError::OtherSession { .. })));
    let wide = engine.array("x", &[1, 1, 2], DType::F32).unwrap();
    assert_eq!(code(refused(&wide, &run.y)), Code::TensorShape);
    let half = engine.array("y", &[1, 1, 1], DType::F16).unwrap();
    assert_eq!(code(refused(&run.x, &half)), Code::TensorType);
    let both = run.layer.step(0, &[&run.x, &run.x], &[&run.y], &mut state).unwrap_err();
    assert_eq!(code(both), Code::TensorShape);
    run.layer.step(0, &[&run.x], &[&run.y], &mut state).unwrap();
    assert!(run.x.write(&Tensor::zeros(&[1, 1, 2], DType::F32)).is_err());
}

#[test]
fn layers_that_do_not_fit_are_refused() {
    let engine = engine();
    let weight = one(&engine);
    let dense = Strategy::dense();
    let made = |weights: Weights<'_>, tokens, strategy: &Strategy| {
        engine.layer(spec(strategy, Bindings::defaults(strategy), 4), vec![Part { tokens, weights }]).map(|_| ())
    };
    let good = weights(&weight);
    assert!(made(good, 1, &dense).is_ok());
    let parts = LayerError::Parts { found: 2, expected: 1 };
    assert!(is(made(good, 2, &dense).unwrap_err(), &parts));
    let wide = engine.array("w", &[2, 1], DType::F32).unwrap();
    let half = engine.array("w", &[1, 1], DType::F16).unwrap();
    for (bad, expected) in [(&wide, Code::TensorShape), (&half, Code::TensorType)] {
        let bad = Linear { weight: bad, bias: None };
        for weights in [Weights { k: bad, ..good }, Weights { v: bad, ..good }, Weights { o: bad, ..good }] {
            let result = made(weights, 1, &dense);
            // A wide output projection is a rectangular one.
            if expected == Code::TensorShape && std::ptr::eq(weights.o.weight, &wide) {
                continue;
            }
            assert_eq!(code(result.unwrap_err()), expected);
        }
    }
    let varying = strategy("cache q where step > 2; update when since_update == 2;");
    let error = made(good, 1, &varying).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(LayerError::VaryingCache { .. })), "{error}");
}

fn code(error: Error) -> Code {
    let findings = error.downcast_ref::<Findings>().unwrap_or_else(|| panic!("{error}"));
    findings.iter().next().unwrap().code
}

fn is<T: std::error::Error + PartialEq + 'static>(error: Error, details: &T) -> bool {
    error.downcast_ref() == Some(details)
}
