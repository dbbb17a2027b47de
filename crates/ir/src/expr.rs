//! Typed expressions of rules.
//!
//! Integers are 32-bit and wrap, as on the device; floats are f32; `/` and `%` of integers truncate towards zero, and
//! the checks refuse a divisor that may be zero. Every node carries its type and its place.

use serde::{Deserialize, Serialize};

use crate::span::Span;
use crate::strategy::{InputId, MapId, ParamId, RangeId, TableId};

/// A typed expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Expr {
    /// What it is.
    pub kind: ExprKind,
    /// Type of its value.
    pub ty: Type,
    /// Where it stands.
    pub span: Span,
}

/// Type of a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// 32-bit integer.
    Int,
    /// f32.
    Float,
    /// Three integers (t, h, w).
    Triple,
}

impl Type {
    /// Name used in messages.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "integer",
            Type::Float => "float",
            Type::Triple => "(t, h, w) triple",
        }
    }
}

/// The two variables of a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Side {
    /// Query token or block.
    Q,
    /// Key/value token or block.
    Kv,
}

impl Side {
    /// The language spelling.
    pub fn name(self) -> &'static str {
        match self {
            Side::Q => "q",
            Side::Kv => "kv",
        }
    }
}

/// A coordinate of a token or block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Coordinate {
    /// Token: position in the whole sequence, as stored. Tokens only.
    Pos,
    /// Block index over the whole sequence. Blocks only.
    Block,
    /// Frame on the grid (`.frame` is the same). Of a token: -1 outside the grid range. Of tokens only.
    T,
    /// Row on the grid; as [`Coordinate::T`].
    H,
    /// Column on the grid; as [`Coordinate::T`].
    W,
    /// The (t, h, w) index of the tile that holds the token or block; a triple. (-1, -1, -1) outside the grid range.
    Tile,
}

/// A number that is the same for every token of a call (or of a head).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Global {
    /// Step index, from 0. Schedule and block rules.
    Step,
    /// Number of steps of the run.
    Steps,
    /// Steps since the last Update; 0 at an Update step itself when read by block rules.
    SinceUpdate,
    /// Layer index.
    Layer,
    /// Query head index.
    Head,
    /// Number of query heads.
    Heads,
    /// Batch item index.
    Batch,
    /// Head dimension `D`.
    HeadDim,
}

impl Global {
    /// The language spelling.
    pub fn name(self) -> &'static str {
        match self {
            Global::Step => "step",
            Global::Steps => "steps",
            Global::SinceUpdate => "since_update",
            Global::Layer => "layer",
            Global::Head => "head",
            Global::Heads => "heads",
            Global::Batch => "batch",
            Global::HeadDim => "D",
        }
    }
}

/// One operand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum UnaryOp {
    /// `-x` of a number.
    Neg,
    /// `!x` of a bool.
    Not,
    /// Integer to float; inserted by type checking, written `float(x)`.
    ToFloat,
}

/// Two operands of the same type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[allow(missing_docs)] // the names say it
pub enum BinaryOp {
    Add,
    Sub,
    Mul,
    Div,
    Rem,
    Lt,
    Le,
    Gt,
    Ge,
    Eq,
    Ne,
    And,
    Or,
}

impl BinaryOp {
    /// The language, Rust and CUDA spelling.
    pub fn symbol(self) -> &'static str {
        match self {
            BinaryOp::Add => "+",
            BinaryOp::Sub => "-",
            BinaryOp::Mul => "*",
            BinaryOp::Div => "/",
            BinaryOp::Rem => "%",
            BinaryOp::Lt => "<",
            BinaryOp::Le => "<=",
            BinaryOp::Gt => ">",
            BinaryOp::Ge => ">=",
            BinaryOp::Eq => "==",
            BinaryOp::Ne => "!=",
            BinaryOp::And => "&&",
            BinaryOp::Or => "||",
        }
    }
}

/// A named function. Arguments have the type of the result unless said otherwise.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Function {
    /// `abs(x)`, integer or float.
    Abs,
    /// `min(a, b)`, integer or float.
    Min,
    /// `max(a, b)`, integer or float.
    Max,
    /// `clamp(x, low, high)` = max(low, min(x, high)): `low` wins when the ends cross.
    Clamp,
    /// `bit_length(x)` of an integer: bits needed for x, 0 for x <= 0.
    BitLength,
    /// `near(a, b, window)` of triples, a bool: Sliding Tile Attention's rule. On each axis of n tiles with window k and
    /// r = k / 2, let c = clamp(a, r, n - 1 - r); near means |c - b| <= r on all three axes.
    /// Arguments: two [`Coordinate::Tile`] triples and the window triple.
    Near,
    /// `floor(x)` of a float, an integer.
    Floor,
    /// `ceil(x)` of a float, an integer.
    Ceil,
    /// `sqrt(x)`, float.
    Sqrt,
    /// `tanh(x)`, float.
    Tanh,
    /// `exp(x)`, float.
    Exp,
    /// `exp2(x)`, float.
    Exp2,
    /// `log(x)`, natural, float.
    Log,
    /// `log2(x)`, float.
    Log2,
}

impl Function {
    /// All functions.
    pub const ALL: [Function; 14] = [
        Function::Abs,
        Function::Min,
        Function::Max,
        Function::Clamp,
        Function::BitLength,
        Function::Near,
        Function::Floor,
        Function::Ceil,
        Function::Sqrt,
        Function::Tanh,
        Function::Exp,
        Function::Exp2,
        Function::Log,
        Function::Log2,
    ];

    /// The language spelling.
    pub fn name(self) -> &'static str {
        match self {
            Function::Abs => "abs",
            Function::Min => "min",
            Function::Max => "max",
            Function::Clamp => "clamp",
            Function::BitLength => "bit_length",
            Function::Near => "near",
            Function::Floor => "floor",
            Function::Ceil => "ceil",
            Function::Sqrt => "sqrt",
            Function::Tanh => "tanh",
            Function::Exp => "exp",
            Function::Exp2 => "exp2",
            Function::Log => "log",
            Function::Log2 => "log2",
        }
    }
}

/// Kinds of expressions.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ExprKind {
    /// `true`.
    Bool(bool),
    /// `128`; fits 32 bits.
    Int(i64),
    /// `0.5`; used as f32.
    Float(f64),
    /// `(1, 8, 8)`: three integers.
    Triple(Box<[Expr; 3]>),
    /// A param.
    Param(ParamId),
    /// `step`, `head`, …
    Global(Global),
    /// `q.pos`, `kv.tile`.
    Coordinate(Side, Coordinate),
    /// `q in text`. A block that straddles ranges belongs to the first declared range without a grid that it touches.
    InRange(Side, RangeId),
    /// `document[q]`; tokens only.
    Input(InputId, Side),
    /// A table at the current step, layer and head.
    Table(TableId),
    /// The scaled logit, in a `score` rule.
    Logit,
    /// A map; rules over tensor data.
    Map(MapId),
    /// Operator with one operand.
    Unary(UnaryOp, Box<Expr>),
    /// Operator with two operands.
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
    /// Function call.
    Call(Function, Vec<Expr>),
}

impl Expr {
    /// Calls `visit` on this expression and on all below it, parents first.
    pub fn walk(&self, visit: &mut impl FnMut(&Expr)) {
        visit(self);
        for child in self.children() {
            child.walk(visit);
        }
    }

    /// The direct operands, left to right.
    pub fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Unary(_, a) => vec![a],
            ExprKind::Binary(_, a, b) => vec![a, b],
            ExprKind::Call(_, args) => args.iter().collect(),
            ExprKind::Triple(parts) => parts.iter().collect(),
            _ => Vec::new(),
        }
    }

    /// Whether any node satisfies `test`.
    pub fn any(&self, mut test: impl FnMut(&Expr) -> bool) -> bool {
        let mut found = false;
        self.walk(&mut |e| found |= test(e));
        found
    }

    /// Whether the value depends on the query or kv variable.
    pub fn reads_tokens(&self) -> bool {
        self.any(|e| matches!(e.kind, ExprKind::Coordinate(..) | ExprKind::InRange(..) | ExprKind::Input(..)))
    }
}
