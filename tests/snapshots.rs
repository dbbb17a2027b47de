//! The generated CUDA, as text to review: the texts of the zoo, each optional part with and without, projections with nothing
//! and with everything; each text once, under its kernel's name.
//!
//! The matrix is small on purpose: whoever changes a template reads all that it changes. Accept with `cargo xtask bless`.

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use sparsym::ir::Strategy;
use sparsym::ir::projection::{RopePairs, Summed};
use sparsym::kernel::{
    CachedRows, FromHeads, Kernel, Product, Room, RoomRequest, Sequences, SummedHeads, Target, TileOrder, ToHeads,
};
use sparsym::machinery::name_without_hash;
use sparsym_tests::kernels::Wanted;

/// The texts of the zoo, each once: strategies share those that hold nothing of their rules, and some rules are alike. What a
/// strategy has is in its own snapshot, by the names of its texts.
#[test]
fn zoo() {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    for entry in sparsym::zoo::all() {
        let strategy = &entry.strategy;
        let has_rules = strategy.mask.is_some() || !strategy.rules.is_empty();
        let mut texts = String::new();
        for room in [Room::Attention, Room::Symbols] {
            let kernel = on_sm_80(&plain(strategy, room));
            let expected = room == Room::Attention || has_rules;
            assert_eq!(kernel.is_some(), expected, "{} has rules exactly if it has a symbols kernel", entry.name);
            let Some(kernel) = kernel else { continue };
            let name = match known.get(&kernel.source) {
                Some(name) => name.clone(),
                None => {
                    let bare = name_without_hash(&kernel.name);
                    let plain = room == Room::Attention && strategy.mask.is_none() && strategy.score.is_none();
                    let name = match plain && known.values().all(|known| known != bare) {
                        true => bare.to_owned(),
                        false => format!("{bare}_of_{}", entry.name),
                    };
                    snapshot_of(&name, &kernel.plan.summary(), &kernel.source);
                    known.insert(kernel.source, name.clone());
                    name
                }
            };
            texts.push_str(&format!("{:<10} {name}\n", room.name()));
        }
        snapshot_of(&entry.name, &format!("texts of {} for sm_80", entry.name), &texts);
    }
}

/// Dense attention is the kernel without any option; each of these adds one.
#[test]
fn attention_with_each_option() {
    let dense = plain(&Strategy::dense(), Room::Attention);
    let ragged = Wanted { sequences: Sequences::Ragged, ..dense.clone() };
    let forecast = Wanted { cached_rows: CachedRows::Forecast, ..dense.clone() };
    let heaviest_first = Wanted { order: TileOrder::HeaviestFirst, ..dense.clone() };
    for wanted in [ragged, forecast, heaviest_first] {
        snapshot(&on_sm_80(&wanted).expect("the option exists for sm_80"));
    }
}

/// The same where warps have roles.
#[test]
fn attention_with_roles() {
    let target = Target::parse("sm_90a").expect("a target");
    let dense = plain(&Strategy::dense(), Room::Attention);
    let forecast = Wanted { cached_rows: CachedRows::Forecast, ..dense.clone() };
    let heaviest_first = Wanted { order: TileOrder::HeaviestFirst, ..dense.clone() };
    let causal = plain(&sparsym::zoo::find("causal").expect("in the zoo").strategy, Room::Attention);
    let wide = Wanted { head_dim: 256, ..dense.clone() };
    let ragged = Wanted { sequences: Sequences::Ragged, ..dense.clone() };
    for wanted in [dense, forecast, heaviest_first, causal, wide, ragged] {
        snapshot(&wanted.generate(target).expect("sm_90a has it"));
    }
}

/// The products alone, with all that a call can ask for together, and what excludes it.
#[test]
fn projections() {
    let rope = |rope| ToHeads { rope: Some(rope), ..ToHeads::default() };
    let to_heads =
        ToHeads { block: Some(128), bias: true, norm: true, means: Some(128), ..rope(RopePairs::Interleaved) };
    let heads = Some(SummedHeads { block: 128, summed: Summed::Both });
    let back = |of| RoomRequest::GemmO(FromHeads::Product(of));
    for projection in [
        RoomRequest::GemmQ(ToHeads::default()),
        RoomRequest::GemmQ(to_heads),
        RoomRequest::GemmQ(rope(RopePairs::Half)),
        back(Product::default()),
        back(Product { heads, partials: true, bias: true }),
        RoomRequest::GemmO(FromHeads::Differences { block: 128 }),
    ] {
        let room = projection.room();
        let wanted = Wanted { projection: Some(projection), ..plain(&Strategy::dense(), room) };
        snapshot(&on_sm_80(&wanted).expect("sm_80 has every projection"));
    }
}

/// The same where warpgroups multiply: a text of its own, under the name of such a target.
#[test]
fn specialised_projections() {
    let target = Target::parse("sm_90a").expect("sm_90a is known");
    let rope = Some(RopePairs::Half);
    let all = ToHeads { block: Some(128), bias: true, norm: true, rope, means: Some(128), together: false };
    let halves = ToHeads { block: Some(64), ..ToHeads::default() };
    let together = ToHeads { together: true, ..all };
    let to_heads = [ToHeads::default(), all, halves, together].map(RoomRequest::GemmQ);
    let back = |summed| {
        let heads = Some(SummedHeads { block: 128, summed });
        RoomRequest::GemmO(FromHeads::Product(Product { heads, partials: true, bias: true }))
    };
    let plain_sum = RoomRequest::GemmO(FromHeads::Product(Product::default()));
    for projection in to_heads.into_iter().chain([plain_sum, back(Summed::Active), back(Summed::Both)]) {
        let room = projection.room();
        let wanted = Wanted { projection: Some(projection), ..plain(&Strategy::dense(), room) };
        let kernel = wanted.generate(target).expect("sm_90a has every projection");
        snapshot_of(name_without_hash(&kernel.name), &kernel.plan.summary(), &kernel.source);
    }
}

/// What a kernel does not need does not occur in it, not even as a word.
#[test]
fn absent_parts_leave_no_trace() {
    let find = |name: &str| &sparsym::zoo::find(name).expect("in the zoo").strategy;
    let dense = on_sm_80(&plain(&Strategy::dense(), Room::Attention)).expect("dense compiles").source;
    let causal = on_sm_80(&plain(find("causal"), Room::Attention)).expect("causal compiles").source;
    let body = |source: &str| source.split_once("struct Params").expect("a kernel has Params").1.to_owned();
    for word in ["p.s_f", "indptr", "features", "coefficients", "mask", "p.tiles"] {
        assert!(!body(&dense).contains(word), "dense attention speaks of {word}");
    }
    for (room, words) in [
        (Room::GemmQ, &["s_c", "bias", "norm", "rope", "means"][..]),
        (Room::GemmO, &["s_c", "bias", "partial", "differences", "weights"]),
    ] {
        let product = on_sm_80(&plain(&Strategy::dense(), room)).expect("sm_80 has every projection").source;
        for word in words {
            assert!(!body(&product).contains(word), "{} without additions speaks of {word}", room.name());
        }
    }
    assert!(body(&causal).contains("p.s_f"), "a masked kernel reads s_f");
}

/// Equal requests give equal bytes, also from another process with other hash seeds.
#[test]
fn rendering_is_the_same_in_every_process() {
    const CHILD: &str = "SPARSYM_TEST_RENDER";
    let target = Target::parse("sm_80").expect("sm_80 is known");
    let texts: String =
        sparsym_tests::kernels::generated(target).into_iter().map(|generated| generated.kernel.source).collect();
    if let Some(file) = std::env::var_os(CHILD) {
        std::fs::write(file, texts).expect("the parent gave a writable file");
        return;
    }
    let file = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("rendered_{}", std::process::id()));
    let child = Command::new(std::env::current_exe().expect("a test has a path"))
        .args(["--exact", "rendering_is_the_same_in_every_process"])
        .env(CHILD, &file)
        .output()
        .expect("the test starts again");
    assert!(child.status.success(), "{}", String::from_utf8_lossy(&child.stdout));
    let other = std::fs::read_to_string(&file).expect("the child wrote its texts");
    std::fs::remove_file(&file).expect("the file is ours");
    assert!(!texts.is_empty() && texts == other, "two processes rendered different texts");
}

/// A text costs no more than reading its binary from the cache. The least of a few tries is taken, because this machine has
/// other work; the bar is for builds in which this crate is optimised, as it is here in every profile.
#[test]
fn a_text_is_made_in_milliseconds() {
    let bar = Duration::from_millis(5);
    let mut slowest = (Duration::ZERO, String::new());
    for entry in sparsym::zoo::all() {
        for room in [Room::GemmQ, Room::Symbols, Room::Attention, Room::GemmO] {
            let wanted = plain(&entry.strategy, room);
            let made = |_| {
                let start = Instant::now();
                let kernel = on_sm_80(&wanted);
                (start.elapsed(), kernel.map(|kernel| kernel.name))
            };
            let (least, name) = (0..5).map(made).min().expect("there were tries");
            slowest = slowest.max((least, format!("{} of {}", name.unwrap_or_default(), entry.name)));
        }
    }
    let (time, name) = slowest;
    assert!(time < bar, "{name} took {time:?}, and {bar:?} is the most");
}

fn plain(strategy: &Strategy, room: Room) -> Wanted {
    Wanted::plain(&Arc::new(strategy.clone()), room)
}

fn on_sm_80(wanted: &Wanted) -> Option<Kernel> {
    wanted.generate(Target::parse("sm_80").expect("sm_80 is known"))
}

/// A text under its own name.
fn snapshot(kernel: &Kernel) {
    snapshot_of(name_without_hash(&kernel.name), &kernel.plan.summary(), &kernel.source);
}

fn snapshot_of(name: &str, description: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_omit_expression(true);
    settings.set_prepend_module_to_snapshot(false);
    settings.set_description(description);
    settings.bind(|| insta::assert_snapshot!(name, text));
}
