//! What names mean inside a function.

use std::collections::HashMap;

use super::ast::{BranchTable, LabelId, Position, Register, RegisterClass, RegisterId, TableId};
use super::cursor::Parsed;
use super::error::SyntaxError;

/// Scopes may nest this deep: each name is looked up in all of them.
const MAX_NESTING: usize = 64;

/// A family may have this many members; no GPU compiler gets near it.
const MAX_FAMILY: u64 = 1 << 20;

/// So many digits has the number of its last member.
const MAX_DIGITS: usize = 7;

/// What a name means.
#[derive(Clone, Copy)]
pub(super) enum Meaning {
    Register(RegisterId),
    /// A variable, and how many of its name were declared before it.
    Variable(usize),
}

/// A name that is resolved when all labels are known.
#[derive(Clone, Copy)]
pub(super) struct Reference<'a> {
    name: &'a str,
    position: Position,
    scope: usize,
}

/// All scopes of a function: a tree, with the path to the innermost open one.
pub(super) struct Scopes<'a> {
    all: Vec<Scope<'a>>,
    current: usize,
    depth: usize,
    /// How many variables each name has.
    variables: HashMap<&'a str, usize>,
    pub(super) registers: Vec<Register>,
    pub(super) labels: Vec<usize>,
    pub(super) label_names: Vec<String>,
    tables: Vec<Table<'a>>,
}

struct Table<'a> {
    name: &'a str,
    targets: Vec<Reference<'a>>,
}

#[derive(Default)]
struct Scope<'a> {
    parent: Option<usize>,
    names: HashMap<&'a str, Meaning>,
    families: HashMap<&'a str, Family>,
    labels: HashMap<&'a str, LabelId>,
    tables: HashMap<&'a str, TableId>,
}

/// `%r<100>`: the registers `%r0` to `%r99`.
struct Family {
    count: u64,
    class: RegisterClass,
}

impl<'a> Scopes<'a> {
    /// The scope of a function's body.
    pub(super) fn new() -> Scopes<'a> {
        Scopes {
            all: vec![Scope::default()],
            current: 0,
            depth: 0,
            variables: HashMap::new(),
            registers: Vec::new(),
            labels: Vec::new(),
            label_names: Vec::new(),
            tables: Vec::new(),
        }
    }

    /// Opens a scope inside the current one.
    pub(super) fn open(&mut self, position: Position) -> Parsed<()> {
        if self.depth == MAX_NESTING {
            return Err(SyntaxError::at(position, format!("scopes nest more than {MAX_NESTING} deep")));
        }
        self.all.push(Scope { parent: Some(self.current), ..Scope::default() });
        self.current = self.all.len() - 1;
        self.depth += 1;
        Ok(())
    }

    /// Closes the current scope; false if it is the body.
    pub(super) fn close(&mut self) -> bool {
        let Some(parent) = self.all[self.current].parent else { return false };
        self.current = parent;
        self.depth -= 1;
        true
    }

    pub(super) fn register(&mut self, name: &'a str, class: RegisterClass, position: Position) -> Parsed<()> {
        let id = new_register(&mut self.registers, name, class);
        self.declare(name, Meaning::Register(id), position)
    }

    pub(super) fn family(&mut self, family: &'a str, count: u64, class: RegisterClass, at: Position) -> Parsed<()> {
        if count > MAX_FAMILY {
            return Err(SyntaxError::at(at, format!("`{family}<{count}>` has more than {MAX_FAMILY} registers")));
        }
        match self.all[self.current].families.insert(family, Family { count, class }) {
            None => Ok(()),
            Some(_) => Err(SyntaxError::at(at, format!("`{family}<…>` is declared twice in this scope"))),
        }
    }

    /// Declares a variable and gives the name that it has in the whole function.
    pub(super) fn variable(&mut self, name: &'a str, position: Position) -> Parsed<String> {
        let count = self.variables.entry(name).or_default();
        let earlier = *count;
        *count += 1;
        self.declare(name, Meaning::Variable(earlier), position)?;
        Ok(unique_name(name, earlier))
    }

    /// What a name means here, if it was declared inside the function.
    pub(super) fn find(&mut self, name: &'a str) -> Option<Meaning> {
        let mut next = Some(self.current);
        while let Some(at) = next {
            let scope = &mut self.all[at];
            if let Some(meaning) = scope.names.get(name) {
                return Some(*meaning);
            }
            if let Some(class) = scope.member(name) {
                let meaning = Meaning::Register(new_register(&mut self.registers, name, class));
                scope.names.insert(name, meaning);
                return Some(meaning);
            }
            next = scope.parent;
        }
        None
    }

    /// Declares a label before the instruction with this index.
    pub(super) fn label(&mut self, name: &'a str, index: usize, position: Position) -> Parsed<()> {
        let id = LabelId(self.labels.len() as u32);
        if self.all[self.current].labels.insert(name, id).is_some() {
            return Err(SyntaxError::at(position, format!("the label `{name}` is defined twice in this scope")));
        }
        self.labels.push(index);
        self.label_names.push(name.to_owned());
        Ok(())
    }

    /// Declares a table of branch targets.
    pub(super) fn table(&mut self, name: &'a str, targets: Vec<Reference<'a>>, position: Position) -> Parsed<()> {
        let id = TableId(self.tables.len() as u32);
        if self.all[self.current].tables.insert(name, id).is_some() {
            return Err(SyntaxError::at(position, format!("the table `{name}` is defined twice in this scope")));
        }
        self.tables.push(Table { name, targets });
        Ok(())
    }

    /// A name that is used here.
    pub(super) fn reference(&self, name: &'a str, position: Position) -> Reference<'a> {
        Reference { name, position, scope: self.current }
    }

    /// The label that a reference means.
    pub(super) fn find_label(&self, reference: &Reference<'a>) -> Parsed<LabelId> {
        self.search(reference, "label", |scope| scope.labels.get(reference.name).copied())
    }

    /// The table that a reference means.
    pub(super) fn find_table(&self, reference: &Reference<'a>) -> Parsed<TableId> {
        self.search(reference, "table of branch targets", |scope| scope.tables.get(reference.name).copied())
    }

    /// All tables with their labels.
    pub(super) fn branch_tables(&self) -> Parsed<Vec<BranchTable>> {
        let table = |table: &Table<'a>| {
            let targets = table.targets.iter().map(|target| self.find_label(target)).collect::<Parsed<_>>()?;
            Ok(BranchTable { name: table.name.to_owned(), targets })
        };
        self.tables.iter().map(table).collect()
    }

    fn search<T>(&self, reference: &Reference<'a>, what: &str, find: impl Fn(&Scope<'a>) -> Option<T>) -> Parsed<T> {
        let mut next = Some(reference.scope);
        while let Some(at) = next {
            if let Some(found) = find(&self.all[at]) {
                return Ok(found);
            }
            next = self.all[at].parent;
        }
        Err(SyntaxError::at(reference.position, format!("the {what} `{}` is not defined", reference.name)))
    }

    fn declare(&mut self, name: &'a str, meaning: Meaning, position: Position) -> Parsed<()> {
        match self.all[self.current].names.insert(name, meaning) {
            None => Ok(()),
            Some(_) => Err(SyntaxError::at(position, format!("`{name}` is declared twice in this scope"))),
        }
    }
}

impl Scope<'_> {
    /// The class of a member of a family.
    fn member(&self, name: &str) -> Option<RegisterClass> {
        if self.families.is_empty() {
            return None;
        }
        let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
        // The name of a family may end in digits itself.
        (1..=digits.min(MAX_DIGITS)).find_map(|count| {
            let (prefix, number) = name.split_at(name.len() - count);
            let family = self.families.get(prefix)?;
            let canonical = count == 1 || !number.starts_with('0');
            (canonical && number.parse::<u64>().ok()? < family.count).then_some(family.class)
        })
    }
}

/// The name of a variable among others of its name; [`plain_name`] undoes it.
pub(super) fn unique_name(name: &str, earlier: usize) -> String {
    if earlier == 0 { name.to_owned() } else { format!("{name}#{earlier}") }
}

/// The name as the text has it.
pub(super) fn plain_name(name: &str) -> &str {
    name.split_once('#').map_or(name, |(plain, _)| plain)
}

fn new_register(registers: &mut Vec<Register>, name: &str, class: RegisterClass) -> RegisterId {
    registers.push(Register { name: name.to_owned(), class });
    RegisterId(registers.len() as u32 - 1)
}
