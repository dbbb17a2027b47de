//! Threads that store to one address of shared memory by one instruction. Of the lanes of a warp one writes, and it does not
//! matter which if all of them write the same; nor does the order of warps that do. Compilers rely on that: of a value that
//! several threads hold, they let all of them store.

use super::context::{Effect, Shape};
use super::lanes::{WARP, lanes_of};
use crate::memory::{Access, Packet, Space};
use crate::race::{Actor, Conflict, Earlier};
use crate::trap::Fault;

/// Whether some of these lanes may store to one address. Tells a yes too much where addresses only look alike.
#[inline(always)]
fn may_meet(addresses: &[u64; WARP], lanes: u32, bytes: usize) -> bool {
    let mut seen = 0u64;
    let mut meets = 0;
    for lane in lanes_of(lanes) {
        let bit = 1 << ((addresses[lane] >> bytes.trailing_zeros()) & 63);
        meets |= seen & bit;
        seen |= bit;
    }
    meets != 0
}

impl Effect<'_> {
    /// The lanes, of those, that need to carry out a store: of several that store to one address of shared memory, the first.
    ///
    /// # Errors
    /// A race, if two of them store different values, or if what was there before is not ordered before all of them.
    #[inline(always)]
    pub(crate) fn storing(
        &self,
        lanes: u32,
        shape: Shape,
        addresses: &[u64; WARP],
        packet: impl Fn(&Self, usize) -> Packet,
    ) -> Result<u32, Box<Fault>> {
        if self.shared.races.is_none() || !may_meet(addresses, lanes, shape.bytes()) {
            return Ok(lanes);
        }
        self.first_of_equals(lanes, shape, addresses, packet)
    }

    #[cold]
    fn first_of_equals(
        &self,
        lanes: u32,
        shape: Shape,
        addresses: &[u64; WARP],
        packet: impl Fn(&Self, usize) -> Packet,
    ) -> Result<u32, Box<Fault>> {
        let (mut storing, bytes) = (lanes, shape.bytes());
        for lane in lanes_of(lanes) {
            let (Space::Shared, address) = shape.resolve(addresses[lane]) else { continue };
            // Accesses are multiples of their size, so two that overlap are at one address.
            let same = |first: &usize| addresses[*first] == addresses[lane];
            let Some(first) = lanes_of(storing).take_while(|first| *first < lane).find(same) else { continue };
            // What is not in memory is found when the first lane stores.
            let Some(offset) = self.shared.offset(address, bytes as u64) else { continue };
            let (one, other) = (packet(self, first), packet(self, lane));
            if let Some(word) = one.iter().zip(&other).position(|(one, other)| one != other) {
                let by = Actor { warp: self.warp.agent, lane: first as u32, pc: self.pc };
                let conflict = Conflict { how: Earlier::SameStore, by, granule: offset / 4 + word };
                return Err(self.race(Access::Store, lane as u32, conflict));
            }
            let me = Actor { warp: self.warp.agent, lane: lane as u32, pc: self.pc };
            let Some(races) = &self.shared.races else { continue };
            let checked = races.equal_write(me, offset, bytes).or_else(|conflict| {
                match self.repeats(me, conflict, offset, bytes, &other) {
                    true => races.expect_repeated(me, offset, bytes),
                    false => Err(conflict),
                }
            });
            checked.map_err(|conflict| self.race(Access::Store, me.lane, conflict))?;
            storing &= !(1 << lane);
        }
        Ok(storing)
    }

    /// Tells the race detector of a store to shared memory.
    #[inline(always)]
    pub(crate) fn watch_store(
        &mut self,
        lane: u32,
        offset: usize,
        bytes: usize,
        packet: &Packet,
    ) -> Result<(), Box<Fault>> {
        let actor = Actor { warp: self.warp.agent, lane, pc: self.pc };
        match self.shared.races.as_mut().map(|races| races.write(actor, offset, bytes)) {
            Some(Err(conflict)) => self.repeats_or_races(actor, conflict, offset, bytes, packet),
            _ => Ok(()),
        }
    }

    /// A store that nothing orders after an earlier one: a repetition, or a race.
    #[cold]
    fn repeats_or_races(
        &mut self,
        actor: Actor,
        conflict: Conflict,
        offset: usize,
        bytes: usize,
        packet: &Packet,
    ) -> Result<(), Box<Fault>> {
        let repeats = self.repeats(actor, conflict, offset, bytes, packet);
        match self.shared.races.as_mut().filter(|_| repeats).map(|races| races.repeated_write(actor, offset, bytes)) {
            Some(Ok(())) => Ok(()),
            Some(Err(conflict)) => Err(self.race(Access::Store, actor.lane, conflict)),
            None => Err(self.race(Access::Store, actor.lane, conflict)),
        }
    }

    /// Whether another warp has stored by the same instruction what is stored here, and it is still there.
    fn repeats(&self, actor: Actor, conflict: Conflict, offset: usize, bytes: usize, packet: &Packet) -> bool {
        let by_another = conflict.by.warp != actor.warp && conflict.by.pc == actor.pc;
        by_another && self.shared.load(offset, bytes) == *packet
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lanes_that_may_meet_are_seen() {
        let meet = |lanes, bytes, address: fn(u64) -> u64| {
            may_meet(&std::array::from_fn(|lane| address(lane as u64)), lanes, bytes)
        };
        assert!(!meet(u32::MAX, 4, |lane| 4 * lane));
        assert!(!meet(u32::MAX, 16, |lane| (32 * lane) ^ 16));
        assert!(meet(u32::MAX, 4, |lane| 4 * (lane / 2)));
        assert!(meet(0x8000_0001, 8, |_| 64));
        assert!(!meet(0x8000_0000, 8, |_| 64));
    }
}
