//! Where a piece of a strategy stands in its source.

use serde::{Deserialize, Serialize};

/// A place in a text: line from 1, column from 0, counted in characters as rustc does.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Place {
    /// Line, the first is 1.
    pub line: u32,
    /// Column, the first is 0.
    pub column: u32,
}

/// A range of a source text, end exclusive.
///
/// Spans are plain data so that the IR can be stored and sent. Two spans always compare equal: equality of IR is
/// equality of meaning, and `parse(print(ir)) == ir` must hold although the places differ.
#[derive(Clone, Copy, Debug, Default, Eq, Serialize, Deserialize)]
pub struct Span {
    /// First character.
    pub start: Place,
    /// One past the last character.
    pub end: Place,
}

impl PartialEq for Span {
    fn eq(&self, _: &Span) -> bool {
        true
    }
}

impl std::hash::Hash for Span {
    fn hash<H: std::hash::Hasher>(&self, _: &mut H) {}
}

impl Span {
    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Span {
        Span { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}
