//! The mask over cells of token pairs: cuts on q.pos, kv.pos and their difference, and a walk over what lies between.
//!
//! The walk is that of `sparsym_ir::classify`, without sorting: from the first position of a cell, its last one is the
//! last before the nearest cut.

use sparsym_ir::Expr;
use sparsym_ir::classify::{Atoms, Axis, Cut, Formula, Sum, Threshold};
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind};
use sparsym_ir::strategy::Strategy;

use super::interval::Intervals;
use super::{ATOM, Level, Lowering, UNARY, affine, joined, laid_out, names, signature, strength};
use crate::params::range_field;
use crate::plan::Plan;

/// A mask as CUDA.
pub(super) struct Mask {
    /// What `classify` calls.
    pub(super) functions: String,
    /// Statements of `classify`.
    pub(super) body: String,
}

/// Names that the functions below may use: word, parameter, argument.
const WORDS: [[&str; 3]; 5] = [
    ["p", "const Params& p", "p"],
    ["b", "int b", "b"],
    ["h", "int h", "h"],
    ["cuts", "const Cuts& cuts", "cuts"],
    ["cell", "const Cell& cell", "cell"],
];

const AXES: [(Axis, &str); 3] = [(Axis::Q, "q"), (Axis::Kv, "kv"), (Axis::Diff, "diff")];

pub(super) fn lower(strategy: &Strategy, plan: &Plan, mask: &Expr) -> Mask {
    let atoms = Atoms::of(strategy, mask);
    let lowering = Lowering { strategy, level: Level::Tokens, head: "h", batch: "b" };
    let cells = Cells {
        lowering,
        intervals: Intervals { lowering, ragged: plan.ragged },
        formula: without_constants(&atoms.formula),
        opaque: is_opaque(&atoms.formula),
        boxes: is_opaque(&atoms.formula) && mask.any(reads_grid),
        guarded: affine::may_not_fit(&atoms.formula),
        atoms,
    };
    cells.mask(plan)
}

fn reads_grid(expr: &Expr) -> bool {
    let on_grid = |c: &Coordinate| matches!(c, Coordinate::T | Coordinate::H | Coordinate::W | Coordinate::Tile);
    matches!(&expr.kind, ExprKind::Coordinate(_, c) if on_grid(c))
}

/// Adds a function with the parameters that its body names, and `more`; gives the arguments of the former.
fn add(functions: &mut Vec<String>, head: &str, more: &str, body: &str) -> String {
    let declared =
        |word: &str| body.contains(&format!("    Cuts {word};")) || body.contains(&format!("    Span {word} ="));
    let words: Vec<[&str; 3]> = WORDS.into_iter().filter(|[word, ..]| !declared(word)).collect();
    let (parameters, arguments) = signature(body, &words);
    let parameters = match more {
        "" => parameters,
        more if more.starts_with("Span&") => joined(more, parameters),
        more => joined(&parameters, more.to_owned()),
    };
    functions.push(format!("static __device__ __forceinline__ {head}({parameters}) {{\n{body}}}\n\n"));
    arguments
}

struct Cells<'a> {
    lowering: Lowering<'a>,
    intervals: Intervals<'a>,
    atoms: Atoms,
    formula: Formula,
    /// Whether the formula needs interval arithmetic.
    opaque: bool,
    /// Whether cells must also be boxes of the grid.
    boxes: bool,
    /// Whether the host must check that sums stay in 32 bits.
    guarded: bool,
}

impl Cells<'_> {
    fn mask(&self, plan: &Plan) -> Mask {
        let mut functions = Vec::new();
        let past_the_end = if plan.ragged { "q.first > q.last || kv.first > kv.last" } else { "kv.first > kv.last" };
        let mut body = format!("    if ({past_the_end}) {{\n        return 0;\n    }}\n");
        if self.guarded {
            body.push_str("    if (p.mask_fits == 0) {\n        return kMixed;\n    }\n");
        }
        if AXES.iter().any(|(axis, _)| !self.atoms.cuts(*axis).is_empty()) {
            functions.push(self.cuts_struct());
            let arguments = add(&mut functions, "Cuts find_cuts", "", &self.find_cuts());
            body.push_str(&format!("    const Cuts cuts = find_cuts({arguments});\n"));
        }
        let mut takes = [const { None }; 3];
        for (take, (axis, name)) in takes.iter_mut().zip(AXES) {
            if let Some(text) = self.take_cell(axis, name) {
                functions.push(format!("// Takes the next cell of {} off a span.\n", described(axis)));
                *take = Some(add(&mut functions, &format!("Span take_{name}_cell"), "Span& rest", &text));
            }
        }
        let judge = if self.opaque {
            let text = format!("    return {};\n", laid_out(&self.verdict(&self.formula).0, 4));
            functions.push("// The verdict of the mask over a cell.\n".to_owned());
            format!("judge({})", add(&mut functions, "u32 judge", "", &text))
        } else {
            let text = format!("    return {};\n", laid_out(&self.bool(&self.formula).0, 4));
            let firsts: Vec<&str> = AXES.iter().map(|(_, name)| *name).filter(|name| names(&text, name)).collect();
            let list = |f: &dyn Fn(&&str) -> String| firsts.iter().map(f).collect::<Vec<_>>().join(", ");
            functions.push("// Whether the mask holds in the cell whose first positions are these.\n".to_owned());
            let parameters = list(&|name| format!("int {name}"));
            let arguments = add(&mut functions, "bool holds", &parameters, &text);
            format!("holds({}) ? kPass : kFail", joined(&arguments, list(&|name| format!("{name}_cell.first"))))
        };
        body.push_str(&self.walk(&takes, &judge));
        Mask { functions: functions.concat(), body }
    }

    /// Loops over the cells of the axes that are cut; inside, one verdict.
    fn walk(&self, takes: &[Option<String>; 3], judge: &str) -> String {
        let span = |n: usize| match &takes[n] {
            Some(_) => format!("{}_cell", AXES[n].1),
            None => AXES[n].1.to_owned(),
        };
        let cell = format!("const Cell cell = {{{}, {}, {}}};\n", span(0), span(1), span(2));
        let differences = format!("differences({}, {})", span(0), span(1));
        if takes.iter().all(Option::is_none) {
            let cell =
                if self.opaque { format!("    const Span diff = {differences};\n    {cell}") } else { String::new() };
            return format!("{cell}    return {judge};\n");
        }
        let mut out = String::from("    u32 verdict = 0;\n");
        let mut depth = 1;
        for (take, (axis, name)) in takes.iter().zip(AXES) {
            let pad = "    ".repeat(depth);
            let all = if axis == Axis::Diff { &differences } else { name };
            match take {
                Some(arguments) => {
                    out.push_str(&format!("{pad}Span {name}_rest = {all};\n"));
                    out.push_str(&format!("{pad}while ({name}_rest.first <= {name}_rest.last) {{\n"));
                    out.push_str(&format!(
                        "{pad}    const Span {name}_cell = take_{name}_cell({});\n",
                        joined(&format!("{name}_rest"), arguments.clone())
                    ));
                    depth += 1;
                }
                None if axis == Axis::Diff && self.opaque => {
                    out.push_str(&format!("{pad}const Span diff = {differences};\n"));
                }
                None => {}
            }
        }
        let pad = "    ".repeat(depth);
        if self.opaque {
            out.push_str(&format!("{pad}{cell}"));
        }
        out.push_str(&format!("{pad}verdict |= {judge};\n{pad}if (verdict == kMixed) {{\n"));
        out.push_str(&format!("{pad}    return kMixed;\n{pad}}}\n"));
        for depth in (1..depth).rev() {
            out.push_str(&format!("{}}}\n", "    ".repeat(depth)));
        }
        out + "    return verdict;\n"
    }

    fn cuts_struct(&self) -> String {
        let arrays = AXES.iter().map(|(axis, name)| (name, self.atoms.cuts(*axis).len())).filter(|(_, n)| *n > 0);
        let arrays: Vec<String> = arrays.map(|(name, n)| format!("{name}[{n}]")).collect();
        format!(
            "// Where the mask may change, on q.pos, kv.pos and q.pos - kv.pos: from these positions on.\n\
             struct Cuts {{\n    int {};\n}};\n\n",
            arrays.join(", ")
        )
    }

    fn find_cuts(&self) -> String {
        let mut body = String::from("    Cuts cuts;\n");
        for (axis, name) in AXES {
            for (n, cut) in self.atoms.cuts(axis).iter().enumerate() {
                body.push_str(&format!("    cuts.{name}[{n}] = {};\n", self.place(cut)));
            }
        }
        body + "    return cuts;\n"
    }

    fn place(&self, cut: &Cut) -> String {
        let range = |id: &sparsym_ir::strategy::RangeId| range_field(&self.lowering.strategy.tokens[id.0].name);
        match &cut.at {
            Threshold::RangeStart(id) => format!("p.{}_first", range(id)),
            Threshold::RangeEnd(id) => format!("p.{}_end", range(id)),
            Threshold::Sum(Sum { constant, terms }) if terms.is_empty() => {
                let place = -(-constant).div_euclid(cut.scale);
                place.clamp(i64::from(i32::MIN) + 1, i64::from(i32::MAX)).to_string()
            }
            Threshold::Sum(Sum { constant: 0, terms }) if cut.scale == 1 && terms.len() == 1 && terms[0].0 == 1 => {
                self.lowering.expr(&terms[0].1)
            }
            Threshold::Sum(sum) if cut.scale == 1 => format!("saturated({})", self.sum(sum)),
            Threshold::Sum(sum) => format!("saturated(ceil_div({}, {}))", self.sum(sum), cut.scale),
        }
    }

    /// The sum in 64 bits.
    fn sum(&self, sum: &Sum) -> String {
        let mut text = String::new();
        for (factor, term) in &sum.terms {
            let term = format!("(i64){}", self.lowering.within(term, ATOM));
            let (sign, size) = (if *factor < 0 { "-" } else { "+" }, factor.unsigned_abs());
            match (text.is_empty(), sign) {
                (true, "+") => {}
                (true, sign) => text.push_str(sign),
                (false, sign) => text.push_str(&format!(" {sign} ")),
            }
            text.push_str(&if size == 1 { term } else { format!("{size} * {term}") });
        }
        match sum.constant {
            constant if text.is_empty() => constant.to_string(),
            0 => text,
            constant if constant < 0 => format!("{text} - {}", constant.unsigned_abs()),
            constant => format!("{text} + {constant}"),
        }
    }

    /// The body of the function that takes the next cell off a span; None if nothing cuts this axis.
    fn take_cell(&self, axis: Axis, name: &str) -> Option<String> {
        let cuts = self.atoms.cuts(axis).len();
        let boxes = self.boxes && axis != Axis::Diff;
        let mut ends: Vec<String> = (0..cuts).map(|n| format!("end_before(cuts.{name}[{n}], cell)")).collect();
        ends.extend(boxes.then(|| "end_of_box(p, cell)".to_owned()));
        let ends: String = ends.iter().map(|end| format!("    cell.last = {end};\n")).collect();
        (!ends.is_empty())
            .then(|| format!("    Span cell = rest;\n{ends}    rest.first = cell.last + 1;\n    return cell;\n"))
    }

    /// A formula without opaque parts, as a bool of the first positions of a cell.
    fn bool(&self, formula: &Formula) -> (String, u8) {
        let and = strength(BinaryOp::And);
        match formula {
            Formula::Uniform(expr) => self.lowering.with_strength(expr),
            Formula::NotPositive(sum) => (format!("{} <= 0", self.sum(sum)), strength(BinaryOp::Le)),
            Formula::Reached(axis, n) => (self.literal(*axis, *n, ">="), strength(BinaryOp::Ge)),
            Formula::Guarded { exact, .. } => self.bool(exact),
            Formula::Not(inner) => match inner.as_ref() {
                Formula::Reached(axis, n) => (self.literal(*axis, *n, "<"), strength(BinaryOp::Lt)),
                Formula::NotPositive(sum) => (format!("{} > 0", self.sum(sum)), strength(BinaryOp::Gt)),
                inner => {
                    let (text, strength) = self.bool(inner);
                    (if strength < ATOM { format!("!({text})") } else { format!("!{text}") }, UNARY)
                }
            },
            Formula::And(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.bool_within(part, and)).collect();
                (parts.join(" && "), and)
            }
            Formula::Or(parts) => {
                let parts: Vec<String> = parts.iter().map(|part| self.bool_within(part, and + 1)).collect();
                (parts.join(" || "), strength(BinaryOp::Or))
            }
            Formula::Opaque(_) => unreachable!("opaque parts have verdicts"),
        }
    }

    fn bool_within(&self, formula: &Formula, least: u8) -> String {
        let (text, strength) = self.bool(formula);
        if strength < least { format!("({text})") } else { text }
    }

    fn literal(&self, axis: Axis, n: usize, comparison: &str) -> String {
        let name = AXES.iter().find(|(a, _)| *a == axis).map_or("", |(_, name)| name);
        let position = if self.opaque { format!("cell.{name}.first") } else { name.to_owned() };
        format!("{position} {comparison} cuts.{name}[{n}]")
    }

    /// A verdict, and whether it is a conditional expression.
    fn verdict(&self, formula: &Formula) -> (String, bool) {
        if !is_opaque(formula) {
            return (format!("{} ? kPass : kFail", self.bool(formula).0), true);
        }
        match formula {
            Formula::Opaque(expr) => (self.intervals.verdict(expr), false),
            Formula::Not(inner) => (format!("negated({})", self.verdict(inner).0), false),
            Formula::Guarded { exact, .. } => self.verdict(exact),
            Formula::And(parts) => {
                let (known, rest) = self.known_and_rest(parts, "all_of");
                match known.is_empty() {
                    true => (rest, false),
                    false => (format!("{} ? {rest} : kFail", self.bool(&Formula::And(known)).0), true),
                }
            }
            Formula::Or(parts) => {
                let (known, rest) = self.known_and_rest(parts, "any_of");
                match known.is_empty() {
                    true => (rest, false),
                    false => (format!("{} ? kPass : {rest}", self.bool(&Formula::Or(known)).0), true),
                }
            }
            other => unreachable!("{other:?} is not opaque"),
        }
    }

    /// The parts without opaque ones among them, and the joint verdict of the others.
    fn known_and_rest(&self, parts: &[Formula], join: &str) -> (Vec<Formula>, String) {
        let (rest, known): (Vec<Formula>, Vec<Formula>) = parts.iter().cloned().partition(is_opaque);
        let alone = rest.len() == 1 && !known.is_empty();
        let text = rest.iter().map(|part| match self.verdict(part) {
            (text, true) if alone => format!("({text})"),
            (text, _) => text,
        });
        (known, text.reduce(|a, b| format!("{join}({a}, {b})")).unwrap_or_default())
    }
}

fn described(axis: Axis) -> &'static str {
    match axis {
        Axis::Q => "q.pos",
        Axis::Kv => "kv.pos",
        Axis::Diff => "q.pos - kv.pos",
    }
}

fn is_opaque(formula: &Formula) -> bool {
    match formula {
        Formula::Opaque(_) => true,
        Formula::Not(inner) => is_opaque(inner),
        Formula::And(parts) | Formula::Or(parts) => parts.iter().any(is_opaque),
        // What a guard refuses, the host refuses for the whole call.
        Formula::Guarded { .. } | Formula::Uniform(_) | Formula::NotPositive(_) | Formula::Reached(..) => false,
    }
}

/// Nested conjunctions and disjunctions flattened; sums without terms decided.
fn without_constants(formula: &Formula) -> Formula {
    let truth = |value: bool| {
        let ty = sparsym_ir::expr::Type::Bool;
        Formula::Uniform(Expr { kind: ExprKind::Bool(value), ty, span: sparsym_ir::Span::default() })
    };
    let known = |formula: &Formula| match formula {
        Formula::Uniform(Expr { kind: ExprKind::Bool(value), .. }) => Some(*value),
        _ => None,
    };
    match formula {
        Formula::NotPositive(sum) if sum.terms.is_empty() => truth(sum.constant <= 0),
        Formula::Guarded { exact, .. } => without_constants(exact),
        Formula::Not(inner) => match without_constants(inner) {
            Formula::Not(inner) => *inner,
            inner => known(&inner).map_or_else(|| Formula::Not(Box::new(inner)), |value| truth(!value)),
        },
        Formula::And(parts) | Formula::Or(parts) => {
            let neutral = matches!(formula, Formula::And(_));
            let mut kept = Vec::new();
            for part in parts.iter().map(without_constants) {
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
