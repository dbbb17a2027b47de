//! Symbols of rules that read no tensor data.

use std::collections::HashMap;
use std::ops::Range;

use crate::bind::{Bound, Moment};
use crate::classify::{Classifier, Coverage};
use crate::data::{MapValues, with_orders};
use crate::eval::{Place, Prepared, Scope};
use crate::expr::{Coordinate, Expr, ExprKind, Global};
use crate::strategy::{BlockRule, RangeId, TableAxis, When};
use crate::symbols::{BitRows, CacheSymbol, SkipSymbol, Symbols};

/// What the rules of a strategy say at one moment.
///
/// Block rules apply top to bottom and a later match overrides an earlier one; `otherwise` writes the blocks that no other
/// rule of the symbol matched. The mask comes last: a pair that it empties is 0 in S_s, and S_f marks the pairs that pass
/// it wholly.
///
/// This is the pure result of the rules, also at an Update step, where S_c says what the following Dispatch steps reuse:
/// that an Update computes every block is for the caller to see to. Rules that read tensor data are for
/// [`data_symbols`](crate::data::data_symbols).
///
/// Heads (and batch items) whose rules read the same numbers share the work.
pub fn static_symbols(bound: &Bound, moment: &Moment) -> Symbols {
    symbols_with(bound, moment, None)
}

/// The symbols of rules that read these maps.
pub(crate) fn symbols_with(bound: &Bound, moment: &Moment, maps: Option<&MapValues<'_>>) -> Symbols {
    let problem = bound.problem;
    let (batch, heads) = (problem.batch, problem.heads);
    let (t_q, t_kv) = (problem.q_blocks(), problem.kv_blocks());
    let classifier = bound.strategy.mask.as_ref().map(|_| Classifier::new(bound, moment));
    let words = t_q * t_kv.div_ceil(64);
    let mut cache = CacheSymbol::ones(batch, heads, t_q);
    let mut skip = Vec::with_capacity(batch * heads * words);
    let mut full = Vec::with_capacity(if classifier.is_some() { batch * heads * words } else { 0 });
    let (reads, mut known) = (Reads::of(bound), HashMap::<Key, (usize, usize)>::new());
    for b in 0..batch {
        for h in 0..heads {
            let key = reads.key(bound, moment, b, h, classifier.as_ref());
            if let (Some(&(known_b, known_h)), None) = (known.get(&key), maps) {
                let from = (known_b * heads + known_h) * words;
                skip.extend_from_within(from..from + words);
                if classifier.is_some() {
                    full.extend_from_within(from..from + words);
                }
                for i in 0..t_q {
                    let compute = cache.get(known_b, known_h, i);
                    cache.set(b, h, i, compute);
                }
                continue;
            }
            known.insert(key, (b, h));
            let scope = Scope { bound, moment: *moment, b, h, place: Place::Blocks { q: 0, kv: 0 }, maps };
            for (i, compute) in cache_column(&scope).into_iter().enumerate() {
                cache.set(b, h, i, compute);
            }
            for (i, mut row) in skip_rows(&scope).into_iter().enumerate() {
                if let Some(classifier) = &classifier {
                    let coverage: Vec<Coverage> = (0..t_kv).map(|j| classifier.classify(b, h, i, j)).collect();
                    row.iter_mut().zip(&coverage).for_each(|(bit, c)| *bit &= *c != Coverage::Empty);
                    pack(&mut full, coverage.iter().map(|c| *c == Coverage::Full));
                }
                pack(&mut skip, row.into_iter());
            }
        }
    }
    let symbol =
        |words| SkipSymbol::from_rows(batch, heads, t_q, BitRows::from_words(batch * heads * t_q, t_kv, words));
    Symbols { cache, skip: symbol(skip), full: classifier.map(|_| symbol(full)) }
}

/// Everything about a batch item and head that its symbols depend on.
#[derive(PartialEq, Eq, Hash)]
struct Key {
    sheet: Option<usize>,
    batch: Option<usize>,
    head: Option<usize>,
    /// The first batch item of which rules see the same tokens.
    tokens: Option<usize>,
    /// Bits of the entries of every table that a rule reads.
    tables: Vec<u32>,
}

/// What the conditions of block rules read that may differ between batch items and heads.
struct Reads {
    batch: bool,
    head: bool,
    tables: Vec<usize>,
    /// For each batch item the first one with the same tokens; None: no rule looks at tokens that may differ.
    alike: Option<Vec<usize>>,
}

impl Reads {
    fn of(bound: &Bound) -> Reads {
        let strategy = bound.strategy;
        let conditions: Vec<&Expr> = strategy.rules.iter().filter_map(condition).collect();
        let any =
            |test: &dyn Fn(&ExprKind) -> bool| conditions.iter().any(|condition| condition.any(|e| test(&e.kind)));
        let table = |id: &usize| any(&|kind| matches!(kind, ExprKind::Table(table) if table.0 == *id));
        let input = |id: &usize| any(&|kind| matches!(kind, ExprKind::Input(input, _) if input.0 == *id));
        let inputs: Vec<usize> = (0..strategy.inputs.len()).filter(input).collect();
        // Which tokens a block has depends on the item of a ragged batch; numbers of blocks do not.
        let of_tokens = |kind: &ExprKind| match kind {
            ExprKind::Coordinate(_, coordinate) => *coordinate != Coordinate::Block,
            kind => matches!(kind, ExprKind::Cover(_) | ExprKind::InRange(..)),
        };
        let lengths = bound.problem.ragged.is_some() && any(&of_tokens);
        Reads {
            batch: any(&|kind| *kind == ExprKind::Global(Global::Batch)),
            head: any(&|kind| *kind == ExprKind::Global(Global::Head)),
            tables: (0..strategy.tables.len()).filter(table).collect(),
            alike: (lengths || !inputs.is_empty()).then(|| alike(bound, &inputs)),
        }
    }

    fn key(&self, bound: &Bound, moment: &Moment, b: usize, h: usize, classifier: Option<&Classifier>) -> Key {
        let mut tables = Vec::new();
        for &id in &self.tables {
            let data = &bound.bindings.tables[id];
            let axes = bound.strategy.tables[id].axes.iter();
            let indices: Vec<usize> = axes
                .map(|axis| match axis {
                    TableAxis::Step => moment.step as usize,
                    TableAxis::Layer => moment.layer as usize,
                    TableAxis::Head => h,
                })
                .collect();
            let numbers = data.values.len() / data.shape.iter().product::<usize>().max(1);
            let entry = data.entry(&indices) * numbers;
            tables.extend(data.values[entry..entry + numbers].iter().map(|v| v.to_bits()));
        }
        Key {
            sheet: classifier.map(|classifier| classifier.sheet(b, h)),
            batch: self.batch.then_some(b),
            head: self.head.then_some(h),
            tokens: self.alike.as_ref().map(|alike| alike[b]),
            tables,
        }
    }
}

/// For each batch item the first one of the same lengths and the same values of these inputs, bit for bit.
fn alike(bound: &Bound, inputs: &[usize]) -> Vec<usize> {
    let same = |a: usize, b: usize| {
        let rows = |b: usize| [bound.problem.q_rows(b), bound.problem.kv_rows(b)];
        rows(a).into_iter().zip(rows(b)).all(|(a, b)| {
            let bits = |id: usize, rows: Range<usize>| {
                let values = bound.bindings.inputs[id].values.get(rows).unwrap_or(&[]);
                values.iter().map(|value| value.to_bits())
            };
            a.len() == b.len() && inputs.iter().all(|&id| bits(id, a.clone()).eq(bits(id, b.clone())))
        })
    };
    let mut first: Vec<usize> = Vec::new();
    for b in 0..bound.problem.batch {
        let known = (0..b).find(|&a| first[a] == a && same(a, b));
        first.push(known.unwrap_or(b));
    }
    first
}

fn condition(rule: &BlockRule) -> Option<&Expr> {
    match &rule.when {
        When::Match { condition, .. } => condition.as_ref(),
        When::Otherwise => None,
    }
}

/// S_c of one head: a bit for each query block.
fn cache_column(scope: &Scope) -> Vec<bool> {
    let rules = scope.bound.strategy.rules.iter().filter(|rule| !rule.action.writes_skip_symbol());
    decide(scope, rules, 1).into_iter().map(|row| row[0]).collect()
}

/// S_s of one head before the mask: for each query block a bit for each kv block.
fn skip_rows(scope: &Scope) -> Vec<Vec<bool>> {
    let rules = scope.bound.strategy.rules.iter().filter(|rule| rule.action.writes_skip_symbol());
    decide(scope, rules, scope.bound.problem.kv_blocks())
}

/// Rules of one symbol over rows of this many columns.
fn decide<'r>(scope: &Scope, rules: impl Iterator<Item = &'r BlockRule> + Clone, columns: usize) -> Vec<Vec<bool>> {
    let (bound, t_q) = (scope.bound, scope.bound.problem.q_blocks());
    let blocks = bound.problem.blocks;
    let q_ranges = block_ranges(bound, blocks.q as usize, bound.problem.n_q, t_q);
    let kv_ranges = block_ranges(bound, blocks.kv as usize, bound.problem.n_kv, bound.problem.kv_blocks());
    let inside = |range: Option<RangeId>, of: Option<RangeId>| range.is_none() || range == of;
    let otherwise = rules.clone().filter(|rule| rule.when == When::Otherwise).last();
    let mut rows = vec![vec![otherwise.is_none_or(|rule| rule.action.bit()); columns]; t_q];
    for rule in rules {
        let When::Match { q, kv, condition } = &rule.when else { continue };
        let condition = condition.as_ref().map(|condition| with_orders(scope, rule, condition));
        let here = condition.as_ref().map(|(_, maps)| Scope { maps: Some(maps), ..*scope });
        let prepared =
            condition.iter().zip(&here).map(|((condition, _), here)| Prepared::of_blocks(here, condition)).next();
        let mut matches = vec![true; columns];
        for (i, row) in rows.iter_mut().enumerate().filter(|(i, _)| inside(*q, q_ranges[*i])) {
            if let Some(prepared) = &prepared {
                prepared.mask_row(i, 0, &mut matches);
            }
            for j in (0..columns).filter(|&j| matches[j] && (kv.is_none() || inside(*kv, kv_ranges[j]))) {
                row[j] = rule.action.bit();
            }
        }
    }
    rows
}

fn block_ranges(bound: &Bound, size: usize, tokens: usize, blocks: usize) -> Vec<Option<RangeId>> {
    (0..blocks).map(|block| bound.block_range(block * size, ((block + 1) * size).min(tokens) - 1)).collect()
}

fn pack(words: &mut Vec<u64>, bits: impl ExactSizeIterator<Item = bool>) {
    let start = words.len();
    words.resize(start + bits.len().div_ceil(64), 0);
    for (n, bit) in bits.enumerate() {
        words[start + n / 64] |= u64::from(bit) << (n % 64);
    }
}
