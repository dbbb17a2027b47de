//! `cover(…)` as functions over the spans of two blocks. As in `sparsym_ir::eval`, token pairs are judged cell by cell, and
//! only those that no interval decides one by one.

use sparsym_ir::Expr;
use sparsym_ir::expr::{Coordinate, Cover, CoverRule, ExprKind};

use super::body::{Body, Loop, Statement, Word, call_of, declare, define, return_if, signature, variable};
use super::cells::{deeper_than, walk_of_quarters};
use super::cuda::{Cuda, call, literal, name};
use super::expr::{Level, Lowering};
use super::functions::Function;
use super::interval::{Intervals, Sums};

/// Names that all of the functions may use, and these.
fn words(others: impl IntoIterator<Item = Word>) -> Vec<Word> {
    let all = [("p", "const Params& p"), ("b", "int b"), ("h", "int h")];
    let frames = [("frame_q", "int frame_q"), ("frame_kv", "int frame_kv")];
    all.into_iter().chain(frames).map(|(name, parameter)| Word::new(name, parameter)).chain(others).collect()
}

/// `cell`, for which a call gives this.
fn cell(argument: &str) -> Word {
    Word::new("cell", "const Cell& cell").from(name(argument))
}

impl Lowering<'_> {
    /// `cover(any: …)` as a call of a function over the spans of two blocks.
    pub(super) fn cover(&self, cover: &Cover) -> Cuda {
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
                let test = |q: Cuda| {
                    in_runs(reads_grid, "columns", "kv", |kv| vec![pairs(q, kv), return_if(visit, literal(found))])
                };
                let mut body = in_runs(reads_grid, "rows", "q", test);
                // Without a token pair there is no cover.
                body.push(Statement::Return(match (found, self.builder().plan.ragged) {
                    (false, true) => has_tokens("rows").op("&&", has_tokens("columns")),
                    _ => literal(!found),
                }));
                (comment, body)
            }
            CoverRule::Fraction { least, share } => {
                ("Whether enough kv tokens of a span are dense.", self.fraction(visit, reads_grid, least, share))
            }
        };
        let of = |q, kv| {
            let spans =
                [Word::new("rows", "Span rows").from(name(q)), Word::new("columns", "Span columns").from(name(kv))];
            words(spans)
        };
        let function = self.cell_function("bool", "covers", comment, &of("rows", "columns"), &body);
        let covers = call_of(&function, &body, &of("q", "kv"));
        if !cover.per_frame {
            return covers;
        }
        let frame = |rest: &str| {
            let taken = call("take_frame", [name("p"), name(rest)]);
            call("grid_point", [name("p"), taken.member("first")]).member("t")
        };
        let columns = vec![declare("int", "frame_kv", frame("rest_kv")), return_if(covers, literal(true))];
        let rows = vec![declare("int", "frame_q", frame("rest_q")), rest_of("kv", "kv", columns)];
        let body = vec![rest_of("q", "q", rows), Statement::Return(literal(false))];
        let spans = [Word::new("q", "Span q"), Word::new("kv", "Span kv")];
        let words: Vec<Word> = words([]).into_iter().take(3).chain(spans).collect();
        let comment = "The same for the tokens of some frame of each of two blocks.";
        let function = self.cell_function("bool", "covers_in_frames", comment, &words, &body);
        call_of(&function, &body, &words)
    }

    /// The body that counts dense kv tokens.
    fn fraction(&self, visit: Cuda, reads_grid: bool, least: &Expr, share: &Expr) -> Body {
        let [seen, dense, found] = ["seen", "dense", "pairs"].map(name);
        let float = |of: &Cuda| of.clone().prefixed("(float)");
        let kv = || name("kv");
        let mut column =
            vec![declare("Span", "column", Cuda::Braces("", vec![kv(), kv()])), variable("int", "pairs", literal(0))];
        column.extend(in_runs(reads_grid, "rows", "q", |q| {
            vec![pairs(q, name("column")), Statement::Assign(found.clone(), "+=", visit)]
        }));
        let density = float(&found).op("/", name("kBlockQ").prefixed("(float)"));
        let is_seen = |count: &Cuda| count.clone().op(">", literal(0));
        column.push(Statement::Assign(seen.clone(), "+=", is_seen(&found)));
        column.push(Statement::Assign(dense.clone(), "+=", density.op(">", self.expr(&least.inlined()))));
        let columns = |end| name("columns").member(end);
        let enough = float(&dense).op("/", float(&seen)).op(">", self.expr(&share.inlined()));
        vec![
            variable("int", "seen", literal(0)),
            variable("int", "dense", literal(0)),
            Statement::For(Box::new(Loop {
                ty: "int",
                variable: "kv".to_owned(),
                from: columns("first"),
                test: kv().op("<=", columns("last")),
                step: Some(kv().prefixed("++")),
                body: column,
            })),
            Statement::Return(is_seen(&seen).op("&&", enough)),
        ]
    }

    /// A call that walks the quarters of a cell: whether some pair passes, whether some pair fails, or how many pass.
    fn visit(&self, cover: &Cover) -> Cuda {
        let mask = self.with_lets(vec![Statement::Return(self.tokens_of_cover().expr(&cover.mask))]);
        let first = |side: &str| name("part").member(side).member("first");
        let pair = words([Word::new("q", "int q").from(first("q")), Word::new("kv", "int kv").from(first("kv"))]);
        let comment = "Whether a token pair passes the rule of a cover.";
        let function = self.cell_function("bool", "passes", comment, &pair, &mask);
        let passes = call_of(&function, &mask, &pair);
        let verdict = self.verdict_of_cell(cover);
        let [found, at, levels, part] = ["found", "at", "levels", "part"].map(name);
        let is = |verdict: &str| name("found").op("==", name(verdict));
        let stop = return_if(is("kPass"), literal(true));
        let (kind, stem, comment, step, end) = match cover.rule {
            CoverRule::Any => ("bool", "some_pass", "Whether some token pair of a cell passes.", stop, literal(false)),
            CoverRule::All => ("bool", "some_fail", "Whether some token pair of a cell fails.", stop, literal(false)),
            CoverRule::Fraction { .. } => {
                let tokens = call("tokens_of", [part.clone().member("q")]);
                let step = Statement::Assign(name("pairs"), "+=", is("kPass").choose(tokens, literal(0)));
                ("int", "count", "How many queries of a cell of one column pass.", step, name("pairs"))
            }
        };
        let passes = if cover.rule == CoverRule::All { passes.prefixed("!") } else { passes };
        let mut body = Body::new();
        // Past the end of a sequence of a ragged batch a block has no tokens.
        if self.builder().plan.ragged {
            let none = if kind == "int" { literal(0) } else { end.clone() };
            body.push(return_if(call("is_empty", [name("cell")]), none));
        }
        body.extend(walk_of_quarters());
        body.extend((kind == "int").then(|| variable("int", "pairs", literal(0))));
        let mixed = || is("kMixed");
        let decided = passes.choose(name("kPass"), name("kFail"));
        body.push(Statement::Forever(vec![
            declare("Cell", "part", call("quarter_of", ["cell", "at", "levels"].map(name))),
            variable("u32", "found", call("is_empty", [part]).choose(literal(0), verdict)),
            Statement::If(
                mixed().op("&&", deeper_than(&at, &levels)),
                vec![Statement::Do(at.clone().member("depth").prefixed("++")), Statement::Continue],
            ),
            Statement::If(mixed(), vec![Statement::Assign(found, "=", decided)]),
            step,
            return_if(call("goes_on", [at, levels]).prefixed("!"), end),
        ]));
        let words = words([cell("cell")]);
        let function = self.cell_function(kind, stem, comment, &words, &body);
        call_of(&function, &body, &words)
    }

    /// A call of the verdict of a cover's rule over a part of a cell: of its failing, if all must pass.
    fn verdict_of_cell(&self, cover: &Cover) -> Cuda {
        let intervals =
            Intervals { lowering: self.tokens_of_cover(), ragged: self.builder().plan.ragged, sums: Sums::Wrapping };
        let mut verdict = intervals.verdict(&cover.mask);
        if cover.rule == CoverRule::All {
            verdict = call("negated", [verdict]);
        }
        if cover.per_frame {
            let frame = |side: &str| {
                let exactly = call("exactly", [name(format!("frame_{side}"))]);
                call("is_equal", [name(format!("{side}_box")).member("t"), exactly])
            };
            verdict = call("all_of", [call("all_of", [frame("q"), frame("kv")]), verdict]);
        }
        let body = intervals.returned(verdict);
        let comment = "The verdict of the rule of a cover over a cell.";
        let function = self.cell_function("u32", "verdict", comment, &words([cell("cell")]), &body);
        call_of(&function, &body, &words([cell("part")]))
    }

    fn tokens_of_cover(&self) -> Self {
        Lowering { level: Level::Tokens, ..*self }
    }

    /// The name of a function of this body; the same one again if there is one.
    fn cell_function(&self, kind: &str, stem: &str, comment: &str, words: &[Word], body: &Body) -> String {
        let builder = self.builder();
        let known = builder.known.borrow().iter().find(|known| known.body == *body).map(|known| known.name.clone());
        known.unwrap_or_else(|| {
            let name = builder.fresh(stem);
            let (parameters, _) = signature(body, words);
            builder.functions.borrow_mut().push(define(comment, &format!("{kind} {name}"), &parameters, body));
            builder.known.borrow_mut().push(Function { name: name.clone(), body: body.clone() });
            name
        })
    }
}

/// `const Cell cell = …;` of these spans.
fn pairs(q: Cuda, kv: Cuda) -> Statement {
    let differences = call("differences", [q.clone(), kv.clone()]);
    declare("Cell", "cell", Cuda::Braces("", vec![q, kv, differences]))
}

/// Whether a span is not over.
fn has_tokens(span: &str) -> Cuda {
    name(span).member("first").op("<=", name(span).member("last"))
}

/// A loop that takes pieces off `rest_{name}` until it is over.
fn rest_of(of: &str, span: &str, body: Body) -> Statement {
    let rest = format!("rest_{of}");
    let test = has_tokens(&rest);
    Statement::For(Box::new(Loop { ty: "Span", variable: rest, from: name(span), test, step: None, body }))
}

/// Statements for each run of a span that lies inside the grid or outside it: of these alone coordinates are known.
/// Without coordinates a span is one run.
fn in_runs(reads_grid: bool, span: &str, of: &str, inner: impl FnOnce(Cuda) -> Body) -> Body {
    if !reads_grid {
        return inner(name(span));
    }
    let run = format!("{of}_run");
    let mut body = vec![declare("Span", run.clone(), call("take_run", [name("p"), name(format!("rest_{of}"))]))];
    body.extend(inner(name(run)));
    vec![rest_of(of, span, body)]
}
