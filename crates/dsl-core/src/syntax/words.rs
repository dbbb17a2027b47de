//! The words of the language, and which of them an author may not declare.

use sparsym_ir::expr::{Function, Global, Measure};
use sparsym_ir::strategy::Action;

/// First words of clauses.
pub(crate) const CLAUSES: [&str; 17] = [
    "param",
    "table",
    "input",
    "tokens",
    "blocks",
    "permute",
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
    "degrade",
];

/// Functions that run over blocks or heads: `sum(v in vision: …)`.
pub(crate) const BINDERS: [&str; 5] = ["sum", "mean", "max", "min", "softmax"];

/// Functions of tensors, and others with a form of their own.
pub(crate) const SPECIAL_FUNCTIONS: [&str; 8] =
    ["pool", "center", "selfsim", "antidiag", "blocksum", "density", "cover", "percentile"];

/// Functions of a later version: attention rows of sampled queries, clusters of tokens.
pub(crate) const LATER_FUNCTIONS: [&str; 4] = ["probe", "colsum", "diagsum", "kmeans"];

/// Tensors.
pub(crate) const TENSORS: [&str; 3] = ["Q", "K", "V"];

/// Order maps: name, measure, largest first.
pub(crate) const ORDERS: [(&str, Measure, bool); 6] = [
    ("ascending_rank", Measure::Rank, false),
    ("ascending_mass", Measure::Mass, false),
    ("ascending_mass_before", Measure::MassBefore, false),
    ("descending_rank", Measure::Rank, true),
    ("descending_mass", Measure::Mass, true),
    ("descending_mass_before", Measure::MassBefore, true),
];

/// All globals.
pub(crate) const GLOBALS: [Global; 16] = [
    Global::Step,
    Global::Steps,
    Global::SinceUpdate,
    Global::Layer,
    Global::Head,
    Global::Heads,
    Global::Batch,
    Global::HeadDim,
    Global::BlockQ,
    Global::BlockKv,
    Global::QBlocks,
    Global::KvBlocks,
    Global::GridT,
    Global::GridH,
    Global::GridW,
    Global::FrameLen,
];

/// The action of that name.
pub(crate) fn action(word: &str) -> Option<Action> {
    [Action::Skip, Action::Keep, Action::Cache, Action::Compute].into_iter().find(|action| action.name() == word)
}

/// Names of all functions.
pub(crate) fn functions() -> impl Iterator<Item = &'static str> + Clone {
    let ordinary = Function::ALL.into_iter().map(Function::name).chain(["float"]);
    let orders = ORDERS.into_iter().map(|(name, ..)| name);
    ordinary.chain(["sum", "mean", "softmax"]).chain(SPECIAL_FUNCTIONS).chain(orders)
}

/// What the language uses this word for, if it does. `q` and `kv` are included because printed rules use them.
pub(crate) fn reserved(word: &str) -> Option<&'static str> {
    if GLOBALS.iter().any(|global| global.name() == word) {
        Some("a value of the language")
    } else if functions().any(|function| function == word) {
        Some("a function of the language")
    } else if TENSORS.contains(&word) {
        Some("a tensor")
    } else if LATER_FUNCTIONS.contains(&word) {
        Some("reserved for a later version")
    } else if ["q", "kv"].contains(&word) {
        Some("a variable of rules")
    } else if syn::parse_str::<syn::Ident>(word).is_err() {
        Some("a keyword of Rust")
    } else {
        None
    }
}

/// Longer names are not compared: the work grows with the product of the lengths.
const MOST_COMPARED: usize = 64;

/// The candidate that the author most likely meant.
pub(crate) fn closest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let near = |candidate: &str| 1 + candidate.len() / 4;
    candidates
        .into_iter()
        // A distance is at least the difference of the lengths, which costs nothing.
        .filter(|candidate| candidate.len().max(word.len()) <= MOST_COMPARED)
        .filter(|candidate| candidate.chars().count().abs_diff(word.chars().count()) <= near(candidate))
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        .filter(|&(distance, candidate)| distance <= near(candidate) && distance < candidate.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// What the editors' grammar calls by that name.
    fn painted(scope: &str) -> BTreeSet<&'static str> {
        let grammar = include_str!("../../../../editors/strategy.tmLanguage.json");
        let line = grammar.lines().find(|line| line.contains(&format!("\"{scope}.strategy\""))).expect("the scope");
        let (words, _) = line.split_once("\\b(").and_then(|(_, rest)| rest.split_once(')')).expect("a list of words");
        words.split('|').collect()
    }

    /// Words between the parts of a clause: what the parser asks for by name, but Rust's own words and the variables.
    fn between() -> BTreeSet<&'static str> {
        let parser =
            [include_str!("parse.rs"), include_str!("declare.rs"), include_str!("binder.rs"), include_str!("expr.rs")];
        let asked =
            parser.iter().flat_map(|text| text.split("word(\"").skip(1).filter_map(|rest| rest.split('"').next()));
        asked.filter(|word| !["doc", "if", "kv", "match", "pub", "q", "strategy"].contains(word)).collect()
    }

    #[test]
    fn the_grammar_of_editors_has_the_words_of_the_language() {
        assert_eq!(painted("keyword.control.clause"), CLAUSES.into());
        assert_eq!(painted("keyword.operator.word"), between());
        assert_eq!(painted("support.function"), functions().collect());
        assert_eq!(painted("support.constant.tensor"), TENSORS.into());
        assert_eq!(painted("variable.language"), GLOBALS.iter().map(|global| global.name()).collect());
    }
}
