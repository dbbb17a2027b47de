//! The symbols of a call as a picture: one panel per head, a row per query block, a column per kv block.

use image::RgbImage;
use sparsym::ir::Symbols;
use sparsym::ir::bind::Geometry;

use super::canvas::{Canvas, Color, FAINT, INK, Size, Weight};

/// Colour of what is computed.
pub(crate) const FULL: Color = [23, 78, 138];
const PARTIAL: Color = [120, 176, 226];
const SKIPPED: Color = [236, 239, 242];
/// Colour of what is taken from the cache.
pub(crate) const CACHED: Color = [240, 176, 80];
const CACHED_SKIPPED: Color = [250, 230, 196];
const BORDER: Color = [200, 30, 40];

/// What the panels of one call have in common.
pub(crate) struct Panel<'a> {
    /// The symbols; the first batch item is drawn.
    pub(crate) symbols: &'a Symbols,
    /// First tokens of the named ranges; a line is drawn at each.
    pub(crate) geometry: &'a Geometry,
    /// Tokens of a query and of a kv block.
    pub(crate) blocks: [usize; 2],
}

/// A captioned picture of several heads, at most 1000 pixels wide where the number of blocks allows.
pub(crate) fn draw_symbols(panel: &Panel<'_>, title: &str, subtitle: &str) -> RgbImage {
    const MARGIN: u32 = 20;
    const CAPTION: u32 = 26;
    let heads = panel.symbols.skip.heads() as u32;
    let columns = [1, 2, 3, 4].into_iter().find(|columns| columns * columns >= heads).unwrap_or(4).min(heads.max(1));
    let rows = heads.max(1).div_ceil(columns);
    let side = (960 - MARGIN * (columns - 1)) / columns;
    let top = MARGIN + Size::Large.height() + Size::Small.height() + 20;
    let picture: Vec<RgbImage> = (0..heads as usize).map(|h| draw_panel(panel, h, side)).collect();
    let widest = picture.iter().map(RgbImage::width).max().unwrap_or(side);
    let highest = picture.iter().map(RgbImage::height).max().unwrap_or(side);
    let width = (2 * MARGIN + columns * widest + (columns - 1) * MARGIN).max(1000);
    let mut canvas = Canvas::new(width, top + rows * (highest + CAPTION + MARGIN) + legend_height() + MARGIN);
    canvas.text(MARGIN, MARGIN, title, Size::Large, Weight::Bold, INK);
    canvas.text(MARGIN, MARGIN + Size::Large.height() + 4, subtitle, Size::Small, Weight::Regular, FAINT);
    for (head, picture) in picture.iter().enumerate() {
        let (column, row) = (head as u32 % columns, head as u32 / columns);
        let (x, y) = (MARGIN + column * (widest + MARGIN), top + row * (highest + CAPTION + MARGIN));
        let caption = format!("head {head}: {:.1} % of pairs", 100.0 * head_density(panel.symbols, head));
        canvas.text(x, y, &caption, Size::Small, Weight::Regular, INK);
        canvas.paste(picture, x, y + CAPTION);
        canvas.frame(x, y + CAPTION, picture.width(), picture.height(), FAINT);
    }
    legend(&mut canvas, MARGIN, top + rows * (highest + CAPTION + MARGIN), Borders::Shown);
    canvas.into_image()
}

/// One head as a square of about `side` pixels: a whole number of pixels per block where there are few, a block every
/// few pixels where there are more blocks than pixels.
pub(crate) fn draw_panel(panel: &Panel<'_>, head: usize, side: u32) -> RgbImage {
    let skip = &panel.symbols.skip;
    let (rows, columns) = (skip.q_blocks().max(1) as u32, skip.kv_blocks().max(1) as u32);
    let most = rows.max(columns);
    let cell = (side / most).max(1);
    let shrink = most.div_ceil(side.max(1)).max(1);
    let (width, height) = (columns.div_ceil(shrink) * cell, rows.div_ceil(shrink) * cell);
    let mut canvas = Canvas::new(width, height);
    if skip.batch() == 0 || skip.q_blocks() == 0 || skip.kv_blocks() == 0 {
        return canvas.into_image();
    }
    for row in 0..rows.div_ceil(shrink) {
        for column in 0..columns.div_ceil(shrink) {
            let (i, j) = ((row * shrink) as usize, (column * shrink) as usize);
            canvas.fill(column * cell, row * cell, cell, cell, block_color(panel.symbols, head, i, j));
        }
    }
    let thickness = (cell / 4).clamp(1, 2);
    // Where a block is a pixel or two, a line would hide the blocks beside it.
    let ranges = if cell < 3 { &[][..] } else { &panel.geometry.ranges };
    for &(start, len) in ranges {
        if start > 0 && len > 0 {
            let at = |block: usize| (start as u32 / block as u32) / shrink * cell;
            canvas.fill(0, at(panel.blocks[0]), width, thickness, BORDER);
            canvas.fill(at(panel.blocks[1]), 0, thickness, height, BORDER);
        }
    }
    canvas.into_image()
}

/// Whether the borders of token ranges are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Borders {
    /// Where there is room for them.
    Shown,
    /// Never.
    Hidden,
}

/// What the colours mean, in one line. The pale yellow of what a cached row would skip anyway needs no words.
pub(crate) fn legend(canvas: &mut Canvas, x: u32, y: u32, borders: Borders) {
    let mut left = x;
    for (color, words) in [
        (FULL, "computed"),
        (PARTIAL, "computed, masked inside"),
        (SKIPPED, "skipped"),
        (CACHED, "row taken from the cache"),
        (BORDER, "border of a token range"),
    ] {
        if color == BORDER && borders == Borders::Hidden {
            continue;
        }
        canvas.fill(left, y + 2, 14, 14, color);
        canvas.frame(left, y + 2, 14, 14, FAINT);
        canvas.text(left + 20, y, words, Size::Small, Weight::Regular, INK);
        left += 20 + words.len() as u32 * Size::Small.letter_width(Weight::Regular) + 18;
    }
}

fn legend_height() -> u32 {
    Size::Small.height()
}

fn block_color(symbols: &Symbols, h: usize, i: usize, j: usize) -> Color {
    let partial = symbols.full.as_ref().is_some_and(|full| !full.get(0, h, i, j));
    match (symbols.cache.get(0, h, i), symbols.skip.get(0, h, i, j)) {
        (false, true) => CACHED,
        (false, false) => CACHED_SKIPPED,
        (true, false) => SKIPPED,
        (true, true) if partial => PARTIAL,
        (true, true) => FULL,
    }
}

/// Share of the pairs of one head of the first batch item that are computed.
fn head_density(symbols: &Symbols, h: usize) -> f64 {
    let (rows, columns) = (symbols.skip.q_blocks(), symbols.skip.kv_blocks());
    if rows * columns == 0 || symbols.skip.batch() == 0 {
        return 1.0;
    }
    let computed: usize =
        (0..rows).filter(|&i| symbols.cache.get(0, h, i)).map(|i| symbols.skip.computed(0, h, i).count()).sum();
    computed as f64 / (rows * columns) as f64
}
