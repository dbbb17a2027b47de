//! What symbols kernels of rules over Q and K contain, launch by launch.

#[allow(dead_code)]
#[path = "../../runtime/tests/support/mod.rs"]
mod support;

use sparsym_codegen::{
    Buffer, GridAxis, Kernel, Means, Numbers, Request, Room, RoomRequest, SymbolsRequest, Target, generate,
    name_without_hash,
};
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
fn what_rows_do_for_themselves_is_one_launch_and_what_nobody_reads_is_none() {
    let kernel = kernel(&skipping(softmax(), Line::Row));
    assert_eq!(launches(&kernel), ["pool", "rules"]);
    let grids: Vec<_> = kernel.launches.iter().map(|launch| launch.grid).collect();
    use GridAxis::{Batch, Blocks, Heads, QBlockOctets};
    assert_eq!(grids, [[Blocks, Heads, Batch], [QBlockOctets, Heads, Batch]]);
    for launch in &kernel.launches {
        assert!(kernel.source.contains(&format!("\n{}(", launch.entry)), "{}", launch.entry);
    }
    assert_eq!(kernel.source.matches("__global__").count(), kernel.launches.len());
    in_order(&kernel, &["make_map_s(p", "__syncthreads", "make_map_stage_2(p", "make_cut_0(p", "write_pair_row(p"]);
    for absent in ["unread", "similarity", "center", "s_c", "descending", "arrives_last"] {
        assert!(!kernel.source.split_once("struct Params").unwrap().1.contains(absent), "{absent}");
    }
}

/// That the last function has these words in this order.
fn in_order(kernel: &Kernel, words: &[&str]) {
    let mut rest = &kernel.source[kernel.source.rfind("__global__").unwrap()..];
    for word in words {
        let at = rest.find(word).unwrap_or_else(|| panic!("{word} comes late, or not, in\n{}", kernel.source));
        rest = &rest[at + word.len()..];
    }
}

#[test]
fn means_that_are_given_leave_one_launch() {
    let target = Target::parse("sm_80").unwrap();
    let strategy = support::flash_omni_strategy();
    let request = Request::new(&strategy, Room::Symbols, target);
    let RoomRequest::Symbols(room) = request.room else { unreachable!() };
    let room = RoomRequest::Symbols(SymbolsRequest { means: Means::Given, ..room });
    let kernel = generate(&Request { room, ..request }).unwrap();
    assert_eq!(kernel.launches.len(), 1);
    let of_heads = "arrives_last(p.arrivals + head_at(p, b, h), gridDim.x)";
    let of_items = "arrives_last(p.arrivals + p.heads * gridDim.z + b, gridDim.y)";
    in_order(&kernel, &["make_map_s(p", "write_pair_row(p", of_heads, "make_map_seen(p", "make_cut_0(p", of_items]);
}

#[test]
fn a_side_that_nobody_reads_is_not_pooled() {
    let kernel = kernel(&skipping(similarity(), Line::Row));
    assert_eq!(launches(&kernel), ["pool", "rules"]);
    assert_eq!(kernel.launches[0].grid[0], GridAxis::KvBlocks);
    assert!(!kernel.params.fields.iter().any(|field| field.name == "q" || field.name == "mean_q"));
}

/// The rows that a line of the whole head decides wait for it: a launch never goes back from heads to rows.
#[test]
fn a_line_of_a_whole_head_is_cut_by_a_cta_before_its_rows_are_written() {
    let kernel = kernel(&skipping(s(), Line::Head));
    assert_eq!(launches(&kernel), ["pool", "launch_0", "rules"]);
    assert!(kernel.source.contains("cta_sum"));
    in_order(&kernel, &["write_pair_row(p"]);
}

/// Columns and lines over heads are as many as block pairs: by the CTA that is the last of a head they would take too long.
#[test]
fn softmaxes_across_rows_and_heads_have_launches_of_their_own() {
    for (axis, launched) in [
        (Axis::Q, [GridAxis::KvBlocks, GridAxis::Heads, GridAxis::Batch]),
        (Axis::Head, [GridAxis::QBlocks, GridAxis::KvBlocks, GridAxis::Batch]),
    ] {
        let over = Running { axis, within: Within::All, visible: None };
        let softmax = node(ExprKind::Softmax(Box::new(Softmax { over, weight: None, value: s() })), Type::Float);
        let kernel = kernel(&skipping(softmax, Line::Row));
        assert_eq!(launches(&kernel), ["pool", "launch_0", "map_stage_2", "rules"]);
        assert_eq!(kernel.launches[2].grid, launched);
    }
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
    assert_eq!(bytes(Buffer::Arrivals), Some(4 * (3 * 4 + 3)));
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
