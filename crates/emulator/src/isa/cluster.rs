//! Clusters: their barrier, and addresses of shared memory of their CTAs.

use super::form::operands::{L, TO_L, TO_W, W};
use super::form::{Action, Chosen, Family, Flow, Form, effect};
use crate::decode::Instruction;
use crate::machine::context::Effect;
use crate::memory::Space;
use crate::memory::shared::SharedMemory;
use crate::trap::Fault;

/// In the note of an instruction of the barrier: all lanes of a warp come together.
pub(crate) const TOGETHER: u32 = 1;
/// In the note of an arrival: it tells nothing.
pub(crate) const RELAXED: u32 = 2;

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    Form {
        spelling: "barrier.cluster.arrive[.release|.relaxed][.aligned]",
        operands: &[],
        family: Family::Sync,
        meaning: "arrives at the barrier of the cluster",
        action: Action::Choose(|chosen, ins| {
            ins.note = together(chosen) | if chosen.has("relaxed") { RELAXED } else { 0 };
            Some(Action::Flow(Flow::ClusterArrive))
        }),
    },
    Form {
        spelling: "barrier.cluster.wait[.acquire][.aligned]",
        operands: &[],
        family: Family::Sync,
        meaning: "waits until all threads of the cluster have arrived at its barrier",
        action: Action::Choose(|chosen, ins| {
            ins.note = together(chosen);
            Some(Action::Flow(Flow::ClusterWait))
        }),
    },
    Form {
        spelling: "mapa[.shared::cluster].u32",
        operands: &[TO_W, W, W],
        family: Family::Local,
        meaning: "d = the address of what CTA number b of the cluster has at a",
        action: Action::Choose(|chosen, _ins| {
            (!chosen.word(0).is_empty()).then_some(effect!(Effect, |effect, ins| { map(effect, ins, 0) }))
        }),
    },
    Form {
        spelling: "mapa[.shared::cluster].u64",
        operands: &[TO_L, L, W],
        family: Family::Local,
        meaning: "as above; without a space, the address is a generic one",
        action: Action::Choose(|chosen, _ins| {
            Some(match chosen.word(0) {
                "" => effect!(Effect, |effect, ins| { map(effect, ins, Space::Shared.window()) }),
                _ => effect!(Effect, |effect, ins| { map(effect, ins, 0) }),
            })
        }),
    },
    Form {
        spelling: "getctarank[.shared::cluster].u32",
        operands: &[TO_W, W],
        family: Family::Local,
        meaning: "d = the number in its cluster of the CTA that has address a",
        action: Action::Choose(|chosen, _ins| {
            (!chosen.word(0).is_empty()).then_some(effect!(Effect, |effect, ins| { rank(effect, ins, 0) }))
        }),
    },
    Form {
        spelling: "getctarank[.shared::cluster].u64",
        operands: &[TO_W, L],
        family: Family::Local,
        meaning: "as above; without a space, the address is a generic one",
        action: Action::Choose(|chosen, _ins| {
            Some(match chosen.word(0) {
                "" => effect!(Effect, |effect, ins| { rank(effect, ins, Space::Shared.window()) }),
                _ => effect!(Effect, |effect, ins| { rank(effect, ins, 0) }),
            })
        }),
    },
];

fn together(chosen: &Chosen<'_>) -> u32 {
    if chosen.has("aligned") { TOGETHER } else { 0 }
}

#[inline(always)]
fn map(effect: &mut Effect<'_>, ins: &Instruction, window: u64) -> Result<(), Box<Fault>> {
    for lane in effect.executing() {
        let address = effect.lane(ins, 1, lane).wrapping_sub(window);
        let rank = effect.expect_rank(lane, effect.words(ins, 2)[lane])?;
        effect.set_lane(ins, 0, lane, SharedMemory::cluster_address(address, rank).wrapping_add(window));
    }
    Ok(())
}

#[inline(always)]
fn rank(effect: &mut Effect<'_>, ins: &Instruction, window: u64) -> Result<(), Box<Fault>> {
    for lane in effect.executing() {
        let address = effect.lane(ins, 1, lane).wrapping_sub(window);
        let rank = effect.shared.rank_named(address);
        effect.set_lane(ins, 0, lane, u64::from(rank));
    }
    Ok(())
}
