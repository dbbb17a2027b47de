//! The main job: its contract, and photographs and folders that do not fit.

mod common;

use common::{failure, json};
use tempfile::tempdir;

#[test]
fn the_demo_denoises_and_sparse_strategies_come_close_to_dense() {
    let folder = tempdir().unwrap();
    let found = json(folder.path(), &["demo", "--out", "pictures", "--device", "cpu"]);
    let rows = found["rows"].as_array().unwrap();
    let number = |row: &serde_json::Value, key: &str| row[key].as_f64().unwrap();
    assert_eq!(rows[0]["strategy"], "dense");
    assert!(rows[0]["psnr_dense"].is_null());
    assert!(number(&rows[0], "psnr_clean") > found["noisy_psnr"].as_f64().unwrap() + 5.0);
    for row in &rows[1..] {
        let name = &row["strategy"];
        // Means of blocks say little of single patches, so rules over them lose more than rules over places.
        let pooled = ["flash_omni", "sparge", "top_k"].iter().any(|pooled| name == pooled);
        let least = if pooled { 30.0 } else { 40.0 };
        assert!(number(row, "psnr_dense") > least, "{name}: {} dB from dense", row["psnr_dense"]);
        assert!(number(row, "density_s") < 0.5, "{name} computes {}", row["density_s"]);
        for key in ["density_c", "ms", "speedup", "ssim_dense", "psnr_clean", "ssim_clean"] {
            assert!(number(row, key).is_finite(), "{name} has no {key}");
        }
    }
    let files = found["files"].as_array().unwrap();
    let strategies =
        ["dense", "window", "sliding_tile", "window_hold", "fora", "taylor_seer", "flash_omni", "sparge", "top_k"];
    let names: Vec<&str> = rows.iter().filter_map(|row| row["strategy"].as_str()).collect();
    assert_eq!(names, strategies);
    for name in strategies.into_iter().chain(["clean", "noisy", "window_symbols", "overview"]) {
        let path = format!("pictures/{name}.png");
        assert!(files.iter().any(|file| *file == path), "{path} is not listed");
        image::open(folder.path().join(&path)).unwrap();
    }
}

#[test]
fn a_photo_that_is_no_picture_is_refused() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("cat.png"), "meow").unwrap();
    let message = failure(folder.path(), &["demo", "--photo", "cat.png"], 3);
    assert!(message.contains("photo cat.png is not a PNG or JPEG picture"), "{message}");
    let message = failure(folder.path(), &["demo", "--photo", "dog.png"], 3);
    assert!(message.contains("photo dog.png cannot be read"), "{message}");
    image::RgbImage::new(3, 3).save(folder.path().join("tiny.png")).unwrap();
    let message = failure(folder.path(), &["demo", "--photo", "tiny.png"], 3);
    assert!(message.contains("photo is 3×3 pixels; give one of at least 16×16"), "{message}");
    assert!(!folder.path().join("demo-out").exists(), "a refused photo makes no folder");
}

#[test]
fn a_folder_that_cannot_be_written_is_refused_before_any_work() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("file"), "in the way").unwrap();
    let message = failure(folder.path(), &["demo", "--out", "file/pictures"], 3);
    assert!(message.contains("output folder file/pictures cannot be written"), "{message}");
}

#[test]
fn a_device_that_does_not_exist_is_refused() {
    let folder = tempdir().unwrap();
    assert!(failure(folder.path(), &["demo", "--device", "abacus"], 2).contains("there is no device \"abacus\""));
}
