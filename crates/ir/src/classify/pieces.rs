//! A block's tokens, cut into runs on which every coordinate ranges over a full interval; and what the coordinates of any
//! run range over at most.

use crate::bind::GridGeometry;
use crate::eval::Scope;
use crate::expr::{Coordinate, Expr, ExprKind, Side};
use crate::strategy::{InputId, Scalar};

use super::floats::Floats;
use super::interval::{Interval, Range};

/// Consecutive tokens of one side, inside the grid or outside it, and what their coordinates range over.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) pos: Interval,
    /// t, h, w; -1 outside the grid.
    pub(super) at: [Interval; 3],
    /// The tile's t, h, w; -1 outside the grid.
    pub(super) tile: [Interval; 3],
    /// Place in the frame; -1 outside the grid.
    pub(super) cell: Interval,
    /// cell - pos, if that is the same for all tokens.
    pub(super) shift: Option<i64>,
    /// Least and largest value of each input; empty if the mask reads none.
    pub(super) inputs: Vec<Range>,
}

/// One block of one side.
#[derive(Clone, Debug)]
pub(super) struct Block {
    /// The hull of the pieces; None for a block past the end of a sequence.
    pub(super) whole: Option<Piece>,
    /// The tokens cut at the cuts of this side and into boxes of the grid.
    pub(super) pieces: Vec<Piece>,
}

/// What the mask reads of the tokens of one side.
#[derive(Clone, Debug)]
pub(super) struct Tokens {
    /// The grid, if the mask reads its coordinates.
    grid: Option<GridGeometry>,
    /// Whether it reads rows: h, w or the tile.
    rows: bool,
    /// The inputs' values by position, if the mask reads any.
    inputs: Vec<(Scalar, Vec<f32>)>,
}

impl Tokens {
    pub(super) fn new(scope: &Scope, side: Side, mask: &Expr) -> Tokens {
        let reads = |test: fn(&Coordinate) -> bool| {
            mask.any(|e| matches!(&e.kind, ExprKind::Coordinate(_, coordinate) if test(coordinate)))
        };
        let grid = reads(|c| !matches!(c, Coordinate::Pos | Coordinate::Block | Coordinate::Len));
        let inputs = mask.any(|e| matches!(e.kind, ExprKind::Input(..)));
        let declared = scope.bound.strategy.inputs.iter().enumerate().filter(|_| inputs);
        Tokens {
            grid: scope.bound.geometry.grid.filter(|of| grid && !of.is_empty()),
            rows: reads(|c| matches!(c, Coordinate::H | Coordinate::W | Coordinate::Tile)),
            inputs: declared.map(|(id, input)| (input.scalar, scope.input_row(InputId(id), side).to_vec())).collect(),
        }
    }

    /// The blocks of `size` tokens, `n_blocks` of them, of a sequence of `tokens`, cut at ascending `cuts`.
    pub(super) fn blocks(&self, size: usize, n_blocks: usize, tokens: usize, cuts: &[i64]) -> Vec<Block> {
        (0..n_blocks).map(|block| self.block(block * size, ((block + 1) * size).min(tokens), cuts)).collect()
    }

    fn block(&self, start: usize, end: usize, cuts: &[i64]) -> Block {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut at = start;
        while at < end {
            let next_cut = cuts.iter().copied().find(|&cut| cut > at as i64);
            let stop = next_cut.map_or(end, |cut| cut.min(end as i64) as usize);
            let piece = self.piece(at, at + self.box_len(at, stop) - 1);
            at = piece.pos.hi as usize + 1;
            pieces.push(piece);
        }
        let whole = pieces.iter().cloned().reduce(|a, b| a.hull(&b));
        Block { whole, pieces }
    }

    /// The tokens of a run, cut where the grid begins and ends and, where places in the frame do not follow positions, into
    /// boxes.
    pub(super) fn pieces(&self, (first, last): (usize, usize)) -> Vec<Piece> {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut at = first;
        while at <= last {
            let bounds = self.grid.iter().flat_map(|grid| [grid.start, grid.start + grid.len()]);
            let stop = bounds.filter(|&bound| bound > at).min().map_or(last, |bound| last.min(bound - 1));
            let whole = self.piece(at, stop);
            let piece = match self.rows || (self.grid.is_some() && whole.shift.is_none()) {
                true => self.piece(at, at + self.box_len(at, stop + 1) - 1),
                false => whole,
            };
            at = piece.pos.hi as usize + 1;
            pieces.push(piece);
        }
        pieces
    }

    /// Length of the longest run from `start` on that ends before `stop` and lies outside the grid or fills a box of it.
    fn box_len(&self, start: usize, stop: usize) -> usize {
        match &self.grid {
            Some(grid) if start < grid.start => grid.start.min(stop) - start,
            Some(grid) if start < grid.start + grid.len() => {
                grid_run(grid, start - grid.start, stop.min(grid.start + grid.len()) - start)
            }
            _ => stop - start,
        }
    }

    /// What the tokens `first..=last` range over. They lie all inside the grid or all outside it.
    pub(super) fn piece(&self, first: usize, last: usize) -> Piece {
        let pos = Interval::new(first as i64, last as i64);
        let outside = Interval::one(-1);
        let inputs = self.inputs.iter().map(|(scalar, values)| range_of(*scalar, values, first, last + 1)).collect();
        match self.grid.as_ref().filter(|grid| (grid.start..grid.start + grid.len()).contains(&first)) {
            None => Piece { pos, at: [outside; 3], tile: [outside; 3], cell: outside, shift: None, inputs },
            Some(grid) => {
                let (at, tile) = grid_hull(grid, first - grid.start, last - grid.start);
                let width = grid.extent[2] as i64;
                let cell = |h: i64, w: i64| h * width + w;
                let (hull, [_, h, w]) = (Interval::new(cell(at[1].lo, at[2].lo), cell(at[1].hi, at[2].hi)), at);
                let in_one_tile = tile.iter().all(|axis| axis.lo == axis.hi);
                let runs = in_one_tile && at[0].lo == at[0].hi && (h.lo == h.hi || grid.tile[2] == grid.extent[2]);
                if !runs {
                    return Piece { pos, at, tile, cell: hull, shift: None, inputs };
                }
                // Inside one row, or over rows as wide as the grid, places follow one another as positions do.
                let start = grid.coordinates(first).map_or(w.lo, |(at, _)| cell(at[1] as i64, at[2] as i64));
                let cell = Interval::new(start, start + pos.hi - pos.lo);
                Piece { pos, at, tile, cell, shift: Some(cell.lo - pos.lo), inputs }
            }
        }
    }
}

impl Piece {
    fn hull(&self, other: &Piece) -> Piece {
        let hull = |a: &[Interval; 3], b: &[Interval; 3]| [0, 1, 2].map(|axis| a[axis].hull(b[axis]));
        Piece {
            pos: self.pos.hull(other.pos),
            at: hull(&self.at, &other.at),
            tile: hull(&self.tile, &other.tile),
            cell: self.cell.hull(other.cell),
            shift: self.shift.filter(|_| self.shift == other.shift),
            inputs: self.inputs.iter().zip(&other.inputs).map(|(a, b)| a.hull(b)).collect(),
        }
    }
}

fn range_of(scalar: Scalar, values: &[f32], start: usize, end: usize) -> Range {
    let Some(values) = values.get(start..end) else { return Range::Truth(None) };
    let floats = values.iter().fold(Floats::NONE, |known, &value| known.hull(Floats::one(value)));
    let (lo, hi, nan) = (floats.lo, floats.hi, floats.nan);
    match scalar {
        Scalar::F32 => Range::Float(floats),
        Scalar::Bool => Range::Truth(match (nan, lo == 0.0 && hi == 0.0, lo > 0.0 || hi < 0.0) {
            (false, true, _) => Some(false),
            (false, _, true) => Some(true),
            _ => None,
        }),
        Scalar::U32 | Scalar::I32 => {
            let (lo, hi) = (i64::from(lo as i32), i64::from(hi as i32));
            Range::Int(if nan { Interval::new(lo.min(0), hi.max(0)) } else { Interval::new(lo, hi) })
        }
    }
}

/// Length of the longest run of at most `most` tokens from grid index `index` on that fills a box of the grid: part of a
/// row, whole rows, or whole planes, of one tile or (where whole tiles follow) of the grid of tiles. Any run of tokens falls
/// into at most 15 such boxes.
fn grid_run(grid: &GridGeometry, index: usize, most: usize) -> usize {
    let tile_len = grid.tile_len();
    let inner = index % tile_len;
    if inner == 0 && most >= tile_len {
        box_run(grid.tiles(), index / tile_len, most / tile_len) * tile_len
    } else {
        box_run(grid.tile, inner, most.min(tile_len - inner))
    }
}

/// Length of the longest run from `index` on in raster order, of at most `most` elements, that fills a box.
fn box_run([_, rows, width]: [usize; 3], index: usize, most: usize) -> usize {
    let plane = rows * width;
    if index.is_multiple_of(plane) && most >= plane {
        most / plane * plane
    } else if index.is_multiple_of(width) && most >= width {
        (most / width).min(rows - index / width % rows) * width
    } else {
        most.min(width - index % width)
    }
}

/// The least box of the grid that holds the grid indices `first..=last`, as far as rows and planes tell, and that of their
/// tiles. Of a run that fills a box it is that box.
fn grid_hull(grid: &GridGeometry, first: usize, last: usize) -> ([Interval; 3], [Interval; 3]) {
    let tile_len = grid.tile_len();
    let tile = raster_hull(grid.tiles(), first / tile_len, last / tile_len);
    let inside = match first / tile_len == last / tile_len {
        true => raster_hull(grid.tile, first % tile_len, last % tile_len),
        false => grid.tile.map(|size| Interval::new(0, size as i64 - 1)),
    };
    let at = [0, 1, 2].map(|axis| {
        let size = grid.tile[axis] as i64;
        Interval::new(tile[axis].lo * size + inside[axis].lo, tile[axis].hi * size + inside[axis].hi)
    });
    (at, tile)
}

fn raster_hull([_, rows, width]: [usize; 3], first: usize, last: usize) -> [Interval; 3] {
    let point = |index: usize| [index / (rows * width), index / width % rows, index % width].map(|x| x as i64);
    let (a, b) = (point(first), point(last));
    let full = |size: usize| Interval::new(0, size as i64 - 1);
    let one_plane = a[0] == b[0];
    [
        Interval::new(a[0], b[0]),
        if one_plane { Interval::new(a[1], b[1]) } else { full(rows) },
        if one_plane && a[1] == b[1] { Interval::new(a[2], b[2]) } else { full(width) },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::RangeId;

    #[test]
    fn boxes_of_a_tiled_grid_are_exact() {
        let grid = GridGeometry { range: RangeId(0), start: 0, extent: [4, 4, 6], tile: [2, 2, 3] };
        let inside = |value: [usize; 3], hull: [Interval; 3]| {
            (0..3).all(|axis| (hull[axis].lo..=hull[axis].hi).contains(&(value[axis] as i64)))
        };
        for start in 0..grid.len() {
            for end in start + 1..=grid.len() {
                let (mut index, mut boxes) = (start, 0);
                while index < end {
                    let len = grid_run(&grid, index, end - index);
                    let (at, tile) = grid_hull(&grid, index, index + len - 1);
                    let volume: i64 = at.iter().map(|axis| axis.hi - axis.lo + 1).product();
                    assert_eq!(volume, len as i64);
                    for token in index..index + len {
                        let (token_at, token_tile) = grid.coordinates(token).unwrap();
                        assert!(inside(token_at, at) && inside(token_tile, tile));
                    }
                    (index, boxes) = (index + len, boxes + 1);
                }
                assert!(boxes <= 15, "{boxes} boxes for {start}..{end}");
                let (at, tile) = grid_hull(&grid, start, end - 1);
                for token in start..end {
                    let (token_at, token_tile) = grid.coordinates(token).unwrap();
                    assert!(inside(token_at, at) && inside(token_tile, tile), "any run lies in its hull");
                }
            }
        }
    }
}
