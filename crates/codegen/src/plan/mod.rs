//! Every constant of one kernel, chosen before any text is made.

pub(crate) mod choose;
mod digest;
mod roles;
mod shared;
pub(crate) mod tile;

use serde::Serialize;
use sparsym_ir::problem::check_block;
use sparsym_ir::projection::{RopePairs, Summed};
use sparsym_ir::{Code, DType, Finding, Findings};

use crate::request::Request;
use crate::schedule::Schedule;

pub use digest::Rules;
pub use roles::Roles;
pub use shared::{Region, SharedLayout};

/// All constants of one kernel. The only configuration there is: printed in the kernel's header, serialisable.
///
/// Equal plans have equal texts, so a plan can be the key of a loaded kernel. `R` is what one room has beside the others; a
/// finished plan is that of any room.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Plan<R = RoomPlan> {
    /// What the kernel has, as a name; that of the kernel ends in a hash of its text, too.
    pub name: String,
    /// Target, `sm_80`.
    pub target: &'static str,
    /// `bf16` or `f16`.
    pub dtype: &'static str,
    /// `D`.
    pub head_dim: u32,
    /// Threads of a CTA.
    pub threads: u32,
    /// CTAs that must fit one SM, if the text says so: told nothing, a compiler may rather spill than let fewer CTAs be on an
    /// SM.
    pub ctas_per_sm: Option<u32>,
    /// Of a kernel whose warps have roles: what registers each role takes.
    pub roles: Option<Roles>,
    /// Dynamic shared memory.
    pub shared: SharedLayout,
    /// What only this room has.
    #[serde(flatten)]
    pub room: R,
}

/// The constants of one room.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(tag = "room", rename_all = "snake_case")]
pub enum RoomPlan {
    /// Attention.
    Attention(AttentionPlan),
    /// Symbols.
    Symbols(SymbolsPlan),
    /// A projection to heads.
    GemmQ(GemmPlan<ToHeadsPlan>),
    /// A projection back from heads.
    GemmO(GemmPlan<FromHeadsPlan>),
}

/// What an attention kernel has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct AttentionPlan {
    /// Who loads, multiplies and waits.
    pub schedule: Schedule,
    /// What the text holds of the strategy.
    pub rules: Rules,
    /// Tokens of a query block.
    pub block_q: u32,
    /// Tokens of a kv block.
    pub block_kv: u32,
    /// Query rows of a CTA.
    pub tile_q: u32,
    /// Kv rows of a loop step.
    pub tile_kv: u32,
    /// 16-row tiles of a warp.
    pub row_tiles: u32,
    /// Kv tiles whose K, or whose V, are in shared memory.
    pub stages: u32,
    /// Chunks of a swizzle group.
    pub group_chunks: u32,
    /// Products of warpgroups read Q from shared memory; otherwise it is held in registers.
    pub shares_query: bool,
    /// Parts in which O leaves through shared memory.
    pub out_parts: u32,
    /// A row's maximum is set by the first columns of its first kv tile, and raised only where P outgrows its type.
    pub sets_max: bool,
    /// Index pointers.
    pub ragged: bool,
    /// Writes forecasts.
    pub forecast: bool,
    /// A first launch lists the tiles, heaviest first.
    pub heaviest_first: bool,
    /// Has a token mask.
    pub mask: bool,
    /// Has a score rule, or a scale that must be applied as one.
    pub score: bool,
    /// The mask is asked in a loop over columns, which leaves bits.
    pub rolls_mask: bool,
    /// Copies read the thread's index again instead of holding it.
    pub rereads_thread: bool,
    /// The strategy's grid is stored tile by tile.
    pub tiled: bool,
}

/// What a symbols kernel has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct SymbolsPlan {
    /// What the text holds of the strategy.
    pub rules: Rules,
    /// Tokens of a query block.
    pub block_q: u32,
    /// Tokens of a kv block.
    pub block_kv: u32,
    /// Threads that read a row of Q or K together, eight columns each.
    pub row_lanes: u32,
    /// Rules read Q and K.
    pub data: bool,
    /// Block means of Q and K are given.
    pub pooled: bool,
    /// Index pointers.
    pub ragged: bool,
    /// Has a token mask, so it writes S_s and S_f.
    pub mask: bool,
    /// The strategy's grid is stored tile by tile.
    pub tiled: bool,
    /// Writes S_c.
    pub caches: bool,
    /// Writes S_s.
    pub skips: bool,
    /// Whether CTAs of a launch can start while the launch before it runs, and wait for it themselves.
    pub overlaps: bool,
}

/// What both projections have, and `P` of one of them.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct GemmPlan<P> {
    /// Who loads, multiplies and waits.
    pub schedule: Schedule,
    /// Tokens of a block, if the text depends on it.
    pub block_q: Option<u32>,
    /// Rows of the product that a CTA computes.
    pub tile_q: u32,
    /// Columns of the product that a CTA computes.
    pub tile_n: u32,
    /// The same of all heads that a CTA computes at once.
    pub tile_columns: u32,
    /// And of half a tile, where there are halves.
    pub half_columns: Option<u32>,
    /// Columns of the operands in a loop step.
    pub tile_k: u32,
    /// Rows of the tile that S_c decides together.
    pub subtile_rows: u32,
    /// 16-row tiles of a warp.
    pub row_tiles: u32,
    /// Stages of the operands.
    pub stages: u32,
    /// Chunks of a swizzle group.
    pub group_chunks: u32,
    /// Row tiles whose operands are meant to stay in L2 together.
    pub group_tiles: u32,
    /// Which extent of the product may end inside a tile.
    pub cut: Cut,
    /// S_c is read; otherwise every tile and every head is computed.
    pub sparse: bool,
    /// A first launch lists tiles.
    pub listed: bool,
    /// A bias is added.
    pub bias: bool,
    /// What one of them has.
    #[serde(flatten)]
    pub parts: P,
}

/// An extent of a product that need not be a multiple of the tile's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Cut {
    /// What is summed over: the model width of a projection to heads.
    Depth,
    /// Columns: the model width of a projection back.
    Columns,
}

/// What a projection to heads has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct ToHeadsPlan {
    /// Heads whose columns a CTA computes at once.
    pub tile_heads: u32,
    /// Each head's row is normalised.
    pub norm: bool,
    /// Each head's row is turned.
    pub rope: Option<RopePairs>,
    /// Means of blocks are a second result.
    pub means: bool,
    /// Most projections of a launch, if it may have several.
    pub together: Option<u32>,
}

/// What a projection back from heads has.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct FromHeadsPlan {
    /// Which heads are added up: with differences those that S_c calls cached.
    pub summed: Summed,
    /// Σ coefficient · partial is added.
    pub partials: bool,
    /// Projects the differences of outputs, into a partial each.
    pub differences: bool,
}

/// Beyond it no device has a kernel for any use of the head dimension.
const MOST_HEAD_DIM: usize = 1 << 16;

/// What no room has a kernel for.
///
/// # Errors
/// Findings S602 to S604.
pub(crate) fn check(request: &Request<'_>, blocks: &[(&'static str, u32)]) -> Result<(), Findings> {
    if request.dtype == DType::F32 {
        return Err(Finding::new(
            Code::KernelType,
            "there are no f32 kernels",
            "convert Q, K and V to bf16, or to f16 if no value is beyond 65504; or use the cpu device",
        )
        .into());
    }
    let mut findings = Findings::new();
    for &(name, block) in blocks {
        findings.extend(check_block(name, block as usize).err());
    }
    if !(1..=MOST_HEAD_DIM).contains(&request.head_dim) {
        let what = format!("there is no kernel for head dimension {}", request.head_dim);
        findings.push(Finding::new(Code::HeadDimension, what, format!("use one of {}", tile::HEAD_DIM_WORDS)));
    }
    findings.into_result(())
}

impl<R> Plan<R> {
    /// A plan without shared memory, of so many threads, for what a request says of all rooms. It is named after the parts
    /// that it has, and what else its text depends on.
    pub(crate) fn new(
        request: &Request<'_>,
        threads: u32,
        room: R,
        name: &str,
        parts: &[(bool, &str)],
        tail: &str,
    ) -> Plan<R> {
        let parts = parts.iter().filter(|(present, _)| *present).map(|(_, part)| *part);
        Plan {
            name: std::iter::once(name).chain(parts).chain([tail]).collect::<Vec<_>>().join("_"),
            target: request.target.name(),
            dtype: request.dtype.name(),
            head_dim: request.head_dim as u32,
            threads,
            ctas_per_sm: None,
            roles: None,
            shared: SharedLayout::default(),
            room,
        }
    }

    /// The same plan as that of any room.
    pub(crate) fn map<S>(self, room: impl FnOnce(R) -> S) -> Plan<S> {
        let Plan { name, target, dtype, head_dim, threads, ctas_per_sm, roles, shared, room: own } = self;
        Plan { name, target, dtype, head_dim, threads, ctas_per_sm, roles, shared, room: room(own) }
    }
}
