//! Several documents in one sequence, none of which sees another, each read causally.
//!
//! Saves the padding of a batch of unequal documents. Blocks that hold tokens of one document on both sides are found
//! from the document numbers of the call; where a block straddles a border its pairs are masked token by token, so many
//! tiny documents gain less than their share of the area.
//!
//! Source: packed sequences with document masks as in FlexAttention, Dong et al. 2024, arXiv 2412.05496.

use sparsym_dsl::strategy;

strategy! {
    /// Every token sees itself and the earlier tokens of its own document.
    pub Document {
        /// Number of the document that the token belongs to.
        input document: [token] of i32;
        mask q, kv => document[q] == document[kv] && kv.pos <= q.pos;
    }
}
