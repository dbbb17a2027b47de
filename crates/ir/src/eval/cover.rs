//! A token rule judged for whole block pairs.

use std::collections::BTreeMap;

use crate::bind::Bound;
use crate::classify::{Classifier, Coverage, Run};
use crate::expr::{Cover, CoverRule, Side};

use super::{Place, Scope};

/// A [`Cover`] of one batch item and head, ready to be asked about block pairs. Token pairs are counted over the cells of
/// classification; only those that no interval decides are looked into.
pub(crate) struct Covers<'a, 'e> {
    cover: &'e Cover,
    scope: Scope<'a>,
    classifier: Classifier,
    /// Of each block, the tokens that are judged together: all of them, or those of each frame.
    q: Vec<Vec<Part>>,
    kv: Vec<Vec<Part>>,
    /// Density and share of a fraction.
    least: f32,
    share: f32,
}

/// Tokens that are judged together: those of a frame lie apart in a grid of tiles.
type Part = Vec<Run>;

impl<'a, 'e> Covers<'a, 'e> {
    /// Folds the token rule.
    pub(crate) fn new(scope: &Scope<'a>, cover: &'e Cover) -> Covers<'a, 'e> {
        let Scope { bound, moment, b, h, .. } = *scope;
        let (least, share) = match &cover.rule {
            CoverRule::Fraction { least, share } => (scope.eval(least).float(), scope.eval(share).float()),
            CoverRule::Any | CoverRule::All => (0.0, 0.0),
        };
        let rows = [bound.problem.q_rows(b).len(), bound.problem.kv_rows(b).len()];
        let parts = |side: Side, size: u32, blocks: usize| -> Vec<Vec<Part>> {
            let run = |block: usize| (block * size as usize, ((block + 1) * size as usize).min(rows[side as usize]));
            (0..blocks).map(|block| parts(bound, run(block), cover.per_frame)).collect()
        };
        Covers {
            cover,
            q: parts(Side::Q, bound.problem.blocks.q, bound.problem.q_blocks()),
            kv: parts(Side::Kv, bound.problem.blocks.kv, bound.problem.kv_blocks()),
            scope: Scope { place: Place::Tokens { q: 0, kv: 0, logit: f32::NAN }, ..*scope },
            classifier: Classifier::of(bound, &moment, b, h, &cover.mask),
            least,
            share,
        }
    }

    /// Whether the block pair is taken; without a token pair it is not.
    pub(crate) fn holds(&self, i: usize, j: usize) -> bool {
        let by_parts = || self.q[i].iter().any(|q| self.kv[j].iter().any(|kv| self.part(q, kv)));
        match &self.cover.rule {
            CoverRule::Fraction { .. } => !self.classifier.is_plainly_empty(i, j) && by_parts(),
            rule => match (self.classifier.certain(i, j), rule) {
                (Some(Coverage::Empty), _) => false,
                (Some(Coverage::Full), _) | (Some(Coverage::Partial), CoverRule::Any) => true,
                _ => by_parts(),
            },
        }
    }

    /// The rule over the token pairs of two parts.
    fn part(&self, q: &Part, kv: &Part) -> bool {
        let tokens = |part: &Part| part.iter().map(|run| run.1 + 1 - run.0).sum::<usize>();
        let mut counts = vec![0_usize; tokens(kv)];
        let passes = |q, kv| self.scope.at(q, kv, f32::NAN).eval(&self.cover.mask).bool();
        let mut rest = counts.as_mut_slice();
        for &kv in kv {
            let (here, after) = rest.split_at_mut(kv.1 + 1 - kv.0);
            q.iter().for_each(|&q| self.classifier.count(q, kv, &passes, here));
            rest = after;
        }
        match self.cover.rule {
            CoverRule::Any => counts.iter().any(|&n| n > 0),
            CoverRule::All => counts.iter().all(|&n| n == tokens(q)),
            CoverRule::Fraction { .. } => {
                let size = self.scope.bound.problem.blocks.q as f32;
                let seen = counts.iter().filter(|&&n| n > 0).count();
                let dense = counts.iter().filter(|&&n| n as f32 / size > self.least).count();
                seen > 0 && dense as f32 / seen as f32 > self.share
            }
        }
    }
}

/// The tokens from the first up to, but without, the second that are judged together. Those outside the grid are a frame.
fn parts(bound: &Bound, (first, end): (usize, usize), per_frame: bool) -> Vec<Part> {
    let frame = |token: usize| {
        let grid = bound.geometry.grid.filter(|_| per_frame);
        grid.and_then(|grid| grid.coordinates(token)).map(|(at, _)| at[0])
    };
    let mut parts: BTreeMap<Option<usize>, Part> = BTreeMap::new();
    for token in first..end {
        let part = parts.entry(frame(token)).or_default();
        match part.last_mut() {
            Some(run) if run.1 + 1 == token => run.1 = token,
            _ => part.push((token, token)),
        }
    }
    parts.into_values().collect()
}
