//! Attention whose row maximum is set by a few columns, where later scores outgrow it: slowly, all at once, in turns, without
//! end. The kernel must be right; and with a slow path that is wrong it must be wrong, or not, as it reaches it or not.

use sparsym::StrategyType;
use sparsym::device::emulator::Settings;
use sparsym::device::{self, Device, Emulator};
use sparsym::ir::bind::{Bindings, Bound};
use sparsym::ir::problem::Problem;
use sparsym::ir::{AttentionCall, DType, Moment, Strategy, Symbols, SymbolsCall, Tensor};
use sparsym::kernel::{Room, Schedule, Target};
use sparsym::language::compile_str;
use sparsym::zoo;
use sparsym_tests::compare::Expected;
use sparsym_tests::devices;
use sparsym_tests::kernels::Wanted;

const TOKENS: usize = 430;
const HEADS: usize = 2;
/// Of a row of Q in its first channel, by which a row of K says what their score is.
const WEIGHT: f32 = 16.0;
const FLOOR: f64 = 2e-5;

/// Scores that a key has with every query, in powers of e. The kernel visits the last keys first.
struct Scores {
    name: &'static str,
    of_key: fn(usize) -> f32,
    /// The largest magnitude of V.
    values: f32,
    /// Whether a row outgrows the maximum that its first columns set.
    outgrows: bool,
}

const SCORES: &[Scores] = &[
    scores("even", |_| 0.0, false),
    scores("ever_larger", |key| 0.5 * (TOKENS - key) as f32, true),
    scores("ever_smaller", |key| 0.5 * key as f32, false),
    scores("larger_within_the_reserve", |key| 0.03 * (TOKENS - key) as f32, false),
    scores("larger_beyond_the_reserve_at_last", |key| 0.08 * (TOKENS - key) as f32, true),
    scores("up_and_down_by_kv_tile", |key| if key / 128 % 2 == 0 { 50.0 } else { -50.0 }, true),
    scores("up_and_down_by_key", |key| if key % 2 == 0 { 40.0 } else { -40.0 }, false),
    scores("one_kv_tile_overflows_f32", |key| if key / 128 == 2 { 200.0 } else { 0.0 }, true),
    scores("one_key_overflows_f32", |key| if key == 131 { 150.0 } else { 0.0 }, true),
    scores("just_within", |key| if key / 128 == 1 { 22.0 } else { 0.0 }, false),
    scores("just_beyond", |key| if key / 128 == 1 { 29.0 } else { 0.0 }, true),
    scores("first_columns_are_lowest", |key| if !(384..416).contains(&key) { 90.0 } else { -90.0 }, true),
    scores("all_far_below_zero", |key| -500.0 - (key % 7) as f32, false),
    Scores { values: 3.3e38, ..scores("largest_values", |_| 0.0, false) },
    Scores { values: 3.3e38, ..scores("largest_values_up_and_down", |key| (key / 128 % 2) as f32 * -60.0, true) },
    Scores { values: 3.3e38, ..scores("largest_values_ever_larger", |key| 0.04 * (TOKENS - key) as f32, false) },
];

const fn scores(name: &'static str, of_key: fn(usize) -> f32, outgrows: bool) -> Scores {
    Scores { name, of_key, values: 1.0, outgrows }
}

#[test]
fn scores_may_outgrow_the_first_maximum() {
    let device = emulator();
    // Long rows take long: of D 256 those that tell most.
    let few = ["ever_larger", "just_within", "just_beyond", "largest_values_up_and_down"];
    let kinds = [(128, DType::Bf16), (64, DType::Bf16), (96, DType::Bf16), (128, DType::F16), (256, DType::Bf16)];
    for (head_dim, dtype) in kinds {
        // f16 keeps a running maximum: what is slow path for bf16 is no path of its own there.
        let crippled = (dtype == DType::Bf16).then(|| with_wrong_slow_path(head_dim));
        for scores in SCORES.iter().filter(|scores| head_dim < 256 || few.contains(&scores.name)) {
            let what = format!("{} at D {head_dim}, {}", scores.name, dtype.name());
            let call = Call::new(scores, head_dim, dtype, None);
            let result = call.check(&device);
            assert!(result.is_ok(), "{what}: {}", result.unwrap_err());
            if let Some(crippled) = &crippled {
                assert_eq!(call.check(crippled).is_err(), scores.outgrows, "{what}: whether the slow path is taken");
            }
        }
    }
}

/// The reserve costs the smallest values: those from 2^-62 on keep all of their bits, so O scales with V to the bit.
#[test]
fn small_values_keep_their_bits_as_far_as_is_promised() {
    let device = emulator();
    for scores in SCORES.iter().filter(|scores| ["even", "up_and_down_by_key"].contains(&scores.name)) {
        let o = |factor: f32| {
            // Of magnitudes from 1 on, so that the factor says where the smallest lie; equal in a row of O.
            let mut call = Call::new(scores, 128, DType::Bf16, None);
            let values: Vec<f32> =
                (0..TOKENS * HEADS * 128).map(|at| factor * (1.0 + (at % 128) as f32 / 128.0)).collect();
            call.tensors[2] = Tensor::from_f32(&[1, TOKENS, HEADS, 128], DType::Bf16, &values);
            call.run(&device).expect("a call that runs").to_f32()
        };
        let (usual, small) = (o(1.0), o(2f32.powi(-60)));
        let scaled: Vec<f32> = usual.iter().map(|o| o * 2f32.powi(-60)).collect();
        assert_eq!(small, scaled, "{}", scores.name);
        let (smaller, nothing) = (o(2f32.powi(-80)), o(2f32.powi(-100)));
        assert!(smaller.iter().zip(&usual).any(|(small, usual)| *small != usual * 2f32.powi(-80)), "bits are lost");
        assert!(nothing.iter().all(|&o| o == 0.0), "what is promised nowhere is 0");
    }
}

#[test]
fn what_is_not_finite_reaches_its_rows_alone() {
    let device = emulator();
    let even = &SCORES[0];
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for (tensor, row) in [(0, 5), (1, 3), (1, 429), (2, 300)] {
            for dtype in [DType::Bf16, DType::F16] {
                let result = Call::new(even, 128, dtype, Some((tensor, row, value))).check(&device);
                let what = ["Q", "K", "V"][tensor];
                assert!(result.is_ok(), "{value} in row {row} of {what}, {}: {}", dtype.name(), result.unwrap_err());
            }
        }
    }
}

/// A mask gives some pairs of a kv tile no weight, also where V is not finite; and some rows no pair at all.
#[test]
fn what_is_not_finite_does_not_pass_a_mask() {
    let device = emulator();
    let masks = [
        "mask q, kv => kv.pos <= q.pos;",
        "mask q, kv => kv.pos < 200 && q.pos % 3 != 0;",
        "mask q, kv => kv.pos >= q.pos && q.pos < 100;",
    ];
    for mask in masks.map(|mask| compile_str("masked", &format!("pub Masked {{ {mask} }}")).expect("a mask")) {
        for (head_dim, dtype) in [(128, DType::Bf16), (64, DType::Bf16), (128, DType::F16)] {
            // A weight below the least P is 0 beside NaN, too: where scores differ much, V is finite.
            let poisons = [(2, 150, f32::NAN), (2, 150, f32::INFINITY), (2, 429, f32::NAN)].map(Some);
            let poisoned = poisons.map(|poison| ("even", poison));
            let finite = ["ever_larger", "one_key_overflows_f32"].map(|name| (name, None));
            for (name, poison) in poisoned.into_iter().chain(finite) {
                let scores = SCORES.iter().find(|scores| scores.name == name).expect("scores of that name");
                let call = Call { strategy: mask.clone(), ..Call::new(scores, head_dim, dtype, poison) };
                let result = call.check(&device);
                let dtype = dtype.name();
                assert!(result.is_ok(), "{name} at D {head_dim}, {dtype}, {poison:?}: {}", result.unwrap_err());
            }
        }
    }
}

fn emulator() -> Emulator {
    let target = Target::parse("sm_90a").expect("a target");
    let settings = Settings { target, ..Settings::default() };
    let device = Emulator::open(settings).expect("libnvrtc is found: `cargo xtask test` installs it");
    device.with_schedule(Schedule::Specialised)
}

/// The same kernel, which takes 0 for S where a row has outgrown its maximum.
fn with_wrong_slow_path(head_dim: usize) -> Emulator {
    let wanted = Wanted { head_dim, ..Wanted::plain(&zoo::Dense::ir().clone().into(), Room::Attention) };
    let text = wanted.generate(Target::parse("sm_90a").expect("a target")).expect("sm_90a has the kernel").source;
    let again = "        multiply_qk_again(logits, q, at);\n";
    assert_eq!(text.matches(again).count(), 1, "one place makes S again");
    let wrong = format!("{again}        clear_logits(logits);\n");
    emulator().with_text(Room::Attention, text.replace(again, &wrong))
}

/// One call, and what it has to give.
struct Call {
    strategy: Strategy,
    problem: Problem,
    tensors: [Tensor; 3],
}

impl Call {
    fn new(scores: &Scores, head_dim: usize, dtype: DType, poison: Option<(usize, usize, f32)>) -> Call {
        let scale = 1.0 / (head_dim as f32).sqrt();
        let problem = Problem { scale, ..Problem::self_attention(1, TOKENS, HEADS, head_dim) };
        // Small, of both signs, and different everywhere.
        let noise = |at: usize| ((at * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5;
        let values = scores.values.min(if dtype == DType::F16 { 60000.0 } else { f32::MAX });
        let tensor = |which: usize| {
            let value = |at: usize| {
                let (key, channel) = (at / (HEADS * head_dim), at % head_dim);
                match poison {
                    Some((tensor, row, value)) if tensor == which && row == key && channel == 1 => return value,
                    _ => {}
                }
                match (which, channel) {
                    (0, 0) => WEIGHT,
                    (1, 0) => (scores.of_key)(key) / (WEIGHT * scale),
                    (2, _) => 2.0 * values * noise(at + 77),
                    _ => noise(at + which),
                }
            };
            let values: Vec<f32> = (0..TOKENS * HEADS * head_dim).map(value).collect();
            Tensor::from_f32(&[1, TOKENS, HEADS, head_dim], dtype, &values)
        };
        Call { strategy: zoo::Dense::ir().clone(), problem, tensors: [0, 1, 2].map(tensor) }
    }

    fn run(&self, device: &dyn Device) -> Result<Tensor, String> {
        let bindings = Bindings::defaults(&self.strategy);
        let bound = Bound::new(&self.strategy, &self.problem, &bindings).map_err(|why| why.to_string())?;
        let symbols = Symbols::dense(1, HEADS, self.problem.q_blocks(), self.problem.kv_blocks());
        let [q, k, v] = &self.tensors;
        let call =
            AttentionCall { bound: &bound, moment: Moment::default(), q, k, v, symbols: &symbols, forecast: None };
        device.attention(&call).map(|output| output.o).map_err(|why| why.to_string())
    }

    fn check(&self, device: &dyn Device) -> Result<(), String> {
        let bindings = Bindings::defaults(&self.strategy);
        let bound = Bound::new(&self.strategy, &self.problem, &bindings).map_err(|why| why.to_string())?;
        let rules = SymbolsCall { bound: &bound, moment: Moment::default(), data: None };
        let symbols = device::open("cpu").and_then(|cpu| cpu.symbols(&rules)).map_err(|why| why.to_string())?;
        let [q, k, v] = &self.tensors;
        let moment = Moment::default();
        let call = AttentionCall { bound: &bound, moment, q, k, v, symbols: &symbols, forecast: None };
        let (truth, yardstick) = (devices::oracle(&call)?, devices::yardstick(&call)?);
        let expected = vec![("o", truth.o, yardstick.o.to_f32()), ("lse", truth.lse, yardstick.lse)];
        let given = device.attention(&call).map_err(|why| why.to_string())?;
        Expected::new(expected, FLOOR).check(&[given.o.to_f32(), given.lse]).map(drop)
    }
}
