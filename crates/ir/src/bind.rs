//! Values for what a strategy leaves open: params, tables, inputs, the moment of a call, and the geometry of its tokens.

mod data;
mod named;
mod values;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Finding, Findings};
use crate::expr::{Coordinate, Expr, ExprKind, Global};
use crate::problem::{Problem, product};
use crate::strategy::{Grid, Param, Permute, RangeId, Scalar, Strategy, Value};

pub use named::Entries;

/// Values of a strategy's params, tables and inputs, by declaration order.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bindings {
    /// One value for each param.
    pub params: Vec<Value>,
    /// One buffer for each table.
    pub tables: Vec<TableData>,
    /// One buffer for each input.
    pub inputs: Vec<InputData>,
}

/// Entries of a table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableData {
    /// One extent for each declared axis: 1 for an entry that holds all along the axis, else the number of steps of the run,
    /// of layers, or of query heads.
    pub shape: Vec<usize>,
    /// Row-major entries; three consecutive numbers each for a table of triples. Names are numbered from 0. Integers stay
    /// below 2^24.
    pub values: Vec<f32>,
}

/// Values of an input, `[B, N]` row-major; for a ragged batch the packed tokens. They are of the declared type: integers
/// below 2^24, 0 and 1 for `bool`, any number for `f32`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputData {
    /// One value for each token.
    pub values: Vec<f32>,
}

/// Where a call stands in the denoising run; by default at the one step of a run of one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Step index, from 0.
    pub step: u32,
    /// Number of steps, at least 1.
    pub steps: u32,
    /// Steps since the last Update; 0 at an Update.
    pub since_update: u32,
    /// Layer index.
    pub layer: u32,
}

impl Default for Moment {
    fn default() -> Moment {
        Moment { step: 0, steps: 1, since_update: 0, layer: 0 }
    }
}

impl Moment {
    /// Most steps of a run: a schedule plans them one by one.
    pub const MOST_STEPS: u32 = 1 << 20;

    /// Checks that the step is one of the run's.
    ///
    /// # Errors
    /// A finding that names the step and the steps.
    pub fn check(&self) -> Result<(), Finding> {
        let (step, steps) = (self.step, self.steps);
        let (what, help) = match steps {
            0 => ("a run has no steps".to_owned(), "give the number of steps, at least 1".to_owned()),
            _ if steps > Moment::MOST_STEPS => {
                (format!("a run has {steps} steps"), format!("give {} at most", Moment::MOST_STEPS))
            }
            _ if step >= steps => {
                (format!("step {step} is beyond the {steps} steps of the run"), "steps count from 0".to_owned())
            }
            _ if self.layer > i32::MAX as u32 || self.since_update > Moment::MOST_STEPS => (
                format!("layer {} or {} steps since the last Update are too many", self.layer, self.since_update),
                format!("layers stay below 2^31, and a run has {} steps at most", Moment::MOST_STEPS),
            ),
            _ => return Ok(()),
        };
        Err(Finding::new(Code::StepOutside, what, help))
    }
}

/// Where the named ranges of a strategy lie in a problem's sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Geometry {
    /// First token and number of tokens of each declared range, by [`RangeId`].
    pub ranges: Vec<(usize, usize)>,
    /// The range that is a grid, if any.
    pub grid: Option<GridGeometry>,
}

/// A (t, h, w) grid in a sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GridGeometry {
    /// Which range it is.
    pub range: RangeId,
    /// First token.
    pub start: usize,
    /// Extents (t, h, w) in tokens.
    pub extent: [usize; 3],
    /// Extents (t, h, w) of a tile in tokens; the whole grid when the range is not tiled.
    pub tile: [usize; 3],
}

impl GridGeometry {
    /// Tokens of the grid.
    pub fn len(&self) -> usize {
        self.extent.iter().product()
    }

    /// Whether the grid has no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Tiles along (t, h, w).
    pub fn tiles(&self) -> [usize; 3] {
        std::array::from_fn(|axis| self.extent[axis] / self.tile[axis].max(1))
    }

    /// Tokens of a frame.
    pub fn frame_len(&self) -> usize {
        self.extent[1] * self.extent[2]
    }

    /// Tokens of a tile.
    pub fn tile_len(&self) -> usize {
        product(&self.tile)
    }

    /// (t, h, w) of a token position, and of its tile; None outside the grid.
    pub fn coordinates(&self, pos: usize) -> Option<([usize; 3], [usize; 3])> {
        let index = pos.checked_sub(self.start).filter(|&index| index < self.len())?;
        let tile = unravel(index / self.tile_len(), self.tiles());
        let inner = unravel(index % self.tile_len(), self.tile);
        Some((std::array::from_fn(|axis| tile[axis] * self.tile[axis] + inner[axis]), tile))
    }
}

fn unravel(index: usize, extent: [usize; 3]) -> [usize; 3] {
    [index / (extent[1] * extent[2]), index / extent[2] % extent[1], index % extent[2]]
}

/// A strategy together with everything that a call leaves open. The input of every device.
#[derive(Clone, Debug)]
pub struct Bound<'a> {
    /// The rules.
    pub strategy: &'a Strategy,
    /// The shapes.
    pub problem: &'a Problem,
    /// The values.
    pub bindings: &'a Bindings,
    /// The ranges.
    pub geometry: Geometry,
}

impl<'a> Bound<'a> {
    /// Checks that strategy, problem and bindings fit together.
    ///
    /// # Errors
    /// All mistakes found: shapes, layout, params, tables, inputs.
    pub fn new(strategy: &'a Strategy, problem: &'a Problem, bindings: &'a Bindings) -> Result<Bound<'a>, Findings> {
        problem.check()?;
        let mut findings = Findings::new();
        bindings.check(strategy, problem, &mut findings);
        let geometry = Geometry::bind(strategy, problem, &mut findings);
        let bound = findings.into_result(Bound { strategy, problem, bindings, geometry })?;
        data::check(&bound).map(|()| bound)
    }

    /// Checks that a call may come at this moment: the step is one of the run's, and tables have entries for it.
    ///
    /// # Errors
    /// All mistakes found.
    pub fn check_moment(&self, moment: &Moment) -> Result<(), Findings> {
        let mut findings = Findings::new();
        findings.extend(moment.check().err());
        for (table, data) in self.strategy.tables.iter().zip(&self.bindings.tables) {
            findings.extend(table.check_moment(data, moment).err());
        }
        findings.into_result(())
    }

    /// The range that a block belongs to: among the ranges that it touches, the first declared one without a grid,
    /// else the first declared one. None for a strategy without named ranges.
    pub fn block_range(&self, first: usize, last: usize) -> Option<RangeId> {
        let touches = |&id: &usize| {
            let (start, len) = self.geometry.ranges[id];
            len > 0 && first < start + len && last >= start
        };
        let ids = || (0..self.geometry.ranges.len()).filter(touches);
        ids().find(|&id| self.strategy.tokens[id].grid.is_none()).or_else(|| ids().next()).map(RangeId)
    }
}

impl Bindings {
    /// Default params and no tables or inputs.
    pub fn defaults(strategy: &Strategy) -> Bindings {
        Bindings {
            params: strategy.params.iter().map(|param| param.default).collect(),
            tables: Vec::new(),
            inputs: Vec::new(),
        }
    }

    fn check(&self, strategy: &Strategy, problem: &Problem, findings: &mut Findings) {
        for (kind, expected, found) in [
            ("param", strategy.params.len(), self.params.len()),
            ("table", strategy.tables.len(), self.tables.len()),
            ("input", strategy.inputs.len(), self.inputs.len()),
        ] {
            if expected != found {
                findings.push(Finding::new(
                    Code::UnknownName,
                    format!(
                        "{} declares {expected} {kind}(s), and these bindings have {found}: they were made for another strategy",
                        strategy.name
                    ),
                    format!(
                        "make bindings of {}, by `bindings()` of its struct or `Bindings::defaults`, and give each {kind} a value",
                        strategy.name
                    ),
                ));
            }
        }
        for (param, &value) in strategy.params.iter().zip(&self.params) {
            findings.extend(param.check(value).err());
        }
        for (table, data) in strategy.tables.iter().zip(&self.tables) {
            match table.check(data) {
                Ok(()) => findings.extend(table.check_heads(data, problem.heads).err()),
                Err(finding) => findings.push(finding),
            }
        }
        for (input, data) in strategy.inputs.iter().zip(&self.inputs) {
            findings.extend(input.check(data, problem).err());
        }
    }
}

impl Param {
    /// Whether the param may have this value.
    ///
    /// # Errors
    /// A finding that names the field, the value and the range.
    pub fn check(&self, value: Value) -> Result<(), Finding> {
        let number = |v: Value| match v {
            Value::Bool(v) => f64::from(u8::from(v)),
            Value::Int(v) => v as f64,
            Value::Float(v) => v,
        };
        let fits_type = match (self.scalar, value) {
            (Scalar::Bool, Value::Bool(_)) => true,
            (Scalar::F32, Value::Float(v)) => (v as f32).is_finite(),
            (Scalar::U32, Value::Int(v)) => (0..=i64::from(i32::MAX)).contains(&v),
            (Scalar::I32, Value::Int(v)) => i32::try_from(v).is_ok(),
            _ => false,
        };
        let fits = fits_type
            && self.min.is_none_or(|min| number(min) <= number(value))
            && self.max.is_none_or(|max| number(value) <= number(max));
        if fits {
            return Ok(());
        }
        Err(Finding::new(
            Code::ParamValue,
            format!("{} = {value} is outside {}", self.name, self.range()),
            format!("give a {} in that range; the default is {}", self.scalar.name(), self.default),
        ))
    }

    /// The legal values in words, for instance `1..` or `0.0..=1.0`.
    pub fn range(&self) -> String {
        let (min, max) = (self.min, self.max);
        match self.scalar {
            Scalar::Bool => "true, false".to_owned(),
            Scalar::U32 => {
                format!("{}..={}", min.unwrap_or(Value::Int(0)), max.unwrap_or(Value::Int(i64::from(i32::MAX))))
            }
            Scalar::I32 | Scalar::F32 => match (min, max) {
                (None, None) => format!("the finite {} numbers", self.scalar.name()),
                (Some(min), None) => format!("{min}.."),
                (None, Some(max)) => format!("..={max}"),
                (Some(min), Some(max)) => format!("{min}..={max}"),
            },
        }
    }
}

impl TableData {
    /// Index of the entry for these axis indices. Along an axis of one entry it is that one whatever the index.
    pub fn entry(&self, indices: &[usize]) -> usize {
        self.shape.iter().zip(indices).fold(0, |at, (&extent, &index)| at * extent + index.min(extent - 1))
    }
}

impl Geometry {
    fn bind(strategy: &Strategy, problem: &Problem, findings: &mut Findings) -> Geometry {
        let mut geometry = Geometry { ranges: Vec::new(), grid: None };
        let named = !problem.layout.ranges.is_empty();
        for (id, declared) in strategy.tokens.iter().enumerate() {
            let found = problem.layout.find(&declared.name);
            // Without a layout the last declared grid, or else the last range, is the whole sequence.
            let (start, len, extent) = match found {
                Some((start, range)) => (start, range.len, range.grid),
                None if !named && problem.ragged.is_none() && id == sole_range(strategy) => (0, problem.n_q, None),
                None => (0, 0, None),
            };
            let unknown = declared.grid.is_some() && len > 0 && extent.is_none();
            if unknown && reads_grid(strategy) {
                findings.push(Finding::new(
                    Code::TokenLayout,
                    format!("{} is a (t, h, w) grid but the problem does not give its extents", declared.name),
                    "give them in `Problem::layout`, for instance `Layout::text_front(n_text, [t, h, w])`",
                ));
            }
            geometry.ranges.push((start, len));
            if let (Some(grid), Some(extent)) = (declared.grid, extent.or(declared.grid.map(|_| [1, 1, len]))) {
                let tile = match grid {
                    Grid::Raster => extent,
                    Grid::Tiled(tile) => tile.map(|t| t as usize),
                };
                let grid = GridGeometry { range: RangeId(id), start, extent, tile };
                if !unknown {
                    check_tiles(strategy, problem, &grid, findings);
                }
                geometry.grid = Some(grid);
            }
        }
        if named && !strategy.tokens.is_empty() {
            for range in problem.layout.ranges.iter().filter(|range| range.len > 0) {
                if !strategy.tokens.iter().any(|declared| declared.name == range.name) {
                    let names: Vec<&str> = strategy.tokens.iter().map(|declared| declared.name.as_str()).collect();
                    findings.push(Finding::new(
                        Code::TokenLayout,
                        format!("the layout has a range {}, which {} does not declare", range.name, strategy.name),
                        format!("name the ranges {} in `Problem::layout`", names.join(" and ")),
                    ));
                }
            }
        }
        geometry
    }
}

/// The declared range that stands for the whole sequence when the problem names none.
fn sole_range(strategy: &Strategy) -> usize {
    strategy.tokens.iter().rposition(|range| range.grid.is_some()).unwrap_or(strategy.tokens.len().saturating_sub(1))
}

/// Whether anything of a strategy depends on the extents of its grid.
fn reads_grid(strategy: &Strategy) -> bool {
    let coordinates = |e: &Expr| match &e.kind {
        ExprKind::Coordinate(
            _,
            Coordinate::T | Coordinate::H | Coordinate::W | Coordinate::Tile | Coordinate::Cell,
        ) => true,
        ExprKind::Global(Global::GridT | Global::GridH | Global::GridW | Global::FrameLen) => true,
        ExprKind::Cover(cover) => cover.per_frame,
        _ => false,
    };
    matches!(strategy.permute, Some(Permute::Tiles(_))) || strategy.exprs().any(|expr| expr.any(coordinates))
}

fn check_tiles(strategy: &Strategy, problem: &Problem, grid: &GridGeometry, findings: &mut Findings) {
    if grid.is_empty() || !reads_grid(strategy) {
        return;
    }
    let [t, h, w] = grid.tile;
    if (0..3).any(|axis| grid.tile[axis] == 0 || !grid.extent[axis].is_multiple_of(grid.tile[axis])) {
        findings.push(Finding::new(
            Code::TileLayout,
            format!(
                "tiles of {t}×{h}×{w} do not divide a grid of {}×{}×{}",
                grid.extent[0], grid.extent[1], grid.extent[2]
            ),
            "use a tile whose extents divide it; tokens that pad the grid take part unless a mask leaves them out",
        ));
        return;
    }
    let reads_tile = |expr: &Expr| expr.any(|e| matches!(e.kind, ExprKind::Coordinate(_, Coordinate::Tile)));
    if !strategy.maps.iter().map(|map| &map.value).chain(strategy.conditions()).any(reads_tile) {
        return;
    }
    for (name, block) in [("block_q", problem.blocks.q as usize), ("block_kv", problem.blocks.kv as usize)] {
        if !grid.tile_len().is_multiple_of(block) {
            findings.push(Finding::new(
                Code::TileLayout,
                format!("{name} {block} does not divide a tile of {t}×{h}×{w} = {} tokens", grid.tile_len()),
                "use a block size that divides the tile, so that every block lies in one tile",
            ));
        } else if !grid.start.is_multiple_of(block) {
            findings.push(Finding::new(
                Code::TileLayout,
                format!("the grid starts at token {}, which is not a multiple of {name} {block}", grid.start),
                "put the text after the grid, or use a block size that divides its start",
            ));
        }
    }
}
