//! Projection of the hidden states to heads.

use minijinja::context;
use sparsym_ir::projection::RopePairs;
use sparsym_ir::{Finding, Findings};

use super::gemm::{self, Product};
use super::{Draft, Room};
use crate::kernel::{GridAxis, Step};
use crate::padding::no_kernel;
use crate::params::{Buffer, Field, Length, Number, ProductTiles, Source, TileColumns};
use crate::plan::{Cut, GemmPlan, Plan, ToHeadsPlan, choose, tile};
use crate::request::{MOST_PROJECTIONS, Request, ToHeads};
use crate::schedule::Schedule;
use crate::text::{GEMM_Q, HEAD_TILES, TILES};

impl Room for ToHeads {
    type Plan = GemmPlan<ToHeadsPlan>;

    fn plan(&self, request: &Request<'_>) -> Result<Plan<Self::Plan>, Findings> {
        plan(request, self)
    }

    fn draft(&self, plan: &Plan<Self::Plan>) -> Draft {
        Draft::without_rules(launches(plan), fields(plan), absent(&plan.room))
    }
}

fn plan(request: &Request<'_>, of: &ToHeads) -> Result<Plan<GemmPlan<ToHeadsPlan>>, Findings> {
    let text_block = of.block.or(of.means);
    gemm::check(request, text_block)?;
    if !tile::HEAD_DIMS.contains(&request.head_dim) {
        return Err(no_head_dim(request, of).into());
    }
    let choice = choose::to_heads(request, of)?;
    let (tile_heads, specialised) = (choice.tile.heads, choice.schedule == Schedule::Specialised);
    let product = Product {
        choice,
        block: of.block,
        text_block,
        listed: of.block.is_some(),
        bias: of.bias,
        cut: Cut::Depth,
        means: of.means.is_some(),
        name: "gemm_q",
        name_parts: &[
            (specialised, "specialised"),
            (of.block.is_some(), "sparse"),
            (of.bias, "bias"),
            (of.norm, "norm"),
            (of.rope.is_some(), of.rope.map_or("", RopePairs::name)),
            (of.means.is_some(), "means"),
            (of.together, "together"),
        ],
    };
    let together = of.together.then_some(MOST_PROJECTIONS as u32);
    Ok(product
        .plan(request, ToHeadsPlan { tile_heads, norm: of.norm, rope: of.rope, means: of.means.is_some(), together }))
}

/// A mean square over more channels is smaller, and a rotation of halves finds its pairs elsewhere.
fn no_head_dim(request: &Request<'_>, of: &ToHeads) -> Finding {
    let from = request.head_dim;
    no_kernel(request, &tile::HEAD_DIMS, tile::HEAD_DIM_WORDS, |to| {
        let bias = if of.bias { ", and of bias," } else { "" };
        let mut steps = vec![match of.rope {
            Some(RopePairs::Half) => {
                format!("pad both halves of each head in the rows of w{bias} with zeros to {}", to / 2)
            }
            _ => format!("pad the heads in the rows of w{bias} with zeros to D = {to}"),
        }];
        if of.norm {
            steps
                .push(format!("pad q_norm likewise and multiply it by sqrt({from}/{to}), and norm_eps by {from}/{to}"));
        }
        if of.rope.is_some() {
            steps.push(format!("pad rope_cos with ones and rope_sin with zeros to {}", to / 2));
        }
        steps
    })
}

fn tiles(room: &GemmPlan<ToHeadsPlan>) -> ProductTiles {
    ProductTiles { rows: room.tile_q, columns: TileColumns::OfHeads(room.parts.tile_heads) }
}

/// All fields that the kernel may read, in tensor-life order.
fn fields(plan: &Plan<GemmPlan<ToHeadsPlan>>) -> Vec<Field> {
    use Source::{Buffer as B, Number as N};
    let (room, tiles) = (&plan.room, tiles(&plan.room));
    let list = match room.schedule {
        Schedule::Specialised => Buffer::HeadTiles(tiles),
        Schedule::Portable => Buffer::Tiles(tiles),
    };
    let mut fields = boxes(plan);
    fields.extend([
        Field::new("x", "const u16*", B(Buffer::X), "[B, rows, C]"),
        Field::new("w", "const u16*", B(Buffer::W), "[H·D, C]"),
        Field::new("bias", "const u16*", B(Buffer::Bias), "[H·D]"),
        Field::new("norm_weight", "const u16*", B(Buffer::NormWeight), "[D]"),
        Field::new("rope_cos", "const float*", B(Buffer::RopeCos), "[N, D/2]"),
        Field::new("rope_sin", "const float*", B(Buffer::RopeSin), "[N, D/2]"),
        Field::new("s_c", "const u32*", B(Buffer::CacheSymbol), "[B, T_q] rows of H bits"),
        Field::new("tiles", "u32*", B(list), "how many are computed, and which"),
        Field::new("tiles_taken", "u32*", B(Buffer::TilesTaken), "beyond the first one of each CTA"),
        Field::new("q", "u16*", B(Buffer::QOut), "[B, N, H, D]"),
        Field::new("block_means", "float*", B(Buffer::BlockMeans), "[B, H, T_q, D]"),
    ]);
    fields.extend(gemm::sizes(tiles));
    fields.push(Field::new("eps", "float", N(Number::Eps), "added to the mean square"));
    fields
}

/// Tensors that bulk copies read and write.
fn boxes(plan: &Plan<GemmPlan<ToHeadsPlan>>) -> Vec<Field> {
    let of = |name, buffer, axes: [(Length, u32); 4], comment| {
        Field::new(name, "TensorMap", Source::Boxes(gemm::boxes(buffer, axes)), comment)
    };
    let (room, head_dim) = (&plan.room, Length::Fixed(plan.head_dim));
    let [width, rows, heads, batch] = [Number::Width, Number::Rows, Number::Heads, Number::Batch].map(Length::Of);
    let one = (Length::Fixed(1), 1);
    // Rows beyond the stream are those of other ones.
    let stream = Length::Window { all: Number::NQ, first: Number::FirstToken, length: Number::Rows };
    let stored_rows = room.subtile_rows.min(gemm::WARPGROUP_ROWS);
    vec![
        of("x_boxes", Buffer::X, [(width, room.tile_k), (rows, room.tile_q), (batch, 1), one], "[B, rows, C]"),
        of("w_boxes", Buffer::W, [(width, room.tile_k), (head_dim, room.tile_n), (heads, 1), one], "[H, D, C]"),
        of("q_boxes", Buffer::QOut, [(head_dim, 64), (heads, 1), (stream, stored_rows), (batch, 1)], "[B, N, H, D]"),
    ]
}

/// With S_c a first launch lists the tiles that are computed.
fn launches(plan: &Plan<GemmPlan<ToHeadsPlan>>) -> Vec<Step> {
    let (along, list) = match plan.room.schedule {
        Schedule::Specialised => (GridAxis::ResidentTiles(tiles(&plan.room)), &HEAD_TILES),
        Schedule::Portable => (GridAxis::Tiles(tiles(&plan.room)), &TILES),
    };
    let grid = [along, GridAxis::One, GridAxis::One];
    let product = |entry| Step::last(plan, entry, GEMM_Q.of(plan.room.schedule), String::new(), grid);
    if !plan.room.sparse {
        return vec![product(plan.name.clone())];
    }
    let lists = if plan.room.parts.together.is_some() { GridAxis::Projections } else { GridAxis::One };
    let list = Step::new(format!("{}_tiles", plan.name), list, 512, [lists, GridAxis::One, GridAxis::One], context! {});
    let product = product(format!("{}_product", plan.name));
    // Resident CTAs wait for the list themselves.
    vec![list, if plan.room.schedule == Schedule::Specialised { product.early() } else { product }]
}

/// What the kernel could have and does not.
fn absent(room: &GemmPlan<ToHeadsPlan>) -> Vec<&'static str> {
    let parts = [
        (room.bias, "bias"),
        (room.parts.norm, "normalisation"),
        (room.parts.rope.is_some(), "rotary embedding"),
        (room.parts.means, "block means"),
        (room.sparse, "cache symbol"),
    ];
    parts.into_iter().filter(|(present, _)| !present).map(|(_, part)| part).collect()
}
