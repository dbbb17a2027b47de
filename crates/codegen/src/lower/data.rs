//! Launches that compute what rules read of Q and K: block means, then one map after the other.

use minijinja::context;
use sparsym_ir::Expr;
use sparsym_ir::expr::{Axis, BlockSum, ExprKind, Running, Side, Softmax, Within};
use sparsym_ir::strategy::{Map, RangeId, Strategy};

use super::blocks::grid_locals;
use super::body::{Body, Statement, return_if};
use super::cuda::{Cuda, field, literal};
use super::expr::{Level, Lowering};
use super::functions::{Builder, Function, axis_words, place, words};
use crate::kernel::GridAxis;
use crate::text::{BLOCK_SUM, CENTER, DOT, EACH, POOL, SIMILARITY, SOFTMAX};

/// What the rules read, directly or through maps.
#[derive(Default)]
struct Needs {
    maps: Vec<bool>,
    /// Dot products: (q centred, kv centred).
    dots: Vec<[bool; 2]>,
    /// Self-similarities: (side, centred).
    similarities: Vec<(Side, bool)>,
}

impl Needs {
    fn of(strategy: &Strategy) -> Needs {
        let mut needs = Needs { maps: vec![false; strategy.maps.len()], ..Needs::default() };
        strategy.conditions().for_each(|condition| needs.read(condition));
        // A map reads only maps before it.
        for n in (0..strategy.maps.len()).rev() {
            if needs.maps[n] {
                needs.read(&strategy.maps[n].value);
            }
        }
        needs
    }

    fn read(&mut self, expr: &Expr) {
        expr.walk(&mut |e| match e.kind {
            ExprKind::Map(id, _) => self.maps[id.0] = true,
            ExprKind::Dot { q_centered, kv_centered } => self.dots.push([q_centered, kv_centered]),
            ExprKind::SelfSim { of, centered } => self.similarities.push((of, centered)),
            _ => {}
        });
    }

    fn means(&self) -> bool {
        !self.dots.is_empty()
    }

    fn similarity(&self, of: Side, centered: bool) -> bool {
        self.similarities.contains(&(of, centered))
    }

    /// Whether the mean of all tokens of a side is asked for.
    fn center(&self, of: Side) -> bool {
        self.similarity(of, true) || self.dots.iter().any(|centered| centered[of as usize])
    }

    /// Whether the first pass over the tokens of a side finds something.
    fn pools(&self, of: Side) -> bool {
        self.means() || self.center(of) || self.similarity(of, false)
    }
}

/// Adds the launches before those of the rules.
pub(super) fn lower(lowering: &Lowering) {
    let needs = Needs::of(lowering.strategy);
    pool(lowering, &needs);
    for (map, _) in lowering.strategy.maps.iter().zip(&needs.maps).filter(|(_, needed)| **needed) {
        let step = MapStep { lowering, map, target: place_of(map), values: field(format!("map_{}", map.name)) };
        match &map.value.kind {
            ExprKind::Softmax(softmax) => step.softmax(softmax),
            ExprKind::BlockSum(sum) => step.block_sum(sum),
            _ => match dot_of(&map.value) {
                Some(centered) => step.dot(centered),
                None => step.each(),
            },
        }
    }
}

fn pool(lowering: &Lowering, needs: &Needs) {
    let builder = lowering.builder.expect("the symbols room has one");
    let sides = |test: &dyn Fn(Side) -> bool| [Side::Q, Side::Kv].map(test);
    let blocks = |[q, kv]: [bool; 2]| match (q, kv) {
        (true, true) => GridAxis::Blocks,
        (true, false) => GridAxis::QBlocks,
        _ => GridAxis::KvBlocks,
    };
    let pools = sides(&|side| needs.pools(side));
    if pools == [false, false] || builder.plan.pooled {
        return;
    }
    let similar = sides(&|side| needs.similarity(side, false));
    let values = context! { q => pools[0], k => pools[1], similarity_q => similar[0], similarity_k => similar[1] };
    builder.step("pool", &POOL, 128, [blocks(pools), GridAxis::Heads, GridAxis::Batch], values);
    let center = sides(&|side| needs.center(side));
    if center != [false, false] {
        let values = context! { q => center[0], k => center[1] };
        builder.step("center", &CENTER, 256, [GridAxis::One, GridAxis::Heads, GridAxis::Batch], values);
    }
    let centered = sides(&|side| needs.similarity(side, true));
    if centered != [false, false] {
        let values = context! { q => centered[0], k => centered[1] };
        builder.step("similarity", &SIMILARITY, 128, [blocks(centered), GridAxis::Heads, GridAxis::Batch], values);
    }
}

/// Whether the symbols of a strategy depend on nothing of Q and K but the means of their blocks.
pub fn reads_means_alone(strategy: &Strategy) -> bool {
    let staged = sparsym_ir::data::stages(strategy);
    let needs = Needs::of(&staged);
    let centers = [Side::Q, Side::Kv].iter().any(|&side| needs.center(side));
    let sums = staged.maps.iter().any(|map| matches!(map.value.kind, ExprKind::BlockSum(_)));
    needs.means() && !centers && !sums && needs.similarities.is_empty()
}

/// Whether passes over tokens sum directions, and whether of tokens from which the mean of all is taken away.
pub(super) fn passes(strategy: &Strategy) -> [bool; 2] {
    let needs = Needs::of(strategy);
    let any = |centered| [Side::Q, Side::Kv].iter().any(|&side| needs.similarity(side, centered));
    [any(false) || any(true), any(true)]
}

/// The kind of a map's dot products.
fn dot_of(expr: &Expr) -> Option<[bool; 2]> {
    let mut found = None;
    expr.walk(&mut |e| {
        if let ExprKind::Dot { q_centered, kv_centered } = e.kind {
            found = Some([q_centered, kv_centered]);
        }
    });
    found
}

fn axes(map: &Map) -> [bool; 2] {
    [Side::Q, Side::Kv].map(|side| map.axes.iter().any(|axis| axis.side == side))
}

fn place_of(map: &Map) -> Cuda {
    place(axes(map), ["i", "j"])
}

/// `s[q, kv]`.
fn title(map: &Map) -> String {
    let variables: Vec<&str> = map.axes.iter().map(|axis| axis.variable.as_str()).collect();
    format!("{}[{}]", map.name, variables.join(", "))
}

struct MapStep<'a> {
    lowering: &'a Lowering<'a>,
    map: &'a Map,
    /// Where its values lie.
    target: Cuda,
    values: Cuda,
}

impl MapStep<'_> {
    fn range(&self, side: Side) -> Option<RangeId> {
        self.map.axes.iter().find(|axis| axis.side == side).and_then(|axis| axis.range)
    }

    /// The condition that the variables lie in the ranges that the map's axes name.
    fn inside(&self, sides: &[Side]) -> Option<Cuda> {
        let ranges: Vec<_> = sides.iter().map(|&side| (side, self.range(side))).collect();
        let all = Running { axis: Axis::Head, within: Within::All, visible: None };
        self.lowering.takes(&all, &ranges)
    }

    fn function(&self, kind: &str, stem: &str, comment: &str, value: Cuda) -> Function {
        self.named(kind, stem, comment, self.lowering.with_locals(vec![Statement::Return(value)]))
    }

    /// A float in place if it is short, else as a call.
    fn float(&self, stem: &str, comment: &str, expr: &Expr) -> Cuda {
        let value = self.lowering.expr(expr);
        let needs_locals = self.lowering.with_locals(vec![Statement::Return(value.clone())]).len() > 1;
        match value.is_atom() && value.to_string().len() <= 48 && !needs_locals {
            true => value,
            false => self.function("float", stem, comment, value).call(&words()),
        }
    }

    fn named(&self, kind: &str, stem: &str, comment: &str, body: Body) -> Function {
        let builder = self.lowering.builder.expect("the symbols room has one");
        builder.new_function(kind, &format!("{stem}_{}", self.map.name), comment, body)
    }

    fn step(
        &self,
        template: &'static crate::text::Template,
        threads: u32,
        grid: [GridAxis; 3],
        values: minijinja::Value,
    ) {
        let builder = self.lowering.builder.expect("the symbols room has one");
        let values = context! { title => Builder::title(&title(self.map)), target => self.values.clone().at(self.target.clone()).to_string(), ..values };
        builder.step(&format!("map_{}", self.map.name), template, threads, grid, values);
    }

    /// The value, 0 outside the ranges of the map's axes.
    fn value(&self) -> Function {
        let inside = self.inside(&[Side::Q, Side::Kv]);
        let mut body: Body = inside.into_iter().map(|inside| return_if(inside.negated(), literal("0.0f"))).collect();
        body.push(Statement::Return(self.lowering.expr(&self.map.value)));
        let comment = format!("{} of one place.", title(self.map));
        self.named("float", "value", &comment, self.lowering.with_locals(body))
    }

    fn each(&self) {
        let value = self.value().call(&words());
        let (x, along) = match axes(self.map) {
            [true, true] => (GridAxis::QBlocks, Some(Axis::Kv)),
            [true, false] => (GridAxis::One, Some(Axis::Q)),
            [false, true] => (GridAxis::One, Some(Axis::Kv)),
            [false, false] => (GridAxis::One, None),
        };
        let line = along.map(axis_words);
        let x_word = if x == GridAxis::QBlocks { "i" } else { "" };
        let values = context! {
            locals => grid_locals(&[&value, &self.target], x_word, "h"),
            value => value.to_string(),
            variable => line.map(|line| line[0]),
            count => line.map(|line| field(line[1]).to_string()),
        };
        let threads = if along.is_some() { 128 } else { 32 };
        self.step(&EACH, threads, [x, GridAxis::Heads, GridAxis::Batch], values);
    }

    fn dot(&self, centered: [bool; 2]) {
        let values = context! {
            value => self.value().call(&words()).to_string(),
            centered_q => centered[0],
            centered_k => centered[1],
        };
        self.step(&DOT, 256, [GridAxis::PairTiles, GridAxis::Heads, GridAxis::Batch], values);
    }

    fn softmax(&self, softmax: &Softmax) {
        let axis = softmax.over.axis;
        let [variable, count] = axis_words(axis);
        let own = match axis {
            Axis::Q => Some(Side::Q),
            Axis::Kv => Some(Side::Kv),
            Axis::Head => None,
        };
        let others: Vec<Side> = [Side::Q, Side::Kv].into_iter().filter(|side| Some(*side) != own).collect();
        let ranges: Vec<_> = others.iter().map(|&side| (side, self.range(side))).collect();
        let takes = self.lowering.takes(&softmax.over, &ranges).map(|takes| {
            self.function("bool", "takes", &format!("Whether a place is in its line of {}.", title(self.map)), takes)
        });
        let within = match softmax.over.within {
            Within::Range(id) => Some(id),
            _ => None,
        };
        // Where the map is 0 though the line has a term.
        let kept = own.filter(|&side| self.range(side).is_some() && self.range(side) != within);
        let kept = kept.and_then(|side| self.inside(&[side])).map(|kept| {
            self.function("bool", "keeps_place", &format!("Whether {} has a value there.", title(self.map)), kept)
        });
        let comment = format!("The logit of {}.", title(self.map));
        let logit = self.float("logit", &comment, &softmax.value);
        let weight = softmax.weight.as_ref().map(|weight| {
            let comment = format!("The weight of a place in {}.", title(self.map));
            self.float("weight", &comment, weight)
        });
        let [has_q, has_kv] = axes(self.map);
        let (has_q, has_kv) = (has_q && own != Some(Side::Q), has_kv && own != Some(Side::Kv));
        let mut free = Vec::new();
        free.extend(has_q.then_some((GridAxis::QBlocks, "i")));
        free.extend(has_kv.then_some((GridAxis::KvBlocks, "j")));
        if own.is_some() {
            free.resize(1, (GridAxis::One, ""));
            free.push((GridAxis::Heads, "h"));
        }
        free.resize(2, (GridAxis::One, ""));
        let takes = takes.map(|takes| takes.call(&words()));
        let kept = kept.map(|kept| kept.call(&words()));
        let text = |value: &Option<Cuda>| value.as_ref().map(Cuda::to_string);
        let used: Vec<&Cuda> = takes.iter().chain(&kept).chain([&logit, &self.target]).chain(&weight).collect();
        let line = match axis {
            Axis::Q => "query blocks",
            Axis::Kv => "kv blocks",
            Axis::Head => "heads",
        };
        let values = context! {
            locals => grid_locals(&used, free[0].1, free[1].1),
            variable => variable,
            count => field(count).to_string(),
            line => line,
            takes => text(&takes),
            kept => text(&kept),
            logit => logit.to_string(),
            weight => text(&weight),
        };
        // A line to each head leaves most of a GPU idle: it gets a whole CTA.
        let threads = if free[0].0 == GridAxis::One { 256 } else { 32 };
        self.step(&SOFTMAX, threads, [free[0].0, free[1].0, GridAxis::Batch], values);
    }

    fn block_sum(&self, sum: &BlockSum) {
        let groups = Lowering { level: Level::Groups, ..*self.lowering };
        let logit = groups.with_lets(vec![Statement::Return(groups.expr(&sum.logit))]);
        let logit = self.named("float", "logit", "The logit of a pair of groups.", logit);
        let visible = sum.visible.as_ref().map(|visible| {
            let body = groups.with_lets(vec![Statement::Return(groups.expr(visible))]);
            self.named("bool", "sees", "Whether a query group sees a kv group.", body).call(&words()).to_string()
        });
        let values = context! {
            logit => logit.call(&words()).to_string(),
            visible => visible,
            stride => self.lowering.expr(&sum.stride.inlined()).to_string(),
            inside => self.inside(&[Side::Q, Side::Kv]).map(|inside| inside.to_string()),
        };
        self.step(&BLOCK_SUM, 256, [GridAxis::QBlocks, GridAxis::Heads, GridAxis::Batch], values);
    }
}
