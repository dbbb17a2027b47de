//! Who accesses memory: the warps, and every mechanism that accesses it on their behalf and in its own time.

use crate::machine::lanes::WARP;

/// An agent: accesses of one agent are in an order of their own, which its clock counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Agent {
    /// The threads of a warp. The clock rises at releases.
    Warp(u32),
    /// `cp.async` of the threads of a warp. The clock counts groups of the thread.
    Copies(u32),
    /// Bulk copies out of shared memory of the threads of a warp. The clock counts bulk groups of the thread.
    Bulk(u32),
    /// `wgmma` of a warpgroup. The clock counts its groups.
    Matrix(u32),
    /// Bulk copies whose bytes the mbarrier at this offset counts. The clock counts its phases: all copies of a phase are
    /// complete together.
    Mbarrier(u32),
    /// Not an accessor: how much of what the threads of a warp wrote has passed a `fence.proxy.async` of the thread that
    /// wrote it. The clock is the warp's.
    Fenced(u32),
    /// As `Fenced`, of what their `cp.async` wrote.
    FencedCopies(u32),
    /// Mbarriers, whose bytes belong to none of the others: nobody ever knows its clock.
    Objects,
}

/// Most agents of a CTA: a stamp has ten bits, and all ones are no agent.
pub(crate) const MOST_AGENTS: usize = 1 << 10;

/// The agents of a CTA by number: its warps, the copies of each, and the others in the order of their first appearance.
#[derive(Debug)]
pub(super) struct Agents {
    warps: usize,
    all: Vec<Agent>,
    /// For each warp and its copies, the agent that says what has passed a fence.
    fences: Vec<Option<usize>>,
}

/// What an access of the asynchronous proxy needs of an earlier write, beside being told of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Nothing: the write was of that proxy too.
    Nothing,
    /// A fence of the writing thread, which this agent counts.
    Fence(usize),
    /// A fence of the writing thread, which has made none.
    FirstFence,
}

impl Agents {
    /// The warps and their copies.
    pub(super) fn new(warps: usize) -> Agents {
        let numbers = || 0..warps as u32;
        let all = numbers().map(Agent::Warp).chain(numbers().map(Agent::Copies)).collect();
        Agents { warps, all, fences: vec![None; 2 * warps] }
    }

    pub(super) fn count(&self) -> usize {
        self.all.len()
    }

    /// The number of the agent that stands for the copies of a warp.
    #[inline(always)]
    pub(super) fn copies_of(&self, warp: usize) -> usize {
        self.warps + warp
    }

    pub(super) fn get(&self, number: usize) -> Agent {
        self.all[number]
    }

    /// The number of an agent, if it has one yet.
    pub(super) fn find(&self, agent: Agent) -> Option<usize> {
        self.all.iter().position(|known| *known == agent)
    }

    /// Gives an agent the next number.
    pub(super) fn add(&mut self, agent: Agent) -> usize {
        let number = self.all.len();
        self.all.push(agent);
        match agent {
            Agent::Fenced(warp) => self.fences[warp as usize] = Some(number),
            Agent::FencedCopies(warp) => self.fences[self.warps + warp as usize] = Some(number),
            _ => {}
        }
        number
    }

    /// The warp whose lanes are the lanes of an agent; None: it has none, and acts as one.
    pub(super) fn lanes_of(&self, number: usize) -> Option<usize> {
        match self.all[number] {
            Agent::Warp(warp)
            | Agent::Copies(warp)
            | Agent::Bulk(warp)
            | Agent::Fenced(warp)
            | Agent::FencedCopies(warp) => Some(warp as usize),
            Agent::Matrix(_) | Agent::Mbarrier(_) | Agent::Objects => None,
        }
    }

    /// What the asynchronous proxy needs to see what this agent wrote.
    #[inline(always)]
    pub(super) fn needs(&self, writer: usize) -> Needs {
        match self.fences.get(writer) {
            None => Needs::Nothing,
            Some(None) => Needs::FirstFence,
            Some(Some(fence)) => Needs::Fence(*fence),
        }
    }
}

/// A clock for each lane of an agent.
pub(super) type PerLane = [u32; WARP];
