//! The contact sheet: pictures, figures and symbols of all strategies on one page.

use image::RgbImage;
use image::imageops::{self, FilterType};
use sparsym::engine::StepKind;

use super::contest::Finisher;
use super::report::Row;
use super::tokens;
use crate::picture::{CACHED, Canvas, FAINT, FULL, INK, Panel, Parts, Size, Weight, draw_panel, legend};

const MARGIN: u32 = 24;
const GAP: u32 = 20;
const CELL: u32 = 360;
const CAPTION: u32 = 50;
/// Side of the symbols of one head: a pixel for each of its 151 blocks.
const PANEL: u32 = 151;
const PANEL_GAP: u32 = 6;
const SYMBOLS: u32 = 2 * PANEL + PANEL_GAP;

/// Clean, noisy and dense above; the sparse strategies below, each over its symbols.
pub(crate) fn overview([clean, noisy]: [&RgbImage; 2], finishers: &[Finisher], rows: &[Row]) -> RgbImage {
    let sparse = || finishers.iter().zip(rows).skip(1);
    let columns = sparse().count().max(3) as u32;
    let picture_height = CELL * clean.height() / clean.width();
    let row_height = CAPTION + picture_height + GAP;
    let width = 2 * MARGIN + columns * CELL + (columns - 1) * GAP;
    let height = MARGIN + 2 * row_height + CAPTION + SYMBOLS + GAP + Size::Small.height() + MARGIN;
    let mut canvas = Canvas::new(width, height);
    let left = |column: u32| MARGIN + column * (CELL + GAP);

    let quality = |row: &Row| format!("{:.1} dB, SSIM {:.2} against clean", row.psnr_clean, row.ssim_clean);
    let noise = format!("{:.1} dB against clean", super::metrics::psnr(noisy, clean));
    let dense = format!("{:.1} s, {}", rows[0].ms / 1e3, quality(&rows[0]));
    let dense_image = finishers[0].estimate.to_image();
    for (column, (title, words, image)) in [
        ("clean", "what the noise was added to".to_owned(), clean),
        ("noisy", noise, noisy),
        ("dense attention", dense, &dense_image),
    ]
    .into_iter()
    .enumerate()
    {
        picture(&mut canvas, left(column as u32), MARGIN, title, &words, image);
    }
    about(&mut canvas, left(3), MARGIN, finishers);
    for (column, (finisher, row)) in sparse().enumerate() {
        let title = format!("{}: {:.1}× faster", finisher.name, row.speedup);
        let top = MARGIN + row_height;
        picture(&mut canvas, left(column as u32), top, &title, &quality(row), &finisher.estimate.to_image());
        symbols(&mut canvas, left(column as u32), top + row_height, finisher, row);
    }
    let parts = Parts { partial: true, cached: true, cached_skipped: true, borders: true };
    legend(&mut canvas, MARGIN, height - MARGIN - Size::Small.height(), &parts);
    canvas.into_image()
}

fn picture(canvas: &mut Canvas, x: u32, y: u32, title: &str, words: &str, image: &RgbImage) {
    canvas.text(x, y, title, Size::Medium, Weight::Bold, INK);
    canvas.text(x, y + 24, words, Size::Small, Weight::Regular, FAINT);
    let height = CELL * image.height() / image.width();
    canvas.paste(&imageops::resize(image, CELL, height, FilterType::CatmullRom), x, y + CAPTION - 4);
}

/// What each step was, and the symbols of all heads of one step.
fn symbols(canvas: &mut Canvas, x: u32, y: u32, finisher: &Finisher, row: &Row) {
    const SQUARE: u32 = 14;
    let share = format!("{:.0} % of block pairs computed", 100.0 * row.density_s);
    canvas.text(x, y, &share, Size::Small, Weight::Regular, INK);
    canvas.text(x, y + 20, "steps", Size::Small, Weight::Regular, FAINT);
    for (step, kind) in finisher.kinds.iter().enumerate() {
        let left = x + 52 + step as u32 * (SQUARE + 4);
        let color = if *kind == StepKind::Dispatch { CACHED } else { FULL };
        canvas.fill(left, y + 22, SQUARE, SQUARE, color);
    }
    let blocks = [tokens::BLOCK, tokens::BLOCK];
    let panel = Panel { symbols: &finisher.symbols, geometry: &finisher.geometry, blocks };
    for head in 0..tokens::HEADS.len() {
        let (column, line) = (head as u32 % 2, head as u32 / 2);
        let (left, top) = (x + column * (PANEL + PANEL_GAP), y + CAPTION - 4 + line * (PANEL + PANEL_GAP));
        let picture = draw_panel(&panel, head, PANEL);
        canvas.paste(&picture, left, top);
        canvas.frame(left, top, picture.width(), picture.height(), FAINT);
    }
}

/// The corner that is left over: what is shown, and the palette that dense attention ended with.
fn about(canvas: &mut Canvas, x: u32, y: u32, finishers: &[Finisher]) {
    canvas.text(x, y, "non-local means", Size::Medium, Weight::Bold, INK);
    canvas.text(x, y + 24, "as attention over patches", Size::Small, Weight::Regular, FAINT);
    let lines = [
        format!("{} patches on a {}x{} grid", tokens::N_VISION, tokens::GRID[0], tokens::GRID[1]),
        format!("{} heads from wide to narrow", tokens::HEADS.len()),
        format!("{} steps, falling bandwidth", super::contest::STEPS),
        format!("{} palette tokens:", tokens::N_PALETTE),
    ];
    let mut top = y + CAPTION - 4;
    for line in &lines {
        canvas.text(x, top, line, Size::Small, Weight::Regular, INK);
        top += 22;
    }
    const SWATCH: u32 = 22;
    for (n, color) in finishers[0].palette.0.iter().enumerate() {
        let (column, row) = (n as u32 % 16, n as u32 / 16);
        let bytes = color.map(|value| (value.clamp(0.0, 1.0) * 255.0).round() as u8);
        canvas.fill(x + column * SWATCH, top + 4 + row * SWATCH, SWATCH, SWATCH, bytes);
    }
}
