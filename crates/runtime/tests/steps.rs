//! Update–Dispatch loops through the public API: published schedules, forecasts worked out by hand, and misuse.
//!
//! The layer has one token, which attends to itself: O = V exactly, so V = F(step) makes the cached feature a scalar
//! function of the step.

use std::sync::Arc;

use sparsym_ir::eval::StepKind;
use sparsym_ir::expr::{BinaryOp, Expr, ExprKind, Function, Global, Type};
use sparsym_ir::strategy::{Action, BlockRule, Reuse, Schedule, Strategy, When};
use sparsym_ir::{Bindings, DType, Problem, Span, Tensor};
use sparsym_runtime::step::{AttentionLayer, LayerPlace, StepError};
use sparsym_runtime::{AttentionState, Error, device};

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

fn layer(strategy: Strategy, steps: u32) -> AttentionLayer {
    let problem = Problem::self_attention(1, 1, 1, 1);
    let bindings = Bindings::defaults(&strategy);
    let device = Arc::from(device::open("reference").unwrap());
    AttentionLayer::new(strategy, problem, bindings, LayerPlace { layer: 0, steps }, device).unwrap()
}

fn scalar(value: f32) -> Tensor {
    Tensor::from_f32(&[1, 1, 1, 1], DType::F32, &[value])
}

/// The FX2 feature, s² − 4s + 8.
fn feature(s: u32) -> f32 {
    let s = s as f32;
    s * s - 4.0 * s + 8.0
}

/// Schedule letters and outputs of a whole run.
fn run(strategy: Strategy, steps: u32) -> (String, Vec<f32>) {
    let layer = layer(strategy, steps);
    let mut state = AttentionState::new();
    let (mut letters, mut outputs) = (String::new(), Vec::new());
    for s in 0..steps {
        let x = scalar(feature(s));
        let out = layer.step(s, &x, &x, &x, &mut state).unwrap();
        letters.push(match out.kind {
            StepKind::Update => 'F',
            StepKind::Dispatch => 'P',
            StepKind::Dense => 'D',
        });
        let computed = out.kind != StepKind::Dispatch;
        assert_eq!((out.density_c, out.order.is_none()), (f64::from(u8::from(computed)), computed));
        outputs.push(out.o.to_f32()[0]);
    }
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
    assert_eq!(run(strategy, 20).1[8..], expected);
}

#[test]
fn the_order_grows_with_history_and_lines_are_forecast_exactly() {
    // Order 1 is exact on a line, and the higher differences of a line are 0.
    let line = caching(warmup_then_every(1, 3), Reuse::Taylor(int(3)));
    let layer = layer(line, 9);
    let mut state = AttentionState::new();
    let mut orders = Vec::new();
    for s in 0..9 {
        let x = scalar(2.0 + 3.0 * s as f32);
        let out = layer.step(s, &x, &x, &x, &mut state).unwrap();
        orders.push(out.order);
        if s > 3 {
            assert_eq!(out.o, x, "step {s}");
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

#[test]
fn a_run_may_start_late_with_an_update() {
    let layer = layer(caching(warmup_then_every(1, 5), Reuse::Hold), 20);
    let out = layer.step(7, &scalar(1.0), &scalar(1.0), &scalar(1.0), &mut AttentionState::new()).unwrap();
    assert_eq!(out.kind, StepKind::Update);
}

#[test]
fn misuse_is_a_typed_error_and_leaves_the_state_alone() {
    let layer_a = layer(caching(warmup_then_every(1, 5), Reuse::Hold), 20);
    let layer_b = layer(caching(warmup_then_every(1, 5), Reuse::Hold), 20);
    let mut state = AttentionState::new();
    let x = scalar(1.0);
    for s in 0..3 {
        layer_a.step(s, &x, &x, &x, &mut state).unwrap();
    }
    let step_error = |result: Result<_, Error>| match result {
        Err(error @ Error::Step(kind)) => (kind, error.class().exit_status()),
        Err(other) => panic!("expected a step error, got {other}"),
        Ok(_) => panic!("expected a step error"),
    };
    let run = |layer: &AttentionLayer, s, state: &mut AttentionState| layer.step(s, &x, &x, &x, state).map(|_| ());
    for s in [1, 2, 4] {
        let error = step_error(run(&layer_a, s, &mut state));
        assert_eq!(error, (StepError::OutOfOrder { step: s, last: 2 }, 2));
    }
    assert_eq!(step_error(run(&layer_b, 3, &mut state)).0, StepError::OtherLayer);
    assert_eq!(step_error(run(&layer_a, 20, &mut state)).0, StepError::BeyondRun { step: 20, steps: 20 });

    let wide = Tensor::from_f32(&[1, 1, 1, 2], DType::F32, &[1.0, 2.0]);
    let error = layer_a.step(3, &wide, &x, &x, &mut state).unwrap_err();
    assert_eq!(error.class().exit_status(), 3);
    let half = Tensor::from_f32(&[1, 1, 1, 1], DType::F16, &[1.0]);
    let error = layer_a.step(3, &half, &half, &half, &mut state).unwrap_err();
    assert!(error.to_string().contains("cache is f32 but q is f16"), "{error}");
    run(&layer_a, 3, &mut state).unwrap();
}
