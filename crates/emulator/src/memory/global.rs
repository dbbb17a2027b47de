//! Memory of the device. CTAs on several host threads share it, so it is made of relaxed atomic words: on common hosts
//! they compile to plain moves, and a kernel that races does so without undefined behaviour of the host.

use std::ops::Range;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::{Packet, Region};

/// The first address: the lower ones catch null pointers and small integers.
const FIRST: u64 = 0x10_0000_0000;
/// Every buffer starts at a multiple of this, as the driver's do.
const ALIGN: u64 = 256;
/// Free bytes between two buffers, so that running over an end meets nothing.
const GAP: u64 = 4096;

/// The memory of a device: buffers with names.
///
/// ```
/// let mut memory = ptx_emulator::Memory::new();
/// let x = memory.upload("x", &[1, 2, 3]);
/// assert_eq!(memory.download(x), [1, 2, 3]);
/// assert_eq!(x.address() % 256, 0);
/// ```
#[derive(Debug, Default)]
pub struct Memory {
    /// The lowest address of a buffer; 0: the usual one.
    first: u64,
    allocations: Vec<Allocation>,
    /// What kernels have printed and nobody has taken yet.
    printed: Mutex<String>,
}

/// A buffer of a [`Memory`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Buffer {
    index: usize,
    address: u64,
}

impl Buffer {
    /// Its address on the device: what a pointer parameter holds.
    pub fn address(self) -> u64 {
        self.address
    }
}

/// Whether kernels may write a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    ReadWrite,
    ReadOnly,
}

/// One buffer.
#[derive(Debug)]
pub(crate) struct Allocation {
    pub(crate) region: Region,
    words: Box<[AtomicU32]>,
    /// A bit for each byte that has a value; None if all had one from the start.
    written: Option<Box<[AtomicU32]>>,
    rights: Rights,
}

impl Memory {
    /// No buffers.
    pub fn new() -> Memory {
        Memory::default()
    }

    /// No buffers; the first will be at this address.
    pub(crate) fn starting_at(first: u64) -> Memory {
        Memory { first, ..Memory::default() }
    }

    /// Takes what kernels have printed, by launch and within a launch by CTA: also those that ended with a trap.
    pub fn take_printed(&self) -> String {
        std::mem::take(&mut *self.printed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what a launch has printed.
    pub(crate) fn print(&self, text: &str) {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
    }

    /// A buffer with these bytes, which kernels may read and write.
    pub fn upload(&mut self, name: &str, bytes: &[u8]) -> Buffer {
        self.push(name, words_of(bytes), bytes.len(), None, Rights::ReadWrite)
    }

    /// A buffer with these bytes, which kernels may only read: a write is a trap.
    pub fn upload_constant(&mut self, name: &str, bytes: &[u8]) -> Buffer {
        self.push(name, words_of(bytes), bytes.len(), None, Rights::ReadOnly)
    }

    /// A buffer of that many bytes without values: reading a byte that nothing has written is a trap.
    pub fn alloc(&mut self, name: &str, bytes: usize) -> Buffer {
        let words = (0..bytes.div_ceil(4)).map(|_| AtomicU32::new(POISON)).collect();
        let written = (0..bytes.div_ceil(32)).map(|_| AtomicU32::new(0)).collect();
        self.push(name, words, bytes, Some(written), Rights::ReadWrite)
    }

    /// Replaces the bytes of a buffer.
    ///
    /// # Panics
    /// If the buffer is of another memory, or has more or fewer bytes.
    pub fn write(&mut self, buffer: Buffer, bytes: &[u8]) {
        let allocation = &mut self.allocations[buffer.index];
        assert_eq!(allocation.region.bytes, bytes.len() as u64, "bytes do not fill {}", allocation.region.name);
        (allocation.words, allocation.written) = (words_of(bytes), None);
    }

    /// Frees a buffer: its addresses are no longer anybody's, and no later buffer gets them.
    ///
    /// # Panics
    /// If the buffer is of another memory.
    pub fn free(&mut self, buffer: Buffer) {
        let allocation = &mut self.allocations[buffer.index];
        allocation.region.bytes = 0;
        (allocation.words, allocation.written) = (Box::default(), None);
    }

    /// The buffer of a name.
    pub(crate) fn named(&self, name: &str) -> Option<Buffer> {
        let index = self.allocations.iter().position(|allocation| allocation.region.name == name)?;
        Some(Buffer { index, address: self.allocations[index].region.base })
    }

    /// Replaces the bytes of a buffer that others may be looking at.
    pub(crate) fn overwrite(&self, buffer: Buffer, bytes: &[u8]) {
        let allocation = &self.allocations[buffer.index];
        assert_eq!(allocation.region.bytes, bytes.len() as u64, "bytes do not fill {}", allocation.region.name);
        for (at, &byte) in bytes.iter().enumerate() {
            allocation.store(at, 1, &[u32::from(byte), 0, 0, 0, 0, 0, 0, 0]);
        }
    }

    /// Takes the name from a buffer, and its bytes: nothing finds it any more.
    pub(crate) fn forget(&mut self, buffer: Buffer) {
        self.free(buffer);
        self.allocations[buffer.index].region.name.clear();
    }

    /// The bytes of a buffer. Bytes that nothing has written are 0xFF.
    ///
    /// # Panics
    /// If the buffer is of another memory.
    pub fn download(&self, buffer: Buffer) -> Vec<u8> {
        let allocation = &self.allocations[buffer.index];
        let mut bytes: Vec<u8> = allocation.words.iter().flat_map(|word| word.load(Relaxed).to_le_bytes()).collect();
        bytes.truncate(allocation.region.bytes as usize);
        bytes
    }

    /// The stretches of a buffer that nothing has written: what a kernel forgot.
    ///
    /// # Panics
    /// If the buffer is of another memory.
    pub fn unwritten(&self, buffer: Buffer) -> Vec<Range<usize>> {
        let allocation = &self.allocations[buffer.index];
        let Some(written) = &allocation.written else { return Vec::new() };
        let mut out: Vec<Range<usize>> = Vec::new();
        for at in 0..allocation.region.bytes as usize {
            if written[at / 32].load(Relaxed) >> (at % 32) & 1 == 1 {
                continue;
            }
            match out.last_mut() {
                Some(last) if last.end == at => last.end += 1,
                _ => out.push(at..at + 1),
            }
        }
        out
    }

    /// All buffers, by ascending address.
    pub(crate) fn allocations(&self) -> &[Allocation] {
        &self.allocations
    }

    /// The buffer that holds all these bytes. `hint` is the one that was found last, and is kept up to date.
    #[inline(always)]
    pub(crate) fn find(&self, address: u64, bytes: u64, hint: &mut usize) -> Option<&Allocation> {
        if let Some(last) = self.allocations.get(*hint)
            && last.region.holds(address, bytes)
        {
            return Some(last);
        }
        let at = self.allocations.partition_point(|allocation| allocation.region.base <= address).checked_sub(1)?;
        *hint = at;
        Some(&self.allocations[at]).filter(|allocation| allocation.region.holds(address, bytes))
    }

    fn push(
        &mut self,
        name: &str,
        words: Box<[AtomicU32]>,
        bytes: usize,
        written: Option<Box<[AtomicU32]>>,
        rights: Rights,
    ) -> Buffer {
        let end = self.allocations.last().map_or(if self.first == 0 { FIRST } else { self.first }, |last| {
            last.region.base + last.region.bytes + GAP
        });
        let base = end.next_multiple_of(ALIGN);
        let region = Region { name: name.to_owned(), base, bytes: bytes as u64 };
        self.allocations.push(Allocation { region, words, written, rights });
        Buffer { index: self.allocations.len() - 1, address: base }
    }
}

/// What memory without values holds: a NaN of every float type.
const POISON: u32 = u32::MAX;

fn words_of(bytes: &[u8]) -> Box<[AtomicU32]> {
    let word = |chunk: &[u8]| {
        let mut word = [0; 4];
        word[..chunk.len()].copy_from_slice(chunk);
        AtomicU32::new(u32::from_le_bytes(word))
    };
    bytes.chunks(4).map(word).collect()
}

impl Allocation {
    /// Whether kernels may write it.
    pub(crate) fn is_read_only(&self) -> bool {
        self.rights == Rights::ReadOnly
    }

    /// The first of these bytes that has no value.
    #[inline(always)]
    pub(crate) fn first_unwritten(&self, offset: usize, bytes: usize) -> Option<usize> {
        let written = self.written.as_ref()?;
        // An access is aligned to its size and at most 32 bytes long, so its bits are in one word.
        let bits = (u64::MAX >> (64 - bytes)) as u32;
        let missing = !(written[offset / 32].load(Relaxed) >> (offset % 32)) & bits;
        (missing != 0).then(|| offset + missing.trailing_zeros() as usize)
    }

    /// Reads up to 32 bytes at a multiple of their number.
    #[inline(always)]
    pub(crate) fn load(&self, offset: usize, bytes: usize) -> Packet {
        let mut packet = [0; 8];
        if bytes >= 4 {
            let words = &self.words[offset / 4..][..bytes / 4];
            for (to, from) in packet.iter_mut().zip(words) {
                *to = from.load(Relaxed);
            }
        } else {
            packet[0] = self.words[offset / 4].load(Relaxed) >> (offset % 4 * 8) & narrow(bytes);
        }
        packet
    }

    /// Reads 16 bytes at a multiple of 16.
    #[inline(always)]
    pub(crate) fn line(&self, offset: usize) -> [u32; 4] {
        let words = &self.words[offset / 4..][..4];
        [words[0].load(Relaxed), words[1].load(Relaxed), words[2].load(Relaxed), words[3].load(Relaxed)]
    }

    /// Writes up to 32 bytes at a multiple of their number.
    #[inline(always)]
    pub(crate) fn store(&self, offset: usize, bytes: usize, packet: &Packet) {
        if bytes >= 4 {
            let words = &self.words[offset / 4..][..bytes / 4];
            for (to, from) in words.iter().zip(packet) {
                to.store(*from, Relaxed);
            }
        } else {
            let (shift, mask) = (offset % 4 * 8, narrow(bytes));
            let value = packet[0] & mask;
            // Another CTA may write the other bytes of the word at the same time.
            let replace = |old| Some(old & !(mask << shift) | value << shift);
            let _ = self.words[offset / 4].fetch_update(Relaxed, Relaxed, replace);
        }
        self.mark_written(offset, bytes);
    }

    /// Replaces one 4- or 8-byte value by a function of it and gives the old one. Nothing comes between.
    pub(crate) fn update(&self, offset: usize, bytes: usize, change: impl Fn(u64) -> u64) -> u64 {
        let words = &self.words[offset / 4..];
        let old = if bytes == 8 {
            // Kernels with 64-bit atomics run on one host thread, so two words may be changed one after the other.
            let old = u64::from(words[0].load(Relaxed)) | u64::from(words[1].load(Relaxed)) << 32;
            let new = change(old);
            words[0].store(new as u32, Relaxed);
            words[1].store((new >> 32) as u32, Relaxed);
            old
        } else {
            let (shift, mask) = (offset % 4 * 8, narrow(bytes));
            let replace = |word: u32| {
                let new = change(u64::from(word >> shift & mask)) as u32 & mask;
                Some(word & !(mask << shift) | new << shift)
            };
            let word = words[0].fetch_update(Relaxed, Relaxed, replace).unwrap_or_else(|word| word);
            u64::from(word >> shift & mask)
        };
        self.mark_written(offset, bytes);
        old
    }

    #[inline(always)]
    fn mark_written(&self, offset: usize, bytes: usize) {
        if let Some(written) = &self.written {
            let bits = (u64::MAX >> (64 - bytes)) as u32;
            written[offset / 32].fetch_or(bits << (offset % 32), Relaxed);
        }
    }
}

/// The low bytes of a word.
fn narrow(bytes: usize) -> u32 {
    (u64::MAX >> (64 - 8 * bytes)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_survive_the_way_through_words() {
        let mut memory = Memory::new();
        let buffer = memory.upload("b", &[1, 2, 3, 4, 5, 6, 7]);
        let allocation = &memory.allocations()[0];
        assert_eq!(allocation.load(4, 2)[0], 0x0605);
        assert_eq!(allocation.load(0, 4)[0], 0x0403_0201);
        allocation.store(5, 1, &[0xAB, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(memory.download(buffer), [1, 2, 3, 4, 5, 0xAB, 7]);
    }

    #[test]
    fn an_address_is_found_in_the_buffer_that_holds_all_of_it() {
        let mut memory = Memory::new();
        let (a, b) = (memory.upload("a", &[0; 16]), memory.upload("b", &[0; 300]));
        let mut hint = 0;
        let mut name = |address, bytes| memory.find(address, bytes, &mut hint).map(|found| found.region.name.as_str());
        assert_eq!(name(a.address() + 12, 4), Some("a"));
        assert_eq!(name(b.address() + 299, 1), Some("b"));
        assert_eq!(name(a.address() + 12, 8), None);
        assert_eq!(name(b.address() - 1, 1), None);
        assert_eq!(name(0, 4), None);
        assert_eq!(name(u64::MAX, 16), None);
    }

    #[test]
    fn what_was_never_written_is_known() {
        let mut memory = Memory::new();
        let buffer = memory.alloc("o", 40);
        let allocation = &memory.allocations()[0];
        allocation.store(8, 8, &[1; 8]);
        allocation.store(36, 4, &[1; 8]);
        assert_eq!(memory.unwritten(buffer), [0..8, 16..36]);
        assert_eq!(memory.allocations()[0].first_unwritten(0, 32), Some(0));
        assert_eq!(memory.allocations()[0].first_unwritten(8, 8), None);
    }

    #[test]
    fn an_update_touches_its_bytes_only() {
        let mut memory = Memory::new();
        let buffer = memory.upload("b", &[0xFF, 1, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF]);
        let allocation = &memory.allocations()[0];
        assert_eq!(allocation.update(4, 4, |old| old + 2), 0xFFFF_FFFF);
        assert_eq!(allocation.update(0, 2, |old| old + 1), 0x01FF);
        assert_eq!(memory.download(buffer), [0, 2, 0, 0xFF, 1, 0, 0, 0]);
    }
}
