//! The attention of an MM-DiT block, as FLUX has it, on sparsym's public API.
//!
//! ```text
//! text   ─ norm ─ q, k, v ┐                    ┌ o ─ + ┐              ┌ text
//!                         ├─ joint attention ──┤       ├─ norm ─ single-stream layer ─ + ─┤
//! vision ─ norm ─ q, k, v ┘                    └ o ─ + ┘              └ vision
//! ```
//!
//! Two layers: a double-stream one, whose text and vision have weights of their own and attend jointly, and a single-stream
//! one over both. Queries and keys are RMS-normalised and rotated in pairs (2i, 2i + 1).
//!
//! * [`Block`]: the two layers, and [`Block::step`];
//! * [`Shape`]: published sizes, and one that is small enough for every device;
//! * [`input`]: hidden states that drift smoothly from step to step;
//! * [`count`]: what a step computes at any shape, and how long a model says that takes.
//!
//! Non-goals: modulation and the MLPs of a real block, of which nothing obeys symbols, and real weights.
#![deny(missing_docs)]

mod block;
pub mod count;
mod shape;
mod weights;

pub use block::{Block, BlockState, BlockStep};
pub use shape::{Shape, input};
pub use weights::BlockWeights;
