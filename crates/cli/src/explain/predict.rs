//! What a whole run computes, as shares of what dense attention and its projections would.

use serde::Serialize;
use sparsym::ir::eval::Prepared;
use sparsym::ir::expr::{Expr, ExprKind, Global};
use sparsym::ir::strategy::{Strategy, TableAxis};
use sparsym::ir::symbols::CacheSymbol;
use sparsym::ir::{Bound, Moment, Symbols, SymbolsCall, Tensor};
use sparsym::runtime::StepKind;
use sparsym::runtime::device::{Cpu, Device};

use crate::failure::Outcome;

/// Token pairs of partial blocks that are looked at; beyond it takes seconds.
const MOST_PAIRS: usize = 1 << 28;

/// Work of a run. Time follows it as far as a kernel is bound by arithmetic.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Prediction {
    /// Steps of the run.
    pub(super) steps: u32,
    /// Steps that refresh symbols and caches.
    pub(super) updates: u32,
    /// Steps that `dense when` asks for.
    pub(super) dense: u32,
    /// Block pairs computed over all steps, as a share of all pairs of all steps.
    pub(super) work: f64,
    /// Speed-up of each room over all steps.
    pub(super) rooms: Rooms,
}

/// Work of a dense run divided by that of the strategy's.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(super) struct Rooms {
    /// Products of block pairs.
    pub(super) attention: f64,
    /// Projection of queries: output tiles of cached blocks are not computed.
    pub(super) gemm_q: f64,
    /// Output projection: heads that are cached for a block are not summed.
    pub(super) gemm_o: f64,
}

/// Follows the schedule from step 0.
pub(super) fn predict(bound: &Bound<'_>, at: &Moment, data: Option<(&Tensor, &Tensor)>) -> Outcome<Prediction> {
    let mask_only = Strategy { rules: Vec::new(), ..bound.strategy.clone() };
    let mask_only = Bound::new(&mask_only, bound.problem, bound.bindings)?;
    let varies = varies(bound.strategy);
    // Rules over data speak at Updates, and hold until the next one.
    let at_updates = bound.strategy.reads_data();
    let mut kept: Option<Work> = None;
    let mut dense_work: Option<f64> = None;
    let mut last_update = None;
    let mut degraded = false;
    let (mut updates, mut dense, mut work, mut rows) = (0, 0, 0.0, 0.0);
    for step in 0..at.steps {
        let since_update = last_update.map(|update| step - update);
        let kind = bound.schedule(step, at.steps, since_update, at.layer);
        let moment = Moment { step, steps: at.steps, since_update: since_update.unwrap_or(0), layer: at.layer };
        let now = if kind == StepKind::Dense {
            dense += 1;
            let call = SymbolsCall::without_data(&mask_only, moment);
            let density = match dense_work {
                Some(density) => density,
                None => *dense_work.insert(Cpu.symbols(&call)?.density()),
            };
            [density, 1.0]
        } else {
            let stale = varies && (!at_updates || kind == StepKind::Update);
            let known = match kept.filter(|_| !stale) {
                Some(work) => work,
                None => *kept.insert(Work::of(Cpu.symbols(&SymbolsCall { bound, moment, data })?)),
            };
            match kind {
                StepKind::Update => {
                    degraded |= bound.degrades(&moment, known.rows, known.pairs);
                    [known.update, 1.0]
                }
                _ if degraded => [0.0, 0.0],
                _ => [known.dispatch, known.rows],
            }
        };
        if kind == StepKind::Update {
            updates += 1;
            last_update = Some(step);
        }
        work += now[0] / f64::from(at.steps);
        rows += now[1] / f64::from(at.steps);
    }
    let speedup = |share: f64| 1.0 / share.max(f64::MIN_POSITIVE);
    let rooms = Rooms { attention: speedup(work), gemm_q: speedup(rows), gemm_o: speedup(rows) };
    Ok(Prediction { steps: at.steps, updates, dense, work, rooms })
}

/// Shares of what a dense step computes.
#[derive(Clone, Copy)]
struct Work {
    /// Block pairs of an Update step, which computes every row.
    update: f64,
    /// Block pairs of a Dispatch step.
    dispatch: f64,
    /// Query blocks of a Dispatch step: the density of S_c.
    rows: f64,
    /// The density of S_s.
    pairs: f64,
}

impl Work {
    fn of(mut symbols: Symbols) -> Work {
        let (dispatch, rows, pairs) = (symbols.density(), symbols.cache.density(), symbols.skip.density());
        let (batch, heads, blocks) = (symbols.cache.batch(), symbols.cache.heads(), symbols.cache.q_blocks());
        symbols.cache = CacheSymbol::ones(batch, heads, blocks);
        Work { update: symbols.density(), dispatch, rows, pairs }
    }
}

/// Share of the token pairs in computed blocks that the mask drops; None if there are too many to look at.
pub(super) fn waste(bound: &Bound<'_>, moment: &Moment, symbols: &Symbols) -> Option<f64> {
    let (Some(mask), Some(full)) = (&bound.strategy.mask, &symbols.full) else { return Some(0.0) };
    let problem = bound.problem;
    let (block_q, block_kv) = (problem.blocks.q as usize, problem.blocks.kv as usize);
    let (mut computed, mut dropped, mut looked_at) = (0_usize, 0_usize, 0_usize);
    for (b, h) in (0..problem.batch).flat_map(|b| (0..problem.heads).map(move |h| (b, h))) {
        let prepared = Prepared::new(bound, *moment, b, h, &mask.value);
        for i in (0..problem.q_blocks()).filter(|&i| symbols.cache.get(b, h, i)) {
            let rows = i * block_q..((i + 1) * block_q).min(problem.n_q);
            for j in symbols.skip.computed(b, h, i) {
                let columns = j * block_kv..((j + 1) * block_kv).min(problem.n_kv);
                let pairs = rows.len() * columns.len();
                computed += pairs;
                if full.get(b, h, i, j) {
                    continue;
                }
                looked_at += pairs;
                if looked_at > MOST_PAIRS {
                    return None;
                }
                let mut row = vec![false; columns.len()];
                for q in rows.clone() {
                    prepared.mask_row(q, columns.start, &mut row);
                    dropped += row.iter().filter(|&&pass| !pass).count();
                }
            }
        }
    }
    Some(dropped as f64 / computed.max(1) as f64)
}

/// Whether symbols may differ from step to step.
pub(super) fn varies(strategy: &Strategy) -> bool {
    let reads_step = |expr: &Expr| {
        expr.any(|e| match e.kind {
            ExprKind::Global(global) => matches!(global, Global::Step | Global::SinceUpdate),
            ExprKind::Table(table) => strategy.tables[table.0].axes.contains(&TableAxis::Step),
            _ => false,
        })
    };
    let maps = strategy.maps.iter().map(|map| &map.value);
    strategy.mask.iter().map(|mask| &mask.value).chain(strategy.conditions()).chain(maps).any(reads_step)
}
