//! Bulk copies, in lines and as boxes of a tensor.

use super::atomic::Change;
use super::form::operands::{L, W};
use super::form::{Action, Chosen, Family, Form, Operand, effect};
use crate::decode::Instruction;
use crate::machine::bulk::{Direction, bulk};
use crate::machine::context::Effect;
use crate::memory::Access;
use crate::misuse::BulkMisuse;
use crate::trap::Fault;

const A: Operand = Operand::Address;
const AT: Operand = Operand::Mbarrier;
const BOX: Operand = Operand::Box;

/// A row: its function, and what is noted for it.
macro_rules! bulk {
    ($spelling:expr, $operands:expr, $meaning:literal, |$chosen:ident, $ins:ident| $note:expr, $function:ident) => {
        Form {
            spelling: $spelling,
            operands: $operands,
            family: Family::Global,
            meaning: $meaning,
            action: Action::Choose(|$chosen, $ins| {
                $ins.note = $note?;
                Some(effect!(Effect, |effect, ins| { $function(effect, ins) }))
            }),
        }
    };
}

macro_rules! load_line {
    ($more:literal, $operands:expr, $meaning:literal, $note:expr) => {
        bulk!(
            concat!("cp.async.bulk{.shared::cluster|.shared::cta}.global.mbarrier::complete_tx::bytes", $more),
            $operands,
            $meaning,
            |_chosen, _ins| Some($note),
            load_line
        )
    };
}

macro_rules! load_box {
    ($more:literal, $operands:expr, $meaning:literal, $note:expr) => {
        bulk!(
            concat!(
                "cp.async.bulk.tensor{.1d|.2d|.3d|.4d|.5d}{.shared::cluster|.shared::cta}.global[.tile]\
                 .mbarrier::complete_tx::bytes",
                $more
            ),
            $operands,
            $meaning,
            |chosen, ins| Some(rank(chosen, ins, $operands.len() - 3)? | $note),
            load_box
        )
    };
}

macro_rules! store_line {
    ($more:literal, $operands:expr, $meaning:literal) => {
        bulk!(
            concat!("cp.async.bulk.global.shared::cta.bulk_group", $more),
            $operands,
            $meaning,
            |_chosen, _ins| Some(0),
            store_line
        )
    };
}

macro_rules! store_box {
    ($more:literal, $operands:expr, $meaning:literal) => {
        bulk!(
            concat!("cp.async.bulk.tensor{.1d|.2d|.3d|.4d|.5d}.global.shared::cta[.tile].bulk_group", $more),
            $operands,
            $meaning,
            |chosen, ins| rank(chosen, ins, $operands.len() - 2),
            store_box
        )
    };
}

macro_rules! reduce_line {
    ($more:literal, $operands:expr, $meaning:literal) => {
        bulk!(
            concat!(
                "cp.reduce.async.bulk.global.shared::cta.bulk_group",
                $more,
                "{.and|.or|.xor|.add|.inc|.dec|.min|.max}[.noftz]",
                "{.b32|.u32|.s32|.b64|.u64|.s64|.f32|.f64|.f16|.bf16}"
            ),
            $operands,
            $meaning,
            |chosen, _ins| Some(Change::of(chosen)?.note(None)),
            reduce_line
        )
    };
}

macro_rules! reduce_box {
    ($more:literal, $operands:expr, $meaning:literal) => {
        bulk!(
            concat!(
                "cp.reduce.async.bulk.tensor{.1d|.2d|.3d|.4d|.5d}.global.shared::cta",
                "{.and|.or|.xor|.add|.inc|.dec|.min|.max}[.tile].bulk_group",
                $more
            ),
            $operands,
            $meaning,
            |chosen, ins| Some(rank(chosen, ins, $operands.len() - 2)? | Change::operation_note(chosen.word(1))? << 8),
            reduce_box
        )
    };
}

/// In the note of a load: a mask says to which CTAs of the cluster it goes. It follows the size or the coordinates.
const TO_MANY: u32 = 1 << 4;

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    load_line!(
        "",
        &[A, A, W, AT],
        "starts to copy c bytes from [b] to [a]; the mbarrier at [d] counts them when they have come",
        0
    ),
    load_line!(".L2::cache_hint", &[A, A, W, AT, L], "as above; policy e is a hint", 0),
    load_line!(
        ".multicast::cluster",
        &[A, A, W, AT, W],
        "as above, to the same place in every CTA of the cluster that e names, a mask of 16 bits",
        TO_MANY
    ),
    load_line!(".multicast::cluster.L2::cache_hint", &[A, A, W, AT, W, L], "as above; policy f is a hint", TO_MANY),
    load_box!(
        "",
        &[A, BOX, AT],
        "starts to copy the box at the coordinates of the tensor at [b] to [a]; the mbarrier at [c] counts its bytes when \
         they have come",
        0
    ),
    load_box!(".L2::cache_hint", &[A, BOX, AT, L], "as above; policy d is a hint", 0),
    load_box!(
        ".multicast::cluster",
        &[A, BOX, AT, W],
        "as above, to the same place in every CTA of the cluster that d names, a mask of 16 bits",
        TO_MANY
    ),
    load_box!(".multicast::cluster.L2::cache_hint", &[A, BOX, AT, W, L], "as above; policy e is a hint", TO_MANY),
    store_line!("", &[A, A, W], "starts to copy c bytes from [b] to [a], in the thread's bulk group"),
    store_line!(".L2::cache_hint", &[A, A, W, L], "as above; policy d is a hint"),
    store_box!(
        "",
        &[BOX, A],
        "starts to copy the box at the coordinates of the tensor at [a] from [b], in the thread's bulk group; what is \
         outside of the tensor is not written"
    ),
    store_box!(".L2::cache_hint", &[BOX, A, L], "as above; policy c is a hint"),
    reduce_line!("", &[A, A, W], "as the copy, and each value at [a] becomes itself, combined with the one at [b]"),
    reduce_line!(".L2::cache_hint", &[A, A, W, L], "as above; policy d is a hint"),
    reduce_box!(
        "",
        &[BOX, A],
        "as the copy, and each value of the tensor becomes itself, combined with the one at [b]"
    ),
    reduce_box!(".L2::cache_hint", &[BOX, A, L], "as above; policy c is a hint"),
    bulk!(
        "cp.async.bulk.prefetch.L2.global",
        &[A, W],
        "a hint, checked as a copy of b bytes from [a] is",
        |_chosen, _ins| Some(0),
        prefetch_line
    ),
    bulk!(
        "cp.async.bulk.prefetch.L2.global.L2::cache_hint",
        &[A, W, L],
        "as above; policy c is a hint",
        |_chosen, _ins| Some(0),
        prefetch_line
    ),
    bulk!(
        "cp.async.bulk.prefetch.tensor{.1d|.2d|.3d|.4d|.5d}.L2.global[.tile]",
        &[BOX],
        "a hint, checked as a copy of the box is",
        |chosen, ins| rank(chosen, ins, 0),
        prefetch_box
    ),
    bulk!(
        "cp.async.bulk.prefetch.tensor{.1d|.2d|.3d|.4d|.5d}.L2.global[.tile].L2::cache_hint",
        &[BOX, L],
        "as above; policy b is a hint",
        |chosen, ins| rank(chosen, ins, 1),
        prefetch_box
    ),
    bulk!(
        "prefetch[.param|.const].tensormap",
        &[A],
        "a hint, checked as a use of the tensor map at [a] is",
        |_chosen, _ins| Some(0),
        prefetch_map
    ),
    Form {
        spelling: "cp.async.bulk.commit_group",
        operands: &[],
        family: Family::Sync,
        meaning: "closes the group of bulk copies out of shared memory that the thread started since the last one",
        action: effect!(Effect, |effect, _ins| {
            effect.close_bulk_group();
            Ok(())
        }),
    },
    Form {
        spelling: "cp.async.bulk.wait_group[.read]",
        operands: &[Operand::Number],
        family: Family::Sync,
        meaning: "waits until all bulk groups of the thread but the newest a have been read, or with .read absent, are done",
        action: Action::Choose(|_, ins| {
            u32::try_from(ins.number)
                .is_ok()
                .then_some(effect!(Effect, |effect, ins| { effect.wait_for_bulk_groups(ins.number as u32) }))
        }),
    },
];

/// The axes that the instruction says, if it has as many coordinates, and that many rows more.
fn rank(chosen: &Chosen<'_>, ins: &Instruction, more: usize) -> Option<u32> {
    let rank = chosen.word(0).trim_end_matches('d').parse().ok()?;
    (usize::from(ins.row_count) == rank as usize + more).then_some(rank)
}

/// The mask of CTAs to which a load goes, in a row behind `rows` others, if there is one.
fn ctas(effect: &Effect<'_>, ins: &Instruction, lane: usize, rows: usize) -> Option<u32> {
    (ins.note & TO_MANY != 0).then(|| effect.words(ins, rows)[lane] & 0xFFFF)
}

#[inline(always)]
fn load_line(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    for lane in effect.executing() {
        let ctas = ctas(effect, ins, lane, 1);
        let from = effect.line(ins, lane, ins.addresses[1], 0, Access::BulkSource)?;
        effect.start_load(lane, ins.addresses[0], ins.addresses[2], from, ctas)?;
    }
    Ok(())
}

#[inline(always)]
fn load_box(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    let rank = (ins.note & 7) as usize;
    for lane in effect.executing() {
        let ctas = ctas(effect, ins, lane, rank);
        let from = effect.tile(ins, lane, ins.addresses[1], rank, Direction::Load)?;
        effect.start_load(lane, ins.addresses[0], ins.addresses[2], from, ctas)?;
    }
    Ok(())
}

#[inline(always)]
fn store_line(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    for lane in effect.executing() {
        let to = effect.line(ins, lane, ins.addresses[0], 0, Access::BulkDestination)?;
        effect.start_store(lane, ins.addresses[1], to, None)?;
    }
    Ok(())
}

#[inline(always)]
fn store_box(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    for lane in effect.executing() {
        let to = effect.tile(ins, lane, ins.addresses[0], ins.note as usize, Direction::Store)?;
        effect.start_store(lane, ins.addresses[1], to, None)?;
    }
    Ok(())
}

#[inline(always)]
fn reduce_line(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    let (change, _) = Change::from_note(ins.note);
    for lane in effect.executing() {
        let to = effect.line(ins, lane, ins.addresses[0], 0, Access::BulkDestination)?;
        effect.start_store(lane, ins.addresses[1], to, Some(change))?;
    }
    Ok(())
}

#[inline(always)]
fn reduce_box(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    for lane in effect.executing() {
        let element = effect.tensor_map(lane, effect.addresses(ins.addresses[0])[lane])?.element;
        let Some(change) = Change::of_elements(ins.note >> 8, element) else {
            return Err(bulk(lane, BulkMisuse::Operation));
        };
        let to = effect.tile(ins, lane, ins.addresses[0], (ins.note & 7) as usize, Direction::Store)?;
        effect.start_store(lane, ins.addresses[1], to, Some(change))?;
    }
    Ok(())
}

#[inline(always)]
fn prefetch_line(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    for lane in effect.executing() {
        effect.line(ins, lane, ins.addresses[0], 0, Access::BulkSource)?;
    }
    Ok(())
}

#[inline(always)]
fn prefetch_box(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    for lane in effect.executing() {
        effect.tile(ins, lane, ins.addresses[0], ins.note as usize, Direction::Load)?;
    }
    Ok(())
}

#[inline(always)]
fn prefetch_map(effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    for lane in effect.executing() {
        effect.tensor_map(lane, effect.addresses(ins.addresses[0])[lane])?;
    }
    Ok(())
}
