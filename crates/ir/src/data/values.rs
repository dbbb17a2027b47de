//! Values of maps, computed map by map.

use std::ops::Range;

use crate::bind::{Bound, Moment};
use crate::eval::{Place, Prepared, Scope};
use crate::expr::{Axis, BlockSum, Expr, ExprKind, Running, Side, Softmax, Type, Within};
use crate::strategy::{Map, MapAxis, MapId, RangeId, Strategy, When};

/// What a device knows of the blocks of Q and K. Everything is f32 and indexed by query head: heads that share a kv head
/// have equal rows of it.
pub trait Features {
    /// [`ExprKind::Dot`] for all block pairs, `[B, H, T_q, T_kv]`.
    fn dot(&self, q_centered: bool, kv_centered: bool) -> Vec<f32>;

    /// [`ExprKind::SelfSim`] for all blocks, `[B, H, T_q]` of Q or `[B, H, T_kv]` of K.
    fn self_similarity(&self, of: Side, centered: bool) -> Vec<f32>;

    /// [`ExprKind::Antidiag`] of these query groups of a batch item and head with every kv group that holds a token,
    /// `[query groups, kv groups]`.
    fn antidiagonals(&self, stride: usize, b: usize, h: usize, q_groups: Range<usize>) -> Vec<f32>;
}

/// Values of maps by [`MapId`].
#[derive(Clone, Debug, Default)]
pub struct MapValues<'a> {
    /// Maps with lower numbers.
    before: Option<&'a MapValues<'a>>,
    entries: Vec<Entry>,
}

#[derive(Clone, Debug)]
struct Entry {
    values: Vec<f32>,
    /// Distance from a batch item to the next and from a head to the next; 0: the same for all.
    strides: [usize; 2],
    /// Blocks along the last axis.
    last: usize,
}

impl<'a> MapValues<'a> {
    /// Maps that go on where these end.
    pub(super) fn after(before: Option<&'a MapValues<'a>>) -> MapValues<'a> {
        MapValues { before, entries: Vec::new() }
    }

    /// Number of maps.
    pub fn len(&self) -> usize {
        self.before.map_or(0, MapValues::len) + self.entries.len()
    }

    /// Whether there are no maps.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// A value.
    pub(crate) fn get(&self, id: MapId, b: usize, h: usize, blocks: impl Iterator<Item = usize>) -> f32 {
        let first = self.before.map_or(0, MapValues::len);
        if let (Some(before), true) = (self.before, id.0 < first) {
            return before.get(id, b, h, blocks);
        }
        let entry = &self.entries[id.0 - first];
        let at = blocks.fold(0, |at, block| at * entry.last + block);
        entry.values.get(b * entry.strides[0] + h * entry.strides[1] + at).copied().unwrap_or(0.0)
    }

    /// Adds a map over (q, kv) of one batch item and head.
    pub(super) fn push_pairs(&mut self, values: Vec<f32>, t_kv: usize) -> MapId {
        self.entries.push(Entry { values, strides: [0, 0], last: t_kv });
        MapId(self.len() - 1)
    }

    fn push(&mut self, bound: &Bound, axes: &[MapAxis], values: Vec<f32>) -> MapId {
        let sizes: Vec<usize> = axes.iter().map(|axis| blocks(bound, axis.side)).collect();
        let size = sizes.iter().product::<usize>();
        let strides = [bound.problem.heads * size, size];
        self.entries.push(Entry { values, strides, last: sizes.last().copied().unwrap_or(1) });
        MapId(self.len() - 1)
    }

    /// All maps of a strategy that [`stages`](super::stages()) made, and this strategy with the products and similarities of
    /// its rules as maps too.
    pub(super) fn compute(bound: &Bound, moment: &Moment, features: &dyn Features) -> (Strategy, MapValues<'static>) {
        let mut strategy = bound.strategy.clone();
        let mut leaves = Leaves { known: Vec::new(), maps: strategy.maps.len() };
        for map in &mut strategy.maps {
            leaves.replace(&mut map.value);
        }
        for rule in &mut strategy.rules {
            if let When::Match { condition: Some(condition), .. } = &mut rule.when {
                leaves.replace(condition);
            }
        }
        // Leaves come first in time but last in number: place them, then fill the maps in.
        let mut values = MapValues::default();
        for map in &strategy.maps {
            values.push(bound, &map.axes, Vec::new());
        }
        for leaf in &leaves.known {
            let side = |side: Side| MapAxis { variable: side.name().to_owned(), side, range: None };
            match *leaf {
                ExprKind::Dot { q_centered, kv_centered } => {
                    values.push(bound, &[side(Side::Q), side(Side::Kv)], features.dot(q_centered, kv_centered))
                }
                ExprKind::SelfSim { of, centered } => {
                    values.push(bound, &[side(of)], features.self_similarity(of, centered))
                }
                _ => unreachable!("leaves are products and similarities"),
            };
        }
        for (n, map) in strategy.maps.iter().enumerate() {
            let here = Bound { strategy: &strategy, geometry: bound.geometry.clone(), ..*bound };
            let computed = Lines { bound: &here, moment: *moment, maps: &values, features }.map(map);
            values.entries[n].values = computed;
        }
        (strategy, values)
    }
}

/// Products and similarities that are read as maps.
struct Leaves {
    known: Vec<ExprKind>,
    maps: usize,
}

impl Leaves {
    fn replace(&mut self, expr: &mut Expr) {
        let sides = match &expr.kind {
            ExprKind::Dot { .. } => vec![Side::Q, Side::Kv],
            ExprKind::SelfSim { of, .. } => vec![*of],
            _ => {
                return expr.children_mut().into_iter().for_each(|child| self.replace(child));
            }
        };
        let at = self.known.iter().position(|known| *known == expr.kind).unwrap_or_else(|| {
            self.known.push(expr.kind.clone());
            self.known.len() - 1
        });
        *expr = Expr { kind: ExprKind::Map(MapId(self.maps + at), sides), ty: Type::Float, span: expr.span };
    }
}

/// Computes one map.
struct Lines<'a> {
    bound: &'a Bound<'a>,
    moment: Moment,
    maps: &'a MapValues<'a>,
    features: &'a dyn Features,
}

impl<'a> Lines<'a> {
    fn scope(&self, b: usize, h: usize) -> Scope<'a> {
        let place = Place::Blocks { q: 0, kv: 0 };
        Scope { bound: self.bound, moment: self.moment, b, h, place, maps: Some(self.maps) }
    }

    fn map(&self, map: &Map) -> Vec<f32> {
        let size = map.axes.iter().map(|axis| blocks(self.bound, axis.side)).product::<usize>();
        let mut values = vec![0.0; self.bound.problem.batch * self.bound.problem.heads * size];
        match &map.value.kind {
            ExprKind::Softmax(softmax) => self.softmax(map, softmax, &mut values),
            ExprKind::BlockSum(sum) => self.block_sum(sum, &mut values),
            _ => self.each(map, &mut values),
        }
        values
    }

    fn each(&self, map: &Map, values: &mut [f32]) {
        self.outer(&map.axes, true, &mut |here, at| values[at] = here.eval(&map.value).float());
    }

    /// Visits every place of these axes, in the ranges that they name, for each batch item and head; with the place's number.
    fn outer(&self, axes: &[MapAxis], heads: bool, visit: &mut dyn FnMut(&Scope<'a>, usize)) {
        let problem = self.bound.problem;
        let all = |axis: Option<&MapAxis>| Running {
            axis: axis.map_or(Axis::Q, |axis| axis.side.into()),
            within: axis.and_then(|axis| axis.range).map_or(Within::All, Within::Range),
            visible: None,
        };
        let (first, second) = (all(axes.first()), all(axes.get(1)));
        let last = axes.get(1).map_or(1, |axis| blocks(self.bound, axis.side));
        let size = axes.iter().map(|axis| blocks(self.bound, axis.side)).product::<usize>();
        for b in 0..problem.batch {
            for h in 0..if heads { problem.heads } else { 1 } {
                let start = (b * problem.heads + h) * size;
                let scope = self.scope(b, h);
                if axes.is_empty() {
                    visit(&scope, start);
                    continue;
                }
                for (i, here) in scope.places(&first) {
                    if axes.len() == 1 {
                        visit(&here, start + i);
                        continue;
                    }
                    for (j, here) in here.places(&second) {
                        visit(&here, start + i * last + j);
                    }
                }
            }
        }
    }

    fn softmax(&self, map: &Map, softmax: &Softmax, values: &mut [f32]) {
        let over = &softmax.over;
        let sizes: Vec<usize> = map.axes.iter().map(|axis| blocks(self.bound, axis.side)).collect();
        let size = sizes.iter().product::<usize>();
        let along = map.axes.iter().position(|axis| Axis::from(axis.side) == over.axis);
        // From one place of the line to the next, and the line's first place.
        let stride = match along {
            None => size,
            Some(at) => sizes[at + 1..].iter().product(),
        };
        let others: Vec<MapAxis> =
            map.axes.iter().enumerate().filter(|(n, _)| Some(*n) != along).map(|(_, axis)| axis.clone()).collect();
        let range: Option<RangeId> = along.and_then(|at| map.axes[at].range);
        self.outer(&others, over.axis != Axis::Head, &mut |here, at| {
            // `at` counts the other axes alone: put the line's axis back, at 0.
            let other = others.iter().map(|axis| blocks(self.bound, axis.side)).product::<usize>();
            let (outside, inside) = (at / other, at % other);
            let first = outside * size + inside * if along == Some(0) { 1 } else { sizes.last().copied().unwrap_or(1) };
            let first = if along.is_none() { outside * size + inside } else { first };
            let line: Vec<(usize, f32, f32)> = here
                .places(over)
                .map(|(n, place)| {
                    let weight = softmax.weight.as_ref().map_or(1.0, |weight| place.eval(weight).float());
                    (n, place.eval(&softmax.value).float(), weight)
                })
                .collect();
            let most = line.iter().map(|line| line.1).fold(f32::NEG_INFINITY, f32::max);
            if most == f32::NEG_INFINITY && !line.iter().any(|line| line.1.is_nan()) {
                return;
            }
            let terms: Vec<f32> = line.iter().map(|(_, x, weight)| weight * (x - most).exp()).collect();
            let sum = terms.iter().fold(0.0, |sum, term| sum + term);
            let kept = |n: usize| range.is_none_or(|id| self.is_in(over.axis, n, id));
            for ((n, ..), term) in line.iter().zip(&terms).filter(|((n, ..), _)| kept(*n)) {
                values[first + n * stride] = term / sum;
            }
        });
    }

    fn is_in(&self, axis: Axis, block: usize, id: RangeId) -> bool {
        let place = Place::Blocks { q: block, kv: block };
        let side = if axis == Axis::Q { Side::Q } else { Side::Kv };
        Scope { place, ..self.scope(0, 0) }.in_range(side, id)
    }

    fn block_sum(&self, sum: &BlockSum, values: &mut [f32]) {
        let problem = self.bound.problem;
        let (t_q, t_kv) = (problem.q_blocks(), problem.kv_blocks());
        for b in 0..problem.batch {
            for h in 0..problem.heads {
                let scope = Scope { place: Place::Nowhere, ..self.scope(b, h) };
                let stride = scope.eval(&sum.stride).int().max(1) as usize;
                let (in_q, in_kv) = (problem.blocks.q as usize / stride, problem.blocks.kv as usize / stride);
                let start = (b * problem.heads + h) * t_q * t_kv;
                let (groups, kv_groups) = (problem.n_q.div_ceil(stride), problem.n_kv.div_ceil(stride));
                let logit = Prepared::of_groups(&scope, &sum.logit);
                let visible = sum.visible.as_ref().map(|visible| Prepared::of_groups(&scope, visible));
                let mut seen = vec![true; kv_groups];
                let mut products = Vec::new();
                for group in 0..groups {
                    if group % in_q == 0 {
                        products = self.features.antidiagonals(stride, b, h, group..(group + in_q).min(groups));
                    }
                    let logits = &products[group % in_q * kv_groups..][..kv_groups];
                    let row = &mut values[start + group / in_q * t_kv..][..t_kv];
                    let mut line = logits.to_vec();
                    logit.score_row(group, 0, &mut line);
                    match (&visible, &sum.visible) {
                        (Some(visible), Some(rule)) if !rule.any(|e| e.kind == ExprKind::Antidiag) => {
                            visible.mask_row(group, 0, &mut seen);
                        }
                        (_, Some(rule)) => {
                            for (kv, (seen, &antidiag)) in seen.iter_mut().zip(logits).enumerate() {
                                let place = Place::Groups { q: group, kv, antidiag };
                                *seen = Scope { place, ..scope }.eval(rule).bool();
                            }
                        }
                        _ => {}
                    }
                    let taken = |kv: &usize| seen[*kv];
                    let most = (0..kv_groups).filter(taken).map(|kv| line[kv]).fold(f32::NEG_INFINITY, f32::max);
                    if most == f32::NEG_INFINITY {
                        continue;
                    }
                    line.iter_mut().for_each(|x| *x = (*x - most).exp());
                    let total = (0..kv_groups).filter(taken).fold(0.0, |total, kv| total + line[kv]);
                    for kv in (0..kv_groups).filter(taken) {
                        row[kv / in_kv] += line[kv] / total;
                    }
                }
            }
        }
    }
}

fn blocks(bound: &Bound, side: Side) -> usize {
    match side {
        Side::Q => bound.problem.q_blocks(),
        Side::Kv => bound.problem.kv_blocks(),
    }
}
