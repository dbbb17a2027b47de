//! The online softmax over a strip of logits, in the widest vectors that the machine has.

use pulp::{Arch, Simd, WithSimd};

/// Floats that every vector width of this crate divides.
pub(crate) const LANES: usize = 16;

/// What the softmax keeps of each query row between strips.
pub(crate) struct RowState {
    /// Largest logit so far; -inf before the first.
    pub(crate) m: Vec<f32>,
    /// Sum of exp(logit - m) so far.
    pub(crate) l: Vec<f32>,
    /// exp(m before - m after) of the last strip: the factor that O is behind by.
    pub(crate) correction: Vec<f32>,
    /// P, l and O are smaller by so many powers of 2, so that sums of the largest values are finite before they are divided
    /// by l.
    reserve: f32,
}

impl RowState {
    /// State of that many rows before their first strip, of which each has at most `keys` logits.
    pub(crate) fn new(rows: usize, keys: usize) -> RowState {
        let reserve = keys.max(1).next_power_of_two().trailing_zeros() as f32;
        RowState { m: vec![f32::NEG_INFINITY; rows], l: vec![0.0; rows], correction: vec![0.0; rows], reserve }
    }

    /// ln Σ exp(logit) of a row that has a logit.
    pub(crate) fn lse(&self, row: usize) -> f32 {
        self.m[row] + (self.l[row].ln() + self.reserve * std::f32::consts::LN_2)
    }
}

/// Replaces the logits S of a strip by P = exp(S - m) / 2^reserve and brings the state up to date.
///
/// `s` has one row of `stride` floats for each query row, of which the first `width` belong to the strip. A logit of -inf
/// weighs nothing, whatever m is; a NaN makes P of its element and l of its row NaN.
///
/// # Panics
/// If `width` is not a multiple of [`LANES`], exceeds `stride`, or the state has fewer rows than `s`.
pub(crate) fn strip(s: &mut [f32], stride: usize, width: usize, state: &mut RowState) {
    assert!(width.is_multiple_of(LANES) && width <= stride && s.len().div_ceil(stride) <= state.m.len());
    Arch::new().dispatch(Strip { s, stride, width, state });
}

struct Strip<'a> {
    s: &'a mut [f32],
    stride: usize,
    width: usize,
    state: &'a mut RowState,
}

impl WithSimd for Strip<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<V: Simd>(self, simd: V) {
        let RowState { m, l, correction, reserve } = self.state;
        let rows = self.s.chunks_mut(self.stride);
        for (((row, m), l), correction) in rows.zip(m.iter_mut()).zip(l.iter_mut()).zip(correction.iter_mut()) {
            let (row, _) = V::as_mut_simd_f32s(&mut row[..self.width]);
            let before = *m;
            *m = before.max(row_max(simd, row));
            // exp(-inf - -inf) would be NaN; measured from 0 a row without any pair keeps P = 0.
            let from = if *m == f32::NEG_INFINITY { 0.0 } else { *m };
            let sum = exponentiate(simd, row, from, *reserve);
            *correction = simd.reduce_max_f32s(exp(simd, simd.splat_f32s(before - from), 0.0));
            *l = *l * *correction + sum;
        }
    }
}

/// Largest of a row; a NaN may be overlooked, for it shows up in the sum.
#[inline(always)]
fn row_max<V: Simd>(simd: V, row: &[V::f32s]) -> f32 {
    let mut max = [simd.splat_f32s(f32::NEG_INFINITY); 4];
    let (quads, rest) = row.as_chunks::<4>();
    for quad in quads {
        for (max, &x) in max.iter_mut().zip(quad) {
            *max = simd.max_f32s(x, *max);
        }
    }
    for &x in rest {
        max[0] = simd.max_f32s(x, max[0]);
    }
    let [a, b, c, d] = max;
    simd.reduce_max_f32s(simd.max_f32s(simd.max_f32s(a, b), simd.max_f32s(c, d)))
}

/// row = exp(row - from) / 2^reserve; gives the sum.
#[inline(always)]
fn exponentiate<V: Simd>(simd: V, row: &mut [V::f32s], from: f32, reserve: f32) -> f32 {
    let from = simd.splat_f32s(from);
    let mut sum = [simd.splat_f32s(0.0); 4];
    let (quads, rest) = row.as_chunks_mut::<4>();
    for quad in quads {
        for (sum, x) in sum.iter_mut().zip(quad) {
            *x = exp(simd, simd.sub_f32s(*x, from), reserve);
            *sum = simd.add_f32s(*sum, *x);
        }
    }
    for x in rest {
        *x = exp(simd, simd.sub_f32s(*x, from), reserve);
        sum[0] = simd.add_f32s(sum[0], *x);
    }
    let [a, b, c, d] = sum;
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}

/// exp(x) / 2^reserve for x <= 0 (and a rounding error above): 0 where it is below 2^-125, so for -inf; NaN for NaN.
///
/// x·log2(e) = n + r with integer n and |r| <= 1/2; 2^r is the polynomial of Cephes' `exp2f` and 2^(n - reserve) is made
/// from its bits: the reserve, an integer, costs nothing and rounds nothing. The relative error is at most 2.5e-7 + 8e-8·|x|, measured by the tests.
#[inline(always)]
fn exp<V: Simd>(simd: V, x: V::f32s, reserve: f32) -> V::f32s {
    // 1.5·2^23 rounds its addend to an integer in the low mantissa bits; + 127 is the exponent's bias.
    let round = simd.splat_f32s(12_582_912.0 + 127.0 - reserve);
    const POLYNOMIAL: [f32; 7] =
        [1.535_336_2e-4, 1.339_887_4e-3, 9.618_437e-3, 5.550_332_5e-2, 2.402_264_8e-1, 6.931_472e-1, 1.0];
    let t = simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E));
    let shifted = simd.add_f32s(t, round);
    let r = simd.sub_f32s(t, simd.sub_f32s(shifted, round));
    let mut p = simd.splat_f32s(POLYNOMIAL[0]);
    for &c in &POLYNOMIAL[1..] {
        p = simd.mul_add_e_f32s(p, r, simd.splat_f32s(c));
    }
    let power = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    // A product, not an addition of exponents: it keeps the NaN that p is for x = NaN.
    let value = simd.mul_f32s(p, simd.transmute_f32s_u32s(power));
    simd.select_f32s(simd.less_than_f32s(t, simd.splat_f32s(reserve - 125.0)), simd.splat_f32s(0.0), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// exp of each, through the path that the strips take.
    fn exp_of(values: &[f32], reserve: f32) -> Vec<f32> {
        struct Each<'a>(&'a [f32], f32);
        impl WithSimd for Each<'_> {
            type Output = Vec<f32>;
            #[inline(always)]
            fn with_simd<V: Simd>(self, simd: V) -> Vec<f32> {
                self.0
                    .iter()
                    .map(|&x| simd.reduce_sum_f32s(exp(simd, simd.splat_f32s(x), self.1)) / V::F32_LANES as f32)
                    .collect()
            }
        }
        Arch::new().dispatch(Each(values, reserve))
    }

    #[test]
    fn exp_keeps_its_error_bound() {
        let xs: Vec<f32> = (0..200_000).map(|n| n as f32 * -4.3e-4).collect();
        for (&x, y) in xs.iter().zip(exp_of(&xs, 0.0)) {
            let exact = f64::from(x).exp();
            let error = (f64::from(y) - exact).abs() / exact;
            assert!(error <= 2.5e-7 + 8e-8 * f64::from(x).abs(), "exp({x}) = {y}, relative error {error:e}");
        }
    }

    #[test]
    fn exp_at_the_edges() {
        let payload = f32::from_bits(0x7fc0_0001);
        for reserve in [0.0f32, 7.0, 31.0] {
            let one = (-reserve).exp2();
            let values = [0.0, -0.0, -90.0, -1e30, f32::MIN, f32::NEG_INFINITY, f32::NAN, payload];
            let out = exp_of(&values, reserve);
            assert_eq!(out[..6], [one, one, 0.0, 0.0, 0.0, 0.0]);
            assert!(out[6].is_nan() && out[7].is_nan());
            let least: f32 = (reserve - 125.0) / std::f32::consts::LOG2_E * 0.999;
            assert!(
                (exp_of(&[least], reserve)[0] / (-125f32).exp2()).log2().abs() < 0.2,
                "the last power is not garbage"
            );
        }
    }

    #[test]
    fn strips_add_up_to_one_softmax() {
        let logits: Vec<f32> = (0..96).map(|n| ((n * 37 % 96) as f32 - 50.0) / 7.0).collect();
        let mut state = RowState::new(1, 96);
        for part in logits.chunks(32) {
            strip(&mut part.to_vec(), 32, 32, &mut state);
        }
        let exact: f64 = logits.iter().map(|&x| f64::from(x).exp()).sum();
        assert!((f64::from(state.lse(0)) - exact.ln()).abs() < 1e-6);
    }

    #[test]
    fn a_row_of_minus_infinity_weighs_nothing() {
        let (mut s, mut state) = (vec![f32::NEG_INFINITY; 16], RowState::new(1, 16));
        strip(&mut s, 16, 16, &mut state);
        assert_eq!((s, state.l[0]), (vec![0.0; 16], 0.0));
    }
}
