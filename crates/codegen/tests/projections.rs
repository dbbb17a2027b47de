//! What kernels of the rooms gemm_q and gemm_o contain, what they leave out, and what is refused.

use sparsym_codegen::{
    Argument, Buffer, GridAxis, Kernel, Projection, ProjectionNumbers, Request, Room, Target, generate,
    name_without_hash,
};
use sparsym_ir::DType;
use sparsym_ir::projection::{RopePairs, Stream, Summed};
use sparsym_ir::strategy::{Blocks, Strategy};

const STREAM: Stream =
    Stream { batch: 2, tokens: 700, first: 100, rows: 500, width: 200, heads: 3, head_dim: 128, block: 64 };

fn request(strategy: &Strategy, room: Room, projection: Projection) -> Request<'_> {
    let blocks = Blocks { q: 64, kv: 64 };
    Request { projection, blocks, ..Request::new(strategy, room, Target::parse("sm_80").unwrap()) }
}

fn kernel(room: Room, projection: Projection) -> Kernel {
    generate(&request(&Strategy::dense(), room, projection)).unwrap()
}

fn sparse() -> Projection {
    Projection { sparse: true, ..Projection::default() }
}

fn all_of_q() -> Projection {
    Projection { bias: true, norm: true, rope: Some(RopePairs::Half), means: true, ..sparse() }
}

#[test]
fn a_part_is_in_the_text_exactly_when_the_plan_asks_for_it() {
    let body = |kernel: Kernel| kernel.source.lines().filter(|line| !line.starts_with("//")).collect::<String>();
    let plain = body(kernel(Room::GemmQ, Projection::default()));
    let all = body(kernel(Room::GemmQ, all_of_q()));
    for word in ["s_c", "tiles[", "bias", "norm_weight", "rope", "block_means", "kBlockQ", "p.eps", "kPiece"] {
        assert!(!plain.contains(word), "plain gemm_q speaks of {word}");
        assert!(all.contains(word), "gemm_q with everything does not speak of {word}");
    }
    let plain = body(kernel(Room::GemmO, Projection::default()));
    let all = body(kernel(Room::GemmO, Projection { bias: true, partials: true, summed: Summed::Both, ..sparse() }));
    for word in ["s_c", "HeadWalk", "bias", "partials", "partial_out", "coefficients", "flip"] {
        assert!(!plain.contains(word), "plain gemm_o speaks of {word}");
        assert!(all.contains(word), "gemm_o with everything does not speak of {word}");
    }
}

#[test]
fn names_come_from_content() {
    let strategy = Strategy::dense();
    assert_eq!(
        name_without_hash(&kernel(Room::GemmQ, all_of_q()).name),
        "gemm_q_sparse_bias_norm_half_means_q64_d128_bf16"
    );
    assert_eq!(
        name_without_hash(&kernel(Room::GemmO, Projection { differences: true, ..sparse() }).name),
        "gemm_o_differences_q64_d128_bf16"
    );
    // Without S_c the block does not matter, whatever it is.
    let mut dense = request(&strategy, Room::GemmQ, Projection::default());
    let text = generate(&dense).unwrap().source;
    dense.blocks = Blocks { q: 48, kv: 1 };
    assert_eq!(generate(&dense).unwrap().source, text);
    assert!(text.lines().count() < 400, "{} lines", text.lines().count());
}

#[test]
fn texts_keep_the_house_rules() {
    for (room, projection) in [
        (Room::GemmQ, Projection::default()),
        (Room::GemmQ, all_of_q()),
        (Room::GemmO, Projection::default()),
        (Room::GemmO, Projection { bias: true, partials: true, summed: Summed::Both, ..sparse() }),
        (Room::GemmO, Projection { differences: true, ..sparse() }),
    ] {
        let kernel = kernel(room, projection);
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
        assert_eq!(kernel.source, self::kernel(room, projection).source);
    }
}

#[test]
fn every_head_dimension_and_block_has_a_tile_on_every_target() {
    let strategy = Strategy::dense();
    for target in Target::all() {
        for (head_dim, block) in [64, 96, 128, 256].into_iter().flat_map(|d| [32, 64, 96, 128, 256].map(|q| (d, q))) {
            for room in [Room::GemmQ, Room::GemmO] {
                let blocks = Blocks { q: block, kv: block };
                let request = Request { head_dim, blocks, target: *target, ..request(&strategy, room, sparse()) };
                let kernel =
                    generate(&request).unwrap_or_else(|e| panic!("{} D {head_dim} {block}: {e}", target.name()));
                let plan = &kernel.plan;
                assert!(plan.stages >= 2 && plan.shared_bytes <= target.shared_bytes());
                // No warp has rows of two blocks.
                assert!(plan.piece_rows.is_multiple_of(16 * plan.row_tiles) && block.is_multiple_of(plan.piece_rows));
            }
        }
    }
}

#[test]
fn what_cannot_be_generated_says_what_would_fit() {
    let strategy = Strategy::dense();
    let message = |room, change: fn(&mut Request<'_>)| {
        let mut request = request(&strategy, room, sparse());
        change(&mut request);
        generate(&request).unwrap_err().to_string()
    };
    let blocks = message(Room::GemmQ, |r| r.blocks.q = 48);
    assert!(blocks.contains("S602") && blocks.contains("multiples of 32"), "{blocks}");
    let means = message(Room::GemmQ, |r| {
        r.blocks.q = 192;
        r.projection.means = true;
    });
    assert!(means.contains("S602") && means.contains("32, 64 or 128"), "{means}");
    let head_dim = message(Room::GemmO, |r| r.head_dim = 80);
    assert!(head_dim.contains("S603") && head_dim.contains("64, 96, 128, 256"), "{head_dim}");
    assert!(message(Room::GemmQ, |r| r.dtype = DType::F32).contains("S604"));
    assert!(message(Room::GemmQ, |r| r.projection.partials = true).contains("S605"));
    assert!(message(Room::GemmO, |r| r.projection.norm = true).contains("S605"));
    assert!(
        message(Room::GemmO, |r| r.projection = Projection { summed: Summed::Both, ..Projection::default() })
            .contains("S605")
    );
    assert!(message(Room::GemmO, |r| (r.projection.differences, r.projection.bias) = (true, true)).contains("S605"));
}

#[test]
fn tiles_start_at_multiples_of_the_tile_in_the_joint_sequence() {
    let q = kernel(Room::GemmQ, sparse());
    // Tokens 100 to 600: tiles 0 to 4 of five.
    assert_eq!(q.launches[0].grid, [GridAxis::One; 3]);
    assert_eq!(q.projection_grid(&q.launches[0], &STREAM, 0), [1, 1, 1]);
    assert_eq!(q.projection_grid(&q.launches[1], &STREAM, 0), [2 * 5 * 3, 1, 1]);
    let later = Stream { first: 128, rows: 10, ..STREAM };
    assert_eq!(q.projection_grid(&q.launches[1], &later, 0), [2 * 3, 1, 1]);
    let none = Stream { rows: 0, ..STREAM };
    assert_eq!(q.projection_grid(&q.launches[1], &none, 0), [0, 1, 1]);
    assert!(Buffer::Tiles.projection_workspace_bytes(&STREAM, 0).unwrap() >= 4 * (1 + 2 * 5 * 3));

    let differences = kernel(Room::GemmO, Projection { differences: true, ..sparse() });
    assert_eq!(differences.projection_grid(&differences.launches[0], &STREAM, 2), [9, 3, 2]);
    assert_eq!(differences.projection_grid(&differences.launches[1], &STREAM, 2), [2 * 5 * 2, 1, 2]);
    let bytes = Buffer::Differences.projection_workspace_bytes(&STREAM, 2);
    assert_eq!(bytes, Some(2 * 2 * 2 * 700 * 3 * 128));
    assert_eq!(Buffer::Y.projection_workspace_bytes(&STREAM, 2), None);
}

#[test]
fn every_field_has_a_value() {
    let whole = Projection { bias: true, partials: true, summed: Summed::Both, ..sparse() };
    for (room, projection) in
        [(Room::GemmQ, all_of_q()), (Room::GemmO, whole), (Room::GemmO, Projection { differences: true, ..sparse() })]
    {
        let kernel = kernel(room, projection);
        let weights = vec![vec![1.0, -1.0, 0.5]; 2];
        let numbers = ProjectionNumbers { eps: 0.5, coefficients: &[2.0, 3.0], weights: &weights };
        let arguments = kernel.projection_arguments(&STREAM, &numbers);
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
