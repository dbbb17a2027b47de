//! The attention of an MM-DiT block, as FLUX has it, on sparsym's public API.
//!
//! ```text
//! text   ─ q, k, v ┐                    ┌ o ─ + ┐                           ┌ text
//!                  ├─ joint attention ──┤       ├─ single-stream layer ─ + ─┤
//! vision ─ q, k, v ┘                    └ o ─ + ┘                           └ vision
//! ```
//!
//! Two layers: a double-stream one, whose text and vision have weights of their own and attend jointly, and a single-stream
//! one over both. Queries and keys are RMS-normalised and rotated in pairs (2i, 2i + 1).
//!
//! * [`Block`]: the two layers, and [`Block::step`];
//! * [`Shape`]: published sizes, and one that is small enough for every device;
//! * [`Inputs`]: hidden states that drift smoothly from step to step, on the device; [`input`]: such ones in host memory;
//! * [`count`]: what a step computes at any shape, and how long a model says that takes.
//!
//! All of it stays on the device: projections, attention, residual connections, and the inputs of the steps.
//!
//! Non-goals: normalisation of hidden states, modulation and the MLPs of a real block, of which nothing obeys symbols, and
//! real weights.
#![deny(missing_docs)]

mod block;
pub mod count;
mod inputs;
mod random;
mod shape;
mod weights;

pub use block::{Block, BlockReport, BlockState, BlockStep};
pub use inputs::{Inputs, input};
pub use shape::Shape;
pub use weights::BlockWeights;
