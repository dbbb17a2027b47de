//! From syntax to something that runs: registers become rows, labels become places, spellings become functions.

use crate::isa::Form;
use crate::isa::form::{EffectFn, Flow, LaneFn};
use crate::machine::exchange::Exchange;

/// Most rows that an instruction names.
pub(crate) const MOST_ROWS: usize = 16;

/// One instruction, ready to run.
pub(crate) struct Instruction {
    /// What it does.
    pub(crate) run: Run,
    /// The rows that it names, in written order; lists are laid out flat, addresses are in `address`.
    pub(crate) rows: [u16; MOST_ROWS],
    /// The predicate that lets a lane execute, or [`ALWAYS`].
    pub(crate) guard: u16,
    /// A bit for each of `rows` that is a row of wides where either width is allowed.
    pub(crate) wides: u16,
    /// The places in memory that it names.
    pub(crate) addresses: [Address; 2],
    /// The value of its [`crate::isa::form::Operand::Number`].
    pub(crate) number: i64,
    /// What the form noted about its modifiers.
    pub(crate) note: u32,
    /// Where a branch goes.
    pub(crate) target: u32,
    /// Its row of the table.
    pub(crate) form: &'static Form,
}

/// The guard of an instruction that every lane executes.
pub(crate) const ALWAYS: u16 = 0x7FFF;

/// An address operand: a register and an offset.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Address {
    /// The row of the register.
    pub(crate) row: u16,
    /// Whether it is a row of wides.
    pub(crate) wide: bool,
    /// Bytes added to it.
    pub(crate) offset: i64,
}

/// [`crate::isa::form::Action`], chosen for this instruction and this host.
#[derive(Clone, Copy)]
pub(crate) enum Run {
    Lanes(LaneFn),
    Effect(EffectFn),
    Aligned(EffectFn),
    Exchange(fn(&mut Exchange)),
    Flow(Flow),
}
