//! Atomic operations in memory: lanes one after the other, in ascending order.

use super::form::{Action, Chosen, Family, Form, Operand, effect};
use super::memory::named_space;
use crate::decode::Instruction;
use crate::machine::context::{Effect, Shape, Signed};
use crate::memory::Space;
use crate::numeric::NAN_F32;
use crate::numeric::half::{self, Bf16, F16};
use crate::tensor_map::Element;
use crate::trap::Fault;

macro_rules! atomic {
    ($opcode:literal, $operations:literal, $types:literal, $operands:expr, $first:literal, $meaning:literal) => {
        Form {
            spelling: concat!(
                $opcode,
                "[.relaxed|.acquire|.release|.acq_rel][.cta|.cluster|.gpu|.sys][.global|.shared|.shared::cta|.shared::cluster]",
                $operations,
                "[.noftz]",
                $types,
            ),
            operands: $operands,
            family: Family::Atomic,
            meaning: $meaning,
            action: Action::Choose(|chosen, ins| {
                ins.note = Change::of(chosen)?.note(named_space(chosen));
                Some(effect!(Effect, |effect, ins| { change(effect, ins, $first) }))
            }),
        }
    };
}

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    atomic!(
        "atom",
        "{.and|.or|.xor|.exch|.add|.inc|.dec|.min|.max}",
        "{.b32|.u32|.s32|.b64|.u64|.s64|.f32|.f64|.f16x2|.bf16x2|.f16|.bf16}",
        &[Operand::OutAny, Operand::Address, Operand::InAny],
        1,
        "d = value at [a]; then the value becomes itself, combined with b"
    ),
    atomic!(
        "atom",
        "{.cas}",
        "{.b16|.b32|.u32|.s32|.b64|.u64|.s64}",
        &[Operand::OutAny, Operand::Address, Operand::InAny, Operand::InAny],
        1,
        "d = value at [a]; then c takes its place if it is b"
    ),
    atomic!(
        "red",
        "{.and|.or|.xor|.add|.inc|.dec|.min|.max}",
        "{.b32|.u32|.s32|.b64|.u64|.s64|.f32|.f64|.f16x2|.bf16x2|.f16|.bf16}",
        &[Operand::Address, Operand::InAny],
        0,
        "the value at [a] becomes itself, combined with b"
    ),
];

/// What happens to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Change {
    operation: Operation,
    kind: Kind,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    And,
    Or,
    Xor,
    Exchange,
    Add,
    Increment,
    Decrement,
    Least,
    Most,
    CompareAndSwap,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    B16,
    U32,
    S32,
    U64,
    S64,
    F32,
    F64,
    F16,
    Bf16,
    F16x2,
    Bf16x2,
}

const OPERATIONS: [(&str, Operation); 10] = [
    ("and", Operation::And),
    ("or", Operation::Or),
    ("xor", Operation::Xor),
    ("exch", Operation::Exchange),
    ("add", Operation::Add),
    ("inc", Operation::Increment),
    ("dec", Operation::Decrement),
    ("min", Operation::Least),
    ("max", Operation::Most),
    ("cas", Operation::CompareAndSwap),
];

const KINDS: [(&str, Kind); 13] = [
    ("b16", Kind::B16),
    ("b32", Kind::U32),
    ("u32", Kind::U32),
    ("s32", Kind::S32),
    ("b64", Kind::U64),
    ("u64", Kind::U64),
    ("s64", Kind::S64),
    ("f32", Kind::F32),
    ("f64", Kind::F64),
    ("f16", Kind::F16),
    ("bf16", Kind::Bf16),
    ("f16x2", Kind::F16x2),
    ("bf16x2", Kind::Bf16x2),
];

impl Change {
    /// What the modifiers say, if PTX has it.
    pub(super) fn of(chosen: &Chosen<'_>) -> Option<Change> {
        let operation = OPERATIONS.iter().find(|(word, _)| chosen.has(word))?.1;
        let kind = KINDS.iter().find(|(word, _)| *word == chosen.last())?.1;
        let change = Change { operation, kind };
        change.exists().then_some(change)
    }

    /// The number of an operation.
    pub(super) fn operation_note(word: &str) -> Option<u32> {
        OPERATIONS.iter().position(|(known, _)| *known == word).map(|at| at as u32)
    }

    /// The operation of a number on elements of a tensor, if there is one.
    pub(super) fn of_elements(operation: u32, element: Element) -> Option<Change> {
        let kind = match element {
            Element::U8 | Element::U16 => return None,
            Element::U32 => Kind::U32,
            Element::S32 => Kind::S32,
            Element::U64 => Kind::U64,
            Element::S64 => Kind::S64,
            Element::F16 => Kind::F16,
            Element::F32 => Kind::F32,
            Element::F64 => Kind::F64,
            Element::Bf16 => Kind::Bf16,
        };
        let change = Change { operation: OPERATIONS.get(operation as usize)?.1, kind };
        change.exists().then_some(change)
    }

    /// Whether PTX has it.
    fn exists(self) -> bool {
        let Change { operation, kind } = self;
        let logical = matches!(operation, Operation::And | Operation::Or | Operation::Xor);
        let float = !matches!(kind, Kind::B16 | Kind::U32 | Kind::S32 | Kind::U64 | Kind::S64);
        match operation {
            Operation::CompareAndSwap => !float,
            Operation::Exchange => !float && kind != Kind::B16,
            Operation::Increment | Operation::Decrement => kind == Kind::U32,
            Operation::Least | Operation::Most => kind != Kind::B16 && !matches!(kind, Kind::F32 | Kind::F64),
            _ if logical => matches!(kind, Kind::U32 | Kind::U64),
            _ => kind != Kind::B16,
        }
    }

    /// As a number.
    pub(super) fn note(self, space: Option<Space>) -> u32 {
        let place = OPERATIONS.iter().position(|(_, known)| *known == self.operation).unwrap_or(0);
        let kind = KINDS.iter().position(|(_, known)| *known == self.kind).unwrap_or(0);
        let space = match space {
            None => 0,
            Some(Space::Global) => 1,
            Some(_) => 2,
        };
        (place | kind << 4 | space << 8) as u32
    }

    /// From a number.
    pub(super) fn from_note(note: u32) -> (Change, Option<Space>) {
        let operation = OPERATIONS[(note & 15) as usize % OPERATIONS.len()].1;
        let kind = KINDS[(note >> 4 & 15) as usize % KINDS.len()].1;
        let space = [None, Some(Space::Global), Some(Space::Shared)][(note >> 8 & 3) as usize % 3];
        (Change { operation, kind }, space)
    }

    /// Bytes of the value.
    pub(crate) fn bytes(self) -> usize {
        match self.kind {
            Kind::B16 | Kind::F16 | Kind::Bf16 => 2,
            Kind::U64 | Kind::S64 | Kind::F64 => 8,
            _ => 4,
        }
    }

    /// The value after the operation; `c` is what compare-and-swap puts in place.
    pub(crate) fn apply(self, old: u64, b: u64, c: u64, space: Space) -> u64 {
        let one = |function: fn(u32, u32) -> u32| u64::from(function(old as u32, b as u32));
        let both =
            |function: fn(u32, u32) -> u32| one(function) | u64::from(function(old as u32 >> 16, b as u32 >> 16)) << 16;
        match (self.operation, self.kind) {
            (Operation::And, _) => old & b,
            (Operation::Or, _) => old | b,
            (Operation::Xor, _) => old ^ b,
            (Operation::Exchange, _) => b,
            (Operation::CompareAndSwap, _) => {
                if old == b {
                    c
                } else {
                    old
                }
            }
            (Operation::Increment, _) => {
                if old >= b {
                    0
                } else {
                    old + 1
                }
            }
            (Operation::Decrement, _) => {
                if old == 0 || old > b {
                    b
                } else {
                    old - 1
                }
            }
            (Operation::Add, Kind::F32) => u64::from(add_f32(old as u32, b as u32, space)),
            (Operation::Add, Kind::F64) => (f64::from_bits(old) + f64::from_bits(b)).to_bits(),
            (Operation::Add, Kind::F16) => one(half::add::<F16>),
            (Operation::Add, Kind::Bf16) => one(half::add::<Bf16>),
            (Operation::Add, Kind::F16x2) => both(half::add::<F16>),
            (Operation::Add, Kind::Bf16x2) => both(half::add::<Bf16>),
            (Operation::Add, _) => old.wrapping_add(b),
            (Operation::Least, Kind::S32) => u64::from((old as i32).min(b as i32) as u32),
            (Operation::Most, Kind::S32) => u64::from((old as i32).max(b as i32) as u32),
            (Operation::Least, Kind::S64) => (old as i64).min(b as i64) as u64,
            (Operation::Most, Kind::S64) => (old as i64).max(b as i64) as u64,
            (Operation::Least, Kind::F16) => one(half::least::<F16>),
            (Operation::Most, Kind::F16) => one(half::greatest::<F16>),
            (Operation::Least, Kind::Bf16) => one(half::least::<Bf16>),
            (Operation::Most, Kind::Bf16) => one(half::greatest::<Bf16>),
            (Operation::Least, Kind::F16x2) => both(half::least::<F16>),
            (Operation::Most, Kind::F16x2) => both(half::greatest::<F16>),
            (Operation::Least, Kind::Bf16x2) => both(half::least::<Bf16>),
            (Operation::Most, Kind::Bf16x2) => both(half::greatest::<Bf16>),
            (Operation::Least, _) => old.min(b),
            (Operation::Most, _) => old.max(b),
        }
    }
}

#[inline(always)]
fn change(effect: &mut Effect<'_>, ins: &Instruction, first: usize) -> Result<(), Box<Fault>> {
    let (change, named) = Change::from_note(ins.note);
    let shape = Shape { space: named, element: change.bytes(), count: 1, signed: Signed::No };
    let addresses = effect.addresses(ins.addresses[0]);
    effect.count_access(named.unwrap_or(Space::Global), &addresses, change.bytes());
    for lane in effect.executing() {
        let (space, address) = shape.resolve(addresses[lane]);
        let b = effect.lane(ins, first, lane);
        let c = if change.operation == Operation::CompareAndSwap { effect.lane(ins, first + 1, lane) } else { 0 };
        let old = effect.atomic(space, lane, address, change.bytes(), |old| change.apply(old, b, c, space))?;
        if first == 1 {
            effect.set_lane(ins, 0, lane, old);
        }
    }
    Ok(())
}

/// Sums of f32 in global memory flush subnormal inputs and results to zero, those in shared memory do not (PTX ISA, atom).
fn add_f32(a: u32, b: u32, space: Space) -> u32 {
    let flush =
        |value: f32| if space == Space::Global && value.is_subnormal() { 0.0f32.copysign(value) } else { value };
    let sum = flush(flush(f32::from_bits(a)) + flush(f32::from_bits(b)));
    if sum.is_nan() { NAN_F32.to_bits() } else { sum.to_bits() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(operation: Operation, kind: Kind, old: u64, b: u64) -> u64 {
        Change { operation, kind }.apply(old, b, 7, Space::Global)
    }

    #[test]
    fn operations_are_those_of_the_manual() {
        assert_eq!(apply(Operation::Increment, Kind::U32, 5, 5), 0);
        assert_eq!(apply(Operation::Increment, Kind::U32, 4, 5), 5);
        assert_eq!(apply(Operation::Decrement, Kind::U32, 0, 5), 5);
        assert_eq!(apply(Operation::Decrement, Kind::U32, 6, 5), 5);
        assert_eq!(apply(Operation::Decrement, Kind::U32, 5, 5), 4);
        assert_eq!(apply(Operation::Least, Kind::S32, 0xFFFF_FFFF, 1), 0xFFFF_FFFF);
        assert_eq!(apply(Operation::Least, Kind::U32, 0xFFFF_FFFF, 1), 1);
        assert_eq!(apply(Operation::CompareAndSwap, Kind::U32, 3, 3), 7);
        assert_eq!(apply(Operation::CompareAndSwap, Kind::U32, 4, 3), 4);
        assert_eq!(apply(Operation::Most, Kind::S64, u64::MAX, 1), 1);
        // 1.0 + 2.0 and -1.0 + 0.5 in f16.
        assert_eq!(apply(Operation::Add, Kind::F16x2, 0xBC00_3C00, 0x3800_4000), 0xB800_4200);
    }

    #[test]
    fn notes_survive() {
        for (_, operation) in OPERATIONS {
            for (_, kind) in KINDS {
                let change = Change { operation, kind };
                assert_eq!(Change::from_note(change.note(Some(Space::Shared))), (change, Some(Space::Shared)));
            }
        }
    }
}
