//! A second reading of the language: rules at one token pair or one block pair.
//!
//! Written from the definitions, independently of `sparsym_ir::eval`, so that the two can be held against each other.
//! This file reads one expression at one place; what it says of tensor data is in `maps.rs` (values), `order.rs` (where
//! they stand) and `cover.rs` (token rules judged for blocks).

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::hash::Hash;
use std::rc::Rc;

use sparsym_ir::expr::{BinaryOp, Expr, ExprKind, Function, Global, Side, Type, UnaryOp};
use sparsym_ir::strategy::{BlockRule, Element, TableAxis, Value, When};
use sparsym_ir::{Bound, Moment};

use crate::maps::Data;
use crate::margin::{Member, distance, of_both};
use crate::order::{LineKey, reads_data};
use crate::places::{Place, Unit, stored_order};
use crate::value::{V, float, int, least, most, operate, typed};

/// Reads the rules of a strategy for one batch item and head.
pub struct Reader<'a> {
    pub(crate) bound: &'a Bound<'a>,
    pub(crate) moment: Moment,
    pub(crate) b: usize,
    pub(crate) h: usize,
    /// (t, h, w) and the tile's (t, h, w) of every token of the grid, in the order in which they are stored.
    pub(crate) grid: Vec<[[i32; 3]; 2]>,
    /// Q and K of the batch item.
    pub(crate) data: Option<&'a Data>,
    /// Lines sorted so far.
    pub(crate) lines: Memo<LineKey, Rc<[Member]>>,
    /// The smallest margin of what was compared since somebody last asked.
    smallest: Cell<f32>,
}

/// What was computed so far, each with the smallest margin of what was compared for it.
pub(crate) type Memo<K, T> = RefCell<HashMap<K, (T, f32)>>;

impl<'a> Reader<'a> {
    /// A reader for batch item `b` and head `h` that knows nothing of Q and K: values that come from them are NaN.
    pub fn new(bound: &'a Bound<'a>, moment: Moment, b: usize, h: usize) -> Reader<'a> {
        let (grid, lines, smallest) = (stored_order(bound), RefCell::default(), Cell::new(f32::INFINITY));
        Reader { bound, moment, b, h, grid, data: None, lines, smallest }
    }

    /// Whether token `q` may attend to token `kv`.
    pub fn mask(&self, q: usize, kv: usize) -> bool {
        let Some(mask) = &self.bound.strategy.mask else { return true };
        self.read(&mask.value, self.tokens_at(q, kv, 0.0)) == V::B(true)
    }

    /// What the score rule makes of a scaled logit; None without a rule.
    pub fn score(&self, q: usize, kv: usize, logit: f32) -> Option<f32> {
        let score = self.bound.strategy.score.as_ref()?;
        Some(float(self.read(&score.value, self.tokens_at(q, kv, logit))))
    }

    /// Whether a rule, not an `otherwise`, matches query block `i` and kv block `j`, and by which margin.
    pub(crate) fn rule_matches(&self, rule: &'a BlockRule, i: usize, j: usize) -> (bool, f32) {
        let When::Match { q, kv, condition } = &rule.when else { return (false, f32::INFINITY) };
        let outside =
            |side, range: &Option<_>, block| range.is_some() && self.range_of(Unit::Block, side, block) != *range;
        if outside(Side::Q, q, i) || outside(Side::Kv, kv, j) {
            return (false, f32::INFINITY);
        }
        let place = Place { unit: Unit::Block, q: i, kv: j, head: self.h, number: f32::NAN, rule: Some(rule) };
        self.apart(|| condition.as_ref().is_none_or(|condition| self.read(condition, place) == V::B(true)))
    }

    fn tokens_at(&self, q: usize, kv: usize, logit: f32) -> Place<'a> {
        Place { unit: Unit::Token, q, kv, head: self.h, number: logit, rule: None }
    }

    /// What `make` makes, and the smallest margin of what was compared for it.
    pub(crate) fn apart<T>(&self, make: impl FnOnce() -> T) -> (T, f32) {
        let before = self.smallest.replace(f32::INFINITY);
        let made = make();
        (made, self.smallest.replace(before))
    }

    /// Counts a margin among those of what is being decided.
    pub(crate) fn note(&self, margin: f32) {
        self.smallest.set(self.smallest.get().min(margin));
    }

    /// What `make` makes, made once for each key; its margin counts each time.
    pub(crate) fn once<K: Eq + Hash, T: Clone>(&self, memo: &Memo<K, T>, key: K, make: impl FnOnce() -> T) -> T {
        let known = memo.borrow().get(&key).cloned();
        let (value, margin) = known.unwrap_or_else(|| self.apart(make));
        memo.borrow_mut().insert(key, (value.clone(), margin));
        self.note(margin);
        value
    }

    pub(crate) fn read(&self, e: &'a Expr, place: Place<'a>) -> V {
        let problem = self.bound.problem;
        match &e.kind {
            ExprKind::Bool(v) => V::B(*v),
            ExprKind::Int(v) => V::I(*v as i32),
            ExprKind::Float(v) => V::F(*v as f32),
            ExprKind::Triple(p) => V::T([0, 1, 2].map(|n| int(self.read(&p[n], place)))),
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
                Global::Head => place.head as u32,
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
            ExprKind::Coordinate(side, coordinate) => self.coordinate(*side, *coordinate, place),
            ExprKind::InRange(side, id) => V::B(match place.unit {
                Unit::Token => self.token_in(place.at(*side), *id),
                unit => self.range_of(unit, *side, place.at(*side)) == Some(*id),
            }),
            ExprKind::Input(id, side) => {
                let first = if *side == Side::Q { problem.q_rows(self.b) } else { problem.kv_rows(self.b) }.start;
                let value = self.bound.bindings.inputs[id.0].values[first + place.at(*side)];
                typed(self.bound.strategy.inputs[id.0].scalar, value)
            }
            ExprKind::Table(id) => {
                let (table, data) = (&self.bound.strategy.tables[id.0], &self.bound.bindings.tables[id.0]);
                let mut entry = 0;
                for (axis, extent) in table.axes.iter().zip(&data.shape) {
                    let index = match axis {
                        TableAxis::Step => self.moment.step as usize,
                        TableAxis::Layer => self.moment.layer as usize,
                        TableAxis::Head => place.head,
                    };
                    entry = entry * extent + if index < *extent { index } else { extent - 1 };
                }
                match table.element {
                    Element::One(scalar) => typed(scalar, data.values[entry]),
                    Element::Three(scalar) => V::T([0, 1, 2].map(|n| int(typed(scalar, data.values[entry * 3 + n])))),
                }
            }
            // A name is read where it stands: what it is a function of are the same tokens.
            ExprKind::Let(named) => self.read(&named.value, place),
            ExprKind::Variant(_, entry) => V::I(*entry as i32),
            ExprKind::Logit | ExprKind::Antidiag => V::F(place.number),
            ExprKind::Map(id, sides) => V::F(self.map(*id, sides, place)),
            ExprKind::Dot { q_centered, kv_centered } => V::F(self.data.map_or(f32::NAN, |data| {
                data.tensors.dot(place.head, [place.q, place.kv], [*q_centered, *kv_centered])
            })),
            ExprKind::SelfSim { of, centered } => V::F(
                self.data.map_or(f32::NAN, |data| data.tensors.similarity(*of, place.head, place.at(*of), *centered)),
            ),
            ExprKind::BlockSum(sum) => V::F(self.block_sum(sum, place)),
            ExprKind::Reduce(how, over, value) => V::F(self.reduce(*how, over, value, place)),
            ExprKind::Softmax(softmax) => V::F(self.softmax(softmax, place)),
            ExprKind::Order(order) => self.order(order, place),
            ExprKind::Percentile(percentile) => V::F(self.percentile(percentile, place)),
            ExprKind::Cover(cover) => V::B(self.covers(cover, place)),
            ExprKind::Density(_) => V::F(f32::NAN), // in `degrade` only, which the host decides
            ExprKind::Unary(op, a) => match (op, self.read(a, place)) {
                (UnaryOp::Not, a) => V::B(a != V::B(true)),
                (UnaryOp::ToFloat, a) => V::F(float(a)),
                (UnaryOp::Neg, V::F(a)) => V::F(-a),
                (UnaryOp::Neg, a) => V::I(int(a).wrapping_neg()),
            },
            ExprKind::Binary(op @ (BinaryOp::And | BinaryOp::Or), a, b) => {
                let read = |e| self.apart(|| self.read(e, place) == V::B(true));
                let (a, b) = (read(a), read(b));
                self.note(of_both(*op == BinaryOp::Or, [a, b]));
                operate(*op, V::B(a.0), V::B(b.0))
            }
            ExprKind::Binary(op, a, b) => {
                let values = [self.read(a, place), self.read(b, place)];
                if e.ty == Type::Bool {
                    self.note(self.margin(*op, [a, b], values, place));
                }
                operate(*op, values[0], values[1])
            }
            ExprKind::Call(function, args) => {
                let values: Vec<V> = args.iter().map(|a| self.read(a, place)).collect();
                if matches!(function, Function::Floor | Function::Ceil) && reads_data(&args[0]) {
                    self.note(distance(float(values[0]), float(values[0]).round()));
                }
                self.call(*function, &values)
            }
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
                let tiles = |axis: usize| grid.map_or(0, |grid| (grid.extent[axis] / grid.tile[axis].max(1)) as i64);
                V::B((0..3).all(|axis| {
                    let (a, b, r) = (i64::from(a[axis]), i64::from(b[axis]), i64::from(window[axis] / 2));
                    let c = if a > tiles(axis) - 1 - r { tiles(axis) - 1 - r } else { a };
                    let c = if c < r { r } else { c };
                    b - c <= r && c - b <= r
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
}
