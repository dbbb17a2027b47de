//! PTX text to syntax tree, and instructions back to text.
//!
//! The grammar is what NVRTC prints, and what inline assembly may add to it. Opcodes and modifiers are words without
//! meaning here: an instruction that nobody can execute still parses. Names are resolved, innermost scope first.

mod ast;
mod body;
mod cursor;
mod error;
mod function;
mod lex;
mod number;
mod operand;
mod parse;
mod print;
mod scope;
mod source;
mod special;
mod variable;

pub use ast::*;
pub use error::SyntaxError;
pub use parse::parse;
