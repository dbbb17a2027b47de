//! The product: one text of kernels, with what is needed to launch them.

use minijinja::Value;
use serde::Serialize;

use crate::entry;
use crate::params::{Argument, Field, Numbers, Params, ProductTiles};
use crate::plan::{Plan, RoomPlan};
use crate::text::{Body, Origin, Template};

/// A generated text: one kernel, or several that are launched in order and share one parameter struct.
#[derive(Clone, Debug)]
#[non_exhaustive]
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
#[non_exhaustive]
pub struct Launch {
    /// Symbol of the function; like the kernel's name it ends in a hash of the text.
    pub entry: String,
    /// Threads of a CTA.
    pub threads: u32,
    /// Dynamic shared memory of a CTA in bytes.
    pub shared_bytes: u32,
    /// What counts the CTAs along x, y and z.
    pub grid: [GridAxis; 3],
    /// Its CTAs may start while the launch before it, of the same kernel, still runs: the text itself waits for that one's
    /// results, and nothing else of it is needed.
    pub early: bool,
}

/// What counts the CTAs of a launch along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum GridAxis {
    /// Tiles of so many query rows: ⌈N / rows⌉.
    QTiles(u32),
    /// Such tiles of all query heads and batch items.
    AllQTiles(u32),
    /// So many CTAs on each multiprocessor that take such tiles in turn, or one for each where they are fewer.
    ResidentQTiles {
        /// Query rows of a tile.
        rows: u32,
        /// CTAs that fit a multiprocessor.
        ctas_per_sm: u32,
    },
    /// Query heads of all batch items.
    AllHeads,
    /// Query blocks: ⌈N / block_q⌉.
    QBlocks,
    /// Kv blocks: ⌈N_kv / block_kv⌉.
    KvBlocks,
    /// Query blocks, and after them kv blocks.
    Blocks,
    /// Query blocks, eight to a CTA: ⌈T_q / 8⌉.
    QBlockOctets,
    /// Query heads.
    Heads,
    /// Batch items.
    Batch,
    /// Tiles of a projection's product, of all batch items: rows by columns.
    Tiles(ProductTiles),
    /// One CTA on each multiprocessor that takes such tiles in turn, or one for each where they are fewer.
    ResidentTiles(ProductTiles),
    /// Blocks with a token of a projection's stream.
    StreamBlocks,
    /// Projections of the launch.
    Projections,
    /// Orders of differences.
    Orders,
    /// One CTA.
    One,
}

/// A stretch of a text.
#[derive(Clone, Debug)]
pub(crate) struct Part {
    pub template: &'static Template,
    /// Functions that nothing before it has defined.
    pub functions: String,
    /// What its template puts where.
    pub values: Value,
}

/// A launch, and the text that it adds.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub launch: Launch,
    /// Functions that it and later launches call.
    pub before: Vec<Part>,
    pub text: Part,
}

impl Step {
    /// A launch without dynamic shared memory.
    pub(crate) fn new(
        entry: String,
        template: &'static Template,
        threads: u32,
        grid: [GridAxis; 3],
        values: Value,
    ) -> Step {
        let values = minijinja::context! { entry => &entry, threads => threads, ..values };
        let launch = Launch { entry, threads, shared_bytes: 0, grid, early: false };
        Step { launch, before: Vec::new(), text: Part { template, functions: String::new(), values } }
    }

    /// The launch of the room itself, with these definitions.
    pub(crate) fn last<R>(
        plan: &Plan<R>,
        entry: String,
        template: &'static Template,
        functions: String,
        grid: [GridAxis; 3],
    ) -> Step {
        let Step { launch, before, text } = Step::new(entry, template, plan.threads, grid, Value::UNDEFINED);
        let launch = Launch { shared_bytes: plan.shared.bytes, ..launch };
        Step { launch, before, text: Part { functions, ..text } }
    }

    /// A launch whose text waits for what the one before it writes.
    pub(crate) fn early(mut self) -> Step {
        self.launch.early = true;
        self
    }
}

impl Kernel {
    pub(crate) fn of_text(plan: Plan, body: Body, fields: Vec<Field>, mut launches: Vec<Launch>) -> Kernel {
        let params = Params::of_text(fields, body.text());
        let (source, origins) = body.finish(params.declaration());
        let names: Vec<&str> = launches.iter().map(|launch| launch.entry.as_str()).collect();
        let hash = entry::content_hash(&source, &names);
        let source = entry::with_hash(&source, &names, &hash);
        launches.iter_mut().for_each(|launch| launch.entry = format!("{}_{hash}", launch.entry));
        Kernel { name: format!("{}_{hash}", plan.name), source, launches, params, origins, plan }
    }

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

    /// How many parameter structs the kernel takes one after another: one; or for each projection of a launch its own, and
    /// zeros for those that are not there.
    pub fn structs(&self) -> usize {
        match &self.plan.room {
            RoomPlan::GemmQ(room) => room.parts.together.map_or(1, |most| most as usize),
            _ => 1,
        }
    }

    /// What to write into the parameter struct for one call: byte offsets and values.
    ///
    /// # Panics
    /// If a projection is given the numbers of rules, or the other way round.
    pub fn arguments(&self, numbers: &Numbers<'_>) -> Vec<(usize, Argument)> {
        self.params.arguments(numbers)
    }

    /// The template that made a line of the source, counted from 1.
    pub fn origin(&self, line: usize) -> Option<&str> {
        self.origins.iter().rev().find(|origin| origin.first_line <= line).map(|origin| origin.template.as_str())
    }
}

impl Launch {
    /// CTAs along x, y and z on a machine with so many multiprocessors. Zero along any axis: there is nothing to launch.
    ///
    /// # Panics
    /// As [`Kernel::arguments`].
    pub fn ctas(&self, numbers: &Numbers<'_>, multiprocessors: u32) -> [u32; 3] {
        self.ctas_together(std::slice::from_ref(numbers), multiprocessors)
    }

    /// The same for a kernel of several projections, with the numbers of each.
    ///
    /// # Panics
    /// As [`Kernel::arguments`], and without any numbers.
    pub fn ctas_together(&self, numbers: &[Numbers<'_>], multiprocessors: u32) -> [u32; 3] {
        self.grid.map(|axis| axis.ctas(numbers, multiprocessors as usize) as u32)
    }
}

impl GridAxis {
    fn ctas(self, all: &[Numbers<'_>], multiprocessors: usize) -> usize {
        let numbers = &all[0];
        let kv_blocks = || numbers.problem().kv_blocks();
        match self {
            GridAxis::QTiles(rows) => numbers.q_tiles(rows),
            GridAxis::AllQTiles(rows) => numbers.all_q_tiles(rows),
            GridAxis::ResidentQTiles { rows, ctas_per_sm } => {
                numbers.all_q_tiles(rows).min(multiprocessors * ctas_per_sm as usize)
            }
            GridAxis::AllHeads => numbers.batch() * numbers.heads(),
            GridAxis::QBlocks => numbers.q_blocks(),
            GridAxis::KvBlocks => kv_blocks(),
            GridAxis::QBlockOctets => numbers.q_blocks().div_ceil(8),
            GridAxis::Blocks => numbers.q_blocks() + kv_blocks(),
            GridAxis::Heads => numbers.heads(),
            GridAxis::Batch => numbers.batch(),
            GridAxis::Tiles(tiles) => tiles.count(numbers.stream()),
            GridAxis::ResidentTiles(tiles) => {
                all.iter().map(|numbers| tiles.count(numbers.stream())).sum::<usize>().min(multiprocessors)
            }
            GridAxis::Projections => all.len(),
            GridAxis::StreamBlocks if numbers.stream().rows == 0 => 0,
            GridAxis::StreamBlocks => numbers.stream().own_blocks().len(),
            GridAxis::Orders => numbers.orders(),
            GridAxis::One => 1,
        }
    }
}
