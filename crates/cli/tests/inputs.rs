//! Files whose sizes, inputs and tables are not what they were declared to be, on every device of the host.

mod common;

use std::path::Path;
use std::time::{Duration, Instant};

use common::{File, failure, json, read_u8, sparsym, success};
use safetensors::tensor::Dtype;
use serde_json::json as object;
use tempfile::tempdir;

const DEVICES: [&str; 2] = ["reference", "cpu"];

/// What attention on both devices says of the file; all say the same, within seconds.
fn refused(folder: &Path, strategy: Option<&str>, more: &[&str], status: i32) -> String {
    let mut said: Vec<String> = DEVICES
        .map(|device| {
            let mut args = vec!["run", "attention", "--device", device, "--input", "in.safetensors"];
            args.extend(["--output", "out.safetensors"]);
            if let Some(text) = strategy {
                std::fs::write(folder.join("s.strategy"), text).unwrap();
                args.extend(["--strategy", "s.strategy"]);
            }
            let start = Instant::now();
            let message = failure(folder, &[&args, more].concat(), status);
            assert!(start.elapsed() < Duration::from_secs(20), "{device} took {:?}: {message}", start.elapsed());
            assert!(!folder.join("out.safetensors").exists());
            message
        })
        .into();
    said.dedup();
    assert_eq!(said.len(), 1, "{said:?}");
    said.remove(0)
}

fn contains(message: &str, words: &[&str]) {
    for words in words {
        assert!(message.contains(words), "expected {words:?} in: {message}");
    }
}

/// A file whose header says these things, and its data.
fn raw(folder: &Path, header: &serde_json::Value, data: usize) {
    let header = header.to_string();
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.resize(bytes.len() + data, 0);
    std::fs::write(folder.join("in.safetensors"), bytes).unwrap();
}

/// q, k and v of this shape, with so many bytes each.
fn header(shape: [u64; 4], bytes: u64) -> serde_json::Value {
    let place = |n: u64| [n.saturating_mul(bytes), (n + 1).saturating_mul(bytes)];
    let tensor = |n: u64| object!({"dtype": "F32", "shape": shape, "data_offsets": place(n)});
    object!({"q": tensor(0), "k": tensor(1), "v": tensor(2)})
}

#[test]
fn sizes_that_no_call_can_have() {
    let folder = tempdir().unwrap();
    for shape in [
        [1, 0, 1 << 40, 16],
        [0, 1 << 40, 1, 16],
        [1, 1 << 40, 0, 16],
        [1 << 40, 1, 1, 0],
        [1, 0, 1, 4_294_967_424],
        [0, 0, 0, 0],
    ] {
        raw(folder.path(), &header(shape, 0), 0);
        contains(&refused(folder.path(), None, &[], 3), &["[S501]", "is 0"]);
        contains(&refused(folder.path(), Some("pub C { mask q, kv => kv.pos <= q.pos; }"), &[], 3), &["[S501]"]);
    }
    // Products beyond 64 bits, and data that nobody has.
    for (shape, bytes) in [([1 << 40, 1 << 40, 0, 1], 0), ([1, 16, 1, 8], 512), ([u64::MAX, 1, 1, 1], u64::MAX)] {
        raw(folder.path(), &header(shape, bytes), 0);
        contains(&refused(folder.path(), None, &[], 3), &["is not a safetensors file"]);
    }
    std::fs::write(folder.path().join("in.safetensors"), u64::MAX.to_le_bytes()).unwrap();
    contains(&refused(folder.path(), None, &[], 3), &["its header would have 18446744073709551615 bytes"]);
}

#[test]
fn blocks_near_the_end_of_their_type() {
    let folder = tempdir().unwrap();
    for (block, words) in [
        ("4294967280", "block_kv is 4294967280"),
        ("4294967295", "use a multiple of 16 from 16 to 65536"),
        ("65552", "block_kv is 65552"),
        ("0", "block_kv is 0"),
        ("65535", "use 65536"),
        ("4294967296", "which is not a number that fits"),
    ] {
        File::attention(16, 1, 1, 8).meta("block_kv", block).write(folder.path());
        contains(&refused(folder.path(), None, &[], 3), &[words]);
    }
    for device in DEVICES {
        File::attention(16, 1, 1, 8).meta("block_kv", "65536").write(folder.path());
        let args = ["run", "attention", "--device", device, "--input", "in.safetensors", "--output", "out.safetensors"];
        success(folder.path(), &args);
    }
}

#[test]
fn head_dimensions_are_not_cut_to_32_bits() {
    let folder = tempdir().unwrap();
    for room in ["attention", "symbols", "gemm_q", "gemm_o"] {
        for d in ["4294967424", "18446744073709551615", "0"] {
            let args = ["emit", "causal", "--room", room, "--target", "sm_80", "--head-dim", d];
            contains(&failure(folder.path(), &args, 2), &["[S603]", d]);
        }
        let args = ["emit", "causal", "--room", room, "--target", "sm_80", "--block-kv", "4294967295"];
        contains(&failure(folder.path(), &args, 3), &["[S504]", "from 16 to 65536"]);
    }
}

#[test]
fn the_header_is_read_once_and_notes_do_not_grow_with_the_file() {
    let folder = tempdir().unwrap();
    let mut many = header([1, 16, 1, 8], 512);
    let metadata: serde_json::Map<_, _> = (0..200_000).map(|n| (format!("key{n}"), "v".into())).collect();
    many["__metadata__"] = metadata.into();
    for n in 0..50_000 {
        many[format!("extra{n}")] = object!({"dtype": "U8", "shape": [0], "data_offsets": [1536, 1536]});
    }
    raw(folder.path(), &many, 1536);
    let args = ["run", "attention", "--input", "in.safetensors", "--output", "out.safetensors"];
    let start = Instant::now();
    let output = sparsym(folder.path(), &args).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
    assert!(said.len() < 4096, "{} bytes of notes", said.len());
    contains(&said, &["holds 50000 tensors that are not read", "and 49990 more"]);
}

#[test]
fn inputs_have_the_shape_and_the_type_that_they_were_declared_with() {
    let folder = tempdir().unwrap();
    let file = |shape: &[usize], values: &[f32]| {
        File::default()
            .f32("q", &[2, 30, 1, 8], &[0.0; 480])
            .f32("k", &[2, 30, 1, 8], &[0.0; 480])
            .f32("v", &[2, 30, 1, 8], &[0.0; 480])
            .f32("inputs.x", shape, values)
    };
    let strategy = |scalar: &str| {
        let mask = if scalar == "bool" { "x[q] == x[kv]" } else { "x[q] <= x[kv]" };
        format!("pub X {{ input x: [token] of {scalar}; mask q, kv => {mask}; }}")
    };
    file(&[30, 2], &[0.0; 60]).write(folder.path());
    let message = refused(folder.path(), Some(&strategy("i32")), &[], 3);
    contains(&message, &["input x has shape [30, 2]", "[B, N] = [2, 30]; it is [N, B], so transpose it"]);
    for shape in [&[60][..], &[1, 60], &[2, 30, 1], &[4, 15]] {
        file(shape, &[0.0; 60]).write(folder.path());
        contains(&refused(folder.path(), Some(&strategy("i32")), &[], 3), &["[S510]", "this problem needs [B, N]"]);
    }
    for (scalar, value, shown) in [
        ("i32", 0.5, "0.5 at [1, 4]"),
        ("i32", f32::NAN, "NaN at [1, 4]"),
        ("u32", -1.0, "-1 at [1, 4]"),
        ("u32", f32::INFINITY, "inf at [1, 4]"),
        ("u32", 16_777_216.0, "16777216 at [1, 4]"),
        ("bool", 2.0, "2 at [1, 4]"),
    ] {
        let mut values = [0.0; 60];
        values[34] = value;
        file(&[2, 30], &values).write(folder.path());
        contains(&refused(folder.path(), Some(&strategy(scalar)), &[], 3), &["[S510]", shown]);
    }
    let wide: Vec<u8> = (0..60).flat_map(|n: i64| (n + (1 << 53)).to_le_bytes()).collect();
    file(&[2, 30], &[0.0; 60]).raw("inputs.x", Dtype::I64, &[2, 30], wide).write(folder.path());
    contains(&refused(folder.path(), Some(&strategy("f32")), &[], 3), &["more values, which f32 cannot hold"]);
}

#[test]
fn tables_have_the_problems_heads_layers_and_steps() {
    let folder = tempdir().unwrap();
    let strategy = "pub T { table w: [step, layer, head] of u32; mask q, kv => abs(q.pos - kv.pos) <= w; }";
    let write = |shape: &[usize]| {
        let values = vec![1.0; shape.iter().product()];
        File::attention(32, 4, 4, 8).f32("tables.w", shape, &values).write(folder.path());
    };
    for (shape, more, words) in [
        ([1, 1, 3], &[][..], "3 entries along head for 4 heads"),
        ([3, 1, 4], &[], "3 entries along step for 50 steps"),
        ([1, 2, 4], &["--set", "layer=2"], "2 entries along layer for layer 2"),
    ] {
        write(&shape);
        contains(&refused(folder.path(), Some(strategy), more, 3), &["[S509]", words]);
    }
    write(&[3, 2, 4]);
    let args = ["run", "attention", "--strategy", "s.strategy", "--input", "in.safetensors", "--output", "o"];
    success(folder.path(), &[&args[..], &["--set", "steps=3", "--set", "step=2", "--set", "layer=1"]].concat());
    for (name, value) in [("steps", "0"), ("step", "50"), ("steps", "4294967295")] {
        contains(&refused(folder.path(), Some(strategy), &["--set", &format!("{name}={value}")], 2), &["steps"]);
    }
}

#[test]
fn a_permutation_by_tiles_asks_for_the_grid() {
    let folder = tempdir().unwrap();
    let permuted =
        "pub X { tokens vision(t, h, w) tiled (2, 4, 4); permute vision by tile; skip q, kv where q.block > 1000; }";
    let framed = "pub X { tokens vision(t, h, w); \
                  keep q, kv where cover(fraction(0.3, 0.6) per frame: q.pos < kv.pos); otherwise skip; }";
    File::attention(96, 1, 1, 8).write(folder.path());
    contains(&refused(folder.path(), Some(permuted), &[], 3), &["[S505]", "does not give its extents"]);
    contains(&refused(folder.path(), Some(framed), &[], 3), &["[S505]", "does not give its extents"]);
    File::attention(96, 1, 1, 8).meta("grid", "3,4,8").write(folder.path());
    contains(&refused(folder.path(), Some(permuted), &[], 3), &["[S506]", "tiles of 2×4×4 do not divide"]);
    contains(
        &failure(folder.path(), &["explain", "s.strategy", "--grid", "3,4,8"], 2),
        &["[S506]", "tiles of 2×4×4 do not divide"],
    );
}

const KINDS: &str = "pub Kinds { table kind: [layer, head] of { full, near, none }; \
                     skip q, kv where kind == none; skip q, kv where kind == near && q.block != kv.block; }";

/// S_s of the heads of a problem of two blocks.
fn symbols(folder: &Path, more: &[&str]) -> Vec<u8> {
    std::fs::write(folder.join("s.strategy"), KINDS).unwrap();
    let args =
        ["run", "symbols", "--strategy", "s.strategy", "--input", "in.safetensors", "--output", "out.safetensors"];
    json(folder, &[&args[..], more].concat());
    read_u8(&folder.join("out.safetensors"), "s_s").1
}

#[test]
fn tables_by_name() {
    let folder = tempdir().unwrap();
    let expected = [[1, 0, 0, 1], [0; 4], [1; 4]].concat();
    let file = || File::attention(32, 3, 3, 8);
    file().write(folder.path());
    let names = r#"[["near", "none", "full"]]"#;
    std::fs::write(folder.path().join("kind.json"), names).unwrap();
    std::fs::write(folder.path().join("all.json"), format!(r#"{{"kind": {names}}}"#)).unwrap();
    std::fs::write(folder.path().join("numbers.json"), "[[1, 2, 0]]").unwrap();
    for value in ["near;none;full", "1;2;0", names, "@kind.json", "@all.json", "@numbers.json"] {
        assert_eq!(symbols(folder.path(), &["--set", &format!("kind={value}")]), expected, "{value}");
    }
    file().meta("tables.kind", names).write(folder.path());
    assert_eq!(symbols(folder.path(), &[]), expected);
    file().u8("tables.kind", &[1, 3], &[1, 2, 0]).write(folder.path());
    assert_eq!(symbols(folder.path(), &[]), expected);
    std::fs::rename(folder.path().join("in.safetensors"), folder.path().join("tables.safetensors")).unwrap();
    file().write(folder.path());
    assert_eq!(symbols(folder.path(), &["--set", "kind=@tables.safetensors"]), expected);

    let refuse = |value: &str, status, words: &[&str]| {
        let args = ["run", "symbols", "--strategy", "s.strategy", "--input", "in.safetensors", "--output", "refused"];
        let set = format!("kind={value}");
        contains(&failure(folder.path(), &[&args[..], &["--set", &set]].concat(), status), words);
    };
    refuse(r#"[["naer","nome","full"]]"#, 2, &["\"naer\" at [0, 0], \"nome\" at [0, 1]", "did you mean near?"]);
    refuse(r#"[["near","none"]]"#, 3, &["2 entries along head for 3 heads"]);
    refuse(r#"[["near"],["near","none"]]"#, 2, &["arrays beside each other have 1 and 2 entries"]);
    refuse(r#"["near"]"#, 2, &["stands where an array is needed", "write an array for each of layer, head"]);
    refuse(r#"[["near", 1, 2]]"#, 2, &["it mixes numbers and names"]);
    refuse("[[3]]", 2, &["3 at [0, 0], which stands for none of its names"]);
    refuse("[[", 2, &["it is no JSON"]);
    refuse("@no.json", 3, &["no.json: cannot be read"]);
    file().meta("tables.kind", r#"[["fall"]]"#).write(folder.path());
    refuse("full", 3, &["metadata tables.kind", "did you mean full?"]);
}
