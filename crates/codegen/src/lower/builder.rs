//! What expressions over blocks need beside themselves: functions that loop, and launches that come before.

use std::cell::{Cell, RefCell};

use sparsym_ir::Expr;
use sparsym_ir::expr::{
    Axis, BinaryOp, ExprKind, Line, Measure, Order, Percentile, Reduction, Running, Side, Type, UnaryOp, Within,
};
use sparsym_ir::strategy::{BlockRule, RangeId, When};

use minijinja::context;

use super::text::{define, names, signature, statement};
use super::{Lowering, UNARY, negated, strength, symbols};
use crate::kernel::{GridAxis, Launch};
use crate::params::{Buffer, range_field};
use crate::plan::Plan;
use crate::registry::{CUT, Template};

/// A launch before the last one.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) launch: Launch,
    pub(crate) template: &'static Template,
    /// Functions that no step before it has defined.
    pub(crate) functions: String,
    /// What its template puts where.
    pub(crate) values: minijinja::Value,
}

/// Functions and launches, in the order in which a text needs them.
pub(crate) struct Builder<'a> {
    pub(super) plan: &'a Plan,
    /// Functions since the last step.
    pub(super) functions: RefCell<Vec<String>>,
    /// Name and body of every function.
    pub(super) known: RefCell<Vec<Function>>,
    pub(super) steps: RefCell<Vec<Step>>,
    pub(super) cuts: RefCell<Vec<Buffer>>,
    /// The rule whose condition is lowered.
    rule: Cell<Option<LineOf>>,
}

/// What an order map of a rule runs over.
#[derive(Clone, Copy)]
struct LineOf {
    pairs: bool,
    q: Option<RangeId>,
    kv: Option<RangeId>,
}

/// A device function over blocks.
#[derive(Clone)]
pub(super) struct Function {
    pub(super) name: String,
    pub(super) body: String,
    /// The variable that it binds itself.
    pub(super) bound: Option<&'static str>,
}

/// Names that functions over blocks may use: word, parameter, argument.
pub(super) const WORDS: [[&str; 3]; 9] = [
    ["p", "const Params& p", "p"],
    ["b", "int b", "b"],
    ["h", "int h", "h"],
    ["i", "int i", "i"],
    ["j", "int j", "j"],
    ["q_group", "int q_group", "q_group"],
    ["kv_group", "int kv_group", "kv_group"],
    ["dot", "float dot", "dot"],
    ["antidiag", "float antidiag", "antidiag"],
];

/// The same where a line holds all pairs of a head, numbered by `e`.
const HEAD_WORDS: [[&str; 3]; 5] =
    [["p", "", "p"], ["b", "", "b"], ["h", "", "h"], ["i", "", "e / p.kv_blocks"], ["j", "", "e % p.kv_blocks"]];

impl Function {
    /// A call, with these arguments for its words.
    pub(super) fn call(&self, words: &[[&str; 3]]) -> String {
        let (_, arguments) = signature(&self.body, &self.words(words));
        format!("{}({arguments})", self.name)
    }

    fn words<'w>(&self, words: &[[&'w str; 3]]) -> Vec<[&'w str; 3]> {
        words.iter().filter(|[word, ..]| Some(*word) != self.bound).copied().collect()
    }
}

impl<'a> Builder<'a> {
    pub(super) fn new(plan: &'a Plan) -> Builder<'a> {
        Builder {
            plan,
            functions: RefCell::default(),
            known: RefCell::default(),
            steps: RefCell::default(),
            cuts: RefCell::default(),
            rule: Cell::new(None),
        }
    }

    /// Order maps are from now on those of this rule.
    pub(super) fn enter(&self, rule: &BlockRule) {
        let When::Match { q, kv, .. } = rule.when else { return };
        self.rule.set(Some(LineOf { pairs: rule.action.writes_skip_symbol(), q, kv }));
    }

    /// The line that opens the part of a text for one map.
    pub(super) fn title(what: &str) -> String {
        let line = format!("// ---- {what} ");
        let dashes = 100usize.saturating_sub(line.chars().count());
        line + &"-".repeat(dashes)
    }

    /// Adds a launch.
    pub(super) fn step(
        &self,
        what: &str,
        template: &'static Template,
        threads: u32,
        grid: [GridAxis; 3],
        values: minijinja::Value,
    ) {
        let entry = format!("{}_{what}", self.plan.name);
        let values = context! { entry => &entry, threads => threads, ..values };
        let launch = Launch { entry, threads, shared_bytes: 0, grid };
        let functions = self.take_functions();
        self.steps.borrow_mut().push(Step { launch, template, functions, values });
    }

    /// The functions that no step has taken yet.
    pub(super) fn take_functions(&self) -> String {
        std::mem::take(&mut *self.functions.borrow_mut()).join("\n")
    }

    /// A function of this body; the same one again if there is one.
    pub(super) fn function(
        &self,
        kind: &str,
        name: &str,
        comment: &str,
        bound: Option<&'static str>,
        body: String,
    ) -> Function {
        let known = self.known.borrow().iter().find(|known| known.body == body).cloned();
        known.unwrap_or_else(|| self.new_function(kind, name, comment, bound, body))
    }

    /// A function of its own name.
    pub(super) fn new_function(
        &self,
        kind: &str,
        name: &str,
        comment: &str,
        bound: Option<&'static str>,
        body: String,
    ) -> Function {
        let function = Function { name: name.to_owned(), body, bound };
        let (parameters, _) = signature(&function.body, &function.words(&WORDS));
        let text = define(comment, &format!("{kind} {name}"), &parameters, &function.body);
        self.functions.borrow_mut().push(text);
        self.known.borrow_mut().push(function.clone());
        function
    }

    /// A name that no other function has.
    pub(super) fn fresh(&self, stem: &str) -> String {
        let first = format!("{stem}_");
        let n = self.known.borrow().iter().filter(|known| known.name.starts_with(&first)).count();
        format!("{first}{n}")
    }
}

/// The loop variable of an axis, and how many places it has.
pub(super) fn axis_words(axis: Axis) -> [&'static str; 2] {
    match axis {
        Axis::Q => ["i", "p.q_blocks"],
        Axis::Kv => ["j", "p.kv_blocks"],
        Axis::Head => ["h", "p.heads"],
    }
}

/// The loop variable of a side.
pub(super) fn index(side: Side) -> &'static str {
    axis_words(side.into())[0]
}

/// Where a value over these sides lies in a workspace `[B, H, …]`.
pub(super) fn place(axes: [bool; 2], indices: [&str; 2]) -> String {
    match axes {
        [false, false] => "head_at(p, b, h)".to_owned(),
        [true, false] => format!("q_at(p, b, h, {})", indices[0]),
        [false, true] => format!("kv_at(p, b, h, {})", indices[1]),
        [true, true] => format!("pair_at(p, b, h, {}, {})", indices[0], indices[1]),
    }
}

impl<'a> Lowering<'a> {
    pub(super) fn builder(&self) -> &'a Builder<'a> {
        self.builder.expect("only rules over blocks have these expressions")
    }

    /// The body of a function over blocks: declares the spans and triples that it names.
    pub(super) fn with_locals(&self, body: &str) -> String {
        symbols::with_locals(body, self.strategy, self.builder().plan)
    }

    /// `b` where it stands for the rows of a batch item in inputs.
    pub(super) fn input_rows(&self) -> &'static str {
        if self.builder().plan.ragged { "p.kv_indptr[b]" } else { "(i64)b * p.n_kv" }
    }

    /// A read of a map, whose axes take these variables.
    pub(super) fn map(&self, index_of: usize, sides: &[Side]) -> String {
        let map = &self.strategy.maps[index_of];
        let axes = [Side::Q, Side::Kv].map(|side| map.axes.iter().any(|axis| axis.side == side));
        let variable = |side: Side| {
            let at = map.axes.iter().position(|axis| axis.side == side);
            at.and_then(|at| sides.get(at)).map_or("", |&side| index(side))
        };
        format!("p.map_{}[{}]", map.name, place(axes, [variable(Side::Q), variable(Side::Kv)]))
    }

    /// A read of a block's self-similarity.
    pub(super) fn similarity(&self, of: Side, centered: bool) -> String {
        let name = if centered { "centered_similarity" } else { "similarity" };
        match of {
            Side::Q => format!("p.{name}_q[q_at(p, b, h, i)]"),
            Side::Kv => format!("p.{name}_k[k_at(p, b, h / p.heads_per_kv_head, j)]"),
        }
    }

    /// The condition under which a variable takes a place; None: always.
    pub(super) fn takes(&self, running: &Running, ranges: &[(Side, Option<RangeId>)]) -> Option<String> {
        let mut parts: Vec<String> = ranges.iter().filter_map(|&(side, range)| self.inside(side, range?)).collect();
        match (running.within, running.axis) {
            (Within::Range(id), Axis::Q) => parts.extend(self.inside(Side::Q, id)),
            (Within::Range(id), Axis::Kv) => parts.extend(self.inside(Side::Kv, id)),
            (Within::QueryBlock, _) => parts.push("j / (kBlockQ / kBlockKv) == i".to_owned()),
            _ => {}
        }
        parts.dedup();
        let and = strength(BinaryOp::And);
        match &running.visible {
            Some(visible) if parts.is_empty() => parts.push(self.expr(visible)),
            Some(visible) => parts.push(self.within(visible, and)),
            None => {}
        }
        (!parts.is_empty()).then(|| parts.join(" && "))
    }

    fn inside(&self, side: Side, id: RangeId) -> Option<String> {
        Some(format!("is_in_{}(p, {})", self.strategy.tokens[id.0].name, side.name()))
    }

    /// `sum(t in text: s[t, v])` as a call of a function that loops.
    pub(super) fn reduce(&self, reduction: Reduction, running: &Running, value: &Expr) -> String {
        let builder = self.builder();
        let [variable, count] = axis_words(running.axis);
        let value = self.expr(value);
        let all = Running { within: Within::All, ..running.clone() };
        let takes = match running.within {
            // The loop visits no other places.
            Within::QueryBlock => self.takes(&all, &[]),
            _ => self.takes(running, &[]),
        };
        let mean = reduction == Reduction::Mean;
        let name = word(reduction);
        let step = match reduction {
            Reduction::Sum | Reduction::Mean => format!("{name} += {value};"),
            Reduction::Max => format!("{name} = fmaxf({name}, {value});"),
            Reduction::Min => format!("{name} = fminf({name}, {value});"),
        };
        let mut inner: Vec<String> = vec![step];
        inner.extend(mean.then(|| "++count;".to_owned()));
        let mut lines: Vec<(usize, String)> = Vec::new();
        let span = match running.axis {
            Axis::Q => ("q", "const Span q = block_span(i, kBlockQ, p.n_q);"),
            Axis::Kv => ("kv", "const Span kv = block_span(j, kBlockKv, p.n_kv);"),
            Axis::Head => ("", ""),
        };
        let text = format!("{} {}", inner.join(" "), takes.clone().unwrap_or_default());
        if !span.0.is_empty() && names(&text, span.0) {
            lines.push((2, span.1.to_owned()));
        }
        match &takes {
            Some(takes) => {
                lines.push((2, format!("if ({takes}) {{")));
                lines.extend(inner.into_iter().map(|line| (3, line)));
                lines.push((2, "}".to_owned()));
            }
            None => lines.extend(inner.into_iter().map(|line| (2, line))),
        }
        // Bounds of the loop, where it need not visit all places.
        let bounds = match (running.within, running.axis) {
            (Within::QueryBlock, _) => {
                Some(("i * (kBlockQ / kBlockKv)".to_owned(), "first + kBlockQ / kBlockKv".to_owned()))
            }
            (Within::Range(id), Axis::Q | Axis::Kv) => {
                let range = range_field(&self.strategy.tokens[id.0].name);
                let block = if running.axis == Axis::Q { "kBlockQ" } else { "kBlockKv" };
                Some((format!("p.{range}_first / {block}"), format!("(p.{range}_end + {block} - 1) / {block}")))
            }
            _ => None,
        };
        let (first, end) = if bounds.is_some() { ("first", "end") } else { ("0", count) };
        let start = match reduction {
            Reduction::Sum | Reduction::Mean => "0.0f",
            Reduction::Max => "negative_infinity()",
            Reduction::Min => "-negative_infinity()",
        };
        let mut body = format!("    float {name} = {start};\n");
        if let Some((from, to)) = bounds {
            body.push_str(&format!("    const int first = {from};\n"));
            body.push_str(&statement("const int end = ", &format!("min({to}, {count})"), ";"));
        }
        if mean {
            body.push_str("    int count = 0;\n");
        }
        body.push_str(&format!("    for (int {variable} = {first}; {variable} < {end}; ++{variable}) {{\n"));
        for (depth, line) in lines {
            body.push_str(&format!("{}{line}\n", "    ".repeat(depth)));
        }
        body.push_str("    }\n");
        body.push_str(&match mean {
            true => format!("    return {name} / (float)max(count, 1);\n"),
            false => format!("    return {name};\n"),
        });
        // The span of the other variable, and triples; this one's is declared in the loop.
        let body = self.with_locals_but(&body, span.0);
        let bound = match (running.axis, running.within) {
            (Axis::Kv, _) => Some("j"),
            (Axis::Q, _) => Some("i"),
            (Axis::Head, _) => Some("h"),
        };
        let stem = format!("{}_over_{}", reduction.name(), running.axis.name());
        let comment = format!("{} over {}.", sentence(reduction), places(running.axis));
        builder.function("float", &builder.fresh(&stem), &comment, bound, body).call(&WORDS)
    }

    fn with_locals_but(&self, body: &str, span: &str) -> String {
        if span.is_empty() {
            return self.with_locals(body);
        }
        // Hide the span that the loop declares.
        let hidden = replace_word(body, span, "\u{1}");
        self.with_locals(&hidden).replace('\u{1}', span)
    }

    /// A comparison of an order map with what is the same for all of its line, as a test of a key against a cut.
    pub(super) fn cut(&self, op: BinaryOp, a: &Expr, b: &Expr) -> Option<(String, u8)> {
        let (order, op, bound) = match (order_in(a), order_in(b)) {
            (Some(order), _) => (order, op, b),
            (_, Some(order)) => (order, flipped(op), a),
            _ => return None,
        };
        let apart = |op: BinaryOp| self.cut_of(op, order, bound);
        Some(match op {
            BinaryOp::Eq => (format!("{} && !({})", apart(BinaryOp::Le), apart(BinaryOp::Lt)), strength(BinaryOp::And)),
            BinaryOp::Ne => (format!("!({} && !({}))", apart(BinaryOp::Le), apart(BinaryOp::Lt)), UNARY),
            BinaryOp::Gt | BinaryOp::Ge => negated(apart(op)),
            _ => (apart(op), strength(BinaryOp::Lt)),
        })
    }

    /// The test that an element stands before the cut: that the comparison holds, or for > and >= that it does not.
    fn cut_of(&self, op: BinaryOp, order: &Order, bound: &Expr) -> String {
        let key = self.key(order.line, order.descending, order.first.as_ref(), &order.value);
        let rank = order.measure == Measure::Rank;
        let measure = if rank && bound.ty == Type::Float { "(float)measure" } else { "measure" };
        let test = format!("{measure} {} bound", op.symbol());
        let test = if matches!(op, BinaryOp::Gt | BinaryOp::Ge) { format!("!({test})") } else { test };
        let ty = if bound.ty == Type::Float { "float" } else { "int" };
        let bound = self.once(ty, "bound", "What a line is cut by.", bound);
        let words = format!("{}(…) {} bound", order.name(), op.symbol());
        let values = context! {
            bound => bound,
            bound_type => ty,
            measure => order.name().trim_start_matches("ascending_").trim_start_matches("descending_"),
            descending => order.descending,
            test => test,
            words => words,
        };
        self.cut_step(order.line, &key, values)
    }

    /// `percentile(x, p)`: the value of an element's key.
    pub(super) fn percentile(&self, percentile: &Percentile) -> String {
        let key = self.key(percentile.line, false, None, &percentile.value);
        let share = self.once("float", "share", "Of a percentile.", &percentile.share);
        let words = "the number of the percentile".to_owned();
        let values = context! {
            bound => format!("max(__float2int_rd(__fmul_rn({share}, (float)elements)), 1)"),
            bound_type => "int",
            measure => "number",
            descending => false,
            test => "measure < bound",
            words => words,
        };
        let test = self.cut_step(percentile.line, &key, values);
        let cut = test.split_once(" < ").map_or("", |(_, cut)| cut);
        format!("ascending_value({cut})")
    }

    /// An expression that is evaluated once: in place, or as a call if it needs locals.
    fn once(&self, ty: &str, stem: &str, comment: &str, expr: &Expr) -> String {
        let text = self.expr(expr);
        let body = statement("return ", &text, ";");
        let with_locals = self.with_locals(&body);
        match with_locals == body {
            true => text,
            false => self.builder().function(ty, &self.builder().fresh(stem), comment, None, with_locals).call(&WORDS),
        }
    }

    /// The key of an element: where it stands among the others of its line.
    fn key(&self, line: Line, descending: bool, first: Option<&Expr>, value: &Expr) -> Function {
        let builder = self.builder();
        let rule = builder.rule.get().expect("order maps stand in conditions of rules");
        let number = match (rule.pairs, line) {
            (true, Line::Row) => "j",
            (true, Line::Head) => "i * p.kv_blocks + j",
            (false, _) => "i",
        };
        let mut ranges = vec![(Side::Kv, rule.kv)];
        if !rule.pairs || line == Line::Head {
            ranges.insert(0, (Side::Q, rule.q));
        }
        let all = Running { axis: Axis::Head, within: Within::All, visible: None };
        let inside = self.takes(&all, &ranges);
        let mut body = String::new();
        if let Some(inside) = inside {
            body.push_str(&statement("if (", &unless(&inside), ") {"));
            body.push_str("        return kAbsent;\n    }\n");
        }
        let kind = if descending { "descending_key" } else { "ascending_key" };
        let first = first.map_or("false".to_owned(), |first| self.expr(first));
        body.push_str(&statement("return ", &format!("{kind}({first}, {}, {number})", self.expr(value)), ";"));
        let body = self.with_locals(&body);
        builder.function("u64", &builder.fresh("key"), "Where an element stands in its line.", None, body)
    }

    /// Adds the launch that cuts the lines, and gives the test whether an element stands before the cut.
    fn cut_step(&self, line: Line, key: &Function, values: minijinja::Value) -> String {
        let builder = self.builder();
        let rule = builder.rule.get().expect("order maps stand in conditions of rules");
        let n = builder.cuts.borrow().len();
        let rows = rule.pairs && line == Line::Row;
        builder.cuts.borrow_mut().push(Buffer::Cut { index: n, rows });
        let at = if rows { "q_at(p, b, h, i)" } else { "head_at(p, b, h)" };
        let head_line = rule.pairs && line == Line::Head;
        let (element, elements, words) = match (rule.pairs, line) {
            (true, Line::Row) => ("j", "p.kv_blocks", &WORDS[..]),
            (true, Line::Head) => ("e", "p.q_blocks * p.kv_blocks", &HEAD_WORDS[..]),
            (false, _) => ("i", "p.q_blocks", &WORDS[..]),
        };
        // Rows are many: a warp has one, four share a CTA. Other lines are one to a head, and a CTA has one.
        let threads = match (rows, head_line) {
            (true, _) => 128,
            (false, true) => 256,
            (false, false) => 128,
        };
        let x = if rows { GridAxis::QBlockQuads } else { GridAxis::One };
        let lines = match (rule.pairs, line) {
            (true, Line::Row) => "the kv blocks of each query block of a head",
            (true, Line::Head) => "all block pairs of each head",
            (false, _) => "the query blocks of each head",
        };
        let values = context! {
            cut => n,
            at => at,
            key => key.call(words),
            element => element,
            elements => elements,
            lines => lines,
            rows => rows,
            held => if head_line { 8 } else { 16 },
            ..values
        };
        builder.step(&format!("cut_{n}"), &CUT, threads, [x, GridAxis::Heads, GridAxis::Batch], values);
        format!("{} < p.cut_{n}[{at}]", key.call(&WORDS))
    }
}

/// The negation of a condition of `takes`.
pub(super) fn unless(condition: &str) -> String {
    let one_call = condition.ends_with(')') && !condition.contains("&& ") && !condition.contains("|| ");
    if one_call { format!("!{condition}") } else { format!("!({condition})") }
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

/// Replaces a whole identifier that is not a field.
fn replace_word(text: &str, word: &str, by: &str) -> String {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut out = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(word) {
        let before = rest[..at].chars().next_back().or(out.chars().next_back());
        let after = rest[at + word.len()..].chars().next();
        out.push_str(&rest[..at]);
        let whole = !before.is_some_and(|c| in_word(c) || c == '.') && !after.is_some_and(in_word);
        out.push_str(if whole { by } else { word });
        rest = &rest[at + word.len()..];
    }
    out + rest
}

/// Parameters that a step's locals declare from the indices of its CTA, as far as `text` names them.
pub(super) fn grid_locals(text: &str, x: &str, y: &str) -> Vec<String> {
    [(x, "x"), (y, "y"), ("b", "z")]
        .into_iter()
        .filter(|(word, _)| !word.is_empty() && names(text, word))
        .map(|(word, axis)| format!("const int {word} = blockIdx.{axis};"))
        .collect()
}
