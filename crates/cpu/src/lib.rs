//! Block-sparse attention on the CPU
