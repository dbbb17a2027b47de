//! Random strategies.

mod data;
pub(crate) mod lets;

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Strategy as _;
use sparsym_ir::Span;
use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Global, Side, Type, UnaryOp};
use sparsym_ir::strategy::{
    Action, BlockRule, Blocks, Element, Grid, Input, InputId, Param, ParamId, Permute, RangeId, Reuse, Scalar,
    Schedule, Strategy, Table, TableAxis, TableId, TokenRange, TokenRule, Value, When,
};

pub(crate) fn e(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

/// Where an expression stands decides what it may read.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(crate) enum Setting {
    Token,
    Score,
    Block,
    Schedule,
}

pub(crate) fn int(setting: Setting) -> BoxedStrategy<Expr> {
    let globals = match setting {
        Setting::Schedule => vec![Global::Step, Global::Steps, Global::SinceUpdate, Global::Heads],
        _ => vec![
            Global::Step,
            Global::Layer,
            Global::Head,
            Global::Batch,
            Global::HeadDim,
            Global::SinceUpdate,
            Global::BlockQ,
            Global::FrameLen,
        ],
    };
    let leaf = prop_oneof![
        (0i64..=i64::from(i32::MAX)).prop_map(|value| e(ExprKind::Int(value), Type::Int)),
        select(globals).prop_map(|global| e(ExprKind::Global(global), Type::Int)),
        Just(e(ExprKind::Param(ParamId(0)), Type::Int)),
    ];
    let side = select(vec![Side::Q, Side::Kv]);
    let leaf = prop_oneof![9 => leaf, 1 => lets::read(setting, Type::Int)];
    let leaf = match setting {
        Setting::Schedule => leaf.boxed(),
        Setting::Block => {
            let block = (side, select(vec![Coordinate::Block, Coordinate::Len]))
                .prop_map(|(side, coordinate)| e(ExprKind::Coordinate(side, coordinate), Type::Int));
            prop_oneof![leaf, block].boxed()
        }
        _ => {
            let coordinates =
                select(vec![Coordinate::Pos, Coordinate::T, Coordinate::H, Coordinate::W, Coordinate::Cell]);
            let coordinate = (side.clone(), coordinates).prop_map(|(s, c)| e(ExprKind::Coordinate(s, c), Type::Int));
            let input = side.prop_map(|side| e(ExprKind::Input(InputId(0), side), Type::Int));
            prop_oneof![leaf, coordinate, input].boxed()
        }
    };
    leaf.prop_recursive(3, 12, 3, |inner| {
        let arithmetic = select(vec![BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Rem]);
        prop_oneof![
            (arithmetic, inner.clone(), inner.clone())
                .prop_filter("a share of the run is a float", |(op, _, b): &(BinaryOp, Expr, Expr)| {
                    *op != BinaryOp::Div || b.kind != ExprKind::Global(Global::Steps)
                })
                .prop_map(|(op, a, b)| e(ExprKind::Binary(op, a.into(), b.into()), Type::Int)),
            inner.clone().prop_map(|a| e(ExprKind::Unary(UnaryOp::Neg, a.into()), Type::Int)),
            inner.clone().prop_map(|a| e(ExprKind::Call(Function::Abs, vec![a]), Type::Int)),
            (inner.clone(), inner.clone()).prop_map(|(a, b)| e(ExprKind::Call(Function::Max, vec![a, b]), Type::Int)),
            (inner.clone(), inner.clone(), inner)
                .prop_map(|(a, b, c)| e(ExprKind::Call(Function::Clamp, vec![a, b, c]), Type::Int)),
        ]
    })
    .boxed()
}

pub(crate) fn float(setting: Setting) -> BoxedStrategy<Expr> {
    let converted = int(setting)
        .prop_filter("a literal would be written as a float", |value| !matches!(value.kind, ExprKind::Int(_)));
    let leaf = prop_oneof![
        (0.0f64..1e6).prop_map(|value| e(ExprKind::Float(value), Type::Float)),
        Just(e(ExprKind::Param(ParamId(1)), Type::Float)),
        converted.prop_map(|value| e(ExprKind::Unary(UnaryOp::ToFloat, value.into()), Type::Float)),
    ];
    let leaf = prop_oneof![9 => leaf, 1 => lets::read(setting, Type::Float)];
    let leaf = match setting {
        Setting::Schedule => leaf.boxed(),
        Setting::Score => {
            let table = e(ExprKind::Table(TableId(0)), Type::Float);
            prop_oneof![leaf, Just(e(ExprKind::Logit, Type::Float)), Just(table)].boxed()
        }
        _ => prop_oneof![leaf, Just(e(ExprKind::Table(TableId(0)), Type::Float))].boxed(),
    };
    leaf.prop_recursive(3, 12, 2, |inner| {
        let arithmetic = select(vec![BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div]);
        let function = select(vec![Function::Sqrt, Function::Tanh, Function::Exp2, Function::Log, Function::Abs]);
        prop_oneof![
            (arithmetic, inner.clone(), inner.clone())
                .prop_map(|(op, a, b)| e(ExprKind::Binary(op, a.into(), b.into()), Type::Float)),
            (function, inner.clone()).prop_map(|(f, a)| e(ExprKind::Call(f, vec![a]), Type::Float)),
            inner.prop_map(|a| e(ExprKind::Unary(UnaryOp::Neg, a.into()), Type::Float)),
        ]
    })
    .boxed()
}

pub(crate) fn bool(setting: Setting) -> BoxedStrategy<Expr> {
    let compare = select(vec![BinaryOp::Lt, BinaryOp::Le, BinaryOp::Gt, BinaryOp::Ge, BinaryOp::Eq, BinaryOp::Ne]);
    let compared = |op, a: Expr, b: Expr| e(ExprKind::Binary(op, a.into(), b.into()), Type::Bool);
    let leaf = prop_oneof![
        (compare.clone(), int(setting), int(setting)).prop_map(move |(op, a, b)| compared(op, a, b)),
        (compare, float(setting), float(setting)).prop_map(move |(op, a, b)| compared(op, a, b)),
        Just(e(ExprKind::Param(ParamId(2)), Type::Bool)),
    ];
    let leaf = prop_oneof![9 => leaf, 1 => lets::read(setting, Type::Bool)];
    let leaf = match setting {
        Setting::Schedule => leaf.boxed(),
        _ => {
            let tile = |side| e(ExprKind::Coordinate(side, Coordinate::Tile), Type::Triple);
            let window = e(ExprKind::Table(TableId(1)), Type::Triple);
            let near = ExprKind::Call(Function::Near, vec![tile(Side::Q), tile(Side::Kv), window]);
            let inside = (select(vec![Side::Q, Side::Kv]), 0usize..2)
                .prop_map(|(side, id)| e(ExprKind::InRange(side, RangeId(id)), Type::Bool));
            prop_oneof![leaf, inside, Just(e(near, Type::Bool))].boxed()
        }
    };
    leaf.prop_recursive(3, 12, 2, |inner| {
        let junction = select(vec![BinaryOp::And, BinaryOp::Or, BinaryOp::Eq]);
        prop_oneof![
            (junction, inner.clone(), inner.clone())
                .prop_map(|(op, a, b)| e(ExprKind::Binary(op, a.into(), b.into()), Type::Bool)),
            inner.prop_map(|a| e(ExprKind::Unary(UnaryOp::Not, a.into()), Type::Bool)),
        ]
    })
    .boxed()
}

fn rule() -> BoxedStrategy<BlockRule> {
    let range = || prop::option::of((0usize..2).prop_map(RangeId));
    let order = prop_oneof![Just(None), (0i64..=3).prop_map(|n| Some(e(ExprKind::Int(n), Type::Int)))];
    let of_pairs = (select(vec![Action::Skip, Action::Keep]), range(), range(), prop::option::of(condition(Side::Kv)))
        .prop_map(|(action, q, kv, condition)| (action, q, kv, condition));
    let of_rows = (select(vec![Action::Cache, Action::Compute]), range(), prop::option::of(condition(Side::Q)))
        .prop_map(|(action, q, condition)| (action, q, None, condition));
    (prop_oneof![of_pairs, of_rows], order, any::<bool>())
        .prop_map(|((action, q, kv, condition), order, otherwise)| {
            let when = if otherwise { When::Otherwise } else { When::Match { q, kv, condition } };
            let reuse = (action == Action::Cache).then(|| order.map_or(Reuse::Hold, Reuse::Taylor));
            BlockRule { action, when, reuse, span: Span::default() }
        })
        .boxed()
}

/// Of a rule whose last variable is this one; with and without tensor data.
fn condition(last: Side) -> BoxedStrategy<Expr> {
    let plain = bool(Setting::Block)
        .prop_filter("a rule over q has one variable", move |condition| last == Side::Kv || !condition.free_sides()[1]);
    let junction = select(vec![BinaryOp::And, BinaryOp::Or]);
    prop_oneof![
        plain.clone(),
        data::condition(last),
        (junction, plain, data::condition(last))
            .prop_map(|(op, a, b)| e(ExprKind::Binary(op, a.into(), b.into()), Type::Bool)),
    ]
    .boxed()
}

fn param(name: &str, scalar: Scalar, min: Option<Value>, max: Option<Value>, default: Value) -> Param {
    Param { name: name.to_owned(), doc: String::new(), scalar, min, max, default, span: Span::default() }
}

pub(crate) fn strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
    let token = |value: BoxedStrategy<Expr>| {
        prop::option::of(value.prop_map(|value| TokenRule { value, span: Span::default() }))
    };
    (
        token(bool(Setting::Token)),
        token(float(Setting::Score)),
        prop::collection::vec(rule(), 0..4),
        prop::option::of(bool(Setting::Schedule)),
        prop::option::of(bool(Setting::Schedule)),
        prop::option::of(data::degrade()),
        (-1e3f64..1e3, -100i64..100, any::<bool>()),
        (data::maps(), lets::declared()),
        select(vec![None, Some(Permute::Tiles(RangeId(1))), Some(Permute::Index(InputId(1)))]),
    )
        .prop_map(|(mask, score, rules, update, dense, degrade, (cap, shift, causal), (maps, lets), permute)| {
            let mut strategy = declared(mask, score, rules, Schedule { update, dense, degrade });
            strategy.params[0].default = Value::Int(shift);
            strategy.params[1].default = Value::Float(cap);
            strategy.params[2].default = Value::Bool(causal);
            strategy.tables.push(data::method());
            let order = Input { name: "order".to_owned(), scalar: Scalar::U32, ..strategy.inputs[0].clone() };
            strategy.inputs.push(order);
            (strategy.maps, strategy.lets, strategy.permute) = (maps, lets, permute);
            strategy.linked().unwrap()
        })
}

/// Declarations that random expressions may read.
pub(crate) fn declared(
    mask: Option<TokenRule>,
    score: Option<TokenRule>,
    rules: Vec<BlockRule>,
    schedule: Schedule,
) -> Strategy {
    Strategy {
        name: "Random".to_owned(),
        doc: "First line.\n\nSecond paragraph.".to_owned(),
        params: vec![
            param("shift", Scalar::I32, Some(Value::Int(-100)), None, Value::Int(0)),
            param("cap", Scalar::F32, None, Some(Value::Float(1e3)), Value::Float(0.5)),
            param("causal", Scalar::Bool, None, None, Value::Bool(true)),
        ],
        tables: vec![
            Table {
                name: "slope".to_owned(),
                doc: "Of each head.".to_owned(),
                axes: vec![TableAxis::Layer, TableAxis::Head],
                element: Element::One(Scalar::F32),
                variants: Vec::new(),
                span: Span::default(),
            },
            Table {
                name: "window".to_owned(),
                doc: String::new(),
                axes: vec![TableAxis::Step],
                element: Element::Three(Scalar::U32),
                variants: Vec::new(),
                span: Span::default(),
            },
        ],
        inputs: vec![Input {
            name: "document".to_owned(),
            doc: String::new(),
            scalar: Scalar::I32,
            span: Span::default(),
        }],
        tokens: vec![
            TokenRange { name: "text".to_owned(), grid: None, span: Span::default() },
            TokenRange { name: "vision".to_owned(), grid: Some(Grid::Tiled([2, 4, 8])), span: Span::default() },
        ],
        blocks: Blocks { q: 64, kv: 128 },
        mask,
        score,
        rules,
        schedule,
        ..Strategy::dense()
    }
}
