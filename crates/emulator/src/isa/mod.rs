//! The instruction table: every form that the emulator knows, once.
//!
//! Decoder, executor, printer and `docs/isa.md` all read these rows. A spelling that no row has is refused with its line.

mod approximate;
mod bits;
mod carry;
mod compare;
mod convert;
mod exchange;
mod float;
pub(crate) mod form;
mod half;
mod integer;
mod note;
mod permute;
mod select;

pub(crate) use form::Form;

/// All rows, by family.
const TABLES: &[&[Form]] = &[
    integer::FORMS,
    carry::FORMS,
    bits::FORMS,
    permute::FORMS,
    float::FORMS,
    half::FORMS,
    approximate::FORMS,
    convert::integer::FORMS,
    convert::float::FORMS,
    convert::packed::FORMS,
    compare::FORMS,
    select::FORMS,
    exchange::FORMS,
];

/// The rows whose opcode is this one.
pub(crate) fn forms(opcode: &str) -> impl Iterator<Item = &'static Form> {
    TABLES.iter().flat_map(|table| table.iter()).filter(move |form| form.opcode() == opcode)
}

#[cfg(test)]
mod tests;
