//! Attention over the computed pairs.

use minijinja::context;
use minijinja::value::Serde;
use sparsym_ir::strategy::{Grid, MOST_TERMS, Strategy};
use sparsym_ir::{DType, Finding, Findings};

use super::{Draft, Room};
use crate::kernel::{GridAxis, Step};
use crate::lower::{self, TokenRules};
use crate::names::in_ascii;
use crate::padding::{self, no_kernel};
use crate::params::{self, Array, BoxAxis, Boxes, Buffer, Field, Length, Number, Source};
use crate::plan::choose::{self, Choice};
use crate::plan::{self, AttentionPlan, Plan, Rules, tile};
use crate::request::{AttentionRequest, CachedRows, Request, Scale, Sequences, TileOrder};
use crate::schedule::Schedule;
use crate::text::{ATTENTION, FORECAST, HEAVIEST_FIRST};

impl Room for AttentionRequest<'_> {
    type Plan = AttentionPlan;

    fn plan(&self, request: &Request<'_>) -> Result<Plan<AttentionPlan>, Findings> {
        plan(request, self)
    }

    fn draft(&self, plan: &Plan<AttentionPlan>) -> Draft {
        let strategy = in_ascii(self.strategy);
        let rules = lower::token_rules(&strategy, plan.room.score);
        Draft {
            functions: String::new(),
            launches: launches(plan, &rules),
            fields: fields(&strategy, plan),
            absent: absent(&plan.room),
            rules: Serde(rules).into(),
        }
    }
}

fn plan(request: &Request<'_>, of: &AttentionRequest<'_>) -> Result<Plan<AttentionPlan>, Findings> {
    plan::check(request, &[("block_q", of.blocks.q), ("block_kv", of.blocks.kv)])?;
    if !tile::HEAD_DIMS.contains(&request.head_dim) {
        return Err(no_head_dim(request, of).into());
    }
    let Choice { schedule, tile } = choose::attention(request, of)?;
    let (head_dim, strategy) = (request.head_dim as u32, of.strategy);
    let score = strategy.score.is_some() || of.scale == Scale::Any;
    let room = AttentionPlan {
        schedule,
        rules: Rules::of(strategy),
        block_q: of.blocks.q,
        block_kv: of.blocks.kv,
        tile_q: tile.q,
        tile_kv: tile.kv,
        row_tiles: tile.row_tiles,
        stages: tile.stages,
        group_chunks: tile::group_chunks(head_dim),
        shares_query: tile.shares_query,
        out_parts: tile.out_parts,
        // bf16 has the exponents of f32, f16 has not.
        sets_max: schedule == Schedule::Specialised && request.dtype == DType::Bf16,
        ragged: of.sequences == Sequences::Ragged,
        forecast: of.cached_rows == CachedRows::Forecast,
        heaviest_first: of.order == TileOrder::HeaviestFirst,
        mask: strategy.mask.is_some(),
        score,
        rolls_mask: schedule == Schedule::Specialised,
        // Measured on an H200, docs/benchmarks.md: 0.95 of the time at D 128 without a score, and 1 or more everywhere else.
        rereads_thread: schedule == Schedule::Portable
            && head_dim == 128
            && !score
            && request.target.capability() == 90,
        tiled: strategy.tokens.iter().any(|range| matches!(range.grid, Some(Grid::Tiled(_)))),
    };
    let parts = [
        (schedule == Schedule::Specialised, schedule.name()),
        (room.heaviest_first, "heaviest_first"),
        (room.forecast, "forecast"),
        (room.mask, "masked"),
        (room.score, "scored"),
        (room.ragged, "ragged"),
    ];
    let tail = format!("d{head_dim}_{}", request.dtype.name());
    let mut plan = Plan::new(request, tile.threads(), room, "attention", &parts, &tail);
    // Values of rows fill the registers of one CTA: told nothing, a compiler may spill to make room for another.
    let keeps_rows = strategy.mask.iter().chain(&strategy.score).any(|rule| rule.value.keeps_rows());
    plan.ctas_per_sm = (tile.told || keeps_rows || request.fit > 0).then_some(tile.ctas_per_sm);
    plan.roles = tile.roles;
    plan.shared = tile.shared(head_dim);
    if plan.roles.is_some() && (plan.room.mask || plan.room.ragged) {
        // What is multiplied in place of a V that has been.
        plan.shared = plan.shared.region("zeros", 16 * plan.room.group_chunks * 16, 1024);
    }
    Ok(plan)
}

fn no_head_dim(request: &Request<'_>, of: &AttentionRequest<'_>) -> Finding {
    let from = request.head_dim;
    no_kernel(request, &tile::HEAD_DIMS, tile::HEAD_DIM_WORDS, |to| {
        let mut steps = vec![
            format!("pad the heads of Q, K and V with zeros to D = {to}"),
            format!(
                "keep the scale of D = {from}: give scale = {} where there was none, which is 1/sqrt({from})",
                1.0 / (from as f32).sqrt()
            ),
            format!("take the first {from} values of each head of O"),
        ];
        steps.extend(padding::of_rules(of.strategy, from));
        steps
    })
}

/// All fields that the kernel may read, in tensor-life order.
fn fields(strategy: &Strategy, plan: &Plan<AttentionPlan>) -> Vec<Field> {
    use Source::{Array as A, Buffer as B, Number as N};
    let tile_q = plan.room.tile_q;
    let boxes = |name: &str, of, rows| {
        let what = format!("{rows} tokens of a head, {} columns of them", plan.room.group_chunks * 8);
        Field::new(name, "TensorMap", Source::Boxes(boxes(plan, of, rows)), &what)
    };
    let mut fields = vec![
        boxes("q_boxes", Buffer::Q, tile_q),
        boxes("k_boxes", Buffer::K, plan.room.tile_kv),
        boxes("v_boxes", Buffer::V, plan.room.tile_kv),
        boxes("o_boxes", Buffer::O, plan.room.row_tiles * 16),
        Field::new("q", "const u16*", B(Buffer::Q), "[B, N, H, D]"),
        Field::new("k", "const u16*", B(Buffer::K), "[B, N_kv, H_kv, D]"),
        Field::new("v", "const u16*", B(Buffer::V), "[B, N_kv, H_kv, D]"),
        Field::new("s_c", "const u32*", B(Buffer::CacheSymbol), "[B, T_q] rows of H bits"),
        Field::new("s_s", "const u32*", B(Buffer::SkipSymbol), "[B, H, T_q] rows of T_kv bits"),
        Field::new("s_f", "const u32*", B(Buffer::FullSymbol), "[B, H, T_q] rows of T_kv bits"),
        Field::new("tiles", "u32*", B(Buffer::QTiles(tile_q)), "how many are listed, and which"),
        Field::new("tiles_taken", "u32*", B(Buffer::TilesTaken), "of the list, by resident CTAs, beyond their first"),
        Field::new("o", "u16*", B(Buffer::O), "[B, N, H, D]"),
        Field::new("lse", "float*", B(Buffer::Lse), "[B, H, N], natural logarithm"),
        Field::new("features", "const u16*", A(Array::Features), "[B, N, H, D] each"),
        Field::new("coefficients", "float", A(Array::Coefficients), "of the forecast"),
        Field::new("n_features", "int", N(Number::Coefficients), &format!("of the forecast, 1 to {MOST_TERMS}")),
    ];
    fields.extend(params::lookups(strategy));
    fields.push(Field::new("batch", "int", N(Number::Batch), "B"));
    fields.push(Field::new("q_tiles", "int", N(Number::QTiles(tile_q)), "tiles of a head of an item"));
    fields.extend(params::sizes(strategy));
    fields
}

/// Tokens of a head of Q, K, V or O, a panel at a time.
fn boxes(plan: &Plan<AttentionPlan>, of: Buffer, tokens: u32) -> Boxes {
    let axis = |length, in_box| BoxAxis { length, in_box };
    let of_kv = matches!(of, Buffer::K | Buffer::V);
    let (heads, n, total) = match of_kv {
        true => (Number::KvHeads, Number::NKv, Number::TotalKv),
        false => (Number::Heads, Number::NQ, Number::TotalQ),
    };
    let (n, batch) = match plan.room.ragged {
        true => (total, Length::Fixed(1)),
        false => (n, Length::Of(Number::Batch)),
    };
    let axes = [
        axis(Length::Fixed(plan.head_dim), plan.room.group_chunks * 8),
        axis(Length::Of(heads), 1),
        axis(Length::Of(n), tokens),
        axis(batch, 1),
    ];
    Boxes { of, axes }
}

/// Heaviest first: a first launch lists the tiles that there is something to do for.
fn launches(plan: &Plan<AttentionPlan>, rules: &TokenRules) -> Vec<Step> {
    let tile_q = plan.room.tile_q;
    let all = [GridAxis::AllQTiles(tile_q), GridAxis::One, GridAxis::One];
    let mut steps = Vec::new();
    // Resident CTAs count the tiles that they take, and leave forecasts to a launch of their own.
    let resident = plan.room.schedule == Schedule::Specialised;
    if plan.room.forecast && resident {
        steps.push(Step::new(format!("{}_forecast", plan.name), &FORECAST, plan.threads, all, context! {}));
    }
    if plan.room.heaviest_first {
        let values = context! { lists_cached => plan.room.forecast && !resident, resident };
        let grid = [GridAxis::AllHeads, GridAxis::One, GridAxis::One];
        steps.push(Step::new(format!("{}_tiles", plan.name), &HEAVIEST_FIRST, 256, grid, values));
    }
    let grid = match plan.room.schedule {
        Schedule::Specialised => {
            let ctas_per_sm = plan.ctas_per_sm.unwrap_or(1);
            [GridAxis::ResidentQTiles { rows: tile_q, ctas_per_sm }, GridAxis::One, GridAxis::One]
        }
        Schedule::Portable if plan.room.heaviest_first => all,
        Schedule::Portable => [GridAxis::QTiles(tile_q), GridAxis::Heads, GridAxis::Batch],
    };
    let entry = if steps.is_empty() { plan.name.clone() } else { format!("{}_forward", plan.name) };
    let attention = Step::last(plan, entry, ATTENTION.of(plan.room.schedule), rules.functions.clone(), grid);
    // Its CTAs wait for the list themselves.
    steps.push(if resident && plan.room.heaviest_first { attention.early() } else { attention });
    steps
}

/// What the kernel could have and does not.
fn absent(room: &AttentionPlan) -> Vec<&'static str> {
    let parts = [(room.mask, "token mask"), (room.score, "score rule"), (room.ragged, "ragged batches")];
    parts.into_iter().filter(|(present, _)| !present).map(|(_, part)| part).collect()
}
