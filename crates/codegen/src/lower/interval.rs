//! What interval arithmetic says of an expression over a cell of token pairs, as CUDA: the operations of
//! `templates/parts/rules/interval.cuh` and `floats.cuh`, one for one those of `sparsym_ir::classify`.

use sparsym_ir::Expr;
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Function, Side, Type, UnaryOp};
use sparsym_ir::strategy::{InputId, Scalar};

use super::affine::{Affine, Number, affine};
use super::text::{names, statement};
use super::{ATOM, Lowering};
use crate::params::range_field;

/// How a mask's expressions become intervals.
#[derive(Clone, Copy)]
pub(super) struct Intervals<'a> {
    pub(super) lowering: Lowering<'a>,
    /// Whether sequences start where index pointers say.
    pub(super) ragged: bool,
    pub(super) sums: Sums,
}

/// What is known of affine integers.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Sums {
    /// They stay in 32 bits: the host has seen to it.
    Fit,
    /// They may wrap.
    Wrapping,
}

impl Intervals<'_> {
    /// Declares the coordinates and values of a cell that `body` names.
    pub(super) fn locals(&self, body: &str) -> String {
        let mut locals = String::new();
        let mut declare = |ty: &str, word: String, value: String| {
            if names(body, &word) {
                locals.push_str(&statement(&format!("const {ty} {word} = "), &value, ";"));
            }
        };
        for side in [Side::Q, Side::Kv] {
            let side_name = side.name();
            declare("Box", format!("{side_name}_box"), format!("grid_box(p, cell.{side_name})"));
            declare("Box", format!("{side_name}_tile"), format!("tile_box(p, cell.{side_name})"));
            declare("Interval", format!("{side_name}_cells"), format!("cells_of_run(p, cell.{side_name})"));
            let first = match (self.ragged, side) {
                (false, Side::Q) => "(i64)b * p.n_q",
                (false, Side::Kv) => "(i64)b * p.n_kv",
                (true, Side::Q) => "p.q_indptr[b]",
                (true, Side::Kv) => "p.kv_indptr[b]",
            };
            for input in &self.lowering.strategy.inputs {
                let (ty, all) = match input.scalar {
                    Scalar::F32 => ("Floats", "floats_in"),
                    _ => ("Interval", "values_in"),
                };
                let value = format!("{all}(p.input_{} + {first}, cell.{side_name})", input.name);
                declare(ty, input_word(&input.name, side), value);
            }
        }
        locals
    }

    /// The verdict of a bool expression.
    pub(super) fn verdict(&self, expr: &Expr) -> String {
        if !expr.reads_tokens() {
            return format!("({} ? kPass : kFail)", self.lowering.within(expr, ATOM));
        }
        match &expr.kind {
            ExprKind::Input(id, side) => format!("is_not_zero({})", self.input(*id, *side)),
            ExprKind::InRange(side, id) => {
                let range = range_field(&self.lowering.strategy.tokens[id.0].name);
                format!("is_within(cell.{}, p.{range}_first, p.{range}_end)", side.name())
            }
            ExprKind::Unary(UnaryOp::Not, a) => format!("negated({})", self.verdict(a)),
            ExprKind::Binary(BinaryOp::And, a, b) => format!("all_of({}, {})", self.verdict(a), self.verdict(b)),
            ExprKind::Binary(BinaryOp::Or, a, b) => format!("any_of({}, {})", self.verdict(a), self.verdict(b)),
            ExprKind::Binary(op, a, b) if a.ty == Type::Bool => {
                compared(*op, [self.verdict(a), self.verdict(b)], ["", "", "is_same_verdict"])
            }
            ExprKind::Binary(op, a, b) if a.ty == Type::Int => {
                let both = self.affine(a).zip(self.affine(b));
                let sides = match both {
                    Some((a, b)) => [a.minus(&b).show(), "exactly(0)".to_owned()],
                    None => [self.interval(a), self.interval(b)],
                };
                compared(*op, sides, ["is_less", "is_at_most", "is_equal"])
            }
            ExprKind::Binary(op, a, b) if a.ty == Type::Float => {
                let names = ["is_less_float", "is_at_most_float", "is_equal_float"];
                compared(*op, [self.floats(a), self.floats(b)], names)
            }
            ExprKind::Binary(op, a, b) if a.ty == Type::Triple => {
                compared(*op, [self.points(a), self.points(b)], ["", "", "is_same_point"])
            }
            ExprKind::Call(Function::Near, args) => {
                let [a, b, window] = [0, 1, 2].map(|n| self.points(&args[n]));
                format!("is_near(p, {a}, {b}, {window})")
            }
            other => unreachable!("no bool over tokens that classification leaves opaque: {other:?}"),
        }
    }

    fn affine(&self, expr: &Expr) -> Option<Affine> {
        if self.sums == Sums::Wrapping {
            return None;
        }
        affine(expr, &|e: &Expr| Number::uniform(self.lowering.within(e, ATOM), &e.kind))
    }

    fn interval(&self, expr: &Expr) -> String {
        if !expr.reads_tokens() {
            return format!("exactly({})", self.lowering.expr(expr));
        }
        if let Some(affine) = self.affine(expr) {
            return affine.show();
        }
        let of = |e: &Expr| self.interval(e);
        match &expr.kind {
            ExprKind::Coordinate(side, Coordinate::Pos) => format!("spread(cell.{})", side.name()),
            ExprKind::Coordinate(side, Coordinate::Cell) => format!("{}_cells", side.name()),
            ExprKind::Coordinate(side, coordinate) => {
                let axis = match coordinate {
                    Coordinate::T => "t",
                    Coordinate::H => "h",
                    Coordinate::W => "w",
                    other => unreachable!("{other:?} is no integer coordinate of a token's place in the grid"),
                };
                format!("{}_box.{axis}", side.name())
            }
            ExprKind::Input(id, side) => self.input(*id, *side),
            ExprKind::Unary(UnaryOp::Neg, a) => format!("minus({})", of(a)),
            ExprKind::Binary(op, a, b) => {
                let name = match op {
                    BinaryOp::Add => "plus",
                    BinaryOp::Sub => "difference",
                    BinaryOp::Mul => "times",
                    BinaryOp::Div => "quotient",
                    _ => "remainder_of",
                };
                format!("{name}({}, {})", of(a), of(b))
            }
            ExprKind::Call(Function::Abs, args) => format!("absolute({})", of(&args[0])),
            ExprKind::Call(Function::Min, args) => format!("least_of({}, {})", of(&args[0]), of(&args[1])),
            ExprKind::Call(Function::Max, args) => format!("most_of({}, {})", of(&args[0]), of(&args[1])),
            ExprKind::Call(Function::Clamp, args) => {
                format!("most_of(least_of({}, {}), {})", of(&args[0]), of(&args[2]), of(&args[1]))
            }
            ExprKind::Call(Function::BitLength, args) => format!("bit_lengths({})", of(&args[0])),
            ExprKind::Call(Function::Floor, args) => format!("floored({})", self.floats(&args[0])),
            ExprKind::Call(Function::Ceil, args) => format!("ceiled({})", self.floats(&args[0])),
            other => unreachable!("no integer over tokens: {other:?}"),
        }
    }

    fn floats(&self, expr: &Expr) -> String {
        if !expr.reads_tokens() {
            return format!("float_of({})", self.lowering.expr(expr));
        }
        let of = |e: &Expr| self.floats(e);
        match &expr.kind {
            ExprKind::Input(id, side) => self.input(*id, *side),
            ExprKind::Unary(UnaryOp::ToFloat, a) => format!("to_floats({})", self.interval(a)),
            ExprKind::Unary(UnaryOp::Neg, a) => format!("negated_floats({})", of(a)),
            ExprKind::Binary(op, a, b) => {
                let name = match op {
                    BinaryOp::Add => "add_floats",
                    BinaryOp::Sub => "subtract_floats",
                    BinaryOp::Mul => "multiply_floats",
                    BinaryOp::Div => "divide_floats",
                    _ => "remainder_floats",
                };
                format!("{name}({}, {})", of(a), of(b))
            }
            ExprKind::Call(Function::Min, args) => format!("least_floats({}, {})", of(&args[0]), of(&args[1])),
            ExprKind::Call(Function::Max, args) => format!("most_floats({}, {})", of(&args[0]), of(&args[1])),
            ExprKind::Call(Function::Clamp, args) => {
                format!("most_floats(least_floats({}, {}), {})", of(&args[0]), of(&args[2]), of(&args[1]))
            }
            ExprKind::Call(function, args) => {
                let name = match function {
                    Function::Abs => "absolute",
                    Function::Sqrt => "sqrt",
                    Function::Tanh => "tanh",
                    Function::Exp => "exp",
                    Function::Exp2 => "exp2",
                    Function::Log => "log",
                    Function::Log2 => "log2",
                    other => unreachable!("{other:?} gives no float"),
                };
                format!("{name}_floats({})", of(&args[0]))
            }
            other => unreachable!("no float over tokens: {other:?}"),
        }
    }

    /// The box of a triple.
    fn points(&self, expr: &Expr) -> String {
        match &expr.kind {
            ExprKind::Coordinate(side, _) => format!("{}_tile", side.name()),
            ExprKind::Triple(parts) if expr.reads_tokens() => {
                let parts: Vec<String> = parts.iter().map(|part| self.interval(part)).collect();
                format!("Box{{{}}}", parts.join(", "))
            }
            _ => format!("point_of({})", self.lowering.expr(expr)),
        }
    }

    fn input(&self, id: InputId, side: Side) -> String {
        input_word(&self.lowering.strategy.inputs[id.0].name, side)
    }
}

fn input_word(name: &str, side: Side) -> String {
    format!("input_{name}_{}", side.name())
}

/// A comparison by three functions: <, <= and ==.
fn compared(op: BinaryOp, [a, b]: [String; 2], [less, at_most, equal]: [&str; 3]) -> String {
    match op {
        BinaryOp::Lt => format!("{less}({a}, {b})"),
        BinaryOp::Gt => format!("{less}({b}, {a})"),
        BinaryOp::Le => format!("{at_most}({a}, {b})"),
        BinaryOp::Ge => format!("{at_most}({b}, {a})"),
        BinaryOp::Eq => format!("{equal}({a}, {b})"),
        _ => format!("negated({equal}({a}, {b}))"),
    }
}
