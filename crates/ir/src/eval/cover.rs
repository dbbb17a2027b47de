//! A token rule judged for whole block pairs.

use crate::bind::Bound;
use crate::classify::{Classifier, Coverage};
use crate::expr::{Cover, CoverRule, Side};

use super::{Place, Prepared, Scope};

/// A [`Cover`] of one batch item and head, ready to be asked about block pairs. Pairs that interval reasoning settles are
/// not looked into.
pub(crate) struct Covers<'a, 'e> {
    cover: &'e Cover,
    scope: Scope<'a>,
    classifier: Classifier,
    mask: Prepared<'a>,
    /// Density and share of a fraction.
    least: f32,
    share: f32,
}

impl<'a, 'e> Covers<'a, 'e> {
    /// Folds the token rule.
    pub(crate) fn new(scope: &Scope<'a>, cover: &'e Cover) -> Covers<'a, 'e> {
        let Scope { bound, moment, b, h, .. } = *scope;
        let (least, share) = match &cover.rule {
            CoverRule::Fraction { least, share } => (scope.eval(least).float(), scope.eval(share).float()),
            CoverRule::Any | CoverRule::All => (0.0, 0.0),
        };
        let mask = Prepared::new(bound, moment, b, h, &cover.mask);
        let classifier = Classifier::of(bound, &moment, b, h, &cover.mask);
        let scope = Scope { place: Place::Nowhere, ..*scope };
        Covers { cover, scope, classifier, mask, least, share }
    }

    /// Whether the block pair is taken.
    pub(crate) fn holds(&self, i: usize, j: usize) -> bool {
        let bound = self.scope.bound;
        let (q, kv) = (self.scope.block_tokens(Side::Q, i), self.scope.block_tokens(Side::Kv, j));
        let parts = |(first, last)| if self.cover.per_frame { frames(bound, first, last) } else { vec![(first, last)] };
        match (self.classifier.classify(0, 0, i, j), &self.cover.rule) {
            (Coverage::Empty, _) => return false,
            (Coverage::Full, CoverRule::Any | CoverRule::All) => return true,
            _ => {}
        }
        parts(q).iter().any(|&q| parts(kv).iter().any(|&kv| self.part(q, kv)))
    }

    /// The rule over the token pairs of two stretches of tokens.
    fn part(&self, q: (usize, usize), kv: (usize, usize)) -> bool {
        let n = kv.1 + 1 - kv.0;
        let mut row = vec![false; n];
        let mut pairs = vec![0_usize; n];
        for token in q.0..=q.1 {
            self.mask.mask_row(token, kv.0, &mut row);
            pairs.iter_mut().zip(&row).for_each(|(pairs, &pass)| *pairs += usize::from(pass));
        }
        match self.cover.rule {
            CoverRule::Any => pairs.iter().any(|&n| n > 0),
            CoverRule::All => pairs.iter().all(|&n| n == q.1 + 1 - q.0),
            CoverRule::Fraction { .. } => {
                let size = self.scope.bound.problem.blocks.q as f32;
                let seen = pairs.iter().filter(|&&n| n > 0).count();
                let dense = pairs.iter().filter(|&&n| n as f32 / size > self.least).count();
                seen > 0 && dense as f32 / seen as f32 > self.share
            }
        }
    }
}

/// The stretches of one frame each in first..=last, and those outside the grid.
fn frames(bound: &Bound, first: usize, last: usize) -> Vec<(usize, usize)> {
    let frame = |token: usize| bound.geometry.grid.and_then(|grid| grid.coordinates(token)).map(|(at, _)| at[0]);
    let mut parts: Vec<(usize, usize)> = Vec::new();
    for token in first..=last {
        match parts.last_mut() {
            Some(part) if frame(part.0) == frame(token) => part.1 = token,
            _ => parts.push((token, token)),
        }
    }
    parts
}
