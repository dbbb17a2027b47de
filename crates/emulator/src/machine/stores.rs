//! Lanes that store to one address of shared memory in one instruction: one of them writes, and it does not matter which
//! if all of them write the same. Compilers rely on that: of a value that several lanes hold, they let all of them store.

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
    /// The lanes that need to carry out a store: of those that store to one address of shared memory, the first.
    ///
    /// # Errors
    /// A race, if two of them store different values, or if what was there before is not ordered before all of them.
    #[inline(always)]
    pub(crate) fn storing(
        &self,
        shape: Shape,
        addresses: &[u64; WARP],
        packet: impl Fn(&Self, usize) -> Packet,
    ) -> Result<u32, Box<Fault>> {
        let lanes = self.lanes.mask();
        let shared = matches!(shape.space, None | Some(Space::Shared)) && self.shared.races.is_some();
        if !shared || !may_meet(addresses, lanes, shape.bytes()) {
            return Ok(lanes);
        }
        self.first_of_equals(shape, addresses, packet)
    }

    #[cold]
    fn first_of_equals(
        &self,
        shape: Shape,
        addresses: &[u64; WARP],
        packet: impl Fn(&Self, usize) -> Packet,
    ) -> Result<u32, Box<Fault>> {
        let (mut storing, bytes) = (self.lanes.mask(), shape.bytes());
        for lane in self.executing() {
            let (Space::Shared, address) = shape.resolve(addresses[lane]) else { continue };
            // Accesses are multiples of their size, so two that overlap are at one address.
            let same = |first: &usize| addresses[*first] == addresses[lane];
            let Some(first) = lanes_of(storing).take_while(|first| *first < lane).find(same) else { continue };
            // What is not in memory is found when the first lane stores.
            let Some(offset) = self.shared.offset(address, bytes as u64) else { continue };
            let (one, other) = (packet(self, first), packet(self, lane));
            if let Some(word) = one.iter().zip(&other).position(|(one, other)| one != other) {
                let by = Actor { warp: self.warp.index, lane: first as u32, pc: self.pc };
                let conflict = Conflict { how: Earlier::SameStore, by, granule: offset / 4 + word };
                return Err(self.race(Access::Store, lane as u32, conflict));
            }
            let me = Actor { warp: self.warp.index, lane: lane as u32, pc: self.pc };
            if let Some(Err(conflict)) = self.shared.races.as_ref().map(|races| races.equal_write(me, offset, bytes)) {
                return Err(self.race(Access::Store, me.lane, conflict));
            }
            storing &= !(1 << lane);
        }
        Ok(storing)
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
