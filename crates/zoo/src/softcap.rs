//! Logits are bounded smoothly to ±cap before the softmax.
//!
//! Keeps training stable where logits grow; saves no work. Fails for models trained without it: it flattens their
//! sharpest rows.
//!
//! Source: Gemma 2, arXiv 2408.00118, section 2: cap 50 in attention, 30 on final logits; first in Bello et al. 2016,
//! arXiv 1611.09940.

use sparsym_dsl::strategy;

strategy! {
    /// Logits are bounded smoothly to plus or minus cap.
    pub Softcap {
        /// Largest magnitude of a logit.
        param cap: f32 in 0.001.. = 50.0;
        score s, q, kv => cap * tanh(s / cap);
    }
}
