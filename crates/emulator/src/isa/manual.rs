//! The instruction table as others see it.

use std::fmt::Write;

use super::form::{Class, Form, Operand};
use super::{TABLES, form::Family};

/// A row of the instruction table: one instruction with the variants that share its meaning.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub struct FormInfo {
    /// Opcode and modifiers: `{.a|.b}` is a choice, `[.a|.b]` may be absent.
    pub spelling: &'static str,
    /// The operands in written order, such as `to word, word, [address]`: what is written begins with `to`, `|` parts the
    /// halves of a pair, `{…}` is a list in braces, and `value` is a register of any width.
    pub operands: String,
    /// Which execution unit serves it, as [`crate::Stats::families`] names them.
    pub family: &'static str,
    /// What it does: d or p stands for the first result, a, b and c for the operands that are read.
    pub meaning: &'static str,
}

/// All rows of the instruction table: what the emulator executes, and nothing else.
///
/// ```
/// let shift = ptx_emulator::forms().find(|form| form.spelling == "shf.l.wrap.b32").unwrap();
/// assert_eq!(shift.operands, "to word, word, word, word");
/// ```
pub fn forms() -> impl Iterator<Item = FormInfo> {
    TABLES.iter().flat_map(|table| table.iter()).map(FormInfo::of)
}

impl FormInfo {
    pub(crate) fn of(form: &Form) -> FormInfo {
        let operands: Vec<_> = form.operands.iter().map(|operand| describe(*operand)).collect();
        FormInfo {
            spelling: form.spelling,
            operands: operands.join(", "),
            family: form.family.name(),
            meaning: form.meaning,
        }
    }
}

fn describe(operand: Operand) -> String {
    match operand {
        Operand::In(class) => class.name().to_owned(),
        Operand::Out(class) => format!("to {}", class.name()),
        Operand::OutPair(first, second) => format!("to {}|{}", first.name(), second.name()),
        Operand::InAny => "value".to_owned(),
        Operand::OutAny => "to value".to_owned(),
        Operand::OutList(class) => format!("to {{{}, …}}", class.name()),
        Operand::InList(class) => format!("{{{}, …}}", class.name()),
        Operand::InListAny => "{value, …}".to_owned(),
        Operand::OutListAny => "to {value, …}".to_owned(),
        Operand::InBraces(class, count) => format!("{count} {}s in braces", class.name()),
        Operand::OutBraces(class, count) => format!("to {count} {}s in braces", class.name()),
        Operand::Address => "[address]".to_owned(),
        Operand::Mbarrier => "[mbarrier]".to_owned(),
        Operand::Box => "[tensor map, {word, …}]".to_owned(),
        Operand::Clock(class) => format!("clock of a {}", class.name()),
        Operand::Label => "label".to_owned(),
        Operand::Number => "number".to_owned(),
        Operand::Accumulators => "to and from {word, …}".to_owned(),
        Operand::Sign => "1 or -1".to_owned(),
        Operand::Flag => "0 or 1".to_owned(),
    }
}

impl Class {
    fn name(self) -> &'static str {
        match self {
            Class::Predicate => "predicate",
            Class::Word => "word",
            Class::Wide => "wide",
        }
    }
}

/// The instruction table as a page of Markdown: `docs/isa.md`.
pub fn isa_markdown() -> String {
    let mut page = String::from(
        "# Instructions of the emulator\n\n\
         Every PTX instruction that `ptx-emulator` executes; any other is refused with its line. In a spelling `{.a|.b}` is a\n\
         choice and `[.a|.b]` may be absent; modifiers may come in any order, but types keep theirs. Of the operands, *word* is\n\
         a register of 16 or 32 bits, *wide* one of 64, *value* one of any width, and *to* marks what is written. A meaning\n\
         calls the first result d, or p if it is a predicate, and the operands that are read a, b and c.\n\n\
         *This file is generated from the instruction table: `BLESS=1 cargo test -p ptx-emulator --test isa`.*\n",
    );
    let rows: Vec<_> = forms().collect();
    for family in Family::ALL.map(Family::name) {
        let _ = write!(page, "\n## {family}\n\n| spelling | operands | meaning |\n|---|---|---|\n");
        for FormInfo { spelling, operands, meaning, .. } in rows.iter().filter(|row| row.family == family) {
            let [spelling, operands, meaning] =
                [spelling, operands.as_str(), meaning].map(|text| text.replace('|', "\\|"));
            let _ = writeln!(page, "| `{spelling}` | {operands} | {meaning} |");
        }
    }
    page
}
