//! Asynchronous copies from global to shared memory.

use super::form::operands::W;
use super::form::{Action, Chosen, Family, Form, Operand, effect};
use crate::decode::Instruction;
use crate::machine::lanes::WARP;

const NUMBER: Operand = Operand::Number;
const ADDRESS: Operand = Operand::Address;
const SPELLING: &str = "cp.async{.ca|.cg}{.shared|.shared::cta}.global[.L2::64B|.L2::128B|.L2::256B]";

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    Form {
        spelling: SPELLING,
        operands: &[ADDRESS, ADDRESS, NUMBER],
        family: Family::Global,
        meaning: "starts to copy 4, 8 or 16 bytes from [b] to [a]; they arrive at the wait for their group at the latest",
        action: Action::Choose(|chosen, ins| {
            has_legal_size(chosen, ins).then_some(effect!(Effect, |effect, ins| {
                let bytes = ins.number as usize;
                let [to, from, _] = ins.addresses.map(|address| effect.addresses(address));
                effect.start_copy(&to, &from, bytes, &[bytes as u32; WARP])
            }))
        }),
    },
    Form {
        spelling: SPELLING,
        operands: &[ADDRESS, ADDRESS, NUMBER, W],
        family: Family::Global,
        meaning: "as above; only the first d bytes are read, zeros stand for the rest",
        action: Action::Choose(|chosen, ins| {
            has_legal_size(chosen, ins).then_some(effect!(Effect, |effect, ins| {
                let valid = *effect.words(ins, 0);
                let [to, from, _] = ins.addresses.map(|address| effect.addresses(address));
                effect.start_copy(&to, &from, ins.number as usize, &valid)
            }))
        }),
    },
    Form {
        spelling: SPELLING,
        operands: &[ADDRESS, ADDRESS, NUMBER, super::form::operands::P],
        family: Family::Global,
        meaning: "as above; where predicate d holds nothing is read and zeros are written",
        action: Action::Choose(|chosen, ins| {
            has_legal_size(chosen, ins).then_some(effect!(Effect, |effect, ins| {
                let ignored = effect.lanes.predicate(ins.rows[0]);
                let bytes = ins.number as usize;
                let valid = std::array::from_fn(|lane| if ignored >> lane & 1 == 1 { 0 } else { bytes as u32 });
                let [to, from, _] = ins.addresses.map(|address| effect.addresses(address));
                effect.start_copy(&to, &from, bytes, &valid)
            }))
        }),
    },
    Form {
        spelling: "cp.async.commit_group",
        operands: &[],
        family: Family::Sync,
        meaning: "closes the group of copies that the thread started since the last one",
        action: effect!(Effect, |effect, _ins| {
            effect.close_group();
            Ok(())
        }),
    },
    Form {
        spelling: "cp.async.wait_group",
        operands: &[NUMBER],
        family: Family::Sync,
        meaning: "waits for all groups of the thread but the newest a",
        action: Action::Choose(|_, ins| {
            u32::try_from(ins.number)
                .is_ok()
                .then_some(effect!(Effect, |effect, ins| { effect.wait_for_groups(ins.number as u32) }))
        }),
    },
    Form {
        spelling: "cp.async.wait_all",
        operands: &[],
        family: Family::Sync,
        meaning: "closes the group of the thread and waits for all",
        action: effect!(Effect, |effect, _ins| {
            effect.close_group();
            effect.wait_for_groups(0)
        }),
    },
];

/// Whether an asynchronous copy can be of this size: those past the first-level cache are of 16 bytes.
fn has_legal_size(chosen: &Chosen<'_>, ins: &Instruction) -> bool {
    match chosen.word(0) {
        "cg" => ins.number == 16,
        _ => matches!(ins.number, 4 | 8 | 16),
    }
}
