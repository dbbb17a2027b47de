//! Interval arithmetic over a cell of token pairs: what is left of a mask when the affine literals are taken out.
//!
//! Integers are intervals of i64; a result that leaves 32 bits may have wrapped, so it becomes the full 32-bit range.
//! Floats are intervals of f32: rounding to nearest is monotone, so the operation on the ends gives the ends. Functions
//! that devices round differently are widened.

use crate::eval::{Datum, Scope, bit_length};
use crate::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Side, UnaryOp};
use crate::strategy::InputId;

use super::atoms::stays_in_32_bits;
use super::pieces::Piece;

/// The integers from `lo` to `hi`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) lo: i64,
    pub(super) hi: i64,
}

impl Interval {
    const INT: Interval = Interval { lo: i32::MIN as i64, hi: i32::MAX as i64 };

    pub(super) fn new(lo: i64, hi: i64) -> Interval {
        Interval { lo, hi }
    }

    pub(super) fn one(value: i64) -> Interval {
        Interval { lo: value, hi: value }
    }

    pub(super) fn hull(self, other: Interval) -> Interval {
        Interval::new(self.lo.min(other.lo), self.hi.max(other.hi))
    }

    fn minus(self, other: Interval) -> Interval {
        Interval::new(self.lo - other.hi, self.hi - other.lo)
    }

    fn scaled(self, factor: i64) -> Interval {
        let (a, b) = (self.lo * factor, self.hi * factor);
        Interval::new(a.min(b), a.max(b))
    }

    fn meet(self, other: Interval) -> Interval {
        Interval::new(self.lo.max(other.lo), self.hi.min(other.hi))
    }

    /// The interval as a 32-bit result: everything if it may have wrapped.
    fn wrapped(self) -> Interval {
        if self.lo < Interval::INT.lo || self.hi > Interval::INT.hi { Interval::INT } else { self }
    }

    fn corners(self, other: Interval, f: impl Fn(i64, i64) -> i64) -> Interval {
        let all = [f(self.lo, other.lo), f(self.lo, other.hi), f(self.hi, other.lo), f(self.hi, other.hi)];
        Interval::new(all.into_iter().min().unwrap_or(0), all.into_iter().max().unwrap_or(0))
    }

    fn abs(self) -> Interval {
        let most = self.lo.abs().max(self.hi.abs());
        let least = if self.lo <= 0 && self.hi >= 0 { 0 } else { self.lo.abs().min(self.hi.abs()) };
        Interval::new(least, most)
    }
}

/// What is known of a value on a cell.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Range {
    Truth(Option<bool>),
    Int(Interval),
    /// From the first to the second, neither NaN; None: anything, NaN too.
    Float(Option<(f32, f32)>),
    Triple([Interval; 3]),
}

/// The token pairs of two pieces whose difference lies in `diff`.
pub(super) struct Cell<'c> {
    pub(super) q: &'c Piece,
    pub(super) kv: &'c Piece,
    pub(super) diff: Interval,
}

/// An expression with all values folded that are the same for a batch item and head.
#[derive(Clone, Debug)]
pub(super) enum Node {
    Known(Range),
    /// q · q.pos + kv · kv.pos + constant; never leaves 32 bits.
    Affine([i64; 3]),
    /// How the affine number compares with 0; in 64 bits.
    Sign(BinaryOp, [i64; 3]),
    Grid(Side, usize),
    Tile(Side),
    Input(Side, InputId),
    Triple(Box<[Node; 3]>),
    Unary(UnaryOp, Box<Node>),
    Binary(BinaryOp, Box<[Node; 2]>),
    /// Arguments and tiles of the grid.
    Near(Box<[Node; 3]>, [i32; 3]),
    Call(Function, Vec<Node>),
    Unknown,
}

impl Node {
    pub(super) fn new(scope: &Scope, tokens: [usize; 2], expr: &Expr) -> Node {
        if !expr.reads_tokens() {
            return Node::Known(match scope.eval(expr) {
                Datum::Bool(v) => Range::Truth(Some(v)),
                Datum::Int(v) => Range::Int(Interval::one(i64::from(v))),
                Datum::Float(v) => Range::Float((!v.is_nan()).then_some((v, v))),
                Datum::Triple(v) => Range::Triple(v.map(|v| Interval::one(i64::from(v)))),
            });
        }
        let value = |e: &Expr| i64::from(scope.eval(e).int());
        if let Some(terms) = affine(expr, &value)
            && stays_in_32_bits(expr, tokens, &|e| [value(e); 2])
        {
            return Node::Affine(terms);
        }
        let node = |e: &Expr| Node::new(scope, tokens, e);
        match &expr.kind {
            ExprKind::Coordinate(side, Coordinate::T) => Node::Grid(*side, 0),
            ExprKind::Coordinate(side, Coordinate::H) => Node::Grid(*side, 1),
            ExprKind::Coordinate(side, Coordinate::W) => Node::Grid(*side, 2),
            ExprKind::Coordinate(side, Coordinate::Tile) => Node::Tile(*side),
            ExprKind::Input(id, side) => Node::Input(*side, *id),
            ExprKind::Triple(parts) => Node::Triple(Box::new([node(&parts[0]), node(&parts[1]), node(&parts[2])])),
            ExprKind::Unary(op, a) => Node::Unary(*op, Box::new(node(a))),
            ExprKind::Binary(op, a, b) => match (node(a), node(b)) {
                (Node::Affine(a), Node::Affine(b)) if is_comparison(*op) => {
                    Node::Sign(*op, [a[0] - b[0], a[1] - b[1], a[2] - b[2]])
                }
                (a, b) => Node::Binary(*op, Box::new([a, b])),
            },
            ExprKind::Call(Function::Near, args) if args.len() == 3 => {
                Node::Near(Box::new([node(&args[0]), node(&args[1]), node(&args[2])]), scope.tiles())
            }
            ExprKind::Call(function, args) => Node::Call(*function, args.iter().map(node).collect()),
            _ => Node::Unknown,
        }
    }

    /// Whether a bool node holds for all pairs of the cell, for none, or not known.
    pub(super) fn truth(&self, cell: &Cell) -> Option<bool> {
        match self.range(cell) {
            Range::Truth(truth) => truth,
            _ => None,
        }
    }

    fn range(&self, cell: &Cell) -> Range {
        let piece = |side: &Side| if *side == Side::Q { cell.q } else { cell.kv };
        match self {
            Node::Known(range) => *range,
            Node::Affine(terms) => Range::Int(affine_interval(terms, cell)),
            Node::Sign(op, terms) => Range::Truth(compare(*op, affine_interval(terms, cell), Interval::one(0))),
            Node::Grid(side, axis) => Range::Int(piece(side).at[*axis]),
            Node::Tile(side) => Range::Triple(piece(side).tile),
            Node::Input(side, id) => piece(side).inputs.get(id.0).copied().unwrap_or(Range::Truth(None)),
            Node::Triple(parts) => Range::Triple([0, 1, 2].map(|axis| parts[axis].range(cell).int())),
            Node::Unary(op, a) => unary(*op, a.range(cell)),
            Node::Binary(op, sides) => binary(*op, sides[0].range(cell), sides[1].range(cell)),
            Node::Near(args, tiles) => {
                let [a, b, window] = [0, 1, 2].map(|n| args[n].range(cell).triple());
                Range::Truth(near(a, b, window, *tiles))
            }
            Node::Call(function, args) => {
                let arg = |n: usize| args.get(n).map_or(Range::Truth(None), |arg: &Node| arg.range(cell));
                call(*function, arg(0), arg(1), arg(2))
            }
            Node::Unknown => Range::Truth(None),
        }
    }
}

impl Range {
    fn int(self) -> Interval {
        match self {
            Range::Int(interval) => interval,
            _ => Interval::INT,
        }
    }

    fn float(self) -> Option<(f32, f32)> {
        match self {
            Range::Float(interval) => interval,
            _ => None,
        }
    }

    fn triple(self) -> [Interval; 3] {
        match self {
            Range::Triple(axes) => axes,
            _ => [Interval::INT; 3],
        }
    }
}

/// Factors of q.pos and kv.pos and the constant, if the expression is affine.
fn affine(expr: &Expr, value: &dyn Fn(&Expr) -> i64) -> Option<[i64; 3]> {
    if !expr.reads_tokens() {
        return Some([0, 0, value(expr)]);
    }
    let of = |e: &Expr| affine(e, value);
    let small = |terms: [i64; 3]| terms.iter().all(|term| term.abs() <= 1 << 31).then_some(terms);
    let scaled = |terms: [i64; 3], factor: i64| small(terms.map(|term| term * factor));
    match &expr.kind {
        ExprKind::Coordinate(Side::Q, Coordinate::Pos) => Some([1, 0, 0]),
        ExprKind::Coordinate(Side::Kv, Coordinate::Pos) => Some([0, 1, 0]),
        ExprKind::Unary(UnaryOp::Neg, a) => scaled(of(a)?, -1),
        ExprKind::Binary(BinaryOp::Add, a, b) => {
            let (a, b) = (of(a)?, of(b)?);
            small([a[0] + b[0], a[1] + b[1], a[2] + b[2]])
        }
        ExprKind::Binary(BinaryOp::Sub, a, b) => {
            let (a, b) = (of(a)?, of(b)?);
            small([a[0] - b[0], a[1] - b[1], a[2] - b[2]])
        }
        ExprKind::Binary(BinaryOp::Mul, a, b) if !a.reads_tokens() => scaled(of(b)?, value(a)),
        ExprKind::Binary(BinaryOp::Mul, a, b) if !b.reads_tokens() => scaled(of(a)?, value(b)),
        _ => None,
    }
}

/// a·q + b·kv = (a + b)·q - b·d = (a + b)·kv + a·d: each form is a bound, and one of them is attained when a, b or a + b
/// is 0.
fn affine_interval([a, b, constant]: &[i64; 3], cell: &Cell) -> Interval {
    let sum = |x: Interval, y: Interval| Interval::new(x.lo + y.lo + constant, x.hi + y.hi + constant);
    let (q, kv, diff) = (cell.q.pos, cell.kv.pos, cell.diff);
    sum(q.scaled(*a), kv.scaled(*b))
        .meet(sum(q.scaled(a + b), diff.scaled(-b)))
        .meet(sum(kv.scaled(a + b), diff.scaled(*a)))
}

fn is_comparison(op: BinaryOp) -> bool {
    matches!(op, BinaryOp::Lt | BinaryOp::Le | BinaryOp::Gt | BinaryOp::Ge | BinaryOp::Eq | BinaryOp::Ne)
}

/// Ordered comparison of two intervals.
fn compare(op: BinaryOp, a: Interval, b: Interval) -> Option<bool> {
    order(op, (a.lo, a.hi), (b.lo, b.hi))
}

fn order<T: PartialOrd>(op: BinaryOp, a: (T, T), b: (T, T)) -> Option<bool> {
    let decide = |always: bool, never: bool| if always { Some(true) } else { never.then_some(false) };
    match op {
        BinaryOp::Lt => decide(a.1 < b.0, a.0 >= b.1),
        BinaryOp::Le => decide(a.1 <= b.0, a.0 > b.1),
        BinaryOp::Gt => decide(a.0 > b.1, a.1 <= b.0),
        BinaryOp::Ge => decide(a.0 >= b.1, a.1 < b.0),
        BinaryOp::Eq => decide(a.0 >= b.1 && a.1 <= b.0, a.0 > b.1 || a.1 < b.0),
        BinaryOp::Ne => order(BinaryOp::Eq, a, b).map(|same| !same),
        _ => None,
    }
}

fn near(a: [Interval; 3], b: [Interval; 3], window: [Interval; 3], tiles: [i32; 3]) -> Option<bool> {
    let mut all = Some(true);
    for axis in 0..3 {
        if window[axis].lo != window[axis].hi {
            return None;
        }
        let r = window[axis].lo / 2;
        let high = i64::from(tiles[axis]) - 1 - r;
        let centre = Interval::new(a[axis].lo.min(high).max(r), a[axis].hi.min(high).max(r));
        match compare(BinaryOp::Le, centre.minus(b[axis]).abs(), Interval::one(r)) {
            Some(true) => {}
            Some(false) => return Some(false),
            None => all = None,
        }
    }
    all
}

fn unary(op: UnaryOp, a: Range) -> Range {
    match (op, a) {
        (UnaryOp::Not, Range::Truth(truth)) => Range::Truth(truth.map(|v| !v)),
        (UnaryOp::Neg, Range::Int(a)) => Range::Int(a.scaled(-1).wrapped()),
        (UnaryOp::Neg, Range::Float(a)) => Range::Float(a.map(|(lo, hi)| (-hi, -lo))),
        (UnaryOp::ToFloat, Range::Int(a)) => Range::Float(Some((a.lo as f32, a.hi as f32))),
        (UnaryOp::ToFloat, _) => Range::Float(None),
        _ => Range::Truth(None),
    }
}

fn binary(op: BinaryOp, a: Range, b: Range) -> Range {
    match (a, b) {
        (Range::Int(a), Range::Int(b)) if is_comparison(op) => Range::Truth(compare(op, a, b)),
        (Range::Int(a), Range::Int(b)) => Range::Int(binary_int(op, a, b)),
        (Range::Float(a), Range::Float(b)) if is_comparison(op) => {
            Range::Truth(a.zip(b).and_then(|(a, b)| order(op, a, b)))
        }
        (Range::Float(a), Range::Float(b)) => Range::Float(a.zip(b).and_then(|(a, b)| binary_float(op, a, b))),
        (Range::Triple(a), Range::Triple(b)) => {
            let axes = [0, 1, 2].map(|axis| compare(BinaryOp::Eq, a[axis], b[axis]));
            let same = match axes {
                _ if axes.contains(&Some(false)) => Some(false),
                _ if axes.contains(&None) => None,
                _ => Some(true),
            };
            Range::Truth(if op == BinaryOp::Ne { same.map(|v| !v) } else { same })
        }
        (Range::Truth(a), Range::Truth(b)) => Range::Truth(match op {
            BinaryOp::And if a == Some(false) || b == Some(false) => Some(false),
            BinaryOp::Or if a == Some(true) || b == Some(true) => Some(true),
            _ => a.zip(b).and_then(|(a, b)| match op {
                BinaryOp::And => Some(a && b),
                BinaryOp::Or => Some(a || b),
                BinaryOp::Eq => Some(a == b),
                BinaryOp::Ne => Some(a != b),
                _ => None,
            }),
        }),
        _ => Range::Truth(None),
    }
}

fn binary_int(op: BinaryOp, a: Interval, b: Interval) -> Interval {
    let divisor_may_be_0 = b.lo <= 0 && b.hi >= 0;
    match op {
        BinaryOp::Add => Interval::new(a.lo + b.lo, a.hi + b.hi).wrapped(),
        BinaryOp::Sub => a.minus(b).wrapped(),
        BinaryOp::Mul => a.corners(b, |x, y| x * y).wrapped(),
        BinaryOp::Div if !divisor_may_be_0 => a.corners(b, |x, y| x / y).wrapped(),
        BinaryOp::Rem if !divisor_may_be_0 => remainder(a, b),
        _ => Interval::INT,
    }
}

fn remainder(a: Interval, b: Interval) -> Interval {
    if b.lo == b.hi && a.lo / b.lo == a.hi / b.lo {
        return Interval::new(a.lo % b.lo, a.hi % b.lo); // one quotient: only shifted
    }
    let most = b.lo.abs().max(b.hi.abs()) - 1;
    Interval::new(if a.lo < 0 { -most } else { 0 }, if a.hi > 0 { most } else { 0 })
}

fn binary_float(op: BinaryOp, a: (f32, f32), b: (f32, f32)) -> Option<(f32, f32)> {
    let ends = [a.0, a.1, b.0, b.1];
    match op {
        _ if ends.iter().any(|v| v.is_infinite()) => None, // inf - inf or 0 · inf may lie inside
        BinaryOp::Add => Some((a.0 + b.0, a.1 + b.1)),
        BinaryOp::Sub => Some((a.0 - b.1, a.1 - b.0)),
        BinaryOp::Mul => corners(a, b, |x, y| x * y),
        BinaryOp::Div if b.0 > 0.0 || b.1 < 0.0 => corners(a, b, |x, y| x / y),
        _ => None,
    }
}

fn corners(a: (f32, f32), b: (f32, f32), f: impl Fn(f32, f32) -> f32) -> Option<(f32, f32)> {
    let all = [f(a.0, b.0), f(a.0, b.1), f(a.1, b.0), f(a.1, b.1)];
    Some((all.into_iter().fold(f32::INFINITY, f32::min), all.into_iter().fold(f32::NEG_INFINITY, f32::max)))
}

fn call(function: Function, a: Range, b: Range, c: Range) -> Range {
    if let (Range::Float(x), Function::Floor | Function::Ceil) = (a, function) {
        let round = |v: f32| i64::from(if function == Function::Floor { v.floor() } else { v.ceil() } as i32);
        return Range::Int(x.map_or(Interval::INT, |(lo, hi)| Interval::new(round(lo), round(hi))));
    }
    match a {
        Range::Int(a) => Range::Int(call_int(function, a, b.int(), c.int())),
        Range::Float(a) => Range::Float(a.and_then(|a| call_float(function, a, b.float(), c.float()))),
        _ => Range::Truth(None),
    }
}

fn call_int(function: Function, a: Interval, b: Interval, c: Interval) -> Interval {
    let least = |a: Interval, b: Interval| Interval::new(a.lo.min(b.lo), a.hi.min(b.hi));
    let most = |a: Interval, b: Interval| Interval::new(a.lo.max(b.lo), a.hi.max(b.hi));
    match function {
        Function::Abs => a.abs().wrapped(),
        Function::Min => least(a, b),
        Function::Max => most(a, b),
        Function::Clamp => most(least(a, c), b),
        Function::BitLength => Interval::new(i64::from(bit_length(a.lo as i32)), i64::from(bit_length(a.hi as i32))),
        _ => Interval::INT,
    }
}

fn call_float(function: Function, a: (f32, f32), b: Option<(f32, f32)>, c: Option<(f32, f32)>) -> Option<(f32, f32)> {
    let least = |a: (f32, f32), b: (f32, f32)| (a.0.min(b.0), a.1.min(b.1));
    let most = |a: (f32, f32), b: (f32, f32)| (a.0.max(b.0), a.1.max(b.1));
    // Devices agree on these to a few units in the last place only.
    let widened = |f: fn(f32) -> f32| {
        let (lo, hi) = (f(a.0), f(a.1));
        (lo.is_finite() && hi.is_finite()).then_some((lo - lo.abs() * 1e-5 - 1e-30, hi + hi.abs() * 1e-5 + 1e-30))
    };
    match function {
        Function::Abs if a.0 <= 0.0 && a.1 >= 0.0 => Some((0.0, a.1.max(-a.0))),
        Function::Abs => Some((a.0.abs().min(a.1.abs()), a.0.abs().max(a.1.abs()))),
        Function::Min => Some(least(a, b?)),
        Function::Max => Some(most(a, b?)),
        Function::Clamp => Some(most(least(a, c?), b?)),
        Function::Sqrt => widened(f32::sqrt),
        Function::Tanh => widened(f32::tanh),
        Function::Exp => widened(f32::exp),
        Function::Exp2 => widened(f32::exp2),
        Function::Log => widened(f32::ln),
        Function::Log2 => widened(f32::log2),
        _ => None,
    }
}
