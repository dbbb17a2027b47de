//! `let` values: names that the author gave to values without variables, or over tokens.
//!
//! An expression reads one by its number. In memory it holds the value too, shared by all that read it, so that whoever asks
//! what an expression reads or is worth need not know of names; written as data it is the number alone.

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::expr::{Expr, ExprKind, Side, Type, UnaryOp};
use crate::span::Span;
use crate::strategy::{Reuse, Strategy, When};

/// Index of a [`Let`] in [`Strategy::lets`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct LetId(pub usize);

/// `let early = step < 8;`, `let row(q) = q.h / 2;`
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Let {
    /// Name.
    pub name: String,
    /// What it is a function of.
    pub side: LetSide,
    /// Its value; reads only names before it.
    pub value: Expr,
    /// The declaration.
    pub span: Span,
}

/// The tokens that a value is a function of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum LetSide {
    /// None: it is the same for all tokens, and for all blocks.
    None,
    /// The query token.
    Q,
    /// The kv token.
    Kv,
    /// Both.
    Pair,
}

impl LetSide {
    /// The variables of the tokens, in order.
    pub fn sides(self) -> &'static [Side] {
        match self {
            LetSide::None => &[],
            LetSide::Q => &[Side::Q],
            LetSide::Kv => &[Side::Kv],
            LetSide::Pair => &[Side::Q, Side::Kv],
        }
    }
}

/// A name in an expression.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Named {
    /// Which.
    pub id: LetId,
    /// What it stands for.
    #[serde(skip, default = "unknown")]
    pub value: Arc<Expr>,
}

impl Named {
    /// Whether it changes with the query token alone: it is computed once for a row of pairs.
    pub fn is_of_row(&self) -> bool {
        self.value.free_sides() == [true, false]
    }
}

/// Stands in the place of a value until the strategy is read.
fn unknown() -> Arc<Expr> {
    Arc::new(Expr { kind: ExprKind::Bool(false), ty: Type::Bool, span: Span::default() })
}

/// Operands of all expressions with values in the place of names; what is compiled from text has less.
const MOST_OPERANDS: usize = 1 << 22;

impl Expr {
    /// What it is: of a name the value that it stands for.
    pub fn value(&self) -> &Expr {
        let mut value = self;
        while let ExprKind::Let(named) = &value.kind {
            value = &named.value;
        }
        value
    }

    /// Calls `visit` on what is evaluated for each token pair, parents first: of a name that is the same for all kv tokens
    /// not its value, which is computed once for a query token or once for all.
    pub fn walk_pair(&self, visit: &mut impl FnMut(&Expr)) {
        visit(self);
        let is_kept = matches!(self.kind, ExprKind::Let(_)) && !self.free_sides()[Side::Kv as usize];
        if !is_kept {
            self.children().into_iter().for_each(|child| child.walk_pair(visit));
        }
    }

    /// Whether what is evaluated for each token pair reads a named value [of its row](Named::is_of_row).
    pub fn keeps_rows(&self) -> bool {
        let mut keeps = false;
        self.walk_pair(&mut |e| keeps |= matches!(&e.kind, ExprKind::Let(named) if named.is_of_row()));
        keeps
    }

    /// The same expression with values in the place of names.
    pub fn inlined(&self) -> Expr {
        let mut out = self.clone();
        inline(&mut out);
        out
    }
}

fn inline(expr: &mut Expr) {
    if matches!(expr.kind, ExprKind::Let(_)) {
        expr.kind = expr.value().kind.clone();
    }
    expr.children_mut().into_iter().for_each(inline);
    // As if the author had written the literal where it is read.
    if let ExprKind::Unary(UnaryOp::ToFloat, inner) = &expr.kind
        && let ExprKind::Int(value) = inner.kind
    {
        expr.kind = ExprKind::Float(value as f64);
    }
}

impl Strategy {
    /// The value of a name as an expression that stands at `span`.
    ///
    /// # Panics
    /// If there is no such name.
    pub fn named(&self, id: LetId, span: Span) -> Expr {
        let value = Arc::new(self.lets[id.0].value.clone());
        Expr { ty: value.ty, kind: ExprKind::Let(Named { id, value }), span }
    }

    /// The same strategy with values in the place of names.
    pub fn inlined(&self) -> Strategy {
        let mut out = self.clone();
        out.lets.clear();
        out.exprs_mut().into_iter().for_each(inline);
        out
    }

    /// Every expression that [`exprs`](Self::exprs) gives.
    fn exprs_mut(&mut self) -> Vec<&mut Expr> {
        let tokens = self.mask.iter_mut().chain(&mut self.score).map(|rule| &mut rule.value);
        let mut all: Vec<&mut Expr> = self.maps.iter_mut().map(|map| &mut map.value).chain(tokens).collect();
        for rule in &mut self.rules {
            if let When::Match { condition, .. } = &mut rule.when {
                all.extend(condition);
            }
            if let Some(Reuse::Taylor(order)) = &mut rule.reuse {
                all.push(order);
            }
        }
        let schedule = &mut self.schedule;
        all.extend(schedule.update.iter_mut().chain(&mut schedule.dense).chain(&mut schedule.degrade));
        all
    }

    /// Gives names in expressions the values of [`lets`](Self::lets): for a strategy that was built or read piece by piece.
    ///
    /// # Errors
    /// A name that is not declared before it is read, or expressions without end.
    pub fn linked(mut self) -> Result<Strategy, String> {
        let mut known = Vec::new();
        let mut operands = 0;
        for of in &mut self.lets {
            let size = link(&mut of.value, &known)?;
            known.push((Arc::new(of.value.clone()), size));
        }
        for expr in self.exprs_mut() {
            operands += link(expr, &known)?;
        }
        if operands > MOST_OPERANDS { Err(TOO_LARGE.to_owned()) } else { Ok(self) }
    }
}

const TOO_LARGE: &str = "the expressions of the strategy have too many operands once names are replaced by values";

/// The number of operands with values in the place of names.
fn link(expr: &mut Expr, known: &[(Arc<Expr>, usize)]) -> Result<usize, String> {
    let mut operands = 1;
    if let ExprKind::Let(named) = &mut expr.kind {
        let Some((value, size)) = known.get(named.id.0) else {
            return Err(format!("an expression reads `let` value {}, which is not declared before it", named.id.0));
        };
        named.value = Arc::clone(value);
        operands += size;
    }
    for child in expr.children_mut() {
        operands += link(child, known)?;
    }
    if operands > MOST_OPERANDS { Err(TOO_LARGE.to_owned()) } else { Ok(operands) }
}

impl Serialize for Strategy {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The derived function of the same name.
        Strategy::serialize(self, serializer)
    }
}

impl<'de> Deserialize<'de> for Strategy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Strategy, D::Error> {
        Strategy::deserialize(deserializer)?.linked().map_err(serde::de::Error::custom)
    }
}
