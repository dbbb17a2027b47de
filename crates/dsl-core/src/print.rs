//! Typed IR to canonical text: `parse(print(ir)) == ir`.
//!
//! Variables are always `q`, `kv` and `s`, conversions are written out as `float(x)`, `let` names are gone, and only the
//! brackets that the grammar needs are printed.

use std::fmt::Write;

use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, UnaryOp};
use sparsym_ir::strategy::{Action, BlockRule, Element, Grid, Param, Reuse, Scalar, Strategy, When};

/// The strategy as text that [`compile_str`](crate::compile_str) reads back.
pub fn print(strategy: &Strategy) -> String {
    let mut printer = Printer { strategy, out: String::new() };
    printer.doc("", &strategy.doc);
    printer.line("", format_args!("pub {} {{", strategy.name));
    printer.declarations();
    printer.rules();
    printer.line("", format_args!("}}"));
    printer.out
}

struct Printer<'s> {
    strategy: &'s Strategy,
    out: String,
}

const INDENT: &str = "    ";

impl Printer<'_> {
    fn line(&mut self, indent: &str, text: std::fmt::Arguments) {
        // Writing to a String cannot fail.
        let _ = writeln!(self.out, "{indent}{text}");
    }

    fn clause(&mut self, text: std::fmt::Arguments) {
        self.line(INDENT, format_args!("{text};"));
    }

    fn doc(&mut self, indent: &str, doc: &str) {
        for line in doc.lines() {
            let space = if line.is_empty() { "" } else { " " };
            self.line(indent, format_args!("///{space}{line}"));
        }
    }

    fn declarations(&mut self) {
        let strategy = self.strategy;
        for param in &strategy.params {
            self.doc(INDENT, &param.doc);
            self.clause(format_args!(
                "param {}: {}{} = {}",
                param.name,
                param.scalar.name(),
                range(param),
                param.default
            ));
        }
        for table in &strategy.tables {
            self.doc(INDENT, &table.doc);
            let axes: Vec<&str> = table.axes.iter().map(|axis| axis.name()).collect();
            self.clause(format_args!("table {}: [{}] of {}", table.name, axes.join(", "), element(table.element)));
        }
        for input in &strategy.inputs {
            self.doc(INDENT, &input.doc);
            self.clause(format_args!("input {}: [token] of {}", input.name, input.scalar.name()));
        }
        if !strategy.tokens.is_empty() {
            let ranges: Vec<String> = strategy
                .tokens
                .iter()
                .map(|range| match range.grid {
                    None => range.name.clone(),
                    Some(Grid::Raster) => format!("{}(t, h, w)", range.name),
                    Some(Grid::Tiled([t, h, w])) => format!("{}(t, h, w) tiled ({t}, {h}, {w})", range.name),
                })
                .collect();
            self.clause(format_args!("tokens {}", ranges.join(", ")));
        }
        self.clause(format_args!("blocks q = {}, kv = {}", strategy.blocks.q, strategy.blocks.kv));
    }

    fn rules(&mut self) {
        let strategy = self.strategy;
        if let Some(mask) = &strategy.mask {
            self.clause(format_args!("mask q, kv => {}", self.expr(&mask.value)));
        }
        if let Some(score) = &strategy.score {
            self.clause(format_args!("score s, q, kv => {}", self.expr(&score.value)));
        }
        for rule in &strategy.rules {
            self.clause(format_args!("{}", self.rule(rule)));
        }
        if let Some(update) = &strategy.schedule.update {
            self.clause(format_args!("update when {}", self.expr(update)));
        }
        if let Some(dense) = &strategy.schedule.dense {
            self.clause(format_args!("dense when {}", self.expr(dense)));
        }
    }

    fn rule(&self, rule: &BlockRule) -> String {
        let mut out = match &rule.when {
            When::Otherwise => format!("otherwise {}", rule.action.name()),
            When::Match { q, kv, .. } => {
                let scope = |id: Option<sparsym_ir::strategy::RangeId>| match id {
                    Some(id) => format!(" in {}", self.strategy.tokens[id.0].name),
                    None => String::new(),
                };
                let kv = match rule.action {
                    Action::Skip | Action::Keep => format!(", kv{}", scope(*kv)),
                    Action::Cache | Action::Compute => String::new(),
                };
                format!("{} q{}{kv}", rule.action.name(), scope(*q))
            }
        };
        if let When::Match { condition: Some(condition), .. } = &rule.when {
            let _ = write!(out, " where {}", self.expr(condition));
        }
        match &rule.reuse {
            None => {}
            Some(Reuse::Hold) => out.push_str(" by hold"),
            Some(Reuse::Taylor(order)) => {
                let _ = write!(out, " by taylor({})", self.expr(order));
            }
        }
        out
    }

    fn expr(&self, value: &Expr) -> String {
        let strategy = self.strategy;
        match &value.kind {
            ExprKind::Bool(value) => value.to_string(),
            ExprKind::Int(value) => value.to_string(),
            ExprKind::Float(value) => format!("{value:?}"),
            ExprKind::Triple(parts) => format!("({})", self.list(parts.iter())),
            ExprKind::Param(id) => strategy.params[id.0].name.clone(),
            ExprKind::Global(global) => global.name().to_owned(),
            ExprKind::Coordinate(side, coordinate) => format!("{}.{}", side.name(), coordinate_name(*coordinate)),
            ExprKind::InRange(side, id) => format!("{} in {}", side.name(), strategy.tokens[id.0].name),
            ExprKind::Input(id, side) => format!("{}[{}]", strategy.inputs[id.0].name, side.name()),
            ExprKind::Table(id) => strategy.tables[id.0].name.clone(),
            ExprKind::Logit => "s".to_owned(),
            ExprKind::Map(id, _) => strategy.maps[id.0].name.clone(),
            ExprKind::Unary(UnaryOp::ToFloat, operand) => format!("float({})", self.expr(operand)),
            ExprKind::Unary(op, operand) => {
                let symbol = if *op == UnaryOp::Neg { "-" } else { "!" };
                format!("{symbol}{}", self.bracketed(operand, UNARY))
            }
            ExprKind::Binary(op, left, right) => {
                let level = level(*op);
                // Comparisons do not chain, so both of their sides bind tighter; other operators chain to the left.
                let left_level = if level == COMPARISON { level + 1 } else { level };
                let (left, right) = (self.bracketed(left, left_level), self.bracketed(right, level + 1));
                format!("{left} {} {right}", op.symbol())
            }
            ExprKind::Call(function, args) => format!("{}({})", function.name(), self.list(args.iter())),
            _ => String::new(),
        }
    }

    /// The expression, in brackets if it binds looser than `least`.
    fn bracketed(&self, value: &Expr, least: u8) -> String {
        let text = self.expr(value);
        let binds = match &value.kind {
            ExprKind::Binary(op, ..) => level(*op),
            _ => UNARY,
        };
        if binds < least { format!("({text})") } else { text }
    }

    fn list<'e>(&self, values: impl Iterator<Item = &'e Expr>) -> String {
        values.map(|value| self.expr(value)).collect::<Vec<_>>().join(", ")
    }
}

const COMPARISON: u8 = 2;
const UNARY: u8 = 5;

/// How tightly an operator binds; the levels of `syntax::expr`.
fn level(op: BinaryOp) -> u8 {
    use BinaryOp::*;
    match op {
        Or => 0,
        And => 1,
        Lt | Le | Gt | Ge | Eq | Ne => COMPARISON,
        Add | Sub => 3,
        Mul | Div | Rem => 4,
    }
}

fn coordinate_name(coordinate: Coordinate) -> &'static str {
    match coordinate {
        Coordinate::Pos => "pos",
        Coordinate::Block => "block",
        Coordinate::T => "t",
        Coordinate::H => "h",
        Coordinate::W => "w",
        Coordinate::Tile => "tile",
        Coordinate::Cell => "cell",
        Coordinate::Len => "len",
    }
}

fn range(param: &Param) -> String {
    match (param.min, param.max) {
        (None, None) => String::new(),
        (min, max) => {
            let min = min.map(|min| min.to_string()).unwrap_or_default();
            let max = max.map(|max| format!("={}", max)).unwrap_or_default();
            format!(" in {min}..{max}")
        }
    }
}

fn element(element: Element) -> String {
    match element {
        Element::One(scalar) => scalar.name().to_owned(),
        Element::Three(scalar) => {
            let name = Scalar::name(scalar);
            format!("({name}, {name}, {name})")
        }
    }
}
