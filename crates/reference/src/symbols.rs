//! Symbols of static rules by visiting every block pair, and for a mask every token pair: small problems only.

use sparsym_ir::strategy::{BlockRule, When};
use sparsym_ir::symbols::{CacheSymbol, SkipSymbol};
use sparsym_ir::{Bound, Moment, Symbols};

use crate::rules::Reader;

/// What the rules of a strategy say at one moment: rules top to bottom, a later match wins, `otherwise` where no other
/// rule matched, then the mask.
pub fn static_symbols(bound: &Bound, moment: &Moment) -> Symbols {
    let problem = bound.problem;
    let (t_q, t_kv) = (problem.q_blocks(), problem.kv_blocks());
    let mut cache = CacheSymbol::ones(problem.batch, problem.heads, t_q);
    let mut skip = SkipSymbol::ones(problem.batch, problem.heads, t_q, t_kv);
    let mut full = SkipSymbol::ones(problem.batch, problem.heads, t_q, t_kv);
    let (of_skip, of_cache): (Vec<_>, Vec<_>) =
        bound.strategy.rules.iter().partition(|rule| rule.action.writes_skip_symbol());
    for b in 0..problem.batch {
        for h in 0..problem.heads {
            let reader = Reader::new(bound, *moment, b, h);
            for i in 0..t_q {
                cache.set(b, h, i, decide(&of_cache, |rule| reader.rule_matches(rule, i, 0)));
                for j in 0..t_kv {
                    let bit = decide(&of_skip, |rule| reader.rule_matches(rule, i, j));
                    let (passing, pairs) = count(bound, &reader, b, i, j);
                    let masked = bound.strategy.mask.is_some();
                    skip.set(b, h, i, j, bit && (!masked || passing > 0));
                    full.set(b, h, i, j, pairs > 0 && passing == pairs);
                }
            }
        }
    }
    Symbols { cache, skip, full: bound.strategy.mask.is_some().then_some(full) }
}

fn decide(rules: &[&BlockRule], matches: impl Fn(&BlockRule) -> bool) -> bool {
    let (mut matched, mut otherwise) = (None, true);
    for rule in rules {
        if rule.when == When::Otherwise {
            otherwise = rule.action.bit();
        } else if matches(rule) {
            matched = Some(rule.action.bit());
        }
    }
    matched.unwrap_or(otherwise)
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
