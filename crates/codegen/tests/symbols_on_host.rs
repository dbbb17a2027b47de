//! Symbols kernels decide as `static_symbols` does, bit for bit: their text runs on the host.

mod host;

use host::{Launch, Program};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sparsym_codegen::{Buffer, Kernel, Request, Room, RoomRequest, Sequences, Target, generate};
use sparsym_ir::bind::{Bindings, Bound, InputData, Moment, TableData};
use sparsym_ir::problem::{Layout, LayoutRange, Problem, Ragged};
use sparsym_ir::static_symbols::static_symbols;
use sparsym_ir::strategy::{Blocks, Element, Scalar, Strategy, TableAxis, Value};

/// A strategy at work: what a kernel is made of, and what it is called with.
struct Case {
    name: String,
    strategy: Strategy,
    problem: Problem,
    bindings: Bindings,
    moment: Moment,
}

const BODIES: &[(&str, &str)] = &[
    ("window", "param reach: u32 = 40; mask q, kv => abs(q.pos - kv.pos) <= reach;"),
    ("causal", "mask q, kv => kv.pos <= q.pos;"),
    (
        "window of text",
        "param reach: u32 = 40; tokens text, vision(t, h, w);
        mask q, kv => abs(q.pos - kv.pos) <= reach || q in text || kv in text;",
    ),
    ("prefix", "param prefix: u32 = 50; mask q, kv => kv.pos <= q.pos || kv.pos < prefix;"),
    ("dilated ends", "param a: i32 = 3; mask q, kv => 3 * q.pos - 3 * kv.pos < 5 * a + 50 && 2 * kv.pos >= a;"),
    ("head window", "table reach: [head] of u32; mask q, kv => abs(q.pos - kv.pos) <= reach;"),
    ("guarded", "param shift: i32 = 7; mask q, kv => q.pos + shift >= kv.pos;"),
    ("not", "mask q, kv => !(q.pos == kv.pos) && (kv.pos <= q.pos) == (kv.pos < 70);"),
    ("documents", "input document: [token] of i32; mask q, kv => document[q] == document[kv] && kv.pos <= q.pos;"),
    ("padding", "input valid: [token] of bool; mask q, kv => valid[kv];"),
    (
        "neighbourhood",
        "param reach: u32 in 0..=64 = 1; tokens text, vision(t, h, w);
        mask q, kv => q in text || kv in text || abs(q.h - kv.h) <= reach && abs(q.w - kv.w) <= reach && q.t == kv.t;",
    ),
    (
        "tiled neighbourhood",
        "tokens text, vision(t, h, w) tiled (2, 4, 4);
        mask q, kv => q in text || abs(q.h - kv.h) <= 2 && q.t >= kv.t;",
    ),
    (
        "near tokens",
        "table window: [step, layer, head] of (u32, u32, u32); tokens vision(t, h, w) tiled (2, 4, 4), text;
        mask q, kv => near(q.tile, kv.tile, window) || q in text || kv in text;",
    ),
    ("same place", "tokens text, vision(t, h, w); mask q, kv => q.cell == kv.cell || kv in text;"),
    (
        "places of tiles",
        "tokens text, vision(t, h, w) tiled (2, 4, 4);
        mask q, kv => abs(q.cell - kv.cell) <= 9 && q.t != kv.t || kv.cell > q.cell + 40;",
    ),
    (
        "floats of coordinates",
        "input weight: [token] of f32; tokens text, vision(t, h, w);
        mask q, kv => q.t * 0.5 > kv.t * 0.25 || sqrt(float(q.h) - 2.5) <= 1.5 && weight[kv] / 3.0 < float(kv.w)
            || floor(q.w * 0.4) == ceil(kv.w * 0.4);",
    ),
    (
        "floats of positions",
        "param share: f32 = 0.5; mask q, kv => kv.pos <= q.pos && float(kv.pos) * share > 9.0;",
    ),
    ("not numbers", "mask q, kv => 1.0 / float(kv.pos) > 0.1 || sqrt(float(q.pos) - 90.0) <= 6.0;"),
    ("extents", "tokens text, vision(t, h, w); mask q, kv => abs(q.pos - kv.pos) <= grid_w || q.pos - kv.pos == frame_len;"),
    (
        "covers",
        "tokens text, vision(t, h, w), sound;
        keep q, kv where cover(any: q.cell == kv.cell && q.t != kv.t) || cover(all: abs(q.pos - kv.pos) < 60);
        skip q, kv where cover(fraction(0.3, 0.5): abs(q.h - kv.h) <= 1 && (q.pos + kv.pos) % 3 != 0); otherwise skip;",
    ),
    (
        "covers of tiles",
        "tokens vision(t, h, w) tiled (2, 4, 4), text;
        keep q, kv where cover(fraction(0.2, 0.4) per frame: abs(q.cell - kv.cell) <= 9 || q in text);
        keep q, kv where cover(any per frame: q.pos + 2147483600 < kv.pos) || cover(all per frame: q.w == kv.w || q.t == kv.t);
        otherwise skip;",
    ),
    ("covers without tokens", "keep q, kv where cover(all: q.pos - kv.pos == 0 || q.pos > 9); otherwise skip;"),
    ("two factors", "mask q, kv => kv.pos <= 2 * q.pos;"),
    ("remainder", "mask q, kv => (q.pos - kv.pos) % 7 <= 3 && kv.pos / 16 != q.pos / 48;"),
    ("bits", "mask q, kv => bit_length(abs(q.pos - kv.pos)) <= 5 || min(q.pos, 40) % 5 == 0;"),
    ("product", "param k: u32 in 1.. = 3; mask q, kv => q.pos * k > kv.pos * 2 - 5;"),
    ("uniform floats", "param share: f32 = 0.5; mask q, kv => kv.pos <= q.pos || float(step) / float(steps) > share * 0.3;"),
    ("float rules", "param share: f32 = 0.5;
        skip q, kv where float(q.block) * share + 0.3 < float(kv.block) / 3.0 && sqrt(float(q.block)) > 1.2;"),
    ("text blocks", "tokens text, vision(t, h, w); keep q, kv where q in text || kv in text; otherwise skip;"),
    (
        "diagonal blocks",
        "param band: u32 = 1; skip q, kv where abs(q.block - kv.block) > band; keep q, kv where kv.block == 0;",
    ),
    (
        "sliding tile",
        "table window: [step, layer, head] of (u32, u32, u32); tokens vision(t, h, w) tiled (2, 4, 4), text;
        keep q, kv where q in text || kv in text || near(q.tile, kv.tile, window); otherwise skip;",
    ),
    (
        "ranges of rules",
        "tokens text, vision(t, h, w), sound;
        skip q in vision, kv in vision where (q.block + kv.block) % 2 == 1; keep q in sound, kv where kv.block < 3;",
    ),
    ("heads", "skip q, kv where (q.block + head) % 2 == kv.block % 2 && layer == 3;"),
    ("cache all", "update when since_update == 3; cache q by hold;"),
    (
        "cache vision",
        "update when since_update == 3; tokens text, vision(t, h, w); cache q in vision where (q.block + step) % 3 != head % 3 by hold;
        compute q where q.block == 2;",
    ),
    (
        "cache and mask",
        "update when since_update == 3; param reach: u32 = 30; cache q where q.block % 2 == 0 by hold; skip q, kv where kv.block % 3 == 1;
        mask q, kv => abs(q.pos - kv.pos) <= reach;",
    ),
];

#[test]
fn written_strategies() {
    check(BODIES.iter().flat_map(|(name, body)| cases(name, body, &mut ChaCha8Rng::seed_from_u64(7))).collect());
}

#[test]
fn random_masks() {
    let mut rng = ChaCha8Rng::seed_from_u64(20);
    let mut all = Vec::new();
    let mut legal = 0;
    while legal < 40 {
        let body = format!("{DECLARATIONS} mask q, kv => {};", random_bool(&mut rng, 3));
        let found = cases(&body, &body, &mut rng);
        legal += usize::from(!found.is_empty());
        all.extend(found);
    }
    check(all);
}

#[test]
fn random_covers() {
    let mut rng = ChaCha8Rng::seed_from_u64(22);
    let mut all = Vec::new();
    let mut legal = 0;
    while legal < 25 {
        let kind = ["any", "all", "fraction(0.3, 0.5)"][rng.random_range(0..3)];
        let frames = [" per frame", ""][rng.random_range(0..2)];
        let mask = random_bool(&mut rng, 2);
        let body = format!("{DECLARATIONS} keep q, kv where cover({kind}{frames}: {mask}); otherwise skip;");
        let found = cases(&body, &body, &mut rng);
        legal += usize::from(!found.is_empty());
        all.extend(found);
    }
    check(all);
}

#[test]
fn random_rules() {
    let mut rng = ChaCha8Rng::seed_from_u64(21);
    let mut all = Vec::new();
    let mut legal = 0;
    while legal < 40 {
        let rules: Vec<String> = (0..rng.random_range(1..5)).map(|_| random_rule(&mut rng)).collect();
        let body = format!("{RULE_DECLARATIONS} {}", rules.join(" "));
        let found = cases(&body, &body, &mut rng);
        legal += usize::from(!found.is_empty());
        all.extend(found);
    }
    check(all);
}

const RULE_DECLARATIONS: &str = "param a: i32 in -9..=9 = 2; param k: u32 in 1..=9 = 3; table r: [head] of u32;
    table window: [step, layer, head] of (u32, u32, u32); update when since_update == 4;
    tokens vision(t, h, w) tiled (2, 4, 4), text, sound;";

fn random_rule(rng: &mut ChaCha8Rng) -> String {
    let range = |rng: &mut ChaCha8Rng| ["", "", " in text", " in vision", " in sound"][rng.random_range(0..5)];
    let (q, kv) = (range(rng), range(rng));
    match rng.random_range(0..8) {
        0 => "otherwise skip;".to_owned(),
        1 => format!("cache q{q} where {} by hold;", random_block_bool(rng, false, 2)),
        2 => format!("compute q{q} where {};", random_block_bool(rng, false, 2)),
        3 => format!("keep q{q}, kv{kv};"),
        4 | 5 => format!("keep q{q}, kv{kv} where {};", random_block_bool(rng, true, 2)),
        _ => format!("skip q{q}, kv{kv} where {};", random_block_bool(rng, true, 2)),
    }
}

fn random_block_bool(rng: &mut ChaCha8Rng, pair: bool, depth: u32) -> String {
    if depth > 0 && rng.random_bool(0.5) {
        let (a, b) = (random_block_bool(rng, pair, depth - 1), random_block_bool(rng, pair, depth - 1));
        return match rng.random_range(0..4) {
            0 => format!("!({a})"),
            1 => format!("({a} && {b})"),
            2 => format!("({a} == {b})"),
            _ => format!("({a} || {b})"),
        };
    }
    let comparison = ["<", "<=", ">", ">=", "==", "!="][rng.random_range(0..6)];
    let kv = if pair { "kv" } else { "q" };
    match rng.random_range(0..6) {
        0 => format!("{kv} in text"),
        1 => "q in vision".to_owned(),
        2 if pair => "near(q.tile, kv.tile, window)".to_owned(),
        3 => format!("(q.block * a + {kv}.block) % k {comparison} head"),
        4 => format!("abs(q.block - {kv}.block) {comparison} min(r, since_update + 1)"),
        _ => format!("float({kv}.block) * 0.7 + 0.1 {comparison} float(q.block + layer) / 3.0"),
    }
}

const DECLARATIONS: &str = "param a: i32 in -40..=40 = 5; param k: u32 in 1..=9 = 3; table r: [head] of u32;
    input doc: [token] of i32; input weight: [token] of f32; tokens text, vision(t, h, w) tiled (2, 4, 4), sound;";

/// A random bool over a token pair.
fn random_bool(rng: &mut ChaCha8Rng, depth: u32) -> String {
    if depth > 0 && rng.random_bool(0.6) {
        let (a, b) = (random_bool(rng, depth - 1), random_bool(rng, depth - 1));
        return match rng.random_range(0..5) {
            0 => format!("!({a})"),
            1 | 2 => format!("({a} && {b})"),
            _ => format!("({a} || {b})"),
        };
    }
    let comparison = ["<", "<=", ">", ">=", "==", "!="][rng.random_range(0..6)];
    match rng.random_range(0..14) {
        12 => format!("{} {comparison} {}", random_float(rng, 2), random_float(rng, 2)),
        13 => format!("q.cell {comparison} kv.cell"),
        0 => "q in text".to_owned(),
        1 => "kv in vision".to_owned(),
        2 => "doc[q] == doc[kv]".to_owned(),
        3 => "near(q.tile, kv.tile, (1, 3, 1))".to_owned(),
        4 => format!("q.h {comparison} kv.h"),
        5 => format!("abs(q.w - kv.w) {comparison} k"),
        6 | 7 => format!("{} {comparison} {}", random_int(rng, 2), random_int(rng, 2)),
        _ => format!("q.pos - kv.pos {comparison} {} * a + {}", rng.random_range(1..9), rng.random_range(0..99)),
    }
}

fn random_int(rng: &mut ChaCha8Rng, depth: u32) -> String {
    if depth == 0 || rng.random_bool(0.3) {
        let leaves = ["q.pos", "kv.pos", "q.t", "kv.w", "doc[q]", "a", "k", "r", "17", "q.cell", "kv.cell", "grid_w"];
        return leaves[rng.random_range(0..leaves.len())].to_owned();
    }
    let (a, b) = (random_int(rng, depth - 1), random_int(rng, depth - 1));
    match rng.random_range(0..9) {
        0 => format!("abs({a})"),
        1 => format!("min({a}, {b})"),
        2 => format!("max({a}, {b})"),
        3 => format!("clamp({a}, -3, {b})"),
        4 => format!("({a} + {b})"),
        5 => format!("({a} - {b})"),
        6 => format!("({a} * {b})"),
        7 => format!("({a} / {})", rng.random_range(1..20)),
        _ => format!("({a} % k)"),
    }
}

/// Without functions that the compiler of the host rounds in its own way.
fn random_float(rng: &mut ChaCha8Rng, depth: u32) -> String {
    if depth == 0 || rng.random_bool(0.3) {
        let int = random_int(rng, 1);
        return [format!("float({int})"), "weight[kv]".to_owned(), "0.75".to_owned()][rng.random_range(0..3)].clone();
    }
    let (a, b) = (random_float(rng, depth - 1), random_float(rng, depth - 1));
    match rng.random_range(0..10) {
        0 => format!("sqrt({a})"),
        1 => format!("abs({a})"),
        2 => format!("min({a}, {b})"),
        3 => format!("max({a}, {b})"),
        4 => format!("({a} + {b})"),
        5 => format!("({a} - {b})"),
        6 => format!("({a} * {b})"),
        7 => format!("({a} / {b})"),
        // Past 32 bits the compiler of the host rounds in its own way.
        8 => format!("float(floor(clamp({a}, -99.0, 99.0)))"),
        _ => format!("clamp({a}, -3.5, {b})"),
    }
}

/// The strategy with this body on every problem that fits it; nothing for a random one that the language refuses.
fn cases(name: &str, body: &str, rng: &mut ChaCha8Rng) -> Vec<Case> {
    let strategy = match sparsym_dsl_core::compile_str("test", &format!("pub Test {{ {body} }}")) {
        Ok(strategy) => strategy,
        Err(_) if name == body => return Vec::new(),
        Err(findings) => panic!("{name}: {findings}"),
    };
    problems(&strategy)
        .into_iter()
        .filter_map(|problem| {
            let bindings = bindings(&strategy, &problem, rng);
            let moment = Moment { step: 2, steps: 9, since_update: 1, layer: 3 };
            let fits = Bound::new(&strategy, &problem, &bindings).is_ok();
            let strategy = strategy.clone();
            fits.then(|| Case { name: name.to_owned(), strategy, problem, bindings, moment })
        })
        .collect()
}

fn problems(strategy: &Strategy) -> Vec<Problem> {
    let with = |n: usize, heads: usize, [q, kv]: [u32; 2], ranges: Vec<LayoutRange>| Problem {
        blocks: Blocks { q, kv },
        layout: Layout { ranges },
        ..Problem::self_attention(2, n, heads, 64)
    };
    let has = |name: &str| strategy.tokens.iter().any(|range| range.name == name);
    let grid = |extent| LayoutRange::grid("vision", extent);
    let text = |n| LayoutRange::plain("text", n);
    let mut problems = Vec::new();
    if strategy.tokens.is_empty() {
        problems.push(with(1, 3, [64, 64], Vec::new()));
        problems.push(with(333, 3, [32, 16], Vec::new()));
        problems.push(with(1100, 2, [64, 16], Vec::new()));
        let ragged = Ragged { q: vec![0, 70, 70, 203, 204], kv: vec![0, 70, 70, 203, 204] };
        problems.push(Problem { batch: 4, ragged: Some(ragged), ..with(140, 2, [32, 16], Vec::new()) });
        if strategy.inputs.is_empty() {
            problems.push(Problem { n_kv: 515, ..with(100, 67, [16, 32], Vec::new()) });
        }
    } else {
        let sound = || has("sound").then(|| LayoutRange::plain("sound", 21));
        problems.push(with(
            128 + 37 + 21 * usize::from(has("sound")),
            3,
            [32, 16],
            [grid([2, 8, 8]), text(37)].into_iter().chain(sound()).collect(),
        ));
        problems.push(with(
            384 + 32 + 21 * usize::from(has("sound")),
            2,
            [16, 32],
            [text(32), grid([4, 8, 12])].into_iter().chain(sound()).collect(),
        ));
        problems.push(with(
            96 + 21 + 21 * usize::from(has("sound")),
            2,
            [32, 32],
            [text(21), grid([2, 4, 12])].into_iter().chain(sound()).collect(),
        ));
    }
    problems
}

fn bindings(strategy: &Strategy, problem: &Problem, rng: &mut ChaCha8Rng) -> Bindings {
    let mut bindings = Bindings::defaults(strategy);
    for table in &strategy.tables {
        let shape: Vec<usize> = table.axes.iter().map(|axis| if *axis == TableAxis::Head { 2 } else { 3 }).collect();
        let numbers = if matches!(table.element, Element::Three(_)) { 3 } else { 1 };
        let n = shape.iter().product::<usize>() * numbers;
        bindings.tables.push(TableData { shape, values: (0..n).map(|_| rng.random_range(0..9) as f32).collect() });
    }
    let tokens = problem.q_shape()[..2].iter().product();
    for input in &strategy.inputs {
        let most = if input.scalar == Scalar::Bool { 2 } else { 9 };
        let mut value = 0;
        let mut next = || {
            if rng.random_bool(0.03) {
                value = rng.random_range(0..most);
            }
            value as f32
        };
        bindings.inputs.push(InputData { values: (0..tokens).map(|_| next()).collect() });
    }
    bindings
}

/// Runs every case and compares all words.
fn check(cases: Vec<Case>) {
    assert!(!cases.is_empty());
    let mut kernels: Vec<Kernel> = Vec::new();
    let mut launches = Vec::new();
    let index_of = |kernels: &mut Vec<Kernel>, kernel: Kernel| {
        kernels.iter().position(|known| known.source == kernel.source).unwrap_or_else(|| {
            kernels.push(kernel);
            kernels.len() - 1
        })
    };
    for case in &cases {
        let index = index_of(&mut kernels, kernel(case));
        let bound = Bound::new(&case.strategy, &case.problem, &case.bindings).unwrap();
        launches.push(Launch::new(index, &kernels[index], &bound, &case.moment));
    }
    let program = Program::compile(&kernels);
    for (case, written) in cases.iter().zip(program.run(&launches)) {
        compare(case, &written);
    }
    println!("{} launches of {} kernels", cases.len(), kernels.len());
}

fn kernel(case: &Case) -> Kernel {
    let mut request = Request::new(&case.strategy, Room::Symbols, Target::parse("sm_80").unwrap());
    let RoomRequest::Symbols(of) = &mut request.room else { panic!("a request of symbols") };
    of.blocks = case.problem.blocks;
    of.sequences = if case.problem.ragged.is_some() { Sequences::Ragged } else { Sequences::Uniform };
    generate(&request).unwrap_or_else(|findings| panic!("{}: {findings}", case.name))
}

fn compare(case: &Case, written: &[(Buffer, Vec<u64>)]) {
    let bound = Bound::new(&case.strategy, &case.problem, &case.bindings).unwrap();
    let expected = static_symbols(&bound, &case.moment);
    let ones = sparsym_ir::Symbols::dense(
        case.problem.batch,
        case.problem.heads,
        case.problem.q_blocks(),
        case.problem.kv_blocks(),
    );
    let full = expected.full.as_ref().unwrap_or(&ones.skip);
    for (buffer, expected, untouched) in [
        (Buffer::CacheSymbol, expected.cache.rows(), ones.cache.rows()),
        (Buffer::SkipSymbol, expected.skip.rows(), ones.skip.rows()),
        (Buffer::FullSymbol, full.rows(), ones.skip.rows()),
    ] {
        let found = written.iter().find(|(known, _)| *known == buffer);
        let words = found.map_or(untouched.words(), |(_, words)| words);
        if words != expected.words() {
            let at = words.iter().zip(expected.words()).position(|(a, b)| a != b).unwrap_or(words.len());
            panic!(
                "{}: {buffer:?} differs at word {at} of {} (N {}, blocks {:?}): {:#018x}, expected {:#018x}\n{}",
                case.name,
                words.len(),
                case.problem.n_q,
                case.problem.blocks,
                words[at],
                expected.words()[at],
                kernel(case).source
            );
        }
    }
}

#[test]
fn sums_that_leave_32_bits_make_every_pair_partial() {
    let text = "pub Test { param shift: i32 = 0; mask q, kv => q.pos + shift >= kv.pos; }";
    let strategy = sparsym_dsl_core::compile_str("test", text).unwrap();
    let problem = Problem { blocks: Blocks { q: 16, kv: 16 }, ..Problem::self_attention(1, 64, 1, 64) };
    let bindings = Bindings { params: vec![Value::Int(i64::from(i32::MAX) - 3)], ..Bindings::default() };
    let case = Case { name: "guard".to_owned(), strategy, problem, bindings, moment: Moment::default() };
    let kernel = kernel(&case);
    let bound = Bound::new(&case.strategy, &case.problem, &case.bindings).unwrap();
    let launch = Launch::new(0, &kernel, &bound, &case.moment);
    let written = Program::compile(&[kernel]).run(&[launch]).remove(0);
    assert_eq!(written, [(Buffer::SkipSymbol, vec![0xf; 4]), (Buffer::FullSymbol, vec![0; 4])]);
}
