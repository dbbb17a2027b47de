//! Order maps and percentiles: a line of elements is sorted, and each is told where it stands.

use std::rc::Rc;

use sparsym_ir::expr::{BinaryOp, Expr, ExprKind, Line, Measure, Order, Percentile, Side, UnaryOp};
use sparsym_ir::strategy::When;

use crate::margin::{Member, distance, of_member};
use crate::places::Place;
use crate::rules::Reader;
use crate::value::{V, float, operate};

/// A line: the address of the expression of its values, the head, and of a row its query block.
pub(crate) type LineKey = (*const Expr, usize, Option<usize>);

impl<'a> Reader<'a> {
    /// `ascending_mass(x)` at a place. A place that is not on the line, a block that the batch item does not have, stands
    /// behind all others.
    pub(crate) fn order(&self, order: &'a Order, place: Place<'a>) -> V {
        let line = self.line_of(order, place);
        match find(&line, place) {
            Some(at) => says(order.measure, &line[at]),
            None => {
                let mass = line.last().map_or(0.0, |last| last.mass);
                let value = f32::NAN;
                let behind = Member { q: 0, kv: 0, first: false, value, rank: line.len(), before: mass, mass };
                says(order.measure, &behind)
            }
        }
    }

    /// Of the n values of the line the ⌊p·n⌋-th smallest, but at least the first; NaN if there are none.
    pub(crate) fn percentile(&self, percentile: &'a Percentile, place: Place<'a>) -> f32 {
        let line = self.ranked(percentile.line, &percentile.value, None, false, place);
        let count = (float(self.read(&percentile.share, place)) * line.len() as f32).floor() as usize;
        let index = count.clamp(1, line.len().max(1)) - 1;
        line.get(index).map_or(f32::NAN, |member| member.value)
    }

    fn line_of(&self, order: &'a Order, place: Place<'a>) -> Rc<[Member]> {
        self.ranked(order.line, &order.value, order.first.as_ref(), order.descending, place)
    }

    /// The elements among which `place` is one, in their order, with ranks and masses.
    fn ranked(
        &self,
        line: Line,
        value: &'a Expr,
        first: Option<&'a Expr>,
        descending: bool,
        place: Place<'a>,
    ) -> Rc<[Member]> {
        let row = (line == Line::Row).then_some(place.q);
        let key = (std::ptr::from_ref(value), place.head, row);
        self.once(&self.lines, key, || {
            let mut members = self.members(line, value, first, place);
            rank(&mut members, descending);
            members.into()
        })
    }

    /// The elements of a line in order of their index: the blocks that the rule's variables take, of its last variable
    /// or of all.
    fn members(&self, line: Line, value: &'a Expr, first: Option<&'a Expr>, place: Place<'a>) -> Vec<Member> {
        let Some(rule) = place.rule else { return Vec::new() };
        let When::Match { q, kv, .. } = &rule.when else { return Vec::new() };
        let over_pairs = rule.action.writes_skip_symbol();
        let rows = if over_pairs && line == Line::Row { vec![place.q] } else { self.blocks(Side::Q, *q) };
        let columns = if over_pairs { self.blocks(Side::Kv, *kv) } else { vec![place.kv] };
        let mut members = Vec::new();
        for &q in &rows {
            for &kv in &columns {
                let at = Place { q, kv, ..place };
                let first = first.is_some_and(|first| self.read(first, at) == V::B(true));
                let value = float(self.read(value, at));
                members.push(Member { q, kv, first, value, rank: 0, before: 0.0, mass: 0.0 });
            }
        }
        members
    }

    /// The margin of a comparison that was evaluated at `place`, from its operands and their values.
    pub(crate) fn margin(&self, op: BinaryOp, [a, b]: [&'a Expr; 2], [x, y]: [V; 2], place: Place<'a>) -> f32 {
        if !reads_data(a) && !reads_data(b) {
            return f32::INFINITY;
        }
        if let Some(order) = as_order(a) {
            return self.order_margin(order, place, y, |said| operate(op, said_as(a, said), y) == V::B(true));
        }
        if let Some(order) = as_order(b) {
            return self.order_margin(order, place, x, |said| operate(op, x, said_as(b, said)) == V::B(true));
        }
        let of_itself = |e: &Expr, p: &Percentile| e.without_spans() == p.value.without_spans();
        match (&a.kind, &b.kind, x, y) {
            (_, ExprKind::Percentile(p), _, V::F(cut)) if of_itself(a, p) => {
                self.percentile_margin(p, place, cut, |value| operate(op, V::F(value), y) == V::B(true))
            }
            (ExprKind::Percentile(p), _, V::F(cut), _) if of_itself(b, p) => {
                self.percentile_margin(p, place, cut, |value| operate(op, x, V::F(value)) == V::B(true))
            }
            (_, _, V::F(x), V::F(y)) => distance(x, y),
            _ => f32::INFINITY,
        }
    }

    /// Of an order map: a member may take the place of another of nearly equal value, and a mass may be near its bound.
    fn order_margin(&self, order: &'a Order, place: Place<'a>, bound: V, outcome: impl Fn(V) -> bool) -> f32 {
        let line = self.line_of(order, place);
        let Some(at) = find(&line, place) else { return f32::INFINITY };
        let near = |member: &Member| match order.measure {
            Measure::Rank => f32::INFINITY,
            Measure::Mass | Measure::MassBefore => distance(float(says(order.measure, member)), float(bound)),
        };
        of_member(&line, at, 0.0, |member| outcome(says(order.measure, member)), near)
    }

    /// Of x against its own percentile: another member may become the cut. The cut is equal to itself, however rounded.
    fn percentile_margin(&self, p: &'a Percentile, place: Place<'a>, cut: f32, outcome: impl Fn(f32) -> bool) -> f32 {
        let line = self.ranked(p.line, &p.value, None, false, place);
        let Some(at) = find(&line, place) else { return f32::INFINITY };
        of_member(&line, at, f32::INFINITY, |member| outcome(member.value), |member| distance(member.value, cut))
    }
}

/// Sorts members that stand in order of their index, and tells each its rank and masses. `first` goes before all, then
/// values, NaN last; the sort is stable, so equals stay in order of their index.
fn rank(line: &mut [Member], descending: bool) {
    line.sort_by(|a, b| {
        let by_value = match a.value.partial_cmp(&b.value) {
            Some(ascending) if descending => ascending.reverse(),
            Some(ascending) => ascending,
            None => a.value.is_nan().cmp(&b.value.is_nan()),
        };
        b.first.cmp(&a.first).then(by_value)
    });
    let mut mass = 0.0;
    for (rank, member) in line.iter_mut().enumerate() {
        (member.rank, member.before) = (rank, mass);
        if !member.value.is_nan() {
            mass += member.value;
        }
        member.mass = mass;
    }
}

fn find(line: &[Member], place: Place) -> Option<usize> {
    line.iter().position(|member| [member.q, member.kv] == [place.q, place.kv])
}

fn says(measure: Measure, member: &Member) -> V {
    match measure {
        Measure::Rank => V::I(member.rank as i32),
        Measure::Mass => V::F(member.mass),
        Measure::MassBefore => V::F(member.before),
    }
}

/// An order map, as it is or as a float.
fn as_order(e: &Expr) -> Option<&Order> {
    match &e.kind {
        ExprKind::Order(order) => Some(order),
        ExprKind::Unary(UnaryOp::ToFloat, of) => as_order(of),
        _ => None,
    }
}

fn said_as(e: &Expr, said: V) -> V {
    if matches!(e.kind, ExprKind::Unary(UnaryOp::ToFloat, _)) { V::F(float(said)) } else { said }
}

/// Whether Q or K has a say in a value.
pub(crate) fn reads_data(e: &Expr) -> bool {
    e.reads_data() || e.any(|e| e.kind == ExprKind::Antidiag)
}
