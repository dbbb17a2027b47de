//! What a layer remembers between denoising steps.

use sparsym_ir::{DType, Symbols, Tensor};

/// The memory of one layer: symbols, and the cached output with its finite differences. A fresh one knows nothing; the
/// first step that is not dense fills it.
#[derive(Clone, Debug, Default)]
pub struct AttentionState {
    /// The layer that it belongs to, once a step was taken.
    pub(crate) owner: Option<u64>,
    /// The last step taken.
    pub(crate) last_step: Option<u32>,
    /// The last Update step.
    pub(crate) last_update: Option<u32>,
    pub(crate) symbols: Option<Symbols>,
    pub(crate) history: Option<History>,
    /// Whether `degrade when` held after some Update.
    pub(crate) degraded: bool,
}

impl AttentionState {
    /// Remembers nothing.
    pub fn new() -> AttentionState {
        AttentionState::default()
    }

    /// Steps since the last Update as of `step`; None before it.
    pub fn since_update(&self, step: u32) -> Option<u32> {
        self.last_update.and_then(|update| step.checked_sub(update))
    }

    /// The symbols of the last step that was not dense.
    pub fn symbols(&self) -> Option<&Symbols> {
        self.symbols.as_ref()
    }

    /// Whether the layer reuses its whole output at every Dispatch, because `degrade when` held after an Update.
    pub fn is_degraded(&self) -> bool {
        self.degraded
    }

    /// The cached output and its finite differences, lowest order first; empty without a `cache` rule.
    pub fn features(&self) -> &[Tensor] {
        self.history.as_ref().map_or(&[], History::features)
    }
}

/// Finite differences of the output over the Update steps s_m > s_{m-1} > …:
///
/// ```text
/// D⁰_m = O(s_m)        D^{k+1}_m = (D^k_m - D^k_{m-1}) / (s_m - s_{m-1})   while the right side exists
/// Ô(s) = Σ_k D^k_m (s - s_m)^k / k!
/// ```
///
/// Differences are computed and kept in f32 from outputs of O's type, and never from rounded differences. What a forecast
/// reads is each of them rounded once to O's type; for `by hold` that is O itself, bit for bit.
#[derive(Clone, Debug)]
pub(crate) struct History {
    step: u32,
    /// f32; empty if nothing beyond the output itself is kept.
    differences: Vec<Tensor>,
    /// In O's type.
    rounded: Vec<Tensor>,
}

impl History {
    /// The history after the Update at `step`, which made `o`.
    pub(crate) fn after_update(before: Option<&History>, step: u32, o: &Tensor, most_order: u32) -> History {
        if most_order == 0 {
            return History { step, differences: Vec::new(), rounded: vec![o.clone()] };
        }
        let mut differences = vec![Tensor::from_f32(&o.shape, DType::F32, &o.to_f32())];
        if let Some(before) = before {
            let distance = (step - before.step) as f32;
            for (order, old) in before.differences.iter().take(most_order as usize).enumerate() {
                let (now, old) = (differences[order].to_f32(), old.to_f32());
                let quotients: Vec<f32> = now.iter().zip(&old).map(|(now, old)| (now - old) / distance).collect();
                differences.push(Tensor::from_f32(&o.shape, DType::F32, &quotients));
            }
        }
        let rounded = match o.dtype() {
            DType::F32 => Vec::new(),
            dtype => differences.iter().map(|d| Tensor::from_f32(&d.shape, dtype, &d.to_f32())).collect(),
        };
        History { step, differences, rounded }
    }

    /// Values and differences in O's type, lowest order first.
    pub(crate) fn features(&self) -> &[Tensor] {
        if self.rounded.is_empty() { &self.differences } else { &self.rounded }
    }

    /// (s - s_m)^k / k! for each order up to `order`, as far as the history reaches.
    pub(crate) fn coefficients(&self, step: u32, order: u32) -> Vec<f32> {
        let distance = f64::from(step - self.step);
        let mut coefficient = 1.0;
        let mut out = Vec::new();
        for k in 0..self.features().len().min(order as usize + 1) {
            out.push(coefficient as f32);
            coefficient *= distance / (k + 1) as f64;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scalar(value: f32, dtype: DType) -> Tensor {
        Tensor::from_f32(&[1, 1, 1, 1], dtype, &[value])
    }

    #[test]
    fn differences_divide_by_the_distance_of_updates() {
        let f = |s: u32| (s * s) as f32 - 4.0 * s as f32 + 8.0;
        let mut history: Option<History> = None;
        for step in [2, 6, 10] {
            history = Some(History::after_update(history.as_ref(), step, &scalar(f(step), DType::F32), 2));
        }
        let features: Vec<f32> = history.unwrap().features().iter().flat_map(Tensor::to_f32).collect();
        assert_eq!(features, [68.0, 12.0, 2.0]); // the first difference at 6 was 4, and (12 - 4) / 4 = 2
    }

    #[test]
    fn half_types_round_each_difference_once() {
        let first = History::after_update(None, 0, &scalar(1.0, DType::Bf16), 1);
        let second = History::after_update(Some(&first), 3, &scalar(2.0, DType::Bf16), 1);
        assert_eq!(second.features()[1], scalar(1.0 / 3.0, DType::Bf16));
        assert_eq!(second.differences[1].to_f32(), [1.0 / 3.0]);
    }

    #[test]
    fn hold_keeps_the_output_alone() {
        let history = History::after_update(None, 0, &scalar(7.0, DType::F16), 0);
        assert_eq!(history.features(), [scalar(7.0, DType::F16)]);
        assert_eq!(history.coefficients(4, 3), [1.0]);
    }
}
