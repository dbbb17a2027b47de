//! What rules over tensor data, and permutations, ask of shapes.

use crate::bind::Bound;
use crate::diagnostic::{Code, Finding, Findings};
use crate::eval::{Place, Scope};
use crate::expr::{Expr, ExprKind, Within};
use crate::strategy::Permute;
use crate::{Moment, Span};

/// Checks block sizes, strides, sequence lengths and the permutation.
///
/// # Errors
/// All mistakes found, each once.
pub(super) fn check(bound: &Bound) -> Result<(), Findings> {
    let mut findings = Findings::new();
    let strategy = bound.strategy;
    if strategy.reads_data() && bound.problem.ragged.is_some() {
        findings.push(Finding::new(
            Code::SequenceLengths,
            format!("rules of {} read Q and K, which need one length for all batch items", strategy.name),
            "call once for each length; padding would count in the values of blocks",
        ));
    }
    let mut seen: Vec<Span> = Vec::new();
    let exprs = strategy.maps.iter().map(|map| &map.value).chain(strategy.conditions());
    exprs.for_each(|expr| {
        expr.walk(&mut |e| {
            if let Some(finding) = block_sizes(bound, e)
                && !seen.contains(&e.span)
            {
                seen.push(e.span);
                findings.push(finding);
            }
        });
    });
    findings.extend(strategy.permute.and_then(|permute| permutation(bound, permute)));
    findings.into_result(())
}

fn block_sizes(bound: &Bound, expr: &Expr) -> Option<Finding> {
    let blocks = bound.problem.blocks;
    let finding = |message: String, help: String| Some(Finding::at(Code::BlockSize, expr.span, message, help));
    match &expr.kind {
        ExprKind::Map(id, sides) if blocks.q != blocks.kv => {
            let map = &bound.strategy.maps[id.0];
            let (axis, _) = map.axes.iter().zip(sides).find(|(axis, side)| axis.side != **side)?;
            let message = format!(
                "{} is a map over {} blocks and is read at a block of the other side, but block_q is {} and block_kv is {}",
                map.name,
                axis.side.name(),
                blocks.q,
                blocks.kv
            );
            finding(message, "use blocks of one size, or sum over `kv in q`".to_owned())
        }
        ExprKind::Reduce(_, running, _) if running.within == Within::QueryBlock => inside_query_block(bound, expr),
        ExprKind::Softmax(softmax) if softmax.over.within == Within::QueryBlock => inside_query_block(bound, expr),
        ExprKind::BlockSum(sum) => {
            let moment = Moment::default();
            let scope = Scope { bound, moment, b: 0, h: 0, place: Place::Nowhere, maps: None };
            let stride = scope.eval(&sum.stride).int();
            let divides = |block: u32| stride > 0 && i64::from(block) % i64::from(stride) == 0;
            if divides(blocks.q) && divides(blocks.kv) {
                return None;
            }
            finding(
                format!("a stride of {stride} does not divide blocks of {} and {} tokens", blocks.q, blocks.kv),
                "use a stride that divides both block sizes, usually 8 or 16".to_owned(),
            )
        }
        _ => None,
    }
}

fn inside_query_block(bound: &Bound, expr: &Expr) -> Option<Finding> {
    let blocks = bound.problem.blocks;
    (!blocks.q.is_multiple_of(blocks.kv)).then(|| {
        Finding::at(
            Code::BlockSize,
            expr.span,
            format!("`kv in q` with block_q {} and block_kv {}", blocks.q, blocks.kv),
            "make query blocks a multiple of kv blocks",
        )
    })
}

fn permutation(bound: &Bound, permute: Permute) -> Option<Finding> {
    let problem = bound.problem;
    if problem.ragged.is_some() || problem.n_q != problem.n_kv {
        return Some(Finding::new(
            Code::TokenLayout,
            "a permutation needs queries and keys that are the same tokens, of one length for all batch items",
            "give N = N_kv, or store the tokens in the order that the strategy asks for",
        ));
    }
    let (input, values) = match permute {
        Permute::Tiles(_) => return None,
        Permute::Index(id) => (&bound.strategy.inputs[id.0], &bound.bindings.inputs[id.0].values),
    };
    let n = problem.n_q;
    (0..problem.batch).find_map(|b| {
        let mut taken = vec![false; n];
        let wrong = values[b * n..(b + 1) * n].iter().find(|&&v| {
            let index = v as usize;
            !(v >= 0.0 && v.fract() == 0.0 && index < n && !std::mem::replace(&mut taken[index], true))
        })?;
        Some(Finding::new(
            Code::InputShape,
            format!("{} of batch item {b} holds {wrong}, which is taken twice or is not a token", input.name),
            format!("give each of the numbers 0 to {} once", n - 1),
        ))
    })
}
