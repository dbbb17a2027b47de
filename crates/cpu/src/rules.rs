//! The token rules of a strategy, ready for one batch item and head.

use std::ops::Range;

use sparsym_ir::AttentionCall;
use sparsym_ir::eval::Prepared;

/// Mask and score of one (batch item, head).
pub(crate) struct Rules<'a> {
    mask: Option<Prepared<'a>>,
    score: Option<Prepared<'a>>,
}

impl<'a> Rules<'a> {
    /// The rules of the call's strategy with everything folded that is the same for batch item `b` and head `h`.
    pub(crate) fn new(call: &AttentionCall<'a>, b: usize, h: usize) -> Rules<'a> {
        let prepare =
            |rule: &sparsym_ir::strategy::TokenRule| Prepared::new(call.bound, call.moment, b, h, &rule.value);
        let strategy = call.bound.strategy;
        Rules { mask: strategy.mask.as_ref().map(prepare), score: strategy.score.as_ref().map(prepare) }
    }

    /// Whether logits are replaced at all.
    pub(crate) fn has_score(&self) -> bool {
        self.score.is_some()
    }

    /// Replaces the logits of query token `q` and the kv tokens from `kv` on.
    pub(crate) fn score(&self, q: usize, kv: usize, logits: &mut [f32]) {
        if let Some(score) = &self.score {
            score.score_row(q, kv, logits);
        }
    }

    /// Makes the logits of query token `q` and the kv tokens from `kv` on -inf where the mask forbids the pair.
    pub(crate) fn mask(&self, q: usize, kv: usize, logits: &mut [f32]) {
        let mut pass = [false; PIECE];
        for (piece, logits) in logits.chunks_mut(PIECE).enumerate() {
            let pass = &mut pass[..logits.len()];
            self.passing(q, kv + piece * PIECE, pass);
            for (logit, &pass) in logits.iter_mut().zip(&*pass) {
                *logit = if pass { *logit } else { f32::NEG_INFINITY };
            }
        }
    }

    /// The kv tokens of a range that query token `q` may attend to.
    pub(crate) fn allowed(&self, q: usize, kv: Range<usize>) -> impl Iterator<Item = usize> {
        let mut pass = vec![false; kv.len()];
        self.passing(q, kv.start, &mut pass);
        kv.zip(pass).filter_map(|(token, pass)| pass.then_some(token))
    }

    fn passing(&self, q: usize, kv: usize, pass: &mut [bool]) {
        match &self.mask {
            Some(mask) => mask.mask_row(q, kv, pass),
            None => pass.fill(true),
        }
    }
}

/// Tokens of one question to the mask, so that the answer fits the stack.
const PIECE: usize = 256;
