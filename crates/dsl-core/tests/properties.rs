//! No text makes the compiler panic, and printing loses nothing.

use proptest::prelude::*;
use proptest::sample::select;
use proptest::strategy::Strategy as _;
use sparsym_dsl_core::{compile_str, print, render};
use sparsym_ir::bind::{InputData, TableData};
use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Global, Side, Type, UnaryOp};
use sparsym_ir::strategy::{
    Action, BlockRule, Blocks, Element, Grid, Input, InputId, Param, ParamId, RangeId, Reuse, Scalar, Schedule,
    Strategy, Table, TableAxis, TableId, TokenRange, TokenRule, Value, When,
};
use sparsym_ir::{Bindings, Bound, Code, Findings, Layout, Moment, Problem, Span};

const SEEDS: [&str; 4] = [
    include_str!("../../../tests/strategies/pass/everything.strategy"),
    include_str!("../../../tests/strategies/pass/sliding_tile.strategy"),
    include_str!("../../../tests/strategies/pass/fora.strategy"),
    include_str!("../../../tests/strategies/fail/ten_mistakes.strategy"),
];

const PIECES: [&str; 48] = [
    "pub",
    "Name",
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    ";",
    ",",
    ":",
    "=",
    "=>",
    "==",
    "..",
    "..=",
    ".",
    "#",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "&&",
    "||",
    "<",
    "<=",
    "param",
    "table",
    "tokens",
    "mask",
    "score",
    "skip",
    "cache",
    "otherwise",
    "update when",
    "q",
    "kv",
    "in",
    "where",
    "by",
    "taylor",
    "1",
    "0.5",
    "999999999999999999999",
    "near",
    "/// doc\n",
];

/// A mistaken text still has to be shown.
fn compile(text: &str) -> Result<Strategy, Findings> {
    let result = compile_str("soup", text);
    if let Err(findings) = &result {
        assert!(!findings.is_empty());
        assert!(!render(findings, "soup", text).is_empty());
    }
    result
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn random_text_does_not_panic(text in "\\PC{0,200}") {
        let _ = compile(&text);
    }

    #[test]
    fn random_tokens_do_not_panic(pieces in prop::collection::vec(select(&PIECES[..]), 0..60)) {
        let _ = compile(&pieces.join(" "));
        let _ = compile(&format!("pub Soup {{ {} }}", pieces.join(" ")));
    }

    #[test]
    fn damaged_strategies_do_not_panic(
        seed in select(&SEEDS[..]),
        cut in any::<prop::sample::Index>(),
        length in 0usize..40,
        piece in select(&PIECES[..]),
    ) {
        let chars: Vec<char> = seed.chars().collect();
        let start = cut.index(chars.len());
        let rest = &chars[(start + length).min(chars.len())..];
        let text: String = chars[..start].iter().chain(&piece.chars().collect::<Vec<_>>()).chain(rest).collect();
        if let Ok(strategy) = compile(&text) {
            prop_assert_eq!(&compile(&print(&strategy)).unwrap(), &strategy);
        }
    }

    #[test]
    fn printing_loses_nothing(strategy in strategy()) {
        let printed = print(&strategy);
        // A random rule may well be dead or have no effect. Such findings concern the meaning of a text that could be
        // read, and what was read is then still given.
        let tokens = printed.parse().unwrap();
        let (again, findings) = sparsym_dsl_core::analyze(tokens);
        let unread = findings.iter().find(|finding| {
            let id = finding.code.id();
            id.starts_with("S1") || (id.starts_with("S2") && !["S204", "S207", "S208", "S210"].contains(&id))
        });
        prop_assert!(unread.is_none(), "{}\n{}", printed, render(&findings, "printed", &printed));
        prop_assert_eq!(again.unwrap(), strategy, "{}", printed);
    }

    #[test]
    fn dead_and_always_true_are_proofs(
        value in bool(Setting::Token),
        shift in -100i64..1000,
        cap in -1e3f64..1e3,
        causal in any::<bool>(),
        document in prop::collection::vec(-3i32..3, 72),
        (step, layer) in (0u32..12, 0u32..4),
    ) {
        let strategy = declared(Some(TokenRule { value, span: Span::default() }), None, Vec::new(), Schedule::default());
        let findings = sparsym_dsl_core::check(&strategy);
        let claims = |code: Code| findings.iter().any(|finding| finding.code == code);
        let claim = match () {
            () if claims(Code::ZeroDivisor) => return Ok(()),
            () if claims(Code::DeadRule) => false,
            () if claims(Code::AlwaysTrue) => true,
            () => return Ok(()),
        };
        let problem = Problem { layout: Layout::text_front(8, [2, 4, 8]), ..Problem::self_attention(1, 72, 4, 64) };
        let table = |shape: &[usize], values: &[f32]| TableData { shape: shape.to_vec(), values: values.to_vec() };
        let bindings = Bindings {
            params: vec![Value::Int(shift), Value::Float(cap), Value::Bool(causal)],
            tables: vec![table(&[1, 2], &[-1.5, 0.25]), table(&[1], &[1.0, 3.0, 3.0])],
            inputs: vec![InputData { values: document.iter().map(|&v| v as f32).collect() }],
        };
        let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
        let moment = Moment { step, steps: 12, since_update: step.min(3), layer };
        for pair in (0..72 * 72).step_by(7) {
            let passes = bound.mask_at(&moment, 0, pair % 4, pair / 72, pair % 72);
            prop_assert_eq!(passes, claim, "{} at {:?}\n{}", findings, (pair / 72, pair % 72), print(&strategy));
        }
    }
}

#[test]
fn deep_nesting_is_a_finding() {
    for (open, close) in [("(", ")"), ("!", ""), ("-", ""), ("abs(", ")"), ("1 + ", ""), ("(", ""), ("[", "]")] {
        for depth in [50, 500, 20_000] {
            let value = format!("{}1{}", open.repeat(depth), close.repeat(depth));
            let _ = compile(&format!("pub Deep {{ mask q, kv => {value} > 0; }}"));
        }
    }
}

fn e(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

/// Where an expression stands decides what it may read.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Setting {
    Token,
    Score,
    Block,
    Schedule,
}

fn int(setting: Setting) -> BoxedStrategy<Expr> {
    let globals = match setting {
        Setting::Schedule => vec![Global::Step, Global::Steps, Global::SinceUpdate, Global::Heads],
        _ => vec![Global::Step, Global::Layer, Global::Head, Global::Batch, Global::HeadDim, Global::SinceUpdate],
    };
    let leaf = prop_oneof![
        (0i64..=i64::from(i32::MAX)).prop_map(|value| e(ExprKind::Int(value), Type::Int)),
        select(globals).prop_map(|global| e(ExprKind::Global(global), Type::Int)),
        Just(e(ExprKind::Param(ParamId(0)), Type::Int)),
    ];
    let side = select(vec![Side::Q, Side::Kv]);
    let leaf = match setting {
        Setting::Schedule => leaf.boxed(),
        Setting::Block => {
            let block = side.prop_map(|side| e(ExprKind::Coordinate(side, Coordinate::Block), Type::Int));
            prop_oneof![leaf, block].boxed()
        }
        _ => {
            let coordinates = select(vec![Coordinate::Pos, Coordinate::T, Coordinate::H, Coordinate::W]);
            let coordinate = (side.clone(), coordinates).prop_map(|(s, c)| e(ExprKind::Coordinate(s, c), Type::Int));
            let input = side.prop_map(|side| e(ExprKind::Input(InputId(0), side), Type::Int));
            prop_oneof![leaf, coordinate, input].boxed()
        }
    };
    leaf.prop_recursive(3, 12, 3, |inner| {
        let arithmetic = select(vec![BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div, BinaryOp::Rem]);
        prop_oneof![
            (arithmetic, inner.clone(), inner.clone())
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

fn float(setting: Setting) -> BoxedStrategy<Expr> {
    let converted = int(setting)
        .prop_filter("a literal would be written as a float", |value| !matches!(value.kind, ExprKind::Int(_)));
    let leaf = prop_oneof![
        (0.0f64..1e6).prop_map(|value| e(ExprKind::Float(value), Type::Float)),
        Just(e(ExprKind::Param(ParamId(1)), Type::Float)),
        converted.prop_map(|value| e(ExprKind::Unary(UnaryOp::ToFloat, value.into()), Type::Float)),
    ];
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

fn bool(setting: Setting) -> BoxedStrategy<Expr> {
    let compare = select(vec![BinaryOp::Lt, BinaryOp::Le, BinaryOp::Gt, BinaryOp::Ge, BinaryOp::Eq, BinaryOp::Ne]);
    let compared = |op, a: Expr, b: Expr| e(ExprKind::Binary(op, a.into(), b.into()), Type::Bool);
    let leaf = prop_oneof![
        (compare.clone(), int(setting), int(setting)).prop_map(move |(op, a, b)| compared(op, a, b)),
        (compare, float(setting), float(setting)).prop_map(move |(op, a, b)| compared(op, a, b)),
        Just(e(ExprKind::Param(ParamId(2)), Type::Bool)),
    ];
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

fn rule() -> impl proptest::strategy::Strategy<Value = BlockRule> {
    let action = select(vec![Action::Skip, Action::Keep, Action::Cache, Action::Compute]);
    let range = || prop::option::of((0usize..2).prop_map(RangeId));
    let order = prop_oneof![Just(None), (0i64..=3).prop_map(|n| Some(e(ExprKind::Int(n), Type::Int)))];
    (action, range(), range(), prop::option::of(bool(Setting::Block)), order, any::<bool>()).prop_map(
        |(action, q, kv, condition, order, otherwise)| {
            let kv = kv.filter(|_| action.writes_skip_symbol());
            // A cache rule has one variable.
            let condition = condition.filter(|c| action.writes_skip_symbol() || !reads_kv(c));
            let when = if otherwise { When::Otherwise } else { When::Match { q, kv, condition } };
            let reuse = (action == Action::Cache).then(|| order.map_or(Reuse::Hold, Reuse::Taylor));
            BlockRule { action, when, reuse, span: Span::default() }
        },
    )
}

fn reads_kv(value: &Expr) -> bool {
    value.any(|e| {
        matches!(
            e.kind,
            ExprKind::Coordinate(Side::Kv, _) | ExprKind::InRange(Side::Kv, _) | ExprKind::Input(_, Side::Kv)
        )
    })
}

fn param(name: &str, scalar: Scalar, min: Option<Value>, max: Option<Value>, default: Value) -> Param {
    Param { name: name.to_owned(), doc: String::new(), scalar, min, max, default, span: Span::default() }
}

fn strategy() -> impl proptest::strategy::Strategy<Value = Strategy> {
    let token = |value: BoxedStrategy<Expr>| {
        prop::option::of(value.prop_map(|value| TokenRule { value, span: Span::default() }))
    };
    (
        token(bool(Setting::Token)),
        token(float(Setting::Score)),
        prop::collection::vec(rule(), 0..4),
        prop::option::of(bool(Setting::Schedule)),
        prop::option::of(bool(Setting::Schedule)),
        (-1e3f64..1e3, -100i64..100, any::<bool>()),
    )
        .prop_map(|(mask, score, rules, update, dense, (cap, shift, causal))| {
            let mut strategy = declared(mask, score, rules, Schedule { update, dense, degrade: None });
            strategy.params[0].default = Value::Int(shift);
            strategy.params[1].default = Value::Float(cap);
            strategy.params[2].default = Value::Bool(causal);
            strategy
        })
}

/// Declarations that random expressions may read.
fn declared(mask: Option<TokenRule>, score: Option<TokenRule>, rules: Vec<BlockRule>, schedule: Schedule) -> Strategy {
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
