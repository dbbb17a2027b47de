//! What a body over blocks declares before it reads it: spans of tokens, triples of tables.

use sparsym_ir::strategy::Element;

use super::body::{Body, Statement, declare, free_names};
use super::cuda::{call, field, name};
use super::expr::{Lowering, table_word};

/// Declares the span of tokens of the block that a side stands for.
pub(super) fn span(side: &str, ragged: bool) -> Statement {
    let [block, size] = if side == "q" { ["i", "kBlockQ"] } else { ["j", "kBlockKv"] };
    let tokens = match ragged {
        true => call(format!("sequence_n_{side}"), [name("p"), name("b")]),
        false => field(format!("n_{side}")),
    };
    declare("Span", side, call("block_span", [name(block), name(size), tokens]))
}

/// Declares the named values, the spans of tokens and the triples of tables that a body reads, and goes on with it.
pub(super) fn with_locals(body: Body, lowering: &Lowering) -> Body {
    let ragged = lowering.builder().plan.ragged;
    let body = lowering.with_lets(body);
    let free = free_names(&body);
    let mut locals: Body =
        ["q", "kv"].into_iter().filter(|side| free.contains(side)).map(|side| span(side, ragged)).collect();
    locals.extend(with_tables(body, lowering));
    locals
}

/// Declares the triples of tables that a body reads, and goes on with it.
pub(super) fn with_tables(body: Body, lowering: &Lowering) -> Body {
    let free = free_names(&body);
    let tables = lowering.strategy.tables.iter().enumerate();
    let triples = tables.filter(|(_, table)| matches!(table.element, Element::Three(_)));
    let words = triples.map(|(id, _)| (id, table_word(lowering.strategy, id)));
    let mut locals: Body = words
        .filter(|(_, word)| free.contains(word.as_str()))
        .map(|(id, word)| declare("GridPoint", word, lowering.triple(id)))
        .collect();
    locals.extend(body);
    locals
}
