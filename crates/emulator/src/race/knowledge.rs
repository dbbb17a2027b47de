//! What each thread knows of the others.
//!
//! Nearly always all lanes of a warp know the same, and know as much of one lane of an agent as of another. Then one clock
//! for each agent says everything. Where a single lane told (it arrived at an mbarrier for its warp), a table of every
//! agent's lanes is kept beside it; where a single lane was told, one such table for that lane. Tables are dropped as soon
//! as they say nothing more.

use super::agents::{Agent, Agents, MOST_AGENTS, Needs, PerLane};
use super::{ALL_LANES, Actor, Conflict, Earlier, Stamp};
use crate::machine::lanes::{WARP, lanes_of};

/// The knowledge of all warps of a CTA.
#[derive(Debug)]
pub(crate) struct Clocks {
    agents: Agents,
    warps: Vec<WarpClocks>,
}

/// The knowledge of one warp.
#[derive(Debug)]
struct WarpClocks {
    /// Its own clock: rises whenever one of its lanes may have told others of its accesses.
    now: u32,
    /// The lanes that it has.
    lanes: u32,
    /// Those of them that have not ended.
    live: u32,
    /// What all lanes know of all lanes of each agent.
    all: Vec<u32>,
    /// What each lane knows of its own lane of an agent that acts for it: the groups that it has waited for, and what has
    /// passed its fences. The first is that of its copies.
    own: Vec<Own>,
    /// What all lanes know of single lanes of each agent beyond `all`.
    common: Option<Vec<PerLane>>,
    /// What single lanes know of single lanes of each agent beyond that.
    single: Option<Box<[Option<Vec<PerLane>>; WARP]>>,
}

/// What the lanes of a warp know of their own lanes of an agent.
#[derive(Debug)]
struct Own {
    agent: usize,
    clocks: PerLane,
}

/// What some threads know together: it goes from those that arrive somewhere to those that leave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contribution {
    all: Vec<u32>,
    exact: Option<Vec<PerLane>>,
}

impl Clocks {
    pub(super) fn new(warps: usize) -> Clocks {
        let agents = Agents::new(warps);
        let warp = |number| WarpClocks {
            now: 1,
            lanes: 0,
            live: 0,
            all: vec![0; agents.count()],
            own: vec![Own { agent: agents.copies_of(number), clocks: [0; WARP] }],
            common: None,
            single: None,
        };
        Clocks { warps: (0..warps).map(warp).collect(), agents }
    }

    /// The lanes that a warp starts with.
    pub(crate) fn start(&mut self, warp: usize, live: u32) {
        let warp = &mut self.warps[warp];
        (warp.lanes, warp.live) = (live, live);
    }

    /// Lanes of a warp end.
    pub(crate) fn end(&mut self, warp: usize, lanes: u32) {
        self.warps[warp].live &= !lanes;
    }

    /// The clock of a warp.
    #[inline(always)]
    pub(super) fn now(&self, warp: usize) -> u32 {
        self.warps[warp].now
    }

    /// What all lanes of a warp know of each agent.
    #[inline(always)]
    pub(super) fn known_to_all(&self, warp: usize) -> &[u32] {
        &self.warps[warp].all
    }

    /// The number of the agent that stands for the copies of a warp.
    #[inline(always)]
    pub(super) fn copies_of(&self, warp: usize) -> usize {
        self.agents.copies_of(warp)
    }

    /// The number of an agent, which is a new one if nobody has met it; None: there are too many.
    pub(super) fn number_of(&mut self, agent: Agent) -> Option<usize> {
        if let Some(number) = self.agents.find(agent) {
            return Some(number);
        }
        if self.agents.count() == MOST_AGENTS - 1 {
            return None;
        }
        let number = self.agents.add(agent);
        for warp in &mut self.warps {
            warp.all.push(0);
        }
        if let (Agent::Bulk(warp) | Agent::Fenced(warp) | Agent::FencedCopies(warp), Some(_)) =
            (agent, self.agents.lanes_of(number))
        {
            self.warps[warp as usize].own.push(Own { agent: number, clocks: [0; WARP] });
        }
        Some(number)
    }

    /// What the asynchronous proxy needs to see what an agent wrote.
    #[inline(always)]
    pub(super) fn needs(&self, writer: usize) -> Needs {
        self.agents.needs(writer)
    }

    /// Lanes have waited for their `cp.async` up to a group.
    pub(crate) fn retire_copies(&mut self, warp: usize, lanes: u32, group: u32) {
        self.raise_own(warp, lanes, Agent::Copies(warp as u32), group);
    }

    /// Lanes have waited for their bulk copies out of shared memory up to a group.
    pub(crate) fn retire_bulk(&mut self, warp: usize, lanes: u32, group: u32) {
        self.raise_own(warp, lanes, Agent::Bulk(warp as u32), group);
    }

    /// A warp has waited for the `wgmma` of its warpgroup up to a group.
    pub(crate) fn retire_matrix(&mut self, warp: usize, group: u32) {
        if let Some(agent) = self.number_of(Agent::Matrix(warp as u32 / 4)) {
            let known = &mut self.warps[warp].all[agent];
            *known = group.max(*known);
        }
    }

    /// Lanes execute `fence.proxy.async`: what they wrote so far, what they waited for of their `cp.async`, and what they
    /// know of such accesses of others, the asynchronous proxy may see as soon as it is told of it. A fence may stand
    /// anywhere on the way from the write to the access (PTX ISA, "Proxy-preserved base causality order"): Triton puts it
    /// behind the barrier.
    pub(crate) fn fence(&mut self, warp: usize, lanes: u32) {
        self.fence_known(warp, lanes);
        let index = warp as u32;
        let copied = self.warps[warp].own[0].clocks;
        self.raise_own(warp, lanes, Agent::Fenced(index), self.warps[warp].now);
        for lane in lanes_of(lanes) {
            self.raise_own(warp, 1 << lane, Agent::FencedCopies(index), copied[lane]);
        }
        // What comes after the fence is not covered by it.
        self.warps[warp].now += 1;
    }

    /// What lanes know of writes of the generic proxy has passed a fence.
    fn fence_known(&mut self, warp: usize, lanes: u32) {
        let writers = 2 * self.warps.len();
        let me = &self.warps[warp];
        let tables = me.common.iter().chain(me.single.iter().flat_map(|single| single.iter().flatten()));
        let mut met: Vec<bool> = me.all[..writers].iter().map(|clock| *clock > 0).collect();
        for rows in tables {
            rows.iter().zip(&mut met).for_each(|(row, met)| *met |= *row != [0; WARP]);
        }
        let mut pairs = Vec::new();
        for writer in (0..writers).filter(|writer| met[*writer]) {
            let fence = match self.agents.get(writer) {
                Agent::Copies(warp) => Agent::FencedCopies(warp),
                _ => Agent::Fenced((writer % self.warps.len()) as u32),
            };
            pairs.extend(self.number_of(fence).map(|fence| (writer, fence)));
        }
        let agents = self.agents.count();
        let me = &mut self.warps[warp];
        let everybody = lanes == me.live;
        if everybody {
            for &(writer, fence) in &pairs {
                me.all[fence] = me.all[fence].max(me.all[writer]);
            }
            if let Some(rows) = &mut me.common {
                raise_fences(rows, agents, &pairs);
            }
        }
        if me.single.is_some() || !everybody {
            let (all, common) = (&me.all, &me.common);
            let single = me.single.get_or_insert_with(|| Box::new([const { None }; WARP]));
            for lane in lanes_of(lanes) {
                let rows = rows_of(&mut single[lane], agents);
                if !everybody {
                    for (at, row) in rows.iter_mut().enumerate() {
                        let shared = common.as_ref().and_then(|common| common.get(at)).unwrap_or(&[0; WARP]);
                        row.iter_mut().zip(shared).for_each(|(known, told)| *known = (*told).max(all[at]).max(*known));
                    }
                }
                raise_fences(rows, agents, &pairs);
            }
        }
        self.simplify(warp);
    }

    fn raise_own(&mut self, warp: usize, lanes: u32, agent: Agent, clock: u32) {
        let Some(agent) = self.number_of(agent) else { return };
        for own in self.warps[warp].own.iter_mut().filter(|own| own.agent == agent) {
            for lane in lanes_of(lanes) {
                own.clocks[lane] = clock.max(own.clocks[lane]);
            }
        }
    }

    /// Fails if the actor does not know of an access.
    #[cold]
    #[inline(never)]
    pub(super) fn expect_known(&self, actor: Actor, stamp: Stamp, granule: usize) -> Result<(), Conflict> {
        if self.knows(actor, stamp.agent(), stamp) {
            return Ok(());
        }
        let waited = |warp: u32| {
            let clocks = &self.warps[warp as usize].own[0].clocks;
            lanes(stamp.lane()).all(|lane| clocks[lane] >= stamp.clock())
        };
        let how = match self.agents.get(stamp.agent()) {
            Agent::Copies(warp) if waited(warp) => Earlier::Copy,
            Agent::Copies(_) => Earlier::CopyInFlight,
            Agent::Bulk(_) => Earlier::BulkRead,
            Agent::Matrix(_) => Earlier::MatrixRead,
            Agent::Mbarrier(_) => Earlier::BulkWrite,
            Agent::Objects => Earlier::Mbarrier,
            _ if stamp.is_atomic() => Earlier::Atomic,
            _ => Earlier::Write,
        };
        Err(Conflict { how, by: self.maker(stamp), granule })
    }

    /// Fails if the actor, for an access of the asynchronous proxy, does not know of a write, or if the write was of the
    /// generic proxy and its thread made no fence between it and telling of it.
    #[cold]
    #[inline(never)]
    pub(super) fn expect_visible(&self, actor: Actor, stamp: Stamp, granule: usize) -> Result<(), Conflict> {
        if stamp.clock() == 0 {
            return Ok(());
        }
        self.expect_known(actor, stamp, granule)?;
        let passed = match self.agents.needs(stamp.agent()) {
            Needs::Nothing => true,
            Needs::FirstFence => false,
            Needs::Fence(fence) => self.knows(actor, fence, stamp),
        };
        if passed {
            return Ok(());
        }
        Err(Conflict { how: Earlier::Unfenced, by: self.maker(stamp), granule })
    }

    /// Whether an actor knows the clock of a stamp of an agent, in all lanes that the two are about.
    fn knows(&self, actor: Actor, agent: usize, stamp: Stamp) -> bool {
        let live = self.warps[actor.warp as usize].live;
        // Of an agent without lanes, any lane says it.
        let theirs = if self.agents.lanes_of(agent).is_some() { stamp.lane() } else { 0 };
        lanes(actor.lane)
            .filter(|&me| live >> me & 1 == 1 || actor.lane != ALL_LANES)
            .all(|me| lanes(theirs).all(|you| self.known(actor.warp as usize, me, agent, you) >= stamp.clock()))
    }

    /// Whether a thread knows what another one did at a clock of its warp.
    pub(crate) fn is_after(&self, actor: Actor, earlier: Actor, clock: u32) -> bool {
        self.knows(actor, earlier.warp as usize, Stamp::new(clock, earlier.warp as usize, earlier, 15, 0))
    }

    /// Who made an access, or started what made it.
    fn maker(&self, stamp: Stamp) -> Actor {
        let (warp, lane) = match self.agents.get(stamp.agent()) {
            Agent::Matrix(group) => (4 * group, ALL_LANES),
            Agent::Mbarrier(_) | Agent::Objects => (stamp.lane(), ALL_LANES),
            _ => (self.agents.lanes_of(stamp.agent()).unwrap_or(0) as u32, stamp.lane()),
        };
        Actor { warp, lane, pc: stamp.pc() }
    }

    /// What lanes of a warp know now goes into a contribution; what they do from now on does not.
    pub(crate) fn contribute(&mut self, warp: usize, lanes: u32, to: &mut Contribution) {
        let agents = self.agents.count();
        to.all.resize(agents, 0);
        let me = &mut self.warps[warp];
        raise(&mut to.all, &me.all);
        if let Some(common) = &me.common {
            raise_rows(to.table(agents), common);
        }
        let single = me.single.iter().flat_map(|single| lanes_of(lanes).filter_map(|lane| single[lane].as_ref()));
        for rows in single {
            raise_rows(to.table(agents), rows);
        }
        let everybody = lanes == me.live;
        if everybody {
            // Lanes that have ended do nothing any more, so whatever they did before is as old as their last barrier.
            to.all[warp] = to.all[warp].max(me.now);
        } else {
            lanes_of(lanes).for_each(|lane| to.learn_of_lane(agents, warp, lane, me.now));
        }
        for own in &me.own {
            let least = lanes_of(lanes).map(|lane| own.clocks[lane]).min().unwrap_or(0);
            if everybody {
                to.all[own.agent] = to.all[own.agent].max(least);
            }
            for lane in lanes_of(lanes).filter(|&lane| own.clocks[lane] > if everybody { least } else { 0 }) {
                to.learn_of_lane(agents, own.agent, lane, own.clocks[lane]);
            }
        }
        me.now += 1;
    }

    /// A contribution learns of the `cp.async` of lanes of a warp up to a group, which nobody has waited for: they arrive
    /// when these are complete.
    pub(crate) fn contribute_copies(&mut self, warp: usize, lanes: u32, group: u32, to: &mut Contribution) {
        let (agents, copies) = (self.agents.count(), self.copies_of(warp));
        to.all.resize(agents, 0);
        lanes_of(lanes).for_each(|lane| to.learn_of_lane(agents, copies, lane, group));
    }

    /// A contribution learns of the bulk copies that an mbarrier has counted, up to a phase.
    pub(crate) fn contribute_phase(&mut self, mbarrier: u32, phase: u32, to: &mut Contribution) {
        if let Some(agent) = self.agents.find(Agent::Mbarrier(mbarrier)) {
            to.all.resize(self.agents.count(), 0);
            to.all[agent] = to.all[agent].max(phase);
        }
    }

    /// Lanes of a warp learn what a contribution holds.
    pub(crate) fn receive(&mut self, warp: usize, lanes: u32, from: &Contribution) {
        if from.all.is_empty() {
            return;
        }
        let agents = self.agents.count();
        let me = &mut self.warps[warp];
        if lanes == me.live {
            raise(&mut me.all, &from.all);
            if let Some(exact) = &from.exact {
                raise_rows(rows_of(&mut me.common, agents), exact);
            }
        } else {
            let single = me.single.get_or_insert_with(|| Box::new([const { None }; WARP]));
            for lane in lanes_of(lanes) {
                let rows = rows_of(&mut single[lane], agents);
                for (row, told) in rows.iter_mut().zip(&from.all) {
                    row.iter_mut().for_each(|clock| *clock = (*told).max(*clock));
                }
                if let Some(exact) = &from.exact {
                    raise_rows(rows, exact);
                }
            }
        }
        self.simplify(warp);
    }

    /// Lanes of a warp tell each other everything: a warp barrier.
    pub(crate) fn synchronise(&mut self, warp: usize, lanes: u32) {
        let mut together = Contribution::default();
        self.contribute(warp, lanes, &mut together);
        self.receive(warp, lanes, &together);
    }

    /// The newest access of a lane of an agent that a thread knows. A lane that does not exist has no unknown ones.
    fn known(&self, warp: usize, lane: usize, agent: usize, other: usize) -> u32 {
        let me = &self.warps[warp];
        if !self.exists(agent, other) {
            return u32::MAX;
        }
        let own = match me.own.iter().find(|own| own.agent == agent) {
            _ if other != lane => 0,
            _ if agent == warp => me.now,
            Some(own) => own.clocks[lane],
            None => 0,
        };
        let in_table = |rows: &Vec<PerLane>| rows.get(agent).map_or(0, |row| row[other]);
        let common = me.common.as_ref().map_or(0, in_table);
        let single = me.single.as_ref().and_then(|single| single[lane].as_ref()).map_or(0, in_table);
        own.max(common).max(single).max(me.all[agent])
    }

    /// Whether an agent has a lane.
    fn exists(&self, agent: usize, lane: usize) -> bool {
        self.agents.lanes_of(agent).is_none_or(|warp| self.warps[warp].lanes >> lane & 1 == 1)
    }

    /// Raises what all lanes know to the least that any knows, and drops tables that say nothing more.
    fn simplify(&mut self, warp: usize) {
        if self.warps[warp].common.is_none() && self.warps[warp].single.is_none() {
            return;
        }
        let agents = self.agents.count();
        let lanes_of_agents: Vec<u32> = (0..agents)
            .map(|agent| self.agents.lanes_of(agent).map_or(u32::MAX, |warp| self.warps[warp].lanes))
            .collect();
        let me = &mut self.warps[warp];
        if let Some(single) = &mut me.single {
            let live = me.live;
            if lanes_of(live).all(|lane| single[lane].is_some()) {
                let mut least = vec![[u32::MAX; WARP]; agents];
                for rows in lanes_of(live).filter_map(|lane| single[lane].as_ref()) {
                    for (at, row) in least.iter_mut().enumerate() {
                        let known = rows.get(at).unwrap_or(&[0; WARP]);
                        row.iter_mut().zip(known).for_each(|(least, known)| *least = (*known).min(*least));
                    }
                }
                if live != 0 {
                    raise_rows(rows_of(&mut me.common, agents), &least);
                }
            }
        }
        if let Some(common) = &mut me.common {
            let mut more = false;
            for ((row, known), &lanes) in common.iter().zip(&mut me.all).zip(&lanes_of_agents) {
                let least = lanes_of(lanes).map(|lane| row[lane]).min().unwrap_or(0);
                *known = least.max(*known);
                more |= lanes_of(lanes).any(|lane| row[lane] > *known);
            }
            if !more {
                me.common = None;
            }
        }
        if let Some(single) = &mut me.single {
            for slot in single.iter_mut() {
                let says_more = |(at, row): (usize, &PerLane)| {
                    let common = me.common.as_ref().and_then(|common| common.get(at)).unwrap_or(&[0; WARP]);
                    lanes_of(lanes_of_agents[at]).any(|lane| row[lane] > common[lane].max(me.all[at]))
                };
                if slot.as_ref().is_some_and(|rows| !rows.iter().enumerate().any(says_more)) {
                    *slot = None;
                }
            }
            if single.iter().all(Option::is_none) {
                me.single = None;
            }
        }
    }
}

impl Contribution {
    /// Adds what another one holds.
    pub(crate) fn join(&mut self, other: &Contribution) {
        self.all.resize(self.all.len().max(other.all.len()), 0);
        raise(&mut self.all, &other.all);
        if let Some(exact) = &other.exact {
            raise_rows(self.table(exact.len()), exact);
        }
    }

    fn table(&mut self, agents: usize) -> &mut Vec<PerLane> {
        rows_of(&mut self.exact, agents)
    }

    fn learn_of_lane(&mut self, agents: usize, agent: usize, lane: usize, clock: u32) {
        if clock > self.all[agent] {
            let known = &mut self.table(agents)[agent][lane];
            *known = clock.max(*known);
        }
    }
}

/// The lanes that a lane number stands for.
fn lanes(lane: u32) -> std::ops::Range<usize> {
    if lane == ALL_LANES { 0..WARP } else { lane as usize..lane as usize + 1 }
}

/// A table with a row for each of that many agents.
fn rows_of(table: &mut Option<Vec<PerLane>>, agents: usize) -> &mut Vec<PerLane> {
    let rows = table.get_or_insert_default();
    rows.resize(agents.max(rows.len()), [0; WARP]);
    rows
}

/// What a table says of writers is said of what has passed a fence, too.
fn raise_fences(rows: &mut Vec<PerLane>, agents: usize, pairs: &[(usize, usize)]) {
    rows.resize(agents.max(rows.len()), [0; WARP]);
    for &(writer, fence) in pairs {
        let told = rows[writer];
        raise(&mut rows[fence], &told);
    }
}

#[inline(always)]
fn raise(known: &mut [u32], told: &[u32]) {
    for (known, told) in known.iter_mut().zip(told) {
        *known = (*told).max(*known);
    }
}

fn raise_rows(known: &mut [PerLane], told: &[PerLane]) {
    for (known, told) in known.iter_mut().zip(told) {
        raise(known, told);
    }
}
