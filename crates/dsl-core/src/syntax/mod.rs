//! Text to tokens to syntax tree. The same parser reads macro tokens and files.

pub(crate) mod ast;
mod binder;
mod cursor;
mod declare;
mod expr;
mod lex;
mod parse;
pub(crate) mod words;

pub(crate) use expr::MAX_DEPTH;
pub(crate) use lex::lex;
pub(crate) use parse::parse;
