//! A tensor in a buffer and the box of it that one bulk tensor copy moves: what a tensor map says.

use sparsym_ir::DType;

use crate::error::{Error, ErrorKind};

/// A tensor in a buffer, cut into boxes. Axes are innermost first; elements outside the tensor are zeros.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boxed {
    /// Element type.
    pub dtype: DType,
    /// Byte of the buffer at which the tensor begins.
    pub offset: u64,
    /// Elements along each axis; one to five axes.
    pub extents: Vec<u64>,
    /// Bytes from one index to the next, from the second axis on. They may overlap.
    pub strides: Vec<u64>,
    /// Elements of the box along each axis; it may reach beyond the tensor.
    pub box_extents: Vec<u32>,
    /// Steps between elements of the box; that of the innermost axis is ignored.
    pub element_strides: Vec<u32>,
    /// How 16-byte chunks of a box's rows change places.
    pub swizzle: Swizzle,
}

/// Bytes within which 16-byte chunks change places: chunk c of row r goes to c ^ (r mod the chunks of the span), where a row has
/// as many bytes as the span.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Swizzle {
    /// They stay.
    None,
    /// Within 32 bytes.
    Span32,
    /// Within 64 bytes.
    Span64,
    /// Within 128 bytes.
    Span128,
}

/// A tensor map that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BoxError {
    /// Too few or too many axes.
    #[error("a tensor map of {rank} axes\nhelp: give extents of 1 to {MOST_AXES} axes, innermost first")]
    Rank {
        /// How many.
        rank: usize,
    },
    /// Fields that speak of different numbers of axes.
    #[error("{field} has {found} entries and extents has {rank}\nhelp: give {expected}")]
    Count {
        /// The field.
        field: &'static str,
        /// Its entries.
        found: usize,
        /// Axes.
        rank: usize,
        /// How many there must be.
        expected: usize,
    },
    /// A number that is out of its range.
    #[error("{field}[{axis}] is {found}\nhelp: {help}")]
    Entry {
        /// The field.
        field: &'static str,
        /// The axis.
        axis: usize,
        /// The number.
        found: u64,
        /// The range.
        help: &'static str,
    },
    /// The tensor begins where a copy cannot.
    #[error("the tensor begins at byte {address}\nhelp: begin it at a multiple of 16 bytes")]
    Address {
        /// Where.
        address: u64,
    },
    /// Rows of the box that a copy cannot move.
    #[error(
        "box_extents[0] of {bytes} bytes is not a multiple of 16\nhelp: give rows of a box whole chunks of 16 bytes"
    )]
    Row {
        /// Bytes of a row.
        bytes: u64,
    },
    /// Rows of the box that are longer than the swizzle.
    #[error("swizzle spans {span} bytes and box_extents[0] has {bytes}\nhelp: cut boxes into panels of {span} bytes")]
    Panel {
        /// Bytes of a row.
        bytes: u64,
        /// Bytes of the span.
        span: u64,
    },
    /// A box that fits no CTA.
    #[error("box_extents has {bytes} bytes and a CTA may have {most} of shared memory\nhelp: give a smaller box")]
    TooLarge {
        /// Bytes of the box.
        bytes: u64,
        /// The most.
        most: u64,
    },
    /// The tensor is not all in the buffer.
    #[error("extents and strides reach byte {end} of a buffer of {bytes}\nhelp: describe a tensor inside the buffer")]
    Outside {
        /// Behind its last byte.
        end: u64,
        /// Bytes of the buffer.
        bytes: u64,
    },
}

/// Most axes of a tensor map.
const MOST_AXES: usize = 5;
/// Most elements of a box along an axis.
const MOST_BOX: u64 = 256;
/// Strides are below this.
const STRIDE_END: u64 = 1 << 40;

impl Swizzle {
    /// The one whose span is a row of so many bytes; none if there is no such span.
    pub fn of_row(bytes: u32) -> Swizzle {
        match bytes {
            32 => Swizzle::Span32,
            64 => Swizzle::Span64,
            128 => Swizzle::Span128,
            _ => Swizzle::None,
        }
    }

    /// Bytes of the span; 0 for none.
    pub fn bytes(self) -> u8 {
        match self {
            Swizzle::None => 0,
            Swizzle::Span32 => 32,
            Swizzle::Span64 => 64,
            Swizzle::Span128 => 128,
        }
    }
}

impl Boxed {
    /// A dense tensor, one row after another, and boxes of it without swizzle.
    pub fn dense(dtype: DType, extents: &[u64], box_extents: &[u32]) -> Boxed {
        let rows = extents.iter().scan(dtype.bytes() as u64, |bytes, extent| {
            *bytes = bytes.saturating_mul(*extent);
            Some(*bytes)
        });
        Boxed {
            dtype,
            offset: 0,
            strides: rows.take(extents.len().saturating_sub(1)).collect(),
            extents: extents.to_vec(),
            box_extents: box_extents.to_vec(),
            element_strides: vec![1; extents.len()],
            swizzle: Swizzle::None,
        }
    }

    /// Whether a map can be made of it in a buffer at `address` with so many bytes, for CTAs with so much shared memory: what
    /// the driver asks for, and that the tensor lies in the buffer.
    ///
    /// # Errors
    /// The first field that does not fit.
    pub fn check(&self, address: u64, buffer_bytes: u64, shared_bytes: u32) -> Result<(), BoxError> {
        let rank = self.extents.len();
        if !(1..=MOST_AXES).contains(&rank) {
            return Err(BoxError::Rank { rank });
        }
        for (field, found, expected) in [
            ("strides", self.strides.len(), rank - 1),
            ("box_extents", self.box_extents.len(), rank),
            ("element_strides", self.element_strides.len(), rank),
        ] {
            if found != expected {
                return Err(BoxError::Count { field, found, rank, expected });
            }
        }
        let entries = |field, numbers: Vec<u64>, fits: &dyn Fn(u64) -> bool, help| match numbers
            .iter()
            .position(|&number| !fits(number))
        {
            Some(axis) => Err(BoxError::Entry { field, axis, found: numbers[axis], help }),
            None => Ok(()),
        };
        let wide = |numbers: &[u32]| numbers.iter().map(|&number| u64::from(number)).collect::<Vec<_>>();
        let extent = |extent| (1..=1 << 32).contains(&extent);
        entries("extents", self.extents.clone(), &extent, "an axis has 1 to 2^32 elements")?;
        let stride = |stride: u64| stride.is_multiple_of(16) && stride < STRIDE_END;
        entries("strides", self.strides.clone(), &stride, "strides are multiples of 16 bytes below 2^40")?;
        let fits_box = |extent| (1..=MOST_BOX).contains(&extent);
        entries("box_extents", wide(&self.box_extents), &fits_box, "a box has 1 to 256 elements along an axis")?;
        let step = |step| (1..=8).contains(&step);
        entries("element_strides", wide(&self.element_strides), &step, "steps between elements are 1 to 8")?;
        let begin = address.saturating_add(self.offset);
        if !begin.is_multiple_of(16) {
            return Err(BoxError::Address { address: begin });
        }
        let element = self.dtype.bytes() as u64;
        let (bytes, span) = (u64::from(self.box_extents[0]) * element, u64::from(self.swizzle.bytes()));
        if !bytes.is_multiple_of(16) {
            return Err(BoxError::Row { bytes });
        }
        if span != 0 && bytes > span {
            return Err(BoxError::Panel { bytes, span });
        }
        let outer = self.box_extents.iter().zip(&self.element_strides).skip(1);
        let box_bytes = outer.fold(bytes, |bytes, (extent, step)| bytes * u64::from(extent.div_ceil(*step)));
        if box_bytes > u64::from(shared_bytes) {
            return Err(BoxError::TooLarge { bytes: box_bytes, most: u64::from(shared_bytes) });
        }
        let row = self.offset.saturating_add(self.extents[0].saturating_mul(element));
        let outer = self.extents[1..].iter().zip(&self.strides);
        let end = outer.fold(row, |end, (extent, stride)| end.saturating_add((extent - 1).saturating_mul(*stride)));
        if end > buffer_bytes {
            return Err(BoxError::Outside { end, bytes: buffer_bytes });
        }
        Ok(())
    }
}

impl From<BoxError> for Error {
    fn from(error: BoxError) -> Error {
        Error::of(ErrorKind::TensorMap, error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARED: u32 = 232_448;

    /// Q of 24 heads and 4096 tokens, in panels of 64 columns.
    fn panels() -> Boxed {
        let extents = [128, 24, 4096];
        Boxed { swizzle: Swizzle::Span128, ..Boxed::dense(DType::Bf16, &extents, &[64, 1, 128]) }
    }

    fn check(of: &Boxed) -> Result<(), BoxError> {
        of.check(1 << 20, 128 * 24 * 4096 * 2, SHARED)
    }

    #[test]
    fn a_dense_tensor_has_the_strides_of_its_rows() {
        assert_eq!(panels().strides, [256, 6144]);
        assert_eq!(check(&panels()), Ok(()));
        assert_eq!(check(&Boxed::dense(DType::F32, &[16], &[4])), Ok(()));
    }

    /// What a driver takes although it looks odd.
    #[test]
    fn boxes_beyond_the_tensor_and_overlapping_strides_fit() {
        assert_eq!(check(&Boxed { extents: vec![8, 1, 2], ..panels() }), Ok(()));
        assert_eq!(check(&Boxed { strides: vec![0, 16], ..panels() }), Ok(()));
        let steps = Boxed { box_extents: vec![64, 24, 256], element_strides: vec![9, 8, 8], ..panels() };
        assert!(check(&steps).is_err(), "a step of 9");
        assert_eq!(check(&Boxed { element_strides: vec![1, 8, 8], ..steps }), Ok(()));
    }

    #[test]
    fn a_refusal_names_its_field() {
        let p = panels;
        for (of, words) in [
            (Boxed { extents: vec![], ..p() }, "a tensor map of 0 axes"),
            (Boxed { extents: vec![1; 6], ..p() }, "a tensor map of 6 axes"),
            (Boxed { strides: vec![256], ..p() }, "strides has 1 entries"),
            (Boxed { box_extents: vec![64], ..p() }, "box_extents has 1 entries"),
            (Boxed { element_strides: vec![], ..p() }, "element_strides has 0 entries"),
            (Boxed { extents: vec![128, 0, 4096], ..p() }, "extents[1] is 0"),
            (Boxed { extents: vec![(1 << 32) + 1, 24, 4096], ..p() }, "extents[0] is 4294967297"),
            (Boxed { strides: vec![256, 6152], ..p() }, "strides[1] is 6152"),
            (Boxed { strides: vec![1 << 40, 6144], ..p() }, "strides[0] is 1099511627776"),
            (Boxed { box_extents: vec![64, 1, 257], ..p() }, "box_extents[2] is 257"),
            (Boxed { box_extents: vec![64, 0, 1], ..p() }, "box_extents[1] is 0"),
            (Boxed { element_strides: vec![1, 0, 1], ..p() }, "element_strides[1] is 0"),
            (Boxed { offset: 8, ..p() }, "the tensor begins at byte 1048584"),
            (Boxed { box_extents: vec![60, 1, 1], ..p() }, "box_extents[0] of 120 bytes"),
            (Boxed { box_extents: vec![72, 1, 1], ..p() }, "swizzle spans 128 bytes and box_extents[0] has 144"),
            (Boxed { box_extents: vec![64, 8, 256], ..p() }, "box_extents has 262144 bytes"),
            (Boxed { offset: 16, ..p() }, "extents and strides reach byte 25165840 of a buffer of 25165824"),
        ] {
            let error = check(&of).expect_err(words);
            assert!(error.to_string().starts_with(words), "{error}");
            assert!(error.to_string().contains("\nhelp: "), "{error}");
        }
    }
}
