//! What sparsity saves and what the GEMM crate leaves on the table, judged: exit status 1 if a bar is missed.
//!
//! `cargo run --release -p sparsym-cpu --example ratios [-- SECONDS]`
//!
//! A round runs every sparsity of a shape and one large product of the GEMM crate, one after the other, so that a
//! neighbour on the machine disturbs all alike. Rounds go on for this many seconds (15), three at least, and the best of
//! each counts.

#[path = "../benches/workload/large.rs"]
mod large;
#[path = "../benches/workload/mod.rs"]
mod workload;

use std::process::ExitCode;
use std::time::Instant;

use large::LargeProduct;
use sparsym_ir::DType;
use workload::{SHAPES, SPARSITIES, Workload};

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
    let mut product = LargeProduct::new();
    let (mut best, mut best_large) = ([f64::INFINITY; SPARSITIES.len()], f64::INFINITY);
    workload.run(&series[3]); // starts the threads
    let (start, mut rounds) = (Instant::now(), 0);
    while rounds < 3 || start.elapsed().as_secs_f64() < patience {
        rounds += 1;
        for (best, symbols) in best.iter_mut().zip(&series) {
            *best = best.min(seconds(|| workload.run(symbols)));
        }
        best_large = best_large.min(seconds(|| product.run()));
    }
    let large = product.flops() / best_large / 1e9;
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
