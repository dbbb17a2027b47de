//! Memory that stays on a device: what arrays hold, and what is wrong with an array.

use std::borrow::Cow;
use std::sync::Arc;

use sparsym_ir::symbols::BitRows;
use sparsym_ir::{DType, Tensor};

use crate::error::{Error, ErrorKind};

/// Memory of a device. Arrays are freed when their handles are dropped, in any order.
pub trait Memory: Send + Sync {
    /// The name of the device.
    fn name(&self) -> &'static str;

    /// The same memory, without what runs over it.
    fn handle(self: Arc<Self>) -> Arc<dyn Memory>;

    /// Memory for an array; gives its number.
    ///
    /// # Errors
    /// If there is no room.
    fn allocate(&self, name: &str, layout: &ArrayLayout, initial: Initial<'_>) -> Result<u64, Error>;

    /// Frees an array.
    fn release(&self, id: u64);

    /// Replaces the values of an array.
    ///
    /// # Errors
    /// The device's own.
    fn write(&self, id: u64, values: Values<'_>) -> Result<(), Error>;

    /// The values of an array. What nothing has written is unspecified.
    ///
    /// # Errors
    /// The device's own.
    fn read(&self, id: u64, layout: &ArrayLayout) -> Result<Values<'static>, Error>;

    /// Copies the values of one array to another of the same layout.
    ///
    /// # Errors
    /// The device's own.
    fn copy(&self, from: u64, to: u64) -> Result<(), Error>;

    /// What [`write`](Memory::write) and [`read`](Memory::read) have copied so far, and what rules read of tables and
    /// inputs.
    fn copied(&self) -> Copied;
}

/// Bytes that crossed between the host and a device. Of a device in host memory: that would have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// From the host.
    pub to_device: u64,
    /// Back.
    pub to_host: u64,
}

impl std::ops::Sub for Copied {
    type Output = Copied;

    /// What was copied since an earlier count.
    fn sub(self, earlier: Copied) -> Copied {
        Copied { to_device: self.to_device - earlier.to_device, to_host: self.to_host - earlier.to_host }
    }
}

/// What an array holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ArrayLayout {
    /// Numbers, row-major.
    Tensor {
        /// Extents, outermost first.
        shape: Vec<usize>,
        /// Element type.
        dtype: DType,
    },
    /// Packed rows of bits, each on a 64-bit word.
    Bits {
        /// Rows.
        rows: usize,
        /// Bits of a row.
        bits: usize,
    },
}

/// The values of an array in host memory.
#[derive(Clone, Debug, PartialEq)]
pub enum Values<'a> {
    /// Numbers.
    Tensor(Cow<'a, Tensor>),
    /// Packed rows.
    Bits(Cow<'a, BitRows>),
}

/// What an array holds before any call.
#[derive(Clone, Debug, PartialEq)]
pub enum Initial<'a> {
    /// Nothing that anybody may rely on.
    Nothing,
    /// Values that no call writes. The emulator stops one that does.
    Constant(Values<'a>),
    /// Values that come back where a call writes nothing, and that no call reads. The emulator stops one that does.
    Background(Values<'a>),
}

impl ArrayLayout {
    /// Bytes of the array; `usize::MAX` if there are more.
    pub fn bytes(&self) -> usize {
        let product = |extents: &[usize]| match extents.contains(&0) {
            true => 0,
            false => extents.iter().fold(1, |product: usize, &extent| product.saturating_mul(extent)),
        };
        match self {
            ArrayLayout::Tensor { shape, dtype } => product(shape).saturating_mul(dtype.bytes()),
            ArrayLayout::Bits { rows, bits } => product(&[*rows, bits.div_ceil(64), 8]),
        }
    }

    /// Zeros of this layout.
    pub fn zeros(&self) -> Values<'static> {
        match self {
            ArrayLayout::Tensor { shape, dtype } => Values::Tensor(Cow::Owned(Tensor::zeros(shape, *dtype))),
            ArrayLayout::Bits { rows, bits } => {
                Values::Bits(Cow::Owned(BitRows::from_words(*rows, *bits, vec![0; rows * bits.div_ceil(64)])))
            }
        }
    }
}

impl Values<'_> {
    /// Values of a layout from the bytes of a device, of which there may be more.
    pub(crate) fn from_bytes(layout: &ArrayLayout, bytes: &[u8]) -> Values<'static> {
        let bytes = &bytes[..layout.bytes()];
        match layout {
            ArrayLayout::Tensor { shape, dtype } => {
                Values::Tensor(Cow::Owned(Tensor::from_bytes(shape, *dtype, bytes)))
            }
            ArrayLayout::Bits { rows, bits } => {
                Values::Bits(Cow::Owned(BitRows::from_words(*rows, *bits, bytemuck::pod_collect_to_vec(bytes))))
            }
        }
    }

    /// The values, whoever owns them.
    pub fn into_owned(self) -> Values<'static> {
        match self {
            Values::Tensor(tensor) => Values::Tensor(Cow::Owned(tensor.into_owned())),
            Values::Bits(rows) => Values::Bits(Cow::Owned(rows.into_owned())),
        }
    }

    /// Their layout.
    pub fn layout(&self) -> ArrayLayout {
        match self {
            Values::Tensor(tensor) => ArrayLayout::Tensor { shape: tensor.shape.clone(), dtype: tensor.dtype() },
            Values::Bits(rows) => ArrayLayout::Bits { rows: rows.rows(), bits: rows.bits() },
        }
    }

    /// Their bytes, as a kernel sees them.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Values::Tensor(tensor) => tensor.bytes(),
            Values::Bits(rows) => bytemuck::cast_slice(rows.words()),
        }
    }
}

/// An array that a call cannot take.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ArrayError {
    /// Two names of a call are one array, and it is written.
    #[error("{written} is also given as {other}\nhelp: a call cannot write an array that it reads; give another one")]
    Aliased {
        /// Name of the result.
        written: String,
        /// What else it is.
        other: String,
    },
    /// The array lies in another memory.
    #[error("{name} belongs to another session\nhelp: place all arrays of a call through one engine")]
    OtherSession {
        /// Name of the array.
        name: String,
    },
    /// Values of another shape or type.
    #[error("{name} holds {expected:?} and cannot take {found:?}\nhelp: give values of the array's shape and type")]
    OtherLayout {
        /// Name of the array.
        name: String,
        /// Its layout.
        expected: ArrayLayout,
        /// That of the values.
        found: ArrayLayout,
    },
    /// A call of another kind than the prepared one.
    #[error(
        "this call is not the one that was prepared, nor one like it\nhelp: prepare it in the session that runs it"
    )]
    OtherCall,
    /// More than memory can hold.
    #[error(
        "there is no memory for {name}, {bytes} bytes\nhelp: split the call by batch items, or by heads where no rule reads `head`"
    )]
    NoRoom {
        /// Name of the array.
        name: String,
        /// Its bytes.
        bytes: usize,
    },
}

impl From<ArrayError> for Error {
    fn from(error: ArrayError) -> Error {
        Error::of(ErrorKind::Array, error)
    }
}

/// Whether host memory has room for an array. Allocations without this question end the process where it has none.
pub(crate) fn check_room(name: &str, layout: &ArrayLayout) -> Result<(), ArrayError> {
    let bytes = layout.bytes();
    match Vec::<u8>::new().try_reserve_exact(bytes) {
        Ok(()) => Ok(()),
        Err(_) => Err(ArrayError::NoRoom { name: name.to_owned(), bytes }),
    }
}
