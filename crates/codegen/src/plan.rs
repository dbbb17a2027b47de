//! Every constant of one kernel, chosen before any text is made.

use serde::{Deserialize, Serialize};
use sparsym_ir::expr::ExprKind;
use sparsym_ir::problem::check_block;
use sparsym_ir::strategy::{Blocks, Grid, Strategy};
use sparsym_ir::{Code, DType, Finding, Findings};

use crate::padding::no_kernel;
use crate::projection::{self, Projection};
use crate::target::Target;
use crate::tile;

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// Mask and score come from here; block rules only for [`Room::Symbols`]. Projections read nothing of it.
    pub strategy: &'a Strategy,
    /// Which kernel.
    pub room: Room,
    /// For which GPU.
    pub target: Target,
    /// Type of Q, K, V and O: bf16 or f16.
    pub dtype: DType,
    /// `D`.
    pub head_dim: usize,
    /// Tokens of a query and of a kv block.
    pub blocks: Blocks,
    /// One length for all batch items, or index pointers.
    pub sequences: Sequences,
    /// What happens to rows whose S_c is 0.
    pub cached_rows: CachedRows,
    /// Which factors on Q·K the kernel must bear.
    pub scale: Scale,
    /// Symbols are made from block means that GEMM-Q wrote; only for strategies that
    /// [read means alone](crate::reads_means_alone).
    pub pooled: bool,
    /// What a projection has; for [`Room::GemmQ`] and [`Room::GemmO`].
    pub projection: Projection,
    /// Which of the plans that could be made: 0 is the fastest, each one after it leaves more registers to the rules. Only a
    /// compiler knows how many they take, so whoever compiles asks for the next one while a text spills.
    pub fit: usize,
}

impl<'a> Request<'a> {
    /// bf16, D = 128, the strategy's blocks, one length for all batch items, cached rows left to the caller; a projection
    /// without additions, sparse if the strategy caches.
    pub fn new(strategy: &'a Strategy, room: Room, target: Target) -> Request<'a> {
        Request {
            strategy,
            room,
            target,
            dtype: DType::Bf16,
            head_dim: 128,
            blocks: strategy.blocks,
            sequences: Sequences::Uniform,
            cached_rows: CachedRows::LeftToCaller,
            scale: Scale::Positive,
            pooled: false,
            projection: Projection { sparse: strategy.caches(), ..Projection::default() },
            fit: 0,
        }
    }
}

/// The four kernels around one attention layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Room {
    /// Projection of the hidden states, skipping cached output tiles.
    GemmQ,
    /// S_c, S_s and S_f.
    Symbols,
    /// Attention over the computed pairs.
    Attention,
    /// Output projection over the active heads.
    GemmO,
}

impl Room {
    /// The room of that name: `gemm_q`, `symbols`, `attention`, `gemm_o`.
    pub fn parse(name: &str) -> Option<Room> {
        [Room::GemmQ, Room::Symbols, Room::Attention, Room::GemmO].into_iter().find(|room| room.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Room::GemmQ => "gemm_q",
            Room::Symbols => "symbols",
            Room::Attention => "attention",
            Room::GemmO => "gemm_o",
        }
    }
}

/// How the sequences of a batch are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Sequences {
    /// All of one length.
    Uniform,
    /// Packed one after another, with index pointers.
    Ragged,
}

/// What the attention kernel does with rows whose S_c is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum CachedRows {
    /// Nothing: the caller has filled them, or GEMM-O adds their forecast.
    LeftToCaller,
    /// It writes Σ coefficient_k · feature_k, order 0 to 3.
    Forecast,
}

/// Which factors on Q·K a kernel must bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub enum Scale {
    /// Positive ones, as 1/√D, that take no finite logit out of f32 on its way to base 2: the factor is folded into the
    /// exponential.
    Positive,
    /// Any finite one: the factor is applied to every logit.
    Any,
}

impl Scale {
    /// The class of a factor on products of this element type.
    pub fn of(scale: f32, dtype: DType) -> Scale {
        let most = match dtype {
            // Products of f16 are far from the largest f32; a factor like that means that logits are large.
            DType::F16 => 64.0,
            DType::Bf16 | DType::F32 => std::f32::consts::LN_2,
        };
        if scale > 0.0 && scale <= most { Scale::Positive } else { Scale::Any }
    }
}

/// All constants of one kernel. The only configuration there is: printed in the kernel's header, serialisable.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Which room.
    pub room: Room,
    /// Kernel symbol, made of its content.
    pub name: String,
    /// Target, `sm_80`.
    pub target: &'static str,
    /// `bf16` or `f16`.
    pub dtype: &'static str,
    /// `D`.
    pub head_dim: u32,
    /// Tokens of a query block.
    pub block_q: u32,
    /// Tokens of a kv block.
    pub block_kv: u32,
    /// Query rows of a CTA; of a projection, rows of its product.
    pub tile_q: u32,
    /// Kv rows of a loop step.
    pub tile_kv: u32,
    /// Columns of a projection's product that a CTA computes.
    pub tile_n: u32,
    /// Columns of a projection's operands in a loop step.
    pub tile_k: u32,
    /// Rows of a projection's tile that S_c decides together.
    pub piece_rows: u32,
    /// Stages of a projection's operands.
    pub stages: u32,
    /// 16-row tiles of a warp.
    pub row_tiles: u32,
    /// Threads of a CTA.
    pub threads: u32,
    /// CTAs that must fit one SM.
    pub ctas_per_sm: u32,
    /// Whether the text says so: told nothing, a compiler may rather spill than let fewer CTAs be on an SM.
    pub bounds_ctas: bool,
    /// Shared memory from one stage of operands to the next, in bytes.
    pub stage_bytes: u32,
    /// Dynamic shared memory in bytes.
    pub shared_bytes: u32,
    /// Chunks of a swizzle group.
    pub group_chunks: u32,
    /// Threads that read a row of Q or K together, eight columns each.
    pub row_lanes: u32,
    /// Rules read Q and K.
    pub data: bool,
    /// Block means of Q and K are given.
    pub pooled: bool,
    /// Index pointers.
    pub ragged: bool,
    /// Writes forecasts.
    pub forecast: bool,
    /// Has a token mask.
    pub mask: bool,
    /// Has a score rule, or a scale that must be applied as one.
    pub score: bool,
    /// The strategy's grid is stored tile by tile.
    pub tiled: bool,
    /// Writes S_c; a projection reads it.
    pub caches: bool,
    /// Writes S_s.
    pub skips: bool,
    /// What a projection has.
    pub projection: Projection,
}

/// Beyond it no device has a kernel for any use of the head dimension.
const MOST_HEAD_DIM: usize = 1 << 16;

/// Chooses all constants.
///
/// # Errors
/// Findings S602 to S605.
pub(crate) fn plan(request: &Request<'_>) -> Result<Plan, Findings> {
    if request.dtype == DType::F32 {
        return Err(Finding::new(
            Code::KernelType,
            "there are no f32 kernels",
            "convert Q, K and V to bf16, or to f16 if no value is beyond 65504; or use the cpu device",
        )
        .into());
    }
    let blocks = request.blocks;
    let mut findings = Findings::new();
    for (name, block) in [("block_q", blocks.q), ("block_kv", blocks.kv)] {
        findings.extend(check_block(name, block as usize).err());
    }
    if !(1..=MOST_HEAD_DIM).contains(&request.head_dim) {
        let what = format!("there is no kernel for head dimension {}", request.head_dim);
        findings.push(Finding::new(Code::HeadDimension, what, "use one of 64, 96, 128, 256"));
    }
    findings.into_result(())?;
    match request.room {
        Room::Attention => attention_plan(request),
        Room::Symbols => symbols_plan(request),
        Room::GemmQ | Room::GemmO => projection::projection_plan(request),
    }
}

fn attention_plan(request: &Request<'_>) -> Result<Plan, Findings> {
    let tile = tile::attention_tile(request)?;
    let mut plan = base_plan(request);
    plan.tile_q = tile.q;
    plan.tile_kv = tile.kv;
    plan.row_tiles = tile.row_tiles;
    plan.threads = tile.threads();
    plan.ctas_per_sm = tile.ctas_per_sm;
    plan.bounds_ctas = tile.ctas_per_sm > 1 || request.fit > 0;
    plan.stage_bytes = tile.stage_bytes(plan.head_dim);
    plan.shared_bytes = tile.shared_bytes(plan.head_dim);
    plan.name = name(
        "attention",
        &[(plan.forecast, "forecast"), (plan.mask, "masked"), (plan.score, "scored"), (plan.ragged, "ragged")],
        &format!("d{}_{}", plan.head_dim, plan.dtype),
    );
    Ok(plan)
}

fn symbols_plan(request: &Request<'_>) -> Result<Plan, Findings> {
    let (strategy, mut plan) = (request.strategy, base_plan(request));
    if !(plan.caches || plan.skips || plan.mask) {
        return Err(Finding::new(
            Code::RoomNotAvailable,
            format!("{} has no mask and no block rules, so there are no symbols to make", request.strategy.name),
            "all symbols of this strategy are 1",
        )
        .into());
    }
    if request.fit > 1 {
        return Err(tile::no_more_fits("symbols").into());
    }
    plan.threads = 128;
    plan.bounds_ctas = request.fit > 0;
    plan.data = strategy.reads_data();
    let ordered =
        strategy.conditions().any(|c| c.any(|e| matches!(e.kind, ExprKind::Order(_) | ExprKind::Percentile(_))));
    if plan.ragged && (plan.data || ordered) {
        return Err(Finding::new(
            Code::RoomNotAvailable,
            format!("symbols of {} need one length for all batch items: its rules compare blocks", strategy.name),
            "give one length, or one call for each sequence",
        )
        .into());
    }
    if plan.data && (request.head_dim == 0 || !request.head_dim.is_multiple_of(8) || request.head_dim > 256) {
        let eights: Vec<usize> = (8..=256).step_by(8).collect();
        return Err(no_kernel(request, &eights).into());
    }
    plan.row_lanes = (plan.head_dim / 8).max(1).next_power_of_two();
    let tail = match plan.data {
        true => format!("q{}_kv{}_d{}_{}", plan.block_q, plan.block_kv, plan.head_dim, plan.dtype),
        false => format!("q{}_kv{}", plan.block_q, plan.block_kv),
    };
    plan.name = name(
        "symbols",
        &[
            (plan.caches, "cache"),
            (plan.skips, "skip"),
            (plan.mask, "masked"),
            (plan.ragged, "ragged"),
            (plan.pooled, "pooled"),
        ],
        &tail,
    );
    Ok(plan)
}

pub(crate) fn base_plan(request: &Request<'_>) -> Plan {
    let strategy = request.strategy;
    let head_dim = request.head_dim as u32;
    Plan {
        room: request.room,
        name: String::new(),
        target: request.target.name(),
        dtype: request.dtype.name(),
        head_dim,
        block_q: request.blocks.q,
        block_kv: request.blocks.kv,
        tile_q: 0,
        tile_kv: 0,
        tile_n: 0,
        tile_k: 0,
        piece_rows: 0,
        stages: 0,
        row_tiles: 0,
        threads: 0,
        ctas_per_sm: 1,
        bounds_ctas: false,
        stage_bytes: 0,
        shared_bytes: 0,
        group_chunks: tile::group_chunks(head_dim),
        row_lanes: 0,
        data: false,
        pooled: request.pooled,
        ragged: request.sequences == Sequences::Ragged,
        forecast: request.cached_rows == CachedRows::Forecast,
        mask: strategy.mask.is_some(),
        score: strategy.score.is_some() || request.scale == Scale::Any,
        tiled: strategy.tokens.iter().any(|range| matches!(range.grid, Some(Grid::Tiled(_)))),
        caches: strategy.caches(),
        skips: strategy.skips(),
        projection: Projection::default(),
    }
}

pub(crate) fn name(room: &str, parts: &[(bool, &str)], tail: &str) -> String {
    let mut name = room.to_owned();
    for (_, part) in parts.iter().filter(|(present, _)| *present) {
        name.push('_');
        name.push_str(part);
    }
    format!("{name}_{tail}")
}

impl Plan {
    /// One line for people: name, tile, threads, shared memory, target.
    pub fn summary(&self) -> String {
        match self.room {
            Room::Symbols => format!("{} for {}, {} threads", self.name, self.target, self.threads),
            Room::GemmQ | Room::GemmO => format!(
                "{} for {}: tile {}×{}×{}, {} stages, {} threads, {} B shared",
                self.name,
                self.target,
                self.tile_q,
                self.tile_n,
                self.tile_k,
                self.stages,
                self.threads,
                self.shared_bytes
            ),
            Room::Attention => format!(
                "{} for {}: tile {}×{}, {} threads, {} B shared",
                self.name, self.target, self.tile_q, self.tile_kv, self.threads, self.shared_bytes
            ),
        }
    }
}
