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
