//! Integer arithmetic.

use super::form::operands::{TO_W, W};
use super::form::{Family, Form, lanes};

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[Form {
    spelling: "add{.u32|.s32}",
    operands: &[TO_W, W, W],
    family: Family::Integer,
    meaning: "d = a + b, modulo 2^32",
    action: lanes!(|a: u32, b: u32| -> u32 { a.wrapping_add(b) }),
}];
