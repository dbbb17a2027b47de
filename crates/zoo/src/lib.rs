//! Published sparsity strategies, written in strategy!
