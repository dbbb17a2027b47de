//! The sparsym command line.
fn main() {}
