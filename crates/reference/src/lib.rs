//! The oracle: attention with sparse symbols in plain loops, simple enough to be obviously right.
//!
//! Every device is compared with this crate. It reads a strategy's rules with an evaluator of its own
//! ([`rules::Reader`]), visits every token pair, accumulates in f64, and shares no code with the evaluator and the
//! classifier of `sparsym-ir` or with code generation.
//!
//! * [`attention()`]: one call, as every device answers it; [`exact`]: the same before rounding;
//! * [`same_precision`]: what a kernel with the tensors' precision may lose, the yardstick of tolerances;
//! * [`symbols::symbols`]: the symbols that the rules make of Q and K, by sorting lines and visiting every token pair;
//!   [`symbols_with_margins`]: and how near each decision was to the other outcome ([`margin`]);
//! * [`forecast`]: the features and factors of cached rows;
//! * [`gemm_q()`], [`gemm_o()`], [`differences()`]: the projections around attention, which obey S_c; each module has an
//!   `exact` and a `same_precision` too.
//!
//! Non-goals: speed. Work of a call is O(B·H·N²·D) whatever the symbols say of most pairs; a projection is a loop over all
//! elements, tensors are converted whole.
//!
//! ```
//! use sparsym_ir::{AttentionCall, Bindings, Bound, DType, Moment, Problem, Strategy, Symbols, Tensor};
//!
//! let (strategy, problem, bindings) = (Strategy::dense(), Problem::self_attention(1, 2, 1, 16), Bindings::default());
//! let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
//! let (zeros, ones) = (vec![0.0; 32], (0..32).map(|n| (n / 16) as f32).collect::<Vec<_>>());
//! let q = Tensor::from_f32(&[1, 2, 1, 16], DType::F32, &zeros);
//! let v = Tensor::from_f32(&[1, 2, 1, 16], DType::F32, &ones);
//! let symbols = Symbols::dense(1, 1, 1, 1);
//! let moment = Moment::default();
//! let call = AttentionCall { bound: &bound, moment, q: &q, k: &q, v: &v, symbols: &symbols, forecast: None };
//! let out = sparsym_reference::attention(&call).unwrap();
//! assert_eq!(out.o.to_f32(), vec![0.5; 32]); // equal logits: the mean of V
//! assert!((out.lse[0] - 2f32.ln()).abs() < 1e-7);
//! ```
#![deny(missing_docs)]

pub mod attention;
mod cover;
pub mod differences;
pub mod forecast;
pub mod gemm_o;
pub mod gemm_q;
mod maps;
pub mod margin;
mod order;
mod places;
mod precision;
pub mod rules;
pub mod symbols;
mod tensors;
mod value;

pub use attention::{Exact, attention, exact, same_precision};
pub use differences::differences;
pub use gemm_o::gemm_o;
pub use gemm_q::gemm_q;
pub use margin::Margins;
pub use symbols::symbols_with_margins;
