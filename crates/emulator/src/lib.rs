//! PTX, the assembly text that NVRTC emits, on a CPU.
#![deny(missing_docs)]
#![allow(dead_code)] // until the machine is whole

mod decode;
mod isa;
mod launch;
mod machine;
mod memory;
mod numeric;
mod program;
mod race;
pub mod syntax;
mod trap;
