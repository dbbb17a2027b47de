//! Is there one grid, and is it there when its coordinates are read?

use sparsym_ir::expr::Coordinate::{Cell, H, T, Tile, W};
use sparsym_ir::expr::ExprKind;
use sparsym_ir::expr::Global::{FrameLen, GridH, GridT, GridW};
use sparsym_ir::strategy::{Grid, Strategy};
use sparsym_ir::{Code, Finding, Findings};

use super::{expressions, push_joined};

/// At most one range is a grid.
pub(super) fn check_single(strategy: &Strategy, findings: &mut Findings) {
    let mut grids = strategy.tokens.iter().filter(|range| range.grid.is_some());
    let Some(first) = grids.next() else { return };
    for second in grids {
        findings.push(
            Finding::at(
                Code::SecondGrid,
                second.span,
                format!("`{}` is a second grid", second.name),
                "make one of them a plain range: coordinates belong to the one grid",
            )
            .label(first.span, "the first grid"),
        );
    }
}

/// Coordinates have a grid, tiles are declared.
pub(super) fn check_declared(strategy: &Strategy, findings: &mut Findings) {
    let grid = strategy.tokens.iter().find_map(|range| range.grid);
    let mut mistakes = Vec::new();
    for value in expressions(strategy) {
        value.walk(&mut |e| {
            let (message, help) = match (&e.kind, grid) {
                (ExprKind::Coordinate(_, Tile), None) => {
                    ("no range is a tiled grid", "declare one: `tokens text, vision(t, h, w) tiled (6, 8, 8);`")
                }
                (ExprKind::Coordinate(_, Tile), Some(Grid::Raster)) => {
                    ("the grid is not tiled", "declare its tiles: `vision(t, h, w) tiled (6, 8, 8)`")
                }
                (ExprKind::Coordinate(_, T | H | W | Cell), None) => {
                    ("no range is a grid", "declare one: `tokens text, vision(t, h, w);`")
                }
                (ExprKind::Global(GridT | GridH | GridW | FrameLen), None) => {
                    ("no range is a grid, so it has no extents", "declare one: `tokens text, vision(t, h, w);`")
                }
                (ExprKind::Cover(cover), None) if cover.per_frame => {
                    ("no range is a grid, so there are no frames", "declare one: `tokens text, vision(t, h, w);`")
                }
                _ => return,
            };
            mistakes.push(Finding::at(Code::NoGrid, e.span, message, help));
        });
    }
    push_joined(mistakes, findings);
}
