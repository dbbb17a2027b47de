//! Run-time compilation, kernel cache, devices and denoising steps.
//!
//! Use this crate to run a strategy: on a device directly ([`device`]), through a denoising run with its projections
//! ([`engine`]) or without them ([`step`]), or to turn generated CUDA text into machine code ([`compiler`]).
//!
//! ```text
//! engine ─► session ┐
//! step ────► device ┴► reference | cpu
//!                └──► kernels ──► compiler ──► cache, nvrtc
//!                         └─────► emulator | cuda
//! ```
//!
//! * [`nvrtc`]: finds libnvrtc and compiles one text to cubin and PTX;
//! * [`cache`]: compiled kernels on disk;
//! * [`error`]: one error type, with the exit status that each kind deserves.
//!
//! Environment: `SPARSYM_NVRTC` names the compiler library, `SPARSYM_CACHE` the cache folder, `SPARSYM_DUMP` and
//! `SPARSYM_DUMP_DIR` show what is compiled. None of them changes what a kernel computes.
//!
//! Non-goals: no look inside a rule (that is `sparsym-ir` and `sparsym-codegen`), no files of tensors, and no
//! printing.
//!
//! ```
//! use std::sync::Arc;
//! use sparsym_ir::{Bindings, DType, Problem, Strategy, Tensor};
//! use sparsym_runtime::{AttentionLayer, LayerPlace, AttentionState, device};
//!
//! let strategy = Strategy::dense();
//! let (problem, bindings) = (Problem::self_attention(1, 1, 1, 1), Bindings::defaults(&strategy));
//! let place = LayerPlace { layer: 0, steps: 2 };
//! let layer = AttentionLayer::new(strategy, problem, bindings, place, Arc::from(device::open("cpu")?))?;
//!
//! let x = Tensor::from_f32(&[1, 1, 1, 1], DType::F32, &[3.0]);
//! let mut state = AttentionState::new();
//! for step in 0..2 {
//!     let out = layer.step(step, &x, &x, &x, &mut state)?;
//!     assert_eq!(out.o, x); // one token attends to itself
//! }
//! # Ok::<(), sparsym_runtime::Error>(())
//! ```
#![deny(missing_docs)]

pub mod cache;
pub mod compiler;
pub mod device;
mod dump;
pub mod engine;
pub mod error;
pub mod nvrtc;
mod state;
pub mod step;

pub use cache::Cache;
pub use compiler::Compiler;
pub use device::Device;
pub use engine::{Engine, Layer, Schedule};
pub use error::{Class, Error};
pub use sparsym_ir::eval::StepKind;
pub use state::AttentionState;
pub use step::{AttentionLayer, LayerPlace, StepOutput};
