//! Projection of the hidden states to heads.

use minijinja::context;
use sparsym_ir::projection::RopePairs;
use sparsym_ir::{Finding, Findings};

use super::gemm::{self, Product};
use super::{Draft, Room};
use crate::kernel::{GridAxis, Step};
use crate::padding::no_kernel;
use crate::params::{Buffer, Field, Number, ProductTiles, Source};
use crate::plan::{Cut, GemmPlan, Plan, ToHeadsPlan, choose, tile};
use crate::request::{Request, ToHeads};
use crate::text::{GEMM_Q, TILES};

impl Room for ToHeads {
    type Plan = GemmPlan<ToHeadsPlan>;

    fn plan(&self, request: &Request<'_>) -> Result<Plan<Self::Plan>, Findings> {
        plan(request, self)
    }

    fn draft(&self, plan: &Plan<Self::Plan>) -> Draft {
        Draft::without_rules(launches(plan), fields(tiles(&plan.room)), absent(&plan.room))
    }
}

fn plan(request: &Request<'_>, of: &ToHeads) -> Result<Plan<GemmPlan<ToHeadsPlan>>, Findings> {
    let text_block = of.block.or(of.means);
    gemm::check(request, text_block)?;
    if !tile::HEAD_DIMS.contains(&request.head_dim) {
        return Err(no_head_dim(request, of).into());
    }
    let product = Product {
        choice: choose::to_heads(request, of)?,
        block: of.block,
        text_block,
        bias: of.bias,
        cut: Cut::Depth,
        name: "gemm_q",
        name_parts: &[
            (of.block.is_some(), "sparse"),
            (of.bias, "bias"),
            (of.norm, "norm"),
            (of.rope.is_some(), of.rope.map_or("", RopePairs::name)),
            (of.means.is_some(), "means"),
        ],
    };
    Ok(product.plan(request, ToHeadsPlan { norm: of.norm, rope: of.rope, means: of.means.is_some() }))
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
    ProductTiles { rows: room.tile_q, columns: None }
}

/// All fields that the kernel may read, in tensor-life order.
fn fields(tiles: ProductTiles) -> Vec<Field> {
    use Source::{Buffer as B, Number as N};
    let mut fields = vec![
        Field::new("x", "const u16*", B(Buffer::X), "[B, rows, C]"),
        Field::new("w", "const u16*", B(Buffer::W), "[H·D, C]"),
        Field::new("bias", "const u16*", B(Buffer::Bias), "[H·D]"),
        Field::new("norm_weight", "const u16*", B(Buffer::NormWeight), "[D]"),
        Field::new("rope_cos", "const float*", B(Buffer::RopeCos), "[N, D/2]"),
        Field::new("rope_sin", "const float*", B(Buffer::RopeSin), "[N, D/2]"),
        Field::new("s_c", "const u32*", B(Buffer::CacheSymbol), "[B, T_q] rows of H bits"),
        Field::new("tiles", "u32*", B(Buffer::Tiles(tiles)), "how many are computed, and which"),
        Field::new("q", "u16*", B(Buffer::QOut), "[B, N, H, D]"),
        Field::new("block_means", "float*", B(Buffer::BlockMeans), "[B, H, T_q, D]"),
    ];
    fields.extend(gemm::sizes(tiles));
    fields.push(Field::new("eps", "float", N(Number::Eps), "added to the mean square"));
    fields
}

/// With S_c a first launch lists the tiles that are computed.
fn launches(plan: &Plan<GemmPlan<ToHeadsPlan>>) -> Vec<Step> {
    let grid = [GridAxis::Tiles(tiles(&plan.room)), GridAxis::One, GridAxis::One];
    let product = |entry| Step::last(plan, entry, GEMM_Q.of(plan.room.schedule), String::new(), grid);
    if !plan.room.sparse {
        return vec![product(plan.name.clone())];
    }
    let list = Step::new(format!("{}_tiles", plan.name), &TILES, 512, [GridAxis::One; 3], context! {});
    vec![list, product(format!("{}_product", plan.name))]
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
