//! Why a text is not PTX.

use std::error::Error;
use std::fmt;

use super::ast::Position;

/// The first mistake in a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Line of the mistake, from 1.
    pub line: u32,
    /// Column of the mistake in bytes, from 1.
    pub column: u32,
    /// What was expected and what was found: lower case, without a final dot.
    pub message: String,
}

impl SyntaxError {
    pub(super) fn at(position: Position, message: impl Into<String>) -> SyntaxError {
        SyntaxError { line: position.line, column: position.column, message: message.into() }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl Error for SyntaxError {}
