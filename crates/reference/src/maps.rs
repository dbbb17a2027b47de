//! Values computed from Q and K: maps, reductions, softmax, block sums. All f32.

use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;

use sparsym_ir::expr::{Axis, BlockSum, Expr, Reduction, Running, Side, Softmax, Within};
use sparsym_ir::strategy::MapId;

use crate::places::{Place, Unit};
use crate::rules::{Memo, Reader};
use crate::tensors::Tensors;
use crate::value::{V, float, int, least, most};

/// Q and K of a batch item, and what was computed from them so far.
pub(crate) struct Data {
    pub(crate) tensors: Tensors,
    /// Of each map its value at (head, q, kv); a variable that is not the map's counts as 0.
    maps: Memo<(MapId, [usize; 3]), f32>,
    /// Of each block sum, known by its address, and head: the score of each block pair.
    sums: Memo<(*const BlockSum, usize), Rc<Scores>>,
}

type Scores = HashMap<[usize; 2], f32>;

impl Data {
    pub(crate) fn new(tensors: Tensors) -> Data {
        Data { tensors, maps: RefCell::default(), sums: RefCell::default() }
    }
}

impl<'a> Reader<'a> {
    /// A map at the places of some of its reader's variables, one for each axis of the map. 0 outside its ranges, and at
    /// blocks that the batch item does not have.
    pub(crate) fn map(&self, id: MapId, sides: &[Side], place: Place<'a>) -> f32 {
        let map = &self.bound.strategy.maps[id.0];
        let mut at = Place { q: 0, kv: 0, rule: None, ..place };
        for (axis, &side) in map.axes.iter().zip(sides) {
            let block = place.at(side);
            match axis.side {
                Side::Q => at.q = block,
                Side::Kv => at.kv = block,
            }
            if !self.takes(axis.side, axis.range, block) {
                return 0.0;
            }
        }
        let Some(data) = self.data else { return f32::NAN };
        let key = (id, [at.head, at.q, at.kv]);
        self.once(&data.maps, key, || float(self.read(&map.value, at)))
    }

    /// The places that a running variable takes, in order, each in the place of its axis.
    fn run(&self, running: &'a Running, place: Place<'a>) -> Vec<Place<'a>> {
        let range = match running.within {
            Within::Range(id) => Some(id),
            Within::All | Within::QueryBlock => None,
        };
        let inside = |&kv: &usize| {
            let blocks = self.bound.problem.blocks;
            running.within != Within::QueryBlock || kv * blocks.kv as usize / blocks.q as usize == place.q
        };
        let all: Vec<Place> = match running.axis {
            Axis::Q => self.blocks(Side::Q, range).into_iter().map(|q| Place { q, ..place }).collect(),
            Axis::Kv => {
                self.blocks(Side::Kv, range).into_iter().filter(inside).map(|kv| Place { kv, ..place }).collect()
            }
            Axis::Head => (0..self.bound.problem.heads).map(|head| Place { head, ..place }).collect(),
        };
        let visible = |at: &Place<'a>| running.visible.as_ref().is_none_or(|e| self.read(e, *at) == V::B(true));
        all.into_iter().filter(visible).collect()
    }

    /// `sum(t in text: s[t, v])`. Over no place at all `sum` and `mean` are 0, `max` is -∞ and `min` is +∞. `max` and
    /// `min` pass over NaN as the functions of two numbers do.
    pub(crate) fn reduce(&self, how: Reduction, over: &'a Running, value: &'a Expr, place: Place<'a>) -> f32 {
        let values: Vec<f32> = self.run(over, place).into_iter().map(|at| float(self.read(value, at))).collect();
        let fold =
            |start: f32, of: fn(V, V) -> V| values.iter().fold(start, |so_far, &x| float(of(V::F(so_far), V::F(x))));
        match how {
            Reduction::Sum => values.iter().sum(),
            Reduction::Mean if values.is_empty() => 0.0,
            Reduction::Mean => values.iter().sum::<f32>() / values.len() as f32,
            Reduction::Max => fold(f32::NEG_INFINITY, most),
            Reduction::Min => fold(f32::INFINITY, least),
        }
    }

    /// w·eˣ / Σ w·eˣ at the present place of the variable's axis: 0 if it does not take that place, or if the sum is 0.
    pub(crate) fn softmax(&self, softmax: &'a Softmax, place: Place<'a>) -> f32 {
        let places = self.run(&softmax.over, place);
        let here = places.iter().position(|at| [at.q, at.kv, at.head] == [place.q, place.kv, place.head]);
        let x: Vec<f32> = places.iter().map(|&at| float(self.read(&softmax.value, at))).collect();
        let weight = |at| softmax.weight.as_ref().map_or(1.0, |e| float(self.read(e, at)));
        let weights: Vec<f32> = places.iter().map(|&at| weight(at)).collect();
        here.map_or(0.0, |here| shares(&x, &weights)[here])
    }

    /// XAttention's score of the block pair at `place`.
    pub(crate) fn block_sum(&self, sum: &'a BlockSum, place: Place<'a>) -> f32 {
        let Some(data) = self.data else { return f32::NAN };
        let key = (std::ptr::from_ref(sum), place.head);
        let scores = self.once(&data.sums, key, || Rc::new(self.block_sums(sum, place, &data.tensors)));
        scores.get(&[place.q, place.kv]).copied().unwrap_or(0.0)
    }

    /// The scores of all block pairs of a head: each the sum over its groups of a softmax over the kv groups that a query
    /// group sees.
    fn block_sums(&self, sum: &'a BlockSum, place: Place<'a>, tensors: &Tensors) -> Scores {
        let stride = int(self.read(&sum.stride, place)).max(1) as usize;
        let blocks = self.bound.problem.blocks;
        let groups = |side| self.tokens(side).div_ceil(stride);
        let mut scores = Scores::new();
        for q in 0..groups(Side::Q) {
            let (mut seen, mut x) = (Vec::new(), Vec::new());
            for kv in 0..groups(Side::Kv) {
                let number = tensors.antidiagonal(place.head, stride, q, kv);
                let at = Place { unit: Unit::Group(stride), q, kv, number, rule: None, ..place };
                if sum.visible.as_ref().is_none_or(|e| self.read(e, at) == V::B(true)) {
                    seen.push(kv);
                    x.push(float(self.read(&sum.logit, at)));
                }
            }
            for (kv, share) in seen.iter().zip(shares(&x, &vec![1.0; x.len()])) {
                let pair = [q * stride / blocks.q as usize, kv * stride / blocks.kv as usize];
                *scores.entry(pair).or_insert(0.0) += share;
            }
        }
        scores
    }
}

/// w·eˣ / Σ w·eˣ of each, computed as w·eˣ⁻ᵐ / Σ w·eˣ⁻ᵐ with the largest x for m. All 0 if the sum is 0, as it is where
/// every x is -∞.
fn shares(x: &[f32], weights: &[f32]) -> Vec<f32> {
    let largest = x.iter().copied().fold(f32::NEG_INFINITY, f32::max);
    let base = if largest == f32::NEG_INFINITY { 0.0 } else { largest };
    let parts: Vec<f32> = x.iter().zip(weights).map(|(x, w)| w * (x - base).exp()).collect();
    let total: f32 = parts.iter().sum();
    parts.iter().map(|part| if total == 0.0 { 0.0 } else { part / total }).collect()
}
