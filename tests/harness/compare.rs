//! How far a device may be from the truth.
//!
//! The truth is the oracle in f64. The yardstick is the oracle in the precision of the case: the same plain loops, with
//! every value rounded as a kernel of that type must round it. A device may be twice as far from the truth as the
//! yardstick is, plus the floor of the case: kernels add in another order, which costs about as much again.

use sparsym::ir::AttentionOutput;
use sparsym_reference::Exact;

/// What a device may give for one case and element type.
#[derive(Clone, Debug)]
pub struct Expected {
    truth: Exact,
    /// Largest error of O that passes.
    pub allowed_o: f64,
    /// Largest error of lse that passes.
    pub allowed_lse: f64,
}

/// Largest errors of an output that passed.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Errors {
    /// Of O.
    pub o: f64,
    /// Of lse.
    pub lse: f64,
}

impl Expected {
    /// From the truth and the yardstick.
    ///
    /// # Panics
    /// If the two differ in more than rounding, which would make every device pass or none.
    pub fn new(truth: Exact, yardstick: &AttentionOutput, floor: f64) -> Expected {
        let o = largest_error("o of the yardstick", &truth.o, &yardstick.o.to_f32());
        let lse = largest_error("lse of the yardstick", &truth.lse, &yardstick.lse);
        let limit = |error: Result<f64, String>| 2.0 * error.unwrap_or_else(|why| panic!("{why}")) + floor;
        Expected { allowed_o: limit(o), allowed_lse: limit(lse), truth }
    }

    /// Compares what a device gave.
    ///
    /// # Errors
    /// Where it is wrong, and by how much.
    pub fn check(&self, given: &AttentionOutput) -> Result<Errors, String> {
        let o = largest_error("o", &self.truth.o, &given.o.to_f32())?;
        let lse = largest_error("lse", &self.truth.lse, &given.lse)?;
        for (name, error, allowed) in [("o", o, self.allowed_o), ("lse", lse, self.allowed_lse)] {
            if error > allowed {
                return Err(format!("{name} is off by {error:.3e}, allowed are {allowed:.3e}"));
            }
        }
        Ok(Errors { o, lse })
    }
}

/// The largest absolute difference of finite elements.
///
/// Where the truth is NaN or infinite the device must not be finite, and where it is finite the device must be. Which
/// of the two not-finite values comes out depends on the order of the additions, so it is not compared; -inf, which
/// says that a row is empty, is.
fn largest_error(name: &str, truth: &[f64], given: &[f32]) -> Result<f64, String> {
    if truth.len() != given.len() {
        return Err(format!("{name} has {} elements, the truth has {}", given.len(), truth.len()));
    }
    let mut largest = 0.0f64;
    for (index, (&t, &g)) in truth.iter().zip(given).enumerate() {
        let g = f64::from(g);
        let empty = |x: f64| x == f64::NEG_INFINITY;
        if t.is_finite() != g.is_finite() || empty(t) != empty(g) {
            return Err(format!("{name}[{index}] is {g}, the truth is {t}"));
        }
        if t.is_finite() {
            largest = largest.max((t - g).abs());
        }
    }
    Ok(largest)
}

#[cfg(test)]
mod tests {
    use sparsym::ir::{AttentionOutput, DType, Tensor};
    use sparsym_reference::Exact;

    use super::{Expected, largest_error};

    #[test]
    fn a_device_may_lose_twice_what_rounding_loses_and_no_more() {
        let output =
            |o: f32, lse: f32| AttentionOutput { o: Tensor::from_f32(&[1, 1, 1, 1], DType::F32, &[o]), lse: vec![lse] };
        let truth = Exact { o: vec![1.0], lse: vec![2.0] };
        let expected = Expected::new(truth, &output(1.25, 2.0), 0.125);
        assert!(expected.check(&output(1.625, 2.125)).is_ok());
        assert!(expected.check(&output(0.25, 2.0)).unwrap_err().starts_with("o is off by 7.500e-1"));
        assert!(expected.check(&output(1.0, 2.25)).unwrap_err().starts_with("lse is off by 2.500e-1"));
    }

    #[test]
    fn finite_and_not_finite_never_match() {
        assert!(largest_error("o", &[1.0], &[f32::NAN]).is_err());
        assert!(largest_error("o", &[f64::INFINITY], &[1.0]).is_err());
        assert_eq!(largest_error("o", &[f64::INFINITY, 2.0], &[f32::NAN, 1.5]), Ok(0.5));
    }

    #[test]
    fn an_empty_row_is_not_a_broken_row() {
        assert!(largest_error("lse", &[f64::NEG_INFINITY], &[f32::NAN]).is_err());
        assert!(largest_error("lse", &[f64::NAN], &[f32::NEG_INFINITY]).is_err());
    }

    #[test]
    fn lengths_must_agree() {
        assert!(largest_error("o", &[1.0], &[]).is_err());
    }
}
