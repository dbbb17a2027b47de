//! Strategies over tensor data: the texts of the design compile, and mean what they say.

use sparsym_dsl_core::{compile_str, print, render};
use sparsym_ir::Span;
use sparsym_ir::expr::{
    Axis, BinaryOp, Expr, ExprKind, Function, Global, Line, Measure, Order, Reduction, Running, Side, Softmax,
    SymbolKind, Type, UnaryOp, Within,
};
use sparsym_ir::strategy::{Action, MapAxis, MapId, ParamId, RangeId, Reuse, Strategy, When};

/// Of the design, word for word.
const FLASH_OMNI: &str = r"
strategy! {
    /// FlashOmni (arXiv 2509.25401): reuse weak vision rows, skip weak block pairs.
    pub FlashOmni {
        /// Share of contribution mass whose query blocks are reused.
        param tau_q:    f32 in 0.0..=1.0 = 0.50;
        /// Share of attention mass whose block pairs are skipped.
        param tau_kv:   f32 in 0.0..=1.0 = 0.15;
        param interval: u32 in 1..       = 5;
        param warmup:   u32              = 8;
        param order:    u32 in 0..=3     = 2;

        tokens text, vision;
        blocks q = 128, kv = 128;

        let s     = pool(Q) . pool(K) / sqrt(D);                  // map over (q, kv), at Update steps
        let seen  = softmax(v in vision: sum(t in text: s[t, v]));
        let looks = softmax(v in vision: sum(t in text: s[v, t]));
        let ramp  = (step / steps) * (step / steps);

        update when step < warmup || since_update == interval || step == steps - 1;

        cache q in vision where ascending_mass((seen[q] + looks[q]) / 2) <= tau_q * ramp by taylor(order);
        skip  q, kv       where ascending_mass(softmax(kv: s[q, kv]))    <= tau_kv * ramp;

        degrade when density(cache) <= 0.30;
    }
}
";

const SPARGE: &str = r"
/// SpargeAttn: blocks that are alike stand for their tokens, the others are always computed.
pub Sparge {
    param sink: bool = true;
    table theta: [head] of f32;
    table tau: [head] of f32;
    blocks q = 128, kv = 64;

    let a = selfsim(Q);
    let c = selfsim(center(K));
    let s = pool(Q) . pool(K) / sqrt(D);
    let p[q, kv] = softmax(kv where c[kv] > theta && kv.block * block_kv < (q.block + 1) * block_q: s[q, kv]);

    keep q, kv where descending_mass(p[q, kv]) <= tau at least 1;
    keep q, kv where !(a[q] > theta) || !(c[kv] > theta) || sink && kv.block == 0;
    otherwise skip;
    mask q, kv => kv.pos <= q.pos;
}
";

const TOP_K: &str = r"
/// The blocks with the largest pooled scores.
pub TopK {
    param share: f32 in 0.0..=1.0 = 0.125;
    param blocks: u32 in 1.. = 256;
    let s = pool(Q) . pool(center(K));
    skip q, kv where descending_rank(s[q, kv]) >= max(1, ceil(share * blocks));
}
";

const XATTENTION: &str = r"
/// XAttention: antidiagonals of tiles, sinks and the diagonal first.
pub XAttention {
    param stride: u32 in 1.. = 8;
    table tau: [head] of f32;
    let x[q, kv] = blocksum(softmax(kv where kv.block <= q.block: antidiag(Q, K, stride) / (float(stride) * sqrt(float(D)))));
    keep q, kv where descending_mass_before(x[q, kv], first: kv.block == 0 || kv.block == q.block) < tau * sum(kv: x[q, kv]);
    otherwise skip;
    mask q, kv => kv.pos <= q.pos;
}
";

fn compile(text: &str) -> Strategy {
    compile_str("text", text).unwrap_or_else(|findings| panic!("{}", render(&findings, "text", text)))
}

#[test]
fn published_strategies_survive_printing() {
    for text in [FLASH_OMNI, SPARGE, TOP_K, XATTENTION] {
        let strategy = compile(text);
        let printed = print(&strategy);
        assert_eq!(compile(&printed), strategy, "{printed}");
    }
}

fn e(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

fn float(kind: ExprKind) -> Expr {
    e(kind, Type::Float)
}

fn binary(op: BinaryOp, a: Expr, b: Expr) -> Expr {
    let ty = if matches!(op, BinaryOp::Le | BinaryOp::Lt) { Type::Bool } else { a.ty };
    e(ExprKind::Binary(op, a.into(), b.into()), ty)
}

fn global(global: Global) -> Expr {
    float(ExprKind::Unary(UnaryOp::ToFloat, e(ExprKind::Global(global), Type::Int).into()))
}

fn map(id: usize, sides: &[Side]) -> Expr {
    float(ExprKind::Map(MapId(id), sides.to_vec()))
}

fn softmax(axis: Axis, within: Within, value: Expr) -> Expr {
    let over = Running { axis, within, visible: None };
    float(ExprKind::Softmax(Box::new(Softmax { over, weight: None, value })))
}

fn sum(axis: Axis, range: usize, value: Expr) -> Expr {
    let over = Running { axis, within: Within::Range(RangeId(range)), visible: None };
    float(ExprKind::Reduce(Reduction::Sum, over.into(), value.into()))
}

fn ascending_mass(value: Expr) -> Expr {
    let (measure, descending, line) = (Measure::Mass, false, Line::Row);
    float(ExprKind::Order(Box::new(Order { measure, descending, line, first: None, value })))
}

#[test]
fn flash_omni_means_what_it_says() {
    use BinaryOp::{Add, Div, Le, Mul};
    // With values in the place of the name `ramp`.
    let strategy = compile(FLASH_OMNI).inlined();
    let (text, vision) = (0, RangeId(1));
    let axis = |variable: &str, side, range| MapAxis { variable: variable.to_owned(), side, range };
    let [s, seen, looks] = &strategy.maps[..] else { panic!("three maps: {:?}", strategy.maps) };

    assert_eq!((s.name.as_str(), seen.name.as_str(), looks.name.as_str()), ("s", "seen", "looks"));
    assert_eq!(s.axes, [axis("q", Side::Q, None), axis("kv", Side::Kv, None)]);
    let dot = float(ExprKind::Dot { q_centered: false, kv_centered: false });
    let root = float(ExprKind::Call(Function::Sqrt, vec![global(Global::HeadDim)]));
    assert_eq!(s.value, binary(Div, dot, root));

    assert_eq!(seen.axes, [axis("v", Side::Kv, Some(vision))]);
    let of_text = sum(Axis::Q, text, map(0, &[Side::Q, Side::Kv]));
    assert_eq!(seen.value, softmax(Axis::Kv, Within::Range(vision), of_text));
    assert_eq!(looks.axes, [axis("v", Side::Q, Some(vision))]);
    let at_text = sum(Axis::Kv, text, map(0, &[Side::Q, Side::Kv]));
    assert_eq!(looks.value, softmax(Axis::Q, Within::Range(vision), at_text));

    let share = || binary(Div, global(Global::Step), global(Global::Steps));
    let threshold = |param: usize| {
        let ramp = binary(Mul, share(), share());
        binary(Mul, float(ExprKind::Param(ParamId(param))), ramp)
    };
    let [cache, skip] = &strategy.rules[..] else { panic!("two rules") };
    let both = binary(Add, map(1, &[Side::Q]), map(2, &[Side::Q]));
    let mean = binary(Div, both, float(ExprKind::Float(2.0)));
    let condition = Some(binary(Le, ascending_mass(mean), threshold(0)));
    assert_eq!((cache.action, &cache.when), (Action::Cache, &When::Match { q: Some(vision), kv: None, condition }));
    assert!(matches!(&cache.reuse, Some(Reuse::Taylor(order)) if order.kind == ExprKind::Param(ParamId(4))));

    let row = softmax(Axis::Kv, Within::All, map(0, &[Side::Q, Side::Kv]));
    let condition = Some(binary(Le, ascending_mass(row), threshold(1)));
    assert_eq!((skip.action, &skip.when), (Action::Skip, &When::Match { q: None, kv: None, condition }));

    assert_eq!(strategy.degrades(), Some(SymbolKind::Cache));
    assert!(strategy.reads_data() && strategy.caches() && strategy.skips());
}
