//! The two GEMM crates that were candidates, on one thread and on the products that the device makes of them.
//!
//! `cargo run --release -p sparsym-cpu --example gemm_crates`

use std::time::Instant;

/// Floats of a row of logits, as in the device.
const STRIDE: usize = 528;
/// Best of this many interleaved rounds.
const ROUNDS: usize = 8;

/// C = C + A·B of row-major matrices: extents m, n, k, the matrices, and the stride of each.
type Multiply = fn([usize; 3], [&[f32]; 2], &mut [f32], [usize; 3]);

fn main() {
    println!("| product, one thread | m | n | k | gemm 0.19, GFLOP/s | matrixmultiply 0.3, GFLOP/s |");
    println!("|---|---:|---:|---:|---:|---:|");
    measure("one large", [2048, 2048, 2048], [2048, 2048, 2048]);
    for d in [64, 128] {
        measure("S = Q Kᵀ, a tile", [128, 128, d], [d, 128, STRIDE]);
        measure("O += P V, a tile", [128, d, 128], [STRIDE, d, d]);
        measure("O += P V, a strip", [128, d, 512], [STRIDE, d, d]);
    }
}

fn measure(name: &str, [m, n, k]: [usize; 3], strides: [usize; 3]) {
    let (a, b) = (vec![0.5; m * strides[0]], vec![0.25; k * strides[1]]);
    let flops = 2.0 * (m * n * k) as f64;
    let repeats = (1e9 / flops).ceil() as usize;
    let mut best = [f64::INFINITY; 2];
    for _ in 0..ROUNDS {
        for (best, multiply) in best.iter_mut().zip([with_gemm as Multiply, with_matrixmultiply]) {
            let mut c = vec![0.0; m * strides[2]];
            let start = Instant::now();
            (0..repeats).for_each(|_| multiply([m, n, k], [&a, &b], &mut c, strides));
            *best = best.min(start.elapsed().as_secs_f64() / repeats as f64);
            std::hint::black_box(c);
        }
    }
    let [gemm, matrixmultiply] = best.map(|seconds| flops / seconds / 1e9);
    println!("| {name} | {m} | {n} | {k} | {gemm:.0} | {matrixmultiply:.0} |");
}

fn with_gemm([m, n, k]: [usize; 3], [a, b]: [&[f32]; 2], c: &mut [f32], strides: [usize; 3]) {
    check([m, n, k], [a, b], c, strides);
    let [rs_a, rs_b, rs_c] = strides.map(|stride| stride as isize);
    let (a, b, c, none) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr(), gemm_common::Parallelism::None);
    let gemm = gemm_f32::gemm::f32::get_gemm_fn();
    // SAFETY: `check` has shown that all rows lie inside their slices; C is borrowed mutably and overlaps nothing.
    // By columns the matrices are transposed, so it is Cᵀ += Bᵀ·Aᵀ.
    unsafe { gemm(n, m, k, c, rs_c, 1, true, b, rs_b, 1, a, rs_a, 1, 1.0, 1.0, false, false, false, none) }
}

fn with_matrixmultiply([m, n, k]: [usize; 3], [a, b]: [&[f32]; 2], c: &mut [f32], strides: [usize; 3]) {
    check([m, n, k], [a, b], c, strides);
    let [rs_a, rs_b, rs_c] = strides.map(|stride| stride as isize);
    let (a, b, c) = (a.as_ptr(), b.as_ptr(), c.as_mut_ptr());
    // SAFETY: as in `with_gemm`.
    unsafe { matrixmultiply::sgemm(m, k, n, 1.0, a, rs_a, 1, b, rs_b, 1, 1.0, c, rs_c, 1) }
}

/// Whether all rows are as long as their stride and inside their slices.
fn check([m, n, k]: [usize; 3], [a, b]: [&[f32]; 2], c: &[f32], strides: [usize; 3]) {
    assert!(k <= strides[0] && n <= strides[1] && n <= strides[2]);
    assert!(m * strides[0] <= a.len() && k * strides[1] <= b.len() && m * strides[2] <= c.len());
}
