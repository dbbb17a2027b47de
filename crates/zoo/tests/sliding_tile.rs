//! Sliding Tile Attention against rows of tiles that were worked out by two programs independent of this one.
//!
//! A row of the fixtures is a query tile, a character a kv tile: 1 = computed. Blocks are tiles here.

use sparsym_ir::bind::TableData;
use sparsym_ir::problem::Layout;
use sparsym_ir::static_symbols::static_symbols;
use sparsym_ir::strategy::Blocks;
use sparsym_ir::{Bindings, Bound, Moment, Problem};
use sparsym_zoo::find;

const TILE: [usize; 3] = [6, 8, 8];
const TILE_LEN: usize = 6 * 8 * 8;

/// Rows of S_s for a grid and a window in tiles, and text tokens at the end.
fn rows(tiles: [usize; 3], window: [u32; 3], text: usize) -> Vec<String> {
    let strategy = &find("sliding_tile").unwrap().strategy;
    let grid: [usize; 3] = std::array::from_fn(|axis| tiles[axis] * TILE[axis]);
    let layout = Layout::text_back(text, grid);
    let mut problem = Problem::self_attention(1, layout.len(), 1, 64);
    problem.layout = layout;
    problem.blocks = Blocks { q: TILE_LEN as u32, kv: TILE_LEN as u32 };
    let table = TableData { shape: vec![1, 1, 1], values: window.map(|k| k as f32).to_vec() };
    let bindings = Bindings { params: Vec::new(), tables: vec![table], inputs: Vec::new() };
    let bound = Bound::new(strategy, &problem, &bindings).unwrap();
    let symbols = static_symbols(&bound, &Moment::default());
    let row = |i| (0..problem.kv_blocks()).map(|j| if symbols.skip.get(0, 0, i, j) { '1' } else { '0' }).collect();
    (0..problem.q_blocks()).map(row).collect()
}

/// Along each axis in turn, so that a mix-up of axes shows.
#[test]
fn rows_along_one_axis() {
    for (n, k, expected) in [
        (4, 1, "1000 0100 0010 0001"),
        (4, 2, "1110 1110 0111 0111"),
        (4, 3, "1110 1110 0111 0111"),
        (4, 4, "1111 1111 1111 1111"),
        (5, 2, "11100 11100 01110 00111 00111"),
        (5, 4, "11111 11111 11111 11111 11111"),
    ] {
        for axis in 0..3 {
            let (mut tiles, mut window) = ([1; 3], [1; 3]);
            (tiles[axis], window[axis]) = (n, k);
            assert_eq!(rows(tiles, window, 0).join(" "), expected, "{n} tiles and window {k} along axis {axis}");
        }
    }
}

#[test]
fn rows_on_a_grid_of_tiles() {
    let wide = rows([1, 2, 3], [1, 1, 3], 0);
    assert_eq!(wide, ["111000", "111000", "111000", "000111", "000111", "000111"]);
    let high = rows([1, 2, 3], [1, 2, 1], 0);
    assert_eq!(high, ["100100", "010010", "001001", "100100", "010010", "001001"]);
}

#[test]
fn text_at_the_end_sees_and_is_seen_by_everything() {
    assert_eq!(rows([1, 1, 4], [1, 1, 3], TILE_LEN), ["11101", "11101", "01111", "01111", "11111"]);
}
