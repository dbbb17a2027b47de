//! list, explain, emit, compile: what they print, and what they say to a mistake.

mod common;

use common::{failure, json, success};
use tempfile::tempdir;

#[test]
fn list_names_every_strategy_with_params_and_ranges() {
    let folder = tempdir().unwrap();
    let text = success(folder.path(), &["list"]);
    for name in sparsym::zoo::all().iter().map(|entry| entry.name.as_str()) {
        assert!(text.lines().any(|line| line.starts_with(name)), "{name} is missing:\n{text}");
    }
    assert!(text.contains("reach = 1024 in 0..=2147483647"), "{text}");
    let listing = json(folder.path(), &["list"]);
    assert_eq!(listing["strategies"][1]["name"], "window");
    assert_eq!(listing["strategies"][1]["params"][0]["default"], 1024);
}

#[test]
fn explain_gives_rules_densities_and_a_picture() {
    let folder = tempdir().unwrap();
    let args = ["explain", "window", "--set", "reach=100", "--text", "128", "--grid", "1,16,32", "--heads", "2"];
    let found = json(folder.path(), &[&args[..], &["--png", "w.png"]].concat());
    assert_eq!(found["files"][0], "w.png");
    assert!(found["rules"][0].as_str().unwrap().contains("abs(q.pos - kv.pos) <= reach"), "{}", found["rules"]);
    assert!(found["ir"].as_str().unwrap().contains("pub Window {"));
    assert_eq!(found["density_c"], 1.0);
    // Five blocks of 128: the row and the column of text, and of the four vision blocks each with its neighbours.
    assert_eq!(found["density_s"], (5.0 + 4.0 + 10.0) / 25.0);
    assert!((found["predicted"]["work"].as_f64().unwrap() - 0.76).abs() < 1e-9);
    let picture = image::open(folder.path().join("w.png")).unwrap();
    assert!((900..=1100).contains(&picture.width()), "{} pixels wide", picture.width());
}

#[test]
fn explain_follows_the_schedule() {
    let folder = tempdir().unwrap();
    let found = json(folder.path(), &["explain", "fora", "--set", "steps=9", "--tokens", "512"]);
    assert_eq!(found["density_c"], 0.0);
    assert_eq!(found["predicted"]["updates"], 3);
    assert!((found["predicted"]["work"].as_f64().unwrap() - 1.0 / 3.0).abs() < 1e-12);
}

#[test]
fn explain_works_for_every_strategy_without_further_words() {
    let folder = tempdir().unwrap();
    for name in sparsym::zoo::all().iter().map(|entry| entry.name.as_str()) {
        let text = success(folder.path(), &["explain", name, "--png", "p.png"]);
        assert!(text.contains("Rules") && text.contains("density of S_s"), "{text}");
    }
}

#[test]
fn explain_reads_a_strategy_file() {
    let folder = tempdir().unwrap();
    std::fs::write(
        folder.path().join("mine.strategy"),
        "pub Mine {\n    param reach: u32 = 0;\n    mask q, kv => abs(q.pos - kv.pos) <= reach;\n}\n",
    )
    .unwrap();
    let found = json(folder.path(), &["explain", "mine.strategy", "--tokens", "256"]);
    assert_eq!(found["density_s"], 0.5);
}

#[test]
fn an_unknown_strategy_gets_the_nearest_name() {
    let folder = tempdir().unwrap();
    let message = failure(folder.path(), &["explain", "windw"], 2);
    assert!(message.contains("there is no strategy \"windw\""), "{message}");
    assert!(message.contains("did you mean window?"), "{message}");
}

#[test]
fn an_unknown_param_gets_the_nearest_name() {
    let folder = tempdir().unwrap();
    let message = failure(folder.path(), &["explain", "window", "--set", "reech=3"], 2);
    assert!(message.contains("window has no param, table or input reech"), "{message}");
    assert!(message.contains("did you mean reach?"), "{message}");
}

#[test]
fn params_out_of_range_and_of_the_wrong_type_are_named() {
    let folder = tempdir().unwrap();
    let message = failure(folder.path(), &["explain", "fora", "--set", "interval=0"], 2);
    assert!(message.contains("interval = 0 is outside 1..=2147483647"), "{message}");
    let message = failure(folder.path(), &["explain", "window", "--set", "reach=far"], 2);
    assert!(message.contains("\"far\" is no u32"), "{message}");
    let message = failure(folder.path(), &["explain", "window", "--set", "reach=-1"], 2);
    assert!(message.contains("reach = -1 is outside"), "{message}");
    let message = failure(folder.path(), &["explain", "sliding_tile", "--set", "window=3,3"], 2);
    assert!(message.contains("is not 3 number(s)"), "{message}");
    let message = failure(folder.path(), &["explain", "softcap", "--set", "cap=NaN"], 2);
    assert!(message.contains("cap = NaN is outside"), "{message}");
}

#[test]
fn a_strategy_file_with_ten_mistakes_shows_them_all_where_they_are() {
    let folder = tempdir().unwrap();
    let text = "\
pub Ten {
    param reach: u32 in 5..=2 = 3;
    param cap: f64 = 1.0;
    param reach: u32 = 4;
    tokens text, text;
    blocks q = 100, kv = 128;
    mask q, kv => q.pos + kv.pos;
    skip q, kv where q.pos < 3;
    keep q, kv where q in pictures;
    cache q where q.blok < 2 by hold;
    update when stepp == 3;
}
";
    std::fs::write(folder.path().join("ten.strategy"), text).unwrap();
    let message = failure(folder.path(), &["emit", "ten.strategy", "--room", "attention", "--target", "sm_80"], 2);
    let shown = message.matches("error[S").count();
    assert!(shown >= 10, "{shown} mistakes shown:\n{message}");
    for (line, words) in [(9, "pictures"), (10, "blok"), (11, "stepp")] {
        assert!(message.contains(&format!("ten.strategy:{line}:")), "line {line} is missing:\n{message}");
        assert!(message.contains(words), "{message}");
    }
    assert!(message.contains('^'), "{message}");
}

#[test]
fn emit_prints_cuda_and_nothing_else() {
    let folder = tempdir().unwrap();
    let args = ["emit", "window", "--room", "attention", "--target", "sm_80", "--head-dim", "64"];
    let text = success(folder.path(), &args);
    assert!(text.contains("__global__") && !text.contains("#include"), "{text}");
    let emitted = json(folder.path(), &args);
    assert_eq!(emitted["source"].as_str().unwrap().trim_end(), text.trim_end());
    assert_eq!(emitted["plan"]["head_dim"], 64);
}

#[test]
fn rooms_and_targets_that_do_not_exist_are_refused() {
    let folder = tempdir().unwrap();
    let emit = |room, target| failure(folder.path(), &["emit", "window", "--room", room, "--target", target], 2);
    assert!(emit("attention", "sm_42").contains("target sm_42 is not known"));
    assert!(emit("kitchen", "sm_80").contains("rooms are attention, symbols, gemm_q and gemm_o"));
    let message =
        failure(folder.path(), &["emit", "window", "--room", "attention", "--target", "sm_80", "--block-q", "100"], 2);
    assert!(message.contains("100"), "{message}");
    let fora = ["emit", "fora", "--room", "gemm_q", "--target", "sm_80", "--block-q", "48"];
    let message = failure(folder.path(), &fora, 2);
    assert!(message.contains("no projection obeys S_c of blocks of 48 tokens"), "{message}");
}

#[test]
fn compile_reports_what_nvrtc_says_or_that_there_is_none() {
    let folder = tempdir().unwrap();
    let args = ["compile", "window", "--room", "attention", "--target", "sm_90a", "--head-dim", "128"];
    let doctor = json(folder.path(), &["doctor"]);
    if doctor["nvrtc"]["found"].is_null() {
        let message = failure(folder.path(), &args, 4);
        assert!(message.contains("no libnvrtc was found"), "{message}");
        return;
    }
    let first = json(folder.path(), &args);
    assert_eq!((&first["spill_stores"], &first["spill_loads"]), (&0.into(), &0.into()));
    assert!(first["registers"].as_u64().unwrap() > 0);
    assert!(first["cubin_bytes"].as_u64().unwrap() > 0 && first["ptx_bytes"].as_u64().unwrap() > 0);
    assert_eq!(first["cache"], "miss");
    assert_eq!(json(folder.path(), &args)["cache"], "hit");
    assert_eq!(json(folder.path(), &["cache", "verify"])["good"], 1);
    assert_eq!(json(folder.path(), &["cache", "clear"])["removed"], 1);
}

#[test]
fn compile_without_a_compiler_lists_what_was_tried() {
    let folder = tempdir().unwrap();
    let output = common::sparsym(folder.path(), &["compile", "dense", "--room", "attention", "--target", "sm_80"])
        .env("SPARSYM_NVRTC", folder.path().join("nowhere"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(4));
    let message = String::from_utf8(output.stderr).unwrap();
    assert!(message.contains("nowhere") && message.contains("SPARSYM_NVRTC"), "{message}");
}

#[test]
fn doctor_needs_nothing() {
    let folder = tempdir().unwrap();
    let output = common::sparsym(folder.path(), &["doctor", "--json"])
        .env("SPARSYM_NVRTC", folder.path().join("nowhere"))
        .env_remove("HOME")
        .output()
        .unwrap();
    assert!(output.status.success());
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(found["nvrtc"]["found"].is_null());
    assert!(!found["nvrtc"]["tried"].as_array().unwrap().is_empty());
    assert_eq!(found["default_device"], "cpu");
    assert!(success(folder.path(), &["doctor"]).contains("devices"));
}
