//! A prefix that all tokens see, and causal attention after it.
//!
//! For models that read an instruction at once and then write. Saves half of the work beyond the prefix. Fails for models
//! trained causally throughout: their prefix tokens never saw later ones.
//!
//! Source: Raffel et al. 2020, arXiv 1910.10683, section 3.2.1.

use sparsym_dsl::strategy;

strategy! {
    /// A token sees the prefix and what comes before it.
    pub PrefixLm {
        /// Tokens of the prefix.
        param prefix: u32 = 512;
        mask q, kv => kv.pos < prefix || kv.pos <= q.pos;
    }
}
