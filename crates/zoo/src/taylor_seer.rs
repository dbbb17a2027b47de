//! TaylorSeer: between full steps nothing is computed; the output is forecast from finite differences of the last full
//! steps. Two older schedules are settings of it, see [`TaylorSeer::fora`] and [`TaylorSeer::pab`].
//!
//! A pure schedule, so it gains the most and costs nothing to decide. Fails where features change faster than a polynomial
//! follows: at long intervals, at the start (hence the warm-up), and for few-step models.
//!
//! Source: TaylorSeer, arXiv 2503.06923, after Shenyi-Z/TaylorSeer; the defaults are those for FLUX. During warm-up its code
//! keeps the value alone until the last warm-up step, so the first interval has order 1 at most and each interval one
//! more. FORA: arXiv 2407.01425. PAB: arXiv 2408.12588.

use sparsym_dsl::strategy;

strategy! {
    /// Nothing is computed between full steps: the output is forecast from their differences.
    pub TaylorSeer {
        /// Steps from one full step to the next.
        param interval: u32 in 1.. = 6;
        /// Most order of the forecast; it grows by one with each interval.
        param order: u32 in 0..=3 = 1;
        /// Steps at the start that are all full.
        param warmup: u32 = 3;
        /// Steps at the end that are all full.
        param cooldown: u32 = 0;
        /// Count intervals from step 0, not from the last full step.
        param absolute: bool = false;

        cache q by taylor(min(order, max(step - warmup + interval, 0) / interval));
        update when step < warmup || steps - step <= cooldown
            || !absolute && since_update == interval
            || absolute && step % interval == 0;
    }
}

impl TaylorSeer {
    /// FORA: the last full output, every `interval` steps; 3 for DiT at 512².
    pub fn fora(interval: u32) -> TaylorSeer {
        TaylorSeer { interval, order: 0, warmup: 1, ..TaylorSeer::default() }
    }

    /// Pyramid attention broadcast for one kind of attention: the last full output, every `interval` steps (2 for spatial
    /// attention, 3 or 4 for temporal, 6 for cross), but at the first `warmup` and last `cooldown` steps, which are those
    /// outside the published range of timesteps, always full.
    pub fn pab(interval: u32, warmup: u32, cooldown: u32) -> TaylorSeer {
        TaylorSeer { interval, order: 0, warmup, cooldown, absolute: true }
    }
}
