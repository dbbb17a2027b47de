//! The published fixtures of rules that read tensor data: FX0, FX1, FX3, FX6, FX7 and FX8, bit for bit.

mod build;

use build::*;
use sparsym_ir::expr::{
    Axis, BlockSum, Coordinate, Cover, CoverRule, Expr, ExprKind, Function, Global, Measure, Reduction, Side, Type,
};
use sparsym_ir::problem::{Layout, LayoutRange};
use sparsym_ir::strategy::{Action, BlockRule, Grid, TokenRange};
use sparsym_ir::{Moment, Problem, Strategy, Symbols, Tensor};

/// FX0: the six conventions of cumulative mass on p = [0.25, 0.5, 0.125, 0.125].
#[test]
fn mass_conventions() {
    let p = || read(0, &[Q, Kv]);
    let (problem, q, k) = of_scores([[0.25, 0.5, 0.125, 0.125]; 4]);
    let mass = || order(Measure::Mass, true, p());
    let before = || order(Measure::MassBefore, true, p());
    let rank = || order(Measure::Rank, true, p());
    let total = || reduce(Reduction::Sum, all(Axis::Kv), p());
    let keep = |condition| vec![rule(Action::Keep, condition), otherwise(Action::Skip)];
    for (tau, expected) in [
        (0.75, ["1100", "1100", "1110", "1110", "1100", "1100"]),
        (0.70, ["0100", "1100", "1100", "1100", "1100", "1100"]),
    ] {
        let rules: [Vec<BlockRule>; 6] = [
            keep(op(op(mass(), "<=", float(tau)), "||", op(rank(), "<", int(1)))),
            keep(op(before(), "<", op(float(tau), "*", total()))),
            keep(op(before(), "<=", float(tau))),
            keep(op(op(before(), "<=", float(tau)), "||", op(rank(), "<", int(1)))),
            keep(op(float(tau), ">", before())),
            vec![rule(Action::Skip, op(order(Measure::Mass, false, p()), "<=", float(1.0 - tau)))],
        ];
        for (n, (rules, expected)) in rules.into_iter().zip(expected).enumerate() {
            let strategy = strategy(vec![map("p", &[(Q, None), (Kv, None)], dot(false))], rules);
            assert_eq!(rows(&run(&strategy, &problem, &q, &k).0, 0), [expected; 4].join(" "), "M{} at {tau}", n + 1);
        }
    }
}

/// FX1: FlashOmni at step 40 of 50.
#[test]
fn flash_omni() {
    #[rustfmt::skip]
    let (q, k) = (
        repeated(&[
            &[[1,-2,-1,-2],[3,-3,-3,0],[2,0,3,2],[3,3,-1,-1],[0,-1,-2,1],[-3,3,2,1],[-1,2,-1,3],[0,-2,1,1],[3,3,0,2],[1,-2,1,0],[-3,3,3,2],[1,-3,0,-3]],
            &[[2,2,-2,2],[-3,-3,0,-3],[1,0,-2,-1],[0,-3,2,0],[1,2,-2,-3],[3,0,-3,-2],[-1,-1,-2,-2],[-2,-1,1,-2],[1,1,1,1],[3,-1,-1,0],[-1,-3,2,-1],[0,2,0,0]],
        ], 8),
        repeated(&[
            &[[-3,2,0,1],[-1,-3,0,1],[-2,-3,-1,-2],[-3,-3,1,1],[-3,0,0,3],[1,3,-1,-3],[-2,0,-1,-3],[1,3,-3,2],[-3,-2,-3,1],[1,-2,3,-2],[-3,-3,-1,-1],[-1,3,-2,2]],
            &[[2,3,1,3],[2,3,3,3],[1,2,-2,0],[-1,-3,0,1],[-2,3,-1,0],[0,0,0,-2],[-3,2,3,1],[2,1,1,-2],[2,-1,0,1],[2,3,-1,1],[-1,0,3,2],[3,1,-2,-2]],
        ], 8),
    );
    let (text, vision) = (0, 1);
    let problem = Problem {
        layout: Layout { ranges: vec![LayoutRange::plain("text", 32), LayoutRange::plain("vision", 64)] },
        ..problem(96, 2, 4)
    };
    let s = || read(0, &[Q, Kv]);
    let maps = vec![
        map("s", &[(Q, None), (Kv, None)], op(dot(false), "/", sqrt_d())),
        map(
            "seen",
            &[(Kv, Some(vision))],
            softmax(within(Axis::Kv, vision), reduce(Reduction::Sum, within(Axis::Q, text), s())),
        ),
        map(
            "looks",
            &[(Q, Some(vision))],
            softmax(within(Axis::Q, vision), reduce(Reduction::Sum, within(Axis::Kv, text), s())),
        ),
    ];
    let done = || op(to_float(global(Global::Step)), "/", to_float(global(Global::Steps)));
    let ramp = |tau| op(float(tau), "*", op(done(), "*", done()));
    let r = op(op(read(1, &[Q]), "+", read(2, &[Q])), "/", float(2.0));
    let rules = vec![
        rule_in(Action::Cache, Some(vision), op(order(Measure::Mass, false, r), "<=", ramp(0.5))),
        rule(Action::Skip, op(order(Measure::Mass, false, softmax(all(Axis::Kv), s())), "<=", ramp(0.15))),
    ];
    let strategy = Strategy { tokens: vec![range("text"), range("vision")], ..strategy(maps, rules) };
    let (symbols, margins) = run_at(&strategy, &problem, &q, &k, Moment { step: 40, steps: 50, ..Moment::default() });
    assert_eq!([cached(&symbols, 0), cached(&symbols, 1)], ["111101", "110011"]);
    assert_eq!(symbols.cache.density(), 0.75);
    assert_eq!(rows(&symbols, 0), "010110 101100 101101 111011 101111 111011");
    assert_eq!(rows(&symbols, 1), "011011 011111 011011 011100 100011 111101");
    assert_eq!(
        flash_omni_bytes(&symbols),
        (vec![0x5f, 0x0e], vec![0x9a, 0xdd, 0xf8, 0xad, 0x7d, 0x3b, 0x7d, 0x7c, 0xbf])
    );
    assert!(least(&margins.cache) > 5e-3 && least(&margins.skip) > 5e-3, "{margins:?}");
    assert_eq!(margins.cache[..2], [f32::INFINITY; 2], "no rule looks at text");
}

/// FlashOmni's layout: flat bits `[q block][head]` and `[q block][head][kv block]`, little-endian in bytes.
fn flash_omni_bytes(symbols: &Symbols) -> (Vec<u8>, Vec<u8>) {
    let (mut cache, mut skip) = (Vec::new(), Vec::new());
    for i in 0..symbols.cache.q_blocks() {
        for h in 0..symbols.cache.heads() {
            cache.push(symbols.cache.get(0, h, i));
            skip.extend((0..symbols.skip.kv_blocks()).map(|j| symbols.skip.get(0, h, i, j)));
        }
    }
    let packed = |bits: &[bool]| {
        bits.chunks(8).map(|byte| (0..byte.len()).map(|n| u8::from(byte[n]) << n).sum()).collect::<Vec<u8>>()
    };
    (packed(&cache), packed(&skip))
}

/// FX3: SpargeAttn with θ = 0.5.
#[test]
fn sparge_attn() {
    let q = [[2, 0], [1, -2], [-1, -2], [-2, 0], [-1, 1], [0, 2], [-1, 1], [2, -2]];
    let k = [[1, 2], [-1, 1], [1, 1], [0, 1], [2, -1], [2, -1], [-1, -2], [1, 0]];
    let (q, k) = (repeated(&[&q], 8), repeated(&[&k], 8));
    let mass = |tau| {
        let p = || read(0, &[Q, Kv]);
        op(
            op(order(Measure::Mass, true, p()), "<=", float(tau)),
            "||",
            op(order(Measure::Rank, true, p()), "<", int(1)),
        )
    };
    let half = call(Function::Floor, vec![op(float(0.5), "*", float(4.0))]);
    let top_k = op(order(Measure::Rank, true, read(0, &[Q, Kv])), "<", half);
    for (selected, causal, centered, expected) in [
        (mass(0.8), false, false, "0011 1101 1001 1111"),
        (top_k, false, false, "0111 1101 1101 1111"),
        (mass(0.8), true, false, "1000 1000 1000 1111"),
        (mass(0.8), false, true, "0011 1101 1001 1111"),
    ] {
        let similar = |side: Side| op(selfsim(side, centered && side == Kv), ">", float(0.5));
        let past = |visible| if causal { op(visible, "&&", op(block(Kv), "<=", block(Q))) } else { visible };
        let p = softmax(seeing(Axis::Kv, past(similar(Kv))), op(dot(centered), "/", sqrt_d()));
        let mut rules = vec![
            rule(Action::Keep, selected),
            rule(Action::Keep, not(similar(Kv))),
            rule(Action::Keep, not(similar(Q))),
            otherwise(Action::Skip),
        ];
        if causal {
            rules.push(rule(Action::Skip, op(block(Kv), ">", block(Q))));
        }
        let strategy = strategy(vec![map("p", &[(Q, None), (Kv, None)], p)], rules);
        let (symbols, margins) = run(&strategy, &problem(64, 1, 2), &q, &k);
        assert_eq!(rows(&symbols, 0), expected, "causal {causal}, centered {centered}");
        assert!(least(&margins.skip) > 0.03, "{:?}", margins.skip);
    }
}

/// FX6: block top-k with ties, and a percentile of all scores of a head.
#[test]
fn top_k_and_percentile() {
    let (problem, q, k) = of_scores([[3., 1., 2., 2.], [0., 4., 4., 1.], [5., 5., 5., 0.], [1., 2., 3., 4.]]);
    let share = |x: f64| op(float(x), "*", float(4.0));
    let rank = || order(Measure::Rank, true, dot(false));
    let ceil = |x| call(Function::Ceil, vec![share(1.0 - x)]);
    let floor = |x| call(Function::Floor, vec![share(x)]);
    let percentile = |x| op(dot(false), ">=", percentile_per_head(dot(false), x));
    for (name, condition, expected) in [
        ("VSA 0.6", op(rank(), "<", ceil(0.6)), "1010 0110 1100 0011"),
        ("VSA 0.9", op(rank(), "<", call(Function::Max, vec![int(1), ceil(0.9)])), "1000 0100 1000 0001"),
        ("SLA 0.6", op(rank(), "<", floor(0.6)), "1010 0110 1100 0011"),
        ("SLA 0.2", op(rank(), "<", floor(0.2)), "0000 0000 0000 0000"),
        ("more than there are", op(rank(), "<", int(9)), "1111 1111 1111 1111"),
        ("drop 50 %", percentile(0.5), "1011 0110 1110 0111"),
        ("drop 75 %", percentile(0.75), "0000 0110 1110 0001"),
    ] {
        let strategy = strategy(Vec::new(), vec![rule(Action::Keep, condition), otherwise(Action::Skip)]);
        assert_eq!(rows(&run(&strategy, &problem, &q, &k).0, 0), expected, "{name}");
    }
}

/// FX7: Radial Attention with 64 tokens a frame, eight times the fixture's like the block, so that all ratios are its own.
#[test]
fn radial() {
    for (decay, frames, near) in [(1.0, 10, "1110 1111 1111 0111"), (0.5, 5, "1100 1110 0111 0011")] {
        let problem = Problem {
            layout: Layout { ranges: vec![LayoutRange::grid("video", [frames, 8, 8])] },
            ..problem(frames * 64, 1, 2)
        };
        let zeros = Tensor::zeros(&problem.q_shape(), sparsym_ir::DType::F32);
        let apart = |of| call(Function::Abs, vec![op(coordinate(Q, of), "-", coordinate(Kv, of))]);
        let delta = || apart(Coordinate::T);
        let halvings = to_float(call(Function::BitLength, vec![delta()]));
        let length = op(float(128.0), "/", call(Function::Exp2, vec![halvings]));
        let width = call(Function::Max, vec![op(float(decay), "*", length.clone()), float(16.0)]);
        let band = op(op(delta(), "<=", int(1)), "||", op(to_float(apart(Coordinate::Cell)), "<=", width));
        let every = call(Function::Floor, vec![op(float(16.0), "/", length.clone())]);
        let every = call(Function::Max, vec![int(1), every]);
        let kept = op(op(length, ">=", float(16.0)), "||", op(op(delta(), "%", every), "==", int(0)));
        let cover = Cover {
            rule: CoverRule::Fraction { least: op(float(1.0), "/", float(3.0)), share: float(0.6) },
            per_frame: true,
            mask: op(band, "&&", kept),
        };
        let covered = Expr { kind: ExprKind::Cover(Box::new(cover)), ..expr(ExprKind::Bool(true), Type::Bool) };
        let video = TokenRange { grid: Some(Grid::Raster), ..range("video") };
        let rules = vec![rule(Action::Keep, covered), otherwise(Action::Skip)];
        let strategy = Strategy { tokens: vec![video], ..strategy(Vec::new(), rules) };
        let (symbols, margins) = run(&strategy, &problem, &zeros, &zeros);
        let rows = rows(&symbols, 0);
        let rows: Vec<&str> = rows.split(' ').collect();
        for (i, j) in (0..frames).flat_map(|i| (0..frames).map(move |j| (i, j))) {
            let expected = match i.abs_diff(j) {
                0 | 1 => "1111 1111 1111 1111",
                2 | 3 => near,
                9 => "0000 0000 0000 0000",
                _ => "1100 1110 0111 0011",
            };
            let found: Vec<&str> = (0..4).map(|n| &rows[i * 4 + n][j * 4..j * 4 + 4]).collect();
            assert_eq!(found.join(" "), expected, "decay {decay}, frames {i} and {j}");
        }
        assert_eq!(least(&margins.skip), f32::INFINITY, "nothing was read of Q and K");
    }
}

/// FX8: XAttention; each token four times and a stride four times as long, so antidiagonal sums are four times as large.
#[test]
fn x_attention() {
    #[rustfmt::skip]
    let q = [[-1,-1],[2,-2],[-2,-1],[1,0],[-1,0],[-2,2],[2,-1],[-1,1],[-2,-2],[2,1],[-1,1],[0,0],[-1,1],[2,-2],[0,0],[1,-2]];
    #[rustfmt::skip]
    let k = [[2,-2],[-2,-1],[1,-1],[0,2],[2,-2],[-2,-1],[1,0],[-2,-2],[-2,0],[2,2],[2,1],[-2,-1],[0,1],[0,1],[-2,1],[1,2]];
    let (q, k) = (repeated(&[&q], 4), repeated(&[&k], 4));
    for (causal, expected) in [(false, "1100 0011 1110 1100"), (true, "1000 1100 1110 1101")] {
        let past = || op(block(Kv), "<=", block(Q));
        let antidiag = expr(ExprKind::Antidiag, Type::Float);
        let sum = BlockSum {
            stride: int(8),
            logit: op(antidiag, "/", op(float(8.0), "*", sqrt_d())),
            visible: causal.then(past),
        };
        let score = map("score", &[(Q, None), (Kv, None)], expr(ExprKind::BlockSum(Box::new(sum)), Type::Float));
        let b = || read(0, &[Q, Kv]);
        let forced = op(op(block(Kv), "==", int(0)), "||", op(block(Kv), "==", block(Q)));
        let before = seeded(Measure::MassBefore, true, causal.then_some(forced), b());
        let bound = op(float(0.75), "*", reduce(Reduction::Sum, all(Axis::Kv), b()));
        let mut rules = vec![rule(Action::Keep, op(before, "<", bound)), otherwise(Action::Skip)];
        if causal {
            rules.push(rule(Action::Skip, not(past())));
        }
        let (symbols, margins) = run(&strategy(vec![score], rules), &problem(64, 1, 2), &q, &k);
        assert_eq!(rows(&symbols, 0), expected, "causal {causal}");
        assert!(least(&margins.skip) > 0.02, "{:?}", margins.skip);
    }
}
