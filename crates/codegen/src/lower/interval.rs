//! What interval arithmetic says of an expression over a cell of token pairs, as CUDA: the operations of
//! `templates/parts/rules/interval.cuh` and `floats.cuh`, one for one those of `sparsym_ir::classify`.

use sparsym_ir::Expr;
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Function, Side, Type, UnaryOp};
use sparsym_ir::lets::Let;
use sparsym_ir::strategy::{InputId, Scalar};

use super::affine::{Affine, Number, affine};
use super::body::{Body, Statement, declare, free_names};
use super::cuda::{Cuda, call, field, literal, name};
use super::expr::Lowering;
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
    /// Declares the coordinates and values of a cell that `body` names, and goes on with it. Named values that are the same
    /// for all pairs are left to be declared before.
    pub(super) fn with_locals(&self, body: Body) -> Body {
        let body = self.lowering.with_lets_as(body, |of| self.named(of));
        let mut locals = Vec::new();
        let free = free_names(&body);
        let mut local = |ty: &str, word: String, value: Cuda| {
            if free.contains(word.as_str()) {
                locals.push(declare(ty, word, value));
            }
        };
        for side in [Side::Q, Side::Kv] {
            let (of, run) = (side.name(), || name("cell").member(side.name()));
            local("Box", format!("{of}_box"), call("grid_box", [name("p"), run()]));
            local("Box", format!("{of}_tile"), call("tile_box", [name("p"), run()]));
            local("Interval", format!("{of}_cells"), call("cells_of_run", [name("p"), run()]));
            let rows = |tokens: &str| name("b").prefixed("(i64)").op("*", field(tokens));
            let first = match (self.ragged, side) {
                (false, Side::Q) => rows("n_q"),
                (false, Side::Kv) => rows("n_kv"),
                (true, Side::Q) => field("q_indptr").at(name("b")),
                (true, Side::Kv) => field("kv_indptr").at(name("b")),
            };
            for input in &self.lowering.strategy.inputs {
                let (ty, all) = match input.scalar {
                    Scalar::F32 => ("Floats", "floats_in"),
                    _ => ("Interval", "values_in"),
                };
                let values = field(format!("input_{}", input.name)).op("+", first.clone());
                local(ty, input_word(&input.name, side), call(all, [values, run()]));
            }
        }
        locals.extend(body);
        locals
    }

    /// What is known of a named value over a cell.
    fn named(&self, of: &Let) -> Option<(&'static str, Cuda)> {
        if !of.value.reads_tokens() {
            return None;
        }
        Some(match of.value.ty {
            Type::Bool => ("u32", self.verdict(&of.value)),
            Type::Float => ("Floats", self.floats(&of.value)),
            Type::Triple => ("Box", self.points(&of.value)),
            Type::Int | Type::Variant => ("Interval", self.interval(&of.value)),
        })
    }

    /// The same of `return value;`.
    pub(super) fn returned(&self, value: Cuda) -> Body {
        self.lowering.with_lets(self.with_locals(vec![Statement::Return(value)]))
    }

    /// The verdict of a bool expression.
    pub(super) fn verdict(&self, expr: &Expr) -> Cuda {
        if !expr.reads_tokens() {
            return verdict_of(self.lowering.expr(expr));
        }
        match &expr.kind {
            ExprKind::Let(named) => self.lowering.named(named),
            ExprKind::Input(id, side) => call("is_not_zero", [self.input(*id, *side)]),
            ExprKind::InRange(side, id) => {
                let range = range_field(&self.lowering.strategy.tokens[id.0].name);
                let [first, end] = ["first", "end"].map(|end| field(format!("{range}_{end}")));
                call("is_within", [name("cell").member(side.name()), first, end])
            }
            ExprKind::Unary(UnaryOp::Not, a) => call("negated", [self.verdict(a)]),
            ExprKind::Binary(BinaryOp::And, a, b) => call("all_of", [self.verdict(a), self.verdict(b)]),
            ExprKind::Binary(BinaryOp::Or, a, b) => call("any_of", [self.verdict(a), self.verdict(b)]),
            ExprKind::Binary(op, a, b) if a.ty == Type::Bool => {
                compared(*op, [self.verdict(a), self.verdict(b)], ["", "", "is_same_verdict"])
            }
            ExprKind::Binary(op, a, b) if a.ty == Type::Int => {
                let both = self.affine(a).zip(self.affine(b));
                let sides = match both {
                    Some((a, b)) => [a.minus(&b).show(), call("exactly", [literal(0)])],
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
                call("is_near", [name("p"), a, b, window])
            }
            other => unreachable!("no bool over tokens that classification leaves opaque: {other:?}"),
        }
    }

    fn affine(&self, expr: &Expr) -> Option<Affine> {
        if self.sums == Sums::Wrapping {
            return None;
        }
        affine(expr, &|e: &Expr| Number::uniform(self.lowering.expr(e), &e.value().kind))
    }

    fn interval(&self, expr: &Expr) -> Cuda {
        if !expr.reads_tokens() {
            return call("exactly", [self.lowering.expr(expr)]);
        }
        if let Some(affine) = self.affine(expr) {
            return affine.show();
        }
        let of = |e: &Expr| self.interval(e);
        match &expr.kind {
            ExprKind::Let(named) => self.lowering.named(named),
            ExprKind::Coordinate(side, Coordinate::Pos) => call("spread", [name("cell").member(side.name())]),
            ExprKind::Coordinate(side, Coordinate::Cell) => name(format!("{}_cells", side.name())),
            ExprKind::Coordinate(side, coordinate) => {
                let axis = match coordinate {
                    Coordinate::T => "t",
                    Coordinate::H => "h",
                    Coordinate::W => "w",
                    other => unreachable!("{other:?} is no integer coordinate of a token's place in the grid"),
                };
                name(format!("{}_box", side.name())).member(axis)
            }
            ExprKind::Input(id, side) => self.input(*id, *side),
            ExprKind::Unary(UnaryOp::Neg, a) => call("minus", [of(a)]),
            ExprKind::Binary(op, a, b) => {
                let function = match op {
                    BinaryOp::Add => "plus",
                    BinaryOp::Sub => "difference",
                    BinaryOp::Mul => "times",
                    BinaryOp::Div => "quotient",
                    _ => "remainder_of",
                };
                call(function, [of(a), of(b)])
            }
            ExprKind::Call(Function::Abs, args) => call("absolute", [of(&args[0])]),
            ExprKind::Call(Function::Min, args) => call("least_of", [of(&args[0]), of(&args[1])]),
            ExprKind::Call(Function::Max, args) => call("most_of", [of(&args[0]), of(&args[1])]),
            ExprKind::Call(Function::Clamp, args) => {
                call("most_of", [call("least_of", [of(&args[0]), of(&args[2])]), of(&args[1])])
            }
            ExprKind::Call(Function::BitLength, args) => call("bit_lengths", [of(&args[0])]),
            ExprKind::Call(Function::Floor, args) => call("floored", [self.floats(&args[0])]),
            ExprKind::Call(Function::Ceil, args) => call("ceiled", [self.floats(&args[0])]),
            other => unreachable!("no integer over tokens: {other:?}"),
        }
    }

    fn floats(&self, expr: &Expr) -> Cuda {
        if !expr.reads_tokens() {
            return call("float_of", [self.lowering.expr(expr)]);
        }
        let of = |e: &Expr| self.floats(e);
        match &expr.kind {
            ExprKind::Let(named) => self.lowering.named(named),
            ExprKind::Input(id, side) => self.input(*id, *side),
            ExprKind::Unary(UnaryOp::ToFloat, a) => call("to_floats", [self.interval(a)]),
            ExprKind::Unary(UnaryOp::Neg, a) => call("negated_floats", [of(a)]),
            ExprKind::Binary(op, a, b) => {
                let function = match op {
                    BinaryOp::Add => "add_floats",
                    BinaryOp::Sub => "subtract_floats",
                    BinaryOp::Mul => "multiply_floats",
                    BinaryOp::Div => "divide_floats",
                    _ => "remainder_floats",
                };
                call(function, [of(a), of(b)])
            }
            ExprKind::Call(Function::Min, args) => call("least_floats", [of(&args[0]), of(&args[1])]),
            ExprKind::Call(Function::Max, args) => call("most_floats", [of(&args[0]), of(&args[1])]),
            ExprKind::Call(Function::Clamp, args) => {
                call("most_floats", [call("least_floats", [of(&args[0]), of(&args[2])]), of(&args[1])])
            }
            ExprKind::Call(function, args) => {
                let function = match function {
                    Function::Abs => "absolute",
                    Function::Sqrt => "sqrt",
                    Function::Tanh => "tanh",
                    Function::Exp => "exp",
                    Function::Exp2 => "exp2",
                    Function::Log => "log",
                    Function::Log2 => "log2",
                    other => unreachable!("{other:?} gives no float"),
                };
                call(format!("{function}_floats"), [of(&args[0])])
            }
            other => unreachable!("no float over tokens: {other:?}"),
        }
    }

    /// The box of a triple.
    fn points(&self, expr: &Expr) -> Cuda {
        match &expr.kind {
            ExprKind::Let(named) if expr.reads_tokens() => self.lowering.named(named),
            ExprKind::Coordinate(side, _) => name(format!("{}_tile", side.name())),
            ExprKind::Triple(parts) if expr.reads_tokens() => {
                Cuda::Braces("Box", parts.iter().map(|part| self.interval(part)).collect())
            }
            _ => call("point_of", [self.lowering.expr(expr)]),
        }
    }

    fn input(&self, id: InputId, side: Side) -> Cuda {
        name(input_word(&self.lowering.strategy.inputs[id.0].name, side))
    }
}

fn input_word(name: &str, side: Side) -> String {
    format!("input_{name}_{}", side.name())
}

/// The verdict of a test that is the same for all pairs of a cell.
pub(super) fn verdict_of(test: Cuda) -> Cuda {
    test.choose(name("kPass"), name("kFail"))
}

/// A comparison by three functions: <, <= and ==.
fn compared(op: BinaryOp, [a, b]: [Cuda; 2], [less, at_most, equal]: [&str; 3]) -> Cuda {
    match op {
        BinaryOp::Lt => call(less, [a, b]),
        BinaryOp::Gt => call(less, [b, a]),
        BinaryOp::Le => call(at_most, [a, b]),
        BinaryOp::Ge => call(at_most, [b, a]),
        BinaryOp::Eq => call(equal, [a, b]),
        _ => call("negated", [call(equal, [a, b])]),
    }
}
