//! Shared memory of one CTA, with the shadow that finds its misuse.

use super::{Packet, Region};
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
    /// The variables, by ascending address.
    variables: Vec<Region>,
}

/// A bit for each byte of an access of up to 16 bytes inside its line.
#[inline(always)]
fn bits(offset: usize, bytes: usize) -> u16 {
    ((u32::MAX >> (32 - bytes)) << (offset % LINE)) as u16
}

impl SharedMemory {
    /// Memory for these variables, in which nothing has a value.
    pub(crate) fn new(variables: Vec<Region>, races: Option<Box<Races>>) -> SharedMemory {
        let end = variables.iter().map(|variable| variable.base + variable.bytes).max().unwrap_or(u64::from(FIRST));
        let lines = (end - u64::from(FIRST)).div_ceil(LINE as u64) as usize;
        SharedMemory {
            words: vec![u32::MAX; lines * 4],
            written: vec![0; lines],
            races,
            mbarriers: Mbarriers::default(),
            transfers: Vec::new(),
            variables,
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
        inside.then(|| (address - u64::from(FIRST)) as usize)
    }

    /// The variable that a byte is in.
    pub(crate) fn variable_at(&self, offset: usize) -> Option<&Region> {
        self.variables.iter().find(|variable| variable.holds(offset as u64 + u64::from(FIRST), 1))
    }

    /// The variable that a byte is in, and the byte inside it.
    pub(crate) fn name_of(&self, offset: usize) -> (String, u64) {
        match self.variable_at(offset) {
            Some(variable) => (variable.name.clone(), offset as u64 - (variable.base - u64::from(FIRST))),
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
        SharedMemory::new(vec![region("a", 0x400, 24), region("b", 0x430, 32)], None)
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
