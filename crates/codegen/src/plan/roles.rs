//! What warps of a kernel do apart from each other.

use serde::Serialize;

/// Registers of a thread, by what its warpgroup does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Roles {
    /// Of the warpgroup that copies and hands out tiles.
    pub producer: u32,
    /// Of those that multiply.
    pub consumer: u32,
}
