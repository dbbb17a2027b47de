//! `sparsym bench`: it runs what it times, counts what it did, and refuses what cannot be timed.

mod common;

use common::{failure, json, success};
use tempfile::tempdir;

const SMALL: [&str; 8] = ["--heads", "2", "--head-dim", "64", "--tokens", "512", "--seconds", "0"];

fn bench<'a>(room: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    [&["bench", room], &SMALL[..], more].concat()
}

#[test]
fn every_room_is_timed_on_the_cpu_and_on_the_emulator() {
    let folder = tempdir().unwrap();
    for device in ["cpu", "emulator"] {
        let rounds = if device == "emulator" { "1" } else { "3" };
        for (room, more) in [
            ("attention", &["--kv-heads", "1", "--strategy", "causal"][..]),
            ("symbols", &["--strategy", "flash_omni", "--text", "128", "--set", "step=40"]),
            ("gemm_q", &["--parts", "bias,norm,rope", "--cached", "0.5"]),
            ("gemm_o", &["--width", "128", "--cached", "0.5"]),
            ("gemm_o", &["--cached", "0.5", "--update"]),
        ] {
            let args = bench(room, &[more, &["--device", device, "--rounds", rounds, "--rotate", "0"]].concat());
            let found = json(folder.path(), &args);
            assert_eq!((found["room"].as_str(), found["machine"]["device"].as_str()), (Some(room), Some(device)));
            let row = &found["rows"][0];
            let ms = ["min", "median", "max"].map(|of| row["ms"][of].as_f64().unwrap());
            assert!(0.0 < ms[0] && ms[0] <= ms[1] && ms[1] <= ms[2], "{room} on {device}: {row}");
            assert!(row["samples"].as_u64() >= Some(1) && row["bytes"].as_f64() > Some(0.0), "{row}");
            let density = row["density"].as_f64().unwrap();
            assert!(0.0 < density && density <= 1.0, "{row}");
            match room {
                "symbols" => assert!(row["tflops"].is_null(), "{row}"),
                _ => {
                    let (done, dense) = (row["tflops"].as_f64().unwrap(), row["dense_tflops"].as_f64().unwrap());
                    assert!((done / dense - density).abs() < 1e-9 && done > 0.0, "{row}");
                }
            }
            assert!(!found["machine"]["date"].as_str().unwrap().is_empty());
            assert_eq!(found["machine"]["compiler"].is_string(), device == "emulator");
        }
    }
}

#[test]
fn an_update_does_the_dense_work() {
    let folder = tempdir().unwrap();
    let density = |more: &[&str]| json(folder.path(), &bench("gemm_o", more))["rows"][0]["density"].as_f64().unwrap();
    assert_eq!(density(&["--cached", "0.5", "--update"]), 1.0);
    assert!(density(&["--cached", "0.5"]) < 1.0);
}

#[test]
fn kernels_make_symbols_from_block_means() {
    let folder = tempdir().unwrap();
    let more = ["--strategy", "flash_omni", "--text", "128", "--device", "emulator", "--rounds", "1", "--rotate", "0"];
    let from_data = json(folder.path(), &bench("symbols", &more));
    let from_means = json(folder.path(), &bench("symbols", &[&more[..], &["--means"]].concat()));
    let bytes = |found: &serde_json::Value| found["rows"][0]["bytes"].as_f64().unwrap();
    assert!(bytes(&from_means) < bytes(&from_data), "Q and K are not read");
}

#[test]
fn work_is_counted_by_what_is_drawn_and_time_is_over_that_of_the_dense_row() {
    let folder = tempdir().unwrap();
    let shares = ["--sparsity", "0,0.75", "--block-q", "16", "--block-kv", "16"];
    let found = json(folder.path(), &bench("attention", &shares));
    let rows = found["rows"].as_array().unwrap();
    assert_eq!(rows.len(), 2);
    assert_eq!((rows[0]["density"].as_f64(), rows[0]["of_dense"].as_f64()), (Some(1.0), Some(1.0)));
    // 4 · D · N² · H operations.
    assert_eq!(rows[0]["flops"].as_f64(), Some(4.0 * 64.0 * 512.0 * 512.0 * 2.0));
    let density = rows[1]["density"].as_f64().unwrap();
    assert!((0.2..0.3).contains(&density), "{density}");
    assert_eq!(rows[1]["density_s"].as_f64(), Some(density));
    assert!(rows[1]["of_dense"].as_f64().unwrap() > 0.0);
    // Half of the 2·N·C·H·D operations of a projection.
    let found = json(folder.path(), &bench("gemm_q", &["--cached", "0.5", "--block-q", "16", "--width", "256"]));
    let (flops, density) = (found["rows"][0]["flops"].as_f64().unwrap(), found["rows"][0]["density"].as_f64().unwrap());
    assert!((flops - 2.0 * 512.0 * 256.0 * 128.0 * density).abs() < 1.0 && (0.3..0.7).contains(&density), "{found}");
    let table = success(folder.path(), &bench("attention", &["--sparsity", "0,0.5"]));
    assert!(table.contains("time(s)/time(0)") && table.contains("0.50"), "{table}");
}

#[test]
fn both_orders_of_tiles_are_timed_side_by_side() {
    let folder = tempdir().unwrap();
    let orders = ["--device", "emulator", "--rounds", "1", "--rotate", "0", "--sparsity", "0,0.5", "--order"];
    let found = json(folder.path(), &bench("attention", &[&orders[..], &["grid,heaviest-first"]].concat()));
    let rows: Vec<_> = found["rows"].as_array().unwrap().iter().collect();
    let of = |n: usize| (rows[n]["order"].as_str(), rows[n]["sparsity"].as_f64());
    let [grid, listed] = ["grid", "heaviest-first"].map(Some);
    assert_eq!(rows.len(), 4);
    assert_eq!(
        [of(0), of(1), of(2), of(3)],
        [(grid, 0.0), (grid, 0.5), (listed, 0.0), (listed, 0.5)].map(|(o, s)| (o, Some(s)))
    );
    assert_eq!(rows[1]["density"], rows[3]["density"], "both orders have the same symbols");
    assert!(json(folder.path(), &bench("attention", &[]))["rows"][0]["order"].is_null());
}

#[test]
fn what_cannot_be_timed_is_bad_usage() {
    let folder = tempdir().unwrap();
    for (args, words) in [
        (&["bench", "kitchen"][..], "rooms are"),
        (&["bench", "attention", "--device", "abacus"], "abacus"),
        (&["bench", "attention", "--strategy", "windw"], "did you mean window"),
        (&["bench", "symbols"], "no rules and no mask"),
        (&["bench", "attention", "--sparsity", "75"], "three quarters are 0.75"),
        (&["bench", "gemm_q", "--sparsity", "0.5"], "--cached"),
        (&["bench", "symbols", "--strategy", "window", "--cached", "0.5"], "S_c"),
        (&["bench", "gemm_o", "--parts", "bias"], "gemm_q"),
        (&["bench", "gemm_q", "--update"], "--update belongs to gemm_o"),
        (&["bench", "attention", "--means"], "--means belongs to symbols"),
        (&["bench", "symbols", "--strategy", "window", "--means"], "from block means"),
        (&["bench", "attention", "--tokens", "0"], "--tokens is 0"),
        (&["bench", "attention", "--order", "grid"], "the device cpu runs none"),
        (&["bench", "gemm_q", "--order", "grid"], "--order belongs to attention"),
        (&["bench", "attention", "--tokens", "99999999999999"], "stay below"),
        (&["bench", "attention", "--heads", "3", "--kv-heads", "2"], "multiple"),
        (&["bench", "attention", "--device", "emulator", "--head-dim", "40", "--tokens", "64"], "40"),
        (&["bench", "attention", "--device", "emulator", "--dtype", "f32", "--tokens", "64"], "f32"),
        (&["bench", "attention", "--strategy", "sliding_tile", "--tokens", "64"], "vision"),
    ] {
        let message = failure(folder.path(), args, 2);
        assert!(message.contains(words), "{args:?} said: {message}");
    }
}
