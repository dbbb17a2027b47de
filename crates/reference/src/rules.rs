//! A second reading of the language: rules at one token pair or one block pair.
//!
//! Written from the definitions, independently of `sparsym_ir::eval`, so that the two can be held against each other.

use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Global, Side, UnaryOp};
use sparsym_ir::strategy::{BlockRule, Element, RangeId, Scalar, TableAxis, Value, When};
use sparsym_ir::{Bound, Moment};

/// Reads the rules of a strategy for one batch item and head.
pub struct Reader<'a> {
    bound: &'a Bound<'a>,
    moment: Moment,
    b: usize,
    h: usize,
    /// (t, h, w) and the tile's (t, h, w) of every token of the grid, in the order in which they are stored.
    grid: Vec<[[i32; 3]; 2]>,
}

/// A value of the language.
#[derive(Clone, Copy, PartialEq)]
enum V {
    B(bool),
    I(i32),
    F(f32),
    T([i32; 3]),
}

/// What `q` and `kv` are.
#[derive(Clone, Copy)]
enum Pair {
    Tokens(usize, usize, f32),
    Blocks(usize, usize),
}

impl<'a> Reader<'a> {
    /// A reader for batch item `b` and head `h`.
    pub fn new(bound: &'a Bound<'a>, moment: Moment, b: usize, h: usize) -> Reader<'a> {
        Reader { bound, moment, b, h, grid: stored_order(bound) }
    }

    /// Whether token `q` may attend to token `kv`.
    pub fn mask(&self, q: usize, kv: usize) -> bool {
        let Some(mask) = &self.bound.strategy.mask else { return true };
        self.read(&mask.value, Pair::Tokens(q, kv, 0.0)) == V::B(true)
    }

    /// What the score rule makes of a scaled logit; None without a rule.
    pub fn score(&self, q: usize, kv: usize, logit: f32) -> Option<f32> {
        let score = self.bound.strategy.score.as_ref()?;
        Some(float(self.read(&score.value, Pair::Tokens(q, kv, logit))))
    }

    /// Whether a rule, not an `otherwise`, matches query block `i` and kv block `j`.
    pub fn rule_matches(&self, rule: &BlockRule, i: usize, j: usize) -> bool {
        let When::Match { q, kv, condition } = &rule.when else { return false };
        if q.is_some_and(|id| self.range_of_block(Side::Q, i) != Some(id)) {
            return false;
        }
        if kv.is_some_and(|id| self.range_of_block(Side::Kv, j) != Some(id)) {
            return false;
        }
        condition.as_ref().is_none_or(|condition| self.read(condition, Pair::Blocks(i, j)) == V::B(true))
    }

    fn read(&self, e: &Expr, pair: Pair) -> V {
        let problem = self.bound.problem;
        match &e.kind {
            ExprKind::Bool(v) => V::B(*v),
            ExprKind::Int(v) => V::I(*v as i32),
            ExprKind::Float(v) => V::F(*v as f32),
            ExprKind::Triple(p) => V::T([0, 1, 2].map(|n| int(self.read(&p[n], pair)))),
            ExprKind::Param(id) => match self.bound.bindings.params[id.0] {
                Value::Bool(v) => V::B(v),
                Value::Int(v) => V::I(v as i32),
                Value::Float(v) => V::F(v as f32),
            },
            ExprKind::Global(global) => V::I(match global {
                Global::Step => self.moment.step,
                Global::Steps => self.moment.steps,
                Global::SinceUpdate => self.moment.since_update,
                Global::Layer => self.moment.layer,
                Global::Head => self.h as u32,
                Global::Heads => problem.heads as u32,
                Global::Batch => self.b as u32,
                Global::HeadDim => problem.head_dim as u32,
                Global::BlockQ => problem.blocks.q,
                Global::BlockKv => problem.blocks.kv,
                Global::QBlocks => problem.q_blocks() as u32,
                Global::KvBlocks => problem.kv_blocks() as u32,
                Global::GridT => self.bound.geometry.grid.map_or(1, |grid| grid.extent[0]) as u32,
                Global::GridH => self.bound.geometry.grid.map_or(1, |grid| grid.extent[1]) as u32,
                Global::GridW => self.bound.geometry.grid.map_or(1, |grid| grid.extent[2]) as u32,
                Global::FrameLen => self.bound.geometry.grid.map_or(problem.n_q, |grid| grid.frame_len()) as u32,
            } as i32),
            ExprKind::Coordinate(side, coordinate) => self.coordinate(*side, *coordinate, pair),
            ExprKind::InRange(side, id) => V::B(match pair {
                Pair::Tokens(..) => self.token_in(token(pair, *side), *id),
                Pair::Blocks(..) => self.range_of_block(*side, token(pair, *side)) == Some(*id),
            }),
            ExprKind::Input(id, side) => {
                let first = if *side == Side::Q { problem.q_rows(self.b) } else { problem.kv_rows(self.b) }.start;
                let value = self.bound.bindings.inputs[id.0].values[first + token(pair, *side)];
                typed(self.bound.strategy.inputs[id.0].scalar, value)
            }
            ExprKind::Table(id) => {
                let (table, data) = (&self.bound.strategy.tables[id.0], &self.bound.bindings.tables[id.0]);
                let mut entry = 0;
                for (axis, extent) in table.axes.iter().zip(&data.shape) {
                    let index = match axis {
                        TableAxis::Step => self.moment.step as usize,
                        TableAxis::Layer => self.moment.layer as usize,
                        TableAxis::Head => self.h,
                    };
                    entry = entry * extent + if index < *extent { index } else { extent - 1 };
                }
                match table.element {
                    Element::One(scalar) => typed(scalar, data.values[entry]),
                    Element::Three(scalar) => V::T([0, 1, 2].map(|n| int(typed(scalar, data.values[entry * 3 + n])))),
                }
            }
            ExprKind::Logit => match pair {
                Pair::Tokens(_, _, logit) => V::F(logit),
                Pair::Blocks(..) => V::F(f32::NAN),
            },
            ExprKind::Unary(op, a) => match (op, self.read(a, pair)) {
                (UnaryOp::Not, a) => V::B(a != V::B(true)),
                (UnaryOp::ToFloat, a) => V::F(float(a)),
                (UnaryOp::Neg, V::F(a)) => V::F(-a),
                (UnaryOp::Neg, a) => V::I(int(a).wrapping_neg()),
            },
            ExprKind::Binary(op, a, b) => operate(*op, self.read(a, pair), self.read(b, pair)),
            ExprKind::Call(function, args) => {
                let args: Vec<V> = args.iter().map(|a| self.read(a, pair)).collect();
                self.call(*function, &args)
            }
            _ => V::F(f32::NAN),
        }
    }

    fn coordinate(&self, side: Side, coordinate: Coordinate, pair: Pair) -> V {
        let number = token(pair, side);
        let (start, range) = match &self.bound.geometry.grid {
            Some(grid) => (grid.start, Some(grid.range)),
            None => (0, None),
        };
        let on_grid = |token: usize| token.checked_sub(start).and_then(|n| self.grid.get(n)).copied();
        match (pair, coordinate) {
            (Pair::Tokens(..), Coordinate::Pos) | (Pair::Blocks(..), Coordinate::Block) => V::I(number as i32),
            (Pair::Tokens(..), Coordinate::Tile) => V::T(on_grid(number).map_or([-1; 3], |[_, tile]| tile)),
            (Pair::Blocks(..), Coordinate::Tile) => {
                let inside = range.is_some() && self.range_of_block(side, number) == range;
                let mut tokens = self.tokens_of_block(side, number);
                let first = tokens.find_map(on_grid).filter(|_| inside);
                V::T(first.map_or([-1; 3], |[_, tile]| tile))
            }
            (Pair::Tokens(..), Coordinate::T) => V::I(on_grid(number).map_or(-1, |[at, _]| at[0])),
            (Pair::Tokens(..), Coordinate::H) => V::I(on_grid(number).map_or(-1, |[at, _]| at[1])),
            (Pair::Tokens(..), Coordinate::W) => V::I(on_grid(number).map_or(-1, |[at, _]| at[2])),
            _ => V::I(-1), // the other granularity; the checks refuse it
        }
    }

    fn call(&self, function: Function, a: &[V]) -> V {
        let f = |n: usize| float(a[n]);
        match function {
            Function::Abs => match a[0] {
                V::F(x) => V::F(if x < 0.0 { -x } else { x }),
                x => V::I(if int(x) < 0 { int(x).wrapping_neg() } else { int(x) }),
            },
            Function::Min => least(a[0], a[1]),
            Function::Max => most(a[0], a[1]),
            Function::Clamp => most(least(a[0], a[2]), a[1]),
            Function::BitLength => {
                let (mut x, mut bits) = (int(a[0]), 0);
                while x > 0 {
                    (x, bits) = (x / 2, bits + 1);
                }
                V::I(bits)
            }
            Function::Near => {
                let (V::T(a), V::T(b), V::T(window)) = (a[0], a[1], a[2]) else { return V::B(false) };
                let grid = self.bound.geometry.grid.as_ref();
                let tiles = |axis: usize| grid.map_or(0, |grid| (grid.extent[axis] / grid.tile[axis].max(1)) as i32);
                V::B((0..3).all(|axis| {
                    let r = window[axis] / 2;
                    let c = int(most(V::I(r), least(V::I(a[axis]), V::I(tiles(axis) - 1 - r))));
                    (c - b[axis]).abs() <= r
                }))
            }
            Function::Floor => V::I(f(0).floor() as i32),
            Function::Ceil => V::I(f(0).ceil() as i32),
            Function::Sqrt => V::F(f(0).sqrt()),
            Function::Tanh => V::F(f(0).tanh()),
            Function::Exp => V::F(f(0).exp()),
            Function::Exp2 => V::F(f(0).exp2()),
            Function::Log => V::F(f(0).ln()),
            Function::Log2 => V::F(f(0).log2()),
        }
    }

    fn token_in(&self, token: usize, id: RangeId) -> bool {
        let (start, len) = self.bound.geometry.ranges[id.0];
        token >= start && token < start + len
    }

    /// The tokens of a block that exist.
    fn tokens_of_block(&self, side: Side, block: usize) -> std::ops::Range<usize> {
        let problem = self.bound.problem;
        let (size, tokens) =
            if side == Side::Q { (problem.blocks.q, problem.n_q) } else { (problem.blocks.kv, problem.n_kv) };
        (block * size as usize).min(tokens)..((block + 1) * size as usize).min(tokens)
    }

    /// A block belongs to the first declared range without a grid that it touches, else to the first that it touches.
    fn range_of_block(&self, side: Side, block: usize) -> Option<RangeId> {
        let declared = &self.bound.strategy.tokens;
        let touched: Vec<usize> = (0..declared.len())
            .filter(|&id| self.tokens_of_block(side, block).any(|token| self.token_in(token, RangeId(id))))
            .collect();
        let plain = touched.iter().find(|&&id| declared[id].grid.is_none());
        plain.or(touched.first()).map(|&id| RangeId(id))
    }
}

/// Walks the grid in the order in which its tokens are stored: tiles in raster order, raster order in each tile.
fn stored_order(bound: &Bound) -> Vec<[[i32; 3]; 2]> {
    let mut order = Vec::new();
    let Some(grid) = &bound.geometry.grid else { return order };
    let raster = |extent: [usize; 3]| {
        let [t, h, w] = extent.map(|n| n as i32);
        (0..t).flat_map(move |t| (0..h).flat_map(move |h| (0..w).map(move |w| [t, h, w])))
    };
    for tile in raster([0, 1, 2].map(|axis| grid.extent[axis] / grid.tile[axis].max(1))) {
        for inner in raster(grid.tile) {
            order.push([[0, 1, 2].map(|axis| tile[axis] * grid.tile[axis] as i32 + inner[axis]), tile]);
        }
    }
    order
}

fn token(pair: Pair, side: Side) -> usize {
    match (pair, side) {
        (Pair::Tokens(q, _, _) | Pair::Blocks(q, _), Side::Q) => q,
        (Pair::Tokens(_, kv, _) | Pair::Blocks(_, kv), Side::Kv) => kv,
    }
}

fn operate(op: BinaryOp, a: V, b: V) -> V {
    use BinaryOp::{Add, And, Div, Eq, Ge, Gt, Le, Lt, Mul, Ne, Or, Rem, Sub};
    match (op, a, b) {
        (And, a, b) => V::B(a == V::B(true) && b == V::B(true)),
        (Or, a, b) => V::B(a == V::B(true) || b == V::B(true)),
        (Eq, a, b) => V::B(a == b),
        (Ne, a, b) => V::B(a != b),
        (Lt, V::F(a), V::F(b)) => V::B(a < b),
        (Le, V::F(a), V::F(b)) => V::B(a <= b),
        (Gt, V::F(a), V::F(b)) => V::B(a > b),
        (Ge, V::F(a), V::F(b)) => V::B(a >= b),
        (Add, V::F(a), V::F(b)) => V::F(a + b),
        (Sub, V::F(a), V::F(b)) => V::F(a - b),
        (Mul, V::F(a), V::F(b)) => V::F(a * b),
        (Div, V::F(a), V::F(b)) => V::F(a / b),
        (Rem, V::F(a), V::F(b)) => V::F(a % b),
        (op, a, b) => {
            let (a, b) = (i64::from(int(a)), i64::from(int(b)));
            let low_32_bits = |v: i64| V::I(v as i32);
            match op {
                Lt => V::B(a < b),
                Le => V::B(a <= b),
                Gt => V::B(a > b),
                Ge => V::B(a >= b),
                Add => low_32_bits(a + b),
                Sub => low_32_bits(a - b),
                Mul => low_32_bits(a * b),
                Div => low_32_bits(if b == 0 { 0 } else { a / b }),
                _ => low_32_bits(if b == 0 { 0 } else { a % b }),
            }
        }
    }
}

fn least(a: V, b: V) -> V {
    match (a, b) {
        (V::F(a), V::F(b)) => V::F(if a < b || b.is_nan() { a } else { b }),
        (a, b) => V::I(if int(a) < int(b) { int(a) } else { int(b) }),
    }
}

fn most(a: V, b: V) -> V {
    match (a, b) {
        (V::F(a), V::F(b)) => V::F(if a > b || b.is_nan() { a } else { b }),
        (a, b) => V::I(if int(a) > int(b) { int(a) } else { int(b) }),
    }
}

fn typed(scalar: Scalar, value: f32) -> V {
    match scalar {
        Scalar::F32 => V::F(value),
        Scalar::Bool => V::B(value != 0.0),
        Scalar::U32 | Scalar::I32 => V::I(value as i32),
    }
}

fn int(v: V) -> i32 {
    match v {
        V::I(v) => v,
        V::B(v) => i32::from(v),
        V::F(v) => v as i32,
        V::T(v) => v[0],
    }
}

fn float(v: V) -> f32 {
    match v {
        V::F(v) => v,
        v => int(v) as f32,
    }
}
