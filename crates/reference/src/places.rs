//! Where an expression is read, and what is there: coordinates, ranges, the tokens of a block.

use std::ops::Range;

use sparsym_ir::Bound;
use sparsym_ir::expr::{Coordinate, Side};
use sparsym_ir::strategy::{BlockRule, RangeId};

use crate::rules::Reader;
use crate::value::V;

/// What `q`, `kv` and `head` are where an expression is read.
#[derive(Clone, Copy)]
pub(crate) struct Place<'a> {
    /// What `q` and `kv` count.
    pub(crate) unit: Unit,
    pub(crate) q: usize,
    pub(crate) kv: usize,
    pub(crate) head: usize,
    /// The number that belongs to the pair: of tokens the scaled logit, of groups the antidiagonal sum.
    pub(crate) number: f32,
    /// The rule whose condition is read, for order maps.
    pub(crate) rule: Option<&'a BlockRule>,
}

/// What a variable counts.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Unit {
    Token,
    Block,
    /// Groups of so many tokens, inside a block sum.
    Group(usize),
}

impl Place<'_> {
    pub(crate) fn at(&self, side: Side) -> usize {
        match side {
            Side::Q => self.q,
            Side::Kv => self.kv,
        }
    }
}

impl<'a> Reader<'a> {
    /// Tokens of the batch item.
    pub(crate) fn tokens(&self, side: Side) -> usize {
        match side {
            Side::Q => self.bound.problem.q_rows(self.b).len(),
            Side::Kv => self.bound.problem.kv_rows(self.b).len(),
        }
    }

    /// The tokens of block or group `n` that the batch item has.
    pub(crate) fn tokens_of(&self, unit: Unit, side: Side, n: usize) -> Range<usize> {
        let size = match (unit, side) {
            (Unit::Token, _) => 1,
            (Unit::Block, Side::Q) => self.bound.problem.blocks.q as usize,
            (Unit::Block, Side::Kv) => self.bound.problem.blocks.kv as usize,
            (Unit::Group(stride), _) => stride,
        };
        (n * size).min(self.tokens(side))..((n + 1) * size).min(self.tokens(side))
    }

    /// Whether the batch item has the block, and the block belongs to the range.
    pub(crate) fn takes(&self, side: Side, range: Option<RangeId>, block: usize) -> bool {
        let exists = !self.tokens_of(Unit::Block, side, block).is_empty();
        exists && (range.is_none() || self.range_of(Unit::Block, side, block) == range)
    }

    /// The blocks of the batch item that belong to the range.
    pub(crate) fn blocks(&self, side: Side, range: Option<RangeId>) -> Vec<usize> {
        let most = self.bound.problem.q_blocks().max(self.bound.problem.kv_blocks());
        (0..most).filter(|&block| self.takes(side, range, block)).collect()
    }

    pub(crate) fn token_in(&self, token: usize, id: RangeId) -> bool {
        let (start, len) = self.bound.geometry.ranges[id.0];
        token >= start && token < start + len
    }

    /// A block belongs to the first declared range without a grid that it touches, else to the first that it touches.
    pub(crate) fn range_of(&self, unit: Unit, side: Side, n: usize) -> Option<RangeId> {
        let declared = &self.bound.strategy.tokens;
        let touched: Vec<usize> = (0..declared.len())
            .filter(|&id| self.tokens_of(unit, side, n).any(|token| self.token_in(token, RangeId(id))))
            .collect();
        let plain = touched.iter().find(|&&id| declared[id].grid.is_none());
        plain.or(touched.first()).map(|&id| RangeId(id))
    }

    pub(crate) fn coordinate(&self, side: Side, coordinate: Coordinate, place: Place<'a>) -> V {
        let number = place.at(side);
        match (place.unit, coordinate) {
            (Unit::Token, Coordinate::Pos) | (Unit::Block | Unit::Group(_), Coordinate::Block) => V::I(number as i32),
            (Unit::Token, Coordinate::T) => V::I(self.on_grid(number).map_or(-1, |[at, _]| at[0])),
            (Unit::Token, Coordinate::H) => V::I(self.on_grid(number).map_or(-1, |[at, _]| at[1])),
            (Unit::Token, Coordinate::W) => V::I(self.on_grid(number).map_or(-1, |[at, _]| at[2])),
            (Unit::Token, Coordinate::Tile) => V::T(self.on_grid(number).map_or([-1; 3], |[_, tile]| tile)),
            (Unit::Token, Coordinate::Cell) => {
                let width = self.bound.geometry.grid.map_or(0, |grid| grid.extent[2]) as i32;
                V::I(self.on_grid(number).map_or(-1, |[[_, h, w], _]| h * width + w))
            }
            (Unit::Block, Coordinate::Tile) => {
                let range = self.bound.geometry.grid.map(|grid| grid.range);
                let inside = range.is_some() && self.range_of(Unit::Block, side, number) == range;
                let first = self.tokens_of(Unit::Block, side, number).find_map(|token| self.on_grid(token));
                V::T(first.filter(|_| inside).map_or([-1; 3], |[_, tile]| tile))
            }
            (Unit::Block | Unit::Group(_), Coordinate::Len) => {
                V::I(self.tokens_of(place.unit, side, number).len() as i32)
            }
            _ => V::I(-1), // the other granularity; the checks refuse it
        }
    }

    /// (t, h, w) of a token and of its tile; None outside the grid.
    fn on_grid(&self, token: usize) -> Option<[[i32; 3]; 2]> {
        let start = self.bound.geometry.grid?.start;
        token.checked_sub(start).and_then(|n| self.grid.get(n)).copied()
    }
}

/// Walks the grid in the order in which its tokens are stored: tiles in raster order, raster order in each tile.
pub(crate) fn stored_order(bound: &Bound) -> Vec<[[i32; 3]; 2]> {
    let mut order = Vec::new();
    let Some(grid) = &bound.geometry.grid else { return order };
    let raster = |extent: [usize; 3]| {
        let [t, h, w] = extent.map(|n| n as i32);
        (0..t).flat_map(move |t| (0..h).flat_map(move |h| (0..w).map(move |w| [t, h, w])))
    };
    for tile in raster([0, 1, 2].map(|axis| grid.extent[axis] / grid.tile[axis].max(1))) {
        for inner in raster(grid.tile) {
            order.push([[0, 1, 2].map(|axis| tile[axis] * grid.tile[axis] as i32 + inner[axis]), tile]);
        }
    }
    order
}
