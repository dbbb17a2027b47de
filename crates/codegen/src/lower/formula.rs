//! A mask's formula as CUDA: a bool where it is the same for all pairs of a cell, else a verdict.

use sparsym_ir::Expr;
use sparsym_ir::classify::{Axis, Formula, Sum};
use sparsym_ir::expr::{ExprKind, Type};

use super::body::{Body, Statement, return_if, variable};
use super::cuda::{Cuda, all_of, call, literal, name};
use super::cuts::{AXES, Cuts, sum};
use super::expr::Lowering;
use super::interval::{Intervals, Sums, verdict_of};

/// How formulas are spelt.
pub(super) struct Judge<'a> {
    pub(super) lowering: Lowering<'a>,
    /// Whether sequences start where index pointers say.
    pub(super) ragged: bool,
    /// Whether positions are those of `cell`, or have names of their own.
    pub(super) opaque: bool,
    pub(super) cuts: &'a Cuts,
}

/// Whether a formula needs interval arithmetic.
pub(super) fn is_opaque(formula: &Formula) -> bool {
    match formula {
        Formula::Opaque(_) => true,
        Formula::Not(inner) => is_opaque(inner),
        Formula::And(parts) | Formula::Or(parts) => parts.iter().any(is_opaque),
        // What a guard refuses, the host refuses for the whole call.
        Formula::Guarded { .. } | Formula::Uniform(_) | Formula::NotPositive(_) | Formula::Reached(..) => false,
    }
}

/// Whether a literal of the formula changes along an axis.
pub(super) fn reads(formula: &Formula, axis: Axis) -> bool {
    match formula {
        Formula::Reached(of, _) => *of == axis,
        Formula::Not(inner) | Formula::Guarded { exact: inner, .. } => reads(inner, axis),
        Formula::And(parts) | Formula::Or(parts) => parts.iter().any(|part| reads(part, axis)),
        Formula::Opaque(_) | Formula::Uniform(_) | Formula::NotPositive(_) => false,
    }
}

/// The formula without guards: negations only of single statements, nested conjunctions and disjunctions flattened, sums
/// without terms decided.
pub(super) fn simplified(formula: &Formula) -> Formula {
    match formula {
        Formula::NotPositive(sum) if sum.terms.is_empty() => truth(sum.constant <= 0),
        Formula::Guarded { exact, .. } => simplified(exact),
        Formula::Not(inner) => match inner.as_ref() {
            Formula::Not(inner) => simplified(inner),
            Formula::Guarded { exact, .. } => simplified(&not(exact)),
            Formula::And(parts) => simplified(&Formula::Or(parts.iter().map(not).collect())),
            Formula::Or(parts) => simplified(&Formula::And(parts.iter().map(not).collect())),
            inner => match simplified(inner) {
                inner if known(&inner).is_some() => truth(known(&inner) == Some(false)),
                inner => not(&inner),
            },
        },
        Formula::And(parts) | Formula::Or(parts) => {
            let neutral = matches!(formula, Formula::And(_));
            let mut kept = Vec::new();
            for part in parts.iter().map(simplified) {
                match (part, neutral) {
                    (Formula::And(inner), true) | (Formula::Or(inner), false) => kept.extend(inner),
                    (part, _) if known(&part) == Some(neutral) => {}
                    (part, _) => kept.push(part),
                }
            }
            match kept.iter().find_map(known) {
                Some(value) => truth(value),
                None if kept.is_empty() => truth(neutral),
                None if kept.len() == 1 => kept.remove(0),
                None if neutral => Formula::And(kept),
                None => Formula::Or(kept),
            }
        }
        other => other.clone(),
    }
}

fn not(formula: &Formula) -> Formula {
    Formula::Not(Box::new(formula.clone()))
}

fn truth(value: bool) -> Formula {
    Formula::Uniform(Expr { kind: ExprKind::Bool(value), ty: Type::Bool, span: sparsym_ir::Span::default() })
}

fn known(formula: &Formula) -> Option<bool> {
    match formula {
        Formula::Uniform(Expr { kind: ExprKind::Bool(value), .. }) => Some(*value),
        _ => None,
    }
}

impl Judge<'_> {
    /// A formula without opaque parts, as a bool of the first positions of a cell.
    pub(super) fn bool(&self, formula: &Formula) -> Cuda {
        let list = |parts: &[Formula], operator: &'static str, none: bool| {
            all_of(operator, parts.iter().map(|part| self.bool(part))).unwrap_or_else(|| literal(none))
        };
        let compared = |of: &Sum, operator| sum(&self.lowering, of).op(operator, literal(0));
        match formula {
            Formula::Uniform(expr) => self.lowering.expr(expr),
            Formula::NotPositive(of) => compared(of, "<="),
            Formula::Reached(axis, n) => self.literal(*axis, ">=", *n),
            Formula::Guarded { exact, .. } => self.bool(exact),
            Formula::Not(inner) => match inner.as_ref() {
                Formula::Reached(axis, n) => self.literal(*axis, "<", *n),
                Formula::NotPositive(of) => compared(of, ">"),
                inner => self.bool(inner).prefixed("!"),
            },
            Formula::And(parts) => list(parts, "&&", true),
            Formula::Or(parts) => list(parts, "||", false),
            Formula::Opaque(_) => unreachable!("opaque parts have verdicts"),
        }
    }

    fn literal(&self, axis: Axis, comparison: &'static str, n: usize) -> Cuda {
        let (_, of, _) = AXES[axis as usize];
        let position = if self.opaque { name("cell").member(of).member("first") } else { name(of) };
        position.op(comparison, self.cuts.words(axis)[n].clone())
    }

    /// Statements that return the verdict of a formula over a cell: first what is known without intervals.
    pub(super) fn body(&self, formula: &Formula) -> Body {
        let (parts, join) = match formula {
            Formula::And(parts) => (parts.as_slice(), "all_of"),
            Formula::Or(parts) => (parts.as_slice(), "any_of"),
            other => (std::slice::from_ref(other), "all_of"),
        };
        let (rest, known): (Vec<Formula>, Vec<Formula>) = parts.iter().cloned().partition(is_opaque);
        let (settles, verdict) = match join {
            "all_of" => (simplified(&not(&Formula::And(known.clone()))), "kFail"),
            _ => (simplified(&Formula::Or(known.clone())), "kPass"),
        };
        let mut body = Body::new();
        body.extend((!known.is_empty()).then(|| return_if(self.bool(&settles), name(verdict))));
        if let ([part @ (Formula::And(_) | Formula::Or(_))], false) = (rest.as_slice(), known.is_empty()) {
            body.extend(self.body(part));
            return body;
        }
        let mut verdicts = rest.iter().map(|part| self.verdict(part));
        let first = verdicts.next().unwrap_or_else(|| unreachable!("an opaque formula has an opaque part"));
        let so_far = || name("verdict");
        let others: Body =
            verdicts.map(|other| Statement::Assign(so_far(), "=", call(join, [so_far(), other]))).collect();
        let mut steps = Body::new();
        if others.is_empty() {
            steps.push(Statement::Return(first));
        } else {
            steps.push(variable("u32", "verdict", first));
            steps.extend(others);
            steps.push(Statement::Return(so_far()));
        }
        body.extend(self.intervals().with_locals(steps));
        body
    }

    fn intervals(&self) -> Intervals<'_> {
        Intervals { lowering: self.lowering, ragged: self.ragged, sums: Sums::Fit }
    }

    fn verdict(&self, formula: &Formula) -> Cuda {
        let list = |parts: &[Formula], join: &str| {
            let verdicts = parts.iter().map(|part| self.verdict(part));
            verdicts.reduce(|a, b| call(join, [a, b])).unwrap_or_else(|| unreachable!("it has an opaque part"))
        };
        match formula {
            formula if !is_opaque(formula) => verdict_of(self.bool(formula)),
            Formula::Opaque(expr) => self.intervals().verdict(expr),
            Formula::Not(inner) => call("negated", [self.verdict(inner)]),
            Formula::And(parts) => list(parts, "all_of"),
            Formula::Or(parts) => list(parts, "any_of"),
            other => unreachable!("{other:?} is not opaque"),
        }
    }
}
