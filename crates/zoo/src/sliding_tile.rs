//! Sliding Tile Attention: on a video's (t, h, w) grid, each tile of tokens sees a window of whole tiles.
//!
//! Tokens must be stored tile by tile (6×8×8 here), so that a block lies inside one tile and every block pair is
//! computed or skipped whole: no token mask, nothing wasted. Windows are in tiles and may differ by step, layer and
//! head; at the border of the grid a window moves inwards, so every tile sees equally many. An even window covers one
//! tile more than it says (FastVideo's rule; the neighbourhood attention rule, which does not, differs for even
//! windows only). Text sees and is seen by everything.
//!
//! Fails when the grid is no multiple of the tile, when text stands before the grid and is no multiple of the block,
//! and for heads that look far: give those a window as large as the grid.
//!
//! Source: Zhang et al. 2025, arXiv 2502.04507; the rule and the tile shape as in hao-ai-lab/FastVideo.

use sparsym_dsl::strategy;

strategy! {
    /// Tiles of a video see a window of tiles around them; text sees and is seen by everything.
    pub SlidingTile {
        /// Window along (t, h, w), in tiles.
        table window: [step, layer, head] of (u32, u32, u32);
        tokens vision(t, h, w) tiled (6, 8, 8), text;
        keep q, kv where q in text || kv in text || near(q.tile, kv.tile, window);
        otherwise skip;
    }
}
