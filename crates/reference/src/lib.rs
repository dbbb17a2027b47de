//! The oracle: attention with sparse symbols in plain loops
