//! Stores of the same bytes by the same instruction: of a value that several warps hold, compilers let all of them store.
//! Whichever comes last, the same is there, so they need no order among themselves; everything else still needs one to all
//! of them.

use super::notes::granules;
use super::{Actor, Conflict, Earlier, Races, Stamp};

impl Races {
    /// Checks a write that another lane of the same instruction makes and notes.
    pub(crate) fn equal_write(&self, actor: Actor, offset: usize, bytes: usize) -> Result<(), Conflict> {
        self.expect_write(actor, offset, bytes, self.plain(actor, offset, bytes))
    }

    /// Checks a write of what is there already against all but the writes that it repeats.
    pub(crate) fn expect_repeated(&self, actor: Actor, offset: usize, bytes: usize) -> Result<(), Conflict> {
        let stamp = self.plain(actor, offset, bytes);
        let warps = self.reads.len();
        let repeats = |earlier: Stamp| earlier.pc() == actor.pc && !earlier.is_atomic() && earlier.agent() < warps;
        for granule in granules(offset, bytes) {
            let expect = |earlier: Stamp| -> Result<(), Conflict> {
                match earlier.bytes() & stamp.bytes() != 0 && !repeats(earlier) {
                    true => self.clocks.expect_known(actor, earlier, granule),
                    false => Ok(()),
                }
            };
            expect(self.writes.granule(granule))?;
            for reads in &self.reads {
                let as_read = |conflict| Conflict { how: Earlier::Read, ..conflict };
                expect(reads.granule(granule)).map_err(as_read)?;
            }
            for (_, reads) in &self.async_reads {
                expect(reads.granule(granule))?;
            }
        }
        Ok(())
    }

    /// Notes a write of what is there already, after [`Races::write`] has found an earlier one.
    pub(crate) fn repeated_write(&mut self, actor: Actor, offset: usize, bytes: usize) -> Result<(), Conflict> {
        self.expect_repeated(actor, offset, bytes)?;
        let (stamp, warps) = (self.plain(actor, offset, bytes), self.reads.len());
        for granule in granules(offset, bytes) {
            // The earlier one stays noted as a read, which a later write must be ordered after. A later read need not be: it
            // finds the same value.
            let earlier = self.writes.granule(granule);
            if earlier != Stamp::default() && earlier.agent() < warps {
                let reads = &mut self.reads[earlier.agent()];
                let read = reads.granule(granule);
                let both = if read.clock() > earlier.clock() { read.after(earlier, 0) } else { earlier.after(read, 0) };
                reads.set_granule(granule, both);
            }
            self.writes.set_granule(granule, stamp);
        }
        Ok(())
    }
}
