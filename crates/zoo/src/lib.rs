//! Published sparsity strategies, written in `strategy!`, one file each.
//!
//! Use this crate to start from a strategy that is known to work, or to read how one is written. Each file says what the
//! strategy does, when it fails and where it comes from. [`all`] lists them for tools.
//!
//! Non-goals: calibrated tables of particular models, and strategies that read Q and K (the language cannot say them yet).
//!
//! ```
//! let window = sparsym_zoo::find("window").unwrap();
//! assert_eq!(window.strategy.params[0].name, "reach");
//! ```
#![deny(missing_docs)]

// Expansions of `strategy!` name the crate that applications use.
extern crate sparsym_dsl as sparsym;

mod causal;
mod dense;
mod document;
mod fora;
mod sliding_tile;
mod softcap;
mod window;

pub use causal::Causal;
pub use dense::Dense;
pub use document::Document;
pub use fora::Fora;
pub use sliding_tile::SlidingTile;
pub use softcap::Softcap;
pub use window::Window;

use std::sync::LazyLock;

use sparsym_dsl::StrategyType;
use sparsym_dsl::ir::bind::{Bindings, TableData};
use sparsym_dsl::ir::strategy::Strategy;

/// A strategy of the zoo.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Name on the command line, `sliding_tile`.
    pub name: String,
    /// What it does, one sentence.
    pub summary: String,
    /// The rules.
    pub strategy: Strategy,
    /// Default params, and a usable value for each table. Inputs are data of a call and are left out.
    pub defaults: Bindings,
}

/// All strategies, the simplest first.
pub fn all() -> &'static [Entry] {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        vec![
            entry::<Dense>(Vec::new()),
            entry::<Window>(Vec::new()),
            entry::<Causal>(Vec::new()),
            entry::<SlidingTile>(vec![TableData { shape: vec![1, 1, 1], values: vec![3.0, 3.0, 3.0] }]),
            entry::<Document>(Vec::new()),
            entry::<Softcap>(Vec::new()),
            entry::<Fora>(Vec::new()),
        ]
    });
    &ENTRIES
}

/// The strategy of that name.
pub fn find(name: &str) -> Option<&'static Entry> {
    all().iter().find(|entry| entry.name == name)
}

fn entry<S: StrategyType>(tables: Vec<TableData>) -> Entry {
    let strategy = S::ir().clone();
    Entry {
        name: strategy.snake_name(),
        summary: strategy.doc.lines().next().unwrap_or_default().to_owned(),
        defaults: Bindings { params: S::default().values(), tables, inputs: Vec::new() },
        strategy,
    }
}
