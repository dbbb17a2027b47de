//! Strategies over maps built by hand, and what a device would know of Q and K, in plain loops.

use sparsym_ir::Tensor;
use sparsym_ir::data::Features;
use sparsym_ir::expr::{
    Axis, BinaryOp, Coordinate, Expr, ExprKind, Function, Global, Line, Measure, Order, Reduction, Running, Side,
    Softmax, Type, UnaryOp, Within,
};
use sparsym_ir::problem::{DType, Problem};
use sparsym_ir::span::Span;
use sparsym_ir::strategy::{Action, BlockRule, Map, MapAxis, MapId, RangeId, Reuse, Strategy, TokenRange, When};

pub(crate) fn node(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

pub(crate) fn float(value: f64) -> Expr {
    node(ExprKind::Float(value), Type::Float)
}

pub(crate) fn int(value: i64) -> Expr {
    node(ExprKind::Int(value), Type::Int)
}

pub(crate) fn global(global: Global) -> Expr {
    node(ExprKind::Global(global), Type::Int)
}

pub(crate) fn at(side: Side, coordinate: Coordinate) -> Expr {
    node(ExprKind::Coordinate(side, coordinate), Type::Int)
}

pub(crate) fn to_float(value: Expr) -> Expr {
    node(ExprKind::Unary(UnaryOp::ToFloat, Box::new(value)), Type::Float)
}

pub(crate) fn not(value: Expr) -> Expr {
    node(ExprKind::Unary(UnaryOp::Not, Box::new(value)), Type::Bool)
}

pub(crate) fn call(function: Function, args: Vec<Expr>, ty: Type) -> Expr {
    node(ExprKind::Call(function, args), ty)
}

/// `a op b`: of a's type, or a bool if it compares.
pub(crate) fn binary(a: Expr, op: BinaryOp, b: Expr) -> Expr {
    let ty = match op {
        BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem => a.ty,
        _ => Type::Bool,
    };
    node(ExprKind::Binary(op, Box::new(a), Box::new(b)), ty)
}

pub(crate) fn read(map: usize, sides: &[Side]) -> Expr {
    node(ExprKind::Map(MapId(map), sides.to_vec()), Type::Float)
}

pub(crate) fn over(axis: Axis, within: Within, visible: Option<Expr>) -> Running {
    Running { axis, within, visible }
}

pub(crate) fn reduce(reduction: Reduction, running: Running, value: Expr) -> Expr {
    node(ExprKind::Reduce(reduction, Box::new(running), Box::new(value)), Type::Float)
}

pub(crate) fn softmax(over: Running, weight: Option<Expr>, value: Expr) -> Expr {
    node(ExprKind::Softmax(Box::new(Softmax { over, weight, value })), Type::Float)
}

pub(crate) fn dot(q_centered: bool, kv_centered: bool) -> Expr {
    node(ExprKind::Dot { q_centered, kv_centered }, Type::Float)
}

pub(crate) fn order(measure: Measure, descending: bool, line: Line, first: Option<Expr>, value: Expr) -> Expr {
    let ty = if measure == Measure::Rank { Type::Int } else { Type::Float };
    node(ExprKind::Order(Box::new(Order { measure, descending, line, first, value })), ty)
}

/// A map over these sides, each with its range.
pub(crate) fn map(name: &str, axes: &[(Side, Option<RangeId>)], value: Expr) -> Map {
    let axes = axes.iter().map(|&(side, range)| MapAxis { variable: side.name().to_owned(), side, range }).collect();
    Map { name: name.to_owned(), axes, value, span: Span::default() }
}

/// `let s = pool(Q) . pool(K) / sqrt(D)`, times four so that softmaxes are not flat.
pub(crate) fn s_map() -> Map {
    let root = call(Function::Sqrt, vec![to_float(global(Global::HeadDim))], Type::Float);
    let scaled = binary(binary(dot(false, false), BinaryOp::Mul, float(16.0)), BinaryOp::Div, root);
    map("s", &[(Side::Q, None), (Side::Kv, None)], scaled)
}

pub(crate) fn rule(action: Action, q: Option<RangeId>, kv: Option<RangeId>, condition: Option<Expr>) -> BlockRule {
    let reuse = (action == Action::Cache).then_some(Reuse::Hold);
    BlockRule { action, when: When::Match { q, kv, condition }, reuse, span: Span::default() }
}

pub(crate) fn pairs(action: Action, condition: Expr) -> BlockRule {
    rule(action, None, None, Some(condition))
}

pub(crate) fn with_rules(maps: Vec<Map>, rules: Vec<BlockRule>) -> Strategy {
    Strategy { name: "Test".to_owned(), maps, rules, ..Strategy::dense() }
}

pub(crate) fn tokens(names: &[&str]) -> Vec<TokenRange> {
    names.iter().map(|&name| TokenRange { name: name.to_owned(), grid: None, span: Span::default() }).collect()
}

/// strategies.md 1.1: text is range 0, vision is range 1.
pub(crate) fn flash_omni_strategy() -> Strategy {
    const TEXT: RangeId = RangeId(0);
    const VISION: RangeId = RangeId(1);
    use Side::{Kv, Q};
    let sum_over_kv = || reduce(Reduction::Sum, over(Axis::Kv, Within::Range(TEXT), None), read(0, &[Q, Kv]));
    let sum_over_q = || reduce(Reduction::Sum, over(Axis::Q, Within::Range(TEXT), None), read(0, &[Q, Kv]));
    let looks = softmax(over(Axis::Q, Within::Range(VISION), None), None, sum_over_kv());
    let seen = softmax(over(Axis::Kv, Within::Range(VISION), None), None, sum_over_q());
    let both = binary(read(1, &[Q]), BinaryOp::Add, read(2, &[Q]));
    let mean = binary(both, BinaryOp::Div, float(2.0));
    let cache = binary(order(Measure::Mass, false, Line::Row, None, mean), BinaryOp::Le, float(0.45));
    let p = softmax(over(Axis::Kv, Within::All, None), None, read(0, &[Q, Kv]));
    let skip = binary(order(Measure::Mass, false, Line::Row, None, p), BinaryOp::Le, float(0.35));
    Strategy {
        name: "FlashOmni".to_owned(),
        tokens: tokens(&["text", "vision"]),
        ..with_rules(
            vec![s_map(), map("looks", &[(Q, None)], looks), map("seen", &[(Kv, None)], seen)],
            vec![rule(Action::Cache, Some(VISION), None, Some(cache)), pairs(Action::Skip, skip)],
        )
    }
}

/// Even numbers between -1 and 1, and a bias that grows with the block, the same on every machine.
pub(crate) fn noise(shape: &[usize], dtype: DType, seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let mut biases: Vec<f32> = Vec::new();
    let (row, n) = (shape[2] * shape[3], shape.iter().product::<usize>());
    let values: Vec<f32> = (0..n)
        .map(|at| {
            // Tokens of a stretch of sixteen have a direction in common.
            if at % (16 * row) == 0 {
                biases = (0..row).map(|_| 0.6 * next()).collect();
            }
            next() + biases[at % row]
        })
        .collect();
    Tensor::from_f32(shape, dtype, &values)
}

/// Plain loops in f32.
pub(crate) struct Plain<'a> {
    pub(crate) problem: &'a Problem,
    pub(crate) q: Vec<f32>,
    pub(crate) k: Vec<f32>,
}

impl Plain<'_> {
    fn token(&self, of: Side, b: usize, h: usize, pos: usize) -> &[f32] {
        let (p, d) = (self.problem, self.problem.head_dim);
        match of {
            Side::Q => &self.q[((b * p.n_q + pos) * p.heads + h) * d..][..d],
            Side::Kv => {
                let h = h / (p.heads / p.kv_heads);
                &self.k[((b * p.n_kv + pos) * p.kv_heads + h) * d..][..d]
            }
        }
    }

    fn tokens(&self, of: Side) -> (usize, usize) {
        match of {
            Side::Q => (self.problem.n_q, self.problem.blocks.q as usize),
            Side::Kv => (self.problem.n_kv, self.problem.blocks.kv as usize),
        }
    }

    fn mean(&self, of: Side, b: usize, h: usize, tokens: std::ops::Range<usize>) -> Vec<f32> {
        let mut mean = vec![0.0; self.problem.head_dim];
        let n = tokens.len() as f32;
        for pos in tokens {
            mean.iter_mut().zip(self.token(of, b, h, pos)).for_each(|(mean, x)| *mean += x);
        }
        mean.iter().map(|sum| sum / n).collect()
    }

    /// Of all blocks of a head, and of all its tokens.
    fn means(&self, of: Side, b: usize, h: usize, centered: bool) -> Vec<Vec<f32>> {
        let (n, size) = self.tokens(of);
        let all = self.mean(of, b, h, 0..n);
        (0..n.div_ceil(size))
            .map(|block| {
                let mut mean = self.mean(of, b, h, block * size..((block + 1) * size).min(n));
                if centered {
                    mean.iter_mut().zip(&all).for_each(|(mean, all)| *mean -= all);
                }
                mean
            })
            .collect()
    }

    fn each_head(&self, mut visit: impl FnMut(usize, usize)) {
        (0..self.problem.batch).for_each(|b| (0..self.problem.heads).for_each(|h| visit(b, h)));
    }
}

fn product(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

impl Features for Plain<'_> {
    fn dot(&self, q_centered: bool, kv_centered: bool) -> Vec<f32> {
        let mut out = Vec::new();
        self.each_head(|b, h| {
            let (q, k) = (self.means(Side::Q, b, h, q_centered), self.means(Side::Kv, b, h, kv_centered));
            out.extend(q.iter().flat_map(|q| k.iter().map(|k| product(q, k))));
        });
        out
    }

    fn self_similarity(&self, of: Side, centered: bool) -> Vec<f32> {
        let mut out = Vec::new();
        let (n, size) = self.tokens(of);
        self.each_head(|b, h| {
            let all = self.mean(of, b, h, 0..n);
            for first in (0..n).step_by(size) {
                let end = (first + size).min(n);
                let mut sum = vec![0.0; self.problem.head_dim];
                for pos in first..end {
                    let mut x = self.token(of, b, h, pos).to_vec();
                    if centered {
                        x.iter_mut().zip(&all).for_each(|(x, all)| *x -= all);
                    }
                    let size = product(&x, &x).sqrt();
                    sum.iter_mut().zip(&x).for_each(|(sum, x)| *sum += x / size);
                }
                let n = (end - first) as f32;
                out.push(product(&sum, &sum) / (n * n));
            }
        });
        out
    }

    fn antidiagonals(&self, stride: usize, b: usize, h: usize, q_group: usize) -> Vec<f32> {
        let (n_q, n_kv) = (self.problem.n_q, self.problem.n_kv);
        (0..n_kv.div_ceil(stride))
            .map(|kv_group| {
                (0..stride)
                    .map(|a| (q_group * stride + stride - 1 - a, kv_group * stride + a))
                    .filter(|&(q, kv)| q < n_q && kv < n_kv)
                    .map(|(q, kv)| product(self.token(Side::Q, b, h, q), self.token(Side::Kv, b, h, kv)))
                    .sum()
            })
            .collect()
    }
}
