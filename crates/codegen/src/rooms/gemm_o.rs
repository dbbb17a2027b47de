//! Projection back from heads, over those that are active.

use minijinja::context;
use sparsym_ir::Findings;
use sparsym_ir::projection::Summed;
use sparsym_ir::strategy::{MOST_ORDER, MOST_TERMS};

use super::gemm::{self, Product};
use super::{Draft, Room};
use crate::kernel::{GridAxis, Step};
use crate::padding::no_kernel;
use crate::params::{Array, Buffer, Field, Length, Number, ProductTiles, Source, TileColumns};
use crate::plan::{Cut, FromHeadsPlan, GemmPlan, Plan, choose, tile};
use crate::request::{self, FromHeads, Request};
use crate::schedule::Schedule;
use crate::text::{DIFFERENCES, GEMM_O, ROW_TILES};

impl Room for FromHeads {
    type Plan = GemmPlan<FromHeadsPlan>;

    fn plan(&self, request: &Request<'_>) -> Result<Plan<Self::Plan>, Findings> {
        plan(request, self)
    }

    fn draft(&self, plan: &Plan<Self::Plan>) -> Draft {
        Draft::without_rules(launches(plan), fields(plan), absent(&plan.room))
    }
}

fn plan(request: &Request<'_>, of: &FromHeads) -> Result<Plan<GemmPlan<FromHeadsPlan>>, Findings> {
    // Of an Update's outputs the differences of cached heads are projected, without anything added.
    let (block, bias, parts) = match *of {
        FromHeads::Product(request::Product { heads, partials, bias }) => {
            let summed = heads.map_or(Summed::Active, |heads| heads.summed);
            (heads.map(|heads| heads.block), bias, FromHeadsPlan { summed, partials, differences: false })
        }
        FromHeads::Differences { block } => {
            (Some(block), false, FromHeadsPlan { summed: Summed::Cached, partials: false, differences: true })
        }
    };
    gemm::check(request, block)?;
    if !tile::HEAD_DIMS.contains(&request.head_dim) {
        let padding = |to| vec![format!("pad the heads of O, and in the columns of w, with zeros to D = {to}")];
        return Err(no_kernel(request, &tile::HEAD_DIMS, tile::HEAD_DIM_WORDS, padding).into());
    }
    let differences = parts.differences;
    let choice = choose::from_heads(request, block, differences)?;
    let specialised = choice.schedule == Schedule::Specialised;
    let product = Product {
        choice,
        block,
        text_block: block,
        // All heads take the same time in every tile.
        listed: specialised && block.is_some() && parts.summed != Summed::Both,
        bias,
        cut: Cut::Columns,
        means: false,
        name: if differences { "gemm_o_differences" } else { "gemm_o" },
        name_parts: &[
            (specialised, "specialised"),
            (block.is_some() && !differences, "sparse"),
            (parts.summed == Summed::Cached && !differences, "cached"),
            (parts.summed == Summed::Both, "both"),
            (parts.partials, "partials"),
            (bias, "bias"),
        ],
    };
    Ok(product.plan(request, parts))
}

fn tiles(room: &GemmPlan<FromHeadsPlan>) -> ProductTiles {
    ProductTiles { rows: room.tile_q, columns: TileColumns::OfModel(room.tile_n) }
}

/// All fields that the kernel may read, in tensor-life order.
fn fields(plan: &Plan<GemmPlan<FromHeadsPlan>>) -> Vec<Field> {
    use Source::{Array as A, Buffer as B, Number as N};
    let mut fields = boxes(plan);
    fields.extend([
        Field::new("outputs", "const u16*", A(Array::Outputs), "[B, N, H, D] each, the newest first"),
        Field::new("output_differences", "u16*", B(Buffer::Differences), "[orders, B, N, H, D]"),
        Field::new("o", "const u16*", B(Buffer::O), "[B, N, H, D]"),
        Field::new("w", "const u16*", B(Buffer::W), "[C, H·D]"),
        Field::new("bias", "const u16*", B(Buffer::Bias), "[C]"),
        Field::new("s_c", "const u32*", B(Buffer::CacheSymbol), "[B, T_q] rows of H bits"),
        Field::new("partials", "const u16*", A(Array::Partials), "[B, rows, C] each"),
        Field::new("coefficients", "float", A(Array::Coefficients), "of the partials"),
        Field::new("n_partials", "int", N(Number::Coefficients), &format!("0 to {MOST_TERMS}")),
        Field::new("partial_out", "u16*", B(Buffer::PartialOut(0)), "[B, rows, C]"),
        Field::new("partials_out", "u16*", A(Array::PartialsOut), "[B, rows, C] each"),
        Field::new("y", "u16*", B(Buffer::Y), "[B, rows, C]"),
        Field::new("weights", "float", A(Array::Weights), &format!("of output j in order k + 1: {MOST_TERMS}k + j")),
        Field::new("n_outputs", "int", N(Number::Outputs), &format!("2 to {MOST_TERMS}")),
        Field::new("orders", "int", N(Number::Orders), &format!("1 to {MOST_ORDER}")),
        Field::new("tiles", "u32*", B(Buffer::RowTiles(tiles(&plan.room))), "of rows, those with most heads first"),
        Field::new("tiles_taken", "u32*", B(Buffer::TilesTaken), "beyond the first one of each CTA"),
    ]);
    fields.extend(gemm::sizes(tiles(&plan.room)));
    fields
}

/// Tensors that bulk copies read and write.
fn boxes(plan: &Plan<GemmPlan<FromHeadsPlan>>) -> Vec<Field> {
    let (room, head_dim) = (&plan.room, Length::Fixed(plan.head_dim));
    let [width, rows, heads] = [Number::Width, Number::Rows, Number::Heads].map(Length::Of);
    let [tokens, batch] = [Number::NQ, Number::Batch].map(Length::Of);
    let one = (Length::Fixed(1), 1);
    // Panels of 64 columns.
    let o = [(head_dim, room.tile_k), (heads, 1), (tokens, room.tile_q), (batch, 1)];
    let w = [(head_dim, room.tile_k), (heads, 1), (width, room.tile_n / 2), one];
    let y = |in_box| [(width, 64), (rows, in_box), (batch, 1), one];
    let of = |name, of, axes, comment| Field::new(name, "TensorMap", Source::Boxes(gemm::boxes(of, axes)), comment);
    let partials = Source::EachPartial(gemm::boxes(Buffer::PartialIn(0), y(room.tile_q)));
    vec![
        of("o_boxes", Buffer::O, o, "[B, N, H, D]"),
        of("w_boxes", Buffer::W, w, "[C, H, D]"),
        Field::new("partial_boxes", "TensorMap", partials, "[B, rows, C] each"),
        of("partial_out_boxes", Buffer::PartialOut(0), y(gemm::WARPGROUP_ROWS), "[B, rows, C]"),
        of("y_boxes", Buffer::Y, y(gemm::WARPGROUP_ROWS), "[B, rows, C]"),
    ]
}

/// Differences are taken in a first launch.
fn launches(plan: &Plan<GemmPlan<FromHeadsPlan>>) -> Vec<Step> {
    let tiles = match plan.room.schedule {
        Schedule::Specialised => GridAxis::ResidentTiles(tiles(&plan.room)),
        Schedule::Portable => GridAxis::Tiles(tiles(&plan.room)),
    };
    let product =
        |entry, z| Step::last(plan, entry, GEMM_O.of(plan.room.schedule), String::new(), [tiles, GridAxis::One, z]);
    if plan.room.listed {
        let list = Step::new(format!("{}_tiles", plan.name), &ROW_TILES, 512, [GridAxis::One; 3], context! {});
        // Resident CTAs wait for the list themselves.
        return vec![list, product(format!("{}_product", plan.name), GridAxis::One).early()];
    }
    if !plan.room.parts.differences {
        return vec![product(plan.name.clone(), GridAxis::One)];
    }
    let forecast = context! { orders => MOST_ORDER, terms => MOST_TERMS };
    let grid = [GridAxis::StreamBlocks, GridAxis::Heads, GridAxis::Batch];
    let subtraction = Step::new(format!("{}_subtraction", plan.name), &DIFFERENCES, 128, grid, forecast);
    vec![subtraction, product(format!("{}_product", plan.name), GridAxis::Orders)]
}

/// What the kernel could have and does not.
fn absent(room: &GemmPlan<FromHeadsPlan>) -> Vec<&'static str> {
    let parts = [(room.parts.partials, "partials"), (room.bias, "bias"), (room.sparse, "cache symbol")];
    parts.into_iter().filter(|(present, _)| !present).map(|(_, part)| part).collect()
}
