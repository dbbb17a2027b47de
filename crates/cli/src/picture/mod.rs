//! Pictures: a canvas with rectangles and text, and the drawing of symbols.

mod canvas;
mod symbols;

pub(crate) use canvas::{Canvas, FAINT, INK, Size, Weight};
pub(crate) use symbols::{Borders, CACHED, FULL, Panel, draw_panel, draw_symbols, legend};
