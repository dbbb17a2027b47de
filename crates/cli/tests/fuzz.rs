//! Files and strategies that were damaged: the library gives findings, and every form of the command line ends with a status
//! of the contract, in time and within its memory. An input is made from its number alone, so a failure can be made again.
//!
//! `FUZZ_MINUTES=60 FUZZ_FROM=1000000 cargo test -p sparsym-cli --test fuzz` looks longer, from another number on. What
//! fails is kept in the folder of temporary files.

mod common;

use std::io::Write;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::File;
use serde_json::{Value, json};
use sparsym::kernel::{Request, Room, Target, generate};
use sparsym::language::{compile_str, print, render};
use tempfile::tempdir;

/// Inputs of a run that nobody asks to be longer.
const MOST_INPUTS: u64 = 20_000;
/// A run of the binary on an input of a few kilobytes ends long before, and takes a small part of that many KiB.
const HANG: Duration = Duration::from_secs(30);
const MOST_KIB: u64 = 8 << 20;
/// Exit statuses of the contract.
const STATUSES: [i32; 5] = [0, 2, 3, 4, 5];

/// Numbers from a number, by splitmix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }

    fn one_of<'a, T>(&mut self, list: &'a [T]) -> &'a T {
        &list[self.below(list.len())]
    }
}

/// How long a run may take, the number of the first input, and how many there may be.
fn budget() -> (Duration, u64, u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<f64>().unwrap());
    let from = number("FUZZ_FROM").unwrap_or(0.0) as u64;
    match number("FUZZ_MINUTES") {
        Some(minutes) => (Duration::from_secs_f64(60.0 * minutes), from, u64::MAX),
        None => (Duration::from_secs(30), from, MOST_INPUTS),
    }
}

/// Tries inputs until the time is over. Each gives what is wrong, if anything is, and a word for how it ended.
fn look(name: &str, mut input: impl FnMut(u64) -> Result<String, String>) {
    let (time, from, most) = budget();
    let start = Instant::now();
    let (mut number, mut failed) = (from, Vec::new());
    let mut ends = std::collections::BTreeMap::<String, u64>::new();
    while start.elapsed() < time && number - from < most {
        match input(number) {
            Ok(end) => *ends.entry(end).or_default() += 1,
            Err(what) => failed.push(format!("input {number}: {what}")),
        }
        number += 1;
    }
    let ends: Vec<_> = ends.iter().map(|(end, count)| format!("{count} {end}")).collect();
    // Not captured: how much was looked at belongs to a test that passes.
    let _ = writeln!(
        std::io::stderr(),
        "{name}: inputs {from} to {number} in {:.0} s: {}; {} failed",
        start.elapsed().as_secs_f64(),
        ends.join(", "),
        failed.len()
    );
    assert!(failed.is_empty(), "{} inputs failed:\n{}", failed.len(), failed.join("\n"));
    assert!(number > from + 20, "too little was looked at");
}

/// Runs the binary with little memory and time.
fn ends_well(folder: &Path, args: &[&str]) -> Result<String, String> {
    let mut command = Command::new("sh");
    command
        .args(["-c", &format!("ulimit -v {MOST_KIB}; exec \"$0\" \"$@\""), env!("CARGO_BIN_EXE_sparsym")])
        .args(args)
        .current_dir(folder)
        .env("SPARSYM_CACHE", folder.join("cache"))
        .env("RAYON_NUM_THREADS", "2")
        .env("RUST_BACKTRACE", "0")
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(folder.join("stderr")).unwrap());
    let mut child = command.spawn().map_err(|error| error.to_string())?;
    let start = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if start.elapsed() > HANG {
            child.kill().and_then(|()| child.wait()).map_err(|error| error.to_string())?;
            return Err(format!("{args:?} did not end in {HANG:?}"));
        }
        std::thread::sleep(Duration::from_millis(1));
    };
    let stderr = String::from_utf8_lossy(&std::fs::read(folder.join("stderr")).unwrap_or_default()).into_owned();
    match status.code() {
        Some(code)
            if STATUSES.contains(&code)
                && !stderr.contains("panicked")
                && (code == 0) != stderr.lines().any(|line| line.starts_with("error")) =>
        {
            Ok(format!("ended with {code}"))
        }
        _ => Err(format!("{args:?} ended with {status}: {}", &stderr[..stderr.floor_char_boundary(600)])),
    }
}

/// Keeps what made a failure, and says where.
fn kept(what: String, number: u64, file: &Path) -> String {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("fuzz");
    let name = file.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let to: PathBuf = folder.join(format!("{number}-{name}"));
    let saved = std::fs::create_dir_all(&folder).and_then(|()| std::fs::copy(file, &to));
    match saved {
        Ok(_) => format!("{what}; kept as {}", to.display()),
        Err(error) => format!("{what}; not kept: {error}"),
    }
}

/// Numbers in which sizes go wrong.
const EXTREMES: [&str; 26] = [
    "0",
    "1",
    "-1",
    "2",
    "3",
    "7",
    "15",
    "16",
    "17",
    "63",
    "64",
    "65",
    "128",
    "255",
    "65535",
    "65536",
    "2147483647",
    "2147483648",
    "4294967280",
    "4294967295",
    "4294967296",
    "1099511627776",
    "9223372036854775807",
    "18446744073709551615",
    "18446744073709551616",
    "1e30",
];

/// Values of metadata that mean something, and some that do not.
const WORDS: [&str; 22] = [
    "",
    " ",
    "nan",
    "inf",
    "-inf",
    "1e-45",
    "1e39",
    "half",
    "interleaved",
    "active",
    "cached",
    "front",
    "back",
    "middle",
    "1,2,3",
    "0,0,0",
    "1,1",
    "4294967296,1,1",
    "18446744073709551615,2,2",
    "é",
    "\u{0}",
    "[1, 2]",
];

/// A file for a room, with the arguments to run it.
fn files() -> Vec<(Vec<&'static str>, File)> {
    let rows = |count: usize, phase: f32| (0..count).map(|i| (i as f32 * 0.7 + phase).sin()).collect::<Vec<f32>>();
    let attention = || File::attention(40, 2, 1, 16);
    let gemm_q = || {
        File::default()
            .f32("x", &[1, 20, 8], &rows(160, 0.0))
            .f32("w", &[32, 8], &rows(256, 1.0))
            .f32("bias", &[32], &rows(32, 2.0))
            .f32("q_norm", &[16], &rows(16, 3.0))
            .f32("rope_cos", &[20, 8], &rows(160, 4.0))
            .f32("rope_sin", &[20, 8], &rows(160, 5.0))
            .u8("s_c", &[1, 2, 2], &[1, 0, 0, 1])
            .meta("head_dim", "16")
            .meta("block_q", "16")
            .meta("rope", "half")
            .meta("norm_eps", "1e-6")
    };
    let gemm_o = || {
        File::default()
            .f32("o", &[1, 20, 2, 16], &rows(640, 0.0))
            .f32("w", &[8, 32], &rows(256, 1.0))
            .f32("bias", &[8], &rows(8, 2.0))
            .u8("s_c", &[1, 2, 2], &[1, 0, 0, 1])
            .meta("block_q", "16")
            .meta("heads", "active")
    };
    vec![
        (vec!["run", "attention"], attention()),
        (vec!["run", "attention"], attention().u8("s_c", &[1, 2, 3], &[1; 6]).u8("s_s", &[1, 2, 3, 3], &[1; 18])),
        (vec!["run", "attention", "--strategy", "neighborhood"], attention().meta("text", "16").meta("grid", "1,4,6")),
        (vec!["run", "attention", "--strategy", "window", "--set", "reach=9"], attention().meta("scale", "0.5")),
        (vec!["run", "attention", "--strategy", "document"], attention().f32("inputs.document", &[1, 40], &[1.0; 40])),
        (vec!["run", "symbols", "--strategy", "flash_omni"], attention().meta("text", "16").meta("grid", "1,4,6")),
        (vec!["run", "symbols", "--strategy", "sparge"], attention()),
        (vec!["run", "gemm_q"], gemm_q()),
        (vec!["run", "gemm_o"], gemm_o()),
    ]
}

/// The bytes of a file, one to three times changed: in its header as JSON, or byte by byte.
fn damaged(bytes: &[u8], numbers: &mut Numbers) -> Vec<u8> {
    let length = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let mut header: Value = serde_json::from_slice(&bytes[8..8 + length]).unwrap();
    let mut data = bytes[8 + length..].to_vec();
    for _ in 0..1 + numbers.below(3) {
        damage_header(&mut header, &mut data, numbers);
    }
    let mut text = serde_json::to_vec(&header).unwrap();
    let raw = numbers.below(4) == 0;
    if raw {
        damage_bytes(&mut text, numbers);
    }
    let said = match numbers.below(30) {
        0 => numbers.next(),
        1 => text.len() as u64 + 1,
        2 => 0,
        _ => text.len() as u64,
    };
    let mut out = said.to_le_bytes().to_vec();
    out.extend(text);
    out.extend(data);
    if numbers.below(12) == 0 {
        damage_bytes(&mut out, numbers);
    }
    out
}

fn damage_header(header: &mut Value, data: &mut Vec<u8>, numbers: &mut Numbers) {
    let Some(entries) = header.as_object_mut() else { return };
    let names: Vec<String> = entries.keys().cloned().collect();
    if names.is_empty() {
        return;
    }
    let name = numbers.one_of(&names).clone();
    let number = |numbers: &mut Numbers| -> Value {
        serde_json::from_str(numbers.one_of::<&str>(&EXTREMES)).unwrap_or(json!(0))
    };
    if name == "__metadata__" || numbers.below(4) == 0 {
        let metadata = entries.entry("__metadata__").or_insert(json!({}));
        let Some(metadata) = metadata.as_object_mut() else { return };
        let keys = [
            "block_q", "block_kv", "head_dim", "scale", "text", "text_at", "grid", "heads", "rope", "norm_eps", "x",
            "step",
        ];
        let value = match numbers.below(3) {
            0 => numbers.one_of(&WORDS).to_string(),
            _ => numbers.one_of(&EXTREMES).to_string(),
        };
        let key = *numbers.one_of(&keys);
        match numbers.below(8) {
            0 => drop(metadata.remove(key)),
            1 => drop(metadata.insert(key.to_owned(), number(numbers))),
            _ => drop(metadata.insert(key.to_owned(), json!(value))),
        }
        return;
    }
    let Some(entry) = entries.get_mut(&name).filter(|entry| entry.is_object()) else { return };
    match numbers.below(12) {
        0 => drop(entries.remove(&name)),
        1 => {
            let others = [
                "q",
                "k",
                "v",
                "x",
                "w",
                "o",
                "bias",
                "s_c",
                "s_s",
                "cache",
                "partial",
                "inputs.document",
                "tables.window",
                "rope_cos",
                "q_norm",
                "inputs.",
                "é",
            ];
            let value = entries.remove(&name).unwrap();
            entries.insert(numbers.one_of(&others).to_string(), value);
        }
        2 => {
            let other = entries[numbers.one_of(&names)].clone();
            entries.insert(name, other);
        }
        3 => {
            entry["dtype"] = json!(
                *numbers.one_of(&["F32", "F16", "BF16", "U8", "BOOL", "I32", "I64", "F64", "F8_E4M3", "F4", "X", ""])
            )
        }
        4 => {
            if let Some(offset) = entry["data_offsets"].get_mut(numbers.below(2)) {
                *offset = number(numbers);
            }
        }
        5 => {
            // A shape that fits its bytes, so that it is looked at: with ones, with zeros and what they hide, in another order.
            let shape = entry["shape"].as_array().cloned().unwrap_or_default();
            let mut shape: Vec<u64> = shape.iter().filter_map(Value::as_u64).collect();
            let at = numbers.below(shape.len());
            match numbers.below(4) {
                0 => shape.insert(at, 1),
                1 => shape.reverse(),
                2 => {
                    let all: u64 = shape.iter().product();
                    shape = vec![all];
                }
                _ => {
                    for extent in &mut shape {
                        *extent = [1, 1 << 40, 1 << 32, u64::MAX, 16][numbers.below(5)];
                    }
                    if let Some(extent) = shape.get_mut(at) {
                        *extent = 0;
                    }
                    // No bytes, at the end.
                    let (from, to) = (
                        entry["data_offsets"][0].as_u64().unwrap_or(0) as usize,
                        entry["data_offsets"][1].as_u64().unwrap_or(0) as usize,
                    );
                    if from <= to && to <= data.len() {
                        data.drain(from..to);
                        let gone = (to - from) as u64;
                        entry["data_offsets"] = json!([from, from]);
                        entry["shape"] = json!(shape);
                        for (_, other) in entries.iter_mut() {
                            for at in 0..2 {
                                if let Some(offset) = other["data_offsets"].get(at).and_then(Value::as_u64)
                                    && offset as usize >= to
                                {
                                    other["data_offsets"][at] = json!(offset - gone);
                                }
                            }
                        }
                    }
                    return;
                }
            }
            entry["shape"] = json!(shape);
        }
        6 => {
            let at = numbers.below(4);
            if let Some(extent) = entry["shape"].get_mut(at) {
                *extent = number(numbers);
            }
        }
        7 => *entry = number(numbers),
        8 => {
            let length = data.len();
            data.truncate(length - numbers.below(length.min(64) + 1));
        }
        _ => {
            // Values: infinities, NaN, and whatever bits.
            for _ in 0..1 + numbers.below(20) {
                let at = numbers.below(data.len() / 4) * 4;
                let value = *numbers.one_of(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX, -0.0, 1e-45, 2.5]);
                if let Some(word) = data.get_mut(at..at + 4) {
                    word.copy_from_slice(&value.to_le_bytes());
                }
            }
        }
    }
}

fn damage_bytes(bytes: &mut Vec<u8>, numbers: &mut Numbers) {
    for _ in 0..1 + numbers.below(4) {
        let at = numbers.below(bytes.len());
        match numbers.below(4) {
            0 if !bytes.is_empty() => bytes[at] ^= 1 << numbers.below(8),
            1 => bytes.insert(at, *numbers.one_of(b"0123456789-\"[]{},:e.\\\x00\xff")),
            2 if !bytes.is_empty() => drop(bytes.remove(at)),
            _ => bytes.truncate(bytes.len() - numbers.below(bytes.len().min(16) + 1)),
        }
    }
}

#[test]
fn damaged_files_end_with_a_status_of_the_contract() {
    let folder = tempdir().unwrap();
    let files: Vec<_> =
        files().into_iter().map(|(args, file)| (args, std::fs::read(file.write(folder.path())).unwrap())).collect();
    let input = folder.path().join("in.safetensors");
    let run = |args: &[&str], device: &str| {
        let files = ["--device", device, "--input", "in.safetensors", "--output", "out.safetensors"];
        ends_well(folder.path(), &[args, &files].concat())
    };
    let mut refused = Vec::new();
    for (args, bytes) in &files {
        std::fs::write(&input, bytes).unwrap();
        let end = run(args, "reference");
        if end.as_deref() != Ok("ended with 0") {
            refused.push((args, end, std::fs::read_to_string(folder.path().join("stderr")).unwrap()));
        }
    }
    assert!(refused.is_empty(), "files that are right: {refused:#?}");
    look("fuzz of files", |number| {
        let mut numbers = Numbers(number);
        let (args, bytes) = numbers.one_of(&files);
        std::fs::write(&input, damaged(bytes, &mut numbers)).unwrap();
        let _ = std::fs::remove_file(folder.path().join("out.safetensors"));
        let device = numbers.one_of(&["cpu", "reference"]);
        let end = run(args, device).map_err(|what| kept(what, number, &input))?;
        let written = folder.path().join("out.safetensors").exists();
        if written != (end == "ended with 0") {
            return Err(kept(format!("{args:?} {end}, and its output is there: {written}"), number, &input));
        }
        Ok(end)
    });
}

/// The texts of the zoo and of the tests.
fn strategies() -> Vec<String> {
    let mut texts: Vec<String> = sparsym::zoo::all().iter().map(|entry| print(&entry.strategy)).collect();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/strategies");
    for part in ["pass", "fail"] {
        let mut paths: Vec<_> =
            std::fs::read_dir(folder.join(part)).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        let strategies = paths.iter().filter(|path| path.extension().is_some_and(|end| end == "strategy"));
        texts.extend(strategies.map(|path| std::fs::read_to_string(path).unwrap()));
    }
    texts
}

/// Words, numbers and single characters.
fn tokens(text: &str) -> Vec<&str> {
    let word = |c: char| c.is_alphanumeric() || c == '_';
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if word(first) { rest.find(|c| !word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        out.push(&rest[..end]);
        rest = &rest[end..];
    }
    out
}

/// Pieces that mean something to the parser, to put where they do not belong.
const PIECES: [&str; 60] = [
    "(",
    ")",
    "[",
    "]",
    "{",
    "}",
    ";",
    ",",
    ":",
    "=",
    "=>",
    "==",
    "<=",
    ">=",
    "&&",
    "||",
    "!",
    "-",
    "+",
    "*",
    "/",
    "%",
    "..",
    "..=",
    ".",
    "#",
    "\\",
    "\"",
    "'",
    "/*",
    "*/",
    "//",
    "///",
    "\n",
    "\u{0}",
    "é",
    "r#",
    "0x",
    "1e",
    "0.0",
    "2147483647",
    "4294967296",
    "1e39",
    "65536",
    "65520",
    "16",
    "q",
    "kv",
    "q.pos",
    "kv.block",
    "q.cell",
    "step",
    "head",
    "in",
    "where",
    "otherwise skip;",
    "keep q, kv;",
    "let a = 1;",
    "sum(kv: ",
    "cover(any: ",
];

/// Words that may stand for each other.
const KINDS: [&[&str]; 7] = [
    &["q", "kv"],
    &["pos", "block", "t", "h", "w", "cell", "tile", "len"],
    &["+", "-", "*", "/", "%"],
    &["<", ">"],
    &["skip", "keep", "cache", "compute"],
    &[
        "step",
        "steps",
        "since_update",
        "layer",
        "head",
        "heads",
        "batch",
        "D",
        "block_q",
        "q_blocks",
        "grid_t",
        "frame_len",
    ],
    &["min", "max", "abs", "floor", "sqrt", "exp", "log2", "bit_length", "clamp", "near", "sum", "mean", "softmax"],
];

fn mangled(texts: &[String], numbers: &mut Numbers) -> String {
    let text = numbers.one_of(texts);
    if numbers.below(4) == 0 {
        let mut bytes = text.clone().into_bytes();
        damage_bytes(&mut bytes, numbers);
        return String::from_utf8_lossy(&bytes).into_owned();
    }
    let mut tokens: Vec<&str> = tokens(text);
    if numbers.below(2) == 0 {
        // Another word of the same kind, so that a strategy stays one more often than not.
        for _ in 0..1 + numbers.below(3) {
            let number = numbers.below(KINDS.len() + 1);
            let is_number = |token: &&str| token.starts_with(|c: char| c.is_ascii_digit());
            let kind: &[&str] = KINDS.get(number).copied().unwrap_or(&EXTREMES);
            let same = |token: &&str| if number < KINDS.len() { kind.contains(token) } else { is_number(token) };
            let places: Vec<_> = (0..tokens.len()).filter(|&at| same(&tokens[at])).collect();
            if !places.is_empty() {
                tokens[places[numbers.below(places.len())]] = numbers.one_of::<&str>(kind);
            }
        }
        return tokens.concat();
    }
    let other: Vec<&str> = self::tokens(numbers.one_of::<String>(texts));
    for _ in 0..1 + numbers.below(4) {
        if tokens.is_empty() {
            break;
        }
        let at = numbers.below(tokens.len());
        let piece = if numbers.below(2) == 0 { *numbers.one_of(&PIECES) } else { *numbers.one_of(&other) };
        match numbers.below(6) {
            0 => tokens.insert(at, piece),
            1 => drop(tokens.remove(at)),
            2 | 3 => tokens[at] = piece,
            4 => {
                // A stretch of another text.
                let from = numbers.below(other.len());
                let to = (from + 1 + numbers.below(30)).min(other.len());
                drop(tokens.splice(at..at, other[from..to].iter().copied()));
            }
            _ => {
                let to = (at + 1 + numbers.below(12)).min(tokens.len());
                tokens.drain(at..to);
            }
        }
    }
    tokens.concat()
}

/// What the library makes of a text: findings that can be shown, or a strategy that prints as it is and has kernels.
fn library(text: &str) -> Result<String, String> {
    let strategy = match compile_str("fuzz", text) {
        Ok(strategy) => strategy,
        Err(findings) => {
            let report = render(&findings, "fuzz", text);
            let shown = !findings.is_empty() && report.contains("error[") && findings.iter().count() <= 100;
            return if shown { Ok("had findings".to_owned()) } else { Err(format!("nothing is shown: {report}")) };
        }
    };
    match compile_str("printed", &print(&strategy)) {
        Ok(again) if again == strategy => {}
        Ok(_) => return Err("its print is another strategy".to_owned()),
        Err(findings) => return Err(format!("its print has findings: {findings}")),
    }
    for room in [Room::Attention, Room::Symbols] {
        let request = Request::new(&strategy, room, Target::parse("sm_80").unwrap());
        let _ = generate(&request).map_err(|error| error.to_string());
    }
    Ok("were strategies".to_owned())
}

#[test]
fn mangled_strategies_have_findings_or_kernels() {
    let folder = tempdir().unwrap();
    let file = folder.path().join("mangled.strategy");
    File::attention(40, 2, 1, 16).meta("text", "8").meta("grid", "2,4,4").write(folder.path());
    let texts = strategies();
    look("fuzz of strategies", |number| {
        let mut numbers = Numbers(number);
        let text = mangled(&texts, &mut numbers);
        let end = catch_unwind(|| library(&text)).unwrap_or_else(|_| Err("the library panicked".to_owned()));
        std::fs::write(&file, &text).unwrap();
        let end = end.map_err(|what| kept(what, number, &file))?;
        // The binary takes a hundred times as long: some of those with findings, more of the others.
        let often = if end == "had findings" { 200 } else { 4 };
        if numbers.below(often) != 0 {
            return Ok(end);
        }
        let files = ["--input", "in.safetensors", "--output", "out.safetensors", "--strategy", "mangled.strategy"];
        let args = match numbers.below(4) {
            0 => vec!["explain", "mangled.strategy", "--text", "40", "--grid", "2,4,6", "--heads", "2"],
            1 => vec!["explain", "mangled.strategy", "--json"],
            2 => [&["run", "attention", "--device", "cpu"], &files[..]].concat(),
            _ => [&["run", "symbols", "--device", "reference"], &files[..]].concat(),
        };
        let end = ends_well(folder.path(), &args).map_err(|what| kept(what, number, &file))?;
        Ok(format!("of a strategy {end}"))
    });
}
