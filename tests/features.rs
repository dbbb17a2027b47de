//! What a user compiles who asks for a part of the façade: nothing of the parts left out.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

/// Derive macros of libraries that the runtime cannot do without. They bring syn to the build, never to the program.
const DERIVES: [&str; 4] = ["bytemuck_derive", "serde_derive", "thiserror-impl", "zerocopy-derive"];

/// The language: its parser, the macro, the strategies written in it, and what renders its findings.
const LANGUAGE: [&str; 5] =
    ["annotate-snippets", "sparsym-dsl", "sparsym-dsl-core", "sparsym-dsl-macros", "sparsym-zoo"];

#[test]
fn cuda_alone_has_neither_the_language_nor_the_other_devices() {
    let crates = names("cuda", "normal,build");
    assert!(crates.contains("cudarc"), "{crates:?}");
    for absent in LANGUAGE.iter().chain(&["ptx-emulator", "sparsym-reference"]) {
        assert!(!crates.contains(*absent), "{absent} is compiled for `cuda` alone");
    }
    let program = names("cuda", "normal,no-proc-macro");
    for absent in ["proc-macro2", "syn"] {
        assert!(!program.contains(absent), "{absent} is in a program with `cuda` alone");
    }
    let parsers: BTreeSet<String> = macros_over_syn("cuda");
    assert_eq!(parsers, DERIVES.map(str::to_owned).into(), "macros that make a build with `cuda` alone compile syn");
}

#[test]
fn each_feature_brings_what_it_names() {
    let one = |feature: &str| names(feature, "normal,build");
    let without = one("");
    for (feature, brings) in [
        ("cuda", &["cudarc"][..]),
        ("emulator", &["ptx-emulator"]),
        ("reference", &["sparsym-reference"]),
        ("language", &LANGUAGE),
    ] {
        let with = one(feature);
        for name in brings {
            assert!(with.contains(*name) && !without.contains(*name), "{feature} does not decide over {name}");
        }
    }
    assert!(without.contains("sparsym-cpu"), "cpu is always there");
    let all = one("cuda,emulator,language,reference");
    assert_eq!(lines(&["--edges", "normal,build"]).iter().map(|line| name(line)).collect::<BTreeSet<_>>(), all);
}

/// Crates that a user compiles who takes the façade with these features alone.
fn names(features: &str, edges: &str) -> BTreeSet<String> {
    let only = ["--no-default-features", "--features", features, "--edges", edges];
    lines(&only).iter().map(|line| name(line)).collect()
}

/// Proc-macros that depend on syn themselves.
fn macros_over_syn(features: &str) -> BTreeSet<String> {
    // `--prefix depth` begins each line with the depth of the crate; a crate's children follow it, one deeper.
    let tree = lines(&["--no-default-features", "--features", features, "--edges", "normal,build", "--no-dedupe"]);
    let mut above: Vec<String> = Vec::new();
    let mut out = BTreeSet::new();
    for line in tree {
        let depth = line.chars().take_while(char::is_ascii_digit).count();
        above.truncate(line[..depth].parse().expect("a depth"));
        if name(&line) == "syn" {
            out.extend(above.last().cloned());
        }
        above.push(name(&line));
    }
    out
}

/// `3syn v3.0.10` is syn.
fn name(line: &str) -> String {
    let line = line.trim_start_matches(|c: char| c.is_ascii_digit());
    line.split(' ').next().unwrap_or_default().to_owned()
}

/// What `cargo tree` says of the façade.
fn lines(args: &[&str]) -> Vec<String> {
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline", "--package", "sparsym", "--prefix", "depth"])
        .args(args)
        .current_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("names").lines().map(str::to_owned).collect()
}
