//! How near a decision was to the other outcome.
//!
//! Devices add in other orders and round exponentials differently, so their bits may differ where two numbers that are
//! compared are almost equal. The **margin** of a decision is a relative distance: if no value that Q and K decide moves,
//! against the value that it is compared with, by as much as the margin, the decision stays.
//!
//! * `a < b` and its kin, of floats of which one depends on Q or K: [`distance`]. NaN decides whatever the rounding: ∞.
//! * `floor(x)` and `ceil(x)` of such a float: the distance of x to the nearest integer.
//! * An order map against its bound, or x against its own percentile: [`of_member`].
//! * `a && b`, `a || b`: an operand that settles the outcome alone does so whatever the other one says, so what has to
//!   change is the surest of those that settle it; if none does, the least sure of all.
//! * Anything else: the smallest margin of what was read for it. A map has the smallest of all that went into its value.
//!
//! Margins do not know of cancellation: a value that is a small difference of large numbers is less exact than its size
//! lets one think.

/// Of each symbol bit the margin of its decision, ∞ where Q and K have no say in it. In the order in which the symbols
/// unpack.
#[derive(Clone, Debug, PartialEq)]
pub struct Margins {
    /// Of S_c, `[B, H, T_q]`.
    pub cache: Vec<f32>,
    /// Of S_s, `[B, H, T_q, T_kv]`.
    pub skip: Vec<f32>,
}

/// |a - b| / max(|a|, |b|), and 0 if both are 0. ∞ where one is infinite and the other is not, or one is NaN.
pub fn distance(a: f32, b: f32) -> f32 {
    if a == b {
        return 0.0;
    }
    if !a.is_finite() || !b.is_finite() {
        return f32::INFINITY;
    }
    let (a, b) = (f64::from(a), f64::from(b));
    ((a - b).abs() / a.abs().max(b.abs())) as f32
}

/// An element of a line: what an order map says of it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Member {
    pub(crate) q: usize,
    pub(crate) kv: usize,
    pub(crate) first: bool,
    pub(crate) value: f32,
    /// Members before it.
    pub(crate) rank: usize,
    /// Sum of the values before it.
    pub(crate) before: f32,
    /// Sum of the values up to and including it.
    pub(crate) mass: f32,
}

/// The margin of the decision about one member of a line: the smallest over all members m of max(a, b), where
///
/// * a is the distance of the two values: how far rounding must go until the member stands where m stands. ∞ if `first`
///   keeps them apart. For m itself it is `own`;
/// * b is 0 if the outcome at m is another one, else how near it is to that (`near`).
///
/// So the values across the cut count by their distance alone, and those on this side if they are both nearly equal to
/// this one and near to the cut.
pub(crate) fn of_member(
    line: &[Member],
    at: usize,
    own: f32,
    outcome: impl Fn(&Member) -> bool,
    near: impl Fn(&Member) -> f32,
) -> f32 {
    let this = line[at];
    let mut margin = f32::INFINITY;
    for (n, other) in line.iter().enumerate() {
        let apart = if n == at {
            own
        } else if other.first != this.first {
            f32::INFINITY
        } else {
            distance(this.value, other.value)
        };
        let far = if outcome(other) == outcome(&this) { near(other) } else { 0.0 };
        margin = margin.min(apart.max(far));
    }
    margin
}

/// The margin of `a && b` (of `a || b`, where true settles it): each operand with its own.
pub(crate) fn of_both(settles: bool, [(a, margin_a), (b, margin_b)]: [(bool, f32); 2]) -> f32 {
    match (a == settles, b == settles) {
        (true, true) => margin_a.max(margin_b),
        (true, false) => margin_a,
        (false, true) => margin_b,
        (false, false) => margin_a.min(margin_b),
    }
}
