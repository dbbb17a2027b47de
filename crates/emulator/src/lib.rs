//! PTX, the assembly text of CUDA's compilers, on a CPU: stricter than a GPU about what a GPU forgives silently.
//!
//! Use this crate to run generated or handwritten kernels in tests, on machines without a GPU. It executes what the text
//! says, warp by warp, and stops at the first thing that is wrong: accesses out of bounds, reads of what nothing wrote,
//! races in shared memory with both accesses, asynchronous copies that are read too early, barriers that some threads do
//! not reach. It counts what it executes: instructions, bytes, bank conflicts, matrix products.
//!
//! Non-goals: speed of a GPU, time of a GPU, SASS, and PTX that nobody's compiler emits. An instruction without a row in
//! the table is refused with its line.
//!
//! ```
//! use ptx_emulator::{Launch, Memory, Options, Program};
//!
//! let program = Program::load(
//!     ".version 9.0
//!     .target sm_80
//!     .address_size 64
//!     .visible .entry double(.param .u64 x) {
//!         .reg .b64 %rd<3>;
//!         .reg .b32 %r<3>;
//!         ld.param.u64 %rd1, [x];
//!         mov.u32 %r1, %tid.x;
//!         mad.wide.u32 %rd2, %r1, 4, %rd1;
//!         ld.global.u32 %r2, [%rd2];
//!         add.u32 %r2, %r2, %r2;
//!         st.global.u32 [%rd2], %r2;
//!         ret;
//!     }",
//! )?;
//! let mut memory = Memory::new();
//! let x = memory.upload("x", &7u32.to_le_bytes().repeat(32));
//! let launch = Launch { grid: [1, 1, 1], block: [32, 1, 1], dynamic_shared: 0, params: &x.address().to_le_bytes() };
//! let stats = program.kernel("double")?.launch(&memory, &launch, &Options::default())?;
//! assert_eq!(memory.download(x), 14u32.to_le_bytes().repeat(32));
//! assert_eq!(stats.warp_instructions, 7);
//!
//! // One thread more than there are elements:
//! let launch = Launch { block: [33, 1, 1], ..launch };
//! let error = program.kernel("double")?.launch(&memory, &launch, &Options::default()).unwrap_err();
//! assert!(error.to_string().contains("the nearest is x, 128 bytes, at its byte 128"));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The program `ptx-run` of this crate runs a kernel of a text with arrays from NumPy files: `ptx-run --help`.
#![deny(missing_docs)]
#![deny(unsafe_code)]

/// The examples of the front page are tests.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct FrontPage;

mod decode;
mod isa;
mod launch;
mod machine;
mod memory;
mod misuse;
mod numeric;
mod program;
mod race;
mod stats;
pub mod syntax;
mod tensor_map;
mod trap;

pub use isa::manual::{FormInfo, forms, isa_markdown};
pub use launch::{Checks, Copies, Launch, Options, Schedule};
pub use memory::global::{Buffer, Memory};
pub use memory::{Access, Region, Space};
pub use misuse::{BulkMisuse, ClusterMisuse, MbarrierMisuse};
pub use program::{Kernel, LaunchError, LoadError, Program};
pub use race::Earlier;
pub use stats::{Conflicts, GlobalTraffic, Occupancy, SharedTraffic, Stats};
pub use tensor_map::{Element, Fill, TensorMap, TensorMapError};
pub use trap::{Fault, Frame, Place, Trap, Wait};
