//! Shared memory of one CTA, with the shadow that finds its misuse.

use super::{Packet, Region};
use crate::machine::cluster_barrier::ClusterBarrier;
use crate::machine::mbarrier::Mbarriers;
use crate::machine::transfers::Transfer;
use crate::race::Races;

/// Address of the first byte: a kernel that forgets a base meets nothing at 0.
pub(crate) const FIRST: u32 = 0x400;

/// Bytes of a line: what one bit field of the shadow covers, and what a 16-byte access touches.
const LINE: usize = 16;

/// Shared memory of one CTA.
#[derive(Debug)]
pub(crate) struct SharedMemory {
    /// Every byte is 0xFF at first, a NaN of every float type: what is read too early also spoils the result.
    words: Vec<u32>,
    /// For each line, a bit for each byte that has a value.
    written: Vec<u16>,
    /// Races, if they are looked for.
    pub(crate) races: Option<Box<Races>>,
    /// The mbarriers in it.
    pub(crate) mbarriers: Mbarriers,
    /// What is under way to it.
    pub(crate) transfers: Vec<Transfer>,
    /// The barrier of its cluster.
    pub(crate) cluster_barrier: ClusterBarrier,
    /// The variables of a CTA, by ascending address.
    variables: Vec<Region>,
    /// CTAs of the cluster.
    ctas: usize,
    /// Numbers that the warps of a CTA have in the race detector.
    pub(crate) warps: u32,
    /// Bytes from what one CTA has to what the next one has.
    stride: usize,
    /// Where the memory of the CTA that runs begins.
    base: usize,
    /// CTAs of the cluster that have ended, a bit for each.
    ended: u32,
}

/// Addresses of `shared::cluster` name their CTA from this bit on: its number in the cluster, plus one. Those without name
/// the CTA that uses them.
const CTA_AT: u32 = 24;

/// A bit for each byte of an access of up to 16 bytes inside its line.
#[inline(always)]
fn bits(offset: usize, bytes: usize) -> u16 {
    ((u32::MAX >> (32 - bytes)) << (offset % LINE)) as u16
}

impl SharedMemory {
    /// Memory for these variables of each CTA of a cluster, in which nothing has a value.
    pub(crate) fn new(variables: Vec<Region>, ctas: usize) -> SharedMemory {
        let end = variables.iter().map(|variable| variable.base + variable.bytes).max().unwrap_or(u64::from(FIRST));
        let bytes = (end - u64::from(FIRST)) as usize;
        // Swizzles take bits of addresses: they must not depend on the CTA.
        let stride = bytes.next_multiple_of(1024);
        let lines = if ctas == 1 { bytes.div_ceil(LINE) } else { ctas * stride / LINE };
        SharedMemory {
            words: vec![u32::MAX; lines * 4],
            written: vec![0; lines],
            races: None,
            mbarriers: Mbarriers::default(),
            transfers: Vec::new(),
            cluster_barrier: ClusterBarrier::default(),
            variables,
            ctas,
            warps: u32::MAX,
            stride: if ctas == 1 { usize::MAX } else { stride },
            base: 0,
            ended: 0,
        }
    }

    /// The variables, by ascending address.
    pub(crate) fn variables(&self) -> &[Region] {
        &self.variables
    }

    /// The offset of an address, if all these bytes are inside one variable.
    #[inline(always)]
    pub(crate) fn offset(&self, address: u64, bytes: u64) -> Option<usize> {
        let inside = match self.variables.as_slice() {
            [one] => one.holds(address, bytes),
            several => several.iter().any(|variable| variable.holds(address, bytes)),
        };
        inside.then(|| self.base + (address - u64::from(FIRST)) as usize)
    }

    /// As `offset`, of an address that names a CTA of the cluster.
    #[cold]
    pub(crate) fn offset_in_cluster(&self, address: u64, bytes: u64) -> Option<usize> {
        let (base, address) = match (address >> CTA_AT) as usize {
            cta if (1..=self.ctas).contains(&cta) => ((cta - 1) * self.stride, address & ((1 << CTA_AT) - 1)),
            _ => return None,
        };
        let inside = self.variables.iter().any(|variable| variable.holds(address, bytes));
        inside.then(|| base + (address - u64::from(FIRST)) as usize)
    }

    /// Bytes of all CTAs together.
    pub(crate) fn bytes(&self) -> usize {
        self.words.len() * 4 + FIRST as usize
    }

    /// Numbers that the warps of a CTA have in the race detector.
    pub(crate) fn warps_of_a_cta(&self) -> u32 {
        self.warps
    }

    /// CTAs of the cluster.
    pub(crate) fn ctas(&self) -> usize {
        self.ctas
    }

    /// Another CTA of the cluster runs.
    pub(crate) fn enter(&mut self, cta: usize) {
        if self.ctas > 1 {
            self.base = cta * self.stride;
        }
    }

    /// A CTA of the cluster has ended.
    pub(crate) fn end(&mut self, cta: u32) {
        self.ended |= 1 << cta;
    }

    /// Where the memory of the CTA that runs begins.
    #[inline(always)]
    pub(crate) fn base(&self) -> usize {
        self.base
    }

    /// The number of the CTA that runs.
    pub(crate) fn rank(&self) -> usize {
        self.rank_of(self.base)
    }

    /// The number of the CTA that a byte belongs to.
    pub(crate) fn rank_of(&self, offset: usize) -> usize {
        offset / self.stride
    }

    /// The byte at the same place of another CTA.
    pub(crate) fn at_rank(&self, offset: usize, rank: usize) -> usize {
        if self.ctas == 1 { offset } else { offset % self.stride + rank * self.stride }
    }

    /// Whether a CTA has ended.
    pub(crate) fn has_ended(&self, rank: usize) -> bool {
        self.ended >> rank & 1 == 1
    }

    /// The address by which any CTA of the cluster names a place of one of them.
    pub(crate) fn cluster_address(address: u64, rank: u32) -> u64 {
        u64::from(rank + 1) << CTA_AT | address & ((1 << CTA_AT) - 1)
    }

    /// The number of the CTA that an address names.
    pub(crate) fn rank_named(&self, address: u64) -> u32 {
        match (address >> CTA_AT) as u32 {
            0 => self.rank() as u32,
            cta => cta - 1,
        }
    }

    /// The variable that a byte is in.
    pub(crate) fn variable_at(&self, offset: usize) -> Option<&Region> {
        let offset = (offset % self.stride) as u64;
        self.variables.iter().find(|variable| variable.holds(offset + u64::from(FIRST), 1))
    }

    /// The variable that a byte is in, and the byte inside it.
    pub(crate) fn name_of(&self, offset: usize) -> (String, u64) {
        match self.variable_at(offset) {
            Some(variable) => {
                (variable.name.clone(), (offset % self.stride) as u64 - (variable.base - u64::from(FIRST)))
            }
            None => ("shared memory".to_owned(), offset as u64),
        }
    }

    /// The first of these bytes that has no value.
    #[inline(always)]
    pub(crate) fn first_unwritten(&self, offset: usize, bytes: usize) -> Option<usize> {
        let mut at = offset;
        while at < offset + bytes {
            let length = (offset + bytes - at).min(LINE - at % LINE);
            let missing = !self.written[at / LINE] & bits(at, length);
            if missing != 0 {
                return Some(at / LINE * LINE + missing.trailing_zeros() as usize);
            }
            at += length;
        }
        None
    }

    /// Reads up to 32 bytes at a multiple of their number.
    #[inline(always)]
    pub(crate) fn load(&self, offset: usize, bytes: usize) -> Packet {
        let mut packet = [0; 8];
        if bytes == LINE {
            packet[..4].copy_from_slice(self.line(offset));
        } else if bytes >= 4 {
            packet[..bytes / 4].copy_from_slice(&self.words[offset / 4..][..bytes / 4]);
        } else {
            packet[0] = self.words[offset / 4] >> (offset % 4 * 8) & (u32::MAX >> (32 - 8 * bytes));
        }
        packet
    }

    /// Reads 16 bytes at a multiple of 16.
    #[inline(always)]
    pub(crate) fn line(&self, offset: usize) -> &[u32; 4] {
        let (lines, _) = self.words.as_chunks();
        &lines[offset / LINE]
    }

    /// Writes 16 bytes at a multiple of 16.
    #[inline(always)]
    pub(crate) fn set_line(&mut self, offset: usize, line: [u32; 4]) {
        let (lines, _) = self.words.as_chunks_mut();
        lines[offset / LINE] = line;
        self.written[offset / LINE] = u16::MAX;
    }

    /// Whether all bytes of a line have a value.
    #[inline(always)]
    pub(crate) fn line_is_written(&self, offset: usize) -> bool {
        self.written[offset / LINE] == u16::MAX
    }

    /// Writes up to 32 bytes at a multiple of their number.
    #[inline(always)]
    pub(crate) fn store(&mut self, offset: usize, bytes: usize, packet: &Packet) {
        if bytes == LINE {
            return self.set_line(offset, [packet[0], packet[1], packet[2], packet[3]]);
        } else if bytes >= 4 {
            self.words[offset / 4..][..bytes / 4].copy_from_slice(&packet[..bytes / 4]);
        } else {
            let shift = offset % 4 * 8;
            let mask = (u32::MAX >> (32 - 8 * bytes)) << shift;
            let word = &mut self.words[offset / 4];
            *word = *word & !mask | packet[0] << shift & mask;
        }
        self.for_lines(offset, bytes, |written, bits| *written |= bits);
    }

    /// Takes the value from bytes: something is on its way to them, and nobody may look before it is there.
    #[inline(always)]
    pub(crate) fn spoil(&mut self, offset: usize, bytes: usize) {
        self.store(offset, bytes, &[u32::MAX; 8]);
        self.for_lines(offset, bytes, |written, bits| *written &= !bits);
    }

    #[inline(always)]
    fn for_lines(&mut self, offset: usize, bytes: usize, change: impl Fn(&mut u16, u16)) {
        if bytes == LINE {
            return change(&mut self.written[offset / LINE], u16::MAX);
        }
        let mut at = offset;
        while at < offset + bytes {
            let length = (offset + bytes - at).min(LINE - at % LINE);
            change(&mut self.written[at / LINE], bits(at, length));
            at += length;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> SharedMemory {
        let region = |name: &str, base, bytes| Region { name: name.to_owned(), base, bytes };
        SharedMemory::new(vec![region("a", 0x400, 24), region("b", 0x430, 32)], 1)
    }

    #[test]
    fn an_access_must_stay_inside_one_variable() {
        let memory = memory();
        assert_eq!(memory.offset(0x400, 16), Some(0));
        assert_eq!(memory.offset(0x410, 16), None);
        assert_eq!(memory.offset(0x430, 32), Some(0x30));
        assert_eq!(memory.offset(0, 4), None);
        assert_eq!(memory.variable_at(0x31).map(|variable| variable.name.as_str()), Some("b"));
    }

    #[test]
    fn an_address_may_name_a_cta_of_the_cluster() {
        let region = Region { name: "a".to_owned(), base: 0x400, bytes: 24 };
        let mut memory = SharedMemory::new(vec![region], 2);
        let second = SharedMemory::cluster_address(0x408, 1);
        assert_eq!((memory.offset(0x408, 8), memory.offset_in_cluster(second, 8)), (Some(8), Some(1024 + 8)));
        memory.enter(1);
        assert_eq!((memory.offset(0x408, 8), memory.rank(), memory.rank_named(second)), (Some(1024 + 8), 1, 1));
        assert_eq!(memory.offset_in_cluster(SharedMemory::cluster_address(0x408, 0), 8), Some(8));
        assert_eq!(memory.offset_in_cluster(SharedMemory::cluster_address(0x408, 2), 8), None);
        assert_eq!(memory.name_of(1024 + 9), ("a".to_owned(), 9));
        assert_eq!(memory.at_rank(1024 + 9, 0), 9);
    }

    #[test]
    fn bytes_have_a_value_once_they_are_written() {
        let mut memory = memory();
        memory.store(0x30, 32, &[7; 8]);
        assert_eq!(memory.first_unwritten(0x30, 32), None);
        memory.spoil(0x40, 4);
        assert_eq!(memory.first_unwritten(0x30, 32), Some(0x40));
        assert_eq!(memory.load(0x40, 4)[0], u32::MAX);
        memory.store(2, 2, &[0xAB_CDEF; 8]);
        assert_eq!(memory.load(0, 4)[0], 0xCDEF_FFFF);
        assert_eq!((memory.first_unwritten(2, 2), memory.first_unwritten(0, 4)), (None, Some(0)));
    }
}
