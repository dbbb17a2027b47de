//! What went wrong, where, and what to do about it.

use std::fmt;

use crate::memory::{Access, Region, Space};
use crate::misuse::{BulkMisuse, ClusterMisuse, MbarrierMisuse};
use crate::race::Earlier;

/// Why a launch stopped: the first thing that a kernel did wrong, with the place where it did.
///
/// Its display is the whole report: what happened, the instruction, the line of the source it came from, who else was
/// involved, and what usually mends it.
#[derive(Clone, Debug, PartialEq)]
pub struct Trap {
    /// What went wrong.
    pub fault: Fault,
    /// Name of the kernel.
    pub kernel: String,
    /// Coordinates of the CTA.
    pub cta: [u32; 3],
    /// Index of the warp in its CTA.
    pub warp: u32,
    /// The instruction that was being executed.
    pub place: Place,
}

/// An instruction in a text, and the lines of the source that it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line of the PTX text, counted from 1.
    pub ptx_line: u32,
    /// The instruction as PTX.
    pub instruction: String,
    /// The line of the source, then the calls that led to it, innermost first. Empty without line information.
    pub frames: Vec<Frame>,
}

/// A line of a source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// File name as the compiler was told it.
    pub file: String,
    /// Line, counted from 1.
    pub line: u32,
    /// Column, counted from 1.
    pub column: u32,
}

/// What a kernel can do wrong.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Fault {
    /// Bytes outside of every buffer or variable.
    OutOfBounds {
        /// What the access does.
        access: Access,
        /// Where.
        space: Space,
        /// Lane.
        lane: usize,
        /// First address.
        address: u64,
        /// Bytes of the access.
        bytes: usize,
        /// The buffer or variable nearest to it.
        nearest: Option<Region>,
    },
    /// An address that is no multiple of what the access needs.
    Misaligned {
        /// What the access does.
        access: Access,
        /// Where.
        space: Space,
        /// Lane.
        lane: usize,
        /// Address.
        address: u64,
        /// What it must be a multiple of.
        needed: usize,
    },
    /// A byte that nothing has written was read.
    Uninitialised {
        /// Where.
        space: Space,
        /// Lane.
        lane: usize,
        /// The buffer or variable.
        name: String,
        /// The byte inside it.
        offset: u64,
    },
    /// A buffer that may only be read was written.
    ReadOnly {
        /// Lane.
        lane: usize,
        /// The buffer, or the space.
        name: String,
        /// The byte inside it.
        offset: u64,
    },
    /// Two accesses to shared memory that nothing orders.
    Race {
        /// What the later one does.
        access: Access,
        /// Its lane; None: the whole warp.
        lane: Option<usize>,
        /// The variable.
        name: String,
        /// The byte inside it.
        offset: u64,
        /// What the earlier one did.
        earlier: Earlier,
        /// The warp that made it.
        earlier_warp: u32,
        /// Its lane; None: the whole warp.
        earlier_lane: Option<usize>,
        /// Where it stands.
        earlier_place: Place,
    },
    /// Two CTAs share bytes of global memory that one of them writes.
    GlobalRace {
        /// What this CTA does.
        access: Access,
        /// Lane.
        lane: usize,
        /// The buffer.
        name: String,
        /// The byte inside it.
        offset: u64,
        /// The other CTA, as a running number; None: several.
        other: Option<u32>,
    },
    /// An instruction that all lanes must execute together was reached by some.
    Diverged {
        /// Lanes that reached it.
        lanes: u32,
        /// Lanes that have not ended.
        live: u32,
    },
    /// A lane executes an exchange that its own member mask leaves out.
    NotAMember {
        /// Lane.
        lane: usize,
        /// Member mask.
        mask: u32,
    },
    /// Lanes of one exchange name different member masks.
    MaskMismatch {
        /// The one mask.
        one: u32,
        /// The other.
        other: u32,
    },
    /// A lane reads a lane that takes no part in the exchange.
    InactiveSource {
        /// Lane.
        lane: usize,
        /// The lane that it reads.
        source: usize,
    },
    /// A barrier is used in a way that PTX leaves undefined.
    BarrierMisuse {
        /// The barrier's number.
        barrier: u32,
        /// What is wrong.
        reason: String,
    },
    /// Registers are taken or given back in a way that PTX leaves undefined.
    RegisterMisuse {
        /// What is wrong.
        reason: String,
    },
    /// An mbarrier is used in a way that PTX leaves undefined.
    Mbarrier {
        /// Lane.
        lane: usize,
        /// The variable.
        name: String,
        /// The mbarrier's first byte inside it.
        offset: u64,
        /// What is wrong.
        misuse: MbarrierMisuse,
    },
    /// A matrix descriptor of `wgmma` says nothing, or leads out of its variable.
    Descriptor {
        /// A or B.
        operand: &'static str,
        /// The descriptor.
        descriptor: u64,
        /// What is wrong.
        reason: String,
    },
    /// A register was read or written while a `wgmma` worked on it.
    RegisterInFlight {
        /// Its name.
        register: String,
        /// The `wgmma`.
        issued: Place,
        /// Whether it is in a group.
        committed: bool,
    },
    /// Nothing orders what threads did with registers before a `wgmma` on them.
    UnfencedProduct {
        /// The first register; None: the kernel has no `wgmma.fence` before.
        register: Option<String>,
    },
    /// The warps of a warpgroup do not issue the same.
    WarpgroupApart {
        /// What they do.
        reason: String,
    },
    /// A `wgmma` that its threads never waited for when they ended.
    UnwaitedProduct {
        /// Where it stands.
        issued: Place,
        /// Whether it is in a group.
        committed: bool,
    },
    /// A bulk copy that a GPU refuses.
    Bulk {
        /// Lane.
        lane: usize,
        /// What is wrong.
        misuse: BulkMisuse,
    },
    /// The barrier or the shared memory of a cluster is used in a way that PTX leaves undefined.
    Cluster {
        /// Lane.
        lane: usize,
        /// What is wrong.
        misuse: ClusterMisuse,
    },
    /// Nobody can go on.
    Deadlock {
        /// Who waits where, for what.
        waits: Vec<Wait>,
    },
    /// Copies that their thread never waited for when it ended.
    UnwaitedCopy {
        /// A lane that issued one.
        lane: usize,
        /// Where.
        issued: Place,
    },
    /// A CTA ended, and nobody waited for the mbarrier phase that an asynchronous copy belongs to.
    UnobservedCopy {
        /// Where it was started.
        issued: Place,
    },
    /// An integer was divided by zero in this lane.
    DivisionByZero {
        /// Lane.
        lane: usize,
    },
    /// `assert` of a kernel failed.
    Assertion {
        /// The lane.
        lane: usize,
        /// What does not hold.
        condition: String,
        /// The file.
        file: String,
        /// Its line.
        line: u32,
        /// The function.
        function: String,
    },
    /// A call through a pointer that is the address of no function that fits.
    NotAFunction {
        /// The lane.
        lane: usize,
        /// The pointer.
        address: u64,
    },
    /// A branch by a table whose index is outside of it.
    OutsideTable {
        /// The lane.
        lane: usize,
        /// The index.
        index: u32,
    },
    /// The kernel executed `trap`.
    Deliberate,
    /// More warp instructions than the launch allows.
    Limit {
        /// The limit.
        instructions: u64,
    },
    /// A use that the emulator does not model.
    Unsupported {
        /// What it is.
        what: &'static str,
    },
}

/// A part of a warp that waits.
#[derive(Clone, Debug, PartialEq)]
pub struct Wait {
    /// Index of the warp in its CTA.
    pub warp: u32,
    /// Its lanes that wait there.
    pub lanes: u32,
    /// What they wait for.
    pub for_what: String,
    /// Where.
    pub place: Place,
}

impl Trap {
    /// The lines of the source that the report names, innermost first: where it happened, then where an earlier access or
    /// copy stands that it is about. Empty without line information.
    pub fn frames(&self) -> impl Iterator<Item = &Frame> {
        let other = match &self.fault {
            Fault::Race { earlier_place, .. } => Some(earlier_place),
            Fault::UnwaitedCopy { issued, .. }
            | Fault::UnobservedCopy { issued }
            | Fault::RegisterInFlight { issued, .. }
            | Fault::UnwaitedProduct { issued, .. } => Some(issued),
            Fault::Mbarrier { misuse, .. } => misuse.initialised(),
            _ => None,
        };
        self.place.frames.iter().chain(other.into_iter().flat_map(|place| &place.frames))
    }
}

impl std::error::Error for Trap {}

impl fmt::Display for Trap {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y, z] = self.cta;
        writeln!(f, "trap: {}", self.fault)?;
        write!(f, "  in {}, CTA ({x}, {y}, {z}), warp {}", self.kernel, self.warp)?;
        if let Some(lane) = self.fault.lane() {
            write!(f, ", lane {lane}")?;
        }
        write!(f, "\n{}", self.place)?;
        match &self.fault {
            Fault::Race { earlier, earlier_warp, earlier_lane, earlier_place, .. } => {
                let lane = earlier_lane.map_or("all lanes".to_owned(), |lane| format!("lane {lane}"));
                write!(f, "\n  earlier {earlier} by warp {earlier_warp}, {lane}\n{earlier_place}")?;
            }
            Fault::UnwaitedCopy { issued, .. }
            | Fault::UnobservedCopy { issued }
            | Fault::RegisterInFlight { issued, .. }
            | Fault::UnwaitedProduct { issued, .. } => write!(f, "\n  issued\n{issued}")?,
            Fault::Mbarrier { misuse, .. } => {
                if let Some(place) = misuse.initialised() {
                    write!(f, "\n  initialised\n{place}")?;
                }
            }
            Fault::Deadlock { waits } => {
                for wait in waits {
                    let Wait { warp, lanes, for_what, place } = wait;
                    write!(f, "\n  warp {warp}, lanes {lanes:#010x}, waits for {for_what}\n{place}")?;
                }
            }
            _ => {}
        }
        write!(f, "\n  help: {}", self.fault.help())
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "    PTX line {}: {}", self.ptx_line, self.instruction)?;
        for (at, frame) in self.frames.iter().enumerate() {
            let word = if at == 0 { "at" } else { "called at" };
            write!(f, "\n    {word} {}:{}:{}", frame.file, frame.line, frame.column)?;
        }
        Ok(())
    }
}

impl fmt::Display for Earlier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Earlier::Read => "load",
            Earlier::Write => "store",
            Earlier::Atomic => "atomic",
            Earlier::Copy => "asynchronous copy, waited for by its own thread only,",
            Earlier::CopyInFlight => "asynchronous copy, not waited for,",
            Earlier::BulkWrite => "bulk copy into these bytes, started and not waited for at its mbarrier,",
            Earlier::BulkRead => "bulk copy out of these bytes, its group not waited for,",
            Earlier::MatrixRead => "wgmma that reads its operands here, its group not waited for,",
            Earlier::Mbarrier => "mbarrier.init",
            Earlier::Unfenced => "store of the generic proxy, without a proxy fence between the two,",
            Earlier::SameStore => "store of another value by the same instruction",
        })
    }
}

impl Fault {
    /// The lane that did it, if it was one.
    pub fn lane(&self) -> Option<usize> {
        match *self {
            Fault::OutOfBounds { lane, .. }
            | Fault::Misaligned { lane, .. }
            | Fault::Uninitialised { lane, .. }
            | Fault::ReadOnly { lane, .. }
            | Fault::GlobalRace { lane, .. }
            | Fault::NotAMember { lane, .. }
            | Fault::InactiveSource { lane, .. }
            | Fault::Mbarrier { lane, .. }
            | Fault::Bulk { lane, .. }
            | Fault::Cluster { lane, .. }
            | Fault::UnwaitedCopy { lane, .. }
            | Fault::Assertion { lane, .. }
            | Fault::OutsideTable { lane, .. }
            | Fault::NotAFunction { lane, .. }
            | Fault::DivisionByZero { lane } => Some(lane),
            Fault::Race { lane, .. } => lane,
            _ => None,
        }
    }

    /// A short name that does not change: for tables and tests.
    pub fn name(&self) -> &'static str {
        match self {
            Fault::OutOfBounds { .. } => "out of bounds",
            Fault::Misaligned { .. } => "misaligned",
            Fault::Uninitialised { .. } => "uninitialised",
            Fault::ReadOnly { .. } => "read-only",
            Fault::Race { .. } => "race",
            Fault::GlobalRace { .. } => "race of CTAs",
            Fault::Diverged { .. } => "diverged",
            Fault::NotAMember { .. } => "not a member",
            Fault::MaskMismatch { .. } => "mask mismatch",
            Fault::InactiveSource { .. } => "inactive source",
            Fault::BarrierMisuse { .. } => "barrier misuse",
            Fault::Mbarrier { .. } => "mbarrier misuse",
            Fault::Bulk { .. } => "bulk copy misuse",
            Fault::Cluster { .. } => "cluster misuse",
            Fault::RegisterMisuse { .. } => "register misuse",
            Fault::Descriptor { .. } => "wgmma descriptor",
            Fault::RegisterInFlight { .. } => "register in flight",
            Fault::UnfencedProduct { .. } => "wgmma without fence",
            Fault::WarpgroupApart { .. } => "warpgroup apart",
            Fault::UnwaitedProduct { .. } => "wgmma without wait",
            Fault::Deadlock { .. } => "deadlock",
            Fault::UnwaitedCopy { .. } | Fault::UnobservedCopy { .. } => "copy without wait",
            Fault::DivisionByZero { .. } => "division by zero",
            Fault::Deliberate => "trap instruction",
            Fault::Assertion { .. } => "assertion",
            Fault::OutsideTable { .. } => "branch outside its table",
            Fault::NotAFunction { .. } => "not a function",
            Fault::Limit { .. } => "instruction limit",
            Fault::Unsupported { .. } => "unsupported",
        }
    }

    fn help(&self) -> &'static str {
        match self {
            Fault::OutOfBounds { .. } => "bound the index, or mask the lanes that stand past the end",
            Fault::Misaligned { .. } => "align the pointer, or access fewer bytes at once",
            Fault::Uninitialised { .. } => "write it before it is read: a tail that is not filled is the usual cause",
            Fault::ReadOnly { .. } => "check which pointer is written through; inputs are read-only",
            Fault::Race { earlier: Earlier::CopyInFlight, .. } => {
                "wait for the copy's group in the thread that issued it, then let all threads pass a barrier"
            }
            Fault::Race { earlier: Earlier::BulkWrite, .. } => {
                "wait for the mbarrier phase that counts the copy's bytes, in this thread or in one that this one is \
                 ordered after"
            }
            Fault::Race { earlier: Earlier::BulkRead, .. } => {
                "cp.async.bulk.wait_group.read in the thread that issued it, then let the others pass a barrier"
            }
            Fault::Race { earlier: Earlier::MatrixRead, .. } => {
                "release the operand's stage only after the wgmma.wait_group that retires the group that reads it"
            }
            Fault::Race { earlier: Earlier::Unfenced, .. } => {
                "fence.proxy.async between the two: in the thread that stored, before the barrier or arrive that orders \
                 the store, or behind it in the thread that starts the access"
            }
            Fault::Race { earlier: Earlier::SameStore, .. } => {
                "let one lane store, or all of them the same value: which one stays is not defined"
            }
            Fault::Race { .. } => "put a barrier between the two: __syncthreads, or __syncwarp inside a warp",
            Fault::GlobalRace { .. } => "let one CTA own these bytes, or order the CTAs by launches",
            Fault::Diverged { .. } => "move it out of the branch: the condition differs between lanes of the warp",
            Fault::NotAMember { .. } => "put the lane's own bit into the mask, or keep the lane away",
            Fault::MaskMismatch { .. } => "compute the mask once, before the lanes part",
            Fault::InactiveSource { .. } => "read a lane of the member mask; its value is undefined otherwise",
            Fault::BarrierMisuse { .. } => "give every use of the barrier the same count, a multiple of 32",
            Fault::RegisterMisuse { .. } => {
                "let all four warps of a warpgroup change their registers alike: inc upwards, dec downwards"
            }
            Fault::Mbarrier { misuse, .. } => misuse.help(),
            Fault::Descriptor { .. } => {
                "check start, byte offsets and swizzle against how the tile was written, and the tile against the shape"
            }
            Fault::RegisterInFlight { committed: true, .. } => "put wgmma.wait_group before the register is used again",
            Fault::RegisterInFlight { .. } => "close the group with wgmma.commit_group, and wait for it before the use",
            Fault::UnfencedProduct { .. } => {
                "put wgmma.fence between the last use of the registers and the first wgmma on them"
            }
            Fault::WarpgroupApart { .. } => {
                "let all four warps of a warpgroup execute every wgmma together, with the same operands"
            }
            Fault::UnwaitedProduct { .. } => "close the group and wait for it: wgmma.commit_group, wgmma.wait_group 0",
            Fault::Bulk { misuse, .. } => misuse.help(),
            Fault::Cluster { misuse, .. } => misuse.help(),
            Fault::Deadlock { .. } => "let every thread that is counted reach the barrier",
            Fault::UnwaitedCopy { .. } => "wait for all groups before the end, or do not start the copy",
            Fault::UnobservedCopy { .. } => {
                "wait for the phase of its mbarrier before the end, or do not start the copy"
            }
            Fault::DivisionByZero { .. } => "check the divisor before the division",
            Fault::Deliberate | Fault::Assertion { .. } => "the kernel found something wrong itself",
            Fault::NotAFunction { .. } => "check what the pointer was set to",
            Fault::OutsideTable { .. } => "bound the index: whoever wrote the table promised that it is in it",
            Fault::Limit { .. } => "look for a loop that never ends, or raise the limit",
            Fault::Unsupported { .. } => "write it another way, or extend the emulator",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Fault::OutOfBounds { access, space, address, bytes, nearest, .. } => {
                write!(f, "{access} of {bytes} bytes at {space} address {address:#x}, outside of everything")?;
                let Some(Region { name, base, bytes }) = nearest else { return Ok(()) };
                match address.checked_sub(*base) {
                    Some(offset) => write!(f, "; the nearest is {name}, {bytes} bytes, at its byte {offset}"),
                    None => write!(f, "; the nearest is {name}, {} bytes further on", base - address),
                }
            }
            Fault::Misaligned { access, space, address, needed, .. } => {
                write!(f, "{access} at {space} address {address:#x}, which is no multiple of {needed}")
            }
            Fault::Uninitialised { space, name, offset, .. } => {
                write!(f, "load of byte {offset} of {name} ({space} memory), which nothing has written")
            }
            Fault::ReadOnly { name, offset, .. } => write!(f, "store to byte {offset} of {name}, which is read-only"),
            Fault::Race { access, name, offset, earlier, .. } => {
                write!(
                    f,
                    "race: {access} at byte {offset} of {name}, and nothing orders it after an earlier {earlier} there"
                )
            }
            Fault::GlobalRace { access, name, offset, other, .. } => {
                let other = other.map_or("several CTAs".to_owned(), |other| format!("CTA number {other}"));
                write!(f, "race of CTAs: {access} at byte {offset} of {name}, which {other} touched in the same launch")
            }
            Fault::Diverged { lanes, live } => {
                write!(f, "lanes {lanes:#010x} reach an instruction that all of {live:#010x} must execute together")
            }
            Fault::NotAMember { mask, .. } => {
                write!(f, "a lane exchanges values under the mask {mask:#010x}, which leaves it out")
            }
            Fault::MaskMismatch { one, other } => {
                write!(f, "lanes of one exchange name different masks, {one:#010x} and {other:#010x}")
            }
            Fault::InactiveSource { source, .. } => {
                write!(f, "a lane reads lane {source}, which takes no part in the exchange")
            }
            Fault::BarrierMisuse { barrier, reason } => write!(f, "barrier {barrier}: {reason}"),
            Fault::RegisterMisuse { reason } => write!(f, "setmaxnreg: {reason}"),
            Fault::Mbarrier { name, offset, misuse, .. } => write!(f, "mbarrier at byte {offset} of {name}: {misuse}"),
            Fault::Descriptor { operand, descriptor, reason } => {
                write!(f, "the matrix descriptor {descriptor:#018x} of {operand}: {reason}")
            }
            Fault::RegisterInFlight { register, committed, .. } => {
                let how = if *committed { "nobody has waited for" } else { "is in no group yet" };
                write!(f, "{register} belongs to a wgmma that {how}")
            }
            Fault::UnfencedProduct { register: Some(register) } => {
                write!(f, "threads used registers from {register} on, and no wgmma.fence orders that before this wgmma")
            }
            Fault::UnfencedProduct { register: None } => {
                f.write_str("the first wgmma of the warp, and no wgmma.fence orders its registers before it")
            }
            Fault::WarpgroupApart { reason } => write!(f, "the warps of a warpgroup part: {reason}"),
            Fault::UnwaitedProduct { committed, .. } => {
                let how = if *committed { "it never waited for" } else { "is in no group" };
                write!(f, "a thread ends with a wgmma that {how}")
            }
            Fault::Bulk { misuse, .. } => write!(f, "bulk copy: {misuse}"),
            Fault::Cluster { misuse, .. } => write!(f, "cluster: {misuse}"),
            Fault::Deadlock { .. } => f.write_str("deadlock: no warp of the CTA can go on"),
            Fault::UnwaitedCopy { .. } => {
                f.write_str("a thread ends with asynchronous copies that it never waited for")
            }
            Fault::UnobservedCopy { .. } => {
                f.write_str("the CTA ends, and nobody waited for the mbarrier phase of an asynchronous copy")
            }
            Fault::DivisionByZero { .. } => f.write_str("integer division by zero"),
            Fault::Deliberate => f.write_str("the kernel executed trap"),
            Fault::Assertion { condition, file, line, function, .. } => {
                write!(f, "{file}:{line}: {function}: assertion `{condition}` failed")
            }
            Fault::NotAFunction { address, .. } => {
                write!(f, "a call of {address:#x}, which is the address of no function with these parameters")
            }
            Fault::OutsideTable { index, .. } => write!(f, "a branch by a table at {index}, which it does not have"),
            Fault::Limit { instructions } => write!(f, "more than {instructions} warp instructions"),
            Fault::Unsupported { what } => write!(f, "not modelled: {what}"),
        }
    }
}
