//! The mask over cells of token pairs: cuts on q.pos, kv.pos and their difference, and a walk over what lies between.
//!
//! The walk is that of `sparsym_ir::classify`, without sorting: from the first position of a cell, its last one is the
//! last before the nearest cut. A cell whose verdict intervals cannot tell is walked in quarters, as there.

use sparsym_ir::Expr;
use sparsym_ir::classify::{Atoms, Axis, Formula, MOST_PARTS, are_rare, may_not_fit};
use sparsym_ir::expr::{Coordinate, ExprKind};

use super::body::{Body, Statement, Word, call_of, declare, define, return_if, signature, variable};
use super::cuda::{Cuda, call, field, literal, name};
use super::cuts::{AXES, Cuts};
use super::expr::Lowering;
use super::formula::{self, Judge};
use super::locals;
use crate::plan::SymbolsPlan;

/// A mask as CUDA.
pub(super) struct Mask {
    /// What `classify` calls.
    pub(super) functions: Vec<String>,
    /// Statements of `classify`.
    pub(super) body: Body,
}

/// Names that functions over cells may use.
fn words() -> [Word; 5] {
    [
        Word::new("p", "const Params& p"),
        Word::new("b", "int b"),
        Word::new("h", "int h"),
        Word::new("cuts", "const Cuts& cuts"),
        Word::new("cell", "const Cell& cell"),
    ]
}

/// The same for a part of a cell.
fn part_words() -> [Word; 5] {
    words().map(|word| if word.name == "cell" { word.from(name("part")) } else { word })
}

pub(super) fn lower(lowering: &Lowering, plan: &SymbolsPlan, mask: &Expr) -> Mask {
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
    plan: &'a SymbolsPlan,
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
        let is_past = |side: &str| name(side).member("first").op(">", name(side).member("last"));
        let past_the_end = match self.plan.ragged {
            true => is_past("q").op("||", is_past("kv")),
            false => is_past("kv"),
        };
        let mut body = vec![return_if(past_the_end, literal(0))];
        if self.guarded {
            body.push(return_if(field("mask_fits").op("==", literal(0)), name("kMixed")));
        }
        if let Some((definition, finder)) = self.cuts.struct_and_finder() {
            let (parameters, arguments) = signature(&finder, &words());
            functions.push(definition);
            functions.push(define("", "Cuts find_cuts", &parameters, &finder));
            body.push(declare("Cuts", "cuts", call("find_cuts", arguments)));
        }
        let mut takes = [const { None }; 3];
        for (take, (axis, of, meaning)) in takes.iter_mut().zip(AXES) {
            if let Some(body) = self.take_cell(axis) {
                let rest = Word::new("rest", "Span& rest").from(name(format!("{of}_rest")));
                let words: Vec<Word> = [rest].into_iter().chain(words()).collect();
                let (parameters, arguments) = signature(&body, &words);
                let comment = format!("Takes the next cell of {meaning} off the front of a span.");
                let function = format!("take_{of}_cell");
                functions.push(define(&comment, &format!("Span {function}"), &parameters, &body));
                *take = Some(call(function, arguments));
            }
        }
        let (prepare, verdict) = if self.opaque { self.judge(&mut functions) } else { self.holds(&mut functions) };
        body.extend(self.walk(&takes, prepare, verdict));
        Mask { functions, body }
    }

    /// Defines the verdict over a cell, and gives a call of it.
    fn judge(&self, functions: &mut Vec<String>) -> (Option<Statement>, Cuda) {
        let body = self.lowering.with_lets(self.formulas().body(&self.formula));
        let body = locals::with_tables(body, &self.lowering);
        let (parameters, arguments) = signature(&body, &words());
        functions.push(define("The verdict of the mask over a cell.", "u32 judge", &parameters, &body));
        let body = self.search_body(call_of("judge", &body, &part_words()));
        let comment = "The verdict over a cell; where judge cannot tell, over its quarters.";
        functions.push(define(comment, "u32 search", &parameters, &body));
        (None, call("search", arguments))
    }

    /// The body of the function that judges a cell by its parts.
    fn search_body(&self, judge: Cuda) -> Body {
        let [verdict, found, at, judged, levels] = ["verdict", "found", "at", "judged", "levels"].map(name);
        let mixed = |of: &Cuda| of.clone().op("==", name("kMixed"));
        let empty = call("is_empty", [name("part")]);
        let mut part = vec![
            declare("Cell", "part", call("quarter_of", ["cell", "at", "levels"].map(name))),
            declare("u32", "found", empty.choose(literal(0), judge)),
        ];
        let mut goes_in = mixed(&found).op("&&", deeper_than(&at, &levels));
        if !self.rare {
            part.push(Statement::Assign(judged.clone(), "+=", found.clone().op("!=", literal(0))));
            goes_in = goes_in.op("&&", judged.op("<", literal(MOST_PARTS)));
        }
        let done = mixed(&verdict).op("||", call("goes_on", [at.clone(), levels]).prefixed("!"));
        part.extend([
            Statement::If(goes_in, vec![Statement::Do(at.member("depth").prefixed("++")), Statement::Continue]),
            Statement::Assign(verdict.clone(), "|=", found),
            return_if(done, verdict),
        ]);
        let mut body = walk_of_quarters();
        body.push(variable("u32", "verdict", literal(0)));
        body.extend((!self.rare).then(|| variable("int", "judged", literal(0))));
        body.push(Statement::Forever(part));
        body
    }

    /// As `judge`, where the mask is the same for all pairs of a cell.
    fn holds(&self, functions: &mut Vec<String>) -> (Option<Statement>, Cuda) {
        let body = self.lowering.with_lets(vec![Statement::Return(self.formulas().bool(&self.formula))]);
        let positions = [("q", "int q"), ("kv", "int kv"), ("diff", "int diff")]
            .map(|(of, parameter)| Word::new(of, parameter).from(name(format!("{of}_cell")).member("first")));
        let words: Vec<Word> = words().into_iter().chain(positions).collect();
        let (parameters, arguments) = signature(&body, &words);
        let comment = "Whether the mask holds in the cell whose first positions are these.";
        functions.push(define(comment, "bool holds", &parameters, &body));
        let passes = declare("bool", "passes", call("holds", arguments));
        (Some(passes), name("passes").choose(name("kPass"), name("kFail")))
    }

    /// Loops over the cells of the axes that are cut; inside, one verdict.
    fn walk(&self, takes: &[Option<Cuda>; 3], prepare: Option<Statement>, verdict: Cuda) -> Body {
        let span =
            |n: usize| name(if takes[n].is_some() { format!("{}_cell", AXES[n].1) } else { AXES[n].1.to_owned() });
        let differences = call("differences", [span(0), span(1)]);
        let loops = takes.iter().flatten().count();
        let mut inside = Body::new();
        if self.opaque {
            inside.push(declare("Cell", "cell", Cuda::Braces("", vec![span(0), span(1), span(2)])));
        }
        inside.extend(prepare);
        if loops == 0 {
            inside.push(Statement::Return(verdict));
        } else {
            let so_far = || name("verdict");
            inside.push(Statement::Assign(so_far(), "|=", verdict));
            inside.push(return_if(so_far().op("==", name("kMixed")), name("kMixed")));
        }
        for (take, (axis, of, _)) in takes.iter().zip(AXES).rev() {
            let all = if axis == Axis::Diff { differences.clone() } else { name(of) };
            match take {
                Some(take) => {
                    let rest = format!("{of}_rest");
                    inside.insert(0, declare("Span", format!("{of}_cell"), take.clone()));
                    let [first, last] = ["first", "last"].map(|end| name(&rest).member(end));
                    inside = vec![variable("Span", rest, all), Statement::While(first.op("<=", last), inside)];
                }
                None if axis == Axis::Diff && self.opaque => {
                    inside.insert(0, declare("Span", "diff", differences.clone()))
                }
                None => {}
            }
        }
        if loops > 0 {
            inside.insert(0, variable("u32", "verdict", literal(0)));
            inside.push(Statement::Return(name("verdict")));
        }
        inside
    }

    /// The body of the function that takes the next cell off a span; None if no statement changes along this axis.
    fn take_cell(&self, axis: Axis) -> Option<Body> {
        let boxes = self.boxes && axis != Axis::Diff;
        let [next, rest] = ["next", "rest"].map(name);
        // Cuts of statements that simplification has decided are left alone.
        let cuts = if formula::reads(&self.formula, axis) { self.cuts.words(axis) } else { &[] };
        let mut ends: Vec<Cuda> = cuts.iter().map(|cut| call("end_before", [cut.clone(), next.clone()])).collect();
        ends.extend(boxes.then(|| call("end_of_box", [name("p"), next.clone()])));
        if ends.is_empty() {
            return None;
        }
        let last = next.clone().member("last");
        let mut body = vec![variable("Span", "next", rest.clone())];
        body.extend(ends.into_iter().map(|end| Statement::Assign(last.clone(), "=", end)));
        body.push(Statement::Assign(rest.member("first"), "=", last.op("+", literal(1))));
        body.push(Statement::Return(next));
        Some(body)
    }

    fn formulas(&self) -> Judge<'_> {
        Judge { lowering: self.lowering, ragged: self.plan.ragged, opaque: self.opaque, cuts: &self.cuts }
    }
}

/// What a walk over the quarters of `cell` starts with.
pub(super) fn walk_of_quarters() -> Body {
    vec![
        declare("int", "levels", call("quarter_levels", [name("cell")])),
        variable("Quarter", "at", Cuda::Braces("", vec![literal(0), literal(0), literal(0)])),
    ]
}

/// Whether a quarter has quarters of its own.
pub(super) fn deeper_than(at: &Cuda, levels: &Cuda) -> Cuda {
    at.clone().member("depth").op("<", literal(2).op("*", levels.clone()))
}
