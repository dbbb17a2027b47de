//! The sixteen barriers of a CTA.

use super::lanes::lanes_of;
use crate::race::Contribution;

/// Barriers of a CTA.
pub(crate) const BARRIERS: usize = 16;

/// How a warp comes to a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It waits there.
    Wait,
    /// It goes on.
    Pass,
    /// It waits there, and brings a predicate.
    Reduce,
}

/// One barrier between two of its completions.
#[derive(Clone, Debug, Default)]
pub(crate) struct Barrier {
    /// Threads that complete it; None: all of the CTA.
    expected: Option<u32>,
    /// Threads that have arrived; a warp counts as 32.
    pub(crate) threads: u32,
    /// Warps that have arrived.
    pub(crate) warps: u32,
    /// Warps that wait here.
    pub(crate) waiting: u32,
    reduces: bool,
    /// What those that arrived know.
    pub(crate) known: Contribution,
    /// Threads whose predicate holds, and threads that brought one.
    pub(crate) votes: (u32, u32),
}

impl Barrier {
    /// A warp arrives.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn arrive(&mut self, warp: u32, count: Option<u32>, how: Arrival) -> Result<(), String> {
        if let Some(count) = count
            && (count == 0 || count % 32 != 0)
        {
            return Err(format!("{count} threads are asked for, but warps come whole, 32 threads each"));
        }
        if self.warps == 0 {
            (self.expected, self.reduces) = (count, how == Arrival::Reduce);
        }
        if self.expected != count {
            let words = |count: Option<u32>| count.map_or("all threads".to_owned(), |count| format!("{count} threads"));
            return Err(format!("one warp waits for {}, another for {}", words(self.expected), words(count)));
        }
        if self.reduces != (how == Arrival::Reduce) {
            return Err("some warps bring a predicate and others do not".to_owned());
        }
        if self.warps >> warp & 1 == 1 {
            return Err("a warp arrives for the second time before the first is over".to_owned());
        }
        self.threads += 32;
        if count.is_some_and(|count| self.threads > count) {
            return Err(format!("{} threads arrive where {} are asked for", self.threads, count.unwrap_or(0)));
        }
        self.warps |= 1 << warp;
        if how != Arrival::Pass {
            self.waiting |= 1 << warp;
        }
        Ok(())
    }

    /// Whether all have come, given the warps that have not ended.
    pub(crate) fn is_complete(&self, live: u32) -> bool {
        match self.expected {
            _ if self.warps == 0 => false,
            Some(count) => self.threads >= count,
            None => live & !self.warps == 0,
        }
    }

    /// Who is missing, in words.
    pub(crate) fn missing(&self, live: u32) -> String {
        match self.expected {
            Some(count) => {
                let who: Vec<String> = lanes_of(self.warps).map(|warp| warp.to_string()).collect();
                format!("{} of {count} threads have arrived: warps {}", self.threads, who.join(", "))
            }
            None => {
                let missing: Vec<String> = lanes_of(live & !self.warps).map(|warp| warp.to_string()).collect();
                format!("missing: warps {}", missing.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_barrier_waits_for_all_warps_that_live() {
        let mut barrier = Barrier::default();
        barrier.arrive(0, None, Arrival::Wait).unwrap();
        assert!(!barrier.is_complete(0b11));
        assert!(barrier.is_complete(0b01));
        barrier.arrive(1, None, Arrival::Wait).unwrap();
        assert!(barrier.is_complete(0b11));
    }

    #[test]
    fn counts_must_agree_and_be_whole_warps() {
        let mut barrier = Barrier::default();
        assert!(barrier.clone().arrive(0, Some(48), Arrival::Wait).is_err());
        barrier.arrive(0, Some(64), Arrival::Pass).unwrap();
        assert!(barrier.clone().arrive(1, Some(96), Arrival::Wait).is_err());
        assert!(barrier.clone().arrive(1, None, Arrival::Wait).is_err());
        assert!(barrier.clone().arrive(0, Some(64), Arrival::Pass).is_err());
        assert!(barrier.clone().arrive(1, Some(64), Arrival::Reduce).is_err());
        barrier.arrive(1, Some(64), Arrival::Wait).unwrap();
        assert!(barrier.is_complete(u32::MAX));
        assert_eq!(barrier.waiting, 0b10);
    }
}
