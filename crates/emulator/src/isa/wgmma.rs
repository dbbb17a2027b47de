//! Asynchronous matrix products of warpgroups.

use super::form::{Action, Chosen, Class, Family, Form, Operand, effect};
use crate::decode::Instruction;
use crate::machine::wgmma::{Shape, WARP_ROWS};
use crate::numeric::product::{Element, Sum};

const DESCRIPTOR: Operand = Operand::In(Class::Wide);
/// A in registers, as `mma.sync` has it.
const FRAGMENT: Operand = Operand::InBraces(Class::Word, 4);
const ADDS: Operand = Operand::In(Class::Predicate);
const D: Operand = Operand::Accumulators;
const SIGN: Operand = Operand::Sign;
const FLAG: Operand = Operand::Flag;

/// Most groups that a wait may leave.
const MOST_LEFT: i64 = 7;

/// A product, of A in shared memory or in registers.
macro_rules! product {
    ($spelling:literal, [$($operand:expr),*], $meaning:literal) => {
        Form {
            spelling: $spelling,
            operands: &[$($operand),*],
            family: Family::Tensor,
            meaning: $meaning,
            action: Action::Choose(|chosen, ins| {
                ins.note = shape(chosen, ins)?.note();
                Some(effect!(Aligned, |effect, ins| { effect.issue_product(ins) }))
            }),
        }
    };
}

/// The rows of this family. Signs negate A and B; flags say that A and B are stored along their rows and columns instead of
/// along the depth.
pub(super) const FORMS: &[Form] = &[
    product!(
        "wgmma.mma_async.sync.aligned{.m64nNk16}.f32.bf16.bf16",
        [D, DESCRIPTOR, DESCRIPTOR, ADDS, SIGN, SIGN, FLAG, FLAG],
        "starts D = A B + D, or A B if p is false; exact products, summed in f32 in the order of the depth"
    ),
    product!(
        "wgmma.mma_async.sync.aligned{.m64nNk16}.f32.bf16.bf16",
        [D, FRAGMENT, DESCRIPTOR, ADDS, SIGN, SIGN, FLAG],
        "as above, A in registers"
    ),
    product!(
        "wgmma.mma_async.sync.aligned{.m64nNk16}{.f32|.f16}.f16.f16",
        [D, DESCRIPTOR, DESCRIPTOR, ADDS, SIGN, SIGN, FLAG, FLAG],
        "as above; sums in f16 are rounded once"
    ),
    product!(
        "wgmma.mma_async.sync.aligned{.m64nNk16}{.f32|.f16}.f16.f16",
        [D, FRAGMENT, DESCRIPTOR, ADDS, SIGN, SIGN, FLAG],
        "as above, A in registers"
    ),
    product!(
        "wgmma.mma_async.sync.aligned{.m64nNk8}.f32.tf32.tf32",
        [D, DESCRIPTOR, DESCRIPTOR, ADDS, SIGN, SIGN],
        "as above, of the upper 19 bits"
    ),
    product!(
        "wgmma.mma_async.sync.aligned{.m64nNk8}.f32.tf32.tf32",
        [D, FRAGMENT, DESCRIPTOR, ADDS, SIGN, SIGN],
        "as above, A in registers"
    ),
    product!(
        "wgmma.mma_async.sync.aligned{.m64nNk32}{.f32|.f16}{.e4m3|.e5m2}{.e4m3|.e5m2}",
        [D, DESCRIPTOR, DESCRIPTOR, ADDS, SIGN, SIGN],
        "as above; silicon cuts these sums to 13 fraction bits, and this does not"
    ),
    product!(
        "wgmma.mma_async.sync.aligned{.m64nNk32}{.f32|.f16}{.e4m3|.e5m2}{.e4m3|.e5m2}",
        [D, FRAGMENT, DESCRIPTOR, ADDS, SIGN, SIGN],
        "as above, A in registers"
    ),
    product!(
        "wgmma.mma_async.sync.aligned{.m64nNk32}[.satfinite].s32{.s8|.u8}{.s8|.u8}",
        [D, DESCRIPTOR, DESCRIPTOR, ADDS],
        "starts D = A B + D over bytes, modulo 2^32, or clamped with satfinite"
    ),
    product!(
        "wgmma.mma_async.sync.aligned{.m64nNk32}[.satfinite].s32{.s8|.u8}{.s8|.u8}",
        [D, FRAGMENT, DESCRIPTOR, ADDS],
        "as above, A in registers"
    ),
    Form {
        spelling: "wgmma.fence.sync.aligned",
        operands: &[],
        family: Family::Sync,
        meaning: "orders what threads did with registers before the wgmma that follow",
        action: effect!(Aligned, |effect, _ins| {
            effect.fence_registers();
            Ok(())
        }),
    },
    Form {
        spelling: "wgmma.commit_group.sync.aligned",
        operands: &[],
        family: Family::Sync,
        meaning: "closes the group of wgmma that the warp started since the last one",
        action: effect!(Aligned, |effect, _ins| { effect.commit_products() }),
    },
    Form {
        spelling: "wgmma.wait_group.sync.aligned",
        operands: &[Operand::Number],
        family: Family::Sync,
        meaning: "waits for all groups of wgmma but the newest a",
        action: Action::Choose(|_, ins| {
            (0..=MOST_LEFT).contains(&ins.number).then_some(effect!(Await -> crate::isa::form::Ready, |effect, ins| {
                effect.wait_for_products(ins.number as u32)
            }))
        }),
    },
];

/// Multiplications and additions of a product, for one of the four warps.
pub(crate) fn flops(ins: &Instruction) -> u64 {
    let shape = Shape::of(ins.note);
    2 * (WARP_ROWS * shape.columns * shape.depth()) as u64
}

/// What the spelling of a product says, if its sums are as many as its shape has.
fn shape(chosen: &Chosen<'_>, ins: &Instruction) -> Option<Shape> {
    let words = chosen.words();
    let (columns, depth) = words.first()?.strip_prefix("m64n")?.split_once('k')?;
    let columns: usize = columns.parse().ok().filter(|n| (8..=256).contains(n) && n % 8 == 0)?;
    let mut elements = words.iter().filter_map(|word| element(word));
    let sum = match depth {
        "32" if chosen.has("satfinite") => Sum::ClampedInteger,
        "32" if chosen.has("s8") || chosen.has("u8") => Sum::Integer,
        _ if words.get(1) == Some(&"f16") => Sum::Halves,
        _ => Sum::Single,
    };
    let of_spelling = |spelling: &str| match () {
        () if spelling.ends_with(".bf16.bf16") => Element::Bf16,
        () if spelling.ends_with(".f16.f16") => Element::F16,
        () => Element::Tf32,
    };
    let a = elements.next().unwrap_or_else(|| of_spelling(ins.form.spelling));
    let b = elements.next().unwrap_or(a);
    // Of integers there are not all numbers of columns.
    let integer = matches!(sum, Sum::Integer | Sum::ClampedInteger);
    if integer && columns > 24 && !columns.is_multiple_of(16) {
        return None;
    }
    let in_registers = ins.form.operands[1] == FRAGMENT;
    let registers = columns / 2 / sum.per_word();
    (usize::from(ins.accumulators) == registers).then_some(Shape { columns, a, b, sum, in_registers })
}

/// The element that a word names.
fn element(word: &str) -> Option<Element> {
    Some(match word {
        "e4m3" => Element::E4m3,
        "e5m2" => Element::E5m2,
        "s8" => Element::S8,
        "u8" => Element::U8,
        _ => return None,
    })
}
