//! run gemm_q and run gemm_o: the file contract, and what bad files are told.

mod common;

use std::path::Path;

use common::{File, failure, json, read_f16, read_f32};
use half::f16;
use safetensors::tensor::Dtype;
use tempfile::tempdir;

const FILES: [&str; 4] = ["--input", "in.safetensors", "--output", "out.safetensors"];
const HOST: [&str; 2] = ["reference", "cpu"];

fn run(folder: &Path, room: &'static str, device: &'static str, file: File) -> serde_json::Value {
    file.write(folder);
    json(folder, &[&["run", room, "--device", device], &FILES[..]].concat())
}

/// What the output holds under this name, on each device of host memory.
fn outputs(room: &'static str, name: &str, file: impl Fn() -> File) -> [(Vec<usize>, Vec<f32>); 2] {
    HOST.map(|device| {
        let folder = tempdir().unwrap();
        run(folder.path(), room, device, file());
        read_f32(&folder.path().join("out.safetensors"), name)
    })
}

fn refused(room: &'static str, file: File) -> String {
    let folder = tempdir().unwrap();
    file.write(folder.path());
    let message = failure(folder.path(), &[&["run", room, "--device", "reference"], &FILES[..]].concat(), 3);
    assert!(!folder.path().join("out.safetensors").exists(), "a failing run wrote its output");
    message
}

/// Three tokens in two blocks; w makes head 0 a copy of x, and head 1 its double.
fn gemm_q() -> File {
    File::default()
        .f32("x", &[1, 3, 2], &[1., 2., 3., 4., 5., 6.])
        .f32("w", &[4, 2], &[1., 0., 0., 1., 2., 0., 0., 2.])
        .meta("head_dim", "2")
        .meta("block_q", "2")
}

/// One token, one head.
fn one_row(x: &[f32], w: &[f32], head_dim: usize) -> File {
    File::default()
        .f32("x", &[1, 1, x.len()], x)
        .f32("w", &[head_dim, x.len()], w)
        .meta("head_dim", &head_dim.to_string())
        .meta("block_q", "16")
}

/// Four tokens in two blocks: head 0 of token t is (t, 0), head 1 is (0, 10 t). w adds all channels, and doubles the sum.
fn gemm_o() -> File {
    File::default()
        .f32("o", &[1, 4, 2, 2], &[0., 0., 0., 0., 1., 0., 0., 10., 2., 0., 0., 20., 3., 0., 0., 30.])
        .f32("w", &[2, 4], &[1., 1., 1., 1., 2., 2., 2., 2.])
        .u8("s_c", &[1, 2, 2], &[0, 1, 1, 0])
        .meta("block_q", "2")
}

#[test]
fn reports_have_the_fields_of_the_contract() {
    let folder = tempdir().unwrap();
    for device in HOST {
        let q = run(folder.path(), "gemm_q", device, gemm_q().u8("s_c", &[1, 2, 2], &[1, 0, 0, 0]));
        let o = run(folder.path(), "gemm_o", device, gemm_o());
        let dense = run(folder.path(), "gemm_q", device, gemm_q());
        for (report, density_c) in [(q, 0.25), (o, 0.5), (dense, 1.0)] {
            assert_eq!((&report["device"], &report["density_c"]), (&device.into(), &density_c.into()));
            assert_eq!(report["density_s"], 1.0);
            assert!(report["ms"].as_f64().unwrap() >= 0.0 && report.get("stats").is_none(), "{report}");
        }
    }
}

#[test]
fn every_head_is_projected() {
    for output in outputs("gemm_q", "q", gemm_q) {
        assert_eq!(output, (vec![1, 3, 2, 2], vec![1., 2., 2., 4., 3., 4., 6., 8., 5., 6., 10., 12.]));
    }
}

#[test]
fn tiles_of_cached_blocks_are_0() {
    for (_, q) in outputs("gemm_q", "q", || gemm_q().u8("s_c", &[1, 2, 2], &[1, 0, 0, 1])) {
        assert_eq!(q, [1., 2., 0., 0., 3., 4., 0., 0., 0., 0., 10., 12.]);
    }
}

#[test]
fn bias_normalisation_and_rotation_follow_one_another() {
    let file = || one_row(&[1.0, 2.0], &[1.0, 1.0, 1.0, 1.5], 2).f32("bias", &[2], &[-2.0, 3.0]);
    for (_, q) in outputs("gemm_q", "q", file) {
        assert_eq!(q, [1.0, 7.0]);
    }
    // (1 + 49) / 2 = 25, the root of which is 5.
    let file = || file().f32("q_norm", &[2], &[10.0, 100.0]).meta("norm_eps", "0");
    let near = |q: &[f32], expected: [f32; 2]| q.iter().zip(expected).all(|(q, expected)| (q - expected).abs() < 1e-4);
    for (_, q) in outputs("gemm_q", "q", file) {
        assert!(near(&q, [2.0, 140.0]), "{q:?}");
    }
    let file = || file().f32("rope_cos", &[1, 1], &[0.0]).f32("rope_sin", &[1, 1], &[1.0]).meta("rope", "half");
    for (_, q) in outputs("gemm_q", "q", file) {
        assert!(near(&q, [-140.0, 2.0]), "{q:?}");
    }
    // eps counts: (1 + 49) / 2 + 11 = 36.
    for (_, q) in outputs("gemm_q", "q", || file().meta("norm_eps", "11")) {
        assert!(near(&q, [-700.0 / 6.0, 10.0 / 6.0]), "{q:?}");
    }
}

#[test]
fn tables_of_any_float_type_turn_the_pairs_that_the_metadata_name() {
    let halves = |values: [f32; 2]| values.into_iter().flat_map(|value| f16::from_f32(value).to_le_bytes()).collect();
    let file = || {
        one_row(&[1.0, 0.0], &[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0], 4)
            .raw("rope_cos", Dtype::F16, &[1, 2], halves([0.0, 2.0]))
            .f32("rope_sin", &[1, 2], &[1.0, 3.0])
    };
    for (name, expected) in [("interleaved", [-2.0, 1.0, -6.0, 17.0]), ("half", [-3.0, -8.0, 1.0, 14.0])] {
        for (_, q) in outputs("gemm_q", "q", || file().meta("rope", name)) {
            assert_eq!(q, expected, "{name}");
        }
    }
}

#[test]
fn results_have_the_type_of_the_activations() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    for device in HOST {
        run(folder.path(), "gemm_q", device, gemm_q().for_kernels().meta("block_q", "2"));
        assert_eq!(read_f16(&out, "q")[..4], [1., 2., 2., 4.]);
        run(folder.path(), "gemm_o", device, gemm_o().for_kernels().meta("block_q", "2"));
        assert_eq!(read_f16(&out, "y")[..4], [0., 0., 10., 20.]);
    }
}

#[test]
fn active_or_cached_heads_are_added_up() {
    for (shape, y) in outputs("gemm_o", "y", gemm_o) {
        assert_eq!((shape, y), (vec![1, 4, 2], vec![0., 0., 10., 20., 2., 4., 3., 6.]));
    }
    for (_, y) in outputs("gemm_o", "y", || gemm_o().meta("heads", "cached")) {
        assert_eq!(y, [0., 0., 1., 2., 20., 40., 30., 60.]);
    }
    for (_, y) in outputs("gemm_o", "y", || gemm_o().meta("heads", "active").u8("s_c", &[1, 2, 2], &[1; 4])) {
        assert_eq!(y, [0., 0., 11., 22., 22., 44., 33., 66.]);
    }
}

#[test]
fn a_partial_is_added_once_and_the_bias_too() {
    let partial: Vec<f32> = (0..8).map(|n| n as f32).collect();
    let file = || gemm_o().f32("partial", &[1, 4, 2], &partial).f32("bias", &[2], &[100.0, 200.0]);
    for (_, y) in outputs("gemm_o", "y", file) {
        assert_eq!(y, [100., 201., 112., 223., 106., 209., 109., 213.]);
    }
}

#[test]
fn the_partial_of_cached_heads_completes_the_active_ones() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    for device in HOST {
        run(folder.path(), "gemm_o", device, gemm_o().meta("heads", "cached"));
        let (shape, partial) = read_f32(&out, "y");
        run(folder.path(), "gemm_o", device, gemm_o().f32("partial", &shape, &partial));
        assert_eq!(read_f32(&out, "y").1, [0., 0., 11., 22., 22., 44., 33., 66.]);
    }
}

#[test]
fn o_of_heads_that_are_not_summed_is_never_read() {
    let mut o = [0., 0., 0., 0., 1., 0., 0., 10., 2., 0., 0., 20., 3., 0., 0., 30.];
    for at in [0, 1, 4, 5, 10, 11, 14, 15] {
        o[at] = f32::NAN;
    }
    for (_, y) in outputs("gemm_o", "y", || gemm_o().f32("o", &[1, 4, 2, 2], &o)) {
        assert_eq!(y, [0., 0., 10., 20., 2., 4., 3., 6.]);
    }
}

#[test]
fn no_tokens_are_refused() {
    for message in [
        refused("gemm_q", gemm_q().f32("x", &[1, 0, 2], &[])),
        refused("gemm_o", gemm_o().f32("o", &[1, 0, 2, 2], &[]).u8("s_c", &[1, 2, 0], &[])),
    ] {
        assert!(message.contains("length N is 0"), "{message}");
    }
}

#[test]
fn what_gemm_q_cannot_take_is_named() {
    let file = || gemm_q().u8("s_c", &[1, 2, 2], &[1; 4]);
    let rope = || file().f32("rope_cos", &[3, 1], &[1.0; 3]).f32("rope_sin", &[3, 1], &[0.0; 3]).meta("rope", "half");
    let norm = || file().f32("q_norm", &[2], &[1.0; 2]).meta("norm_eps", "1e-6");
    for (file, words) in [
        (file().without("x"), "there is no tensor x; the file has"),
        (file().without("w"), "there is no tensor w; the file has"),
        (file().without_meta("head_dim"), "there is no metadata head_dim, which says how many rows of w are a head"),
        (file().without_meta("block_q"), "there is no metadata block_q, which says how many tokens a decision of s_c"),
        (norm().without_meta("norm_eps"), "there is no metadata norm_eps, which q_norm needs"),
        (rope().without_meta("rope"), "there is no metadata rope, which says what channels rope_cos turns"),
        (rope().without("rope_sin"), "there is a tensor rope_cos, and no rope_sin"),
        (rope().without("rope_cos"), "there is a tensor rope_sin, and no rope_cos"),
        (file().meta("head_dim", "two"), "metadata head_dim is \"two\", which is not a number that fits"),
        (file().meta("head_dim", "0"), "w has 4 rows, which are no whole heads of 0"),
        (file().meta("head_dim", "3"), "w has 4 rows, which are no whole heads of 3"),
        (file().meta("block_q", "0"), "block_q is 0"),
        (file().meta("block_q", "-16"), "metadata block_q is \"-16\""),
        (norm().meta("norm_eps", "-1"), "norm_eps is -1"),
        (norm().meta("norm_eps", "nan"), "norm_eps is NaN"),
        (rope().meta("rope", "whole"), "metadata rope is \"whole\"; it is interleaved or half"),
        (file().f32("x", &[3, 2], &[0.0; 6]), "x has rank 2, shape [3, 2]; it must be [B, N, C]"),
        (file().f32("w", &[8], &[0.0; 8]), "w has rank 1, shape [8]; it must be [H·D, C]"),
        (file().f32("w", &[4, 3], &[0.0; 12]), "w has shape [4, 3]"),
        (file().f32("w", &[0, 2], &[]), "H is 0"),
        (file().f32("x", &[1 << 60, 4, 0], &[]), "C is 0"),
        (file().f32("bias", &[2], &[0.0; 2]), "bias has shape [2]"),
        (norm().f32("q_norm", &[4], &[0.0; 4]), "q_norm has shape [4]"),
        (rope().f32("rope_sin", &[3, 2], &[0.0; 6]), "rope_sin has shape [3, 2]"),
        (file().raw("x", Dtype::I32, &[1, 3, 2], vec![0; 24]), "x is I32; tensors are F32, F16 or BF16"),
        (file().raw("w", Dtype::F16, &[4, 2], vec![0; 16]), "w is f16 and must be f32"),
        (file().u8("s_c", &[1, 2, 3], &[1; 6]), "s_c has shape [1, 2, 3]; this problem needs [B, H, T_q] = [1, 2, 2]"),
        (file().u8("s_c", &[1, 2, 2], &[0, 1, 2, 1]), "s_c holds 2 at element 2; symbols hold 0 and 1 only"),
        (file().f32("s_c", &[1, 2, 2], &[1.0; 4]), "s_c is F32; symbols are U8"),
    ] {
        let message = refused("gemm_q", file);
        assert!(message.contains("input in.safetensors: ") && message.contains(words), "no {words:?} in: {message}");
    }
}

#[test]
fn what_gemm_o_cannot_take_is_named() {
    for (file, words) in [
        (gemm_o().without("o"), "there is no tensor o; the file has"),
        (gemm_o().without("w"), "there is no tensor w; the file has"),
        (gemm_o().without_meta("block_q"), "there is no metadata block_q"),
        (gemm_o().meta("block_q", "0"), "block_q is 0"),
        (gemm_o().without("s_c").meta("heads", "cached"), "heads is cached, and without a tensor s_c no head is"),
        (gemm_o().meta("heads", "some"), "metadata heads is \"some\"; it is active or cached"),
        (gemm_o().f32("o", &[4, 2, 2], &[0.0; 16]), "o has rank 3, shape [4, 2, 2]; it must be [B, N, H, D]"),
        (gemm_o().f32("o", &[1, 4, 2, 0], &[]), "D is 0"),
        (gemm_o().f32("w", &[2, 3], &[0.0; 6]), "w has shape [2, 3]"),
        (gemm_o().f32("bias", &[4], &[0.0; 4]), "bias has shape [4]"),
        (gemm_o().f32("partial", &[1, 4, 4], &[0.0; 16]), "partial has shape [1, 4, 4]"),
        (gemm_o().raw("w", Dtype::BF16, &[2, 4], vec![0; 16]), "w is bf16 and must be f32"),
        (gemm_o().raw("o", Dtype::F64, &[1, 4, 2, 2], vec![0; 128]), "o is F64; tensors are F32, F16 or BF16"),
        (gemm_o().u8("s_c", &[1, 2, 4], &[1; 8]), "s_c has shape [1, 2, 4]"),
        (gemm_o().u8("s_c", &[1, 2, 2], &[255; 4]), "s_c holds 255 at element 0"),
    ] {
        let message = refused("gemm_o", file);
        assert!(message.contains("input in.safetensors: ") && message.contains(words), "no {words:?} in: {message}");
    }
}

#[test]
fn usage_is_checked_before_files() {
    let folder = tempdir().unwrap();
    for room in ["gemm_q", "gemm_o"] {
        let run = |more: &[&'static str]| [&["run", room], &FILES[..], more].concat();
        assert!(failure(folder.path(), &run(&[]), 3).contains("input in.safetensors cannot be read"));
        assert!(failure(folder.path(), &run(&["--device", "abacus"]), 2).contains("there is no device \"abacus\""));
        let message = failure(folder.path(), &run(&["--device", "cpu", "--kernel", "edited.cu"]), 2);
        assert!(message.contains("the device cpu runs none"), "{message}");
        failure(folder.path(), &run(&["--strategy", "dense"]), 2);
    }
}
