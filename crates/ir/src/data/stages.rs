//! Maps, one step of work each: what a device computes in one go and keeps.

use crate::expr::{Expr, ExprKind, Side, Type};
use crate::strategy::{Map, MapAxis, MapId, Strategy, When};

/// The same strategy with every softmax, dot product and block score in a map of its own, each once.
///
/// In the result the value of a map is one of
///
/// * a [`Softmax`](ExprKind::Softmax), or a [`BlockSum`](ExprKind::BlockSum), with nothing around it;
/// * an expression over (q, kv) with [`Dot`](ExprKind::Dot) products of one kind, none of them below a reduction;
/// * any other expression without these three;
///
/// and rules read them as maps. Added maps have names of their own.
pub fn stages(strategy: &Strategy) -> Strategy {
    let mut staging = Staging { maps: Vec::new(), taken: strategy.maps.iter().map(|map| map.name.clone()).collect() };
    // A map keeps its place among the maps before it, so all numbers change.
    let mut numbers: Vec<MapId> = Vec::new();
    for map in &strategy.maps {
        let value = renumbered(&map.value, &numbers);
        let both = map.axes.len() == 2;
        let value = match value.kind {
            ExprKind::Softmax(_) | ExprKind::BlockSum(_) => staging.inside(value, Keep::Nothing),
            _ if both => {
                let kept = first_dot(&value);
                staging.hoist(value, &kept.map_or(Keep::Nothing, Keep::Dots))
            }
            _ => staging.hoist(value, &Keep::Nothing),
        };
        staging.maps.push(Map { value, ..map.clone() });
        numbers.push(MapId(staging.maps.len() - 1));
    }
    let mut rules = strategy.rules.clone();
    for rule in &mut rules {
        if let When::Match { condition: Some(condition), .. } = &mut rule.when {
            *condition = staging.hoist(renumbered(condition, &numbers), &Keep::Nothing);
        }
    }
    Strategy { maps: staging.maps, rules, ..strategy.clone() }
}

struct Staging {
    maps: Vec<Map>,
    /// Names of the strategy's maps.
    taken: Vec<String>,
}

/// What may stay where it stands.
enum Keep {
    Nothing,
    /// Dot products of this kind, but not below a reduction.
    Dots(ExprKind),
}

impl Staging {
    /// Puts every stage in the expression, itself too, into a map.
    fn hoist(&mut self, expr: Expr, keep: &Keep) -> Expr {
        if matches!(keep, Keep::Dots(kept) if expr.kind == *kept) {
            return expr;
        }
        let below = match expr.kind {
            ExprKind::Reduce(..) => &Keep::Nothing,
            _ => keep,
        };
        let is_stage = matches!(expr.kind, ExprKind::Softmax(_) | ExprKind::BlockSum(_) | ExprKind::Dot { .. });
        let expr = self.inside(
            expr,
            match below {
                Keep::Dots(kind) if !is_stage => Keep::Dots(kind.clone()),
                _ => Keep::Nothing,
            },
        );
        if is_stage { self.read(expr) } else { expr }
    }

    fn inside(&mut self, mut expr: Expr, keep: Keep) -> Expr {
        // Groups and tokens hold no stages.
        if !matches!(expr.kind, ExprKind::BlockSum(_) | ExprKind::Cover(_)) {
            for child in expr.children_mut() {
                let moved =
                    std::mem::replace(child, Expr { kind: ExprKind::Bool(false), ty: Type::Bool, span: child.span });
                *child = self.hoist(moved, &keep);
            }
        }
        expr
    }

    /// A read of the map that holds the stage.
    fn read(&mut self, stage: Expr) -> Expr {
        let (span, free) = (stage.span, stage.free_sides());
        let sides: Vec<Side> = [Side::Q, Side::Kv].into_iter().filter(|&side| free[side as usize]).collect();
        let bare = stage.without_spans();
        let known = self.maps.iter().position(|map| {
            let plain = map.axes.iter().all(|axis| axis.range.is_none());
            plain
                && map.axes.iter().map(|axis| axis.side).eq(sides.iter().copied())
                && map.value.without_spans() == bare
        });
        let index = known.unwrap_or_else(|| {
            let axis = |&side: &Side| MapAxis { variable: side.name().to_owned(), side, range: None };
            let mut name = format!("stage_{}", self.maps.len());
            while self.taken.contains(&name) {
                name.push('_');
            }
            self.maps.push(Map { name, axes: sides.iter().map(axis).collect(), value: stage, span });
            self.maps.len() - 1
        });
        Expr { kind: ExprKind::Map(MapId(index), sides), ty: Type::Float, span }
    }
}

/// The first dot product that does not stand below a reduction or a softmax.
fn first_dot(expr: &Expr) -> Option<ExprKind> {
    match &expr.kind {
        ExprKind::Dot { .. } => Some(expr.kind.clone()),
        ExprKind::Reduce(..) | ExprKind::Softmax(_) => None,
        _ => expr.children().into_iter().find_map(first_dot),
    }
}

fn renumbered(expr: &Expr, numbers: &[MapId]) -> Expr {
    let mut expr = expr.clone();
    if let ExprKind::Map(id, _) = &mut expr.kind {
        *id = numbers[id.0];
    }
    for child in expr.children_mut() {
        *child = renumbered(child, numbers);
    }
    expr
}
