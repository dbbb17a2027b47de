//! The contract that scripts rely on, form by form: JSON fields, exit statuses, and numbers that are the oracle's.

mod common;

use std::path::Path;

use common::{File, failure, json, read_f32, read_u8, sparsym, success};
use sparsym::device;
use sparsym::ir::{AttentionCall, Bindings, Bound, DType, Moment, Problem, SymbolsCall, Tensor};
use tempfile::tempdir;

/// Forms that need no GPU, and the fields that their JSON must have. The demo has a test of its own.
const FIELDS: &[(&[&str], &[&str])] = &[
    (&["list"], &["strategies"]),
    (
        &["explain", "window", "--set", "reach=100", "--tokens", "512", "--heads", "2", "--png", "symbols.png"],
        &["rules", "ir", "density_c", "density_s", "files", "predicted"],
    ),
    (&["explain", "sliding_tile", "--text", "64", "--grid", "6,16,16"], &["rules", "ir", "predicted"]),
    (&["emit", "causal", "--room", "attention", "--target", "sm_80"], &["name", "source", "launches", "params"]),
    (
        &["emit", "dense", "--room", "attention", "--target", "sm_90a", "--dtype", "f16", "--head-dim", "64"],
        &["source"],
    ),
    (&["emit", "window", "--room", "symbols", "--target", "sm_80"], &["source"]),
    (&["emit", "flash_omni", "--room", "gemm_q", "--target", "sm_80"], &["name", "source", "launches", "params"]),
    (&["emit", "dense", "--room", "gemm_o", "--target", "sm_90a", "--dtype", "f16"], &["source"]),
    (
        &["run", "attention", "--device", "cpu", "--input", "in.safetensors", "--output", "out.safetensors"],
        &["device", "ms", "density_c", "density_s"],
    ),
    (
        &[
            "run",
            "symbols",
            "--device",
            "reference",
            "--strategy",
            "fora",
            "--input",
            "in.safetensors",
            "--output",
            "symbols.safetensors",
            "--set",
            "step=1",
            "--set",
            "steps=9",
        ],
        &["device", "ms", "density_c", "density_s"],
    ),
    (&["doctor"], &["driver", "nvrtc", "cache", "devices"]),
    (&["cache", "stats"], &["folder", "entries", "bytes"]),
    (&["cache", "verify"], &["good", "corrupt"]),
    (&["cache", "clear"], &["removed"]),
];

/// Commands that must fail, and their exit status: 2 usage or strategy, 3 data, 4 device or compiler. Status 5, a
/// kernel that the emulator stopped, has tests of its own.
const FAILURES: &[(&[&str], i32)] = &[
    (&["fly"], 2),
    (&["emit", "window", "--room", "attention"], 2),
    (&["emit", "window", "--room", "kitchen", "--target", "sm_80"], 2),
    (&["emit", "window", "--room", "attention", "--target", "sm_1"], 2),
    (&["emit", "window", "--room", "attention", "--target", "sm_80", "--head-dim", "65"], 2),
    (&["emit", "windw", "--room", "attention", "--target", "sm_80"], 2),
    (&["explain", "wrong.strategy"], 2),
    (&["explain", "window", "--set", "reach=-1"], 2),
    (&["explain", "window", "--set", "reech=1"], 2),
    (&["run", "attention", "--device", "abacus", "--input", "in.safetensors", "--output", "out.safetensors"], 2),
    (&["run", "attention", "--device", "cpu", "--input", "none.safetensors", "--output", "out.safetensors"], 3),
    (&["run", "attention", "--device", "cpu", "--input", "wrong.strategy", "--output", "out.safetensors"], 3),
    (&["run", "attention", "--device", "cpu", "--input", "in.safetensors", "--output", "no/such/folder/out"], 3),
    (&["demo", "--photo", "wrong.strategy"], 3),
    // The file's tensors are F32, which no kernel takes.
    (&["run", "attention", "--device", "emulator", "--input", "in.safetensors", "--output", "out.safetensors"], 3),
];

#[test]
fn json_is_one_object_with_the_promised_fields() {
    let folder = tempdir().unwrap();
    File::attention(64, 2, 1, 16).write(folder.path());
    for (args, fields) in FIELDS {
        let found = json(folder.path(), args);
        for field in *fields {
            assert!(found.get(field).is_some_and(|value| !value.is_null()), "{args:?} gives no {field}: {found}");
        }
    }
    assert!(folder.path().join("symbols.png").is_file(), "explain --png wrote nothing");
}

#[test]
fn compile_reports_a_kernel_without_spills() {
    let folder = tempdir().unwrap();
    for (strategy, room) in [("window", "attention"), ("flash_omni", "gemm_q"), ("flash_omni", "gemm_o")] {
        let args = ["compile", strategy, "--room", room, "--target", "sm_90a", "--head-dim", "128"];
        let first = json(folder.path(), &args);
        for field in ["shared_bytes", "cubin_bytes", "ptx_bytes", "registers"] {
            assert!(first[field].as_u64().is_some_and(|bytes| bytes > 0), "{field} of {room} is {}", first[field]);
        }
        for field in ["spill_stores", "spill_loads", "stack"] {
            assert_eq!(first[field], 0, "{field} of {room}");
        }
        assert!(first["compile_ms"].is_number() && first["log"].is_string());
        assert_eq!(first["cache"], "miss", "{room}");
        assert_eq!(json(folder.path(), &args)["cache"], "hit", "{room}");
    }
}

#[cfg(unix)]
#[test]
fn a_cache_that_others_may_write_is_not_used_and_said_once() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempdir().unwrap();
    let args = ["compile", "dense", "--room", "attention", "--target", "sm_80", "--head-dim", "64", "--json"];
    let outcome = |mode: u32| {
        let cache = folder.path().join("cache");
        std::fs::create_dir_all(&cache).unwrap();
        std::fs::set_permissions(&cache, PermissionsExt::from_mode(mode)).unwrap();
        let done = sparsym(folder.path(), &args).output().unwrap();
        let found: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
        (found["cache"].as_str().unwrap().to_owned(), String::from_utf8(done.stderr).unwrap())
    };
    assert_eq!(outcome(0o700), ("miss".to_owned(), String::new()));
    assert_eq!(outcome(0o700), ("hit".to_owned(), String::new()));
    let (found, said) = outcome(0o777);
    assert_eq!(found, "miss");
    assert_eq!(said.matches("warning: ").count(), 1, "{said}");
    assert!(said.contains("mode 777") && said.contains("chmod go-w"), "{said}");
    assert!(success(folder.path(), &["cache"]).contains("not used"));
    assert_eq!(outcome(0o700).0, "hit");
    // A link in the place of an entry is one nowhere: not when it is loaded, and not for stats and verify.
    let cache = folder.path().join("cache");
    let entry = std::fs::read_dir(&cache).unwrap().next().unwrap().unwrap().path();
    std::fs::rename(&entry, folder.path().join("elsewhere")).unwrap();
    std::os::unix::fs::symlink(folder.path().join("elsewhere"), &entry).unwrap();
    assert_eq!(json(folder.path(), &["cache", "stats"])["entries"], 0);
    assert_eq!(json(folder.path(), &["cache", "verify"])["good"], 0);
    let (found, said) = outcome(0o700);
    assert!(found == "miss" && said.contains("is a link"), "{found}: {said}");
    assert_eq!(outcome(0o700).0, "hit");
}

#[test]
fn failures_have_a_status_a_message_and_no_output() {
    let folder = tempdir().unwrap();
    File::attention(64, 2, 1, 16).write(folder.path());
    std::fs::write(folder.path().join("wrong.strategy"), "pub Wrong { mask q, kv => q.pos <= nothing; }").unwrap();
    for (args, status) in FAILURES {
        for json in [&[][..], &["--json"][..]] {
            let message = failure(folder.path(), &[args, json].concat(), *status);
            assert!(!message.trim().is_empty(), "{args:?} fails without a word");
        }
    }
    assert!(!folder.path().join("out.safetensors").exists(), "a failed run left an output");
}

#[test]
fn a_missing_compiler_is_status_4() {
    let folder = tempdir().unwrap();
    let output = sparsym(folder.path(), &["compile", "dense", "--room", "attention", "--target", "sm_80"])
        .env("SPARSYM_NVRTC", folder.path().join("no.so"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    assert!(!output.stderr.is_empty());
}

#[test]
fn attention_on_a_file_is_the_oracle_s() {
    let folder = tempdir().unwrap();
    let input = File::attention(100, 4, 2, 32).write(folder.path());
    let output = folder.path().join("out.safetensors");
    for strategy in ["dense", "window", "causal", "softcap"] {
        let args = ["run", "attention", "--device", "cpu", "--input", "in.safetensors", "--output", "out.safetensors"];
        json(folder.path(), &[&args[..], &["--strategy", strategy]].concat());
        let (o, lse) = oracle(strategy, &input);
        for (name, shape, truth) in [("o", vec![1, 100, 4, 32], o), ("lse", vec![1, 4, 100], lse)] {
            let (found_shape, found) = read_f32(&output, name);
            assert_eq!(found_shape, shape, "{name} of {strategy}");
            let largest = found.iter().zip(&truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 1e-5, "{name} of {strategy} is off by {largest}");
        }
    }
}

#[test]
fn symbols_on_a_file_are_the_oracle_s() {
    let folder = tempdir().unwrap();
    File::attention(100, 4, 2, 32).write(folder.path());
    let args = ["run", "symbols", "--device", "cpu", "--input", "in.safetensors", "--output", "out.safetensors"];
    json(folder.path(), &[&args[..], &["--strategy", "causal"]].concat());
    let (s_c_shape, s_c) = read_u8(&folder.path().join("out.safetensors"), "s_c");
    let (s_s_shape, s_s) = read_u8(&folder.path().join("out.safetensors"), "s_s");
    assert_eq!((s_c_shape, s_s_shape), (vec![1, 4, 7], vec![1, 4, 7, 7]));
    assert!(s_c.iter().all(|&bit| bit == 1));
    for (at, &bit) in s_s.iter().enumerate() {
        assert_eq!(bit == 1, at % 7 <= at / 7 % 7, "block pair ({}, {})", at / 7 % 7, at % 7);
    }
}

/// O and lse of the file's q, k and v, on the reference device without the command line.
fn oracle(strategy: &str, input: &Path) -> (Vec<f32>, Vec<f32>) {
    let strategy = &sparsym::zoo::find(strategy).unwrap().strategy;
    let tensor = |name: &str| {
        let (shape, values) = read_f32(input, name);
        Tensor::from_f32(&shape, DType::F32, &values)
    };
    let (q, k, v) = (tensor("q"), tensor("k"), tensor("v"));
    let mut problem = Problem::self_attention(q.shape[0], q.shape[1], q.shape[2], q.shape[3]);
    problem.kv_heads = k.shape[2];
    (problem.blocks.q, problem.blocks.kv) = (16, 16);
    let bindings = Bindings::defaults(strategy);
    let bound = Bound::new(strategy, &problem, &bindings).unwrap();
    let (device, moment) = (device::open("reference").unwrap(), Moment::default());
    let symbols = device.symbols(&SymbolsCall::without_data(&bound, moment)).unwrap();
    let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &v, symbols: &symbols, forecast: None };
    let output = device.attention(&call).unwrap();
    (output.o.to_f32(), output.lse)
}
