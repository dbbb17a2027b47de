//! Is everything that is declared also read?

use sparsym_ir::expr::Coordinate::{Cell, H, T, Tile, W};
use sparsym_ir::expr::{ExprKind, Global, Within};
use sparsym_ir::strategy::{Permute, Strategy, When};
use sparsym_ir::{Code, Finding, Findings, Span};

use super::expressions;

pub(super) fn check(strategy: &Strategy, findings: &mut Findings) {
    let mut params = vec![false; strategy.params.len()];
    let mut tables = vec![false; strategy.tables.len()];
    let mut inputs = vec![false; strategy.inputs.len()];
    let mut lets = vec![false; strategy.lets.len()];
    let mut maps = vec![false; strategy.maps.len()];
    // Ranges describe a layout as a whole: reading one of them, or a coordinate of the grid, is reading all.
    let mut ranges = strategy
        .rules
        .iter()
        .any(|rule| matches!(&rule.when, When::Match { q, kv, .. } if q.is_some() || kv.is_some()));
    ranges |= strategy.maps.iter().flat_map(|map| &map.axes).any(|axis| axis.range.is_some());
    match strategy.permute {
        Some(Permute::Tiles(_)) => ranges = true,
        Some(Permute::Index(id)) => inputs[id.0] = true,
        None => {}
    }
    for value in expressions(strategy) {
        value.walk(&mut |e| match &e.kind {
            ExprKind::Param(id) => params[id.0] = true,
            ExprKind::Table(id) => tables[id.0] = true,
            ExprKind::Input(id, _) => inputs[id.0] = true,
            ExprKind::Let(named) => lets[named.id.0] = true,
            ExprKind::Map(id, _) => maps[id.0] = true,
            ExprKind::InRange(..)
            | ExprKind::Coordinate(_, T | H | W | Cell | Tile)
            | ExprKind::Global(Global::GridT | Global::GridH | Global::GridW | Global::FrameLen) => ranges = true,
            ExprKind::Reduce(_, running, _) => ranges |= matches!(running.within, Within::Range(_)),
            ExprKind::Softmax(softmax) => ranges |= matches!(softmax.over.within, Within::Range(_)),
            ExprKind::Cover(cover) => ranges |= cover.per_frame,
            _ => {}
        });
    }
    let mut report = |what: &str, name: &str, span: Span| {
        findings.push(Finding::at(
            Code::UnusedName,
            span,
            format!("{what}`{name}` is declared but never read"),
            "remove it, or write the rule that reads it",
        ));
    };
    let unread = |read: &[bool], index: usize| !read[index];
    for (_, param) in strategy.params.iter().enumerate().filter(|(index, _)| unread(&params, *index)) {
        report("param ", &param.name, param.span);
    }
    for (_, table) in strategy.tables.iter().enumerate().filter(|(index, _)| unread(&tables, *index)) {
        report("table ", &table.name, table.span);
    }
    for (_, input) in strategy.inputs.iter().enumerate().filter(|(index, _)| unread(&inputs, *index)) {
        report("input ", &input.name, input.span);
    }
    for (_, named) in strategy.lets.iter().enumerate().filter(|(index, _)| unread(&lets, *index)) {
        report("", &named.name, named.span);
    }
    for (_, map) in strategy.maps.iter().enumerate().filter(|(index, _)| unread(&maps, *index)) {
        report("map ", &map.name, map.span);
    }
    if let (Some(first), Some(last)) = (strategy.tokens.first(), strategy.tokens.last())
        && !ranges
    {
        let names: Vec<&str> = strategy.tokens.iter().map(|range| range.name.as_str()).collect();
        report("token range ", &names.join(", "), first.span.to(last.span));
    }
}
