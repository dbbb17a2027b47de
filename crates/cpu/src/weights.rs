//! Weights as f32 in the order that the GEMMs read. W is stored output by output; read along outputs, the GEMM need not
//! turn it again for every band of rows.

use crate::element::Element;
use crate::softmax::LANES;

/// Most bytes of turned weights at a time, unless one head, or one run of columns, needs more.
pub(crate) const WEIGHT_BYTES: usize = 64 << 20;
/// Inputs that are turned at a time, so that they are written from the first-level cache.
const TOGETHER: usize = 64;

/// `out[k][n] = w[n][k]` for `n` rows of W that start `stride` elements apart, as many columns as `out` has rows.
pub(crate) fn transpose<T: Element>(w: &[T], stride: usize, n: usize, out: &mut [f32]) {
    let k = out.len() / n;
    let mut few = [0.0; LANES * TOGETHER];
    for start in (0..k).step_by(TOGETHER) {
        let len = TOGETHER.min(k - start);
        let out = &mut out[start * n..(start + len) * n];
        for first in (0..n).step_by(LANES) {
            let lanes = LANES.min(n - first);
            for (lane, few) in few.chunks_exact_mut(TOGETHER).enumerate().take(lanes) {
                T::widen(&w[(first + lane) * stride + start..][..len], &mut few[..len]);
            }
            for (c, out) in out.chunks_exact_mut(n).enumerate() {
                match out[first..].first_chunk_mut::<LANES>() {
                    // A fixed number of lanes is a vector.
                    Some(out) => *out = std::array::from_fn(|lane| few[lane * TOGETHER + c]),
                    None => (0..lanes).for_each(|lane| out[first + lane] = few[lane * TOGETHER + c]),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_element_changes_places() {
        for (n, k) in [(1, 1), (16, 64), (19, 70), (33, 5)] {
            let stride = k + 3;
            let w: Vec<f32> = (0..n * stride).map(|at| at as f32).collect();
            let mut out = vec![f32::NAN; k * n];
            transpose(&w[2..], stride, n, &mut out[..]);
            assert!((0..k * n).all(|at| out[at] == w[at % n * stride + at / n + 2]));
        }
    }
}
