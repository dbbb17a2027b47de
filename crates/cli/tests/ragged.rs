//! Packed batches in files, and what can be written beside the contract's outputs: S_f and margins.

mod common;

use std::path::Path;

use common::{File, failure, json, read_f32, read_u8};
use safetensors::tensor::Dtype;
use tempfile::tempdir;

const FILES: [&str; 4] = ["--input", "in.safetensors", "--output", "out.safetensors"];
const LENGTHS: [usize; 3] = [20, 0, 33];

fn run<'a>(room: &'a str, device: &'a str, more: &[&'a str]) -> Vec<&'a str> {
    ["run", room, "--device", device].into_iter().chain(FILES).chain(more.iter().copied()).collect()
}

fn indptr(file: File, name: &str, values: &[i32]) -> File {
    file.raw(name, Dtype::I32, &[values.len()], values.iter().flat_map(|value| value.to_le_bytes()).collect())
}

/// Three packed sequences, the second without tokens.
fn packed() -> File {
    let file = indptr(File::attention(53, 2, 1, 8), "q_indptr", &[0, 20, 20, 53]);
    indptr(file, "kv_indptr", &[0, 20, 20, 53])
}

fn values(file: &Path, name: &str) -> Vec<f32> {
    read_f32(file, name).1
}

#[test]
fn packed_sequences_give_what_each_gives_alone() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    for device in ["reference", "cpu"] {
        packed().write(folder.path());
        json(folder.path(), &run("attention", device, &["--strategy", "causal"]));
        let (o, lse) = (read_f32(&out, "o"), read_f32(&out, "lse"));
        assert_eq!((o.0, lse.0), (vec![1, 53, 2, 8], vec![2, 53]));
        let input = read_all(folder.path());
        let mut start = 0;
        for length in LENGTHS.into_iter().filter(|&length| length > 0) {
            let part = |name: &str, width: usize| input(name)[start * width..(start + length) * width].to_vec();
            let alone = File::attention(length, 2, 1, 8)
                .f32("q", &[1, length, 2, 8], &part("q", 16))
                .f32("k", &[1, length, 1, 8], &part("k", 8))
                .f32("v", &[1, length, 1, 8], &part("v", 8));
            alone.write(folder.path());
            json(folder.path(), &run("attention", device, &["--strategy", "causal"]));
            let near = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| (a - b).abs() < 1e-5);
            assert!(near(&values(&out, "o"), &o.1[start * 16..]), "o of {length} tokens on {device}");
            let rows = values(&out, "lse");
            for head in 0..2 {
                let packed = &lse.1[head * 53 + start..][..length];
                assert!(near(&rows[head * length..][..length], packed), "lse of {length} tokens on {device}");
            }
            start += length;
        }
    }
}

/// The tensors of the input as they were first written.
fn read_all(folder: &Path) -> impl Fn(&str) -> Vec<f32> + use<> {
    let path = folder.join("in.safetensors");
    let tensors = ["q", "k", "v"].map(|name| (name.to_owned(), read_f32(&path, name).1));
    move |name| tensors.iter().find(|(known, _)| known == name).unwrap().1.clone()
}

#[test]
fn packed_symbols_have_the_blocks_of_the_longest_sequence() {
    let folder = tempdir().unwrap();
    packed().write(folder.path());
    json(folder.path(), &run("symbols", "cpu", &["--strategy", "causal", "--full"]));
    let out = folder.path().join("out.safetensors");
    let (s_s, s_f) = (read_u8(&out, "s_s"), read_u8(&out, "s_f"));
    assert_eq!((&s_s.0, &s_f.0), (&vec![3, 2, 3, 3], &vec![3, 2, 3, 3]));
    assert_eq!(s_s.1[4 * 9..5 * 9], [1, 0, 0, 1, 1, 0, 1, 1, 1]);
    // The last block has one token, which sees itself.
    assert_eq!(s_f.1[4 * 9..5 * 9], [0, 0, 0, 1, 0, 0, 1, 1, 1]);
}

#[test]
fn index_pointers_that_fit_nothing_are_named_with_what_would_fit() {
    let folder = tempdir().unwrap();
    let refused = |file: File| {
        file.write(folder.path());
        failure(folder.path(), &run("attention", "cpu", &[]), 3)
    };
    let with = |q: &[i32]| indptr(packed(), "q_indptr", q);
    let cases = [
        (packed().without("kv_indptr"), "there is q_indptr but no kv_indptr"),
        (with(&[0, 20, 53]), "q_indptr has 3 entries and kv_indptr has 4"),
        (with(&[0, 20, 20, 52]), "q_indptr ends at 52, but q has 53 tokens"),
        (with(&[0, 20, 19, 53]), "q_indptr falls from 20 to 19 at entry 2"),
        (with(&[3, 20, 20, 53]), "q_indptr starts at 3"),
        (with(&[0, -1, 20, 53]), "q_indptr holds -1 at entry 1"),
        (with(&[53]), "q_indptr has shape [1]; it must be [B + 1]"),
        (packed().f32("q", &[53, 1, 2, 8], &[0.5; 848]), "q has shape [53, 1, 2, 8]; with q_indptr it must be [1,"),
        (packed().meta("text", "4"), "a ragged batch has no common layout"),
    ];
    for (file, words) in cases {
        let message = refused(file);
        assert!(message.contains(words), "{message}");
    }
}

#[test]
fn symbols_that_were_obeyed_and_margins_are_written_when_asked_for() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.safetensors");
    File::attention(40, 2, 1, 8).write(folder.path());
    json(folder.path(), &run("attention", "cpu", &["--strategy", "causal", "--symbols"]));
    let obeyed = (read_u8(&out, "s_c").1, read_u8(&out, "s_s").1, read_u8(&out, "s_f").1);
    json(folder.path(), &run("symbols", "cpu", &["--strategy", "causal", "--full"]));
    assert_eq!(obeyed, (read_u8(&out, "s_c").1, read_u8(&out, "s_s").1, read_u8(&out, "s_f").1));

    json(folder.path(), &run("symbols", "reference", &["--strategy", "top_k", "--margins"]));
    let (cache, skip) = (read_f32(&out, "margin_c"), read_f32(&out, "margin_s"));
    assert_eq!((cache.0, skip.0), (vec![1, 2, 3], vec![1, 2, 3, 3]));
    assert!(cache.1.iter().all(|margin| *margin == f32::INFINITY), "no rule of top_k caches");
    assert!(skip.1.iter().any(|margin| margin.is_finite() && *margin > 0.0));

    let message = failure(folder.path(), &run("symbols", "cpu", &["--strategy", "top_k", "--margins"]), 2);
    assert!(message.contains("use --device reference"), "{message}");
    let message = failure(folder.path(), &run("symbols", "cpu", &["--strategy", "top_k", "--full"]), 2);
    assert!(message.contains("top_k has no mask"), "{message}");
}
