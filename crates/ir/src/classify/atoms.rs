//! The symbolic half of classification: a mask as a formula over cuts of three numbers.
//!
//! [`Atoms::of`] rewrites a mask once for each strategy, before any param has a value. Whatever is an affine statement
//! about q.pos, about kv.pos or about their difference becomes a literal "the number has reached this cut"; whatever is
//! the same for all token pairs stays an expression; the rest is left opaque for interval arithmetic.
//!
//! ```text
//! abs(q.pos - kv.pos) <= reach || q in text
//!   diff cuts  0: reach + 1        q cuts  0: start of text
//!              1: -reach                   1: end of text
//!   formula    (!diff[0] && diff[1]) || (q[0] && !q[1])
//! ```

use crate::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Side, Type, UnaryOp};
use crate::integers::bounds;
use crate::span::Span;
use crate::strategy::{RangeId, Strategy};

/// A mask as a [`Formula`], with the cuts that its literals name.
#[derive(Clone, Debug, PartialEq)]
pub struct Atoms {
    /// Cuts of q.pos.
    pub q: Vec<Cut>,
    /// Cuts of kv.pos.
    pub kv: Vec<Cut>,
    /// Cuts of q.pos - kv.pos.
    pub diff: Vec<Cut>,
    /// The mask.
    pub formula: Formula,
}

/// The number that a cut divides.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Axis {
    /// q.pos.
    Q,
    /// kv.pos.
    Kv,
    /// q.pos - kv.pos.
    Diff,
}

/// A place on an axis where a literal changes from false to true: the least integer x with `scale * x >= at`, that is
/// ceil(at / scale), in 64-bit arithmetic.
#[derive(Clone, Debug, PartialEq)]
pub struct Cut {
    /// At least 1.
    pub scale: i64,
    /// Right side.
    pub at: Threshold,
}

/// Right side of a [`Cut`]; the same for all token pairs of one batch item and head.
#[derive(Clone, Debug, PartialEq)]
pub enum Threshold {
    /// A number.
    Sum(Sum),
    /// The first token of a range.
    RangeStart(RangeId),
    /// The token after the last of a range.
    RangeEnd(RangeId),
}

/// constant + Σ factor · term, in 64-bit arithmetic.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Sum {
    /// The part that is known.
    pub constant: i64,
    /// Factors and integer expressions over params, tables and globals. A term has its own 32-bit meaning; only the sum
    /// is formed in 64 bits. Spans are blank, and no expression occurs twice.
    pub terms: Vec<(i64, Expr)>,
}

/// A mask over literals.
#[derive(Clone, Debug, PartialEq)]
pub enum Formula {
    /// A bool expression that is the same for all token pairs.
    Uniform(Expr),
    /// Sum <= 0; the same for all token pairs.
    NotPositive(Sum),
    /// The number on this axis has reached the cut of this index.
    Reached(Axis, usize),
    /// A comparison that equals `exact` wherever no operation inside the two sides leaves 32 bits for any token of the sequence
    /// ([`stays_in_32_bits`]); where one may, it is [`Formula::Opaque`] of `comparison`.
    Guarded {
        /// The comparison as written.
        comparison: Expr,
        /// What it says in unbounded integers.
        exact: Box<Formula>,
    },
    /// A bool expression over tokens that only interval arithmetic can judge.
    Opaque(Expr),
    /// Negation.
    Not(Box<Formula>),
    /// All of them.
    And(Vec<Formula>),
    /// Any of them.
    Or(Vec<Formula>),
}

impl Atoms {
    /// Rewrites a bool expression over a token pair. The strategy gives the legal values of params, from which most
    /// comparisons are known to stay inside 32 bits.
    pub fn of(strategy: &Strategy, mask: &Expr) -> Atoms {
        let mut atoms = Atoms { q: Vec::new(), kv: Vec::new(), diff: Vec::new(), formula: Formula::And(Vec::new()) };
        atoms.formula = atoms.lower(strategy, mask);
        atoms
    }

    /// The cuts of an axis.
    pub fn cuts(&self, axis: Axis) -> &[Cut] {
        match axis {
            Axis::Q => &self.q,
            Axis::Kv => &self.kv,
            Axis::Diff => &self.diff,
        }
    }

    fn lower(&mut self, strategy: &Strategy, expr: &Expr) -> Formula {
        use BinaryOp::{And, Eq, Ge, Gt, Le, Lt, Ne, Or};
        let expr = expr.value();
        if !expr.reads_tokens() {
            return Formula::Uniform(expr.clone());
        }
        match &expr.kind {
            ExprKind::Unary(UnaryOp::Not, a) => not(self.lower(strategy, a)),
            ExprKind::Binary(And, a, b) => Formula::And(vec![self.lower(strategy, a), self.lower(strategy, b)]),
            ExprKind::Binary(Or, a, b) => Formula::Or(vec![self.lower(strategy, a), self.lower(strategy, b)]),
            ExprKind::Binary(op @ (Eq | Ne), a, b) if a.ty == Type::Bool => {
                let (a, b) = (self.lower(strategy, a), self.lower(strategy, b));
                let same =
                    Formula::Or(vec![Formula::And(vec![a.clone(), b.clone()]), Formula::And(vec![not(a), not(b)])]);
                if *op == Eq { same } else { not(same) }
            }
            // The same place in the frame is the same row and column: in tiled order these have intervals, places have not.
            ExprKind::Binary(op @ (Eq | Ne), a, b) if is_place(a) && is_place(b) => {
                let same = [Coordinate::H, Coordinate::W].map(|axis| Formula::Opaque(same_on(axis, a, b, expr)));
                let same = Formula::And(same.into());
                if *op == Eq { same } else { not(same) }
            }
            ExprKind::Binary(op @ (Lt | Le | Gt | Ge | Eq | Ne), a, b) if a.ty == Type::Int => {
                self.lower_comparison(strategy, expr, *op, a, b).unwrap_or_else(|| Formula::Opaque(expr.clone()))
            }
            ExprKind::InRange(side, id) => {
                let axis = if *side == Side::Q { Axis::Q } else { Axis::Kv };
                let start = self.reached(axis, Cut { scale: 1, at: Threshold::RangeStart(*id) });
                let end = self.reached(axis, Cut { scale: 1, at: Threshold::RangeEnd(*id) });
                Formula::And(vec![start, not(end)])
            }
            _ => Formula::Opaque(expr.clone()),
        }
    }

    /// None if a side is not piecewise affine, or affine in q.pos and kv.pos but not in their difference.
    fn lower_comparison(
        &mut self,
        strategy: &Strategy,
        comparison: &Expr,
        op: BinaryOp,
        a: &Expr,
        b: &Expr,
    ) -> Option<Formula> {
        let difference = Form::of(a)?.minus(Form::of(b)?)?;
        if !difference.fits_axes() {
            return None;
        }
        let at_most = self.not_positive(&difference); // a <= b
        let exact = match op {
            BinaryOp::Le => at_most,
            BinaryOp::Gt => not(at_most),
            _ => {
                let at_least = self.not_positive(&difference.negated()); // a >= b
                match op {
                    BinaryOp::Ge => at_least,
                    BinaryOp::Lt => not(at_least),
                    BinaryOp::Eq => Formula::And(vec![at_most, at_least]),
                    _ => not(Formula::And(vec![at_most, at_least])),
                }
            }
        };
        let legal = |uniform: &Expr| bounds(strategy, uniform);
        let most = i32::MAX as usize; // tokens of any sequence
        let safe = [a, b].into_iter().all(|side| stays_in_32_bits(side, [most, most], &legal));
        Some(if safe { exact } else { Formula::Guarded { comparison: comparison.clone(), exact: Box::new(exact) } })
    }

    fn not_positive(&mut self, form: &Form) -> Formula {
        match form {
            Form::Least(parts) => Formula::Or(parts.iter().map(|part| self.not_positive(part)).collect()),
            Form::Most(parts) => Formula::And(parts.iter().map(|part| self.not_positive(part)).collect()),
            Form::Affine(Affine { q: 0, kv: 0, sum }) => Formula::NotPositive(sum.clone()),
            Form::Affine(affine) => {
                let (axis, factor) = affine.axis();
                if factor < 0 {
                    self.reached(axis, Cut { scale: -factor, at: Threshold::Sum(affine.sum.clone()) })
                } else {
                    let mut at = affine.sum.scaled(-1);
                    at.constant += 1;
                    not(self.reached(axis, Cut { scale: factor, at: Threshold::Sum(at) }))
                }
            }
        }
    }

    fn reached(&mut self, axis: Axis, cut: Cut) -> Formula {
        let cuts = match axis {
            Axis::Q => &mut self.q,
            Axis::Kv => &mut self.kv,
            Axis::Diff => &mut self.diff,
        };
        let index = cuts.iter().position(|known| *known == cut).unwrap_or(cuts.len());
        if index == cuts.len() {
            cuts.push(cut);
        }
        Formula::Reached(axis, index)
    }
}

fn is_place(expr: &Expr) -> bool {
    matches!(expr.value().kind, ExprKind::Coordinate(_, Coordinate::Cell))
}

/// `a == b` of another coordinate of the same tokens.
fn same_on(coordinate: Coordinate, a: &Expr, b: &Expr, whole: &Expr) -> Expr {
    let along = |place: &Expr| match place.value().kind {
        ExprKind::Coordinate(side, _) => Expr { kind: ExprKind::Coordinate(side, coordinate), ..place.clone() },
        _ => place.clone(),
    };
    let kind = ExprKind::Binary(BinaryOp::Eq, Box::new(along(a)), Box::new(along(b)));
    Expr { kind, ..whole.clone() }
}

/// Whether no operation that reads a token inside this integer expression can leave 32 bits, over sequences of
/// `tokens = [N_q, N_kv]` positions. `uniform` gives the least and the largest value of a subexpression that reads no
/// token. Expressions that are not sums, multiples, minima, maxima and absolute values of positions give false.
pub fn stays_in_32_bits(expr: &Expr, tokens: [usize; 2], uniform: &dyn Fn(&Expr) -> [i64; 2]) -> bool {
    extent(expr, tokens, uniform).is_some()
}

/// Least and largest value of an expression in unbounded integers; None if a token operation may leave 32 bits.
fn extent(expr: &Expr, tokens: [usize; 2], uniform: &dyn Fn(&Expr) -> [i64; 2]) -> Option<[i64; 2]> {
    if !expr.reads_tokens() {
        return Some(uniform(expr));
    }
    let of = |e: &Expr| extent(e, tokens, uniform);
    let [lo, hi] = match &expr.value().kind {
        ExprKind::Coordinate(Side::Q, Coordinate::Pos) => [0, tokens[0] as i64 - 1],
        ExprKind::Coordinate(Side::Kv, Coordinate::Pos) => [0, tokens[1] as i64 - 1],
        ExprKind::Unary(UnaryOp::Neg, a) => of(a).map(|[lo, hi]| [-hi, -lo])?,
        ExprKind::Binary(op, a, b) => {
            let ([a0, a1], [b0, b1]) = (of(a)?, of(b)?);
            match op {
                BinaryOp::Add => [a0 + b0, a1 + b1],
                BinaryOp::Sub => [a0 - b1, a1 - b0],
                BinaryOp::Mul => {
                    let corners = [a0 * b0, a0 * b1, a1 * b0, a1 * b1];
                    [*corners.iter().min()?, *corners.iter().max()?]
                }
                _ => return None,
            }
        }
        ExprKind::Call(function, args) => {
            let args: Vec<[i64; 2]> = args.iter().map(of).collect::<Option<_>>()?;
            match (function, args.as_slice()) {
                (Function::Abs, [[lo, hi]]) => {
                    [if *lo <= 0 && *hi >= 0 { 0 } else { lo.abs().min(hi.abs()) }, hi.abs().max(lo.abs())]
                }
                (Function::Min, [a, b]) => [a[0].min(b[0]), a[1].min(b[1])],
                (Function::Max, [a, b]) => [a[0].max(b[0]), a[1].max(b[1])],
                (Function::Clamp, [x, low, high]) => [low[0].max(x[0].min(high[0])), low[1].max(x[1].min(high[1]))],
                _ => return None,
            }
        }
        _ => return None,
    };
    (lo >= i64::from(i32::MIN) && hi <= i64::from(i32::MAX)).then_some([lo, hi])
}

fn not(formula: Formula) -> Formula {
    match formula {
        Formula::Not(inner) => *inner,
        other => Formula::Not(Box::new(other)),
    }
}

/// q · q.pos + kv · kv.pos + sum.
#[derive(Clone, Debug, PartialEq)]
struct Affine {
    q: i64,
    kv: i64,
    sum: Sum,
}

/// A piecewise affine integer: closed under sums, constant multiples, minima and maxima.
#[derive(Clone, Debug, PartialEq)]
enum Form {
    Affine(Affine),
    Least(Vec<Form>),
    Most(Vec<Form>),
}

/// More affine pieces than this in one comparison, and it is left to interval arithmetic.
const MOST_PIECES: usize = 64;
/// Larger factors than this are left to interval arithmetic, so that no sum leaves 64 bits.
const MOST_FACTOR: i64 = 1 << 20;

impl Form {
    fn of(expr: &Expr) -> Option<Form> {
        let affine = |q, kv, sum| Some(Form::Affine(Affine { q, kv, sum }));
        if let Some(value) = constant(expr) {
            return affine(0, 0, Sum { constant: value, terms: Vec::new() });
        }
        if !expr.reads_tokens() {
            return affine(0, 0, Sum { constant: 0, terms: vec![(1, without_spans(&expr.inlined()))] });
        }
        match &expr.value().kind {
            ExprKind::Coordinate(Side::Q, Coordinate::Pos) => affine(1, 0, Sum::default()),
            ExprKind::Coordinate(Side::Kv, Coordinate::Pos) => affine(0, 1, Sum::default()),
            ExprKind::Unary(UnaryOp::Neg, a) => Some(Form::of(a)?.negated()),
            ExprKind::Binary(BinaryOp::Add, a, b) => Form::of(a)?.plus(Form::of(b)?),
            ExprKind::Binary(BinaryOp::Sub, a, b) => Form::of(a)?.minus(Form::of(b)?),
            ExprKind::Binary(BinaryOp::Mul, a, b) => match (constant(a), constant(b)) {
                (Some(factor), _) => Form::of(b)?.scaled(factor),
                (_, Some(factor)) => Form::of(a)?.scaled(factor),
                _ => None,
            },
            ExprKind::Call(function, args) => {
                let args: Vec<Form> = args.iter().map(Form::of).collect::<Option<_>>()?;
                match (function, args.as_slice()) {
                    (Function::Abs, [x]) => Some(Form::Most(vec![x.clone(), x.negated()])),
                    (Function::Min, [_, _]) => Some(Form::Least(args)),
                    (Function::Max, [_, _]) => Some(Form::Most(args)),
                    (Function::Clamp, [x, low, high]) => {
                        Some(Form::Most(vec![low.clone(), Form::Least(vec![x.clone(), high.clone()])]))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }

    fn plus(self, other: Form) -> Option<Form> {
        if self.pieces() * other.pieces() > MOST_PIECES {
            return None;
        }
        Some(match (self, other) {
            (Form::Least(parts), other) | (other, Form::Least(parts)) => {
                Form::Least(parts.into_iter().map(|part| part.plus(other.clone())).collect::<Option<_>>()?)
            }
            (Form::Most(parts), other) | (other, Form::Most(parts)) => {
                Form::Most(parts.into_iter().map(|part| part.plus(other.clone())).collect::<Option<_>>()?)
            }
            (Form::Affine(a), Form::Affine(b)) => {
                Form::Affine(Affine { q: a.q + b.q, kv: a.kv + b.kv, sum: a.sum.plus(b.sum) })
            }
        })
    }

    fn minus(self, other: Form) -> Option<Form> {
        self.plus(other.negated())
    }

    fn negated(&self) -> Form {
        match self {
            Form::Least(parts) => Form::Most(parts.iter().map(Form::negated).collect()),
            Form::Most(parts) => Form::Least(parts.iter().map(Form::negated).collect()),
            Form::Affine(a) => Form::Affine(Affine { q: -a.q, kv: -a.kv, sum: a.sum.scaled(-1) }),
        }
    }

    fn scaled(&self, factor: i64) -> Option<Form> {
        if factor < 0 {
            return self.negated().scaled(-factor);
        }
        let all = |parts: &[Form]| parts.iter().map(|part| part.scaled(factor)).collect::<Option<Vec<Form>>>();
        Some(match self {
            Form::Least(parts) => Form::Least(all(parts)?),
            Form::Most(parts) => Form::Most(all(parts)?),
            Form::Affine(a) => {
                let largest =
                    a.sum.terms.iter().map(|(factor, _)| factor.abs()).chain([a.q.abs(), a.kv.abs(), 1]).max()?;
                let constant = a.sum.constant.checked_mul(factor)?;
                if largest.saturating_mul(factor) > MOST_FACTOR || constant.abs() > i64::from(u32::MAX) {
                    return None;
                }
                Form::Affine(Affine { q: a.q * factor, kv: a.kv * factor, sum: a.sum.scaled(factor) })
            }
        })
    }

    fn pieces(&self) -> usize {
        match self {
            Form::Affine(_) => 1,
            Form::Least(parts) | Form::Most(parts) => parts.iter().map(Form::pieces).sum(),
        }
    }

    /// Whether every piece speaks of one axis only.
    fn fits_axes(&self) -> bool {
        match self {
            Form::Affine(a) => a.q == 0 || a.kv == 0 || a.q == -a.kv,
            Form::Least(parts) | Form::Most(parts) => parts.iter().all(Form::fits_axes),
        }
    }
}

impl Affine {
    /// The axis it speaks of, and the factor there.
    fn axis(&self) -> (Axis, i64) {
        match (self.q, self.kv) {
            (q, 0) => (Axis::Q, q),
            (0, kv) => (Axis::Kv, kv),
            (q, _) => (Axis::Diff, q),
        }
    }
}

impl Sum {
    fn plus(mut self, other: Sum) -> Sum {
        self.constant += other.constant;
        for (factor, term) in other.terms {
            match self.terms.iter_mut().find(|(_, known)| *known == term) {
                Some((known, _)) => *known += factor,
                None => self.terms.push((factor, term)),
            }
        }
        self.terms.retain(|(factor, _)| *factor != 0);
        self
    }

    fn scaled(&self, factor: i64) -> Sum {
        let terms = self.terms.iter().map(|(f, term)| (f * factor, term.clone()));
        Sum { constant: self.constant * factor, terms: terms.filter(|(f, _)| *f != 0).collect() }
    }
}

fn constant(expr: &Expr) -> Option<i64> {
    match &expr.value().kind {
        ExprKind::Int(value) => Some(*value),
        ExprKind::Unary(UnaryOp::Neg, a) => {
            constant(a).map(|value| -value).filter(|&value| i32::try_from(value).is_ok())
        }
        _ => None,
    }
}

fn without_spans(expr: &Expr) -> Expr {
    let mut out = expr.clone();
    clear_spans(&mut out);
    out
}

fn clear_spans(expr: &mut Expr) {
    expr.span = Span::default();
    match &mut expr.kind {
        ExprKind::Unary(_, a) => clear_spans(a),
        ExprKind::Binary(_, a, b) => {
            clear_spans(a);
            clear_spans(b);
        }
        ExprKind::Call(_, args) => args.iter_mut().for_each(clear_spans),
        ExprKind::Triple(parts) => parts.iter_mut().for_each(clear_spans),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::{Param, ParamId, Scalar, Value};

    fn expr(kind: ExprKind, ty: Type) -> Expr {
        Expr { kind, ty, span: Span::default() }
    }

    fn int(value: i64) -> Expr {
        expr(ExprKind::Int(value), Type::Int)
    }

    fn pos(side: Side) -> Expr {
        expr(ExprKind::Coordinate(side, Coordinate::Pos), Type::Int)
    }

    fn binary(op: BinaryOp, a: Expr, b: Expr, ty: Type) -> Expr {
        expr(ExprKind::Binary(op, Box::new(a), Box::new(b)), ty)
    }

    fn reach() -> Strategy {
        let param = Param {
            name: "reach".to_owned(),
            doc: String::new(),
            scalar: Scalar::U32,
            min: None,
            max: None,
            default: Value::Int(4),
            span: Span::default(),
        };
        Strategy { params: vec![param], ..Strategy::dense() }
    }

    #[test]
    fn a_window_has_two_cuts_of_the_difference() {
        let distance = binary(BinaryOp::Sub, pos(Side::Q), pos(Side::Kv), Type::Int);
        let distance = expr(ExprKind::Call(Function::Abs, vec![distance]), Type::Int);
        let reach_param = expr(ExprKind::Param(ParamId(0)), Type::Int);
        let mask = binary(BinaryOp::Le, distance, reach_param.clone(), Type::Bool);
        let atoms = Atoms::of(&reach(), &mask);
        let cut = |constant, factor| Cut {
            scale: 1,
            at: Threshold::Sum(Sum { constant, terms: vec![(factor, reach_param.clone())] }),
        };
        assert_eq!(atoms.diff, [cut(1, 1), cut(0, -1)]);
        let expected = Formula::And(vec![not(Formula::Reached(Axis::Diff, 0)), Formula::Reached(Axis::Diff, 1)]);
        assert_eq!(atoms.formula, expected);
    }

    #[test]
    fn a_sum_that_may_leave_32_bits_is_guarded() {
        let reach_param = expr(ExprKind::Param(ParamId(0)), Type::Int);
        let far = binary(BinaryOp::Add, pos(Side::Q), reach_param, Type::Int);
        let mask = binary(BinaryOp::Le, pos(Side::Kv), far, Type::Bool);
        assert!(matches!(Atoms::of(&reach(), &mask).formula, Formula::Guarded { .. }));
    }

    #[test]
    fn two_factors_are_opaque() {
        let twice = binary(BinaryOp::Mul, int(2), pos(Side::Q), Type::Int);
        let mask = binary(BinaryOp::Le, pos(Side::Kv), twice, Type::Bool);
        assert!(matches!(Atoms::of(&reach(), &mask).formula, Formula::Opaque(_)));
    }
}
