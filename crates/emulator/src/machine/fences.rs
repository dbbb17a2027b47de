//! Fences beside relaxed operations: a fence before a relaxed arrival makes it a release, and one behind a relaxed wait makes
//! that an acquire (PTX ISA, "Release and Acquire Patterns").

use super::context::Effect;
use crate::race::Contribution;

/// What fences of a warp have to do with its relaxed operations.
#[derive(Debug, Default)]
pub(crate) struct Fences {
    /// Lanes that have executed a fence.
    fenced: u32,
    /// What they knew at their last one: their relaxed arrivals tell it.
    known: Contribution,
    /// Lanes whose relaxed waits are over.
    waited: u32,
    /// What those would have learned: a fence tells them.
    heard: Contribution,
}

/// Which way a fence orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fence {
    Release,
    Acquire,
    Both,
}

impl Fences {
    /// What a relaxed arrival of lanes tells.
    pub(crate) fn tell(&self, lanes: u32, to: &mut Contribution) {
        if lanes & self.fenced != 0 {
            to.join(&self.known);
        }
    }

    /// A relaxed wait of lanes is over.
    pub(crate) fn hear(&mut self, lanes: u32, from: &Contribution) {
        self.waited |= lanes;
        self.heard.join(from);
    }
}

impl Effect<'_> {
    /// The executing lanes execute a fence.
    pub(crate) fn fence(&mut self, way: Fence) {
        let (warp, lanes) = (self.warp.agent as usize, self.lanes.mask());
        let Some(races) = &mut self.shared.races else { return };
        let fences = &mut self.warp.fences;
        if way != Fence::Release && fences.waited & lanes != 0 {
            races.clocks().receive(warp, lanes, &fences.heard);
        }
        if way != Fence::Acquire {
            // Of lanes that fence again the newest counts, and nothing is lost of it.
            if lanes | fences.fenced == lanes {
                fences.known = Contribution::default();
            }
            races.clocks().contribute(warp, lanes, &mut fences.known);
            fences.fenced |= lanes;
        }
    }
}
