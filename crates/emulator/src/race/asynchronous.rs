//! Accesses of the asynchronous proxy: bulk copies and `wgmma`, which reach memory in lines of 16 bytes.

use super::agents::Needs;
use super::notes::{Notes, granules};
use super::{ALL_LANES, Actor, Agent, Conflict, Earlier, Races, Stamp};

/// Why an access of an asynchronous agent cannot be noted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Obstacle {
    /// Nothing orders it after an earlier one.
    Conflict(Conflict),
    /// There are more agents than a note can name: more mbarriers than any kernel has.
    TooManyAgents,
}

impl From<Conflict> for Obstacle {
    fn from(conflict: Conflict) -> Obstacle {
        Obstacle::Conflict(conflict)
    }
}

impl Races {
    /// Notes reads by an asynchronous agent, of 16 bytes each at these offsets, in its group `group`, counted from 1.
    /// Whoever issues them must know what was written there, and writes of the generic proxy must have passed a fence:
    /// a thread for a bulk copy, all four warps for `wgmma`.
    pub(crate) fn async_read(
        &mut self,
        reader: Agent,
        issuers: &[Actor],
        lines: impl IntoIterator<Item = usize>,
        group: u32,
    ) -> Result<(), Obstacle> {
        let Some(agent) = self.clocks.number_of(reader) else { return Err(Obstacle::TooManyAgents) };
        let at = self.async_reads.iter().position(|(known, _)| *known == agent).unwrap_or_else(|| {
            self.async_reads.push((agent, Notes::new(self.bytes)));
            self.async_reads.len() - 1
        });
        let mut known = self.clocks.known_to_all(issuers[0].warp as usize).to_vec();
        for issuer in &issuers[1..] {
            let theirs = self.clocks.known_to_all(issuer.warp as usize);
            known.iter_mut().zip(theirs).for_each(|(known, theirs)| *known = (*theirs).min(*known));
        }
        let new = Stamp::new(group, agent, issuers[0], 15, 0);
        // Most lines of an operand were written together.
        let mut visible = Stamp::default();
        for offset in lines {
            match self.writes.line(offset / 16) {
                Some(write) if write == visible => {}
                Some(write) => {
                    if !self.is_visible(write, &known) {
                        let expect = |issuer: &Actor| self.clocks.expect_visible(*issuer, write, offset / 4);
                        issuers.iter().try_for_each(expect)?;
                    }
                    visible = write;
                }
                None => {
                    for granule in granules(offset, 16) {
                        let write = self.writes.granule(granule);
                        if self.is_visible(write, &known) {
                            continue;
                        }
                        issuers.iter().try_for_each(|issuer| self.clocks.expect_visible(*issuer, write, granule))?;
                    }
                }
            }
            let notes = &mut self.async_reads[at].1;
            match notes.line(offset / 16) {
                Some(read) => notes.set_line(offset / 16, new.after(read, known[agent])),
                None => {
                    for granule in granules(offset, 16) {
                        let read = notes.granule(granule);
                        notes.set_granule(granule, new.after(read, known[agent]));
                    }
                }
            }
        }
        Ok(())
    }

    /// Notes writes by the bulk copies that an mbarrier counts, of 16 bytes each at these offsets, in its phase `phase`,
    /// counted from 1. The thread that issues them must know of all accesses there, and its own and others' writes of the
    /// generic proxy must have passed a fence; reads of the generic proxy need none, as no public pipeline has one there.
    pub(crate) fn async_write(
        &mut self,
        mbarrier: u32,
        issuer: Actor,
        lines: impl IntoIterator<Item = usize>,
        phase: u32,
    ) -> Result<(), Obstacle> {
        let Some(agent) = self.clocks.number_of(Agent::Mbarrier(mbarrier)) else {
            return Err(Obstacle::TooManyAgents);
        };
        let known = self.clocks.known_to_all(issuer.warp as usize).to_vec();
        let new = Stamp::new(phase, agent, Actor { lane: issuer.warp % self.warps_of_a_cta, ..issuer }, 15, 0);
        // What was found known last, of writes and of each kind of reads: most lines were written and read together.
        let mut written = Stamp::default();
        let mut read = vec![Stamp::default(); self.reads.len() + self.async_reads.len()];
        let as_read = |conflict| Conflict { how: Earlier::Read, ..conflict };
        for offset in lines {
            match self.writes.line(offset / 16) {
                Some(write) if write == written => {}
                Some(write) => {
                    if !self.is_visible(write, &known) {
                        self.clocks.expect_visible(issuer, write, offset / 4)?;
                    }
                    written = write;
                }
                None => {
                    for granule in granules(offset, 16) {
                        self.clocks.expect_visible(issuer, self.writes.granule(granule), granule)?;
                    }
                }
            }
            for (reads, known_read) in self.reads.iter().zip(&mut read) {
                self.expect_read_known(issuer, reads, offset, &known, known_read).map_err(as_read)?;
            }
            for ((_, reads), known_read) in self.async_reads.iter().zip(&mut read[self.reads.len()..]) {
                self.expect_read_known(issuer, reads, offset, &known, known_read)?;
            }
            self.writes.set_line(offset / 16, new);
        }
        Ok(())
    }

    /// Fails if an issuer does not know of the reads of 16 bytes; `last` is the note that was found known last.
    #[inline(always)]
    fn expect_read_known(
        &self,
        issuer: Actor,
        reads: &Notes,
        offset: usize,
        known: &[u32],
        last: &mut Stamp,
    ) -> Result<(), Conflict> {
        match reads.line(offset / 16) {
            Some(read) if read == *last => Ok(()),
            Some(read) => {
                if read.clock() > known[read.agent()] {
                    self.clocks.expect_known(issuer, read, offset / 4)?;
                }
                *last = read;
                Ok(())
            }
            None => granules(offset, 16)
                .try_for_each(|granule| self.clocks.expect_known(issuer, reads.granule(granule), granule)),
        }
    }

    /// Whether the asynchronous proxy sees a write, given what all lanes of the issuer know. May miss that it does.
    #[inline(always)]
    fn is_visible(&self, write: Stamp, known: &[u32]) -> bool {
        let passed = match self.clocks.needs(write.agent()) {
            Needs::Nothing => true,
            Needs::FirstFence => write.clock() == 0,
            Needs::Fence(fence) => write.clock() <= known[fence],
        };
        passed && write.clock() <= known[write.agent()]
    }
}

/// The four warps of a warpgroup at one instruction, as those who issue a `wgmma`.
pub(crate) fn warpgroup(group: u32, pc: u32) -> [Actor; 4] {
    std::array::from_fn(|warp| Actor { warp: 4 * group + warp as u32, lane: ALL_LANES, pc })
}
