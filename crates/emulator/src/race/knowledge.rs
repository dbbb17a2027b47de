//! What each thread knows of the others.
//!
//! Nearly always all lanes of a warp know the same, and know as much of one lane of an agent as of another. Then one clock
//! for each agent says everything. Where lanes part ways (a barrier of some lanes, a wait of some, an atomic of one), a
//! table of every lane's knowledge of every other is kept beside it, and dropped as soon as it says nothing more.

use super::{ALL_LANES, Actor, Conflict, Earlier, Stamp};
use crate::machine::lanes::{WARP, lanes_of};

/// A clock for each lane of an agent.
type PerLane = [u32; WARP];

/// The knowledge of all warps of a CTA.
#[derive(Debug)]
pub(crate) struct Clocks {
    warps: Vec<WarpClocks>,
}

/// The knowledge of one warp. Agents are the warps, then the copies of each warp.
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
    /// The last group of copies that each lane has waited for.
    retired: PerLane,
    /// What single lanes know beyond that: lane, agent, lane of the agent.
    exact: Option<Box<[Vec<PerLane>]>>,
}

/// What some threads know together: it goes from those that arrive somewhere to those that leave.
#[derive(Clone, Debug, Default)]
pub(crate) struct Contribution {
    all: Vec<u32>,
    exact: Option<Vec<PerLane>>,
}

impl Clocks {
    pub(super) fn new(warps: usize) -> Clocks {
        let warp =
            || WarpClocks { now: 1, lanes: 0, live: 0, all: vec![0; 2 * warps], retired: [0; WARP], exact: None };
        Clocks { warps: (0..warps).map(|_| warp()).collect() }
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

    /// The agent that stands for the copies of a warp.
    #[inline(always)]
    pub(super) fn copies_of(&self, warp: usize) -> usize {
        self.warps.len() + warp
    }

    /// Lanes have waited for their copies up to a group.
    pub(crate) fn retire(&mut self, warp: usize, lanes: u32, group: u32) {
        for lane in lanes_of(lanes) {
            let retired = &mut self.warps[warp].retired[lane];
            *retired = group.max(*retired);
        }
    }

    /// Fails if the actor does not know of an access.
    #[cold]
    #[inline(never)]
    pub(super) fn expect_known(&self, actor: Actor, stamp: Stamp, granule: usize) -> Result<(), Conflict> {
        let lanes = |lane: u32| if lane == ALL_LANES { 0..WARP } else { lane as usize..lane as usize + 1 };
        let live = self.warps[actor.warp as usize].live;
        let known = lanes(actor.lane).filter(|&me| live >> me & 1 == 1 || actor.lane != ALL_LANES).all(|me| {
            lanes(stamp.lane()).all(|you| self.known(actor.warp as usize, me, stamp.agent(), you) >= stamp.clock())
        });
        if known {
            return Ok(());
        }
        let (how, warp) = match stamp.agent().checked_sub(self.warps.len()) {
            Some(warp) => {
                let waited = lanes(stamp.lane()).all(|lane| self.warps[warp].retired[lane] >= stamp.clock());
                (if waited { Earlier::Copy } else { Earlier::CopyInFlight }, warp)
            }
            None if stamp.is_atomic() => (Earlier::Atomic, stamp.agent()),
            None => (Earlier::Write, stamp.agent()),
        };
        let by = Actor { warp: warp as u32, lane: stamp.lane(), pc: stamp.pc() };
        Err(Conflict { how, by, granule })
    }

    /// What lanes of a warp know now goes into a contribution; what they do from now on does not.
    pub(crate) fn contribute(&mut self, warp: usize, lanes: u32, to: &mut Contribution) {
        let agents = 2 * self.warps.len();
        let copies = self.copies_of(warp);
        to.all.resize(agents, 0);
        let me = &self.warps[warp];
        let retired = lanes_of(lanes).map(|lane| me.retired[lane]).min().unwrap_or(0);
        let uniform = lanes == me.live && me.exact.is_none() && lanes_of(lanes).all(|lane| me.retired[lane] == retired);
        for agent in 0..agents {
            to.all[agent] = to.all[agent].max(me.all[agent]);
        }
        if uniform {
            to.all[warp] = to.all[warp].max(me.now);
            to.all[copies] = to.all[copies].max(retired);
        } else {
            let mut exact = to.exact.take().unwrap_or_else(|| vec![[0; WARP]; agents]);
            for lane in lanes_of(lanes) {
                for (agent, row) in exact.iter_mut().enumerate() {
                    for (other, clock) in row.iter_mut().enumerate() {
                        *clock = (*clock).max(self.known(warp, lane, agent, other));
                    }
                }
            }
            // Lanes that have ended do nothing any more, so whatever they did before is as old as their last barrier.
            to.exact = Some(exact);
        }
        self.warps[warp].now += 1;
    }

    /// Lanes of a warp learn what a contribution holds.
    pub(crate) fn receive(&mut self, warp: usize, lanes: u32, from: &Contribution) {
        if from.all.is_empty() {
            return;
        }
        let me = &mut self.warps[warp];
        let everybody = lanes == me.live;
        if everybody {
            for (known, told) in me.all.iter_mut().zip(&from.all) {
                *known = (*told).max(*known);
            }
        }
        if everybody && from.exact.is_none() {
            if me.exact.is_some() {
                self.simplify(warp);
            }
            return;
        }
        let agents = me.all.len();
        let exact = me.exact.get_or_insert_with(|| vec![vec![[0; WARP]; agents]; WARP].into());
        for lane in lanes_of(lanes) {
            for agent in 0..agents {
                for other in 0..WARP {
                    let told = from.exact.as_ref().map_or(0, |exact| exact[agent][other]).max(from.all[agent]);
                    let known = &mut exact[lane][agent][other];
                    *known = told.max(*known);
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
        if self.warps[agent % self.warps.len()].lanes >> other & 1 == 0 {
            return u32::MAX;
        }
        let own = match agent {
            _ if other != lane => 0,
            _ if agent == warp => me.now,
            _ if agent == self.copies_of(warp) => me.retired[lane],
            _ => 0,
        };
        let exact = me.exact.as_ref().map_or(0, |exact| exact[lane][agent][other]);
        own.max(exact).max(me.all[agent])
    }

    /// Raises what all lanes know to the least that any knows, and drops the table if it says nothing more.
    fn simplify(&mut self, warp: usize) {
        let me = &mut self.warps[warp];
        let Some(exact) = &me.exact else { return };
        let mut more = false;
        for agent in 0..me.all.len() {
            let clocks = || lanes_of(me.live).flat_map(|lane| exact[lane][agent]);
            let least = clocks().min().unwrap_or(0);
            me.all[agent] = me.all[agent].max(least);
            more |= clocks().any(|clock| clock > me.all[agent]);
        }
        if !more {
            me.exact = None;
        }
    }
}
