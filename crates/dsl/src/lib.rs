//! The strategy language: the macro, the IR that it makes, and what generated items need.
//!
//! Applications use the crate `sparsym`, which re-exports all of this. Within this workspace, crates below it write
//! `extern crate sparsym_dsl as sparsym;` because expansions refer to `::sparsym`.
//!
//! Non-goals: reading strategies at run time (`sparsym-dsl-core`), running them (`sparsym::device`).
//!
//! ```
//! # extern crate sparsym_dsl as sparsym;
//! use sparsym::{StrategyType, strategy};
//!
//! strategy! {
//!     /// Every token sees a window around it.
//!     pub Window {
//!         /// Positions that a token sees on each side.
//!         param reach: u32 in 1.. = 1024;
//!         mask q, kv => abs(q.pos - kv.pos) <= reach;
//!     }
//! }
//!
//! let window = Window { reach: 0 };
//! assert_eq!(window.check().unwrap_err().to_string().lines().next(), Some("[S507] reach = 0 is outside 1..=2147483647"));
//! assert!(Window::ir().mask.is_some());
//! ```
#![deny(missing_docs)]

pub use sparsym_dsl_macros::strategy;
pub use sparsym_ir as ir;

use sparsym_ir::strategy::{Strategy, Value};

/// A struct made by [`strategy!`]: its fields are the values of the params.
pub trait StrategyType: Clone + Default {
    /// The compiled strategy.
    fn ir() -> &'static Strategy;

    /// Values of the params in declaration order.
    fn values(&self) -> Vec<Value>;
}

/// What expansions of [`strategy!`] refer to. Not for direct use; it changes without notice.
#[doc(hidden)]
pub mod __private {
    pub use std::sync::LazyLock;
    pub use std::vec::Vec;

    pub use serde;
    pub use sparsym_ir::{Bindings, Findings, Strategy, strategy::Value};

    use super::StrategyType;

    /// The IR that the macro embedded.
    pub fn strategy_from_json(json: &str) -> Strategy {
        let mut deserializer = serde_json::Deserializer::from_str(json);
        // An expression may nest deeper than serde_json allows by default; the compiler of the language bounds it.
        deserializer.disable_recursion_limit();
        serde::Deserialize::deserialize(&mut deserializer).expect("the macro wrote this IR")
    }

    /// The value of an f32 field: the number that its shortest decimal form denotes, so that 0.1f32 is the 0.1 of the
    /// declaration in messages and comparisons.
    pub fn float(value: f32) -> Value {
        Value::Float(value.to_string().parse().unwrap_or(f64::NAN))
    }

    /// Checks each param.
    pub fn check<S: StrategyType>(strategy: &S) -> Result<(), Findings> {
        let mut findings = Findings::new();
        for (param, value) in S::ir().params.iter().zip(strategy.values()) {
            findings.extend(param.check(value).err());
        }
        findings.into_result(())
    }

    /// The params as bindings.
    pub fn bindings<S: StrategyType>(strategy: &S) -> Result<Bindings, Findings> {
        check(strategy)?;
        Ok(Bindings { params: strategy.values(), tables: Vec::new(), inputs: Vec::new() })
    }
}
