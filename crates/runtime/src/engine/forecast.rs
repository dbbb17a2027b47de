//! The numbers of a forecast: differences of the last outputs, and how far they reach.
//!
//! ```text
//! D⁰_m = O(s_m)        D^{k+1}_m = (D^k_m - D^k_{m-1}) / (s_m - s_{m-1})
//! Ô(s) = Σ_k D^k_m (s - s_m)^k / k!
//! ```

/// For each order from 1 to `order` the weight of each output in D^k; `updates` are the steps that made the outputs, the
/// newest first.
pub(super) fn difference_weights(updates: &[u32], order: u32) -> Vec<Vec<f32>> {
    let unit = |at: usize| (0..updates.len()).map(|n| f64::from(u8::from(n == at))).collect::<Vec<_>>();
    // Of each Update the difference of the present order, as far as there is one.
    let mut differences: Vec<Vec<f64>> = (0..updates.len()).map(unit).collect();
    let mut weights = Vec::new();
    for _ in 1..=order {
        let quotient = |(m, pair): (usize, &[Vec<f64>])| {
            let distance = f64::from(updates[m] - updates[m + 1]);
            pair[0].iter().zip(&pair[1]).map(|(new, old)| (new - old) / distance).collect::<Vec<_>>()
        };
        differences = differences.windows(2).enumerate().map(quotient).collect();
        weights.push(differences[0].iter().map(|&weight| weight as f32).collect());
    }
    weights
}

/// (s - s_m)^k / k! for k = 0 to `order`, `distance` steps after the last Update.
pub(super) fn coefficients(distance: u32, order: u32) -> Vec<f32> {
    let mut coefficient = 1.0;
    (0..=order)
        .map(|k| {
            let this = coefficient as f32;
            coefficient *= f64::from(distance) / f64::from(k + 1);
            this
        })
        .collect()
}

/// The weight of each output in the forecast itself: Σ_k (s - s_m)^k / k! · D^k.
pub(super) fn output_weights(updates: &[u32], order: u32, distance: u32) -> Vec<f32> {
    let mut weights = vec![0.0; updates.len()];
    weights[0] = 1.0;
    let factors = coefficients(distance, order);
    for (factor, difference) in factors[1..].iter().zip(difference_weights(updates, order)) {
        weights.iter_mut().zip(difference).for_each(|(weight, of_difference)| *weight += factor * of_difference);
    }
    weights
}

#[cfg(test)]
mod tests {
    use super::*;

    /// s² − 4s + 8 at the Updates 2, 6 and 10 of TaylorSeer, order 2.
    #[test]
    fn differences_of_a_parabola() {
        let f = |s: u32| (s * s) as f32 - 4.0 * s as f32 + 8.0;
        let updates = [10, 6, 2];
        let of = |weights: &Vec<f32>| -> f32 { weights.iter().zip(updates).map(|(w, s)| w * f(s)).sum() };
        let weights = difference_weights(&updates, 2);
        assert_eq!(weights.iter().map(of).collect::<Vec<_>>(), [12.0, 2.0]);
        let forecast: f32 = coefficients(2, 2).iter().zip([f(10), 12.0, 2.0]).map(|(c, d)| c * d).sum();
        assert_eq!(forecast, 96.0);
        assert_eq!(of(&output_weights(&updates, 2, 2)), 96.0);
    }

    #[test]
    fn hold_takes_the_last_output() {
        assert!(difference_weights(&[4], 0).is_empty());
        assert_eq!(coefficients(3, 0), [1.0]);
    }
}
