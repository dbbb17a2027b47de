//! sparsym's benchmarks as a shared library, so that one process times them and other libraries in turns.
//!
//! ```text
//! Python, with PyTorch ── ctypes ──► sparsym_beside_bench(arguments, visit)
//!                                       makes arrays and kernels, then calls
//!      visit(rows, description) ◄───────┘
//!        └─ sparsym_beside_launch(rows, row, launches, ms)   as often as it likes
//!        └─ returns: everything is freed
//! ```
//!
//! The GPU's primary context and its default stream are those of the CUDA runtime, so a launch stands behind what the
//! process has put there before, and what it puts there next stands behind the launch.
//!
//! Non-goals: an interface for applications; they use the crate `sparsym`.
#![deny(missing_docs)]

pub mod exports;
mod layers;

pub use layers::rows_of_layers;
