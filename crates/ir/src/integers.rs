//! Which values an integer expression can have under any bindings and at any place, and so which of its operations may
//! leave 32 bits. Code that is made from rules needs to know: where an operation wraps it has to say so.

use crate::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Global, Type, UnaryOp};
use crate::strategy::{Element, Scalar, Strategy, Value};

/// All integers.
const ALL: [i64; 2] = [i32::MIN as i64, i32::MAX as i64];

/// Least and largest value of an integer expression. What may have wrapped can be anything.
pub fn bounds(strategy: &Strategy, expr: &Expr) -> [i64; 2] {
    exact(strategy, expr).unwrap_or(ALL)
}

/// Whether the result of this one operation may need wrapping: it leaves 32 bits in unbounded integers, or divides by 0.
/// False for everything that is no operation on integers.
pub fn may_wrap(strategy: &Strategy, expr: &Expr) -> bool {
    expr.ty == Type::Int && exact(strategy, expr).is_none()
}

/// The bounds in unbounded integers, of operands within their own; None: the operation itself may leave 32 bits.
fn exact(strategy: &Strategy, expr: &Expr) -> Option<[i64; 2]> {
    let of = |e: &Expr| bounds(strategy, e);
    let [lo, hi] = match &expr.value().kind {
        ExprKind::Int(value) => [i64::from(*value as i32); 2],
        ExprKind::Param(id) => param(strategy, id.0),
        ExprKind::Table(id) => match strategy.tables[id.0].element {
            Element::One(scalar) | Element::Three(scalar) => of_scalar(scalar, (1 << 24) - 1), // what a table may hold
        },
        // Places: there are less than 2^31 of anything, and they count from 0.
        ExprKind::Global(Global::Head | Global::Batch) => [0, ALL[1] - 1],
        ExprKind::Coordinate(_, Coordinate::Pos | Coordinate::Block) => [0, ALL[1] - 1],
        ExprKind::Global(_) | ExprKind::Order(_) | ExprKind::Coordinate(_, Coordinate::Len) => [0, ALL[1]],
        ExprKind::Coordinate(..) => [-1, ALL[1] - 1],
        ExprKind::Unary(UnaryOp::Neg, a) => {
            let [lo, hi] = of(a);
            [-hi, -lo]
        }
        ExprKind::Binary(op, a, b) => binary(*op, of(a), of(b))?,
        ExprKind::Call(function, args) => {
            let args: Vec<[i64; 2]> = args.iter().map(of).collect();
            call(*function, &args)
        }
        _ => ALL,
    };
    (lo >= ALL[0] && hi <= ALL[1]).then_some([lo, hi])
}

fn param(strategy: &Strategy, index: usize) -> [i64; 2] {
    let param = &strategy.params[index];
    let [least, most] = of_scalar(param.scalar, ALL[1]);
    let end = |end: Option<Value>, other: i64| match end {
        Some(Value::Int(value)) => value.clamp(least, most),
        _ => other,
    };
    [end(param.min, least), end(param.max, most)]
}

fn of_scalar(scalar: Scalar, most: i64) -> [i64; 2] {
    match scalar {
        Scalar::Bool => [0, 1],
        Scalar::U32 => [0, most],
        Scalar::I32 | Scalar::F32 => [-most - 1, most],
    }
}

fn binary(op: BinaryOp, a: [i64; 2], b: [i64; 2]) -> Option<[i64; 2]> {
    let corners = |f: fn(i64, i64) -> i64| {
        let all = [f(a[0], b[0]), f(a[0], b[1]), f(a[1], b[0]), f(a[1], b[1])];
        Some([*all.iter().min()?, *all.iter().max()?])
    };
    let holds = |[lo, hi]: [i64; 2], value: i64| lo <= value && value <= hi;
    match op {
        BinaryOp::Add => Some([a[0] + b[0], a[1] + b[1]]),
        BinaryOp::Sub => Some([a[0] - b[1], a[1] - b[0]]),
        BinaryOp::Mul => corners(|x, y| x * y),
        BinaryOp::Div | BinaryOp::Rem if holds(b, 0) || holds(a, ALL[0]) && holds(b, -1) => None,
        BinaryOp::Div => corners(|x, y| x / y),
        BinaryOp::Rem => {
            let most = b[0].abs().max(b[1].abs()) - 1;
            Some([if a[0] < 0 { -most } else { 0 }, if a[1] > 0 { most } else { 0 }])
        }
        _ => Some(ALL), // a bool
    }
}

fn call(function: Function, args: &[[i64; 2]]) -> [i64; 2] {
    let least = |a: [i64; 2], b: [i64; 2]| [a[0].min(b[0]), a[1].min(b[1])];
    let most = |a: [i64; 2], b: [i64; 2]| [a[0].max(b[0]), a[1].max(b[1])];
    match (function, args) {
        (Function::Abs, &[[lo, hi]]) => {
            [if lo <= 0 && hi >= 0 { 0 } else { lo.abs().min(hi.abs()) }, lo.abs().max(hi.abs())]
        }
        (Function::Min, &[a, b]) => least(a, b),
        (Function::Max, &[a, b]) => most(a, b),
        (Function::Clamp, &[x, low, high]) => most(low, least(x, high)),
        (Function::BitLength, _) => [0, 31],
        _ => ALL,
    }
}
