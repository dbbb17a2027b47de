//! Asynchronous copies of a warp: what cp.async started and nobody has waited for yet.

use std::collections::VecDeque;

use super::context::{Effect, aligned};
use super::lanes::{WARP, lanes_of};
use crate::launch::Copies as Moment;
use crate::memory::{Access, Space};
use crate::trap::Fault;

/// Copies and groups of the lanes of a warp.
#[derive(Debug, Default)]
pub(crate) struct Copies {
    /// Groups that each lane has closed.
    closed: [u32; WARP],
    /// The last group of each lane that an mbarrier waits for.
    promised: [u32; WARP],
    /// Oldest first.
    pending: VecDeque<Copy>,
}

/// One instruction's copies in lanes that stand in the same group.
#[derive(Clone, Debug)]
struct Copy {
    /// The group that they belong to, counted from 1.
    group: u32,
    /// Lanes whose copy is under way.
    lanes: u32,
    /// Bytes that each lane writes.
    bytes: usize,
    /// Bytes that each lane reads; the rest of what it writes is zeros.
    valid: [u32; WARP],
    /// Addresses in global memory.
    from: [u64; WARP],
    /// Offsets in shared memory.
    to: [u32; WARP],
    /// The instruction.
    pc: u32,
}

impl Effect<'_> {
    /// Starts a copy of `bytes` bytes in each executing lane, of which the first `valid` come from memory.
    pub(crate) fn start_copy(
        &mut self,
        to: &[u64; WARP],
        from: &[u64; WARP],
        bytes: usize,
        valid: &[u32; WARP],
    ) -> Result<(), Box<Fault>> {
        let mask = self.lanes.mask();
        let mut copy = Copy { group: 0, lanes: mask, bytes, valid: *valid, from: *from, to: [0; WARP], pc: self.pc };
        let mut reading = 0;
        for lane in lanes_of(mask) {
            let offset = self.shared_offset(Access::CopyDestination, lane, to[lane], bytes)?;
            copy.to[lane] = offset as u32;
            if valid[lane] > 0 {
                reading |= 1 << lane;
                if valid[lane] as usize > bytes {
                    return Err(Box::new(Fault::Unsupported {
                        what: "a cp.async that reads more bytes than it writes",
                    }));
                }
                aligned(Access::CopySource, Space::Global, lane, from[lane], bytes)?;
                self.global(Access::CopySource, lane, from[lane], valid[lane] as usize)?;
            }
            if self.watches() {
                let group = self.warp.copies.closed[lane] + 1;
                self.watch_shared(Access::CopyDestination, lane as u32, |races, actor| {
                    races.copy(actor, offset, bytes, group)
                })?;
            }
            self.shared.spoil(offset, bytes);
        }
        if self.watches() {
            self.counts.global(self.pc, from, reading, bytes);
        }
        if self.launch.copies == Moment::Earliest {
            self.deliver(&copy, mask)?;
        }
        self.warp.copies.push(copy);
        Ok(())
    }

    /// Closes the present group of each executing lane.
    pub(crate) fn close_group(&mut self) {
        for lane in lanes_of(self.lanes.mask()) {
            self.warp.copies.closed[lane] += 1;
        }
    }

    /// Waits in each executing lane for all groups but the newest `but`.
    pub(crate) fn wait_for_groups(&mut self, but: u32) -> Result<(), Box<Fault>> {
        let mask = self.lanes.mask();
        let closed = self.warp.copies.closed;
        let limit = |lane: usize| closed[lane].saturating_sub(but);
        if let Some(races) = &mut self.shared.races {
            for lane in lanes_of(mask) {
                races.clocks().retire_copies(self.warp.agent as usize, 1 << lane, limit(lane));
            }
        }
        self.complete_copies(mask, limit)
    }

    /// Carries out the copies that lanes have promised an mbarrier.
    pub(crate) fn complete_promised_copies(&mut self, lanes: u32) -> Result<(), Box<Fault>> {
        let promised = self.warp.copies.promised;
        self.complete_copies(lanes, |lane| promised[lane])
    }

    /// Carries out the copies of these lanes up to a group of each.
    fn complete_copies(&mut self, lanes: u32, limit: impl Fn(usize) -> u32) -> Result<(), Box<Fault>> {
        let mut pending = std::mem::take(&mut self.warp.copies.pending);
        let mut partly = false;
        for copy in &mut pending {
            let due = select(copy.lanes & lanes, |lane| copy.group <= limit(lane));
            copy.lanes &= !due;
            partly |= due != 0 && copy.lanes != 0;
            if self.launch.copies == Moment::Latest {
                self.deliver(copy, due)?;
            }
        }
        // Nearly always whole groups end, the oldest first.
        while pending.front().is_some_and(|copy| copy.lanes == 0) {
            pending.pop_front();
        }
        if partly {
            pending.retain(|copy| copy.lanes != 0);
        }
        self.warp.copies.pending = pending;
        Ok(())
    }

    /// Carries out the copies of these lanes.
    fn deliver(&mut self, copy: &Copy, lanes: u32) -> Result<(), Box<Fault>> {
        for lane in lanes_of(lanes) {
            let valid = copy.valid[lane] as usize;
            let mut packet = [0; 8];
            if valid > 0 {
                let (at, allocation) = self.global(Access::CopySource, lane, copy.from[lane], valid)?;
                self.check_global_read(Access::CopySource, lane, at, valid, allocation)?;
                if valid == 16 {
                    self.shared.set_line(copy.to[lane] as usize, allocation.line(at.offset));
                    continue;
                }
                if valid == copy.bytes {
                    packet = allocation.load(at.offset, valid);
                } else {
                    for byte in 0..valid {
                        packet[byte / 4] |= allocation.load(at.offset + byte, 1)[0] << (byte % 4 * 8);
                    }
                }
            }
            self.shared.store(copy.to[lane] as usize, copy.bytes, &packet);
        }
        Ok(())
    }
}

impl Copies {
    /// A lane, of those, whose copies nobody has waited for, and the instruction that started one.
    pub(crate) fn unwaited(&self, lanes: u32) -> Option<(usize, u32)> {
        let left = |copy: &Copy| select(copy.lanes & lanes, |lane| copy.group > self.promised[lane]);
        let copy = self.pending.iter().find(|copy| left(copy) != 0)?;
        Some((left(copy).trailing_zeros() as usize, copy.pc))
    }

    /// A lane promises an mbarrier all copies that it has started: their last group.
    pub(crate) fn promise(&mut self, lane: usize) -> u32 {
        self.promised[lane] = self.closed[lane] + 1;
        self.promised[lane]
    }

    /// Puts copies in line, a record for each group that their lanes stand in.
    fn push(&mut self, mut copy: Copy) {
        let mut left = copy.lanes;
        let closed = self.closed[left.trailing_zeros() as usize % WARP];
        if self.closed == [closed; WARP] {
            copy.group = closed + 1;
            return self.pending.push_back(copy);
        }
        while left != 0 {
            let closed = self.closed[left.trailing_zeros() as usize];
            let lanes = select(left, |lane| self.closed[lane] == closed);
            left &= !lanes;
            self.pending.push_back(Copy { group: closed + 1, lanes, ..copy.clone() });
        }
    }
}

/// The lanes of a mask that a condition holds for.
fn select(lanes: u32, condition: impl Fn(usize) -> bool) -> u32 {
    lanes_of(lanes).filter(|&lane| condition(lane)).fold(0, |mask, lane| mask | 1 << lane)
}
