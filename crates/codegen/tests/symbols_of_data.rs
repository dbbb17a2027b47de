//! What symbols kernels of rules over Q and K contain, launch by launch.

#[allow(dead_code)]
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use sparsym_codegen::{Buffer, GridAxis, Kernel, Numbers, Request, Room, Target, generate, name_without_hash};
use sparsym_ir::expr::{Axis, BinaryOp, Expr, ExprKind, Line, Measure, Order, Running, Side, Softmax, Type, Within};
use sparsym_ir::span::Span;
use sparsym_ir::strategy::{Action, BlockRule, Map, MapAxis, MapId, Strategy, When};
use sparsym_ir::{Bindings, Bound, Moment, Problem};

fn node(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

fn float(value: f64) -> Expr {
    node(ExprKind::Float(value), Type::Float)
}

/// `let s = pool(Q) . pool(K);` and maps after it; `skip q, kv where ascending_mass(value) <= 0.2`.
fn skipping(value: Expr, line: Line) -> Strategy {
    let dot = node(ExprKind::Dot { q_centered: false, kv_centered: false }, Type::Float);
    let axis = |side: Side| MapAxis { variable: side.name().to_owned(), side, range: None };
    let map = |name: &str, value| Map {
        name: name.to_owned(),
        axes: vec![axis(Side::Q), axis(Side::Kv)],
        value,
        span: Span::default(),
    };
    let order = Order { measure: Measure::Mass, descending: false, line, first: None, value };
    let order = node(ExprKind::Order(Box::new(order)), Type::Float);
    let condition = node(ExprKind::Binary(BinaryOp::Le, Box::new(order), Box::new(float(0.2))), Type::Bool);
    let when = When::Match { q: None, kv: None, condition: Some(condition) };
    Strategy {
        name: "Test".to_owned(),
        maps: vec![map("s", dot), map("unread", float(1.0))],
        rules: vec![BlockRule { action: Action::Skip, when, reuse: None, span: Span::default() }],
        ..Strategy::dense()
    }
}

fn s() -> Expr {
    node(ExprKind::Map(MapId(0), vec![Side::Q, Side::Kv]), Type::Float)
}

fn softmax() -> Expr {
    let over = Running { axis: Axis::Kv, within: Within::All, visible: None };
    node(ExprKind::Softmax(Box::new(Softmax { over, weight: None, value: s() })), Type::Float)
}

fn similarity() -> Expr {
    node(ExprKind::SelfSim { of: Side::Kv, centered: false }, Type::Float)
}

fn kernel(strategy: &Strategy) -> Kernel {
    generate(&Request::new(strategy, Room::Symbols, Target::parse("sm_80").unwrap())).unwrap()
}

fn launches(kernel: &Kernel) -> Vec<&str> {
    let names = kernel.launches.iter().map(|launch| name_without_hash(&launch.entry));
    names.map(|name| name.trim_start_matches(name_without_hash(&kernel.name)).trim_start_matches('_')).collect()
}

#[test]
fn each_step_is_a_launch_and_what_nobody_reads_is_none() {
    let kernel = kernel(&skipping(softmax(), Line::Row));
    assert_eq!(launches(&kernel), ["pool", "map_s", "map_stage_2", "cut_0", "rules"]);
    let grids: Vec<_> = kernel.launches.iter().map(|launch| launch.grid[0]).collect();
    use GridAxis::{Blocks, PairTiles, QBlockQuads, QBlocks};
    assert_eq!(grids, [Blocks, PairTiles, QBlocks, QBlockQuads, QBlocks]);
    for launch in &kernel.launches {
        assert!(kernel.source.contains(&format!("\n{}(", launch.entry)), "{}", launch.entry);
    }
    assert_eq!(kernel.source.matches("__global__").count(), kernel.launches.len());
    for absent in ["unread", "similarity", "center", "s_c", "descending"] {
        assert!(!kernel.source.split_once("struct Params").unwrap().1.contains(absent), "{absent}");
    }
}

#[test]
fn a_side_that_nobody_reads_is_not_pooled() {
    let kernel = kernel(&skipping(similarity(), Line::Row));
    assert_eq!(launches(&kernel), ["pool", "cut_0", "rules"]);
    assert_eq!(kernel.launches[0].grid[0], GridAxis::KvBlocks);
    assert!(!kernel.params.fields.iter().any(|field| field.name == "q" || field.name == "mean_q"));
}

#[test]
fn a_line_of_a_whole_head_is_cut_by_a_cta() {
    let kernel = kernel(&skipping(s(), Line::Head));
    let cut = kernel.launches.iter().find(|launch| name_without_hash(&launch.entry).ends_with("cut_0")).unwrap();
    assert_eq!((cut.threads, cut.grid), (256, [GridAxis::One, GridAxis::Heads, GridAxis::Batch]));
    assert!(kernel.source.contains("cta_sum"));
}

#[test]
fn workspaces_have_the_sizes_of_their_axes() {
    let problem = Problem { kv_heads: 2, ..Problem::self_attention(3, 1000, 4, 64) };
    let (strategy, bindings) = (Strategy::dense(), Bindings::default());
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
    let bytes = |buffer: Buffer| buffer.workspace_bytes(&Numbers::of_rules(&bound, Moment::default()));
    assert_eq!(bytes(Buffer::Means(Side::Q)), Some(4 * 3 * 4 * 8 * 64));
    assert_eq!(bytes(Buffer::Means(Side::Kv)), Some(4 * 3 * 2 * 8 * 64));
    assert_eq!(bytes(Buffer::Center(Side::Kv)), Some(4 * 3 * 2 * 64));
    assert_eq!(bytes(Buffer::Map { index: 0, axes: [true, true] }), Some(4 * 3 * 4 * 8 * 8));
    assert_eq!(bytes(Buffer::Map { index: 0, axes: [false, false] }), Some(4 * 3 * 4));
    assert_eq!(bytes(Buffer::Cut { index: 0, rows: true }), Some(8 * 3 * 4 * 8));
    assert_eq!(bytes(Buffer::Q), None);
}

/// The whole text, for review.
#[test]
fn flash_omni_as_text() {
    let kernel = kernel(&support::flash_omni_strategy());
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_description(kernel.plan.summary());
    settings.bind(|| insta::assert_snapshot!("symbols_cache_skip_q128_kv128_d128_bf16_of_flash_omni", kernel.source));
}
