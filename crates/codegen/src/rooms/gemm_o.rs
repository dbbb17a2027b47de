//! Projection back from heads, over those that are active.

use minijinja::context;
use sparsym_ir::Findings;
use sparsym_ir::projection::Summed;
use sparsym_ir::strategy::{MOST_ORDER, MOST_TERMS};

use super::gemm::{self, Product};
use super::{Draft, Room};
use crate::kernel::{GridAxis, Step};
use crate::padding::no_kernel;
use crate::params::{Array, Buffer, Field, Number, ProductTiles, Source, TileColumns};
use crate::plan::{Cut, FromHeadsPlan, GemmPlan, Plan, choose, tile};
use crate::request::{self, FromHeads, Request};
use crate::text::{DIFFERENCES, GEMM_O};

impl Room for FromHeads {
    type Plan = GemmPlan<FromHeadsPlan>;

    fn plan(&self, request: &Request<'_>) -> Result<Plan<Self::Plan>, Findings> {
        plan(request, self)
    }

    fn draft(&self, plan: &Plan<Self::Plan>) -> Draft {
        Draft::without_rules(launches(plan), fields(tiles(&plan.room)), absent(&plan.room))
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
    let product = Product {
        choice: choose::from_heads(request, block)?,
        block,
        text_block: block,
        bias,
        cut: Cut::Columns,
        means: false,
        name: if differences { "gemm_o_differences" } else { "gemm_o" },
        name_parts: &[
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
fn fields(tiles: ProductTiles) -> Vec<Field> {
    use Source::{Array as A, Buffer as B, Number as N};
    let mut fields = vec![
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
    ];
    fields.extend(gemm::sizes(tiles));
    fields
}

/// Differences are taken in a first launch.
fn launches(plan: &Plan<GemmPlan<FromHeadsPlan>>) -> Vec<Step> {
    let tiles = GridAxis::Tiles(tiles(&plan.room));
    let product =
        |entry, z| Step::last(plan, entry, GEMM_O.of(plan.room.schedule), String::new(), [tiles, GridAxis::One, z]);
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
