//! One CTA: its warps, their barriers, and who runs next.

use super::barrier::{BARRIERS, Barrier};
use super::context::WarpState;
use super::counts::Counts;
use super::lanes::{Lanes, WARP, lanes_of};
use super::launch::LaunchState;
use super::mbarrier::CLUSTER;
use super::registers::{Change, RegisterPool, WARPGROUP};
use super::transfers::Transfer;
use super::warp::{Around, Arrives, Failed, Pause, Warp};
use super::wgmma::{self, Warpgroup};
use crate::decode::special::Start;
use crate::isa::form::Class;
use crate::launch::Schedule;
use crate::memory::shared::SharedMemory;
use crate::trap::{Fault, Trap, Wait};

/// A CTA.
pub(crate) struct Cta {
    number: u32,
    coordinates: [u32; 3],
    /// Its number in its cluster.
    rank: u32,
    warps: Vec<Warp>,
    barriers: [Barrier; BARRIERS],
    registers: RegisterPool,
    /// Products of each whole warpgroup; none in a kernel without any.
    warpgroups: Vec<Warpgroup>,
    /// Warps that have not ended.
    live: u32,
    /// Warps that can run.
    ready: u32,
    /// Those of them that asked in vain for a phase of an mbarrier: they run again when something has happened.
    polling: u32,
    /// Whether something happened that whoever asks in vain may have waited for.
    moved: bool,
    /// The mbarriers that its warps completed a phase of, for the other CTAs of the cluster to hear of.
    completed: Vec<u32>,
    /// The warp that ran last.
    last: u32,
    /// Instructions that it has run without another one between.
    stretch: u64,
    /// Warps that ran long while others could: those go first.
    tired: u32,
    random: u64,
}

/// How far a CTA came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Unfinished,
    Finished,
}

/// Instructions of a warp before another must run, where the schedule does not say.
const LONG: u64 = 1 << 16;

impl Cta {
    /// A CTA at the start of the kernel: number `rank` of a cluster. Its first warp is the agent `agent` of the race
    /// detector.
    pub(crate) fn new(launch: &LaunchState<'_>, cluster: u32, rank: u32, agent: u32, shared: &mut SharedMemory) -> Cta {
        let (coordinates, in_cluster) = launch.coordinates(cluster, rank);
        let [x, y, _] = launch.grid;
        let number = coordinates[0] + x * (coordinates[1] + y * coordinates[2]);
        let threads = launch.block.iter().product::<u32>();
        let warps = threads.div_ceil(WARP as u32);
        let bytes = launch.shared_variables.iter().map(|v| v.base + v.bytes).max().unwrap_or(0);
        if let Some(races) = &mut shared.races {
            (0..warps).for_each(|warp| races.clocks().start((agent + warp) as usize, lanes_of_warp(threads, warp)));
        }
        let start = |warp| Start {
            grid: launch.grid,
            block: launch.block,
            cluster: launch.cluster,
            cta: coordinates,
            in_cluster,
            warp,
            dynamic_shared: launch.dynamic_shared,
            total_shared: bytes as u32,
        };
        let new_warp = |warp| {
            let state = WarpState::new(warp, agent + warp, lanes_of_warp(threads, warp), launch.code);
            Warp::new(registers(launch, &start(warp)), state)
        };
        let all = ((1u64 << warps) - 1) as u32;
        let multiplies = !launch.code.products.uses.is_empty();
        let whole_warpgroups = if multiplies { threads as usize / (WARPGROUP * WARP) } else { 0 };
        Cta {
            number,
            coordinates,
            rank,
            warps: (0..warps).map(new_warp).collect(),
            barriers: Default::default(),
            registers: RegisterPool::new(launch.registers, warps as usize),
            warpgroups: (0..whole_warpgroups).map(|_| Warpgroup::default()).collect(),
            live: all,
            ready: all,
            polling: 0,
            moved: false,
            completed: Vec::new(),
            last: warps - 1,
            stretch: 0,
            tired: 0,
            // Every CTA draws its own sequence, whichever host thread runs it.
            random: launch.seed ^ (u64::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        }
    }

    /// Runs it until no warp can, or for about `left` warp instructions, which become fewer.
    pub(crate) fn run(
        &mut self,
        launch: &LaunchState<'_>,
        counts: &mut Counts,
        shared: &mut SharedMemory,
        left: &mut u64,
    ) -> Result<(), Box<Trap>> {
        while self.can_run() && *left > 0 {
            let before = self.last;
            let (warp, quantum) = self.choose(launch.schedule);
            let quantum = quantum.min(*left);
            self.stretch = if warp == before { self.stretch } else { 0 };
            let before = self.warps[warp as usize].state.executed;
            let mut around = Around { shared, warpgroups: &mut self.warpgroups, launch, counts, cta: self.number };
            let pause = self.warps[warp as usize].run(&mut around, quantum);
            let pause = pause.map_err(|failed| self.trap(launch, warp, failed))?;
            let executed = self.warps[warp as usize].state.executed - before;
            *left = left.saturating_sub(executed);
            self.stretch += executed;
            launch.spend(executed).map_err(|fault| self.trap(launch, warp, (fault, 0)))?;
            match pause {
                // It may wait for a warp that never had a turn.
                Pause::Quantum if self.stretch >= LONG => self.tired |= 1 << warp,
                Pause::Quantum => {}
                Pause::Polls => self.polling |= 1 << warp,
                Pause::Blocked => self.ready &= !(1 << warp),
                Pause::Ended => {
                    self.ready &= !(1 << warp);
                    self.live &= !(1 << warp);
                    (0..BARRIERS as u32).for_each(|barrier| self.complete(launch, shared, barrier));
                    self.something_happened();
                }
                Pause::Registers(change) => {
                    let pc = change.pc;
                    self.change_registers(warp, change).map_err(|fault| self.trap(launch, warp, (fault, pc)))?;
                }
                Pause::Arrives(arrives) => {
                    let arrived = self.arrive(launch, shared, warp, arrives);
                    arrived.map_err(|fault| self.trap(launch, warp, (fault, arrives.pc)))?;
                }
            }
            let completed = shared.mbarriers.take_completed();
            self.wake(&completed);
            self.completed.extend(completed);
            self.wake_warpgroups();
        }
        if self.live == 0 { self.end(launch, shared) } else { Ok(()) }
    }

    /// What must not be left at the end of a CTA.
    fn end(&self, launch: &LaunchState<'_>, shared: &mut SharedMemory) -> Result<(), Box<Trap>> {
        shared.end(self.rank);
        if let Some((warp, fault, pc)) = self.registers.left_alone() {
            return Err(self.trap(launch, warp, (fault, pc)));
        }
        for (group, warpgroup) in self.warpgroups.iter().enumerate() {
            if let Some((own, pc)) = warpgroup.left_alone() {
                let warp = (WARPGROUP * group + own) as u32;
                let reason = format!("warp {warp} ends without it, and another warp of its warpgroup executed it");
                return Err(self.trap(launch, warp, (Box::new(Fault::WarpgroupApart { reason }), pc)));
            }
        }
        Ok(())
    }

    /// Whether one of its warps can run.
    pub(crate) fn can_run(&self) -> bool {
        self.ready & !self.polling != 0
    }

    /// Whether all its warps have ended.
    pub(crate) fn has_ended(&self) -> bool {
        self.live == 0
    }

    /// Whether something happened since the last call that whoever asks in vain may have waited for.
    pub(crate) fn has_moved(&mut self) -> bool {
        std::mem::take(&mut self.moved)
    }

    /// The mbarriers that its warps completed a phase of since the last call.
    pub(crate) fn take_completed(&mut self) -> Vec<u32> {
        std::mem::take(&mut self.completed)
    }

    /// Its place in the grid.
    pub(crate) fn coordinates(&self) -> [u32; 3] {
        self.coordinates
    }

    /// Lets warps try again that wait until their warpgroup has issued a product.
    fn wake_warpgroups(&mut self) {
        for group in 0..self.warpgroups.len() {
            if !std::mem::take(&mut self.warpgroups[group].wakes) {
                continue;
            }
            self.something_happened();
            for warp in WARPGROUP * group..WARPGROUP * (group + 1) {
                if self.warps[warp].waits_for_warpgroup() {
                    self.warps[warp].tries_again();
                    self.ready |= 1 << warp;
                }
            }
        }
    }

    /// Carries out something that one of its warps started.
    pub(crate) fn finish(
        &mut self,
        launch: &LaunchState<'_>,
        counts: &mut Counts,
        shared: &mut SharedMemory,
        transfer: Transfer,
    ) -> Result<(), Box<Trap>> {
        let warp = self.warps.iter().position(|warp| warp.state.agent == transfer.warp).unwrap_or(0);
        let mut around = Around { shared, warpgroups: &mut self.warpgroups, launch, counts, cta: self.number };
        let finished = self.warps[warp].finish(&mut around, transfer);
        finished.map_err(|failed| self.trap(launch, warp as u32, failed))
    }

    /// Ends waits for mbarriers in vain, and lets whoever asked in vain ask again. Gives whether there are any.
    pub(crate) fn time_out(&mut self, launch: &LaunchState<'_>) -> bool {
        let mut again = self.polling;
        for (at, warp) in self.warps.iter_mut().enumerate() {
            again |= u32::from(warp.time_out(launch.code)) << at;
        }
        self.ready |= again;
        self.polling = 0;
        again != 0
    }

    /// Whoever asked in vain may ask again.
    pub(crate) fn asks_again(&mut self) {
        self.polling = 0;
    }

    fn something_happened(&mut self) {
        self.asks_again();
        self.moved = true;
    }

    /// Lets go on whoever waits for mbarriers that have completed a phase.
    pub(crate) fn wake(&mut self, completed: &[u32]) {
        if completed.is_empty() {
            return;
        }
        for (at, warp) in self.warps.iter_mut().enumerate() {
            self.ready |= u32::from(warp.wake(completed)) << at;
        }
        self.asks_again();
    }

    /// The warp to run, and for how long.
    fn choose(&mut self, schedule: Schedule) -> (u32, u64) {
        let ready = self.ready & !self.polling;
        if ready & !self.tired == 0 {
            self.tired = 0;
        }
        let fresh = ready & !self.tired;
        let (warp, quantum) = match schedule {
            Schedule::InOrder => (fresh.trailing_zeros(), LONG),
            Schedule::Reverse => (31 - fresh.leading_zeros(), LONG),
            Schedule::RoundRobin(quantum) => {
                let after = ready & !(u32::MAX >> (31 - self.last));
                let next = if after != 0 { after } else { ready };
                (next.trailing_zeros(), u64::from(quantum.max(1)))
            }
            Schedule::Random => {
                let random = self.draw();
                let among = random as u32 % ready.count_ones();
                let warp = lanes_of(ready).nth(among as usize).unwrap_or(0) as u32;
                (warp, 1 + (random >> 32) % 64)
            }
        };
        self.last = warp;
        (warp, quantum)
    }

    /// The next number of the CTA's sequence, by xorshift.
    fn draw(&mut self) -> u64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random
    }

    fn arrive(
        &mut self,
        launch: &LaunchState<'_>,
        shared: &mut SharedMemory,
        warp: u32,
        arrives: Arrives,
    ) -> Result<(), Box<Fault>> {
        let misuse = |reason| Box::new(Fault::BarrierMisuse { barrier: arrives.barrier, reason });
        let Some(barrier) = self.barriers.get_mut(arrives.barrier as usize) else {
            return Err(misuse("a CTA has the barriers 0 to 15".to_owned()));
        };
        barrier.arrive(warp, arrives.count, arrives.how).map_err(misuse)?;
        barrier.votes.0 += arrives.votes.0;
        barrier.votes.1 += arrives.votes.1;
        if let Some(races) = &mut shared.races {
            let WarpState { agent, live, .. } = self.warps[warp as usize].state;
            races.clocks().contribute(agent as usize, live, &mut barrier.known);
        }
        if barrier.waiting >> warp & 1 == 1 {
            self.ready &= !(1 << warp);
        }
        self.complete(launch, shared, arrives.barrier);
        Ok(())
    }

    /// Gives a warp another number of registers, at once or when others have given some back.
    fn change_registers(&mut self, warp: u32, change: Change) -> Result<(), Box<Fault>> {
        self.registers.ask(warp, change)?;
        self.ready &= !(1 << warp);
        for warp in self.registers.serve() {
            self.something_happened();
            self.warps[warp as usize].has_registers();
            self.ready |= 1 << warp;
        }
        Ok(())
    }

    /// Lets everybody go on from a barrier if all have come.
    fn complete(&mut self, launch: &LaunchState<'_>, shared: &mut SharedMemory, number: u32) {
        if !self.barriers[number as usize].is_complete(self.live) {
            return;
        }
        self.something_happened();
        let barrier = std::mem::take(&mut self.barriers[number as usize]);
        for warp in lanes_of(barrier.waiting & self.live) {
            if let Some(races) = &mut shared.races {
                let WarpState { agent, live, .. } = self.warps[warp].state;
                races.clocks().receive(agent as usize, live, &barrier.known);
            }
            self.warps[warp].release(number, barrier.votes, launch.code);
            self.ready |= 1 << warp;
        }
    }

    /// What its warps wait for.
    #[cold]
    pub(crate) fn waits(&self, launch: &LaunchState<'_>, shared: &SharedMemory) -> Vec<Wait> {
        let missing = |barrier: u32| match self.barriers.get(barrier as usize) {
            Some(barrier) => barrier.missing(self.live),
            None => String::new(),
        };
        let registers = |warp: u32| self.registers.missing(warp);
        let phases = |place: Option<u32>| match place {
            Some(CLUSTER) => format!("the barrier of the cluster: {}", shared.cluster_barrier.missing()),
            Some(place) => mbarrier_in_words(launch, shared, place),
            None => "several mbarriers".to_owned(),
        };
        let products = |warp: u32| wgmma::missing(&self.warpgroups, warp, launch.code);
        let waits = |warp: &Warp| warp.waits(launch.code, missing, registers, phases, products);
        let mut waits: Vec<_> = self.warps.iter().flat_map(waits).collect();
        if launch.cluster_size() > 1 {
            let [x, y, z] = self.coordinates;
            waits.iter_mut().for_each(|wait| wait.for_what.insert_str(0, &format!("(in CTA ({x}, {y}, {z})) ")));
        }
        waits
    }

    /// A trap of one of its warps.
    #[cold]
    pub(crate) fn trap(&self, launch: &LaunchState<'_>, warp: u32, (fault, pc): Failed) -> Box<Trap> {
        Box::new(Trap {
            fault: *fault,
            kernel: launch.code.name().to_owned(),
            cta: self.coordinates,
            warp,
            place: launch.code.place(pc),
        })
    }
}

/// What an mbarrier lacks.
fn mbarrier_in_words(launch: &LaunchState<'_>, shared: &SharedMemory, place: u32) -> String {
    let (name, offset) = shared.name_of(place as usize);
    let who = |warp: u32, pc: u32| {
        let place = launch.code.place(pc);
        let line = match place.frames.first() {
            Some(frame) => format!("{}:{}", frame.file, frame.line),
            None => format!("PTX line {}", place.ptx_line),
        };
        let warps = shared.warps_of_a_cta();
        match shared.ctas() {
            1 => format!("warp {warp} at {line}"),
            _ => format!("warp {} of CTA {} of the cluster at {line}", warp % warps, warp / warps),
        }
    };
    match shared.mbarriers.iter().find(|mbarrier| mbarrier.offset == place) {
        Some(mbarrier) => format!("the mbarrier at byte {offset} of {name}: {}", mbarrier.missing(who)),
        None => format!("an mbarrier at byte {offset} of {name} that is none any more"),
    }
}

/// The lanes that a warp of a CTA of that many threads has.
fn lanes_of_warp(threads: u32, warp: u32) -> u32 {
    let lanes = (threads - warp * WARP as u32).min(WARP as u32);
    ((1u64 << lanes) - 1) as u32
}

/// The registers of a warp at the start.
fn registers(launch: &LaunchState<'_>, start: &Start) -> Lanes {
    let mut registers = launch.code.registers.clone();
    registers.set_mask(u32::MAX);
    for &(special, class, row) in &launch.code.specials {
        let values = special.values(start);
        match class {
            Class::Wide => registers.set_wides(row, &values.map(u64::from)),
            _ => registers.set_words(row, &values),
        }
    }
    registers
}
