//! What sparsity saves and what the GEMM crate leaves on the table, judged: exit status 1 if a bar is missed.
//!
//! `cargo run --release -p sparsym-cpu --example ratios [-- SECONDS]`
//!
//! A round runs every sparsity of a shape and one large product of the GEMM crate, one after the other, so that a
//! neighbour on the machine disturbs all alike. Rounds go on for this many seconds (15), three at least, and the best of
//! each counts.

#[path = "../benches/workload/mod.rs"]
mod workload;

use std::process::ExitCode;
use std::time::Instant;

use sparsym_ir::DType;
use workload::{SHAPES, SPARSITIES, Workload};

/// Extent of the large square product.
const LARGE: usize = 3072;
/// Least share of the large product's rate at sparsity 0.
const LEAST_SHARE: f64 = 0.60;

fn main() -> ExitCode {
    let patience = std::env::args().nth(1).and_then(|arg| arg.parse().ok()).unwrap_or(15.0);
    println!(
        "{} threads, 4 heads, blocks of 128, f32; best of interleaved rounds, {patience} s a shape\n",
        rayon::current_num_threads()
    );
    println!("|     N |   D | sparsity |       ms | time(s)/time(0) | at most | GFLOP/s | large product | share |");
    println!("|------:|----:|---------:|---------:|----------------:|--------:|--------:|--------------:|------:|");
    let mut missed = false;
    for (n, d) in SHAPES {
        missed |= shape(n, d, patience);
    }
    if missed { ExitCode::FAILURE } else { ExitCode::SUCCESS }
}

/// Measures and prints one shape; whether a bar is missed.
fn shape(n: usize, d: usize, patience: f64) -> bool {
    let mut workload = Workload::new(n, d, DType::F32);
    let series = SPARSITIES.map(|percent| workload.symbols(percent));
    let (a, b) = (vec![0.5; LARGE * LARGE], vec![0.25; LARGE * LARGE]);
    let mut c = vec![0.0; LARGE * LARGE];
    let (mut best, mut best_large) = ([f64::INFINITY; SPARSITIES.len()], f64::INFINITY);
    workload.run(&series[3]); // starts the threads
    let (start, mut rounds) = (Instant::now(), 0);
    while rounds < 3 || start.elapsed().as_secs_f64() < patience {
        rounds += 1;
        for (best, symbols) in best.iter_mut().zip(&series) {
            *best = best.min(seconds(|| workload.run(symbols)));
        }
        best_large = best_large.min(seconds(|| large_product(&a, &b, &mut c)));
    }
    let large = 2.0 * (LARGE as f64).powi(3) / best_large / 1e9;
    let mut missed = false;
    for ((percent, symbols), time) in SPARSITIES.iter().zip(&series).zip(best) {
        let (ratio, most) = (time / best[0], symbols.density() * 1.10 + 0.03);
        let rate = workload.flops(symbols) / time / 1e9;
        let share = rate / large;
        let fails = if *percent == 0 { share < LEAST_SHARE } else { ratio > most };
        missed |= fails;
        println!(
            "| {n:5} | {d:3} | {percent:6} % | {:8.1} | {ratio:15.3} | {most:7.3} | {rate:7.0} | {large:13.0} | {share:5.2} |{}",
            time * 1e3,
            if fails { " MISSED" } else { "" }
        );
    }
    missed
}

fn seconds(work: impl FnOnce()) -> f64 {
    let start = Instant::now();
    work();
    start.elapsed().as_secs_f64()
}

/// C = A·B of the GEMM crate on all threads, square and row-major.
fn large_product(a: &[f32], b: &[f32], c: &mut [f32]) {
    let (n, stride) = (LARGE, LARGE as isize);
    assert!([a.len(), b.len(), c.len()] == [n * n; 3]);
    // SAFETY: the three slices hold n·n initialised floats each, rows are n apart, and C is borrowed mutably.
    unsafe {
        gemm::gemm(
            n,
            n,
            n,
            c.as_mut_ptr(),
            1,
            stride,
            false,
            a.as_ptr(),
            1,
            stride,
            b.as_ptr(),
            1,
            stride,
            0.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::Rayon(0),
        );
    }
    std::hint::black_box(c);
}
