//! Launches that compute what rules read of Q and K: block means, then one map after the other.

use minijinja::context;
use sparsym_ir::Expr;
use sparsym_ir::expr::{Axis, BlockSum, ExprKind, Line, Running, Side, Softmax, Within};
use sparsym_ir::strategy::{Map, RangeId, Strategy};

use super::body::{Body, Statement, return_if};
use super::cuda::{Cuda, field, literal};
use super::expr::{Level, Lowering};
use super::functions::{Builder, Function, axis_words, place, words};
use super::work::{Form, LANES_OF_CTA, Made, Work, reads};
use crate::kernel::{GridAxis, Step};
use crate::text::{BLOCK_SUM, CENTERS, DOT, EACH, LINES, POOL, SIMILARITY, SOFTMAX, Template};

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
        strategy.conditions().for_each(|condition| needs.read(strategy, condition));
        // A map reads only maps before it.
        for n in (0..strategy.maps.len()).rev() {
            if needs.maps[n] {
                needs.read(strategy, &strategy.maps[n].value);
            }
        }
        needs
    }

    fn read(&mut self, strategy: &Strategy, expr: &Expr) {
        expr.walk(&mut |e| match e.kind {
            ExprKind::Map(id, ref sides) => match in_place(&strategy.maps[id.0], sides) {
                Some((of, centered)) => self.similarities.push((of, centered)),
                None => self.maps[id.0] = true,
            },
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
    for (index, map) in lowering.strategy.maps.iter().enumerate().filter(|&(index, _)| needs.maps[index]) {
        let values = field(format!("map_{}", map.name));
        let step = MapStep { lowering, index, map, target: place_of(map), values };
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
    let builder = lowering.builder();
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
    let launch = |what: &str, template, of, values| {
        builder.launch(what, template, 128, [blocks(of), GridAxis::Heads, GridAxis::Batch], values)
    };
    let similar = sides(&|side| needs.similarity(side, false));
    let center = sides(&|side| needs.center(side));
    let centers = center != [false, false];
    let values = context! {
        q => pools[0],
        k => pools[1],
        similarity_q => similar[0],
        similarity_k => similar[1],
        centers => centers,
        lets_next_start => false,
    };
    let mut pool = launch("pool", &POOL, pools, values);
    if centers {
        pool.before.push(builder.part(&CENTERS, context! { q => center[0], k => center[1] }));
    }
    builder.steps.borrow_mut().push(pool);
    let centered = sides(&|side| needs.similarity(side, true));
    if centered != [false, false] {
        let values = context! { q => centered[0], k => centered[1] };
        builder.steps.borrow_mut().push(launch("similarity", &SIMILARITY, centered, values));
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

/// The self-similarity that a read of a map comes to, if the map holds nothing else: then it is read where it lies.
pub(super) fn in_place(map: &Map, sides: &[Side]) -> Option<(Side, bool)> {
    let plain = map.axes.iter().all(|axis| axis.range.is_none());
    match map.value.kind {
        ExprKind::SelfSim { of, centered } if plain && *sides == [of] => Some((of, centered)),
        _ => None,
    }
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
    index: usize,
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

    /// Work by a function of these parameters beside `p`.
    fn work(&self, form: Form, template: &'static Template, parameters: &[&str], values: minijinja::Value) -> Work {
        let builder = self.lowering.builder();
        let function = format!("make_map_{}", self.map.name);
        let declared: Vec<String> = parameters.iter().map(|parameter| format!(", int {parameter}")).collect();
        let given: Vec<String> = parameters.iter().map(|parameter| format!(", {parameter}")).collect();
        let values = context! {
            title => Builder::title(&title(self.map)),
            function => &function,
            parameters => format!("const Params& p{}", declared.concat()),
            target => self.target_at().to_string(),
            ..values
        };
        Work {
            makes: Made::Map(self.index),
            reads: reads([&self.map.value], Line::Row),
            form,
            call: format!("{function}(p{})", given.concat()),
            part: Some(builder.part(template, values)),
        }
    }

    fn target_at(&self) -> Cuda {
        self.values.clone().at(self.target.clone())
    }

    fn add(&self, work: Work) {
        self.lowering.builder().works.borrow_mut().push(work);
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
        // What a row has of its own is made with the row.
        let by_row = reads([&self.map.value], Line::Row).iter().all(|read| read.own_row && read.own_head);
        let (form, lanes, along, parameters): (_, _, _, &[&str]) = match axes(self.map) {
            [true, true] => (Form::Row, 32, Some(Axis::Kv), &["b", "h", "i"]),
            [true, false] if by_row => (Form::Row, 1, None, &["b", "h", "i"]),
            [true, false] => (Form::Head, LANES_OF_CTA, Some(Axis::Q), &["b", "h"]),
            [false, true] => (Form::Head, LANES_OF_CTA, Some(Axis::Kv), &["b", "h"]),
            [false, false] => (Form::Head, 1, None, &["b", "h"]),
        };
        let line = along.map(axis_words);
        let values = context! {
            value => value.to_string(),
            first => if matches!(form, Form::Row) { "threadIdx.x % 32" } else { "threadIdx.x" },
            lanes => lanes,
            variable => line.map(|line| line[0]),
            count => line.map(|line| field(line[1]).to_string()),
            place => along.map(|axis| if axis == Axis::Q { "query block" } else { "kv block" }),
        };
        self.add(self.work(form, &EACH, parameters, values));
    }

    fn dot(&self, centered: [bool; 2]) {
        let values = context! {
            value => self.value().call(&words()).to_string(),
            centered_q => centered[0],
            centered_k => centered[1],
        };
        self.add(self.work(Form::Rows, &DOT, &["b", "h", "first_i"], values));
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
        let line = match axis {
            Axis::Q => "query blocks",
            Axis::Kv => "kv blocks",
            Axis::Head => "heads",
        };
        let mut parameters = vec!["b"];
        parameters.extend(own.map(|_| "h"));
        parameters.extend(free.iter().map(|&(_, word)| word));
        let by_head = own.is_some() && free.is_empty();
        let text = |value: Option<Cuda>| value.map(|value| value.to_string());
        let values = context! {
            lanes => if by_head { LANES_OF_CTA } else { 32 },
            variable => variable,
            count => field(count).to_string(),
            line => line,
            takes => text(takes.map(|takes| takes.call(&words()))),
            kept => text(kept.map(|kept| kept.call(&words()))),
            logit => logit.to_string(),
            // A sum is taken once, and lies in the map until the map is there.
            leaves_logits => softmax.value.any(|e| matches!(e.kind, ExprKind::Reduce(..))),
            weight => text(weight),
        };
        let mut work = self.work(Form::Head, &SOFTMAX, &parameters, values);
        if own == Some(Side::Kv) && has_q {
            work.form = Form::Row;
        } else if !by_head {
            // Lines across all rows or all heads: each has a warp of its own.
            free.extend(own.map(|_| (GridAxis::Heads, "h")));
            free.resize(2, (GridAxis::One, ""));
            let axes = free.iter().zip(["x", "y"]).filter(|((_, word), _)| !word.is_empty());
            let mut locals: Vec<String> =
                axes.map(|((_, word), axis)| format!("const int {word} = blockIdx.{axis};")).collect();
            locals.push("const int b = blockIdx.z;".to_owned());
            // Lines are few, so a CTA may take what registers it likes.
            let values = context! {
                words => "a warp for each line",
                locals => locals,
                call => &work.call,
                least_ctas => 1,
            };
            let grid = [free[0].0, free[1].0, GridAxis::Batch];
            work.form = Form::Alone(Box::new(self.launch(32, grid, values)));
        }
        self.add(work);
    }

    /// A launch of its own, a CTA for each line.
    fn launch(&self, threads: u32, grid: [GridAxis; 3], values: minijinja::Value) -> Step {
        self.lowering.builder().launch(&format!("map_{}", self.map.name), &LINES, threads, grid, values)
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
        };
        let mut work = self.work(Form::Head, &BLOCK_SUM, &["b", "h", "i"], values);
        let values = context! {
            words => "a CTA for each query block of a head",
            least_ctas => None::<u32>,
            locals => ["const int b = blockIdx.z;", "const int h = blockIdx.y;", "const int i = blockIdx.x;"],
            call => &work.call,
        };
        let grid = [GridAxis::QBlocks, GridAxis::Heads, GridAxis::Batch];
        work.form = Form::Alone(Box::new(self.launch(256, grid, values)));
        self.add(work);
    }
}
