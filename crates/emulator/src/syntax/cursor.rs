//! A position in the tokens, and the small questions that the parser asks about it.

use super::ast::Position;
use super::error::SyntaxError;
use super::lex::{Kind, Token, lex};
use super::number::{Number, number};

/// What a parsing function gives: the thing, or the mistake.
pub(super) type Parsed<T> = Result<T, SyntaxError>;

/// Reads the tokens of a text.
pub(super) struct Cursor<'a> {
    /// Never empty: the last is the end.
    tokens: Vec<Token<'a>>,
    at: usize,
}

impl<'a> Cursor<'a> {
    pub(super) fn new(text: &'a str) -> Parsed<Cursor<'a>> {
        Ok(Cursor { tokens: lex(text)?, at: 0 })
    }

    /// The next token without reading it.
    pub(super) fn peek(&self) -> Token<'a> {
        self.tokens[self.at]
    }

    /// The place of the next token.
    pub(super) fn here(&self) -> Position {
        self.peek().position
    }

    /// The next token. The end is never passed.
    pub(super) fn next(&mut self) -> Token<'a> {
        let token = self.peek();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    pub(super) fn at_end(&self) -> bool {
        self.peek().kind == Kind::End
    }

    /// Whether this punctuation comes next.
    pub(super) fn at(&self, mark: &str) -> bool {
        self.is(Kind::Mark, mark)
    }

    /// Reads this punctuation if it comes next.
    pub(super) fn eat(&mut self, mark: &str) -> bool {
        self.eat_token(Kind::Mark, mark)
    }

    /// Reads this directive if it comes next; with its dot.
    pub(super) fn eat_dotted(&mut self, directive: &str) -> bool {
        self.eat_token(Kind::Dotted, directive)
    }

    /// Reads this word if it comes next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        self.eat_token(Kind::Word, word)
    }

    pub(super) fn expect(&mut self, mark: &str) -> Parsed<()> {
        if self.eat(mark) { Ok(()) } else { Err(self.unexpected(&format!("`{mark}`"))) }
    }

    pub(super) fn expect_dotted(&mut self, directive: &str) -> Parsed<()> {
        if self.eat_dotted(directive) { Ok(()) } else { Err(self.unexpected(&format!("`{directive}`"))) }
    }

    pub(super) fn expect_word(&mut self, word: &str) -> Parsed<()> {
        if self.eat_word(word) { Ok(()) } else { Err(self.unexpected(&format!("`{word}`"))) }
    }

    /// A name; `what` says of what.
    pub(super) fn name(&mut self, what: &str) -> Parsed<&'a str> {
        self.token(Kind::Word, what)
    }

    /// A name with a `:` after it, if that comes next: a label.
    pub(super) fn label(&mut self) -> Option<&'a str> {
        let token = self.peek();
        let colon = self.tokens.get(self.at + 1)?;
        let labels = token.kind == Kind::Word && colon.kind == Kind::Mark && colon.text == ":";
        labels.then(|| {
            self.at += 2;
            token.text
        })
    }

    /// A string without its quotes.
    pub(super) fn text(&mut self, what: &str) -> Parsed<&'a str> {
        self.token(Kind::Text, what).map(|text| &text[1..text.len() - 1])
    }

    /// A number without a sign, of any kind.
    pub(super) fn number(&mut self, what: &str) -> Parsed<Number> {
        let token = self.peek();
        let text = self.token(Kind::Number, what)?;
        number(text).ok_or_else(|| SyntaxError::at(token.position, format!("`{}` is not a number", token.shown())))
    }

    /// A number that may have a minus sign.
    pub(super) fn signed_number(&mut self) -> Parsed<Number> {
        let negative = self.eat("-");
        let number = self.number("a number")?;
        Ok(if negative { number.negated() } else { number })
    }

    /// An integer without a sign, within `T`.
    pub(super) fn unsigned<T: TryFrom<i128>>(&mut self, what: &str) -> Parsed<T> {
        let token = self.peek();
        let fits = match self.number(what)? {
            Number::Integer(value) => T::try_from(value).ok(),
            Number::Float32(_) | Number::Float64(_) => None,
        };
        fits.ok_or_else(|| token.instead_of(what))
    }

    /// Items between brackets, separated by commas; the opening bracket was read.
    pub(super) fn list<T>(&mut self, close: &str, mut item: impl FnMut(&mut Self) -> Parsed<T>) -> Parsed<Vec<T>> {
        let mut items = Vec::new();
        if self.eat(close) {
            return Ok(items);
        }
        loop {
            items.push(item(self)?);
            if self.eat(close) {
                return Ok(items);
            }
            if !self.eat(",") {
                return Err(self.unexpected(&format!("`,` or `{close}`")));
            }
        }
    }

    /// "expected …, found …", at the next token.
    pub(super) fn unexpected(&self, expected: &str) -> SyntaxError {
        self.peek().instead_of(expected)
    }

    fn is(&self, kind: Kind, text: &str) -> bool {
        let token = self.peek();
        token.kind == kind && token.text == text
    }

    fn eat_token(&mut self, kind: Kind, text: &str) -> bool {
        let found = self.is(kind, text);
        if found {
            self.next();
        }
        found
    }

    fn token(&mut self, kind: Kind, what: &str) -> Parsed<&'a str> {
        if self.peek().kind == kind { Ok(self.next().text) } else { Err(self.unexpected(what)) }
    }
}
