//! Loads and stores, and conversions of addresses between spaces.

use super::form::operands::{L, TO_L, TO_P, W};
use super::form::{Action, Chosen, Family, Form, Operand, effect, lanes};
use crate::decode::Instruction;
use crate::machine::context::{Effect, Shape, Signed};
use crate::machine::lanes::lanes_of;
use crate::memory::{Packet, Space};
use crate::trap::Fault;

/// A spelling of a load or store: opcode, space, and what only one of the two has. Hints about caches change no value.
macro_rules! access {
    ($opcode:literal, $space:literal, $hints:literal) => {
        concat!(
            $opcode,
            "[.weak|.volatile|.relaxed|.acquire|.release|.mmio][.cta|.cluster|.gpu|.sys]",
            $space,
            $hints,
            "[.L1::evict_normal|.L1::evict_unchanged|.L1::evict_first|.L1::evict_last|.L1::no_allocate]",
            "[.L2::64B|.L2::128B|.L2::256B][.v2|.v4|.v8]",
            "{.b8|.u8|.s8|.b16|.u16|.s16|.b32|.u32|.s32|.f32|.b64|.u64|.s64|.f64}",
        )
    };
}

macro_rules! load {
    ($space:literal, $family:ident, $meaning:literal) => {
        Form {
            spelling: access!("ld", $space, "[.ca|.cg|.cs|.lu|.cv][.nc]"),
            operands: &[Operand::OutListAny, Operand::Address],
            family: Family::$family,
            meaning: $meaning,
            action: Action::Choose(|chosen, ins| {
                ins.note = shape(chosen, ins)?.note();
                Some(effect!(Effect, |effect, ins| { load(effect, ins) }))
            }),
        }
    };
}

macro_rules! store {
    ($space:literal, $family:ident, $meaning:literal) => {
        Form {
            spelling: access!("st", $space, "[.wb|.cg|.cs|.wt]"),
            operands: &[Operand::Address, Operand::InListAny],
            family: Family::$family,
            meaning: $meaning,
            action: Action::Choose(|chosen, ins| {
                ins.note = shape(chosen, ins)?.note();
                Some(effect!(Effect, |effect, ins| { store(effect, ins) }))
            }),
        }
    };
}

/// Turns a generic address into one of its space, or back.
macro_rules! convert {
    ($spelling:literal, $to:expr, $from:expr, $type:ty, $meaning:literal, |$window:ident, $address:ident| $body:expr) => {
        Form {
            spelling: $spelling,
            operands: &[$to, $from],
            family: Family::Local,
            meaning: $meaning,
            action: Action::Choose(|chosen, ins| {
                ins.note = space_code(chosen);
                Some(effect!(Effect, |effect, ins| {
                    let $window = SPACES[ins.note as usize].window();
                    for lane in effect.executing() {
                        let $address = effect.lane(ins, 1, lane);
                        effect.set_lane(ins, 0, lane, $body);
                    }
                    Ok(())
                }))
            }),
        }
    };
}

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    load!(
        "{.shared|.shared::cta|.shared::cluster}",
        Shared,
        "d = shared memory at [a], element by element; narrow values are extended"
    ),
    load!("[.global]", Global, "d = global memory, or memory of the space that a generic address lies in, at [a]"),
    load!("{.local|.param|.param::entry|.const}", Local, "d = local, parameter or constant memory at [a]"),
    store!("{.shared|.shared::cta|.shared::cluster}", Shared, "shared memory at [a] = b, element by element"),
    store!("[.global]", Global, "global memory, or memory of the space that a generic address lies in, at [a] = b"),
    store!("{.local}", Local, "local memory at [a] = b"),
    convert!(
        "cvta{.global|.shared|.shared::cta|.shared::cluster|.local|.param|.const}.u64",
        TO_L,
        Operand::InAny,
        u64,
        "d = the generic address of address a of the space",
        |window, address| address.wrapping_add(window)
    ),
    convert!(
        "cvta.to{.global|.shared|.shared::cta|.shared::cluster|.local|.param|.const}.u64",
        Operand::OutAny,
        L,
        u64,
        "d = the address in the space of the generic address a",
        |window, address| address.wrapping_sub(window)
    ),
    Form {
        spelling: "isspacep{.global|.shared|.shared::cta|.shared::cluster|.local|.param|.const}",
        operands: &[TO_P, L],
        family: Family::Local,
        meaning: "p = generic address a lies in the space",
        action: Action::Choose(|chosen, ins| {
            ins.note = space_code(chosen);
            Some(effect!(Effect, |effect, ins| {
                let space = SPACES[ins.note as usize];
                let mut bits = 0;
                for lane in effect.executing() {
                    bits |= u32::from(Space::of_generic(effect.lanes.wides(ins.rows[1])[lane]).0 == space) << lane;
                }
                effect.lanes.set_predicate(ins.rows[0], bits);
                Ok(())
            }))
        }),
    },
    Form {
        spelling: "prefetch[.global|.local]{.L1|.L2|.L2::evict_last|.L2::evict_normal}",
        operands: &[Operand::Address],
        family: Family::Global,
        meaning: "a hint: no value changes",
        action: effect!(Effect, |_effect, _ins| { Ok(()) }),
    },
    Form {
        spelling: "discard[.global].L2",
        operands: &[Operand::Address, Operand::Number],
        family: Family::Global,
        meaning: "a hint: no value changes",
        action: effect!(Effect, |_effect, _ins| { Ok(()) }),
    },
    Form {
        spelling: "applypriority[.global].L2::evict_normal",
        operands: &[Operand::Address, Operand::Number],
        family: Family::Global,
        meaning: "a hint: no value changes",
        action: effect!(Effect, |_effect, _ins| { Ok(()) }),
    },
    Form {
        spelling: "createpolicy.fractional{.L2::evict_last|.L2::evict_normal|.L2::evict_first|.L2::evict_unchanged}.b64",
        operands: &[TO_L],
        family: Family::Integer,
        meaning: "d = a cache policy: a number that only hints take",
        action: lanes!(|_d: u64| -> u64 { 1 << 60 }),
    },
    Form {
        spelling: "nanosleep.u32",
        operands: &[W],
        family: Family::Control,
        meaning: "waits a while: no value changes",
        action: effect!(Effect, |_effect, _ins| { Ok(()) }),
    },
];

const SPACES: [Space; 5] = [Space::Global, Space::Shared, Space::Local, Space::Param, Space::Const];

/// The space that a form's modifiers name, as an index into [`SPACES`].
fn space_code(chosen: &Chosen<'_>) -> u32 {
    let space = named_space(chosen).unwrap_or(Space::Global);
    SPACES.iter().position(|known| *known == space).unwrap_or(0) as u32
}

/// The space that a form's modifiers name.
pub(super) fn named_space(chosen: &Chosen<'_>) -> Option<Space> {
    let names = [
        ("global", Space::Global),
        ("shared", Space::Shared),
        ("shared::cta", Space::Shared),
        ("shared::cluster", Space::Shared),
        ("local", Space::Local),
        ("param", Space::Param),
        ("param::entry", Space::Param),
        ("const", Space::Const),
    ];
    names.into_iter().find(|(name, _)| chosen.has(name)).map(|(_, space)| space)
}

/// What a load or store moves; None if the registers are not as many, or if it is more than a lane moves at once.
fn shape(chosen: &Chosen<'_>, ins: &Instruction) -> Option<Shape> {
    let kind = chosen.last();
    let bits: usize = kind.trim_start_matches(|c: char| c.is_ascii_alphabetic()).parse().unwrap_or(32);
    let count = if chosen.has("v2") {
        2
    } else if chosen.has("v4") {
        4
    } else if chosen.has("v8") {
        8
    } else {
        1
    };
    let signed = if kind.starts_with('s') { Signed::Yes } else { Signed::No };
    let shape = Shape { space: named_space(chosen), element: bits / 8, count, signed };
    (usize::from(ins.row_count) == count && shape.bytes() <= size_of::<Packet>()).then_some(shape)
}

#[inline(always)]
fn load(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    let shape = Shape::of(ins);
    let addresses = effect.addresses(ins.addresses[0]);
    effect.count_access(shape.space.unwrap_or(Space::Global), &addresses, shape.bytes());
    for lane in effect.executing() {
        let (space, address) = shape.resolve(addresses[lane]);
        if ins.number != 0 {
            load_used(effect, ins, shape, lane, address)?;
            continue;
        }
        let packet = effect.load(space, lane, address, shape.bytes())?;
        for at in 0..shape.count {
            effect.set_lane(ins, at, lane, element(&packet, at, shape));
        }
    }
    Ok(())
}

/// A load that the compiler widened: only the elements that it says it uses are read.
#[cold]
fn load_used(
    effect: &mut Effect<'_>,
    ins: &Instruction,
    shape: Shape,
    lane: usize,
    address: u64,
) -> Result<(), Box<Fault>> {
    let one = Shape { count: 1, ..shape };
    let space = shape.space.unwrap_or(Space::Global);
    for at in 0..shape.count {
        let used = ins.number as u64 >> (at * shape.element) & ((1 << shape.element) - 1);
        // NVRTC 13.0 merges such loads of parameters and keeps the mask of one of them; the machine code reads all of them.
        if used != 0 || space == Space::Param {
            let packet = effect.load(space, lane, address.wrapping_add((at * shape.element) as u64), shape.element)?;
            effect.set_lane(ins, at, lane, element(&packet, 0, one));
        }
    }
    Ok(())
}

#[inline(always)]
fn store(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    let shape = Shape::of(ins);
    match (shape.element, shape.count) {
        // Nearly always. With the size known, a lane's part is a few instructions.
        (4, 1) => store_lanes(effect, ins, Shape { element: 4, count: 1, ..shape }),
        (4, 4) => store_lanes(effect, ins, Shape { element: 4, count: 4, ..shape }),
        _ => store_lanes(effect, ins, shape),
    }
}

#[inline(always)]
fn store_lanes(effect: &mut Effect<'_>, ins: &Instruction, shape: Shape) -> Result<(), Box<Fault>> {
    let addresses = effect.addresses(ins.addresses[0]);
    effect.count_access(shape.space.unwrap_or(Space::Global), &addresses, shape.bytes());
    let mut storing = effect.lanes.mask();
    if matches!(shape.space, None | Some(Space::Shared)) {
        let packet = |effect: &Effect<'_>, lane| packet(effect, ins, shape, lane);
        storing = effect.storing(storing, shape, &addresses, packet)?;
    }
    for lane in lanes_of(storing) {
        let (space, address) = shape.resolve(addresses[lane]);
        let packet = packet(effect, ins, shape, lane);
        effect.store(space, lane, address, shape.bytes(), &packet)?;
    }
    Ok(())
}

/// What a lane stores.
#[inline(always)]
fn packet(effect: &Effect<'_>, ins: &Instruction, shape: Shape, lane: usize) -> Packet {
    let mut packet = [0; 8];
    for at in 0..shape.count {
        put(&mut packet, at, shape.element, effect.lane(ins, at, lane));
    }
    packet
}

/// An element of what was read, extended to 64 bits.
#[inline(always)]
fn element(packet: &Packet, at: usize, shape: Shape) -> u64 {
    let raw = match shape.element {
        8 => u64::from(packet[2 * at]) | u64::from(packet[2 * at + 1]) << 32,
        4 => u64::from(packet[at]),
        bytes => u64::from(packet[at * bytes / 4] >> (at * bytes % 4 * 8)) & ((1 << (8 * bytes)) - 1),
    };
    match shape.signed {
        Signed::No => raw,
        Signed::Yes => {
            let unused = 64 - 8 * shape.element;
            ((raw << unused) as i64 >> unused) as u64
        }
    }
}

/// Puts an element into what will be written.
#[inline(always)]
fn put(packet: &mut Packet, at: usize, bytes: usize, value: u64) {
    match bytes {
        8 => (packet[2 * at], packet[2 * at + 1]) = (value as u32, (value >> 32) as u32),
        4 => packet[at] = value as u32,
        _ => packet[at * bytes / 4] |= (value as u32 & ((1 << (8 * bytes)) - 1)) << (at * bytes % 4 * 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_are_extended_by_their_type() {
        let packet = [0x8001_FF7F, 0x1234_5678, 0, 0, 0, 0, 0, 0];
        let shape = |element, signed| Shape { space: None, element, count: 4, signed };
        assert_eq!(element(&packet, 0, shape(1, Signed::Yes)), 0x7F);
        assert_eq!(element(&packet, 1, shape(1, Signed::Yes)), u64::MAX);
        assert_eq!(element(&packet, 1, shape(2, Signed::Yes)), 0xFFFF_FFFF_FFFF_8001);
        assert_eq!(element(&packet, 1, shape(2, Signed::No)), 0x8001);
        assert_eq!(element(&packet, 0, shape(8, Signed::No)), 0x1234_5678_8001_FF7F);
        assert_eq!(element(&packet, 0, shape(4, Signed::Yes)), 0xFFFF_FFFF_8001_FF7F);
    }

    #[test]
    fn elements_are_put_where_they_are_found() {
        let mut packet = [0; 8];
        put(&mut packet, 3, 1, 0xAB);
        put(&mut packet, 2, 2, 0x1_CDEF);
        assert_eq!(packet[..2], [0xAB00_0000, 0xCDEF]);
    }
}
