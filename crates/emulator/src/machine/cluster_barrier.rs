//! The barrier of a cluster: every thread arrives, and waits later.

use super::lanes::{WARP, lanes_of};
use crate::race::Contribution;

/// The barrier of a cluster.
#[derive(Debug, Default)]
pub(crate) struct ClusterBarrier {
    /// Threads that have not ended.
    live: u32,
    /// Those of them that have arrived in this phase.
    arrived: u32,
    /// Phases that are complete.
    pub(crate) phase: u32,
    arriving: Contribution,
    /// What those know who arrived in the phases before.
    pub(crate) done: Contribution,
}

/// What the lanes of a warp have done at the barrier of their cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct ClusterArrivals {
    /// Lanes that have arrived and not waited.
    arrived: u32,
    /// The phase in which each of them arrived.
    phases: [u32; WARP],
}

impl ClusterBarrier {
    /// That many threads are there.
    pub(crate) fn expect(&mut self, threads: u32) {
        self.live = threads;
    }

    /// Lanes of a warp arrive; `tell` adds what they know. Gives whether they complete the phase.
    ///
    /// # Errors
    /// A lane that has arrived already and did not wait.
    pub(crate) fn arrive(
        &mut self,
        warp: &mut ClusterArrivals,
        lanes: u32,
        tell: impl FnOnce(&mut Contribution),
    ) -> Result<bool, usize> {
        if warp.arrived & lanes != 0 {
            return Err((warp.arrived & lanes).trailing_zeros() as usize);
        }
        warp.arrived |= lanes;
        lanes_of(lanes).for_each(|lane| warp.phases[lane] = self.phase);
        self.arrived += lanes.count_ones();
        tell(&mut self.arriving);
        Ok(self.turn())
    }

    /// Lanes of a warp end: nobody waits for them any more. Gives whether that completes the phase.
    pub(crate) fn end(&mut self, warp: &mut ClusterArrivals, lanes: u32) -> bool {
        let here = lanes_of(lanes & warp.arrived).filter(|&lane| warp.phases[lane] == self.phase).count();
        self.live = self.live.saturating_sub(lanes.count_ones());
        self.arrived = self.arrived.saturating_sub(here as u32);
        warp.arrived &= !lanes;
        self.turn()
    }

    /// Whether the phases in which lanes arrived are complete; then they have waited.
    ///
    /// # Errors
    /// A lane that has not arrived.
    pub(crate) fn passes(&self, warp: &mut ClusterArrivals, lanes: u32) -> Result<bool, usize> {
        if lanes & !warp.arrived != 0 {
            return Err((lanes & !warp.arrived).trailing_zeros() as usize);
        }
        let passes = lanes_of(lanes).all(|lane| warp.phases[lane] < self.phase);
        if passes {
            warp.arrived &= !lanes;
        }
        Ok(passes)
    }

    /// What the phase lacks, in words.
    pub(crate) fn missing(&self) -> String {
        format!("phase {} has {} of {} threads", self.phase, self.arrived, self.live)
    }

    fn turn(&mut self) -> bool {
        if self.arrived == 0 || self.arrived < self.live {
            return false;
        }
        self.phase += 1;
        self.arrived = 0;
        self.done.join(&std::mem::take(&mut self.arriving));
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_threads_that_live_arrive_before_any_passes() {
        let mut barrier = ClusterBarrier::default();
        let [mut one, mut other] = [ClusterArrivals::default(), ClusterArrivals::default()];
        barrier.expect(6);
        assert_eq!(barrier.arrive(&mut one, 0b111, |_| {}), Ok(false));
        assert_eq!(barrier.arrive(&mut one, 0b001, |_| {}), Err(0));
        assert_eq!(barrier.passes(&mut one, 0b111), Ok(false));
        assert_eq!(barrier.passes(&mut other, 0b10), Err(1));
        assert_eq!(barrier.arrive(&mut other, 0b011, |_| {}), Ok(false));
        assert!(barrier.end(&mut other, 0b100));
        assert_eq!(barrier.passes(&mut one, 0b111), Ok(true));
        assert_eq!(barrier.arrive(&mut one, 0b111, |_| {}), Ok(false));
        // Those that arrived in the phase before may still wait for it.
        assert_eq!(barrier.passes(&mut other, 0b011), Ok(true));
        assert!(barrier.end(&mut other, 0b011));
    }
}
