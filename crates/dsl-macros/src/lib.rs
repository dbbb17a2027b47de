//! The `strategy!` macro: a shell over `sparsym-dsl-core`.
//!
//! Use it through the crate `sparsym`, to which its expansion refers.
//!
//! Non-goals: nothing is parsed, checked or decided here.
//!
//! ```
//! # extern crate sparsym_dsl as sparsym;
//! sparsym::strategy! {
//!     /// Every token sees a window around it.
//!     pub Window {
//!         param reach: u32 = 1024;
//!         mask q, kv => abs(q.pos - kv.pos) <= reach;
//!     }
//! }
//!
//! assert_eq!(Window::default().reach, 1024);
//! ```
#![deny(missing_docs)]

mod expand;
mod messages;

use proc_macro::TokenStream;
use sparsym_dsl_core::analyze;

/// Declares a strategy: a struct whose fields are the strategy's params.
///
/// The language is described in `docs/language.md`, each error in `docs/errors.md`. The struct has `Default`, `serde`
/// in both directions, `check` for its ranges, and the compiled rules as `StrategyType::ir`.
#[proc_macro]
pub fn strategy(tokens: TokenStream) -> TokenStream {
    let tokens = proc_macro2::TokenStream::from(tokens);
    let (strategy, findings) = analyze(tokens.clone());
    // After a mistake the item is still emitted, from what was understood, so that its uses are no further errors.
    let item = strategy.and_then(|strategy| expand::expand(&strategy, &tokens));
    let messages = messages::of(&findings, &tokens);
    quote::quote!(#item #messages).into()
}
