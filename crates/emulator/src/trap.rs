//! What went wrong, where, and what to do about it.

/// What an instruction did wrong, before it is known where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Fault {
    /// An integer was divided by zero in this lane.
    DivisionByZero { lane: usize },
    /// A shuffle reads from a lane that does not take part in it, so what this lane gets is undefined.
    ShuffleFromAbsentLane { lane: usize, source: usize },
}
