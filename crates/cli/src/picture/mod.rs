//! Pictures: a canvas with rectangles and text, and the drawing of symbols.

mod alike;
mod canvas;
mod strip;
mod symbols;

pub(crate) use alike::{heads_alike, name as heads_name};
pub(crate) use canvas::{Canvas, FAINT, INK, Size, Weight};
pub(crate) use strip::Strip;
pub(crate) use symbols::{CACHED, FULL, Panel, Parts, Words, draw_panel, draw_symbols, legend};
