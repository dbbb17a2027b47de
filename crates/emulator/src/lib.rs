//! PTX, the assembly text that NVRTC emits, on a CPU.
//!
//! Non-goals: the whole of PTX (what NVRTC does not print is refused, with its position), and SASS.
//!
//! ```
//! let module = ptx_emulator::syntax::parse(
//!     ".version 9.0 .target sm_90a .address_size 64
//!      .visible .entry stop() { exit; }",
//! )?;
//! assert_eq!(module.functions[0].print(0).to_string(), "exit;");
//! # Ok::<(), ptx_emulator::syntax::SyntaxError>(())
//! ```
#![deny(missing_docs)]

pub mod syntax;
