//! Symbols of rules over Q and K: generated kernels on the emulator against the host.

mod support;

use sparsym_ir::data::data_symbols;
use sparsym_ir::expr::{
    Axis, BinaryOp, BlockSum, Coordinate, Cover, CoverRule, Expr, ExprKind, Function, Global, Line, Measure,
    Percentile, Reduction, Side, Type, Within,
};
use sparsym_ir::problem::{DType, Layout, LayoutRange, Ragged};
use sparsym_ir::strategy::{Action, BlockRule, Blocks, Grid, RangeId, Strategy, TokenRange, TokenRule, When};
use sparsym_ir::{Bindings, Bound, Moment, Problem, SymbolsCall, SymbolsOf, Tensor};
use sparsym_runtime::device::session::{Array, Call, SymbolArrays};
use sparsym_runtime::device::{Device, Emulator, Measured, emulator};

use support::*;

/// Runs the strategy on the emulator and compares every bit with the host; both see the same 16-bit values.
fn agrees(name: &str, strategy: &Strategy, problem: &Problem, dtype: DType) -> Measured<sparsym_ir::Symbols> {
    let q = noise(&problem.q_shape(), dtype, 11);
    let k = noise(&problem.kv_shape(), dtype, 12);
    agrees_on(name, strategy, problem, &q, &k)
}

fn agrees_on(
    name: &str,
    strategy: &Strategy,
    problem: &Problem,
    q: &Tensor,
    k: &Tensor,
) -> Measured<sparsym_ir::Symbols> {
    let device = Emulator::open(emulator::Settings::default()).unwrap();
    let bindings = Bindings::defaults(strategy);
    let bound = Bound::new(strategy, problem, &bindings).unwrap();
    let moment = Moment { step: 20, steps: 50, since_update: 0, layer: 1 };
    let call = SymbolsCall { bound: &bound, moment, data: Some((q, k)) };
    let found = device.measured_symbols(&call).unwrap_or_else(|error| panic!("{name}: {error}"));
    let plain = Plain { problem, q: q.to_f32(), k: k.to_f32() };
    let expected = data_symbols(&bound, &moment, &plain);
    let stats = found.cost.stats.clone().unwrap_or_default();
    println!(
        "{name}: s_c {:.3}, s_s {:.3}, {:.0} ms, {} B loaded, {} B stored, {} sectors loaded",
        expected.cache.density(),
        expected.skip.density(),
        found.cost.ms,
        stats.global_loads.bytes,
        stats.global_stores.bytes,
        stats.global_loads.sectors
    );
    assert_eq!(found.value.cache, expected.cache, "{name}: s_c");
    assert_eq!(found.value.skip, expected.skip, "{name}: s_s");
    assert_eq!(found.value.full, expected.full, "{name}: s_f");
    found
}

/// 5 + a short query block, 7 + a short kv block; three heads over one kv head; two batch items.
fn small(text: usize, head_dim: usize) -> Problem {
    let n = 7 * 32 + 9;
    let ranges = vec![LayoutRange::plain("text", text), LayoutRange::plain("vision", n - text)];
    Problem {
        blocks: Blocks { q: 32, kv: 32 },
        kv_heads: 1,
        layout: if text > 0 { Layout { ranges } } else { Layout::default() },
        ..Problem::self_attention(2, n, 3, head_dim)
    }
}

#[test]
fn flash_omni() {
    for (head_dim, dtype) in [(64, DType::Bf16), (40, DType::F16)] {
        agrees("FlashOmni", &flash_omni_strategy(), &small(64, head_dim), dtype);
    }
}

const QKV: [Side; 2] = [Side::Q, Side::Kv];

fn otherwise_skip() -> BlockRule {
    BlockRule { when: When::Otherwise, ..pairs(Action::Skip, node(ExprKind::Bool(true), Type::Bool)) }
}

/// `softmax(kv: s[q, kv] weight kv.len)`
fn p_by_length() -> Expr {
    let weight = to_float(at(Side::Kv, Coordinate::Len));
    softmax(over(Axis::Kv, Within::All, None), Some(weight), read(0, &QKV))
}

#[test]
fn ranks() {
    let s = || read(0, &QKV);
    let rank = |descending, line, first| order(Measure::Rank, descending, line, first, s());
    let problem = Problem { blocks: Blocks { q: 32, kv: 16 }, ..Problem::self_attention(1, 16 * 70 + 3, 2, 16) };
    let top_9 = binary(rank(true, Line::Row, None), BinaryOp::Lt, int(9));
    agrees("top 9 of 71", &with_rules(vec![s_map()], vec![pairs(Action::Skip, not(top_9))]), &problem, DType::Bf16);

    // k from an expression; the diagonal first; the bound on the left; one of a place; what is not taken by > and >=.
    let count = call(Function::Ceil, vec![binary(float(0.3), BinaryOp::Mul, to_float(int(8)))], Type::Int);
    let diagonal = || binary(at(Side::Q, Coordinate::Block), BinaryOp::Eq, at(Side::Kv, Coordinate::Block));
    let conditions = [
        binary(rank(true, Line::Row, Some(diagonal())), BinaryOp::Ge, count),
        binary(int(2), BinaryOp::Gt, rank(false, Line::Row, None)),
        binary(rank(false, Line::Row, Some(not(diagonal()))), BinaryOp::Eq, int(7)),
        binary(rank(false, Line::Row, None), BinaryOp::Ne, int(3)),
        binary(to_float(rank(true, Line::Row, None)), BinaryOp::Le, float(2.5)),
        binary(rank(true, Line::Head, Some(diagonal())), BinaryOp::Lt, int(21)),
        binary(rank(true, Line::Row, None), BinaryOp::Lt, int(-1)),
        binary(rank(true, Line::Row, None), BinaryOp::Lt, int(1000)),
    ];
    for (n, condition) in conditions.into_iter().enumerate() {
        let strategy = with_rules(vec![s_map()], vec![pairs(Action::Skip, condition)]);
        agrees(&format!("rank {n}"), &strategy, &small(0, 16), DType::F16);
    }
}

#[test]
fn masses() {
    let mass = |measure, descending, line| order(measure, descending, line, None, read(1, &QKV));
    let p = || map("p", &[(Side::Q, None), (Side::Kv, None)], p_by_length());
    let total = reduce(Reduction::Sum, over(Axis::Kv, Within::All, None), read(1, &QKV));
    let nan = || call(Function::Sqrt, vec![float(-1.0)], Type::Float);
    let conditions = [
        binary(mass(Measure::Mass, true, Line::Row), BinaryOp::Le, float(0.6)),
        binary(mass(Measure::MassBefore, true, Line::Row), BinaryOp::Lt, binary(float(0.6), BinaryOp::Mul, total)),
        binary(mass(Measure::Mass, false, Line::Row), BinaryOp::Gt, float(0.4)),
        binary(mass(Measure::MassBefore, false, Line::Head), BinaryOp::Ge, float(1.3)),
        binary(mass(Measure::Mass, false, Line::Row), BinaryOp::Le, nan()),
        binary(mass(Measure::Mass, false, Line::Row), BinaryOp::Gt, nan()),
    ];
    for (n, condition) in conditions.into_iter().enumerate() {
        let strategy = with_rules(vec![s_map(), p()], vec![pairs(Action::Keep, condition), otherwise_skip()]);
        agrees(&format!("mass {n}"), &strategy, &small(0, 24), DType::Bf16);
    }
}

/// Lines of many shares, of which the first is not the one that is left: of rows, and of a head.
#[test]
fn long_lines() {
    let of = |measure, descending, line| order(measure, descending, Line::Row, None, line);
    let wide =
        Problem { blocks: Blocks { q: 32, kv: 16 }, n_kv: 16 * 150 + 3, ..Problem::self_attention(1, 40, 2, 16) };
    let p = || map("p", &[(Side::Q, None), (Side::Kv, None)], p_by_length());
    let conditions = [
        binary(of(Measure::Rank, true, read(0, &QKV)), BinaryOp::Lt, int(75)),
        binary(of(Measure::Rank, false, read(0, &QKV)), BinaryOp::Lt, int(140)),
        binary(of(Measure::Mass, true, read(1, &QKV)), BinaryOp::Le, float(0.5)),
        binary(of(Measure::MassBefore, false, read(1, &QKV)), BinaryOp::Lt, float(0.7)),
    ];
    for (n, condition) in conditions.into_iter().enumerate() {
        let strategy = with_rules(vec![s_map(), p()], vec![pairs(Action::Skip, condition)]);
        agrees(&format!("wide {n}"), &strategy, &wide, DType::Bf16);
    }

    let tall =
        Problem { blocks: Blocks { q: 16, kv: 16 }, n_kv: 40, ..Problem::self_attention(1, 16 * 800 + 5, 1, 16) };
    let sum = || reduce(Reduction::Sum, over(Axis::Kv, Within::All, None), read(0, &QKV));
    let looks = softmax(over(Axis::Q, Within::All, None), None, sum());
    let maps = || vec![s_map(), map("looks", &[(Side::Q, None)], looks.clone())];
    let conditions = [
        binary(of(Measure::Rank, false, read(1, &[Side::Q])), BinaryOp::Lt, int(420)),
        binary(of(Measure::Mass, true, read(1, &[Side::Q])), BinaryOp::Le, float(0.6)),
    ];
    for (n, condition) in conditions.into_iter().enumerate() {
        let strategy = with_rules(maps(), vec![rule(Action::Cache, None, None, Some(condition))]);
        agrees(&format!("tall {n}"), &strategy, &tall, DType::Bf16);
    }
}

#[test]
fn rules_over_ranges_and_each_other() {
    let (text, vision) = (Some(RangeId(0)), Some(RangeId(1)));
    let p = order(Measure::Mass, true, Line::Row, None, p_by_length());
    let rules = vec![
        rule(Action::Keep, None, vision, Some(binary(p, BinaryOp::Le, float(0.5)))),
        rule(Action::Keep, text, None, None),
        rule(Action::Skip, vision, vision, Some(binary(rank_of_s(Line::Head), BinaryOp::Ge, int(30)))),
        otherwise_skip(),
    ];
    let strategy = Strategy { tokens: tokens(&["text", "vision"]), ..with_rules(vec![s_map()], rules) };
    agrees("ranges", &strategy, &small(70, 32), DType::Bf16);
}

fn rank_of_s(line: Line) -> Expr {
    order(Measure::Rank, true, line, None, read(0, &QKV))
}

/// Rows and columns of blocks whose tokens differ are kept; else as much as makes half of the mass, one at least.
#[test]
fn sparge() {
    let similarity = |of, centered| node(ExprKind::SelfSim { of, centered }, Type::Float);
    let root = || call(Function::Sqrt, vec![to_float(global(Global::HeadDim))], Type::Float);
    let s = binary(binary(dot(false, true), BinaryOp::Mul, float(8.0)), BinaryOp::Div, root());
    let alike = binary(similarity(Side::Kv, true), BinaryOp::Gt, float(0.045));
    let p = softmax(over(Axis::Kv, Within::All, Some(alike)), None, s);
    let of_p = |measure| order(measure, true, Line::Row, None, p.clone());
    let strategy = with_rules(
        vec![],
        vec![
            pairs(Action::Keep, binary(of_p(Measure::Mass), BinaryOp::Le, float(0.5))),
            pairs(Action::Keep, binary(of_p(Measure::Rank), BinaryOp::Lt, int(1))),
            pairs(Action::Keep, not(binary(similarity(Side::Q, false), BinaryOp::Gt, float(0.24)))),
            pairs(Action::Keep, not(binary(similarity(Side::Kv, true), BinaryOp::Gt, float(0.04)))),
            otherwise_skip(),
        ],
    );
    for (head_dim, dtype) in [(96, DType::Bf16), (256, DType::F16), (8, DType::Bf16)] {
        agrees("SpargeAttn", &strategy, &small(0, head_dim), dtype);
    }
}

#[test]
fn percentiles() {
    let percentile = |line, share| {
        let value = read(0, &QKV);
        let percentile = Percentile { line, value, share: float(share) };
        node(ExprKind::Percentile(Box::new(percentile)), Type::Float)
    };
    for (line, share) in [(Line::Row, 0.6), (Line::Head, 0.9), (Line::Row, 0.0), (Line::Head, 1.0)] {
        let below = binary(read(0, &QKV), BinaryOp::Lt, percentile(line, share));
        let strategy = with_rules(vec![s_map()], vec![pairs(Action::Skip, below)]);
        agrees(&format!("percentile {share}"), &strategy, &small(0, 16), DType::Bf16);
    }
}

/// Maps of every shape; softmaxes over each axis; reductions over each axis.
#[test]
fn maps() {
    let (q, kv) = ((Side::Q, None), (Side::Kv, None));
    let all = |axis| over(axis, Within::All, None);
    let near = || {
        let far = binary(at(Side::Q, Coordinate::Block), BinaryOp::Sub, at(Side::Kv, Coordinate::Block));
        binary(call(Function::Abs, vec![far], Type::Int), BinaryOp::Le, int(2))
    };
    let over_q = softmax(over(Axis::Q, Within::All, Some(near())), None, read(0, &QKV));
    let over_heads = softmax(all(Axis::Head), None, read(0, &QKV));
    let mean = reduce(Reduction::Mean, all(Axis::Head), read(1, &QKV));
    let most = reduce(Reduction::Max, over(Axis::Kv, Within::QueryBlock, None), read(0, &QKV));
    let least = reduce(Reduction::Min, over(Axis::Q, Within::All, Some(near())), read(0, &QKV));
    let overall = reduce(Reduction::Mean, all(Axis::Q), reduce(Reduction::Mean, all(Axis::Kv), read(0, &QKV)));
    let maps = vec![
        s_map(),
        map("over_q", &[q, kv], over_q),
        map("over_heads", &[q, kv], over_heads),
        map("mean_of_heads", &[q, kv], mean),
        map("most", &[q], most),
        map("least", &[kv], least),
        map("overall", &[], overall),
        map("line", &[q], softmax(all(Axis::Q), None, read(4, &[Side::Q]))),
    ];
    let sum = |a, b| binary(a, BinaryOp::Add, b);
    let terms = [
        read(1, &QKV),
        read(2, &QKV),
        read(3, &QKV),
        read(4, &[Side::Q]),
        read(5, &[Side::Kv]),
        read(6, &[]),
        read(7, &[Side::Q]),
    ];
    let value = terms.into_iter().reduce(sum).unwrap();
    let top = binary(order(Measure::Rank, true, Line::Row, None, value.clone()), BinaryOp::Lt, int(5));
    let strategy =
        with_rules(maps, vec![pairs(Action::Skip, top), pairs(Action::Keep, binary(value, BinaryOp::Gt, float(1.37)))]);
    let problem = Problem { blocks: Blocks { q: 32, kv: 16 }, ..small(0, 32) };
    agrees("maps", &strategy, &problem, DType::Bf16);
    // Lines of several warps' words.
    let problem = Problem { blocks: Blocks { q: 16, kv: 16 }, ..Problem::self_attention(1, 16 * 40, 1, 8) };
    agrees("longer maps", &strategy, &problem, DType::Bf16);
}

#[test]
fn block_sums() {
    let groups = binary(at(Side::Kv, Coordinate::Block), BinaryOp::Le, at(Side::Q, Coordinate::Block));
    for (stride, visible, head_dim) in [(8, Some(groups.clone()), 64), (16, None, 72), (4, Some(groups), 128)] {
        let antidiag = node(ExprKind::Antidiag, Type::Float);
        let logit = binary(binary(antidiag, BinaryOp::Mul, float(0.5)), BinaryOp::Div, float(stride as f64));
        let sum = BlockSum { stride: int(stride), logit, visible };
        let score = node(ExprKind::BlockSum(Box::new(sum)), Type::Float);
        let tau = reduce(Reduction::Sum, over(Axis::Kv, Within::All, None), read(0, &QKV));
        let before = order(Measure::MassBefore, true, Line::Row, None, read(0, &QKV));
        let keep = binary(before, BinaryOp::Lt, binary(float(0.7), BinaryOp::Mul, tau));
        let maps = vec![map("score", &[(Side::Q, None), (Side::Kv, None)], score)];
        let strategy = with_rules(maps, vec![pairs(Action::Keep, keep), otherwise_skip()]);
        agrees(&format!("XAttention {stride}"), &strategy, &small(0, head_dim), DType::Bf16);
    }
}

#[test]
fn covers() {
    let cover = |rule, per_frame, mask| node(ExprKind::Cover(Box::new(Cover { rule, per_frame, mask })), Type::Bool);
    let far = |of: Coordinate, reach| {
        let far = binary(at(Side::Q, of), BinaryOp::Sub, at(Side::Kv, of));
        binary(call(Function::Abs, vec![far], Type::Int), BinaryOp::Le, int(reach))
    };
    let fraction = || CoverRule::Fraction { least: float(0.1), share: float(0.25) };
    let tokens = vec![
        TokenRange { name: "vision".to_owned(), grid: Some(Grid::Raster), span: sparsym_ir::Span::default() },
        TokenRange { name: "text".to_owned(), grid: None, span: sparsym_ir::Span::default() },
    ];
    let layout = Layout { ranges: vec![LayoutRange::grid("vision", [5, 4, 12]), LayoutRange::plain("text", 21)] };
    let problem = Problem { blocks: Blocks { q: 32, kv: 16 }, layout, ..Problem::self_attention(1, 261, 2, 16) };
    let conditions = [
        cover(CoverRule::Any, false, far(Coordinate::Pos, 20)),
        cover(CoverRule::All, false, far(Coordinate::Pos, 50)),
        cover(fraction(), true, far(Coordinate::Cell, 3)),
        cover(fraction(), false, far(Coordinate::W, 1)),
        cover(CoverRule::All, true, binary(far(Coordinate::T, 1), BinaryOp::Or, far(Coordinate::H, 0))),
    ];
    for (n, condition) in conditions.into_iter().enumerate() {
        let strategy = |rules| Strategy { tokens: tokens.clone(), ..with_rules(vec![s_map()], rules) };
        let keep = || pairs(Action::Keep, condition.clone());
        agrees(&format!("cover {n}"), &strategy(vec![keep(), otherwise_skip()]), &problem, DType::Bf16);
        let rank = pairs(Action::Skip, binary(rank_of_s(Line::Row), BinaryOp::Ge, int(4)));
        agrees(&format!("rank, cover {n}"), &strategy(vec![rank, keep()]), &problem, DType::Bf16);
    }
}

/// Equal scores stand in order of their index; -0 is 0.
#[test]
fn ties() {
    let problem = small(0, 32);
    let q = noise(&problem.q_shape(), DType::Bf16, 3);
    let zeros = vec![0.0; problem.kv_shape().iter().product()];
    let k = Tensor::from_f32(&problem.kv_shape(), DType::Bf16, &zeros);
    for descending in [true, false] {
        let rank = order(Measure::Rank, descending, Line::Row, None, read(0, &QKV));
        let strategy = with_rules(vec![s_map()], vec![pairs(Action::Skip, binary(rank, BinaryOp::Lt, int(3)))]);
        let found = agrees_on("ties", &strategy, &problem, &q, &k);
        assert!((0..8).all(|j| found.value.skip.get(0, 0, 0, j) == (j >= 3)));
    }
    agrees_on("FlashOmni of ties", &flash_omni_strategy(), &small(64, 32), &q, &k);
}

#[test]
fn nan_and_zero_tokens() {
    let problem = small(64, 32);
    let mut values = noise(&problem.kv_shape(), DType::Bf16, 5).to_f32();
    values[40 * 32] = f32::NAN;
    values[100 * 32..101 * 32].fill(0.0);
    let k = Tensor::from_f32(&problem.kv_shape(), DType::Bf16, &values);
    let q = noise(&problem.q_shape(), DType::Bf16, 6);
    agrees_on("FlashOmni of NaN", &flash_omni_strategy(), &problem, &q, &k);
    let similarity = node(ExprKind::SelfSim { of: Side::Kv, centered: false }, Type::Float);
    let mass = order(Measure::Mass, false, Line::Row, None, similarity);
    let strategy = with_rules(vec![], vec![pairs(Action::Skip, binary(mass, BinaryOp::Le, float(1.0)))]);
    agrees_on("similarity of NaN", &strategy, &small(0, 32), &q, &k);
}

#[test]
fn a_mask_comes_last() {
    let causal = binary(at(Side::Kv, Coordinate::Pos), BinaryOp::Le, at(Side::Q, Coordinate::Pos));
    let mask = Some(TokenRule { value: causal, span: sparsym_ir::Span::default() });
    let strategy = Strategy { mask, ..flash_omni_strategy() };
    agrees("masked FlashOmni", &strategy, &small(64, 40), DType::F16);
}

#[test]
fn what_is_refused() {
    let device = Emulator::open(emulator::Settings::default()).unwrap();
    let strategy =
        with_rules(vec![s_map()], vec![pairs(Action::Skip, binary(rank_of_s(Line::Row), BinaryOp::Lt, int(3)))]);
    let bindings = Bindings::defaults(&strategy);
    let refused = |problem: &Problem, dtype| {
        let bound = Bound::new(&strategy, problem, &bindings).unwrap();
        let (q, k) = (noise(&problem.q_shape(), dtype, 1), noise(&problem.kv_shape(), dtype, 2));
        let call = SymbolsCall { bound: &bound, moment: Moment::default(), data: Some((&q, &k)) };
        device.measured_symbols(&call).unwrap_err().to_string()
    };
    assert!(refused(&small(0, 32), DType::F32).contains("there are no f32 kernels"));
    let ragged = Some(Ragged { q: vec![0, 100, 130], kv: vec![0, 100, 130] });
    let problem = Problem { ragged, ..Problem::self_attention(2, 100, 1, 32) };
    let unfit = Bound::new(&strategy, &problem, &bindings).unwrap_err().to_string();
    assert!(unfit.contains("read Q and K, which need one length for all batch items"), "{unfit}");
    let text = refused(&small(0, 20), DType::Bf16);
    assert!(text.contains("for head dimension 20"), "{text}");
}

/// The pool launch reads Q and K once, whole sectors of them; all other launches together read little beside it.
#[test]
fn tokens_are_read_once() {
    let problem = Problem { blocks: Blocks { q: 64, kv: 64 }, ..Problem::self_attention(1, 1024, 2, 128) };
    let tokens = (2 * 2 * 1024 * 2 * 128) as f64;
    let similarity = |of| node(ExprKind::SelfSim { of, centered: false }, Type::Float);
    let alike = binary(similarity(Side::Q), BinaryOp::Gt, similarity(Side::Kv));
    let pool = agrees("pool", &with_rules(vec![], vec![pairs(Action::Skip, alike)]), &problem, DType::Bf16);
    let loads = pool.cost.stats.unwrap().global_loads;
    assert!(loads.bytes as f64 <= 1.02 * tokens, "{} of {tokens} bytes", loads.bytes);
    assert!((loads.sectors * 32) as f64 <= 1.1 * tokens, "{} sectors of {tokens} bytes", loads.sectors);
}

/// CTAs count those that are done in memory that calls share: each call leaves it to the next as it found it.
#[test]
fn calls_of_a_session_follow_one_another() {
    let (strategy, problem) = (flash_omni_strategy(), small(64, 64));
    let bindings = Bindings::defaults(&strategy);
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
    let moment = Moment { step: 20, steps: 50, since_update: 0, layer: 1 };
    let session = Emulator::open(emulator::Settings::default()).unwrap().session().unwrap();
    for seed in [11, 21, 31] {
        let q = noise(&problem.q_shape(), DType::Bf16, seed);
        let k = noise(&problem.kv_shape(), DType::Bf16, seed + 1);
        let arrays = ["q", "k"].map(|name| Array::place(&session, name, if name == "q" { &q } else { &k }).unwrap());
        let symbols = SymbolArrays::ones(&session, &problem, false).unwrap();
        let call = SymbolsOf { bound: &bound, moment, data: Some((&arrays[0], &arrays[1])) };
        let made = Call::Symbols { call, means: None, symbols: &symbols };
        let prepared = session.prepare(&made).unwrap();
        session.run(&prepared, &made).unwrap();
        let plain = Plain { problem: &problem, q: q.to_f32(), k: k.to_f32() };
        assert_eq!(symbols.read(&problem).unwrap(), data_symbols(&bound, &moment, &plain), "seed {seed}");
    }
}
