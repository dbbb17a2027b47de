//! What was started and happens later, in nobody's time: copies into shared memory and arrivals that follow copies.

use super::bulk::Load;
use super::context::Effect;
use crate::launch::Copies;
use crate::race::Contribution;
use crate::trap::Fault;

/// Something under way.
#[derive(Debug)]
pub(crate) struct Transfer {
    /// The warp that started it.
    pub(crate) warp: u32,
    /// Its lanes that did.
    pub(crate) lanes: u32,
    /// The instruction.
    pub(crate) pc: u32,
    pub(crate) what: What,
}

/// What is under way.
#[derive(Debug)]
pub(crate) enum What {
    /// An arrival of the lanes at an mbarrier once their `cp.async` are complete.
    Arrival {
        /// Where the mbarrier lies.
        mbarrier: u32,
        /// Its phase when this was started.
        phase: u32,
        /// What the lanes knew then.
        told: Contribution,
    },
    /// A bulk copy into shared memory.
    Load(Box<Load>),
}

impl Effect<'_> {
    /// Puts something under way: it happens at once, or when nothing else can.
    pub(crate) fn start(&mut self, transfer: Transfer) -> Result<(), Box<Fault>> {
        if self.launch.copies == Copies::Latest {
            self.shared.transfers.push(transfer);
            return Ok(());
        }
        let mask = self.lanes.mask();
        self.lanes.set_mask(transfer.lanes);
        let done = self.finish(transfer.what);
        self.lanes.set_mask(mask);
        done
    }

    /// Carries out what the executing lanes started.
    pub(crate) fn finish(&mut self, what: What) -> Result<(), Box<Fault>> {
        match what {
            What::Arrival { mbarrier, phase, told } => self.finish_arrival(mbarrier, phase, &told),
            What::Load(load) => self.finish_load(&load),
        }
    }
}
