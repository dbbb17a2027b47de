//! Tensor maps: what a bulk tensor copy is told of the tensor that it moves boxes of.
//!
//! The 128 bytes that a driver makes are its own secret, so the emulator has an encoding of its own, from the same numbers. It
//! holds no pointer of the host; a kernel may get it as a parameter or copy it.
//!
//! | bytes | what, little-endian |
//! |---|---|
//! | 0..8 | `PTXEMUTM` |
//! | 8 | version, 2 |
//! | 9 | type of an element: its number in [`Element::ALL`] |
//! | 10 | rank, 1 to 5 |
//! | 11 | interleave, 0: none |
//! | 12 | bytes of a swizzle span over 16: 0, 2, 4 or 8 |
//! | 13 | what stands for elements outside the tensor: 0: zeros, 1: NaN |
//! | 14..16 | zeros |
//! | 16..24 | address of the tensor |
//! | 24..44 | extents less 1, five of 32 bits, innermost first |
//! | 44..64 | strides in bytes, four of 40 bits, from the second axis on |
//! | 64..74 | extents of the box, five of 16 bits |
//! | 74..79 | steps between elements of the box, five of 8 bits |
//! | 79..120 | zeros |
//! | 120..128 | FNV-1a of the bytes before |
//!
//! Axes beyond the rank have extent, box and step 1 and stride 0.

/// What a tensor map says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorMap {
    /// Type of an element.
    pub element: Element,
    /// Axes, 1 to 5.
    pub rank: u8,
    /// Bytes within which 16-byte chunks change places: 0, 32, 64 or 128.
    pub swizzle_bytes: u8,
    /// Where the tensor begins.
    pub address: u64,
    /// Extents, innermost first.
    pub extents: [u64; 5],
    /// Bytes from one index to the next, from the second axis on.
    pub strides: [u64; 4],
    /// Extents of the box.
    pub box_extents: [u16; 5],
    /// Steps between elements of the box; that of the innermost axis is ignored.
    pub element_strides: [u8; 5],
    /// What a load puts in place of elements outside the tensor.
    pub fill: Fill,
}

/// The type of the elements of a tensor. Loads and stores move bits; sums and the like are of the type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Element {
    /// 8 bits.
    U8,
    /// 16 bits.
    U16,
    /// 32 bits.
    U32,
    /// 32 bits with a sign.
    S32,
    /// 64 bits.
    U64,
    /// 64 bits with a sign.
    S64,
    /// IEEE half precision.
    F16,
    /// IEEE single precision.
    F32,
    /// IEEE double precision.
    F64,
    /// The upper half of a single precision number.
    Bf16,
}

impl Element {
    /// All of them, by the number that the driver gives them.
    pub const ALL: [Element; 10] = [
        Element::U8,
        Element::U16,
        Element::U32,
        Element::S32,
        Element::U64,
        Element::S64,
        Element::F16,
        Element::F32,
        Element::F64,
        Element::Bf16,
    ];

    /// Bytes of an element.
    pub fn bytes(self) -> u8 {
        match self {
            Element::U8 => 1,
            Element::U16 | Element::F16 | Element::Bf16 => 2,
            Element::U32 | Element::S32 | Element::F32 => 4,
            Element::U64 | Element::S64 | Element::F64 => 8,
        }
    }

    fn is_float(self) -> bool {
        matches!(self, Element::F16 | Element::F32 | Element::F64 | Element::Bf16)
    }
}

/// What stands for elements outside a tensor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fill {
    /// Zeros.
    Zeros,
    /// A NaN: 0x7FF7 in every 16 bits, whatever the type.
    Nan,
}

/// Bytes that are no tensor map.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum TensorMapError {
    /// They do not begin as one.
    Foreign,
    /// They were changed.
    Changed,
    /// They say what no driver makes a map of.
    Impossible,
}

impl std::fmt::Display for TensorMapError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            TensorMapError::Foreign => "these 128 bytes are no tensor map of the emulator",
            TensorMapError::Changed => "this tensor map was changed after it was made",
            TensorMapError::Impossible => "this tensor map describes what no driver makes a map of",
        })
    }
}

impl std::error::Error for TensorMapError {}

const MAGIC: [u8; 8] = *b"PTXEMUTM";
const VERSION: u8 = 2;

impl TensorMap {
    /// The bytes that a kernel gets.
    pub fn encode(&self) -> [u8; 128] {
        let mut bytes = [0; 128];
        bytes[..8].copy_from_slice(&MAGIC);
        let element = Element::ALL.iter().position(|known| *known == self.element).unwrap_or(0) as u8;
        let fill = u8::from(self.fill == Fill::Nan);
        bytes[8..14].copy_from_slice(&[VERSION, element, self.rank, 0, self.swizzle_bytes / 16, fill]);
        bytes[16..24].copy_from_slice(&self.address.to_le_bytes());
        for axis in 0..5 {
            bytes[24 + 4 * axis..][..4].copy_from_slice(&(self.extents[axis].wrapping_sub(1) as u32).to_le_bytes());
            bytes[64 + 2 * axis..][..2].copy_from_slice(&self.box_extents[axis].to_le_bytes());
        }
        for (axis, stride) in self.strides.iter().enumerate() {
            bytes[44 + 5 * axis..][..5].copy_from_slice(&stride.to_le_bytes()[..5]);
        }
        bytes[74..79].copy_from_slice(&self.element_strides);
        let sum = checksum(&bytes[..120]);
        bytes[120..].copy_from_slice(&sum.to_le_bytes());
        bytes
    }

    /// What the bytes say.
    ///
    /// # Errors
    /// If they are not what [`encode`](Self::encode) gave.
    pub fn decode(bytes: &[u8; 128]) -> Result<TensorMap, TensorMapError> {
        let number = |at: usize, count: usize| {
            bytes[at..at + count].iter().rev().fold(0, |number: u64, &byte| number << 8 | u64::from(byte))
        };
        if bytes[..8] != MAGIC || bytes[8] != VERSION {
            return Err(TensorMapError::Foreign);
        }
        if number(120, 8) != checksum(&bytes[..120]) {
            return Err(TensorMapError::Changed);
        }
        let Some(&element) = Element::ALL.get(usize::from(bytes[9])) else {
            return Err(TensorMapError::Impossible);
        };
        let map = TensorMap {
            element,
            rank: bytes[10],
            swizzle_bytes: bytes[12] * 16,
            address: number(16, 8),
            extents: std::array::from_fn(|axis| number(24 + 4 * axis, 4) + 1),
            strides: std::array::from_fn(|axis| number(44 + 5 * axis, 5)),
            box_extents: std::array::from_fn(|axis| number(64 + 2 * axis, 2) as u16),
            element_strides: std::array::from_fn(|axis| bytes[74 + axis]),
            fill: if bytes[13] == 1 { Fill::Nan } else { Fill::Zeros },
        };
        if map.is_possible() { Ok(map) } else { Err(TensorMapError::Impossible) }
    }

    /// Whether a driver makes such a map: its limits, as an H200's refused what is beyond them.
    fn is_possible(&self) -> bool {
        let rank = usize::from(self.rank);
        let row = u64::from(self.box_extents[0]) * u64::from(self.element.bytes());
        let in_box =
            |axis: usize| (1..=256).contains(&self.box_extents[axis]) && (1..=8).contains(&self.element_strides[axis]);
        let beyond =
            |axis: usize| (self.extents[axis], self.box_extents[axis], self.element_strides[axis]) == (1, 1, 1);
        (1..=5).contains(&rank)
            && (0..rank).all(in_box)
            && (rank..5).all(beyond)
            && self.address.is_multiple_of(16)
            && self.strides.iter().all(|stride| stride.is_multiple_of(16))
            && matches!(self.swizzle_bytes, 0 | 32 | 64 | 128)
            && row.is_multiple_of(16)
            && (self.swizzle_bytes == 0 || row <= u64::from(self.swizzle_bytes))
            && (self.fill == Fill::Zeros || self.element.is_float())
    }
}

/// FNV-1a.
fn checksum(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |sum, &byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map() -> TensorMap {
        TensorMap {
            element: Element::Bf16,
            rank: 4,
            swizzle_bytes: 128,
            address: 0x7f12_3456_7890,
            fill: Fill::Nan,
            extents: [128, 1 << 32, 24, 2, 1],
            strides: [6144, 256, (1 << 40) - 16, 0],
            box_extents: [64, 256, 1, 1, 1],
            element_strides: [1, 2, 8, 1, 1],
        }
    }

    #[test]
    fn a_map_is_what_it_was_made_of() {
        assert_eq!(TensorMap::decode(&map().encode()), Ok(map()));
    }

    #[test]
    fn what_no_driver_makes_is_no_map() {
        for wrong in [
            TensorMap { rank: 0, ..map() },
            TensorMap { rank: 6, ..map() },
            TensorMap { rank: 3, ..map() },
            TensorMap { swizzle_bytes: 48, ..map() },
            TensorMap { swizzle_bytes: 64, ..map() },
            TensorMap { address: 8, ..map() },
            TensorMap { element: Element::U16, ..map() },
            TensorMap { box_extents: [64, 257, 1, 1, 1], ..map() },
            TensorMap { box_extents: [60, 1, 1, 1, 1], ..map() },
            TensorMap { element_strides: [1, 9, 1, 1, 1], ..map() },
            TensorMap { strides: [8, 0, 0, 0], ..map() },
        ] {
            assert_eq!(TensorMap::decode(&wrong.encode()), Err(TensorMapError::Impossible), "{wrong:?}");
        }
    }

    #[test]
    fn a_change_anywhere_is_seen() {
        for at in 0..128 {
            let mut bytes = map().encode();
            bytes[at] ^= 1;
            let expected = if at < 9 { TensorMapError::Foreign } else { TensorMapError::Changed };
            assert_eq!(TensorMap::decode(&bytes), Err(expected), "byte {at}");
        }
    }
}
