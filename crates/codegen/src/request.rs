//! What can be asked for: a room, and whatever means something in it.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};
use sparsym_ir::DType;
use sparsym_ir::bind::Bound;
use sparsym_ir::expr::{Expr, ExprKind, Measure};
use sparsym_ir::projection::{RopePairs, Summed};
use sparsym_ir::strategy::{Blocks, Strategy};

use crate::schedule::Schedule;
use crate::target::Target;

/// What to generate.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    /// For which GPU.
    pub target: Target,
    /// Type of Q, K, V and O, and of a projection's operands: bf16 or f16.
    pub dtype: DType,
    /// `D`.
    pub head_dim: usize,
    /// Which kernel.
    pub room: RoomRequest<'a>,
    /// Which of the plans that could be made: 0 is the fastest, each one after it leaves more registers to the rules. Only a
    /// compiler knows how many they take, so whoever compiles asks for the next one while a text spills.
    pub fit: usize,
    /// The only schedule that may be taken; None: the fastest one that can do it.
    pub schedule: Option<Schedule>,
}

/// One of the four kernels around an attention layer, with what it may have. Whatever is absent costs nothing: it is not in
/// the text.
#[derive(Clone, Debug)]
pub enum RoomRequest<'a> {
    /// Attention over the computed pairs.
    Attention(AttentionRequest<'a>),
    /// S_c, S_s and S_f.
    Symbols(SymbolsRequest<'a>),
    /// Projection of the hidden states, skipping cached output tiles.
    GemmQ(ToHeads),
    /// Output projection over the active heads.
    GemmO(FromHeads),
}

/// What an attention kernel has.
#[derive(Clone, Copy, Debug)]
pub struct AttentionRequest<'a> {
    /// Mask and score come from here.
    pub strategy: &'a Strategy,
    /// Tokens of a query and of a kv block.
    pub blocks: Blocks,
    /// One length for all batch items, or index pointers.
    pub sequences: Sequences,
    /// What happens to rows whose S_c is 0.
    pub cached_rows: CachedRows,
    /// Which factors on Q·K the kernel must bear.
    pub scale: Scale,
    /// Which tile a CTA works on.
    pub order: TileOrder,
}

/// What a symbols kernel has.
#[derive(Clone, Copy, Debug)]
pub struct SymbolsRequest<'a> {
    /// Mask and block rules come from here.
    pub strategy: &'a Strategy,
    /// Tokens of a query and of a kv block.
    pub blocks: Blocks,
    /// One length for all batch items, or index pointers.
    pub sequences: Sequences,
    /// Where means of blocks come from, if rules read any.
    pub means: Means,
}

/// What a projection to heads has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ToHeads {
    /// Tokens of a block of S_c. None: S_c is not read, and every tile is computed.
    pub block: Option<u32>,
    /// A bias is added.
    pub bias: bool,
    /// Each head's row is normalised.
    pub norm: bool,
    /// Each head's row is turned.
    pub rope: Option<RopePairs>,
    /// Means of blocks of so many tokens are a second result.
    pub means: Option<u32>,
    /// Up to [`MOST_PROJECTIONS`] projections are made in one launch, and each of them may have any of these or not.
    pub together: bool,
}

/// Most projections of one launch: to Q, K and V of two streams. Their tensor maps must fit a kernel's parameters.
pub const MOST_PROJECTIONS: usize = 6;

impl ToHeads {
    /// Whether a text is that of several projections in one launch.
    pub fn is_text_together(text: &str) -> bool {
        text.contains("const __grid_constant__ Projections ")
    }
}

/// Which projection back from heads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FromHeads {
    /// Y, and maybe a partial.
    Product(Product),
    /// The differences of outputs, cached heads only, into a partial each.
    Differences {
        /// Tokens of a block of S_c.
        block: u32,
    },
}

/// What a projection back from heads has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Product {
    /// Which heads are added up. None: S_c is not read, and all are.
    pub heads: Option<SummedHeads>,
    /// Σ coefficient · partial is added.
    pub partials: bool,
    /// A bias is added.
    pub bias: bool,
}

/// The heads that S_c picks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SummedHeads {
    /// Tokens of a block of S_c.
    pub block: u32,
    /// Which of its bits count.
    pub summed: Summed,
}

impl<'a> Request<'a> {
    /// bf16, D = 128, the strategy's blocks, one length for all batch items, cached rows left to the caller; a projection
    /// without additions, which reads S_c if the strategy caches.
    pub fn new(strategy: &'a Strategy, room: Room, target: Target) -> Request<'a> {
        let (blocks, sequences) = (strategy.blocks, Sequences::Uniform);
        let block = strategy.caches().then_some(blocks.q);
        let room = match room {
            Room::Attention => RoomRequest::Attention(AttentionRequest {
                strategy,
                blocks,
                sequences,
                cached_rows: CachedRows::LeftToCaller,
                scale: Scale::Positive,
                order: TileOrder::Grid,
            }),
            Room::Symbols => {
                RoomRequest::Symbols(SymbolsRequest { strategy, blocks, sequences, means: Means::Computed })
            }
            Room::GemmQ => RoomRequest::GemmQ(ToHeads { block, ..ToHeads::default() }),
            Room::GemmO => {
                let heads = block.map(|block| SummedHeads { block, summed: Summed::Active });
                RoomRequest::GemmO(FromHeads::Product(Product { heads, ..Product::default() }))
            }
        };
        Request::of(room, target)
    }

    /// bf16, D = 128.
    pub fn of(room: RoomRequest<'a>, target: Target) -> Request<'a> {
        Request { target, dtype: DType::Bf16, head_dim: 128, room, fit: 0, schedule: None }
    }
}

impl RoomRequest<'_> {
    /// Which room.
    pub fn room(&self) -> Room {
        match self {
            RoomRequest::Attention(_) => Room::Attention,
            RoomRequest::Symbols(_) => Room::Symbols,
            RoomRequest::GemmQ(_) => Room::GemmQ,
            RoomRequest::GemmO(_) => Room::GemmO,
        }
    }
}

/// The name of a room.
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sequences {
    /// All of one length.
    Uniform,
    /// Packed one after another, with index pointers.
    Ragged,
}

/// What the attention kernel does with rows whose S_c is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum CachedRows {
    /// Nothing: the caller has filled them, or GEMM-O adds their forecast.
    LeftToCaller,
    /// It writes Σ coefficient_k · feature_k.
    Forecast,
}

/// Which tile of query rows a CTA of the attention kernel works on; results are the same to the bit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TileOrder {
    /// The one of its place in the grid: a head's tiles, then the next head's.
    Grid,
    /// That of its place in a list which a first launch makes: only tiles with something to do, and those with most computed
    /// kv blocks first, so that no CTA starts a long one when the others have finished.
    HeaviestFirst,
}

/// Query rows of the largest tile of attention.
const TILE_ROWS: usize = 128;
/// For how many tiles on each multiprocessor a list pays, measured on an H200 (docs/benchmarks.md): of fewer none waits for
/// another, more even out by themselves and lose locality of K and V. Rows that differ by chance gain less than those of masks.
const OF_MASKS: RangeInclusive<usize> = 3..=24;
const OF_DATA: RangeInclusive<usize> = 5..=12;

impl TileOrder {
    /// The faster one, as far as a strategy and sizes tell, for a call on a machine with so many multiprocessors.
    pub fn of(bound: &Bound<'_>, multiprocessors: u32) -> TileOrder {
        let (strategy, problem) = (bound.strategy, bound.problem);
        let tokens: usize = problem.q_shape()[..2].iter().product();
        let tiles = (problem.heads * tokens.div_ceil(TILE_ROWS)).div_ceil(multiprocessors.max(1) as usize);
        // By rank as many pairs are kept of each row.
        let by_rank = |e: &Expr| matches!(&e.kind, ExprKind::Order(order) if order.measure == Measure::Rank);
        let data = strategy.skips() && strategy.reads_data() && !strategy.exprs().any(|expr| expr.any(by_rank));
        let pays = strategy.mask.is_some() && OF_MASKS.contains(&tiles) || data && OF_DATA.contains(&tiles);
        if pays { TileOrder::HeaviestFirst } else { TileOrder::Grid }
    }

    /// The faster one where CTAs stay and take tiles in turn: a list wherever tiles may be unlike, since whoever is done
    /// first then takes the next one.
    pub fn of_resident(strategy: &Strategy) -> TileOrder {
        let unlike = strategy.mask.is_some() || !strategy.rules.is_empty();
        if unlike { TileOrder::HeaviestFirst } else { TileOrder::Grid }
    }

    /// The one that a text of attention was generated for.
    pub fn of_text(text: &str) -> TileOrder {
        if text.contains("p.tiles[") { TileOrder::HeaviestFirst } else { TileOrder::Grid }
    }
}

/// Where a symbols kernel has means of blocks from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Means {
    /// It reads Q and K.
    Computed,
    /// They are given, as GEMM-Q wrote them; only for strategies that [read means alone](crate::reads_means_alone).
    Given,
}

/// Which factors on Q·K a kernel must bear.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
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
