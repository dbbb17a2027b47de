//! What a mask says of all token pairs of a block pair at once.
