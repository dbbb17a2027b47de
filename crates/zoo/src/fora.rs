//! Fast-Forward Caching: attention is computed at every `interval`-th step and its output reused in between.
//!
//! Between neighbouring denoising steps the output of an attention layer drifts slowly; FORA takes the last computed one
//! unchanged. Fails early in a run, where features still move fast (raise `warmup`), and with few steps, where each is
//! far from the last.
//!
//! The source counts steps down to 0 and computes where the count is a multiple of the interval; here steps count up, so
//! the two agree in phase only if `interval` divides `steps - 1`. Caching of the MLP, which FORA does too, is not a
//! matter of attention.
//!
//! Source: Selvaraju et al. 2024, arXiv 2407.01425; `interval` 3 is its choice for 250-step DiT at 512².

use sparsym_dsl::strategy;

strategy! {
    /// Attention outputs are reused for some steps after each computed one.
    pub Fora {
        /// Steps from one computed step to the next.
        param interval: u32 in 1.. = 3;
        /// Steps at the start that are all computed.
        param warmup: u32 = 1;
        update when step < warmup || since_update == interval;
        cache q by hold;
    }
}
