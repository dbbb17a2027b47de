//! Order maps: where an element stands among the others of its line. And covers, which are judged pair by pair.

use crate::eval::{Covers, Scope};
use crate::expr::{BinaryOp, Expr, ExprKind, Function, Line, Measure, Order, Percentile, Running, Side, Type, Within};
use crate::strategy::{BlockRule, When};

use super::MapValues;

/// Elements of a line: its blocks (q, kv), in order of their index.
type Elements = Vec<(usize, usize)>;

/// The condition of a rule with its order maps and covers as maps over (q, kv) of this batch item and head, and those maps.
pub(crate) fn with_orders<'a>(scope: &Scope<'a>, rule: &BlockRule, condition: &Expr) -> (Expr, MapValues<'a>) {
    let mut orders = Orders { scope: *scope, lines: Vec::new(), maps: MapValues::after(scope.maps) };
    let mut condition = condition.clone();
    let by_line = |e: &Expr| matches!(e.kind, ExprKind::Order(_) | ExprKind::Percentile(_) | ExprKind::Cover(_));
    if condition.any(by_line) {
        orders.lines = rows(scope, rule);
        orders.replace(&mut condition);
    }
    (condition, orders.maps)
}

/// The lines of a rule: a row for each query block that it looks at, or one row of all query blocks.
fn rows(scope: &Scope, rule: &BlockRule) -> Vec<Elements> {
    let When::Match { q, kv, .. } = rule.when else { return Vec::new() };
    let running = |side: Side, range: Option<_>| Running {
        axis: side.into(),
        within: range.map_or(Within::All, Within::Range),
        visible: None,
    };
    let (q, kv) = (running(Side::Q, q), running(Side::Kv, kv));
    let blocks = |running| scope.places(running).map(|(n, _)| n).collect::<Vec<usize>>();
    if !rule.action.writes_skip_symbol() {
        return vec![blocks(&q).into_iter().map(|i| (i, 0)).collect()];
    }
    let columns = blocks(&kv);
    blocks(&q).into_iter().map(|i| columns.iter().map(|&j| (i, j)).collect()).collect()
}

/// What a map holds, as the type of what it stands for: a rank is an integer, a cover a bool.
fn of_type(ty: Type, read: Expr) -> Expr {
    let span = read.span;
    let kind = match ty {
        Type::Bool => {
            let zero = Expr { kind: ExprKind::Float(0.0), ty: Type::Float, span };
            ExprKind::Binary(BinaryOp::Ne, Box::new(read), Box::new(zero))
        }
        Type::Int => ExprKind::Call(Function::Floor, vec![read]),
        _ => return read,
    };
    Expr { kind, ty, span }
}

struct Orders<'a> {
    scope: Scope<'a>,
    lines: Vec<Elements>,
    maps: MapValues<'a>,
}

impl Orders<'_> {
    fn replace(&mut self, expr: &mut Expr) {
        let line = match &expr.kind {
            ExprKind::Order(order) => order.line,
            ExprKind::Percentile(percentile) => percentile.line,
            ExprKind::Cover(_) => Line::Row,
            _ => return expr.children_mut().into_iter().for_each(|child| self.replace(child)),
        };
        let problem = self.scope.bound.problem;
        let mut values = vec![0.0; problem.q_blocks() * problem.kv_blocks()];
        let joined: Vec<Elements>;
        let lines = match line {
            Line::Row => &self.lines,
            Line::Head => {
                joined = vec![self.lines.concat()];
                &joined
            }
        };
        let covers = match &expr.kind {
            ExprKind::Cover(cover) => Some(Covers::new(&self.scope, cover)),
            _ => None,
        };
        for elements in lines {
            let measures = match &expr.kind {
                ExprKind::Order(order) => self.order(order, elements),
                ExprKind::Percentile(percentile) => vec![self.percentile(percentile, elements); elements.len()],
                _ => elements
                    .iter()
                    .map(|&(q, kv)| f32::from(u8::from(covers.as_ref().is_some_and(|covers| covers.holds(q, kv)))))
                    .collect(),
            };
            for (&(q, kv), measure) in elements.iter().zip(measures) {
                values[q * problem.kv_blocks() + kv] = measure;
            }
        }
        let id = self.maps.push_pairs(values, problem.kv_blocks());
        let (ty, span) = (expr.ty, expr.span);
        drop(covers);
        let read = Expr { kind: ExprKind::Map(id, vec![Side::Q, Side::Kv]), ty: Type::Float, span };
        *expr = of_type(ty, read);
    }

    fn order(&self, order: &Order, elements: &Elements) -> Vec<f32> {
        let values = self.values(&order.value, elements);
        let first: Vec<bool> = match &order.first {
            Some(first) => elements.iter().map(|&(q, kv)| self.scope.at(q, kv, f32::NAN).eval(first).bool()).collect(),
            None => vec![false; elements.len()],
        };
        let mut sorted: Vec<usize> = (0..elements.len()).collect();
        // Stable, so that equal values stand in order of their index.
        sorted.sort_by(|&a, &b| {
            let (x, y) = if order.descending { (values[b], values[a]) } else { (values[a], values[b]) };
            let nan = values[a].is_nan().cmp(&values[b].is_nan());
            first[b].cmp(&first[a]).then(nan).then(x.partial_cmp(&y).unwrap_or(std::cmp::Ordering::Equal))
        });
        let mut measures = vec![0.0; elements.len()];
        let mut mass = 0.0;
        for (rank, &element) in sorted.iter().enumerate() {
            let before = mass;
            mass += if values[element].is_nan() { 0.0 } else { values[element] };
            measures[element] = match order.measure {
                Measure::Rank => rank as f32,
                Measure::Mass => mass,
                Measure::MassBefore => before,
            };
        }
        measures
    }

    fn percentile(&self, percentile: &Percentile, elements: &Elements) -> f32 {
        let mut values = self.values(&percentile.value, elements);
        values.sort_by(|a, b| a.is_nan().cmp(&b.is_nan()).then(a.partial_cmp(b).unwrap_or(std::cmp::Ordering::Equal)));
        let share = self.scope.eval(&percentile.share).float();
        let number = (share * values.len() as f32).floor().max(1.0) as usize;
        values.get(number - 1).or(values.last()).copied().unwrap_or(f32::NAN)
    }

    fn values(&self, value: &Expr, elements: &Elements) -> Vec<f32> {
        elements.iter().map(|&(q, kv)| self.scope.at(q, kv, f32::NAN).eval(value).float()).collect()
    }
}
