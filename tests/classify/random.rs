//! Random strategies, shapes and values for property tests.

use proptest::prelude::*;
use sparsym::ir::bind::{InputData, TableData};
use sparsym::ir::expr::{BinaryOp, Coordinate, ExprKind, Function, Global, Side, Type, UnaryOp};
use sparsym::ir::problem::{LayoutRange, Ragged};
use sparsym::ir::strategy::{
    Action, BlockRule, Blocks, Element, Grid, Input, InputId, Param, ParamId, RangeId, Reuse, Scalar, Table, TableAxis,
    TableId, TokenRange, TokenRule, Value, When,
};
use sparsym::ir::{Bindings, Bound, Expr, Layout, Moment, Problem, Span, Strategy as Rules};

/// A strategy with everything that it leaves open.
#[derive(Clone, Debug)]
pub(crate) struct Setting {
    pub(crate) rules: Rules,
    pub(crate) problem: Problem,
    pub(crate) bindings: Bindings,
    pub(crate) moment: Moment,
}

impl Setting {
    pub(crate) fn bound(&self) -> Bound<'_> {
        Bound::new(&self.rules, &self.problem, &self.bindings).unwrap_or_else(|findings| panic!("{findings}"))
    }
}

/// Masks whose classification is exact: affine comparisons, windows, ranges and uniform conditions, joined by && || !.
pub(crate) fn affine_setting() -> impl Strategy<Value = Setting> {
    shape().prop_flat_map(|shape| {
        let atoms = affine_atom(shape.named);
        (joined(atoms), values(shape, -60..60)).prop_map(|(mask, setting)| setting.masked(mask))
    })
}

/// Masks of every kind, and params that make integers wrap.
pub(crate) fn any_setting() -> impl Strategy<Value = Setting> {
    let reach = prop_oneof![4 => -60..60, 1 => Just(i32::MAX), 1 => Just(i32::MIN), 1 => any::<i32>()];
    shape().prop_flat_map(move |shape| {
        let atoms = prop_oneof![2 => affine_atom(shape.named), 3 => other_atom(&shape)];
        (joined(atoms), values(shape, reach.clone())).prop_map(|(mask, setting)| setting.masked(mask))
    })
}

/// Any mask, and a score rule.
pub(crate) fn scored_setting() -> impl Strategy<Value = Setting> {
    (any_setting(), score()).prop_map(|(mut setting, score)| {
        setting.rules.score = Some(TokenRule { value: score, span: Span::default() });
        setting
    })
}

/// Block rules, and half of the time an affine mask.
pub(crate) fn block_rules_setting() -> impl Strategy<Value = Setting> {
    shape().prop_flat_map(|shape| {
        let mask = proptest::option::of(joined(affine_atom(shape.named)));
        let rules = proptest::collection::vec(block_rule(&shape), 0..5);
        (mask, rules, values(shape, -60..60)).prop_map(|(mask, rules, mut setting)| {
            setting.rules.rules = rules;
            match mask {
                Some(mask) => setting.masked(mask),
                None => setting,
            }
        })
    })
}

/// A neighbourhood on the grid: one comparison for each axis, all of which must hold.
pub(crate) fn neighbourhood_setting() -> impl Strategy<Value = Setting> {
    let named = shape().prop_filter("a grid", |shape| shape.named);
    named.prop_flat_map(|shape| {
        let axis = |coordinate: Coordinate| {
            let (q, kv) = (at(Side::Q, coordinate), at(Side::Kv, coordinate));
            (0i64..4).prop_map(move |reach| {
                let distance = call(Function::Abs, vec![binary(BinaryOp::Sub, q.clone(), kv.clone())], Type::Int);
                binary(BinaryOp::Le, distance, int(reach))
            })
        };
        let axes = [Coordinate::T, Coordinate::H, Coordinate::W].map(axis);
        (axes, values(shape, 0..1))
            .prop_map(|([t, h, w], setting)| setting.masked(binary(BinaryOp::And, t, binary(BinaryOp::And, h, w))))
    })
}

/// Masks over a grid whose classification is exact: comparisons that are affine in one coordinate of q, of kv or of both,
/// joined by && || ! and ==; ranges, tiles and windows of tiles among them.
pub(crate) fn grid_setting() -> impl Strategy<Value = Setting> {
    let named = shape().prop_filter("a grid", |shape| shape.named);
    named.prop_flat_map(|shape| {
        let ranges = (side(), 0usize..2).prop_map(|(side, id)| in_range(side, id));
        let near = Just(call(
            Function::Near,
            vec![at(Side::Q, Coordinate::Tile), at(Side::Kv, Coordinate::Tile), window()],
            Type::Bool,
        ));
        let same_tile = prop_oneof![Just(BinaryOp::Eq), Just(BinaryOp::Ne)]
            .prop_map(|op| binary(op, at(Side::Q, Coordinate::Tile), at(Side::Kv, Coordinate::Tile)));
        let atoms = prop_oneof![9 => coordinate_atom(), 2 => ranges, 1 => near, 1 => same_tile];
        (joined(atoms), values(shape, -60..60)).prop_map(|(mask, setting)| setting.masked(mask))
    })
}

/// A comparison that is affine in one coordinate of q, of kv or of both, also under abs, min and max.
fn coordinate_atom() -> impl Strategy<Value = Expr> {
    use Coordinate::{Cell, H, Pos, T, W};
    let coordinate = prop_oneof![1 => Just(Pos), 2 => Just(T), 2 => Just(H), 2 => Just(W), 3 => Just(Cell)];
    let factor = || prop_oneof![4 => Just(1i64), 2 => Just(-1), 1 => Just(2), 1 => Just(-3)];
    (coordinate, factor(), factor(), comparison(), -12i64..30, 0..8).prop_map(|(coordinate, a, b, op, bound, form)| {
        let scaled = |side, factor| match factor {
            1 => at(side, coordinate),
            _ => binary(BinaryOp::Mul, int(factor), at(side, coordinate)),
        };
        let difference = || binary(BinaryOp::Sub, at(Side::Q, coordinate), at(Side::Kv, coordinate));
        match form {
            0 => binary(op, scaled(Side::Q, a), int(bound)),
            1 => binary(op, scaled(Side::Kv, b), int(bound)),
            2 => binary(op, binary(BinaryOp::Add, scaled(Side::Q, a), scaled(Side::Kv, b)), int(bound)),
            3 => binary(op, scaled(Side::Q, a), binary(BinaryOp::Add, scaled(Side::Kv, b), int(bound % 5))),
            4 => binary(op, at(Side::Q, coordinate), at(Side::Kv, coordinate)),
            5 => binary(op, call(Function::Max, vec![difference(), int(-3)], Type::Int), int(bound % 7)),
            _ => binary(op, call(Function::Abs, vec![difference()], Type::Int), int(bound.abs() % 9)),
        }
    })
}

pub(crate) fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

pub(crate) fn int(value: i64) -> Expr {
    expr(ExprKind::Int(value), Type::Int)
}

pub(crate) fn at(side: Side, coordinate: Coordinate) -> Expr {
    expr(ExprKind::Coordinate(side, coordinate), if coordinate == Coordinate::Tile { Type::Triple } else { Type::Int })
}

pub(crate) fn global(global: Global) -> Expr {
    expr(ExprKind::Global(global), Type::Int)
}

pub(crate) fn call(function: Function, args: Vec<Expr>, ty: Type) -> Expr {
    expr(ExprKind::Call(function, args), ty)
}

pub(crate) fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    let arithmetic = matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::Div | BinaryOp::Rem);
    let ty = if arithmetic { a.ty } else { Type::Bool };
    expr(ExprKind::Binary(op, Box::new(a), Box::new(b)), ty)
}

pub(crate) fn not(a: Expr) -> Expr {
    expr(ExprKind::Unary(UnaryOp::Not, Box::new(a)), Type::Bool)
}

pub(crate) fn in_range(side: Side, id: usize) -> Expr {
    expr(ExprKind::InRange(side, RangeId(id)), Type::Bool)
}

fn pos(side: Side) -> Expr {
    at(side, Coordinate::Pos)
}

fn to_float(a: Expr) -> Expr {
    expr(ExprKind::Unary(UnaryOp::ToFloat, Box::new(a)), Type::Float)
}

fn float(value: f64) -> Expr {
    expr(ExprKind::Float(value), Type::Float)
}

fn input(id: usize, side: Side, ty: Type) -> Expr {
    expr(ExprKind::Input(InputId(id), side), ty)
}

/// `table triples: [head] of (u32, u32, u32)`.
fn window() -> Expr {
    expr(ExprKind::Table(TableId(1)), Type::Triple)
}

impl Setting {
    fn masked(mut self, mask: Expr) -> Setting {
        self.rules.mask = Some(TokenRule { value: mask, span: Span::default() });
        self
    }
}

/// Sequence lengths, ranges and blocks.
#[derive(Clone, Debug)]
struct Shape {
    rules: Rules,
    problem: Problem,
    /// Whether there are ranges 0 (text) and 1 (a grid).
    named: bool,
    /// Whether queries and keys are the same tokens, so that inputs are legal.
    same_tokens: bool,
}

fn shape() -> impl Strategy<Value = Shape> {
    let blocks = (prop_oneof![Just(16u32), Just(32)], prop_oneof![Just(16u32), Just(32), Just(48)]);
    let heads = 1usize..3;
    (blocks, heads, prop_oneof![2 => grid_tokens(), 1 => plain_tokens(), 1 => ragged_tokens()]).prop_map(
        |((q, kv), heads, mut shape)| {
            shape.problem.blocks = Blocks { q, kv };
            (shape.problem.heads, shape.problem.kv_heads) = (heads, heads);
            shape.rules.blocks = shape.problem.blocks;
            shape
        },
    )
}

fn grid_tokens() -> impl Strategy<Value = Shape> {
    let tile = (1usize..3, 1usize..4, 1usize..5);
    let tiles = (1usize..3, 1usize..4, 1usize..4);
    (tile, tiles, any::<bool>(), any::<bool>(), 0usize..40).prop_map(|(tile, tiles, tiled, front, n_text)| {
        let extent = [tile.0 * tiles.0, tile.1 * tiles.1, tile.2 * tiles.2];
        let grid = if tiled { Grid::Tiled([tile.0, tile.1, tile.2].map(|n| n as u32)) } else { Grid::Raster };
        let range = |name: &str, grid| TokenRange { name: name.to_owned(), grid, span: Span::default() };
        let mut rules = rules();
        rules.tokens = vec![range("text", None), range("vision", Some(grid))];
        let (text, vision) = (LayoutRange::plain("text", n_text), LayoutRange::grid("vision", extent));
        let ranges = if front { vec![text, vision] } else { vec![vision, text] };
        let layout = Layout { ranges };
        let problem = Problem { layout: layout.clone(), ..Problem::self_attention(2, layout.len(), 1, 16) };
        Shape { rules, problem, named: true, same_tokens: true }
    })
}

fn plain_tokens() -> impl Strategy<Value = Shape> {
    (1usize..120, 1usize..120, any::<bool>()).prop_map(|(n_q, n_kv, same_tokens)| {
        let n_kv = if same_tokens { n_q } else { n_kv };
        let problem = Problem { n_kv, ..Problem::self_attention(1, n_q, 1, 16) };
        Shape { rules: rules(), problem, named: false, same_tokens }
    })
}

fn ragged_tokens() -> impl Strategy<Value = Shape> {
    proptest::collection::vec(0u32..90, 0..3).prop_map(|mut lengths| {
        lengths.push(1 + lengths.len() as u32 * 40); // some item has tokens
        let ends = lengths.iter().scan(0, |total, len| {
            *total += len;
            Some(*total)
        });
        let indptr: Vec<u32> = std::iter::once(0).chain(ends).collect();
        let longest = lengths.iter().max().copied().unwrap_or(0) as usize;
        let ragged = Some(Ragged { q: indptr.clone(), kv: indptr });
        let problem = Problem { ragged, ..Problem::self_attention(lengths.len(), longest, 1, 16) };
        Shape { rules: rules(), problem, named: false, same_tokens: true }
    })
}

/// The declarations that every random expression may read.
fn rules() -> Rules {
    let param = |name: &str, scalar, default| Param {
        name: name.to_owned(),
        doc: String::new(),
        scalar,
        min: None,
        max: None,
        default,
        span: Span::default(),
    };
    let table = |name: &str, element| Table {
        name: name.to_owned(),
        doc: String::new(),
        axes: vec![TableAxis::Head],
        element,
        variants: Vec::new(),
        span: Span::default(),
    };
    Rules {
        params: vec![
            param("reach", Scalar::I32, Value::Int(0)),
            param("stride", Scalar::U32, Value::Int(1)),
            param("slope", Scalar::F32, Value::Float(0.0)),
        ],
        tables: vec![table("width", Element::One(Scalar::I32)), table("window", Element::Three(Scalar::U32))],
        ..Rules::dense()
    }
}

/// Random values for a shape; `reach` are the values of the first param.
fn values(shape: Shape, reach: impl Strategy<Value = i32>) -> impl Strategy<Value = Setting> {
    let tokens = match &shape.problem.ragged {
        Some(ragged) => *ragged.q.last().unwrap_or(&0) as usize,
        None => shape.problem.batch * shape.problem.n_q,
    };
    let documents = proptest::collection::vec((1usize..30, -3i32..4), tokens.max(1));
    let numbers = proptest::collection::vec(-2.0f32..2.0, tokens);
    let tables = (proptest::collection::vec(-40i32..40, 2), proptest::collection::vec(0u32..6, 6));
    (reach, 0i64..50, -2.0f64..2.0, documents, numbers, tables, 0u32..4).prop_map(
        move |(reach, stride, slope, documents, numbers, (width, window), step)| {
            let Shape { mut rules, problem, same_tokens, .. } = shape.clone();
            let runs = documents.iter().flat_map(|(len, id)| std::iter::repeat_n(*id as f32, *len));
            let mut inputs = Vec::new();
            if same_tokens {
                for (name, scalar) in [("document", Scalar::I32), ("weight", Scalar::F32), ("flag", Scalar::Bool)] {
                    rules.inputs.push(Input {
                        name: name.to_owned(),
                        doc: String::new(),
                        scalar,
                        span: Span::default(),
                    });
                }
                let documents: Vec<f32> = runs.take(tokens).collect();
                let flags = documents.iter().map(|v| f32::from(u8::from(*v > 0.0))).collect();
                inputs = [documents, numbers, flags].map(|values| InputData { values }).into();
            }
            let heads = problem.heads;
            let bindings = Bindings {
                params: vec![Value::Int(i64::from(reach)), Value::Int(stride), Value::Float(slope)],
                tables: vec![
                    TableData { shape: vec![heads], values: width[..heads].iter().map(|&v| v as f32).collect() },
                    TableData { shape: vec![heads], values: window[..3 * heads].iter().map(|&v| v as f32).collect() },
                ],
                inputs,
            };
            let moment = Moment { step, steps: 4, since_update: step / 2, layer: 1 };
            Setting { rules, problem, bindings, moment }
        },
    )
}

/// An integer that is the same for all token pairs.
fn uniform() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        3 => (-40i64..120).prop_map(int),
        2 => Just(expr(ExprKind::Param(ParamId(0)), Type::Int)),
        1 => Just(expr(ExprKind::Param(ParamId(1)), Type::Int)),
        1 => Just(expr(ExprKind::Table(TableId(0)), Type::Int)),
        1 => prop_oneof![Just(global(Global::Head)), Just(global(Global::Step)), Just(global(Global::Batch))],
    ];
    leaf.prop_recursive(2, 4, 2, |inner| {
        (prop_oneof![Just(BinaryOp::Add), Just(BinaryOp::Sub), Just(BinaryOp::Mul)], inner.clone(), inner)
            .prop_map(|(op, a, b)| binary(op, a, b))
    })
}

fn comparison() -> impl Strategy<Value = BinaryOp> {
    use BinaryOp::{Eq, Ge, Gt, Le, Lt, Ne};
    prop_oneof![2 => Just(Lt), 2 => Just(Le), 2 => Just(Gt), 2 => Just(Ge), 1 => Just(Eq), 1 => Just(Ne)]
}

fn side() -> impl Strategy<Value = Side> {
    prop_oneof![Just(Side::Q), Just(Side::Kv)]
}

/// A number that affine rules compare: a position or a difference, with a small factor.
fn affine_number() -> impl Strategy<Value = Expr> {
    let difference = || binary(BinaryOp::Sub, pos(Side::Q), pos(Side::Kv));
    let plain = prop_oneof![Just(pos(Side::Q)), Just(pos(Side::Kv)), Just(difference())];
    (plain, prop_oneof![3 => Just(1i64), 1 => Just(-1), 1 => Just(2), 1 => Just(-3)]).prop_map(|(number, factor)| {
        match factor {
            1 => number,
            _ => binary(BinaryOp::Mul, int(factor), number),
        }
    })
}

fn affine_atom(named: bool) -> BoxedStrategy<Expr> {
    let shifted = (affine_number(), uniform(), uniform(), comparison())
        .prop_map(|(number, shift, bound, op)| binary(op, binary(BinaryOp::Add, number, shift), bound));
    let causal = (uniform(), comparison())
        .prop_map(|(shift, op)| binary(op, pos(Side::Kv), binary(BinaryOp::Add, pos(Side::Q), shift)));
    let window = (affine_number(), uniform(), comparison())
        .prop_map(|(number, reach, op)| binary(op, call(Function::Abs, vec![number], Type::Int), reach));
    let bounded = (affine_number(), uniform(), uniform(), comparison(), 0..3).prop_map(|(number, a, b, op, which)| {
        let bounded = match which {
            0 => call(Function::Min, vec![number, a], Type::Int),
            1 => call(Function::Max, vec![a, number], Type::Int),
            _ => call(Function::Clamp, vec![number, int(-5), a], Type::Int),
        };
        binary(op, bounded, b)
    });
    let always = (uniform(), uniform(), comparison()).prop_map(|(a, b, op)| binary(op, a, b));
    let any = prop_oneof![3 => shifted, 2 => causal, 3 => window, 1 => bounded, 1 => always];
    if !named {
        return any.boxed();
    }
    prop_oneof![3 => any, 2 => (side(), 0usize..2).prop_map(|(side, id)| in_range(side, id))].boxed()
}

/// Comparisons that only interval arithmetic judges.
fn other_atom(shape: &Shape) -> BoxedStrategy<Expr> {
    use Coordinate::{Cell, H, T, Tile, W};
    let divided = (side(), 1i64..70, comparison(), 1i64..70, any::<bool>()).prop_map(|(side, a, op, b, rem)| {
        let div = if rem { BinaryOp::Rem } else { BinaryOp::Div };
        let other = if side == Side::Q { Side::Kv } else { Side::Q };
        binary(op, binary(div, pos(side), int(a)), binary(div, pos(other), int(b)))
    });
    let dilated = (1i64..12, -12i64..12, comparison(), any::<bool>()).prop_map(|(period, rest, op, rem)| {
        let div = if rem { BinaryOp::Rem } else { BinaryOp::Div };
        let difference = binary(BinaryOp::Sub, pos(Side::Q), pos(Side::Kv));
        binary(op, binary(div, difference, int(period)), int(rest))
    });
    let skewed = (-3i64..4, -3i64..4, uniform(), comparison()).prop_map(|(a, b, bound, op)| {
        let [q, kv] = [(a, Side::Q), (b, Side::Kv)].map(|(f, side)| binary(BinaryOp::Mul, pos(side), int(f)));
        binary(op, binary(BinaryOp::Add, q, kv), bound)
    });
    let product = (uniform(), comparison()).prop_map(|(bound, op)| {
        binary(op, binary(BinaryOp::Mul, pos(Side::Q), binary(BinaryOp::Mul, pos(Side::Kv), bound.clone())), bound)
    });
    let wild = (side(), -3i64..40, comparison(), 0..4).prop_map(|(side, shift, op, which)| {
        let x = to_float(binary(BinaryOp::Sub, pos(side), int(shift)));
        let value = match which {
            0 => call(Function::Sqrt, vec![x], Type::Float),
            1 => call(Function::Log, vec![x], Type::Float),
            2 => binary(BinaryOp::Div, float(1.0), x),
            _ => call(Function::Exp, vec![binary(BinaryOp::Mul, x, float(9.0))], Type::Float),
        };
        binary(op, value, float(1.5))
    });
    let floats = (-3.0f64..3.0, comparison(), 0..7).prop_map(|(factor, op, which)| {
        let slope = expr(ExprKind::Param(ParamId(2)), Type::Float);
        let q = binary(BinaryOp::Mul, to_float(pos(Side::Q)), float(factor));
        let one = |f| call(f, vec![q.clone()], Type::Float);
        let left = match which {
            0 => q.clone(),
            1 => one(Function::Sqrt),
            2 => one(Function::Tanh),
            3 => one(Function::Log2),
            4 => one(Function::Abs),
            5 => binary(BinaryOp::Div, q.clone(), to_float(pos(Side::Kv))),
            _ => to_float(call(Function::Floor, vec![q.clone()], Type::Int)),
        };
        binary(op, left, binary(BinaryOp::Add, to_float(pos(Side::Kv)), slope))
    });
    let mut all = vec![divided.boxed(), dilated.boxed(), skewed.boxed(), product.boxed(), floats.boxed(), wild.boxed()];
    if shape.same_tokens {
        let document =
            comparison().prop_map(|op| binary(op, input(0, Side::Q, Type::Int), input(0, Side::Kv, Type::Int)));
        let weight = (side(), comparison(), -2.0f64..2.0)
            .prop_map(|(side, op, bound)| binary(op, input(1, side, Type::Float), float(bound)));
        all.extend([document.boxed(), weight.boxed(), side().prop_map(|side| input(2, side, Type::Bool)).boxed()]);
    }
    if shape.named {
        let axis = || prop_oneof![Just(T), Just(H), Just(W), Just(Cell)];
        let same_axis = (axis(), -3i64..4, comparison()).prop_map(|(axis, bound, op)| {
            binary(op, binary(BinaryOp::Sub, at(Side::Q, axis), at(Side::Kv, axis)), int(bound))
        });
        let radial = (axis(), 0i64..4, comparison()).prop_map(|(axis, bound, op)| {
            let distance = binary(BinaryOp::Sub, at(Side::Q, axis), at(Side::Kv, axis));
            let distance = call(Function::Abs, vec![distance], Type::Int);
            binary(op, call(Function::BitLength, vec![distance], Type::Int), int(bound))
        });
        let one_axis = (side(), axis(), -1i64..8, comparison())
            .prop_map(|(side, axis, bound, op)| binary(op, at(side, axis), int(bound)));
        let near = Just(call(Function::Near, vec![at(Side::Q, Tile), at(Side::Kv, Tile), window()], Type::Bool));
        let same_tile = prop_oneof![Just(BinaryOp::Eq), Just(BinaryOp::Ne)]
            .prop_map(|op| binary(op, at(Side::Q, Tile), at(Side::Kv, Tile)));
        let disc = (0i64..9).prop_map(|bound| {
            let square = |axis| {
                let distance = binary(BinaryOp::Sub, at(Side::Q, axis), at(Side::Kv, axis));
                binary(BinaryOp::Mul, distance.clone(), distance)
            };
            binary(BinaryOp::Le, binary(BinaryOp::Add, square(H), square(W)), int(bound))
        });
        let slanted = (-2.0f64..2.0, -2.0f64..2.0, axis(), comparison()).prop_map(|(a, b, axis, op)| {
            let scaled = |side, factor| binary(BinaryOp::Mul, to_float(at(side, axis)), float(factor));
            binary(op, scaled(Side::Q, a), scaled(Side::Kv, b))
        });
        all.extend([same_axis.boxed(), radial.boxed(), one_axis.boxed(), near.boxed(), same_tile.boxed()]);
        all.extend([disc.boxed(), slanted.boxed()]);
    }
    proptest::strategy::Union::new(all).boxed()
}

fn joined(atom: impl Strategy<Value = Expr> + 'static) -> impl Strategy<Value = Expr> {
    atom.prop_recursive(3, 8, 2, |inner| {
        let two = (inner.clone(), inner.clone());
        prop_oneof![
            3 => two.clone().prop_map(|(a, b)| binary(BinaryOp::And, a, b)),
            3 => two.clone().prop_map(|(a, b)| binary(BinaryOp::Or, a, b)),
            1 => two.prop_map(|(a, b)| binary(BinaryOp::Eq, a, b)),
            1 => inner.prop_map(not),
        ]
    })
}

fn score() -> impl Strategy<Value = Expr> {
    let logit = || expr(ExprKind::Logit, Type::Float);
    let leaf = prop_oneof![
        3 => Just(logit()),
        1 => (-4.0f64..4.0).prop_map(float),
        1 => Just(expr(ExprKind::Param(ParamId(2)), Type::Float)),
        1 => side().prop_map(|side| to_float(pos(side))),
        1 => Just(to_float(binary(BinaryOp::Sub, pos(Side::Q), pos(Side::Kv)))),
    ];
    leaf.prop_recursive(4, 12, 3, move |inner| {
        use BinaryOp::{Add, Div, Mul, Sub};
        use Function::{Abs, Clamp, Exp, Max, Min, Sqrt, Tanh};
        let op = prop_oneof![Just(Add), Just(Sub), Just(Mul), Just(Div)];
        let one = prop_oneof![Just(Abs), Just(Exp), Just(Sqrt), Just(Tanh)];
        let two = prop_oneof![Just(Min), Just(Max)];
        prop_oneof![
            (op, inner.clone(), inner.clone()).prop_map(|(op, a, b)| binary(op, a, b)),
            (one, inner.clone()).prop_map(|(f, a)| call(f, vec![a], Type::Float)),
            (two, inner.clone(), inner.clone()).prop_map(|(f, a, b)| call(f, vec![a, b], Type::Float)),
            (inner.clone(), inner.clone(), inner).prop_map(|(a, b, c)| call(Clamp, vec![a, b, c], Type::Float)),
        ]
    })
}

fn block_rule(shape: &Shape) -> BoxedStrategy<BlockRule> {
    let block = |side| at(side, Coordinate::Block);
    let atom = move |sides: [Side; 2]| {
        let compared = (comparison(), -3i64..6).prop_map(move |(op, bound)| {
            binary(op, binary(BinaryOp::Sub, block(sides[0]), block(sides[1])), int(bound))
        });
        let indexed = (comparison(), -3i64..6, 1i64..4).prop_map(move |(op, bound, period)| {
            binary(op, binary(BinaryOp::Rem, block(sides[1]), int(period)), int(bound))
        });
        let by_head = uniform().prop_map(move |bound| binary(BinaryOp::Lt, block(sides[0]), bound));
        prop_oneof![compared, indexed, by_head]
    };
    let named = shape.named;
    let range = move || proptest::option::of(0usize..2).prop_map(move |id| id.filter(|_| named).map(RangeId));
    let named_atom = move |sides: [Side; 2]| match named {
        true => prop_oneof![3 => atom(sides), 1 => (0usize..2).prop_map(move |id| in_range(sides[1], id))].boxed(),
        false => atom(sides).boxed(),
    };
    let rule = |action, when| BlockRule {
        action,
        when,
        reuse: (action == Action::Cache).then_some(Reuse::Hold),
        span: Span::default(),
    };
    let pair = (
        prop_oneof![Just(Action::Skip), Just(Action::Keep)],
        range(),
        range(),
        proptest::option::of(joined(named_atom([Side::Q, Side::Kv]))),
    )
        .prop_map(move |(action, q, kv, condition)| rule(action, When::Match { q, kv, condition }));
    let one = (
        prop_oneof![Just(Action::Cache), Just(Action::Compute)],
        range(),
        proptest::option::of(joined(named_atom([Side::Q, Side::Q]))),
    )
        .prop_map(move |(action, q, condition)| rule(action, When::Match { q, kv: None, condition }));
    let otherwise = prop_oneof![Just(Action::Skip), Just(Action::Keep), Just(Action::Cache)]
        .prop_map(move |action| rule(action, When::Otherwise));
    prop_oneof![4 => pair, 2 => one, 1 => otherwise].boxed()
}
