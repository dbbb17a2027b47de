//! The rooms around attention: which parts of a projection a kernel has, and what one call writes into its parameters.

use serde::Serialize;
use sparsym_ir::projection::{RopePairs, Stream, Summed};
use sparsym_ir::{Code, Finding, Findings};

use minijinja::context;

use crate::kernel::{GridAxis, Kernel, Launch, last_launch};
use crate::lower::{Rules, Step};
use crate::params::{Argument, Buffer, Field, Params, Source};
use crate::plan::{Plan, Request, Room, base_plan, name};
use crate::registry::{DIFFERENCES, TILES};
use crate::tile::{self, ProjectionTile};

/// What a kernel of the rooms gemm_q and gemm_o has. Whatever is absent costs nothing: it is not in the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
pub struct Projection {
    /// S_c is read; otherwise every tile and every head is computed.
    pub sparse: bool,
    /// A bias is added.
    pub bias: bool,
    /// gemm_q: each head's row is normalised.
    pub norm: bool,
    /// gemm_q: each head's row is turned.
    pub rope: Option<RopePairs>,
    /// gemm_q: means of blocks are a second result.
    pub means: bool,
    /// gemm_o: which heads are added up.
    pub summed: Summed,
    /// gemm_o: Σ coefficient · partial is added, up to four of them.
    pub partials: bool,
    /// gemm_o: projects the differences of outputs, cached heads only, into a partial each.
    pub differences: bool,
}

impl Projection {
    /// The product alone.
    pub const NONE: Projection = Projection {
        sparse: false,
        bias: false,
        norm: false,
        rope: None,
        means: false,
        summed: Summed::Active,
        partials: false,
        differences: false,
    };
}

impl Default for Projection {
    fn default() -> Projection {
        Projection::NONE
    }
}

/// The numbers of one call, beside those of its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ProjectionNumbers<'a> {
    /// gemm_q: added to the mean square.
    pub eps: f32,
    /// gemm_o: a factor for each partial.
    pub coefficients: &'a [f32],
    /// Differences: for each order from 1 a weight for each output.
    pub weights: &'a [Vec<f32>],
}

/// A number of a stream.
#[derive(Clone, Copy, Debug, PartialEq)]
#[allow(missing_docs)] // the comments of the fields in `candidates` describe them
pub enum StreamNumber {
    Batch,
    Tokens,
    FirstToken,
    Rows,
    Width,
    Heads,
    QBlocks,
    FirstRowTile,
    RowTiles,
    ColumnTiles,
    Eps,
    Partials,
    Outputs,
    Orders,
}

/// Partials of a call, outputs whose differences are taken.
pub(crate) const MOST_PARTIALS: usize = 4;
/// Orders of differences.
pub(crate) const MOST_ORDERS: usize = 3;

/// Chooses all constants of a projection.
///
/// # Errors
/// Findings S602, S603 and S605.
pub(crate) fn projection_plan(request: &Request<'_>) -> Result<Plan, Findings> {
    let (room, projection) = (request.room, request.projection);
    if request.fit > 0 {
        return Err(tile::no_more_fits("a projection").into());
    }
    let tile = tile::projection_tile(request)?;
    let mut plan = base_plan(request);
    plan.projection = projection;
    // What the text does not depend on is not in the plan either: equal texts have equal names.
    if !(projection.sparse || projection.means || projection.differences) {
        plan.block_q = 0;
    }
    (plan.block_kv, plan.caches, plan.skips) = (0, projection.sparse, false);
    (plan.ragged, plan.forecast, plan.mask, plan.score, plan.tiled) = (false, false, false, false, false);
    plan.tile_q = tile.rows;
    plan.tile_n = tile.columns;
    plan.tile_k = tile.depth;
    plan.piece_rows = tile.piece_rows(request);
    plan.stages = tile.stages;
    plan.row_tiles = tile.row_tiles;
    plan.threads = ProjectionTile::THREADS;
    plan.ctas_per_sm = tile.ctas_per_sm;
    plan.stage_bytes = tile.stage_bytes();
    plan.shared_bytes = tile.shared_bytes();
    plan.group_chunks = tile::group_chunks(tile.depth);
    let block = match plan.block_q {
        0 => String::new(),
        block => format!("q{block}_"),
    };
    let tail = format!("{block}d{}_{}", plan.head_dim, plan.dtype);
    plan.name = match room {
        Room::GemmQ => name(
            "gemm_q",
            &[
                (projection.sparse, "sparse"),
                (projection.bias, "bias"),
                (projection.norm, "norm"),
                (projection.rope.is_some(), projection.rope.map_or("", RopePairs::name)),
                (projection.means, "means"),
            ],
            &tail,
        ),
        _ if projection.differences => name("gemm_o_differences", &[], &tail),
        _ => name(
            "gemm_o",
            &[
                (projection.sparse, "sparse"),
                (projection.summed == Summed::Cached, "cached"),
                (projection.summed == Summed::Both, "both"),
                (projection.partials, "partials"),
                (projection.bias, "bias"),
            ],
            &tail,
        ),
    };
    Ok(plan)
}

/// What is asked for must be something that the room has.
pub(crate) fn check_parts(request: &Request<'_>) -> Result<(), Finding> {
    let Projection { sparse, bias, norm, rope, means, summed, partials, differences } = request.projection;
    let refused = |what: &str, help: &str| Err(Finding::new(Code::RoomNotAvailable, what.to_owned(), help.to_owned()));
    match request.room {
        Room::GemmQ if summed != Summed::Active || partials || differences => {
            refused("gemm_q sums no heads", "heads that are summed, partials and differences belong to gemm_o")
        }
        Room::GemmO if norm || rope.is_some() || means => {
            refused("gemm_o has neither normalisation nor rotation nor block means", "these belong to gemm_q")
        }
        Room::GemmO if differences && (!sparse || bias || partials || summed != Summed::Active) => {
            refused("differences are projected for cached heads alone", "give S_c, and neither bias nor partials")
        }
        Room::GemmO if !sparse && summed != Summed::Active => {
            refused("without S_c no head is cached", "give S_c, or sum active heads")
        }
        _ => Ok(()),
    }
}

/// Whether a text of gemm_o sums cached heads and no others.
pub(crate) fn sums_cached_heads_alone(plan: &Plan) -> bool {
    plan.projection.differences || plan.projection.summed == Summed::Cached
}

/// The launches of a projection, and the text of those before its product.
pub(crate) fn launches(plan: &Plan) -> (Vec<Step>, Vec<Launch>) {
    let (what, template, threads, grid) = match plan.room {
        Room::GemmQ if plan.projection.sparse => ("tiles", &TILES, 512, [GridAxis::One; 3]),
        Room::GemmO if plan.projection.differences => {
            ("subtraction", &DIFFERENCES, 128, [GridAxis::StreamBlocks, GridAxis::Heads, GridAxis::Batch])
        }
        _ => return (Vec::new(), vec![last_launch(plan, plan.name.clone())]),
    };
    let entry = format!("{}_{what}", plan.name);
    let values = context! { entry => &entry, threads => threads };
    let launch = Launch { entry, threads, shared_bytes: 0, grid };
    let step = Step { launch: launch.clone(), template, functions: String::new(), values };
    (vec![step], vec![launch, last_launch(plan, format!("{}_product", plan.name))])
}

/// The lines that open the text of a projection.
pub(crate) fn header(plan: &Plan, rules: &Rules) -> Vec<String> {
    let Projection { sparse, bias, norm, rope, means, summed, partials, differences } = plan.projection;
    let mut absent = Vec::new();
    let mut lines = match plan.room {
        Room::GemmQ => {
            let (rope_pairs, mut q) = (rope.map_or("", RopePairs::name), "X Wᵀ".to_owned());
            for (present, with, without) in [
                (bias, format!("{q} + bias"), "bias"),
                (norm, "norm(#)".to_owned(), "normalisation"),
                (rope.is_some(), "rope(#)".to_owned(), "rotary embedding"),
            ] {
                match present {
                    true => q = with.replace('#', &q),
                    false => absent.push(without),
                }
            }
            let mut lines = vec!["gemm_q · a projection to heads".to_owned()];
            let whole = if sparse { ", where the cache symbol is 1" } else { "" };
            lines.push(format!("computes   Q = {q}, rounded once{whole}"));
            match means {
                true => lines.push("and        the mean of each block of Q, in f32".to_owned()),
                false => absent.push("block means"),
            }
            if norm {
                lines.push("norm       x · weight / √(mean(x²) + eps) over the D values of a head".to_owned());
            }
            match rope {
                Some(RopePairs::Half) => lines.push(format!("rope       {rope_pairs}: turns columns i and i + D/2")),
                Some(_) => lines.push(format!("rope       {rope_pairs}: turns columns 2i and 2i + 1")),
                None => {}
            }
            match sparse {
                true => lines.push("leaves     other blocks of a head as they were".to_owned()),
                false => absent.push("cache symbol"),
            }
            lines
        }
        _ => {
            let mut lines = vec!["gemm_o · the projection back from heads".to_owned()];
            match (differences, sparse, summed) {
                (true, ..) => {
                    lines.push(
                        "computes   P_k = Σ D^k_h W_hᵀ over heads whose cache symbol is 0, k = 1, 2, …".to_owned(),
                    );
                    lines.push("           D^k = Σ_j weight · output_j".to_owned());
                }
                (_, false, _) => lines.push("computes   Y = O Wᵀ".to_owned()),
                (_, _, Summed::Active) => {
                    lines.push("computes   Y = Σ O_h W_hᵀ over heads whose cache symbol is 1".to_owned());
                }
                (_, _, Summed::Cached) => {
                    lines.push("computes   Y = Σ O_h W_hᵀ over heads whose cache symbol is 0".to_owned());
                }
                (_, _, Summed::Both) => {
                    lines.push("computes   partial = Σ O_h W_hᵀ over heads whose cache symbol is 0".to_owned());
                    lines.push("           Y = partial + Σ O_h W_hᵀ over the others".to_owned());
                }
            }
            for (present, with, without) in
                [(partials, "adds       Σ coefficient · partial", "partials"), (bias, "adds       bias", "bias")]
            {
                match present {
                    true => lines.push(with.to_owned()),
                    false => absent.push(without),
                }
            }
            match sparse {
                true => lines.push("skips      heads that no block of the tile sums: their O is not read".to_owned()),
                false => absent.push("cache symbol"),
            }
            lines
        }
    };
    if rules.launches.len() > 1 {
        let first = format!("{}_", plan.name);
        let names: Vec<&str> = rules.launches.iter().map(|launch| launch.entry.trim_start_matches(&first)).collect();
        lines.push(format!("launches   {}", names.join(", ")));
    }
    lines.push(format!("shape      D={}, {}; B, H, N, C and the stream at run time", plan.head_dim, plan.dtype));
    let block = if plan.block_q > 0 { format!("q {}      ", plan.block_q) } else { String::new() };
    let tile = format!("tile  {} × {} × {}      stages {}", plan.tile_q, plan.tile_n, plan.tile_k, plan.stages);
    match block.is_empty() {
        true => lines.push(format!("tile       {}", tile.trim_start_matches("tile  "))),
        false => lines.push(format!("blocks     {block}{tile}")),
    }
    lines.push(format!("target     {}   threads {}   shared {} B", plan.target, plan.threads, plan.shared_bytes));
    if !absent.is_empty() {
        lines.push(format!("absent     {}", absent.join(", ")));
    }
    lines
}

/// All fields that a kernel of this room may read, in tensor-life order.
pub(crate) fn candidates(room: Room) -> Vec<Field> {
    use Source::{Buffer as B, OfStream as N};
    let mut fields = Vec::new();
    let mut add = |name: &str, ty: &str, source: Source, comment: &str| {
        fields.push(Field::new(name, ty, source, comment));
    };
    if room == Room::GemmQ {
        add("x", "const u16*", B(Buffer::X), "[B, rows, C]");
        add("w", "const u16*", B(Buffer::W), "[H·D, C]");
        add("bias", "const u16*", B(Buffer::Bias), "[H·D]");
        add("norm_weight", "const u16*", B(Buffer::NormWeight), "[D]");
        add("rope_cos", "const float*", B(Buffer::RopeCos), "[N, D/2]");
        add("rope_sin", "const float*", B(Buffer::RopeSin), "[N, D/2]");
        add("s_c", "const u32*", B(Buffer::CacheSymbol), "[B, T_q] rows of H bits");
        add("tiles", "u32*", B(Buffer::Tiles), "how many are computed, and which");
        add("q", "u16*", B(Buffer::QOut), "[B, N, H, D]");
        add("block_means", "float*", B(Buffer::BlockMeans), "[B, H, T_q, D]");
    } else {
        add("outputs[4]", "const u16*", Source::Outputs, "[B, N, H, D] each, the newest first");
        add("output_differences", "u16*", B(Buffer::Differences), "[orders, B, N, H, D]");
        add("o", "const u16*", B(Buffer::O), "[B, N, H, D]");
        add("w", "const u16*", B(Buffer::W), "[C, H·D]");
        add("bias", "const u16*", B(Buffer::Bias), "[C]");
        add("s_c", "const u32*", B(Buffer::CacheSymbol), "[B, T_q] rows of H bits");
        add("partials[4]", "const u16*", Source::Partials, "[B, rows, C] each");
        add("coefficients[4]", "float", Source::Coefficients, "of the partials");
        add("n_partials", "int", N(StreamNumber::Partials), "0 to 4");
        add("partial_out", "u16*", B(Buffer::PartialOut(0)), "[B, rows, C]");
        add("partials_out[3]", "u16*", Source::PartialsOut, "[B, rows, C] each");
        add("y", "u16*", B(Buffer::Y), "[B, rows, C]");
        add("weights[12]", "float", Source::Weights, "of output j in order k + 1: 4k + j");
        add("n_outputs", "int", N(StreamNumber::Outputs), "2 to 4");
        add("orders", "int", N(StreamNumber::Orders), "1 to 3");
    }
    add("batch", "int", N(StreamNumber::Batch), "B");
    add("n_tokens", "int", N(StreamNumber::Tokens), "N: tokens of the joint sequence");
    add("first_token", "int", N(StreamNumber::FirstToken), "of the stream, in the joint sequence");
    add("rows", "int", N(StreamNumber::Rows), "tokens of the stream");
    add("width", "int", N(StreamNumber::Width), "C");
    add("heads", "int", N(StreamNumber::Heads), "H");
    add("q_blocks", "int", N(StreamNumber::QBlocks), "T_q");
    add("first_row_tile", "int", N(StreamNumber::FirstRowTile), "of the joint sequence, with a token of the stream");
    add("row_tiles", "int", N(StreamNumber::RowTiles), "with a token of the stream");
    let columns = if room == Room::GemmQ { "H: tiles along the columns of Q" } else { "along the columns of Y" };
    add("column_tiles", "int", N(StreamNumber::ColumnTiles), columns);
    add("eps", "float", N(StreamNumber::Eps), "added to the mean square");
    fields
}

/// How a stream is cut into tiles: they start at multiples of the tile in the joint sequence, so no block meets two of
/// them by where the stream starts.
struct Tiles {
    first_row_tile: usize,
    row_tiles: usize,
    column_tiles: usize,
}

impl Tiles {
    fn of(room: Room, tile_rows: usize, tile_columns: usize, stream: &Stream) -> Tiles {
        let first_row_tile = stream.first / tile_rows;
        let end = (stream.first + stream.rows).div_ceil(tile_rows);
        Tiles {
            first_row_tile,
            row_tiles: if stream.rows == 0 { 0 } else { end - first_row_tile },
            column_tiles: if room == Room::GemmQ { stream.heads } else { stream.width.div_ceil(tile_columns) },
        }
    }

    fn count(&self, batch: usize) -> usize {
        batch * self.row_tiles * self.column_tiles
    }
}

impl Kernel {
    /// What to write into the parameter struct for one call of a projection: byte offsets and values.
    pub fn projection_arguments(&self, stream: &Stream, numbers: &ProjectionNumbers<'_>) -> Vec<(usize, Argument)> {
        arguments(&self.params, &self.plan, stream, numbers)
    }

    /// CTAs of a launch of a projection along x, y and z. Zero along any axis: there is nothing to launch.
    pub fn projection_grid(&self, launch: &Launch, stream: &Stream, orders: usize) -> [u32; 3] {
        let tiles = self.plan.tiles(stream);
        let blocks = if stream.rows == 0 { 0 } else { stream.own_blocks().len() };
        launch.grid.map(|axis| match axis {
            GridAxis::Tiles => tiles.count(stream.batch) as u32,
            GridAxis::StreamBlocks => blocks as u32,
            GridAxis::Heads => stream.heads as u32,
            GridAxis::Batch => stream.batch as u32,
            GridAxis::Orders => orders as u32,
            _ => 1,
        })
    }
}

impl Plan {
    fn tiles(&self, stream: &Stream) -> Tiles {
        Tiles::of(self.room, self.tile_q as usize, self.tile_n as usize, stream)
    }
}

impl Buffer {
    /// Bytes of a buffer that one launch of a projection writes for those after it; None: it is not one.
    pub fn projection_workspace_bytes(self, stream: &Stream, orders: usize) -> Option<usize> {
        match self {
            // The smallest tile has the most of them.
            Buffer::Tiles => {
                let tiles = Tiles::of(Room::GemmQ, ProjectionTile::LEAST_ROWS, 1, stream);
                Some(4 * (1 + tiles.count(stream.batch)))
            }
            Buffer::Differences => Some(2 * orders * stream.head_shape().iter().product::<usize>()),
            _ => None,
        }
    }
}

fn arguments(params: &Params, plan: &Plan, stream: &Stream, numbers: &ProjectionNumbers<'_>) -> Vec<(usize, Argument)> {
    let mut out = Vec::new();
    let outputs = numbers.weights.first().map_or(0, Vec::len).min(MOST_PARTIALS);
    for field in &params.fields {
        let addresses = |count: usize, buffer: fn(usize) -> Buffer| {
            (0..count).map(move |n| (field.offset + 8 * n, Argument::Buffer(buffer(n))))
        };
        match field.source {
            Source::Buffer(buffer) => out.push((field.offset, Argument::Buffer(buffer))),
            Source::Partials => {
                out.extend(addresses(numbers.coefficients.len().min(MOST_PARTIALS), Buffer::PartialIn));
            }
            Source::PartialsOut => out.extend(addresses(numbers.weights.len().min(MOST_ORDERS), Buffer::PartialOut)),
            Source::Outputs => out.extend(addresses(outputs, Buffer::Output)),
            Source::Coefficients => {
                let factors = numbers.coefficients.iter().take(MOST_PARTIALS).enumerate();
                out.extend(factors.map(|(n, &factor)| (field.offset + 4 * n, Argument::F32(factor))));
            }
            Source::Weights => {
                for (k, weights) in numbers.weights.iter().take(MOST_ORDERS).enumerate() {
                    let at = field.offset + 4 * MOST_PARTIALS * k;
                    let weights = weights.iter().take(MOST_PARTIALS).enumerate();
                    out.extend(weights.map(|(j, &weight)| (at + 4 * j, Argument::F32(weight))));
                }
            }
            Source::OfStream(number) => {
                out.push((field.offset, value(number, &plan.tiles(stream), stream, numbers, outputs)));
            }
            Source::Features | Source::Number(_) => {}
        }
    }
    out
}

fn value(
    number: StreamNumber,
    tiles: &Tiles,
    stream: &Stream,
    numbers: &ProjectionNumbers<'_>,
    outputs: usize,
) -> Argument {
    let int = |n: usize| Argument::I32(n as i32);
    match number {
        StreamNumber::Batch => int(stream.batch),
        StreamNumber::Tokens => int(stream.tokens),
        StreamNumber::FirstToken => int(stream.first),
        StreamNumber::Rows => int(stream.rows),
        StreamNumber::Width => int(stream.width),
        StreamNumber::Heads => int(stream.heads),
        StreamNumber::QBlocks => int(stream.blocks()),
        StreamNumber::FirstRowTile => int(tiles.first_row_tile),
        StreamNumber::RowTiles => int(tiles.row_tiles),
        StreamNumber::ColumnTiles => int(tiles.column_tiles),
        StreamNumber::Eps => Argument::F32(numbers.eps),
        StreamNumber::Partials => int(numbers.coefficients.len().min(MOST_PARTIALS)),
        StreamNumber::Outputs => int(outputs),
        StreamNumber::Orders => int(numbers.weights.len().min(MOST_ORDERS)),
    }
}
