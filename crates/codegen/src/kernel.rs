//! The product: one text of kernels, with what is needed to launch them.

use serde::Serialize;
use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::problem::Problem;

use crate::entry;
use crate::params::{self, Argument, Field, Params};
use crate::plan::{Plan, Room};
use crate::render::Text;

/// A generated text: one kernel, or several that are launched in order and share one parameter struct.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Name of the text, and of its function if there is only one. It ends in a hash of the text, so no two texts share one.
    pub name: String,
    /// The whole CUDA file; includes nothing.
    pub source: String,
    /// Its functions in the order of their launches, all on one stream: each reads what those before it wrote, and the host
    /// need not wait in between.
    pub launches: Vec<Launch>,
    /// Layout of the parameter struct, the one parameter of every launch.
    pub params: Params,
    /// Which template each stretch of lines comes from, in order.
    pub origins: Vec<Origin>,
    /// All constants.
    pub plan: Plan,
}

/// A `__global__` function and how it is launched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Launch {
    /// Symbol of the function; like the kernel's name it ends in a hash of the text.
    pub entry: String,
    /// Threads of a CTA.
    pub threads: u32,
    /// Dynamic shared memory of a CTA in bytes.
    pub shared_bytes: u32,
    /// What counts the CTAs along x, y and z.
    pub grid: [GridAxis; 3],
}

/// What counts the CTAs of a launch along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GridAxis {
    /// Tiles of query rows: ⌈N / tile_q⌉.
    QTiles,
    /// Query blocks: ⌈N / block_q⌉.
    QBlocks,
    /// Kv blocks: ⌈N_kv / block_kv⌉.
    KvBlocks,
    /// Query blocks, and after them kv blocks.
    Blocks,
    /// Query blocks, four to a CTA: ⌈T_q / 4⌉.
    QBlockQuads,
    /// Squares of 32 × 32 block pairs, row by row: ⌈T_q / 32⌉ · ⌈T_kv / 32⌉.
    PairTiles,
    /// Query heads.
    Heads,
    /// Batch items.
    Batch,
    /// Tiles of a projection's product, of all batch items: rows by columns.
    Tiles,
    /// Blocks with a token of a projection's stream.
    StreamBlocks,
    /// Orders of differences.
    Orders,
    /// One CTA.
    One,
}

/// Blocks along a side of [`GridAxis::PairTiles`].
pub(crate) const PAIR_TILE: u32 = 32;

/// Lines from `first_line` (counted from 1) up to the next origin come from this template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// First line.
    pub first_line: usize,
    /// Path below `templates/`, or what else made the lines.
    pub template: String,
}

pub(crate) fn assemble(plan: Plan, text: Text, fields: Vec<Field>, mut launches: Vec<Launch>) -> Kernel {
    let params = Params::of_text(fields, &text.body);
    let (source, origins) = text.finish(&params);
    let names: Vec<&str> = launches.iter().map(|launch| launch.entry.as_str()).collect();
    let hash = entry::content_hash(&source, &names);
    let source = entry::with_hash(&source, &names, &hash);
    launches.iter_mut().for_each(|launch| launch.entry = format!("{}_{hash}", launch.entry));
    Kernel { name: format!("{}_{hash}", plan.name), source, launches, params, origins, plan }
}

/// The launch of the room itself, after those that prepare it.
pub(crate) fn last_launch(plan: &Plan, entry: String) -> Launch {
    let grid = match plan.room {
        // A row of S_c holds all heads; the rows of S_s and S_f are those of one.
        Room::Symbols if !(plan.skips || plan.mask) => [GridAxis::QBlocks, GridAxis::One, GridAxis::Batch],
        Room::Symbols => [GridAxis::QBlocks, GridAxis::Heads, GridAxis::Batch],
        Room::GemmO if plan.projection.differences => [GridAxis::Tiles, GridAxis::One, GridAxis::Orders],
        Room::GemmQ | Room::GemmO => [GridAxis::Tiles, GridAxis::One, GridAxis::One],
        Room::Attention => [GridAxis::QTiles, GridAxis::Heads, GridAxis::Batch],
    };
    Launch { entry, threads: plan.threads, shared_bytes: plan.shared_bytes, grid }
}

impl Kernel {
    /// Puts another text in the place of the generated one, for instance after edits by hand. Its functions may have the
    /// generated names, others with another hash, or none: what is launched is what the text has.
    pub fn replace_source(&mut self, text: impl Into<String>) {
        self.source = text.into();
        self.origins.clear();
        for launch in &mut self.launches {
            if let Some(found) = entry::find_in(&self.source, &launch.entry) {
                launch.entry = found.to_owned();
            }
        }
        if let [only] = self.launches.as_slice() {
            self.name.clone_from(&only.entry);
        }
    }

    /// What to write into the parameter struct for one call: byte offsets and values.
    pub fn arguments(&self, bound: &Bound<'_>, moment: &Moment, coefficients: &[f32]) -> Vec<(usize, Argument)> {
        params::arguments(&self.params, bound, moment, coefficients)
    }

    /// CTAs of a launch along x, y and z. Zero along any axis: there is nothing to launch.
    pub fn grid(&self, launch: &Launch, problem: &Problem) -> [u32; 3] {
        let (q_blocks, kv_blocks) = (problem.q_blocks() as u32, problem.kv_blocks() as u32);
        launch.grid.map(|axis| match axis {
            GridAxis::QTiles => problem.n_q.div_ceil(self.plan.tile_q as usize) as u32,
            GridAxis::QBlocks => q_blocks,
            GridAxis::KvBlocks => kv_blocks,
            GridAxis::QBlockQuads => q_blocks.div_ceil(4),
            GridAxis::Blocks => q_blocks + kv_blocks,
            GridAxis::PairTiles => q_blocks.div_ceil(PAIR_TILE) * kv_blocks.div_ceil(PAIR_TILE),
            GridAxis::Heads => problem.heads as u32,
            GridAxis::Batch => problem.batch as u32,
            GridAxis::One => 1,
            GridAxis::Tiles | GridAxis::StreamBlocks | GridAxis::Orders => {
                unreachable!("{} is a projection: projection_grid counts its CTAs", self.name)
            }
        })
    }

    /// The template that made a line of the source, counted from 1.
    pub fn origin(&self, line: usize) -> Option<&str> {
        self.origins.iter().rev().find(|origin| origin.first_line <= line).map(|origin| origin.template.as_str())
    }
}
