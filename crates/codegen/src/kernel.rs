//! The product: one kernel as text, with what is needed to launch it.

use serde::Serialize;
use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::problem::Problem;

use crate::params::{self, Argument, Field, Params};
use crate::plan::{Plan, Room};
use crate::render::Text;

/// A generated kernel.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// Symbol of the `__global__` function.
    pub name: String,
    /// The whole CUDA file; includes nothing.
    pub source: String,
    /// Threads of a CTA.
    pub threads: u32,
    /// Dynamic shared memory of a CTA in bytes.
    pub shared_bytes: u32,
    /// Layout of the kernel's parameter struct.
    pub params: Params,
    /// Which template each stretch of lines comes from, in order.
    pub origins: Vec<Origin>,
    /// All constants.
    pub plan: Plan,
}

/// What counts the CTAs of a launch along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GridAxis {
    /// Tiles of query rows: ⌈N / tile_q⌉.
    QTiles,
    /// Query blocks: ⌈N / block_q⌉.
    QBlocks,
    /// Query heads.
    Heads,
    /// Batch items.
    Batch,
    /// One CTA.
    One,
}

/// Lines from `first_line` (counted from 1) up to the next origin come from this template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// First line.
    pub first_line: usize,
    /// Path below `templates/`, or what else made the lines.
    pub template: String,
}

pub(crate) fn assemble(plan: Plan, text: Text, fields: Vec<Field>) -> Kernel {
    let params = Params::of_text(fields, &text.body);
    let (source, origins) = text.finish(&params);
    Kernel {
        name: plan.name.clone(),
        source,
        threads: plan.threads,
        shared_bytes: plan.shared_bytes,
        params,
        origins,
        plan,
    }
}

impl Kernel {
    /// What to write into the parameter struct for one call: byte offsets and values.
    pub fn arguments(&self, bound: &Bound<'_>, moment: &Moment, coefficients: &[f32]) -> Vec<(usize, Argument)> {
        params::arguments(&self.params, bound, moment, coefficients)
    }

    /// CTAs of a launch along x, y and z. Zero along any axis: there is nothing to launch.
    pub fn grid(&self, problem: &Problem) -> [u32; 3] {
        self.grid_axes().map(|axis| match axis {
            GridAxis::QTiles => problem.n_q.div_ceil(self.plan.tile_q as usize) as u32,
            GridAxis::QBlocks => problem.q_blocks() as u32,
            GridAxis::Heads => problem.heads as u32,
            GridAxis::Batch => problem.batch as u32,
            GridAxis::One => 1,
        })
    }

    /// What counts the CTAs along x, y and z.
    pub fn grid_axes(&self) -> [GridAxis; 3] {
        match self.plan.room {
            // A row of S_c holds all heads; the rows of S_s and S_f are those of one.
            Room::Symbols if !(self.plan.skips || self.plan.mask) => {
                [GridAxis::QBlocks, GridAxis::One, GridAxis::Batch]
            }
            Room::Symbols => [GridAxis::QBlocks, GridAxis::Heads, GridAxis::Batch],
            _ => [GridAxis::QTiles, GridAxis::Heads, GridAxis::Batch],
        }
    }

    /// The template that made a line of the source, counted from 1.
    pub fn origin(&self, line: usize) -> Option<&str> {
        self.origins.iter().rev().find(|origin| origin.first_line <= line).map(|origin| origin.template.as_str())
    }
}
