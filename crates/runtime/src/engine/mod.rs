//! A whole attention layer through the denoising steps, in the device's memory: projections, symbols, attention, and the
//! projection back, all obeying one set of symbols.
//!
//! ```text
//!            x ─► gemm_q ─► symbols ─► attention ─► gemm_o ─► y
//! Update        all tiles   S_c, S_s   all rows     all heads, and the cached ones alone: partials
//! Dispatch      S_c = 1     (kept)     S_c = 1      heads with S_c = 1, from Σ coefficient · partial
//! dense         all tiles   –          all rows     all heads
//! ```
//!
//! * [`Engine`]: a device with memory; places weights and activations.
//! * [`Layer`]: strategy, shapes and borrowed weights; [`Layer::update`] and [`Layer::dispatch`] are the two pages to read.
//! * [`Schedule`]: what each step is, known beforehand.
//! * [`LayerState`]: what one run of one layer remembers.
//! * [`Sum`]: residual connections, so that hidden states stay on the device; [`Engine::copied`] counts what does not.
//!
//! All memory is allocated when a layer and its state are made; a step allocates none on a device with kernels, and reads
//! nothing back but S_c and S_s at an Update of a strategy with `degrade when`. Tokens are given as they are stored: a
//! model permutes them once, before its first layer.
//!
//! A run starts at any Update or dense step of the schedule, or with [`Layer::update`] at any step: image to image, or a
//! run that goes on after another process stopped. Forecasts then grow from order 0 as they do from step 0.
//!
//! An application that owns its projections uses [`Attention`]: Q, K and V in, O out.

mod attention;
mod base;
mod calls;
mod core;
mod error;
mod forecast;
mod layer;
mod make;
mod report;
mod schedule;
mod spec;
mod state;
mod step;
mod sum;
mod varying;
mod workspace;

pub use crate::device::session::{Array, BitArray, Copied, SymbolArrays};
pub use attention::Attention;
pub use base::Engine;
pub use error::{LayerError, StepError};
pub use layer::{Layer, Linear, Part, Weights};
pub use report::StepReport;
pub use schedule::{PlannedStep, Schedule};
pub use sparsym_ir::eval::StepKind;
pub use spec::{LayerPlace, LayerSpec};
pub use state::LayerState;
pub use sum::Sum;
