//! Do token rules speak of tokens, and block rules of blocks?

use sparsym_ir::expr::{Coordinate, Expr, ExprKind, Side};
use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Code, Finding, Findings, Span};

use super::{condition, push_joined};

/// What variables stand for.
#[derive(Clone, Copy, PartialEq)]
enum Grain {
    Tokens,
    Blocks,
    Groups,
}

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    let mut check = |whole: &str, grain, value: &Expr| {
        let mut mistakes = Vec::new();
        visit(strategy, whole, grain, value, &mut mistakes);
        push_joined(mistakes, findings);
    };
    for (name, rule) in [("mask", &strategy.mask), ("score", &strategy.score)] {
        if let Some(rule) = rule {
            check(&format!("`{name}` speaks of tokens"), Grain::Tokens, &rule.value);
        }
    }
    for map in &strategy.maps {
        check("maps speak of blocks", Grain::Blocks, &map.value);
    }
    for rule in &strategy.rules {
        if let Some(condition) = condition(rule) {
            check(&format!("`{}` speaks of blocks", rule.action.name()), Grain::Blocks, condition);
        }
    }
}

fn visit(strategy: &Strategy, whole: &str, grain: Grain, value: &Expr, mistakes: &mut Vec<Finding>) {
    mistakes.extend(match grain {
        Grain::Tokens => of_tokens(whole, value),
        Grain::Blocks => of_blocks(strategy, whole, value),
        Grain::Groups => of_groups(value),
    });
    match &value.kind {
        ExprKind::Cover(cover) => {
            visit(strategy, "inside `cover` variables are tokens", Grain::Tokens, &cover.mask, mistakes);
        }
        ExprKind::BlockSum(sum) => {
            for part in [&sum.logit].into_iter().chain(&sum.visible) {
                visit(strategy, whole, Grain::Groups, part, mistakes);
            }
        }
        _ => value.children().into_iter().for_each(|child| visit(strategy, whole, grain, child, mistakes)),
    }
}

fn of_tokens(whole: &str, value: &Expr) -> Option<Finding> {
    let (what, side) = match value.kind {
        ExprKind::Coordinate(side, Coordinate::Block) => ("`.block`", side),
        ExprKind::Coordinate(side, Coordinate::Len) => ("`.len`", side),
        _ => return None,
    };
    let help = match whole.starts_with("inside") {
        true => format!("read the token's place with `{}.pos`", side.name()),
        false => format!("read the token's place with `{}.pos`, or write a `skip` rule", side.name()),
    };
    Some(mistake(value.span, format!("{what} belongs to blocks, and {whole}"), help))
}

fn of_blocks(strategy: &Strategy, whole: &str, value: &Expr) -> Option<Finding> {
    let (what, help) = match value.kind {
        ExprKind::Coordinate(_, coordinate) => {
            let (name, help) = match coordinate {
                Coordinate::Block | Coordinate::Tile | Coordinate::Len => return None,
                Coordinate::Pos => ("`.pos`", "count blocks with `.block`"),
                Coordinate::T => ("`.t`", TILES),
                Coordinate::H => ("`.h`", TILES),
                Coordinate::W => ("`.w`", TILES),
                Coordinate::Cell => ("`.cell`", TILES),
            };
            (name.to_owned(), help)
        }
        ExprKind::Input(id, _) => {
            (format!("input `{}`", strategy.inputs[id.0].name), "inputs have a value for each token")
        }
        _ => return None,
    };
    Some(mistake(
        value.span,
        format!("{what} belongs to tokens, and {whole}"),
        format!("{help}, or write `cover(any: …)` or a `mask`"),
    ))
}

const TILES: &str = "compare tiles with `near(q.tile, kv.tile, window)`";

fn of_groups(value: &Expr) -> Option<Finding> {
    let side = match value.kind {
        ExprKind::Coordinate(_, Coordinate::Block) => return None,
        ExprKind::Coordinate(side, _) | ExprKind::InRange(side, _) | ExprKind::Input(_, side) => side,
        _ => return None,
    };
    let side = if side == Side::Q { "q" } else { "kv" };
    Some(mistake(
        value.span,
        "inside `blocksum` variables are groups of tokens, which have an index only".to_owned(),
        format!("read the index of the group with `{side}.block`"),
    ))
}

fn mistake(span: Span, message: String, help: String) -> Finding {
    Finding::at(Code::Granularity, span, message, help)
}
