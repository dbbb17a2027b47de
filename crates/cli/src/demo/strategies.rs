//! Who takes part: strategies of the zoo, and two that are written here as a user would write them.

use sparsym::ir::Strategy;
use sparsym::ir::bind::{Bindings, TableData};
use sparsym::{StrategyType, strategy, zoo};

use super::tokens::{GRID, Order};
use crate::failure::Outcome;

strategy! {
    /// Tiles of a photograph see a window of tiles; narrow heads see a small one, wide heads a large one.
    pub PhotoTiles {
        /// Window of each head along (t, h, w), in tiles.
        table window: [head] of (u32, u32, u32);
        tokens vision(t, h, w) tiled (1, 8, 8), text;
        blocks q = 64, kv = 64;
        keep q, kv where q in text || kv in text || near(q.tile, kv.tile, window);
        otherwise skip;
    }
}

strategy! {
    /// A window around every token, and the output of the wide heads, which drifts slowest, reused between Updates.
    pub WindowHold {
        /// Tokens seen on each side.
        param reach: u32 = 1920;
        /// Heads, counted from the first, whose output is reused.
        param held: u32 = 3;
        /// Steps from one Update to the next.
        param interval: u32 in 1.. = 3;
        tokens vision, text;
        blocks q = 64, kv = 64;
        mask q, kv => abs(q.pos - kv.pos) <= reach || q in text || kv in text;
        update when since_update == interval;
        cache q in vision where head < held by hold;
    }
}

/// A strategy that takes part.
pub(crate) struct Entrant {
    /// Name in the table and of the files.
    pub(crate) name: &'static str,
    /// The rules.
    pub(crate) strategy: Strategy,
    /// Params and tables.
    pub(crate) bindings: Bindings,
    /// How it wants the tokens stored.
    pub(crate) order: Order,
}

/// Rows of tokens that the windows reach on each side.
const WINDOW_ROWS: u32 = 16;
/// Window of each head in tiles of 8×8 tokens: wide heads look far, narrow ones at their neighbours.
const TILE_WINDOWS: [[u32; 3]; 4] = [[1, 7, 11], [1, 5, 7], [1, 3, 3], [1, 3, 3]];

/// All who take part, dense first.
pub(crate) fn entrants() -> Outcome<Vec<Entrant>> {
    let reach = WINDOW_ROWS * GRID[1] as u32;
    let values = TILE_WINDOWS.into_iter().flatten().map(|tiles| tiles as f32).collect();
    let windows = TableData { shape: vec![TILE_WINDOWS.len()], values };
    let tiles = Bindings { tables: vec![windows], ..PhotoTiles::default().bindings()? };
    let window_hold = WindowHold { reach, ..WindowHold::default() };
    let taylor_seer = zoo::TaylorSeer { interval: 3, warmup: 1, ..zoo::TaylorSeer::default() };
    let flash_omni = zoo::FlashOmni { tau_q: 0.1, tau_kv: 0.02, interval: 3, warmup: 2, order: 1 };
    let sparge = zoo::Sparge::default();
    let top_k = zoo::TopK { keep: 0.45, ..zoo::TopK::default() };
    Ok(vec![
        entrant::<zoo::Dense>("dense", zoo::Dense::default().bindings()?, Order::Raster),
        entrant::<zoo::Window>("window", zoo::Window { reach }.bindings()?, Order::Raster),
        entrant::<PhotoTiles>("sliding_tile", tiles, Order::Tiled),
        entrant::<WindowHold>("window_hold", window_hold.bindings()?, Order::Raster),
        entrant::<zoo::TaylorSeer>("fora", zoo::TaylorSeer::fora(3).bindings()?, Order::Raster),
        entrant::<zoo::TaylorSeer>("taylor_seer", taylor_seer.bindings()?, Order::Raster),
        entrant::<zoo::FlashOmni>("flash_omni", flash_omni.bindings()?, Order::Tiled),
        entrant::<zoo::Sparge>("sparge", sparge.bindings()?, Order::Tiled),
        entrant::<zoo::TopK>("top_k", top_k.bindings()?, Order::Tiled),
    ])
}

fn entrant<S: StrategyType>(name: &'static str, bindings: Bindings, order: Order) -> Entrant {
    Entrant { name, strategy: S::ir().clone(), bindings, order }
}
