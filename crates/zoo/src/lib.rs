//! Published sparsity strategies, written in `strategy!`, one file each.
//!
//! Use this crate to start from a strategy that is known to work, or to read how one is written. Each file says what the
//! strategy does, when it fails and where it comes from. [`all`] lists them for tools.
//!
//! Non-goals: calibrated tables of particular models.
//!
//! ```
//! let window = sparsym_zoo::find("window").unwrap();
//! assert_eq!(window.strategy.params[0].name, "reach");
//! ```
#![deny(missing_docs)]

// Expansions of `strategy!` name the crate that applications use.
extern crate sparsym_dsl as sparsym;

mod alibi;
mod causal;
mod dense;
mod ditfastattn_v2;
mod document;
mod flash_omni;
mod neighborhood;
mod prefix_lm;
mod radial;
mod sliding_tile;
mod softcap;
mod sparge;
mod streaming_llm;
mod taylor_seer;
mod top_k;
mod window;
mod xattention;

pub use alibi::Alibi;
pub use causal::Causal;
pub use dense::Dense;
pub use ditfastattn_v2::DitfastattnV2;
pub use document::Document;
pub use flash_omni::FlashOmni;
pub use neighborhood::Neighborhood;
pub use prefix_lm::PrefixLm;
pub use radial::Radial;
pub use sliding_tile::SlidingTile;
pub use softcap::Softcap;
pub use sparge::Sparge;
pub use streaming_llm::StreamingLlm;
pub use taylor_seer::TaylorSeer;
pub use top_k::TopK;
pub use window::Window;
pub use xattention::Xattention;

use std::sync::LazyLock;

use sparsym_dsl::StrategyType;
use sparsym_dsl::ir::bind::{Bindings, TableData};
use sparsym_dsl::ir::strategy::Strategy;

/// A strategy of the zoo.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Entry {
    /// Name on the command line, `sliding_tile`.
    pub name: String,
    /// What it does, one sentence.
    pub summary: String,
    /// The strategy of which this is a setting, if it is one.
    pub setting_of: Option<String>,
    /// The rules.
    pub strategy: Strategy,
    /// Default params, and a usable value for each table. Inputs are data of a call and are left out.
    pub defaults: Bindings,
}

/// All strategies: masks and scores, then fixed block rules, then rules over Q and K.
pub fn all() -> &'static [Entry] {
    static ENTRIES: LazyLock<Vec<Entry>> = LazyLock::new(|| {
        let everywhere = |values: &[f32]| vec![TableData { shape: vec![1, 1, 1], values: values.to_vec() }];
        vec![
            entry::<Dense>(Vec::new()),
            entry::<Window>(Vec::new()),
            entry::<Causal>(Vec::new()),
            entry::<PrefixLm>(Vec::new()),
            entry::<Document>(Vec::new()),
            entry::<StreamingLlm>(Vec::new()),
            entry::<Neighborhood>(Vec::new()),
            entry::<Softcap>(Vec::new()),
            entry::<Alibi>(Vec::new()),
            entry::<SlidingTile>(everywhere(&[3.0, 3.0, 3.0])),
            entry::<Radial>(Vec::new()),
            entry::<DitfastattnV2>(everywhere(&[-1.0])),
            entry::<TaylorSeer>(Vec::new()),
            setting("Fora", "FORA: the last full output, every third step.", &TaylorSeer::fora(3)),
            setting("Pab", "PAB: the last full output, in the middle of the run.", &TaylorSeer::pab(2, 3, 5)),
            entry::<FlashOmni>(Vec::new()),
            entry::<Sparge>(Vec::new()),
            entry::<TopK>(Vec::new()),
            entry::<Xattention>(Vec::new()),
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
        setting_of: None,
        defaults: Bindings { params: S::default().values(), tables, inputs: Vec::new() },
        strategy,
    }
}

/// A strategy without tables under another name, with other defaults.
fn setting<S: StrategyType>(name: &str, summary: &str, values: &S) -> Entry {
    let mut strategy = Strategy { name: name.to_owned(), doc: summary.to_owned(), ..S::ir().clone() };
    for (param, value) in strategy.params.iter_mut().zip(values.values()) {
        param.default = value;
    }
    Entry {
        name: strategy.snake_name(),
        summary: summary.to_owned(),
        setting_of: Some(S::ir().snake_name()),
        defaults: Bindings { params: values.values(), tables: Vec::new(), inputs: Vec::new() },
        strategy,
    }
}
