//! The instruction table: every form that the emulator knows, once.
//!
//! Decoder, executor, printer and `docs/isa.md` all read these rows. A spelling that no row has is refused with its line.

mod control;
mod copies;
pub(crate) mod form;
mod integer;
mod memory;
pub(crate) mod tensor;

use std::collections::HashMap;
use std::sync::LazyLock;

pub(crate) use form::Form;

/// All rows, by family.
const TABLES: &[&[Form]] = &[integer::FORMS, memory::FORMS, copies::FORMS, tensor::FORMS, control::FORMS];

static BY_OPCODE: LazyLock<HashMap<&str, Vec<&Form>>> = LazyLock::new(|| {
    let mut out: HashMap<&str, Vec<&Form>> = HashMap::new();
    for form in TABLES.iter().flat_map(|table| table.iter()) {
        out.entry(form.opcode()).or_default().push(form);
    }
    out
});

/// The rows whose opcode is this one.
pub(crate) fn forms(opcode: &str) -> impl Iterator<Item = &'static Form> {
    BY_OPCODE.get(opcode).into_iter().flatten().copied()
}
