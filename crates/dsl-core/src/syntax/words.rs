//! The words of the language, and which of them an author may not declare.

use sparsym_ir::expr::{Function, Global};
use sparsym_ir::strategy::Action;

/// First words of clauses.
pub(crate) const CLAUSES: [&str; 15] = [
    "param",
    "table",
    "input",
    "tokens",
    "blocks",
    "let",
    "mask",
    "score",
    "skip",
    "keep",
    "cache",
    "compute",
    "otherwise",
    "update",
    "dense",
];

/// First words of clauses of a later version.
pub(crate) const LATER_CLAUSES: [&str; 4] = ["degrade", "permute", "cover", "order"];

/// Functions of a later version: they read tensor data.
pub(crate) const LATER_FUNCTIONS: [&str; 19] = [
    "pool",
    "center",
    "selfsim",
    "antidiag",
    "blocksum",
    "softmax",
    "sum",
    "mean",
    "density",
    "cover",
    "percentile",
    "descending_rank",
    "ascending_rank",
    "descending_mass",
    "ascending_mass",
    "descending_mass_before",
    "ascending_mass_before",
    "at_least",
    "permute",
];

/// Tensors of a later version.
pub(crate) const TENSORS: [&str; 3] = ["Q", "K", "V"];

/// All globals.
pub(crate) const GLOBALS: [Global; 8] = [
    Global::Step,
    Global::Steps,
    Global::SinceUpdate,
    Global::Layer,
    Global::Head,
    Global::Heads,
    Global::Batch,
    Global::HeadDim,
];

/// The action of that name.
pub(crate) fn action(word: &str) -> Option<Action> {
    [Action::Skip, Action::Keep, Action::Cache, Action::Compute].into_iter().find(|action| action.name() == word)
}

/// What the language uses this word for, if it does. `q`, `kv` and `s` are included because printed rules use them.
pub(crate) fn reserved(word: &str) -> Option<&'static str> {
    if GLOBALS.iter().any(|global| global.name() == word) {
        Some("a value of the language")
    } else if word == "float" || Function::ALL.iter().any(|function| function.name() == word) {
        Some("a function of the language")
    } else if LATER_FUNCTIONS.contains(&word) || TENSORS.contains(&word) {
        Some("reserved for rules over tensor data")
    } else if ["q", "kv", "s"].contains(&word) {
        Some("a variable of rules")
    } else if syn::parse_str::<syn::Ident>(word).is_err() {
        Some("a keyword of Rust")
    } else {
        None
    }
}

/// The candidate that the author most likely meant.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= 1 + candidate.len() / 4 && distance < candidate.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}
