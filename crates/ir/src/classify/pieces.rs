//! A block's tokens, cut into runs on which every coordinate ranges over a full interval.

use crate::bind::GridGeometry;
use crate::eval::Scope;
use crate::expr::Side;
use crate::strategy::{InputId, Scalar};

use super::interval::{Interval, Range};

/// Consecutive tokens of one side, and what their coordinates range over.
#[derive(Clone, Debug)]
pub(super) struct Piece {
    pub(super) pos: Interval,
    /// t, h, w; -1 outside the grid.
    pub(super) at: [Interval; 3],
    /// The tile's t, h, w; -1 outside the grid.
    pub(super) tile: [Interval; 3],
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

/// How one side of a mask is cut.
pub(super) struct Cutter<'a> {
    pub(super) scope: Scope<'a>,
    pub(super) side: Side,
    /// Tokens of this side.
    pub(super) tokens: usize,
    /// Ascending cuts of this side's pos.
    pub(super) cuts: Vec<i64>,
    /// The grid, if the mask reads its coordinates.
    pub(super) grid: Option<GridGeometry>,
    /// Whether the mask reads inputs.
    pub(super) inputs: bool,
}

impl Cutter<'_> {
    /// The blocks of `size` tokens, `n_blocks` of them.
    pub(super) fn blocks(&self, size: usize, n_blocks: usize) -> Vec<Block> {
        (0..n_blocks).map(|block| self.block(block * size, ((block + 1) * size).min(self.tokens))).collect()
    }

    fn block(&self, start: usize, end: usize) -> Block {
        let mut pieces: Vec<Piece> = Vec::new();
        let mut at = start;
        while at < end {
            let next_cut = self.cuts.iter().copied().find(|&cut| cut > at as i64);
            let stop = next_cut.map_or(end, |cut| cut.min(end as i64) as usize);
            let piece = self.piece(at, stop);
            at = piece.pos.hi as usize + 1;
            pieces.push(piece);
        }
        let whole = pieces.iter().cloned().reduce(|a, b| a.hull(&b));
        Block { whole, pieces }
    }

    /// The longest piece from `start` on that ends before `stop`.
    fn piece(&self, start: usize, stop: usize) -> Piece {
        let outside = [Interval::one(-1); 3];
        let (len, at, tile) = match &self.grid {
            None => (stop - start, outside, outside),
            Some(grid) if start < grid.start => ((grid.start - start).min(stop - start), outside, outside),
            Some(grid) if start >= grid.start + grid.len() => (stop - start, outside, outside),
            Some(grid) => {
                let stop = stop.min(grid.start + grid.len());
                grid_box(grid, start - grid.start, stop - start)
            }
        };
        let pos = Interval::new(start as i64, (start + len) as i64 - 1);
        Piece { pos, at, tile, inputs: self.input_ranges(start, start + len) }
    }

    fn input_ranges(&self, start: usize, end: usize) -> Vec<Range> {
        if !self.inputs {
            return Vec::new();
        }
        let declared = self.scope.bound.strategy.inputs.iter().enumerate();
        declared
            .map(|(id, input)| range_of(input.scalar, self.scope.input_row(InputId(id), self.side), start, end))
            .collect()
    }
}

impl Piece {
    fn hull(&self, other: &Piece) -> Piece {
        let hull = |a: &[Interval; 3], b: &[Interval; 3]| [0, 1, 2].map(|axis| a[axis].hull(b[axis]));
        let inputs = self.inputs.iter().zip(&other.inputs).map(|(a, b)| match (*a, *b) {
            (Range::Int(a), Range::Int(b)) => Range::Int(a.hull(b)),
            (Range::Float(Some(a)), Range::Float(Some(b))) => Range::Float(Some((a.0.min(b.0), a.1.max(b.1)))),
            (Range::Float(_), _) => Range::Float(None),
            (a, b) => {
                if a == b {
                    a
                } else {
                    Range::Truth(None)
                }
            }
        });
        Piece {
            pos: self.pos.hull(other.pos),
            at: hull(&self.at, &other.at),
            tile: hull(&self.tile, &other.tile),
            inputs: inputs.collect(),
        }
    }
}

fn range_of(scalar: Scalar, values: &[f32], start: usize, end: usize) -> Range {
    let Some(values) = values.get(start..end) else { return Range::Float(None) };
    let (mut lo, mut hi, mut nan) = (f32::INFINITY, f32::NEG_INFINITY, false);
    for &value in values {
        (lo, hi, nan) = (lo.min(value), hi.max(value), nan | value.is_nan());
    }
    match scalar {
        Scalar::F32 => Range::Float((!nan).then_some((lo, hi))),
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

/// The longest run of at most `most` tokens from grid index `index` on that fills a box of the grid: part of a row, whole
/// rows, or whole planes, of one tile or (where whole tiles follow) of the grid of tiles. Any run of tokens falls into at
/// most 15 such boxes. Returns its length, its extent in (t, h, w), and that of its tiles.
fn grid_box(grid: &GridGeometry, index: usize, most: usize) -> (usize, [Interval; 3], [Interval; 3]) {
    let tile_len = grid.tile_len();
    let (first_tile, inner) = (index / tile_len, index % tile_len);
    let (len, tile, at) = if inner == 0 && most >= tile_len {
        let (tiles, tile) = raster_box(grid.tiles(), first_tile, most / tile_len);
        let at = [0, 1, 2].map(|axis| {
            let size = grid.tile[axis] as i64;
            Interval::new(tile[axis].lo * size, (tile[axis].hi + 1) * size - 1)
        });
        (tiles * tile_len, tile, at)
    } else {
        let (_, tile) = raster_box(grid.tiles(), first_tile, 1);
        let (len, inside) = raster_box(grid.tile, inner, most.min(tile_len - inner));
        let at = [0, 1, 2].map(|axis| {
            let origin = tile[axis].lo * grid.tile[axis] as i64;
            Interval::new(origin + inside[axis].lo, origin + inside[axis].hi)
        });
        (len, tile, at)
    };
    (len, at, tile)
}

/// The longest run from `index` on in raster order, of at most `most` elements, that fills a box; its length and extent.
fn raster_box(extent: [usize; 3], index: usize, most: usize) -> (usize, [Interval; 3]) {
    let [_, rows, width] = extent;
    let plane = rows * width;
    let (t, h, w) = (index / plane, index / width % rows, index % width);
    let run = |first: usize, len: usize| Interval::new(first as i64, (first + len) as i64 - 1);
    if h == 0 && w == 0 && most >= plane {
        let planes = most / plane;
        (planes * plane, [run(t, planes), run(0, rows), run(0, width)])
    } else if w == 0 && most >= width {
        let n_rows = (most / width).min(rows - h);
        (n_rows * width, [run(t, 1), run(h, n_rows), run(0, width)])
    } else {
        let len = most.min(width - w);
        (len, [run(t, 1), run(h, 1), run(w, len)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::strategy::RangeId;

    #[test]
    fn boxes_of_a_tiled_grid_are_exact() {
        let grid = GridGeometry { range: RangeId(0), start: 0, extent: [4, 4, 6], tile: [2, 2, 3] };
        for start in 0..grid.len() {
            for end in start + 1..=grid.len() {
                let (mut index, mut boxes) = (start, 0);
                while index < end {
                    let (len, at, tile) = grid_box(&grid, index, end - index);
                    let inside = |value: [usize; 3], hull: [Interval; 3]| {
                        (0..3).all(|axis| (hull[axis].lo..=hull[axis].hi).contains(&(value[axis] as i64)))
                    };
                    let volume: i64 = at.iter().map(|axis| axis.hi - axis.lo + 1).product();
                    assert_eq!(volume, len as i64);
                    for token in index..index + len {
                        let (token_at, token_tile) = grid.coordinates(token).unwrap();
                        assert!(inside(token_at, at) && inside(token_tile, tile));
                    }
                    (index, boxes) = (index + len, boxes + 1);
                }
                assert!(boxes <= 15, "{boxes} boxes for {start}..{end}");
            }
        }
    }
}
