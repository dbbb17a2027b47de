//! Forecasts of cached features by finite differences (TaylorSeer; FlashOmni's reuse).
//!
//! With anchors s_m > s_{m-1}, the steps at which the feature F was computed:
//! D⁰_m = F(s_m), Dᵏ⁺¹_m = (Dᵏ_m - Dᵏ_{m-1}) / (s_m - s_{m-1}) while the right side exists and k < order.
//! The forecast at step s is Σ_k Dᵏ_m (s - s_m)ᵏ / k!.

/// A feature's last anchor and its differences there.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Differences {
    /// Step of the last anchor.
    pub step: u32,
    /// D⁰, D¹, …, each of the feature's length; empty before the first anchor.
    pub features: Vec<Vec<f32>>,
}

impl Differences {
    /// Takes the feature computed at `step`, later than the last anchor, and keeps differences up to `order`.
    pub fn update(&mut self, step: u32, feature: &[f32], order: u32) {
        let mut features = vec![feature.to_vec()];
        for k in 0..(order as usize).min(self.features.len()) {
            let elapsed = (step - self.step) as f32;
            let difference = features[k].iter().zip(&self.features[k]).map(|(now, before)| (now - before) / elapsed);
            features.push(difference.collect());
        }
        *self = Differences { step, features };
    }

    /// The factor of each difference at a later step: (s - s_m)ᵏ / k!.
    pub fn coefficients(&self, step: u32) -> Vec<f32> {
        coefficients(self.features.len(), step - self.step)
    }

    /// The forecast at a later step.
    pub fn forecast(&self, step: u32) -> Vec<f32> {
        let mut out = vec![0.0; self.features.first().map_or(0, Vec::len)];
        for (feature, coefficient) in self.features.iter().zip(self.coefficients(step)) {
            for (out, value) in out.iter_mut().zip(feature) {
                *out += coefficient * value;
            }
        }
        out
    }
}

/// elapsedᵏ / k! for k = 0, 1, …, n - 1.
pub fn coefficients(n: usize, elapsed: u32) -> Vec<f32> {
    let mut out = Vec::new();
    let mut factor = 1.0;
    for k in 0..n {
        out.push(factor as f32);
        factor *= f64::from(elapsed) / (k + 1) as f64;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feature(s: u32) -> [f32; 1] {
        let s = s as f32;
        [s * s - 4.0 * s + 8.0]
    }

    /// Strategies reference FX2, TaylorSeer with T = 13, W = 3, N = 4: order 0 before the last warm-up step.
    fn taylorseer(order: u32) -> (Vec<f32>, Vec<Vec<f32>>) {
        let (mut state, mut out, mut factors) = (Differences::default(), Vec::new(), Vec::new());
        for (s, kind) in "FFFPPPFPPPFPP".bytes().enumerate() {
            let s = s as u32;
            if kind == b'F' {
                state.update(s, &feature(s), if s >= 2 { order } else { 0 });
                factors.push(state.features.concat());
            }
            out.extend(state.forecast(s));
        }
        (out, factors)
    }

    #[test]
    fn taylorseer_orders_0_to_2() {
        assert_eq!(taylorseer(0).0, [8., 5., 4., 4., 4., 4., 20., 20., 20., 20., 68., 68., 68.]);
        assert_eq!(taylorseer(1).0, [8., 5., 4., 3., 2., 1., 20., 24., 28., 32., 68., 80., 92.]);
        let (out, factors) = taylorseer(2);
        assert_eq!(out, [8., 5., 4., 3., 2., 1., 20., 24.625, 30.5, 37.625, 68., 81., 96.]);
        let expected: [&[f32]; 5] = [&[8.], &[5.], &[4., -1.], &[20., 4., 1.25], &[68., 12., 2.]];
        assert_eq!(factors, expected);
    }

    /// FX2, FlashOmni with T = 20, W = 8, N = 5, the last step full: factors start at the last warm-up step.
    #[test]
    fn flash_omni_order_2() {
        let (mut state, mut out) = (Differences::default(), Vec::new());
        for (s, kind) in "FFFFFFFFPPPPFPPPPFPF".bytes().enumerate().skip(7) {
            let s = s as u32;
            if kind == b'F' {
                state.update(s, &feature(s), 2);
            }
            out.extend(state.forecast(s));
        }
        assert_eq!(out[1..], [29., 29., 29., 29., 104., 119., 134., 149., 164., 229., 255., 293.]);
    }

    #[test]
    fn coefficients_are_terms_of_the_exponential() {
        assert_eq!(coefficients(4, 3), [1.0, 3.0, 4.5, 4.5]);
    }
}
