//! What kernels of the rooms gemm_q and gemm_o contain, what they leave out, and what is refused.

use sparsym_codegen::{
    Argument, Buffer, FromHeads, GridAxis, Kernel, Numbers, Product, ProductTiles, Request, RoomPlan, RoomRequest,
    Sizes, SummedHeads, Target, TileColumns, ToHeads, generate, name_without_hash,
};
use sparsym_ir::DType;
use sparsym_ir::projection::{RopePairs, Stream, Summed};

const STREAM: Stream =
    Stream { batch: 2, tokens: 700, first: 100, rows: 500, width: 200, heads: 3, head_dim: 128, block: 64 };

fn request(room: RoomRequest<'static>) -> Request<'static> {
    Request::of(room, Target::parse("sm_80").unwrap())
}

fn kernel(room: RoomRequest<'static>) -> Kernel {
    generate(&request(room)).unwrap()
}

fn to_heads(of: ToHeads) -> RoomRequest<'static> {
    RoomRequest::GemmQ(of)
}

fn from_heads(of: Product) -> RoomRequest<'static> {
    RoomRequest::GemmO(FromHeads::Product(of))
}

fn plain_q() -> RoomRequest<'static> {
    to_heads(ToHeads::default())
}

fn plain_o() -> RoomRequest<'static> {
    from_heads(Product::default())
}

fn sparse_q(block: u32) -> ToHeads {
    ToHeads { block: Some(block), ..ToHeads::default() }
}

fn sparse_o(block: u32) -> RoomRequest<'static> {
    from_heads(Product { heads: Some(SummedHeads { block, summed: Summed::Active }), ..Product::default() })
}

fn all_of_q() -> RoomRequest<'static> {
    to_heads(ToHeads { bias: true, norm: true, rope: Some(RopePairs::Half), means: Some(64), ..sparse_q(64) })
}

fn all_of_o() -> RoomRequest<'static> {
    from_heads(Product { heads: Some(SummedHeads { block: 64, summed: Summed::Both }), partials: true, bias: true })
}

fn differences() -> RoomRequest<'static> {
    RoomRequest::GemmO(FromHeads::Differences { block: 64 })
}

#[test]
fn a_part_is_in_the_text_exactly_when_the_plan_asks_for_it() {
    let body = |kernel: Kernel| kernel.source.lines().filter(|line| !line.starts_with("//")).collect::<String>();
    let plain = body(kernel(plain_q()));
    let all = body(kernel(all_of_q()));
    for word in ["s_c", "tiles[", "bias", "norm_weight", "rope", "block_means", "kBlockQ", "p.eps", "kSubtile"] {
        assert!(!plain.contains(word), "plain gemm_q speaks of {word}");
        assert!(all.contains(word), "gemm_q with everything does not speak of {word}");
    }
    let plain = body(kernel(plain_o()));
    let all = body(kernel(all_of_o()));
    for word in ["s_c", "HeadWalk", "bias", "partials", "partial_out", "coefficients", "walk.cached"] {
        assert!(!plain.contains(word), "plain gemm_o speaks of {word}");
        assert!(all.contains(word), "gemm_o with everything does not speak of {word}");
    }
}

#[test]
fn names_come_from_content() {
    assert_eq!(name_without_hash(&kernel(all_of_q()).name), "gemm_q_sparse_bias_norm_half_means_q64_d128_bf16");
    assert_eq!(name_without_hash(&kernel(differences()).name), "gemm_o_differences_q64_d128_bf16");
    let text = kernel(plain_q()).source;
    assert!(text.lines().count() < 400, "{} lines", text.lines().count());
}

#[test]
fn texts_keep_the_house_rules() {
    for room in [plain_q(), all_of_q(), plain_o(), all_of_o(), differences()] {
        let kernel = kernel(room.clone());
        let header = kernel.source.lines().take_while(|line| line.starts_with("//")).count();
        assert!((1..=16).contains(&header), "{}: a header of {header} lines", kernel.name);
        // The hash at the end of a function's name does not count.
        let hash = &kernel.name[name_without_hash(&kernel.name).len()..];
        for line in kernel.source.lines().map(|line| line.replace(hash, "")) {
            assert!(line.chars().count() <= 100, "{}: {line}", kernel.name);
        }
        assert_eq!(kernel.source.matches("__global__").count(), kernel.launches.len());
        let mut end = 0;
        for field in &kernel.params.fields {
            assert!(field.offset >= end, "{} overlaps the field before it", field.name);
            end = field.offset + 4;
        }
        assert_eq!(kernel.source, self::kernel(room).source);
    }
}

#[test]
fn every_head_dimension_and_block_has_a_tile_on_every_target() {
    for target in Target::all() {
        for (head_dim, block) in [64, 96, 128, 256].into_iter().flat_map(|d| [32, 64, 96, 128, 256].map(|q| (d, q))) {
            for room in [to_heads(sparse_q(block)), sparse_o(block)] {
                let request = Request { head_dim, target: *target, ..request(room) };
                let kernel =
                    generate(&request).unwrap_or_else(|e| panic!("{} D {head_dim} {block}: {e}", target.name()));
                let (subtile_rows, row_tiles, stages) = match &kernel.plan.room {
                    RoomPlan::GemmQ(plan) => (plan.subtile_rows, plan.row_tiles, plan.stages),
                    RoomPlan::GemmO(plan) => (plan.subtile_rows, plan.row_tiles, plan.stages),
                    _ => panic!("{} is no projection", kernel.name),
                };
                assert!(stages >= 2 && kernel.plan.shared.bytes <= target.shared_bytes());
                // No warp has rows of two blocks.
                assert!(subtile_rows.is_multiple_of(16 * row_tiles) && block.is_multiple_of(subtile_rows));
            }
        }
    }
}

#[test]
fn what_cannot_be_generated_says_what_would_fit() {
    let message = |request: Request<'static>| generate(&request).unwrap_err().to_string();
    for room in [to_heads(sparse_q(48)), sparse_o(48)] {
        let blocks = message(request(room));
        assert!(blocks.contains("S602") && blocks.contains("multiples of 32"), "{blocks}");
    }
    let means = message(request(to_heads(ToHeads { means: Some(192), ..ToHeads::default() })));
    assert!(means.contains("S602") && means.contains("32, 64 or 128"), "{means}");
    let two = message(request(to_heads(ToHeads { means: Some(64), ..sparse_q(128) })));
    assert!(two.contains("S602") && two.contains("use one block for both"), "{two}");
    let head_dim = message(Request { head_dim: 80, ..request(sparse_o(64)) });
    assert!(head_dim.contains("S603") && head_dim.contains("64, 96, 128, 256"), "{head_dim}");
    assert!(message(Request { dtype: DType::F32, ..request(plain_q()) }).contains("S604"));
}

#[test]
fn tiles_start_at_multiples_of_the_tile_in_the_joint_sequence() {
    let q = kernel(to_heads(sparse_q(64)));
    // Tokens 100 to 600: tiles 0 to 4 of five.
    assert_eq!(q.launches[0].grid, [GridAxis::One; 3]);
    let of = Numbers::of_stream;
    assert_eq!(q.launches[0].ctas(&of(&STREAM), 4), [1, 1, 1]);
    assert_eq!(q.launches[1].ctas(&of(&STREAM), 4), [2 * 5 * 3, 1, 1]);
    let later = Stream { first: 128, rows: 10, ..STREAM };
    assert_eq!(q.launches[1].ctas(&of(&later), 4), [2 * 3, 1, 1]);
    let none = Stream { rows: 0, ..STREAM };
    assert_eq!(q.launches[1].ctas(&of(&none), 4), [0, 1, 1]);
    let tiles = Buffer::Tiles(ProductTiles { rows: 128, columns: TileColumns::OfHeads(1) });
    assert!(q.arguments(&of(&STREAM)).iter().any(|(_, argument)| *argument == Argument::Buffer(tiles)));
    assert_eq!(tiles.workspace_bytes(&of(&STREAM)), Some(4 * (1 + 2 * 5 * 3)));

    let differences = kernel(differences());
    let weights = vec![vec![1.0; 3]; 2];
    let numbers = Numbers { weights: &weights, ..of(&STREAM) };
    assert_eq!(differences.launches[0].ctas(&numbers, 4), [9, 3, 2]);
    assert_eq!(differences.launches[1].ctas(&numbers, 4), [2 * 5 * 2, 1, 2]);
    assert_eq!(Buffer::Differences.workspace_bytes(&numbers), Some(2 * 2 * 2 * 700 * 3 * 128));
    assert_eq!(Buffer::Y.workspace_bytes(&numbers), None);
}

#[test]
fn every_field_has_a_value() {
    for room in [all_of_q(), all_of_o(), differences()] {
        let kernel = kernel(room);
        let weights = vec![vec![1.0, -1.0, 0.5]; 2];
        let sizes = Sizes::Stream { stream: &STREAM, eps: 0.5 };
        let arguments = kernel.arguments(&Numbers { sizes, coefficients: &[2.0, 3.0], weights: &weights });
        for field in &kernel.params.fields {
            let value = arguments.iter().find(|(offset, _)| *offset == field.offset);
            let (_, value) = value.unwrap_or_else(|| panic!("{} of {} has no value", field.name, kernel.name));
            match field.name.as_str() {
                "eps" => assert_eq!(*value, Argument::F32(0.5)),
                "rows" => assert_eq!(*value, Argument::I32(500)),
                "partials[4]" => assert_eq!(*value, Argument::Buffer(Buffer::PartialIn(0))),
                "n_partials" | "orders" => assert_eq!(*value, Argument::I32(2)),
                "n_outputs" => assert_eq!(*value, Argument::I32(3)),
                "weights[12]" => {
                    let third = arguments.iter().find(|(offset, _)| *offset == field.offset + 4 * (4 + 2));
                    assert_eq!(third, Some(&(field.offset + 24, Argument::F32(0.5))));
                }
                _ => {}
            }
        }
    }
}
