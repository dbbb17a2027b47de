//! ALiBi: logits fall linearly with distance, at a slope of its own for each head; causal.
//!
//! In place of position embeddings, for models trained with it. Heads of steep slope look nearby only, but no work is saved:
//! nothing is masked beyond causality.
//!
//! Source: Press et al. 2022, arXiv 2108.12409: head h of H has slope 2^(-8(h + 1) / H).

use sparsym_dsl::strategy;

strategy! {
    /// Logits fall linearly with distance.
    pub Alibi {
        mask q, kv => kv.pos <= q.pos;
        score s, q, kv => s + (kv.pos - q.pos) * exp2(-8.0 * (head + 1) / heads);
    }
}
