//! The published strategies against worked numbers, on every device: expected bits by hand or by the strategies' own code.
//!
//! The fixtures have blocks of two tokens of a few channels. Where kernels want more, each token is repeated and padded with
//! zero channels, and K is scaled so that logits stay what they were: means, similarities and scores do not change.

use sparsym::ir::bind::TableData;
use sparsym::ir::problem::{Layout, LayoutRange};
use sparsym::ir::strategy::{Blocks, Strategy, Value};
use sparsym::ir::{Bindings, Bound, DType, Moment, Problem, Symbols, SymbolsCall, Tensor};
use sparsym::{StrategyType, zoo};
use sparsym_tests::devices::{self, Availability};

/// Rows of small integers, one for each token.
type Tokens = &'static [&'static [i32]];

/// What a fixture is asked on.
struct Fixture {
    strategy: Strategy,
    bindings: Bindings,
    problem: Problem,
    moment: Moment,
    q: Tensor,
    k: Tensor,
}

impl Fixture {
    /// Of one token sequence for each head, repeated `repeat` times, in blocks of `2 * repeat` tokens.
    fn new(strategy: Strategy, q: &[Tokens], k: &[Tokens], repeat: usize) -> Fixture {
        const HEAD_DIM: usize = 128;
        let (heads, n, d) = (q.len(), q[0].len() * repeat, q[0][0].len());
        let mut problem = Problem::self_attention(1, n, heads, HEAD_DIM);
        problem.blocks = Blocks { q: 2 * repeat as u32, kv: 2 * repeat as u32 };
        let unscaled = (HEAD_DIM as f32 / d as f32).sqrt();
        let tensor = |of: &[Tokens], factor: f32| {
            let value = |index: usize| {
                let (token, h, c) = (index / (heads * HEAD_DIM) / repeat, index / HEAD_DIM % heads, index % HEAD_DIM);
                of[h][token].get(c).map_or(0.0, |&x| factor * x as f32)
            };
            let shape = [1, n, heads, HEAD_DIM];
            let values: Vec<f32> = (0..n * heads * HEAD_DIM).map(value).collect();
            Tensor::from_f32(&shape, DType::F16, &values)
        };
        let (q, k) = (tensor(q, 1.0), tensor(k, unscaled));
        let bindings = Bindings::defaults(&strategy);
        Fixture { strategy, bindings, problem, moment: Moment { steps: 50, ..Moment::default() }, q, k }
    }

    /// Of a matrix of pooled scores, one block for each row and column.
    fn of_scores(strategy: Strategy, scores: &[&[f32]]) -> Fixture {
        const HEAD_DIM: usize = 64;
        const BLOCK: usize = 16;
        let n = scores[0].len() * BLOCK;
        let mut problem = Problem::self_attention(1, n, 1, HEAD_DIM);
        problem.blocks = Blocks { q: BLOCK as u32, kv: BLOCK as u32 };
        let tensor = |value: &dyn Fn(usize, usize) -> f32| {
            let values: Vec<f32> = (0..n * HEAD_DIM).map(|at| value(at / HEAD_DIM / BLOCK, at % HEAD_DIM)).collect();
            Tensor::from_f32(&[1, n, 1, HEAD_DIM], DType::F16, &values)
        };
        let q = tensor(&|block, channel| if block == channel && block < scores.len() { 1.0 } else { 0.0 });
        let k = tensor(&|block, channel| scores.get(channel).map_or(0.0, |row| row[block]));
        let bindings = Bindings::defaults(&strategy);
        Fixture { strategy, bindings, problem, moment: Moment { steps: 50, ..Moment::default() }, q, k }
    }

    fn set(mut self, name: &str, value: Value) -> Fixture {
        let at = self.strategy.params.iter().position(|param| param.name == name);
        self.bindings.params[at.unwrap_or_else(|| panic!("no param {name}"))] = value;
        self
    }

    /// Asks every device that needs no hardware.
    fn on_every_device(&self, check: impl Fn(&str, &Symbols)) {
        let bound = Bound::new(&self.strategy, &self.problem, &self.bindings).unwrap_or_else(|why| panic!("{why}"));
        let call = SymbolsCall { bound: &bound, moment: self.moment, data: Some((&self.q, &self.k)) };
        for name in devices::EVERYWHERE {
            match devices::find(name) {
                Availability::Present(column) => match column.device.symbols(&call) {
                    Ok(symbols) => check(name, &symbols),
                    Err(why) => panic!("{} on {name}: {why}", self.strategy.name),
                },
                Availability::Absent { reason } => panic!("{name} needs no hardware, yet it is absent: {reason}"),
            }
        }
    }

    /// Expects these rows of S_s, one string for each query block of head 0, and all others as they come.
    fn expect_rows(&self, rows: &[&str]) {
        self.on_every_device(|device, symbols| {
            let found: Vec<String> = (0..rows.len()).map(|i| row(symbols, 0, i)).collect();
            assert_eq!(found, rows, "{} on {device}", self.strategy.name);
        });
    }
}

fn zoo(name: &str) -> Strategy {
    zoo::find(name).unwrap_or_else(|| panic!("the zoo has no {name}")).strategy.clone()
}

fn text(text: &str) -> Strategy {
    sparsym::language::compile_str("fixture", text).unwrap_or_else(|findings| panic!("{findings}"))
}

fn bits(bits: impl Iterator<Item = bool>) -> String {
    bits.map(|bit| if bit { '1' } else { '0' }).collect()
}

fn row(symbols: &Symbols, h: usize, i: usize) -> String {
    bits((0..symbols.skip.kv_blocks()).map(|j| symbols.skip.get(0, h, i, j)))
}

fn column(symbols: &Symbols, h: usize) -> String {
    bits((0..symbols.cache.q_blocks()).map(|i| symbols.cache.get(0, h, i)))
}

/// FlashOmni's own layout: flat bits, little-endian in each byte.
fn packed(bits: impl Iterator<Item = bool>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for (n, bit) in bits.enumerate() {
        if n % 8 == 0 {
            bytes.push(0);
        }
        *bytes.last_mut().unwrap() |= u8::from(bit) << (n % 8);
    }
    bytes
}

fn head_table(values: &[f32]) -> TableData {
    TableData { shape: vec![1, 1, values.len()], values: values.to_vec() }
}

// ---- FX0 ---------------------------------------------------------------------------------------

const MASSES: &[&[f32]] = &[&[0.25, 0.5, 0.125, 0.125]];

fn mass_rule(rule: &str, tau: f64) {
    let text = text(&format!("pub Masses {{ param tau: f32 in 0.0..=1.0 = 0.5; let p = pool(Q) . pool(K); {rule} }}"));
    let expected = |bits: [&str; 2]| bits[usize::from(tau < 0.72)].to_owned();
    let kept = match rule {
        _ if rule.contains("at least 1") => expected(["1100", "0100"]),
        _ if rule.contains("_before(p[q, kv]) < ") => expected(["1100", "1100"]),
        _ if rule.contains("_before(p[q, kv]) <=") => expected(["1110", "1100"]),
        _ if rule.contains("ascending_mass(") && rule.starts_with("skip") => expected(["1100", "1100"]),
        _ => panic!("no expectation for {rule}"),
    };
    Fixture::of_scores(text, MASSES).set("tau", Value::Float(tau)).expect_rows(&[&kept]);
}

#[test]
fn fx0_the_six_conventions_of_cumulative_mass() {
    let m1 = "keep q, kv where descending_mass(p[q, kv]) <= tau at least 1; otherwise skip;";
    let m2 = "keep q, kv where descending_mass_before(p[q, kv]) < tau * sum(kv: p[q, kv]); otherwise skip;";
    // M3 keeps the first always; M4 counts the elements within tau and one more: the same.
    let m3 = "keep q, kv where descending_mass_before(p[q, kv]) <= tau; otherwise skip;";
    let m5 = "keep q, kv where descending_mass_before(p[q, kv]) < tau; otherwise skip;";
    let m6 = "skip q, kv where ascending_mass(p[q, kv]) <= 1.0 - tau;";
    for rule in [m1, m2, m3, m5, m6] {
        mass_rule(rule, 0.75);
        mass_rule(rule, 0.70);
    }
}

// ---- FX1 ---------------------------------------------------------------------------------------

const FX1_Q: [Tokens; 2] = [
    &[
        &[1, -2, -1, -2],
        &[3, -3, -3, 0],
        &[2, 0, 3, 2],
        &[3, 3, -1, -1],
        &[0, -1, -2, 1],
        &[-3, 3, 2, 1],
        &[-1, 2, -1, 3],
        &[0, -2, 1, 1],
        &[3, 3, 0, 2],
        &[1, -2, 1, 0],
        &[-3, 3, 3, 2],
        &[1, -3, 0, -3],
    ],
    &[
        &[2, 2, -2, 2],
        &[-3, -3, 0, -3],
        &[1, 0, -2, -1],
        &[0, -3, 2, 0],
        &[1, 2, -2, -3],
        &[3, 0, -3, -2],
        &[-1, -1, -2, -2],
        &[-2, -1, 1, -2],
        &[1, 1, 1, 1],
        &[3, -1, -1, 0],
        &[-1, -3, 2, -1],
        &[0, 2, 0, 0],
    ],
];
const FX1_K: [Tokens; 2] = [
    &[
        &[-3, 2, 0, 1],
        &[-1, -3, 0, 1],
        &[-2, -3, -1, -2],
        &[-3, -3, 1, 1],
        &[-3, 0, 0, 3],
        &[1, 3, -1, -3],
        &[-2, 0, -1, -3],
        &[1, 3, -3, 2],
        &[-3, -2, -3, 1],
        &[1, -2, 3, -2],
        &[-3, -3, -1, -1],
        &[-1, 3, -2, 2],
    ],
    &[
        &[2, 3, 1, 3],
        &[2, 3, 3, 3],
        &[1, 2, -2, 0],
        &[-1, -3, 0, 1],
        &[-2, 3, -1, 0],
        &[0, 0, 0, -2],
        &[-3, 2, 3, 1],
        &[2, 1, 1, -2],
        &[2, -1, 0, 1],
        &[2, 3, -1, 1],
        &[-1, 0, 3, 2],
        &[3, 1, -2, -2],
    ],
];

#[test]
fn fx1_flash_omni() {
    let mut fixture = Fixture::new(zoo("flash_omni"), &FX1_Q, &FX1_K, 8);
    fixture.problem.layout = Layout { ranges: vec![LayoutRange::plain("text", 32), LayoutRange::plain("vision", 64)] };
    fixture.moment.step = 40;
    let rows = [
        ["010110", "101100", "101101", "111011", "101111", "111011"],
        ["011011", "011111", "011011", "011100", "100011", "111101"],
    ];
    fixture.on_every_device(|device, symbols| {
        assert_eq!([column(symbols, 0), column(symbols, 1)], ["111101", "110011"], "S_c on {device}");
        for (h, rows) in rows.iter().enumerate() {
            let found: Vec<String> = (0..6).map(|i| row(symbols, h, i)).collect();
            assert_eq!(found, rows, "S_s of head {h} on {device}");
        }
        assert_eq!(symbols.cache.density(), 0.75, "more than 0.30: no degradation");
        let s_c = (0..6).flat_map(|i| (0..2).map(move |h| (i, h)));
        let s_s = s_c.clone().flat_map(|(i, h)| (0..6).map(move |j| (i, h, j)));
        assert_eq!(packed(s_c.map(|(i, h)| symbols.cache.get(0, h, i))), [0x5f, 0x0e], "packed S_c on {device}");
        let expected = [0x9a, 0xdd, 0xf8, 0xad, 0x7d, 0x3b, 0x7d, 0x7c, 0xbf];
        assert_eq!(packed(s_s.map(|(i, h, j)| symbols.skip.get(0, h, i, j))), expected, "packed S_s on {device}");
    });
}

// ---- FX3 ---------------------------------------------------------------------------------------

const FX3_Q: Tokens = &[&[2, 0], &[1, -2], &[-1, -2], &[-2, 0], &[-1, 1], &[0, 2], &[-1, 1], &[2, -2]];
const FX3_K: Tokens = &[&[1, 2], &[-1, 1], &[1, 1], &[0, 1], &[2, -1], &[2, -1], &[-1, -2], &[1, 0]];

fn sparge(strategy: Strategy) -> Fixture {
    Fixture::new(strategy, &[FX3_Q], &[FX3_K], 8).set("theta", Value::Float(0.5)).set("tau", Value::Float(0.8))
}

#[test]
fn fx3_sparge() {
    let centred = ["0011", "1101", "1001", "1111"];
    sparge(zoo("sparge")).expect_rows(&centred);
    let plain = sparsym::language::print(&zoo("sparge")).replace("center(K)", "K");
    sparge(text(&plain)).expect_rows(&["0011", "1101", "1001", "1111"]);
    let top_k = sparge(zoo("sparge")).set("tau", Value::Float(0.0)).set("keep", Value::Float(0.5));
    top_k.expect_rows(&["0111", "1101", "1101", "1111"]);
    // The diagonal is missing in two rows: only the first of a row is sure to stay.
    let causal = sparge(text(&plain)).set("causal", Value::Bool(true));
    causal.expect_rows(&["1000", "1000", "1000", "1111"]);
}

// ---- FX5 ---------------------------------------------------------------------------------------

#[test]
fn fx5_ditfastattn_v2() {
    let strategy = zoo("ditfastattn_v2");
    let mut problem = Problem::self_attention(1, 8, 4, 64);
    problem.blocks = Blocks { q: 2, kv: 2 };
    problem.layout = Layout { ranges: vec![LayoutRange::plain("text", 2), LayoutRange::plain("vision", 6)] };
    let zeros = Tensor::zeros(&[1, 8, 4, 64], DType::F16);
    let bindings = Bindings { tables: vec![head_table(&[-1.0, 1.0, 4.0, 0.0])], ..Bindings::defaults(&strategy) };
    let moment = Moment { steps: 50, ..Moment::default() };
    let fixture = Fixture { strategy, bindings, problem, moment, q: zeros.clone(), k: zeros };
    let computed =
        [["1111", "1111", "1111", "1111"], ["1111", "1110", "1111", "1011"], ["1111", "1111", "1111", "1111"]];
    let whole = [["1111", "1111", "1111", "1111"], ["1111", "1100", "1010", "1001"], ["1111", "1110", "1111", "1011"]];
    fixture.on_every_device(|device, symbols| {
        let columns: Vec<String> = (0..4).map(|h| column(symbols, h)).collect();
        assert_eq!(columns, ["1111", "1111", "1111", "0000"], "S_c on {device}");
        let full = symbols.full.as_ref().expect("there is a mask");
        for h in 0..3 {
            let found: Vec<String> = (0..4).map(|i| row(symbols, h, i)).collect();
            assert_eq!(found, computed[h], "S_s of head {h} on {device}");
            let found: Vec<String> = (0..4).map(|i| bits((0..4).map(|j| full.get(0, h, i, j)))).collect();
            assert_eq!(found, whole[h], "S_f of head {h} on {device}");
        }
    });
}

// ---- FX6 ---------------------------------------------------------------------------------------

const FX6: &[&[f32]] = &[&[3.0, 1.0, 2.0, 2.0], &[0.0, 4.0, 4.0, 1.0], &[5.0, 5.0, 5.0, 0.0], &[1.0, 2.0, 3.0, 4.0]];

fn top_k(settings: &zoo::TopK) -> Fixture {
    let mut fixture = Fixture::of_scores(zoo("top_k"), FX6);
    fixture.bindings.params = settings.values();
    fixture
}

#[test]
fn fx6_block_top_k_with_three_roundings() {
    top_k(&zoo::TopK::vsa(0.6)).expect_rows(&["1010", "0110", "1100", "0011"]);
    top_k(&zoo::TopK::vsa(0.9)).expect_rows(&["1000", "0100", "1000", "0001"]);
    top_k(&zoo::TopK::sla(0.6)).expect_rows(&["1010", "0110", "1100", "0011"]);
    let empty = ["0000"; 4];
    top_k(&zoo::TopK::sla(0.2)).expect_rows(&empty);
    top_k(&zoo::TopK::longcat(0.875, 0.0)).expect_rows(&empty);
    // More blocks than exist: all of them.
    let more = zoo::TopK { least: 9, ..zoo::TopK::sla(1.0) };
    top_k(&more).expect_rows(&["1111"; 4]);
}

#[test]
fn fx6_percentile_of_a_head() {
    let strategy = text(
        "pub Draft { param drop: f32 in 0.0..=1.0 = 0.5; let s = pool(Q) . pool(K);
           keep q, kv where s[q, kv] >= percentile(s[q, kv] per head, drop); otherwise skip; }",
    );
    let draft = |drop| Fixture::of_scores(strategy.clone(), FX6).set("drop", Value::Float(drop));
    draft(0.5).expect_rows(&["1011", "0110", "1110", "0111"]);
    draft(0.75).expect_rows(&["0000", "0110", "1110", "0001"]);
}

// ---- FX7 ---------------------------------------------------------------------------------------

/// Frame pairs 4 blocks long and wide, by their distance.
fn radial(decay: f64, sink: bool, check: impl Fn(usize, usize, [String; 4])) {
    const FRAMES: usize = 21;
    let strategy = zoo("radial");
    let mut problem = Problem::self_attention(1, FRAMES * 8 + 4, 1, 64);
    problem.blocks = Blocks { q: 2, kv: 2 };
    problem.layout =
        Layout { ranges: vec![LayoutRange::grid("vision", [FRAMES, 2, 4]), LayoutRange::plain("text", 4)] };
    let zeros = Tensor::zeros(&[1, FRAMES * 8 + 4, 1, 64], DType::F16);
    let bindings = Bindings::defaults(&strategy);
    let moment = Moment { steps: 50, ..Moment::default() };
    let fixture = Fixture { strategy, bindings, problem, moment, q: zeros.clone(), k: zeros };
    let fixture = fixture.set("decay", Value::Float(decay)).set("sink", Value::Bool(sink));
    fixture.on_every_device(|device, symbols| {
        for (i, j) in (0..FRAMES).flat_map(|i| (0..FRAMES).map(move |j| (i, j))) {
            let pair = [0, 1, 2, 3].map(|r| row(symbols, 0, 4 * i + r)[4 * j..4 * j + 4].to_owned());
            check(i, j, pair);
        }
        let last = 4 * FRAMES;
        assert!(!row(symbols, 0, last).contains('0'), "text sees all on {device}");
        assert!((0..last).all(|i| row(symbols, 0, i).ends_with("11")), "all see text on {device}");
    });
}

#[test]
fn fx7_radial() {
    let (all, none) = (["1111"; 4], ["0000"; 4]);
    let band = ["1100", "1110", "0111", "0011"];
    let wide = ["1110", "1111", "1111", "0111"];
    let expected = |delta: usize, decay: f64| match delta {
        0 | 1 => all,
        2 | 3 if decay == 1.0 => wide,
        2..=8 | 10 | 16 | 20 => band,
        9 | 11 | 17 | 18 => none,
        _ => [""; 4],
    };
    for decay in [1.0, 0.5] {
        radial(decay, false, |i, j, pair| {
            let expected = expected(i.abs_diff(j), decay);
            if expected != [""; 4] {
                assert_eq!(pair, expected, "frames {i} and {j}, decay {decay}");
            }
        });
    }
    radial(1.0, true, |i, j, pair| {
        if j == 0 {
            assert_eq!(pair, all, "all of frame {i} see frame 0");
        }
    });
}

// ---- FX8 ---------------------------------------------------------------------------------------

const FX8_Q: Tokens = &[
    &[-1, -1],
    &[2, -2],
    &[-2, -1],
    &[1, 0],
    &[-1, 0],
    &[-2, 2],
    &[2, -1],
    &[-1, 1],
    &[-2, -2],
    &[2, 1],
    &[-1, 1],
    &[0, 0],
    &[-1, 1],
    &[2, -2],
    &[0, 0],
    &[1, -2],
];
const FX8_K: Tokens = &[
    &[2, -2],
    &[-2, -1],
    &[1, -1],
    &[0, 2],
    &[2, -2],
    &[-2, -1],
    &[1, 0],
    &[-2, -2],
    &[-2, 0],
    &[2, 2],
    &[2, 1],
    &[-2, -1],
    &[0, 1],
    &[0, 1],
    &[-2, 1],
    &[1, 2],
];

#[test]
fn fx8_xattention() {
    let fixture = || {
        let mut fixture = Fixture::new(zoo("xattention"), &[FX8_Q], &[FX8_K], 4);
        fixture.problem.blocks = Blocks { q: 16, kv: 16 };
        fixture.set("stride", Value::Int(8)).set("tau", Value::Float(0.75))
    };
    fixture().expect_rows(&["1100", "0011", "1110", "1100"]);
    fixture().set("causal", Value::Bool(true)).expect_rows(&["1000", "1100", "1110", "1101"]);
}
