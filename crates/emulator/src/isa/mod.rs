//! The instruction table: every form that the emulator knows, once.
//!
//! Decoder, executor, printer and `docs/isa.md` all read these rows. A spelling that no row has is refused with its line.

pub(crate) mod form;
mod integer;

pub(crate) use form::Form;

/// All rows, by family.
const TABLES: &[&[Form]] = &[integer::FORMS];

/// The rows whose opcode is this one.
pub(crate) fn forms(opcode: &str) -> impl Iterator<Item = &'static Form> {
    TABLES.iter().flat_map(|table| table.iter()).filter(move |form| form.opcode() == opcode)
}
