//! Arrays that stay on a device between calls, and the rooms that work on them.
//!
//! [`Device`](super::Device) takes tensors in host memory and gives some back: right for one call. Denoising steps keep what
//! they need where it is computed: a [`Session`] holds [`Array`]s and [`BitArray`]s and runs [`Call`]s over them. What a call
//! needs beside its arrays is made once, by [`Session::prepare`]; running it makes and looks up nothing.

mod array;
mod call;
mod host;

use std::any::Any;
use std::borrow::Cow;
use std::sync::Arc;

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

    /// Memory for an array; gives its number.
    ///
    /// # Errors
    /// If there is no room.
    fn allocate(&self, name: &str, layout: &Layout, initial: Initial<'_>) -> Result<u64, Error>;

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
    fn read(&self, id: u64, layout: &Layout) -> Result<Values<'static>, Error>;

    /// Copies the values of one array to another of the same layout.
    ///
    /// # Errors
    /// The device's own.
    fn copy(&self, from: u64, to: u64) -> Result<(), Error>;

    /// Compiles what a call needs, and allocates its workspace. Values of arrays, coefficients and the moment do not matter.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Error>;

    /// Runs a call that was prepared, or one that differs from it in arrays, numbers and extents alone. Results are in its
    /// arrays when this returns.
    ///
    /// # Errors
    /// Findings about arrays that do not fit, an array that is read and written, [`ArrayError::OtherCall`] for a call of
    /// another kind, or the device's own failure. Nothing is written unless the device itself failed.
    fn run(&self, prepared: &Prepared, call: &Call<'_>) -> Result<Cost, Error>;

    /// Prepares a call and runs it.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn run_once(&self, call: &Call<'_>) -> Result<Cost, Error> {
        self.run(&self.prepare(call)?, call)
    }

    /// Runs calls one after another, and gives what each took. A device with a queue starts all of them before it waits:
    /// how to time calls that are shorter than the way to the device and back.
    ///
    /// # Errors
    /// As [`Session::run`], for the first call that fails; those before it may have run.
    fn run_all(&self, calls: &[(&Prepared, Call<'_>)]) -> Result<Vec<Cost>, Error> {
        calls.iter().map(|(prepared, call)| self.run(prepared, call)).collect()
    }

    /// Bytes of workspace that calls have needed so far beside their arrays.
    fn workspace_bytes(&self) -> usize;

    /// What [`write`](Session::write) and [`read`](Session::read) have copied so far, and what rules read of tables and
    /// inputs.
    fn copied(&self) -> Copied;
}

/// What a session has made of a call, so that running it makes nothing: a loaded kernel and its workspace.
#[derive(Clone)]
pub struct Prepared(Arc<dyn Any + Send + Sync>);

impl Prepared {
    /// What a session keeps of a call.
    pub fn new(kept: impl Any + Send + Sync) -> Prepared {
        Prepared(Arc::new(kept))
    }

    /// What the session kept, if it kept this.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
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
    pub fn zeros(&self) -> Values<'static> {
        match self {
            Layout::Tensor { shape, dtype } => Values::Tensor(Cow::Owned(Tensor::zeros(shape, *dtype))),
            Layout::Bits { rows, bits } => {
                Values::Bits(Cow::Owned(BitRows::from_words(*rows, *bits, vec![0; rows * bits.div_ceil(64)])))
            }
        }
    }
}

impl Values<'_> {
    /// Values of a layout from the bytes of a device, of which there may be more.
    pub(crate) fn from_bytes(layout: &Layout, bytes: &[u8]) -> Values<'static> {
        let bytes = &bytes[..layout.bytes()];
        match layout {
            Layout::Tensor { shape, dtype } => Values::Tensor(Cow::Owned(Tensor::from_bytes(shape, *dtype, bytes))),
            Layout::Bits { rows, bits } => {
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
pub(super) fn check_room(name: &str, layout: &Layout) -> Result<(), ArrayError> {
    let bytes = layout.bytes();
    match Vec::<u8>::new().try_reserve_exact(bytes) {
        Ok(()) => Ok(()),
        Err(_) => Err(ArrayError::NoRoom { name: name.to_owned(), bytes }),
    }
}
