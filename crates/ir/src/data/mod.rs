//! Rules over tensor data: what maps are worth, and the symbols that follow.
//!
//! ```text
//! Strategy ── stages ──► the same strategy, every map one step of work
//!                              │
//! Q, K ── Features (a device) ─┴─► MapValues ── orders of a rule ──► symbols
//! ```
//!
//! A device computes what is expensive and the same for all strategies ([`Features`]: means and self-similarities of blocks,
//! dot products, antidiagonal scores). Everything else is here, in f32, map by map.

mod order;
mod stages;
mod values;

pub use stages::stages;
pub use values::{Features, MapValues};

use crate::bind::{Bound, Moment};
use crate::static_symbols::symbols_with;
use crate::symbols::Symbols;

pub(crate) use order::with_orders;

/// What the rules of a strategy say at one moment, given what a device knows of Q and K.
///
/// As [`static_symbols`](crate::static_symbols::static_symbols), for strategies whose rules read tensor data.
pub fn data_symbols(bound: &Bound, moment: &Moment, features: &dyn Features) -> Symbols {
    let staged = stages(bound.strategy);
    let bound = Bound { strategy: &staged, geometry: bound.geometry.clone(), ..*bound };
    let (rewritten, maps) = MapValues::compute(&bound, moment, features);
    let bound = Bound { strategy: &rewritten, ..bound };
    symbols_with(&bound, moment, Some(&maps))
}
