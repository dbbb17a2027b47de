//! What an expression says at one place: a token pair, a block pair, or a step.
