//! From templates to text: specialise each file, then pull in by name whatever the room uses.

mod expand;
mod pull;
mod registry;

pub use pull::Origin;
pub(crate) use pull::{Body, Piece, words};
pub(crate) use registry::*;
