//! run attention and run symbols: the file contract, and what bad files are told.

mod common;

use common::{File, failure, json, read_f32, read_u8, sparsym};
use safetensors::tensor::Dtype;
use std::path::Path;
use tempfile::tempdir;

const RUN: [&str; 8] =
    ["run", "attention", "--device", "reference", "--input", "in.safetensors", "--output", "out.safetensors"];

fn run(folder: &Path, file: File, more: &[&str]) -> serde_json::Value {
    file.write(folder);
    json(folder, &[&RUN[..], more].concat())
}

fn refused(folder: &Path, file: File, more: &[&str], status: i32) -> String {
    file.write(folder);
    let message = failure(folder, &[&RUN[..], more].concat(), status);
    assert!(!folder.join("out.safetensors").exists(), "a failing run wrote its output");
    message
}

#[test]
fn dense_attention_has_the_shapes_of_the_contract() {
    let folder = tempdir().unwrap();
    let report = run(folder.path(), File::attention(40, 4, 2, 8), &[]);
    assert_eq!((&report["device"], &report["density_s"]), (&"reference".into(), &1.0.into()));
    assert!(report["ms"].as_f64().unwrap() >= 0.0);
    let out = folder.path().join("out.safetensors");
    assert_eq!(read_f32(&out, "o").0, [1, 40, 4, 8]);
    assert_eq!(read_f32(&out, "lse").0, [1, 4, 40]);
}

#[test]
fn devices_agree() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    run(folder.path(), File::attention(40, 4, 2, 8), &["--strategy", "causal"]);
    let expected = read_f32(&out, "o").1;
    json(
        folder.path(),
        &["run", "attention", "--input", "in.safetensors", "--output", "out.safetensors", "--strategy", "causal"],
    );
    let found = read_f32(&out, "o").1;
    assert!(expected.iter().zip(&found).all(|(a, b)| (a - b).abs() < 1e-5));
}

#[test]
fn a_causal_first_row_is_the_first_value() {
    let folder = tempdir().unwrap();
    let file = File::attention(33, 1, 1, 2).f32("v", &[1, 33, 1, 2], &(0..66).map(|n| n as f32).collect::<Vec<_>>());
    let report = run(folder.path(), file, &["--strategy", "causal"]);
    assert_eq!(report["density_s"], 6.0 / 9.0);
    assert_eq!(read_f32(&folder.path().join("out.safetensors"), "o").1[..2], [0.0, 1.0]);
}

#[test]
fn one_token_attends_to_itself() {
    let folder = tempdir().unwrap();
    let file = File::attention(1, 1, 1, 2).f32("v", &[1, 1, 1, 2], &[3.0, 4.0]);
    run(folder.path(), file, &[]);
    assert_eq!(read_f32(&folder.path().join("out.safetensors"), "o").1, [3.0, 4.0]);
}

#[test]
fn an_empty_sequence_is_refused() {
    let folder = tempdir().unwrap();
    let message = refused(folder.path(), File::attention(0, 2, 1, 8), &[], 3);
    assert!(message.contains("query length N is 0") && message.contains("key length N_kv is 0"), "{message}");
}

#[test]
fn explicit_symbols_are_obeyed_and_cached_rows_come_from_the_cache() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    let file = || File::attention(32, 1, 1, 4).u8("s_c", &[1, 1, 2], &[1, 0]).u8("s_s", &[1, 1, 2, 2], &[0, 0, 1, 1]);
    let report = run(folder.path(), file(), &[]);
    assert_eq!((&report["density_c"], &report["density_s"]), (&0.5.into(), &0.0.into()));
    assert!(read_f32(&out, "o").1.iter().all(|&value| value == 0.0), "skipped and cached rows are 0");
    assert!(read_f32(&out, "lse").1.iter().all(|&value| value == f32::NEG_INFINITY));
    run(folder.path(), file().f32("cache", &[1, 32, 1, 4], &[7.0; 128]), &[]);
    let o = read_f32(&out, "o").1;
    assert!(o[..64].iter().all(|&value| value == 0.0) && o[64..].iter().all(|&value| value == 7.0));
}

#[test]
fn explicit_symbols_stay_inside_the_mask() {
    let folder = tempdir().unwrap();
    let file = File::attention(32, 1, 1, 4).u8("s_s", &[1, 1, 2, 2], &[1, 1, 1, 1]);
    assert_eq!(run(folder.path(), file, &["--strategy", "causal"])["density_s"], 0.75);
}

#[test]
fn inputs_and_tables_come_from_the_file() {
    let folder = tempdir().unwrap();
    let documents: Vec<f32> = (0..32).map(|token| (token / 16) as f32).collect();
    let file = File::attention(32, 1, 1, 4).f32("inputs.document", &[1, 32], &documents);
    assert_eq!(run(folder.path(), file, &["--strategy", "document"])["density_s"], 0.5);

    let file = File::attention(6 * 8 * 8 * 4, 1, 1, 4)
        .f32("tables.window", &[1, 1, 1, 3], &[1.0, 1.0, 1.0])
        .meta("grid", "6,8,32")
        .meta("block_q", "384")
        .meta("block_kv", "384");
    assert_eq!(run(folder.path(), file, &["--strategy", "sliding_tile"])["density_s"], 0.25);
}

#[test]
fn symbols_of_a_strategy_are_written_as_bytes() {
    let folder = tempdir().unwrap();
    File::attention(32, 2, 1, 4).write(folder.path());
    let args = ["run", "symbols", "--strategy", "causal", "--input", "in.safetensors", "--output", "out.safetensors"];
    json(folder.path(), &args);
    let out = folder.path().join("out.safetensors");
    assert_eq!(read_u8(&out, "s_c"), (vec![1, 2, 2], vec![1; 4]));
    assert_eq!(read_u8(&out, "s_s"), (vec![1, 2, 2, 2], vec![1, 0, 1, 1, 1, 0, 1, 1]));
}

#[test]
fn shapes_and_types_that_do_not_fit_are_named() {
    let folder = tempdir().unwrap();
    let file = || File::attention(32, 4, 2, 8);
    for (file, words) in [
        (file().f32("q", &[32, 4, 8], &[0.0; 1024]), "q has rank 3, shape [32, 4, 8]; it must be [B, N, H, D]"),
        (File::attention(32, 4, 3, 8), "4 query heads are not a multiple of 3 kv heads"),
        (file().f32("v", &[1, 31, 2, 8], &[0.0; 496]), "v has shape [1, 31, 2, 8]"),
        (file().raw("k", Dtype::F16, &[1, 32, 2, 8], vec![0; 1024]), "k is f16 but q is f32"),
        (file().raw("q", Dtype::I32, &[1, 32, 4, 8], vec![0; 4096]), "q is I32; tensors are F32, F16 or BF16"),
        (file().u8("s_c", &[1, 4, 3], &[1; 12]), "s_c has shape [1, 4, 3]; this problem needs [B, H, T_q] = [1, 4, 2]"),
        (file().u8("s_s", &[1, 4, 2, 2], &[3; 16]), "s_s holds 3 at element 0; symbols hold 0 and 1 only"),
        (file().f32("s_c", &[1, 4, 2], &[1.0; 8]), "s_c is F32; symbols are U8"),
        (file().meta("block_q", "100"), "block_q is 100, which is not a positive multiple of 16"),
        (file().meta("block_q", "many"), "metadata block_q is \"many\""),
        (file().meta("scale", "nan"), "scale is NaN"),
        (file().meta("text", "33"), "metadata text is 33, more than the 32 tokens"),
        (file().meta("text", "2").meta("text_at", "middle"), "text_at is \"middle\"; it is front or back"),
        (file().meta("grid", "1,2"), "write three whole numbers T,H,W"),
        (file().meta("grid", "1,5,5"), "grid 1×5×5 of vision has 25 tokens, not 32"),
        (file().f32("cache", &[1, 32, 4, 4], &[0.0; 512]), "cache has shape [1, 32, 4, 4]"),
        (file().f32("inputs.document", &[1, 32], &[0.0; 32]), "inputs.document is not declared by dense"),
    ] {
        let message = refused(folder.path(), file, &[], 3);
        assert!(message.contains(words), "expected {words:?} in: {message}");
    }
}

#[test]
fn mistyped_metadata_is_an_error_and_other_tools_keys_are_a_note() {
    let folder = tempdir().unwrap();
    let file = || File::attention(32, 4, 2, 8);
    for (key, meant) in [("blockq", "block_q"), ("Grid", "grid"), ("text-at", "text_at"), ("layers", "layer")] {
        let message = refused(folder.path(), file().meta(key, "1"), &[], 3);
        assert!(message.contains(&format!("metadata {key} is nothing that is read")), "{message}");
        assert!(message.contains(&format!("did you mean {meant}?")), "{message}");
    }
    file().meta("format", "pt").meta("model", "x").write(folder.path());
    let output = sparsym(folder.path(), &RUN).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("note: in.safetensors has metadata that is not read: format, model"), "{said}");
}

#[test]
fn step_and_layer_of_the_metadata_are_those_of_the_rules() {
    let folder = tempdir().unwrap();
    let text = "pub Late { skip q, kv where step >= 4 && layer == 1 && kv.block == 1; }";
    std::fs::write(folder.path().join("late.strategy"), text).unwrap();
    let file = || File::attention(32, 1, 1, 8).meta("steps", "8").meta("layer", "1");
    let density = |file: File, more: &[&str]| {
        run(folder.path(), file, &[&["--strategy", "late.strategy"], more].concat())["density_s"].as_f64().unwrap()
    };
    assert_eq!(density(file().meta("step", "3"), &[]), 1.0);
    assert_eq!(density(file().meta("step", "4"), &[]), 0.5);
    // The command line has the last word.
    assert_eq!(density(file().meta("step", "4"), &["--set", "step=0"]), 1.0);
    std::fs::remove_file(folder.path().join("out.safetensors")).unwrap();
    let message = refused(folder.path(), file().meta("step", "soon"), &["--strategy", "late.strategy"], 3);
    assert!(message.contains("metadata step is \"soon\""), "{message}");
}

#[test]
fn what_no_kernel_takes_is_a_matter_of_the_file() {
    let folder = tempdir().unwrap();
    let refused = |file: File, code: &str| {
        file.write(folder.path());
        let args =
            ["run", "attention", "--device", "emulator", "--input", "in.safetensors", "--output", "out.safetensors"];
        let message = failure(folder.path(), &args, 3);
        assert!(message.contains(code), "{message}");
    };
    refused(File::attention(32, 2, 2, 64), "[S604]");
    refused(File::attention(32, 2, 2, 72).for_kernels(), "[S603]");
    refused(File::attention(32, 2, 2, 64).for_kernels().meta("block_q", "48"), "[S602]");
}

#[test]
fn files_that_are_none_are_named() {
    let folder = tempdir().unwrap();
    let message = failure(folder.path(), &RUN, 3);
    assert!(message.contains("input in.safetensors cannot be read"), "{message}");
    std::fs::write(folder.path().join("in.safetensors"), "not a tensor in sight").unwrap();
    let message = failure(folder.path(), &RUN, 3);
    assert!(message.contains("is not a safetensors file"), "{message}");
    let message = refused(folder.path(), File::default().f32("q", &[1, 1, 1, 1], &[0.0]), &[], 3);
    assert!(message.contains("there is no tensor k; the file has q"), "{message}");
}

#[test]
fn an_output_that_cannot_be_written_leaves_nothing() {
    let folder = tempdir().unwrap();
    File::attention(16, 1, 1, 4).write(folder.path());
    let args = ["run", "attention", "--input", "in.safetensors", "--output", "no/such/folder/out.safetensors"];
    assert!(failure(folder.path(), &args, 3).contains("no/such/folder/out.safetensors cannot be written"));
    std::fs::create_dir(folder.path().join("taken")).unwrap();
    let args = ["run", "attention", "--input", "in.safetensors", "--output", "taken"];
    assert!(failure(folder.path(), &args, 3).contains("taken is a folder"));
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "no temporary file is left");
}

#[test]
fn devices_that_are_not_here_are_named() {
    let folder = tempdir().unwrap();
    File::attention(16, 1, 1, 4).write(folder.path());
    let run = |device: &'static str| {
        ["run", "attention", "--device", device, "--input", "in.safetensors", "--output", "out.safetensors"]
    };
    assert!(failure(folder.path(), &run("abacus"), 2).contains("there is no device \"abacus\""));
    if common::json(folder.path(), &["doctor"])["default_device"] == "cpu" {
        failure(folder.path(), &run("cuda"), 4);
    }
}

#[test]
fn missing_values_are_named() {
    let folder = tempdir().unwrap();
    let message = refused(folder.path(), File::attention(16, 1, 1, 4), &["--strategy", "document"], 2);
    assert!(message.contains("input document has no values"), "{message}");
    let message = refused(folder.path(), File::attention(16, 1, 1, 4), &["--set", "step=50"], 2);
    assert!(message.contains("step 50 is beyond the 50 steps"), "{message}");
}

/// FX1 of the catalogue of strategies, as it stands there: blocks of two tokens of four channels.
fn flash_omni_fixture() -> File {
    const Q: [[i32; 48]; 2] = [
        [
            1, -2, -1, -2, 3, -3, -3, 0, 2, 0, 3, 2, 3, 3, -1, -1, 0, -1, -2, 1, -3, 3, 2, 1, -1, 2, -1, 3, 0, -2, 1,
            1, 3, 3, 0, 2, 1, -2, 1, 0, -3, 3, 3, 2, 1, -3, 0, -3,
        ],
        [
            2, 2, -2, 2, -3, -3, 0, -3, 1, 0, -2, -1, 0, -3, 2, 0, 1, 2, -2, -3, 3, 0, -3, -2, -1, -1, -2, -2, -2, -1,
            1, -2, 1, 1, 1, 1, 3, -1, -1, 0, -1, -3, 2, -1, 0, 2, 0, 0,
        ],
    ];
    const K: [[i32; 48]; 2] = [
        [
            -3, 2, 0, 1, -1, -3, 0, 1, -2, -3, -1, -2, -3, -3, 1, 1, -3, 0, 0, 3, 1, 3, -1, -3, -2, 0, -1, -3, 1, 3,
            -3, 2, -3, -2, -3, 1, 1, -2, 3, -2, -3, -3, -1, -1, -1, 3, -2, 2,
        ],
        [
            2, 3, 1, 3, 2, 3, 3, 3, 1, 2, -2, 0, -1, -3, 0, 1, -2, 3, -1, 0, 0, 0, 0, -2, -3, 2, 3, 1, 2, 1, 1, -2, 2,
            -1, 0, 1, 2, 3, -1, 1, -1, 0, 3, 2, 3, 1, -2, -2,
        ],
    ];
    let tensor = |of: &[[i32; 48]; 2]| {
        let at = |n: usize| of[n / 4 % 2][n / 8 * 4 + n % 4] as f32;
        (0..96).map(at).collect::<Vec<f32>>()
    };
    File::default()
        .f32("q", &[1, 12, 2, 4], &tensor(&Q))
        .f32("k", &[1, 12, 2, 4], &tensor(&K))
        .meta("block_q", "2")
        .meta("block_kv", "2")
        .meta("text", "4")
        .meta("text_at", "front")
}

const FLASH_OMNI: [&str; 12] = [
    "run",
    "symbols",
    "--strategy",
    "flash_omni",
    "--input",
    "in.safetensors",
    "--output",
    "out.safetensors",
    "--set",
    "step=40",
    "--set",
    "steps=50",
];

#[test]
fn symbols_from_data_are_those_of_the_fixture() {
    let folder = tempdir().unwrap();
    flash_omni_fixture().write(folder.path());
    for device in ["reference", "cpu"] {
        let report = json(folder.path(), &[&FLASH_OMNI[..], &["--device", device]].concat());
        assert_eq!(report["density_c"], 0.75);
        let out = folder.path().join("out.safetensors");
        assert_eq!(read_u8(&out, "s_c"), (vec![1, 2, 6], vec![1, 1, 1, 1, 0, 1, 1, 1, 0, 0, 1, 1]), "{device}");
        let (shape, s_s) = read_u8(&out, "s_s");
        assert_eq!(shape, [1, 2, 6, 6]);
        assert_eq!(s_s[..12], [0, 1, 0, 1, 1, 0, 1, 0, 1, 1, 0, 0], "{device}");
    }
}

#[test]
fn thresholds_out_of_range_are_refused() {
    let folder = tempdir().unwrap();
    flash_omni_fixture().write(folder.path());
    for value in ["nan", "1.5", "-0.1", "inf"] {
        let set = format!("tau_q={value}");
        let message = failure(folder.path(), &[&FLASH_OMNI[..], &["--set", &set]].concat(), 2);
        assert!(message.contains("tau_q") && message.contains("0.0..=1.0"), "{message}");
    }
}

#[test]
fn shapes_that_rules_over_data_cannot_have_are_refused() {
    let folder = tempdir().unwrap();
    let symbols = |strategy: &'static str| {
        ["run", "symbols", "--strategy", strategy, "--input", "in.safetensors", "--output", "o"]
    };
    File::attention(64, 1, 1, 8).write(folder.path());
    let message = failure(folder.path(), &[&symbols("xattention")[..], &["--set", "stride=5"]].concat(), 3);
    assert!(message.contains("a stride of 5 does not divide blocks of 16 and 16 tokens"), "{message}");
    flash_omni_fixture().meta("block_kv", "4").write(folder.path());
    let message = failure(folder.path(), &symbols("flash_omni"), 3);
    assert!(message.contains("`kv in q` with block_q 2 and block_kv 4"), "{message}");
    flash_omni_fixture().meta("grid", "1,3,3").write(folder.path());
    let message = failure(folder.path(), &symbols("flash_omni"), 3);
    assert!(message.contains("grid 1×3×3 of vision has 9 tokens, not 8"), "{message}");
    std::fs::write(
        folder.path().join("named.strategy"),
        "pub Named { table method: [head] of { full, local }; blocks q = 16, kv = 16;
           skip q, kv where method == local && q.block != kv.block; }",
    )
    .unwrap();
    File::attention(64, 2, 2, 8).write(folder.path());
    let named = |value: &'static str| [&symbols("named.strategy")[..], &["--set", value]].concat();
    let report = json(folder.path(), &named("method=full;local"));
    assert_eq!(report["density_s"], (16.0 + 4.0) / 32.0);
    let message = failure(folder.path(), &named("method=full;locale"), 2);
    assert!(message.contains("\"locale\" is not") && message.contains("one of full, local"), "{message}");
    let message = failure(folder.path(), &named("method=2"), 3);
    assert!(message.contains("table method holds 2 at [0], which stands for none of its names"), "{message}");
}
