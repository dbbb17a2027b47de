//! Update–Dispatch loops of attention alone: published schedules, forecasts worked out by hand, rounding, and misuse.
//!
//! The layer has one token, which attends to itself: O = V exactly, so V = F(step) makes the cached feature a scalar
//! function of the step.

use std::sync::Arc;

use sparsym_ir::eval::StepKind;
use sparsym_ir::expr::{BinaryOp, Expr, ExprKind, Function, Global, Type};
use sparsym_ir::strategy::{Action, BlockRule, Reuse, Schedule, Strategy, When};
use sparsym_ir::{Bindings, DType, Problem, Span, Tensor};
use sparsym_runtime::engine::{Array, Attention, Engine, LayerPlace, LayerSpec, LayerState, StepError, StepReport};
use sparsym_runtime::{Error, ErrorKind, device};

fn node(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

fn int(value: i64) -> Expr {
    node(ExprKind::Int(value), Type::Int)
}

fn step() -> Expr {
    node(ExprKind::Global(Global::Step), Type::Int)
}

fn since_update() -> Expr {
    node(ExprKind::Global(Global::SinceUpdate), Type::Int)
}

fn binary(a: Expr, op: BinaryOp, b: Expr) -> Expr {
    let ty = match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem => Type::Int,
        _ => Type::Bool,
    };
    node(ExprKind::Binary(op, Box::new(a), Box::new(b)), ty)
}

fn or(a: Expr, b: Expr) -> Expr {
    binary(a, BinaryOp::Or, b)
}

/// `step < warmup || since_update == interval`
fn warmup_then_every(warmup: i64, interval: i64) -> Expr {
    or(binary(step(), BinaryOp::Lt, int(warmup)), binary(since_update(), BinaryOp::Eq, int(interval)))
}

fn or_at(update: Expr, last: i64) -> Expr {
    or(update, binary(step(), BinaryOp::Eq, int(last)))
}

/// `cache q by reuse; update when update;`
fn caching(update: Expr, reuse: Reuse) -> Strategy {
    let when = When::Match { q: None, kv: None, condition: None };
    Strategy {
        rules: vec![BlockRule { action: Action::Cache, when, reuse: Some(reuse), span: Span::default() }],
        schedule: Schedule { update: Some(update), ..Schedule::default() },
        ..Strategy::dense()
    }
}

/// At most `order`, growing by one with each interval after the warm-up, from `first` on.
fn growing_order(order: i64, first: i64, warmup: i64, interval: i64) -> Reuse {
    let intervals = binary(binary(step(), BinaryOp::Sub, int(warmup)), BinaryOp::Div, int(interval));
    let grown = binary(int(first), BinaryOp::Add, intervals);
    Reuse::Taylor(node(ExprKind::Call(Function::Min, vec![int(order), grown]), Type::Int))
}

/// Attention of one token with its arrays.
struct Run {
    attention: Attention,
    qkv: Array,
    o: Array,
    dtype: DType,
}

impl Run {
    fn new(strategy: Strategy, steps: u32) -> Run {
        Run::on(&engine(), strategy, steps, DType::F32)
    }

    fn on(engine: &Engine, strategy: Strategy, steps: u32, dtype: DType) -> Run {
        let (problem, bindings) = (Problem::self_attention(1, 1, 1, 1), Bindings::defaults(&strategy));
        let spec = LayerSpec { strategy, problem, bindings, place: LayerPlace { layer: 0, steps } };
        let array = |name| engine.array(name, &[1, 1, 1, 1], dtype).unwrap();
        Run { attention: engine.attention(spec, dtype).unwrap(), qkv: array("qkv"), o: array("o"), dtype }
    }

    fn state(&self) -> LayerState {
        self.attention.state().unwrap()
    }

    fn step(&self, step: u32, value: f32, state: &mut LayerState) -> Result<(StepReport, Tensor), Error> {
        self.qkv.write(&scalar(value, self.dtype))?;
        let report = self.attention.step(step, [&self.qkv; 3], &self.o, state)?;
        Ok((report, self.o.read()?))
    }
}

fn engine() -> Engine {
    Engine::new(Arc::from(device::open("reference").unwrap())).unwrap()
}

fn scalar(value: f32, dtype: DType) -> Tensor {
    Tensor::from_f32(&[1, 1, 1, 1], dtype, &[value])
}

/// The FX2 feature, s² − 4s + 8.
fn feature(s: u32) -> f32 {
    let s = s as f32;
    s * s - 4.0 * s + 8.0
}

/// Whether a forecast is the number or the next one: the weights of outputs are f32, and thirds and fifths are none. Layers
/// project differences and are exact, `tests/engine.rs`.
fn is_nearest(value: f32, expected: f32) -> bool {
    value == expected || value == expected.next_up() || value == expected.next_down()
}

/// Schedule letters and outputs of a whole run.
fn run(strategy: Strategy, steps: u32) -> (String, Vec<f32>) {
    let run = Run::new(strategy, steps);
    let (mut state, mut letters, mut outputs) = (run.state(), String::new(), Vec::new());
    for s in 0..steps {
        let (report, o) = run.step(s, feature(s), &mut state).unwrap();
        letters.push(match report.kind {
            StepKind::Update => 'F',
            StepKind::Dispatch => 'P',
            StepKind::Dense => 'D',
        });
        assert_eq!(report.order.is_none(), report.kind != StepKind::Dispatch);
        if let Some(symbols) = state.symbols() {
            let problem = Problem::self_attention(1, 1, 1, 1);
            assert_eq!(
                symbols.read(&problem).unwrap().cache.density(),
                0.0,
                "the one row is forecast at every Dispatch"
            );
        }
        outputs.push(o.to_f32()[0]);
    }
    assert_eq!(letters, run.attention.schedule().to_string());
    (letters, outputs)
}

fn schedule(update: Expr, steps: u32) -> String {
    run(caching(update, Reuse::Hold), steps).0
}

#[test]
fn published_schedules_are_followed() {
    assert_eq!(schedule(warmup_then_every(3, 5), 20), "FFFPPPPFPPPPFPPPPFPP");
    assert_eq!(schedule(or_at(warmup_then_every(8, 5), 19), 20), "FFFFFFFFPPPPFPPPPFPF");
    assert_eq!(schedule(warmup_then_every(1, 3), 20), "FPPFPPFPPFPPFPPFPPFP");
    // diffusers: step < 3 || (step - 4) % 5 == 0
    let phase = binary(binary(binary(step(), BinaryOp::Sub, int(4)), BinaryOp::Rem, int(5)), BinaryOp::Eq, int(0));
    let diffusers = or(binary(step(), BinaryOp::Lt, int(3)), phase);
    assert_eq!(schedule(diffusers, 20), "FFFPFPPPPFPPPPFPPPPF");
    let full = |update: Expr, steps| -> Vec<usize> {
        schedule(update, steps).char_indices().filter(|(_, letter)| *letter == 'F').map(|(s, _)| s).collect()
    };
    assert_eq!(full(warmup_then_every(3, 6), 50), [0, 1, 2, 8, 14, 20, 26, 32, 38, 44]);
    assert_eq!(full(warmup_then_every(1, 5), 50), [0, 5, 10, 15, 20, 25, 30, 35, 40, 45]);
    let flash_omni = [0, 1, 2, 3, 4, 5, 6, 7, 12, 17, 22, 27, 32, 37, 42, 47, 49];
    assert_eq!(full(or_at(warmup_then_every(8, 5), 49), 50), flash_omni);
}

#[test]
fn taylor_seer_forecasts_match_the_numbers_worked_out_by_hand() {
    let outputs = |reuse| run(caching(warmup_then_every(3, 4), reuse), 13).1;
    let order_0 = [8.0, 5.0, 4.0, 4.0, 4.0, 4.0, 20.0, 20.0, 20.0, 20.0, 68.0, 68.0, 68.0];
    assert_eq!(outputs(Reuse::Hold), order_0);
    assert_eq!(outputs(Reuse::Taylor(int(0))), order_0);
    assert_eq!(
        outputs(Reuse::Taylor(int(1))),
        [8.0, 5.0, 4.0, 3.0, 2.0, 1.0, 20.0, 24.0, 28.0, 32.0, 68.0, 80.0, 92.0]
    );
    // Its first interval has order 1, because its factors start at the step before the last of the warm-up.
    assert_eq!(
        outputs(growing_order(2, 1, 3, 4)),
        [8.0, 5.0, 4.0, 3.0, 2.0, 1.0, 20.0, 24.625, 30.5, 37.625, 68.0, 81.0, 96.0]
    );
}

#[test]
fn flash_omni_forecasts_match_the_published_trace() {
    let strategy = caching(or_at(warmup_then_every(8, 5), 19), growing_order(2, 0, 8, 5));
    let expected = [29.0, 29.0, 29.0, 29.0, 104.0, 119.0, 134.0, 149.0, 164.0, 229.0, 255.0, 293.0];
    for (value, expected) in run(strategy, 20).1[8..].iter().zip(expected) {
        assert!(is_nearest(*value, expected), "{value}, not {expected}");
    }
}

#[test]
fn the_order_grows_with_history_and_lines_are_forecast_exactly() {
    // Order 1 is exact on a line, and the higher differences of a line are 0.
    let line = caching(warmup_then_every(1, 3), Reuse::Taylor(int(3)));
    let run = Run::new(line, 9);
    let mut state = run.state();
    let mut orders = Vec::new();
    for s in 0..9 {
        let value = 2.0 + 3.0 * s as f32;
        let (report, o) = run.step(s, value, &mut state).unwrap();
        orders.push(report.order);
        if s > 3 {
            assert!(is_nearest(o.to_f32()[0], value), "step {s}: {o:?}");
        }
    }
    let (none, order) = (None, Some);
    assert_eq!(orders, [none, order(0), order(0), none, order(1), order(1), none, order(2), order(2)]);
}

#[test]
fn dense_steps_compute_everything_and_remember_nothing() {
    let mut strategy = caching(warmup_then_every(0, 2), Reuse::Hold);
    strategy.schedule.dense = Some(binary(step(), BinaryOp::Lt, int(2)));
    let (letters, outputs) = run(strategy, 6);
    assert_eq!(letters, "DDFPFP");
    assert_eq!(outputs, [8.0, 5.0, 4.0, 4.0, 8.0, 8.0]);
}

/// Differences are taken of outputs in their own type, in f32, and only the forecast is rounded.
#[test]
fn a_forecast_in_a_half_type_is_rounded_once() {
    let strategy =
        || caching(binary(binary(step(), BinaryOp::Rem, int(3)), BinaryOp::Eq, int(0)), Reuse::Taylor(int(1)));
    for dtype in [DType::F16, DType::Bf16] {
        let run = Run::on(&engine(), strategy(), 5, dtype);
        let mut state = run.state();
        for (s, value) in [(0, 1.0), (1, 0.0), (2, 0.0), (3, 2.0)] {
            run.step(s, value, &mut state).unwrap();
        }
        // The difference is 1/3 and not 1/3 in O's type.
        assert_eq!(run.step(4, 0.0, &mut state).unwrap().1, scalar(2.0 + 1.0 / 3.0, dtype));
    }
}

#[test]
fn hold_repeats_the_output_bit_for_bit() {
    for dtype in [DType::F32, DType::F16, DType::Bf16] {
        let run = Run::on(&engine(), caching(warmup_then_every(1, 5), Reuse::Hold), 4, dtype);
        let mut state = run.state();
        let first = run.step(0, 0.1, &mut state).unwrap().1;
        assert_eq!(first, scalar(0.1, dtype));
        for s in 1..4 {
            assert_eq!(run.step(s, s as f32, &mut state).unwrap().1, first, "step {s}");
        }
    }
}

#[test]
fn a_run_may_start_late_with_an_update() {
    let run = Run::new(caching(warmup_then_every(1, 5), Reuse::Hold), 20);
    let mut state = run.state();
    assert_eq!(step_error(run.step(7, 1.0, &mut state)).0, StepError::NoUpdate { step: 7 });
    let report = run.attention.update(7, [&run.qkv; 3], &run.o, &mut state).unwrap();
    assert_eq!(report.kind, StepKind::Update);
}

fn step_error<T>(result: Result<T, Error>) -> (StepError, ErrorKind) {
    let Err(error) = result else { panic!("expected a step error") };
    let details = error.downcast_ref::<StepError>().unwrap_or_else(|| panic!("expected a step error, got {error}"));
    (*details, error.kind())
}

#[test]
fn misuse_is_a_typed_error_and_leaves_the_state_alone() {
    let engine = engine();
    let of = || Run::on(&engine, caching(warmup_then_every(1, 5), Reuse::Hold), 20, DType::F32);
    let (run_a, run_b) = (of(), of());
    let mut state = run_a.state();
    for s in 0..3 {
        run_a.step(s, 1.0, &mut state).unwrap();
    }
    for s in [1, 2, 4] {
        let error = step_error(run_a.step(s, 1.0, &mut state));
        assert_eq!(error, (StepError::OutOfOrder { step: s, last: 2 }, ErrorKind::Step));
    }
    assert_eq!(step_error(run_b.step(3, 1.0, &mut state)).0, StepError::OtherLayer);
    assert_eq!(step_error(run_a.step(20, 1.0, &mut state)).0, StepError::BeyondRun { step: 20, steps: 20 });

    let x = &run_a.qkv;
    let wide = engine.place("wide", &Tensor::from_f32(&[1, 1, 1, 2], DType::F32, &[1.0, 2.0])).unwrap();
    let error = run_a.attention.step(3, [&wide, x, x], &run_a.o, &mut state).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Input);
    let half = engine.place("half", &scalar(1.0, DType::F16)).unwrap();
    let error = run_a.attention.step(3, [&half; 3], &run_a.o, &mut state).unwrap_err();
    assert!(error.to_string().contains("q is f16"), "{error}");
    assert!(error.to_string().contains("this layer is f32"), "{error}");
    run_a.step(3, 1.0, &mut state).unwrap();
}
