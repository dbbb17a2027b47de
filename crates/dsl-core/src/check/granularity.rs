//! Do token rules speak of tokens, and block rules of blocks?

use sparsym_ir::expr::{Coordinate, Expr, ExprKind};
use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Code, Finding, Findings};

use super::{condition, push_joined};

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    for (name, rule) in [("mask", &strategy.mask), ("score", &strategy.score)] {
        if let Some(rule) = rule {
            token_rule(name, &rule.value, findings);
        }
    }
    for rule in &strategy.rules {
        if let Some(condition) = condition(rule) {
            block_rule(strategy, rule.action.name(), condition, findings);
        }
    }
}

fn token_rule(rule: &str, value: &Expr, findings: &mut Findings) {
    let mut mistakes = Vec::new();
    value.walk(&mut |e| {
        if let ExprKind::Coordinate(side, Coordinate::Block) = e.kind {
            mistakes.push(Finding::at(
                Code::Granularity,
                e.span,
                format!("`.block` belongs to blocks, and `{rule}` speaks of tokens"),
                format!("read the token's place with `{}.pos`, or write a `skip` rule", side.name()),
            ));
        }
    });
    push_joined(mistakes, findings);
}

fn block_rule(strategy: &Strategy, rule: &str, condition: &Expr, findings: &mut Findings) {
    let mut mistakes = Vec::new();
    condition.walk(&mut |e| {
        let (what, help) = match e.kind {
            ExprKind::Coordinate(_, Coordinate::Block | Coordinate::Tile) => return,
            ExprKind::Coordinate(_, Coordinate::Pos) => ("`.pos`".to_owned(), "count blocks with `.block`"),
            ExprKind::Coordinate(_, coordinate) => {
                let name = match coordinate {
                    Coordinate::T => "`.t`",
                    Coordinate::H => "`.h`",
                    _ => "`.w`",
                };
                (name.to_owned(), "compare tiles with `near(q.tile, kv.tile, window)`")
            }
            ExprKind::Input(id, _) => {
                (format!("input `{}`", strategy.inputs[id.0].name), "inputs have a value for each token")
            }
            _ => return,
        };
        mistakes.push(Finding::at(
            Code::Granularity,
            e.span,
            format!("{what} belongs to tokens, and `{rule}` speaks of blocks"),
            format!("{help}, or write a `mask`"),
        ));
    });
    push_joined(mistakes, findings);
}
