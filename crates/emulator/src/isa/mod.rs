//! The instruction table: every form that the emulator knows, once.
//!
//! Decoder, executor, printer and `docs/isa.md` all read these rows. A spelling that no row has is refused with its line.

mod approximate;
pub(crate) mod atomic;
mod bits;
mod bulk;
mod carry;
pub(crate) mod cluster;
mod compare;
pub(crate) mod control;
mod convert;
mod copies;
mod exchange;
mod fences;
mod float;
pub(crate) mod form;
mod fragments;
mod half;
mod integer;
pub(crate) mod manual;
mod mbarrier;
mod memory;
mod mixed;
mod note;
mod permute;
mod runtime;
mod select;
pub(crate) mod tensor;
#[cfg(test)]
mod tests;
pub(crate) mod wgmma;

use std::collections::HashMap;
use std::sync::LazyLock;

pub(crate) use form::Form;
use form::Spelled;

/// All rows, by family.
const TABLES: &[&[Form]] = &[
    integer::FORMS,
    carry::FORMS,
    bits::FORMS,
    permute::FORMS,
    float::FORMS,
    half::FORMS,
    mixed::FORMS,
    approximate::FORMS,
    convert::integer::FORMS,
    convert::float::FORMS,
    convert::packed::FORMS,
    compare::FORMS,
    select::FORMS,
    exchange::FORMS,
    memory::FORMS,
    atomic::FORMS,
    copies::FORMS,
    mbarrier::FORMS,
    bulk::FORMS,
    cluster::FORMS,
    fences::FORMS,
    fragments::FORMS,
    tensor::FORMS,
    wgmma::FORMS,
    control::FORMS,
    runtime::FORMS,
];

static BY_OPCODE: LazyLock<HashMap<&str, Vec<Spelled>>> = LazyLock::new(|| {
    let mut out: HashMap<&str, Vec<Spelled>> = HashMap::new();
    for form in TABLES.iter().flat_map(|table| table.iter()) {
        out.entry(form.opcode()).or_default().push(Spelled::new(form));
    }
    out
});

/// The rows whose opcode is this one.
pub(crate) fn forms(opcode: &str) -> impl Iterator<Item = &'static Spelled> {
    BY_OPCODE.get(opcode).into_iter().flatten()
}
