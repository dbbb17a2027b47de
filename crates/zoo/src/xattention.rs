//! XAttention: a block pair is worth the sum of the attention of its antidiagonals, which meet every vertical and slanted
//! line that a map has.
//!
//! Tokens form groups of `stride`; a pair of groups scores the products along its antidiagonal, a softmax runs over a row
//! of groups, and a block pair sums its groups. Each row then keeps, in descending order, the fewest pairs that reach tau of
//! its mass. In causal attention the first column and the diagonal are kept and count first.
//!
//! Dearer to make than pooled scores, by a factor of block / stride, and truer where attention runs in lines. Fails where it
//! runs along antidiagonals themselves, and saves little for short sequences.
//!
//! Source: XAttention, arXiv 2503.16428, after mit-han-lab/x-attention. Without a causal mask its code always keeps the
//! first block, because unused places of an index list are 0; that is not the intent and not done here.

use sparsym_dsl::strategy;

strategy! {
    /// Keeps the block pairs that hold most of the attention along antidiagonals.
    pub Xattention {
        /// Tokens of a group; divides both block sizes.
        param stride: u32 in 1.. = 8;
        /// Share of attention mass that each row keeps at least.
        param tau: f32 in 0.0..=1.0 = 0.9;
        /// Whether tokens see earlier tokens only, block by block.
        param causal: bool = false;

        let mass = blocksum(softmax(kv where !causal || kv.block <= q.block:
            antidiag(Q, K, stride) / (float(stride) * sqrt(D))));

        keep q, kv where descending_mass_before(mass[q, kv],
            first: causal && (kv.block == 0 || kv.block == q.block)) < tau * sum(kv: mass[q, kv]);
        keep q, kv where causal && (kv.block == 0 || kv.block == q.block);
        skip q, kv where causal && kv.block > q.block;
        otherwise skip;
    }
}
