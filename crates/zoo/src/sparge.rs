//! SpargeAttn: skip the block pairs that carry the least attention, but trust the pooled map only where it can be trusted.
//!
//! A block whose tokens point the same way (mean pairwise cosine above theta) is well described by its mean. Kv blocks that
//! are not similar take no part in the pooled map and are always computed, and so are all pairs of query blocks that are
//! not. Of the rest each row keeps, in descending order, pairs while their summed attention stays within tau: the pair
//! that crosses tau is dropped, the first one never. K is centred before it is compared with itself, as the fused path does;
//! scores do not change by that.
//!
//! Gains most for long sequences with smooth keys; costs two passes over K. Fails quietly when tau is low: a row may lose
//! its own diagonal, in causal attention too. For thresholds by layer and head, write `table tau: [layer, head] of f32` in
//! place of the param. The in-kernel P·V stage of the source is not part of it: it never changes a symbol.
//!
//! Source: SpargeAttn, arXiv 2502.18137, after thu-ml/SpargeAttn (`meansim`, and `topk` with tau = 0 and keep above 0).

use sparsym_dsl::strategy;

strategy! {
    /// Skips weak block pairs of the pooled map, where blocks are similar enough for it to be true.
    pub Sparge {
        /// Least self-similarity, exclusive, of a block that its mean stands for.
        param theta: f32 in -1.0..=1.0 = 0.6;
        /// Share of attention mass that is kept in each row.
        param tau: f32 in 0.0..=1.0 = 0.98;
        /// Share of kv blocks that is kept in each row whatever their mass.
        param keep: f32 in 0.0..=1.0 = 0.0;
        /// Whether tokens see earlier tokens only, block by block.
        param causal: bool = false;
        /// Whether the first kv block is always kept.
        param sink: bool = false;
        blocks q = 128, kv = 64;

        let s = pool(Q) . pool(K) / sqrt(D);
        let like_q = selfsim(Q);
        let like_k = selfsim(center(K));
        let p[q, kv] = softmax(kv where like_k[kv] > theta
            && (!causal || kv.block * block_kv < (q.block + 1) * block_q): s[q, kv]);

        keep q, kv where descending_mass(p[q, kv]) <= tau at least 1;
        keep q, kv where descending_rank(p[q, kv]) < floor(keep * kv_blocks);
        keep q, kv where !(like_k[kv] > theta) || !(like_q[q] > theta) || sink && kv.block == 0;
        skip q, kv where causal && kv.block * block_kv >= (q.block + 1) * block_q;
        otherwise skip;
    }
}
