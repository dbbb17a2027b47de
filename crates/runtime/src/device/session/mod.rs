//! Arrays that stay on a device between calls, and the rooms that work on them.
//!
//! [`Device`](super::Device) takes tensors in host memory and gives some back: right for one call. Denoising steps keep what
//! they need where it is computed: a [`Session`] holds [`Array`]s and [`BitArray`]s and runs [`Call`]s over them. What a call
//! needs beside its arrays is made by [`Session::prepare`], so that none allocates memory later.

mod array;
mod call;
mod host;

use sparsym_ir::strategy::Strategy;
use sparsym_ir::symbols::BitRows;
use sparsym_ir::{DType, Tensor};

pub use array::{Array, BitArray};
pub use call::{Call, SymbolArrays, SymbolRefs};
pub(super) use host::{HostSession, Projections};

use super::Cost;
use crate::error::{Error, ErrorKind};

/// Memory of a device, and calls over it. Arrays are freed when their handles are dropped, in any order.
pub trait Session: Send + Sync {
    /// The name of the device.
    fn name(&self) -> &'static str;

    /// The most precise element type that its calls take.
    fn finest_dtype(&self) -> DType {
        DType::F32
    }

    /// Whether the symbols of a strategy can be made from block means alone; GEMM-Q then writes them on its way.
    fn takes_means(&self, _: &Strategy) -> bool {
        false
    }

    /// Memory for an array, which holds nothing yet; gives its number.
    ///
    /// # Errors
    /// If there is no room.
    fn allocate(&self, name: &str, layout: &Layout) -> Result<u64, Error>;

    /// Frees an array.
    fn release(&self, id: u64);

    /// Replaces the values of an array.
    ///
    /// # Errors
    /// The device's own.
    fn write(&self, id: u64, values: Values) -> Result<(), Error>;

    /// The values of an array. What nothing has written is unspecified.
    ///
    /// # Errors
    /// The device's own.
    fn read(&self, id: u64, layout: &Layout) -> Result<Values, Error>;

    /// Copies the values of one array to another of the same layout.
    ///
    /// # Errors
    /// The device's own.
    fn copy(&self, from: u64, to: u64) -> Result<(), Error>;

    /// Compiles what a call needs and allocates its workspace. Values of arrays, coefficients and the moment do not matter.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn prepare(&self, call: &Call<'_>) -> Result<(), Error>;

    /// Runs a call. Results are in its arrays when this returns.
    ///
    /// # Errors
    /// Findings about arrays that do not fit, an array that is read and written, or the device's own failure. Nothing is
    /// written unless the device itself failed.
    fn run(&self, call: &Call<'_>) -> Result<Cost, Error>;

    /// Runs calls one after another, and gives what each took. A device with a queue starts all of them before it waits:
    /// how to time calls that are shorter than the way to the device and back.
    ///
    /// # Errors
    /// As [`Session::run`], for the first call that fails; those before it may have run.
    fn run_all(&self, calls: &[Call<'_>]) -> Result<Vec<Cost>, Error> {
        calls.iter().map(|call| self.run(call)).collect()
    }

    /// Bytes of workspace that calls have needed so far beside their arrays.
    fn workspace_bytes(&self) -> usize;

    /// What [`write`](Session::write) and [`read`](Session::read) have copied so far, and what rules read of tables and
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
pub enum Layout {
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
pub enum Values {
    /// Numbers.
    Tensor(Tensor),
    /// Packed rows.
    Bits(BitRows),
}

impl Layout {
    /// Bytes of the array; `usize::MAX` if there are more.
    pub fn bytes(&self) -> usize {
        let product = |extents: &[usize]| match extents.contains(&0) {
            true => 0,
            false => extents.iter().fold(1, |product: usize, &extent| product.saturating_mul(extent)),
        };
        match self {
            Layout::Tensor { shape, dtype } => product(shape).saturating_mul(dtype.bytes()),
            Layout::Bits { rows, bits } => product(&[*rows, bits.div_ceil(64), 8]),
        }
    }

    /// Zeros of this layout.
    pub fn zeros(&self) -> Values {
        match self {
            Layout::Tensor { shape, dtype } => Values::Tensor(Tensor::zeros(shape, *dtype)),
            Layout::Bits { rows, bits } => {
                Values::Bits(BitRows::from_words(*rows, *bits, vec![0; rows * bits.div_ceil(64)]))
            }
        }
    }
}

impl Values {
    /// Values of a layout from the bytes of a device, of which there may be more.
    pub(crate) fn from_bytes(layout: &Layout, bytes: &[u8]) -> Values {
        let bytes = &bytes[..layout.bytes()];
        match layout {
            Layout::Tensor { shape, dtype } => Values::Tensor(Tensor::from_bytes(shape, *dtype, bytes)),
            Layout::Bits { rows, bits } => {
                Values::Bits(BitRows::from_words(*rows, *bits, bytemuck::pod_collect_to_vec(bytes)))
            }
        }
    }

    /// Their layout.
    pub fn layout(&self) -> Layout {
        match self {
            Values::Tensor(tensor) => Layout::Tensor { shape: tensor.shape.clone(), dtype: tensor.dtype() },
            Values::Bits(rows) => Layout::Bits { rows: rows.rows(), bits: rows.bits() },
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
        expected: Layout,
        /// That of the values.
        found: Layout,
    },
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
pub(super) fn check_room(name: &str, layout: &Layout) -> Result<(), ArrayError> {
    let bytes = layout.bytes();
    match Vec::<u8>::new().try_reserve_exact(bytes) {
        Ok(()) => Ok(()),
        Err(_) => Err(ArrayError::NoRoom { name: name.to_owned(), bytes }),
    }
}
