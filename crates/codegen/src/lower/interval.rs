//! What interval arithmetic says of an expression over a cell of token pairs, as CUDA: the operations of
//! `templates/parts/interval.cuh`, one for one those of `sparsym_ir::classify`.
//!
//! Comparisons of floats are not judged: their verdict is mixed.

use sparsym_ir::Expr;
use sparsym_ir::expr::{BinaryOp, Coordinate, ExprKind, Function, Side, Type, UnaryOp};
use sparsym_ir::strategy::InputId;

use super::affine::{Affine, Number, affine};
use super::text::{names, statement};
use super::{ATOM, Lowering};

/// How a mask's expressions become intervals.
#[derive(Clone, Copy)]
pub(super) struct Intervals<'a> {
    pub(super) lowering: Lowering<'a>,
    /// Whether sequences start where index pointers say.
    pub(super) ragged: bool,
}

impl Intervals<'_> {
    /// Declares the coordinates and values of a cell that `body` names.
    pub(super) fn locals(&self, body: &str) -> String {
        let mut locals = String::new();
        let mut declare = |ty: &str, word: String, value: String| {
            if names(body, &word) {
                locals.push_str(&statement(&format!("const {ty} {word} = "), &value, ";"));
            }
        };
        for side in [Side::Q, Side::Kv] {
            let side_name = side.name();
            declare("Box", format!("{side_name}_box"), format!("grid_box(p, cell.{side_name})"));
            declare("Box", format!("{side_name}_tile"), format!("tile_box(p, cell.{side_name})"));
            let first = match (self.ragged, side) {
                (false, Side::Q) => "(i64)b * p.n_q",
                (false, Side::Kv) => "(i64)b * p.n_kv",
                (true, Side::Q) => "p.q_indptr[b]",
                (true, Side::Kv) => "p.kv_indptr[b]",
            };
            for input in &self.lowering.strategy.inputs {
                let value = format!("values_in(p.input_{} + {first}, cell.{side_name})", input.name);
                declare("Interval", format!("input_{}_{side_name}", input.name), value);
            }
        }
        locals
    }

    /// The verdict of a bool expression.
    pub(super) fn verdict(&self, expr: &Expr) -> String {
        let mixed = || "kMixed".to_owned();
        if !expr.reads_tokens() {
            return format!("{} ? kPass : kFail", self.lowering.within(expr, ATOM));
        }
        match &expr.kind {
            ExprKind::Input(id, side) => format!("is_not_zero({})", self.input(*id, *side)),
            ExprKind::Binary(op, a, b) if a.ty == Type::Int => {
                let (a, b) = (self.interval(a), self.interval(b));
                match op {
                    BinaryOp::Lt => format!("is_less({a}, {b})"),
                    BinaryOp::Gt => format!("is_less({b}, {a})"),
                    BinaryOp::Le => format!("is_at_most({a}, {b})"),
                    BinaryOp::Ge => format!("is_at_most({b}, {a})"),
                    BinaryOp::Eq => format!("is_equal({a}, {b})"),
                    _ => format!("negated(is_equal({a}, {b}))"),
                }
            }
            ExprKind::Call(Function::Near, args) => match (tile_side(&args[0]), tile_side(&args[1])) {
                (Some(a), Some(b)) if !args[2].reads_tokens() => {
                    let window = self.lowering.expr(&args[2]);
                    format!("is_near(p, {}_tile, {}_tile, {window})", a.name(), b.name())
                }
                _ => mixed(),
            },
            _ => mixed(),
        }
    }

    fn interval(&self, expr: &Expr) -> String {
        if !expr.reads_tokens() {
            return format!("exactly({})", self.lowering.expr(expr));
        }
        let uniform = |e: &Expr| Text::uniform(self.lowering.within(e, ATOM), &e.kind);
        if let Some(Affine { q, kv, constant }) = affine(expr, &uniform) {
            return format!("affine(cell, {}, {}, {})", q.show(), kv.show(), constant.show());
        }
        let of = |e: &Expr| self.interval(e);
        match &expr.kind {
            ExprKind::Coordinate(side, coordinate) => {
                let axis = match coordinate {
                    Coordinate::T => "t",
                    Coordinate::H => "h",
                    _ => "w",
                };
                format!("{}_box.{axis}", side.name())
            }
            ExprKind::Input(id, side) => self.input(*id, *side),
            ExprKind::Unary(UnaryOp::Neg, a) => format!("minus({})", of(a)),
            ExprKind::Binary(op, a, b) => {
                let name = match op {
                    BinaryOp::Add => "plus",
                    BinaryOp::Sub => "difference",
                    BinaryOp::Mul => "times",
                    BinaryOp::Div => "quotient",
                    _ => "remainder_of",
                };
                format!("{name}({}, {})", of(a), of(b))
            }
            ExprKind::Call(Function::Abs, args) => format!("absolute({})", of(&args[0])),
            ExprKind::Call(Function::Min, args) => format!("least_of({}, {})", of(&args[0]), of(&args[1])),
            ExprKind::Call(Function::Max, args) => format!("most_of({}, {})", of(&args[0]), of(&args[1])),
            ExprKind::Call(Function::Clamp, args) => {
                format!("most_of(least_of({}, {}), {})", of(&args[0]), of(&args[2]), of(&args[1]))
            }
            ExprKind::Call(Function::BitLength, args) => format!("bit_lengths({})", of(&args[0])),
            _ => "anything()".to_owned(), // rounded floats
        }
    }

    fn input(&self, id: InputId, side: Side) -> String {
        format!("input_{}_{}", self.lowering.strategy.inputs[id.0].name, side.name())
    }
}

fn tile_side(expr: &Expr) -> Option<Side> {
    match expr.kind {
        ExprKind::Coordinate(side, Coordinate::Tile) => Some(side),
        _ => None,
    }
}

/// A 64-bit number of the text: a sum of products.
#[derive(Clone, Debug)]
struct Text(Vec<(i64, Vec<String>)>);

impl Text {
    fn uniform(text: String, kind: &ExprKind) -> Text {
        match kind {
            ExprKind::Int(value) => Text::of(*value),
            _ => Text(vec![(1, vec![format!("(i64){text}")])]),
        }
    }

    fn show(&self) -> String {
        let mut out = String::new();
        for (factor, names) in &self.0 {
            let mut product: Vec<String> = names.clone();
            let size = factor.unsigned_abs();
            if size != 1 || product.is_empty() {
                product.insert(0, size.to_string());
            }
            match (out.is_empty(), *factor < 0) {
                (true, false) => {}
                (true, true) => out.push('-'),
                (false, false) => out.push_str(" + "),
                (false, true) => out.push_str(" - "),
            }
            out.push_str(&product.join(" * "));
        }
        if out.is_empty() { "0".to_owned() } else { out }
    }
}

impl Number for Text {
    fn of(value: i64) -> Text {
        Text(vec![(value, Vec::new())])
    }

    fn plus(&self, other: &Text) -> Text {
        let mut terms = self.0.clone();
        for (factor, names) in &other.0 {
            match terms.iter_mut().find(|(_, known)| known == names) {
                Some((known, _)) => *known = known.saturating_add(*factor),
                None => terms.push((*factor, names.clone())),
            }
        }
        terms.retain(|(factor, _)| *factor != 0);
        Text(terms)
    }

    fn times(&self, other: &Text) -> Text {
        let mut product = Text(Vec::new());
        for (a, left) in &self.0 {
            for (b, right) in &other.0 {
                let names = left.iter().chain(right).cloned().collect();
                // Where a factor leaves 64 bits the mask does not fit, unless the factor meets position 0 alone.
                let factor = a.saturating_mul(*b).max(-i64::MAX);
                product = product.plus(&Text(vec![(factor, names)]));
            }
        }
        product
    }
}
