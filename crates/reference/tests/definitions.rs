//! What the definitions of maps, lines and covers say at their edges, and that margins keep their promise.

mod build;

use build::*;
use sparsym_ir::bind::TableData;
use sparsym_ir::expr::{
    Axis, BlockSum, Coordinate, Cover, CoverRule, Expr, ExprKind, Global, Line, Measure, Order, Reduction, Running,
    Softmax, Type, Within,
};
use sparsym_ir::problem::{Layout, LayoutRange, Ragged};
use sparsym_ir::strategy::{Action, Blocks, Element, Grid, Scalar, Table, TableAxis, TableId, TokenRange};
use sparsym_ir::{Bindings, Bound, DType, Moment, Problem, Span, Strategy, SymbolsCall, Tensor};
use sparsym_reference::margin::distance;
use sparsym_reference::symbols::symbols;

/// Asserts that `value` is `expected[i][j]` at each block pair of a head, NaN included.
fn values<const J: usize>(
    base: &Strategy,
    problem: &Problem,
    [q, k]: [&Tensor; 2],
    head: usize,
    value: &Expr,
    expected: &[[f32; J]],
) {
    let mut rules = Vec::new();
    for (i, row) in expected.iter().enumerate() {
        for (j, &x) in row.iter().enumerate() {
            let here = op(op(block(Q), "==", int(i as i64)), "&&", op(block(Kv), "==", int(j as i64)));
            let same = if x.is_nan() {
                op(value.clone(), "!=", value.clone())
            } else if x.is_infinite() {
                op(value.clone(), "==", float(x.into()))
            } else {
                let near = |by: f64| float(f64::from(x) + by);
                op(op(value.clone(), ">=", near(-1e-6)), "&&", op(value.clone(), "<=", near(1e-6)))
            };
            rules.push(rule(Action::Keep, op(here, "&&", same)));
        }
    }
    rules.push(otherwise(Action::Skip));
    let found = rows(&run(&Strategy { rules, ..base.clone() }, problem, q, k).0, head);
    let all: Vec<String> = expected.iter().map(|row| "1".repeat(row.len())).collect();
    assert_eq!(found, all.join(" "), "{expected:?}");
}

fn tensor(shape: &[usize], value: impl Fn(usize) -> f32) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(value).collect();
    Tensor::from_f32(shape, DType::F32, &values)
}

/// Numbers in 0..1 from a linear congruential generator.
fn random(seed: u32) -> impl FnMut() -> f32 {
    let mut state = seed.wrapping_mul(0x9e37_79b9) + 1;
    move || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 24) as f32
    }
}

#[test]
fn means_and_similarities_use_the_tokens_that_exist() {
    // Block 0 is 8 times (1, 0) and 8 times (0, 1), block 1 is 8 times (4, 0).
    let problem = problem(24, 1, 2);
    let of = |token: usize| [[1.0, 0.0], [0.0, 1.0], [4.0, 0.0]][token / 8];
    let k = tensor(&problem.kv_shape(), |n| of(n / 2)[n % 2]);
    let q = tensor(&problem.q_shape(), |_| 1.0);
    let check =
        |value: Expr, expected: [f32; 2]| values(&Strategy::dense(), &problem, [&q, &k], 0, &value, &[expected; 2]);
    check(dot(false), [1.0, 4.0]);
    // All cosines of a block: half of them 1, half of them 0.
    check(selfsim(Kv, false), [0.5, 1.0]);
    // The mean (5/3, 1/3) is subtracted first: (-2/3, -1/3), (-5/3, 2/3) and (7/3, -1/3).
    check(dot(true), [-1.0, 2.0]);
    let cos = (10.0 - 2.0) / (5f32 * 29.0).sqrt();
    check(selfsim(Kv, true), [(1.0 + cos) / 2.0, 1.0]);
    check(selfsim(Q, false), [1.0, 1.0]);
    check(to_float(coordinate(Kv, Coordinate::Len)), [16.0, 8.0]);
    let weighted =
        Softmax { over: all(Axis::Kv), weight: Some(to_float(coordinate(Kv, Coordinate::Len))), value: float(0.0) };
    check(expr(ExprKind::Softmax(Box::new(weighted)), Type::Float), [2.0 / 3.0, 1.0 / 3.0]);
    // A token of 0 has no direction: Q is constant, so it is 0 less its mean.
    check(expr(ExprKind::SelfSim { of: Q, centered: true }, Type::Float), [f32::NAN; 2]);
}

#[test]
fn query_heads_read_the_kv_head_of_their_group() {
    let problem = Problem { heads: 4, kv_heads: 2, ..problem(16, 1, 1) };
    let q = tensor(&problem.q_shape(), |n| (n % 4 + 1) as f32); // head h is h + 1
    let k = tensor(&problem.kv_shape(), |n| [10.0, 100.0][n % 2]);
    for (head, expected) in [10.0, 20.0, 300.0, 400.0].into_iter().enumerate() {
        values(&Strategy::dense(), &problem, [&q, &k], head, &dot(false), &[[expected]]);
        let over_heads = reduce(Reduction::Sum, all(Axis::Head), dot(false));
        values(&Strategy::dense(), &problem, [&q, &k], head, &over_heads, &[[730.0]]);
        let before = seeing(Axis::Head, op(expr(ExprKind::Global(Global::Head), Type::Int), "<", int(2)));
        values(&Strategy::dense(), &problem, [&q, &k], head, &reduce(Reduction::Max, before, dot(false)), &[[20.0]]);
    }
}

#[test]
fn nothing_to_reduce() {
    let (problem, q, k) = of_scores([[1.0, f32::NEG_INFINITY], [2.0, 3.0]]);
    let none = || seeing(Axis::Kv, op(block(Kv), "<", int(0)));
    let check = |value: Expr, expected: [[f32; 2]; 2]| {
        values(&Strategy::dense(), &problem, [&q, &k], 0, &value, &expected);
    };
    for (how, expected) in [
        (Reduction::Sum, 0.0),
        (Reduction::Mean, 0.0),
        (Reduction::Max, f32::NEG_INFINITY),
        (Reduction::Min, f32::INFINITY),
    ] {
        check(reduce(how, none(), dot(false)), [[expected; 2]; 2]);
    }
    check(softmax(none(), dot(false)), [[0.0; 2]; 2]);
    // Of row 0 only itself is seen, and of row 1 only the other: 0 where the variable does not take the place.
    let own = seeing(Axis::Kv, op(block(Kv), "==", int(0)));
    check(softmax(own, float(5.0)), [[1.0, 0.0], [1.0, 0.0]]);
    let infinite = op(float(-1.0), "/", float(0.0));
    check(softmax(all(Axis::Kv), infinite), [[0.0; 2]; 2]);
    check(reduce(Reduction::Mean, all(Axis::Q), to_float(block(Q))), [[0.5; 2]; 2]);
}

#[test]
fn maps_end_at_their_ranges_and_v_reads_either_side() {
    let (problem, q, k) = of_scores([[1., 2., 3.], [4., 5., 6.], [7., 8., 9.]]);
    let layout = Layout { ranges: vec![LayoutRange::plain("text", 16), LayoutRange::plain("vision", 32)] };
    let problem = Problem { layout, ..problem };
    let s = || read(0, &[Q, Kv]);
    let maps = vec![
        map("s", &[(Q, None), (Kv, Some(1))], dot(false)),
        map("v", &[(Kv, Some(1))], reduce(Reduction::Sum, within(Axis::Q, 1), s())),
    ];
    let base = Strategy { tokens: vec![range("text"), range("vision")], ..strategy(maps, Vec::new()) };
    let check = |value: Expr, expected: &[[f32; 3]]| values(&base, &problem, [&q, &k], 0, &value, expected);
    check(s(), &[[0., 2., 3.], [0., 5., 6.], [0., 8., 9.]]);
    check(read(0, &[Kv, Q]), &[[0., 0., 0.], [2., 5., 8.], [3., 6., 9.]]);
    check(read(1, &[Kv]), &[[0., 13., 15.]; 3]);
    check(read(1, &[Q]), &[[0.; 3], [13.; 3], [15.; 3]]);
}

#[test]
fn kv_in_q_are_the_kv_blocks_inside_the_query_block() {
    let problem = Problem { blocks: Blocks { q: 32, kv: 16 }, ..problem(80, 1, 1) };
    let (q, k) = (tensor(&problem.q_shape(), |_| 1.0), tensor(&problem.kv_shape(), |n| (n / 16 + 1) as f32));
    let inside = Running { axis: Axis::Kv, within: Within::QueryBlock, visible: None };
    let sum = reduce(Reduction::Sum, inside, dot(false));
    values(&Strategy::dense(), &problem, [&q, &k], 0, &sum, &[[3.; 5], [7.; 5], [5.; 5]]);
}

#[test]
fn block_sums_of_a_short_sequence() {
    // 24 tokens in groups of 16 and 8; the antidiagonal sums of ones are 16, 8 / 8, 0: tokens past the end are zeros.
    let problem = problem(24, 1, 1);
    let ones = tensor(&problem.q_shape(), |_| 1.0);
    let logit = op(expr(ExprKind::Antidiag, Type::Float), "*", float(2f64.ln() / 8.0));
    let sum = |visible| {
        let sum = BlockSum { stride: int(16), logit: logit.clone(), visible };
        expr(ExprKind::BlockSum(Box::new(sum)), Type::Float)
    };
    let thirds = [[4.0 / 6.0, 2.0 / 6.0], [2.0 / 3.0, 1.0 / 3.0]];
    values(&Strategy::dense(), &problem, [&ones, &ones], 0, &sum(None), &thirds);
    let past = op(block(Kv), "<", block(Q));
    values(&Strategy::dense(), &problem, [&ones, &ones], 0, &sum(Some(past)), &[[0.0, 0.0], [1.0, 0.0]]);
}

#[test]
fn nan_stands_last_and_has_no_mass() {
    let (problem, q, k) = of_scores([[2., 0., 4.]; 3]);
    let x = op(op(dot(false), "/", dot(false)), "*", dot(false)); // 2, NaN, 4
    let said = |measure, descending| {
        let said = order(measure, descending, x.clone());
        if measure == Measure::Rank { to_float(said) } else { said }
    };
    for (measure, descending, expected) in [
        (Measure::Rank, false, [0., 2., 1.]),
        (Measure::Rank, true, [1., 2., 0.]),
        (Measure::Mass, false, [2., 6., 6.]),
        (Measure::MassBefore, true, [4., 6., 0.]),
    ] {
        values(&Strategy::dense(), &problem, [&q, &k], 0, &said(measure, descending), &[expected; 3]);
    }
}

#[test]
fn degenerate_lines() {
    let equal = of_scores([[1.0; 3]; 3]);
    let lonely = of_scores([[7.0]]);
    let broken = {
        let (problem, _, k) = of_scores([[1.0; 2]; 2]);
        (problem.clone(), tensor(&problem.q_shape(), |_| f32::NAN), k)
    };
    let rank = |k| op(order(Measure::Rank, true, softmax(all(Axis::Kv), dot(false))), "<", int(k));
    let mass = || op(order(Measure::Mass, false, softmax(all(Axis::Kv), dot(false))), "<=", float(0.4));
    let cut = || op(dot(false), ">=", percentile_per_head(dot(false), 0.0));
    for (name, (problem, q, k), condition, expected) in [
        ("equals stand in order of their index", &equal, rank(2), "110 110 110"),
        ("k above the number of blocks", &equal, rank(7), "111 111 111"),
        ("mass of equals", &equal, mass(), "100 100 100"),
        ("percentile of equals", &equal, cut(), "111 111 111"),
        ("one block", &lonely, rank(1), "1"),
        ("one block's mass is 1", &lonely, mass(), "0"),
        ("NaN everywhere, in order of the index", &broken, rank(1), "10 10"),
        ("NaN everywhere has no mass", &broken, mass(), "11 11"),
        ("NaN is no percentile", &broken, cut(), "00 00"),
    ] {
        let strategy = strategy(Vec::new(), vec![rule(Action::Keep, condition), otherwise(Action::Skip)]);
        assert_eq!(rows(&run(&strategy, problem, q, k).0, 0), expected, "{name}");
    }
}

#[test]
fn a_line_is_of_the_blocks_that_the_rule_takes() {
    let (problem, q, k) = of_scores([[9., 1., 2.], [8., 3., 4.], [7., 6., 5.]]);
    let layout = Layout { ranges: vec![LayoutRange::plain("text", 16), LayoutRange::plain("vision", 32)] };
    let problem = Problem { layout, ..problem };
    let whole = |value| Order { measure: Measure::Rank, descending: true, line: Line::Head, first: None, value };
    let whole = |value| expr(ExprKind::Order(Box::new(whole(value))), Type::Int);
    // Of the rows in vision the three largest of all: 8, 7, 6. Row 0 takes no part.
    let condition = op(whole(dot(false)), "<", int(3));
    let rules = vec![rule_in(Action::Skip, Some(1), condition)];
    let base = Strategy { tokens: vec![range("text"), range("vision")], rules, ..Strategy::dense() };
    assert_eq!(rows(&run(&base, &problem, &q, &k).0, 0), "111 011 001");
    // A cache rule's line is its query blocks: of row sums 12, 15, 18 the smaller one in vision.
    let row_sum = reduce(Reduction::Sum, all(Axis::Kv), dot(false));
    let rules = vec![rule_in(Action::Cache, Some(1), op(order(Measure::Rank, false, row_sum), "<", int(1)))];
    assert_eq!(cached(&run(&Strategy { rules, ..base }, &problem, &q, &k).0, 0), "101");
}

#[test]
fn covers_of_a_short_block() {
    // 24 tokens; a token sees those at most 8 away. Frames of 8 tokens on the grid.
    let problem =
        Problem { layout: Layout { ranges: vec![LayoutRange::grid("video", [3, 2, 4])] }, ..problem(24, 1, 1) };
    let zeros = Tensor::zeros(&problem.q_shape(), DType::F32);
    let away = op(coordinate(Q, Coordinate::Pos), "-", coordinate(Kv, Coordinate::Pos));
    let near = op(call(sparsym_ir::expr::Function::Abs, vec![away]), "<=", int(8));
    let fraction = |least, share| CoverRule::Fraction { least: float(least), share: float(share) };
    for (rule_of, per_frame, expected) in [
        (CoverRule::Any, false, "11 11"),
        (CoverRule::All, false, "00 01"),
        (CoverRule::All, true, "10 01"), // a frame is near to itself; frames 1 and 2 are not wholly near
        (fraction(0.5, 0.99), false, "10 00"), // queries near kv 0: 9 of 16; near kv 16: 8 of 16; of block 1: 8 of 16
        (fraction(0.5, 1.0), false, "00 00"),
        (fraction(0.49, 0.1), false, "11 11"), // of kv tokens 8..=15 the last one sees 8 queries of block 1: 1 of 8
    ] {
        let name = format!("{rule_of:?} {per_frame}");
        let cover = Cover { rule: rule_of, per_frame, mask: near.clone() };
        let video = TokenRange { grid: Some(Grid::Raster), ..range("video") };
        let rules =
            vec![rule(Action::Keep, expr(ExprKind::Cover(Box::new(cover)), Type::Bool)), otherwise(Action::Skip)];
        let strategy = Strategy { tokens: vec![video], ..strategy(Vec::new(), rules) };
        assert_eq!(rows(&run(&strategy, &problem, &zeros, &zeros).0, 0), expected, "{name}");
    }
}

#[test]
fn tables_of_names() {
    let table = Table {
        name: "kind".to_owned(),
        doc: String::new(),
        axes: vec![TableAxis::Head],
        element: Element::One(Scalar::U32),
        variants: ["full", "first", "none"].map(str::to_owned).to_vec(),
        span: Span::default(),
    };
    let is = |entry| {
        let variant = |kind| expr(kind, Type::Variant);
        op(variant(ExprKind::Table(TableId(0))), "==", variant(ExprKind::Variant(TableId(0), entry)))
    };
    let rules = vec![rule(Action::Skip, op(is(1), "&&", op(block(Kv), ">", int(0)))), rule(Action::Skip, is(2))];
    let strategy = Strategy { tables: vec![table], rules, ..Strategy::dense() };
    let problem = problem(32, 3, 1);
    let tables = vec![TableData { shape: vec![3], values: vec![1.0, 2.0, 0.0] }];
    let bindings = Bindings { tables, ..Bindings::default() };
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
    let symbols = symbols(&SymbolsCall::without_data(&bound, Moment::default()));
    assert_eq!([0, 1, 2].map(|head| rows(&symbols, head)), ["10 10", "00 00", "11 11"]);
}

#[test]
fn a_ragged_batch_is_refused() {
    let indptr = Ragged { q: vec![0, 24, 64], kv: vec![0, 24, 64] };
    let packed = Problem { batch: 2, n_q: 40, n_kv: 40, ragged: Some(indptr), ..problem(64, 1, 4) };
    let condition = op(dot(true), "<", float(0.5));
    let strategy = strategy(Vec::new(), vec![rule(Action::Skip, condition)]);
    let findings = Bound::new(&strategy, &packed, &Bindings::defaults(&strategy)).unwrap_err();
    assert!(findings.to_string().contains("one length for all batch items"), "{findings}");
}

#[test]
fn margins_by_hand() {
    let (problem, q, k) = of_scores([[1.0, 2.0, 4.0, 5.0]; 4]);
    let margins = |condition| {
        let strategy = strategy(Vec::new(), vec![rule(Action::Keep, condition), otherwise(Action::Skip)]);
        run(&strategy, &problem, &q, &k).1.skip[..4].to_vec()
    };
    let infinity = f32::INFINITY;
    // Values against a number.
    assert_eq!(margins(op(dot(false), ">", float(4.0))), [0.75, 0.5, 0.0, 0.2]);
    // Ranks: the distance to the nearest value across the cut, which lies between 2 and 4.
    assert_eq!(margins(op(order(Measure::Rank, true, dot(false)), "<", int(2))), [0.75, 0.5, 0.5, 0.6]);
    // Masses 1, 3, 7, 12 against 7.5. That of 4 is itself near it. 2 would have to stand where 4 does, 0.5 away; 1 where 2
    // does, 0.5 away, and the mass there, 3, would have to move by 0.6.
    let near = 0.5 / 7.5;
    let mass = margins(op(order(Measure::Mass, false, dot(false)), "<=", float(7.5)));
    for (found, expected) in mass.into_iter().zip([0.6, 0.5, near, 0.2]) {
        assert!((found - expected).abs() < 1e-6, "{found} is not {expected}");
    }
    // The cut is 2: what is 2 stays it until 1 or 4 come near.
    assert_eq!(margins(op(dot(false), ">", percentile_per_head(dot(false), 0.5)))[0], 0.5);
    // What settles an `||` alone does so whatever the other operand says.
    let sure = |x| op(op(dot(false), ">", float(4.0)), "||", op(block(Kv), "==", int(x)));
    assert_eq!(margins(sure(2)), [0.75, 0.5, infinity, 0.2]);
    // Where both operands settle an `&&`, both would have to change.
    let both = op(op(dot(false), ">", float(4.0)), "&&", op(dot(false), ">", float(8.0)));
    assert_eq!(margins(both), [0.875, 0.75, 0.5, 0.375]);
    assert_eq!(margins(op(block(Kv), ">", int(1))), [infinity; 4]);
    assert_eq!(distance(f32::NAN, 1.0), infinity);
    assert_eq!(distance(0.0, -0.0), 0.0);
    assert_eq!(distance(0.0, 1e-7), 1e-5, "sums that cancel");
}

/// Values that move by less than the limit change no bit with a margin above it: the margins' promise.
#[test]
fn bits_with_a_margin_stay() {
    const N: usize = 6;
    let mut next = random(7);
    let (mut held, mut near) = (0, 0);
    for _ in 0..60 {
        // Few levels and small jitter: many values are nearly equal, some are equal.
        let scores: [[f32; N]; N] = std::array::from_fn(|_| {
            std::array::from_fn(|_| {
                ((next() * 4.0).floor() + 1.0) * (1.0 + [0.0, 1e-6, 1e-5, 1e-3][(next() * 4.0) as usize])
            })
        });
        let moved = scores.map(|row| row.map(|x| x * (1.0 + 4e-6 * (next() - 0.5))));
        let total = || reduce(Reduction::Sum, all(Axis::Kv), dot(false));
        let per_head = |measure, descending| {
            let order = Order { measure, descending, line: Line::Head, first: None, value: dot(false) };
            expr(ExprKind::Order(Box::new(order)), Type::Float)
        };
        for condition in [
            op(order(Measure::Rank, true, dot(false)), "<", int(3)),
            op(order(Measure::Mass, false, dot(false)), "<=", op(float(0.4), "*", total())),
            op(order(Measure::MassBefore, true, dot(false)), "<", op(float(0.6), "*", total())),
            op(seeded(Measure::Mass, true, Some(op(block(Kv), "==", block(Q))), dot(false)), "<=", float(8.0)),
            op(per_head(Measure::Mass, true), "<=", float(50.0)),
            op(dot(false), ">", percentile_per_head(dot(false), 0.5)),
            op(percentile_per_head(dot(false), 0.3), ">=", dot(false)),
            op(op(dot(false), ">=", float(2.0)), "||", op(order(Measure::Rank, false, dot(false)), "<", int(1))),
        ] {
            let rules = vec![rule(Action::Keep, condition), otherwise(Action::Skip)];
            let strategy = strategy(Vec::new(), rules);
            let bits = |scores| {
                let (problem, q, k) = of_scores(scores);
                let (symbols, margins) = run(&strategy, &problem, &q, &k);
                (symbols.skip.unpack(), margins.skip)
            };
            let ((before, margins), (after, _)) = (bits(scores), bits(moved));
            for (n, &margin) in margins.iter().enumerate() {
                assert!(before[n] == after[n] || margin <= 1e-5, "bit {n}, margin {margin}: {:?}", strategy.rules);
                held += usize::from(margin > 1e-5);
                near += usize::from(before[n] != after[n]);
            }
        }
    }
    assert!(held > 8000 && near > 50, "{held} bits held and {near} changed");
}

#[test]
fn the_deciding_rule_lends_its_margin() {
    let (problem, q, k) = of_scores([[1.0, 2.0]; 2]);
    let at_most = |x| op(dot(false), "<=", float(x));
    let margins = |rules| run(&strategy(Vec::new(), rules), &problem, &q, &k).1.skip[..2].to_vec();
    // The first rule skips both; the second one keeps 1, whatever the first says of it.
    let rules = vec![rule(Action::Skip, at_most(4.0)), rule(Action::Keep, at_most(1.25))];
    assert_eq!(margins(rules), [0.2, 0.375]);
    // Two rules that both keep: both must fail for the bit to change.
    let rules = vec![rule(Action::Keep, at_most(4.0)), rule(Action::Keep, at_most(1.25)), otherwise(Action::Skip)];
    assert_eq!(margins(rules), [0.75, 0.5]);
}
