//! What a whole run computes, as shares of what dense attention and its projections would.

use serde::Serialize;
use sparsym::engine::StepKind;
use sparsym::ir::analysis::Prepared;
use sparsym::ir::{Bound, Moment, Symbols};

use super::timeline::Step;

/// Token pairs of partial blocks that are looked at; beyond it takes seconds, and a part of them speaks for all.
const MOST_PAIRS: usize = 1 << 24;

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
    /// Query blocks computed over all steps, as a share of all query blocks of all steps.
    pub(super) rows: f64,
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

/// Adds up the steps of a run.
pub(super) fn predict(steps: &[Step]) -> Prediction {
    let count = |kind: StepKind| steps.iter().filter(|step| step.kind == kind).count() as u32;
    let mean = |of: fn(&Step) -> f64| steps.iter().map(of).sum::<f64>() / steps.len().max(1) as f64;
    let (work, rows) = (mean(|step| step.pairs), mean(|step| step.rows));
    let speedup = |share: f64| 1.0 / share.max(f64::MIN_POSITIVE);
    Prediction {
        steps: steps.len() as u32,
        updates: count(StepKind::Update),
        dense: count(StepKind::Dense),
        work,
        rows,
        rooms: Rooms { attention: speedup(work), gemm_q: speedup(rows), gemm_o: speedup(rows) },
    }
}

/// Token pairs in computed blocks that the mask drops.
#[derive(Clone, Copy, Debug)]
pub(super) struct Waste {
    /// As a share of the token pairs in computed blocks.
    pub(super) share: f64,
    /// One of so many partial blocks was looked at; 1: all, so the share is exact.
    pub(super) one_of: usize,
}

/// What the mask drops of the blocks that are computed.
pub(super) fn waste(bound: &Bound<'_>, moment: &Moment, symbols: &Symbols) -> Waste {
    let (Some(mask), Some(full)) = (&bound.strategy.mask, &symbols.full) else {
        return Waste { share: 0.0, one_of: 1 };
    };
    let problem = bound.problem;
    let (block_q, block_kv) = (problem.blocks.q as usize, problem.blocks.kv as usize);
    let rows = |i: usize| i * block_q..((i + 1) * block_q).min(problem.n_q);
    let columns = |j: usize| j * block_kv..((j + 1) * block_kv).min(problem.n_kv);
    let (mut computed, mut partial, mut partial_pairs) = (0_usize, Vec::new(), 0_usize);
    for (b, h) in (0..problem.batch).flat_map(|b| (0..problem.heads).map(move |h| (b, h))) {
        for i in (0..problem.q_blocks()).filter(|&i| symbols.cache.get(b, h, i)) {
            for j in symbols.skip.computed(b, h, i) {
                let pairs = rows(i).len() * columns(j).len();
                computed += pairs;
                if !full.get(b, h, i, j) {
                    partial.push([b as u32, h as u32, i as u32, j as u32]);
                    partial_pairs += pairs;
                }
            }
        }
    }
    let one_of = partial_pairs.div_ceil(MOST_PAIRS).max(1);
    let (mut looked_at, mut dropped) = (0_usize, 0_usize);
    let mut prepared: Option<([u32; 2], Prepared<'_>)> = None;
    let mut row = Vec::new();
    // The middle one of each run, so that neither the first nor the last column of a mask stands for the others.
    for &[b, h, i, j] in partial.iter().skip(one_of / 2).step_by(one_of) {
        if prepared.as_ref().is_none_or(|(of, _)| *of != [b, h]) {
            prepared = Some(([b, h], Prepared::new(bound, *moment, b as usize, h as usize, &mask.value)));
        }
        let Some((_, prepared)) = &prepared else { continue };
        let columns = columns(j as usize);
        row.resize(columns.len(), false);
        for q in rows(i as usize) {
            prepared.mask_row(q, columns.start, &mut row);
            dropped += row.iter().filter(|&&pass| !pass).count();
            looked_at += row.len();
        }
    }
    let share_of_partial = dropped as f64 / looked_at.max(1) as f64;
    Waste { share: share_of_partial * partial_pairs as f64 / computed.max(1) as f64, one_of }
}
