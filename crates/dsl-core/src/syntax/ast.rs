//! What the author wrote, clause by clause, with places and without meaning.

use sparsym_ir::Span;
use sparsym_ir::expr::{BinaryOp, UnaryOp};
use sparsym_ir::strategy::Action;

/// `/// doc` `pub Name { clauses }`
#[derive(Debug)]
pub(crate) struct Item {
    pub(crate) doc: String,
    pub(crate) name: Name,
    pub(crate) clauses: Vec<Clause>,
    pub(crate) span: Span,
    /// Names in declarations that could not be read. They are known, but nothing is known about them.
    pub(crate) poisoned: Vec<String>,
}

/// A name at a place.
#[derive(Clone, Debug)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) span: Span,
}

/// One clause, from its first word to before its `;`.
#[derive(Debug)]
pub(crate) struct Clause {
    pub(crate) doc: String,
    pub(crate) kind: ClauseKind,
    pub(crate) span: Span,
}

#[derive(Debug)]
pub(crate) enum ClauseKind {
    Param { name: Name, ty: Name, range: Option<ParamRange>, default: Literal },
    Table { name: Name, axes: Vec<Name>, element: Vec<Name>, triple: bool },
    Input { name: Name, axis: Name, ty: Name },
    Tokens(Vec<TokenRange>),
    Blocks { q: Literal, kv: Literal },
    Let { name: Name, value: Expr },
    Mask { q: Name, kv: Name, value: Expr },
    Score { logit: Name, q: Name, kv: Name, value: Expr },
    Rule { action: Action, vars: Vec<Variable>, condition: Option<Expr>, reuse: Option<Reuse> },
    Otherwise { action: Action, reuse: Option<Reuse> },
    Update(Expr),
    Dense(Expr),
}

/// `in 1..`, `in 0.0..=1.0`
#[derive(Debug)]
pub(crate) struct ParamRange {
    pub(crate) low: Option<Literal>,
    pub(crate) high: Option<Literal>,
    /// Whether `high` itself is legal: `..=` rather than `..`.
    pub(crate) closed: bool,
    pub(crate) span: Span,
}

/// A literal with an optional sign.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Literal {
    pub(crate) kind: LiteralKind,
    pub(crate) span: Span,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum LiteralKind {
    Bool(bool),
    Int(i64),
    Float(f64),
}

/// `vision(t, h, w) tiled (6, 8, 8)`
#[derive(Debug)]
pub(crate) struct TokenRange {
    pub(crate) name: Name,
    pub(crate) grid: bool,
    pub(crate) tile: Option<[u32; 3]>,
    pub(crate) span: Span,
}

/// `q in vision`
#[derive(Debug)]
pub(crate) struct Variable {
    pub(crate) name: Name,
    pub(crate) range: Option<Name>,
}

/// `by taylor(order)`
#[derive(Debug)]
pub(crate) struct Reuse {
    pub(crate) name: Name,
    pub(crate) args: Vec<Expr>,
}

#[derive(Debug)]
pub(crate) struct Expr {
    pub(crate) kind: ExprKind,
    pub(crate) span: Span,
    /// Levels of nesting, this one included; bounded, so that recursion over expressions is safe.
    pub(crate) depth: usize,
}

#[derive(Debug)]
pub(crate) enum ExprKind {
    Literal(LiteralKind),
    Name(String),
    Field(Box<Expr>, Name),
    Index(Name, Name),
    In(Name, Name),
    Call(Name, Vec<Expr>),
    Tuple(Vec<Expr>),
    Unary(UnaryOp, Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
}
