//! Races in shared memory: accesses that nothing orders.
//!
//! The detector is FastTrack's, cut to the shape of a CTA. Every access is stamped with its agent, its lane and the
//! agent's clock; a warp is an agent, and so are its asynchronous copies, whose clock counts groups. What a thread knows
//! of every other grows only where PTX orders memory: barriers, warp barriers, waits for copies, atomics. An access that
//! meets a stamp it does not know is a race, whether or not this run of the schedule went wrong.

mod knowledge;

use knowledge::Clocks;
pub(crate) use knowledge::Contribution;

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
/// | 25..32 | agent |
/// | 32..38 | lane |
/// | 38..64 | clock; 0: there was no access |
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Stamp(u64);

/// Most instructions of a kernel whose races can be told.
pub(crate) const MOST_INSTRUCTIONS: usize = 1 << 20;
/// Clocks stop here instead of running over: later accesses count as known.
const LAST_CLOCK: u32 = (1 << 26) - 1;

impl Stamp {
    #[inline(always)]
    fn new(clock: u32, agent: usize, actor: Actor, bytes: u32, atomic: u64) -> Stamp {
        Stamp(
            u64::from(clock.min(LAST_CLOCK)) << 38
                | u64::from(actor.lane) << 32
                | (agent as u64) << 25
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
        Stamp(if alone { self.0 } else { self.0 | u64::from(ALL_LANES) << 32 })
    }

    #[inline(always)]
    fn clock(self) -> u32 {
        (self.0 >> 38) as u32
    }

    #[inline(always)]
    fn lane(self) -> u32 {
        (self.0 >> 32 & 63) as u32
    }

    #[inline(always)]
    fn agent(self) -> usize {
        (self.0 >> 25 & 127) as usize
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
    warps: usize,
    lines: usize,
    clocks: Clocks,
    /// The last write of every granule.
    writes: Vec<Line>,
    /// The last read of every granule by each warp, warp after warp.
    reads: Vec<Line>,
}

/// Notes of 16 bytes: what is accessed together is mostly as large, and is stamped alike.
type Line = [Stamp; LINE_GRANULES];
const LINE_GRANULES: usize = 4;

impl Races {
    /// No accesses yet, to that many bytes by that many warps.
    pub(crate) fn new(bytes: usize, warps: usize) -> Races {
        let lines = bytes.div_ceil(4 * LINE_GRANULES);
        let none = [Stamp::default(); LINE_GRANULES];
        Races { warps, lines, clocks: Clocks::new(warps), writes: vec![none; lines], reads: vec![none; lines * warps] }
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
        let known = self.clocks.known_to_all(warp);
        let granules = offset / 4..(offset + bytes).div_ceil(4);
        let writes = &self.writes.as_flattened()[granules.clone()];
        let reads = &mut self.reads[warp * self.lines..].as_flattened_mut()[granules.clone()];
        for (at, (write, read)) in writes.iter().zip(reads).enumerate() {
            if write.clock() > known[write.agent()] && write.bytes() & touched != 0 {
                self.clocks.expect_known(actor, *write, granules.start + at)?;
            }
            *read = new.after(*read, known[warp]);
        }
        Ok(())
    }

    /// Notes reads of 16 bytes each.
    #[inline(always)]
    pub(crate) fn read_lines(&mut self, actor: Actor, offsets: &[usize]) -> Result<(), Conflict> {
        let warp = actor.warp as usize;
        let new = Stamp::new(self.clocks.now(warp), warp, actor, 15, 0);
        let known = self.clocks.known_to_all(warp);
        let reads = &mut self.reads[warp * self.lines..][..self.lines];
        for offset in offsets {
            let line = offset / 16;
            let write = &self.writes[line];
            if *write == [write[0]; LINE_GRANULES] {
                if write[0].clock() > known[write[0].agent()] {
                    self.clocks.expect_known(actor, write[0], line * LINE_GRANULES)?;
                }
            } else {
                for (at, write) in write.iter().enumerate() {
                    if write.clock() > known[write.agent()] {
                        self.clocks.expect_known(actor, *write, line * LINE_GRANULES + at)?;
                    }
                }
            }
            let read = &mut reads[line];
            if *read == [read[0]; LINE_GRANULES] {
                *read = [new.after(read[0], known[warp]); LINE_GRANULES];
            } else {
                read.iter_mut().for_each(|read| *read = new.after(*read, known[warp]));
            }
        }
        Ok(())
    }

    /// Notes a write.
    #[inline(always)]
    pub(crate) fn write(&mut self, actor: Actor, offset: usize, bytes: usize) -> Result<(), Conflict> {
        let stamp =
            Stamp::new(self.clocks.now(actor.warp as usize), actor.warp as usize, actor, touched(offset, bytes), 0);
        self.check_write(actor, offset, bytes, stamp)
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
        let write = &self.writes[line];
        let mut all = *write == [write[0]; LINE_GRANULES] && write[0].clock() <= known[write[0].agent()];
        for (reads, known) in self.reads.chunks_exact(self.lines).zip(known) {
            let read = &reads[line];
            all &= *read == [read[0]; LINE_GRANULES] && read[0].clock() <= *known;
        }
        all
    }

    #[inline(always)]
    fn check_write(&mut self, actor: Actor, offset: usize, bytes: usize, stamp: Stamp) -> Result<(), Conflict> {
        if bytes == 4 * LINE_GRANULES && self.is_known_to_all(actor.warp as usize, offset / bytes) {
            self.writes[offset / bytes] = [stamp; LINE_GRANULES];
            return Ok(());
        }
        let granules = offset / 4..(offset + bytes).div_ceil(4);
        let known = self.clocks.known_to_all(actor.warp as usize);
        let expect = |earlier: &[Stamp], how: Option<Earlier>| -> Result<(), Conflict> {
            // What was accessed together was stamped alike: one look tells of all of it.
            let alike = earlier.iter().all(|one| *one == earlier[0]);
            for (at, one) in earlier.iter().enumerate().take(if alike { 1 } else { earlier.len() }) {
                let met = one.bytes() & stamp.bytes() != 0 && !(one.is_atomic() && stamp.is_atomic());
                if met && one.clock() > known[one.agent()] {
                    let conflict = self.clocks.expect_known(actor, *one, granules.start + at);
                    conflict.map_err(|conflict| Conflict { how: how.unwrap_or(conflict.how), ..conflict })?;
                }
            }
            Ok(())
        };
        expect(&self.writes.as_flattened()[granules.clone()], None)?;
        for warp in 0..self.warps {
            expect(&self.reads[warp * self.lines..].as_flattened()[granules.clone()], Some(Earlier::Read))?;
        }
        self.writes.as_flattened_mut()[granules].fill(stamp);
        Ok(())
    }
}

/// Which bytes of a granule are touched. An access that spans granules touches all of each.
#[inline(always)]
fn touched(offset: usize, bytes: usize) -> u32 {
    if bytes >= 4 { 15 } else { ((1 << bytes) - 1) << (offset % 4) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EVERYBODY: u32 = u32::MAX;

    fn actor(warp: u32, lane: u32) -> Actor {
        Actor { warp, lane, pc: 10 * warp + lane }
    }

    fn races() -> Races {
        let mut races = Races::new(64, 2);
        for warp in 0..2 {
            races.clocks().start(warp, EVERYBODY);
        }
        races
    }

    fn barrier(races: &mut Races) {
        let mut all = Contribution::default();
        for warp in 0..2 {
            races.clocks().contribute(warp, EVERYBODY, &mut all);
        }
        for warp in 0..2 {
            races.clocks().receive(warp, EVERYBODY, &all);
        }
    }

    #[test]
    fn a_barrier_orders_two_warps() {
        let mut races = races();
        races.write(actor(0, 3), 8, 4).unwrap();
        let conflict = races.read(actor(1, 0), 8, 4).unwrap_err();
        assert_eq!((conflict.how, conflict.by, conflict.granule), (Earlier::Write, actor(0, 3), 2));
        barrier(&mut races);
        races.read(actor(1, 0), 8, 4).unwrap();
        let conflict = races.write(actor(0, 3), 8, 4).unwrap_err();
        assert_eq!((conflict.how, conflict.by), (Earlier::Read, actor(1, 0)));
        barrier(&mut races);
        races.write(actor(0, 3), 8, 4).unwrap();
    }

    #[test]
    fn neighbouring_bytes_do_not_meet() {
        let mut races = races();
        races.write(actor(0, 0), 8, 2).unwrap();
        races.write(actor(1, 0), 10, 2).unwrap();
        races.read(actor(1, 0), 10, 1).unwrap();
        assert!(races.read(actor(0, 0), 8, 4).is_err());
    }

    #[test]
    fn lanes_of_a_warp_are_threads_of_their_own() {
        let mut races = races();
        races.write(actor(0, 3), 8, 4).unwrap();
        races.read(actor(0, 3), 8, 4).unwrap();
        assert!(races.read(actor(0, 4), 8, 4).is_err());
        // A warp barrier of lanes 3 and 4 orders these two only.
        races.clocks().synchronise(0, 0b1_1000);
        races.read(actor(0, 4), 8, 4).unwrap();
        assert!(races.read(actor(0, 5), 8, 4).is_err());
        races.clocks().synchronise(0, EVERYBODY);
        races.read(actor(0, 5), 8, 4).unwrap();
        assert!(races.read(actor(1, 5), 8, 4).is_err());
    }

    #[test]
    fn a_copy_is_known_after_its_wait_and_to_others_after_a_barrier() {
        let mut races = races();
        races.copy(actor(0, 1), 16, 16, 1).unwrap();
        assert_eq!(races.read(actor(0, 1), 16, 4).unwrap_err().how, Earlier::CopyInFlight);
        races.clocks().retire(0, EVERYBODY, 1);
        races.read(actor(0, 1), 16, 4).unwrap();
        assert_eq!(races.read(actor(0, 2), 16, 4).unwrap_err().how, Earlier::Copy);
        assert_eq!(races.read(actor(1, 1), 16, 4).unwrap_err().how, Earlier::Copy);
        barrier(&mut races);
        races.read(actor(1, 1), 16, 4).unwrap();
    }

    #[test]
    fn a_barrier_does_not_publish_a_copy_that_nobody_waited_for() {
        let mut races = races();
        races.copy(actor(0, 1), 16, 16, 1).unwrap();
        barrier(&mut races);
        assert_eq!(races.read(actor(1, 1), 16, 4).unwrap_err().how, Earlier::CopyInFlight);
    }

    #[test]
    fn a_wait_of_one_lane_is_its_own() {
        let mut races = races();
        races.copy(actor(0, 0), 0, 4, 1).unwrap();
        races.copy(actor(0, 1), 4, 4, 1).unwrap();
        races.clocks().retire(0, 0b01, 1);
        barrier(&mut races);
        races.read(actor(1, 0), 0, 4).unwrap();
        assert!(races.read(actor(1, 0), 4, 4).is_err());
    }

    #[test]
    fn reads_of_several_lanes_must_all_be_known_before_a_write() {
        let mut races = races();
        races.read(actor(0, 0), 0, 4).unwrap();
        races.read(actor(0, 1), 0, 4).unwrap();
        assert!(races.write(actor(0, 1), 0, 4).is_err());
        races.clocks().synchronise(0, EVERYBODY);
        races.write(actor(0, 1), 0, 4).unwrap();
    }

    #[test]
    fn atomics_race_with_plain_accesses_only() {
        let mut races = races();
        races.atomic(actor(0, 0), 0, 4).unwrap();
        races.atomic(actor(1, 0), 0, 4).unwrap();
        assert_eq!(races.read(actor(0, 0), 0, 4).unwrap_err().how, Earlier::Atomic);
    }
}
