//! Weights as f32 in the order that the GEMMs read. W is stored output by output; read along outputs, the GEMM need not
//! turn it again for every band of rows.

use crate::buffer::Buffer;
use crate::element::Element;
use crate::softmax::LANES;

/// Most bytes of turned weights at a time, unless one head, or one run of columns, needs more.
pub(crate) const WEIGHT_BYTES: usize = 64 << 20;
/// Inputs that are turned at a time, so that what is read and what is written stay in the inner caches.
const TOGETHER: usize = 64;
/// Floats of a row of such inputs. More than there are, because rows that lie a power of two apart fight for the same cache
/// sets.
const STRIDE: usize = TOGETHER + LANES;

/// `out[k][n] = w[n][k]` for `n` rows of W that start `stride` elements apart, as many columns as `out` has rows.
pub(crate) fn transpose<T: Element>(w: &[T], stride: usize, n: usize, out: &mut [f32]) {
    let mut few = Buffer::new(n * STRIDE);
    for (index, out) in out.chunks_mut(TOGETHER * n).enumerate() {
        let inputs = out.len() / n;
        for (row, few) in few.chunks_exact_mut(STRIDE).enumerate() {
            T::widen(&w[row * stride + index * TOGETHER..][..inputs], &mut few[..inputs]);
        }
        for (c, out) in out.chunks_exact_mut(n).enumerate() {
            let (vectors, rest) = out.as_chunks_mut::<LANES>();
            for (vector, few) in vectors.iter_mut().zip(few.chunks_exact(LANES * STRIDE)) {
                *vector = std::array::from_fn(|lane| few[lane * STRIDE + c]);
            }
            let few = &few[(n - rest.len()) * STRIDE..];
            rest.iter_mut().enumerate().for_each(|(lane, out)| *out = few[lane * STRIDE + c]);
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
