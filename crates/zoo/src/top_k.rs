//! Block top-k: each row keeps the kv blocks with the highest pooled scores, equally many in every row.
//!
//! Rows are balanced, which suits a GPU, and the cost is known beforehand. Fails for rows whose attention is spread wide:
//! they lose as much as rows that look at one place. Three published roundings of the number of blocks are settings:
//! [`TopK::vsa`], [`TopK::sla`] and [`TopK::longcat`]. With the last two a row may keep no block at all; it is then 0.
//!
//! VSA and LongCat store tokens by cubes (4, 4, 4) of a video: store them so, or permute. Their coarse branches and SLA's
//! linear one are attention of their own and not part of this.
//!
//! Source: VSA, arXiv 2505.13389, after hao-ai-lab/FastVideo; SLA, arXiv 2509.24006, after thu-ml/SLA, which centres K and
//! leaves out the scale: neither changes an order; LongCat's block sparse attention, after its copy in FastVideo.

use sparsym_dsl::strategy;

strategy! {
    /// Each row keeps the kv blocks with the highest pooled scores.
    pub TopK {
        /// Share of kv blocks that each row keeps.
        param keep: f32 in 0.0..=1.0 = 0.2;
        /// Whether the number of blocks is rounded up rather than down.
        param round_up: bool = true;
        /// Least number of blocks of a row.
        param least: u32 = 1;
        /// Share of attention mass that each row keeps at least.
        param tau: f32 in 0.0..=1.0 = 0.0;
        blocks q = 64, kv = 64;

        let s = pool(Q) . pool(K) / sqrt(D);
        keep q, kv where descending_rank(s[q, kv]) < max(least, floor(keep * kv_blocks));
        keep q, kv where round_up && descending_rank(s[q, kv]) < ceil(keep * kv_blocks);
        keep q, kv where tau > 0.0 && descending_mass(softmax(kv: s[q, kv])) <= tau;
        otherwise skip;
    }
}

impl TopK {
    /// Video Sparse Attention: rounded up, at least one block.
    pub fn vsa(sparsity: f32) -> TopK {
        TopK { keep: 1.0 - sparsity, ..TopK::default() }
    }

    /// Sparse-Linear Attention: rounded down, perhaps none.
    pub fn sla(keep: f32) -> TopK {
        TopK { keep, round_up: false, least: 0, ..TopK::default() }
    }

    /// LongCat: rounded down, perhaps none; `tau` keeps more where attention is spread, 0 does not.
    pub fn longcat(sparsity: f32, tau: f32) -> TopK {
        TopK { keep: 1.0 - sparsity, round_up: false, least: 0, tau }
    }
}
