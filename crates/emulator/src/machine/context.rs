//! What an instruction with effects can see and change.

use super::lanes::Lanes;

/// A warp at work, and the memory that it sees.
pub(crate) struct Effect<'a> {
    /// Registers, and which lanes execute.
    pub(crate) lanes: &'a mut Lanes,
}
