//! A DSL compiler for sparse attention kernels
