//! Interval arithmetic over a cell of token pairs: what is left of a mask when the affine literals are taken out.
//!
//! Integers are intervals of i64; of a result that leaves 32 bits the ends wrap, and where they wrap apart it becomes the
//! full 32-bit range. Floats are in [`Floats`]. Kernels do the same, operation for operation.

use crate::eval::{Datum, Scope, bit_length};
use crate::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Side, Type, UnaryOp};
use crate::strategy::InputId;

use super::floats::Floats;
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

    pub(super) fn minus(self, other: Interval) -> Interval {
        Interval::new(self.lo - other.hi, self.hi - other.lo)
    }

    fn scaled(self, factor: i64) -> Interval {
        let (a, b) = (self.lo * factor, self.hi * factor);
        Interval::new(a.min(b), a.max(b))
    }

    pub(super) fn meet(self, other: Interval) -> Interval {
        Interval::new(self.lo.max(other.lo), self.hi.min(other.hi))
    }

    /// The interval as a 32-bit result: everything if its ends wrap apart.
    fn wrapped(self) -> Interval {
        let turns = |x: i64| (x - Interval::INT.lo) >> 32;
        if turns(self.lo) != turns(self.hi) {
            return Interval::INT;
        }
        let turned = turns(self.lo) << 32;
        Interval::new(self.lo - turned, self.hi - turned)
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
    Float(Floats),
    Triple([Interval; 3]),
}

/// The token pairs of two pieces whose difference lies in `diff`.
pub(super) struct Cell<'c> {
    pub(super) q: &'c Piece,
    pub(super) kv: &'c Piece,
    pub(super) diff: Interval,
    /// q.cell - kv.cell.
    pub(super) cells: Interval,
}

impl<'c> Cell<'c> {
    pub(super) fn new(q: &'c Piece, kv: &'c Piece, diff: Interval) -> Cell<'c> {
        Cell { q, kv, diff, cells: q.cell.minus(kv.cell) }
    }
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
    Place(Side),
    /// q.cell - kv.cell.
    PlaceDifference,
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
    /// Of an expression whose affine integers stay in 32 bits.
    pub(super) fn new(scope: &Scope, expr: &Expr) -> Node {
        let expr = expr.value();
        if !expr.reads_tokens() {
            return Node::Known(match scope.eval(expr) {
                Datum::Bool(v) => Range::Truth(Some(v)),
                Datum::Int(v) => Range::Int(Interval::one(i64::from(v))),
                Datum::Float(v) => Range::Float(Floats::one(v)),
                Datum::Triple(v) => Range::Triple(v.map(|v| Interval::one(i64::from(v)))),
            });
        }
        let value = |e: &Expr| i64::from(scope.eval(e).int());
        if let Some(terms) = affine(expr, &value) {
            return Node::Affine(terms);
        }
        let node = |e: &Expr| Node::new(scope, e);
        match &expr.kind {
            ExprKind::Coordinate(side, Coordinate::T) => Node::Grid(*side, 0),
            ExprKind::Coordinate(side, Coordinate::H) => Node::Grid(*side, 1),
            ExprKind::Coordinate(side, Coordinate::W) => Node::Grid(*side, 2),
            ExprKind::Coordinate(side, Coordinate::Cell) => Node::Place(*side),
            ExprKind::Coordinate(side, Coordinate::Tile) => Node::Tile(*side),
            ExprKind::Input(id, side) => Node::Input(*side, *id),
            ExprKind::Triple(parts) => Node::Triple(Box::new([node(&parts[0]), node(&parts[1]), node(&parts[2])])),
            ExprKind::Unary(op, a) => Node::Unary(*op, Box::new(node(a))),
            ExprKind::Binary(op, a, b) => match (node(a), node(b)) {
                (Node::Affine(a), Node::Affine(b)) if is_comparison(*op) => {
                    Node::Sign(*op, [a[0] - b[0], a[1] - b[1], a[2] - b[2]])
                }
                (Node::Place(Side::Q), Node::Place(Side::Kv)) if *op == BinaryOp::Sub => Node::PlaceDifference,
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
            Node::Place(side) => Range::Int(piece(side).cell),
            Node::PlaceDifference => Range::Int(cell.cells),
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
    pub(super) fn hull(&self, other: &Range) -> Range {
        match (*self, *other) {
            (Range::Int(a), Range::Int(b)) => Range::Int(a.hull(b)),
            (Range::Float(a), Range::Float(b)) => Range::Float(a.hull(b)),
            (a, b) => {
                if a == b {
                    a
                } else {
                    Range::Truth(None)
                }
            }
        }
    }

    fn int(self) -> Interval {
        match self {
            Range::Int(interval) => interval,
            _ => Interval::INT,
        }
    }

    fn float(self) -> Floats {
        match self {
            Range::Float(floats) => floats,
            _ => Floats::ANY,
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
    if expr.ty != Type::Int {
        return None;
    }
    if !expr.reads_tokens() {
        return Some([0, 0, value(expr)]);
    }
    let of = |e: &Expr| affine(e, value);
    let small = |terms: [i64; 3]| terms.iter().all(|term| term.abs() <= 1 << 31).then_some(terms);
    let scaled = |terms: [i64; 3], factor: i64| small(terms.map(|term| term * factor));
    match &expr.value().kind {
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

pub(super) fn order<T: PartialOrd>(op: BinaryOp, a: (T, T), b: (T, T)) -> Option<bool> {
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
    let axes = [0, 1, 2].map(|axis| {
        let r = (window[axis].lo == window[axis].hi).then_some(window[axis].lo / 2)?;
        let high = i64::from(tiles[axis]) - 1 - r;
        let centre = Interval::new(a[axis].lo.min(high).max(r), a[axis].hi.min(high).max(r));
        compare(BinaryOp::Le, centre.minus(b[axis]).abs(), Interval::one(r))
    });
    all(axes)
}

fn all(axes: [Option<bool>; 3]) -> Option<bool> {
    if axes.contains(&Some(false)) { Some(false) } else { (!axes.contains(&None)).then_some(true) }
}

fn unary(op: UnaryOp, a: Range) -> Range {
    match (op, a) {
        (UnaryOp::Not, Range::Truth(truth)) => Range::Truth(truth.map(|v| !v)),
        (UnaryOp::Neg, Range::Int(a)) => Range::Int(a.scaled(-1).wrapped()),
        (UnaryOp::Neg, Range::Float(a)) => Range::Float(a.negated()),
        (UnaryOp::ToFloat, Range::Int(a)) => Range::Float(Floats { lo: a.lo as f32, hi: a.hi as f32, nan: false }),
        (UnaryOp::ToFloat, _) => Range::Float(Floats::ANY),
        _ => Range::Truth(None),
    }
}

fn binary(op: BinaryOp, a: Range, b: Range) -> Range {
    match (a, b) {
        (Range::Int(a), Range::Int(b)) if is_comparison(op) => Range::Truth(compare(op, a, b)),
        (Range::Int(a), Range::Int(b)) => Range::Int(binary_int(op, a, b)),
        (Range::Float(a), Range::Float(b)) if is_comparison(op) => Range::Truth(Floats::compare(op, a, b)),
        (Range::Float(a), Range::Float(b)) => Range::Float(Floats::binary(op, a, b)),
        (Range::Triple(a), Range::Triple(b)) => {
            let same = all([0, 1, 2].map(|axis| compare(BinaryOp::Eq, a[axis], b[axis])));
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

fn call(function: Function, a: Range, b: Range, c: Range) -> Range {
    match a {
        Range::Float(x) if matches!(function, Function::Floor | Function::Ceil) => {
            // Past 32 bits it stops at their ends, and NaN becomes 0.
            let round = |v: f32| i64::from(if function == Function::Floor { v.floor() } else { v.ceil() } as i32);
            let numbers = (x.lo <= x.hi).then(|| Interval::new(round(x.lo), round(x.hi)));
            let zero = x.nan.then_some(Interval::one(0));
            Range::Int(numbers.into_iter().chain(zero).reduce(Interval::hull).unwrap_or(Interval::INT))
        }
        Range::Int(a) => Range::Int(call_int(function, a, b.int(), c.int())),
        Range::Float(a) => Range::Float(Floats::call(function, a, b.float(), c.float())),
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
