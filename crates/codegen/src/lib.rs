//! Strategy IR and problem to readable CUDA text.
//!
//! Use this crate to look at, test or compile the kernels of a strategy yourself; `sparsym::runtime` does it for you.
//! [`generate`] is the whole compiler: it is pure, touches neither device nor disk nor clock, and gives equal bytes for
//! equal requests. One kernel text serves every sequence length, batch, head count, threshold and mask content: those
//! are fields of the kernel's one parameter, a struct that [`Kernel::arguments`] fills.
//!
//! Non-goals: compiling or launching (see `sparsym-runtime`), and any decision that is not in [`Plan`].
//!
//! ```
//! use sparsym_codegen::{Request, Room, Target, generate};
//! use sparsym_ir::Strategy;
//!
//! let dense = Strategy::dense();
//! let kernel = generate(&Request::new(&dense, Room::Attention, Target::parse("sm_80").unwrap())).unwrap();
//! assert!(kernel.source.contains("// S = Q Kᵀ"));
//! ```
#![deny(missing_docs)]

mod entry;
mod kernel;
mod lower;
mod names;
mod padding;
mod params;
mod plan;
mod projection;
mod registry;
mod render;
mod target;
mod tile;

pub use entry::name_without_hash;
pub use kernel::{GridAxis, Kernel, Launch, Origin};
pub use lower::reads_means_alone;
pub use params::{Argument, Buffer, Field, Params, Source};
pub use plan::{CachedRows, Plan, Request, Room, Scale, Sequences};
pub use projection::{Projection, ProjectionNumbers, StreamNumber};
pub use target::Target;

use sparsym_ir::Findings;

/// Specialises the templates of a room for a strategy, a target and a shape class.
///
/// # Errors
/// Findings S601 to S605: what does not fit, and what would.
pub fn generate(request: &Request<'_>) -> Result<Kernel, Findings> {
    let plan = plan::plan(request)?;
    let strategy = names::in_ascii(request.strategy);
    // What rules read of tensor data is computed step by step, a launch each.
    let staged = (plan.room == Room::Symbols).then(|| sparsym_ir::data::stages(&strategy));
    let request = Request { strategy: staged.as_ref().unwrap_or(&strategy), ..request.clone() };
    let rules = lower::rules(&request, &plan);
    let fields = match plan.room {
        Room::GemmQ | Room::GemmO => projection::candidates(plan.room),
        Room::Symbols | Room::Attention => params::candidates(request.strategy, &rules.cuts),
    };
    let text = render::render(&plan, &rules, &fields);
    Ok(kernel::assemble(plan, text, fields, rules.launches))
}
