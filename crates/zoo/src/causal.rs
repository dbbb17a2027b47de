//! No token sees a later one: the mask of autoregressive models.
//!
//! Halves the work at best. Fails for models that were trained to look both ways, as most diffusion transformers.
//!
//! Source: Vaswani et al. 2017, arXiv 1706.03762, section 3.2.3.

use sparsym_dsl::strategy;

strategy! {
    /// Every token sees itself and the tokens before it.
    pub Causal {
        mask q, kv => kv.pos <= q.pos;
    }
}
