//! Radial attention: on a video, the window of a frame pair shrinks with the frames' distance, and beyond some distance
//! only every second, fourth, … pair is looked at at all. Work grows as N·log N.
//!
//! For frames at a distance δ of g = bit_length(δ) bits, let L = 2^(bit_length(P) - g) with P tokens in a frame: a token sees
//! max(decay · L, B) places of the other frame on each side, B a block; neighbouring frames see each other wholly. Where
//! L < B, frame pairs are left out unless δ is a multiple of ⌊B / L⌋. A block is computed whole where, of the columns that
//! the window touches, more than 60 % are touched in more than a third of the block's rows.
//!
//! Static: made once for a shape. Fails for motion across the frame, which leaves the window, and is meant for raster order;
//! the first steps, which lay out the video, are dense.
//!
//! Source: Radial Attention, arXiv 2506.19852, after mit-han-lab/radial-attention. Its code compares L with 128 whatever the
//! block is; here it is the block. Defaults are those for HunyuanVideo; Wan 2.1 has decay 0.2, one dense layer and the sink.

use sparsym_dsl::strategy;

strategy! {
    /// The window of a frame pair shrinks with the frames' distance.
    pub Radial {
        /// Width of the window as a share of the frame, halved with each doubling of the distance.
        param decay: f32 in 0.0..=1.0 = 0.95;
        /// Whether all tokens see the whole first frame.
        param sink: bool = false;
        /// Steps at the start that are dense.
        param dense_steps: u32 = 12;
        /// Layers at the start that are dense.
        param dense_layers: u32 = 0;

        tokens vision(t, h, w), text;
        dense when step < dense_steps || layer < dense_layers;
        let apart(q, kv) = abs(q.frame - kv.frame);
        let length(q, kv) = exp2(bit_length(frame_len) - bit_length(apart(q, kv)));
        let in_window(q, kv) = apart(q, kv) <= 1 || abs(q.cell - kv.cell) <= max(block_q, decay * length(q, kv));
        let of_stride(q, kv) = length(q, kv) >= block_q
            || apart(q, kv) % max(1, floor(block_q / length(q, kv))) == 0;
        keep q in vision, kv in vision where cover(fraction(0.33333334, 0.6) per frame:
            sink && kv.frame == 0 || in_window(q, kv) && of_stride(q, kv));
        keep q, kv where q in text || kv in text;
        otherwise skip;
    }
}
