//! Operands of instructions.

use super::ast::{AddressBase, Operand, RegisterId};
use super::cursor::{Cursor, Parsed};
use super::error::SyntaxError;
use super::lex::Kind;
use super::scope::{Meaning, Scopes, unique_name};
use super::special::is_special;

/// Brackets of operands may nest this deep; PTX needs two.
const MAX_NESTING: usize = 8;

/// Reads operands; names mean what the scopes say.
pub(super) struct Operands<'p, 'a> {
    cursor: &'p mut Cursor<'a>,
    scopes: &'p mut Scopes<'a>,
    /// How many brackets are open.
    nesting: usize,
}

/// What a name means as an operand or as the base of an address.
enum Named {
    Register(RegisterId),
    Symbol(String),
}

impl<'p, 'a> Operands<'p, 'a> {
    pub(super) fn new(cursor: &'p mut Cursor<'a>, scopes: &'p mut Scopes<'a>) -> Operands<'p, 'a> {
        Operands { cursor, scopes, nesting: 0 }
    }

    /// One operand, or two results in one: `d|p`.
    pub(super) fn operand(&mut self) -> Parsed<Operand> {
        let first = self.single()?;
        if !self.cursor.eat("|") {
            return Ok(first);
        }
        Ok(Operand::Pair(Box::new(first), Box::new(self.single()?)))
    }

    /// A name that must be a register.
    pub(super) fn register(&mut self) -> Parsed<RegisterId> {
        let token = self.cursor.peek();
        match self.named("a register")? {
            Named::Register(id) => Ok(id),
            Named::Symbol(_) => Err(token.instead_of("a register")),
        }
    }

    fn single(&mut self) -> Parsed<Operand> {
        let token = self.cursor.peek();
        match (token.kind, token.text) {
            (Kind::Number, _) | (Kind::Mark, "-") => self.cursor.signed_number().map(Operand::from),
            (Kind::Word, _) => self.word(),
            (Kind::Mark, "!") => {
                self.cursor.next();
                self.register().map(Operand::NotRegister)
            }
            (Kind::Mark, "{") => self.nested("}").map(Operand::Vector),
            (Kind::Mark, "(") => self.nested(")").map(Operand::Group),
            (Kind::Mark, "[") => self.address(),
            _ => Err(self.cursor.unexpected("an operand")),
        }
    }

    fn nested(&mut self, close: &str) -> Parsed<Vec<Operand>> {
        if self.nesting == MAX_NESTING {
            let message = format!("brackets nest more than {MAX_NESTING} deep");
            return Err(SyntaxError::at(self.cursor.here(), message));
        }
        self.cursor.next();
        self.nesting += 1;
        let (scopes, nesting) = (&mut *self.scopes, self.nesting);
        let items = self.cursor.list(close, |cursor| Operands { cursor, scopes, nesting }.operand());
        self.nesting -= 1;
        items
    }

    fn word(&mut self) -> Parsed<Operand> {
        match self.cursor.peek().text {
            "_" => {
                self.cursor.next();
                Ok(Operand::Sink)
            }
            // The only constant with a name.
            "WARP_SZ" => {
                self.cursor.next();
                Ok(Operand::Integer(32))
            }
            name if is_special(name) && self.scopes.find(name).is_none() => {
                self.cursor.next();
                let component = if self.cursor.peek().kind == Kind::Dotted { self.cursor.next().text } else { "" };
                Ok(Operand::Special(format!("{name}{component}")))
            }
            _ => Ok(match self.named("a name")? {
                Named::Register(id) => Operand::Register(id),
                Named::Symbol(name) => Operand::Symbol { name, offset: offset(self.cursor)? },
            }),
        }
    }

    /// `[base + offset, {x, y}]`
    fn address(&mut self) -> Parsed<Operand> {
        self.cursor.next();
        let base = if self.cursor.peek().kind == Kind::Word {
            match self.named("a name")? {
                Named::Register(id) => AddressBase::Register(id),
                Named::Symbol(name) => AddressBase::Symbol(name),
            }
        } else {
            AddressBase::Absolute(signed(self.cursor, "an address")?)
        };
        let offset = offset(self.cursor)?;
        let mut coordinates = Vec::new();
        if self.cursor.eat(",") {
            if !self.cursor.at("{") {
                return Err(self.cursor.unexpected("`{`"));
            }
            coordinates = self.nested("}")?;
        }
        self.cursor.expect("]")?;
        Ok(Operand::Address { base, offset, coordinates })
    }

    fn named(&mut self, what: &str) -> Parsed<Named> {
        let position = self.cursor.here();
        let name = self.cursor.name(what)?;
        match self.scopes.find(name) {
            Some(Meaning::Register(id)) => Ok(Named::Register(id)),
            Some(Meaning::Variable(earlier)) => Ok(Named::Symbol(unique_name(name, earlier))),
            None if name.starts_with('%') => {
                Err(SyntaxError::at(position, format!("the register `{name}` is not declared")))
            }
            None => Ok(Named::Symbol(name.to_owned())),
        }
    }
}

/// `+8`, `+-8` or `-8` if one comes next, else 0.
pub(super) fn offset(cursor: &mut Cursor<'_>) -> Parsed<i64> {
    if cursor.eat("+") || cursor.at("-") { signed(cursor, "an offset") } else { Ok(0) }
}

/// An integer of 64 bits; large unsigned ones wrap.
fn signed(cursor: &mut Cursor<'_>, what: &str) -> Parsed<i64> {
    let position = cursor.here();
    let negative = cursor.eat("-");
    let value = cursor.unsigned::<u64>(what)?;
    if !negative {
        return Ok(value as i64);
    }
    0i64.checked_sub_unsigned(value)
        .ok_or_else(|| SyntaxError::at(position, format!("expected {what} of 64 bits, found `-{value}`")))
}
