//! What attention kernels contain, what they leave out, and what is refused.

use sparsym_codegen::{
    AttentionPlan, AttentionRequest, Buffer, CachedRows, GridAxis, Kernel, Numbers, Request, Room, RoomPlan,
    RoomRequest, Sequences, Target, TileOrder, generate, name_without_hash,
};
use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Side, Type};
use sparsym_ir::strategy::{Blocks, Strategy, TokenRule};
use sparsym_ir::{Bindings, Bound, DType, Moment, Problem, Span};

fn dense() -> Strategy {
    Strategy::dense()
}

/// kv.pos <= q.pos
fn causal() -> Strategy {
    let pos = |side| Expr { kind: ExprKind::Coordinate(side, Coordinate::Pos), ty: Type::Int, span: Span::default() };
    let kind = ExprKind::Binary(BinaryOp::Le, Box::new(pos(Side::Kv)), Box::new(pos(Side::Q)));
    let value = Expr { kind, ty: Type::Bool, span: Span::default() };
    Strategy { mask: Some(TokenRule { value, span: Span::default() }), ..dense() }
}

fn attention<'r, 'a>(request: &'r mut Request<'a>) -> &'r mut AttentionRequest<'a> {
    let RoomRequest::Attention(of) = &mut request.room else { panic!("a request of attention") };
    of
}

fn planned(kernel: &Kernel) -> &AttentionPlan {
    let RoomPlan::Attention(plan) = &kernel.plan.room else { panic!("{} is not of attention", kernel.name) };
    plan
}

fn request<'a>(strategy: &'a Strategy, target: &str) -> Request<'a> {
    Request::new(strategy, Room::Attention, Target::parse(target).unwrap())
}

fn kernel(strategy: &Strategy) -> Kernel {
    generate(&request(strategy, "sm_80")).unwrap()
}

#[test]
fn a_part_is_in_the_text_exactly_when_the_plan_asks_for_it() {
    let (plain, masked) = (kernel(&dense()).source, kernel(&causal()).source);
    let body = |text: &str| text.lines().filter(|line| !line.starts_with("//")).collect::<String>();
    for word in ["mask", "p.s_f", "partial", "special", "indptr", "features", "score"] {
        assert!(!body(&plain).contains(word), "the plain kernel speaks of {word}");
    }
    assert!(masked.contains("return kv <= q;"));
    assert!(masked.contains("p.s_f"));

    let strategy = dense();
    let mut with = request(&strategy, "sm_80");
    attention(&mut with).cached_rows = CachedRows::Forecast;
    attention(&mut with).sequences = Sequences::Ragged;
    let with = generate(&with).unwrap().source;
    assert!(with.contains("write_forecast") && with.contains("p.q_indptr"));
    assert!(!with.contains("int n_q; "), "a ragged kernel takes its lengths from the index pointers alone");
}

#[test]
fn equal_requests_give_equal_bytes_and_names_come_from_content() {
    assert_eq!(kernel(&causal()).source, kernel(&causal()).source);
    let renamed = Strategy { name: "Other".to_owned(), ..causal() };
    assert_eq!(kernel(&causal()).source, kernel(&renamed).source);
    // Another text has another name, and what it is stands in front.
    let strict = |target| generate(&request(&causal(), target)).unwrap();
    let names = ["sm_80", "sm_90a", "sm_120"].map(|target| strict(target).name);
    assert!(names[0] != names[1] && names[1] != names[2] && names[0] != names[2], "{names:?}");
    assert!(strict("sm_80").source.contains(&format!("{}(const", names[0])));
    assert_eq!(name_without_hash(&kernel(&causal()).name), "attention_masked_d128_bf16");
}

#[test]
fn the_parameter_struct_is_laid_out_as_c_does() {
    let kernel = kernel(&causal());
    let mut end = 0;
    for field in &kernel.params.fields {
        assert!(field.offset >= end, "{} overlaps the field before it", field.name);
        end = field.offset + 4;
        assert!(kernel.source.contains(&format!("p.{}", field.name)), "{} is never read", field.name);
    }
    assert!(kernel.params.size >= end && kernel.params.size.is_multiple_of(8));
}

#[test]
fn a_list_of_tiles_is_a_launch_of_its_own() {
    let strategy = causal();
    let mut request = request(&strategy, "sm_80");
    attention(&mut request).order = TileOrder::HeaviestFirst;
    let kernel = generate(&request).unwrap();
    let [list, forward] = kernel.launches.as_slice() else { panic!("{:?}", kernel.launches) };
    let rows = planned(&kernel).tile_q;
    assert_eq!((list.grid, list.shared_bytes), ([GridAxis::AllHeads, GridAxis::One, GridAxis::One], 0));
    assert_eq!(forward.grid, [GridAxis::AllQTiles(rows), GridAxis::One, GridAxis::One]);
    assert!(list.entry.contains("_tiles_") && forward.entry.contains("_forward_"));

    let (problem, bindings) =
        (Problem { heads: 3, kv_heads: 1, ..Problem::self_attention(2, 300, 3, 128) }, Bindings::default());
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
    let numbers = Numbers::of_rules(&bound, Moment::default());
    let tiles = 2 * 3 * 300usize.div_ceil(rows as usize);
    assert_eq!(list.ctas(&numbers, 4), [2 * 3, 1, 1]);
    assert_eq!(forward.ctas(&numbers, 4), [tiles as u32, 1, 1]);
    assert_eq!(Buffer::QTiles(rows).workspace_bytes(&numbers), Some(4 * (tiles + 1)));
    assert!(!self::kernel(&strategy).source.contains("p.tiles"), "without it nothing speaks of a list");
}

#[test]
fn every_line_has_an_origin() {
    let kernel = kernel(&causal());
    assert_eq!(kernel.origin(1), Some("attention/portable.cu"));
    let line = 1 + kernel.source.lines().position(|line| line.contains("O += P V")).unwrap();
    let origin = kernel.origin(kernel.source.lines().count()).unwrap();
    assert_eq!(origin, "attention/portable.cu");
    assert!(kernel.origin(line).is_some());
}

#[test]
fn what_cannot_be_generated_says_what_would_fit() {
    let strategy = dense();
    let message = |change: fn(&mut Request<'_>)| {
        let mut request = request(&strategy, "sm_86");
        change(&mut request);
        generate(&request).unwrap_err().to_string()
    };
    let odd_blocks = message(|r| attention(r).blocks = Blocks { q: 48, kv: 128 });
    assert!(odd_blocks.contains("S602") && odd_blocks.contains("multiples of one of the tiles"), "{odd_blocks}");
    // Every tile that was looked at has a line and a reason.
    assert!(odd_blocks.contains("\n  portable 128×32: it does not divide the blocks\n"), "{odd_blocks}");
    let masked = causal();
    let mut narrow = request(&masked, "sm_120");
    (narrow.head_dim, attention(&mut narrow).blocks) = (64, Blocks { q: 48, kv: 128 });
    let narrow = generate(&narrow).unwrap_err().to_string();
    assert!(narrow.contains("portable 128×64: it leaves too few registers"), "{narrow}");
    assert!(narrow.contains("tiles 64×32, 32×16"), "{narrow}");
    let odd_dim = message(|r| r.head_dim = 80);
    assert!(odd_dim.contains("S603") && odd_dim.contains("64, 96, 128, 256"), "{odd_dim}");
    let f32 = message(|r| r.dtype = DType::F32);
    assert!(f32.contains("S604") && f32.contains("cpu device"), "{f32}");
    assert!(Target::parse("sm_75").unwrap_err().to_string().contains("sm_80"));
}

#[test]
fn every_head_dimension_and_legal_block_has_a_tile_on_every_target() {
    let strategy = causal();
    for target in Target::all() {
        for head_dim in [64, 96, 128, 256] {
            for (q, kv) in [(64, 64), (128, 128), (128, 64), (192, 32), (32, 16), (256, 48)] {
                let mut request = request(&strategy, target.name());
                request.head_dim = head_dim;
                attention(&mut request).blocks = Blocks { q, kv };
                let kernel =
                    generate(&request).unwrap_or_else(|e| panic!("{} D {head_dim} {q}×{kv}: {e}", target.name()));
                let plan = planned(&kernel);
                assert!(q.is_multiple_of(plan.tile_q) && kv.is_multiple_of(plan.tile_kv));
                assert!(kernel.launches[0].shared_bytes <= target.shared_bytes());
            }
        }
    }
}

#[test]
fn each_fit_leaves_more_registers_than_the_one_before() {
    let strategy = dense();
    let fit = |fit| generate(&Request { fit, ..request(&strategy, "sm_80") });
    let words = |kernel: &Kernel| {
        let plan = planned(kernel);
        let bounds = kernel.source.lines().find(|line| line.contains("__launch_bounds__")).unwrap();
        format!(
            "{}×{}, {} row tiles, {}",
            plan.tile_q,
            plan.tile_kv,
            plan.row_tiles,
            &bounds[bounds.find("__launch").unwrap()..]
        )
    };
    let fits: Vec<String> = (0..).map_while(|n| fit(n).ok()).map(|kernel| words(&kernel)).collect();
    let expected = [
        "128×32, 2 row tiles, __launch_bounds__(kThreads)",
        "128×32, 2 row tiles, __launch_bounds__(kThreads, 1)",
        "64×32, 1 row tiles, __launch_bounds__(kThreads, 2)",
        "32×16, 1 row tiles, __launch_bounds__(kThreads, 2)",
    ];
    assert_eq!(fits, expected);
    let none = fit(4).unwrap_err().to_string();
    assert!(none.contains("S602") && none.contains("no other plan of attention"), "{none}");
}

#[test]
fn a_mask_that_divides_is_asked_in_a_loop() {
    let divided = |by: Option<i64>| {
        let pos =
            |side| Expr { kind: ExprKind::Coordinate(side, Coordinate::Pos), ty: Type::Int, span: Span::default() };
        let by = match by {
            Some(number) => ExprKind::Int(number),
            None => ExprKind::Global(sparsym_ir::expr::Global::Heads),
        };
        let by = Expr { kind: by, ty: Type::Int, span: Span::default() };
        let kind = ExprKind::Binary(BinaryOp::Rem, Box::new(pos(Side::Kv)), Box::new(by));
        let rest = Expr { kind, ty: Type::Int, span: Span::default() };
        let kind = ExprKind::Binary(BinaryOp::Le, Box::new(rest), Box::new(pos(Side::Q)));
        let value = Expr { kind, ty: Type::Bool, span: Span::default() };
        kernel(&Strategy { mask: Some(TokenRule { value, span: Span::default() }), ..dense() }).source
    };
    assert!(divided(None).contains("u32 refused[kRows]"));
    assert!(!divided(Some(7)).contains("refused"), "a division by a constant is a product");
}
