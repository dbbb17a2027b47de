//! A mask's formula as CUDA: a bool where it is the same for all pairs of a cell, else a verdict.

use sparsym_ir::Expr;
use sparsym_ir::classify::{Axis, Formula};
use sparsym_ir::expr::{BinaryOp, ExprKind, Type};

use super::cuts::{AXES, Cuts, sum};
use super::interval::{Intervals, Sums};
use super::text::statement;
use super::{ATOM, Lowering, UNARY, strength};

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
    pub(super) fn bool(&self, formula: &Formula) -> (String, u8) {
        let and = strength(BinaryOp::And);
        let list = |parts: &[Formula], least: u8, operator: &str| {
            let parts: Vec<String> = parts.iter().map(|part| self.bool_within(part, least)).collect();
            parts.join(operator)
        };
        match formula {
            Formula::Uniform(expr) => self.lowering.with_strength(expr),
            Formula::NotPositive(of) => (format!("{} <= 0", sum(&self.lowering, of)), strength(BinaryOp::Le)),
            Formula::Reached(axis, n) => (self.literal(*axis, ">=", *n), strength(BinaryOp::Ge)),
            Formula::Guarded { exact, .. } => self.bool(exact),
            Formula::Not(inner) => match inner.as_ref() {
                Formula::Reached(axis, n) => (self.literal(*axis, "<", *n), strength(BinaryOp::Lt)),
                Formula::NotPositive(of) => (format!("{} > 0", sum(&self.lowering, of)), strength(BinaryOp::Gt)),
                inner => (format!("!{}", self.bool_within(inner, ATOM)), UNARY),
            },
            Formula::And(parts) => (list(parts, and, " && "), and),
            Formula::Or(parts) => (list(parts, and + 1, " || "), strength(BinaryOp::Or)),
            Formula::Opaque(_) => unreachable!("opaque parts have verdicts"),
        }
    }

    fn bool_within(&self, formula: &Formula, least: u8) -> String {
        let (text, strength) = self.bool(formula);
        if strength < least { format!("({text})") } else { text }
    }

    fn literal(&self, axis: Axis, comparison: &str, n: usize) -> String {
        let (_, name, _) = AXES[axis as usize];
        let position = if self.opaque { format!("cell.{name}.first") } else { name.to_owned() };
        format!("{position} {comparison} {}", self.cuts.words(axis)[n])
    }

    /// Statements that return the verdict of a formula over a cell: first what is known without intervals.
    pub(super) fn body(&self, formula: &Formula) -> String {
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
        let mut body = String::new();
        if !known.is_empty() {
            body.push_str(&statement("if (", &self.bool(&settles).0, ") {"));
            body.push_str(&format!("        return {verdict};\n    }}\n"));
        }
        if let ([part @ (Formula::And(_) | Formula::Or(_))], false) = (rest.as_slice(), known.is_empty()) {
            return body + &self.body(part);
        }
        let verdicts: Vec<String> = rest.iter().map(|part| self.verdict(part)).collect();
        let mut steps = String::new();
        match verdicts.as_slice() {
            [one] => steps.push_str(&statement("return ", one, ";")),
            [first, others @ ..] => {
                steps.push_str(&statement("u32 verdict = ", first, ";"));
                for other in others {
                    steps.push_str(&statement(&format!("verdict = {join}(verdict, "), other, ");"));
                }
                steps.push_str("    return verdict;\n");
            }
            [] => unreachable!("an opaque formula has an opaque part"),
        }
        body + &self.intervals().locals(&steps) + &steps
    }

    fn intervals(&self) -> Intervals<'_> {
        Intervals { lowering: self.lowering, ragged: self.ragged, sums: Sums::Fit }
    }

    fn verdict(&self, formula: &Formula) -> String {
        let list = |parts: &[Formula], join: &str| {
            let verdicts = parts.iter().map(|part| self.verdict(part));
            verdicts.reduce(|a, b| format!("{join}({a}, {b})")).unwrap_or_default()
        };
        match formula {
            formula if !is_opaque(formula) => {
                format!("({} ? kPass : kFail)", self.bool_within(formula, strength(BinaryOp::Or)))
            }
            Formula::Opaque(expr) => self.intervals().verdict(expr),
            Formula::Not(inner) => format!("negated({})", self.verdict(inner)),
            Formula::And(parts) => list(parts, "all_of"),
            Formula::Or(parts) => list(parts, "any_of"),
            other => unreachable!("{other:?} is not opaque"),
        }
    }
}
