//! What an instruction with effects can see and change, and how it reaches memory: every access of every lane goes
//! through here and is checked here.

use super::bulk::BulkStores;
use super::cluster_barrier::ClusterArrivals;
use super::copies::Copies;
use super::counts::Counts;
use super::fences::Fences;
use super::lanes::{Lanes, WARP, Words, lanes_of};
use super::launch::LaunchState;
use super::wgmma::{Flight, Warpgroup};
use crate::decode::{Address, Code, Instruction};
use crate::memory::global::Allocation;
use crate::memory::local::LocalMemory;
use crate::memory::shared::SharedMemory;
use crate::memory::{Access, Packet, Space, nearest};
use crate::misuse::MbarrierMisuse;
use crate::race::{ALL_LANES, Actor, Conflict, Earlier};
use crate::trap::Fault;

/// A warp at work, and the memory that it sees.
pub(crate) struct Effect<'a> {
    /// Registers, and which lanes execute.
    pub(crate) lanes: &'a mut Lanes,
    /// What else belongs to the warp.
    pub(crate) warp: &'a mut WarpState,
    /// Memory of its CTA.
    pub(crate) shared: &'a mut SharedMemory,
    /// The products of its CTA's warpgroups.
    pub(crate) warpgroups: &'a mut [Warpgroup],
    /// What all CTAs share.
    pub(crate) launch: &'a LaunchState<'a>,
    /// What is counted.
    pub(crate) counts: &'a mut Counts,
    /// Running number of the CTA.
    pub(crate) cta: u32,
    /// Index of the instruction.
    pub(crate) pc: u32,
}

/// What belongs to a warp beside its registers.
#[derive(Debug)]
pub(crate) struct WarpState {
    /// Index in its CTA.
    pub(crate) index: u32,
    /// Its number in the race detector, which tells warps of a cluster apart.
    pub(crate) agent: u32,
    /// What its lanes have done at the barrier of the cluster.
    pub(crate) cluster: ClusterArrivals,
    /// Lanes that have not ended.
    pub(crate) live: u32,
    /// Stack frames.
    pub(crate) local: LocalMemory,
    /// Asynchronous copies under way.
    pub(crate) copies: Copies,
    /// Matrix products under way.
    pub(crate) flight: Flight,
    /// Bulk copies out of shared memory under way.
    pub(crate) bulk: BulkStores,
    /// What its fences make of relaxed operations.
    pub(crate) fences: Fences,
    /// Warp instructions so far.
    pub(crate) executed: u64,
    /// Lanes that asked in vain for a phase of an mbarrier, and which one.
    pub(crate) polls: Option<(u32, Option<u32>)>,
    /// The buffer that was accessed last: usually the next one too.
    hint: usize,
}

impl WarpState {
    /// A warp that has done nothing yet.
    pub(crate) fn new(index: u32, agent: u32, live: u32, code: &Code) -> WarpState {
        WarpState {
            index,
            agent,
            cluster: ClusterArrivals::default(),
            live,
            local: LocalMemory::new(code.layout.local_bytes),
            copies: Copies::default(),
            flight: Flight::new(&code.products),
            bulk: BulkStores::default(),
            fences: Fences::default(),
            executed: 0,
            polls: None,
            hint: 0,
        }
    }
}

/// A range of bytes of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Bytes {
    /// Index of the buffer.
    pub(crate) buffer: usize,
    /// First byte.
    pub(crate) offset: usize,
}

impl<'a> Effect<'a> {
    /// The address of each lane.
    #[inline(always)]
    pub(crate) fn addresses(&self, address: Address) -> [u64; WARP] {
        let mut out = [0; WARP];
        if address.wide {
            for (to, from) in out.iter_mut().zip(self.lanes.wides(address.row)) {
                *to = from.wrapping_add(i64::from(address.offset) as u64);
            }
        } else {
            for (to, from) in out.iter_mut().zip(self.lanes.words(address.row)) {
                *to = u64::from(from.wrapping_add(address.offset as u32));
            }
        }
        out
    }

    /// Whether the checks that find misuse are on; accesses that leave memory are always found.
    #[inline(always)]
    pub(crate) fn watches(&self) -> bool {
        self.launch.watches
    }

    /// One lane reads up to 32 bytes.
    #[inline(always)]
    pub(crate) fn load(&mut self, space: Space, lane: usize, address: u64, bytes: usize) -> Result<Packet, Box<Fault>> {
        let access = Access::Load;
        match space {
            Space::Shared => {
                let offset = self.shared_offset(access, lane, address, bytes)?;
                self.check_shared_read(lane as u32, offset, bytes)?;
                Ok(self.shared.load(offset, bytes))
            }
            Space::Global => {
                aligned(access, space, lane, address, bytes)?;
                let (at, allocation) = self.global(access, lane, address, bytes)?;
                self.check_global_read(access, lane, at, bytes, allocation)?;
                Ok(allocation.load(at.offset, bytes))
            }
            Space::Local => {
                let offset = self.local_offset(access, lane, address, bytes)?;
                match self.warp.local.first_unwritten(lane, offset, bytes) {
                    Some(byte) if self.watches() => Err(uninitialised(space, lane, "the stack frame", byte as u64)),
                    _ => Ok(self.warp.local.load(lane, offset, bytes)),
                }
            }
            Space::Param => self.read_only(access, space, lane, address, bytes, self.launch.params),
            Space::Const => self.read_only(access, space, lane, address, bytes, self.launch.constants),
        }
    }

    /// One lane writes up to 32 bytes.
    #[inline(always)]
    pub(crate) fn store(
        &mut self,
        space: Space,
        lane: usize,
        address: u64,
        bytes: usize,
        packet: &Packet,
    ) -> Result<(), Box<Fault>> {
        let access = Access::Store;
        match space {
            Space::Shared => {
                let offset = self.shared_offset(access, lane, address, bytes)?;
                self.watch_store(lane as u32, offset, bytes, packet)?;
                self.shared.store(offset, bytes, packet);
            }
            Space::Global => {
                aligned(access, space, lane, address, bytes)?;
                let (at, allocation) = self.global(access, lane, address, bytes)?;
                self.check_global_write(access, lane, at, bytes, allocation)?;
                allocation.store(at.offset, bytes, packet);
            }
            Space::Local => {
                let offset = self.local_offset(access, lane, address, bytes)?;
                self.warp.local.store(lane, offset, bytes, packet);
            }
            Space::Param | Space::Const => {
                return Err(Box::new(Fault::ReadOnly { lane, name: format!("{space} memory"), offset: address }));
            }
        }
        Ok(())
    }

    /// One lane replaces a value by a function of it, and gets the old one.
    pub(crate) fn atomic(
        &mut self,
        space: Space,
        lane: usize,
        address: u64,
        bytes: usize,
        change: impl Fn(u64) -> u64,
    ) -> Result<u64, Box<Fault>> {
        let access = Access::Atomic;
        match space {
            Space::Shared => {
                let offset = self.shared_offset(access, lane, address, bytes)?;
                self.check_shared_written(lane, offset, bytes)?;
                self.watch_shared(access, lane as u32, |races, actor| races.atomic(actor, offset, bytes))?;
                let packet = self.shared.load(offset, bytes);
                let old = u64::from(packet[0]) | u64::from(packet[1]) << 32;
                let new = change(old);
                self.shared.store(offset, bytes, &[new as u32, (new >> 32) as u32, 0, 0, 0, 0, 0, 0]);
                Ok(old)
            }
            Space::Global => {
                aligned(access, space, lane, address, bytes)?;
                let (at, allocation) = self.global(access, lane, address, bytes)?;
                if allocation.is_read_only() {
                    return Err(read_only(lane, allocation, at.offset));
                }
                if let Some(byte) = allocation.first_unwritten(at.offset, bytes).filter(|_| self.watches()) {
                    return Err(uninitialised(space, lane, &allocation.region.name, byte as u64));
                }
                Ok(allocation.update(at.offset, bytes, change))
            }
            Space::Local | Space::Param | Space::Const => {
                Err(Box::new(Fault::Unsupported { what: "atomics outside of global and shared memory" }))
            }
        }
    }

    /// The offset of bytes of shared memory, if a lane may touch them.
    #[inline(always)]
    pub(crate) fn shared_offset(
        &self,
        access: Access,
        lane: usize,
        address: u64,
        bytes: usize,
    ) -> Result<usize, Box<Fault>> {
        let offset = self.shared_bytes(access, lane, address, bytes)?;
        aligned(access, Space::Shared, lane, address, bytes)?;
        Ok(offset)
    }

    /// The offset of any number of bytes of shared memory, if a lane may touch them. Their alignment is the caller's to
    /// check.
    #[inline(always)]
    pub(crate) fn shared_bytes(
        &self,
        access: Access,
        lane: usize,
        address: u64,
        bytes: usize,
    ) -> Result<usize, Box<Fault>> {
        if let Some(offset) = self.shared.offset(address, bytes as u64) {
            return Ok(offset);
        }
        // Of another CTA, or of the own one by an address that names it.
        if let Some(offset) = self.shared.offset_in_cluster(address, bytes as u64) {
            self.expect_running(lane, offset)?;
            return Ok(offset);
        }
        Err(out_of_bounds(access, Space::Shared, lane, address, bytes, self.shared.variables().iter()))
    }

    /// The offsets of the first `count` lanes' 16 bytes of shared memory, if they may touch them.
    #[inline(always)]
    pub(crate) fn shared_lines(
        &self,
        access: Access,
        addresses: &[u64; WARP],
        count: usize,
    ) -> Result<[usize; WARP], Box<Fault>> {
        let mut offsets = [0; WARP];
        if let [only] = self.shared.variables()
            && only.bytes >= 16
        {
            let first = u64::from(crate::memory::shared::FIRST).wrapping_sub(self.shared.base() as u64);
            // Without a branch for each lane; whatever is wrong is found again below.
            let mut wrong = 0;
            for lane in 0..count {
                wrong |= (addresses[lane] % 16) | u64::from(addresses[lane].wrapping_sub(only.base) > only.bytes - 16);
                offsets[lane] = addresses[lane].wrapping_sub(first) as usize;
            }
            if wrong == 0 {
                return Ok(offsets);
            }
        }
        for lane in 0..count {
            offsets[lane] = self.shared_offset(access, lane, addresses[lane], 16)?;
        }
        Ok(offsets)
    }

    /// The place of bytes of global memory, if they are all in one buffer. Their alignment is the caller's to check.
    #[inline(always)]
    pub(crate) fn global(
        &mut self,
        access: Access,
        lane: usize,
        address: u64,
        bytes: usize,
    ) -> Result<(Bytes, &'a Allocation), Box<Fault>> {
        let launch = self.launch;
        match launch.memory.find(address, bytes as u64, &mut self.warp.hint) {
            Some(allocation) => {
                let offset = (address - allocation.region.base) as usize;
                Ok((Bytes { buffer: self.warp.hint, offset }, allocation))
            }
            None => self.variable(access, lane, address, bytes),
        }
    }

    /// The place of bytes of a variable of the program. They are counted behind the buffers.
    #[cold]
    fn variable(
        &self,
        access: Access,
        lane: usize,
        address: u64,
        bytes: usize,
    ) -> Result<(Bytes, &'a Allocation), Box<Fault>> {
        let (buffers, variables) = (self.launch.memory.allocations(), &self.launch.code.variables);
        let mut index = 0;
        let Some(allocation) = variables.find(address, bytes as u64, &mut index) else {
            let regions = buffers.iter().chain(variables.allocations()).map(|allocation| &allocation.region);
            return Err(out_of_bounds(access, Space::Global, lane, address, bytes, regions));
        };
        let offset = (address - allocation.region.base) as usize;
        Ok((Bytes { buffer: buffers.len() + index, offset }, allocation))
    }

    /// Checks a read of global memory.
    #[inline(always)]
    pub(crate) fn check_global_read(
        &self,
        access: Access,
        lane: usize,
        at: Bytes,
        bytes: usize,
        allocation: &Allocation,
    ) -> Result<(), Box<Fault>> {
        if !self.watches() || allocation.is_read_only() {
            return Ok(());
        }
        if let Some(byte) = allocation.first_unwritten(at.offset, bytes) {
            return Err(uninitialised(Space::Global, lane, &allocation.region.name, byte as u64));
        }
        match self.launch.claims.as_ref().and_then(|claims| claims.read(at.buffer, at.offset, bytes, self.cta)) {
            Some(other) => Err(global_race(access, lane, allocation, at.offset, other)),
            None => Ok(()),
        }
    }

    #[inline(always)]
    pub(crate) fn check_global_write(
        &self,
        access: Access,
        lane: usize,
        at: Bytes,
        bytes: usize,
        allocation: &Allocation,
    ) -> Result<(), Box<Fault>> {
        if allocation.is_read_only() {
            return Err(read_only(lane, allocation, at.offset));
        }
        match self.launch.claims.as_ref().and_then(|claims| claims.write(at.buffer, at.offset, bytes, self.cta)) {
            Some(other) => Err(global_race(access, lane, allocation, at.offset, other)),
            None => Ok(()),
        }
    }

    /// Checks a read of shared memory: that nothing races with it, and that there is something to read.
    #[inline(always)]
    pub(crate) fn check_shared_read(&mut self, lane: u32, offset: usize, bytes: usize) -> Result<(), Box<Fault>> {
        if !self.watches() {
            return Ok(());
        }
        self.watch_shared(Access::Load, lane, |races, actor| races.read(actor, offset, bytes))?;
        self.check_shared_written(lane as usize, offset, bytes)
    }

    #[inline(always)]
    pub(crate) fn check_shared_written(&self, lane: usize, offset: usize, bytes: usize) -> Result<(), Box<Fault>> {
        match self.shared.first_unwritten(offset, bytes) {
            Some(byte) if self.watches() => {
                if let Some(mbarrier) = self.shared.mbarriers.touching(byte as u32, 1) {
                    let at = Box::new(self.launch.code.place(mbarrier.maker.pc));
                    return Err(self.misuse(lane, mbarrier.offset, MbarrierMisuse::Touched { at }));
                }
                let (name, byte) = self.shared.name_of(byte);
                Err(uninitialised(Space::Shared, lane, &name, byte))
            }
            _ => Ok(()),
        }
    }

    /// Tells the race detector of an access, and makes a fault of what it finds.
    #[inline(always)]
    pub(crate) fn watch_shared(
        &mut self,
        access: Access,
        lane: u32,
        note: impl FnOnce(&mut crate::race::Races, Actor) -> Result<(), Conflict>,
    ) -> Result<(), Box<Fault>> {
        let actor = Actor { warp: self.warp.agent, lane, pc: self.pc };
        match self.shared.races.as_mut().map(|races| note(races, actor)) {
            Some(Err(conflict)) => Err(self.race(access, lane, conflict)),
            _ => Ok(()),
        }
    }

    #[cold]
    pub(crate) fn race(&self, access: Access, lane: u32, conflict: Conflict) -> Box<Fault> {
        if conflict.how == Earlier::Mbarrier {
            let at = Box::new(self.launch.code.place(conflict.by.pc));
            let lane = if lane == ALL_LANES { 0 } else { lane as usize };
            let touched = self.shared.mbarriers.touching(conflict.granule as u32 * 4, 4);
            let offset = touched.map_or(conflict.granule as u32 * 4, |mbarrier| mbarrier.offset);
            return self.misuse(lane, offset, MbarrierMisuse::Touched { at });
        }
        let one = |lane: u32| (lane != ALL_LANES).then_some(lane as usize);
        let (name, offset) = self.shared.name_of(conflict.granule * 4);
        Box::new(Fault::Race {
            access,
            lane: one(lane),
            name,
            offset,
            earlier: conflict.how,
            earlier_warp: conflict.by.warp % self.shared.warps_of_a_cta(),
            earlier_lane: one(conflict.by.lane),
            earlier_place: self.launch.code.place(conflict.by.pc),
        })
    }

    fn local_offset(&self, access: Access, lane: usize, address: u64, bytes: usize) -> Result<usize, Box<Fault>> {
        let end = self.warp.local.bytes();
        if address > end || bytes as u64 > end - address {
            return Err(out_of_bounds(access, Space::Local, lane, address, bytes, std::iter::empty()));
        }
        aligned(access, Space::Local, lane, address, bytes)?;
        Ok(address as usize)
    }

    fn read_only(
        &self,
        access: Access,
        space: Space,
        lane: usize,
        address: u64,
        bytes: usize,
        from: &[u8],
    ) -> Result<Packet, Box<Fault>> {
        let inside = usize::try_from(address).ok().and_then(|at| from.get(at..at.checked_add(bytes)?));
        let Some(inside) = inside else {
            return Err(out_of_bounds(access, space, lane, address, bytes, std::iter::empty()));
        };
        aligned(access, space, lane, address, bytes)?;
        let mut packet = [0; 8];
        for (at, byte) in inside.iter().enumerate() {
            packet[at / 4] |= u32::from(*byte) << (at % 4 * 8);
        }
        Ok(packet)
    }
}

/// What loads and stores say about themselves in [`Instruction::note`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Shape {
    /// The space; None: as the address says.
    pub(crate) space: Option<Space>,
    /// Bytes of an element.
    pub(crate) element: usize,
    /// Elements of a lane.
    pub(crate) count: usize,
    /// Whether narrow elements are extended with their sign.
    pub(crate) signed: Signed,
}

/// Whether numbers have a sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Signed {
    No,
    Yes,
}

const SPACES: [Option<Space>; 6] =
    [None, Some(Space::Global), Some(Space::Shared), Some(Space::Local), Some(Space::Param), Some(Space::Const)];

impl Shape {
    /// As a number.
    pub(crate) fn note(self) -> u32 {
        let space = SPACES.iter().position(|space| *space == self.space).unwrap_or(0);
        (space | self.element << 4 | self.count << 8 | usize::from(self.signed == Signed::Yes) << 12) as u32
    }

    /// From the instruction's note.
    #[inline(always)]
    pub(crate) fn of(ins: &Instruction) -> Shape {
        let note = ins.note as usize;
        let signed = if note >> 12 & 1 == 1 { Signed::Yes } else { Signed::No };
        Shape { space: SPACES[(note & 15) % 6], element: note >> 4 & 15, count: note >> 8 & 15, signed }
    }

    /// Bytes of a lane.
    pub(crate) fn bytes(self) -> usize {
        self.element * self.count
    }

    /// The space that a lane's address lies in, and the address there.
    #[inline(always)]
    pub(crate) fn resolve(self, address: u64) -> (Space, u64) {
        match self.space {
            Some(space) => (space, address),
            None => Space::of_generic(address),
        }
    }
}

impl Effect<'_> {
    /// Counts what a warp's access costs.
    #[inline(always)]
    pub(crate) fn count_access(&mut self, space: Space, addresses: &[u64; WARP], bytes: usize) {
        if !self.watches() {
            return;
        }
        match space {
            Space::Shared => self.counts.shared(self.pc, addresses, self.lanes.mask(), bytes),
            Space::Global => self.counts.global(self.pc, addresses, self.lanes.mask(), bytes),
            _ => {}
        }
    }

    /// Writes a value into a row of either width.
    #[inline(always)]
    pub(crate) fn set_lane(&mut self, ins: &Instruction, at: usize, lane: usize, value: u64) {
        if ins.wides >> at & 1 == 1 {
            self.lanes.set_wide(ins.rows[at], lane, value);
        } else {
            self.lanes.set_word(ins.rows[at], lane, value as u32);
        }
    }

    /// A value from a row of either width.
    #[inline(always)]
    pub(crate) fn lane(&self, ins: &Instruction, at: usize, lane: usize) -> u64 {
        if ins.wides >> at & 1 == 1 {
            self.lanes.wides(ins.rows[at])[lane]
        } else {
            u64::from(self.lanes.words(ins.rows[at])[lane])
        }
    }

    /// What every clock shows to the warp.
    pub(crate) fn clock(&self) -> u64 {
        self.warp.executed * 4
    }

    /// The lanes that execute.
    pub(crate) fn executing(&self) -> impl Iterator<Item = usize> + use<> {
        lanes_of(self.lanes.mask())
    }

    /// A row of words by its place in the instruction.
    #[inline(always)]
    pub(crate) fn words(&self, ins: &Instruction, at: usize) -> &Words {
        self.lanes.words(ins.rows[at])
    }
}

#[inline(always)]
pub(crate) fn aligned(
    access: Access,
    space: Space,
    lane: usize,
    address: u64,
    needed: usize,
) -> Result<(), Box<Fault>> {
    if address.is_multiple_of(needed as u64) {
        return Ok(());
    }
    Err(Box::new(Fault::Misaligned { access, space, lane, address, needed }))
}

#[cold]
fn out_of_bounds<'a>(
    access: Access,
    space: Space,
    lane: usize,
    address: u64,
    bytes: usize,
    regions: impl Iterator<Item = &'a crate::memory::Region>,
) -> Box<Fault> {
    Box::new(Fault::OutOfBounds { access, space, lane, address, bytes, nearest: nearest(regions, address) })
}

#[cold]
fn uninitialised(space: Space, lane: usize, name: &str, offset: u64) -> Box<Fault> {
    Box::new(Fault::Uninitialised { space, lane, name: name.to_owned(), offset })
}

#[cold]
fn read_only(lane: usize, allocation: &Allocation, offset: usize) -> Box<Fault> {
    Box::new(Fault::ReadOnly { lane, name: allocation.region.name.clone(), offset: offset as u64 })
}

#[cold]
fn global_race(access: Access, lane: usize, allocation: &Allocation, offset: usize, other: u32) -> Box<Fault> {
    let other = (other < u32::MAX - 1).then_some(other);
    Box::new(Fault::GlobalRace { access, lane, name: allocation.region.name.clone(), offset: offset as u64, other })
}
