//! Races in shared memory: accesses that nothing orders.
//!
//! The detector is FastTrack's, cut to the shape of a CTA. Every access is stamped with its agent, its lane and the
//! agent's clock; a warp is an agent, and so is whatever accesses memory for it in its own time: `cp.async`, bulk copies,
//! `wgmma` ([`Agent`]). What a thread knows of every other grows only where PTX orders memory: barriers, warp barriers,
//! mbarriers, waits for groups. An access that meets a stamp it does not know is a race, whether or not this run of the
//! schedule went wrong.
//!
//! An access of an asynchronous agent is noted when it is issued: it must be ordered after what its issuer does not know
//! then, and whoever touches these bytes later must know the agent's clock, which only waits tell. Bulk copies and `wgmma`
//! reach memory through the asynchronous proxy: what `ld`, `st` and `cp.async` wrote they see only after a
//! `fence.proxy.async` of the thread that wrote it, made before it told anybody.

mod agents;
mod asynchronous;
mod knowledge;
mod notes;
mod repeated;
#[cfg(test)]
mod tests;

pub(crate) use agents::Agent;
#[allow(unused_imports)]
pub(crate) use asynchronous::{Obstacle, warpgroup};
use knowledge::Clocks;
pub(crate) use knowledge::Contribution;
use notes::{Notes, granules};

/// Stands for all lanes of a warp at once.
pub(crate) const ALL_LANES: u32 = 63;

/// Who accesses, and from where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Actor {
    /// Index of the warp in its CTA.
    pub(crate) warp: u32,
    /// Its lane, or [`ALL_LANES`] if the warp acts as one.
    pub(crate) lane: u32,
    /// Index of the instruction.
    pub(crate) pc: u32,
}

/// How an earlier access was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Earlier {
    /// It read.
    Read,
    /// It wrote.
    Write,
    /// It was an atomic operation.
    Atomic,
    /// It was an asynchronous copy that its own thread has waited for since.
    Copy,
    /// It is an asynchronous copy that its own thread has not waited for.
    CopyInFlight,
    /// It is a bulk copy into these bytes, and the phase of its mbarrier was not waited for.
    BulkWrite,
    /// It is a bulk copy out of these bytes, and its group was not waited for.
    BulkRead,
    /// It is a `wgmma` that reads its operands here, and its group was not waited for.
    MatrixRead,
    /// It made an mbarrier of these bytes.
    Mbarrier,
    /// It wrote by the generic proxy, and its thread made no `fence.proxy.async` before it told of it.
    Unfenced,
    /// It was another lane's part of the same store, of another value.
    SameStore,
}

/// Two accesses that nothing orders.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Conflict {
    /// How the earlier one was made.
    pub(crate) how: Earlier,
    /// Who made it.
    pub(crate) by: Actor,
    /// The first of the four bytes that both touch.
    pub(crate) granule: usize,
}

/// A packed note of one access to four bytes.
///
/// | bits | what |
/// |---|---|
/// | 0..20 | instruction |
/// | 20..24 | which of the four bytes |
/// | 24 | atomic |
/// | 25..31 | lane; of an mbarrier's agent, the warp that started the copy |
/// | 31..41 | agent |
/// | 41..64 | clock; 0: there was no access |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp(u64);

/// Most instructions of a kernel whose races can be told.
pub(crate) const MOST_INSTRUCTIONS: usize = 1 << 20;
/// Clocks stop here instead of running over: later accesses count as known.
const LAST_CLOCK: u32 = (1 << 23) - 1;
const LANE_AT: u32 = 25;
const AGENT_AT: u32 = 31;
const CLOCK_AT: u32 = 41;

impl Stamp {
    #[inline(always)]
    fn new(clock: u32, agent: usize, actor: Actor, bytes: u32, atomic: u64) -> Stamp {
        Stamp(
            u64::from(clock.min(LAST_CLOCK)) << CLOCK_AT
                | (agent as u64) << AGENT_AT
                | u64::from(actor.lane) << LANE_AT
                | atomic << 24
                | u64::from(bytes) << 20
                | u64::from(actor.pc),
        )
    }

    /// What stands for this read and an older one of the same warp. If nothing orders them, a later write must know both:
    /// together they count as reads of all lanes.
    #[inline(always)]
    fn after(self, older: Stamp, known: u32) -> Stamp {
        let alone = older.clock() <= known || older.lane() == self.lane();
        Stamp(if alone { self.0 } else { self.0 | u64::from(ALL_LANES) << LANE_AT })
    }

    #[inline(always)]
    fn clock(self) -> u32 {
        (self.0 >> CLOCK_AT) as u32
    }

    #[inline(always)]
    fn lane(self) -> u32 {
        (self.0 >> LANE_AT & 63) as u32
    }

    #[inline(always)]
    fn agent(self) -> usize {
        (self.0 >> AGENT_AT & 1023) as usize
    }

    fn is_atomic(self) -> bool {
        self.0 >> 24 & 1 == 1
    }

    #[inline(always)]
    fn bytes(self) -> u32 {
        (self.0 >> 20 & 15) as u32
    }

    fn pc(self) -> u32 {
        (self.0 & 0xF_FFFF) as u32
    }
}

/// The detector of one CTA.
#[derive(Debug)]
pub(crate) struct Races {
    clocks: Clocks,
    /// The last writes.
    writes: Notes,
    /// The last reads by each warp.
    reads: Vec<Notes>,
    /// The last reads by each asynchronous agent that has read, by its number.
    async_reads: Vec<(usize, Notes)>,
    bytes: usize,
    /// Warps of a CTA: those of a cluster are numbered through.
    pub(crate) warps_of_a_cta: u32,
}

impl Races {
    /// No accesses yet, to that many bytes by that many warps.
    pub(crate) fn new(bytes: usize, warps: usize) -> Races {
        let reads = (0..warps).map(|_| Notes::new(bytes)).collect();
        Races {
            clocks: Clocks::new(warps),
            writes: Notes::new(bytes),
            reads,
            async_reads: Vec::new(),
            bytes,
            warps_of_a_cta: u32::MAX,
        }
    }

    /// What each thread knows.
    pub(crate) fn clocks(&mut self) -> &mut Clocks {
        &mut self.clocks
    }

    /// Notes a read.
    #[inline(always)]
    pub(crate) fn read(&mut self, actor: Actor, offset: usize, bytes: usize) -> Result<(), Conflict> {
        if bytes == 16 {
            return self.read_lines(actor, &[offset]);
        }
        let warp = actor.warp as usize;
        let touched = touched(offset, bytes);
        let new = Stamp::new(self.clocks.now(warp), warp, actor, touched, 0);
        for granule in granules(offset, bytes) {
            self.read_granule(actor, granule, new)?;
        }
        Ok(())
    }

    /// Notes reads of 16 bytes each.
    #[inline(always)]
    pub(crate) fn read_lines(&mut self, actor: Actor, offsets: &[usize]) -> Result<(), Conflict> {
        let warp = actor.warp as usize;
        let new = Stamp::new(self.clocks.now(warp), warp, actor, 15, 0);
        for offset in offsets {
            let line = offset / 16;
            let known = self.clocks.known_to_all(warp);
            match (self.writes.line(line), self.reads[warp].line(line)) {
                (Some(write), Some(read)) if write.clock() <= known[write.agent()] => {
                    self.reads[warp].set_line(line, new.after(read, known[warp]));
                }
                _ => {
                    for granule in granules(*offset, 16) {
                        self.read_granule(actor, granule, new)?;
                    }
                }
            }
        }
        Ok(())
    }

    #[inline(always)]
    fn read_granule(&mut self, actor: Actor, granule: usize, new: Stamp) -> Result<(), Conflict> {
        let warp = actor.warp as usize;
        let known = self.clocks.known_to_all(warp);
        let write = self.writes.granule(granule);
        if write.clock() > known[write.agent()] && write.bytes() & new.bytes() != 0 {
            self.clocks.expect_known(actor, write, granule)?;
        }
        let read = self.reads[warp].granule(granule);
        self.reads[warp].set_granule(granule, new.after(read, known[warp]));
        Ok(())
    }

    /// Notes a write.
    #[inline(always)]
    pub(crate) fn write(&mut self, actor: Actor, offset: usize, bytes: usize) -> Result<(), Conflict> {
        self.check_write(actor, offset, bytes, self.plain(actor, offset, bytes))
    }

    /// The stamp of a write by a thread itself.
    #[inline(always)]
    fn plain(&self, actor: Actor, offset: usize, bytes: usize) -> Stamp {
        Stamp::new(self.clocks.now(actor.warp as usize), actor.warp as usize, actor, touched(offset, bytes), 0)
    }

    /// Notes that bytes become an mbarrier: as a write, and whoever touches them from now on meets it. Gives the clock.
    pub(crate) fn make_object(&mut self, actor: Actor, offset: usize, bytes: usize) -> Result<u32, Obstacle> {
        self.write(actor, offset, bytes)?;
        let Some(agent) = self.clocks.number_of(Agent::Objects) else { return Err(Obstacle::TooManyAgents) };
        let stamp = Stamp::new(LAST_CLOCK, agent, Actor { lane: actor.warp % self.warps_of_a_cta, ..actor }, 15, 0);
        granules(offset, bytes).for_each(|granule| self.writes.set_granule(granule, stamp));
        Ok(self.clocks.now(actor.warp as usize))
    }

    /// Notes that an mbarrier becomes bytes: as a write.
    pub(crate) fn end_object(&mut self, actor: Actor, offset: usize, bytes: usize) {
        let warp = actor.warp as usize;
        let stamp = Stamp::new(self.clocks.now(warp), warp, actor, 15, 0);
        granules(offset, bytes).for_each(|granule| self.writes.set_granule(granule, stamp));
    }

    /// Notes an atomic operation: it races with everything but its like.
    pub(crate) fn atomic(&mut self, actor: Actor, offset: usize, bytes: usize) -> Result<(), Conflict> {
        let stamp =
            Stamp::new(self.clocks.now(actor.warp as usize), actor.warp as usize, actor, touched(offset, bytes), 1);
        self.check_write(actor, offset, bytes, stamp)
    }

    /// Notes the write of an asynchronous copy of group `group`, counted from 1: whenever it comes, it must be ordered
    /// after what its thread does not know now.
    #[inline(always)]
    pub(crate) fn copy(&mut self, actor: Actor, offset: usize, bytes: usize, group: u32) -> Result<(), Conflict> {
        let agent = self.clocks.copies_of(actor.warp as usize);
        let stamp = Stamp::new(group, agent, actor, touched(offset, bytes), 0);
        self.check_write(actor, offset, bytes, stamp)
    }

    /// Whether all lanes of a warp know of all accesses to 16 bytes, as they nearly always do. May miss that they do.
    #[inline(always)]
    fn is_known_to_all(&self, warp: usize, line: usize) -> bool {
        let known = self.clocks.known_to_all(warp);
        let is_known = |note: Option<Stamp>| note.is_some_and(|note| note.clock() <= known[note.agent()]);
        is_known(self.writes.line(line))
            && self.reads.iter().all(|reads| is_known(reads.line(line)))
            && self.async_reads.iter().all(|(_, reads)| is_known(reads.line(line)))
    }

    #[inline(always)]
    fn check_write(&mut self, actor: Actor, offset: usize, bytes: usize, stamp: Stamp) -> Result<(), Conflict> {
        if bytes == 16 && self.is_known_to_all(actor.warp as usize, offset / 16) {
            self.writes.set_line(offset / 16, stamp);
            return Ok(());
        }
        self.expect_write(actor, offset, bytes, stamp)?;
        for granule in granules(offset, bytes) {
            self.writes.set_granule(granule, stamp);
        }
        Ok(())
    }

    /// Fails if a write is not ordered after what was done to these bytes.
    #[inline(always)]
    fn expect_write(&self, actor: Actor, offset: usize, bytes: usize, stamp: Stamp) -> Result<(), Conflict> {
        let known = self.clocks.known_to_all(actor.warp as usize);
        let expect = |earlier: Stamp, granule: usize| -> Result<(), Conflict> {
            let met = earlier.bytes() & stamp.bytes() != 0 && !(earlier.is_atomic() && stamp.is_atomic());
            if met && earlier.clock() > known[earlier.agent()] {
                self.clocks.expect_known(actor, earlier, granule)?;
            }
            Ok(())
        };
        for granule in granules(offset, bytes) {
            expect(self.writes.granule(granule), granule)?;
        }
        for reads in &self.reads {
            for granule in granules(offset, bytes) {
                let as_read = |conflict| Conflict { how: Earlier::Read, ..conflict };
                expect(reads.granule(granule), granule).map_err(as_read)?;
            }
        }
        for (_, reads) in &self.async_reads {
            for granule in granules(offset, bytes) {
                expect(reads.granule(granule), granule)?;
            }
        }
        Ok(())
    }
}

/// Which bytes of a granule are touched. An access that spans granules touches all of each.
#[inline(always)]
fn touched(offset: usize, bytes: usize) -> u32 {
    if bytes >= 4 { 15 } else { ((1 << bytes) - 1) << (offset % 4) }
}
