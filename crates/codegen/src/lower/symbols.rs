//! Block rules as CUDA: `keeps` decides S_s, `computes` decides S_c, `classify` judges the mask.

use serde::Serialize;
use sparsym_ir::expr::BinaryOp;
use sparsym_ir::strategy::{BlockRule, Element, RangeId, Strategy, TableAxis, When};

use super::builder::WORDS;
use super::text::{define, names, signature, statement};
use super::{ATOM, Lowering, UNARY, cells, negated, strength};
use crate::params::range_field;
use crate::plan::Plan;

/// What the symbols room puts where.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct SymbolRules {
    /// Whether query block i of head h is computed.
    pub compute_test: String,
    /// Whether the block pair (i, j) is computed.
    pub keep_test: String,
    /// The verdict of the mask on the block pair.
    pub classify_call: String,
}

/// Functions of the strategy's rules, and how the room calls them.
pub(super) fn lower(lowering: &Lowering, plan: &Plan) -> (String, SymbolRules) {
    let strategy = lowering.strategy;
    let builder = lowering.builder.expect("the symbols room has one");
    let mut functions: Vec<String> = Vec::new();
    let mut symbols = SymbolRules::default();
    if plan.caches {
        let rules = strategy.rules.iter().filter(|rule| !rule.action.writes_skip_symbol());
        let body = with_locals(&decision(lowering, "compute", rules), strategy, plan);
        let (parameters, arguments) = signature(&body, &WORDS);
        functions.push(define("Whether a query block is computed.", "bool computes", &parameters, &body));
        symbols.compute_test = format!("computes({arguments})");
    }
    if plan.skips {
        let rules = strategy.rules.iter().filter(|rule| rule.action.writes_skip_symbol());
        let body = with_locals(&decision(lowering, "keep", rules), strategy, plan);
        let (parameters, arguments) = signature(&body, &WORDS);
        functions.push(define("What the block rules say of a block pair.", "bool keeps", &parameters, &body));
        symbols.keep_test = format!("keeps({arguments})");
    }
    if let Some(mask) = &strategy.mask {
        let mask = cells::lower(lowering, plan, &mask.value);
        let body = with_locals(&mask.body, strategy, plan);
        let (parameters, arguments) = signature(&body, &WORDS);
        let comment = "Whether any token pair of a block pair passes the mask, and whether any fails.";
        functions.extend(mask.functions);
        functions.push(define(comment, "u32 classify", &parameters, &body));
        symbols.classify_call = format!("classify({arguments})");
    }
    symbols.keep_test = match (plan.mask, plan.skips) {
        (false, _) => format!("j < p.kv_blocks && {}", symbols.keep_test),
        (true, false) => "verdict & kPass".to_owned(),
        (true, true) => format!("(verdict & kPass) && {}", symbols.keep_test),
    };
    let helpers = builder.take_functions();
    functions.splice(0..0, (!helpers.is_empty()).then_some(helpers));
    (functions.join("\n"), symbols)
}

/// Which range a block belongs to, for those ranges that `text` asks for.
pub(super) fn range_functions(strategy: &Strategy, text: &str) -> String {
    let asked = |id: &RangeId| names(text, &format!("is_in_{}", strategy.tokens[id.0].name));
    let ids = (0..strategy.tokens.len()).map(RangeId).filter(asked);
    ids.map(|id| range_function(strategy, id)).collect::<Vec<_>>().join("\n")
}

/// Declares the spans of tokens and the triples of tables that a body names.
pub(super) fn with_locals(body: &str, strategy: &Strategy, plan: &Plan) -> String {
    let n = if plan.ragged { ["sequence_n_q(p, b)", "sequence_n_kv(p, b)"] } else { ["p.n_q", "p.n_kv"] };
    let mut locals = String::new();
    for (word, block, size, n) in [("q", "i", "kBlockQ", n[0]), ("kv", "j", "kBlockKv", n[1])] {
        if names(body, word) {
            locals.push_str(&format!("    const Span {word} = block_span({block}, {size}, {n});\n"));
        }
    }
    format!("{locals}{}{body}", tables(body, strategy))
}

/// Declares the triples of tables that a body names.
pub(super) fn tables(body: &str, strategy: &Strategy) -> String {
    let mut locals = String::new();
    for table in strategy.tables.iter().filter(|table| matches!(table.element, Element::Three(_))) {
        let word = format!("table_{}", table.name);
        if names(body, &word) {
            let entry = match table.axes.contains(&TableAxis::Head) {
                true => format!("p.entry_of_{0} + min(h, p.last_head_of_{0})", table.name),
                false => format!("p.entry_of_{}", table.name),
            };
            locals.push_str(&format!("    const GridPoint {word} = triple_at(\n        p.{word} + 3 * ({entry}));\n"));
        }
    }
    locals
}

/// Rules of one symbol, applied top to bottom: the body of a bool function.
fn decision<'a>(lowering: &Lowering, name: &str, rules: impl Iterator<Item = &'a BlockRule>) -> String {
    let rules: Vec<&BlockRule> = rules.collect();
    let always_matches = When::Match { q: None, kv: None, condition: None };
    // What it overrides is not lowered.
    let from = rules.iter().rposition(|rule| rule.when == always_matches).unwrap_or(0);
    let mut always = None;
    let mut otherwise = true;
    let mut steps: Vec<(String, u8, bool)> = Vec::new();
    let (before, after) = rules.split_at(from);
    let otherwise_before = before.iter().filter(|rule| rule.when == When::Otherwise);
    for &rule in otherwise_before.chain(after) {
        lowering.builder.iter().for_each(|builder| builder.enter(rule));
        let bit = rule.action.bit();
        match (&rule.when, condition(lowering, rule)) {
            (When::Otherwise, _) => otherwise = bit,
            (When::Match { .. }, Some((text, strength))) => steps.push((text, strength, bit)),
            (When::Match { .. }, None) => {
                steps.clear();
                always = Some(bit);
            }
        }
    }
    let first = always.unwrap_or(otherwise);
    match steps.as_slice() {
        [] => format!("    return {first};\n"),
        [(text, _, true)] if !first => statement("return ", text, ";"),
        [(text, strength, false)] if first && *strength >= UNARY => match text.starts_with("!(") {
            true => statement("return ", &negated(text.clone()).0, ";"),
            false => statement("return !", text, ";"),
        },
        [(text, _, false)] if first => statement("return !(", text, ");"),
        _ => {
            let mut body = format!("    bool {name} = {first};\n");
            for (text, _, bit) in &steps {
                body.push_str(&statement("if (", text, ") {"));
                body.push_str(&format!("        {name} = {bit};\n    }}\n"));
            }
            body + &format!("    return {name};\n")
        }
    }
}

/// When a rule matches; None: always.
fn condition(lowering: &Lowering, rule: &BlockRule) -> Option<(String, u8)> {
    let When::Match { q, kv, condition } = &rule.when else { return None };
    let and = strength(BinaryOp::And);
    let sides = [("q", q), ("kv", kv)].into_iter();
    let inside = |(side, range): (&str, &Option<RangeId>)| {
        range.map(|id| format!("is_in_{}(p, {side})", lowering.strategy.tokens[id.0].name))
    };
    let mut parts: Vec<String> = sides.filter_map(inside).collect();
    match condition {
        Some(condition) if parts.is_empty() => return Some(lowering.with_strength(condition)),
        Some(condition) => parts.push(lowering.within(condition, and)),
        None => {}
    }
    match parts.len() {
        0 => None,
        1 => Some((parts.remove(0), ATOM)),
        _ => Some((parts.join(" && "), and)),
    }
}

/// A block belongs to the first declared range without a grid that it touches, else to the first declared one.
fn range_function(strategy: &Strategy, id: RangeId) -> String {
    let ranges = &strategy.tokens;
    let plain = |n: usize| ranges[n].grid.is_none();
    let comes_first = |n: usize| if plain(id.0) { plain(n) && n < id.0 } else { plain(n) || n < id.0 };
    let before: Vec<usize> = (0..ranges.len()).filter(|&n| comes_first(n)).collect();
    let touches = |n: usize| {
        let field = range_field(&ranges[n].name);
        format!("touches(block, p.{field}_first, p.{field}_end)")
    };
    let tests: Vec<String> =
        std::iter::once(touches(id.0)).chain(before.iter().map(|&n| format!("!{}", touches(n)))).collect();
    let others: Vec<&str> = before.iter().map(|&n| ranges[n].name.as_str()).collect();
    let name = &ranges[id.0].name;
    let comment = match others.is_empty() {
        true => format!("Whether a block belongs to {name}: it touches it."),
        false => format!("Whether a block belongs to {name}: it touches it, and not {}.", others.join(" or ")),
    };
    let body = statement("return ", &tests.join(" && "), ";");
    define(&comment, &format!("bool is_in_{name}"), "const Params& p, Span block", &body)
}
