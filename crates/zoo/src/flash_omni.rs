//! FlashOmni: reuse the query blocks of the vision tokens that text and vision look at least, and skip the block pairs that
//! carry the least attention. Both symbols are made at Update steps from the pooled map and hold until the next one.
//!
//! A block's contribution is the mean of two shares: how much text looks at it, and how much it looks at text; scores are
//! summed over the text blocks before one softmax over vision. In ascending order, blocks are cached while their summed
//! contribution stays within tau_q, and pairs of a row are skipped while their summed attention stays within tau_kv. Both
//! thresholds grow with the square of the step, so early steps, which decide the picture, are nearly dense. Text rows
//! are always computed, but lose weak pairs like any other.
//!
//! Fails where pooling hides what matters: blocks whose tokens disagree, so tokens should be stored so that neighbours are
//! alike. Without text every contribution is equal and the first blocks are cached.
//!
//! Source: FlashOmni, arXiv 2509.25401, after the code of d123f/FlashOmni and qiaolian9/FlashOmni; the defaults are those for
//! FLUX.1-dev at 1024². That code takes one head's order for all heads, reads the wrong columns for the first share, and
//! divides the step by 50 whatever the run's length. This is the intent: each head's own order, text columns, and the
//! share of the run.

use sparsym_dsl::strategy;

strategy! {
    /// Reuses weak vision rows, skips weak block pairs; both from the pooled attention map.
    pub FlashOmni {
        /// Share of contribution mass whose query blocks are reused, at the end of the run.
        param tau_q: f32 in 0.0..=1.0 = 0.50;
        /// Share of attention mass whose block pairs are skipped, at the end of the run.
        param tau_kv: f32 in 0.0..=1.0 = 0.15;
        /// Steps from one Update to the next.
        param interval: u32 in 1.. = 5;
        /// Steps at the start that are all Updates.
        param warmup: u32 = 8;
        /// Most order of the forecast; it grows by one with each interval.
        param order: u32 in 0..=3 = 2;

        tokens text, vision;

        let s = pool(Q) . pool(K) / sqrt(D);
        let seen = softmax(q in vision: sum(kv in q: sum(t in text: s[t, kv])));
        let looks = softmax(q in vision: sum(t in text: s[q, t]));
        let progress = float(step) / float(steps);
        let ramp = progress * progress;

        update when step < warmup || since_update == interval || step == steps - 1;
        cache q in vision where ascending_mass((seen[q] + looks[q]) / 2) <= tau_q * ramp
            by taylor(min(order, max(step - warmup, 0) / interval));
        skip q, kv where ascending_mass(softmax(kv: s[q, kv])) <= tau_kv * ramp;
        degrade when density(cache) <= 0.30;
    }
}
