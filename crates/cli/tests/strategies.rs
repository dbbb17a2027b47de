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
fn explain_shows_a_step_that_the_strategy_is_about() {
    let folder = tempdir().unwrap();
    // Step 0 of flash_omni computes everything; the middle of the run does not.
    let small = ["--text", "256", "--grid", "4,32,32", "--heads", "2"];
    let found = json(folder.path(), &[&["explain", "flash_omni"], &small[..]].concat());
    assert_eq!((&found["step"], &found["step_kind"]), (&25.into(), &"dispatch".into()));
    assert_eq!(found["symbols_of_step"], 22);
    let density = |name: &str| found[name].as_f64().unwrap();
    assert!(density("density_c") < 1.0 && density("density_s") < density("density_s_run"), "{found}");
    assert_eq!(density("density_s_run"), found["predicted"]["work"].as_f64().unwrap());
    let steps = found["steps"].as_array().unwrap();
    assert_eq!(steps.len(), 50);
    assert_eq!((&steps[0]["kind"], &steps[0]["pairs"]), (&"update".into(), &1.0.into()));
    assert!(steps[48]["pairs"].as_f64().unwrap() < 0.5, "{}", steps[48]);
    // Of any other step on request.
    let asked = json(folder.path(), &[&["explain", "flash_omni", "--step", "0"], &small[..]].concat());
    assert_eq!((&asked["step"], &asked["density_s"]), (&0.into(), &1.0.into()));
    let set = json(folder.path(), &[&["explain", "flash_omni", "--set", "step=0"], &small[..]].concat());
    assert_eq!(set["density_s"], 1.0);
    let message = failure(folder.path(), &["explain", "flash_omni", "--step", "50"], 2);
    assert!(message.contains("step 50 is beyond the 50 steps of the run"), "{message}");
    // Dense steps are not what radial is about.
    let radial = json(folder.path(), &["explain", "radial", "--text", "0", "--grid", "8,16,16"]);
    assert_eq!(radial["predicted"]["dense"], 12);
    assert!(radial["step"].as_u64().unwrap() >= 12 && radial["density_s"].as_f64().unwrap() < 1.0, "{radial}");
}

#[test]
fn explain_says_of_what_a_density_is() {
    let folder = tempdir().unwrap();
    let text = success(folder.path(), &["explain", "fora", "--tokens", "1024", "--heads", "3"]);
    for words in [
        "Step 25 is a Dispatch",
        "density of S_c",
        "waste in tiles",
        "heads 0-2 alike",
        "Over the run: 50 steps, 17 Updates, 33 Dispatch, 0 dense",
        "UddUddUdd",
        "of block pairs of all steps",
    ] {
        assert!(text.contains(words), "{words:?} is missing:\n{text}");
    }
}

#[test]
fn heads_that_are_alike_are_drawn_once() {
    let folder = tempdir().unwrap();
    let picture = |heads: &str, strategy: &[&str]| {
        let args = ["--text", "0", "--grid", "1,64,64", "--heads", heads, "--png", "p.png"];
        let found = json(folder.path(), &[&["explain"], strategy, &args[..]].concat());
        let picture = image::open(folder.path().join("p.png")).unwrap();
        (found["heads_alike"].as_array().unwrap().len(), (picture.width(), picture.height()))
    };
    assert_eq!(picture("24", &["window"]), picture("1", &["window"]));
    let (kinds, _) = picture("24", &["top_k"]);
    assert_eq!(kinds, 4, "made-up heads are of four kinds");
}

#[test]
fn explain_refuses_what_is_too_large_with_numbers_that_fit() {
    let folder = tempdir().unwrap();
    let message = failure(folder.path(), &["explain", "window", "--tokens", "10000000", "--heads", "4"], 2);
    assert!(message.contains("million block pairs of all heads"), "{message}");
    let words = message.split("(about ").nth(1).unwrap();
    let fit = words.split(' ').next().unwrap();
    assert!((1_000_000..10_000_000).contains(&fit.parse::<usize>().unwrap()), "{message}");
    let message = failure(folder.path(), &["explain", "window", "--set", "steps=4000000000"], 2);
    assert!(message.contains("4000000000"), "{message}");
}

#[test]
fn what_flags_said_is_told_in_flags() {
    let folder = tempdir().unwrap();
    let message = failure(folder.path(), &["explain", "radial", "--tokens", "1024"], 2);
    assert!(message.contains("--grid T,H,W") && !message.contains("Problem::"), "{message}");
    let message = failure(folder.path(), &["explain", "sliding_tile", "--text", "64", "--grid", "33,45,80"], 2);
    assert!(message.contains("tiles of 6×8×8 do not divide a grid of 33×45×80"), "{message}");
    let text = "pub Mine { tokens words, picture; skip q, kv where q in words; }";
    std::fs::write(folder.path().join("mine.strategy"), text).unwrap();
    let message = failure(folder.path(), &["explain", "mine.strategy"], 2);
    assert!(
        message.contains("name the ranges words and picture; those of the command line are text and vision"),
        "{message}"
    );
}

#[test]
fn explain_says_what_of_a_mask_could_not_be_classified() {
    let folder = tempdir().unwrap();
    let text = "pub Odd { mask q, kv => (q.pos + kv.pos) * 64 % 64 == 1; }";
    std::fs::write(folder.path().join("odd.strategy"), text).unwrap();
    let notes = |strategy| json(folder.path(), &["explain", strategy, "--tokens", "1024"])["notes"].to_string();
    let found = notes("odd.strategy");
    assert!(found.contains("could not be classified") && found.contains("% 64"), "{found}");
    assert!(found.contains("to have it classified, "), "{found}");
    assert!(!notes("window").contains("classified"));
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
fn a_rule_that_is_commented_out_leaves_warnings_and_no_failure() {
    let folder = tempdir().unwrap();
    let text = "\
pub Mine {
    param reach: u32 = 0;
    param tau: f32 = 0.5;
    let s = pool(Q) . pool(K);
    mask q, kv => abs(q.pos - kv.pos) <= reach;
    // skip q, kv where ascending_mass(softmax(kv: s[q, kv])) <= tau;
}
";
    std::fs::write(folder.path().join("mine.strategy"), text).unwrap();
    let output = common::sparsym(folder.path(), &["explain", "mine.strategy", "--json"]).output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(said.contains("warning[S204]: param `tau` is declared but never read"), "{said}");
    assert!(said.contains("mine.strategy:3:5") && said.contains("map `s`"), "{said}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(found["warnings"].as_array().unwrap().len(), 2, "{}", found["warnings"]);
    // The other forms say it too, and go on.
    let emitted =
        common::sparsym(folder.path(), &["emit", "mine.strategy", "--room", "attention", "--target", "sm_80"]);
    let output = { emitted }.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(String::from_utf8(output.stderr).unwrap().contains("warning[S204]"));
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
    // The last line of the text is a command for a shell.
    let output = common::sparsym(folder.path(), &["doctor"]).env("SPARSYM_NVRTC", "nowhere").output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let last = text.lines().last().unwrap();
    assert!(last.starts_with("python3 -m pip install ") && last.contains("nvidia-cuda-nvrtc"), "{text}");
    assert_eq!(found["nvrtc"]["install"], last);
    let shell = std::process::Command::new("sh").args(["-n", "-c", last]).status().unwrap();
    assert!(shell.success(), "not a line for a shell: {last}");
}
