//! The symbols of a call as a picture: one panel for each kind of head, a row per query block, a column per kv block.

use std::ops::Range;

use image::RgbImage;
use sparsym::ir::Symbols;
use sparsym::ir::bind::Geometry;

use super::alike::{heads_alike, name};
use super::canvas::{Canvas, Color, FAINT, INK, Size, Weight};
use super::strip::Strip;

/// Colour of what is computed.
pub(crate) const FULL: Color = [23, 78, 138];
const PARTIAL: Color = [120, 176, 226];
const SKIPPED: Color = [236, 239, 242];
/// Colour of what is taken from the cache.
pub(crate) const CACHED: Color = [240, 176, 80];
const CACHED_SKIPPED: Color = [250, 230, 196];
const BORDER: Color = [200, 30, 40];

/// Kinds of heads that are drawn; more are named.
const MOST_PANELS: usize = 16;

/// What the panels of one call have in common.
pub(crate) struct Panel<'a> {
    /// The symbols; the first batch item is drawn.
    pub(crate) symbols: &'a Symbols,
    /// First tokens of the named ranges; a line is drawn at each.
    pub(crate) geometry: &'a Geometry,
    /// Tokens of a query and of a kv block.
    pub(crate) blocks: [usize; 2],
}

/// Words around the panels.
pub(crate) struct Words<'a> {
    /// What is shown.
    pub(crate) title: &'a str,
    /// At which problem; a line each.
    pub(crate) subtitle: &'a [String],
}

/// A captioned picture of all heads, each kind once, at most 1000 pixels wide where the number of blocks allows; below them
/// the steps of the run.
pub(crate) fn draw_symbols(panel: &Panel<'_>, words: &Words<'_>, strip: Option<&Strip<'_>>) -> RgbImage {
    const MARGIN: u32 = 24;
    const CAPTION: u32 = 40;
    const CONTENT: u32 = 960;
    let line = Size::Small.height() + 4;
    let groups = heads_alike(panel.symbols);
    let shown = &groups[..groups.len().min(MOST_PANELS)];
    let count = shown.len().max(1) as u32;
    let columns = (1..=4).find(|columns| columns * columns >= count).unwrap_or(4);
    let rows = count.div_ceil(columns);
    let side = (CONTENT - MARGIN * (columns - 1)) / columns - TICK;
    let panels: Vec<RgbImage> = shown.iter().map(|heads| framed(panel, heads[0], side)).collect();
    let widest = panels.iter().map(RgbImage::width).max().unwrap_or(side);
    let highest = panels.iter().map(RgbImage::height).max().unwrap_or(side);
    let top = MARGIN + Size::Large.height() + 8 + line * words.subtitle.len() as u32 + 12;
    let below = top + rows * (CAPTION + highest + MARGIN);
    let width = (2 * MARGIN + columns * widest + (columns - 1) * MARGIN).max(2 * MARGIN + CONTENT);
    let left_out = if groups.len() > shown.len() { line } else { 0 };
    let strip_height = strip.map_or(0, |strip| strip.height() + MARGIN);
    let mut canvas = Canvas::new(width, below + left_out + 2 * line + MARGIN + strip_height);
    canvas.text(MARGIN, MARGIN, words.title, Size::Large, Weight::Bold, INK);
    for (n, words) in words.subtitle.iter().enumerate() {
        let y = MARGIN + Size::Large.height() + 8 + n as u32 * line;
        canvas.text(MARGIN, y, words, Size::Small, Weight::Regular, FAINT);
    }
    for (n, (heads, picture)) in shown.iter().zip(&panels).enumerate() {
        let (column, row) = (n as u32 % columns, n as u32 / columns);
        let (x, y) = (MARGIN + column * (widest + MARGIN), top + row * (highest + CAPTION + MARGIN));
        let density = format!("{:.1} % of pairs", 100.0 * head_density(panel.symbols, heads[0]));
        canvas.text(x, y, &name(heads), Size::Small, Weight::Bold, INK);
        canvas.text(x, y + line, &density, Size::Small, Weight::Regular, INK);
        canvas.paste(picture, x, y + CAPTION);
    }
    if left_out > 0 {
        let more = format!("{} more kinds of heads are not drawn", groups.len() - shown.len());
        canvas.text(MARGIN, below, &more, Size::Small, Weight::Regular, INK);
    }
    let parts = Parts::of(panel);
    let y = below + left_out;
    let axes = "a row is a query block, a column a kv block; both start at the upper left";
    canvas.text(MARGIN, y, axes, Size::Small, Weight::Regular, FAINT);
    legend(&mut canvas, MARGIN, y + line, &parts);
    if let Some(strip) = strip {
        strip.draw(&mut canvas, MARGIN, y + 2 * line + MARGIN, CONTENT);
    }
    canvas.into_image()
}

/// Length of the marks beside a panel where a token range begins.
const TICK: u32 = 8;

/// A panel in a frame, with marks at the borders on its upper and left side.
fn framed(panel: &Panel<'_>, head: usize, side: u32) -> RgbImage {
    let picture = draw_panel(panel, head, side);
    let mut canvas = Canvas::new(picture.width() + TICK + 1, picture.height() + TICK + 1);
    canvas.paste(&picture, TICK, TICK);
    canvas.frame(TICK, TICK, picture.width(), picture.height(), FAINT);
    let [rows, columns] = axes(panel, side);
    for &y in &rows.borders {
        canvas.fill(0, TICK + y, TICK, rows.line, BORDER);
    }
    for &x in &columns.borders {
        canvas.fill(TICK + x, 0, columns.line, TICK, BORDER);
    }
    canvas.into_image()
}

/// One head as a square of about `side` pixels: a whole number of pixels per block where there are few; where there are
/// more blocks than pixels, a pixel has the mean colour of its blocks.
pub(crate) fn draw_panel(panel: &Panel<'_>, head: usize, side: u32) -> RgbImage {
    let [rows, columns] = axes(panel, side);
    let mut canvas = Canvas::new(columns.size, rows.size);
    if panel.symbols.skip.batch() == 0 {
        return canvas.into_image();
    }
    for (y, i) in &rows.cells {
        for (x, j) in &columns.cells {
            canvas.fill(*x, *y, columns.cell, rows.cell, color(panel.symbols, head, i, j));
        }
    }
    rows.borders.iter().for_each(|&y| canvas.fill(0, y, columns.size, rows.line, BORDER));
    columns.borders.iter().for_each(|&x| canvas.fill(x, 0, columns.line, rows.size, BORDER));
    canvas.into_image()
}

/// Where the blocks of one side stand, in pixels. Lines at borders stand between blocks and hide none.
struct Axis {
    /// First pixel of each cell, and the blocks that it shows.
    cells: Vec<(u32, Range<usize>)>,
    cell: u32,
    borders: Vec<u32>,
    line: u32,
    size: u32,
}

/// The query and the kv side, both about `side` pixels long.
fn axes(panel: &Panel<'_>, side: u32) -> [Axis; 2] {
    let skip = &panel.symbols.skip;
    let ranges = panel.geometry.ranges.iter().filter(|(_, len)| *len > 0);
    let starts = |block: usize| ranges.clone().map(|(start, _)| start / block).collect();
    [
        axis(skip.q_blocks(), starts(panel.blocks[0]), side as usize),
        axis(skip.kv_blocks(), starts(panel.blocks[1]), side as usize),
    ]
}

/// So many blocks on so many pixels, with a line before each of these.
fn axis(count: usize, mut starts: Vec<usize>, side: usize) -> Axis {
    starts.retain(|&start| start > 0 && start < count);
    starts.sort_unstable();
    starts.dedup();
    let cell = (side / count.max(1)).max(1) as u32;
    let line = (cell / 4).clamp(1, 2);
    let mut axis = Axis { cells: Vec::new(), cell, borders: Vec::new(), line, size: 0 };
    let mut at = 0;
    for end in starts.into_iter().chain([count]) {
        if at > 0 {
            axis.borders.push(axis.size);
            axis.size += line;
        }
        // More blocks than pixels: those of a pixel lie on one side of a border.
        let (first, blocks) = (at, end - at);
        let cells = if count > side { (blocks * side / count).max(1).min(blocks) } else { blocks };
        for n in 0..cells {
            let next = first + (n + 1) * blocks / cells;
            axis.cells.push((axis.size, at..next));
            axis.size += cell;
            at = next;
        }
    }
    axis
}

/// Which colours and lines a picture has.
pub(crate) struct Parts {
    /// Blocks that are masked inside.
    pub(crate) partial: bool,
    /// Rows that are taken from the cache.
    pub(crate) cached: bool,
    /// Pairs in such rows that would be skipped anyway.
    pub(crate) cached_skipped: bool,
    /// Lines between token ranges.
    pub(crate) borders: bool,
}

impl Parts {
    fn of(panel: &Panel<'_>) -> Parts {
        let Symbols { cache, skip, full } = panel.symbols;
        let mut parts = Parts {
            partial: full.is_some(),
            cached: false,
            cached_skipped: false,
            borders: panel.geometry.ranges.iter().any(|&(start, len)| start > 0 && len > 0),
        };
        for (h, i) in (0..cache.heads()).flat_map(|h| (0..cache.q_blocks()).map(move |i| (h, i))) {
            if cache.batch() > 0 && !cache.get(0, h, i) {
                parts.cached = true;
                parts.cached_skipped |= skip.computed(0, h, i).count() < skip.kv_blocks();
            }
        }
        parts
    }
}

/// What the colours mean, in one line.
pub(crate) fn legend(canvas: &mut Canvas, x: u32, y: u32, parts: &Parts) {
    let mut left = x;
    for (color, words, present) in [
        (FULL, "computed", true),
        (PARTIAL, "computed, masked inside", parts.partial),
        (SKIPPED, "skipped", true),
        (CACHED, "row from the cache", parts.cached),
        (CACHED_SKIPPED, "cached, and skipped if it were not", parts.cached_skipped),
        (BORDER, "border of token ranges", parts.borders),
    ] {
        if present {
            left = key(canvas, left, y, color, words);
        }
    }
}

/// A square of the colour and what it means; where the next one starts.
pub(super) fn key(canvas: &mut Canvas, x: u32, y: u32, color: Color, words: &str) -> u32 {
    canvas.fill(x, y + 2, 12, 12, color);
    canvas.frame(x, y + 2, 12, 12, FAINT);
    canvas.text(x + 17, y, words, Size::Small, Weight::Regular, INK);
    x + 17 + words.chars().count() as u32 * Size::Small.letter_width(Weight::Regular) + 14
}

/// Mean colour of these blocks.
fn color(symbols: &Symbols, h: usize, rows: &Range<usize>, columns: &Range<usize>) -> Color {
    let mut sum = [0_usize; 3];
    for (i, j) in rows.clone().flat_map(|i| columns.clone().map(move |j| (i, j))) {
        let of = block_color(symbols, h, i, j);
        sum.iter_mut().zip(of).for_each(|(sum, channel)| *sum += usize::from(channel));
    }
    sum.map(|sum| (sum / (rows.len() * columns.len()).max(1)) as u8)
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
