//! Memory of the threads of one warp: stack frames, word by word for all lanes, as a GPU interleaves it.

use super::Packet;
use crate::machine::lanes::WARP;

/// Local memory of one warp.
#[derive(Debug, Default)]
pub(crate) struct LocalMemory {
    words: Vec<[u32; WARP]>,
    /// For each word and lane, a bit for each byte that has a value.
    written: Vec<[u8; WARP]>,
}

impl LocalMemory {
    /// That many bytes for each lane, none with a value.
    pub(crate) fn new(bytes: u64) -> LocalMemory {
        let words = bytes.div_ceil(4) as usize;
        LocalMemory { words: vec![[u32::MAX; WARP]; words], written: vec![[0; WARP]; words] }
    }

    /// Bytes of a lane.
    pub(crate) fn bytes(&self) -> u64 {
        4 * self.words.len() as u64
    }

    /// The first of these bytes that has no value.
    pub(crate) fn first_unwritten(&self, lane: usize, offset: usize, bytes: usize) -> Option<usize> {
        (offset..offset + bytes).find(|at| self.written[at / 4][lane] >> (at % 4) & 1 == 0)
    }

    /// Reads up to 32 bytes at a multiple of their number.
    pub(crate) fn load(&self, lane: usize, offset: usize, bytes: usize) -> Packet {
        let mut packet = [0; 8];
        if bytes >= 4 {
            for (to, from) in packet.iter_mut().zip(&self.words[offset / 4..][..bytes / 4]) {
                *to = from[lane];
            }
        } else {
            packet[0] = self.words[offset / 4][lane] >> (offset % 4 * 8) & (u32::MAX >> (32 - 8 * bytes));
        }
        packet
    }

    /// Writes up to 32 bytes at a multiple of their number.
    pub(crate) fn store(&mut self, lane: usize, offset: usize, bytes: usize, packet: &Packet) {
        for at in offset..offset + bytes {
            let byte = packet[(at - offset) / 4] >> ((at - offset) % 4 * 8) & 0xFF;
            let (word, shift) = (&mut self.words[at / 4][lane], at % 4 * 8);
            *word = *word & !(0xFF << shift) | byte << shift;
            self.written[at / 4][lane] |= 1 << (at % 4);
        }
    }
}
