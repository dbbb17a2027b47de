//! Attention as one writes it on a blackboard: one row after another, f64, no tiles. It knows the two rules of [`Case`]
//! by heart, so that it does not share the evaluator with the device.

use super::Case;

/// O and LSE in the order of the output.
pub(super) fn attention(case: &Case) -> (Vec<f64>, Vec<f64>) {
    let (p, symbols) = (&case.problem, &case.symbols);
    let (heads, kv_heads, d) = (p.heads, p.kv_heads, p.head_dim);
    let (q, k, v) = (case.q.to_f32(), case.k.to_f32(), case.v.to_f32());
    let features: Vec<Vec<f32>> = case.features.iter().map(|feature| feature.to_f32()).collect();
    let (mut o, mut lse) = (vec![0.0; q.len()], vec![f64::NEG_INFINITY; q.len() / d]);
    for (b, h) in (0..p.batch).flat_map(|b| (0..heads).map(move |h| (b, h))) {
        for row in 0..p.q_rows(b).len() {
            let at = ((p.q_rows(b).start + row) * heads + h) * d;
            let (o, i) = (&mut o[at..at + d], row / p.blocks.q as usize);
            if !symbols.cache.get(b, h, i) {
                for (feature, &coefficient) in features.iter().zip(&case.coefficients) {
                    (0..d).for_each(|c| o[c] += f64::from(coefficient) * f64::from(feature[at + c]));
                }
                continue;
            }
            let computed = |token: &usize| {
                let pair = symbols.skip.get(b, h, i, token / p.blocks.kv as usize);
                pair && (case.strategy.mask.is_none() || *token <= row)
            };
            let kv_at = |token: usize| ((p.kv_rows(b).start + token) * kv_heads + p.kv_head(h)) * d;
            let mut pairs = Vec::new();
            for token in (0..p.kv_rows(b).len()).filter(computed) {
                let k = &k[kv_at(token)..][..d];
                let dot: f64 = q[at..at + d].iter().zip(k).map(|(&q, &k)| f64::from(q) * f64::from(k)).sum();
                let logit = dot * f64::from(p.scale);
                pairs.push((token, if case.strategy.score.is_some() { 2.0 * (logit / 2.0).tanh() } else { logit }));
            }
            // NaN wins over every number, unlike in f64::max.
            let larger = |a: f64, b: f64| if a.is_nan() || a > b { a } else { b };
            let m = pairs.iter().map(|&(_, logit)| logit).fold(f64::NEG_INFINITY, larger);
            let l: f64 = pairs.iter().map(|&(_, logit)| (logit - m).exp()).sum();
            for &(token, logit) in &pairs {
                let v = &v[kv_at(token)..][..d];
                (0..d).for_each(|c| o[c] += (logit - m).exp() / l * f64::from(v[c]));
            }
            let lse_at = match &p.ragged {
                None => (b * heads + h) * p.n_q + row,
                Some(_) => h * p.q_shape()[1] + p.q_rows(b).start + row,
            };
            lse[lse_at] = if pairs.is_empty() { f64::NEG_INFINITY } else { m + l.ln() };
        }
    }
    (o, lse)
}
