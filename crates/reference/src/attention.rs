//! Attention by visiting every token pair.

use sparsym_ir::{AttentionCall, AttentionOutput, Findings, Tensor};

use crate::precision::rounded;
use crate::rules::Reader;

/// The result of a call before it is rounded to the tensors' type.
#[derive(Clone, Debug, PartialEq)]
pub struct Exact {
    /// `[B, N, H, D]`.
    pub o: Vec<f64>,
    /// `[B, H, N]` (ragged: `[H, total]`), natural logarithm.
    pub lse: Vec<f64>,
}

/// One attention call; O is rounded to Q's type.
///
/// A pair counts if S_c and S_s ask for its block and the mask lets it pass; S_f is not looked at. A computed row whose
/// weights are all 0, because no pair counts or because every logit is -inf, gives O = 0 and lse = -inf. NaN and infinity
/// reach the rows that have a counting pair with them, as IEEE arithmetic carries them.
///
/// # Errors
/// What [`AttentionCall::check`] finds.
pub fn attention(call: &AttentionCall) -> Result<AttentionOutput, Findings> {
    Ok(exact(call)?.rounded(call))
}

impl Exact {
    fn rounded(&self, call: &AttentionCall) -> AttentionOutput {
        let o: Vec<f32> = self.o.iter().map(|&v| v as f32).collect();
        let o = Tensor::from_f32(&call.q.shape, call.q.dtype(), &o);
        AttentionOutput { o, lse: self.lse.iter().map(|&v| v as f32).collect() }
    }
}

/// As [`attention()`], in f64 throughout but for the score rule, which is f32 by definition.
///
/// # Errors
/// What [`AttentionCall::check`] finds.
pub fn exact(call: &AttentionCall) -> Result<Exact, Findings> {
    each_row(call, |row| {
        let mut logits = Vec::new();
        for &kv in &row.pairs {
            let mut dot = 0.0;
            for d in 0..row.q.len() {
                dot += f64::from(row.q[d]) * f64::from(row.k(kv)[d]);
            }
            let logit = dot * f64::from(call.bound.problem.scale);
            logits.push(row.score(kv, logit as f32).map_or(logit, f64::from));
        }
        let largest = logits.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let base = if largest == f64::NEG_INFINITY { 0.0 } else { largest };
        let (mut total, mut o) = (0.0, vec![0.0; row.q.len()]);
        for (&kv, logit) in row.pairs.iter().zip(&logits) {
            let weight = (logit - base).exp();
            total += weight;
            for (d, o) in o.iter_mut().enumerate() {
                *o += weight * f64::from(row.v(kv)[d]);
            }
        }
        if total == 0.0 {
            return (vec![0.0; o.len()], f64::NEG_INFINITY);
        }
        (o.iter().map(|o| o / total).collect(), base + total.ln())
    })
}

/// As [`attention()`] in the precision of a kernel: products of the tensors' type summed in f32, weights rounded to the
/// tensors' type before they meet V, O rounded at the end. A kernel whose error against [`exact`] is at most twice this
/// one's has lost nothing to its order of operations.
///
/// # Errors
/// What [`AttentionCall::check`] finds.
pub fn same_precision(call: &AttentionCall) -> Result<AttentionOutput, Findings> {
    let dtype = call.q.dtype();
    let out = each_row(call, |row| {
        let mut logits = Vec::new();
        for &kv in &row.pairs {
            let mut dot = 0f32;
            for d in 0..row.q.len() {
                dot += row.q[d] * row.k(kv)[d];
            }
            let logit = dot * call.bound.problem.scale;
            logits.push(row.score(kv, logit).unwrap_or(logit));
        }
        let largest = logits.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        let base = if largest == f32::NEG_INFINITY { 0.0 } else { largest };
        let (mut total, mut o) = (0f32, vec![0f32; row.q.len()]);
        for (&kv, logit) in row.pairs.iter().zip(&logits) {
            let weight = (logit - base).exp();
            total += weight;
            for (d, o) in o.iter_mut().enumerate() {
                *o += rounded(weight, dtype) * row.v(kv)[d];
            }
        }
        if total == 0.0 {
            return (vec![0.0; o.len()], f64::NEG_INFINITY);
        }
        (o.iter().map(|o| f64::from(o / total)).collect(), f64::from(base + total.ln()))
    })?;
    Ok(out.rounded(call))
}

/// One computed row of a head: a query token and the kv tokens that count.
struct Row<'a> {
    q: &'a [f32],
    pairs: Vec<usize>,
    k: &'a [f32],
    v: &'a [f32],
    /// Elements from one kv token to the next, and to this head's part of it.
    stride: usize,
    offset: usize,
    reader: &'a Reader<'a>,
    token: usize,
}

impl Row<'_> {
    fn k(&self, kv: usize) -> &[f32] {
        &self.k[kv * self.stride + self.offset..][..self.q.len()]
    }

    fn v(&self, kv: usize) -> &[f32] {
        &self.v[kv * self.stride + self.offset..][..self.q.len()]
    }

    /// What the score rule makes of a logit; None without a rule.
    fn score(&self, kv: usize, logit: f32) -> Option<f32> {
        self.reader.score(self.token, kv, logit)
    }
}

/// Calls `compute` on every computed row and fills in the others.
fn each_row(call: &AttentionCall, compute: impl Fn(&Row) -> (Vec<f64>, f64)) -> Result<Exact, Findings> {
    call.check()?;
    let problem = call.bound.problem;
    let (q, k, v) = (call.q.to_f32(), call.k.to_f32(), call.v.to_f32());
    let (heads, dim) = (problem.heads, problem.head_dim);
    let rows = q.len() / (heads * dim);
    let mut out = Exact { o: forecast(call), lse: vec![f64::NEG_INFINITY; rows * heads] };
    for b in 0..problem.batch {
        let (q_rows, kv_rows) = (problem.q_rows(b), problem.kv_rows(b));
        let stride = problem.kv_heads * dim;
        for h in 0..heads {
            let reader = Reader::new(call.bound, call.moment, b, h);
            for token in 0..q_rows.len() {
                let i = token / problem.blocks.q as usize;
                if !call.symbols.cache.get(b, h, i) {
                    continue;
                }
                let computed = |kv: &usize| call.symbols.skip.get(b, h, i, kv / problem.blocks.kv as usize);
                let pairs = (0..kv_rows.len()).filter(computed).filter(|&kv| reader.mask(token, kv)).collect();
                let at = ((q_rows.start + token) * heads + h) * dim;
                let (o, lse) = compute(&Row {
                    q: &q[at..at + dim],
                    pairs,
                    k: &k[kv_rows.start * stride..],
                    v: &v[kv_rows.start * stride..],
                    stride,
                    offset: h / (heads / problem.kv_heads) * dim,
                    reader: &reader,
                    token,
                });
                out.o[at..at + dim].copy_from_slice(&o);
                let lse_at = match problem.ragged {
                    Some(_) => h * rows + q_rows.start + token,
                    None => (b * heads + h) * problem.n_q + token,
                };
                out.lse[lse_at] = lse;
            }
        }
    }
    Ok(out)
}

/// Σ coefficient · feature for every row, computed or not.
fn forecast(call: &AttentionCall) -> Vec<f64> {
    let mut o = vec![0.0; call.q.len()];
    if let Some(forecast) = &call.forecast {
        for (feature, &coefficient) in forecast.features.iter().zip(&forecast.coefficients) {
            for (o, value) in o.iter_mut().zip(feature.to_f32()) {
                *o += f64::from(coefficient) * f64::from(value);
            }
        }
    }
    o
}
