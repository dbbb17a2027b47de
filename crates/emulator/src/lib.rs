//! Runs PTX on the host.
#![deny(missing_docs)]
#![allow(dead_code)] // until the machine is whole

mod decode;
mod isa;
mod machine;
mod numeric;
mod trap;
