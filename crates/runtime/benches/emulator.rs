//! Speed of the emulator on the project's own attention kernel: dense, 2 heads, 512 × 512 tokens, D 128, bf16, sm_80.
//!
//! Elements are warp instructions, so that elements a second are what the emulator is judged by; only the launch is timed.
#![allow(missing_docs)] // criterion's macros make public items

use std::time::Duration;

use criterion::{BenchmarkId, Criterion, SamplingMode, Throughput, criterion_group, criterion_main};
use ptx_emulator::Program;
use sparsym_codegen::{Request, Room, Target, generate};
use sparsym_ir::{AttentionCall, Bindings, Bound, DType, Moment, Problem, Strategy, Symbols, Tensor};
use sparsym_runtime::Compiler;
use sparsym_runtime::device::emulator::{Checks, Options, Schedule, Settings};
use sparsym_runtime::device::{Device, Emulator};

const HEADS: usize = 2;
const TOKENS: usize = 512;
const HEAD_DIM: usize = 128;

/// Even numbers between -1 and 1, the same on every machine.
fn noise(shape: &[usize], seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
    };
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    Tensor::from_f32(shape, DType::Bf16, &values)
}

fn launch(criterion: &mut Criterion) {
    let problem = Problem::self_attention(1, TOKENS, HEADS, HEAD_DIM);
    let strategy = Strategy::dense();
    let bindings = Bindings::defaults(&strategy);
    let bound = Bound::new(&strategy, &problem, &bindings).expect("the problem is legal");
    let [q, k, v] = [1, 2, 3].map(|seed| noise(&problem.q_shape(), seed));
    let symbols = Symbols::dense(1, HEADS, problem.q_blocks(), problem.kv_blocks());
    let call = AttentionCall {
        bound: &bound,
        moment: Moment::default(),
        q: &q,
        k: &k,
        v: &v,
        symbols: &symbols,
        forecast: None,
    };
    let mut group = criterion.benchmark_group("emulator");
    group.sample_size(20).sampling_mode(SamplingMode::Flat);
    let series = [
        (Checks::None, Schedule::InOrder, 1),
        (Checks::Memory, Schedule::InOrder, 1),
        (Checks::All, Schedule::InOrder, 1),
        (Checks::All, Schedule::Random, 1),
        (Checks::All, Schedule::RoundRobin(8), 1),
        (Checks::All, Schedule::InOrder, 2),
    ];
    for (checks, schedule, threads) in series {
        let options = Options { checks, schedule, threads, ..Options::default() };
        let device = match Emulator::open(Settings { options, ..Settings::default() }) {
            Ok(device) => device,
            Err(error) => {
                println!("emulator not measured: {error}");
                return;
            }
        };
        let run = || device.measured_attention(&call).expect("the kernel is right").cost;
        let stats = run().stats.expect("the emulator counts");
        group.throughput(Throughput::Elements(stats.warp_instructions));
        let id = BenchmarkId::new(format!("{checks:?} {schedule:?}").to_lowercase(), format!("{threads} threads"));
        group.bench_function(id, |bencher| {
            bencher.iter_custom(|turns| (0..turns).map(|_| Duration::from_secs_f64(run().ms / 1e3)).sum());
        });
    }
    group.finish();
}

/// Text to code: parsing, decoding, rows for registers.
fn load(criterion: &mut Criterion) {
    let strategy = Strategy::dense();
    let target = Target::parse("sm_80").expect("a known target");
    let kernel = generate(&Request::new(&strategy, Room::Attention, target)).expect("dense attention has a kernel");
    let Ok(compiler) = Compiler::new() else { return };
    let image = compiler.compile(&kernel, "dense").expect("it compiles").image;
    let ptx = String::from_utf8(image.ptx).expect("PTX is text");
    let mut group = criterion.benchmark_group("emulator");
    group.throughput(Throughput::Bytes(ptx.len() as u64));
    group.bench_function("load", |bencher| {
        bencher.iter(|| Program::load(&ptx).and_then(|program| program.kernel(&kernel.name)).expect("it loads"));
    });
    group.finish();
}

criterion_group!(benches, launch, load);
criterion_main!(benches);
