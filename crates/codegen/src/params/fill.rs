//! The numbers of one call, and what they are in a kernel's parameters.

use sparsym_ir::bind::{Bound, GridGeometry, Moment};
use sparsym_ir::classify::mask_fits;
use sparsym_ir::expr::{Global, Side};
use sparsym_ir::problem::Problem;
use sparsym_ir::projection::Stream;
use sparsym_ir::strategy::{MOST_ORDER, MOST_TERMS, TableAxis, Value};

use super::layout::Params;
use super::source::{Argument, Array, Boxes, Buffer, Length, Number, ProductTiles, Source, TileColumns};

/// All numbers of one call.
#[derive(Clone, Copy, Debug)]
pub struct Numbers<'a> {
    /// What the call is about.
    pub sizes: Sizes<'a>,
    /// A factor for each feature of attention, or for each partial of gemm_o.
    pub coefficients: &'a [f32],
    /// Differences: for each order from 1 a weight for each output.
    pub weights: &'a [Vec<f32>],
}

/// What a call is about.
#[derive(Clone, Copy, Debug)]
pub enum Sizes<'a> {
    /// Attention and symbols.
    Rules {
        /// Strategy, problem and bindings.
        bound: &'a Bound<'a>,
        /// Step and layer.
        moment: Moment,
    },
    /// A projection.
    Stream {
        /// Its sizes.
        stream: &'a Stream,
        /// gemm_q: added to the mean square.
        eps: f32,
    },
}

impl<'a> Numbers<'a> {
    /// Those of attention without a forecast, and of symbols.
    pub fn of_rules(bound: &'a Bound<'a>, moment: Moment) -> Numbers<'a> {
        Numbers { sizes: Sizes::Rules { bound, moment }, coefficients: &[], weights: &[] }
    }

    /// Those of a projection without additions.
    pub fn of_stream(stream: &'a Stream) -> Numbers<'a> {
        Numbers { sizes: Sizes::Stream { stream, eps: 0.0 }, coefficients: &[], weights: &[] }
    }

    pub(crate) fn problem(&self) -> &'a Problem {
        self.rules().0.problem
    }

    fn rules(&self) -> (&'a Bound<'a>, Moment) {
        match self.sizes {
            Sizes::Rules { bound, moment } => (bound, moment),
            Sizes::Stream { .. } => panic!("a kernel of rules was given the numbers of a projection"),
        }
    }

    pub(crate) fn stream(&self) -> &'a Stream {
        match self.sizes {
            Sizes::Stream { stream, .. } => stream,
            Sizes::Rules { .. } => panic!("a projection was given the numbers of a strategy's rules"),
        }
    }

    pub(crate) fn batch(&self) -> usize {
        match self.sizes {
            Sizes::Rules { bound, .. } => bound.problem.batch,
            Sizes::Stream { stream, .. } => stream.batch,
        }
    }

    pub(crate) fn heads(&self) -> usize {
        match self.sizes {
            Sizes::Rules { bound, .. } => bound.problem.heads,
            Sizes::Stream { stream, .. } => stream.heads,
        }
    }

    pub(crate) fn q_blocks(&self) -> usize {
        match self.sizes {
            Sizes::Rules { bound, .. } => bound.problem.q_blocks(),
            Sizes::Stream { stream, .. } => stream.blocks(),
        }
    }

    /// Tiles of so many query rows, of a head of a batch item.
    pub(crate) fn q_tiles(&self, rows: u32) -> usize {
        self.problem().n_q.div_ceil(rows as usize)
    }

    /// Such tiles of all heads and batch items.
    pub(crate) fn all_q_tiles(&self, rows: u32) -> usize {
        self.batch() * self.heads() * self.q_tiles(rows)
    }

    pub(crate) fn orders(&self) -> usize {
        self.weights.len().min(MOST_ORDER)
    }

    fn outputs(&self) -> usize {
        self.weights.first().map_or(0, Vec::len).min(MOST_TERMS)
    }

    fn coefficients(&self) -> &'a [f32] {
        &self.coefficients[..self.coefficients.len().min(MOST_TERMS)]
    }

    /// The elements of a field.
    fn of(&self, source: Source) -> Vec<Argument> {
        let addresses =
            |count: usize, buffer: fn(usize) -> Buffer| (0..count).map(buffer).map(Argument::Buffer).collect();
        match source {
            Source::Buffer(buffer) => vec![Argument::Buffer(buffer)],
            Source::Number(number) => vec![self.number(number)],
            Source::Boxes(boxes) => vec![self.boxes(boxes)],
            Source::EachPartial(boxes) => {
                let of_partial = |n| self.boxes(Boxes { of: Buffer::PartialIn(n), ..boxes });
                (0..self.coefficients().len()).map(of_partial).collect()
            }
            Source::Array(Array::Features) => addresses(self.coefficients().len(), Buffer::Feature),
            Source::Array(Array::Partials) => addresses(self.coefficients().len(), Buffer::PartialIn),
            Source::Array(Array::PartialsOut) => addresses(self.orders(), Buffer::PartialOut),
            Source::Array(Array::Outputs) => addresses(self.outputs(), Buffer::Output),
            Source::Array(Array::Coefficients) => self.coefficients().iter().copied().map(Argument::F32).collect(),
            Source::Array(Array::Weights) => {
                let weight = |k: usize, j: usize| self.weights.get(k).and_then(|of| of.get(j)).copied().unwrap_or(0.0);
                let places = (0..MOST_ORDER).flat_map(|k| (0..MOST_TERMS).map(move |j| (k, j)));
                places.map(|(k, j)| Argument::F32(weight(k, j))).collect()
            }
        }
    }

    fn boxes(&self, boxes: Boxes) -> Argument {
        let number = |number| match self.number(number) {
            Argument::I32(length) => length as u64,
            other => panic!("{number:?} is no length but {other:?}"),
        };
        let (mut first, mut before) = (0, 1);
        let (mut extents, mut strides) = ([0; 4], [0; 4]);
        for (n, axis) in boxes.axes.iter().enumerate() {
            let (all, start, length) = match axis.length {
                Length::Fixed(length) => (u64::from(length), 0, u64::from(length)),
                Length::Of(all) => (number(all), 0, number(all)),
                Length::Window { all, first, length } => (number(all), number(first), number(length)),
            };
            (extents[n], strides[n]) = (length, before);
            first += start * before;
            before *= all;
        }
        let [_, strides @ ..] = strides;
        Argument::Boxes { of: boxes.of, first, extents, strides, in_box: boxes.axes.map(|axis| axis.in_box) }
    }

    fn number(&self, number: Number) -> Argument {
        let int = |n: usize| Argument::I32(n as i32);
        let extent = |pick: fn(&GridGeometry) -> usize, none| grid_of(self.rules().0).map_or(none, pick);
        let along = |axis: usize, of: fn(&GridGeometry) -> [usize; 3]| {
            int(grid_of(self.rules().0).map_or(1, |grid| of(grid)[axis].max(1)))
        };
        match number {
            Number::Batch => int(self.batch()),
            Number::NQ => int(match self.sizes {
                Sizes::Rules { bound, .. } => bound.problem.n_q,
                Sizes::Stream { stream, .. } => stream.tokens,
            }),
            Number::NKv => int(self.problem().n_kv),
            Number::TotalQ => int(self.problem().q_shape()[..2].iter().product()),
            Number::TotalKv => int(self.problem().kv_shape()[..2].iter().product()),
            Number::Heads => int(self.heads()),
            Number::KvHeads => int(self.problem().kv_heads),
            Number::HeadsPerKvHead => int(self.problem().heads / self.problem().kv_heads),
            Number::QBlocks => int(self.q_blocks()),
            Number::KvBlocks => int(self.problem().kv_blocks()),
            Number::QTiles(rows) => int(self.q_tiles(rows)),
            Number::Scale => Argument::F32(self.problem().scale),
            Number::ScaleLog2 => Argument::F32((f64::from(self.problem().scale) * std::f64::consts::LOG2_E) as f32),
            Number::Global(global) => self.global(global),
            Number::Param(index) => match self.rules().0.bindings.params[index] {
                Value::Bool(v) => Argument::I32(i32::from(v)),
                Value::Int(v) => Argument::I32(v as i32),
                Value::Float(v) => Argument::F32(v as f32),
            },
            Number::RangeFirst(index) => int(self.rules().0.geometry.ranges[index].0),
            Number::RangeEnd(index) => {
                let (first, len) = self.rules().0.geometry.ranges[index];
                int(first + len)
            }
            Number::GridFirst => int(extent(|grid| grid.start, 0)),
            Number::GridEnd => int(extent(|grid| grid.start + grid.len(), 0)),
            Number::GridExtent(axis) => along(axis, |grid| grid.extent),
            Number::TileExtent(axis) => along(axis, |grid| grid.tile),
            Number::Tiles(axis) => along(axis, GridGeometry::tiles),
            Number::MaskFits => {
                let (bound, moment) = self.rules();
                Argument::I32(i32::from(mask_fits(bound, &moment)))
            }
            Number::TableEntry(index) => {
                let (bound, moment) = self.rules();
                let at = |axis: &TableAxis| match axis {
                    TableAxis::Step => moment.step as usize,
                    TableAxis::Layer => moment.layer as usize,
                    TableAxis::Head => 0,
                };
                let indices: Vec<usize> = bound.strategy.tables[index].axes.iter().map(at).collect();
                int(bound.bindings.tables[index].entry(&indices))
            }
            Number::TableLastHead(index) => {
                let (table, data) = (&self.rules().0.strategy.tables[index], &self.rules().0.bindings.tables[index]);
                let at = table.axes.iter().position(|&axis| axis == TableAxis::Head);
                int(at.map_or(0, |at| data.shape[at] - 1))
            }
            Number::FirstToken => int(self.stream().first),
            Number::Rows => int(self.stream().rows),
            Number::Width => int(self.stream().width),
            Number::FirstRowTile(tiles) => int(tiles.first_row_tile(self.stream())),
            Number::RowTiles(tiles) => int(tiles.row_tiles(self.stream())),
            Number::ColumnTiles(tiles) => int(tiles.column_tiles(self.stream())),
            Number::Eps => match self.sizes {
                Sizes::Stream { eps, .. } => Argument::F32(eps),
                Sizes::Rules { .. } => Argument::F32(0.0),
            },
            Number::Coefficients => int(self.coefficients().len()),
            Number::Outputs => int(self.outputs()),
            Number::Orders => int(self.orders()),
        }
    }

    fn global(&self, global: Global) -> Argument {
        let (bound, moment) = self.rules();
        let problem = bound.problem;
        let along = |axis: usize| grid_of(bound).map_or(1, |grid| grid.extent[axis]) as i32;
        Argument::I32(match global {
            Global::Step => moment.step as i32,
            Global::Steps => moment.steps as i32,
            Global::SinceUpdate => moment.since_update as i32,
            Global::Layer => moment.layer as i32,
            Global::Heads => problem.heads as i32,
            Global::HeadDim => problem.head_dim as i32,
            Global::BlockQ => problem.blocks.q as i32,
            Global::BlockKv => problem.blocks.kv as i32,
            Global::QBlocks => problem.q_blocks() as i32,
            Global::KvBlocks => problem.kv_blocks() as i32,
            Global::GridT => along(0),
            Global::GridH => along(1),
            Global::GridW => along(2),
            Global::FrameLen => bound.geometry.grid.map_or(problem.n_q, |grid| grid.frame_len()) as i32,
            Global::Head | Global::Batch => 0,
        })
    }
}

/// The grid, if it has tokens.
fn grid_of<'a>(bound: &'a Bound<'_>) -> Option<&'a GridGeometry> {
    bound.geometry.grid.as_ref().filter(|grid| !grid.is_empty())
}

impl Params {
    /// Byte offsets and values for one call.
    pub(crate) fn arguments(&self, numbers: &Numbers<'_>) -> Vec<(usize, Argument)> {
        let elements = |field: &super::layout::Field| {
            let (first, bytes) = (field.offset, field.source.extent().bytes);
            let values = numbers.of(field.source).into_iter().enumerate();
            values.map(move |(n, value)| (first + n * bytes, value)).collect::<Vec<_>>()
        };
        self.fields.iter().flat_map(elements).collect()
    }
}

impl ProductTiles {
    fn first_row_tile(self, stream: &Stream) -> usize {
        stream.first / self.rows as usize
    }

    fn row_tiles(self, stream: &Stream) -> usize {
        let end = (stream.first + stream.rows).div_ceil(self.rows as usize);
        if stream.rows == 0 { 0 } else { end - self.first_row_tile(stream) }
    }

    fn column_tiles(self, stream: &Stream) -> usize {
        match self.columns {
            TileColumns::OfHeads(heads) => stream.heads.div_ceil(heads as usize),
            TileColumns::OfModel(columns) => stream.width.div_ceil(columns as usize),
        }
    }

    /// Of all batch items.
    pub(crate) fn count(self, stream: &Stream) -> usize {
        stream.batch * self.row_tiles(stream) * self.column_tiles(stream)
    }
}

impl Buffer {
    /// Bytes of a buffer that one launch of a kernel writes for those after it; None: it is not one.
    ///
    /// # Panics
    /// If the numbers are those of another kind of kernel, as everything that takes them.
    pub fn workspace_bytes(self, numbers: &Numbers<'_>) -> Option<usize> {
        let heads = |of: Side| {
            let problem = numbers.problem();
            problem.batch * if of == Side::Q { problem.heads } else { problem.kv_heads }
        };
        let blocks = |of: Side| match of {
            Side::Q => numbers.problem().q_blocks(),
            Side::Kv => numbers.problem().kv_blocks(),
        };
        let along = |axes: [bool; 2]| {
            let [q, kv] = axes.map(u32::from);
            blocks(Side::Q).pow(q) * blocks(Side::Kv).pow(kv)
        };
        Some(match self {
            Buffer::Means(of) => 4 * heads(of) * blocks(of) * numbers.problem().head_dim,
            Buffer::Center(of) => 4 * heads(of) * numbers.problem().head_dim,
            Buffer::Similarity { of, .. } => 4 * heads(of) * blocks(of),
            Buffer::Map { axes, .. } => 4 * heads(Side::Q) * along(axes),
            Buffer::Cut { rows, .. } => 8 * heads(Side::Q) * along([rows, false]),
            Buffer::CacheBits => 4 * heads(Side::Q) * blocks(Side::Q).div_ceil(32),
            Buffer::Arrivals => 4 * numbers.batch() * (numbers.heads() + 1),
            Buffer::QTiles(rows) => 4 * (1 + numbers.all_q_tiles(rows)),
            Buffer::TilesTaken => 4,
            Buffer::Tiles(tiles) => 4 * (1 + tiles.count(numbers.stream())),
            Buffer::RowTiles(tiles) => 4 * numbers.batch() * tiles.row_tiles(numbers.stream()),
            Buffer::HeadTiles(tiles) => 16 * (1 + tiles.count(numbers.stream())),
            Buffer::Differences => 2 * numbers.orders() * numbers.stream().head_shape().iter().product::<usize>(),
            _ => return None,
        })
    }
}
