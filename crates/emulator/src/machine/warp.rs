//! One warp: its lanes at one or several places of the code.
//!
//! Lanes that are at one place form a fragment. A branch that lanes take both ways splits a fragment; the parts wait for
//! each other where all ways from the branch meet again, which is where ptxas puts its convergence barriers too.

use super::barrier::Arrival;
use super::call;
use super::context::{Effect, WarpState};
use super::counts::Counts;
use super::exchange::{Exchange, member_mask};
use super::lanes::{Lanes, lanes_of};
use super::launch::LaunchState;
use super::mbarrier::CLUSTER;
use super::phases::Order;
use super::registers::{Change, Direction};
use super::transfers::Transfer;
use super::wgmma::Warpgroup;
use crate::decode::{ALWAYS, Code, Instruction, MEETS, NOWHERE, Run, TOUCHES};
use crate::isa::cluster::{RELAXED, TOGETHER};
use crate::isa::control::IN_OWN_TIME;
use crate::isa::form::{Flow, Ready};
use crate::memory::shared::SharedMemory;
use crate::trap::{Fault, Wait};

/// A warp.
pub(crate) struct Warp {
    lanes: Lanes,
    pub(crate) state: WarpState,
    fragments: Vec<Fragment>,
    /// Where parts of a fragment wait for each other; free places are None.
    meetings: Vec<Option<Meeting>>,
    /// The fragment that ran out of time last: others go first.
    tired: Option<u32>,
}

/// Lanes at one place.
#[derive(Clone, Copy, Debug)]
struct Fragment {
    pc: u32,
    mask: u32,
    /// The innermost meeting that it is expected at.
    meeting: Option<usize>,
    waits: Option<Waits>,
    /// The wait for an mbarrier that it was answered no last: asked again, it blocks.
    asked: u32,
}

/// What a fragment waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Waits {
    /// The other lanes of a member mask, at an exchange or a warp barrier.
    Members { mask: u32 },
    /// The other lanes of its warp, to come to a barrier of the CTA together.
    Warp { barrier: u32 },
    /// The other warps at a barrier of the CTA.
    Cta { barrier: u32 },
    /// Registers that other warps give back.
    Registers,
    /// A phase of an mbarrier, or of several if it has no place.
    Mbarrier { place: Option<u32> },
    /// The other threads of the cluster at its barrier.
    Cluster,
    /// The other warps of its warpgroup, which have to issue a product before anybody waits for it.
    Warpgroup,
}

/// Where the parts of a split fragment wait for each other.
#[derive(Clone, Copy, Debug)]
struct Meeting {
    pc: u32,
    /// Lanes that are expected.
    expected: u32,
    /// Lanes that have come.
    arrived: u32,
    /// The meeting that they are expected at afterwards.
    outer: Option<usize>,
}

/// Why a warp stops running.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pause {
    /// Its time is over.
    Quantum,
    /// It asked in vain whether a phase is complete, and will ask again.
    Polls,
    /// It comes to a barrier.
    Arrives(Arrives),
    /// It wants another number of registers.
    Registers(Change),
    /// Everything in it waits.
    Blocked,
    /// All its lanes have ended.
    Ended,
}

/// How a warp comes to a barrier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Arrives {
    pub(crate) barrier: u32,
    pub(crate) count: Option<u32>,
    pub(crate) how: Arrival,
    /// Threads whose predicate holds, and threads that bring one.
    pub(crate) votes: (u32, u32),
    pub(crate) pc: u32,
}

/// A fault, and the instruction that made it.
pub(crate) type Failed = (Box<Fault>, u32);

/// What ends a straight run of a fragment.
enum Event {
    Quantum,
    Polls,
    Meets,
    /// A branch that these lanes take and the others do not.
    Splits {
        taken: u32,
    },
    Ends {
        lanes: u32,
    },
    Waits {
        lanes: u32,
        waits: Waits,
    },
    Arrives(Arrives),
    Registers(Change),
}

/// What a warp needs from around it to run.
pub(crate) struct Around<'a> {
    pub(crate) shared: &'a mut SharedMemory,
    pub(crate) warpgroups: &'a mut [Warpgroup],
    pub(crate) launch: &'a LaunchState<'a>,
    pub(crate) counts: &'a mut Counts,
    /// Running number of the CTA.
    pub(crate) cta: u32,
}

impl Warp {
    /// A warp at the start of the kernel.
    pub(crate) fn new(lanes: Lanes, state: WarpState) -> Warp {
        let all = Fragment { pc: 0, mask: state.live, meeting: None, waits: None, asked: NOWHERE };
        Warp { lanes, state, fragments: vec![all], meetings: Vec::new(), tired: None }
    }

    /// Runs until it must stop, or for about that many instructions.
    pub(crate) fn run(&mut self, around: &mut Around<'_>, quantum: u64) -> Result<Pause, Failed> {
        let until = self.state.executed + quantum;
        loop {
            let Some(at) = self.choose(around.launch.code) else {
                return Ok(if self.fragments.is_empty() { Pause::Ended } else { Pause::Blocked });
            };
            let fragment = &mut self.fragments[at];
            let meeting_pc = fragment.meeting.and_then(|meeting| self.meetings[meeting]).map_or(NOWHERE, |m| m.pc);
            let mut effect = effect(&mut self.lanes, &mut self.state, around, fragment.pc);
            let event = straight(&mut effect, fragment, meeting_pc, until)?;
            match event {
                Event::Quantum => {
                    self.tired = (self.fragments.len() > 1).then_some(self.fragments[at].mask);
                    return Ok(Pause::Quantum);
                }
                Event::Polls => {
                    self.tired = (self.fragments.len() > 1).then_some(self.fragments[at].mask);
                    let others = self.fragments.iter().enumerate().any(|(other, f)| other != at && f.waits.is_none());
                    if !others || self.state.executed >= until {
                        return Ok(Pause::Polls);
                    }
                }
                Event::Meets => {
                    let fragment = self.fragments.swap_remove(at);
                    if let Some(meeting) = fragment.meeting.and_then(|meeting| self.meetings[meeting].as_mut()) {
                        meeting.arrived |= fragment.mask;
                    }
                    self.settle(around)?;
                }
                Event::Splits { taken } => self.split(at, taken, around.launch.code),
                Event::Ends { lanes } => {
                    self.end(at, lanes, around)?;
                    self.settle(around)?;
                }
                Event::Waits { lanes, waits } => {
                    self.part(at, lanes);
                    self.fragments[at].waits = Some(waits);
                    self.settle(around)?;
                }
                Event::Arrives(arrives) => {
                    self.fragments[at].pc += 1;
                    return Ok(Pause::Arrives(arrives));
                }
                Event::Registers(change) => {
                    self.fragments[at].waits = Some(Waits::Registers);
                    return Ok(Pause::Registers(change));
                }
            }
            if let Some(arrives) = self.gathered(around.launch.code)? {
                return Ok(Pause::Arrives(arrives));
            }
        }
    }

    /// Carries out what lanes of the warp started at an instruction.
    pub(crate) fn finish(&mut self, around: &mut Around<'_>, transfer: Transfer) -> Result<(), Failed> {
        self.lanes.set_mask(transfer.lanes);
        let mut effect = effect(&mut self.lanes, &mut self.state, around, transfer.pc);
        effect.finish(transfer.what).map_err(|fault| (fault, transfer.pc))
    }

    /// Lets lanes that wait for one of these mbarriers ask again. Gives whether there are any.
    pub(crate) fn wake(&mut self, mbarriers: &[u32]) -> bool {
        let mut any = false;
        for fragment in &mut self.fragments {
            let place = match fragment.waits {
                Some(Waits::Mbarrier { place }) => place,
                Some(Waits::Cluster) => Some(CLUSTER),
                _ => continue,
            };
            if place.is_none_or(|place| mbarriers.contains(&place)) {
                fragment.waits = None;
                any = true;
            }
        }
        any
    }

    /// Ends waits for mbarriers in vain. Gives whether there were any.
    pub(crate) fn time_out(&mut self, code: &Code) -> bool {
        let mut any = false;
        for fragment in &mut self.fragments {
            if let Some(Waits::Mbarrier { .. }) = fragment.waits {
                self.lanes.set_mask(fragment.mask);
                self.lanes.set_predicate(code.instructions[fragment.pc as usize].rows[0], 0);
                fragment.pc += 1;
                fragment.waits = None;
                any = true;
            }
        }
        any
    }

    /// Lets the warp go on from a barrier; `votes` is what all threads brought to it.
    pub(crate) fn release(&mut self, barrier: u32, votes: (u32, u32), code: &Code) {
        for fragment in &mut self.fragments {
            if fragment.waits != Some(Waits::Cta { barrier }) {
                continue;
            }
            let ins = &code.instructions[fragment.pc as usize];
            self.lanes.set_mask(fragment.mask);
            let (holds, threads) = votes;
            match ins.run {
                Run::Flow(Flow::BarrierCount) => self.lanes.set_words(ins.rows[0], &[holds; 32]),
                Run::Flow(Flow::BarrierAll) => self.lanes.set_predicate(ins.rows[0], all_ones(holds == threads)),
                Run::Flow(Flow::BarrierAny) => self.lanes.set_predicate(ins.rows[0], all_ones(holds > 0)),
                _ => {}
            }
            fragment.pc += 1;
            fragment.waits = None;
        }
    }

    /// Lets the warp go on with the registers that it wanted.
    pub(crate) fn has_registers(&mut self) {
        for fragment in self.fragments.iter_mut().filter(|fragment| fragment.waits == Some(Waits::Registers)) {
            fragment.pc += 1;
            fragment.waits = None;
        }
    }

    /// Lets the warp try again to wait for products.
    pub(crate) fn tries_again(&mut self) {
        for fragment in self.fragments.iter_mut().filter(|fragment| fragment.waits == Some(Waits::Warpgroup)) {
            fragment.waits = None;
        }
    }

    /// Whether it waits until its warpgroup has issued a product.
    pub(crate) fn waits_for_warpgroup(&self) -> bool {
        self.fragments.iter().any(|fragment| fragment.waits == Some(Waits::Warpgroup))
    }

    /// What its fragments wait for, in words; `missing` says who keeps a barrier of the CTA waiting, `registers` what is
    /// missing of those that it wants, `phases` what an mbarrier lacks, `products` who has not issued one.
    pub(crate) fn waits(
        &self,
        code: &Code,
        missing: impl Fn(u32) -> String,
        registers: impl Fn(u32) -> String,
        phases: impl Fn(Option<u32>) -> String,
        products: impl Fn(u32) -> String,
    ) -> Vec<Wait> {
        let wait = |fragment: &Fragment| Wait {
            warp: self.state.index,
            lanes: fragment.mask,
            for_what: match fragment.waits {
                Some(Waits::Members { mask }) => format!("the other lanes of {mask:#010x}"),
                Some(Waits::Warp { barrier }) => format!("the other lanes of its warp, before barrier {barrier}"),
                Some(Waits::Cta { barrier }) => format!("barrier {barrier}; {}", missing(barrier)),
                Some(Waits::Registers) => registers(self.state.index),
                Some(Waits::Warpgroup) => products(self.state.index),
                Some(Waits::Mbarrier { place }) => phases(place),
                Some(Waits::Cluster) => phases(Some(CLUSTER)),
                None => match self.state.polls {
                    Some((mask, place)) if mask == fragment.mask => {
                        format!("{}, asking again and again", phases(place))
                    }
                    _ => "nothing".to_owned(),
                },
            },
            place: code.place(fragment.pc),
        };
        let meets = |meeting: &Meeting| Wait {
            warp: self.state.index,
            lanes: meeting.arrived & self.state.live,
            for_what: format!(
                "the lanes {:#010x} that took another branch",
                meeting.expected & !meeting.arrived & self.state.live
            ),
            place: code.place(meeting.pc),
        };
        let meetings = self.meetings.iter().flatten().filter(|meeting| meeting.arrived & self.state.live != 0);
        self.fragments.iter().map(wait).chain(meetings.map(meets)).collect()
    }

    /// The fragment to run: of those that do not wait, the one that is furthest behind.
    fn choose(&mut self, code: &Code) -> Option<usize> {
        if let [one] = self.fragments.as_slice() {
            return one.waits.is_none().then_some(0);
        }
        let tired = self.tired.take();
        let order = |fragment: &Fragment| code.order.get(fragment.pc as usize).copied().unwrap_or(u32::MAX);
        let ready = self.fragments.iter().enumerate().filter(|(_, fragment)| fragment.waits.is_none());
        ready.min_by_key(|(_, f)| (tired == Some(f.mask), order(f), f.mask.trailing_zeros())).map(|(at, _)| at)
    }

    /// Splits a fragment at a branch.
    fn split(&mut self, at: usize, taken: u32, code: &Code) {
        let fragment = self.fragments[at];
        let ins = &code.instructions[fragment.pc as usize];
        let shares = fragment.meeting.and_then(|meeting| self.meetings[meeting]).is_some_and(|m| m.pc == ins.meeting);
        // Parts of a loop leave it one after the other: they all meet at one place behind it.
        let meeting = if ins.meeting == NOWHERE || shares {
            fragment.meeting
        } else {
            let new = Meeting { pc: ins.meeting, expected: fragment.mask, arrived: 0, outer: fragment.meeting };
            let free = self.meetings.iter().position(Option::is_none);
            let place = free.unwrap_or_else(|| {
                self.meetings.push(None);
                self.meetings.len() - 1
            });
            self.meetings[place] = Some(new);
            Some(place)
        };
        self.fragments[at] = Fragment { pc: fragment.pc + 1, mask: fragment.mask & !taken, meeting, ..fragment };
        self.fragments.push(Fragment { pc: ins.target, mask: taken, meeting, ..fragment });
    }

    /// Keeps these lanes of a fragment at its instruction and lets the others go on.
    fn part(&mut self, at: usize, stay: u32) {
        let fragment = self.fragments[at];
        if fragment.mask != stay {
            self.fragments.push(Fragment { pc: fragment.pc + 1, mask: fragment.mask & !stay, ..fragment });
            self.fragments[at].mask = stay;
        }
    }

    /// Ends lanes of a fragment.
    fn end(&mut self, at: usize, lanes: u32, around: &mut Around<'_>) -> Result<(), Failed> {
        let pc = self.fragments[at].pc;
        if around.launch.watches
            && let Some((lane, issued)) = self.state.copies.unwaited(lanes).or_else(|| self.state.bulk.unwaited(lanes))
        {
            return Err((Box::new(Fault::UnwaitedCopy { lane, issued: around.launch.code.place(issued) }), pc));
        }
        if around.launch.watches
            && let Some((issued, committed)) = self.state.flight.unwaited()
        {
            let issued = around.launch.code.place(issued);
            return Err((Box::new(Fault::UnwaitedProduct { issued, committed }), pc));
        }
        let mut effect = effect(&mut self.lanes, &mut self.state, around, pc);
        effect.flush_bulk_stores(lanes).map_err(|fault| (fault, pc))?;
        self.state.live &= !lanes;
        if around.shared.cluster_barrier.end(&mut self.state.cluster, lanes) {
            around.shared.mbarriers.complete(CLUSTER);
        }
        if let Some(races) = &mut around.shared.races {
            races.clocks().end(self.state.agent as usize, lanes);
        }
        let fragment = &mut self.fragments[at];
        fragment.mask &= !lanes;
        fragment.pc += 1;
        if fragment.mask == 0 {
            self.fragments.swap_remove(at);
        }
        Ok(())
    }

    /// Lets go on whoever waits for lanes that have come, or have ended.
    fn settle(&mut self, around: &mut Around<'_>) -> Result<(), Failed> {
        let live = self.state.live;
        for at in 0..self.meetings.len() {
            let Some(meeting) = self.meetings[at] else { continue };
            if meeting.expected & live & !meeting.arrived != 0 {
                continue;
            }
            self.meetings[at] = None;
            let mask = meeting.arrived & live;
            if mask != 0 {
                let meeting = Fragment { pc: meeting.pc, mask, meeting: meeting.outer, waits: None, asked: NOWHERE };
                self.fragments.push(meeting);
            }
        }
        for at in 0..self.fragments.len() {
            let Some(Waits::Members { mask }) = self.fragments[at].waits else { continue };
            let pc = self.fragments[at].pc;
            let ins = &around.launch.code.instructions[pc as usize];
            let same = |fragment: &&mut Fragment| {
                let other = &around.launch.code.instructions[fragment.pc as usize];
                fragment.waits == Some(Waits::Members { mask })
                    && std::ptr::eq(other.form, ins.form)
                    && other.note == ins.note
            };
            let present = self.fragments.iter_mut().filter(same).fold(0, |lanes, fragment| lanes | fragment.mask);
            if mask & live & !present != 0 {
                continue;
            }
            let mut exchange = Exchange::new(present);
            for fragment in self.fragments.iter_mut().filter(same) {
                exchange.gather(&self.lanes, &around.launch.code.instructions[fragment.pc as usize], fragment.mask);
            }
            match ins.run {
                Run::Exchange(function) => function(&mut exchange),
                _ => synchronise(around.shared, self.state.agent, present),
            }
            if let Some(fault) = exchange.fault.take() {
                return Err((fault, pc));
            }
            for fragment in self.fragments.iter_mut().filter(same) {
                exchange.scatter(
                    &mut self.lanes,
                    &around.launch.code.instructions[fragment.pc as usize],
                    fragment.mask,
                );
                fragment.pc += 1;
                fragment.waits = None;
            }
        }
        Ok(())
    }

    /// The barrier that all lanes of the warp have come to.
    fn gathered(&mut self, code: &Code) -> Result<Option<Arrives>, Failed> {
        let waiting = |fragment: &Fragment| match fragment.waits {
            Some(Waits::Warp { barrier }) => Some((barrier, fragment.pc)),
            _ => None,
        };
        let Some((barrier, pc)) = self.fragments.iter().find_map(waiting) else { return Ok(None) };
        let here = Some(Waits::Warp { barrier });
        let parts = || self.fragments.iter().filter(|fragment| fragment.waits == here);
        if parts().fold(0, |lanes, fragment| lanes | fragment.mask) != self.state.live {
            return Ok(None);
        }
        let mut votes = (0, 0);
        let mut arrives: Option<Arrives> = None;
        for fragment in parts() {
            let ins = &code.instructions[fragment.pc as usize];
            if reduces(ins) {
                let predicate = self.lanes.predicate(ins.rows[usize::from(ins.row_count) - 1]);
                votes.0 += (predicate & fragment.mask).count_ones();
                votes.1 += fragment.mask.count_ones();
            }
            let comes = arrival(&self.lanes, ins, fragment.mask, fragment.pc)?;
            // A warp of which some lanes wait and others only arrive waits.
            if arrives.is_none_or(|known| known.how == Arrival::Pass) {
                arrives = Some(comes);
            }
        }
        for fragment in self.fragments.iter_mut().filter(|fragment| fragment.waits == here) {
            if code.instructions[fragment.pc as usize].run.arrives_only() {
                fragment.pc += 1;
                fragment.waits = None;
            } else {
                fragment.waits = Some(Waits::Cta { barrier });
            }
        }
        Ok(arrives.map(|arrives| Arrives { votes, pc, ..arrives }))
    }
}

/// A warp at an instruction.
fn effect<'a>(lanes: &'a mut Lanes, warp: &'a mut WarpState, around: &'a mut Around<'_>, pc: u32) -> Effect<'a> {
    Effect {
        lanes,
        warp,
        shared: around.shared,
        warpgroups: around.warpgroups,
        launch: around.launch,
        counts: around.counts,
        cta: around.cta,
        pc,
    }
}

/// Runs a fragment as long as its lanes stay together and nothing stops them.
fn straight(effect: &mut Effect<'_>, fragment: &mut Fragment, meeting: u32, until: u64) -> Result<Event, Failed> {
    let instructions = effect.launch.code.instructions.as_slice();
    let (warp, mask) = (effect.warp.index as usize, fragment.mask);
    let mut pc = fragment.pc;
    let event = loop {
        let Some(ins) = instructions.get(pc as usize) else { break Event::Ends { lanes: mask } };
        if ins.marks & MEETS != 0 && pc == meeting {
            break Event::Meets;
        }
        if effect.warp.executed >= until {
            break Event::Quantum;
        }
        let active = if ins.guard == ALWAYS { mask } else { mask & effect.lanes.predicate(ins.guard) };
        effect.warp.executed += 1;
        effect.counts.execute(warp, pc, active);
        if active == 0 {
            pc += 1;
            continue;
        }
        if ins.marks & TOUCHES != 0 {
            effect.touch(ins).map_err(|fault| (fault, pc))?;
        }
        match ins.run {
            Run::Lanes(function) => {
                effect.lanes.set_mask(active);
                call::lanes(function, effect.lanes, ins);
                pc += 1;
            }
            Run::Effect(function) => {
                effect.lanes.set_mask(active);
                effect.pc = pc;
                call::effect(function, effect, ins).map_err(|fault| (fault, pc))?;
                pc += 1;
            }
            Run::Aligned(function) => {
                // Lanes that have ended are missing too: what they would hold is a part of the matrices.
                if active != u32::MAX {
                    return Err((Box::new(Fault::Diverged { lanes: active, live: u32::MAX }), pc));
                }
                effect.lanes.set_mask(active);
                effect.pc = pc;
                call::effect(function, effect, ins).map_err(|fault| (fault, pc))?;
                pc += 1;
            }
            Run::Await(function) => {
                if active != u32::MAX {
                    return Err((Box::new(Fault::Diverged { lanes: active, live: u32::MAX }), pc));
                }
                effect.lanes.set_mask(active);
                effect.pc = pc;
                if call::awaits(function, effect, ins).map_err(|fault| (fault, pc))? == Ready::Later {
                    effect.warp.executed -= 1;
                    effect.counts.take_back(warp, pc, active);
                    break Event::Waits { lanes: active, waits: Waits::Warpgroup };
                }
                pc += 1;
            }
            Run::Exchange(function) => {
                let members = member_mask(effect.lanes, ins, active).map_err(|fault| (fault, pc))?;
                if members & effect.warp.live & !active != 0 {
                    break Event::Waits { lanes: active, waits: Waits::Members { mask: members } };
                }
                let mut exchange = Exchange::new(active);
                exchange.gather(effect.lanes, ins, active);
                function(&mut exchange);
                if let Some(fault) = exchange.fault {
                    return Err((fault, pc));
                }
                exchange.scatter(effect.lanes, ins, active);
                pc += 1;
            }
            Run::Flow(Flow::Branch) if active == mask => pc = ins.target,
            Run::Flow(Flow::Branch) => break Event::Splits { taken: active },
            Run::Flow(Flow::Exit) => break Event::Ends { lanes: active },
            Run::Flow(Flow::Trap) => return Err((Box::new(Fault::Deliberate), pc)),
            Run::Flow(Flow::Nothing) => pc += 1,
            Run::Flow(Flow::WarpBarrier) => {
                let members = member_mask(effect.lanes, ins, active).map_err(|fault| (fault, pc))?;
                if members & effect.warp.live & !active != 0 {
                    break Event::Waits { lanes: active, waits: Waits::Members { mask: members } };
                }
                synchronise(effect.shared, effect.warp.agent, active);
                pc += 1;
            }
            Run::Flow(flow @ (Flow::TestWait | Flow::TryWait)) => {
                effect.lanes.set_mask(active);
                effect.pc = pc;
                let passed = effect.pass_mbarriers(ins).map_err(|fault| (fault, pc))?;
                // A wait may end at any time, so the first answer is no: what does not ask again is found under every
                // schedule.
                if passed == 0 && flow == Flow::TryWait && fragment.asked == pc {
                    let place = effect.waited_for(ins);
                    break Event::Waits { lanes: active, waits: Waits::Mbarrier { place } };
                }
                effect.lanes.set_predicate(ins.rows[0], passed);
                fragment.asked = if passed == 0 { pc } else { NOWHERE };
                pc += 1;
                if passed == 0 && flow == Flow::TestWait {
                    effect.warp.polls = Some((mask, effect.waited_for(ins)));
                    break Event::Polls;
                }
            }
            Run::Flow(flow @ (Flow::ClusterArrive | Flow::ClusterWait)) => {
                if ins.note & TOGETHER != 0 {
                    expect_whole_warp(effect, active, pc)?;
                }
                effect.lanes.set_mask(active);
                let goes_on = match flow {
                    Flow::ClusterWait => effect.pass_cluster(),
                    _ => {
                        let order = if ins.note & RELAXED == 0 { Order::Ordered } else { Order::Relaxed };
                        effect.arrive_at_cluster(order).map(|()| true)
                    }
                };
                if !goes_on.map_err(|fault| (fault, pc))? {
                    break Event::Waits { lanes: active, waits: Waits::Cluster };
                }
                pc += 1;
            }
            Run::Flow(flow @ (Flow::TakeRegisters | Flow::GiveRegisters)) => {
                expect_whole_warp(effect, active, pc)?;
                let direction = if flow == Flow::TakeRegisters { Direction::Take } else { Direction::Give };
                break Event::Registers(Change { direction, count: ins.note, pc });
            }
            Run::Flow(
                Flow::Barrier | Flow::BarrierArrive | Flow::BarrierCount | Flow::BarrierAll | Flow::BarrierAny,
            ) => {
                if ins.note != IN_OWN_TIME {
                    expect_whole_warp(effect, active, pc)?;
                }
                let arrives = arrival(effect.lanes, ins, active, pc)?;
                if ins.run.arrives_only() && active == effect.warp.live {
                    break Event::Arrives(arrives);
                }
                break Event::Waits { lanes: active, waits: Waits::Warp { barrier: arrives.barrier } };
            }
        }
    };
    fragment.pc = pc;
    Ok(event)
}

fn expect_whole_warp(effect: &Effect<'_>, lanes: u32, pc: u32) -> Result<(), Failed> {
    let live = effect.warp.live;
    if lanes == live { Ok(()) } else { Err((Box::new(Fault::Diverged { lanes, live }), pc)) }
}

/// Lanes that meet at a warp barrier know each other's accesses from then on.
fn synchronise(shared: &mut SharedMemory, warp: u32, lanes: u32) {
    if let Some(races) = &mut shared.races {
        races.clocks().synchronise(warp as usize, lanes);
    }
}

fn reduces(ins: &Instruction) -> bool {
    matches!(ins.run, Run::Flow(Flow::BarrierCount | Flow::BarrierAll | Flow::BarrierAny))
}

/// What these lanes say at a barrier.
fn arrival(lanes: &Lanes, ins: &Instruction, active: u32, pc: u32) -> Result<Arrives, Failed> {
    let first = usize::from(reduces(ins));
    let rows = usize::from(ins.row_count) - 2 * first;
    let word = |at: usize| lanes.words(ins.rows[first + at])[active.trailing_zeros() as usize];
    let how = match ins.run {
        _ if ins.run.arrives_only() => Arrival::Pass,
        _ if first == 1 => Arrival::Reduce,
        _ => Arrival::Wait,
    };
    let barrier = word(0);
    for (at, what) in ["barriers", "counts"].into_iter().enumerate().take(rows) {
        let values = lanes.words(ins.rows[first + at]);
        if let Some(lane) = lanes_of(active).find(|&lane| values[lane] != word(at)) {
            let reason = format!("lanes of one warp name different {what}, {} and {}", word(at), values[lane]);
            return Err((Box::new(Fault::BarrierMisuse { barrier, reason }), pc));
        }
    }
    Ok(Arrives { barrier, count: (rows == 2).then(|| word(1)), how, votes: (0, 0), pc })
}

fn all_ones(holds: bool) -> u32 {
    if holds { u32::MAX } else { 0 }
}
