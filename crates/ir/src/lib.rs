//! What a sparse attention strategy means, free of how it is written and of where it runs.
//!
//! Use this crate to inspect or build strategies as data, to describe an attention problem, or to read and write
//! symbols. To *write* a strategy use `sparsym::strategy!`; to *run* one use `sparsym::device`.
//!
//! The crate holds six ideas:
//!
//! * [`strategy`], [`expr`] and [`lets`]: the typed IR that the macro and the text parser produce;
//! * [`problem`]: shapes, block sizes and the token layout that a strategy is applied to;
//! * [`symbols`]: the packed bits S_c, S_s and S_f that kernels read;
//! * [`bind`]: values for params, tables and inputs, and the moment (step, layer) of a call;
//! * [`call`], [`projection`] and [`tensor`]: one attention call and the projections around it, what every device takes;
//! * [`eval`] and [`classify`]: what a rule says of one token pair, and of all token pairs of a block pair at once;
//!   [`static_symbols`] and [`data`]: what all rules say of all blocks, without and with tensor data.
//!
//! Non-goals: no parsing, no files, no environment, no GPU, no printing.
//!
//! ```
//! use sparsym_ir::symbols::SkipSymbol;
//!
//! let mut s_s = SkipSymbol::ones(1, 2, 3, 4); // batch, heads, query blocks, kv blocks
//! s_s.set(0, 1, 2, 3, false);
//! assert_eq!(s_s.density(), 23.0 / 24.0);
//! ```
#![deny(missing_docs)]

pub mod bind;
pub mod call;
pub mod classify;
pub mod data;
pub mod diagnostic;
pub mod eval;
pub mod expr;
pub mod integers;
pub mod lets;
pub mod problem;
pub mod projection;
pub mod span;
pub mod static_symbols;
pub mod strategy;
pub mod symbols;
pub mod tensor;

pub use bind::{Bindings, Bound, Moment};
pub use call::{Attention, AttentionCall, AttentionOutput, Forecast, SymbolsCall, SymbolsOf};
pub use diagnostic::{Code, Finding, Findings};
pub use expr::Expr;
pub use problem::{DType, Layout, Problem};
pub use projection::{Differences, DifferencesCall, GemmO, GemmOCall, GemmQ, GemmQCall};
pub use span::Span;
pub use strategy::Strategy;
pub use symbols::Symbols;
pub use tensor::Tensor;
