//! Arrays that stay on a device between calls, and the rooms that work on them.
//!
//! [`Device`](super::Device) takes tensors in host memory and gives some back: right for one call. Denoising steps keep what
//! they need where it is computed: a [`Session`] holds [`Array`]s and [`BitArray`]s and runs [`Call`]s over them. What a call
//! needs beside its arrays is made once, by [`Session::prepare`]; running it makes and looks up nothing.

mod array;
mod call;
mod contract;
mod memory;

pub use array::{Array, BitArray};
pub use call::{Call, SymbolArrays, SymbolRefs};
pub use contract::{Prepared, Session};
pub(crate) use memory::check_room;
pub use memory::{ArrayError, ArrayLayout, Copied, Initial, Memory, Values};
