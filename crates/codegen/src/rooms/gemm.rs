//! What the two projections share.

use sparsym_ir::Findings;

use crate::params::{BoxAxis, Boxes, Buffer, Field, Length, Number, ProductTiles, Source, TileColumns};
use crate::plan::choose::Choice;
use crate::plan::tile::{self, ProjectionTile};
use crate::plan::{Cut, GemmPlan, Plan};
use crate::request::Request;

/// A plan of this tile; `block` is that of S_c, `text_block` that of the text, if it depends on any.
pub(super) struct Product<'a> {
    pub choice: Choice<ProjectionTile>,
    pub block: Option<u32>,
    pub text_block: Option<u32>,
    pub listed: bool,
    pub bias: bool,
    pub cut: Cut,
    /// Block means are made.
    pub means: bool,
    pub name: &'a str,
    pub name_parts: &'a [(bool, &'a str)],
}

impl Product<'_> {
    pub(super) fn plan<P>(self, request: &Request<'_>, parts: P) -> Plan<GemmPlan<P>> {
        let Product {
            choice: Choice { schedule, tile },
            block,
            text_block,
            listed,
            bias,
            cut,
            means,
            name,
            name_parts,
        } = self;
        let room = GemmPlan {
            schedule,
            block_q: text_block,
            tile_q: tile.rows,
            tile_n: tile.columns,
            tile_columns: tile.columns * tile.heads,
            half_columns: tile.halves.then_some(tile.columns * tile.heads / 2),
            tile_k: tile.depth,
            subtile_rows: tile.subtile_rows(block),
            row_tiles: tile.row_tiles,
            stages: tile.stages,
            group_chunks: tile::group_chunks(tile.depth),
            group_tiles: ProjectionTile::group_tiles(schedule),
            cut,
            sparse: block.is_some(),
            listed,
            bias,
            parts,
        };
        let block = text_block.map_or(String::new(), |block| format!("q{block}_"));
        let tail = format!("{block}d{}_{}", request.head_dim, request.dtype.name());
        let mut plan = Plan::new(request, ProjectionTile::threads(schedule), room, name, name_parts, &tail);
        plan.ctas_per_sm = (tile.ctas_per_sm > 1).then_some(tile.ctas_per_sm);
        plan.shared = tile.shared(schedule, means);
        plan.roles = ProjectionTile::roles(schedule);
        plan
    }
}

/// What no projection has a kernel for.
///
/// # Errors
/// Findings S602 to S604; the head dimension is checked by who knows how to pad it.
pub(super) fn check(request: &Request<'_>, block: Option<u32>) -> Result<(), Findings> {
    let blocks: Vec<_> = block.map(|block| ("block_q", block)).into_iter().collect();
    crate::plan::check(request, &blocks)
}

/// Rows of a product that a warpgroup multiplies and stores.
pub(super) const WARPGROUP_ROWS: u32 = 64;

/// A tensor in boxes: lengths of its axes, and of a box.
pub(super) fn boxes(of: Buffer, axes: [(Length, u32); 4]) -> Boxes {
    Boxes { of, axes: axes.map(|(length, in_box)| BoxAxis { length, in_box }) }
}

/// The sizes of a stream, and how its product is cut into tiles.
pub(super) fn sizes(tiles: ProductTiles) -> Vec<Field> {
    let int = |name, number, comment| Field::new(name, "int", Source::Number(number), comment);
    let columns = match tiles.columns {
        TileColumns::OfHeads(1) => "H: tiles along the columns of Q",
        TileColumns::OfHeads(_) => "along the columns of Q",
        TileColumns::OfModel(_) => "along the columns of Y",
    };
    vec![
        int("batch", Number::Batch, "B"),
        int("n_tokens", Number::NQ, "N: tokens of the joint sequence"),
        int("first_token", Number::FirstToken, "of the stream, in the joint sequence"),
        int("rows", Number::Rows, "tokens of the stream"),
        int("width", Number::Width, "C"),
        int("heads", Number::Heads, "H"),
        int("q_blocks", Number::QBlocks, "T_q"),
        int("first_row_tile", Number::FirstRowTile(tiles), "of the joint sequence, with a token of the stream"),
        int("row_tiles", Number::RowTiles(tiles), "with a token of the stream"),
        int("column_tiles", Number::ColumnTiles(tiles), columns),
    ]
}
