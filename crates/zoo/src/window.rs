//! A band of tokens around each token, and a few tokens that see and are seen by everything.
//!
//! Good where what matters is near in storage order: text, audio, the rows of an image. Fails where it is far in that
//! order: on a raster of width W the token one row below is W positions away, so a band of less than a few W sees only
//! a strip; [`SlidingTile`](crate::SlidingTile) follows the grid instead. Anything beyond the band has to travel through
//! the text tokens or through several layers.
//!
//! Source: Longformer's sliding window with global tokens, Beltagy et al. 2020, arXiv 2004.05150; the same "arrow" is
//! DiTFastAttnV2's, arXiv 2503.22796.

use sparsym_dsl::strategy;

strategy! {
    /// Every token sees a window around it; text sees and is seen by everything.
    pub Window {
        /// Tokens seen on each side.
        param reach: u32 = 1024;
        tokens text, vision;
        mask q, kv => abs(q.pos - kv.pos) <= reach || q in text || kv in text;
    }
}
