//! The inside of a function.

use super::ast::{Function, Guard, Instruction, Operand, Position, Prototype, Space};
use super::cursor::{Cursor, Parsed};
use super::error::SyntaxError;
use super::lex::Kind;
use super::operand::Operands;
use super::scope::{Reference, Scopes};
use super::source::Sources;
use super::variable::{linkage, params, register_class, space, variable};

/// Reads statements up to the brace that closes the body; the opening brace was read.
pub(super) fn body<'a>(cursor: &mut Cursor<'a>, sources: &mut Sources<'a>, function: &mut Function) -> Parsed<()> {
    let mut body = Body { cursor, sources, function, scopes: Scopes::new(), branches: Vec::new(), used_bytes: None };
    while body.statement()? {}
    body.resolve_branches()?;
    body.function.branch_tables = body.scopes.branch_tables()?;
    let Scopes { registers, labels, label_names, .. } = body.scopes;
    (function.registers, function.labels, function.label_names) = (registers, labels, label_names);
    Ok(())
}

struct Body<'p, 'a> {
    cursor: &'p mut Cursor<'a>,
    sources: &'p mut Sources<'a>,
    function: &'p mut Function,
    scopes: Scopes<'a>,
    branches: Vec<Branch<'a>>,
    /// From a pragma, for the next load.
    used_bytes: Option<u64>,
}

/// An operand that names a label, or a table of labels, that may stand further down.
struct Branch<'a> {
    instruction: usize,
    operand: usize,
    target: Target<'a>,
}

enum Target<'a> {
    Label(Reference<'a>),
    Table(Reference<'a>),
}

impl<'a> Body<'_, 'a> {
    /// Reads a statement; false if it is the end of the body.
    fn statement(&mut self) -> Parsed<bool> {
        let token = self.cursor.peek();
        match (token.kind, token.text) {
            (Kind::Mark, "{") => {
                self.scopes.open(token.position)?;
                self.cursor.next();
            }
            (Kind::Mark, "}") => {
                self.cursor.next();
                return Ok(self.scopes.close());
            }
            (Kind::Mark, ";") => {
                self.cursor.next();
            }
            (Kind::Mark, "@") => self.instruction()?,
            (Kind::Dotted, _) => self.directive()?,
            (Kind::Word, _) => match self.cursor.label() {
                Some(name) => self.labelled(name, token.position)?,
                None => self.instruction()?,
            },
            _ => return Err(self.cursor.unexpected("a statement or `}`")),
        }
        Ok(true)
    }

    fn directive(&mut self) -> Parsed<()> {
        if self.cursor.eat_dotted(".loc") {
            return self.sources.location(self.cursor);
        }
        if self.cursor.eat_dotted(".reg") {
            return self.registers();
        }
        if self.cursor.eat_dotted(".pragma") {
            return self.pragma();
        }
        self.variable()
    }

    /// What follows a label: a table, a prototype, or any statement.
    fn labelled(&mut self, name: &'a str, position: Position) -> Parsed<()> {
        if self.cursor.eat_dotted(".branchtargets") {
            let scopes = &self.scopes;
            let targets = self.cursor.list(";", |cursor| {
                let position = cursor.here();
                Ok(scopes.reference(cursor.name("a label")?, position))
            })?;
            return self.scopes.table(name, targets, position);
        }
        if self.cursor.eat_dotted(".callprototype") {
            return self.prototype(name);
        }
        self.scopes.label(name, self.function.body.len(), position)
    }

    /// `(.param .b32 _) _ (.param .b32 _);`
    fn prototype(&mut self, name: &str) -> Parsed<()> {
        let returns = if self.cursor.eat("(") { params(self.cursor)? } else { Vec::new() };
        self.cursor.expect_word("_")?;
        let params = if self.cursor.eat("(") { params(self.cursor)? } else { Vec::new() };
        self.cursor.eat_dotted(".noreturn");
        self.cursor.expect(";")?;
        self.function.prototypes.push(Prototype { name: name.to_owned(), returns, params });
        Ok(())
    }

    /// `.b32 a, %r<100>;`
    fn registers(&mut self) -> Parsed<()> {
        let class = register_class(self.cursor)?;
        loop {
            let position = self.cursor.here();
            let name = self.cursor.name("the name of a register")?;
            if self.cursor.eat("<") {
                let count = self.cursor.unsigned("a number of registers")?;
                self.cursor.expect(">")?;
                self.scopes.family(name, count, class, position)?;
            } else {
                self.scopes.register(name, class, position)?;
            }
            if !self.cursor.eat(",") {
                return self.cursor.expect(";");
            }
        }
    }

    /// `"used_bytes_mask 15"` is for the next load; others are hints.
    fn pragma(&mut self) -> Parsed<()> {
        loop {
            let position = self.cursor.here();
            let text = self.cursor.text("a pragma")?;
            if let Some(mask) = text.strip_prefix("used_bytes_mask ") {
                self.used_bytes = Some(used_bytes(mask.trim()).ok_or_else(|| {
                    SyntaxError::at(position, format!("expected an integer as mask of bytes, found `{}`", mask.trim()))
                })?);
            }
            if !self.cursor.eat(",") {
                return self.cursor.expect(";");
            }
        }
    }

    fn variable(&mut self) -> Parsed<()> {
        let first = self.cursor.peek();
        let linkage = linkage(self.cursor);
        let space = space(self.cursor).ok_or_else(|| first.instead_of("a directive that may stand in a function"))?;
        let scopes = &mut self.scopes;
        let variable = variable(self.cursor, linkage, space, |name, position| scopes.variable(name, position))?;
        match space {
            Space::Shared => self.function.shared.push(variable),
            Space::Local => self.function.local.push(variable),
            Space::Param => self.function.call_params.push(variable),
            Space::Global | Space::Const => {
                return Err(SyntaxError::at(variable.position, "expected a variable of this space outside functions"));
            }
        }
        Ok(())
    }

    /// `@!p opcode.modifier operand, operand;`
    fn instruction(&mut self) -> Parsed<()> {
        let first = self.cursor.peek();
        let guard = if self.cursor.eat("@") {
            let negated = self.cursor.eat("!");
            let register = Operands::new(self.cursor, &mut self.scopes).register()?;
            Some(Guard { register, negated })
        } else {
            None
        };
        let opcode = self.cursor.name("an opcode")?;
        let mut modifiers = Vec::new();
        while self.cursor.peek().kind == Kind::Dotted {
            modifiers.push(self.cursor.next().text[1..].to_owned());
        }
        let operands = self.operands(opcode)?;
        let used_bytes = if opcode == "ld" { self.used_bytes.take() } else { None };
        self.function.body.push(Instruction {
            guard,
            opcode: opcode.to_owned(),
            modifiers,
            operands,
            position: first.position,
            source: self.sources.current(),
            inline_assembly: first.inline_assembly,
            used_bytes,
        });
        Ok(())
    }

    fn operands(&mut self, opcode: &str) -> Parsed<Vec<Operand>> {
        let instruction = self.function.body.len();
        let mut count = 0;
        let (scopes, branches) = (&mut self.scopes, &mut self.branches);
        self.cursor.list(";", |cursor| {
            let operand = count;
            count += 1;
            let token = cursor.peek();
            let target = match (opcode, operand) {
                ("bra", 0) => Target::Label(scopes.reference(token.text, token.position)),
                ("brx", 1) => Target::Table(scopes.reference(token.text, token.position)),
                _ => return Operands::new(cursor, scopes).operand(),
            };
            cursor.name("a label")?;
            branches.push(Branch { instruction, operand, target });
            // Until the labels are known.
            Ok(Operand::Sink)
        })
    }

    fn resolve_branches(&mut self) -> Parsed<()> {
        for branch in &self.branches {
            let operand = match &branch.target {
                Target::Label(label) => Operand::Label(self.scopes.find_label(label)?),
                Target::Table(table) => Operand::BranchTable(self.scopes.find_table(table)?),
            };
            self.function.body[branch.instruction].operands[branch.operand] = operand;
        }
        Ok(())
    }
}

fn used_bytes(mask: &str) -> Option<u64> {
    match mask.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => mask.parse().ok(),
    }
}
