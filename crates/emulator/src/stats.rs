//! What a launch did, counted.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::decode::Code;
use crate::isa::{tensor, wgmma};
use crate::launch::Launch;
use crate::machine::counts::Counts;

/// What a launch did. Counts of several launches can be added.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Stats {
    /// Instructions, each counted once for a warp.
    pub warp_instructions: u64,
    /// Instructions, each counted once for a lane that executed it.
    pub lane_instructions: u64,
    /// Warp instructions by the unit that serves them.
    pub families: BTreeMap<&'static str, u64>,
    /// Warp instructions of each warp of a CTA, all CTAs together.
    pub warps: Vec<u64>,
    /// Multiplications and additions of matrix instructions.
    pub mma_flops: u64,
    /// Matrix instructions by spelling, each counted once for a warp.
    pub mma: BTreeMap<String, u64>,
    /// Loads of global memory.
    pub global_loads: GlobalTraffic,
    /// Stores to global memory.
    pub global_stores: GlobalTraffic,
    /// Reads of asynchronous copies.
    pub global_copies: GlobalTraffic,
    /// Accesses to shared memory; the operands of a `wgmma` count once for its warpgroup.
    pub shared: SharedTraffic,
    /// Barriers of CTAs, each counted once for a warp.
    pub barriers: u64,
    /// Questions and waits for phases of mbarriers, each counted once for a warp: one that blocks is asked again when a phase
    /// is complete.
    pub mbarrier_waits: u64,
    /// Branches that the lanes of a warp may take both ways, each counted once for a warp.
    pub branches: u64,
    /// Instructions whose accesses to shared memory conflict, worst first.
    pub conflicts: Vec<Conflicts>,
    /// What decides how many CTAs fit a multiprocessor.
    pub occupancy: Occupancy,
}

/// What went between global memory and the multiprocessors.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct GlobalTraffic {
    /// Bytes that lanes asked for.
    pub bytes: u64,
    /// Sectors of 32 bytes that a warp's requests touched, each request on its own.
    pub sectors: u64,
}

/// What went to and from shared memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct SharedTraffic {
    /// Bytes that lanes asked for.
    pub bytes: u64,
    /// Passes through the banks.
    pub wavefronts: u64,
    /// Passes that would have been enough without conflicts.
    pub ideal: u64,
}

/// An instruction that conflicts in the banks of shared memory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Conflicts {
    /// The instruction as PTX.
    pub instruction: String,
    /// Line of the PTX text.
    pub ptx_line: u32,
    /// File and line of the source, if they are known.
    pub source: Option<String>,
    /// Passes through the banks.
    pub wavefronts: u64,
    /// Passes that would have been enough.
    pub ideal: u64,
}

/// What decides how many CTAs fit a multiprocessor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Occupancy {
    /// Threads of a CTA.
    pub threads: u32,
    /// Bytes of shared memory of a CTA.
    pub shared_bytes: u32,
    /// 32-bit rows that are alive at once, an estimate of a thread's registers.
    pub rows: u32,
}

impl Stats {
    pub(crate) fn new(code: &Code, launch: &Launch<'_>, counts: &Counts, shared_bytes: u32) -> Stats {
        let instructions = code.instructions.len();
        let mut stats = Stats {
            warps: counts.executed.chunks(instructions.max(1)).map(|warp| warp.iter().sum()).collect(),
            lane_instructions: counts.lanes.iter().sum(),
            occupancy: Occupancy { threads: launch.block.iter().product(), shared_bytes, rows: code.register_rows },
            ..Stats::default()
        };
        stats.warp_instructions = stats.warps.iter().sum();
        if counts.executed.is_empty() {
            return stats;
        }
        for (pc, ins) in code.instructions.iter().enumerate() {
            let executed: u64 = counts.executed.iter().skip(pc).step_by(instructions).sum();
            if executed == 0 {
                continue;
            }
            *stats.families.entry(ins.form.family.name()).or_default() += executed;
            let flops = if ins.accumulators > 0 { wgmma::flops(ins) } else { tensor::flops(ins.form) };
            if flops > 0 {
                stats.mma_flops += flops * executed;
                *stats.mma.entry(code.spelling(pc)).or_default() += executed;
            }
            match ins.form.opcode() {
                "bar" | "barrier" if !ins.form.spelling.contains("warp") => stats.barriers += executed,
                "mbarrier" if ins.form.spelling.contains("_wait") => stats.mbarrier_waits += executed,
                "bra" if ins.guard != crate::decode::ALWAYS => stats.branches += executed,
                _ => {}
            }
            let traffic = counts.traffic[pc];
            let global = match ins.form.opcode() {
                "cp" if ins.form.spelling.contains(".global.shared::cta") => &mut stats.global_stores,
                "cp" => &mut stats.global_copies,
                "st" | "red" => &mut stats.global_stores,
                _ => &mut stats.global_loads,
            };
            if traffic.sectors > 0 {
                global.bytes += traffic.bytes;
                global.sectors += traffic.sectors;
            }
            if traffic.ideal > 0 {
                stats.shared.bytes += traffic.bytes;
                stats.shared.wavefronts += traffic.wavefronts;
                stats.shared.ideal += traffic.ideal;
            }
            if traffic.wavefronts > traffic.ideal {
                let place = code.place(pc as u32);
                stats.conflicts.push(Conflicts {
                    instruction: place.instruction,
                    ptx_line: place.ptx_line,
                    source: place.frames.first().map(|frame| format!("{}:{}", frame.file, frame.line)),
                    wavefronts: traffic.wavefronts,
                    ideal: traffic.ideal,
                });
            }
        }
        stats.conflicts.sort_by_key(|conflict| std::cmp::Reverse(conflict.wavefronts - conflict.ideal));
        stats
    }

    /// Bytes that lanes asked for between global memory and the multiprocessors, all ways together.
    pub fn global_bytes(&self) -> u64 {
        self.global_loads.bytes + self.global_stores.bytes + self.global_copies.bytes
    }

    /// Passes through the banks of shared memory that conflicts cost.
    pub fn bank_conflicts(&self) -> u64 {
        self.shared.wavefronts - self.shared.ideal
    }

    /// Adds the counts of another launch. What does not add up, such as the occupancy, is that of the larger launch.
    pub fn add(&mut self, other: &Stats) {
        if other.warp_instructions > self.warp_instructions {
            self.occupancy = other.occupancy;
        }
        self.warp_instructions += other.warp_instructions;
        self.lane_instructions += other.lane_instructions;
        self.mma_flops += other.mma_flops;
        self.barriers += other.barriers;
        self.mbarrier_waits += other.mbarrier_waits;
        self.branches += other.branches;
        for (family, count) in &other.families {
            *self.families.entry(family).or_default() += count;
        }
        for (spelling, count) in &other.mma {
            *self.mma.entry(spelling.clone()).or_default() += count;
        }
        self.warps.resize(self.warps.len().max(other.warps.len()), 0);
        for (to, from) in self.warps.iter_mut().zip(&other.warps) {
            *to += from;
        }
        for (to, from) in [
            (&mut self.global_loads, other.global_loads),
            (&mut self.global_stores, other.global_stores),
            (&mut self.global_copies, other.global_copies),
        ] {
            to.bytes += from.bytes;
            to.sectors += from.sectors;
        }
        self.shared.bytes += other.shared.bytes;
        self.shared.wavefronts += other.shared.wavefronts;
        self.shared.ideal += other.shared.ideal;
        self.conflicts.extend(other.conflicts.iter().cloned());
    }
}
