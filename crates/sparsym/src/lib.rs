//! A DSL compiler for sparse attention kernels.
//!
//! # Should I use this?
//!
//! Yes, if you run a diffusion transformer, or anything else with long sequences, and want to try *which* attention to
//! compute without writing a kernel: which block pairs to skip, which rows to take from an earlier denoising step, which
//! tokens may see each other, what becomes of a logit. You write rules in [`strategy!`]; one attention kernel per GPU
//! architecture is generated from them as readable CUDA, and the same rules run on the CPU and on a slow, obvious
//! reference.
//!
//! No, if dense attention is fast enough, or if you need gradients: kernels are forward only.
//!
//! # The smallest example
//!
//! ```
//! use sparsym::ir::{AttentionCall, Bound, DType, Moment, Problem, SymbolsCall, Tensor};
//! use sparsym::{StrategyType, strategy};
//!
//! strategy! {
//!     /// Every token sees its neighbours.
//!     pub Near {
//!         param reach: u32 = 1;
//!         mask q, kv => abs(q.pos - kv.pos) <= reach;
//!     }
//! }
//!
//! let strategy = Near::ir();
//! let problem = Problem::self_attention(1, 4, 1, 1); // batch, tokens, heads, head dimension
//! let bindings = Near::default().bindings()?;
//! let bound = Bound::new(strategy, &problem, &bindings)?;
//!
//! let tensor = |values: &[f32]| Tensor::from_f32(&[1, 4, 1, 1], DType::F32, values);
//! let (q, k, v) = (tensor(&[0.0; 4]), tensor(&[0.0; 4]), tensor(&[0.0, 3.0, 6.0, 9.0]));
//!
//! let device = sparsym::runtime::device::open("reference")?;
//! let moment = Moment::default();
//! let symbols = device.symbols(&SymbolsCall::without_data(&bound, moment))?;
//! let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &v, symbols: &symbols, forecast: None };
//! let output = device.attention(&call)?;
//! assert_eq!(output.o.to_f32(), [1.5, 3.0, 6.0, 7.5]); // means over each token's neighbours
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Debug builds
//!
//! Cargo compiles the dependencies of a debug build without optimisation, and the CPU device then takes 30 to 100 times as
//! long; it says so once, through `tracing`. An application changes that in its `Cargo.toml`:
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! # Features
//!
//! All are on by default. The device `cpu` and the generation and compilation of kernels are always there.
//!
//! | feature | brings |
//! |---|---|
//! | `cuda` | the device `cuda`: generated kernels on a GPU |
//! | `emulator` | the device `emulator`: the same kernels on the CPU, slow and watched at every step |
//! | `reference` | the device `reference`: the oracle, plain loops |
//! | `language` | `strategy!`, strategies as text, the zoo |
//!
//! A program that runs strategies made elsewhere needs no `language`: [`ir::Strategy`] is plain data and implements
//! serde's traits. `default-features = false, features = ["cuda"]` compiles neither a parser nor an emulator.
//!
//! # What is where
//!
//! | module | for |
//! |---|---|
//! | [`strategy!`] | writing a strategy; mistakes are compiler errors at the token |
//! | [`ir`] | strategies, problems, symbols and calls as data |
//! | [`zoo`] | published strategies to start from |
//! | [`compile_str`], [`compile_str_warned`], [`dsl_core`] | strategies as text at run time: compile, print, render findings |
//! | [`codegen`] | CUDA text of a kernel, without a GPU or a compiler |
//! | [`runtime`] | devices, NVRTC and the kernel cache, the engine of denoising steps |
//!
//! This crate holds nothing of its own; it re-exports.
#![deny(missing_docs)]

pub use sparsym_codegen as codegen;
#[cfg(feature = "language")]
pub use sparsym_dsl::{StrategyType, strategy};
#[cfg(feature = "language")]
pub use sparsym_dsl_core as dsl_core;
#[cfg(feature = "language")]
pub use sparsym_dsl_core::{compile_str, compile_str_warned};
pub use sparsym_ir as ir;
pub use sparsym_runtime as runtime;
#[cfg(feature = "language")]
pub use sparsym_zoo as zoo;

#[cfg(feature = "language")]
#[doc(hidden)]
pub use sparsym_dsl::__private;

/// The Rust of the manual compiles, and does what it says.
#[cfg(doctest)]
#[doc = include_str!("../../../docs/language.md")]
struct Manual;
