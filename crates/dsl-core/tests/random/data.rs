//! Random expressions over tensor data.

use proptest::prelude::*;
use proptest::sample::select;
use sparsym_ir::Span;
use sparsym_ir::expr::{
    Axis, BinaryOp, BlockSum, Coordinate, Cover, CoverRule, Expr, ExprKind, Function, Global, Line, Measure, Order,
    Percentile, Reduction, Running, Side, Softmax, SymbolKind, Type, Within,
};
use sparsym_ir::strategy::{Element, Map, MapAxis, MapId, RangeId, Scalar, Table, TableAxis, TableId};

use super::{Setting, bool, e};

/// A table whose entries have names; number 2.
pub(crate) fn method() -> Table {
    Table {
        name: "method".to_owned(),
        doc: String::new(),
        axes: vec![TableAxis::Head],
        element: Element::One(Scalar::U32),
        variants: ["full", "arrow", "cap"].map(str::to_owned).to_vec(),
        span: Span::default(),
    }
}

/// A map over (q, kv), one over [v in vision] on the kv side, one over q. Each may read those before it.
pub(crate) fn maps() -> impl Strategy<Value = Vec<Map>> {
    let axis = |variable: &str, side, range| MapAxis { variable: variable.to_owned(), side, range };
    let pair = vec![axis("q", Side::Q, None), axis("kv", Side::Kv, None)];
    let swapped = vec![axis("a", Side::Q, Some(RangeId(0))), axis("b", Side::Kv, None)];
    let map = |name: &str, axes: Vec<MapAxis>, value| Map { name: name.to_owned(), axes, value, span: Span::default() };
    let (both, kv, q) = (data([true, true], 0, 3), data([false, true], 1, 3), data([true, false], 2, 3));
    (select(vec![pair, swapped]), both, kv, q).prop_map(move |(axes, both, kv, q)| {
        let vision = axis("v", Side::Kv, Some(RangeId(1)));
        // The first map that `v` indexes says what it runs over.
        let similar = float(ExprKind::SelfSim { of: Side::Kv, centered: true });
        let kv = binary(BinaryOp::Add, similar, kv, Type::Float);
        vec![map("s", axes, both), map("seen", vec![vision], kv), map("weight", vec![axis("q", Side::Q, None)], q)]
    })
}

fn float(kind: ExprKind) -> Expr {
    e(kind, Type::Float)
}

fn binary(op: BinaryOp, a: Expr, b: Expr, ty: Type) -> Expr {
    e(ExprKind::Binary(op, a.into(), b.into()), ty)
}

/// A float at blocks of these sides that reads the first `maps` maps.
fn data(sides: [bool; 2], maps: usize, depth: u32) -> BoxedStrategy<Expr> {
    let mut leaves = vec![float(ExprKind::Float(0.5)), float(ExprKind::Table(TableId(0)))];
    for side in [Side::Q, Side::Kv].into_iter().filter(|&side| sides[side as usize]) {
        leaves.push(float(ExprKind::SelfSim { of: side, centered: false }));
        if maps > 1 {
            leaves.push(float(ExprKind::Map(MapId(1), vec![side])));
        }
        if maps > 2 && side == Side::Q {
            leaves.push(float(ExprKind::Map(MapId(2), vec![side])));
        }
    }
    if sides == [true, true] {
        leaves.push(float(ExprKind::Dot { q_centered: false, kv_centered: true }));
        if maps > 0 {
            leaves.push(float(ExprKind::Map(MapId(0), vec![Side::Q, Side::Kv])));
        }
    }
    let leaf = select(leaves).boxed();
    if depth == 0 {
        return leaf;
    }
    let here = data(sides, maps, depth - 1);
    let arithmetic = select(vec![BinaryOp::Add, BinaryOp::Sub, BinaryOp::Mul, BinaryOp::Div]);
    let combined = (arithmetic, here.clone(), here).prop_map(|(op, a, b)| binary(op, a, b, Type::Float));
    let reduced = [Axis::Q, Axis::Kv, Axis::Head].map(|axis| {
        let inside = with(sides, axis);
        let reduction = select(Reduction::ALL.to_vec());
        (reduction, running(axis, sides), data(inside, maps, depth - 1))
            .prop_map(|(reduction, over, value)| float(ExprKind::Reduce(reduction, over.into(), value.into())))
    });
    let [of_q, of_kv, of_head] = reduced;
    // A softmax needs a present place.
    let axes: Vec<Axis> =
        [Axis::Q, Axis::Kv, Axis::Head].into_iter().filter(|&axis| with(sides, axis) == sides).collect();
    let soft = select(axes).prop_flat_map(move |axis| softmax(axis, sides, maps, depth - 1));
    let all = prop_oneof![leaf, combined, of_q, of_kv, of_head, soft];
    if sides == [true, true] { prop_oneof![5 => all, 1 => block_sum()].boxed() } else { all.boxed() }
}

fn with(mut sides: [bool; 2], axis: Axis) -> [bool; 2] {
    match axis {
        Axis::Q => sides[0] = true,
        Axis::Kv => sides[1] = true,
        Axis::Head => {}
    }
    sides
}

fn running(axis: Axis, sides: [bool; 2]) -> BoxedStrategy<Running> {
    let mut within = vec![Within::All];
    if axis != Axis::Head {
        within.extend([Within::Range(RangeId(0)), Within::Range(RangeId(1))]);
    }
    if axis == Axis::Kv && sides[0] {
        within.push(Within::QueryBlock);
    }
    (select(within), prop::option::of(visible(with(sides, axis))))
        .prop_map(move |(within, visible)| Running { axis, within, visible })
        .boxed()
}

fn softmax(axis: Axis, sides: [bool; 2], maps: usize, depth: u32) -> BoxedStrategy<Expr> {
    let weight = data(sides, maps, 0);
    (running(axis, sides), prop::option::of(weight), data(sides, maps, depth))
        .prop_map(|(over, weight, value)| float(ExprKind::Softmax(Box::new(Softmax { over, weight, value }))))
        .boxed()
}

/// A bool at blocks of these sides.
fn visible(sides: [bool; 2]) -> BoxedStrategy<Expr> {
    let all: Vec<Side> = [Side::Q, Side::Kv].into_iter().filter(|&side| sides[side as usize]).collect();
    let number = |value| e(ExprKind::Int(value), Type::Int);
    let of_head = binary(BinaryOp::Eq, e(ExprKind::Global(Global::Head), Type::Int), number(1), Type::Bool);
    let of_data =
        data(sides, 0, 0).prop_map(|value| binary(BinaryOp::Gt, value, float(ExprKind::Float(0.25)), Type::Bool));
    if all.is_empty() {
        return prop_oneof![Just(of_head), of_data].boxed();
    }
    let coordinate = |side, coordinate| e(ExprKind::Coordinate(side, coordinate), Type::Int);
    let block = (select(all.clone()), select(all.clone()), 0i64..9).prop_map(move |(a, b, n)| {
        let len = binary(BinaryOp::Rem, coordinate(b, Coordinate::Len), number(n + 1), Type::Int);
        binary(BinaryOp::Lt, coordinate(a, Coordinate::Block), len, Type::Bool)
    });
    let inside = select(all).prop_map(|side| e(ExprKind::InRange(side, RangeId(1)), Type::Bool));
    prop_oneof![Just(of_head), of_data, block, inside].boxed()
}

fn block_sum() -> BoxedStrategy<Expr> {
    let causal = {
        let index = |side| e(ExprKind::Coordinate(side, Coordinate::Block), Type::Int);
        binary(BinaryOp::Le, index(Side::Kv), index(Side::Q), Type::Bool)
    };
    let stride = e(ExprKind::Int(8), Type::Int);
    let param = e(
        ExprKind::Call(Function::Max, vec![e(ExprKind::Global(Global::Heads), Type::Int), stride.clone()]),
        Type::Int,
    );
    (select(vec![stride, param]), prop::option::of(Just(causal)), any::<bool>())
        .prop_map(|(stride, visible, twice)| {
            let product = || float(ExprKind::Antidiag);
            let logit = if twice { binary(BinaryOp::Mul, product(), product(), Type::Float) } else { product() };
            float(ExprKind::BlockSum(Box::new(BlockSum { stride, logit, visible })))
        })
        .boxed()
}

/// A condition of a rule whose last variable is this one.
pub(crate) fn condition(last: Side) -> BoxedStrategy<Expr> {
    let sides = [true, last == Side::Kv];
    let compared = (data(sides, 3, 2), data(sides, 3, 1)).prop_map(|(a, b)| binary(BinaryOp::Gt, a, b, Type::Bool));
    let method = (any::<bool>(), 0usize..3).prop_map(|(equal, index)| {
        let op = if equal { BinaryOp::Eq } else { BinaryOp::Ne };
        let table = e(ExprKind::Table(TableId(2)), Type::Variant);
        binary(op, table, e(ExprKind::Variant(TableId(2), index), Type::Variant), Type::Bool)
    });
    let conditions = prop_oneof![compared, method, rank(last), mass(last), percentile(last)];
    if last == Side::Kv { prop_oneof![5 => conditions, 1 => cover()].boxed() } else { conditions.boxed() }
}

/// Values that change along a line.
fn values(last: Side, line: Line) -> BoxedStrategy<Expr> {
    let along = move |value: &Expr| {
        let free = value.free_sides();
        free[last as usize] || line == Line::Head && free[0]
    };
    data([true, last == Side::Kv], 3, 2).prop_filter("values change along the line", along).boxed()
}

fn line() -> impl Strategy<Value = Line> {
    select(vec![Line::Row, Line::Head])
}

fn comparison(order: Expr, other: Expr, op: BinaryOp, swapped: bool) -> Expr {
    let (a, b) = if swapped { (other, order) } else { (order, other) };
    binary(op, a, b, Type::Bool)
}

fn operator() -> impl Strategy<Value = BinaryOp> {
    select(vec![BinaryOp::Lt, BinaryOp::Le, BinaryOp::Gt, BinaryOp::Ge])
}

fn rank(last: Side) -> BoxedStrategy<Expr> {
    let first = prop::option::of(visible([true, last == Side::Kv]));
    let ordered = line().prop_flat_map(move |line| (Just(line), values(last, line)));
    (ordered, first, any::<bool>(), operator(), any::<bool>(), 0i64..9)
        .prop_map(|((line, value), first, descending, op, swapped, k)| {
            let order = Order { measure: Measure::Rank, descending, line, first, value };
            let order = e(ExprKind::Order(Box::new(order)), Type::Int);
            comparison(order, e(ExprKind::Int(k), Type::Int), op, swapped)
        })
        .boxed()
}

/// A mass of values that add up to 1 along the line, compared with a number; or of any values, with their sum.
fn mass(last: Side) -> BoxedStrategy<Expr> {
    let sides = [true, last == Side::Kv];
    let along = Axis::from(last);
    let normal = (softmax(along, sides, 3, 1), Just(float(ExprKind::Float(0.5))));
    let summed = (values(last, Line::Row), running(along, sides)).prop_map(|(value, over)| {
        let sum = float(ExprKind::Reduce(Reduction::Sum, over.into(), Box::new(value.clone())));
        (value, binary(BinaryOp::Mul, float(ExprKind::Float(0.9)), sum, Type::Float))
    });
    let measure = select(vec![Measure::Mass, Measure::MassBefore]);
    (prop_oneof![normal, summed], measure, any::<bool>(), operator(), any::<bool>())
        .prop_filter("the threshold scales with the values", move |((value, other), ..)| {
            other.reads_data() || matches!(&value.kind, ExprKind::Softmax(softmax) if softmax.over.axis == along)
        })
        .prop_filter("the softmax changes along the line", move |((value, _), ..)| value.free_sides()[last as usize])
        .prop_map(|((value, other), measure, descending, op, swapped)| {
            let order = Order { measure, descending, line: Line::Row, first: None, value };
            comparison(float(ExprKind::Order(Box::new(order))), other, op, swapped)
        })
        .boxed()
}

fn percentile(last: Side) -> BoxedStrategy<Expr> {
    let ordered = line().prop_flat_map(move |line| (Just(line), values(last, line)));
    (ordered, 0.0f64..=1.0)
        .prop_map(|((line, value), share)| {
            let share = float(ExprKind::Float(share));
            let percentile = Percentile { line, value: value.clone(), share };
            binary(BinaryOp::Ge, value, float(ExprKind::Percentile(Box::new(percentile))), Type::Bool)
        })
        .boxed()
}

fn cover() -> BoxedStrategy<Expr> {
    let number = |value| float(ExprKind::Float(value));
    let fraction = CoverRule::Fraction { least: number(0.33), share: number(0.6) };
    (select(vec![CoverRule::Any, CoverRule::All, fraction]), any::<bool>(), bool(Setting::Token))
        .prop_map(|(rule, per_frame, mask)| e(ExprKind::Cover(Box::new(Cover { rule, per_frame, mask })), Type::Bool))
        .boxed()
}

/// `density(cache) <= 0.3`
pub(crate) fn degrade() -> impl Strategy<Value = Expr> {
    (select(vec![SymbolKind::Cache, SymbolKind::Skip]), 0.0f64..1.0).prop_map(|(symbol, least)| {
        binary(BinaryOp::Le, float(ExprKind::Density(symbol)), float(ExprKind::Float(least)), Type::Bool)
    })
}
