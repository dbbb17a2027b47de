//! Expressions of the IR as CUDA.

use sparsym_ir::Expr;
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Function, Global, Side, Type, UnaryOp};
use sparsym_ir::strategy::{Element, RangeId, Scalar, Strategy, TableAxis, Value};

use super::cuda::{Cuda, call, field, literal, name};
use super::functions::Builder;
use crate::params::{param_field, range_field};

/// How names are spelt where an expression is lowered.
#[derive(Clone, Copy)]
pub(crate) struct Lowering<'a> {
    /// For names of params, tables, inputs and ranges.
    pub strategy: &'a Strategy,
    /// What q and kv stand for.
    pub level: Level,
    /// How floats are rounded.
    pub floats: Floats,
    /// Where values of a query token stand that have a name.
    pub rows: RowValues,
    /// Where the text says which batch item and head it is for.
    pub place: BatchPlace,
    /// Takes functions and launches; of rules over blocks only.
    pub builder: Option<&'a Builder<'a>>,
}

/// What the variables of a rule stand for in its function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Level {
    /// In the attention room `q` and `kv` are positions of tokens.
    Tokens,
    /// In the symbols room `i` and `j` are indices of blocks, `q` and `kv` the spans of their tokens, and triples of
    /// tables have names.
    Blocks,
    /// In a block sum `q_group` and `kv_group` are indices of groups of tokens.
    Groups,
}

/// How the floats of a rule are rounded.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Floats {
    /// As the language says: a mask or block rule decides the same on every device, at ties too.
    Exact,
    /// As is fastest: a score is a number, and a few units in its last place are lost in P's rounding.
    Fast,
}

/// Where named values of the query token stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum RowValues {
    /// In locals of the function that reads them.
    Local,
    /// In `row`, computed before.
    Kept,
}

/// Where the batch item and the head of a text stand.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum BatchPlace {
    /// In `tile`.
    Tile,
    /// In `b` and `h`.
    Own,
}

impl<'a> Lowering<'a> {
    /// Exact floats, no builder.
    pub(super) fn new(strategy: &'a Strategy, level: Level, place: BatchPlace) -> Lowering<'a> {
        Lowering { strategy, level, floats: Floats::Exact, rows: RowValues::Local, place, builder: None }
    }

    /// The query head.
    pub(super) fn head(&self) -> Cuda {
        match self.place {
            BatchPlace::Tile => name("tile").member("h"),
            BatchPlace::Own => name("h"),
        }
    }

    /// The batch item.
    pub(super) fn batch(&self) -> Cuda {
        match self.place {
            BatchPlace::Tile => name("tile").member("b"),
            BatchPlace::Own => name("b"),
        }
    }

    /// Row of an input's first token.
    fn input_rows(&self) -> Cuda {
        match (self.place, self.builder) {
            (BatchPlace::Own, Some(builder)) if builder.plan.ragged => field("kv_indptr").at(name("b")),
            (BatchPlace::Own, _) => name("b").prefixed("(i64)").op("*", field("n_kv")),
            (BatchPlace::Tile, _) => name("tile").member("kv_row"),
        }
    }

    /// The expression as CUDA.
    pub(crate) fn expr(&self, expr: &Expr) -> Cuda {
        match &expr.kind {
            ExprKind::Bool(value) => literal(value),
            ExprKind::Int(value) => integer(*value as i32),
            ExprKind::Float(value) => float(*value),
            ExprKind::Triple(parts) => Cuda::Braces("GridPoint", parts.iter().map(|part| self.expr(part)).collect()),
            ExprKind::Param(id) => {
                let param = &self.strategy.params[id.0];
                stored(param.scalar, field(param_field(&param.name)))
            }
            ExprKind::Global(global) => self.global(*global),
            ExprKind::Coordinate(side, coordinate) => self.coordinate(*side, *coordinate),
            ExprKind::InRange(side, id) => match self.level {
                Level::Tokens => {
                    let range = range_field(&self.strategy.tokens[id.0].name);
                    let pos = || name(side.name());
                    let reached = pos().op(">=", field(format!("{range}_first")));
                    reached.op("&&", pos().op("<", field(format!("{range}_end"))))
                }
                // Groups belong to no range.
                Level::Groups => literal(false),
                Level::Blocks => self.is_in(*id, *side),
            },
            ExprKind::Input(id, side) => {
                let input = &self.strategy.inputs[id.0];
                // Inputs are [B, N]; queries and keys are the same tokens, so one row serves both.
                let at = self.input_rows().op("+", name(side.name()));
                stored(input.scalar, field(format!("input_{}", input.name)).at(at))
            }
            ExprKind::Table(id) => self.table(id.0),
            ExprKind::Let(named) => self.named(named),
            ExprKind::Logit => name("s"),
            ExprKind::Variant(_, number) => literal(number),
            ExprKind::Map(id, sides) => self.map(id.0, sides),
            ExprKind::Dot { .. } => name("dot"),
            ExprKind::Antidiag => name("antidiag"),
            ExprKind::SelfSim { of, centered } => self.similarity(*of, *centered),
            ExprKind::Reduce(reduction, running, value) => self.reduce(*reduction, running, value),
            ExprKind::Cover(cover) => self.cover(cover),
            ExprKind::Percentile(percentile) => self.percentile(percentile),
            ExprKind::Unary(UnaryOp::Neg, a) if self.may_wrap(expr) => call("wrapping_neg", [self.expr(a)]),
            ExprKind::Unary(op, a) => match op {
                UnaryOp::Neg => self.expr(a).prefixed("-"),
                UnaryOp::Not if a.any(|e| matches!(e.kind, ExprKind::Order(_))) => self.expr(a).negated(),
                UnaryOp::Not => self.expr(a).prefixed("!"),
                UnaryOp::ToFloat => self.expr(a).prefixed("(float)"),
            },
            ExprKind::Binary(op, a, b) => self.binary(expr, *op, a, b),
            ExprKind::Call(Function::Abs, args) if self.may_wrap(expr) => call("wrapping_abs", [self.expr(&args[0])]),
            ExprKind::Call(function, args) => self.call(*function, args, expr.ty),
            ExprKind::Softmax(_) | ExprKind::BlockSum(_) | ExprKind::Order(_) | ExprKind::Density(_) => {
                unreachable!(
                    "stages are maps, order maps stand in comparisons, densities in schedules: {:?}",
                    expr.kind
                )
            }
        }
    }

    fn binary(&self, whole: &Expr, op: BinaryOp, a: &Expr, b: &Expr) -> Cuda {
        let sides = || [self.expr(a), self.expr(b)];
        let (float, exact) = (whole.ty == Type::Float, self.floats == Floats::Exact);
        match op {
            BinaryOp::Div if float && !exact => {
                call(if self.is_normal(b) { "divide_by_normal" } else { "divide_approx" }, sides())
            }
            // The compiler may not fuse this product with a sum.
            BinaryOp::Mul if float && exact => call("__fmul_rn", sides()),
            BinaryOp::Rem if float => call("fmodf", sides()),
            _ if self.may_wrap(whole) => call(wrapping(op), sides()),
            _ => self.cut(op, a, b).unwrap_or_else(|| self.expr(a).op(op.symbol(), self.expr(b))),
        }
    }

    /// Whether a float is 0 or of a size whose reciprocal is surely finite.
    fn is_normal(&self, expr: &Expr) -> bool {
        const LEAST: f64 = 1e-36;
        let end = |end: Option<Value>| match end {
            Some(Value::Float(end)) => Some(end),
            _ => None,
        };
        match &expr.value().kind {
            ExprKind::Float(value) => value.abs() >= LEAST,
            ExprKind::Param(id) => {
                let param = &self.strategy.params[id.0];
                end(param.min).is_some_and(|min| min >= LEAST) || end(param.max).is_some_and(|max| max <= -LEAST)
            }
            ExprKind::Unary(UnaryOp::ToFloat, _) => true,
            _ => false,
        }
    }

    /// Whether C leaves the result of an integer operation undefined somewhere; most are provably inside 32 bits, and stay
    /// what people write.
    fn may_wrap(&self, expr: &Expr) -> bool {
        sparsym_ir::integers::may_wrap(self.strategy, expr)
    }

    fn global(&self, global: Global) -> Cuda {
        match global {
            Global::Head => self.head(),
            Global::Batch => self.batch(),
            Global::HeadDim => name("kHeadDim"),
            Global::BlockQ => name("kBlockQ"),
            Global::BlockKv => name("kBlockKv"),
            other => field(other.name()),
        }
    }

    fn coordinate(&self, side: Side, coordinate: Coordinate) -> Cuda {
        if self.level == Level::Groups {
            return name(format!("{}_group", side.name()));
        }
        let pos = || name(side.name());
        let on_grid = |axis: &str| call("grid_point", [name("p"), pos()]).member(axis);
        match coordinate {
            Coordinate::Pos => pos(),
            Coordinate::Block => name(if side == Side::Q { "i" } else { "j" }),
            Coordinate::T => on_grid("t"),
            Coordinate::H => on_grid("h"),
            Coordinate::W => on_grid("w"),
            Coordinate::Cell => call("cell_in_frame", [name("p"), pos()]),
            Coordinate::Len => call("tokens_of", [pos()]),
            Coordinate::Tile if self.level == Level::Tokens => call("tile_point", [name("p"), pos()]),
            // The checks make sure that all tokens of a block lie in one tile.
            Coordinate::Tile => call("tile_point", [name("p"), pos().member("first")]),
        }
    }

    /// Whether the block of a side belongs to a range.
    pub(super) fn is_in(&self, id: RangeId, side: Side) -> Cuda {
        self.builder().asked_ranges.borrow_mut().insert(id);
        call(format!("is_in_{}", self.strategy.tokens[id.0].name), [name("p"), name(side.name())])
    }

    /// Where a table's entry of this head lies.
    pub(super) fn entry(&self, id: usize) -> Cuda {
        let table = &self.strategy.tables[id];
        let entry = field(format!("entry_of_{}", table.name));
        match table.axes.contains(&TableAxis::Head) {
            true => {
                let last = field(format!("last_head_of_{}", table.name));
                entry.op("+", call("min", [self.head(), last]))
            }
            false => entry,
        }
    }

    /// A triple of a table.
    pub(super) fn triple(&self, id: usize) -> Cuda {
        let at = field(table_word(self.strategy, id)).op("+", literal(3).op("*", self.entry(id)));
        call("triple_at", [at])
    }

    fn table(&self, id: usize) -> Cuda {
        let word = table_word(self.strategy, id);
        match self.strategy.tables[id].element {
            Element::Three(_) if self.level != Level::Tokens => name(word),
            Element::Three(_) => self.triple(id),
            Element::One(scalar) => stored(scalar, field(word).at(self.entry(id))),
        }
    }

    fn call(&self, function: Function, args: &[Expr], ty: Type) -> Cuda {
        let a = |n: usize| self.expr(&args[n]);
        let (float, exact) = (ty == Type::Float, self.floats == Floats::Exact);
        let (least, most) = if float { ("fminf", "fmaxf") } else { ("min", "max") };
        let of_one = |function: &str| call(function, [a(0)]);
        match function {
            Function::Abs => of_one(if float { "fabsf" } else { "abs" }),
            Function::Min => call(least, [a(0), a(1)]),
            Function::Max => call(most, [a(0), a(1)]),
            Function::Clamp => call(most, [a(1), call(least, [a(0), a(2)])]),
            Function::BitLength => of_one("bit_length"),
            Function::Near => call("near", [name("p"), a(0), a(1), a(2)]),
            Function::Tanh | Function::Exp | Function::Exp2 | Function::Log | Function::Log2 if exact => {
                of_one(&format!("{}f", function.name()))
            }
            // A cast is undefined for what no integer holds; these take the nearest integer, and 0 for NaN.
            Function::Floor => of_one("__float2int_rd"),
            Function::Ceil => of_one("__float2int_ru"),
            Function::Sqrt => of_one("sqrtf"),
            Function::Tanh => of_one("tanh_by_exp2"),
            Function::Exp => call("exp2_approx", [a(0).op("*", name("kLog2E"))]),
            Function::Exp2 => of_one("exp2_approx"),
            Function::Log => of_one("__log2f").op("*", name("kLn2")),
            Function::Log2 => of_one("__log2f"),
        }
    }
}

/// Field of a table's numbers, and the local that holds a triple of it.
pub(super) fn table_word(strategy: &Strategy, id: usize) -> String {
    format!("table_{}", strategy.tables[id].name)
}

/// A number of a buffer as a value of its type.
fn stored(scalar: Scalar, number: Cuda) -> Cuda {
    if scalar == Scalar::Bool { number.op("!=", literal(0)) } else { number }
}

/// The function that does this operation in 32 bits whatever its operands are.
fn wrapping(op: BinaryOp) -> &'static str {
    match op {
        BinaryOp::Add => "wrapping_add",
        BinaryOp::Sub => "wrapping_sub",
        BinaryOp::Mul => "wrapping_mul",
        BinaryOp::Div => "wrapping_div",
        _ => "wrapping_rem",
    }
}

/// An integer literal that C reads as an int: it has none of -2^31.
fn integer(value: i32) -> Cuda {
    match value {
        i32::MIN => literal(-i32::MAX).op("-", literal(1)),
        value => literal(value),
    }
}

/// A float literal that C reads as exactly this f32.
fn float(value: f64) -> Cuda {
    literal(format!("{:?}f", value as f32))
}
