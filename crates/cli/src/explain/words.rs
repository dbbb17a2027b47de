//! Rules as sentences.

use sparsym::ir::expr::{Expr, ExprKind, Global};
use sparsym::ir::strategy::{Action, BlockRule, Reuse, TableAxis, When};
use sparsym::ir::{Bound, Strategy};
use sparsym::language;

use super::timeline::varies;

/// One sentence for each rule, in the order in which they apply.
pub(super) fn rules(strategy: &Strategy) -> Vec<String> {
    let mut out = Vec::new();
    let clauses = Clauses::of(strategy);
    if let Some(mask) = clauses.after("mask q, kv => ") {
        out.push(format!("mask: query token q sees key token kv only where {mask}"));
    }
    if let Some(score) = clauses.after("score s, q, kv => ") {
        out.push(format!("score: the scaled logit s becomes {score}"));
    }
    for map in clauses.maps() {
        out.push(format!("map, made from Q and K at Updates: {map}"));
    }
    for (rule, clause) in strategy.rules.iter().zip(clauses.block_rules()) {
        out.push(block_rule(strategy, rule, clause));
    }
    if out.is_empty() {
        out.push("every token sees every token, and everything is computed".to_owned());
    }
    if strategy.rules.len() > 1 {
        out.push("block rules apply from top to bottom; where several match, the last one counts".to_owned());
    }
    out.push(match clauses.after("update when ") {
        Some(update) => {
            format!("schedule: step 0 is an Update, and every step where {update}; the others are Dispatch")
        }
        None => "schedule: every step is an Update".to_owned(),
    });
    if let Some(dense) = clauses.after("dense when ") {
        out.push(format!("schedule: full attention, without block rules, at steps where {dense}"));
    }
    if let Some(degrade) = clauses.after("degrade when ") {
        out.push(format!("schedule: after an Update where {degrade}, Dispatch steps reuse the whole output"));
    }
    if let Some(permute) = clauses.after("permute ") {
        out.push(format!("tokens are permuted {permute} before attention, and back after it"));
    }
    out
}

/// For each symbol, whether it is static and what it depends on.
pub(super) fn kinds(bound: &Bound<'_>) -> Vec<String> {
    let strategy = bound.strategy;
    let mut out = Vec::new();
    for (symbol, actions) in [("S_c", [Action::Cache, Action::Compute]), ("S_s", [Action::Skip, Action::Keep])] {
        let rules: Vec<&BlockRule> = strategy.rules.iter().filter(|rule| actions.contains(&rule.action)).collect();
        let mask = strategy.mask.iter().map(|mask| &mask.value).filter(|_| symbol == "S_s");
        let exprs: Vec<&Expr> = rules.iter().filter_map(|rule| condition(rule)).chain(mask).collect();
        out.push(if rules.is_empty() && (symbol == "S_c" || strategy.mask.is_none()) {
            format!("{symbol} is all ones: no rule writes it")
        } else if exprs.iter().any(|expr| expr.reads_data()) {
            format!("{symbol} is dynamic: its rules read Q and K, so it is made on the device at Update steps")
        } else {
            format!("{symbol} is static: it depends on {}, never on tensor data", dependencies(strategy, &exprs))
        });
    }
    if strategy.mask.is_some() {
        out.push(
            "S_f is static too: from the mask the compiler knows which block pairs need no test of their tokens"
                .to_owned(),
        );
    }
    let again = match () {
        () if strategy.reads_data() => "made at each Update and kept until the next one",
        () if varies(bound) => "made again at every step",
        () => "made once and reused at every step",
    };
    if strategy.mask.is_some() || !strategy.rules.is_empty() {
        out.push(format!(
            "symbols are {again}; params, tables and inputs are arguments, so changing them compiles nothing"
        ));
    }
    out
}

fn block_rule(strategy: &Strategy, rule: &BlockRule, clause: &str) -> String {
    let name = |id: sparsym::ir::strategy::RangeId| strategy.tokens[id.0].name.as_str();
    let reuse = match &rule.reuse {
        Some(Reuse::Hold) => ", holding the output of the last Update",
        Some(Reuse::Taylor(_)) => ", forecast from the outputs of the last Updates by a Taylor series",
        None => "",
    };
    let does = match rule.action {
        Action::Skip => "skipped",
        Action::Keep => "computed",
        Action::Cache => "taken from the cache",
        Action::Compute => "computed",
    };
    let what = if rule.action.writes_skip_symbol() { "block pairs" } else { "query blocks" };
    let When::Match { q, kv, .. } = &rule.when else {
        return format!("otherwise: {what} that no rule matched are {does}{reuse}");
    };
    let scope = match (q, kv) {
        (None, None) => String::new(),
        (Some(q), None) => format!(" of queries in {}", name(*q)),
        (None, Some(kv)) => format!(" of keys in {}", name(*kv)),
        (Some(q), Some(kv)) => format!(" of queries in {} and keys in {}", name(*q), name(*kv)),
    };
    let condition = clause.split_once(" where ").map(|(_, rest)| match rule.reuse {
        Some(_) => rest.rsplit_once(" by ").map_or(rest, |(condition, _)| condition),
        None => rest,
    });
    let condition = condition.map_or(String::new(), |condition| format!(" where {condition}"));
    format!("{}: {what}{scope} are {does}{reuse}{condition}", rule.action.name())
}

fn condition(rule: &BlockRule) -> Option<&Expr> {
    match &rule.when {
        When::Match { condition, .. } => condition.as_ref(),
        When::Otherwise => None,
    }
}

/// What expressions read, in words.
fn dependencies(strategy: &Strategy, exprs: &[&Expr]) -> String {
    let mut out = vec!["the shape"];
    let reads = |test: &dyn Fn(&ExprKind) -> bool| exprs.iter().any(|expr| expr.any(|e| test(&e.kind)));
    let table_axis = |axis: TableAxis| {
        reads(&|kind| matches!(kind, ExprKind::Table(id) if strategy.tables[id.0].axes.contains(&axis)))
    };
    let global = |wanted: &[Global]| reads(&|kind| matches!(kind, ExprKind::Global(global) if wanted.contains(global)));
    let found = [
        (reads(&|kind| matches!(kind, ExprKind::Param(_))), "params"),
        (reads(&|kind| matches!(kind, ExprKind::Table(_))), "tables"),
        (reads(&|kind| matches!(kind, ExprKind::Input(..))), "inputs"),
        (global(&[Global::Step, Global::Steps, Global::SinceUpdate]) || table_axis(TableAxis::Step), "the step"),
        (global(&[Global::Layer]) || table_axis(TableAxis::Layer), "the layer"),
        (global(&[Global::Head]) || table_axis(TableAxis::Head), "the head"),
    ];
    out.extend(found.into_iter().filter(|(present, _)| *present).map(|(_, words)| words));
    match out.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        _ => out.join(""),
    }
}

/// The clauses of the canonical text, which has one on each line.
struct Clauses(Vec<String>);

impl Clauses {
    fn of(strategy: &Strategy) -> Clauses {
        let text = language::print(strategy);
        Clauses(text.lines().map(|line| line.trim().trim_end_matches(';').to_owned()).collect())
    }

    fn after(&self, start: &str) -> Option<&str> {
        self.0.iter().find_map(|clause| clause.strip_prefix(start))
    }

    fn maps(&self) -> impl Iterator<Item = &str> {
        self.0.iter().filter_map(|clause| clause.strip_prefix("let "))
    }

    fn block_rules(&self) -> impl Iterator<Item = &str> {
        let starts = ["skip q", "keep q", "cache q", "compute q", "otherwise "];
        self.0.iter().map(String::as_str).filter(move |clause| starts.iter().any(|start| clause.starts_with(start)))
    }
}
