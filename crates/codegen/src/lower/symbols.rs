//! Block rules as CUDA: `keeps` decides S_s, `computes` decides S_c, `classify` judges the mask.

use serde::Serialize;
use sparsym_ir::expr::ExprKind;
use sparsym_ir::strategy::{BlockRule, RangeId, Strategy, When};

use super::{Level, Lowering, cells, laid_out, names, signature, strength};
use crate::params::range_field;
use crate::plan::Plan;

/// What the symbols room puts where.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct SymbolRules {
    /// Whether query block i of head h is computed.
    pub compute_test: String,
    /// Whether the block pair (i, j) is computed.
    pub keep_test: String,
    /// The verdict of the mask.
    pub classify_call: String,
}

/// Names that the functions of this room may use: word, parameter, argument.
const WORDS: [[&str; 3]; 5] =
    [["p", "const Params& p", "p"], ["b", "int b", "b"], ["h", "int h", "h"], ["i", "int i", "i"], ["j", "int j", "j"]];

/// Functions of the strategy's rules, and how the room calls them.
pub(super) fn lower(strategy: &Strategy, plan: &Plan) -> (String, SymbolRules) {
    let lowering = Lowering { strategy, level: Level::Blocks, head: "h", batch: "b" };
    let mut symbols = SymbolRules::default();
    let mut functions: Vec<String> = ranges(strategy).into_iter().map(|id| range_function(strategy, id)).collect();
    let mut add = |comment: &str, head: &str, body: String| {
        let body = with_spans(&body, plan);
        let (parameters, arguments) = signature(&body, &WORDS);
        functions.push(format!("// {comment}\nstatic __device__ __forceinline__ {head}({parameters}) {{\n{body}}}\n"));
        format!("{}({arguments})", head.split(' ').next_back().unwrap_or_default())
    };
    if plan.caches {
        let body = decision(&lowering, "compute", strategy.rules.iter().filter(|r| !r.action.writes_skip_symbol()));
        symbols.compute_test = add("Whether a query block is computed.", "bool computes", body);
    }
    let mut keep_test = Vec::new();
    if plan.mask {
        keep_test.push("(verdict & kPass)".to_owned());
    } else {
        keep_test.push("j < p.kv_blocks".to_owned());
    }
    if plan.skips {
        let body = decision(&lowering, "keep", strategy.rules.iter().filter(|r| r.action.writes_skip_symbol()));
        keep_test.push(add("Whether a block pair is computed, by the block rules.", "bool keeps", body));
    }
    symbols.keep_test = match keep_test.as_slice() {
        [one] => one.trim_matches(['(', ')']).to_owned(),
        _ => keep_test.join(" && "),
    };
    if let Some(mask) = &strategy.mask {
        let mask = cells::lower(strategy, plan, &mask.value);
        symbols.classify_call =
            add("Whether token pairs of a block pair pass the mask, and whether any fail.", "u32 classify", mask.body);
        let classify = functions.pop();
        functions.extend((!mask.functions.is_empty()).then(|| mask.functions.trim_end().to_owned() + "\n"));
        functions.extend(classify);
    }
    (functions.join("\n"), symbols)
}

/// Declares the spans of tokens that a body names.
fn with_spans(body: &str, plan: &Plan) -> String {
    let mut spans = String::new();
    for (word, block, size, n, ragged_n) in
        [("q", "i", "kBlockQ", "p.n_q", "sequence_n_q(p, b)"), ("kv", "j", "kBlockKv", "p.n_kv", "sequence_n_kv(p, b)")]
    {
        if names(body, word) {
            let n = if plan.ragged { ragged_n } else { n };
            spans.push_str(&format!("    const Span {word} = block_span({block}, {size}, {n});\n"));
        }
    }
    spans + body
}

/// Rules of one symbol, applied top to bottom: the body of a bool function.
fn decision<'a>(lowering: &Lowering, name: &str, rules: impl Iterator<Item = &'a BlockRule>) -> String {
    let mut always = None;
    let mut otherwise = true;
    let mut steps: Vec<(String, u8, bool)> = Vec::new();
    for rule in rules {
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
        [(text, _, bit)] if *bit != first && *bit => format!("    return {};\n", laid_out(text, 4)),
        [(text, strength, bit)] if *bit != first => format!("    return {};\n", laid_out(&not(text, *strength), 4)),
        _ => {
            let mut body = format!("    bool {name} = {first};\n");
            for (text, _, bit) in &steps {
                body.push_str(&format!("    if ({}) {{\n        {name} = {bit};\n    }}\n", laid_out(text, 4)));
            }
            body + &format!("    return {name};\n")
        }
    }
}

fn not(text: &str, strength: u8) -> String {
    if strength >= super::UNARY { format!("!{text}") } else { format!("!({text})") }
}

/// When a rule matches; None: always.
fn condition(lowering: &Lowering, rule: &BlockRule) -> Option<(String, u8)> {
    let When::Match { q, kv, condition } = &rule.when else { return None };
    let mut parts = Vec::new();
    for (side, range) in [("q", q), ("kv", kv)] {
        if let Some(id) = range {
            parts.push(format!("is_in_{}(p, {side})", lowering.strategy.tokens[id.0].name));
        }
    }
    let Some(condition) = condition else {
        let and = strength(sparsym_ir::expr::BinaryOp::And);
        return match parts.len() {
            0 => None,
            1 => Some((parts.remove(0), super::ATOM)),
            _ => Some((parts.join(" && "), and)),
        };
    };
    if parts.is_empty() {
        return Some(lowering.with_strength(condition));
    }
    let and = strength(sparsym_ir::expr::BinaryOp::And);
    parts.push(lowering.within(condition, and));
    Some((parts.join(" && "), and))
}

/// Ranges that a block rule asks for, in order of declaration.
fn ranges(strategy: &Strategy) -> Vec<RangeId> {
    let asked = |id: RangeId| {
        strategy.rules.iter().any(|rule| match &rule.when {
            When::Match { q, kv, condition } => {
                let reads = |e: &sparsym_ir::Expr| matches!(e.kind, ExprKind::InRange(_, range) if range == id);
                *q == Some(id) || *kv == Some(id) || condition.as_ref().is_some_and(|c| c.any(reads))
            }
            When::Otherwise => false,
        })
    };
    (0..strategy.tokens.len()).map(RangeId).filter(|&id| asked(id)).collect()
}

/// A block belongs to the first declared range without a grid that it touches, else to the first declared one.
fn range_function(strategy: &Strategy, id: RangeId) -> String {
    let plain = |n: &usize| strategy.tokens[*n].grid.is_none();
    let touches = |n: usize| {
        let field = range_field(&strategy.tokens[n].name);
        format!("touches(block, p.{field}_first, p.{field}_end)")
    };
    let all = 0..strategy.tokens.len();
    let before: Vec<usize> = match plain(&id.0) {
        true => all.filter(plain).filter(|&n| n < id.0).collect(),
        false => all.filter(|n| plain(n) || *n < id.0).collect(),
    };
    let tests: Vec<String> =
        std::iter::once(touches(id.0)).chain(before.iter().map(|&n| format!("!{}", touches(n)))).collect();
    let name = &strategy.tokens[id.0].name;
    let comment = match before.is_empty() {
        true => format!("Whether a block belongs to {name}: it touches it."),
        false => {
            let others: Vec<&str> = before.iter().map(|&n| strategy.tokens[n].name.as_str()).collect();
            format!("Whether a block belongs to {name}: it touches it, and not {}.", others.join(" or "))
        }
    };
    format!(
        "// {comment}\nstatic __device__ __forceinline__ bool is_in_{name}(const Params& p, Span block) {{\n    return {};\n}}\n",
        laid_out(&tests.join(" && "), 4)
    )
}
