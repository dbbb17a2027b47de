//! The evaluator: one expression at one place, exactly as the language defines it.

use super::cover::Covers;
use crate::bind::{Bound, GridGeometry, Moment};
use crate::data::MapValues;
use crate::expr::{
    Axis, BinaryOp, Coordinate, Expr, ExprKind, Function, Global, Reduction, Running, Side, UnaryOp, Within,
};
use crate::strategy::{Element, InputId, RangeId, Scalar, TableAxis, TableId, Value};

/// What an expression is worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Datum {
    Bool(bool),
    Int(i32),
    Float(f32),
    Triple([i32; 3]),
}

/// The tokens or blocks that `q` and `kv` stand for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Place {
    /// Neither: schedules, and expressions that read no token.
    Nowhere,
    /// A token pair, and the scaled logit of a score rule.
    Tokens { q: usize, kv: usize, logit: f32 },
    /// A block pair.
    Blocks { q: usize, kv: usize },
    /// A pair of groups of tokens, and their antidiagonal product.
    Groups { q: usize, kv: usize, antidiag: f32 },
}

/// Everything that an expression may read.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) bound: &'a Bound<'a>,
    pub(crate) moment: Moment,
    pub(crate) b: usize,
    pub(crate) h: usize,
    pub(crate) place: Place,
    /// What maps are worth; None where no tensor data is known.
    pub(crate) maps: Option<&'a MapValues<'a>>,
}

impl Datum {
    pub(crate) fn bool(self) -> bool {
        match self {
            Datum::Bool(v) => v,
            Datum::Int(v) => v != 0,
            Datum::Float(v) => v != 0.0,
            Datum::Triple(v) => v != [0; 3],
        }
    }

    pub(crate) fn int(self) -> i32 {
        match self {
            Datum::Bool(v) => i32::from(v),
            Datum::Int(v) => v,
            Datum::Float(v) => v as i32,
            Datum::Triple(v) => v[0],
        }
    }

    pub(crate) fn float(self) -> f32 {
        match self {
            Datum::Float(v) => v,
            other => other.int() as f32,
        }
    }

    pub(crate) fn triple(self) -> [i32; 3] {
        match self {
            Datum::Triple(v) => v,
            other => [other.int(); 3],
        }
    }

    /// A number of a buffer, read as the declared type.
    pub(crate) fn stored(scalar: Scalar, value: f32) -> Datum {
        match scalar {
            Scalar::U32 | Scalar::I32 => Datum::Int(value as i32),
            Scalar::F32 => Datum::Float(value),
            Scalar::Bool => Datum::Bool(value != 0.0),
        }
    }
}

impl<'a> Scope<'a> {
    /// The value of `expr` here. Tensor data has a value only as maps that are known: else it is NaN. Order maps and
    /// softmaxes are maps by then, see [`crate::data`].
    pub(crate) fn eval(&self, expr: &Expr) -> Datum {
        match &expr.kind {
            ExprKind::Bool(v) => Datum::Bool(*v),
            ExprKind::Int(v) => Datum::Int(*v as i32),
            ExprKind::Float(v) => Datum::Float(*v as f32),
            ExprKind::Triple(parts) => Datum::Triple(std::array::from_fn(|axis| self.eval(&parts[axis]).int())),
            ExprKind::Param(id) => match self.bound.bindings.params[id.0] {
                Value::Bool(v) => Datum::Bool(v),
                Value::Int(v) => Datum::Int(v as i32),
                Value::Float(v) => Datum::Float(v as f32),
            },
            ExprKind::Global(global) => Datum::Int(self.global(*global)),
            ExprKind::Coordinate(side, coordinate) => self.coordinate(*side, *coordinate),
            ExprKind::InRange(side, id) => Datum::Bool(self.in_range(*side, *id)),
            ExprKind::Input(id, side) => self.input(*id, *side),
            ExprKind::Table(id) => self.table(*id),
            ExprKind::Let(named) => self.eval(&named.value),
            ExprKind::Logit => match self.place {
                Place::Tokens { logit, .. } => Datum::Float(logit),
                _ => Datum::Float(f32::NAN),
            },
            ExprKind::Antidiag => match self.place {
                Place::Groups { antidiag, .. } => Datum::Float(antidiag),
                _ => Datum::Float(f32::NAN),
            },
            ExprKind::Map(id, sides) => Datum::Float(
                self.maps
                    .map_or(f32::NAN, |maps| maps.get(*id, self.b, self.h, sides.iter().map(|&side| self.block(side)))),
            ),
            ExprKind::Reduce(reduction, running, value) => Datum::Float(self.reduce(*reduction, running, value)),
            ExprKind::Cover(cover) => {
                let (q, kv) = (self.block(Side::Q), self.block(Side::Kv));
                Datum::Bool(Covers::new(self, cover).holds(q, kv))
            }
            ExprKind::Variant(_, index) => Datum::Int(*index as i32),
            ExprKind::Dot { .. }
            | ExprKind::SelfSim { .. }
            | ExprKind::BlockSum(_)
            | ExprKind::Softmax(_)
            | ExprKind::Order(_)
            | ExprKind::Percentile(_)
            | ExprKind::Density(_) => Datum::Float(f32::NAN),
            ExprKind::Unary(op, a) => unary(*op, self.eval(a)),
            ExprKind::Binary(BinaryOp::And, a, b) => Datum::Bool(self.eval(a).bool() && self.eval(b).bool()),
            ExprKind::Binary(BinaryOp::Or, a, b) => Datum::Bool(self.eval(a).bool() || self.eval(b).bool()),
            ExprKind::Binary(op, a, b) => binary(*op, self.eval(a), self.eval(b)),
            ExprKind::Call(Function::Near, args) => {
                let [a, b, window] = std::array::from_fn(|n| self.eval(&args[n]).triple());
                Datum::Bool(near(a, b, window, self.tiles()))
            }
            ExprKind::Call(function, args) => {
                let arg = |n: usize| args.get(n).map_or(Datum::Int(0), |arg| self.eval(arg));
                call(*function, arg(0), arg(1), arg(2))
            }
        }
    }

    /// The same scope at another pair of tokens, or of blocks if it is over blocks.
    pub(crate) fn at(&self, q: usize, kv: usize, logit: f32) -> Scope<'a> {
        let place = match self.place {
            Place::Blocks { .. } => Place::Blocks { q, kv },
            Place::Groups { antidiag, .. } => Place::Groups { q, kv, antidiag },
            _ => Place::Tokens { q, kv, logit },
        };
        Scope { place, ..*self }
    }

    /// Tiles along (t, h, w); zeros without a grid.
    pub(crate) fn tiles(&self) -> [i32; 3] {
        self.bound.geometry.grid.map_or([0; 3], |grid| grid.tiles().map(|n| n as i32))
    }

    /// The values of an input for the tokens of this batch item, by position.
    pub(crate) fn input_row(&self, id: InputId, side: Side) -> &'a [f32] {
        let rows = match side {
            Side::Q => self.bound.problem.q_rows(self.b),
            Side::Kv => self.bound.problem.kv_rows(self.b),
        };
        self.bound.bindings.inputs[id.0].values.get(rows).unwrap_or(&[])
    }

    fn global(&self, global: Global) -> i32 {
        let problem = self.bound.problem;
        let extent = |axis: usize| self.bound.geometry.grid.map_or(1, |grid| grid.extent[axis]) as i32;
        match global {
            Global::Step => self.moment.step as i32,
            Global::Steps => self.moment.steps as i32,
            Global::SinceUpdate => self.moment.since_update as i32,
            Global::Layer => self.moment.layer as i32,
            Global::Head => self.h as i32,
            Global::Heads => problem.heads as i32,
            Global::Batch => self.b as i32,
            Global::HeadDim => problem.head_dim as i32,
            Global::BlockQ => problem.blocks.q as i32,
            Global::BlockKv => problem.blocks.kv as i32,
            Global::QBlocks => problem.q_blocks() as i32,
            Global::KvBlocks => problem.kv_blocks() as i32,
            Global::GridT => extent(0),
            Global::GridH => extent(1),
            Global::GridW => extent(2),
            Global::FrameLen => self.bound.geometry.grid.map_or(problem.n_q, |grid| grid.frame_len()) as i32,
        }
    }

    fn coordinate(&self, side: Side, coordinate: Coordinate) -> Datum {
        let grid = self.bound.geometry.grid;
        let token = match (self.place, side) {
            (Place::Tokens { q, .. }, Side::Q) => q,
            (Place::Tokens { kv, .. }, Side::Kv) => kv,
            (Place::Blocks { q, .. }, Side::Q) => return self.block_coordinate(side, q, coordinate),
            (Place::Blocks { kv, .. }, Side::Kv) => return self.block_coordinate(side, kv, coordinate),
            (Place::Groups { q, .. }, Side::Q) => return Datum::Int(q as i32),
            (Place::Groups { kv, .. }, Side::Kv) => return Datum::Int(kv as i32),
            (Place::Nowhere, _) => return Datum::Int(-1),
        };
        let on_grid = || grid.and_then(|grid| grid.coordinates(token));
        let axis = |axis: usize| Datum::Int(on_grid().map_or(-1, |(at, _)| at[axis] as i32));
        match coordinate {
            Coordinate::Pos => Datum::Int(token as i32),
            Coordinate::T => axis(0),
            Coordinate::H => axis(1),
            Coordinate::W => axis(2),
            Coordinate::Tile => Datum::Triple(on_grid().map_or([-1; 3], |(_, tile)| tile.map(|n| n as i32))),
            Coordinate::Cell => {
                let cell = |grid: GridGeometry| grid.coordinates(token).map(|(at, _)| at[1] * grid.extent[2] + at[2]);
                Datum::Int(grid.and_then(cell).map_or(-1, |cell| cell as i32))
            }
            Coordinate::Block | Coordinate::Len => Datum::Int(-1), // blocks only
        }
    }

    fn block_coordinate(&self, side: Side, block: usize, coordinate: Coordinate) -> Datum {
        match coordinate {
            Coordinate::Block => Datum::Int(block as i32),
            Coordinate::Len => {
                let (first, last) = self.block_tokens(side, block);
                Datum::Int((last + 1 - first) as i32)
            }
            Coordinate::Tile => {
                let (first, last) = self.block_tokens(side, block);
                let grid = self.bound.geometry.grid;
                let grid = grid.filter(|grid| self.bound.block_range(first, last) == Some(grid.range));
                let tile = grid.and_then(|grid| grid.coordinates(first.max(grid.start)));
                Datum::Triple(tile.map_or([-1; 3], |(_, tile)| tile.map(|n| n as i32)))
            }
            _ => Datum::Int(-1), // tokens only
        }
    }

    /// The block that a variable stands for.
    fn block(&self, side: Side) -> usize {
        match (self.place, side) {
            (Place::Blocks { q, .. } | Place::Groups { q, .. }, Side::Q) => q,
            (Place::Blocks { kv, .. } | Place::Groups { kv, .. }, Side::Kv) => kv,
            _ => 0,
        }
    }

    /// This scope with the variable of an axis at each place that it takes, and the number of that place.
    pub(crate) fn places(&self, running: &Running) -> impl Iterator<Item = (usize, Scope<'a>)> {
        let problem = self.bound.problem;
        let (q, kv) = (self.block(Side::Q), self.block(Side::Kv));
        let all = match running.axis {
            Axis::Q => 0..problem.q_blocks(),
            Axis::Kv if running.within == Within::QueryBlock => {
                let ratio = (problem.blocks.q / problem.blocks.kv) as usize;
                q * ratio..((q + 1) * ratio).min(problem.kv_blocks())
            }
            Axis::Kv => 0..problem.kv_blocks(),
            Axis::Head => 0..problem.heads,
        };
        all.filter_map(move |n| {
            let here = match running.axis {
                Axis::Q => Scope { place: Place::Blocks { q: n, kv }, ..*self },
                Axis::Kv => Scope { place: Place::Blocks { q, kv: n }, ..*self },
                Axis::Head => Scope { h: n, ..*self },
            };
            let inside = match (running.within, running.axis) {
                (Within::Range(id), Axis::Q) => here.in_range(Side::Q, id),
                (Within::Range(id), Axis::Kv) => here.in_range(Side::Kv, id),
                _ => true,
            };
            let takes = inside && running.visible.as_ref().is_none_or(|visible| here.eval(visible).bool());
            takes.then_some((n, here))
        })
    }

    fn reduce(&self, reduction: Reduction, running: &Running, value: &Expr) -> f32 {
        let values = self.places(running).map(|(_, here)| here.eval(value).float());
        match reduction {
            Reduction::Sum => values.sum(),
            Reduction::Mean => {
                let (sum, n) = values.fold((0.0, 0), |(sum, n), x| (sum + x, n + 1));
                sum / n.max(1) as f32
            }
            Reduction::Max => values.fold(f32::NEG_INFINITY, f32::max),
            Reduction::Min => values.fold(f32::INFINITY, f32::min),
        }
    }

    pub(crate) fn in_range(&self, side: Side, id: RangeId) -> bool {
        let inside = |token: usize| {
            let (start, len) = self.bound.geometry.ranges[id.0];
            (start..start + len).contains(&token)
        };
        match (self.place, side) {
            (Place::Tokens { q, .. }, Side::Q) => inside(q),
            (Place::Tokens { kv, .. }, Side::Kv) => inside(kv),
            (Place::Blocks { q, .. }, Side::Q) => self.block_in_range(side, q, id),
            (Place::Blocks { kv, .. }, Side::Kv) => self.block_in_range(side, kv, id),
            (Place::Groups { .. } | Place::Nowhere, _) => false,
        }
    }

    fn block_in_range(&self, side: Side, block: usize, id: RangeId) -> bool {
        let (first, last) = self.block_tokens(side, block);
        self.bound.block_range(first, last) == Some(id)
    }

    /// First and last token of a block, the last one cut off at the end of the batch item's sequence.
    pub(crate) fn block_tokens(&self, side: Side, block: usize) -> (usize, usize) {
        let problem = self.bound.problem;
        let (size, tokens) = match side {
            Side::Q => (problem.blocks.q as usize, problem.q_rows(self.b).len()),
            Side::Kv => (problem.blocks.kv as usize, problem.kv_rows(self.b).len()),
        };
        let first = block * size;
        (first, (first + size).min(tokens.max(first + 1)) - 1)
    }

    fn input(&self, id: InputId, side: Side) -> Datum {
        let scalar = self.bound.strategy.inputs[id.0].scalar;
        let token = match (self.place, side) {
            (Place::Tokens { q, .. }, Side::Q) => q,
            (Place::Tokens { kv, .. }, Side::Kv) => kv,
            _ => return Datum::stored(scalar, 0.0), // tokens only
        };
        Datum::stored(scalar, self.input_row(id, side).get(token).copied().unwrap_or(0.0))
    }

    fn table(&self, id: TableId) -> Datum {
        let (table, data) = (&self.bound.strategy.tables[id.0], &self.bound.bindings.tables[id.0]);
        let indices = table.axes.iter().map(|axis| match axis {
            TableAxis::Step => self.moment.step as usize,
            TableAxis::Layer => self.moment.layer as usize,
            TableAxis::Head => self.h,
        });
        let entry = data.entry(&indices.collect::<Vec<_>>());
        match table.element {
            Element::One(scalar) => Datum::stored(scalar, data.values[entry]),
            Element::Three(scalar) => {
                Datum::Triple(std::array::from_fn(|axis| Datum::stored(scalar, data.values[3 * entry + axis]).int()))
            }
        }
    }
}

/// Sliding Tile Attention's rule on each axis; see [`Function::Near`].
pub(crate) fn near(a: [i32; 3], b: [i32; 3], window: [i32; 3], tiles: [i32; 3]) -> bool {
    (0..3).all(|axis| {
        let [a, b, tiles] = [a[axis], b[axis], tiles[axis]].map(i64::from);
        let r = i64::from(window[axis] / 2);
        (a.min(tiles - 1 - r).max(r) - b).abs() <= r
    })
}

/// `bit_length(x)`.
pub(crate) fn bit_length(x: i32) -> i32 {
    if x <= 0 { 0 } else { (32 - x.leading_zeros()) as i32 }
}

/// `x / y`, truncated. The checks refuse a divisor that may be zero; from one that slipped through comes 0.
pub(crate) fn divide(x: i32, y: i32) -> i32 {
    if y == 0 { 0 } else { x.wrapping_div(y) }
}

/// `x % y` with the sign of x; 0 for y = 0, as [`divide`].
pub(crate) fn remainder(x: i32, y: i32) -> i32 {
    if y == 0 { 0 } else { x.wrapping_rem(y) }
}

pub(crate) fn unary(op: UnaryOp, a: Datum) -> Datum {
    match (op, a) {
        (UnaryOp::Not, a) => Datum::Bool(!a.bool()),
        (UnaryOp::ToFloat, a) => Datum::Float(a.float()),
        (UnaryOp::Neg, Datum::Float(v)) => Datum::Float(-v),
        (UnaryOp::Neg, a) => Datum::Int(a.int().wrapping_neg()),
    }
}

pub(crate) fn binary(op: BinaryOp, a: Datum, b: Datum) -> Datum {
    match (a, b) {
        (Datum::Float(_), _) | (_, Datum::Float(_)) => binary_float(op, a.float(), b.float()),
        (Datum::Int(a), Datum::Int(b)) => binary_int(op, a, b),
        _ => match op {
            BinaryOp::Eq => Datum::Bool(a == b),
            BinaryOp::Ne => Datum::Bool(a != b),
            BinaryOp::And => Datum::Bool(a.bool() && b.bool()),
            BinaryOp::Or => Datum::Bool(a.bool() || b.bool()),
            _ => binary_int(op, a.int(), b.int()),
        },
    }
}

fn binary_int(op: BinaryOp, a: i32, b: i32) -> Datum {
    match op {
        BinaryOp::Add => Datum::Int(a.wrapping_add(b)),
        BinaryOp::Sub => Datum::Int(a.wrapping_sub(b)),
        BinaryOp::Mul => Datum::Int(a.wrapping_mul(b)),
        BinaryOp::Div => Datum::Int(divide(a, b)),
        BinaryOp::Rem => Datum::Int(remainder(a, b)),
        BinaryOp::Lt => Datum::Bool(a < b),
        BinaryOp::Le => Datum::Bool(a <= b),
        BinaryOp::Gt => Datum::Bool(a > b),
        BinaryOp::Ge => Datum::Bool(a >= b),
        BinaryOp::Eq => Datum::Bool(a == b),
        BinaryOp::Ne => Datum::Bool(a != b),
        BinaryOp::And => Datum::Bool(a != 0 && b != 0),
        BinaryOp::Or => Datum::Bool(a != 0 || b != 0),
    }
}

fn binary_float(op: BinaryOp, a: f32, b: f32) -> Datum {
    match op {
        BinaryOp::Add => Datum::Float(a + b),
        BinaryOp::Sub => Datum::Float(a - b),
        BinaryOp::Mul => Datum::Float(a * b),
        BinaryOp::Div => Datum::Float(a / b),
        BinaryOp::Rem => Datum::Float(a % b),
        BinaryOp::Lt => Datum::Bool(a < b),
        BinaryOp::Le => Datum::Bool(a <= b),
        BinaryOp::Gt => Datum::Bool(a > b),
        BinaryOp::Ge => Datum::Bool(a >= b),
        BinaryOp::Eq => Datum::Bool(a == b),
        BinaryOp::Ne => Datum::Bool(a != b),
        BinaryOp::And => Datum::Bool(a != 0.0 && b != 0.0),
        BinaryOp::Or => Datum::Bool(a != 0.0 || b != 0.0),
    }
}

pub(crate) fn call(function: Function, a: Datum, b: Datum, c: Datum) -> Datum {
    let float = matches!(a, Datum::Float(_));
    match function {
        Function::Abs if float => Datum::Float(a.float().abs()),
        Function::Abs => Datum::Int(a.int().wrapping_abs()),
        Function::Min if float => Datum::Float(a.float().min(b.float())),
        Function::Min => Datum::Int(a.int().min(b.int())),
        Function::Max if float => Datum::Float(a.float().max(b.float())),
        Function::Max => Datum::Int(a.int().max(b.int())),
        Function::Clamp if float => Datum::Float(a.float().min(c.float()).max(b.float())),
        Function::Clamp => Datum::Int(a.int().min(c.int()).max(b.int())),
        Function::BitLength => Datum::Int(bit_length(a.int())),
        Function::Near => Datum::Bool(false), // needs the grid: see Scope::eval
        Function::Floor => Datum::Int(a.float().floor() as i32),
        Function::Ceil => Datum::Int(a.float().ceil() as i32),
        Function::Sqrt => Datum::Float(a.float().sqrt()),
        Function::Tanh => Datum::Float(a.float().tanh()),
        Function::Exp => Datum::Float(a.float().exp()),
        Function::Exp2 => Datum::Float(a.float().exp2()),
        Function::Log => Datum::Float(a.float().ln()),
        Function::Log2 => Datum::Float(a.float().log2()),
    }
}
