//! Everything attends to everything: what all other strategies are measured against.
//!
//! Fails when N is large: work and time grow with N².
//!
//! Source: scaled dot-product attention, Vaswani et al. 2017, arXiv 1706.03762.

use sparsym_dsl::strategy;

strategy! {
    /// Everything is computed at every step.
    pub Dense {
    }
}
