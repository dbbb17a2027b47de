//! Neighborhood attention on a (t, h, w) grid: a token sees a box around it, which moves inwards at the border, so that all
//! tokens see equally many.
//!
//! With a stride above 1, tokens of one stride share the box of their leader, which makes whole blocks equal: the
//! generalised form. Text sees and is seen by all. On raster order most blocks are partial; store the tokens by tiles that
//! divide the stride. Fails for what lies outside the box. An even window k reaches k / 2 to the left and k / 2 - 1 to the
//! right.
//!
//! Source: Hassani et al. 2023, arXiv 2204.07143; generalised: arXiv 2504.16922, after SHI-Labs/NATTEN, without dilation and
//! causal axes.

use sparsym_dsl::strategy;

strategy! {
    /// A token of a grid sees a box of tokens around it; text sees and is seen by all.
    pub Neighborhood {
        /// Frames of the box.
        param window_t: u32 in 1.. = 7;
        /// Rows of the box.
        param window_h: u32 in 1.. = 7;
        /// Columns of the box.
        param window_w: u32 in 1.. = 7;
        /// Frames that share a box.
        param stride_t: u32 in 1.. = 1;
        /// Rows that share a box.
        param stride_h: u32 in 1.. = 1;
        /// Columns that share a box.
        param stride_w: u32 in 1.. = 1;
        tokens text, vision(t, h, w);
        let left_t = window_t / 2;
        let right_t = window_t - 1 - left_t;
        let left_h = window_h / 2;
        let right_h = window_h - 1 - left_h;
        let left_w = window_w / 2;
        let right_w = window_w - 1 - left_w;
        let center_t(q) = clamp(min(q.t / stride_t * stride_t + stride_t / 2, grid_t - 1), left_t, grid_t - 1 - right_t);
        let center_h(q) = clamp(min(q.h / stride_h * stride_h + stride_h / 2, grid_h - 1), left_h, grid_h - 1 - right_h);
        let center_w(q) = clamp(min(q.w / stride_w * stride_w + stride_w / 2, grid_w - 1), left_w, grid_w - 1 - right_w);
        mask q, kv => q in text || kv in text
            || kv.t >= center_t(q) - left_t && kv.t <= center_t(q) + right_t
                && kv.h >= center_h(q) - left_h && kv.h <= center_h(q) + right_h
                && kv.w >= center_w(q) - left_w && kv.w <= center_w(q) + right_w;
    }
}
