//! The parameter struct: its fields, where they lie, and what a call writes into them.

mod fill;
mod layout;
mod rules;
mod source;

pub use fill::{Numbers, Sizes};
pub use layout::{Field, Params};
pub(crate) use rules::{lookups, param_field, range_field, sizes, workspaces};
pub use source::{Argument, Array, BoxAxis, Boxes, Buffer, Length, Number, ProductTiles, Source, TileColumns};
