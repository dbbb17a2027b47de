//! The names that a strategy declares.

use std::collections::BTreeMap;

use sparsym_ir::lets::LetId;
use sparsym_ir::strategy::{InputId, MapId, ParamId, RangeId, Strategy, TableId};
use sparsym_ir::{Code, Finding, Findings, Span};

use crate::syntax::ast::Name;
use crate::syntax::words::{closest, reserved};

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Symbol {
    Param(ParamId),
    Table(TableId),
    Input(InputId),
    Range(RangeId),
    /// A value, and its operands.
    Let(LetId, usize),
    Map(MapId),
    /// Its declaration is wrong; reading it is not reported again.
    Poisoned,
}

struct Entry {
    symbol: Symbol,
    span: Span,
    read: bool,
    /// Whether the author declared it; names that are only read stand here too, so that they are reported once.
    declared: bool,
}

/// What is to be read, so that no other name is suggested.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    /// A token range.
    Range,
    /// An input.
    Input,
    /// An input or a map, which are read at blocks or tokens.
    Indexed,
    /// Anything that has a value.
    Value,
}

impl Wanted {
    fn takes(self, symbol: &Symbol) -> bool {
        match symbol {
            Symbol::Poisoned => true,
            Symbol::Range(_) => self == Wanted::Range,
            Symbol::Input(_) => self != Wanted::Range,
            Symbol::Map(_) => matches!(self, Wanted::Indexed | Wanted::Value),
            Symbol::Param(_) | Symbol::Table(_) | Symbol::Let(..) => self == Wanted::Value,
        }
    }
}

/// Declared names. The map is ordered so that findings are.
pub(super) struct Scope {
    entries: BTreeMap<String, Entry>,
    /// Variables of maps. They are printed below all declarations, so no declaration may have their names.
    variables: BTreeMap<String, Span>,
    /// Names that may still be compared with one that is not defined.
    comparisons: usize,
    /// Operands that expressions may still have, `let` names replaced.
    operands: usize,
}

/// Names that are compared, for all hints together: each mistake on its own would look at every name.
const MOST_COMPARISONS: usize = 400_000;
/// Operands of all expressions of a strategy after their `let` names are replaced.
pub(super) const MOST_OPERANDS: usize = 1 << 20;

impl Scope {
    pub(super) fn new(poisoned: &[String]) -> Scope {
        let entry = |name: &String| {
            let entry = Entry { symbol: Symbol::Poisoned, span: Span::default(), read: true, declared: true };
            (name.clone(), entry)
        };
        Scope {
            entries: poisoned.iter().map(entry).collect(),
            variables: BTreeMap::new(),
            comparisons: MOST_COMPARISONS,
            operands: MOST_OPERANDS,
        }
    }

    /// Whether the name is free to be declared; a clash is a finding, and the first declaration stays.
    pub(super) fn claim(&mut self, name: &Name, findings: &mut Findings) -> bool {
        let (span, text) = (name.span, &name.text);
        if let Some(first) = self.entries.get(text) {
            // After a mistake in the first declaration nothing is known of the second.
            if !matches!(first.symbol, Symbol::Poisoned) {
                let message = format!("`{text}` is declared twice");
                let finding = Finding::at(Code::DuplicateName, span, message, "rename one of them");
                findings.push(finding.label(first.span, "first declared here"));
            }
            return false;
        }
        if let Some(&first) = self.variables.get(text) {
            let message = format!("`{text}` is a variable of a map already");
            let finding = Finding::at(Code::DuplicateName, span, message, "rename one of them");
            findings.push(finding.label(first, "the variable"));
            self.declare(name, Symbol::Poisoned);
            return false;
        }
        if let Some(use_) = reserved(text) {
            let message = format!("`{text}` is {use_}");
            findings.push(Finding::at(Code::ReservedName, span, message, "choose another name"));
            self.declare(name, Symbol::Poisoned);
            return false;
        }
        true
    }

    /// Declares a name that is free.
    pub(super) fn declare(&mut self, name: &Name, symbol: Symbol) {
        self.entries.insert(name.text.clone(), Entry { symbol, span: name.span, read: false, declared: true });
    }

    /// Keeps the name of a map's variable from being declared later.
    pub(super) fn keep_variable(&mut self, name: &str, span: Span) {
        self.variables.entry(name.to_owned()).or_insert(span);
    }

    /// The symbol of a name, without reading it.
    pub(super) fn peek(&self, name: &str) -> Option<&Symbol> {
        self.entries.get(name).map(|entry| &entry.symbol)
    }

    /// The symbol of a name. None, after a finding, if there is none.
    pub(super) fn read(&mut self, name: &Name, wanted: Wanted, findings: &mut Findings) -> Option<Symbol> {
        self.read_or(name, wanted, &[], findings)
    }

    /// As [`read`](Self::read); `others` are further names that the author may have meant.
    pub(super) fn read_or(
        &mut self,
        name: &Name,
        wanted: Wanted,
        others: &[&str],
        findings: &mut Findings,
    ) -> Option<Symbol> {
        if let Some(entry) = self.entries.get_mut(&name.text) {
            entry.read = true;
            return Some(entry.symbol.clone());
        }
        let fit = self.entries.iter().take(self.comparisons);
        let fit = fit.filter(|(_, entry)| entry.declared && wanted.takes(&entry.symbol)).map(|(name, _)| name.as_str());
        self.comparisons -= self.entries.len().min(self.comparisons);
        let help = match closest(&name.text, fit.chain(others.iter().copied())) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => "declare it above with `param`, `table`, `input`, `tokens` or `let`".to_owned(),
        };
        findings.push(Finding::at(Code::UndefinedName, name.span, format!("`{}` is not defined", name.text), help));
        // Once is enough.
        let entry = Entry { symbol: Symbol::Poisoned, span: name.span, read: true, declared: false };
        self.entries.insert(name.text.clone(), entry);
        None
    }

    /// Takes operands from those that the strategy may have; whether there were as many.
    pub(super) fn spend(&mut self, operands: usize) -> bool {
        let left = self.operands.checked_sub(operands);
        self.operands = left.unwrap_or(0);
        left.is_some()
    }

    /// Whether the name's declaration is wrong, or its absence was reported already.
    pub(super) fn is_poisoned(&self, name: &str) -> bool {
        self.entries.get(name).is_some_and(|entry| matches!(entry.symbol, Symbol::Poisoned))
    }

    /// The place of a declaration.
    pub(super) fn place(&self, name: &str) -> Option<Span> {
        self.entries.get(name).map(|entry| entry.span)
    }
}

/// The kind of a symbol in words.
pub(super) fn describe(symbol: &Symbol) -> &'static str {
    match symbol {
        Symbol::Param(_) => "a param",
        Symbol::Table(_) => "a table",
        Symbol::Input(_) => "an input",
        Symbol::Range(_) => "a token range",
        Symbol::Let(..) => "a `let` value",
        Symbol::Map(_) => "a map",
        Symbol::Poisoned => "unknown",
    }
}

/// Token ranges by name, for a hint.
pub(super) fn range_names(strategy: &Strategy) -> String {
    const MOST: usize = 10;
    let names: Vec<String> = strategy.tokens.iter().take(MOST).map(|range| format!("`{}`", range.name)).collect();
    match strategy.tokens.len() {
        0 => "declare ranges with `tokens text, vision;`".to_owned(),
        1..=MOST => format!("the ranges are {}", names.join(", ")),
        all => format!("the ranges are {} and {} more", names.join(", "), all - MOST),
    }
}
