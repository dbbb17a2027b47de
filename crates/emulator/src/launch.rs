//! How a kernel is launched.

use std::sync::Mutex;
use std::sync::atomic::AtomicU64;

use crate::decode::MOST_SHARED_BYTES;
use crate::machine::launch::LaunchState;
use crate::memory::claims::Claims;
use crate::memory::global::Memory;
use crate::memory::{Region, shared};
use crate::program::{Kernel, LaunchError};
use crate::stats::Stats;

/// One launch of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct Launch<'a> {
    /// CTAs along x, y and z.
    pub grid: [u32; 3],
    /// Threads of a CTA along x, y and z.
    pub block: [u32; 3],
    /// Bytes of dynamic shared memory of a CTA.
    pub dynamic_shared: u32,
    /// The bytes of the kernel's parameters, each at its offset in C layout.
    pub params: &'a [u8],
}

/// How a launch is executed and watched. The defaults look for everything, in the order that is easiest to reproduce.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// What is looked for.
    pub checks: Checks,
    /// Which warp runs next.
    pub schedule: Schedule,
    /// When asynchronous copies happen.
    pub copies: Copies,
    /// Seed of everything that is drawn: the same seed gives the same run.
    pub seed: u64,
    /// Host threads; 0: as many as there are cores.
    pub threads: usize,
    /// Registers that the launch gives each thread, as a cubin says: what `setmaxnreg` starts from. None: `.maxnreg`, or the
    /// most that fit into a multiprocessor with `.maxntid` threads.
    pub registers: Option<u32>,
    /// CTAs of a cluster along x, y and z, where the kernel does not say it by `.reqnctapercluster`.
    pub cluster: [u32; 3],
    /// Most warp instructions: a kernel that runs for ever becomes a trap.
    pub limit: u64,
}

impl Default for Options {
    fn default() -> Options {
        Options {
            checks: Checks::default(),
            schedule: Schedule::default(),
            copies: Copies::default(),
            seed: 1,
            threads: 0,
            registers: None,
            cluster: [1; 3],
            limit: 20_000_000_000,
        }
    }
}

/// What is looked for. Accesses outside of memory, misaligned ones, barrier misuse and deadlocks are always found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Checks {
    /// Nothing more; memory traffic is not counted either.
    None,
    /// Reads of bytes that nothing has written, and copies that nobody waits for.
    Memory,
    /// Races as well: in shared memory between threads, in global memory between CTAs.
    #[default]
    All,
}

/// Which warp of a CTA runs next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Schedule {
    /// The first one that can, until it cannot.
    #[default]
    InOrder,
    /// The last one that can, until it cannot.
    Reverse,
    /// One after the other, that many instructions each.
    RoundRobin(u32),
    /// Any, for a few instructions, drawn from the seed.
    Random,
}

/// When an asynchronous copy happens between its start and the wait that promises it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Copies {
    /// At the last moment: a missing wait reads what was there before.
    #[default]
    Latest,
    /// At the first moment: a buffer that is still being read is overwritten.
    Earliest,
}

/// Most threads of a CTA along each axis, and most CTAs of a grid: what every GPU has.
const MOST_BLOCK: [u32; 3] = [1024, 1024, 64];
const MOST_GRID: [u32; 3] = [i32::MAX as u32, 65_535, 65_535];

/// Registers of a multiprocessor, of 32 bits each.
const REGISTERS: u32 = 1 << 16;

/// Most CTAs of a cluster: what an H100 takes of kernels that ask for more than the portable 8.
const MOST_CLUSTER: u32 = 16;

/// Most warps of a cluster whose races can be told: each takes two of the agents that there are.
const MOST_WARPS: u32 = 384;

/// Most bytes of shared memory of a CTA on an architecture, where that is known.
fn most_shared_bytes(target: &str) -> Option<u64> {
    let kilobytes = match target {
        "sm_80" => 163,
        "sm_86" | "sm_89" | "sm_120" | "sm_120a" => 99,
        "sm_90" | "sm_90a" => 227,
        _ => return None,
    };
    Some(kilobytes * 1024)
}

/// The axis along which there are too many, and how many there may be.
fn over(given: [u32; 3], most: [u32; 3]) -> Option<(&'static str, u32)> {
    let axes = ["x", "y", "z"].into_iter().zip(most);
    axes.zip(given).find(|((_, most), given)| given > most).map(|(axis, _)| axis)
}

impl Kernel {
    /// Runs the kernel to its end.
    ///
    /// # Errors
    /// [`LaunchError::Refused`] if the launch does not fit the kernel or any GPU, [`LaunchError::Trap`] with the first
    /// thing that the kernel did wrong.
    pub fn launch(&self, memory: &Memory, launch: &Launch<'_>, options: &Options) -> Result<Stats, LaunchError> {
        let code = &*self.code;
        let refused = |reason: String| LaunchError::Refused { kernel: code.name().to_owned(), reason };
        self.check(launch).map_err(refused)?;
        let cluster = self.cluster(launch, options).map_err(refused)?;
        let mut shared_variables = code.layout.shared.clone();
        if let Some(dynamic) = &code.layout.dynamic {
            shared_variables.push(Region { bytes: u64::from(launch.dynamic_shared), ..dynamic.clone() });
        }
        let end = shared_variables.iter().map(|variable| variable.base + variable.bytes).max().unwrap_or(0);
        if end > u64::from(shared::FIRST) + MOST_SHARED_BYTES {
            let taken = end - u64::from(shared::FIRST);
            return Err(refused(format!(
                "a CTA would take {taken} bytes of shared memory; no GPU has more than {MOST_SHARED_BYTES}"
            )));
        }
        if launch.grid.contains(&0) {
            return Ok(Stats::new(code, launch, &Default::default(), 0));
        }
        let races = options.checks == Checks::All;
        let state = LaunchState {
            code,
            memory,
            params: launch.params,
            constants: &code.layout.constants,
            grid: launch.grid,
            block: launch.block,
            cluster,
            dynamic_shared: launch.dynamic_shared,
            shared_variables,
            watches: options.checks != Checks::None,
            races,
            claims: (races && code.independent).then(|| Claims::new(memory, &code.variables)),
            registers: options.registers.or_else(|| self.registers()),
            copies: options.copies,
            schedule: options.schedule,
            seed: options.seed,
            limit: options.limit,
            spent: AtomicU64::new(0),
            printed: Mutex::default(),
        };
        let threads = match options.threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            threads => threads,
        };
        let threads = state.threads_that_fit(threads).map_err(refused)?;
        let outcome = state.run(threads);
        memory.print(&state.take_printed());
        let counts = outcome.map_err(LaunchError::Trap)?;
        Ok(Stats::new(code, launch, &counts, end.saturating_sub(u64::from(shared::FIRST)) as u32))
    }

    /// Registers of a thread as ptxas chooses them for a kernel that changes them: all that a multiprocessor has.
    fn registers(&self) -> Option<u32> {
        let directives = &self.code.source().directives;
        // No thread has more than 255, and they are given by eight.
        directives.max_registers.map(|count| count.min(256)).or_else(|| {
            let threads = directives.max_threads.or(directives.required_threads)?;
            let threads = threads.iter().try_fold(1u32, |product, &n| product.checked_mul(n))?;
            let together =
                threads.checked_next_multiple_of(32)?.checked_mul(directives.min_ctas.unwrap_or(1).max(1))?;
            Some((REGISTERS / together.max(1) / 8 * 8).min(256))
        })
    }

    /// The CTAs of a cluster.
    ///
    /// # Errors
    /// What is wrong with them.
    fn cluster(&self, launch: &Launch<'_>, options: &Options) -> Result<[u32; 3], String> {
        let cluster = match self.code.source().directives.required_cluster {
            Some(required) if options.cluster != [1; 3] && options.cluster != required => {
                return Err(format!(
                    "clusters of {:?} CTAs, and the kernel is compiled for {required:?}",
                    options.cluster
                ));
            }
            Some(required) => required,
            None => options.cluster,
        };
        let size = cluster.iter().try_fold(1u32, |product, &n| product.checked_mul(n)).unwrap_or(u32::MAX);
        if !(1..=MOST_CLUSTER).contains(&size) {
            return Err(format!("a cluster of {cluster:?} CTAs; it has 1 to {MOST_CLUSTER}"));
        }
        if let Some(most) = self.code.source().directives.max_cluster_rank.filter(|most| size > *most) {
            return Err(format!("a cluster of {cluster:?} CTAs, and the kernel is compiled for at most {most}"));
        }
        let warps = launch.block.iter().product::<u32>().div_ceil(32).next_multiple_of(4);
        if options.checks == Checks::All && size > 1 && size * warps > MOST_WARPS {
            return Err(format!("a cluster of {} warps; races can be told of {MOST_WARPS} at most", size * warps));
        }
        if (0..3).any(|axis| !launch.grid[axis].is_multiple_of(cluster[axis])) {
            return Err(format!("a grid of {:?} CTAs, no multiple of clusters of {cluster:?}", launch.grid));
        }
        Ok(cluster)
    }

    /// What is wrong with a launch.
    fn check(&self, launch: &Launch<'_>) -> Result<(), String> {
        let source = self.code.source();
        let threads = launch.block.iter().try_fold(1u32, |product, &n| product.checked_mul(n)).unwrap_or(u32::MAX);
        if !(1..=1024).contains(&threads) {
            return Err(format!("a CTA of {:?} threads; it has 1 to 1024", launch.block));
        }
        if let Some((axis, most)) = over(launch.block, MOST_BLOCK) {
            return Err(format!("a CTA of {:?} threads; along {axis} it has at most {most}", launch.block));
        }
        let most = |limit: [u32; 3]| limit.iter().fold(1u32, |product, &n| product.saturating_mul(n));
        if let Some(most) = source.directives.max_threads.map(most).filter(|most| threads > *most) {
            return Err(format!("{threads} threads of a CTA, and the kernel is compiled for at most {most}"));
        }
        if let Some(required) = source.directives.required_threads.filter(|required| *required != launch.block) {
            return Err(format!("CTAs of {:?} threads, and the kernel is compiled for {required:?}", launch.block));
        }
        if let Some((axis, most)) = over(launch.grid, MOST_GRID) {
            return Err(format!("a grid of {:?} CTAs; along {axis} it has at most {most}", launch.grid));
        }
        if launch.grid.iter().try_fold(1u32, |product, &n| product.checked_mul(n)).is_none() {
            return Err(format!("a grid of {:?} CTAs; at most {} run", launch.grid, u32::MAX));
        }
        // Without variables outside of the kernel, which others may have, and without what the emulator puts between two.
        let own = source.shared.iter().filter_map(|variable| variable.bytes).fold(0, u64::saturating_add);
        let (bytes, target) = (own.saturating_add(u64::from(launch.dynamic_shared)), self.code.target());
        if let Some(most) = most_shared_bytes(target).filter(|most| bytes > *most) {
            return Err(format!("a CTA would take {bytes} bytes of shared memory; {target} has {most}"));
        }
        let bytes = self.code.layout.param_bytes;
        if launch.params.len() as u64 != bytes {
            return Err(format!("{} bytes of parameters, and the kernel takes {bytes}", launch.params.len()));
        }
        Ok(())
    }
}
