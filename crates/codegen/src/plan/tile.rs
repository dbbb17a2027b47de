//! Tables of tiles: the only place with such numbers. [`choose`](super::choose) takes one.

use super::roles::Roles;
use super::shared::SharedLayout;
use crate::schedule::Schedule;

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
    /// The compiler has to be told that one CTA on an SM is enough: of so few threads it may spill to make room for more.
    pub told: bool,
    /// Stages of K, and of V.
    pub stages: u32,
    /// Registers of a kernel whose warps have roles.
    pub roles: Option<Roles>,
    /// There, products read Q from shared memory; otherwise it is held in registers.
    pub shares_query: bool,
    /// And in how many parts O leaves, one after another.
    pub out_parts: u32,
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

/// Portable tiles by head dimension, best first. `tests/compile_all.rs` holds every row to zero spills on every target.
///
/// Two row tiles a warp halve the shared-memory reads of K and V for each product; that they fit 255 registers with the
/// S of two kv tiles is why tiles of K and V have 32 rows, but for D 64. Measured on an H100, docs/benchmarks.md: two row
/// tiles against one at blocks of 64 and D 128, 346 against 289 TFLOP/s; 128×64 against 128×32 at D 64, 359 against 283.
/// Tiles of 64 rows at blocks of 128 were 2 to 5 % slower than 128 at D 128. D 256 was 64×64, and reads Q twice as often now.
const PORTABLE: [(u32, &[AttentionTile]); HEAD_DIMS.len()] = [
    (
        64,
        &[
            wide(128, 64, Registers::Full),
            wide(64, 64, Registers::Full),
            wide(128, 32, Registers::Tight),
            told(wide(64, 32, Registers::Tight)),
            tile(64, 32, 2),
            tile(32, 16, 2),
        ],
    ),
    (96, &[wide(128, 32, Registers::Tight), wide(64, 32, Registers::Tight), tile(64, 32, 2), tile(32, 16, 2)]),
    (128, &[wide(128, 32, Registers::Tight), wide(64, 32, Registers::Tight), tile(64, 32, 2), tile(32, 16, 2)]),
    (256, &[tile(64, 32, 1), tile(32, 16, 1)]),
];

/// Two row tiles a warp.
const fn wide(q: u32, kv: u32, registers: Registers) -> AttentionTile {
    let (row_tiles, ctas_per_sm, told, stages) = (2, 1, false, 2);
    let (roles, shares_query, out_parts) = (None, false, 1);
    AttentionTile { q, kv, row_tiles, ctas_per_sm, registers, told, stages, roles, shares_query, out_parts }
}

/// A tile whose CTAs per SM stand in the text.
const fn told(tile: AttentionTile) -> AttentionTile {
    AttentionTile { told: true, ..tile }
}

/// One row tile a warp.
const fn tile(q: u32, kv: u32, ctas_per_sm: u32) -> AttentionTile {
    let told = ctas_per_sm > 1;
    AttentionTile { row_tiles: 1, ctas_per_sm, told, ..wide(q, kv, Registers::Free) }
}

/// Specialised tiles by head dimension: two warpgroups multiply 64 rows each, or one of each of two CTAs. Measured on an H200: two stages lose nothing
/// against three, and the registers that copies and tiles take are not missed where products are made.
///
/// Kv tiles of 64 rows are for blocks of 64: a step's fixed costs are then those of half as many products. D 256 has no others,
/// and no registers for Q: products read it from shared memory, which loses nothing (a quarter or a third of it in registers was
/// as fast), and O leaves in two parts, as there is room for one.
const SPECIALISED: [(u32, &[AttentionTile]); HEAD_DIMS.len()] = [
    (64, &[with_roles(128, 128, 4), with_roles(128, 64, 8), halved(128, 2), halved(64, 4)]),
    (96, &[with_roles(128, 128, 2), with_roles(128, 64, 4), halved(64, 3)]),
    (128, &[with_roles(128, 128, 2), with_roles(128, 64, 4), halved(64, 2)]),
    (256, &[AttentionTile { shares_query: true, out_parts: 2, ..with_roles(128, 64, 2) }]),
];

/// A warp for every 16 query rows, and a warpgroup that copies; a thread starts with 168 registers, of two CTAs
/// with 128, and all of them are handed on.
const fn with_roles(q: u32, kv: u32, stages: u32) -> AttentionTile {
    let roles = Some(Roles { producer: 40, consumer: 232 });
    AttentionTile { row_tiles: 1, told: true, stages, roles, ..wide(q, kv, Registers::Free) }
}

/// Half of the query rows: one warpgroup multiplies, and another CTA on the same multiprocessor does while this one does not.
const fn halved(kv: u32, stages: u32) -> AttentionTile {
    let roles = Some(Roles { producer: 40, consumer: 216 });
    AttentionTile { roles, ctas_per_sm: 2, ..with_roles(64, kv, stages) }
}

impl AttentionTile {
    /// The tiles of a schedule for a head dimension, best first.
    pub(crate) fn table(schedule: Schedule, head_dim: u32) -> &'static [AttentionTile] {
        let table: &[(u32, &[AttentionTile])] = match schedule {
            Schedule::Specialised => &SPECIALISED,
            Schedule::Portable => &PORTABLE,
        };
        table.iter().find(|(known, _)| *known == head_dim).map_or(&[], |(_, tiles)| tiles)
    }

    /// Threads of a CTA: a warp for every `row_tiles` tiles of 16 rows; where warps have roles, four more.
    pub(crate) fn threads(&self) -> u32 {
        let multiply = self.q / (16 * self.row_tiles) * 32;
        if self.roles.is_some() { multiply + 128 } else { multiply }
    }

    /// Of a kernel whose warps have roles: rings of K and V, Q, and O on its way out, whose copies want whole swizzle
    /// periods; a pair of mbarriers for each stage, for Q and for two slots of tiles, the slots, and which kv tile is in each
    /// stage.
    fn shared_of_roles(&self, head_dim: u32) -> SharedLayout {
        let tile = |rows| rows * head_dim * 2;
        let slots = 2;
        SharedLayout::default()
            .ring(&[("k", tile(self.kv))], tile(self.kv), self.stages)
            .ring(&[("v", tile(self.kv))], tile(self.kv), self.stages)
            .region("q", tile(self.q), 1024)
            .region("o", tile(self.q) / self.out_parts, 1024)
            .region("barriers", 8 * (4 * self.stages + 2 + 2 * slots), 8)
            .region("slots", 16 * slots, 16)
            .region("notes", 4 * self.stages, 4)
    }

    /// Two stages each of K and V, a tile of Q whose rows become O on their way out, and the eight bytes that say where K
    /// and V of the head start. Stages are powers of two and come first, so that a kernel flips one bit from one to the other.
    pub(crate) fn shared(&self, head_dim: u32) -> SharedLayout {
        if self.roles.is_some() {
            return self.shared_of_roles(head_dim);
        }
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

/// Tile, pipeline and occupancy of a projection: a CTA of four warps, each with full rows of the product.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ProjectionTile {
    /// Rows of the product.
    pub rows: u32,
    /// Columns of the product; of several heads those of one.
    pub columns: u32,
    /// Heads whose columns it has, side by side.
    pub heads: u32,
    /// CTAs of a last wave that would leave half of them idle take halves of its columns.
    pub halves: bool,
    /// Columns of the operands in a step of the loop.
    pub depth: u32,
    /// Tiles of 16 rows that one warp owns.
    pub row_tiles: u32,
    /// Steps whose operands are in shared memory.
    pub stages: u32,
    /// CTAs that must fit one SM.
    pub ctas_per_sm: u32,
}

/// Bytes after which the swizzle of rows of 128 bytes begins again.
const SWIZZLE_PERIOD: u32 = 1024;

impl ProjectionTile {
    /// Threads of a CTA: of four warps; or of a warpgroup that loads and two that multiply.
    pub(crate) fn threads(schedule: Schedule) -> u32 {
        match schedule {
            Schedule::Specialised => 384,
            Schedule::Portable => 128,
        }
    }

    /// What the warpgroups of a CTA do: two with 128 accumulators a thread leave few registers to the one that loads.
    pub(crate) fn roles(schedule: Schedule) -> Option<Roles> {
        (schedule == Schedule::Specialised).then_some(Roles { producer: 24, consumer: 240 })
    }

    /// Row tiles whose operands are meant to stay in L2 together; measured for each schedule.
    pub(crate) fn group_tiles(schedule: Schedule) -> u32 {
        match schedule {
            Schedule::Specialised => 8,
            Schedule::Portable => 16,
        }
    }

    /// Of a projection to heads. It has the columns of one head, so that S_c is obeyed exactly and a thread quad has whole
    /// rows to normalise; 128 accumulators a thread are the most that leave room for operands.
    pub(crate) fn to_heads(schedule: Schedule, columns: u32) -> ProjectionTile {
        let (rows, heads, halves) = (128, 1, false);
        let tile = ProjectionTile { rows, columns, heads, halves, depth: 64, row_tiles: 1, stages: 2, ctas_per_sm: 1 };
        match schedule {
            // As many heads as fit the 256 columns of the widest product.
            Schedule::Specialised => ProjectionTile { heads: 256 / columns, halves: columns < 256, ..tile },
            Schedule::Portable if columns == 256 => ProjectionTile { rows: 64, ..tile },
            Schedule::Portable => ProjectionTile { row_tiles: 2, ..tile },
        }
    }

    /// Of a projection back from heads; a step lies in one head.
    pub(crate) fn from_heads(schedule: Schedule, head_dim: u32) -> ProjectionTile {
        let depth = if head_dim.is_multiple_of(64) { 64 } else { 32 };
        let (rows, halves) = (128, schedule == Schedule::Specialised);
        let tile =
            ProjectionTile { rows, columns: 128, heads: 1, halves, depth, row_tiles: 2, stages: 2, ctas_per_sm: 1 };
        match schedule {
            Schedule::Specialised => ProjectionTile { columns: 256, depth: 64, row_tiles: 1, ..tile },
            Schedule::Portable => tile,
        }
    }

    /// A row of an operand in shared memory, in bytes.
    pub(crate) fn row_bytes(&self) -> u32 {
        self.depth * 2
    }

    /// A row of the product on its way out, in bytes: whole swizzle groups.
    pub(crate) fn out_row_bytes(&self) -> u32 {
        (self.columns * 2).next_multiple_of(128)
    }

    /// Stages of both operands. Then the product on its way out: in their place, or, if stores and loads of the next tile
    /// overlap, behind them, and with it sums for `means` of blocks, tiles that are handed on and barriers.
    pub(crate) fn shared(&self, schedule: Schedule, means: bool) -> SharedLayout {
        let [a, b] = [self.rows, self.columns * self.heads].map(|rows| rows * self.row_bytes());
        let ring = SharedLayout::default().ring(&[("a", a), ("b", b)], a + b, self.stages);
        if schedule == Schedule::Portable {
            return ring.over("out", self.rows * self.out_row_bytes(), "a");
        }
        // A head at a time, or half a tile, leaves room for another stage.
        let halves_of_a_head = u32::from(self.heads == 1 && self.halves) + 1;
        let out = self.rows * self.out_row_bytes() / halves_of_a_head;
        const SLOTS: u32 = 2; // tiles that are handed on ahead
        let sums = SLOTS * self.rows / 32 * self.columns * self.heads * 4;
        let staged = ring.region("out", out, SWIZZLE_PERIOD);
        let staged = if means { staged.region("sums", sums, 16) } else { staged };
        let barriers = [("full", self.stages), ("free", self.stages), ("tile_full", SLOTS), ("tile_free", SLOTS)];
        let handed = staged.region("tiles", 16 * SLOTS, 16);
        barriers.iter().fold(handed, |layout, &(name, barriers)| layout.region(name, 8 * barriers, 8))
    }

    /// Rows of the tile that S_c of this block decides together: all of them if it is not read.
    pub(crate) fn subtile_rows(&self, block: Option<u32>) -> u32 {
        let (mut a, mut b) = (self.rows, block.unwrap_or(0));
        while b != 0 {
            (a, b) = (b, a % b);
        }
        a
    }
}

#[cfg(test)]
mod tests {
    use super::{AttentionTile, HEAD_DIMS, group_chunks};
    use crate::schedule::Schedule;

    /// Every pass of a load covers whole tiles; texts assert it too.
    #[test]
    fn loads_cover_whole_tiles() {
        for head_dim in HEAD_DIMS.map(|d| d as u32) {
            let tiles = AttentionTile::table(Schedule::Portable, head_dim);
            assert!(!tiles.is_empty(), "no tiles for D {head_dim}");
            for tile in tiles {
                let rows = tile.threads() / group_chunks(head_dim);
                assert!(tile.q.is_multiple_of(rows) && tile.kv.is_multiple_of(rows), "{tile:?} for D {head_dim}");
            }
        }
    }
}
