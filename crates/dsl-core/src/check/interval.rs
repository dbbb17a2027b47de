//! What values an expression can have when the coordinates and params are not known.
//!
//! Integers are intervals of i64; a result that does not fit 32 bits may have wrapped, so it is anything. Floats are
//! known only as literals and params and through comparisons; everything else is "any float, perhaps NaN".

use sparsym_ir::Expr;
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Function, Global, Side, UnaryOp};
use sparsym_ir::strategy::{Element, ParamId, RangeId, Scalar, Strategy, Value};

/// The integers from `lo` to `hi`, both included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Interval {
    pub(super) lo: i64,
    pub(super) hi: i64,
}

const MOST: i64 = i32::MAX as i64;
const ALL: Interval = Interval { lo: i32::MIN as i64, hi: MOST };

impl Interval {
    fn new(lo: i64, hi: i64) -> Interval {
        if lo < ALL.lo || hi > ALL.hi { ALL } else { Interval { lo, hi } }
    }

    pub(super) fn contains(self, value: i64) -> bool {
        self.lo <= value && value <= self.hi
    }

    fn corners(self, other: Interval, f: impl Fn(i64, i64) -> i64) -> Interval {
        let all = [f(self.lo, other.lo), f(self.lo, other.hi), f(self.hi, other.lo), f(self.hi, other.hi)];
        Interval::new(all.into_iter().min().unwrap_or(0), all.into_iter().max().unwrap_or(0))
    }
}

/// What is known of a strategy's values.
#[derive(Clone)]
pub(super) struct Known<'s> {
    strategy: &'s Strategy,
    /// Sides that lie in a known range.
    ranges: [Option<RangeId>; 2],
    /// Expressions that a condition has narrowed.
    narrowed: Vec<(&'s Expr, Interval)>,
    /// Least step and least number of steps since the last Update.
    least_step: i64,
}

impl<'s> Known<'s> {
    /// Anything that a rule may see.
    pub(super) fn anywhere(strategy: &'s Strategy) -> Known<'s> {
        Known { strategy, ranges: [None, None], narrowed: Vec::new(), least_step: 0 }
    }

    /// Blocks of these ranges.
    pub(super) fn within(strategy: &'s Strategy, q: Option<RangeId>, kv: Option<RangeId>) -> Known<'s> {
        Known { ranges: [q, kv], ..Known::anywhere(strategy) }
    }

    /// Where `update when` is asked: after step 0, at least one step after an Update.
    pub(super) fn after_first_step(strategy: &'s Strategy) -> Known<'s> {
        Known { least_step: 1, ..Known::anywhere(strategy) }
    }

    /// Whether a condition is surely true or surely false.
    pub(super) fn truth(&self, value: &'s Expr) -> Option<bool> {
        match &value.kind {
            ExprKind::Bool(value) => Some(*value),
            ExprKind::Unary(UnaryOp::Not, operand) => self.truth(operand).map(|truth| !truth),
            ExprKind::Binary(BinaryOp::And, left, right) => {
                // What the left side requires is known on the right.
                match (self.truth(left), self.assume(left)) {
                    (Some(false), _) | (_, None) => Some(false),
                    (left, Some(known)) => match (left, known.truth(right)) {
                        (_, Some(false)) => Some(false),
                        (Some(true), Some(true)) => Some(true),
                        _ => None,
                    },
                }
            }
            ExprKind::Binary(BinaryOp::Or, left, right) => match (self.truth(left), self.truth(right)) {
                (Some(true), _) | (_, Some(true)) => Some(true),
                (Some(false), Some(false)) => Some(false),
                _ => None,
            },
            ExprKind::Binary(op, left, right) => self.compare(*op, left, right),
            ExprKind::InRange(side, range) => {
                let known = self.ranges[usize::from(*side == Side::Kv)]?;
                Some(known == *range)
            }
            _ => None,
        }
    }

    /// What is known when the condition holds. None: it cannot.
    fn assume(&self, condition: &'s Expr) -> Option<Known<'s>> {
        let mut known = self.clone();
        match &condition.kind {
            ExprKind::Binary(BinaryOp::And, left, right) => return self.assume(left)?.assume(right),
            ExprKind::InRange(side, range) => {
                let slot = &mut known.ranges[usize::from(*side == Side::Kv)];
                match *slot {
                    Some(other) if other != *range => return None,
                    _ => *slot = Some(*range),
                }
            }
            ExprKind::Binary(op, left, right) if is_int(left) => {
                let (l, r) = (self.int(left), self.int(right));
                let (l, r) = match op {
                    BinaryOp::Lt => ((l.lo, l.hi.min(r.hi - 1)), (r.lo.max(l.lo + 1), r.hi)),
                    BinaryOp::Le => ((l.lo, l.hi.min(r.hi)), (r.lo.max(l.lo), r.hi)),
                    BinaryOp::Gt => ((l.lo.max(r.lo + 1), l.hi), (r.lo, r.hi.min(l.hi - 1))),
                    BinaryOp::Ge => ((l.lo.max(r.lo), l.hi), (r.lo, r.hi.min(l.hi))),
                    BinaryOp::Eq => {
                        let both = (l.lo.max(r.lo), l.hi.min(r.hi));
                        (both, both)
                    }
                    _ => return Some(known),
                };
                if l.0 > l.1 || r.0 > r.1 {
                    return None;
                }
                known.narrowed.push((left, Interval { lo: l.0, hi: l.1 }));
                known.narrowed.push((right, Interval { lo: r.0, hi: r.1 }));
            }
            _ => {}
        }
        Some(known)
    }

    fn compare(&self, op: BinaryOp, left: &'s Expr, right: &'s Expr) -> Option<bool> {
        if is_int(left) && is_int(right) {
            let (l, r) = (self.int(left), self.int(right));
            let same = left == right;
            return order(op, (l.lo, l.hi), (r.lo, r.hi), same);
        }
        let (l, r) = (self.float(left)?, self.float(right)?);
        order(op, l, r, false)
    }

    /// The ends of a float that is surely not NaN.
    fn float(&self, value: &'s Expr) -> Option<(f64, f64)> {
        match &value.kind {
            ExprKind::Float(value) => Some((rounded(*value), rounded(*value))),
            ExprKind::Param(id) => {
                let (min, max) = self.param_ends(*id)?;
                let (min, max) = (min.map_or(f64::NEG_INFINITY, number), max.map_or(f64::INFINITY, number));
                Some((rounded(min), rounded(max)))
            }
            ExprKind::Unary(UnaryOp::ToFloat, operand) => {
                let interval = self.int(operand);
                Some((rounded(interval.lo as f64), rounded(interval.hi as f64)))
            }
            ExprKind::Unary(UnaryOp::Neg, operand) => self.float(operand).map(|(lo, hi)| (-hi, -lo)),
            ExprKind::Call(Function::Abs, args) => {
                let (lo, hi) = self.float(&args[0])?;
                let least = if lo <= 0.0 && hi >= 0.0 { 0.0 } else { lo.abs().min(hi.abs()) };
                Some((least, lo.abs().max(hi.abs())))
            }
            _ => None,
        }
    }

    /// Values of an integer expression.
    pub(super) fn int(&self, value: &'s Expr) -> Interval {
        let plain = self.plain_int(value);
        self.narrowed.iter().filter(|(narrowed, _)| *narrowed == value).fold(plain, |known, (_, narrowed)| Interval {
            lo: known.lo.max(narrowed.lo),
            hi: known.hi.min(narrowed.hi),
        })
    }

    fn plain_int(&self, value: &'s Expr) -> Interval {
        let from = |lo| Interval { lo, hi: MOST };
        match &value.kind {
            ExprKind::Int(value) => Interval::new(*value, *value),
            ExprKind::Param(id) => self.param(*id),
            ExprKind::Global(global) => from(match global {
                // Tools evaluate rules outside of runs too, with 0 steps.
                Global::Steps => self.least_step,
                Global::Heads
                | Global::HeadDim
                | Global::BlockQ
                | Global::BlockKv
                | Global::QBlocks
                | Global::KvBlocks
                | Global::GridT
                | Global::GridH
                | Global::GridW
                | Global::FrameLen => 1,
                Global::Step | Global::SinceUpdate => self.least_step,
                Global::Layer | Global::Head | Global::Batch => 0,
            }),
            ExprKind::Coordinate(_, Coordinate::Pos | Coordinate::Block) => from(0),
            ExprKind::Coordinate(_, Coordinate::Len) => from(1),
            // A rank; other order maps are floats.
            ExprKind::Order(_) => from(0),
            ExprKind::Coordinate(..) => from(-1),
            ExprKind::Input(id, _) => of_scalar(self.strategy.inputs[id.0].scalar),
            ExprKind::Table(id) => match self.strategy.tables[id.0].element {
                Element::One(scalar) | Element::Three(scalar) => of_scalar(scalar),
            },
            ExprKind::Unary(UnaryOp::Neg, operand) => {
                let operand = self.int(operand);
                Interval::new(-operand.hi, -operand.lo)
            }
            ExprKind::Binary(op, left, right) => {
                let (l, r) = (self.int(left), self.int(right));
                match op {
                    BinaryOp::Add => Interval::new(l.lo + r.lo, l.hi + r.hi),
                    BinaryOp::Sub => Interval::new(l.lo - r.hi, l.hi - r.lo),
                    BinaryOp::Mul => l.corners(r, |a, b| a * b),
                    BinaryOp::Div if !r.contains(0) => l.corners(r, |a, b| a / b),
                    BinaryOp::Rem if r.lo > 0 && l.lo >= 0 => Interval::new(0, l.hi.min(r.hi - 1)),
                    _ => ALL,
                }
            }
            ExprKind::Call(function, args) => self.call(*function, args),
            _ => ALL,
        }
    }

    fn call(&self, function: Function, args: &'s [Expr]) -> Interval {
        let args: Vec<Interval> = args.iter().filter(|arg| is_int(arg)).map(|arg| self.int(arg)).collect();
        match (function, &args[..]) {
            (Function::Abs, [x]) => {
                let least = if x.contains(0) { 0 } else { x.lo.abs().min(x.hi.abs()) };
                Interval::new(least, x.lo.abs().max(x.hi.abs()))
            }
            (Function::Min, [a, b]) => Interval::new(a.lo.min(b.lo), a.hi.min(b.hi)),
            (Function::Max, [a, b]) => Interval::new(a.lo.max(b.lo), a.hi.max(b.hi)),
            (Function::Clamp, [x, low, high]) => {
                Interval::new(low.lo.max(x.lo.min(high.lo)), low.hi.max(x.hi.min(high.hi)))
            }
            (Function::BitLength, _) => Interval::new(0, 31),
            _ => ALL,
        }
    }

    fn param(&self, id: ParamId) -> Interval {
        let all = of_scalar(self.strategy.params[id.0].scalar);
        let Some((min, max)) = self.param_ends(id) else { return all };
        let end = |end: Option<Value>, other: i64| match end {
            Some(Value::Int(value)) => value,
            _ => other,
        };
        Interval::new(end(min, all.lo), end(max, all.hi))
    }

    /// The declared ends of a param. None for an empty range, which is reported elsewhere.
    fn param_ends(&self, id: ParamId) -> Option<(Option<Value>, Option<Value>)> {
        let param = &self.strategy.params[id.0];
        let empty = matches!((param.min, param.max), (Some(min), Some(max)) if number(min) > number(max));
        (!empty).then_some((param.min, param.max))
    }
}

/// A value as a number; `false` is 0.
pub(super) fn number(value: Value) -> f64 {
    match value {
        Value::Bool(value) => f64::from(u8::from(value)),
        Value::Int(value) => value as f64,
        Value::Float(value) => value,
    }
}

/// The f32 that a device computes with; two ends that differ may become equal.
fn rounded(value: f64) -> f64 {
    f64::from(value as f32)
}

fn of_scalar(scalar: Scalar) -> Interval {
    match scalar {
        Scalar::U32 => Interval { lo: 0, hi: MOST },
        _ => ALL,
    }
}

fn is_int(value: &Expr) -> bool {
    value.ty == sparsym_ir::expr::Type::Int
}

/// Whether a comparison of values between these ends is decided. `same`: the two sides are one expression.
fn order<T: PartialOrd + Copy>(op: BinaryOp, l: (T, T), r: (T, T), same: bool) -> Option<bool> {
    let surely_lt = l.1 < r.0;
    let surely_le = same || l.1 <= r.0;
    let surely_gt = l.0 > r.1;
    let surely_ge = same || l.0 >= r.1;
    let decide = |yes: bool, no: bool| if yes { Some(true) } else { no.then_some(false) };
    let equal = same || (l.0 == l.1 && r.0 == r.1 && l.0 == r.0);
    match op {
        BinaryOp::Lt => decide(surely_lt, surely_ge),
        BinaryOp::Le => decide(surely_le, surely_gt),
        BinaryOp::Gt => decide(surely_gt, surely_le),
        BinaryOp::Ge => decide(surely_ge, surely_lt),
        BinaryOp::Eq => decide(equal, surely_lt || surely_gt),
        BinaryOp::Ne => decide(surely_lt || surely_gt, equal),
        _ => None,
    }
}
