//! One CTA: its warps, their barriers, and who runs next.

use super::barrier::{BARRIERS, Barrier};
use super::context::WarpState;
use super::counts::Counts;
use super::lanes::{Lanes, WARP, lanes_of};
use super::launch::LaunchState;
use super::mbarrier::Mbarrier;
use super::registers::{Change, RegisterPool, WARPGROUP};
use super::warp::{Around, Arrives, Failed, Pause, Warp};
use super::wgmma::{self, Warpgroup};
use crate::decode::special::Start;
use crate::isa::form::Class;
use crate::launch::Schedule;
use crate::memory::shared::SharedMemory;
use crate::race::Races;
use crate::trap::{Fault, Trap};

/// A CTA.
pub(crate) struct Cta {
    number: u32,
    coordinates: [u32; 3],
    warps: Vec<Warp>,
    shared: SharedMemory,
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
    /// How often waits ended in vain since something happened.
    in_vain: u32,
    /// Warp instructions since then, while something is under way.
    since: u64,
    /// The warp that ran last.
    last: u32,
    random: u64,
}

/// How far a CTA came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Unfinished,
    Finished,
}

/// Instructions of a warp before another may run, where the schedule does not say.
const LONG: u64 = 1 << 16;
/// Warp instructions after which something that is under way happens even though warps can run: they may be asking for it.
const PATIENCE: u64 = 4 * LONG;
/// How often all waits for mbarriers end in vain, while nothing else happens, before nobody can go on.
const MOST_IN_VAIN: u32 = 256;

impl Cta {
    /// A CTA at the start of the kernel.
    pub(crate) fn new(launch: &LaunchState<'_>, number: u32) -> Cta {
        let [x, y, _] = launch.grid;
        let coordinates = [number % x, number / x % y, number / x / y];
        let threads = launch.block.iter().product::<u32>();
        let warps = threads.div_ceil(WARP as u32);
        let variables = launch.shared_variables.clone();
        let bytes = variables.iter().map(|v| v.base + v.bytes).max().unwrap_or(0);
        let races = launch.races.then(|| {
            let mut races = Races::new(bytes as usize, warps as usize);
            (0..warps).for_each(|warp| races.clocks().start(warp as usize, lanes_of_warp(threads, warp)));
            Box::new(races)
        });
        let start = |warp| Start {
            grid: launch.grid,
            block: launch.block,
            cta: coordinates,
            warp,
            dynamic_shared: launch.dynamic_shared,
            total_shared: bytes as u32,
        };
        let new_warp = |warp| {
            let state = WarpState::new(warp, lanes_of_warp(threads, warp), launch.code);
            Warp::new(registers(launch, &start(warp)), state)
        };
        let all = ((1u64 << warps) - 1) as u32;
        let multiplies = !launch.code.products.uses.is_empty();
        let whole_warpgroups = if multiplies { threads as usize / (WARPGROUP * WARP) } else { 0 };
        Cta {
            number,
            coordinates,
            warps: (0..warps).map(new_warp).collect(),
            shared: SharedMemory::new(variables, races),
            barriers: Default::default(),
            registers: RegisterPool::new(launch.registers, warps as usize),
            warpgroups: (0..whole_warpgroups).map(|_| Warpgroup::default()).collect(),
            live: all,
            ready: all,
            polling: 0,
            in_vain: 0,
            since: 0,
            last: warps - 1,
            // Every CTA draws its own sequence, whichever host thread runs it.
            random: launch.seed ^ (u64::from(number) + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15),
        }
    }

    /// Runs it for about that many warp instructions.
    pub(crate) fn run(
        &mut self,
        launch: &LaunchState<'_>,
        counts: &mut Counts,
        budget: u64,
    ) -> Result<Progress, Box<Trap>> {
        let mut left = budget;
        while self.live != 0 {
            if self.ready & !self.polling == 0 || self.since > PATIENCE {
                self.let_happen(launch, counts)?;
                continue;
            }
            if left == 0 {
                return Ok(Progress::Unfinished);
            }
            let (warp, quantum) = self.choose(launch.schedule);
            let quantum = quantum.min(left);
            let before = self.warps[warp as usize].state.executed;
            let mut around =
                Around { shared: &mut self.shared, warpgroups: &mut self.warpgroups, launch, counts, cta: self.number };
            let pause = self.warps[warp as usize].run(&mut around, quantum);
            let pause = pause.map_err(|failed| self.trap(launch, warp, failed))?;
            let executed = self.warps[warp as usize].state.executed - before;
            left = left.saturating_sub(executed);
            launch.spend(executed).map_err(|fault| self.trap(launch, warp, (fault, 0)))?;
            self.since = if self.shared.transfers.is_empty() { 0 } else { self.since + executed };
            match pause {
                Pause::Quantum => {}
                Pause::Polls => self.polling |= 1 << warp,
                Pause::Blocked => self.ready &= !(1 << warp),
                Pause::Ended => {
                    self.ready &= !(1 << warp);
                    self.live &= !(1 << warp);
                    (0..BARRIERS as u32).for_each(|barrier| self.complete(launch, barrier));
                    self.something_happened();
                }
                Pause::Registers(change) => {
                    let pc = change.pc;
                    self.change_registers(warp, change).map_err(|fault| self.trap(launch, warp, (fault, pc)))?;
                }
                Pause::Arrives(arrives) => {
                    self.arrive(launch, warp, arrives).map_err(|fault| self.trap(launch, warp, (fault, arrives.pc)))?;
                }
            }
            self.wake();
            self.wake_warpgroups();
        }
        self.expect_observed(launch)?;
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
        Ok(Progress::Finished)
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

    /// No warp can run: something that is under way happens, or waits for mbarriers end in vain, as they may.
    fn let_happen(&mut self, launch: &LaunchState<'_>, counts: &mut Counts) -> Result<(), Box<Trap>> {
        self.since = 0;
        let under_way = self.shared.transfers.len() as u64;
        if under_way > 0 {
            let which = if under_way == 1 { 0 } else { self.draw() % under_way };
            let transfer = self.shared.transfers.swap_remove(which as usize);
            let warp = transfer.warp;
            let mut around =
                Around { shared: &mut self.shared, warpgroups: &mut self.warpgroups, launch, counts, cta: self.number };
            let finished = self.warps[warp as usize].finish(&mut around, transfer);
            finished.map_err(|failed| self.trap(launch, warp, failed))?;
            self.something_happened();
            self.wake();
            return Ok(());
        }
        let mut again = self.polling;
        if self.in_vain < MOST_IN_VAIN {
            for (at, warp) in self.warps.iter_mut().enumerate() {
                again |= u32::from(warp.time_out(launch.code)) << at;
            }
        }
        self.in_vain += 1;
        if again == 0 || self.in_vain > MOST_IN_VAIN {
            return Err(self.deadlock(launch));
        }
        self.ready |= again;
        self.polling = 0;
        Ok(())
    }

    /// Whoever asked in vain may ask again.
    fn something_happened(&mut self) {
        (self.polling, self.in_vain, self.since) = (0, 0, 0);
    }

    /// Lets go on whoever waits for mbarriers that have completed a phase.
    fn wake(&mut self) {
        let completed = self.shared.mbarriers.take_completed();
        if completed.is_empty() {
            return;
        }
        for (at, warp) in self.warps.iter_mut().enumerate() {
            self.ready |= u32::from(warp.wake(&completed)) << at;
        }
        self.something_happened();
    }

    /// Whether somebody was told of every copy that an mbarrier counted.
    fn expect_observed(&self, launch: &LaunchState<'_>) -> Result<(), Box<Trap>> {
        if !launch.watches {
            return Ok(());
        }
        match self.shared.mbarriers.iter().find_map(Mbarrier::unobserved_copy) {
            Some((warp, pc)) => {
                let issued = launch.code.place(pc);
                Err(self.trap(launch, warp, (Box::new(Fault::UnobservedCopy { issued }), pc)))
            }
            None => Ok(()),
        }
    }

    /// The warp to run, and for how long.
    fn choose(&mut self, schedule: Schedule) -> (u32, u64) {
        let ready = self.ready & !self.polling;
        let (warp, quantum) = match schedule {
            Schedule::InOrder => (ready.trailing_zeros(), LONG),
            Schedule::Reverse => (31 - ready.leading_zeros(), LONG),
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

    fn arrive(&mut self, launch: &LaunchState<'_>, warp: u32, arrives: Arrives) -> Result<(), Box<Fault>> {
        let misuse = |reason| Box::new(Fault::BarrierMisuse { barrier: arrives.barrier, reason });
        let Some(barrier) = self.barriers.get_mut(arrives.barrier as usize) else {
            return Err(misuse("a CTA has the barriers 0 to 15".to_owned()));
        };
        barrier.arrive(warp, arrives.count, arrives.how).map_err(misuse)?;
        barrier.votes.0 += arrives.votes.0;
        barrier.votes.1 += arrives.votes.1;
        if let Some(races) = &mut self.shared.races {
            let live = self.warps[warp as usize].state.live;
            races.clocks().contribute(warp as usize, live, &mut barrier.known);
        }
        if barrier.waiting >> warp & 1 == 1 {
            self.ready &= !(1 << warp);
        }
        self.complete(launch, arrives.barrier);
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
    fn complete(&mut self, launch: &LaunchState<'_>, number: u32) {
        if !self.barriers[number as usize].is_complete(self.live) {
            return;
        }
        self.something_happened();
        let barrier = std::mem::take(&mut self.barriers[number as usize]);
        for warp in lanes_of(barrier.waiting & self.live) {
            if let Some(races) = &mut self.shared.races {
                races.clocks().receive(warp, self.warps[warp].state.live, &barrier.known);
            }
            self.warps[warp].release(number, barrier.votes, launch.code);
            self.ready |= 1 << warp;
        }
    }

    #[cold]
    fn deadlock(&self, launch: &LaunchState<'_>) -> Box<Trap> {
        let missing = |barrier: u32| match self.barriers.get(barrier as usize) {
            Some(barrier) => barrier.missing(self.live),
            None => String::new(),
        };
        let registers = |warp: u32| self.registers.missing(warp);
        let phases = |place: Option<u32>| match place {
            Some(place) => self.mbarrier_in_words(launch, place),
            None => "several mbarriers".to_owned(),
        };
        let products = |warp: u32| wgmma::missing(&self.warpgroups, warp, launch.code);
        let waits = |warp: &Warp| warp.waits(launch.code, missing, registers, phases, products);
        let waits: Vec<_> = self.warps.iter().flat_map(waits).collect();
        let (warp, place) = waits.first().map_or((0, launch.code.place(0)), |wait| (wait.warp, wait.place.clone()));
        let kernel = launch.code.name().to_owned();
        Box::new(Trap { fault: Fault::Deadlock { waits }, kernel, cta: self.coordinates, warp, place })
    }

    /// What an mbarrier lacks.
    fn mbarrier_in_words(&self, launch: &LaunchState<'_>, place: u32) -> String {
        let (name, offset) = self.shared.name_of(place as usize);
        let line = |pc: u32| {
            let place = launch.code.place(pc);
            match place.frames.first() {
                Some(frame) => format!("{}:{}", frame.file, frame.line),
                None => format!("PTX line {}", place.ptx_line),
            }
        };
        match self.shared.mbarriers.iter().find(|mbarrier| mbarrier.offset == place) {
            Some(mbarrier) => format!("the mbarrier at byte {offset} of {name}: {}", mbarrier.missing(line)),
            None => format!("an mbarrier at byte {offset} of {name} that is none any more"),
        }
    }

    #[cold]
    fn trap(&self, launch: &LaunchState<'_>, warp: u32, (fault, pc): Failed) -> Box<Trap> {
        Box::new(Trap {
            fault: *fault,
            kernel: launch.code.name().to_owned(),
            cta: self.coordinates,
            warp,
            place: launch.code.place(pc),
        })
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
