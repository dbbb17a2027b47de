//! A cluster: CTAs that run together, reach each other's shared memory, and have a barrier of their own. A CTA of a launch
//! without clusters is one by itself.

use super::counts::Counts;
use super::cta::{Cta, Progress};
use super::lanes::WARP;
use super::launch::LaunchState;
use super::mbarrier::Mbarrier;
use crate::memory::shared::SharedMemory;
use crate::race::Races;
use crate::trap::{Fault, Trap};

/// A cluster.
pub(crate) struct Cluster {
    ctas: Vec<Cta>,
    shared: SharedMemory,
    /// Agents of the race detector that each CTA has for its warps.
    warps: u32,
    /// How often waits ended in vain since something happened.
    in_vain: u32,
    /// Warp instructions since then, while something is under way.
    since: u64,
    random: u64,
}

/// Warp instructions of a CTA before the cluster looks around.
const SLICE: u64 = 1 << 16;
/// Warp instructions of a CTA before another one of its cluster runs.
const TURN: u64 = 1 << 10;
/// Warp instructions after which something that is under way happens even though warps can run: they may be asking for it.
const PATIENCE: u64 = 1 << 18;
/// How often all waits for mbarriers end in vain, while nothing else happens, before nobody can go on.
const MOST_IN_VAIN: u32 = 256;

impl Cluster {
    /// A cluster at the start of the kernel.
    pub(crate) fn new(launch: &LaunchState<'_>, number: u32) -> Cluster {
        let size = launch.cluster_size();
        let threads = launch.block.iter().product::<u32>();
        let warps = threads.div_ceil(WARP as u32);
        // Warpgroups of the cluster are numbered, too.
        let warps = if size == 1 { warps } else { warps.next_multiple_of(4) };
        let mut shared = SharedMemory::new(launch.shared_variables.clone(), size as usize);
        if launch.races {
            let mut races = Races::new(shared.bytes(), (size * warps) as usize);
            races.warps_of_a_cta = warps;
            shared.races = Some(Box::new(races));
        }
        shared.warps = warps;
        shared.cluster_barrier.expect(size * threads);
        let ctas = (0..size).map(|rank| Cta::new(launch, number, rank, rank * warps, &mut shared)).collect();
        // Every cluster draws its own sequence, whichever host thread runs it.
        let random = launch.seed ^ (u64::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15);
        Cluster { ctas, shared, warps, in_vain: 0, since: 0, random }
    }

    /// Runs it for about that many warp instructions.
    pub(crate) fn run(
        &mut self,
        launch: &LaunchState<'_>,
        counts: &mut Counts,
        budget: u64,
    ) -> Result<Progress, Box<Trap>> {
        let mut left = budget;
        let turn = if self.ctas.len() == 1 { SLICE } else { TURN };
        loop {
            for at in 0..self.ctas.len() {
                if !self.ctas[at].can_run() {
                    continue;
                }
                self.shared.enter(at);
                let before = left.min(turn);
                let mut slice = before;
                self.ctas[at].run(launch, counts, &mut self.shared, &mut slice)?;
                left -= before - slice;
                self.since = if self.shared.transfers.is_empty() { 0 } else { self.since + before - slice };
                let completed = self.ctas[at].take_completed();
                if self.ctas[at].has_moved() || !completed.is_empty() {
                    self.something_happened();
                }
                self.wake(&completed);
            }
            if self.ctas.iter().all(Cta::has_ended) {
                self.expect_observed(launch)?;
                return Ok(Progress::Finished);
            }
            if !self.ctas.iter().any(Cta::can_run) || self.since > PATIENCE {
                self.let_happen(launch, counts)?;
            } else if left == 0 {
                return Ok(Progress::Unfinished);
            }
        }
    }

    /// No warp can run: something that is under way happens, or waits for mbarriers end in vain, as they may.
    fn let_happen(&mut self, launch: &LaunchState<'_>, counts: &mut Counts) -> Result<(), Box<Trap>> {
        self.since = 0;
        let under_way = self.shared.transfers.len() as u64;
        if under_way > 0 {
            let which = if under_way == 1 { 0 } else { self.draw() % under_way };
            let transfer = self.shared.transfers.swap_remove(which as usize);
            let rank = (transfer.warp / self.warps) as usize;
            self.shared.enter(rank);
            self.ctas[rank].finish(launch, counts, &mut self.shared, transfer)?;
            self.something_happened();
            let completed = self.shared.mbarriers.take_completed();
            self.wake(&completed);
            return Ok(());
        }
        self.in_vain += 1;
        let mut again = false;
        if self.in_vain <= MOST_IN_VAIN {
            for cta in &mut self.ctas {
                again |= cta.time_out(launch);
            }
        }
        if again {
            return Ok(());
        }
        let waits: Vec<_> = self.ctas.iter().flat_map(|cta| cta.waits(launch, &self.shared)).collect();
        let first = self.ctas.iter().find(|cta| !cta.has_ended()).unwrap_or(&self.ctas[0]);
        let (warp, place) = waits.first().map_or((0, launch.code.place(0)), |wait| (wait.warp, wait.place.clone()));
        let kernel = launch.code.name().to_owned();
        Err(Box::new(Trap { fault: Fault::Deadlock { waits }, kernel, cta: first.coordinates(), warp, place }))
    }

    /// Whoever asked in vain may ask again.
    fn something_happened(&mut self) {
        (self.in_vain, self.since) = (0, 0);
        self.ctas.iter_mut().for_each(Cta::asks_again);
    }

    /// Lets go on whoever waits for mbarriers that have completed a phase.
    fn wake(&mut self, completed: &[u32]) {
        if !completed.is_empty() {
            self.ctas.iter_mut().for_each(|cta| cta.wake(completed));
        }
    }

    /// Whether somebody was told of every copy that an mbarrier counted.
    fn expect_observed(&self, launch: &LaunchState<'_>) -> Result<(), Box<Trap>> {
        if !launch.watches {
            return Ok(());
        }
        match self.shared.mbarriers.iter().find_map(Mbarrier::unobserved_copy) {
            Some((warp, pc)) => {
                let fault = Box::new(Fault::UnobservedCopy { issued: launch.code.place(pc) });
                Err(self.ctas[(warp / self.warps) as usize].trap(launch, warp % self.warps, (fault, pc)))
            }
            None => Ok(()),
        }
    }

    /// The next number of the cluster's sequence, by xorshift.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }
}
