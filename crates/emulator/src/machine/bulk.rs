//! Bulk copies: between global memory and shared memory, in lines or as boxes of a tensor, started by single threads.
//!
//! Copies into shared memory count on an mbarrier and happen when nothing else can; copies and reductions out of it belong
//! to a group of their thread, and happen when it waits for the group.

use super::context::{Effect, aligned};
use super::lanes::{WARP, lanes_of};
use super::phases::{AddressOf, Order, Says};
use super::tile::{CHUNK, Tile};
use super::transfers::{Transfer, What};
use crate::decode::{Address, Instruction};
use crate::isa::atomic::Change;
use crate::launch::Copies;
use crate::memory::{Access, Packet, Space};
use crate::misuse::BulkMisuse;
use crate::race::{Actor, Agent};
use crate::tensor_map::{Fill, TensorMap};
use crate::trap::Fault;

/// The side of a bulk copy that lies in global memory.
#[derive(Clone, Debug)]
pub(crate) enum GlobalSide {
    /// Bytes from an address on.
    Line { address: u64, bytes: usize },
    /// A box of a tensor.
    Box(Box<Tile>),
}

/// A copy into shared memory.
#[derive(Debug)]
pub(crate) struct Load {
    /// Where its mbarrier lies.
    mbarrier: u32,
    /// The phase of it in which this was started.
    phase: u32,
    /// Where it begins in shared memory.
    to: usize,
    from: GlobalSide,
}

/// Copies and reductions out of shared memory of the lanes of a warp.
#[derive(Debug, Default)]
pub(crate) struct BulkStores {
    /// Groups that each lane has closed.
    closed: [u32; WARP],
    /// Those that nobody has waited for, oldest first.
    pending: Vec<Store>,
}

/// A copy or reduction out of shared memory.
#[derive(Debug)]
struct Store {
    lane: usize,
    /// Its group, counted from 1.
    group: u32,
    pc: u32,
    /// Where it begins in shared memory.
    from: usize,
    to: GlobalSide,
    /// What happens to the values there; None: they are replaced.
    change: Option<Change>,
}

/// What a bulk copy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// From global to shared memory.
    Load,
    /// From shared to global memory.
    Store,
}

/// The mbarrier of a bulk copy is named by its address in shared memory.
const SAYS: Says = Says { address: AddressOf::Shared, order: Order::Relaxed };

impl GlobalSide {
    /// Bytes that are moved.
    fn bytes(&self) -> usize {
        match self {
            GlobalSide::Line { bytes, .. } => *bytes,
            GlobalSide::Box(tile) => tile.bytes(),
        }
    }

    /// Bytes of shared memory that it spans.
    fn span(&self) -> usize {
        match self {
            GlobalSide::Line { bytes, .. } => *bytes,
            GlobalSide::Box(tile) => tile.span(),
        }
    }

    /// What its address in shared memory must be a multiple of.
    fn alignment(&self) -> usize {
        match self {
            GlobalSide::Line { .. } => CHUNK,
            GlobalSide::Box(_) => 128,
        }
    }

    /// The chunks of shared memory that it touches, if it begins there.
    fn chunks(&self, offset: usize) -> Vec<usize> {
        match self {
            GlobalSide::Line { bytes, .. } => (offset..offset + bytes).step_by(CHUNK).collect(),
            GlobalSide::Box(tile) => tile.chunks(offset).collect(),
        }
    }

    /// Sectors of global memory that it touches, each row on its own, and bytes of them that are moved.
    fn traffic(&self) -> (u64, u64) {
        let sectors = |address: u64, bytes: usize| match bytes as u64 {
            0 => 0,
            bytes => (address.wrapping_add(bytes - 1) / 32).wrapping_sub(address / 32) + 1,
        };
        match self {
            GlobalSide::Line { address, bytes } => (sectors(*address, *bytes), *bytes as u64),
            GlobalSide::Box(tile) => tile.rows().fold((0, 0), |(all, bytes), row| {
                (all + sectors(row.address, row.inside.len()), bytes + row.inside.len() as u64)
            }),
        }
    }
}

impl Effect<'_> {
    /// Bytes of global memory from the address of a lane on, as many as the row at `size` says.
    pub(crate) fn line(
        &mut self,
        ins: &Instruction,
        lane: usize,
        address: Address,
        size: usize,
        access: Access,
    ) -> Result<GlobalSide, Box<Fault>> {
        let (address, bytes) = (self.addresses(address)[lane], self.words(ins, size)[lane]);
        if !(bytes as usize).is_multiple_of(CHUNK) {
            return Err(bulk(lane, BulkMisuse::Size { bytes }));
        }
        aligned(access, Space::Global, lane, address, CHUNK)?;
        self.global(access, lane, address, bytes as usize)?;
        Ok(GlobalSide::Line { address, bytes: bytes as usize })
    }

    /// The box of a tensor that a lane names: the map is at an address, the coordinates are in the first `rank` rows.
    pub(crate) fn tile(
        &mut self,
        ins: &Instruction,
        lane: usize,
        map: Address,
        rank: usize,
        direction: Direction,
    ) -> Result<GlobalSide, Box<Fault>> {
        let map = self.tensor_map(lane, self.addresses(map)[lane])?;
        if usize::from(map.rank) != rank {
            return Err(bulk(lane, BulkMisuse::Rank { map: map.rank, instruction: rank as u8 }));
        }
        let mut begin = [0; 5];
        for (axis, coordinate) in begin.iter_mut().enumerate().take(rank) {
            *coordinate = self.words(ins, axis)[lane] as i32;
        }
        let element_bytes = map.element.bytes();
        if i64::from(begin[0]) * i64::from(element_bytes) % CHUNK as i64 != 0 {
            return Err(bulk(lane, BulkMisuse::Coordinate { coordinate: begin[0], element_bytes }));
        }
        if direction == Direction::Store
            && let Some(axis) = begin.iter().position(|coordinate| *coordinate < 0)
        {
            return Err(bulk(lane, BulkMisuse::Negative { axis, coordinate: begin[axis] }));
        }
        Ok(GlobalSide::Box(Box::new(Tile { map, begin })))
    }

    /// The tensor map at a generic address.
    pub(crate) fn tensor_map(&mut self, lane: usize, address: u64) -> Result<TensorMap, Box<Fault>> {
        let (space, address) = Space::of_generic(address);
        if matches!(space, Space::Local | Space::Shared) {
            return Err(bulk(lane, BulkMisuse::MapSpace { space }));
        }
        aligned(Access::TensorMap, space, lane, address, 64)?;
        let mut bytes = [0; 128];
        for (at, part) in bytes.chunks_mut(CHUNK).enumerate() {
            let packet = self.load(space, lane, address + (at * CHUNK) as u64, CHUNK)?;
            part.chunks_mut(4).zip(packet).for_each(|(to, word)| to.copy_from_slice(&word.to_le_bytes()));
        }
        TensorMap::decode(&bytes).map_err(|error| bulk(lane, BulkMisuse::Map(error)))
    }

    /// Where a bulk copy begins in shared memory, if all that it touches is there.
    fn shared_span(&self, access: Access, lane: usize, address: u64, side: &GlobalSide) -> Result<usize, Box<Fault>> {
        let offset = self.shared_bytes(access, lane, address, side.span())?;
        aligned(access, Space::Shared, lane, address, side.alignment())?;
        Ok(offset)
    }

    /// Starts a copy into shared memory, to the same place in each CTA of the cluster that `ctas` names, or to that of its
    /// address; the mbarrier beside it counts its bytes when they have come.
    pub(crate) fn start_load(
        &mut self,
        lane: usize,
        to: Address,
        mbarrier: Address,
        from: GlobalSide,
        ctas: Option<u32>,
    ) -> Result<(), Box<Fault>> {
        let offset = self.shared_span(Access::BulkDestination, lane, self.addresses(to)[lane], &from)?;
        let mbarrier = self.mbarrier_place(lane, self.addresses(mbarrier)[lane], SAYS)?;
        self.count_bulk(&from);
        let Some(mask) = ctas else { return self.start_load_to(lane, offset, mbarrier, from) };
        let ctas = self.shared.ctas() as u32;
        if mask == 0 || u64::from(mask) >> ctas != 0 {
            return Err(bulk(lane, BulkMisuse::Mask { mask, ctas }));
        }
        for rank in lanes_of(mask) {
            let [to, counts] = [offset, mbarrier as usize].map(|place| self.shared.at_rank(place, rank));
            if ctas > 1 {
                self.expect_running(lane, to)?;
            }
            self.start_load_to(lane, to, counts as u32, from.clone())?;
        }
        Ok(())
    }

    fn start_load_to(&mut self, lane: usize, offset: usize, mbarrier: u32, from: GlobalSide) -> Result<(), Box<Fault>> {
        let (access, by) = (Access::BulkDestination, (self.warp.agent, self.pc));
        self.expect_mbarrier(lane, mbarrier)?;
        let chunks = from.chunks(offset);
        let Some(object) = self.shared.mbarriers.find(mbarrier) else { return Ok(()) };
        let clock = object.clock_of(object.phase);
        let phase = object.start_copy(by);
        let me = Actor { warp: by.0, lane: lane as u32, pc: by.1 };
        if let Some(races) = &mut self.shared.races {
            let noted = races.async_write(mbarrier, me, chunks.iter().copied(), clock);
            noted.map_err(|obstacle| self.obstacle(access, lane, mbarrier, obstacle))?;
        }
        chunks.into_iter().for_each(|chunk| self.shared.spoil(chunk, CHUNK));
        let what = What::Load(Box::new(Load { mbarrier, phase, to: offset, from }));
        self.start(Transfer { warp: by.0, lanes: 1 << lane, pc: by.1, what })
    }

    /// Carries out a copy into shared memory.
    pub(crate) fn finish_load(&mut self, load: &Load) -> Result<(), Box<Fault>> {
        let lane = self.lanes.mask().trailing_zeros() as usize;
        match &load.from {
            GlobalSide::Line { address, bytes } => {
                for at in (0..*bytes).step_by(CHUNK) {
                    let line = self.read_chunk(lane, address + at as u64)?;
                    self.shared.set_line(load.to + at, line);
                }
            }
            GlobalSide::Box(tile) => self.load_box(lane, tile, load.to)?,
        }
        let Some(mbarrier) = self.shared.mbarriers.find(load.mbarrier) else { return Ok(()) };
        let completes = mbarrier.end_copy(load.phase, load.from.bytes() as u32);
        let completes = completes.map_err(|misuse| self.misuse(lane, load.mbarrier, misuse))?;
        self.complete_phase(load.mbarrier, completes);
        Ok(())
    }

    fn load_box(&mut self, lane: usize, tile: &Tile, to: usize) -> Result<(), Box<Fault>> {
        let fill = match tile.map.fill {
            Fill::Zeros => 0,
            Fill::Nan => 0x7FF7_7FF7,
        };
        for row in tile.rows() {
            for place in (0..tile.row_bytes()).step_by(CHUNK) {
                let (start, end) = (row.inside.start.max(place), row.inside.end.min(place + CHUNK));
                let address = row.address.wrapping_add(start.wrapping_sub(row.inside.start) as u64);
                let line = if start >= end {
                    [fill; 4]
                } else if end - start == CHUNK {
                    self.read_chunk(lane, address)?
                } else {
                    let mut line = [fill; 4];
                    for byte in start..end {
                        let packet = self.load_copied(lane, address + (byte - start) as u64, 1)?;
                        let (word, shift) = ((byte - place) / 4, (byte - place) % 4 * 8);
                        line[word] = line[word] & !(0xFF << shift) | packet[0] << shift;
                    }
                    line
                };
                self.shared.set_line(tile.chunk(to, row.place + place), line);
            }
        }
        Ok(())
    }

    fn read_chunk(&mut self, lane: usize, address: u64) -> Result<[u32; 4], Box<Fault>> {
        let packet = self.load_copied(lane, address, CHUNK)?;
        Ok([packet[0], packet[1], packet[2], packet[3]])
    }

    fn load_copied(&mut self, lane: usize, address: u64, bytes: usize) -> Result<Packet, Box<Fault>> {
        let access = Access::BulkSource;
        let (at, allocation) = self.global(access, lane, address, bytes)?;
        self.check_global_read(access, lane, at, bytes, allocation)?;
        Ok(allocation.load(at.offset, bytes))
    }

    /// Starts a copy or a reduction out of shared memory, in the present group of the lane.
    pub(crate) fn start_store(
        &mut self,
        lane: usize,
        from: Address,
        to: GlobalSide,
        change: Option<Change>,
    ) -> Result<(), Box<Fault>> {
        let access = Access::BulkSource;
        let offset = self.shared_span(access, lane, self.addresses(from)[lane], &to)?;
        let group = self.warp.bulk.closed[lane] + 1;
        let (warp, chunks) = (self.warp.agent, to.chunks(offset));
        let me = Actor { warp, lane: lane as u32, pc: self.pc };
        if let Some(races) = &mut self.shared.races {
            let noted = races.async_read(Agent::Bulk(warp), &[me], chunks.iter().copied(), group);
            noted.map_err(|obstacle| self.obstacle(access, lane, offset as u32, obstacle))?;
        }
        chunks.into_iter().try_for_each(|chunk| self.check_shared_written(lane, chunk, CHUNK))?;
        self.count_bulk(&to);
        let store = Store { lane, group, pc: self.pc, from: offset, to, change };
        if self.launch.copies == Copies::Earliest {
            self.finish_store(&store)?;
        }
        self.warp.bulk.pending.push(store);
        Ok(())
    }

    /// Closes the present bulk group of each executing lane.
    pub(crate) fn close_bulk_group(&mut self) {
        for lane in lanes_of(self.lanes.mask()) {
            self.warp.bulk.closed[lane] += 1;
        }
    }

    /// Waits in each executing lane for all bulk groups but the newest `but`.
    pub(crate) fn wait_for_bulk_groups(&mut self, but: u32) -> Result<(), Box<Fault>> {
        let lanes = self.lanes.mask();
        let limit = self.warp.bulk.closed.map(|closed| closed.saturating_sub(but));
        if let Some(races) = &mut self.shared.races {
            for lane in lanes_of(lanes) {
                races.clocks().retire_bulk(self.warp.agent as usize, 1 << lane, limit[lane]);
            }
        }
        self.finish_stores(|store| lanes >> store.lane & 1 == 1 && store.group <= limit[store.lane])
    }

    /// Carries out all copies out of shared memory of these lanes: the end of a kernel does.
    pub(crate) fn flush_bulk_stores(&mut self, lanes: u32) -> Result<(), Box<Fault>> {
        self.finish_stores(|store| lanes >> store.lane & 1 == 1)
    }

    fn finish_stores(&mut self, due: impl Fn(&Store) -> bool) -> Result<(), Box<Fault>> {
        if self.warp.bulk.pending.is_empty() {
            return Ok(());
        }
        let (due, left) = std::mem::take(&mut self.warp.bulk.pending).into_iter().partition(due);
        self.warp.bulk.pending = left;
        if self.launch.copies == Copies::Latest {
            due.iter().try_for_each(|store: &Store| self.finish_store(store))?;
        }
        Ok(())
    }

    fn finish_store(&mut self, store: &Store) -> Result<(), Box<Fault>> {
        match &store.to {
            GlobalSide::Line { address, bytes } => {
                for at in (0..*bytes).step_by(CHUNK) {
                    self.write_chunk(store, store.from + at, 0..CHUNK, address + at as u64)?;
                }
            }
            GlobalSide::Box(tile) => {
                for row in tile.rows() {
                    for place in (0..tile.row_bytes()).step_by(CHUNK) {
                        let (start, end) = (row.inside.start.max(place), row.inside.end.min(place + CHUNK));
                        if start < end {
                            let address = row.address.wrapping_add((start - row.inside.start) as u64);
                            let from = tile.chunk(store.from, row.place + place);
                            self.write_chunk(store, from, start - place..end - place, address)?;
                        }
                    }
                }
            }
        }
        Ok(())
    }

    /// Writes bytes of a chunk of shared memory to an address, or combines them with the values there.
    fn write_chunk(
        &mut self,
        store: &Store,
        chunk: usize,
        bytes: std::ops::Range<usize>,
        address: u64,
    ) -> Result<(), Box<Fault>> {
        let (lane, access) = (store.lane, Access::BulkDestination);
        let Some(change) = store.change else {
            let whole = bytes.len() == CHUNK;
            let (at, allocation) = self.global(access, lane, address, bytes.len())?;
            for byte in bytes.clone().step_by(if whole { CHUNK } else { 1 }) {
                let (size, moved) = if whole { (CHUNK, 0) } else { (1, byte - bytes.start) };
                let packet = self.shared.load(chunk + byte, size);
                let at = super::context::Bytes { offset: at.offset + moved, ..at };
                self.check_global_write(access, lane, at, size, allocation)?;
                allocation.store(at.offset, size, &packet);
            }
            return Ok(());
        };
        let size = change.bytes();
        for (number, byte) in bytes.step_by(size).enumerate() {
            let packet = self.shared.load(chunk + byte, size);
            let value = u64::from(packet[0]) | u64::from(packet[1]) << 32;
            let address = address + (number * size) as u64;
            self.atomic(Space::Global, lane, address, size, |old| change.apply(old, value, 0, Space::Global))?;
        }
        Ok(())
    }

    fn count_bulk(&mut self, side: &GlobalSide) {
        if self.watches() {
            let (sectors, bytes) = side.traffic();
            self.counts.bulk(self.pc, bytes, sectors);
        }
    }
}

impl BulkStores {
    /// A lane, of those, whose copies nobody has waited for, and the instruction that started one.
    pub(crate) fn unwaited(&self, lanes: u32) -> Option<(usize, u32)> {
        let store = self.pending.iter().find(|store| lanes >> store.lane & 1 == 1)?;
        Some((store.lane, store.pc))
    }
}

/// A fault of a bulk copy.
#[cold]
pub(crate) fn bulk(lane: usize, misuse: BulkMisuse) -> Box<Fault> {
    Box::new(Fault::Bulk { lane, misuse })
}
