//! The machine: lanes, warps, CTAs, and who runs when.

pub(crate) mod context;
pub(crate) mod exchange;
pub(crate) mod lanes;
