//! Named values: without variables, of each token, and of a pair.

use std::sync::Arc;

use proptest::prelude::*;
use proptest::sample::select;
use sparsym_ir::Span;
use sparsym_ir::expr::{Expr, ExprKind, Global, Side, Type};
use sparsym_ir::lets::{Let, LetId, LetSide, Named};

use super::{Setting, bool, e, float, int};

/// What is declared: name, side, type. Those without a side stand first, and later ones may read them.
const LETS: [(&str, LetSide, Type); 7] = [
    ("number", LetSide::None, Type::Int),
    ("share", LetSide::None, Type::Float),
    ("early", LetSide::None, Type::Bool),
    ("row", LetSide::Q, Type::Int),
    ("column", LetSide::Kv, Type::Float),
    ("odd", LetSide::Q, Type::Bool),
    ("apart", LetSide::Pair, Type::Int),
];

/// A name of this type that can be read here; its value comes when the strategy is linked.
pub(crate) fn read(setting: Setting, ty: Type) -> BoxedStrategy<Expr> {
    let tokens = matches!(setting, Setting::Token | Setting::Score);
    let fits = |&(_, (_, side, of)): &(usize, &(&str, LetSide, Type))| *of == ty && (tokens || *side == LetSide::None);
    let ids: Vec<usize> = LETS.iter().enumerate().filter(fits).map(|(id, _)| id).collect();
    select(ids).prop_map(move |id| named(id, ty)).boxed()
}

fn named(id: usize, ty: Type) -> Expr {
    let value = Arc::new(e(ExprKind::Bool(false), Type::Bool));
    e(ExprKind::Let(Named { id: LetId(id), value }), ty)
}

/// Values for all of them.
pub(crate) fn declared() -> BoxedStrategy<Vec<Let>> {
    let steps = |value: &Expr| value.kind != ExprKind::Global(Global::Steps);
    (
        int(Setting::Schedule).prop_map(without_names).prop_filter("a divisor would make a share", steps),
        float(Setting::Schedule).prop_map(without_names),
        bool(Setting::Schedule).prop_map(without_names),
        of_side(int(Setting::Token), Side::Q),
        of_side(float(Setting::Token), Side::Kv),
        of_side(bool(Setting::Token), Side::Q),
        int(Setting::Token).prop_map(|value| up_to(value, 6)),
    )
        .prop_map(|(a, b, c, d, e, f, g)| {
            let values = [a, b, c, d, e, f, g].into_iter();
            let of = |((name, side, _), value): (&(&str, LetSide, Type), Expr)| Let {
                name: (*name).to_owned(),
                side: *side,
                value,
                span: Span::default(),
            };
            LETS.iter().zip(values).map(of).collect()
        })
        .boxed()
}

/// Reads other tokens of one side only.
fn of_side(value: BoxedStrategy<Expr>, side: Side) -> BoxedStrategy<Expr> {
    let other = if side == Side::Q { 1 } else { 0 };
    value
        .prop_map(move |value| up_to(value, 3))
        .prop_filter("of one token", move |value| !value.free_sides()[other])
        .boxed()
}

fn without_names(value: Expr) -> Expr {
    up_to(value, 0)
}

/// With a literal in the place of names from this one on: a value reads only names before it.
fn up_to(mut value: Expr, end: usize) -> Expr {
    if let ExprKind::Let(named) = &value.kind
        && named.id.0 >= end
    {
        value.kind = match value.ty {
            Type::Bool => ExprKind::Bool(true),
            Type::Float => ExprKind::Float(2.5),
            // Not a literal, which would be written as a float where it is converted.
            _ => ExprKind::Global(Global::Heads),
        };
    }
    for child in value.children_mut() {
        *child = up_to(std::mem::replace(child, e(ExprKind::Bool(false), Type::Bool)), end);
    }
    value
}
