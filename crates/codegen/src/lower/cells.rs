//! The mask over cells of token pairs: cuts on q.pos, kv.pos and their difference, and a walk over what lies between.
//!
//! The walk is that of `sparsym_ir::classify`, without sorting: from the first position of a cell, its last one is the
//! last before the nearest cut. A cell whose verdict intervals cannot tell is walked in quarters, as there.

use sparsym_ir::Expr;
use sparsym_ir::classify::{Atoms, Axis, Formula, MOST_PARTS, are_rare, may_not_fit};
use sparsym_ir::expr::{Coordinate, ExprKind};

use super::cuts::{AXES, Cuts};
use super::formula::{self, Judge};
use super::text::{define, joined, names, signature, statement};
use super::{Lowering, symbols};
use crate::plan::Plan;

/// A mask as CUDA.
pub(super) struct Mask {
    /// What `classify` calls.
    pub(super) functions: Vec<String>,
    /// Statements of `classify`.
    pub(super) body: String,
}

/// Names that functions over cells may use: word, parameter, argument.
const WORDS: [[&str; 3]; 5] = [
    ["p", "const Params& p", "p"],
    ["b", "int b", "b"],
    ["h", "int h", "h"],
    ["cuts", "const Cuts& cuts", "cuts"],
    ["cell", "const Cell& cell", "cell"],
];

/// The same for a part of a cell.
const PART_WORDS: [[&str; 3]; 5] = [WORDS[0], WORDS[1], WORDS[2], WORDS[3], ["cell", "const Cell& part", "part"]];

pub(super) fn lower(lowering: &Lowering, plan: &Plan, mask: &Expr) -> Mask {
    let atoms = Atoms::of(lowering.strategy, mask);
    let formula = formula::simplified(&atoms.formula);
    let opaque = formula::is_opaque(&formula);
    Cells {
        lowering: *lowering,
        plan,
        opaque,
        boxes: opaque && mask.any(reads_grid),
        guarded: may_not_fit(&atoms.formula),
        rare: are_rare(&atoms.formula),
        cuts: Cuts::of(lowering, &atoms),
        formula,
    }
    .mask()
}

fn reads_grid(expr: &Expr) -> bool {
    let on_grid = |c: &Coordinate| !matches!(c, Coordinate::Pos | Coordinate::Block | Coordinate::Len);
    matches!(&expr.kind, ExprKind::Coordinate(_, c) if on_grid(c))
}

struct Cells<'a> {
    lowering: Lowering<'a>,
    plan: &'a Plan,
    formula: Formula,
    cuts: Cuts,
    /// Whether the formula needs interval arithmetic.
    opaque: bool,
    /// Whether cells must also be boxes of the grid.
    boxes: bool,
    /// Whether the host must check that sums stay in 32 bits.
    guarded: bool,
    /// Whether quarters of a cell are walked until all of it is known.
    rare: bool,
}

impl Cells<'_> {
    fn mask(&self) -> Mask {
        let mut functions = Vec::new();
        let past_the_end = match self.plan.ragged {
            true => "q.first > q.last || kv.first > kv.last",
            false => "kv.first > kv.last",
        };
        let mut body = format!("    if ({past_the_end}) {{\n        return 0;\n    }}\n");
        if self.guarded {
            body.push_str("    if (p.mask_fits == 0) {\n        return kMixed;\n    }\n");
        }
        if let Some((definition, finder)) = self.cuts.struct_and_finder() {
            let (parameters, arguments) = signature(&finder, &WORDS);
            functions.push(definition);
            functions.push(define("", "Cuts find_cuts", &parameters, &finder));
            body.push_str(&format!("    const Cuts cuts = find_cuts({arguments});\n"));
        }
        let mut takes = [const { None }; 3];
        for (take, (axis, name, meaning)) in takes.iter_mut().zip(AXES) {
            if let Some(body) = self.take_cell(axis) {
                let (parameters, arguments) = signature(&body, &WORDS);
                let comment = format!("Takes the next cell of {meaning} off the front of a span.");
                let head = format!("Span take_{name}_cell");
                functions.push(define(&comment, &head, &joined("Span& rest", &parameters), &body));
                *take = Some(format!("take_{name}_cell({})", joined(&format!("{name}_rest"), &arguments)));
            }
        }
        let verdict = if self.opaque { self.judge(&mut functions) } else { self.holds(&mut functions) };
        body.push_str(&self.walk(&takes, &verdict));
        Mask { functions, body }
    }

    /// Defines the verdict over a cell, and gives the statements that use it.
    fn judge(&self, functions: &mut Vec<String>) -> [String; 2] {
        let body = self.formulas().body(&self.formula);
        let body = symbols::tables(&body, self.lowering.strategy) + &body;
        let (parameters, arguments) = signature(&body, &WORDS);
        functions.push(define("The verdict of the mask over a cell.", "u32 judge", &parameters, &body));
        let body = self.search_body(&signature(&body, &PART_WORDS).1);
        let comment = "The verdict over a cell; where judge cannot tell, over its quarters.";
        functions.push(define(comment, "u32 search", &parameters, &body));
        [String::new(), format!("search({arguments})")]
    }

    /// The body of the function that judges a cell by its parts.
    fn search_body(&self, arguments: &str) -> String {
        let [count, counted, limit] = match self.rare {
            true => [String::new(), String::new(), String::new()],
            false => [
                "    int judged = 0;\n".to_owned(),
                "        judged += found != 0;\n".to_owned(),
                format!(" && judged < {MOST_PARTS}"),
            ],
        };
        format!(
            "    const int levels = quarter_levels(cell);\n    Quarter at = {{0, 0, 0}};\n    u32 verdict = 0;\n{count}    \
             for (;;) {{\n        const Cell part = quarter_of(cell, at, levels);\n        \
             const u32 found = is_empty(part) ? 0 : judge({arguments});\n{counted}        \
             if (found == kMixed && at.depth < 2 * levels{limit}) {{\n            ++at.depth;\n            \
             continue;\n        }}\n        verdict |= found;\n        \
             if (verdict == kMixed || !goes_on(at, levels)) {{\n            return verdict;\n        }}\n    }}\n"
        )
    }

    /// As `judge`, where the mask is the same for all pairs of a cell.
    fn holds(&self, functions: &mut Vec<String>) -> [String; 2] {
        let text = self.formulas().bool(&self.formula).0;
        let axes: Vec<&str> = AXES.iter().map(|(_, name, _)| *name).filter(|name| names(&text, name)).collect();
        let list = |f: &dyn Fn(&&str) -> String| axes.iter().map(f).collect::<Vec<_>>().join(", ");
        let (parameters, arguments) = signature(&text, &WORDS);
        let parameters = joined(&parameters, &list(&|name| format!("int {name}")));
        let arguments = joined(&arguments, &list(&|name| format!("{name}_cell.first")));
        let comment = "Whether the mask holds in the cell whose first positions are these.";
        functions.push(define(comment, "bool holds", &parameters, &statement("return ", &text, ";")));
        [format!("const bool passes = holds({arguments});"), "passes ? kPass : kFail".to_owned()]
    }

    /// Loops over the cells of the axes that are cut; inside, one verdict.
    fn walk(&self, takes: &[Option<String>; 3], [prepare, verdict]: &[String; 2]) -> String {
        let span = |n: usize| if takes[n].is_some() { format!("{}_cell", AXES[n].1) } else { AXES[n].1.to_owned() };
        let differences = format!("differences({}, {})", span(0), span(1));
        let mut lines = vec![(1, "u32 verdict = 0;".to_owned())];
        let mut depth = 1;
        for (take, (axis, name, _)) in takes.iter().zip(AXES) {
            let all = if axis == Axis::Diff { &differences } else { name };
            match take {
                Some(take) => {
                    lines.push((depth, format!("Span {name}_rest = {all};")));
                    lines.push((depth, format!("while ({name}_rest.first <= {name}_rest.last) {{")));
                    depth += 1;
                    lines.push((depth, format!("const Span {name}_cell = {take};")));
                }
                None if axis == Axis::Diff && self.opaque => {
                    lines.push((depth, format!("const Span diff = {differences};")));
                }
                None => {}
            }
        }
        if self.opaque {
            lines.push((depth, format!("const Cell cell = {{{}, {}, {}}};", span(0), span(1), span(2))));
        }
        lines.extend((!prepare.is_empty()).then(|| (depth, prepare.clone())));
        if depth == 1 {
            lines.remove(0);
            lines.push((depth, format!("return {verdict};")));
        } else {
            lines.push((depth, format!("verdict |= {verdict};")));
            lines.push((depth, "if (verdict == kMixed) {".to_owned()));
            lines.push((depth + 1, "return kMixed;".to_owned()));
            lines.extend((1..=depth).rev().map(|depth| (depth, "}".to_owned())));
            lines.push((1, "return verdict;".to_owned()));
        }
        lines.iter().map(|(depth, line)| format!("{}{line}\n", "    ".repeat(*depth))).collect()
    }

    /// The body of the function that takes the next cell off a span; None if no statement changes along this axis.
    fn take_cell(&self, axis: Axis) -> Option<String> {
        let boxes = self.boxes && axis != Axis::Diff;
        // Cuts of statements that simplification has decided are left alone.
        let cuts = if formula::reads(&self.formula, axis) { self.cuts.words(axis) } else { &[] };
        let mut ends: Vec<String> = cuts.iter().map(|cut| format!("end_before({cut}, next)")).collect();
        ends.extend(boxes.then(|| "end_of_box(p, next)".to_owned()));
        let ends: String = ends.iter().map(|end| format!("    next.last = {end};\n")).collect();
        (!ends.is_empty())
            .then(|| format!("    Span next = rest;\n{ends}    rest.first = next.last + 1;\n    return next;\n"))
    }

    fn formulas(&self) -> Judge<'_> {
        Judge { lowering: self.lowering, ragged: self.plan.ragged, opaque: self.opaque, cuts: &self.cuts }
    }
}
