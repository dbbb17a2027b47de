//! Text to tokens.

use std::str::FromStr;

use proc_macro2::{TokenStream, TokenTree};
use sparsym_ir::span::Place;
use sparsym_ir::{Code, Finding, Span};

/// Brackets may nest this deep; more is a finding rather than a stack overflow.
const MAX_NESTING: usize = 200;

/// The tokens of a text, with places.
pub(crate) fn lex(text: &str) -> Result<TokenStream, Finding> {
    TokenStream::from_str(text).map_err(|error| unreadable(text, error.span().start().into_place()))
}

/// Refuses tokens nested so deep that recursion over them is unsafe.
pub(crate) fn check_nesting(tokens: &TokenStream) -> Result<(), Finding> {
    let mut open = vec![tokens.clone().into_iter()];
    while let Some(level) = open.last_mut() {
        match level.next() {
            None => drop(open.pop()),
            Some(TokenTree::Group(group)) => {
                if open.len() > MAX_NESTING {
                    return Err(Finding::at(
                        Code::TooLarge,
                        span(group.span_open()),
                        format!("brackets nest more than {MAX_NESTING} deep"),
                        "split the expression with `let`",
                    ));
                }
                open.push(group.stream().into_iter());
            }
            Some(_) => {}
        }
    }
    Ok(())
}

/// A compiler span as plain data.
pub(crate) fn span(span: proc_macro2::Span) -> Span {
    Span { start: span.start().into_place(), end: span.end().into_place() }
}

trait IntoPlace {
    fn into_place(self) -> Place;
}

impl IntoPlace for proc_macro2::LineColumn {
    fn into_place(self) -> Place {
        Place { line: self.line as u32, column: self.column as u32 }
    }
}

fn unreadable(text: &str, place: Place) -> Finding {
    let line = text.lines().nth(place.line.saturating_sub(1) as usize).unwrap_or_default();
    let found = line.chars().nth(place.column as usize);
    let (message, help) = match found {
        Some(c @ ('(' | '[' | '{')) => (format!("`{c}` is never closed"), "add the closing bracket"),
        Some(c @ (')' | ']' | '}')) => (
            format!("`{c}` does not close the bracket that is open here"),
            "add the opening bracket, or remove this one",
        ),
        Some('"' | '\'') => {
            ("this quotation mark starts a text that is not closed".to_owned(), "strategies have no texts: remove it")
        }
        Some('/') => ("this comment is never closed".to_owned(), "close it with `*/`, or start it with `//`"),
        Some(c) if c.is_ascii_digit() => {
            ("this is not a number".to_owned(), "write integers as `128`, floats as `0.5`")
        }
        Some(c) => {
            (format!("the character `{}` has no meaning here", c.escape_debug()), "remove it; comments start with `//`")
        }
        None => ("the text ends in the middle of a token".to_owned(), "complete it"),
    };
    let end = Place { column: place.column + u32::from(found.is_some()), ..place };
    Finding::at(Code::Unreadable, Span { start: place, end }, message, help)
}
