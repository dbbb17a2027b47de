//! Y = Σ over heads of O_h·W_hᵀ + Σ coefficient·partial + bias, one element after another.

use sparsym_ir::projection::{Stream, Summed};
use sparsym_ir::symbols::CacheSymbol;
use sparsym_ir::{Findings, GemmOCall, Tensor};

use crate::precision::{Missing, Real, write};

/// The results of a call before they are rounded.
#[derive(Clone, Debug, PartialEq)]
pub struct Exact {
    /// `[B, rows, C]`.
    pub y: Vec<f64>,
    /// The sum over the cached heads, `[B, rows, C]`, of a call that asks for [`Summed::Both`].
    pub partial: Option<Vec<f64>>,
}

/// One projection back to the model width: all of `y` is written, and all of `partial`.
///
/// # Errors
/// What [`GemmOCall::check`] finds.
pub fn gemm_o(call: &GemmOCall, y: &mut Tensor, partial: Option<&mut Tensor>) -> Result<(), Findings> {
    project::<f64>(call, y, partial)
}

/// As [`gemm_o()`] in the precision of a kernel: everything in f32, sums in plain order. A kernel whose error against
/// [`exact`] is at most twice this one's has lost nothing to its order of operations.
///
/// # Errors
/// What [`GemmOCall::check`] finds.
pub fn same_precision(call: &GemmOCall, y: &mut Tensor, partial: Option<&mut Tensor>) -> Result<(), Findings> {
    project::<f32>(call, y, partial)
}

/// As [`gemm_o()`], in f64 throughout.
///
/// # Errors
/// What [`GemmOCall::check`] finds.
pub fn exact(call: &GemmOCall) -> Result<Exact, Findings> {
    let place = Missing { shape: call.stream.model_shape().to_vec(), dtype: call.o.dtype() };
    call.check(&place, (call.summed == Summed::Both).then_some(&place))?;
    let (y, partial) = sums(call);
    Ok(Exact { y, partial })
}

fn project<N: Real>(call: &GemmOCall, y: &mut Tensor, partial: Option<&mut Tensor>) -> Result<(), Findings> {
    call.check(y, partial.as_deref())?;
    let (values, cached): (Vec<N>, _) = sums(call);
    write_all(y, &values);
    if let (Some(partial), Some(cached)) = (partial, cached) {
        write_all(partial, &cached);
    }
    Ok(())
}

/// Writes every element, rounded to the tensor's type.
pub(crate) fn write_all<N: Real>(tensor: &mut Tensor, values: &[N]) {
    for (at, &value) in values.iter().enumerate() {
        write(tensor, at, value);
    }
}

/// Y and, if both kinds of heads are summed, the sum over the cached ones.
fn sums<N: Real>(call: &GemmOCall) -> (Vec<N>, Option<Vec<N>>) {
    let (stream, o, w) = (&call.stream, call.o.to_f32(), call.w.to_f32());
    let o = |at: usize| N::from(o[at]);
    let active = |b, h, block| call.s_c.is_none_or(|s_c: &CacheSymbol| s_c.get(b, h, block));
    let cached = |b, h, block| !active(b, h, block);
    let (mut y, partial) = match call.summed {
        Summed::Active => (products(stream, o, &w, active), None),
        Summed::Cached => (products(stream, o, &w, cached), None),
        Summed::Both => (products(stream, o, &w, |_, _, _| true), Some(products(stream, o, &w, cached))),
    };
    for (partial, &coefficient) in call.partials.iter().zip(&call.coefficients) {
        for (y, partial) in y.iter_mut().zip(partial.to_f32()) {
            *y += N::from(coefficient) * N::from(partial);
        }
    }
    if let Some(bias) = call.bias {
        let bias = bias.to_f32();
        for (at, y) in y.iter_mut().enumerate() {
            *y += N::from(bias[at % stream.width]);
        }
    }
    (y, partial)
}

/// Σ O_h·W_hᵀ over the heads that `counts` picks for (batch item, head, block), `[B, rows, C]`. O is asked for by its index
/// in `[B, N, H, D]`, and only where it counts.
pub(crate) fn products<N: Real>(
    stream: &Stream,
    o: impl Fn(usize) -> N,
    w: &[f32],
    counts: impl Fn(usize, usize, usize) -> bool,
) -> Vec<N> {
    let (heads, dim) = (stream.heads, stream.head_dim);
    let mut y = Vec::new();
    for b in 0..stream.batch {
        for token in stream.first..stream.first + stream.rows {
            for column in 0..stream.width {
                let mut sum = N::from(0.0);
                for h in (0..heads).filter(|&h| counts(b, h, token / stream.block)) {
                    for d in 0..dim {
                        let weight = w[(column * heads + h) * dim + d];
                        sum += o(((b * stream.tokens + token) * heads + h) * dim + d) * N::from(weight);
                    }
                }
                y.push(sum);
            }
        }
    }
    y
}
