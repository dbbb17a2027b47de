//! `cover(…)` as functions over the spans of two blocks. As in `sparsym_ir::eval`, token pairs are judged cell by cell, and
//! only those that no interval decides one by one.

use sparsym_ir::expr::{Coordinate, Cover, CoverRule, ExprKind};

use super::builder::{Function, WORDS};
use super::interval::{Intervals, Sums};
use super::text::{define, signature, statement};
use super::{ATOM, Level, Lowering};

/// Names that the functions may use: word, parameter, argument.
const CELL: [&str; 3] = ["cell", "const Cell& cell", "cell"];
const PART: [&str; 3] = ["cell", "const Cell& cell", "part"];
const FRAMES: [[&str; 3]; 2] = [["frame_q", "int frame_q", "frame_q"], ["frame_kv", "int frame_kv", "frame_kv"]];

/// `p`, `b` and `h`, the frames, and these.
fn words<'w>(others: &[[&'w str; 3]]) -> Vec<[&'w str; 3]> {
    WORDS[..3].iter().chain(&FRAMES).chain(others).copied().collect()
}

impl Lowering<'_> {
    /// `cover(any: …)` as a call of a function over the spans of two blocks.
    pub(super) fn cover(&self, cover: &Cover) -> String {
        let reads_grid = cover.per_frame
            || cover.mask.any(|e| {
                let on_grid = |c: &Coordinate| !matches!(c, Coordinate::Pos | Coordinate::Block | Coordinate::Len);
                matches!(&e.kind, ExprKind::Coordinate(_, coordinate) if on_grid(coordinate))
            });
        let visit = self.visit(cover);
        let (comment, body) = match &cover.rule {
            CoverRule::Any | CoverRule::All => {
                let (comment, found) = match cover.rule {
                    CoverRule::Any => ("Whether some token pair of two spans passes.", true),
                    _ => ("Whether all token pairs of two spans pass.", false),
                };
                let test = "const Cell cell = {q_run, kv_run, differences(q_run, kv_run)};\n".to_owned()
                    + &format!("if ({visit}) {{\n    return {found};\n}}\n");
                let body = in_runs(reads_grid, "rows", "q", &in_runs(reads_grid, "columns", "kv", &test));
                // Without a token pair there is no cover.
                let end = match (found, self.builder().plan.ragged) {
                    (false, true) => "rows.first <= rows.last && columns.first <= columns.last".to_owned(),
                    _ => (!found).to_string(),
                };
                (comment, indented(&format!("{body}return {end};\n"), 1))
            }
            CoverRule::Fraction { least, share } => {
                let (least, share) = (self.within(least, ATOM), self.within(share, ATOM));
                let count = "const Cell cell = {q_run, column, differences(q_run, column)};\n".to_owned()
                    + &format!("pairs += {visit};\n");
                let body = format!(
                    "int seen = 0;\nint dense = 0;\n\
                     for (int kv = columns.first; kv <= columns.last; ++kv) {{\n    \
                     const Span column = {{kv, kv}};\n    int pairs = 0;\n{}    \
                     seen += pairs > 0;\n    dense += (float)pairs / (float)kBlockQ > {least};\n}}\n\
                     return seen > 0 && (float)dense / (float)seen > {share};\n",
                    indented(&in_runs(reads_grid, "rows", "q", &count), 1),
                );
                ("Whether enough kv tokens of a span are dense.", indented(&body, 1))
            }
        };
        let of = |q, kv| words(&[["rows", "Span rows", q], ["columns", "Span columns", kv]]);
        let name = self.cell_function("bool", "covers", comment, &of("rows", "columns"), &body);
        let call = format!("{name}({})", signature(&body, &of("q", "kv")).1);
        if !cover.per_frame {
            return call;
        }
        let body = format!(
            "    for (Span rest_q = q; rest_q.first <= rest_q.last;) {{\n        \
             const int frame_q = grid_point(p, take_frame(p, rest_q).first).t;\n        \
             for (Span rest_kv = kv; rest_kv.first <= rest_kv.last;) {{\n            \
             const int frame_kv = grid_point(p, take_frame(p, rest_kv).first).t;\n            \
             if ({call}) {{\n                return true;\n            }}\n        }}\n    }}\n    \
             return false;\n"
        );
        let words = [WORDS[0], WORDS[1], WORDS[2], ["q", "Span q", "q"], ["kv", "Span kv", "kv"]];
        let comment = "The same for the tokens of some frame of each of two blocks.";
        let name = self.cell_function("bool", "covers_in_frames", comment, &words, &body);
        format!("{name}({})", signature(&body, &words).1)
    }

    /// A call that walks the quarters of a cell: whether some pair passes, whether some pair fails, or how many pass.
    fn visit(&self, cover: &Cover) -> String {
        let mask = self.tokens_of_cover().expr(&cover.mask);
        let pair = words(&[["q", "int q", "part.q.first"], ["kv", "int kv", "part.kv.first"]]);
        let body = statement("return ", &mask, ";");
        let comment = "Whether a token pair passes the rule of a cover.";
        let passes = self.cell_function("bool", "passes", comment, &pair, &body);
        let passes = format!("{passes}({})", signature(&body, &pair).1);
        let verdict = self.verdict_of_cell(cover);
        let stop = "if (found == kPass) {\n            return true;\n        }";
        let (kind, stem, comment, start, step, end) = match cover.rule {
            CoverRule::Any => ("bool", "some_pass", "Whether some token pair of a cell passes.", "", stop, "false"),
            CoverRule::All => ("bool", "some_fail", "Whether some token pair of a cell fails.", "", stop, "false"),
            CoverRule::Fraction { .. } => {
                let step = "pairs += found == kPass ? tokens_of(part.q) : 0;";
                (
                    "int",
                    "count",
                    "How many queries of a cell of one column pass.",
                    "    int pairs = 0;\n",
                    step,
                    "pairs",
                )
            }
        };
        let passes = if cover.rule == CoverRule::All { format!("!{passes}") } else { passes };
        // Past the end of a sequence of a ragged batch a block has no tokens.
        let guard = match self.builder().plan.ragged {
            true => format!(
                "    if (is_empty(cell)) {{\n        return {};\n    }}\n",
                if kind == "int" { "0" } else { end }
            ),
            false => String::new(),
        };
        let body = format!(
            "{guard}    const int levels = quarter_levels(cell);\n    Quarter at = {{0, 0, 0}};\n{start}    for (;;) {{\n        \
             const Cell part = quarter_of(cell, at, levels);\n        \
             u32 found = is_empty(part) ? 0 : {verdict};\n        \
             if (found == kMixed && at.depth < 2 * levels) {{\n            ++at.depth;\n            continue;\n        }}\n        \
             if (found == kMixed) {{\n            found = {passes} ? kPass : kFail;\n        }}\n        \
             {step}\n        if (!goes_on(at, levels)) {{\n            return {end};\n        }}\n    }}\n"
        );
        let words = words(&[CELL]);
        let name = self.cell_function(kind, stem, comment, &words, &body);
        format!("{name}({})", signature(&body, &words).1)
    }

    /// A call of the verdict of a cover's rule over a part of a cell: of its failing, if all must pass.
    fn verdict_of_cell(&self, cover: &Cover) -> String {
        let intervals =
            Intervals { lowering: self.tokens_of_cover(), ragged: self.builder().plan.ragged, sums: Sums::Wrapping };
        let mut verdict = intervals.verdict(&cover.mask);
        if cover.rule == CoverRule::All {
            verdict = format!("negated({verdict})");
        }
        if cover.per_frame {
            let frames = "all_of(is_equal(q_box.t, exactly(frame_q)), is_equal(kv_box.t, exactly(frame_kv)))";
            verdict = format!("all_of({frames}, {verdict})");
        }
        let body = intervals.locals(&verdict) + &statement("return ", &verdict, ";");
        let comment = "The verdict of the rule of a cover over a cell.";
        let name = self.cell_function("u32", "verdict", comment, &words(&[CELL]), &body);
        format!("{name}({})", signature(&body, &words(&[PART])).1)
    }

    fn tokens_of_cover(&self) -> Self {
        Lowering { level: Level::Tokens, input_rows: self.input_rows(), ..*self }
    }

    /// The name of a function of this body; the same one again if there is one.
    fn cell_function(&self, kind: &str, stem: &str, comment: &str, words: &[[&str; 3]], body: &str) -> String {
        let builder = self.builder();
        let known = builder.known.borrow().iter().find(|known| known.body == body).map(|known| known.name.clone());
        known.unwrap_or_else(|| {
            let name = builder.fresh(stem);
            let (parameters, _) = signature(body, words);
            builder.functions.borrow_mut().push(define(comment, &format!("{kind} {name}"), &parameters, body));
            builder.known.borrow_mut().push(Function { name: name.clone(), body: body.to_owned(), bound: None });
            name
        })
    }
}

/// Statements over `{name}_run`, for each run of a span that lies inside the grid or outside it: of these alone coordinates
/// are known. Without coordinates a span is one run.
fn in_runs(reads_grid: bool, span: &str, name: &str, inner: &str) -> String {
    if !reads_grid {
        return inner.replace(&format!("{name}_run"), span);
    }
    format!(
        "for (Span rest_{name} = {span}; rest_{name}.first <= rest_{name}.last;) {{\n    \
         const Span {name}_run = take_run(p, rest_{name});\n{}}}\n",
        indented(inner, 1)
    )
}

fn indented(lines: &str, depth: usize) -> String {
    lines.lines().map(|line| format!("{}{line}\n", "    ".repeat(depth))).collect()
}
