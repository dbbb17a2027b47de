//! Matrix descriptors of `wgmma`: where the lines of an operand lie in shared memory.
//!
//! An operand is read in lines of 16 bytes. The layouts are those of the PTX ISA ("Matrix descriptor", "Strides"), checked
//! on an H200 (docs/silicon.md): the pattern of a swizzle follows the absolute address, and a base offset is subtracted.

use std::fmt;

/// Bits of a descriptor that mean something.
const FIELDS: u64 = 0x3FFF | 0x3FFF << 16 | 0x3FFF << 32 | 7 << 49 | 3 << 62;

/// A matrix descriptor, its fields in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Descriptor {
    start: u32,
    leading: u32,
    stride: u32,
    /// By how many rows of a pattern it is shifted.
    base: u32,
    /// Bytes of a row of the pattern; 16: there is none.
    span: u32,
}

/// Along which side of a matrix memory runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Major {
    /// Along the depth, which both operands share: what is not transposed.
    Depth,
    /// Along the rows of A, or the columns of B: only for elements of 16 bits.
    Other,
}

impl Descriptor {
    /// Takes a descriptor apart.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(bits: u64) -> Result<Descriptor, String> {
        if bits & !FIELDS != 0 {
            return Err(format!("the bits {:#x} belong to no field and must be 0", bits & !FIELDS));
        }
        let field = |at: u32| (bits >> at & 0x3FFF) as u32 * 16;
        let span = match bits >> 62 {
            0 => 16,
            1 => 128,
            2 => 64,
            _ => 32,
        };
        let base = (bits >> 49 & 7) as u32;
        if base != 0 && span == 16 {
            return Err(format!("a base offset of {base} without a swizzle"));
        }
        Ok(Descriptor { start: field(0), leading: field(16), stride: field(32), base, span })
    }

    /// Adds the address of every line of a matrix of that many rows (columns, of B) that are 32 bytes deep. Along the
    /// depth: the two lines of each row in turn. Along the other side: of each of 16 steps of the depth, the lines of
    /// eight rows in turn.
    #[inline(always)]
    pub(crate) fn lines(&self, major: Major, rows: usize, out: &mut Vec<u32>) {
        let Descriptor { start, leading, stride, span, .. } = *self;
        match major {
            Major::Depth => {
                // Without a swizzle eight rows stand together, and the next 16 bytes of the depth elsewhere.
                let second = if span == 16 { leading } else { 16 };
                for row in 0..rows as u32 {
                    let first = start + row % 8 * span + row / 8 * stride;
                    out.extend([self.swizzled(first), self.swizzled(first + second)]);
                }
            }
            Major::Other => {
                let (groups, across, along) = match span {
                    16 => (1, stride, leading),
                    span => (span / 16, leading, stride),
                };
                for step in 0..16 {
                    let first = start + step % 8 * span + step / 8 * along;
                    for group in 0..rows as u32 / 8 {
                        out.push(self.swizzled(first + group % groups * 16 + group / groups * across));
                    }
                }
            }
        }
    }

    /// Where the swizzle puts a line.
    #[inline(always)]
    fn swizzled(&self, address: u32) -> u32 {
        let rows = self.span / 16 - 1;
        address ^ ((address >> 7).wrapping_sub(self.base) & rows) << 4
    }
}

impl fmt::Display for Descriptor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Descriptor { start, leading, stride, base, span } = self;
        write!(f, "start {start:#x}, leading byte offset {leading}, stride byte offset {stride}, ")?;
        match span {
            16 => f.write_str("no swizzle"),
            _ if *base == 0 => write!(f, "swizzle of {span} bytes"),
            _ => write!(f, "swizzle of {span} bytes, base offset {base}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(start: u64, leading: u64, stride: u64, swizzle: u64, major: Major, rows: usize) -> Vec<u32> {
        let bits = start >> 4 | leading >> 4 << 16 | stride >> 4 << 32 | swizzle << 62;
        let mut out = Vec::new();
        Descriptor::parse(bits).unwrap().lines(major, rows, &mut out);
        out
    }

    #[test]
    fn lines_along_the_depth() {
        // Rows of 128 bytes: chunk c of row r at c ^ r % 8.
        let found = lines(0x400, 16, 1024, 1, Major::Depth, 16);
        for row in 0..16u32 {
            let chunk = |c: u32| 0x400 + row * 128 + (c ^ (row % 8)) * 16;
            assert_eq!(found[2 * row as usize..][..2], [chunk(0), chunk(1)], "row {row}");
        }
        // The second step of the depth begins 32 bytes on.
        assert_eq!(lines(0x420, 0, 1024, 1, Major::Depth, 8)[2..4], [0x480 + (2 ^ 1) * 16, 0x480 + (3 ^ 1) * 16]);
        // 64 bytes: c ^ r / 2 % 4; 32 bytes: c ^ r / 4 % 2.
        assert_eq!(lines(0x400, 0, 512, 2, Major::Depth, 8)[10..12], [0x400 + 5 * 64 + 32, 0x400 + 5 * 64 + 48]);
        assert_eq!(lines(0x400, 0, 256, 3, Major::Depth, 16)[26..28], [0x500 + 5 * 32 + 16, 0x500 + 5 * 32]);
        // Without a swizzle the stride leads to the next eight rows, the leading offset to the next 16 bytes.
        assert_eq!(lines(0x400, 128, 256, 0, Major::Depth, 16)[18..20], [0x510, 0x590]);
    }

    #[test]
    fn lines_along_the_other_side() {
        // Step k of the depth is a row of 128 bytes that holds 64 columns; the next 64 are a leading offset away.
        let found = lines(0x400, 4096, 1024, 1, Major::Other, 128);
        assert_eq!((found.len(), found[0], found[8]), (256, 0x400, 0x1400));
        assert_eq!(found[16 * 9 + 3], 0x400 + 1024 + 128 + (3 ^ 1) * 16);
        let found = lines(0x400, 2048, 512, 2, Major::Other, 64);
        assert_eq!(found[8 * 2 + 5], 0x400 + 2048 + 2 * 64);
        let found = lines(0x400, 1024, 256, 0, Major::Other, 16);
        assert_eq!(found[2 * 9 + 1], 0x400 + 256 + 16 + 1024);
    }

    #[test]
    fn a_base_offset_is_subtracted() {
        // A tile that starts three rows of 128 bytes into a pattern, as if it started at one.
        let bits = |base: u64| 0x580 >> 4 | 1024 >> 4 << 32 | base << 49 | 1 << 62;
        let mut out = Vec::new();
        Descriptor::parse(bits(3)).unwrap().lines(Major::Depth, 8, &mut out);
        assert_eq!(out[..4], [0x580, 0x590, 0x610, 0x600]);
    }

    #[test]
    fn bits_outside_of_the_fields_are_refused() {
        assert!(Descriptor::parse(1 << 14).unwrap_err().contains("0x4000"));
        assert!(Descriptor::parse(1 << 49).unwrap_err().contains("base offset of 1 without a swizzle"));
    }
}
