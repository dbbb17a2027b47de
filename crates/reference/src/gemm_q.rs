//! Q = rope(norm(X·Wᵀ + bias)) one row of a head after another, and the means of blocks.

use sparsym_ir::projection::RmsNorm;
use sparsym_ir::{Findings, GemmQCall, Tensor};

use crate::precision::{Missing, Real, dot, write};

/// The results of a call before they are rounded. None: the element stays as it was.
#[derive(Clone, Debug, PartialEq)]
pub struct Exact {
    /// `[B, N, H, D]`.
    pub q: Vec<Option<f64>>,
    /// `[B, H, T, D]`, means of rows that are not rounded either; None if the stream shares a block with another one.
    pub means: Option<Vec<Option<f64>>>,
}

/// One projection to heads: rows of computed tiles are written to `q`, and the means of the computed blocks' rows, as `q`
/// holds them, to `means`.
///
/// # Errors
/// What [`GemmQCall::check`] finds.
pub fn gemm_q(call: &GemmQCall, q: &mut Tensor, means: Option<&mut Tensor>) -> Result<(), Findings> {
    project::<f64>(call, q, means)
}

/// As [`gemm_q()`] in the precision of a kernel: everything in f32, sums in plain order. A kernel whose error against
/// [`exact`] is at most twice this one's has lost nothing to its order of operations.
///
/// # Errors
/// What [`GemmQCall::check`] finds.
pub fn same_precision(call: &GemmQCall, q: &mut Tensor, means: Option<&mut Tensor>) -> Result<(), Findings> {
    project::<f32>(call, q, means)
}

/// As [`gemm_q()`], in f64 throughout.
///
/// # Errors
/// What [`GemmQCall::check`] finds.
pub fn exact(call: &GemmQCall) -> Result<Exact, Findings> {
    let q = Missing { shape: call.stream.head_shape().to_vec(), dtype: call.x.dtype() };
    call.check(&q, None::<&Missing>)?;
    let q = rows(call);
    let means = call.stream.owns_its_blocks().then(|| block_means(call, &q));
    Ok(Exact { q, means })
}

fn project<N: Real>(call: &GemmQCall, q: &mut Tensor, means: Option<&mut Tensor>) -> Result<(), Findings> {
    call.check(q, means.as_deref())?;
    let values: Vec<Option<N>> = rows(call);
    write_some(q, &values);
    if let Some(means) = means {
        let held = |value: &Option<N>| value.map(|value| value.rounded(q.dtype()));
        write_some(means, &block_means(call, &values.iter().map(held).collect::<Vec<_>>()));
    }
    Ok(())
}

fn write_some<N: Real>(tensor: &mut Tensor, values: &[Option<N>]) {
    for (at, value) in values.iter().enumerate() {
        if let Some(value) = value {
            write(tensor, at, *value);
        }
    }
}

/// Whether the rows of a block of a head are computed.
fn computed(call: &GemmQCall, b: usize, h: usize, block: usize) -> bool {
    call.s_c.is_none_or(|s_c| s_c.get(b, h, block))
}

/// The elements of Q that are computed.
fn rows<N: Real>(call: &GemmQCall) -> Vec<Option<N>> {
    let stream = &call.stream;
    let (heads, dim, width) = (stream.heads, stream.head_dim, stream.width);
    let (x, w) = (call.x.to_f32(), call.w.to_f32());
    let bias = call.bias.map(Tensor::to_f32);
    let norm = call.norm.map(|norm| RmsNorm { weight: norm.weight.to_f32(), eps: norm.eps });
    let rope = call.rope.map(|rope| (rope.cos.to_f32(), rope.sin.to_f32(), rope.pairs));
    let mut q = vec![None; stream.head_shape().iter().product()];
    for b in 0..stream.batch {
        for r in 0..stream.rows {
            let token = stream.first + r;
            let x = &x[(b * stream.rows + r) * width..][..width];
            for h in 0..heads {
                if !computed(call, b, h, token / stream.block) {
                    continue;
                }
                let mut row = vec![N::from(0.0); dim];
                for (d, value) in row.iter_mut().enumerate() {
                    let column = h * dim + d;
                    *value = dot(x, &w[column * width..][..width]);
                    if let Some(bias) = &bias {
                        *value += N::from(bias[column]);
                    }
                }
                if let Some(norm) = &norm {
                    normalise(&mut row, &norm.weight, norm.eps);
                }
                if let Some((cos, sin, pairs)) = &rope {
                    for i in 0..dim / 2 {
                        let [a, b] = pairs.channels(i, dim);
                        let at = token * (dim / 2) + i;
                        let (cos, sin, x, y) = (N::from(cos[at]), N::from(sin[at]), row[a], row[b]);
                        row[a] = x * cos - y * sin;
                        row[b] = y * cos + x * sin;
                    }
                }
                let at = ((b * stream.tokens + token) * heads + h) * dim;
                for (d, &value) in row.iter().enumerate() {
                    q[at + d] = Some(value);
                }
            }
        }
    }
    q
}

/// x · weight / √(mean(x²) + eps).
fn normalise<N: Real>(row: &mut [N], weight: &[f32], eps: f32) {
    let mut squares = N::from(0.0);
    for &x in row.iter() {
        squares += x * x;
    }
    let root = (squares / N::from(row.len() as f32) + N::from(eps)).sqrt();
    for (x, &weight) in row.iter_mut().zip(weight) {
        *x = *x * N::from(weight) / root;
    }
}

/// The means of the computed blocks, over the stream's tokens.
fn block_means<N: Real>(call: &GemmQCall, q: &[Option<N>]) -> Vec<Option<N>> {
    let stream = &call.stream;
    let (heads, dim, blocks) = (stream.heads, stream.head_dim, stream.blocks());
    let mut means = vec![None; stream.batch * heads * blocks * dim];
    for b in 0..stream.batch {
        for h in 0..heads {
            for block in stream.own_blocks() {
                let tokens = stream.tokens_of(block);
                if tokens.is_empty() || !computed(call, b, h, block) {
                    continue;
                }
                for d in 0..dim {
                    let mut sum = N::from(0.0);
                    for token in tokens.clone() {
                        sum += q[((b * stream.tokens + token) * heads + h) * dim + d].expect("the block is computed");
                    }
                    means[((b * heads + h) * blocks + block) * dim + d] = Some(sum / N::from(tokens.len() as f32));
                }
            }
        }
    }
    means
}
