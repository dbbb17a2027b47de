//! Strategies without a parser: small names for the expressions that the tests write.
#![allow(dead_code)] // each test file uses some of them

use sparsym_ir::expr::{
    Axis, BinaryOp, Coordinate, Expr, ExprKind, Function, Global, Line, Measure, Order, Percentile, Reduction, Running,
    Side, Softmax, Type, UnaryOp, Within,
};
use sparsym_ir::strategy::{Action, BlockRule, Blocks, Map, MapAxis, MapId, RangeId, TokenRange, When};
use sparsym_ir::{Bindings, Bound, DType, Moment, Problem, Span, Strategy, Symbols, SymbolsCall, Tensor};
use sparsym_reference::{Margins, symbols_with_margins};

pub(crate) use Side::{Kv, Q};

pub(crate) fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

pub(crate) fn float(value: f64) -> Expr {
    expr(ExprKind::Float(value), Type::Float)
}

pub(crate) fn int(value: i64) -> Expr {
    expr(ExprKind::Int(value), Type::Int)
}

pub(crate) fn to_float(of: Expr) -> Expr {
    expr(ExprKind::Unary(UnaryOp::ToFloat, Box::new(of)), Type::Float)
}

pub(crate) fn not(of: Expr) -> Expr {
    expr(ExprKind::Unary(UnaryOp::Not, Box::new(of)), Type::Bool)
}

/// `op(a, "<=", b)`.
pub(crate) fn op(a: Expr, symbol: &str, b: Expr) -> Expr {
    use BinaryOp::{Add, And, Div, Eq, Ge, Gt, Le, Lt, Mul, Ne, Or, Rem, Sub};
    let all = [Add, Sub, Mul, Div, Rem, Lt, Le, Gt, Ge, Eq, Ne, And, Or];
    let op = all.into_iter().find(|op| op.symbol() == symbol).expect("an operator");
    let ty = if matches!(op, Add | Sub | Mul | Div | Rem) { a.ty } else { Type::Bool };
    expr(ExprKind::Binary(op, Box::new(a), Box::new(b)), ty)
}

pub(crate) fn call(function: Function, args: Vec<Expr>) -> Expr {
    let ty = match function {
        Function::Floor | Function::Ceil | Function::BitLength => Type::Int,
        _ => args[0].ty,
    };
    expr(ExprKind::Call(function, args), ty)
}

pub(crate) fn global(global: Global) -> Expr {
    expr(ExprKind::Global(global), Type::Int)
}

pub(crate) fn coordinate(side: Side, coordinate: Coordinate) -> Expr {
    expr(ExprKind::Coordinate(side, coordinate), Type::Int)
}

pub(crate) fn block(side: Side) -> Expr {
    coordinate(side, Coordinate::Block)
}

/// `sqrt(D)`.
pub(crate) fn sqrt_d() -> Expr {
    call(Function::Sqrt, vec![to_float(global(Global::HeadDim))])
}

/// `pool(Q) . pool(K)`, or `pool(center(K))`.
pub(crate) fn dot(kv_centered: bool) -> Expr {
    expr(ExprKind::Dot { q_centered: false, kv_centered }, Type::Float)
}

pub(crate) fn selfsim(of: Side, centered: bool) -> Expr {
    expr(ExprKind::SelfSim { of, centered }, Type::Float)
}

pub(crate) fn read(map: usize, sides: &[Side]) -> Expr {
    expr(ExprKind::Map(MapId(map), sides.to_vec()), Type::Float)
}

pub(crate) fn all(axis: Axis) -> Running {
    Running { axis, within: Within::All, visible: None }
}

pub(crate) fn within(axis: Axis, range: usize) -> Running {
    Running { axis, within: Within::Range(RangeId(range)), visible: None }
}

pub(crate) fn seeing(axis: Axis, visible: Expr) -> Running {
    Running { axis, within: Within::All, visible: Some(visible) }
}

pub(crate) fn reduce(how: Reduction, over: Running, value: Expr) -> Expr {
    expr(ExprKind::Reduce(how, Box::new(over), Box::new(value)), Type::Float)
}

pub(crate) fn softmax(over: Running, value: Expr) -> Expr {
    expr(ExprKind::Softmax(Box::new(Softmax { over, weight: None, value })), Type::Float)
}

pub(crate) fn order(measure: Measure, descending: bool, value: Expr) -> Expr {
    seeded(measure, descending, None, value)
}

pub(crate) fn seeded(measure: Measure, descending: bool, first: Option<Expr>, value: Expr) -> Expr {
    let ty = if measure == Measure::Rank { Type::Int } else { Type::Float };
    expr(ExprKind::Order(Box::new(Order { measure, descending, line: Line::Row, first, value })), ty)
}

pub(crate) fn percentile_per_head(value: Expr, share: f64) -> Expr {
    let share = float(share);
    expr(ExprKind::Percentile(Box::new(Percentile { line: Line::Head, value, share })), Type::Float)
}

pub(crate) fn map(name: &str, axes: &[(Side, Option<usize>)], value: Expr) -> Map {
    let axis = |&(side, range): &(Side, Option<usize>)| MapAxis {
        variable: side.name().to_owned(),
        side,
        range: range.map(RangeId),
    };
    Map { name: name.to_owned(), axes: axes.iter().map(axis).collect(), value, span: Span::default() }
}

/// A rule over all blocks.
pub(crate) fn rule(action: Action, condition: Expr) -> BlockRule {
    rule_in(action, None, condition)
}

/// A rule over the query blocks of a range.
pub(crate) fn rule_in(action: Action, q: Option<usize>, condition: Expr) -> BlockRule {
    let when = When::Match { q: q.map(RangeId), kv: None, condition: Some(condition) };
    BlockRule { action, when, reuse: None, span: Span::default() }
}

pub(crate) fn otherwise(action: Action) -> BlockRule {
    BlockRule { action, when: When::Otherwise, reuse: None, span: Span::default() }
}

pub(crate) fn strategy(maps: Vec<Map>, rules: Vec<BlockRule>) -> Strategy {
    Strategy { maps, rules, ..Strategy::dense() }
}

pub(crate) fn range(name: &str) -> TokenRange {
    TokenRange { name: name.to_owned(), grid: None, span: Span::default() }
}

/// A problem of blocks of 16 tokens.
pub(crate) fn problem(tokens: usize, heads: usize, dim: usize) -> Problem {
    Problem { blocks: Blocks { q: 16, kv: 16 }, ..Problem::self_attention(1, tokens, heads, dim) }
}

/// `[1, N, H, D]` from the tokens of each head, each token `times` times: a block of 16 / times tokens becomes one of 16
/// with the same mean and the same self-similarity.
pub(crate) fn repeated<const D: usize>(heads: &[&[[i32; D]]], times: usize) -> Tensor {
    let mut values = Vec::new();
    for token in 0..heads[0].len() * times {
        values.extend(heads.iter().flat_map(|head| head[token / times].map(|x| x as f32)));
    }
    Tensor::from_f32(&[1, heads[0].len() * times, heads.len(), D], DType::F32, &values)
}

/// Q, K and a problem for which pool(Q) . pool(K) is `scores`: query block i is the i-th unit vector.
pub(crate) fn of_scores<const N: usize>(scores: [[f32; N]; N]) -> (Problem, Tensor, Tensor) {
    let problem = problem(16 * N, 1, N);
    let rows = |row: &dyn Fn(usize) -> [f32; N]| (0..16 * N).flat_map(|token| row(token / 16)).collect::<Vec<f32>>();
    let q = rows(&|i| std::array::from_fn(|d| f32::from(u8::from(d == i))));
    let k = rows(&|j| std::array::from_fn(|d| scores[d][j]));
    let shape = problem.q_shape();
    (problem, Tensor::from_f32(&shape, DType::F32, &q), Tensor::from_f32(&shape, DType::F32, &k))
}

pub(crate) fn run(strategy: &Strategy, problem: &Problem, q: &Tensor, k: &Tensor) -> (Symbols, Margins) {
    run_at(strategy, problem, q, k, Moment::default())
}

pub(crate) fn run_at(
    strategy: &Strategy,
    problem: &Problem,
    q: &Tensor,
    k: &Tensor,
    moment: Moment,
) -> (Symbols, Margins) {
    let bindings = Bindings::defaults(strategy);
    let bound = Bound::new(strategy, problem, &bindings).unwrap_or_else(|findings| panic!("{findings}"));
    let call = SymbolsCall { bound: &bound, moment, data: Some((q, k)) };
    call.check().unwrap_or_else(|findings| panic!("{findings}"));
    symbols_with_margins(&call)
}

/// The rows of S_s of a head as the fixtures write them: `1010 0110`.
pub(crate) fn rows(symbols: &Symbols, head: usize) -> String {
    let skip = &symbols.skip;
    let row = |i| (0..skip.kv_blocks()).map(|j| if skip.get(0, head, i, j) { '1' } else { '0' }).collect::<String>();
    (0..skip.q_blocks()).map(row).collect::<Vec<_>>().join(" ")
}

/// The bits of S_c of a head.
pub(crate) fn cached(symbols: &Symbols, head: usize) -> String {
    (0..symbols.cache.q_blocks()).map(|i| if symbols.cache.get(0, head, i) { '1' } else { '0' }).collect()
}

pub(crate) fn least(margins: &[f32]) -> f32 {
    margins.iter().copied().fold(f32::INFINITY, f32::min)
}
