//! Calls of the functions that decoding chose. The only unsafe code of the crate.
#![allow(unsafe_code)]

use super::context::Effect;
use super::lanes::Lanes;
use crate::decode::Instruction;
use crate::isa::form::{AwaitFn, EffectFn, LaneFn, Ready};
use crate::trap::Fault;

/// Runs a function of registers.
#[inline(always)]
pub(super) fn lanes(function: LaneFn, lanes: &mut Lanes, ins: &Instruction) {
    // SAFETY: a function is unsafe to call only where the host lacks the features that it was compiled for, and
    // `Pair::of_host` gives such a function only after it has found them.
    unsafe { function(lanes, ins) }
}

/// Runs a function of a warp and the memory that it sees.
#[inline(always)]
pub(super) fn effect(function: EffectFn, effect: &mut Effect<'_>, ins: &Instruction) -> Result<(), Box<Fault>> {
    // SAFETY: as above.
    unsafe { function(effect, ins) }
}

/// Runs a function of a warp that may have to wait for its warpgroup.
pub(super) fn awaits(function: AwaitFn, effect: &mut Effect<'_>, ins: &Instruction) -> Result<Ready, Box<Fault>> {
    // SAFETY: as above.
    unsafe { function(effect, ins) }
}
