//! What the author wrote, clause by clause, with places and without meaning.

use sparsym_ir::Span;
use sparsym_ir::expr::{BinaryOp, Measure, UnaryOp};
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
    Table { name: Name, axes: Vec<Name>, element: Element },
    Input { name: Name, axis: Name, ty: Name },
    Tokens(Vec<TokenRange>),
    Blocks { q: Literal, kv: Literal },
    Let { name: Name, over: Over, value: Expr },
    Permute { range: Option<Name>, by: Name },
    Mask { q: Name, kv: Name, value: Expr },
    Score { logit: Name, q: Name, kv: Name, value: Expr },
    Rule { action: Action, vars: Vec<Variable>, condition: Option<Expr>, reuse: Option<Reuse> },
    Otherwise { action: Action, reuse: Option<Reuse> },
    Update(Expr),
    Dense(Expr),
    Degrade(Expr),
}

/// What a `let` value is written over.
#[derive(Debug)]
pub(crate) enum Over {
    /// `let early = …`: nothing, or blocks that are not named.
    Nothing,
    /// `let p[q, kv] = …`
    Blocks(Vec<Variable>),
    /// `let row(q) = …`
    Tokens(Vec<Name>),
}

/// What an entry of a table holds.
#[derive(Debug)]
pub(crate) enum Element {
    /// `of f32`
    One(Name),
    /// `of (u32, u32, u32)`
    Tuple(Vec<Name>),
    /// `of { full, arrow, reuse }`
    Variants(Vec<Name>),
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
    /// `document[q]`, `s[q, kv]`, `selfsim(Q)[q]`
    Index(Box<Expr>, Vec<Name>),
    In(Name, Name),
    Call(Name, Vec<Expr>),
    Tuple(Vec<Expr>),
    /// `pool(Q) . pool(K)`
    Dot(Box<Expr>, Box<Expr>),
    Binder(Box<Binder>),
    Order(Box<Order>),
    Percentile(Box<Percentile>),
    Cover(Box<Cover>),
    /// `ascending_mass(x) <= tau at least 1`
    AtLeast(Box<Expr>, Box<Expr>),
    Unary(UnaryOp, Box<Expr>),
    Binary(BinaryOp, Box<Expr>, Box<Expr>),
}

/// `softmax(kv in vision where kv.block <= q.block weight kv.len: s[q, kv])`
#[derive(Debug)]
pub(crate) struct Binder {
    pub(crate) function: Name,
    pub(crate) variable: Name,
    pub(crate) range: Option<Name>,
    pub(crate) visible: Option<Expr>,
    pub(crate) weight: Option<Expr>,
    pub(crate) value: Expr,
}

/// `descending_mass_before(x per head, first: kv.block == 0)`
#[derive(Debug)]
pub(crate) struct Order {
    pub(crate) name: Name,
    pub(crate) measure: Measure,
    pub(crate) descending: bool,
    pub(crate) per_head: bool,
    pub(crate) value: Expr,
    pub(crate) first: Option<Expr>,
}

/// `percentile(x per head, 0.9)`
#[derive(Debug)]
pub(crate) struct Percentile {
    pub(crate) name: Name,
    pub(crate) per_head: bool,
    pub(crate) value: Expr,
    pub(crate) share: Expr,
}

/// `cover(fraction(0.33, 0.6) per frame: condition)`
#[derive(Debug)]
pub(crate) struct Cover {
    pub(crate) name: Name,
    pub(crate) rule: CoverRule,
    pub(crate) per_frame: bool,
    pub(crate) mask: Expr,
}

#[derive(Debug)]
pub(crate) enum CoverRule {
    Any,
    All,
    /// Density and share.
    Fraction(Box<[Expr; 2]>),
}

impl Expr {
    /// The direct operands in the order in which they are written.
    pub(crate) fn children(&self) -> Vec<&Expr> {
        match &self.kind {
            ExprKind::Literal(_) | ExprKind::Name(_) | ExprKind::In(..) => Vec::new(),
            ExprKind::Field(base, _) | ExprKind::Index(base, _) => vec![base],
            ExprKind::Call(_, args) | ExprKind::Tuple(args) => args.iter().collect(),
            ExprKind::Dot(a, b) | ExprKind::Binary(_, a, b) | ExprKind::AtLeast(a, b) => vec![a, b],
            ExprKind::Unary(_, a) => vec![a],
            ExprKind::Binder(binder) => binder.operands(),
            ExprKind::Order(order) => [&order.value].into_iter().chain(&order.first).collect(),
            ExprKind::Percentile(percentile) => vec![&percentile.value, &percentile.share],
            ExprKind::Cover(cover) => match &cover.rule {
                CoverRule::Fraction(numbers) => numbers.iter().chain([&cover.mask]).collect(),
                CoverRule::Any | CoverRule::All => vec![&cover.mask],
            },
        }
    }

    /// Whether it or something below it satisfies `test`.
    pub(crate) fn any(&self, test: &mut impl FnMut(&Expr) -> bool) -> bool {
        test(self) || self.children().into_iter().any(|child| child.any(test))
    }
}

impl Binder {
    /// What its variable may be read in, in the order in which it is written.
    pub(crate) fn operands(&self) -> Vec<&Expr> {
        self.visible.iter().chain(&self.weight).chain([&self.value]).collect()
    }
}
