//! A position in the tokens, and the small questions that the parser asks about it.

use proc_macro2::{Delimiter, Spacing, TokenTree};
use sparsym_ir::{Code, Finding, Span};
use syn::Lit;
use syn::buffer::Cursor as Tokens;

use super::ast::{Literal, LiteralKind, Name};
use super::lex::span;
use super::words::CLAUSES;

/// Characters that a number may have.
const MOST_DIGITS: usize = 400;
const NUMBERS: &str = "integers are at most 2147483647, floats are finite in 32 bits";

/// What a parsing function gives: the thing, or the one finding that explains why not.
pub(crate) type Parsed<T> = Result<T, Problem>;

/// Why a clause could not be read.
pub(crate) enum Problem {
    /// A mistake.
    Mistake(Finding),
    /// A form of a later version stands here.
    Later(Span),
}

impl From<Finding> for Problem {
    fn from(finding: Finding) -> Problem {
        Problem::Mistake(finding)
    }
}

/// Reads the tokens of one bracket level.
#[derive(Clone)]
pub(crate) struct Cursor<'a> {
    tokens: Tokens<'a>,
    /// The last token read.
    last: Span,
    /// The bracket that closes this level.
    end: Option<Span>,
    /// What ends this level, in words.
    closer: &'static str,
}

impl<'a> Cursor<'a> {
    pub(crate) fn new(tokens: Tokens<'a>) -> Cursor<'a> {
        Cursor { tokens, last: Span::default(), end: None, closer: "the end" }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.tokens.eof()
    }

    /// The place of the next token, or of the end.
    pub(crate) fn here(&self) -> Span {
        match self.tokens.token_tree() {
            Some((TokenTree::Group(group), _)) => span(group.span_open()),
            Some((token, _)) => span(token.span()),
            None => self.end.unwrap_or(self.last),
        }
    }

    /// From `start` to the last token read.
    pub(crate) fn since(&self, start: Span) -> Span {
        start.to(self.last)
    }

    /// The next word without reading it.
    pub(crate) fn peek_word(&self) -> Option<String> {
        self.tokens.ident().map(|(ident, _)| ident.to_string())
    }

    /// Whether the next token is this word.
    pub(crate) fn at_word(&self, word: &str) -> bool {
        self.tokens.ident().is_some_and(|(ident, _)| ident == word)
    }

    /// Whether the next tokens are this operator, written without spaces.
    pub(crate) fn at(&self, operator: &str) -> bool {
        self.operator(operator).is_some()
    }

    /// Reads this operator if it comes next.
    pub(crate) fn eat(&mut self, operator: &str) -> bool {
        let Some((place, rest)) = self.operator(operator) else { return false };
        (self.last, self.tokens) = (place, rest);
        true
    }

    /// Reads this word if it comes next.
    pub(crate) fn eat_word(&mut self, word: &str) -> bool {
        let at = self.at_word(word);
        if at {
            self.skip_token();
        }
        at
    }

    pub(crate) fn expect(&mut self, operator: &str, purpose: &str) -> Parsed<()> {
        if self.eat(operator) { Ok(()) } else { Err(self.unexpected(&format!("`{operator}`"), purpose)) }
    }

    pub(crate) fn expect_word(&mut self, word: &str, purpose: &str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"), purpose)) }
    }

    /// A name; `what` says of what, `purpose` shows the form.
    pub(crate) fn name(&mut self, what: &str, purpose: &str) -> Parsed<Name> {
        match self.tokens.ident() {
            Some((ident, rest)) => {
                (self.last, self.tokens) = (span(ident.span()), rest);
                Ok(Name { text: ident.to_string(), span: self.last })
            }
            None => Err(self.unexpected(what, purpose)),
        }
    }

    /// The next literal without sign, if one comes next.
    pub(crate) fn literal(&mut self) -> Parsed<Option<Literal>> {
        self.literal_up_to(i64::from(i32::MAX))
    }

    /// The literal behind a minus that was read: there is one more negative integer than there are positive ones.
    pub(crate) fn literal_after_minus(&mut self) -> Parsed<Option<Literal>> {
        self.literal_up_to(-i64::from(i32::MIN))
    }

    fn literal_up_to(&mut self, most: i64) -> Parsed<Option<Literal>> {
        if let Some(value) = [("true", true), ("false", false)].into_iter().find(|(word, _)| self.at_word(word)) {
            self.skip_token();
            return Ok(Some(Literal { kind: LiteralKind::Bool(value.1), span: self.last }));
        }
        let Some((literal, rest)) = self.tokens.literal() else { return Ok(None) };
        (self.last, self.tokens) = (span(literal.span()), rest);
        let text = literal.to_string();
        // Reading digits takes time with the square of their number, and so many are too large anyway.
        if text.len() > MOST_DIGITS && text.starts_with(|c: char| c.is_ascii_digit()) {
            let start: String = text.chars().take(20).collect();
            return Err(self.bad_literal(format!("`{start}…` has {} characters", text.len()), NUMBERS));
        }
        let kind = match Lit::new(literal) {
            Lit::Int(int) if int.suffix().is_empty() => int.base10_parse::<i64>().ok().map(LiteralKind::Int),
            Lit::Float(float) if float.suffix().is_empty() => float.base10_parse::<f64>().ok().map(LiteralKind::Float),
            Lit::Int(_) | Lit::Float(_) => {
                return Err(self.bad_literal(format!("`{text}` has a suffix"), "remove it: types come from params"));
            }
            _ => return Err(self.bad_literal(format!("`{text}` is not a number"), "use integers, floats, true, false")),
        };
        let fits = match kind {
            Some(LiteralKind::Int(value)) => value <= most,
            Some(LiteralKind::Float(value)) => (value as f32).is_finite(),
            _ => false,
        };
        match kind {
            Some(kind) if fits => Ok(Some(Literal { kind, span: self.last })),
            _ => Err(self.bad_literal(format!("`{text}` is too large"), NUMBERS)),
        }
    }

    /// The contents of a bracket that comes next, if one does.
    pub(crate) fn group(&mut self, delimiter: Delimiter) -> Option<Cursor<'a>> {
        let (inside, place, rest) = self.tokens.group(delimiter)?;
        let closer = match delimiter {
            Delimiter::Parenthesis => "`)`",
            Delimiter::Bracket => "`]`",
            _ => "`}`",
        };
        (self.last, self.tokens) = (span(place.open()).to(span(place.close())), rest);
        Some(Cursor { tokens: inside, last: span(place.open()), end: Some(span(place.close())), closer })
    }

    /// Whether a bracket of this kind comes next.
    pub(crate) fn at_group(&self, delimiter: Delimiter) -> bool {
        self.tokens.group(delimiter).is_some()
    }

    /// Nothing may be left at this level.
    pub(crate) fn finish(&self, purpose: &str) -> Parsed<()> {
        if self.is_empty() { Ok(()) } else { Err(self.unexpected(self.closer, purpose)) }
    }

    /// One token, whatever it is; a bracket is one token.
    pub(crate) fn skip_token(&mut self) -> Option<TokenTree> {
        let (token, rest) = self.tokens.token_tree()?;
        (self.last, self.tokens) = (span(token.span()), rest);
        Some(token)
    }

    /// Whether the next token is the first word of a clause on a line of its own: where reading may go on after a
    /// mistake.
    pub(crate) fn at_fresh_clause(&self) -> bool {
        let fresh_line = self.here().start.line > self.last.end.line;
        fresh_line && self.peek_word().is_some_and(|word| CLAUSES.contains(&word.as_str()))
    }

    /// "expected …, found …", at the next token.
    pub(crate) fn unexpected(&self, expected: &str, help: &str) -> Problem {
        let found = match self.tokens.token_tree() {
            None => self.closer.to_owned(),
            Some((TokenTree::Group(group), _)) => match group.delimiter() {
                Delimiter::Parenthesis => "`(`".to_owned(),
                Delimiter::Brace => "`{`".to_owned(),
                Delimiter::Bracket => "`[`".to_owned(),
                Delimiter::None => "an expression".to_owned(),
            },
            Some((TokenTree::Punct(_), _)) => format!("`{}`", self.punctuation()),
            Some((token, _)) => format!("`{token}`"),
        };
        Finding::at(Code::UnexpectedToken, self.here(), format!("expected {expected}, found {found}"), help).into()
    }

    fn bad_literal(&self, message: String, help: &str) -> Problem {
        Finding::at(Code::BadLiteral, self.last, message, help).into()
    }

    /// The punctuation that comes next, as far as it is written without spaces.
    fn punctuation(&self) -> String {
        let (mut out, mut tokens) = (String::new(), self.tokens);
        while let Some((punct, rest)) = tokens.punct() {
            if !out.is_empty() && ";,#@$?".contains(punct.as_char()) {
                break;
            }
            out.push(punct.as_char());
            tokens = rest;
            if punct.spacing() == Spacing::Alone || out.len() == 3 {
                break;
            }
        }
        out
    }

    fn operator(&self, operator: &str) -> Option<(Span, Tokens<'a>)> {
        let mut tokens = self.tokens;
        let mut place: Option<Span> = None;
        let mut joint = true;
        for expected in operator.chars() {
            let (punct, rest) = tokens.punct()?;
            if punct.as_char() != expected || !joint {
                return None;
            }
            joint = punct.spacing() == Spacing::Joint;
            let here = span(punct.span());
            place = Some(place.map_or(here, |place| place.to(here)));
            tokens = rest;
        }
        place.map(|place| (place, tokens))
    }
}
