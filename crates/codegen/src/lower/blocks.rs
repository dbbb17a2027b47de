//! Expressions over blocks that need more than themselves: functions that loop, and launches that come before.

use sparsym_ir::Expr;
use sparsym_ir::expr::{
    Axis, BinaryOp, ExprKind, Line, Measure, Order, Percentile, Reduction, Running, Side, Type, UnaryOp, Within,
};
use sparsym_ir::strategy::RangeId;

use minijinja::context;

use super::body::{Body, Loop, Statement, declare, free_names, return_if, variable};
use super::cuda::{Cuda, all_of, call, field, literal, name};
use super::data;
use super::expr::Lowering;
use super::functions::{Builder, Function, axis_words, head_words, index, place, words};
use super::locals;
use super::work::{Form, LANES_OF_CTA, Made, Read, Work, reads};
use crate::params::{Buffer, range_field};
use crate::text::{CUT, CUT_OF_HEAD};

impl<'a> Lowering<'a> {
    /// Where functions and launches go.
    pub(super) fn builder(&self) -> &'a Builder<'a> {
        self.builder.expect("only rules over blocks have these expressions")
    }

    /// The body of a function over blocks: declares the spans and triples that it reads.
    pub(super) fn with_locals(&self, body: Body) -> Body {
        locals::with_locals(body, self)
    }

    /// A read of a map, whose axes take these variables.
    pub(super) fn map(&self, index_of: usize, sides: &[Side]) -> Cuda {
        let map = &self.strategy.maps[index_of];
        if let Some((of, centered)) = data::in_place(map, sides) {
            return self.similarity(of, centered);
        }
        let axes = [Side::Q, Side::Kv].map(|side| map.axes.iter().any(|axis| axis.side == side));
        let variable = |side: Side| {
            let at = map.axes.iter().position(|axis| axis.side == side);
            at.and_then(|at| sides.get(at)).map_or("", |&side| index(side))
        };
        field(format!("map_{}", map.name)).at(place(axes, [variable(Side::Q), variable(Side::Kv)]))
    }

    /// A read of a block's self-similarity.
    pub(super) fn similarity(&self, of: Side, centered: bool) -> Cuda {
        let similarity = if centered { "centered_similarity" } else { "similarity" };
        match of {
            Side::Q => field(format!("{similarity}_q")).at(call("q_at", ["p", "b", "h", "i"].map(name))),
            Side::Kv => {
                let head = name("h").op("/", field("heads_per_kv_head"));
                field(format!("{similarity}_k")).at(call("k_at", [name("p"), name("b"), head, name("j")]))
            }
        }
    }

    /// The condition under which a variable takes a place; None: always.
    pub(super) fn takes(&self, running: &Running, ranges: &[(Side, Option<RangeId>)]) -> Option<Cuda> {
        let mut parts: Vec<Cuda> = ranges.iter().filter_map(|&(side, range)| Some(self.is_in(range?, side))).collect();
        match (running.within, running.axis) {
            (Within::Range(id), Axis::Q) => parts.push(self.is_in(id, Side::Q)),
            (Within::Range(id), Axis::Kv) => parts.push(self.is_in(id, Side::Kv)),
            (Within::QueryBlock, _) => parts.push(name("j").op("/", kv_blocks_of_a_q_block()).op("==", name("i"))),
            _ => {}
        }
        parts.dedup();
        parts.extend(running.visible.as_ref().map(|visible| self.expr(visible)));
        all_of("&&", parts)
    }

    /// `sum(t in text: s[t, v])` as a call of a function that loops.
    pub(super) fn reduce(&self, reduction: Reduction, running: &Running, value: &Expr) -> Cuda {
        let builder = self.builder();
        let [variable_of, count] = axis_words(running.axis);
        let value = self.expr(value);
        let all = Running { within: Within::All, ..running.clone() };
        let takes = match running.within {
            // The loop visits no other places.
            Within::QueryBlock => self.takes(&all, &[]),
            _ => self.takes(running, &[]),
        };
        let mean = reduction == Reduction::Mean;
        let result = || name(word(reduction));
        let step = match reduction {
            Reduction::Sum | Reduction::Mean => Statement::Assign(result(), "+=", value),
            Reduction::Max => Statement::Assign(result(), "=", call("fmaxf", [result(), value])),
            Reduction::Min => Statement::Assign(result(), "=", call("fminf", [result(), value])),
        };
        let mut inner = vec![step];
        inner.extend(mean.then(|| Statement::Do(name("count").prefixed("++"))));
        if let Some(takes) = takes {
            inner = vec![Statement::If(takes, inner)];
        }
        // The span of this variable is that of the place in the loop.
        let span = match running.axis {
            Axis::Q => Some("q"),
            Axis::Kv => Some("kv"),
            Axis::Head => None,
        };
        if let Some(span) = span.filter(|span| free_names(&inner).contains(span)) {
            inner.insert(0, locals::span(span, false));
        }
        // Bounds of the loop, where it need not visit all places.
        let bounds = match (running.within, running.axis) {
            (Within::QueryBlock, _) => Some((
                name("i").op("*", kv_blocks_of_a_q_block()),
                name("first").op("+", name("kBlockQ").op("/", name("kBlockKv"))),
            )),
            (Within::Range(id), Axis::Q | Axis::Kv) => {
                let range = range_field(&self.strategy.tokens[id.0].name);
                let block = || name(if running.axis == Axis::Q { "kBlockQ" } else { "kBlockKv" });
                let end = field(format!("{range}_end")).op("+", block()).op("-", literal(1)).op("/", block());
                Some((field(format!("{range}_first")).op("/", block()), end))
            }
            _ => None,
        };
        let (first, end) = match &bounds {
            Some(_) => (name("first"), name("end")),
            None => (literal(0), field(count)),
        };
        let start = match reduction {
            Reduction::Sum | Reduction::Mean => literal("0.0f"),
            Reduction::Max => call("negative_infinity", []),
            Reduction::Min => call("negative_infinity", []).prefixed("-"),
        };
        let mut body = vec![variable("float", word(reduction), start)];
        if let Some((from, to)) = bounds {
            body.push(declare("int", "first", from));
            body.push(declare("int", "end", call("min", [to, field(count)])));
        }
        body.extend(mean.then(|| variable("int", "count", literal(0))));
        body.push(Statement::For(Box::new(Loop {
            ty: "int",
            variable: variable_of.to_owned(),
            from: first,
            test: name(variable_of).op("<", end),
            step: Some(name(variable_of).prefixed("++")),
            body: inner,
        })));
        body.push(Statement::Return(match mean {
            true => {
                let number = call("max", [name("count"), literal(1)]).prefixed("(float)");
                result().op("/", number)
            }
            false => result(),
        }));
        // The span of the other variable, and triples.
        let body = self.with_locals(body);
        let stem = format!("{}_over_{}", reduction.name(), running.axis.name());
        let comment = format!("{} over {}.", sentence(reduction), places(running.axis));
        builder.function("float", &builder.fresh(&stem), &comment, body).call(&words())
    }

    /// A comparison of an order map with what is the same for all of its line, as a test of a key against a cut.
    pub(super) fn cut(&self, op: BinaryOp, a: &Expr, b: &Expr) -> Option<Cuda> {
        let (order, op, bound) = match (order_in(a), order_in(b)) {
            (Some(order), _) => (order, op, b),
            (_, Some(order)) => (order, flipped(op), a),
            _ => return None,
        };
        let apart = |op: BinaryOp| self.cut_of(op, order, bound);
        let equal = || apart(BinaryOp::Le).op("&&", apart(BinaryOp::Lt).negated());
        Some(match op {
            BinaryOp::Eq => equal(),
            BinaryOp::Ne => equal().negated(),
            BinaryOp::Gt | BinaryOp::Ge => apart(op).negated(),
            _ => apart(op),
        })
    }

    /// The test that an element stands before the cut: that the comparison holds, or for > and >= that it does not.
    fn cut_of(&self, op: BinaryOp, order: &Order, bound_expr: &Expr) -> Cuda {
        let key = self.key(order.line, order.descending, order.first.as_ref(), &order.value);
        let rank = order.measure == Measure::Rank;
        let measure =
            if rank && bound_expr.ty == Type::Float { name("measure").prefixed("(float)") } else { name("measure") };
        let test = measure.op(op.symbol(), name("bound"));
        let test = if matches!(op, BinaryOp::Gt | BinaryOp::Ge) { test.negated() } else { test };
        let ty = if bound_expr.ty == Type::Float { "float" } else { "int" };
        let bound = self.once(ty, "bound", "What a line is cut by.", bound_expr);
        let words = format!("{}(…) {} bound", order.name(), op.symbol());
        let values = context! {
            bound => bound.to_string(),
            bound_type => ty,
            measure => order.name().trim_start_matches("ascending_").trim_start_matches("descending_"),
            descending => order.descending,
            test => test.to_string(),
            words => words,
        };
        let read = reads(order.first.iter().chain([&order.value, bound_expr]), self.line(order.line));
        let [key, cut] = self.cut_work(order.line, &key, read, values);
        key.op("<", cut)
    }

    /// `percentile(x, p)`: the value of an element's key.
    pub(super) fn percentile(&self, percentile: &Percentile) -> Cuda {
        let key = self.key(percentile.line, false, None, &percentile.value);
        let share = self.once("float", "share", "Of a percentile.", &percentile.share);
        let words = "the number of the percentile".to_owned();
        let number = call("__fmul_rn", [share, name("elements").prefixed("(float)")]);
        let bound = call("max", [call("__float2int_rd", [number]), literal(1)]);
        let values = context! {
            bound => bound.to_string(),
            bound_type => "int",
            measure => "number",
            descending => false,
            test => "measure < bound",
            words => words,
        };
        let read = reads([&percentile.value, &percentile.share], self.line(percentile.line));
        let [_, cut] = self.cut_work(percentile.line, &key, read, values);
        call("ascending_value", [cut])
    }

    /// An expression that is evaluated once: in place, or as a call if it needs locals or does not fit the line.
    fn once(&self, ty: &str, stem: &str, comment: &str, expr: &Expr) -> Cuda {
        let value = self.expr(expr);
        let body = self.with_locals(vec![Statement::Return(value.clone())]);
        match body.len() == 1 && value.to_string().len() <= 72 {
            true => value,
            false => self.builder().function(ty, &self.builder().fresh(stem), comment, body).call(&words()),
        }
    }

    /// The key of an element: where it stands among the others of its line.
    fn key(&self, line: Line, descending: bool, first: Option<&Expr>, value: &Expr) -> Function {
        let builder = self.builder();
        let rule = builder.rule.get().expect("order maps stand in conditions of rules");
        let number = match (rule.pairs, line) {
            (true, Line::Row) => name("j"),
            (true, Line::Head) => name("i").op("*", field("kv_blocks")).op("+", name("j")),
            (false, _) => name("i"),
        };
        let mut ranges = vec![(Side::Kv, rule.kv)];
        if !rule.pairs || line == Line::Head {
            ranges.insert(0, (Side::Q, rule.q));
        }
        let all = Running { axis: Axis::Head, within: Within::All, visible: None };
        let inside = self.takes(&all, &ranges);
        let mut body: Body = inside.into_iter().map(|inside| return_if(inside.negated(), name("kAbsent"))).collect();
        let kind = if descending { "descending_key" } else { "ascending_key" };
        let first = first.map_or(literal(false), |first| self.expr(first));
        body.push(Statement::Return(call(kind, [first, self.expr(value), number])));
        let body = self.with_locals(body);
        builder.function("u64", &builder.fresh("key"), "Where an element stands in its line.", body)
    }

    /// What the lines of an order map lie in: those of rules over query blocks alone go through all rows of a head.
    fn line(&self, line: Line) -> Line {
        let rule = self.builder().rule.get().expect("order maps stand in conditions of rules");
        if rule.pairs { line } else { Line::Head }
    }

    /// Adds the work that cuts the lines, and gives the key of an element and the cut of its line: the element stands before
    /// the cut if its key is less.
    fn cut_work(&self, line: Line, key: &Function, reads: Vec<Read>, values: minijinja::Value) -> [Cuda; 2] {
        let builder = self.builder();
        let rule = builder.rule.get().expect("order maps stand in conditions of rules");
        let n = builder.cuts.borrow().len();
        let rows = rule.pairs && line == Line::Row;
        builder.cuts.borrow_mut().push(Buffer::Cut { index: n, rows });
        let at = place([rows, false], ["i", ""]);
        let head_line = rule.pairs && line == Line::Head;
        let (element, elements, of_line) = match (rule.pairs, line) {
            (true, Line::Row) => ("j", "p.kv_blocks", words()),
            (true, Line::Head) => ("e", "p.q_blocks * p.kv_blocks", head_words()),
            (false, _) => ("i", "p.q_blocks", words()),
        };
        let line_words = match (rule.pairs, line) {
            (true, Line::Row) => "the kv blocks of a query block",
            (true, Line::Head) => "all block pairs of a head",
            (false, _) => "the query blocks of a head",
        };
        let (form, lanes, parameters, given) = match (rows, head_line) {
            (true, _) => (Form::Row, 32, ", int i", ", i"),
            (false, true) => (Form::Head, LANES_OF_CTA, "", ""),
            (false, false) => (Form::HeadByWarp, 32, "", ""),
        };
        let function = format!("make_cut_{n}");
        let values = context! {
            title => Builder::title(&format!("cut {n}")),
            function => &function,
            parameters => format!("const Params& p, int b, int h{parameters}"),
            target => field(format!("cut_{n}")).at(at.clone()).to_string(),
            key => key.call(&of_line).to_string(),
            element => element,
            elements => elements,
            line => line_words,
            lanes => lanes,
            ..values
        };
        let part = Some(builder.part(if head_line { &CUT_OF_HEAD } else { &CUT }, values));
        let call = format!("{function}(p, b, h{given})");
        builder.works.borrow_mut().push(Work { makes: Made::Cut(n), reads, form, call, part });
        [key.call(&words()), field(format!("cut_{n}")).at(at)]
    }
}

/// How many kv blocks lie in a query block.
fn kv_blocks_of_a_q_block() -> Cuda {
    name("kBlockQ").op("/", name("kBlockKv"))
}

/// The order map on a side of a comparison.
fn order_in(expr: &Expr) -> Option<&Order> {
    match &expr.kind {
        ExprKind::Order(order) => Some(order),
        ExprKind::Unary(UnaryOp::ToFloat, inner) => order_in(inner),
        _ => None,
    }
}

/// The comparison with its sides exchanged.
fn flipped(op: BinaryOp) -> BinaryOp {
    match op {
        BinaryOp::Lt => BinaryOp::Gt,
        BinaryOp::Le => BinaryOp::Ge,
        BinaryOp::Gt => BinaryOp::Lt,
        BinaryOp::Ge => BinaryOp::Le,
        same => same,
    }
}

fn word(reduction: Reduction) -> &'static str {
    match reduction {
        Reduction::Sum | Reduction::Mean => "sum",
        Reduction::Max => "most",
        Reduction::Min => "least",
    }
}

fn sentence(reduction: Reduction) -> &'static str {
    match reduction {
        Reduction::Sum => "The sum",
        Reduction::Mean => "The mean",
        Reduction::Max => "The maximum",
        Reduction::Min => "The minimum",
    }
}

fn places(axis: Axis) -> &'static str {
    match axis {
        Axis::Q => "query blocks",
        Axis::Kv => "kv blocks",
        Axis::Head => "heads",
    }
}
