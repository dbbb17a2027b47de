//! Values that the lanes of a warp give each other.

use super::lanes::Words;
use crate::trap::Fault;

/// What the lanes of a member mask bring to an exchange, and what they take home. Lanes may come from different places of
/// the code, so the values stand apart from the registers.
pub(crate) struct Exchange {
    /// Lanes that take part: the member mask without lanes that have ended.
    pub(crate) lanes: u32,
    /// First, second and third word operand.
    pub(crate) words: [Words; 3],
    /// The predicate operand.
    pub(crate) predicate: u32,
    /// What the form noted about its modifiers.
    pub(crate) note: u32,
    /// The word that each lane gets.
    pub(crate) to_words: Words,
    /// The predicate that each lane gets.
    pub(crate) to_predicate: u32,
    /// What went wrong, if anything did.
    pub(crate) fault: Option<Box<Fault>>,
}
