//! P_k = Σ over cached heads of D^k_h·W_hᵀ: differences of outputs, projected.

use sparsym_ir::{DifferencesCall, Findings, Tensor};

use crate::gemm_o::{products, write_all};
use crate::precision::{Missing, Real};

/// The projected differences of each order from 1: all of every partial is written. D^k is rounded to the tensors' type
/// only in [`same_precision`]: what a device loses by it is an error like any other.
///
/// # Errors
/// What [`DifferencesCall::check`] finds.
pub fn differences(call: &DifferencesCall, partials: &mut [&mut Tensor]) -> Result<(), Findings> {
    call.check(&partials.iter().map(|partial| &**partial).collect::<Vec<_>>())?;
    for (partial, values) in partials.iter_mut().zip(sums(call, |d: f64| d)) {
        write_all(partial, &values);
    }
    Ok(())
}

/// As [`differences()`] in the precision of a kernel: everything in f32, sums in plain order, D^k rounded to the tensors'
/// type. A kernel whose error against [`exact`] is at most twice this one's has lost nothing to its order of operations.
///
/// # Errors
/// What [`DifferencesCall::check`] finds.
pub fn same_precision(call: &DifferencesCall, partials: &mut [&mut Tensor]) -> Result<(), Findings> {
    call.check(&partials.iter().map(|partial| &**partial).collect::<Vec<_>>())?;
    for (partial, values) in partials.iter_mut().zip(sums(call, |d: f32| d.rounded(call.w.dtype()))) {
        write_all(partial, &values);
    }
    Ok(())
}

/// As [`differences()`], in f64 throughout and before rounding: for each order `[B, rows, C]`.
///
/// # Errors
/// What [`DifferencesCall::check`] finds.
pub fn exact(call: &DifferencesCall) -> Result<Vec<Vec<f64>>, Findings> {
    let place = || Missing { shape: call.stream.model_shape().to_vec(), dtype: call.w.dtype() };
    call.check(&call.weights.iter().map(|_| place()).collect::<Vec<_>>())?;
    Ok(sums(call, |d| d))
}

/// The projected differences; `held` is what becomes of a difference before it is projected.
fn sums<N: Real>(call: &DifferencesCall, held: impl Fn(N) -> N) -> Vec<Vec<N>> {
    let w = call.w.to_f32();
    let outputs: Vec<Vec<f32>> = call.outputs.iter().map(|output| output.to_f32()).collect();
    let of_order = |weights: &Vec<f32>| {
        let difference = |at: usize| {
            let mut sum = N::from(0.0);
            for (output, &weight) in outputs.iter().zip(weights) {
                sum += N::from(weight) * N::from(output[at]);
            }
            held(sum)
        };
        products(&call.stream, difference, &w, |b, h, block| !call.s_c.get(b, h, block))
    };
    call.weights.iter().map(of_order).collect()
}
