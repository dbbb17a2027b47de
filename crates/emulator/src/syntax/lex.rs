//! Text to tokens.

use super::ast::Position;
use super::error::SyntaxError;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A name or an opcode.
    Word,
    /// A directive or a modifier with its dot: `.reg`, `.shared::cta`.
    Dotted,
    /// A number as written: `16U`, `0f3F800000`, `1.5e-3`.
    Number,
    /// A string with its quotes.
    Text,
    /// One punctuation character.
    Mark,
    /// The end of the text.
    End,
}

/// A piece of the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind,
    pub(super) text: &'a str,
    pub(super) position: Position,
    pub(super) inline_assembly: bool,
}

/// Longer tokens are cut in messages.
const SHOWN_CHARACTERS: usize = 40;

impl Token<'_> {
    /// "expected …, found …", at this token.
    pub(super) fn instead_of(&self, expected: &str) -> SyntaxError {
        let message = match self.kind {
            Kind::End => format!("expected {expected}, found the end of the text"),
            _ => format!("expected {expected}, found `{}`", self.shown()),
        };
        SyntaxError::at(self.position, message)
    }

    /// The text as messages show it.
    pub(super) fn shown(&self) -> String {
        match self.text.char_indices().nth(SHOWN_CHARACTERS) {
            Some((end, _)) => format!("{}…", &self.text[..end]),
            None => self.text.to_owned(),
        }
    }
}

/// The tokens of a text; the last is the end.
pub(super) fn lex(text: &str) -> Result<Vec<Token<'_>>, SyntaxError> {
    if u32::try_from(text.len()).is_err() {
        return Err(SyntaxError::at(Position { line: 1, column: 1 }, "the text is longer than 4 GiB"));
    }
    let mut lexer = Lexer { text, at: 0, line: 1, line_start: 0, inline_assembly: false };
    // NVRTC's tokens are about four bytes long, spaces included.
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    loop {
        let token = lexer.token()?;
        tokens.push(token);
        if token.kind == Kind::End {
            return Ok(tokens);
        }
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: u32,
    line_start: usize,
    inline_assembly: bool,
}

impl<'a> Lexer<'a> {
    fn token(&mut self) -> Result<Token<'a>, SyntaxError> {
        self.skip_blanks()?;
        let (start, position) = (self.at, self.position());
        let kind = match self.byte(0) {
            None => Kind::End,
            Some(b'.') if self.byte(1).is_some_and(is_word) => {
                self.at += 1;
                self.skip_path();
                Kind::Dotted
            }
            Some(b'0'..=b'9') => {
                self.skip_number();
                Kind::Number
            }
            Some(byte) if is_word(byte) || byte == b'%' => {
                self.at += 1;
                self.skip_word();
                Kind::Word
            }
            Some(b'"') => {
                self.skip_text(position)?;
                Kind::Text
            }
            Some(b'{' | b'}' | b'(' | b')' | b'[' | b']' | b'<' | b'>') => self.mark(),
            Some(b',' | b';' | b':' | b'+' | b'-' | b'@' | b'!' | b'|' | b'=') => self.mark(),
            Some(_) => {
                let found = self.text[start..].chars().next().unwrap_or_default();
                return Err(SyntaxError::at(
                    position,
                    format!("the character `{}` has no meaning here", found.escape_debug()),
                ));
            }
        };
        let text = &self.text[start..self.at];
        Ok(Token { kind, text, position, inline_assembly: self.inline_assembly })
    }

    fn mark(&mut self) -> Kind {
        self.at += 1;
        Kind::Mark
    }

    /// Spaces and comments. NVRTC marks inline assembly by comments.
    fn skip_blanks(&mut self) -> Result<(), SyntaxError> {
        loop {
            match self.byte(0) {
                Some(b'\n') => {
                    self.at += 1;
                    self.start_line();
                }
                Some(byte) if byte.is_ascii_whitespace() => self.at += 1,
                Some(b'/') if self.byte(1) == Some(b'/') => {
                    let rest = &self.text[self.at..];
                    let comment = rest.split('\n').next().unwrap_or(rest);
                    match comment.trim_start_matches('/').trim() {
                        "begin inline asm" => self.inline_assembly = true,
                        "end inline asm" => self.inline_assembly = false,
                        _ => {}
                    }
                    self.at += comment.len();
                }
                Some(b'/') if self.byte(1) == Some(b'*') => self.skip_block_comment()?,
                _ => return Ok(()),
            }
        }
    }

    fn skip_block_comment(&mut self) -> Result<(), SyntaxError> {
        let start = self.position();
        self.at += 2;
        loop {
            match self.byte(0) {
                None => return Err(SyntaxError::at(start, "this comment is never closed")),
                Some(b'*') if self.byte(1) == Some(b'/') => {
                    self.at += 2;
                    return Ok(());
                }
                Some(byte) => {
                    self.at += 1;
                    if byte == b'\n' {
                        self.start_line();
                    }
                }
            }
        }
    }

    fn skip_word(&mut self) {
        while self.byte(0).is_some_and(is_word) {
            self.at += 1;
        }
    }

    /// Words joined by `::`.
    fn skip_path(&mut self) {
        self.skip_word();
        while self.byte(0) == Some(b':') && self.byte(1) == Some(b':') && self.byte(2).is_some_and(is_word) {
            self.at += 2;
            self.skip_word();
        }
    }

    /// Digits with all letters that follow, a fraction, an exponent with its sign. Which of them are numbers is not
    /// decided here.
    fn skip_number(&mut self) {
        let start = self.at;
        self.skip_word();
        let decimal = self.text.as_bytes()[start..self.at].iter().all(u8::is_ascii_digit);
        if decimal && self.byte(0) == Some(b'.') && !self.byte(1).is_some_and(|byte| byte.is_ascii_alphabetic()) {
            self.at += 1;
            self.skip_word();
        }
        let written = &self.text.as_bytes()[start..self.at];
        let exponent = written.iter().position(|byte| !byte.is_ascii_digit() && *byte != b'.');
        let open = exponent.is_some_and(|at| at + 1 == written.len() && matches!(written[at], b'e' | b'E'));
        if open && matches!(self.byte(0), Some(b'+' | b'-')) {
            self.at += 1;
            self.skip_word();
        }
    }

    fn skip_text(&mut self, start: Position) -> Result<(), SyntaxError> {
        loop {
            self.at += 1;
            match self.byte(0) {
                None | Some(b'\n') => return Err(SyntaxError::at(start, "this text is never closed")),
                Some(b'\\') if self.byte(1).is_some_and(|byte| byte != b'\n') => self.at += 1,
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(_) => {}
            }
        }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        self.text.as_bytes().get(self.at + ahead).copied()
    }

    fn start_line(&mut self) {
        self.line += 1;
        self.line_start = self.at;
    }

    fn position(&self) -> Position {
        Position { line: self.line, column: (self.at - self.line_start) as u32 + 1 }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&str> {
        lex(text).unwrap().iter().map(|token| token.text).collect()
    }

    #[test]
    fn modifiers_keep_their_paths() {
        assert_eq!(
            words("cp.async.mbarrier::complete_tx::bytes.L2::128B"),
            ["cp", ".async", ".mbarrier::complete_tx::bytes", ".L2::128B", "",]
        );
        assert_eq!(words("%tid.x"), ["%tid", ".x", ""]);
        assert_eq!(words("$L__BB0_1:"), ["$L__BB0_1", ":", ""]);
    }

    #[test]
    fn numbers_are_one_token() {
        for number in ["9.0", "16U", "0x1e", "0f3F800000", "1.5e-3", "1e+5", "2.", "0d3FF0000000000000"] {
            assert_eq!(words(number), [number, ""]);
        }
        assert_eq!(words("0x1e-3"), ["0x1e", "-", "3", ""]);
        assert_eq!(words("[%rd1+-8]"), ["[", "%rd1", "+", "-", "8", "]", ""]);
    }

    #[test]
    fn comments_mark_inline_assembly() {
        let tokens = lex("a // begin inline asm\nb /* c\n */ d // end inline asm\ne").unwrap();
        let marked: Vec<_> = tokens.iter().map(|token| (token.text, token.inline_assembly)).collect();
        assert_eq!(marked, [("a", false), ("b", true), ("d", true), ("e", false), ("", false)]);
        assert_eq!(tokens[2].position, Position { line: 3, column: 5 });
    }

    #[test]
    fn what_is_no_token_is_an_error_with_its_place() {
        let error = |text| lex(text).unwrap_err().to_string();
        assert_eq!(error("a\n  ?"), "line 2, column 3: the character `?` has no meaning here");
        assert_eq!(error("\"a\nb\""), "line 1, column 1: this text is never closed");
        assert_eq!(error(" \"a\\"), "line 1, column 2: this text is never closed");
        assert_eq!(error("a /* b"), "line 1, column 3: this comment is never closed");
        assert_eq!(error("é"), "line 1, column 1: the character `é` has no meaning here");
        assert_eq!(error(". x"), "line 1, column 1: the character `.` has no meaning here");
    }
}
