//! How near a decision was to the other outcome.
//!
//! Devices add in other orders and round exponentials differently, so their bits may differ where two numbers that are
//! compared are almost equal. The **margin** of a decision is a relative [`distance`]: as long as no number that comes
//! from Q and K moves by as much, the decision stays.
//!
//! * `a < b` and its kin, of floats of which one comes from Q or K: the distance of a and b.
//! * `floor(x)` and `ceil(x)` of such a float: the distance of x to the nearest integer.
//! * An order map against its bound: the smallest over all elements m of the line of max(d, e), where d is the distance of
//!   the element's value to m's (0 to itself, ∞ if `first` keeps them apart), so how far rounding must go until the element
//!   stands where m stands; and e is 0 if the outcome at m is another one, else the distance of the mass at m to the
//!   bound, or ∞ for a rank. So values across the cut count by their distance alone, and those on this side if they are
//!   both nearly equal to this one and near to the cut.
//! * x against its own percentile: likewise, with e the distance of m's value to the percentile, and without the element
//!   itself: the cut is equal to itself however it is rounded.
//! * `a && b`, `a || b`: an operand that settles the outcome alone does so whatever the other one says. If both do, both
//!   would have to change: the larger margin. If neither does, the smaller one.
//! * A symbol bit: rules combine in the same way. The margin is that of the last match, or the larger one of it and of
//!   what stands without it if both give the same bit; rules after it that do not match count where they would change the
//!   bit. A pair that the mask empties has ∞.
//! * Anything else: the smallest margin of what was read for it. A map has the smallest of all that went into its value,
//!   and a line that of all of its values.
//!
//! Margins do not know that a token less the mean of all may be nothing but rounding: where all tokens are the same, say
//! nothing of `selfsim(center(K))`.

/// Of each symbol bit the margin of its decision, ∞ where Q and K have no say in it. In the order in which the symbols
/// unpack.
#[derive(Clone, Debug, PartialEq)]
pub struct Margins {
    /// Of S_c, `[B, H, T_q]`.
    pub cache: Vec<f32>,
    /// Of S_s, `[B, H, T_q, T_kv]`.
    pub skip: Vec<f32>,
}

/// Below this size distances are absolute, in units of it: what is small may be a sum of larger numbers that cancel, and
/// no more exact than they are.
const SMALL: f64 = 0.01;

/// |a - b| / max(|a|, |b|, 0.01). ∞ where one is infinite and the other is not, and for NaN, which settles a comparison
/// however others are rounded.
pub fn distance(a: f32, b: f32) -> f32 {
    if a == b {
        return 0.0;
    }
    if !a.is_finite() || !b.is_finite() {
        return f32::INFINITY;
    }
    let (a, b) = (f64::from(a), f64::from(b));
    ((a - b).abs() / a.abs().max(b.abs()).max(SMALL)) as f32
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

/// The margin of the decision about one member of a line: see the module. `own` is the distance of its value to itself,
/// `near` how near a member of the same outcome is to the other one.
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
