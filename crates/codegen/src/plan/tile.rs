//! Which tile a kernel works on: the only place with such numbers.

use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Code, Finding};

use crate::request::{AttentionRequest, CachedRows, Request, Scale, Sequences, ToHeads};
use crate::target::Target;

use super::shared::SharedLayout;

/// Head dimensions of attention and of projections.
pub(crate) const HEAD_DIMS: [usize; 4] = [64, 96, 128, 256];
/// The same as words.
pub(crate) const HEAD_DIM_WORDS: &str = "64, 96, 128, 256";

/// Tile, pipeline and occupancy of an attention kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttentionTile {
    /// Query rows of a CTA.
    pub q: u32,
    /// Kv rows of a step of its loop.
    pub kv: u32,
    /// Tiles of 16 query rows that one warp owns.
    pub row_tiles: u32,
    /// CTAs that must fit one SM; caps registers at 65536 / (threads · CTAs).
    pub ctas_per_sm: u32,
    /// What else fits beside the accumulators.
    pub registers: Registers,
}

/// How many registers a tile leaves to the rest of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Registers {
    /// None: any option would spill, and so does the compiler's schedule for sm_100 and later.
    Full,
    /// Enough for a score or any other option, or for a short mask of positions and params alone before sm_100.
    Tight,
    /// Enough for any rule on any target.
    Free,
}

/// Candidates by head dimension, best first. The first legal one is taken: it divides both blocks, fits the shared memory
/// of the target, and its registers suffice. `tests/compile_all.rs` holds every row to zero spills on every target.
///
/// Two row tiles a warp halve the shared-memory reads of K and V for each product; that they fit 255 registers with the
/// S of two kv tiles is why tiles of K and V have 32 rows, but for D 64. Measured on an H100, docs/benchmarks.md: two row
/// tiles against one at blocks of 64 and D 128, 346 against 289 TFLOP/s; 128×64 against 128×32 at D 64, 359 against 283.
/// Tiles of 64 rows at blocks of 128 were 2 to 5 % slower than 128 at D 128. D 256 was 64×64, and reads Q twice as often now.
const CANDIDATES: [(u32, &[AttentionTile]); HEAD_DIMS.len()] = [
    (
        64,
        &[
            wide(128, 64, Registers::Full),
            wide(64, 64, Registers::Full),
            wide(128, 32, Registers::Tight),
            wide(64, 32, Registers::Tight),
            tile(64, 32, 2),
            tile(32, 16, 2),
        ],
    ),
    (96, &[wide(128, 32, Registers::Tight), wide(64, 32, Registers::Tight), tile(64, 32, 2), tile(32, 16, 2)]),
    (128, &[wide(128, 32, Registers::Tight), wide(64, 32, Registers::Tight), tile(64, 32, 2), tile(32, 16, 2)]),
    (256, &[tile(64, 32, 1), tile(32, 16, 1)]),
];

/// Most operands of a mask that a tight tile has registers for: a window beside text has 18, a box of a grid 133.
const LONG_MASK: usize = 64;

/// Two row tiles a warp.
const fn wide(q: u32, kv: u32, registers: Registers) -> AttentionTile {
    AttentionTile { q, kv, row_tiles: 2, ctas_per_sm: 1, registers }
}

/// One row tile a warp.
const fn tile(q: u32, kv: u32, ctas_per_sm: u32) -> AttentionTile {
    AttentionTile { q, kv, row_tiles: 1, ctas_per_sm, registers: Registers::Free }
}

impl AttentionTile {
    /// Threads of a CTA: a warp for every `row_tiles` tiles of 16 rows.
    pub(crate) fn threads(&self) -> u32 {
        self.q / (16 * self.row_tiles) * 32
    }

    /// Two stages each of K and V, a tile of Q whose rows become O on their way out, and the eight bytes that say where K
    /// and V of the head start. Stages are powers of two and come first, so that a kernel flips one bit from one to the other.
    pub(crate) fn shared(&self, head_dim: u32) -> SharedLayout {
        let tile = |rows| rows * head_dim * 2;
        let stage = tile(self.kv).next_power_of_two();
        SharedLayout::default()
            .ring(&[("k", tile(self.kv))], stage, 2)
            .ring(&[("v", tile(self.kv))], stage, 2)
            .region("q", tile(self.q), 16)
            .over("o", tile(self.q), "q")
            .region("kv_head", 8, 8)
    }
}

/// 16-byte chunks that the shared-memory swizzle permutes among themselves: 8 where a row is a multiple of 128 bytes,
/// else 4.
pub(crate) fn group_chunks(head_dim: u32) -> u32 {
    if head_dim.is_multiple_of(64) { 8 } else { 4 }
}

/// The best legal tile; of those that the [fit](Request::fit) asks for.
///
/// # Errors
/// S602 with what would fit otherwise, or if there is no such fit or head dimension.
pub(crate) fn attention_tile(request: &Request<'_>, of: &AttentionRequest<'_>) -> Result<AttentionTile, Finding> {
    let known = CANDIDATES.iter().find(|(d, _)| *d as usize == request.head_dim);
    let (head_dim, candidates) = known.map_or((request.head_dim as u32, &[][..]), |(d, candidates)| (*d, *candidates));
    let (blocks, limit) = (of.blocks, request.target.shared_bytes());
    let rows_per_pass = |t: &AttentionTile| t.threads() / group_chunks(head_dim);
    let divides = |t: &AttentionTile| {
        blocks.q.is_multiple_of(t.q)
            && blocks.kv.is_multiple_of(t.kv)
            && t.q.is_multiple_of(rows_per_pass(t))
            && t.kv.is_multiple_of(rows_per_pass(t))
    };
    let new_target = request.target.capability() >= 100;
    let (mask, score) = (of.strategy.mask.is_some(), of.strategy.score.is_some() || of.scale == Scale::Any);
    let ragged_or_forecast = of.sequences == Sequences::Ragged || of.cached_rows == CachedRows::Forecast;
    // A rule that reads tables or inputs keeps their addresses.
    let looks_up = !(of.strategy.tables.is_empty() && of.strategy.inputs.is_empty());
    // As does one with many operands: those that are the same for all tokens stay where they are.
    let mut operands = 0;
    of.strategy.mask.iter().for_each(|mask| mask.value.walk(&mut |_| operands += 1));
    let is_long = operands > LONG_MASK;
    let has_registers = |t: &AttentionTile| match t.registers {
        Registers::Full => !(mask || score || ragged_or_forecast || new_target),
        Registers::Tight => !(mask && (score || ragged_or_forecast || looks_up || is_long || new_target)),
        Registers::Free => true,
    };
    let fits = |t: &AttentionTile| t.shared(head_dim).bytes <= limit && has_registers(t);
    let Some(first) = candidates.iter().position(|t| divides(t) && fits(t)) else {
        let legal: Vec<String> = candidates.iter().filter(|t| fits(t)).map(|t| format!("{}×{}", t.q, t.kv)).collect();
        return Err(Finding::new(
            Code::NoTile,
            format!(
                "blocks of {}×{} tokens cannot be tiled for head dimension {head_dim} on {}",
                blocks.q,
                blocks.kv,
                request.target.name()
            ),
            format!("use blocks that are multiples of one of the tiles {}{}", legal.join(", "), decisions(of.strategy)),
        ));
    };
    // After the best tile the same one again, for which the compiler is told that one CTA on an SM is enough; and then
    // those that leave more registers than it: fewer row tiles, or fewer columns.
    let best = candidates[first];
    let again = (best.ctas_per_sm == 1).then_some(best);
    let roomier = candidates[first + 1..]
        .iter()
        .copied()
        .filter(|t| divides(t) && t.shared(head_dim).bytes <= limit && t.registers == Registers::Free && *t != best);
    let mut fitting = std::iter::once(best).chain(again).chain(roomier);
    fitting.nth(request.fit).ok_or_else(|| no_more_fits("attention"))
}

/// For a fit that there is not.
pub(crate) fn no_more_fits(room: &str) -> Finding {
    Finding::new(
        Code::NoTile,
        format!("no other plan of {room} leaves more registers to the rules"),
        "shorten the rules, or use smaller blocks",
    )
}

/// What other blocks change beside the tile.
fn decisions(strategy: &Strategy) -> &'static str {
    if strategy.rules.is_empty() { "" } else { DECIDE }
}

const DECIDE: &str = "; rules over blocks then decide for other tokens";

/// Tile, pipeline and occupancy of a projection: a CTA of four warps, each with full rows of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProjectionTile {
    /// Rows of the product.
    pub rows: u32,
    /// Columns of the product.
    pub columns: u32,
    /// Columns of the operands in a step of the loop.
    pub depth: u32,
    /// Tiles of 16 rows that one warp owns.
    pub row_tiles: u32,
    /// Steps whose operands are in shared memory.
    pub stages: u32,
    /// CTAs that must fit one SM.
    pub ctas_per_sm: u32,
}

impl ProjectionTile {
    /// Threads of a CTA.
    pub(crate) const THREADS: u32 = 128;

    /// A row of an operand in shared memory, in bytes.
    pub(crate) fn row_bytes(&self) -> u32 {
        self.depth * 2
    }

    /// A row of the product on its way out, in bytes: whole swizzle groups.
    pub(crate) fn out_row_bytes(&self) -> u32 {
        (self.columns * 2).next_multiple_of(128)
    }

    /// Stages of both operands; the product on its way out takes their place.
    pub(crate) fn shared(&self) -> SharedLayout {
        let [a, b] = [self.rows, self.columns].map(|rows| rows * self.row_bytes());
        SharedLayout::default().ring(&[("a", a), ("b", b)], a + b, self.stages).over(
            "out",
            self.rows * self.out_row_bytes(),
            "a",
        )
    }

    /// Rows of the tile that S_c of this block decides together: all of them if it is not read.
    pub(crate) fn piece_rows(&self, block: Option<u32>) -> u32 {
        let (mut a, mut b) = (self.rows, block.unwrap_or(0));
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }

    /// Whether S_c of such blocks can be obeyed.
    fn check_block(&self, block: Option<u32>) -> Result<(), Finding> {
        match block {
            Some(block) if block == 0 || !block.is_multiple_of(32) => Err(Finding::new(
                Code::NoTile,
                format!(
                    "no projection obeys S_c of blocks of {block} tokens: a warp of its tile has {} rows",
                    16 * self.row_tiles
                ),
                format!("use blocks that are multiples of 32{DECIDE}"),
            )),
            _ => Ok(()),
        }
    }

    /// Whether all of a block lies in one tile, and in whole warps.
    fn has_whole(&self, block: u32) -> bool {
        block != 0 && block.is_multiple_of(32) && self.rows.is_multiple_of(block)
    }

    /// As many CTAs and stages as the SM has room for; CTAs first, because one works while another waits or finishes.
    fn filled(self, target: &Target) -> Result<ProjectionTile, Finding> {
        const SYSTEM: u32 = 1024; // of the SM's shared memory, for each CTA
        [(2, 3), (2, 2), (1, 3), (1, 2)]
            .map(|(ctas_per_sm, stages)| ProjectionTile { ctas_per_sm, stages, ..self })
            .into_iter()
            .find(|tile| tile.ctas_per_sm * (tile.shared().bytes + SYSTEM) <= target.shared_bytes() + SYSTEM)
            .ok_or_else(|| {
                Finding::new(
                    Code::NoTile,
                    format!("{} has no room for a tile of {}×{}", target.name(), self.rows, self.columns),
                    "use a smaller head dimension",
                )
            })
    }
}

/// The tile of a projection to heads. It has the columns of one head, so that S_c is obeyed exactly and a thread quad has
/// whole rows to normalise; 128 accumulators a thread are the most that leave room for operands.
///
/// # Errors
/// S602 for blocks that no tile can obey or take means of.
pub(crate) fn to_heads_tile(request: &Request<'_>, of: &ToHeads) -> Result<ProjectionTile, Finding> {
    let columns = request.head_dim as u32;
    let (rows, row_tiles) = if columns == 256 { (64, 1) } else { (128, 2) };
    let tile = ProjectionTile { rows, columns, depth: 64, row_tiles, stages: 2, ctas_per_sm: 1 };
    tile.check_block(of.block)?;
    if let Some(block) = of.means.filter(|&block| !tile.has_whole(block)) {
        return Err(Finding::new(
            Code::NoTile,
            format!("no projection makes means of blocks of {block} tokens for head dimension {columns}"),
            format!("use blocks of 32, 64{}", if rows == 128 { " or 128" } else { "" }),
        ));
    }
    if let (Some(block), Some(means)) =
        (of.block, of.means.filter(|&means| of.block.is_some_and(|block| block != means)))
    {
        return Err(Finding::new(
            Code::NoTile,
            format!("no projection makes means of blocks of {means} tokens where S_c has blocks of {block}"),
            "use one block for both",
        ));
    }
    tile.filled(&request.target)
}

/// The tile of a projection back from heads.
///
/// # Errors
/// S602 for blocks that no tile can obey.
pub(crate) fn from_heads_tile(request: &Request<'_>, block: Option<u32>) -> Result<ProjectionTile, Finding> {
    // A step lies in one head.
    let depth = if request.head_dim.is_multiple_of(64) { 64 } else { 32 };
    let tile = ProjectionTile { rows: 128, columns: 128, depth, row_tiles: 2, stages: 2, ctas_per_sm: 1 };
    tile.check_block(block)?;
    tile.filled(&request.target)
}
