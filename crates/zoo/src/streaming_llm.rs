//! StreamingLLM: the first few tokens, and a window of the most recent ones.
//!
//! The first tokens draw attention whatever they say ("sinks"); without them a window alone breaks the softmax that a model
//! learnt. Fails for whatever lies in between: it is forgotten. The source also numbers positions anew inside its cache,
//! which is a matter of the position embedding and not of a mask.
//!
//! Source: Xiao et al. 2024, arXiv 2309.17453, after mit-han-lab/streaming-llm (4 sinks; a window of 2000 in its demo).

use sparsym_dsl::strategy;

strategy! {
    /// A token sees the first few tokens and a window of recent ones.
    pub StreamingLlm {
        /// Tokens at the start that all see.
        param sinks: u32 = 4;
        /// Recent tokens seen, the token itself among them.
        param window: u32 in 1.. = 2000;
        mask q, kv => kv.pos <= q.pos && (kv.pos < sinks || q.pos - kv.pos < window);
    }
}
