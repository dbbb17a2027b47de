//! What a mask says of all token pairs of a block pair at once.

pub mod atoms;

pub use atoms::{Atoms, Axis, Cut, Formula, Sum, Threshold};
