//! Where the elements of a box lie: in the tensor, and in shared memory.
//!
//! A box is cut into rows along the innermost axis. In shared memory rows stand at the pitch of the swizzle's span, or
//! densely without a swizzle, and chunks of 16 bytes change places by bits of their address, not of their place in the box.

use std::ops::Range;

use crate::memory::shared::FIRST;
use crate::tensor_map::TensorMap;

/// Bytes of a chunk.
pub(crate) const CHUNK: usize = 16;

/// A box of a tensor: the one that begins at these coordinates, innermost first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Tile {
    pub(crate) map: TensorMap,
    pub(crate) begin: [i32; 5],
}

/// A row of a box.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Row {
    /// Its first byte among those of the box in shared memory, before the swizzle.
    pub(crate) place: usize,
    /// The bytes of it that are inside the tensor.
    pub(crate) inside: Range<usize>,
    /// Where the first of these lies in global memory.
    pub(crate) address: u64,
}

impl Tile {
    /// Bytes of a row.
    pub(crate) fn row_bytes(&self) -> usize {
        usize::from(self.map.box_extents[0]) * usize::from(self.map.element.bytes())
    }

    /// Rows along each axis but the innermost.
    fn steps(&self) -> [usize; 4] {
        let steps =
            |axis: usize| self.map.box_extents[axis + 1].div_ceil(u16::from(self.map.element_strides[axis + 1]));
        std::array::from_fn(|axis| usize::from(steps(axis)))
    }

    /// Bytes from one row to the next in shared memory.
    fn pitch(&self) -> usize {
        self.row_bytes().max(usize::from(self.map.swizzle_bytes))
    }

    /// Bytes that a transaction counts: of the whole box, whatever lies outside of the tensor.
    pub(crate) fn bytes(&self) -> usize {
        self.row_bytes() * self.steps().iter().product::<usize>()
    }

    /// Bytes of shared memory that it spans.
    pub(crate) fn span(&self) -> usize {
        self.pitch() * self.steps().iter().product::<usize>()
    }

    /// Its rows, in their order in shared memory.
    pub(crate) fn rows(&self) -> impl Iterator<Item = Row> {
        let (steps, pitch) = (self.steps(), self.pitch());
        let element = i64::from(self.map.element.bytes());
        let inside = |axis: usize, x: i64| x.clamp(0, self.map.extents[axis] as i64);
        let first = i64::from(self.begin[0]);
        let columns = inside(0, first)..inside(0, first + i64::from(self.map.box_extents[0]));
        (0..steps.iter().product::<usize>()).map(move |number| {
            let mut left = number;
            let mut address = self.map.address as i64 + columns.start * element;
            let mut outside = columns.is_empty();
            for (axis, steps) in steps.iter().enumerate() {
                let step = (left % steps) as i64;
                left /= steps;
                let x = i64::from(self.begin[axis + 1]) + step * i64::from(self.map.element_strides[axis + 1]);
                outside |= x < 0 || x >= self.map.extents[axis + 1] as i64;
                address = address.wrapping_add(x.wrapping_mul(self.map.strides[axis] as i64));
            }
            let bytes = |x: i64| ((x - first) * element) as usize;
            let inside = if outside { 0..0 } else { bytes(columns.start)..bytes(columns.end) };
            Row { place: number * pitch, inside, address: address as u64 }
        })
    }

    /// Where a chunk of a box lies in shared memory, given its place before the swizzle; the box begins at `offset`.
    pub(crate) fn chunk(&self, offset: usize, place: usize) -> usize {
        let mask = match self.map.swizzle_bytes {
            0 => 0,
            span => usize::from(span) / CHUNK - 1,
        };
        let address = FIRST as usize + offset + place;
        (address ^ ((address >> 7 & mask) * CHUNK)) - FIRST as usize
    }

    /// The chunks of shared memory that it fills; it begins at `offset`.
    pub(crate) fn chunks(&self, offset: usize) -> impl Iterator<Item = usize> {
        let (pitch, bytes) = (self.pitch(), self.row_bytes());
        (0..self.steps().iter().product::<usize>())
            .flat_map(move |row| (0..bytes).step_by(CHUNK).map(move |byte| self.chunk(offset, row * pitch + byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor_map::{Element, Fill};

    fn tile(swizzle_bytes: u8, box_extents: [u16; 5], begin: [i32; 5]) -> Tile {
        let map = TensorMap {
            element: Element::Bf16,
            rank: 3,
            swizzle_bytes,
            address: 0x1000,
            extents: [100, 10, 4, 1, 1],
            strides: [256, 4096, 0, 0],
            box_extents,
            element_strides: [1; 5],
            fill: Fill::Zeros,
        };
        Tile { map, begin }
    }

    #[test]
    fn rows_outside_of_the_tensor_are_empty_and_others_are_cut() {
        let tile = tile(0, [16, 2, 2, 1, 1], [96, 9, 1, 0, 0]);
        let row = |place, inside, address| Row { place, inside, address };
        let at = 0x1000 + 96 * 2;
        let rows: Vec<Row> = tile.rows().collect();
        assert_eq!(rows[0], row(0, 0..8, at + 9 * 256 + 4096));
        assert_eq!((rows[1].place, rows[1].inside.clone()), (32, 0..0));
        assert_eq!(rows[2], row(64, 0..8, at + 9 * 256 + 2 * 4096));
        assert_eq!((tile.bytes(), tile.span()), (128, 128));
        let negative = Tile { begin: [-8, 0, 0, 0, 0], ..tile };
        assert_eq!(negative.rows().next(), Some(row(0, 16..32, 0x1000)));
    }

    #[test]
    fn the_swizzle_takes_bits_of_the_address() {
        let tile = tile(128, [64, 8, 1, 1, 1], [0; 5]);
        // Shared memory begins at 0x400: offset 0 is the start of a pattern.
        assert_eq!(tile.chunk(0, 128 + 16), 128);
        assert_eq!(tile.chunk(0, 7 * 128), 7 * 128 + 112);
        // 384 bytes into the pattern the first row is the fourth.
        assert_eq!(tile.chunk(384, 0), 384 + 48);
        assert_eq!((tile.bytes(), tile.span()), (1024, 1024));
    }

    #[test]
    fn narrow_rows_stand_at_the_pitch_of_the_span() {
        let tile = tile(128, [8, 4, 1, 1, 1], [0; 5]);
        assert_eq!((tile.bytes(), tile.span()), (64, 512));
        assert_eq!(tile.chunks(0).collect::<Vec<_>>(), [0, 128 + 16, 256 + 32, 384 + 48]);
        let dense = Tile { map: TensorMap { swizzle_bytes: 0, ..tile.map }, ..tile };
        assert_eq!(dense.chunks(0).collect::<Vec<_>>(), [0, 16, 32, 48]);
    }

    #[test]
    fn steps_between_elements_divide_the_rows() {
        let mut tile = tile(0, [8, 5, 3, 1, 1], [0, 1, 0, 0, 0]);
        tile.map.element_strides = [4, 2, 1, 1, 1];
        assert_eq!(tile.bytes(), 16 * 3 * 3);
        let addresses: Vec<u64> = tile.rows().take(4).map(|row| row.address - 0x1000).collect();
        assert_eq!(addresses, [256, 3 * 256, 5 * 256, 4096 + 256]);
    }
}
