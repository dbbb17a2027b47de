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
//! let device = sparsym::device::open("reference")?;
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
//! A program that runs strategies made elsewhere needs no `language`: a strategy is plain data, and JSON carries it.
//! `default-features = false, features = ["cuda"]` compiles neither a parser nor an emulator.
//!
//! ```
//! # use sparsym::{StrategyType, strategy};
//! # strategy! { pub Near { mask q, kv => abs(q.pos - kv.pos) <= 1; } }
//! let text = serde_json::to_string(Near::ir())?; // where it was written
//! let strategy: sparsym::ir::Strategy = serde_json::from_str(&text)?; // where it is run
//! assert_eq!(&strategy, Near::ir());
//! # Ok::<(), serde_json::Error>(())
//! ```
//!
//! # What is where
//!
//! | module | for |
//! |---|---|
//! | [`prelude`] | what nearly every program names |
//! | [`strategy!`] | writing a strategy; mistakes are compiler errors at the token |
//! | [`ir`] | strategies, problems, symbols and calls as data |
//! | [`language`] | strategies as text at run time: compile, print, render findings |
//! | [`zoo`] | published strategies to start from |
//! | [`device`] | one call at a time, host memory in and out |
//! | [`engine`] | a layer through its denoising steps, in the device's memory |
//! | [`kernel`] | CUDA text of a strategy, its cubin and PTX; neither needs a GPU |
//!
//! This crate holds nothing of its own; it re-exports.
#![deny(missing_docs)]

#[cfg(feature = "language")]
pub use sparsym_dsl::{StrategyType, strategy};
pub use sparsym_runtime::{Error, ErrorKind};
#[cfg(feature = "language")]
pub use sparsym_zoo as zoo;

/// What everything else speaks of, as data: strategies, problems and their values, symbols, tensors and calls.
pub mod ir {
    pub use sparsym_ir::{
        Attention, AttentionCall, AttentionOutput, Bindings, Bound, Code, DType, Differences, DifferencesCall, Expr,
        Finding, Findings, Forecast, GemmO, GemmOCall, GemmQ, GemmQCall, Layout, Moment, Problem, Span, Strategy,
        Symbols, SymbolsCall, SymbolsOf, Tensor,
    };
    pub use sparsym_ir::{bind, call, diagnostic, expr, lets, problem, projection, span, strategy, symbols, tensor};

    /// What rules say, without a device: for tools that explain strategies.
    pub mod analysis {
        pub use sparsym_ir::classify::{Classifier, Coverage, Doubt, Unclassified, may_be_unclassified};
        pub use sparsym_ir::data::{Features, data_symbols};
        pub use sparsym_ir::eval::Prepared;
        pub use sparsym_ir::static_symbols::static_symbols;
    }
}

/// What the tests of the workspace look into. It is no part of the face and changes without notice.
#[cfg(feature = "machinery")]
#[doc(hidden)]
pub mod machinery {
    pub use sparsym_codegen::name_without_hash;
    pub use sparsym_ir::{classify, eval, static_symbols};
}

/// Strategies as text at run time. In a program they are written with [`strategy!`], which runs the same stages.
///
/// ```
/// use sparsym::language::{compile_str, print, render};
///
/// let text = "pub Window { param reach: u32 = 64; mask q, kv => abs(q.pos - kv.pos) <= rech; }";
/// let findings = compile_str("window.strategy", text).unwrap_err();
/// assert!(render(&findings, "window.strategy", text).contains("did you mean `reach`?"));
///
/// let strategy = compile_str("window.strategy", &text.replace("rech;", "reach;"))?;
/// assert!(print(&strategy).contains("abs(q.pos - kv.pos) <= reach"));
/// # Ok::<(), sparsym::ir::Findings>(())
/// ```
#[cfg(feature = "language")]
pub mod language {
    pub use sparsym_dsl::{StrategyType, strategy};
    pub use sparsym_dsl_core::{check, compile_str, compile_str_warned, print, print_mask_part, render};
}

pub use sparsym_runtime::{device, engine};

/// Kernels as text and as machine code, without a device: [`generate`](kernel::generate) writes CUDA,
/// [`Compiler`](kernel::Compiler) makes cubin and PTX of it with NVRTC, and [`Cache`](kernel::Cache) keeps them.
///
/// ```
/// use sparsym::ir::Strategy;
/// use sparsym::kernel::{Request, Room, Target, generate};
///
/// let dense = Strategy::dense();
/// let kernel = generate(&Request::new(&dense, Room::Attention, Target::parse("sm_90a")?))?;
/// assert!(kernel.source.contains("__global__"));
/// # Ok::<(), sparsym::ir::Findings>(())
/// ```
pub mod kernel {
    pub use sparsym_codegen::{
        Argument, Array, AttentionPlan, AttentionRequest, BoxAxis, Boxes, Buffer, CachedRows, Cut, Field, FromHeads,
        FromHeadsPlan, GemmPlan, GridAxis, Kernel, Launch, Length, MOST_PROJECTIONS, Means, Number, Numbers, Origin,
        Params, Plan, Product, ProductTiles, Region, Request, Roles, Room, RoomPlan, RoomRequest, Rules, Scale,
        Schedule, Sequences, SharedLayout, Sizes, Source, SummedHeads, SymbolsPlan, SymbolsRequest, Target,
        TileColumns, TileOrder, ToHeads, ToHeadsPlan, generate, passed_over, plan,
    };
    pub use sparsym_runtime::compiler::{Compiled, Compiler, ImageOrigin};
    pub use sparsym_runtime::{Cache, cache, nvrtc};
}

/// What nearly every program names: `use sparsym::prelude::*;`.
///
/// ```
/// use sparsym::prelude::*;
///
/// let dense = Strategy::dense();
/// let problem = Problem::self_attention(1, 2, 1, 1); // batch, tokens, heads, head dimension
/// let bindings = Bindings::defaults(&dense);
/// let (bound, moment) = (Bound::new(&dense, &problem, &bindings)?, Moment::default());
/// let tensor = |values: &[f32]| Tensor::from_f32(&[1, 2, 1, 1], DType::F32, values);
/// let (q, v) = (tensor(&[0.0, 0.0]), tensor(&[1.0, 3.0]));
///
/// let device = device::open("cpu")?;
/// let symbols = device.symbols(&SymbolsCall::without_data(&bound, moment))?;
/// let call = AttentionCall { bound: &bound, moment, q: &q, k: &q, v: &v, symbols: &symbols, forecast: None };
/// assert_eq!(device.attention(&call)?.o.to_f32(), [2.0, 2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub mod prelude {
    pub use crate::device::{self, Device};
    pub use crate::engine::{Engine, Layer, LayerSpec, LayerState, Schedule};
    pub use crate::ir::{
        AttentionCall, AttentionOutput, Bindings, Bound, DType, Findings, Moment, Problem, Strategy, Symbols,
        SymbolsCall, Tensor,
    };
    #[cfg(feature = "language")]
    pub use crate::{StrategyType, strategy};
}

#[cfg(feature = "language")]
#[doc(hidden)]
pub use sparsym_dsl::__private;

/// The Rust of the manual compiles, and does what it says.
#[cfg(all(doctest, feature = "language"))]
#[doc = include_str!("../../../docs/language.md")]
struct Manual;
