//! Block rules as CUDA: `keeps` decides S_s, `computes` decides S_c, `classify` judges the mask.

use serde::Serialize;
use sparsym_ir::expr::{Line, Side};
use sparsym_ir::strategy::{BlockRule, RangeId, Strategy, When};

use super::body::{Body, Statement, call_of, define, signature, variable};
use super::cells;
use super::cuda::{Cuda, all_of, call, field, literal, name};
use super::expr::Lowering;
use super::functions::{Builder, words};
use super::locals::with_locals;
use super::work::{Form, Made, Read, Work, reads};
use crate::params::range_field;
use crate::plan::SymbolsPlan;

/// What the symbols room puts where.
#[derive(Clone, Debug, Default, Serialize)]
pub(crate) struct SymbolRules {
    /// Whether query block i of head h is computed.
    pub compute_test: String,
    /// By whom that is found out: `rows`, `heads` or `items`.
    pub cache_by: &'static str,
    /// Whether the block pair (i, j) is computed.
    pub keep_test: String,
    /// The verdict of the mask on the block pair.
    pub classify_call: String,
}

/// Functions of the strategy's rules, and how the room calls them.
pub(super) fn lower(lowering: &Lowering, plan: &SymbolsPlan) -> (String, SymbolRules) {
    let strategy = lowering.strategy;
    let builder = lowering.builder();
    let mut functions: Vec<String> = Vec::new();
    let mut symbols = SymbolRules::default();
    let mut function = |comment: &str, kind: &str, name: &str, body: Body| {
        let (parameters, _) = signature(&body, &words());
        functions.push(define(comment, &format!("{kind} {name}"), &parameters, &body));
        call_of(name, &body, &words())
    };
    // What the rules of a symbol read: maps of their own row, or for S_c of any head, and their cuts.
    let reads_of = |pairs: bool, first_cut: usize| {
        let rules = strategy.rules.iter().filter(|rule| rule.action.writes_skip_symbol() == pairs);
        let conditions = rules.filter_map(|rule| match &rule.when {
            When::Match { condition, .. } => condition.as_ref(),
            When::Otherwise => None,
        });
        let mut reads = reads(conditions, Line::Row);
        let cuts = first_cut..builder.cuts.borrow().len();
        reads.extend(cuts.map(|n| Read { of: Made::Cut(n), own_row: true, own_head: true }));
        reads
    };
    let work = |makes, reads, form, call: &str| Work { makes, reads, form, call: call.to_owned(), part: None };
    let mut works = Vec::new();
    if plan.caches {
        let rules = strategy.rules.iter().filter(|rule| !rule.action.writes_skip_symbol());
        let body = with_locals(decision(lowering, "compute", rules), lowering);
        let reads = reads_of(false, 0);
        symbols.cache_by = if reads.is_empty() {
            works.push(work(Made::Cache, reads, Form::RowOfFirstHead, "write_cache_row(p, b, i, 0, 1)"));
            "rows"
        } else if reads.iter().all(|read| read.own_head) {
            let bits = Read { of: Made::CacheBits, own_row: true, own_head: false };
            works.push(work(Made::CacheBits, reads, Form::Head, "make_cache_bits(p, b, h)"));
            works.push(work(Made::Cache, vec![bits], Form::Item, "write_cache_rows(p, b)"));
            "heads"
        } else {
            works.push(work(Made::Cache, reads, Form::Item, "write_cache_rows(p, b)"));
            "items"
        };
        symbols.compute_test = function("Whether a query block is computed.", "bool", "computes", body).to_string();
    }
    let mut keeps = None;
    let first_cut = builder.cuts.borrow().len();
    if plan.skips {
        let rules = strategy.rules.iter().filter(|rule| rule.action.writes_skip_symbol());
        let body = with_locals(decision(lowering, "keep", rules), lowering);
        keeps = Some(function("What the block rules say of a block pair.", "bool", "keeps", body));
    }
    if let Some(mask) = &strategy.mask {
        let mask = cells::lower(lowering, plan, &mask.value);
        let body = with_locals(mask.body, lowering);
        let comment = "Whether any token pair of a block pair passes the mask, and whether any fails.";
        let (parameters, _) = signature(&body, &words());
        functions.extend(mask.functions);
        functions.push(define(comment, "u32 classify", &parameters, &body));
        symbols.classify_call = call_of("classify", &body, &words()).to_string();
    }
    if plan.skips || plan.mask {
        works.push(work(Made::Pairs, reads_of(true, first_cut), Form::Row, "write_pair_row(p, b, h, i, 0, 1)"));
    }
    let passes = plan.mask.then(|| name("verdict").op("&", name("kPass")));
    let in_time = (!plan.mask).then(|| name("j").op("<", field("kv_blocks")));
    symbols.keep_test =
        all_of("&&", passes.into_iter().chain(in_time).chain(keeps)).map_or(String::new(), |test| test.to_string());
    let helpers = builder.take_functions();
    functions.splice(0..0, (!helpers.is_empty()).then_some(helpers));
    builder.works.borrow_mut().append(&mut works);
    (functions.join("\n"), symbols)
}

/// Which range a block belongs to, for those ranges that some function asks for.
pub(super) fn range_functions(strategy: &Strategy, builder: &Builder) -> String {
    let asked = builder.asked_ranges.borrow();
    asked.iter().map(|&id| range_function(strategy, id)).collect::<Vec<_>>().join("\n")
}

/// Rules of one symbol, applied top to bottom: the body of a bool function.
fn decision<'a>(lowering: &Lowering, result: &str, rules: impl Iterator<Item = &'a BlockRule>) -> Body {
    let rules: Vec<&BlockRule> = rules.collect();
    let always_matches = When::Match { q: None, kv: None, condition: None };
    // What it overrides is not lowered.
    let from = rules.iter().rposition(|rule| rule.when == always_matches).unwrap_or(0);
    let mut always = None;
    let mut otherwise = true;
    let mut steps: Vec<(Cuda, bool)> = Vec::new();
    let (before, after) = rules.split_at(from);
    let otherwise_before = before.iter().filter(|rule| rule.when == When::Otherwise);
    for &rule in otherwise_before.chain(after) {
        lowering.builder().enter(rule);
        let bit = rule.action.bit();
        match (&rule.when, condition(lowering, rule)) {
            (When::Otherwise, _) => otherwise = bit,
            (When::Match { .. }, Some(test)) => steps.push((test, bit)),
            (When::Match { .. }, None) => {
                steps.clear();
                always = Some(bit);
            }
        }
    }
    let first = always.unwrap_or(otherwise);
    let returned = match (steps.len(), steps.pop()) {
        (_, None) => literal(first),
        (1, Some((test, bit))) if bit != first => {
            if bit {
                test
            } else {
                test.negated()
            }
        }
        (_, Some(last)) => {
            steps.push(last);
            let mut body = vec![variable("bool", result, literal(first))];
            body.extend(
                steps
                    .into_iter()
                    .map(|(test, bit)| Statement::If(test, vec![Statement::Assign(name(result), "=", literal(bit))])),
            );
            body.push(Statement::Return(name(result)));
            return body;
        }
    };
    vec![Statement::Return(returned)]
}

/// When a rule matches; None: always.
fn condition(lowering: &Lowering, rule: &BlockRule) -> Option<Cuda> {
    let When::Match { q, kv, condition } = &rule.when else { return None };
    let sides = [(Side::Q, q), (Side::Kv, kv)].into_iter();
    let inside = sides.filter_map(|(side, range)| range.map(|id| lowering.is_in(id, side)));
    all_of("&&", inside.chain(condition.iter().map(|condition| lowering.expr(condition))))
}

/// A block belongs to the first declared range without a grid that it touches, else to the first declared one.
fn range_function(strategy: &Strategy, id: RangeId) -> String {
    let ranges = &strategy.tokens;
    let plain = |n: usize| ranges[n].grid.is_none();
    let comes_first = |n: usize| if plain(id.0) { plain(n) && n < id.0 } else { plain(n) || n < id.0 };
    let before: Vec<usize> = (0..ranges.len()).filter(|&n| comes_first(n)).collect();
    let touches = |n: usize| {
        let range = range_field(&ranges[n].name);
        let [first, end] = ["first", "end"].map(|end| field(format!("{range}_{end}")));
        call("touches", [name("block"), first, end])
    };
    let others: Vec<&str> = before.iter().map(|&n| ranges[n].name.as_str()).collect();
    let test = before.iter().fold(touches(id.0), |test, &n| test.op("&&", touches(n).negated()));
    let range = &ranges[id.0].name;
    let comment = match others.is_empty() {
        true => format!("Whether a block belongs to {range}: it touches it."),
        false => format!("Whether a block belongs to {range}: it touches it, and not {}.", others.join(" or ")),
    };
    define(&comment, &format!("bool is_in_{range}"), "const Params& p, Span block", &[Statement::Return(test)])
}
