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
//!    or after the cut and false on one that ends before it; an opaque expression is judged by interval arithmetic. A cell
//!    whose verdict is not known is cut into quarters until it is, at last into single token pairs.
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
//! *Exact for opaque parts too*, as long as the walk over quarters goes on: of a single pair interval arithmetic knows the
//! values. It goes on until both a passing and a failing pair are known, or all of the cell is, where opaque parts change
//! along few lines ([`changes_rarely`]); and stops after [`MOST_PARTS`] parts of a cell where they read inputs or
//! remainders, which may change from each pair to the next. And a rounded function within its last places of a bound is
//! not known even of a pair. What could not be told is [`Classifier::unclassified`].
//!
//! Cells of the grid are boxes, on which coordinates of different axes are independent and interval arithmetic attains its
//! ends for a monotone expression of one: so conjunctions and disjunctions of such comparisons hardly ever need quarters.
//!
//! A call in which a sum of the mask may leave 32 bits is not judged: every block pair of it is partial.
//!
//! Work for a block pair is at most (pieces of q) · (pieces of kv) · (cuts of d + 1) evaluations and those of quarters; a
//! first look at the whole block pair as one cell settles most of them. Values of inputs cost O(N) once.
//!
//! The classification of generated kernels (`codegen`) takes the same steps in the same order, so it gives the same bits.

pub mod atoms;
mod fits;
mod floats;
mod interval;
mod opaque;
mod pieces;
mod quarters;
mod tally;

pub use atoms::{Atoms, Axis, Cut, Formula, Sum, Threshold};
pub use fits::{mask_fits, may_not_fit};
pub use opaque::{Doubt, Unclassified, are_rare, changes_rarely};
pub(crate) use tally::Run;

use crate::bind::{Bound, Moment};
use crate::eval::{Place, Scope};
use crate::expr::{Expr, ExprKind, Global, Side};
use crate::strategy::TableAxis;

use interval::{Cell, Interval, Node};
use pieces::{Block, Piece, Tokens};
use quarters::Part;

/// Parts of a cell that are judged where opaque expressions may change from each token pair to the next.
pub const MOST_PARTS: usize = 256;

/// Whether [`Classifier::unclassified`] may name a part of the strategy's mask, without looking at blocks.
pub fn may_be_unclassified(bound: &Bound, moment: &Moment) -> bool {
    bound.strategy.mask.as_ref().is_some_and(|mask| {
        let formula = Atoms::of(bound.strategy, &mask.value).formula;
        !opaque::doubts(&formula, fits::fits(bound, moment, &formula)).is_empty()
    })
}

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
    /// Opaque parts, for which a sheet's are named.
    doubts: Vec<(Expr, Doubt)>,
}

/// The mask of one batch item and head, with numbers in place of names.
#[derive(Clone, Debug)]
struct Sheet {
    test: Test,
    /// Whether no sum of the mask leaves 32 bits.
    fits: bool,
    /// Parts of a cell that are judged.
    most_parts: usize,
    /// Ascending cuts of q.pos - kv.pos.
    diff: Vec<i64>,
    /// Tokens of q and of kv.
    tokens: [Tokens; 2],
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

/// What is found in parts of a block pair, as bits.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Found(u8);

impl Found {
    const NOTHING: Found = Found(0);
    const PASS: Found = Found(1);
    const FAIL: Found = Found(2);
    const BOTH: Found = Found(3);
    /// Not known; counts as both.
    const DOUBT: Found = Found(7);

    fn of(truth: Option<bool>) -> Found {
        match truth {
            Some(true) => Found::PASS,
            Some(false) => Found::FAIL,
            None => Found::DOUBT,
        }
    }

    fn and(self, other: Found) -> Found {
        Found(self.0 | other.0)
    }

    /// Whether looking on changes nothing.
    fn is_mixed(self) -> bool {
        self.0 & 3 == 3
    }
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
        let fits = fits::fits(bound, moment, &atoms.formula);
        let sheet = |b, h| {
            let scope = Scope { bound, moment: *moment, b, h, place: Place::Nowhere, maps: None };
            Sheet::new(&scope, mask, &atoms, fits)
        };
        Classifier {
            sheets: (0..batch).flat_map(|b| (0..heads).map(move |h| (b, h))).map(|(b, h)| sheet(b, h)).collect(),
            batch_stride: if by_batch { heads } else { 0 },
            head_stride: usize::from(by_head),
            doubts: opaque::doubts(&atoms.formula, fits),
        }
    }

    /// As if this token rule were the mask, for one batch item and head: ask it about (0, 0).
    pub(crate) fn of(bound: &Bound, moment: &Moment, b: usize, h: usize, rule: &Expr) -> Classifier {
        let scope = Scope { bound, moment: *moment, b, h, place: Place::Nowhere, maps: None };
        let atoms = Atoms::of(bound.strategy, rule);
        let fits = fits::fits(bound, moment, &atoms.formula);
        let sheet = Sheet::new(&scope, rule, &atoms, fits);
        Classifier { sheets: vec![sheet], batch_stride: 0, head_stride: 0, doubts: Vec::new() }
    }

    /// Coverage of query block `i` and kv block `j`. A block past the end of its sequence has no pairs: empty.
    ///
    /// # Panics
    /// If an index is outside the problem.
    pub fn classify(&self, b: usize, h: usize, i: usize, j: usize) -> Coverage {
        match self.sheets[self.sheet(b, h)].find(i, j) {
            Found::PASS => Coverage::Full,
            Found::FAIL | Found::NOTHING => Coverage::Empty,
            _ => Coverage::Partial,
        }
    }

    /// Parts of the mask that could not be decided, each with why, and the share of block pairs that were called partial for
    /// it: of those of at most `rows` query blocks, spread over the sequence, of each distinct batch item and head. Empty
    /// where every verdict is exact.
    pub fn unclassified(&self, rows: usize) -> Vec<Unclassified> {
        let (mut in_doubt, mut all) = (0_usize, 0_usize);
        for sheet in &self.sheets {
            let step = sheet.q.len().div_ceil(rows.max(1)).max(1);
            for i in (0..sheet.q.len()).step_by(step) {
                all += sheet.kv.len();
                in_doubt += (0..sheet.kv.len()).filter(|&j| sheet.find(i, j) == Found::DOUBT).count();
            }
        }
        if in_doubt == 0 {
            return Vec::new();
        }
        let share = in_doubt as f64 / all.max(1) as f64;
        self.doubts.iter().map(|(expr, doubt)| Unclassified { expr: expr.clone(), doubt: *doubt, share }).collect()
    }

    /// Batch items and heads with equal numbers have equal coverage.
    pub(crate) fn sheet(&self, b: usize, h: usize) -> usize {
        b * self.batch_stride + h * self.head_stride
    }
}

impl Sheet {
    fn new(scope: &Scope, mask: &Expr, atoms: &Atoms, fits: bool) -> Sheet {
        let problem = scope.bound.problem;
        let tokens = [problem.q_rows(scope.b).len(), problem.kv_rows(scope.b).len()];
        let side = |side: Side| Tokens::new(scope, side, mask);
        let (q, kv) = (side(Side::Q), side(Side::Kv));
        let cuts = |axis: Axis| places(scope, atoms.cuts(axis));
        Sheet {
            test: if fits { Test::new(scope, atoms, &atoms.formula) } else { Test::Opaque(Node::Unknown) },
            fits,
            most_parts: if opaque::are_rare(&atoms.formula) { usize::MAX } else { MOST_PARTS },
            diff: cuts(Axis::Diff),
            q: q.blocks(problem.blocks.q as usize, problem.q_blocks(), tokens[0], &cuts(Axis::Q)),
            kv: kv.blocks(problem.blocks.kv as usize, problem.kv_blocks(), tokens[1], &cuts(Axis::Kv)),
            tokens: [q, kv],
        }
    }

    fn find(&self, i: usize, j: usize) -> Found {
        let (q, kv) = (&self.q[i], &self.kv[j]);
        let (Some(whole_q), Some(whole_kv)) = (&q.whole, &kv.whole) else { return Found::NOTHING };
        if !self.fits {
            return Found::DOUBT;
        }
        if let Some(truth) = self.test.truth(&Cell::new(whole_q, whole_kv, differences(whole_q, whole_kv))) {
            return Found::of(Some(truth));
        }
        let mut found = Found::NOTHING;
        for q in &q.pieces {
            for kv in &kv.pieces {
                for diff in split(differences(q, kv), &self.diff) {
                    found = found.and(self.search(q, kv, diff));
                    if found.is_mixed() {
                        return found;
                    }
                }
            }
        }
        found
    }

    /// What is in a cell: its verdict, or those of its quarters.
    fn search(&self, q: &Piece, kv: &Piece, diff: Interval) -> Found {
        if let Some(truth) = self.test.truth(&Cell::new(q, kv, diff)) {
            return Found::of(Some(truth));
        }
        let mut found = Found::NOTHING;
        let mut part = Part::whole((q.pos.hi - q.pos.lo + 1) as usize, (kv.pos.hi - kv.pos.lo + 1) as usize);
        let mut judged = 1;
        if !part.enter() {
            return Found::DOUBT;
        }
        loop {
            let [size_q, size_kv] = part.size();
            let run = |piece: &Piece, offset: usize, size: usize| {
                let first = piece.pos.lo + offset as i64;
                Interval::new(first, piece.pos.hi.min(first + size as i64 - 1))
            };
            let (run_q, run_kv) = (run(q, part.q, size_q), run(kv, part.kv, size_kv));
            let diff = Interval::new(run_q.lo - run_kv.hi, run_q.hi - run_kv.lo).meet(diff);
            let mut here = Found::NOTHING;
            if run_q.lo <= run_q.hi && run_kv.lo <= run_kv.hi && diff.lo <= diff.hi {
                let piece =
                    |side: Side, run: Interval| self.tokens[side as usize].piece(run.lo as usize, run.hi as usize);
                let (q, kv) = (piece(Side::Q, run_q), piece(Side::Kv, run_kv));
                here = Found::of(self.test.truth(&Cell::new(&q, &kv, diff)));
                judged += 1;
            }
            if here == Found::DOUBT && judged < self.most_parts && part.enter() {
                continue;
            }
            found = found.and(here);
            if found.is_mixed() || !part.next() {
                return found;
            }
        }
    }
}

impl Test {
    fn new(scope: &Scope, atoms: &Atoms, formula: &Formula) -> Test {
        let of = |formula: &Formula| Test::new(scope, atoms, formula);
        match formula {
            Formula::Uniform(expr) => Test::Known(scope.eval(expr).bool()),
            Formula::NotPositive(sum) => Test::Known(total(scope, sum) <= 0),
            Formula::Reached(axis, index) => Test::Reached(*axis, place(scope, &atoms.cuts(*axis)[*index])),
            Formula::Guarded { exact, .. } => of(exact),
            Formula::Opaque(expr) => Test::Opaque(Node::new(scope, expr)),
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
