//! Integers of 32 bits that wrap: random expressions, as masks and as block rules, mean the same to the oracle, to the CPU
//! device and to kernels on the emulator, bit for bit.
//!
//! A strategy holds one expression for each head, so one kernel judges several. `INTEGERS_CASES` asks for another number
//! of strategies of either kind.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sparsym::ir::bind::{Bindings, Bound, InputData};
use sparsym::ir::strategy::{Blocks, Strategy, Value};
use sparsym::ir::{AttentionCall, DType, Moment, Problem, SymbolsCall, Tensor};
use sparsym_tests::devices::{self, Availability, Column};

const HEADS: usize = 8;
/// Tokens and channels: V is the identity, so an element of O says whether one pair passes.
const TOKENS: usize = 64;

/// Names that rules may read, and their declarations.
const DECLARATIONS: [(&str, &str); 8] = [
    ("far", "param far: i32 = 2147483600;"),
    ("least", "param least: i32 = -2147483648;"),
    ("steep", "param steep: i32 in 1.. = 16777216;"),
    ("any", "param any: i32 = 7;"),
    ("minus", "param minus: i32 in ..=-1 = -1;"),
    ("small", "param small: u32 in 1..=64 = 3;"),
    ("half", "param half: f32 = 0.5;"),
    ("document", "input document: [token] of i32;"),
];

/// Numbers at which something may go wrong.
const EDGES: &[i64] = &[
    0,
    1,
    2,
    3,
    7,
    16,
    31,
    63,
    100,
    255,
    65_535,
    65_536,
    46_341,
    16_777_216,
    16_777_217,
    50_000_000,
    1_073_741_824,
    2_147_483_600,
    2_147_483_647,
    -1,
    -2,
    -7,
    -65_536,
    -1_073_741_824,
    -2_147_483_647,
    -2_147_483_648,
];

#[test]
fn masks() {
    let devices = devices();
    for seed in 0..cases(3) {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        let strategy = legal(|| {
            let condition = one_for_each_head(|| bool(&mut rng, ["q.pos", "kv.pos"], 3));
            format!("mask q, kv => {condition};")
        });
        check_mask(&devices, &format!("seed {seed}"), &strategy, &mut rng);
    }
}

#[test]
fn block_rules() {
    let devices = devices();
    for seed in 0..cases(3) {
        let mut rng = ChaCha8Rng::seed_from_u64(1000 + seed);
        let strategy = legal(|| {
            let condition = one_for_each_head(|| bool(&mut rng, ["q.block", "kv.block"], 3));
            format!("skip q, kv where {condition};")
        });
        check_blocks(&devices, &format!("seed {seed}"), &strategy, &mut rng);
    }
}

/// What a C compiler may assume of signed integers, and of casts, one form after the other.
#[test]
fn written_masks() {
    let rules = [
        "q.pos + far >= kv.pos + far",
        "q.pos + 2147483600 > q.pos && kv.pos <= q.pos",
        "q.pos * 16777216 / 16777216 >= kv.pos",
        "q.pos * steep / steep >= kv.pos",
        "0 - (least + q.pos - q.pos) > -1 || kv.pos <= q.pos",
        "bit_length(q.pos * 50000000) == bit_length(kv.pos * 50000000)",
        "abs(least + kv.pos) < 0 && -(least + q.pos) < 0 || q.pos == kv.pos",
        "(least + q.pos / 40) / minus > kv.pos || (least + kv.pos) % minus == q.pos",
        "clamp(q.pos - 20, 30, kv.pos) > kv.pos",
        "(q.pos - kv.pos) / 7 * 7 + (q.pos - kv.pos) % 7 == q.pos - kv.pos && (q.pos - kv.pos) % 7 < 0",
        "q.pos < -2147483648 + 32 + 2147483647 && kv.pos - -2147483648 < 0",
        "floor(float(q.pos) * 1e30) > kv.pos && ceil(float(kv.pos) * -1e30) < least + 1",
        "floor((float(q.pos) - float(kv.pos)) / float(kv.pos) * 1e9) >= 1000000000",
        "float(q.pos * steep + 2147483647) < float(kv.pos * steep)",
        "floor(sqrt(float(kv.pos - q.pos))) == 0",
        "max(q.pos + far, kv.pos) == min(kv.pos + far, q.pos)",
    ];
    let devices = devices();
    for (n, rules) in rules.chunks(HEADS).enumerate() {
        let mut rules = rules.iter();
        let rule = format!("mask q, kv => {};", one_for_each_head(|| (*rules.next().unwrap_or(&"true")).to_owned()));
        let strategy = strategy(&rule).unwrap_or_else(|why| panic!("{why}"));
        check_mask(&devices, &format!("part {n}"), &strategy, &mut ChaCha8Rng::seed_from_u64(0));
    }
}

#[test]
fn written_block_rules() {
    let rules = [
        "q.block * 500000000 + far < kv.block * 300000000",
        "q.block + 2147483647 > kv.block + 2147483647",
        "(q.block - kv.block + least) / minus < 0",
        "abs(least + q.block * kv.block) <= 0",
        "bit_length(q.block * 214748364 * kv.block) > 20",
        "q.len * steep * 16 == 0 && kv.block % 2 == 0",
        "clamp(q.block * steep * 64, kv.block * steep * 64, 0) < 0",
        "(q.block * block_q * 33554432 + kv.block * block_kv * 33554432) % 3 == 1",
    ];
    let mut each = rules.iter();
    let condition = one_for_each_head(|| (*each.next().unwrap()).to_owned());
    let rule = format!("skip q, kv where {condition};");
    let strategy = strategy(&rule).unwrap_or_else(|why| panic!("{why}"));
    check_blocks(&devices(), "written", &strategy, &mut ChaCha8Rng::seed_from_u64(0));
}

fn cases(usual: u64) -> u64 {
    std::env::var("INTEGERS_CASES").map_or(usual, |n| n.parse().expect("INTEGERS_CASES is a number"))
}

fn devices() -> Vec<Column> {
    let find = |name: &&str| match devices::find(name) {
        Availability::Present(column) => column,
        Availability::Absent { reason } => panic!("{name} needs no hardware, yet it is absent: {reason}"),
    };
    ["reference", "cpu", "emulator sm_80"].iter().map(find).collect()
}

/// `head == 0 && (…) || head == 1 && (…) || …`
fn one_for_each_head(mut condition: impl FnMut() -> String) -> String {
    let parts: Vec<String> = (0..HEADS).map(|head| format!("head == {head} && ({})", condition())).collect();
    parts.join("\n        || ")
}

/// The strategy of that rule, or its text and what is wrong with it.
fn strategy(rule: &str) -> Result<Strategy, String> {
    let read = DECLARATIONS.iter().filter(|(name, _)| rule.contains(name));
    let declarations: Vec<&str> = read.map(|(_, declaration)| *declaration).collect();
    let text = format!("pub Integers {{ blocks q = 16, kv = 16; {} {rule} }}", declarations.join(" "));
    sparsym::language::compile_str("integers", &text).map_err(|findings| format!("{text}\n{findings}"))
}

/// The first strategy of a random rule that the checks let pass: they refuse what is always true, for instance.
fn legal(mut rule: impl FnMut() -> String) -> Strategy {
    let mut refused = String::new();
    for _ in 0..100 {
        match strategy(&rule()) {
            Ok(strategy) => return strategy,
            Err(why) => refused = why,
        }
    }
    panic!("no rule is legal; of the last one: {refused}")
}

/// Defaults, or what else may be given.
fn bindings(strategy: &Strategy, tokens: usize, rng: &mut impl Rng) -> Bindings {
    let mut bindings = Bindings::defaults(strategy);
    for (param, value) in strategy.params.iter().zip(&mut bindings.params) {
        if param.name == "any" && rng.random_bool(0.7) {
            *value = Value::Int(EDGES[rng.random_range(0..EDGES.len())]);
        }
    }
    const NUMBERS: [f32; 7] = [0.0, 1.0, 2.0, -1.0, -5.0, 16_777_215.0, -16_777_215.0];
    for _ in &strategy.inputs {
        let values = (0..tokens).map(|_| NUMBERS[rng.random_range(0..NUMBERS.len())]).collect();
        bindings.inputs.push(InputData { values });
    }
    bindings
}

fn check_mask(devices: &[Column], name: &str, strategy: &Strategy, rng: &mut impl Rng) {
    let rule = sparsym::language::print(strategy);
    let mut problem = Problem::self_attention(1, TOKENS, HEADS, TOKENS);
    problem.blocks = Blocks { q: 64, kv: 64 };
    let bindings = bindings(strategy, TOKENS, rng);
    let bound = Bound::new(strategy, &problem, &bindings).unwrap_or_else(|findings| panic!("{findings}"));
    let shape = [1, TOKENS, HEADS, TOKENS];
    let zeros = Tensor::zeros(&shape, DType::F16);
    let identity: Vec<f32> =
        (0..TOKENS * HEADS * TOKENS).map(|at| if at / (HEADS * TOKENS) == at % TOKENS { 1.0 } else { 0.0 }).collect();
    let v = Tensor::from_f32(&shape, DType::F16, &identity);
    let moment = Moment { step: 3, steps: 10, ..Moment::default() };
    let passing = |column: &Column| -> Vec<bool> {
        let call = SymbolsCall { bound: &bound, moment, data: None };
        let symbols = column.device.symbols(&call).unwrap_or_else(|why| panic!("{name} on {}: {why}", column.name));
        let call =
            AttentionCall { bound: &bound, moment, q: &zeros, k: &zeros, v: &v, symbols: &symbols, forecast: None };
        let output = column.device.attention(&call).unwrap_or_else(|why| panic!("{name} on {}: {why}", column.name));
        output.o.to_f32().iter().map(|&o| o != 0.0).collect()
    };
    let truth = passing(&devices[0]);
    for column in &devices[1..] {
        let found = passing(column);
        if let Some(at) = (0..truth.len()).find(|&at| truth[at] != found[at]) {
            let (q, head, kv) = (at / (HEADS * TOKENS), at / TOKENS % HEADS, at % TOKENS);
            let wrong = (0..truth.len()).filter(|&at| truth[at] != found[at]).count();
            let params = &bindings.params;
            panic!("{name} on {}: {wrong} pairs differ; ({q}, {kv}) of head {head}\n{rule}\n{params:?}", column.name);
        }
    }
}

fn check_blocks(devices: &[Column], name: &str, strategy: &Strategy, rng: &mut impl Rng) {
    let rule = sparsym::language::print(strategy);
    let mut problem = Problem::self_attention(1, 40 * 16 - 5, HEADS, TOKENS);
    problem.blocks = Blocks { q: 16, kv: 16 };
    let bindings = bindings(strategy, problem.n_q, rng);
    let bound = Bound::new(strategy, &problem, &bindings).unwrap_or_else(|findings| panic!("{findings}"));
    let call = SymbolsCall { bound: &bound, moment: Moment { step: 3, steps: 10, ..Moment::default() }, data: None };
    let kept = |column: &Column| {
        column.device.symbols(&call).unwrap_or_else(|why| panic!("{name} on {}: {why}", column.name)).skip.unpack()
    };
    let truth = kept(&devices[0]);
    for column in &devices[1..] {
        let found = kept(column);
        let differ: Vec<usize> = (0..truth.len()).filter(|&at| truth[at] != found[at]).collect();
        let heads: std::collections::BTreeSet<usize> = differ.iter().map(|at| at / (40 * 40)).collect();
        let (count, params) = (differ.len(), &bindings.params);
        assert!(differ.is_empty(), "{name} on {}: {count} pairs of heads {heads:?}\n{rule}\n{params:?}", column.name);
    }
}

fn pick<'a>(rng: &mut impl Rng, words: &[&'a str]) -> &'a str {
    words[rng.random_range(0..words.len())]
}

fn literal(rng: &mut impl Rng) -> String {
    EDGES[rng.random_range(0..EDGES.len())].to_string()
}

fn bool(rng: &mut impl Rng, places: [&str; 2], depth: u32) -> String {
    let a = int(rng, places, depth);
    let operator = pick(rng, &["<", "<=", ">", ">=", "==", "!="]);
    match rng.random_range(0..10) {
        0..4 => format!("{a} {operator} {}", int(rng, places, depth)),
        4..6 => format!("{a} % {} < {}", rng.random_range(2..6), rng.random_range(-1..3)),
        6 => format!("float({a}) {operator} float({})", int(rng, places, depth - 1)),
        7 => format!("!({a} {operator} {})", literal(rng)),
        _ => format!("{a} {operator} {}", literal(rng)),
    }
}

fn int(rng: &mut impl Rng, places: [&str; 2], depth: u32) -> String {
    if depth == 0 || rng.random_bool(0.1) {
        return match rng.random_range(0..9) {
            0..5 => pick(rng, &places).to_owned(),
            5 => literal(rng),
            6 if places[0] == "q.pos" => format!("document[{}]", pick(rng, &["q", "kv"])),
            6 => pick(rng, &["q.len", "kv.len", "block_q"]).to_owned(),
            _ => pick(rng, &["far", "least", "steep", "any", "minus", "small", "step", "D"]).to_owned(),
        };
    }
    let operand = |rng: &mut _| int(rng, places, depth - 1);
    let a = operand(rng);
    match rng.random_range(0..16) {
        0..3 => format!("({a} + {})", operand(rng)),
        3..6 => format!("({a} - {})", operand(rng)),
        6..8 => format!("({a} * {})", operand(rng)),
        8..10 => {
            let b = match rng.random_range(0..4) {
                0 => format!("max({}, 1)", operand(rng)),
                1 => format!("min({}, -1)", operand(rng)),
                2 => pick(rng, &["2", "7", "-1", "-3", "65536", "-2147483648", "2147483647"]).to_owned(),
                _ => pick(rng, &["steep", "minus", "small", "heads", "D"]).to_owned(),
            };
            format!("({a} {} {b})", pick(rng, &["/", "%"]))
        }
        10 => format!("(-{a})"),
        11 => format!("abs({a})"),
        12 => format!("{}({a}, {})", pick(rng, &["min", "max"]), operand(rng)),
        13 => format!("clamp({a}, {}, {})", operand(rng), operand(rng)),
        14 => format!("bit_length({a})"),
        _ => {
            format!("{}(float({a}) * {})", pick(rng, &["floor", "ceil"]), pick(rng, &["half", "1e9", "-3.25", "0.001"]))
        }
    }
}
