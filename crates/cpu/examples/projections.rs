//! What sparsity saves of the projections around attention, judged: exit status 1 if a bar is missed.
//!
//! `cargo run --release -p sparsym-cpu --example projections [-- SECONDS]`
//!
//! 4096 tokens, model width 1536, 12 heads of 128 channels, blocks of 128, f32; (block, head) tiles are cached at random. A
//! round runs every sparsity and one large product of the GEMM crate, one after the other, so that a neighbour on the
//! machine disturbs all alike. Rounds go on for this many seconds (15), three at least, and the best of each counts.
//!
//! GEMM-Q has bias, normalisation and rotation. GEMM-O is judged over an interval of five steps, an Update that sums all
//! heads and the cached ones apart, and four Dispatches that add the partial to the active heads; five dense steps are 1.

#[path = "../benches/workload/large.rs"]
mod large;

use std::process::ExitCode;
use std::time::Instant;

use large::LargeProduct;
use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sparsym_ir::projection::{RmsNorm, Rope, RopePairs, Stream, Summed};
use sparsym_ir::symbols::CacheSymbol;
use sparsym_ir::{DType, GemmO, GemmQ, Tensor};

/// The shape of every call.
const STREAM: Stream =
    Stream { batch: 1, tokens: 4096, first: 0, rows: 4096, width: 1536, heads: 12, head_dim: 128, block: 128 };
/// Percentages of cached tiles.
const SPARSITIES: [usize; 4] = [0, 50, 75, 90];
/// Steps from one Update to the next.
const INTERVAL: usize = 5;
/// Least share of the interval's bound.
const LEAST_SHARE: f64 = 0.90;

fn main() -> ExitCode {
    let patience = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(15.0);
    println!("{} threads, best of interleaved rounds, {patience} s a projection\n", rayon::current_num_threads());
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let symbols = SPARSITIES.map(|percent| symbol(percent, &mut rng));
    let missed = [gemm_q(&symbols, &mut rng, patience), gemm_o(&symbols, &mut rng, patience)];
    if missed.contains(&true) { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Measures and prints GEMM-Q; whether a bar is missed.
fn gemm_q(symbols: &[CacheSymbol], rng: &mut ChaCha8Rng, patience: f64) -> bool {
    let columns = STREAM.heads * STREAM.head_dim;
    let (x, w) = (tensor(&STREAM.model_shape(), rng), tensor(&[columns, STREAM.width], rng));
    let (bias, weight) = (tensor(&[columns], rng), tensor(&[STREAM.head_dim], rng));
    let table = [STREAM.tokens, STREAM.head_dim / 2];
    let (cos, sin) = (tensor(&table, rng), tensor(&table, rng));
    let mut q = Tensor::zeros(&STREAM.head_shape(), DType::F32);
    let mut work = |s_c| {
        let call = GemmQ {
            stream: STREAM,
            x: &x,
            w: &w,
            bias: Some(&bias),
            norm: Some(RmsNorm { weight: &weight, eps: 1e-6 }),
            rope: Some(Rope { cos: &cos, sin: &sin, pairs: RopePairs::Interleaved }),
            s_c: Some(s_c),
        };
        sparsym_cpu::gemm_q(&call, &mut q, None).expect("the series is legal");
    };
    let mut times = [f64::INFINITY; SPARSITIES.len()];
    let large = rounds(patience, || {
        times.iter_mut().zip(symbols).for_each(|(best, s_c)| *best = best.min(seconds(|| work(s_c))));
    });
    println!("| GEMM-Q, cached |       ms | time(s)/time(0) | at most | GFLOP/s | large product | share |");
    println!("|---------------:|---------:|----------------:|--------:|--------:|--------------:|------:|");
    let mut missed = false;
    for ((percent, s_c), time) in SPARSITIES.iter().zip(symbols).zip(times) {
        let (ratio, most) = (time / times[0], s_c.density() * 1.10 + 0.03);
        let (rate, fails) = (flops() * s_c.density() / time / 1e9, ratio > most);
        missed |= fails;
        println!(
            "| {percent:12} % | {:8.1} | {ratio:15.3} | {most:7.3} | {rate:7.0} | {large:13.0} | {:5.2} |{}",
            time * 1e3,
            rate / large,
            if fails { " MISSED" } else { "" }
        );
    }
    println!();
    missed
}

/// Measures and prints GEMM-O over an interval; whether a bar is missed.
fn gemm_o(symbols: &[CacheSymbol], rng: &mut ChaCha8Rng, patience: f64) -> bool {
    let columns = STREAM.heads * STREAM.head_dim;
    let (o, w) = (tensor(&STREAM.head_shape(), rng), tensor(&[STREAM.width, columns], rng));
    let bias = tensor(&[STREAM.width], rng);
    let place = || Tensor::zeros(&STREAM.model_shape(), DType::F32);
    let (mut y, mut partial) = (place(), place());
    let call = GemmO {
        stream: STREAM,
        o: &o,
        w: &w,
        bias: Some(&bias),
        s_c: None,
        summed: Summed::Active,
        partials: Vec::new(),
        coefficients: Vec::new(),
    };
    let mut dense = f64::INFINITY;
    let mut times = [[f64::INFINITY; 2]; SPARSITIES.len()];
    let large = rounds(patience, || {
        dense = dense.min(seconds(|| sparsym_cpu::gemm_o(&call, &mut y, None).expect("the series is legal")));
        for (best, s_c) in times.iter_mut().zip(symbols) {
            let update = GemmO { s_c: Some(s_c), summed: Summed::Both, ..call.clone() };
            let run = || sparsym_cpu::gemm_o(&update, &mut y, Some(&mut partial)).expect("the series is legal");
            best[0] = best[0].min(seconds(run));
            let dispatch = GemmO { s_c: Some(s_c), partials: vec![&partial], coefficients: vec![1.0], ..call.clone() };
            let run = || sparsym_cpu::gemm_o(&dispatch, &mut y, None).expect("the series is legal");
            best[1] = best[1].min(seconds(run));
        }
    });
    let rate = flops() / dense / 1e9;
    println!("Dense GEMM-O: {:.1} ms, {rate:.0} GFLOP/s, {:.2} of a large product.\n", dense * 1e3, rate / large);
    println!("| GEMM-O, cached | Update, ms | Dispatch, ms | times faster | bound | share | at least |");
    println!("|---------------:|-----------:|-------------:|-------------:|------:|------:|---------:|");
    let mut missed = false;
    for ((percent, s_c), [update, dispatch]) in SPARSITIES.iter().zip(symbols).zip(times) {
        let n = INTERVAL as f64;
        let faster = n * dense / (update + (n - 1.0) * dispatch);
        let bound = n / (1.0 + (n - 1.0) * s_c.density());
        let fails = faster / bound < LEAST_SHARE;
        missed |= fails;
        println!(
            "| {percent:12} % | {:10.1} | {:12.1} | {faster:12.2} | {bound:5.2} | {:5.2} | {LEAST_SHARE:8.2} |{}",
            update * 1e3,
            dispatch * 1e3,
            faster / bound,
            if fails { " MISSED" } else { "" }
        );
    }
    missed
}

/// Rounds of some work and a large product; gives the best rate of the product in GFLOP/s.
fn rounds(patience: f64, mut work: impl FnMut()) -> f64 {
    let (mut product, mut best) = (LargeProduct::new(), f64::INFINITY);
    product.run(); // starts the threads
    let (start, mut rounds) = (Instant::now(), 0);
    while rounds < 3 || start.elapsed().as_secs_f64() < patience {
        rounds += 1;
        work();
        best = best.min(seconds(|| product.run()));
    }
    product.flops() / best / 1e9
}

/// Floating-point operations of a dense projection.
fn flops() -> f64 {
    2.0 * (STREAM.rows * STREAM.width * STREAM.heads * STREAM.head_dim) as f64
}

/// S_c in which exactly this percentage of tiles, rounded to whole ones, is cached.
fn symbol(percent: usize, rng: &mut ChaCha8Rng) -> CacheSymbol {
    let tiles = STREAM.heads * STREAM.blocks();
    let mut mask = vec![1; tiles];
    mask[..(tiles * percent + 50) / 100].fill(0);
    mask.shuffle(rng);
    CacheSymbol::pack(1, STREAM.heads, STREAM.blocks(), &mask)
}

/// Uniform values in -1..1, the same at every run.
fn tensor(shape: &[usize], rng: &mut ChaCha8Rng) -> Tensor {
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_f32(shape, DType::F32, &values)
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}
