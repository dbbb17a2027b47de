//! Which tile a kernel works on: the only place with such numbers.

use sparsym_ir::{Code, Finding};

use crate::plan::Request;

/// Tile, pipeline and occupancy of an attention kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AttentionTile {
    /// Query rows of a CTA.
    pub q: u32,
    /// Kv rows of a step of its loop.
    pub kv: u32,
    /// Tiles of 16 query rows that one warp owns.
    pub row_tiles: u32,
    /// Copies of K and of V in shared memory.
    pub stages: u32,
    /// CTAs that must fit one SM; caps registers at 65536 / (threads · CTAs).
    pub ctas_per_sm: u32,
}

/// Candidates by head dimension, best first. The first legal one is taken: it divides both blocks and fits the shared
/// memory of the target. Every row compiles without spills for every target with mask, score and ragged batches
/// (`tests/compile_all.rs`).
const CANDIDATES: [(u32, &[AttentionTile]); 4] = [
    (64, &[tile(128, 64, 2, 2, 2), tile(64, 64, 1, 2, 1), tile(64, 32, 1, 2, 1), tile(32, 16, 1, 2, 1)]),
    (96, &[tile(128, 64, 2, 1, 1), tile(64, 64, 1, 1, 2), tile(64, 32, 1, 2, 1), tile(32, 16, 1, 2, 1)]),
    (128, &[tile(128, 64, 2, 1, 1), tile(64, 64, 1, 1, 2), tile(64, 32, 1, 2, 1), tile(32, 16, 1, 2, 1)]),
    (256, &[tile(64, 64, 1, 1, 1), tile(64, 32, 1, 2, 1), tile(32, 16, 1, 2, 1)]),
];

const fn tile(q: u32, kv: u32, row_tiles: u32, stages: u32, ctas_per_sm: u32) -> AttentionTile {
    AttentionTile { q, kv, row_tiles, stages, ctas_per_sm }
}

impl AttentionTile {
    /// Threads of a CTA: a warp for every `row_tiles` tiles of 16 rows.
    pub(crate) fn threads(&self) -> u32 {
        self.q / (16 * self.row_tiles) * 32
    }

    /// Shared memory for Q and for the stages of K and V, in bytes.
    pub(crate) fn shared_bytes(&self, head_dim: u32) -> u32 {
        (self.q + 2 * self.stages * self.kv) * head_dim * 2
    }
}

/// 16-byte chunks that the shared-memory swizzle permutes among themselves: 8 where a row is a multiple of 128 bytes,
/// else 4.
pub(crate) fn group_chunks(head_dim: u32) -> u32 {
    if head_dim.is_multiple_of(64) { 8 } else { 4 }
}

/// The best legal tile.
///
/// # Errors
/// S603 for a head dimension that no row has, S602 with what would fit otherwise.
pub(crate) fn attention_tile(request: &Request<'_>) -> Result<AttentionTile, Finding> {
    let head_dim = request.head_dim as u32;
    let Some((_, candidates)) = CANDIDATES.iter().find(|(d, _)| *d == head_dim) else {
        let known: Vec<String> = CANDIDATES.iter().map(|(d, _)| d.to_string()).collect();
        return Err(Finding::new(
            Code::HeadDimension,
            format!("no attention kernel for head dimension {}", request.head_dim),
            format!("use one of {}, padding Q, K and V with zeros", known.join(", ")),
        ));
    };
    let (blocks, limit) = (request.blocks, request.target.shared_bytes());
    let rows_per_pass = |t: &AttentionTile| t.threads() / group_chunks(head_dim);
    let divides = |t: &AttentionTile| {
        blocks.q.is_multiple_of(t.q)
            && blocks.kv.is_multiple_of(t.kv)
            && t.q.is_multiple_of(rows_per_pass(t))
            && t.kv.is_multiple_of(rows_per_pass(t))
    };
    let fits = |t: &AttentionTile| t.shared_bytes(head_dim) <= limit;
    candidates.iter().find(|t| divides(t) && fits(t)).copied().ok_or_else(|| {
        let legal: Vec<String> =
            candidates.iter().filter(|t| fits(t)).map(|t| format!("{}×{}", t.q, t.kv)).collect();
        Finding::new(
            Code::NoTile,
            format!(
                "blocks of {}×{} tokens cannot be tiled for head dimension {head_dim} on {}",
                blocks.q,
                blocks.kv,
                request.target.name()
            ),
            format!("use blocks that are multiples of one of the tiles {}", legal.join(", ")),
        )
    })
}
