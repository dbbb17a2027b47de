//! S_c, S_s and S_f.

use minijinja::value::Serde;
use sparsym_ir::data::stages;
use sparsym_ir::expr::ExprKind;
use sparsym_ir::strategy::{Grid, Strategy};
use sparsym_ir::{Code, Finding, Findings};

use super::{Draft, Room};
use crate::kernel::{GridAxis, Step};
use crate::lower::{self, BlockRules};
use crate::names::in_ascii;
use crate::padding::{self, no_kernel};
use crate::params::{self, Buffer, Field, Source};
use crate::plan::{self, Plan, Rules, SymbolsPlan, choose};
use crate::request::{Means, Request, Sequences, SymbolsRequest};
use crate::text::{RULES, Template};

impl Room for SymbolsRequest<'_> {
    type Plan = SymbolsPlan;

    fn plan(&self, request: &Request<'_>) -> Result<Plan<SymbolsPlan>, Findings> {
        plan(request, self)
    }

    fn draft(&self, plan: &Plan<SymbolsPlan>) -> Draft {
        // What rules read of tensor data is computed step by step.
        let strategy = stages(&in_ascii(self.strategy));
        let mut rules = lower::block_rules(&strategy, &plan.name, &plan.room);
        let launches = launches(plan, &mut rules);
        Draft {
            functions: std::mem::take(&mut rules.shared_functions),
            fields: fields(&strategy, &rules.cuts),
            launches,
            absent: absent(&plan.room),
            rules: Serde(rules).into(),
        }
    }

    fn header(&self, _: &[Step]) -> &'static Template {
        &RULES
    }
}

fn plan(request: &Request<'_>, of: &SymbolsRequest<'_>) -> Result<Plan<SymbolsPlan>, Findings> {
    plan::check(request, &[("block_q", of.blocks.q), ("block_kv", of.blocks.kv)])?;
    let strategy = of.strategy;
    let refused = |what, help: &str| Finding::new(Code::RoomNotAvailable, what, help);
    let room = SymbolsPlan {
        rules: Rules::of(strategy),
        block_q: of.blocks.q,
        block_kv: of.blocks.kv,
        row_lanes: (request.head_dim as u32 / 8).max(1).next_power_of_two(),
        data: strategy.reads_data(),
        pooled: of.means == Means::Given,
        ragged: of.sequences == Sequences::Ragged,
        mask: strategy.mask.is_some(),
        tiled: strategy.tokens.iter().any(|range| matches!(range.grid, Some(Grid::Tiled(_)))),
        caches: strategy.caches(),
        skips: strategy.skips(),
        overlaps: request.target.capability() >= 90,
    };
    if !(room.caches || room.skips || room.mask) {
        let what = format!("{} has no mask and no block rules, so there are no symbols to make", strategy.name);
        return Err(refused(what, "all symbols of this strategy are 1").into());
    }
    if request.fit > 1 {
        return Err(choose::no_more_fits("symbols").into());
    }
    let ordered = |c: &sparsym_ir::Expr| c.any(|e| matches!(e.kind, ExprKind::Order(_) | ExprKind::Percentile(_)));
    if room.ragged && (room.data || strategy.conditions().any(ordered)) {
        let what =
            format!("symbols of {} need one length for all batch items: its rules compare blocks", strategy.name);
        return Err(refused(what, "give one length, or one call for each sequence").into());
    }
    let from = request.head_dim;
    if room.data && (!from.is_multiple_of(8) || from > 256) {
        let eights: Vec<usize> = (8..=256).step_by(8).collect();
        return Err(no_kernel(request, &eights, "multiples of 8 up to 256", |to| {
            let mut steps = vec![format!("pad the heads of Q and K with zeros to D = {to}")];
            steps.extend(padding::of_rules(strategy, from));
            steps
        })
        .into());
    }
    let mut tail = format!("q{}_kv{}", room.block_q, room.block_kv);
    if room.data {
        tail.push_str(&format!("_d{from}_{}", request.dtype.name()));
    }
    let parts = [
        (room.caches, "cache"),
        (room.skips, "skip"),
        (room.mask, "masked"),
        (room.ragged, "ragged"),
        (room.pooled, "pooled"),
    ];
    // A CTA of work on lines has a warp for each of eight rows.
    let on_lines = room.data || strategy.conditions().any(ordered);
    let mut plan = Plan::new(request, if on_lines { lower::LANES_OF_CTA } else { 128 }, room, "symbols", &parts, &tail);
    plan.ctas_per_sm = (request.fit > 0).then_some(1);
    Ok(plan)
}

/// All fields that the kernel may read, in tensor-life order; `cuts` are workspaces of order maps.
fn fields(strategy: &Strategy, cuts: &[Buffer]) -> Vec<Field> {
    use Source::Buffer as B;
    let mut fields = vec![
        Field::new("q", "const u16*", B(Buffer::Q), "[B, N, H, D]"),
        Field::new("k", "const u16*", B(Buffer::K), "[B, N_kv, H_kv, D]"),
        Field::new("s_c_out", "u32*", B(Buffer::CacheSymbol), "[B, T_q] rows of H bits"),
        Field::new("s_s_out", "u32*", B(Buffer::SkipSymbol), "[B, H, T_q] rows of T_kv bits"),
        Field::new("s_f_out", "u32*", B(Buffer::FullSymbol), "[B, H, T_q] rows of T_kv bits"),
    ];
    fields.extend(params::lookups(strategy));
    fields.extend(params::workspaces(strategy, cuts));
    fields.extend(params::sizes(strategy));
    fields
}

/// The launches of the work that rules ask for; where there is none, one in which each row decides for itself.
fn launches(plan: &Plan<SymbolsPlan>, rules: &mut BlockRules) -> Vec<Step> {
    let mut launches = std::mem::take(&mut rules.steps);
    let Some(rows) = rules.rows.take() else { return launches };
    let entry = if launches.is_empty() { plan.name.clone() } else { format!("{}_rules", plan.name) };
    // A row of S_c holds all heads; the rows of S_s and S_f are those of one.
    let y = if plan.room.skips || plan.room.mask { GridAxis::Heads } else { GridAxis::One };
    let last = Step::last(plan, entry, &RULES, String::new(), [GridAxis::QBlocks, y, GridAxis::Batch]);
    launches.push(Step { before: vec![rows], ..last });
    launches
}

/// What the kernel could have and does not.
fn absent(room: &SymbolsPlan) -> Vec<&'static str> {
    let parts = [
        (room.caches, "S_c: all 1"),
        (room.skips || room.mask, "S_s: all 1"),
        (room.mask, "S_f: there is no mask"),
        (room.ragged, "ragged batches"),
    ];
    parts.into_iter().filter(|(present, _)| !present).map(|(_, part)| part).collect()
}
