//! How far a device may be from the truth.
//!
//! The truth is the oracle in f64. The yardstick is the oracle in the precision of the case: the same plain loops, with
//! every value rounded as a kernel of that type must round it. A device may be twice as far from the truth as the
//! yardstick is, plus the floor of the case: kernels add in another order, which costs about as much again.

use serde::Serialize;

/// What a device may give for one case and element type.
#[derive(Clone, Debug)]
pub struct Expected(Vec<Expectation>);

/// One tensor of the results.
#[derive(Clone, Debug)]
struct Expectation {
    name: &'static str,
    truth: Vec<f64>,
    allowed: f64,
}

/// How far a result that passed is from the truth.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Deviation {
    /// Name of the result.
    pub of: &'static str,
    /// Largest error.
    pub error: f64,
    /// What was allowed.
    pub allowed: f64,
}

impl Expected {
    /// From the truth and the yardstick of each result.
    ///
    /// # Panics
    /// If the two differ in more than rounding, which would make every device pass or none.
    pub fn new(results: Vec<(&'static str, Vec<f64>, Vec<f32>)>, floor: f64) -> Expected {
        let expectation = |(name, truth, yardstick): (&'static str, Vec<f64>, Vec<f32>)| {
            let error = largest_error(name, &truth, &yardstick);
            let error = error.unwrap_or_else(|why| panic!("the yardstick is no measure: {why}"));
            Expectation { name, truth, allowed: 2.0 * error + floor }
        };
        Expected(results.into_iter().map(expectation).collect())
    }

    /// The truth of all results.
    #[cfg(test)]
    pub(crate) fn truths(&self) -> impl Iterator<Item = f64> {
        self.0.iter().flat_map(|expected| expected.truth.iter().copied())
    }

    /// Compares what a device gave, the results in the same order.
    ///
    /// # Errors
    /// Where it is wrong, and by how much.
    pub fn check(&self, given: &[Vec<f32>]) -> Result<Vec<Deviation>, String> {
        assert_eq!(self.0.len(), given.len(), "a device gives as many results as are expected");
        let deviation = |(expected, given): (&Expectation, &Vec<f32>)| {
            let (of, allowed) = (expected.name, expected.allowed);
            let error = largest_error(of, &expected.truth, given)?;
            match error > allowed {
                true => Err(format!("{of} is off by {error:.3e}, allowed are {allowed:.3e}")),
                false => Ok(Deviation { of, error, allowed }),
            }
        };
        self.0.iter().zip(given).map(deviation).collect()
    }
}

impl std::fmt::Display for Deviation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {:.1e} of {:.1e}", self.of, self.error, self.allowed)
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
    use super::{Deviation, Expected, largest_error};

    #[test]
    fn a_device_may_lose_twice_what_rounding_loses_and_no_more() {
        let results = vec![("o", vec![1.0], vec![1.25]), ("lse", vec![2.0], vec![2.0])];
        let expected = Expected::new(results, 0.125);
        let check = |o: f32, lse: f32| expected.check(&[vec![o], vec![lse]]);
        assert_eq!(check(1.625, 2.125).unwrap()[1], Deviation { of: "lse", error: 0.125, allowed: 0.125 });
        assert!(check(0.25, 2.0).unwrap_err().starts_with("o is off by 7.500e-1"));
        assert!(check(1.0, 2.25).unwrap_err().starts_with("lse is off by 2.500e-1"));
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
