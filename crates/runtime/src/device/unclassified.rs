//! Says when a mask cannot be classified: its results are right, but hardly a block pair of it is skipped.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{LazyLock, Mutex, PoisonError};

use sparsym_ir::classify::{Classifier, may_be_unclassified};
use sparsym_ir::{Bound, Moment};

/// Query blocks that are looked at, spread over the sequence.
const ROWS: usize = 16;
/// Below this share of block pairs in doubt there is little to gain.
const LEAST_SHARE: f64 = 0.1;

/// Warns of each part of the mask that leaves many block pairs in doubt, once for a mask and a shape.
pub(crate) fn warn_once(bound: &Bound<'_>, moment: &Moment) {
    static SAID: LazyLock<Mutex<HashSet<u64>>> = LazyLock::new(Mutex::default);
    let Some(mask) = &bound.strategy.mask else { return };
    if !may_be_unclassified(bound, moment) {
        return;
    }
    let mut key = DefaultHasher::new();
    let problem = bound.problem;
    (&bound.strategy.name, mask.value.span.start, problem.n_q, problem.n_kv, problem.blocks.q, problem.blocks.kv)
        .hash(&mut key);
    if !SAID.lock().unwrap_or_else(PoisonError::into_inner).insert(key.finish()) {
        return;
    }
    for found in Classifier::new(bound, moment).unclassified(ROWS) {
        if found.share >= LEAST_SHARE {
            let at = found.expr.span.start;
            tracing::warn!(
                strategy = bound.strategy.name,
                place = format!("{}:{}", at.line, at.column + 1),
                in_doubt = format!("{:.0} % of block pairs", 100.0 * found.share),
                help = found.doubt.help(),
                "a mask cannot be classified, so its block pairs are tested token by token: {}",
                found.doubt.reason(),
            );
        }
    }
}
