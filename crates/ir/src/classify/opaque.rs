//! What classification knows of a mask's opaque parts before it sees a block: how often they change, and what may be left in
//! doubt.

use crate::expr::{BinaryOp, Expr, ExprKind, Function};

use super::Formula;

/// A part of a mask that could not be decided for some block pairs, which were called partial: their tokens are tested one
/// by one, and none of them is skipped.
#[derive(Clone, Debug, PartialEq)]
pub struct Unclassified {
    /// The part, with its place in the strategy.
    pub expr: Expr,
    /// Why.
    pub doubt: Doubt,
    /// Share of block pairs that were called partial because of parts in doubt, 0 to 1.
    pub share: f64,
}

/// Why a part of a mask could not be decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Doubt {
    /// A sum of positions may leave 32 bits.
    Wraps,
    /// A remainder may change from each token to the next.
    Remainder,
    /// The values of an input may change from each token to the next.
    Input,
    /// Devices round a function differently.
    Rounded,
}

impl Doubt {
    /// What stands in the way, as a clause.
    pub fn reason(self) -> &'static str {
        match self {
            Doubt::Wraps => "a sum in it may leave 32 bits at this length and these params",
            Doubt::Remainder => "a remainder may change from each token to the next",
            Doubt::Input => "values of an input lie close together and unsorted, so blocks hold many of them",
            Doubt::Rounded => "a rounded function comes within its last places of a bound",
        }
    }

    /// A form that can be classified.
    pub fn help(self) -> &'static str {
        match self {
            Doubt::Wraps => {
                "keep sums of positions and params below 2^31, or compare a difference: abs(q.pos - kv.pos) <= reach"
            }
            Doubt::Remainder => "compare coordinates, or choose block sizes and tiles that the divisor divides",
            Doubt::Input => "sort tokens by the input (`permute by order`), so that a block holds few of its values",
            Doubt::Rounded => "compare integers or coordinates without exp, log and tanh",
        }
    }
}

/// Whether a bool expression over a token pair changes along few lines only, as q and kv move along a block: comparisons of
/// coordinates and of sums, multiples, quotients, products and monotone functions of them.
pub fn changes_rarely(expr: &Expr) -> bool {
    doubt(expr).is_none_or(|doubt| doubt == Doubt::Rounded)
}

/// Whether all opaque parts of a formula [`changes_rarely`].
pub fn are_rare(formula: &Formula) -> bool {
    opaque_parts(formula).into_iter().all(changes_rarely)
}

/// The parts that may be left in doubt, and why.
pub(super) fn doubts(formula: &Formula, fits: bool) -> Vec<(Expr, Doubt)> {
    if !fits {
        return guarded_parts(formula).into_iter().map(|expr| (expr.clone(), Doubt::Wraps)).collect();
    }
    let parts = opaque_parts(formula).into_iter();
    parts.filter_map(|expr| Some((expr.clone(), doubt(expr)?))).collect()
}

fn doubt(expr: &Expr) -> Option<Doubt> {
    if !expr.reads_tokens() {
        return None;
    }
    let of_this = match &expr.kind {
        ExprKind::Binary(BinaryOp::Rem, ..) => Some(Doubt::Remainder),
        ExprKind::Input(..) => Some(Doubt::Input),
        ExprKind::Call(Function::Exp | Function::Exp2 | Function::Log | Function::Log2 | Function::Tanh, _) => {
            Some(Doubt::Rounded)
        }
        _ => None,
    };
    // The one that changes most often.
    let all = expr.children().into_iter().map(doubt).chain([of_this]).flatten();
    all.min_by_key(|doubt| *doubt as usize)
}

fn opaque_parts(formula: &Formula) -> Vec<&Expr> {
    match formula {
        Formula::Opaque(expr) => vec![expr],
        Formula::Not(inner) => opaque_parts(inner),
        Formula::And(parts) | Formula::Or(parts) => parts.iter().flat_map(opaque_parts).collect(),
        // What a guard refuses is refused for the whole call.
        Formula::Guarded { .. } | Formula::Uniform(_) | Formula::NotPositive(_) | Formula::Reached(..) => Vec::new(),
    }
}

fn guarded_parts(formula: &Formula) -> Vec<&Expr> {
    match formula {
        Formula::Guarded { comparison, .. } => vec![comparison],
        Formula::Opaque(expr) => vec![expr],
        Formula::Not(inner) => guarded_parts(inner),
        Formula::And(parts) | Formula::Or(parts) => parts.iter().flat_map(guarded_parts).collect(),
        Formula::Uniform(_) | Formula::NotPositive(_) | Formula::Reached(..) => Vec::new(),
    }
}
