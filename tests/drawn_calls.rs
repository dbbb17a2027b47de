//! A few of the calls that `fuzz_kernels` draws by the thousand on a GPU, on the emulator.

use sparsym::device::Emulator;
use sparsym::device::emulator::Settings;
use sparsym::ir::{DType, Tensor};
use sparsym::kernel::Target;
use sparsym_tests::fuzz::{self, Drawn, Judge, Range, Style, projection};

/// Small ones: what two cores compile and run in half a minute.
const CALLS: Range = Range { seed: 1, count: 24, most_tokens: 130, most_pairs: 9_000, threads: 2 };

#[test]
fn drawn_calls_agree_with_f64_on_sm_90a() {
    let summary = fuzz::run(&device(), CALLS).expect("the judge compiles");
    println!("{summary}");
    assert!(summary.failed.is_empty(), "{}", summary.failed.join("\n"));
    assert_eq!(summary.passed, CALLS.count, "a call was declined");
}

#[test]
fn drawn_projections_agree_with_f64_on_sm_90a() {
    let summary = projection::run(&device(), Range { count: 10, ..CALLS });
    println!("{summary}");
    assert!(summary.failed.is_empty(), "{}", summary.failed.join("\n"));
    assert!(summary.passed >= 8, "calls were declined: {summary}");
}

#[test]
fn what_is_wrong_is_told() {
    let device = device();
    let judge = Judge::new(&device).expect("the judge compiles");
    let drawn = (1..).map(|seed| Drawn::new(seed, 100, 10_000)).find(is_plain).expect("one in nine");
    let right = fuzz::attention(&device, &drawn).unwrap_or_else(|_| panic!("{} stops", drawn.summary()));
    let said = |change: &dyn Fn(&mut Vec<f32>, &mut Vec<f32>)| {
        let mut wrong = right.clone();
        let mut o = wrong.o.to_f32();
        change(&mut o, &mut wrong.lse);
        wrong.o = Tensor::from_f32(&right.o.shape, right.o.dtype(), &o);
        judge.distance(&drawn, &wrong).expect("the judge runs").check().err().unwrap_or_default()
    };
    assert_eq!(said(&|_, _| {}), "");
    // A weight of one kv row in a hundred, and values that are lost or made up.
    let largest = right.o.to_f32().iter().fold(0.0f32, |most, o| most.max(o.abs()));
    assert!(said(&|o, _| o[0] += 0.02 * largest).starts_with("an element of O"));
    assert!(said(&|o, _| o[0] = f32::NAN).starts_with("an element of O"));
    assert!(said(&|_, lse| lse[0] += 1e-3).starts_with("an lse"));
    assert!(said(&|_, lse| lse[0] = f32::NEG_INFINITY).starts_with("an lse"));
    // Four times the rounding of the type, everywhere.
    assert!(
        said(&|o, _| o.iter_mut().enumerate().for_each(|(at, o)| *o *= 1.0 + 0.012 * (at % 2) as f32))
            .contains("times")
    );
}

/// Numbers as the corpus has them, dense, in bf16, with a row that is computed first.
fn is_plain(drawn: &Drawn) -> bool {
    let is_whole = drawn.computed.iter().chain(&drawn.kept).all(|&bit| bit);
    let is_bf16 = drawn.qkv[0].dtype() == DType::Bf16;
    let rules = drawn.rules;
    let is_dense = rules.band.is_none() && rules.slope.is_none() && drawn.problem.n_kv > 20;
    drawn.style == Style::Usual && is_whole && is_bf16 && is_dense
}

fn device() -> Emulator {
    let settings = Settings { target: Target::parse("sm_90a").expect("a known target"), ..Settings::default() };
    Emulator::open(settings).expect("libnvrtc is found; `cargo xtask test` installs it")
}
