//! Run-time compilation, kernel cache, devices and denoising steps.
//!
//! Use this crate to run a strategy: on a device directly ([`device`]) or through a denoising run, with the projections
//! around attention or without them ([`engine`]); or to turn generated CUDA text into machine code ([`compiler`]).
//!
//! ```text
//! engine ─► session ─► reference | cpu
//! device ─┘       └──► kernels ──► compiler ──► cache, nvrtc
//!                          └─────► emulator | cuda
//! ```
//!
//! * [`nvrtc`]: finds libnvrtc and compiles one text to cubin and PTX;
//! * [`cache`]: compiled kernels on disk;
//! * [`error`]: one error type, whose kinds programs tell apart.
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
//! use sparsym_runtime::engine::{Engine, LayerPlace, LayerSpec};
//!
//! let strategy = Strategy::dense();
//! let (problem, bindings) = (Problem::self_attention(1, 1, 1, 1), Bindings::defaults(&strategy));
//! let place = LayerPlace { layer: 0, steps: 2 };
//! let engine = Engine::new(Arc::from(sparsym_runtime::device::open("cpu")?))?;
//! let attention = engine.attention(LayerSpec { strategy, problem, bindings, place }, DType::F32)?;
//!
//! let x = Tensor::from_f32(&[1, 1, 1, 1], DType::F32, &[3.0]);
//! let (qkv, o) = (engine.place("x", &x)?, engine.array("o", &[1, 1, 1, 1], DType::F32)?);
//! let mut state = attention.state()?;
//! for step in 0..2 {
//!     attention.step(step, [&qkv, &qkv, &qkv], &o, &mut state)?;
//!     assert_eq!(o.read()?, x); // one token attends to itself
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

pub use cache::Cache;
pub use compiler::Compiler;
pub use device::Device;
pub use engine::{Engine, Layer, LayerPlace, Schedule};
pub use error::{Error, ErrorKind};
pub use sparsym_ir::eval::StepKind;
