//! Typed IR to canonical text: `parse(print(ir)) == ir`.
//!
//! Variables of rules and of values over tokens are always `q`, `kv` and `s`, conversions are written out as `float(x)`, and
//! only the brackets that the grammar needs are printed. A function that runs over blocks calls its variable as the variable
//! of that axis is called outside, or else `q`, `kv` or `head`.

mod expr;

use std::fmt::Write;

use sparsym_ir::expr::Expr;
use sparsym_ir::strategy::{
    Action, BlockRule, Element, Grid, Map, Param, Permute, RangeId, Reuse, Scalar, Strategy, Table, When,
};

use expr::Names;

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

/// A part of the strategy's mask as text, in its variables `q` and `kv`.
pub fn print_mask_part(strategy: &Strategy, part: &Expr) -> String {
    expr::print(strategy, &Names::default(), part)
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
            self.clause(format_args!("table {}: [{}] of {}", table.name, axes.join(", "), element(table)));
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
        match strategy.permute {
            Some(Permute::Tiles(id)) => self.clause(format_args!("permute {} by tile", strategy.tokens[id.0].name)),
            Some(Permute::Index(id)) => self.clause(format_args!("permute by {}", strategy.inputs[id.0].name)),
            None => {}
        }
        for named in &strategy.lets {
            let over = expr::arguments(named.side);
            self.clause(format_args!("let {}{over} = {}", named.name, self.expr(&named.value)));
        }
        for map in &strategy.maps {
            self.clause(format_args!("{}", self.map(map)));
        }
    }

    fn rules(&mut self) {
        let strategy = self.strategy;
        if let Some(mask) = &strategy.mask {
            self.clause(format_args!("mask q, kv => {}", self.expr(&mask.value)));
        }
        if let Some(score) = &strategy.score {
            let logit = self.logit();
            let names = Names { logit: &logit, ..Names::default() };
            self.clause(format_args!("score {logit}, q, kv => {}", expr::print(strategy, &names, &score.value)));
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
        if let Some(degrade) = &strategy.schedule.degrade {
            self.clause(format_args!("degrade when {}", self.expr(degrade)));
        }
    }

    /// `let seen[v in vision] = …`
    fn map(&self, map: &Map) -> String {
        let mut names = Names::default();
        for axis in &map.axes {
            names.sides[axis.side as usize] = Some(&axis.variable);
        }
        let variables: Vec<String> =
            map.axes.iter().map(|axis| format!("{}{}", axis.variable, self.within(axis.range))).collect();
        format!("let {}[{}] = {}", map.name, variables.join(", "), expr::print(self.strategy, &names, &map.value))
    }

    /// A name for the logit that is not taken.
    fn logit(&self) -> String {
        let strategy = self.strategy;
        let taken = |name: &str| {
            let params = strategy.params.iter().map(|param| &param.name);
            let tables = strategy.tables.iter().map(|table| &table.name);
            let inputs = strategy.inputs.iter().map(|input| &input.name);
            let ranges = strategy.tokens.iter().map(|range| &range.name);
            let lets = strategy.lets.iter().map(|named| &named.name);
            let maps = strategy.maps.iter().map(|map| &map.name);
            params.chain(tables).chain(inputs).chain(ranges).chain(lets).chain(maps).any(|taken| taken == name)
        };
        let mut name = "s".to_owned();
        while taken(&name) {
            name.push('_');
        }
        name
    }

    /// ` in vision`
    fn within(&self, range: Option<RangeId>) -> String {
        match range {
            Some(id) => format!(" in {}", self.strategy.tokens[id.0].name),
            None => String::new(),
        }
    }

    /// With the usual variables.
    fn expr(&self, value: &Expr) -> String {
        expr::print(self.strategy, &Names::default(), value)
    }

    fn rule(&self, rule: &BlockRule) -> String {
        let mut out = match &rule.when {
            When::Otherwise => format!("otherwise {}", rule.action.name()),
            When::Match { q, kv, .. } => {
                let kv = match rule.action {
                    Action::Skip | Action::Keep => format!(", kv{}", self.within(*kv)),
                    Action::Cache | Action::Compute => String::new(),
                };
                format!("{} q{}{kv}", rule.action.name(), self.within(*q))
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

fn element(table: &Table) -> String {
    match table.element {
        _ if !table.variants.is_empty() => format!("{{ {} }}", table.variants.join(", ")),
        Element::One(scalar) => scalar.name().to_owned(),
        Element::Three(scalar) => {
            let name = Scalar::name(scalar);
            format!("({name}, {name}, {name})")
        }
    }
}
