//! Strategy IR and problem to readable CUDA text.
//!
//! Use this crate to look at, test or compile the kernels of a strategy yourself; `sparsym::device` does it for you.
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
//! assert!(kernel.source.contains("// O += P V"));
//! ```
#![deny(missing_docs)]

mod entry;
mod kernel;
mod lower;
mod names;
mod padding;
mod params;
mod plan;
mod request;
mod rooms;
mod schedule;
mod target;
mod text;

use minijinja::context;
use minijinja::value::Serde;
use sparsym_ir::Findings;

use kernel::Step;
use rooms::{Draft, Room as _};
use text::{Body, Piece};

pub use entry::name_without_hash;
pub use kernel::{GridAxis, Kernel, Launch};
pub use lower::reads_means_alone;
pub use params::{
    Argument, Array, BoxAxis, Boxes, Buffer, Field, Length, Number, Numbers, Params, ProductTiles, Sizes, Source,
    TileColumns,
};
pub use plan::{
    AttentionPlan, Cut, FromHeadsPlan, GemmPlan, Plan, Region, Roles, RoomPlan, Rules, SharedLayout, SymbolsPlan,
    ToHeadsPlan,
};
pub use request::{
    AttentionRequest, CachedRows, FromHeads, MOST_PROJECTIONS, Means, Product, Request, Room, RoomRequest, Scale,
    Sequences, SummedHeads, SymbolsRequest, TileOrder, ToHeads,
};
pub use schedule::Schedule;
pub use target::Target;
pub use text::Origin;

/// Specialises the templates of a room for a strategy, a target and a shape class.
///
/// # Errors
/// Findings S602 to S605: what does not fit, and what would.
pub fn generate(request: &Request<'_>) -> Result<Kernel, Findings> {
    match &request.room {
        RoomRequest::Attention(of) => made(request, of, RoomPlan::Attention),
        RoomRequest::Symbols(of) => made(request, of, RoomPlan::Symbols),
        RoomRequest::GemmQ(of) => made(request, of, RoomPlan::GemmQ),
        RoomRequest::GemmO(of) => made(request, of, RoomPlan::GemmO),
    }
}

/// The constants of the kernel that [`generate`] would make: requests with equal plans have equal kernels.
///
/// # Errors
/// As [`generate`].
pub fn plan(request: &Request<'_>) -> Result<Plan, Findings> {
    match &request.room {
        RoomRequest::Attention(of) => Ok(of.plan(request)?.map(RoomPlan::Attention)),
        RoomRequest::Symbols(of) => Ok(of.plan(request)?.map(RoomPlan::Symbols)),
        RoomRequest::GemmQ(of) => Ok(of.plan(request)?.map(RoomPlan::GemmQ)),
        RoomRequest::GemmO(of) => Ok(of.plan(request)?.map(RoomPlan::GemmO)),
    }
}

/// The schedules that would be faster than the one that is taken, and why they are not: what they cannot do of what is asked
/// for. Targets that lack what a schedule needs do not pass it over; nor does a request that names its schedule.
///
/// # Errors
/// As [`generate`].
pub fn passed_over(request: &Request<'_>) -> Result<Vec<(Schedule, Findings)>, Findings> {
    let Some(taken) = plan(request)?.schedule() else { return Ok(Vec::new()) };
    let faster = plan::choose::schedules(request).take_while(|&schedule| schedule != taken);
    let refused = |schedule| Some((schedule, plan(&Request { schedule: Some(schedule), ..request.clone() }).err()?));
    Ok(faster.filter_map(refused).collect())
}

fn made<R: rooms::Room>(
    request: &Request<'_>,
    of: &R,
    room: impl FnOnce(R::Plan) -> RoomPlan,
) -> Result<Kernel, Findings> {
    let plan = of.plan(request)?;
    let Draft { rules, functions, launches, fields, absent } = of.draft(&plan);
    let first = format!("{}_", plan.name);
    let own_name = |step: &Step| step.launch.entry.trim_start_matches(&first).to_owned();
    let plan = plan.map(room);
    let values = context! {
        plan => Serde(&plan),
        rules => rules,
        entry => launches.last().map(|step| &step.launch.entry),
        launches => launches.iter().map(own_name).collect::<Vec<_>>(),
        shared_map => plan.shared.map(),
        absent => absent,
    };
    let texts = launches.iter().flat_map(|step| step.before.iter().chain([&step.text]));
    let pieces =
        texts.flat_map(|text| [Piece::Rules(&text.functions), Piece::File(text.template, text.values.clone())]);
    let pieces: Vec<Piece<'_>> = std::iter::once(Piece::Rules(&functions)).chain(pieces).collect();
    let body = Body::new(values, of.header(&launches), &pieces);
    Ok(Kernel::of_text(plan, body, fields, launches.into_iter().map(|step| step.launch).collect()))
}

impl Plan {
    /// Who loads, multiplies and waits; None for symbols, which multiply no tiles.
    pub fn schedule(&self) -> Option<Schedule> {
        match &self.room {
            RoomPlan::Symbols(_) => None,
            RoomPlan::Attention(room) => Some(room.schedule),
            RoomPlan::GemmQ(room) => Some(room.schedule),
            RoomPlan::GemmO(room) => Some(room.schedule),
        }
    }

    /// One line for people: name, tile, threads, shared memory, target.
    pub fn summary(&self) -> String {
        let tile = match &self.room {
            RoomPlan::Symbols(_) => return format!("{} for {}, {} threads", self.name, self.target, self.threads),
            RoomPlan::Attention(room) => format!("{}×{}", room.tile_q, room.tile_kv),
            RoomPlan::GemmQ(GemmPlan { tile_q, tile_n, tile_k, stages, .. })
            | RoomPlan::GemmO(GemmPlan { tile_q, tile_n, tile_k, stages, .. }) => {
                format!("{tile_q}×{tile_n}×{tile_k}, {stages} stages")
            }
        };
        let Plan { name, target, threads, shared, .. } = self;
        format!("{name} for {target}: tile {tile}, {threads} threads, {} B shared", shared.bytes)
    }
}
