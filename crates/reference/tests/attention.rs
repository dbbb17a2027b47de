//! The oracle against what can be said without it: closed forms, other shapes of the same problem, and the law of symbols.

use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Side, Type};
use sparsym_ir::problem::Ragged;
use sparsym_ir::strategy::{Blocks, TokenRule};
use sparsym_ir::symbols::SkipSymbol;
use sparsym_ir::{
    AttentionCall, AttentionOutput, Bindings, Bound, DType, Forecast, Moment, Problem, Span, Strategy, Symbols, Tensor,
};
use sparsym_reference::{attention, exact, same_precision};

const D: usize = 4;

#[test]
fn two_tokens_by_hand() {
    let problem = Problem { scale: 0.5, ..problem(2, 1) };
    let q = tensor(&problem.q_shape(), &[2., 0., 0., 0., 0., 0., 0., 0.]);
    let k = tensor(&problem.q_shape(), &[1., 0., 0., 0., 3., 0., 0., 0.]);
    let v = tensor(&problem.q_shape(), &[1., 0., 0., 4., 0., 1., 0., 8.]);
    let out = run(&problem, [&q, &k, &v], &symbols(&problem), None);
    let (a, b) = (1f64.exp(), 3f64.exp()); // logits 1 and 3
    close(&out.o.to_f32()[..4], &[a / (a + b), b / (a + b), 0.0, (4.0 * a + 8.0 * b) / (a + b)]);
    close(&out.o.to_f32()[4..], &[0.5, 0.5, 0.0, 6.0]);
    close(&out.lse, &[(a + b).ln(), 2f64.ln()]);
}

#[test]
fn grouped_heads_read_their_kv_head() {
    let grouped = Problem { heads: 4, kv_heads: 2, ..problem(20, 1) };
    let every = Problem { heads: 4, ..problem(20, 4) };
    let q = random(&grouped.q_shape(), 1);
    let (k, v) = (random(&grouped.kv_shape(), 2), random(&grouped.kv_shape(), 3));
    let repeated = |x: &Tensor| {
        let rows = x
            .to_f32()
            .chunks(2 * D)
            .flat_map(|row| [&row[..D], &row[..D], &row[D..], &row[D..]].concat())
            .collect::<Vec<_>>();
        tensor(&every.kv_shape(), &rows)
    };
    let found = run(&grouped, [&q, &k, &v], &symbols(&grouped), None);
    let expected = run(&every, [&q, &repeated(&k), &repeated(&v)], &symbols(&every), None);
    assert_eq!((found.o, found.lse), (expected.o, expected.lse));
}

#[test]
fn skipped_blocks_do_not_count_and_an_empty_row_is_0() {
    let (whole, first) = (problem(48, 1), problem(16, 1));
    let tensors = [4, 5, 6].map(|seed| random(&whole.q_shape(), seed));
    let mut sparse = symbols(&whole);
    for (i, j) in [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2)] {
        sparse.skip.set(0, 0, i, j, false);
    }
    let found = run(&whole, tensors.each_ref(), &sparse, None);
    let head = tensors.each_ref().map(|x| tensor(&first.q_shape(), &x.to_f32()[..16 * D]));
    let expected = run(&first, head.each_ref(), &symbols(&first), None);
    assert_eq!(found.o.to_f32()[..16 * D], expected.o.to_f32());
    assert_eq!(found.o.to_f32()[16 * D..32 * D], [0.0; 16 * D]);
    assert!(found.lse[16..32].iter().all(|&lse| lse == f32::NEG_INFINITY));
    assert!(found.lse[32..].iter().all(|lse| lse.is_finite()));
}

#[test]
fn cached_rows_are_the_forecast_or_0() {
    let problem = problem(32, 1);
    let tensors = [7, 8, 9].map(|seed| random(&problem.q_shape(), seed));
    let features = [10, 11, 12, 13].map(|seed| random(&problem.q_shape(), seed));
    let mut cached = symbols(&problem);
    cached.cache.set(0, 0, 1, false);
    let computed = run(&problem, tensors.each_ref(), &symbols(&problem), None);
    for order in 0..4 {
        let coefficients = [1.0, 2.0, 2.0, 4.0 / 3.0][..=order].to_vec();
        let forecast =
            Forecast { features: features.iter().take(order + 1).collect(), coefficients: coefficients.clone() };
        let found = run(&problem, tensors.each_ref(), &cached, Some(forecast));
        assert_eq!(found.o.to_f32()[..16 * D], computed.o.to_f32()[..16 * D], "order {order}");
        for n in 16 * D..32 * D {
            let sum: f64 = (0..=order).map(|k| f64::from(coefficients[k]) * f64::from(features[k].to_f32()[n])).sum();
            assert_eq!(found.o.to_f32()[n], sum as f32, "order {order}");
        }
        assert!(found.lse[16..].iter().all(|&lse| lse == f32::NEG_INFINITY));
    }
    assert_eq!(run(&problem, tensors.each_ref(), &cached, None).o.to_f32()[16 * D..], [0.0; 16 * D]);
}

#[test]
fn a_ragged_batch_is_its_sequences_one_by_one() {
    let (ends, heads) = ([0u32, 20, 20, 25], 2);
    let indptr = Ragged { q: ends.to_vec(), kv: ends.to_vec() };
    let packed = Problem { batch: 3, n_q: 20, n_kv: 20, ragged: Some(indptr), ..problem(20, heads) };
    let tensors = [14, 15, 16].map(|seed| random(&packed.q_shape(), seed));
    let found = run_with(&causal(), &packed, tensors.each_ref(), &symbols_of_mask(&packed), None);
    for b in [0, 2] {
        let rows = packed.q_rows(b);
        let alone = problem(rows.len(), heads);
        let part = |x: &Tensor| tensor(&alone.q_shape(), &x.to_f32()[rows.start * heads * D..rows.end * heads * D]);
        let expected =
            run_with(&causal(), &alone, tensors.each_ref().map(part).each_ref(), &symbols_of_mask(&alone), None);
        assert_eq!(found.o.to_f32()[rows.start * heads * D..rows.end * heads * D], expected.o.to_f32());
        for h in 0..heads {
            let from = h * 25;
            assert_eq!(
                found.lse[from + rows.start..from + rows.end],
                expected.lse[h * rows.len()..(h + 1) * rows.len()]
            );
        }
    }
}

#[test]
fn nan_and_infinity_reach_the_rows_that_touch_them_only() {
    let problem = problem(32, 1);
    for (which, value) in [(1, f32::NAN), (2, f32::NAN), (2, f32::INFINITY)] {
        let mut tensors = [17, 18, 19].map(|seed| random(&problem.q_shape(), seed).to_f32());
        tensors[which][21 * D] = value; // token 21, first element
        let tensors = tensors.map(|values| tensor(&problem.q_shape(), &values));
        let out = run_with(&causal(), &problem, tensors.each_ref(), &symbols_of_mask(&problem), None).o.to_f32();
        for (token, row) in out.chunks(D).enumerate() {
            assert_eq!(row.iter().all(|v| v.is_finite()), token < 21, "token {token}");
        }
    }
}

#[test]
fn logits_of_minus_infinity_weigh_nothing() {
    let problem = problem(2, 1);
    let q = tensor(&problem.q_shape(), &[1., 0., 0., 0., -1., 0., 0., 0.]);
    let k = tensor(&problem.q_shape(), &[f32::NEG_INFINITY, 0., 0., 0., f32::NEG_INFINITY, 0., 0., 0.]);
    let out = run(&problem, [&q, &k, &random(&problem.q_shape(), 20)], &symbols(&problem), None);
    assert_eq!(out.o.to_f32()[..D], [0.0; D]);
    assert_eq!(out.lse[0], f32::NEG_INFINITY);
    assert!(out.o.to_f32()[D..].iter().all(|v| v.is_nan()), "+inf - +inf");
}

#[test]
fn same_precision_loses_what_its_type_loses() {
    let problem = problem(64, 2);
    for (dtype, bound) in [(DType::F32, 3e-6), (DType::F16, 3e-3), (DType::Bf16, 2e-2)] {
        let values = [21, 22, 23].map(|seed| random(&problem.q_shape(), seed).to_f32());
        let tensors = values.map(|values| Tensor::from_f32(&problem.q_shape(), dtype, &values));
        let (strategy, bindings) = (Strategy::dense(), Bindings::default());
        let bound_to = Bound::new(&strategy, &problem, &bindings).unwrap();
        let [q, k, v] = &tensors;
        let symbols = symbols(&problem);
        let call =
            AttentionCall { bound: &bound_to, moment: Moment::default(), q, k, v, symbols: &symbols, forecast: None };
        let (exact, rounded) = (exact(&call).unwrap(), same_precision(&call).unwrap());
        let errors = rounded.o.to_f32().into_iter().zip(&exact.o).map(|(found, o)| (f64::from(found) - o).abs());
        let worst = errors.fold(0.0, f64::max);
        assert!(worst > 0.0 && worst < bound, "{}: {worst}", dtype.name());
    }
}

#[test]
fn a_wrong_shape_is_a_finding() {
    let (problem, strategy, bindings) = (problem(16, 1), Strategy::dense(), Bindings::default());
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
    let (q, k) = (random(&problem.q_shape(), 24), random(&[1, 15, 1, D], 25));
    let symbols = symbols(&problem);
    let moment = Moment::default();
    let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &q, symbols: &symbols, forecast: None };
    assert!(attention(&call).unwrap_err().to_string().contains("k has shape"));
}

fn problem(n: usize, heads: usize) -> Problem {
    Problem { blocks: Blocks { q: 16, kv: 16 }, ..Problem::self_attention(1, n, heads, D) }
}

fn symbols(problem: &Problem) -> Symbols {
    Symbols::dense(problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks())
}

/// Everything computed and nothing known to be full, beside a mask.
fn symbols_of_mask(problem: &Problem) -> Symbols {
    let (t_q, t_kv) = (problem.q_blocks(), problem.kv_blocks());
    let none = vec![0; problem.batch * problem.heads * t_q * t_kv];
    Symbols { full: Some(SkipSymbol::pack(problem.batch, problem.heads, t_q, t_kv, &none)), ..symbols(problem) }
}

fn causal() -> Strategy {
    let expr = |kind, ty| Expr { kind, ty, span: Span::default() };
    let pos = |side| Box::new(expr(ExprKind::Coordinate(side, Coordinate::Pos), Type::Int));
    let value = expr(ExprKind::Binary(BinaryOp::Le, pos(Side::Kv), pos(Side::Q)), Type::Bool);
    Strategy { mask: Some(TokenRule { value, span: Span::default() }), ..Strategy::dense() }
}

fn run(
    problem: &Problem,
    qkv: [&Tensor; 3],
    symbols: &Symbols,
    forecast: Option<Forecast<&Tensor>>,
) -> AttentionOutput {
    run_with(&Strategy::dense(), problem, qkv, symbols, forecast)
}

fn run_with(
    strategy: &Strategy,
    problem: &Problem,
    [q, k, v]: [&Tensor; 3],
    symbols: &Symbols,
    forecast: Option<Forecast<&Tensor>>,
) -> AttentionOutput {
    let bindings = Bindings::default();
    let bound = Bound::new(strategy, problem, &bindings).unwrap_or_else(|findings| panic!("{findings}"));
    let call = AttentionCall { bound: &bound, moment: Moment::default(), q, k, v, symbols, forecast };
    attention(&call).unwrap_or_else(|findings| panic!("{findings}"))
}

fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(shape, DType::F32, values)
}

/// Numbers in -1..1 from a linear congruential generator.
fn random(shape: &[usize], seed: u32) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9);
    let next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = std::iter::repeat_with(next).take(shape.iter().product()).collect();
    tensor(shape, &values)
}

fn close(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((f64::from(*found) - expected).abs() < 1e-6, "{found} is not {expected}");
    }
}
