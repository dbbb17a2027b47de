//! Symbols by visiting every block pair, and for a mask every token pair: small problems only.

use sparsym_ir::strategy::{BlockRule, When};
use sparsym_ir::symbols::{CacheSymbol, SkipSymbol};
use sparsym_ir::{Bound, Moment, Symbols, SymbolsCall};

use crate::maps::Data;
use crate::margin::Margins;
use crate::rules::Reader;
use crate::tensors::Tensors;

/// What the rules of a strategy say: rules top to bottom, a later match wins, `otherwise` where no other rule matched,
/// then the mask. The call must pass its [check](SymbolsCall::check).
///
/// Bits of blocks that a batch item does not have, because others are longer, mean nothing.
pub fn symbols(call: &SymbolsCall<'_>) -> Symbols {
    symbols_with_margins(call).0
}

/// As [`symbols`], for rules that read no tensor data.
pub fn static_symbols(bound: &Bound, moment: &Moment) -> Symbols {
    symbols(&SymbolsCall::without_data(bound, *moment))
}

/// As [`symbols`], and how near each decision was to the other outcome: see [`margin`](crate::margin).
pub fn symbols_with_margins(call: &SymbolsCall<'_>) -> (Symbols, Margins) {
    let (bound, problem) = (call.bound, call.bound.problem);
    let (t_q, t_kv) = (problem.q_blocks(), problem.kv_blocks());
    let mut cache = CacheSymbol::ones(problem.batch, problem.heads, t_q);
    let mut skip = SkipSymbol::ones(problem.batch, problem.heads, t_q, t_kv);
    let mut full = SkipSymbol::ones(problem.batch, problem.heads, t_q, t_kv);
    let mut margins = Margins { cache: Vec::new(), skip: Vec::new() };
    let (of_skip, of_cache): (Vec<_>, Vec<_>) =
        bound.strategy.rules.iter().partition(|rule| rule.action.writes_skip_symbol());
    let masked = bound.strategy.mask.is_some();
    for b in 0..problem.batch {
        let data = call.data.map(|(q, k)| Data::new(Tensors::new(problem, q, k, b)));
        for h in 0..problem.heads {
            let mut reader = Reader::new(bound, call.moment, b, h);
            reader.data = data.as_ref();
            for i in 0..t_q {
                let (bit, margin) = decide(&of_cache, |rule| reader.rule_matches(rule, i, 0));
                cache.set(b, h, i, bit);
                margins.cache.push(margin);
                for j in 0..t_kv {
                    let (bit, margin) = decide(&of_skip, |rule| reader.rule_matches(rule, i, j));
                    let (passing, pairs) = count(bound, &reader, b, i, j);
                    let empty = masked && passing == 0;
                    skip.set(b, h, i, j, bit && !empty);
                    full.set(b, h, i, j, pairs > 0 && passing == pairs);
                    margins.skip.push(if empty { f32::INFINITY } else { margin });
                }
            }
        }
    }
    (Symbols { cache, skip, full: masked.then_some(full) }, margins)
}

/// The bit that the rules decide, and its margin, from what each rule says of the block and by which margin.
///
/// `otherwise` is what stands before any rule matched; each match then replaces what stands. A rule whose match would
/// change nothing makes the decision surer or leaves it as it is.
fn decide<'a>(rules: &[&'a BlockRule], matches: impl Fn(&'a BlockRule) -> (bool, f32)) -> (bool, f32) {
    let (otherwise, rules): (Vec<&BlockRule>, Vec<_>) = rules.iter().partition(|rule| rule.when == When::Otherwise);
    let (mut bit, mut margin) = (otherwise.last().is_none_or(|rule| rule.action.bit()), f32::INFINITY);
    for rule in rules {
        let (matched, by) = matches(rule);
        margin = match (matched, rule.action.bit() == bit) {
            (true, true) => margin.max(by),
            (true, false) => by,
            (false, true) => margin,
            (false, false) => margin.min(by),
        };
        if matched {
            bit = rule.action.bit();
        }
    }
    (bit, margin)
}

/// Token pairs of a block pair that pass the mask, and all of them.
pub fn count(bound: &Bound, reader: &Reader, b: usize, i: usize, j: usize) -> (usize, usize) {
    let (problem, mut passing, mut pairs) = (bound.problem, 0, 0);
    let (size_q, size_kv) = (problem.blocks.q as usize, problem.blocks.kv as usize);
    for q in (i * size_q..(i + 1) * size_q).filter(|&q| q < problem.q_rows(b).len()) {
        for kv in (j * size_kv..(j + 1) * size_kv).filter(|&kv| kv < problem.kv_rows(b).len()) {
            pairs += 1;
            passing += usize::from(reader.mask(q, kv));
        }
    }
    (passing, pairs)
}
