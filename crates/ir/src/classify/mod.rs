//! What a mask says of all token pairs of a block pair at once: none pass, some, or all. Never visits the pairs.
//!
//! # Method
//!
//! 1. **Atoms** ([`Atoms::of`], once for a strategy). Comparisons that are affine in q.pos, in kv.pos or in their
//!    difference d, also under `abs`, `min`, `max` and `clamp`, and `in range`, become literals "this number has reached
//!    this cut". The rest of the mask is uniform or opaque.
//! 2. **Cuts** (once for a batch item and head). Params, tables and globals get their values; every cut becomes an integer.
//! 3. **Cells** (for a block pair). The query block is cut at the q cuts, the kv block at the kv cuts, both also into boxes
//!    of the grid if the mask reads its coordinates; for a pair of pieces the interval of d is cut at the d cuts.
//! 4. **Verdict.** The formula is evaluated on each cell in three-valued logic: a literal is true on a cell that starts at
//!    or after the cut and false on one that ends before it; an opaque expression is judged by interval arithmetic.
//!    All cells true: [`Coverage::Full`]. All false: [`Coverage::Empty`]. Else [`Coverage::Partial`].
//!
//! # Why it is right
//!
//! *Sound.* The cells cover the pairs of the block, and on each cell the three-valued verdict, if known, is that of every
//! pair in it. So there is no false empty and no false full, whatever the mask.
//!
//! *Exact for masks without opaque parts.* Cells are sets `{(q, kv): q ∈ [q0, q1], kv ∈ [k0, k1], q - kv ∈ [d0, d1]}` with
//! `[d0, d1]` inside `[q0 - k1, q1 - k0]`, and over the integers every such d is attained by some pair: no cell is empty. No
//! cut lies inside a cell, so every literal is known on it, and so is the formula. Hence a partial verdict means that one
//! pair passes and another does not.
//!
//! *Exact for more than that.* Interval arithmetic attains its ends on a piece for a coordinate, for a monotone expression
//! of one, and for a comparison of one of q with one of kv, because pieces are boxes of the grid and q and kv are chosen
//! freely. Conjunctions of such comparisons over different axes stay exact. What is left may say partial needlessly.
//!
//! Work for a block pair is at most (pieces of q) · (pieces of kv) · (cuts of d + 1) evaluations; a first look at the whole
//! block pair as one cell settles most of them. Values of inputs cost O(N) once.

pub mod atoms;
mod interval;
mod pieces;

pub use atoms::{Atoms, Axis, Cut, Formula, Sum, Threshold};

use crate::bind::{Bound, Moment};
use crate::eval::{Place, Scope};
use crate::expr::{Coordinate, Expr, ExprKind, Global, Side};
use crate::strategy::TableAxis;

use interval::{Cell, Interval, Node};
use pieces::{Block, Cutter, Piece};

/// How many token pairs of a block pair pass the mask.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Coverage {
    /// None.
    Empty,
    /// Some, or not known.
    Partial,
    /// All.
    Full,
}

/// The mask of a strategy at one moment, ready to be asked about block pairs.
#[derive(Clone, Debug)]
pub struct Classifier {
    /// One for each batch item and head whose mask differs.
    sheets: Vec<Sheet>,
    /// Which sheet (b, h) reads is `b * batch_stride + h * head_stride`.
    batch_stride: usize,
    head_stride: usize,
}

/// The mask of one batch item and head, with numbers in place of names.
#[derive(Clone, Debug)]
struct Sheet {
    test: Test,
    /// Ascending cuts of q.pos - kv.pos.
    diff: Vec<i64>,
    q: Vec<Block>,
    kv: Vec<Block>,
}

/// A [`Formula`] with numbers in place of names.
#[derive(Clone, Debug)]
enum Test {
    Known(bool),
    Reached(Axis, i64),
    Opaque(Node),
    Not(Box<Test>),
    And(Vec<Test>),
    Or(Vec<Test>),
}

impl Classifier {
    /// Gives every cut of the strategy's mask its place and cuts the blocks; O(T) for each distinct batch item and head,
    /// and O(N) if the mask reads inputs. Without a mask every pair is full.
    pub fn new(bound: &Bound, moment: &Moment) -> Classifier {
        let always = Expr { kind: ExprKind::Bool(true), ty: crate::expr::Type::Bool, span: crate::Span::default() };
        let mask = bound.strategy.mask.as_ref().map_or(&always, |rule| &rule.value);
        let atoms = Atoms::of(bound.strategy, mask);
        let by_batch = bound.problem.ragged.is_some()
            || mask.any(|e| matches!(e.kind, ExprKind::Input(..) | ExprKind::Global(Global::Batch)));
        let by_head = mask.any(|e| match e.kind {
            ExprKind::Global(Global::Head) => true,
            ExprKind::Table(id) => bound.strategy.tables[id.0].axes.contains(&TableAxis::Head),
            _ => false,
        });
        let heads = if by_head { bound.problem.heads } else { 1 };
        let batch = if by_batch { bound.problem.batch } else { 1 };
        let sheet = |b, h| {
            let scope = Scope { bound, moment: *moment, b, h, place: Place::Nowhere, maps: None };
            Sheet::new(&scope, mask, &atoms)
        };
        Classifier {
            sheets: (0..batch).flat_map(|b| (0..heads).map(move |h| (b, h))).map(|(b, h)| sheet(b, h)).collect(),
            batch_stride: if by_batch { heads } else { 0 },
            head_stride: usize::from(by_head),
        }
    }

    /// As if this token rule were the mask, for one batch item and head: ask it about (0, 0).
    pub(crate) fn of(bound: &Bound, moment: &Moment, b: usize, h: usize, rule: &Expr) -> Classifier {
        let scope = Scope { bound, moment: *moment, b, h, place: Place::Nowhere, maps: None };
        let sheet = Sheet::new(&scope, rule, &Atoms::of(bound.strategy, rule));
        Classifier { sheets: vec![sheet], batch_stride: 0, head_stride: 0 }
    }

    /// Coverage of query block `i` and kv block `j`. A block past the end of its sequence has no pairs: empty.
    ///
    /// # Panics
    /// If an index is outside the problem.
    pub fn classify(&self, b: usize, h: usize, i: usize, j: usize) -> Coverage {
        self.sheets[self.sheet(b, h)].classify(i, j)
    }

    /// Batch items and heads with equal numbers have equal coverage.
    pub(crate) fn sheet(&self, b: usize, h: usize) -> usize {
        b * self.batch_stride + h * self.head_stride
    }
}

impl Sheet {
    fn new(scope: &Scope, mask: &Expr, atoms: &Atoms) -> Sheet {
        let problem = scope.bound.problem;
        let tokens = [problem.q_rows(scope.b).len(), problem.kv_rows(scope.b).len()];
        let reads_grid = mask.any(|e| {
            matches!(
                e.kind,
                ExprKind::Coordinate(
                    _,
                    Coordinate::T | Coordinate::H | Coordinate::W | Coordinate::Tile | Coordinate::Cell
                )
            )
        });
        let side = |side: Side, axis: Axis, tokens: usize| Cutter {
            scope: *scope,
            side,
            tokens,
            cuts: places(scope, atoms.cuts(axis)),
            grid: scope.bound.geometry.grid.filter(|grid| reads_grid && !grid.is_empty()),
            inputs: mask.any(|e| matches!(e.kind, ExprKind::Input(..))),
        };
        let (q, kv) = (side(Side::Q, Axis::Q, tokens[0]), side(Side::Kv, Axis::Kv, tokens[1]));
        Sheet {
            test: Test::new(scope, tokens, atoms, &atoms.formula),
            diff: places(scope, &atoms.diff),
            q: q.blocks(problem.blocks.q as usize, problem.q_blocks()),
            kv: kv.blocks(problem.blocks.kv as usize, problem.kv_blocks()),
        }
    }

    fn classify(&self, i: usize, j: usize) -> Coverage {
        let (q, kv) = (&self.q[i], &self.kv[j]);
        let (Some(whole_q), Some(whole_kv)) = (&q.whole, &kv.whole) else { return Coverage::Empty };
        match self.test.truth(&Cell { q: whole_q, kv: whole_kv, diff: differences(whole_q, whole_kv) }) {
            Some(true) => return Coverage::Full,
            Some(false) => return Coverage::Empty,
            None => {}
        }
        let mut seen = None;
        for q in &q.pieces {
            for kv in &kv.pieces {
                for diff in split(differences(q, kv), &self.diff) {
                    match (self.test.truth(&Cell { q, kv, diff }), seen) {
                        (None, _) => return Coverage::Partial,
                        (Some(now), Some(before)) if now != before => return Coverage::Partial,
                        (now, _) => seen = now,
                    }
                }
            }
        }
        if seen == Some(true) { Coverage::Full } else { Coverage::Empty }
    }
}

impl Test {
    fn new(scope: &Scope, tokens: [usize; 2], atoms: &Atoms, formula: &Formula) -> Test {
        let of = |formula: &Formula| Test::new(scope, tokens, atoms, formula);
        match formula {
            Formula::Uniform(expr) => Test::Known(scope.eval(expr).bool()),
            Formula::NotPositive(sum) => Test::Known(total(scope, sum) <= 0),
            Formula::Reached(axis, index) => Test::Reached(*axis, place(scope, &atoms.cuts(*axis)[*index])),
            Formula::Guarded { comparison, exact } => {
                let uniform = |e: &Expr| [i64::from(scope.eval(e).int()); 2];
                let safe = comparison.children().iter().all(|side| atoms::stays_in_32_bits(side, tokens, &uniform));
                if safe { of(exact) } else { Test::Opaque(Node::new(scope, tokens, comparison)) }
            }
            Formula::Opaque(expr) => Test::Opaque(Node::new(scope, tokens, expr)),
            Formula::Not(inner) => Test::Not(Box::new(of(inner))),
            Formula::And(parts) => Test::And(parts.iter().map(of).collect()),
            Formula::Or(parts) => Test::Or(parts.iter().map(of).collect()),
        }
    }

    /// Kleene's three-valued logic; None: not known.
    fn truth(&self, cell: &Cell) -> Option<bool> {
        match self {
            Test::Known(value) => Some(*value),
            Test::Reached(axis, cut) => {
                let number = match axis {
                    Axis::Q => cell.q.pos,
                    Axis::Kv => cell.kv.pos,
                    Axis::Diff => cell.diff,
                };
                if number.lo >= *cut { Some(true) } else { (number.hi < *cut).then_some(false) }
            }
            Test::Opaque(node) => node.truth(cell),
            Test::Not(inner) => inner.truth(cell).map(|value| !value),
            Test::And(parts) => settle(parts, cell, false),
            Test::Or(parts) => settle(parts, cell, true),
        }
    }
}

/// `settles` if one part has that value; else its opposite if all parts are known.
fn settle(parts: &[Test], cell: &Cell, settles: bool) -> Option<bool> {
    let mut result = Some(!settles);
    for part in parts {
        match part.truth(cell) {
            Some(value) if value == settles => return Some(settles),
            Some(_) => {}
            None => result = None,
        }
    }
    result
}

/// q - kv over two pieces.
fn differences(q: &Piece, kv: &Piece) -> Interval {
    Interval::new(q.pos.lo - kv.pos.hi, q.pos.hi - kv.pos.lo)
}

/// An interval cut at those of `cuts` that lie inside it.
fn split(interval: Interval, cuts: &[i64]) -> impl Iterator<Item = Interval> + '_ {
    let inside =
        &cuts[cuts.partition_point(|&cut| cut <= interval.lo)..cuts.partition_point(|&cut| cut <= interval.hi)];
    (0..=inside.len()).map(move |n| {
        let lo = if n == 0 { interval.lo } else { inside[n - 1] };
        let hi = inside.get(n).map_or(interval.hi, |cut| cut - 1);
        Interval::new(lo, hi)
    })
}

/// Where the cuts lie, ascending, each once.
fn places(scope: &Scope, cuts: &[Cut]) -> Vec<i64> {
    let mut places: Vec<i64> = cuts.iter().map(|cut| place(scope, cut)).collect();
    places.sort_unstable();
    places.dedup();
    places
}

fn place(scope: &Scope, cut: &Cut) -> i64 {
    let range = |id: &crate::strategy::RangeId| scope.bound.geometry.ranges[id.0];
    let at = match &cut.at {
        Threshold::Sum(sum) => total(scope, sum),
        Threshold::RangeStart(id) => range(id).0 as i64,
        Threshold::RangeEnd(id) => (range(id).0 + range(id).1) as i64,
    };
    -(-at).div_euclid(cut.scale) // ceil
}

fn total(scope: &Scope, sum: &Sum) -> i64 {
    let terms = sum.terms.iter().map(|(factor, term)| factor * i64::from(scope.eval(term).int()));
    sum.constant + terms.sum::<i64>()
}
