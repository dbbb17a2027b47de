//! The projections around attention: cases, their numbers, and runs on the arrays of a session.
//!
//! Results start as [`UNTOUCHED`], so that a device which writes rows of another stream, or of tiles that are not
//! computed, is caught.

mod case;
mod numbers;
mod run;

pub use case::{Call, Case, DifferencesParts, FILES, GemmOParts, GemmQParts, Poison, all};
pub use numbers::Numbers;
pub(crate) use run::{run, run_twice};

/// What results hold before a call, exact in every element type.
pub const UNTOUCHED: f32 = -1000.0;
