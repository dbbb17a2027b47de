//! One launch: what all its CTAs share, and which host thread runs which.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

use super::cluster::Cluster;
use super::counts::Counts;
use super::cta::Progress;
use super::lanes::WARP;
use crate::decode::Code;
use crate::launch::{Copies, Schedule};
use crate::memory::Region;
use crate::memory::claims::Claims;
use crate::memory::global::Memory;
use crate::trap::{Fault, Trap};

/// What all CTAs of a launch share.
pub(crate) struct LaunchState<'a> {
    pub(crate) code: &'a Code,
    pub(crate) memory: &'a Memory,
    pub(crate) params: &'a [u8],
    pub(crate) constants: &'a [u8],
    pub(crate) grid: [u32; 3],
    pub(crate) block: [u32; 3],
    /// CTAs of a cluster.
    pub(crate) cluster: [u32; 3],
    pub(crate) dynamic_shared: u32,
    /// The variables of shared memory, the dynamic one with its size.
    pub(crate) shared_variables: Vec<Region>,
    /// Whether reads of what nothing wrote are found, and traffic is counted.
    pub(crate) watches: bool,
    /// Whether races in shared memory are found.
    pub(crate) races: bool,
    /// Claims of CTAs on global memory, where they run independently and races are looked for.
    pub(crate) claims: Option<Claims>,
    /// Registers that the launch gives each thread, if that is known.
    pub(crate) registers: Option<u32>,
    pub(crate) copies: Copies,
    pub(crate) schedule: Schedule,
    pub(crate) seed: u64,
    /// Most warp instructions.
    pub(crate) limit: u64,
    pub(crate) spent: AtomicU64,
    /// What each CTA has printed, piece by piece.
    pub(crate) printed: Mutex<Vec<(u32, String)>>,
}

/// CTAs that are on the machine at once when they may wait for each other: as many as a large GPU has multiprocessors.
const RESIDENT: usize = 132;
/// Bytes of this machine that the CTAs which run at once may take: what kernels of compilers need is a small part of it.
const MOST_BYTES: u64 = 4 << 30;
/// Warp instructions of a CTA before another one runs, when they may wait for each other.
const TURN: u64 = 4096;

impl LaunchState<'_> {
    /// Notes what a thread of a CTA prints.
    pub(crate) fn print(&self, cta: u32, text: String) {
        self.printed.lock().unwrap_or_else(PoisonError::into_inner).push((cta, text));
    }

    /// What was printed, the CTAs in their order, whichever ran first.
    pub(crate) fn take_printed(&self) -> String {
        let mut printed = std::mem::take(&mut *self.printed.lock().unwrap_or_else(PoisonError::into_inner));
        printed.sort_by_key(|(cta, _)| *cta);
        printed.into_iter().map(|(_, text)| text).collect()
    }

    /// Notes that instructions were executed.
    pub(crate) fn spend(&self, instructions: u64) -> Result<(), Box<Fault>> {
        let before = self.spent.fetch_add(instructions, Relaxed);
        if before + instructions <= self.limit {
            return Ok(());
        }
        Err(Box::new(Fault::Limit { instructions: self.limit }))
    }

    /// CTAs of a cluster.
    pub(crate) fn cluster_size(&self) -> u32 {
        self.cluster.iter().product()
    }

    /// Where a CTA of a cluster lies in the grid, and in the cluster.
    pub(crate) fn coordinates(&self, cluster: u32, rank: u32) -> ([u32; 3], [u32; 3]) {
        let split = |number: u32, [x, y, _]: [u32; 3]| [number % x, number / x % y, number / x / y];
        let of_grid = std::array::from_fn(|axis| self.grid[axis] / self.cluster[axis]);
        let (cluster, inside) = (split(cluster, of_grid), split(rank, self.cluster));
        (std::array::from_fn(|axis| cluster[axis] * self.cluster[axis] + inside[axis]), inside)
    }

    /// How many of that many host threads can run CTAs at once within [`MOST_BYTES`].
    ///
    /// # Errors
    /// What the CTAs take that must be there together, if that is more.
    pub(crate) fn threads_that_fit(&self, threads: usize) -> Result<usize, String> {
        let ctas = u64::from(self.grid.iter().product::<u32>());
        let together = if self.code.independent { 1 } else { ctas.min(RESIDENT as u64) };
        let one = self.bytes_of_cta().saturating_mul(u64::from(self.cluster_size()));
        let wanted = one.saturating_mul(together);
        if wanted > MOST_BYTES {
            return Err(format!(
                "{together} CTAs at once would take {wanted} bytes of this machine's memory, more than {MOST_BYTES}: \
                 {} registers and a stack frame of {} bytes for each of {} threads, and their shared memory",
                self.code.register_rows,
                self.code.layout.local_bytes,
                self.block.iter().product::<u32>(),
            ));
        }
        Ok(threads.min((MOST_BYTES / one.max(1)) as usize).max(1))
    }

    /// What a CTA takes of the memory of this machine: values, and what is known of each byte.
    fn bytes_of_cta(&self) -> u64 {
        let warps = u64::from(self.block.iter().product::<u32>().div_ceil(WARP as u32));
        let row = 4 * WARP as u64;
        let registers = u64::from(self.code.register_rows) * row;
        // A byte of the shadow for each word of each lane.
        let local = self.code.layout.local_bytes.div_ceil(4) * (row + WARP as u64);
        let shared = self.shared_variables.iter().map(|v| v.base + v.bytes).max().unwrap_or(0);
        // The last write, and the last read of each warp: a stamp for every four bytes and one for every sixteen.
        let readers = warps * u64::from(self.cluster_size());
        let notes = if self.races { (readers + 1) * (shared * 2 + shared / 2) } else { 0 };
        let counts = self.code.instructions.len() as u64 * 8 * (warps + 5);
        warps * (registers + local) + shared + shared / 8 + notes + counts
    }

    /// Runs all CTAs on that many host threads.
    pub(crate) fn run(&self, threads: usize) -> Result<Counts, Box<Trap>> {
        let clusters = self.grid.iter().product::<u32>() / self.cluster_size();
        let warps = self.block.iter().product::<u32>().div_ceil(32) as usize;
        let counts = || Counts::new(self.code.instructions.len(), warps);
        if !self.code.independent {
            let mut counts = counts();
            return self.run_by_turns(clusters, &mut counts).map(|()| counts);
        }
        // Wider than the number of CTAs: every thread takes one number too many.
        let next = AtomicU64::new(0);
        // The trap of the first CTA that has one is reported, whichever is found first: CTAs before it still run.
        let first_trap: Mutex<Option<(u32, Box<Trap>)>> = Mutex::new(None);
        let stop_before = AtomicU64::new(u64::from(clusters));
        let work = || {
            let mut counts = counts();
            loop {
                let number = next.fetch_add(1, Relaxed);
                if number >= stop_before.load(Relaxed) {
                    return counts;
                }
                let number = number as u32;
                if let Err(trap) = Cluster::new(self, number).run(self, &mut counts, u64::MAX) {
                    stop_before.fetch_min(u64::from(number), Relaxed);
                    let mut first = first_trap.lock().unwrap_or_else(PoisonError::into_inner);
                    if first.as_ref().is_none_or(|(known, _)| number < *known) {
                        *first = Some((number, trap));
                    }
                }
            }
        };
        let helpers = threads.min(clusters as usize).saturating_sub(1);
        let counts = std::thread::scope(|scope| {
            let helpers: Vec<_> = (0..helpers).map(|_| scope.spawn(work)).collect();
            let mut counts = work();
            for helper in helpers {
                match helper.join() {
                    Ok(more) => counts.add(&more),
                    Err(panic) => std::panic::resume_unwind(panic),
                }
            }
            counts
        });
        match first_trap.into_inner().unwrap_or_else(PoisonError::into_inner) {
            Some((_, trap)) => Err(trap),
            None => Ok(counts),
        }
    }

    /// Runs CTAs that may wait for each other, a turn each.
    fn run_by_turns(&self, clusters: u32, counts: &mut Counts) -> Result<(), Box<Trap>> {
        let mut waiting = 0..clusters;
        let fit = (RESIDENT / self.cluster_size() as usize).max(1);
        let mut resident: Vec<_> = waiting.by_ref().take(fit).map(|number| Cluster::new(self, number)).collect();
        while !resident.is_empty() {
            let mut at = 0;
            while at < resident.len() {
                match resident[at].run(self, counts, TURN)? {
                    Progress::Unfinished => at += 1,
                    Progress::Finished => match waiting.next() {
                        Some(number) => {
                            resident[at] = Cluster::new(self, number);
                            at += 1;
                        }
                        None => {
                            resident.remove(at);
                        }
                    },
                }
            }
        }
        Ok(())
    }
}
