//! `--device emulator`, `--target` and `--kernel`: generated kernels without a GPU, and texts that are wrong.

mod common;

use std::path::Path;

use common::{File, failure, json, read_f16, read_f32, read_u8, success};
use tempfile::tempdir;

const FILES: [&str; 4] = ["--input", "in.safetensors", "--output", "out.safetensors"];
const EMULATOR: [&str; 2] = ["--device", "emulator"];
/// The kernel that `run attention` takes for [`file`].
const KERNEL: [&str; 10] =
    ["--room", "attention", "--target", "sm_80", "--dtype", "f16", "--head-dim", "64", "--block-q", "128"];

fn file() -> File {
    File::attention(200, 2, 1, 64).for_kernels()
}

fn attention(more: &[&'static str]) -> Vec<&'static str> {
    [&["run", "attention"], &FILES[..], more].concat()
}

/// The generated text and its kernel's name.
fn emit(folder: &Path) -> (String, String) {
    let emitted = json(folder, &[&["emit", "dense"], &KERNEL[..], &["--block-kv", "128"]].concat());
    (emitted["source"].as_str().unwrap().to_owned(), emitted["name"].as_str().unwrap().to_owned())
}

/// Writes the text with `to` in place of the first `from`, and gives the line.
fn edit(folder: &Path, text: &str, from: &str, to: &str) -> usize {
    let line = text.lines().position(|line| line.contains(from)).expect("the text has what is edited") + 1;
    std::fs::write(folder.join("edited.cu"), text.replacen(from, to, 1)).unwrap();
    line
}

#[test]
fn kernels_of_every_target_agree_with_the_oracle_and_are_counted() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    file().write(folder.path());
    for strategy in ["dense", "causal"] {
        json(folder.path(), &attention(&["--device", "reference", "--strategy", strategy]));
        let (o, lse) = (read_f16(&out, "o"), read_f32(&out, "lse").1);
        for target in [&[][..], &["--target", "sm_90a"], &["--target", "sm_120"]] {
            let report = json(folder.path(), &attention(&[&EMULATOR[..], &["--strategy", strategy], target].concat()));
            assert_eq!(report["device"], "emulator");
            for field in ["warp_instructions", "mma_flops", "global_bytes"] {
                assert!(report["stats"][field].as_u64().is_some_and(|count| count > 0), "{field} in {report}");
            }
            assert!(report["stats"]["bank_conflicts"].is_u64(), "{report}");
            for (name, found, truth) in [("o", read_f16(&out, "o"), &o), ("lse", read_f32(&out, "lse").1, &lse)] {
                let largest = found.iter().zip(truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
                assert!(largest < 2e-3, "{name} of {strategy} for {target:?} is off by {largest}");
            }
        }
    }
}

#[test]
fn symbols_kernels_agree_with_the_oracle_and_are_counted() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    file().write(folder.path());
    let run =
        |device: &'static str| [&["run", "symbols", "--strategy", "causal", "--device", device], &FILES[..]].concat();
    json(folder.path(), &run("reference"));
    let expected = (read_u8(&out, "s_c"), read_u8(&out, "s_s"));
    let report = json(folder.path(), &run("emulator"));
    assert_eq!((read_u8(&out, "s_c"), read_u8(&out, "s_s")), expected);
    assert!(report["stats"]["warp_instructions"].as_u64().is_some_and(|count| count > 0), "{report}");
}

#[test]
fn a_text_by_hand_runs_under_the_name_that_it_has() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    file().write(folder.path());
    let (text, name) = emit(folder.path());
    let (start, hash) = name.rsplit_once('_').unwrap();
    assert!(hash.len() == 8 && hash.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
    json(folder.path(), &attention(&EMULATOR));
    let expected = read_f16(&out, "o");
    // As edited before the text changed, and as somebody would shorten it.
    for other in [format!("{start}_00000000"), start.to_owned()] {
        std::fs::write(folder.path().join("edited.cu"), text.replace(&name, &other)).unwrap();
        json(folder.path(), &attention(&[&EMULATOR[..], &["--kernel", "edited.cu"]].concat()));
        assert_eq!(read_f16(&out, "o"), expected, "{other}");
    }
}

/// Files of both projections that kernels take: S_c of three heads and two blocks, one early end.
fn projections() -> [(&'static str, &'static str, File); 2] {
    let values = |n: usize, phase: f32| (0..n).map(|i| (i as f32 * 0.7 + phase).sin() / 8.0).collect::<Vec<f32>>();
    let s_c = |file: File| file.for_kernels().u8("s_c", &[1, 3, 2], &[1, 0, 0, 1, 1, 1]);
    let gemm_q = File::default()
        .f32("x", &[1, 200, 72], &values(200 * 72, 0.0))
        .f32("w", &[192, 72], &values(192 * 72, 1.0))
        .f32("bias", &[192], &values(192, 2.0))
        .f32("q_norm", &[64], &[1.0; 64]);
    let tables = |file: File| {
        file.f32("rope_cos", &[200, 32], &values(6400, 3.0)).f32("rope_sin", &[200, 32], &values(6400, 4.0))
    };
    let gemm_q = tables(s_c(gemm_q)).meta("head_dim", "64").meta("norm_eps", "1e-6").meta("rope", "half");
    let gemm_o = File::default()
        .f32("o", &[1, 200, 3, 64], &values(200 * 192, 0.0))
        .f32("w", &[72, 192], &values(72 * 192, 1.0))
        .f32("bias", &[72], &values(72, 2.0))
        .f32("partial", &[1, 200, 72], &values(200 * 72, 3.0));
    [("gemm_q", "q", gemm_q), ("gemm_o", "y", s_c(gemm_o))]
}

#[test]
fn projections_agree_with_the_oracle_and_are_counted() {
    for (room, name, file) in projections() {
        let folder = tempdir().unwrap();
        let out = folder.path().join("out.safetensors");
        file.write(folder.path());
        let run = |device: &[&'static str]| json(folder.path(), &[&["run", room], &FILES[..], device].concat());
        run(&["--device", "reference"]);
        let truth = read_f16(&out, name);
        for target in [&[][..], &["--target", "sm_120"]] {
            let report = run(&[&EMULATOR[..], target].concat());
            assert_eq!((&report["density_c"], &report["density_s"]), (&(4.0 / 6.0).into(), &1.0.into()));
            for field in ["warp_instructions", "mma_flops", "global_bytes"] {
                assert!(report["stats"][field].as_u64().is_some_and(|count| count > 0), "{field} in {report}");
            }
            let largest = read_f16(&out, name).iter().zip(&truth).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
            assert!(largest < 2e-3, "{name} for {target:?} is off by {largest}");
        }
    }
}

#[test]
fn texts_of_projections_are_edited_by_hand() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    // What `emit` gives for a strategy that caches: the product alone, sparse.
    File::default()
        .f32("x", &[1, 130, 64], &[0.25; 130 * 64])
        .f32("w", &[64, 64], &[0.5; 64 * 64])
        .for_kernels()
        .u8("s_c", &[1, 1, 2], &[0, 1])
        .meta("head_dim", "64")
        .write(folder.path());
    let emitted = json(
        folder.path(),
        &["emit", "fora", "--room", "gemm_q", "--target", "sm_80", "--dtype", "f16", "--head-dim", "64"],
    );
    let text = emitted["source"].as_str().unwrap();
    let run = [&["run", "gemm_q", "--kernel", "edited.cu"], &FILES[..], &EMULATOR].concat();
    std::fs::write(folder.path().join("edited.cu"), format!("// edited by hand\n{text}")).unwrap();
    json(folder.path(), &run);
    let q = read_f16(&out, "q");
    assert!(q[..128 * 64].iter().all(|&q| q == 0.0) && q[128 * 64..].iter().all(|&q| q == 8.0));
    std::fs::remove_file(&out).unwrap();
    edit(folder.path(), text, "p.x + ", "p.x + (1 << 20) + ");
    let message = failure(folder.path(), &run, 5);
    assert!(message.contains("was stopped by the emulator") && message.contains("help: bound the index"), "{message}");
    assert!(!out.exists(), "a stopped kernel left an output");
}

#[test]
fn projections_in_f32_have_no_kernel() {
    let folder = tempdir().unwrap();
    File::default()
        .f32("x", &[1, 4, 64], &[0.0; 256])
        .f32("w", &[64, 64], &[0.0; 4096])
        .meta("head_dim", "64")
        .write(folder.path());
    let message = failure(folder.path(), &[&["run", "gemm_q"], &FILES[..], &EMULATOR].concat(), 3);
    assert!(message.contains("there are no f32 kernels"), "{message}");
}

#[test]
fn other_devices_count_nothing() {
    let folder = tempdir().unwrap();
    file().write(folder.path());
    assert!(json(folder.path(), &attention(&[])).get("stats").is_none());
}

#[test]
fn a_text_without_a_mistake_runs_as_the_generated_one_does() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    file().write(folder.path());
    json(folder.path(), &attention(&EMULATOR));
    let expected = std::fs::read(&out).unwrap();
    let (text, _) = emit(folder.path());
    std::fs::write(folder.path().join("edited.cu"), format!("// edited by hand\n{text}")).unwrap();
    json(folder.path(), &attention(&[&EMULATOR[..], &["--kernel", "edited.cu"]].concat()));
    assert_eq!(std::fs::read(&out).unwrap(), expected);
}

#[test]
fn a_broken_index_is_status_5_and_the_report_names_the_line() {
    let folder = tempdir().unwrap();
    file().write(folder.path());
    let (text, name) = emit(folder.path());
    let line = edit(folder.path(), &text, "p.q + ", "p.q + (1 << 20) + ");
    for json in [&[][..], &["--json"]] {
        let args = attention(&[&EMULATOR[..], &["--kernel", "edited.cu"], json].concat());
        let message = failure(folder.path(), &args, 5);
        for part in [
            format!("kernel {name} for sm_80 was stopped by the emulator"),
            format!("{name}.cu:{line}"),
            format!("> {line:>4} |"),
            "p.q + (1 << 20) + ".to_owned(),
        ] {
            assert!(message.contains(&part), "{part:?} is missing in:\n{message}");
        }
    }
    assert!(!folder.path().join("out.safetensors").exists(), "a stopped kernel left an output");
}

#[test]
fn texts_that_cannot_be_run_are_named() {
    let folder = tempdir().unwrap();
    file().write(folder.path());
    let with_text = |more: &[&'static str]| attention(&[&["--kernel", "edited.cu"], more].concat());
    let message = failure(folder.path(), &with_text(&EMULATOR), 3);
    assert!(message.contains("kernel text edited.cu cannot be read"), "{message}");
    let (text, name) = emit(folder.path());
    edit(folder.path(), &text, &name, "another_kernel");
    let message = failure(folder.path(), &with_text(&EMULATOR), 4);
    assert!(message.contains(&format!("no `extern \"C\" __global__` function {name}")), "{message}");
    let line = edit(folder.path(), &text, "p.q + ", "p.queries + ");
    let message = failure(folder.path(), &with_text(&EMULATOR), 4);
    assert!(message.contains(&format!("{name}.cu:{line}: error: class \"Params\" has no member")), "{message}");
    for device in ["cpu", "reference"] {
        let message = failure(folder.path(), &with_text(&["--device", device]), 2);
        assert!(message.contains(&format!("the device {device} runs none\nhelp: add --device emulator")), "{message}");
    }
}

#[test]
fn targets_that_make_no_sense_are_named() {
    let folder = tempdir().unwrap();
    file().write(folder.path());
    let message = failure(folder.path(), &attention(&[&EMULATOR[..], &["--target", "sm_1"]].concat()), 2);
    assert!(message.contains("target sm_1 is not known") && message.contains("sm_90a"), "{message}");
    for form in [attention(&["--device", "cpu", "--target", "sm_80"]), vec!["demo", "--target", "sm_80"]] {
        let message = failure(folder.path(), &form, 2);
        assert!(message.contains("--target chooses what the emulator runs, and the device is cpu"), "{message}");
    }
}

#[test]
fn the_doctor_says_what_the_emulator_needs() {
    let folder = tempdir().unwrap();
    let devices = json(folder.path(), &["doctor"])["devices"].clone();
    assert!(devices.as_array().unwrap().iter().any(|device| device == "emulator"), "{devices}");
    assert!(success(folder.path(), &["doctor"]).contains("emulator ready: it needs NVRTC, no driver and no GPU"));
}
