//! What can be done wrong with mbarriers, bulk copies and clusters.

use std::fmt;

use crate::memory::Space;
use crate::tensor_map::TensorMapError;
use crate::trap::Place;

/// A use of an mbarrier that PTX leaves undefined, or that can only be a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum MbarrierMisuse {
    /// There is no mbarrier at this address.
    NotInitialised,
    /// Nothing orders the use after the initialisation.
    InitialisedUnordered {
        /// Where it was initialised.
        at: Box<Place>,
    },
    /// It is initialised again, without having been invalidated.
    InitialisedTwice {
        /// Where it was initialised.
        at: Box<Place>,
    },
    /// It is invalidated while threads, bytes or copies are waited for.
    InUse {
        /// Arrivals that its phase lacks.
        pending: u32,
        /// Arrivals of a phase.
        expected: u32,
        /// Bytes that its phase lacks.
        bytes: i64,
    },
    /// A count of arrivals that no mbarrier has.
    Count {
        /// The count.
        count: u32,
    },
    /// More arrivals than the phase lacks.
    TooManyArrivals {
        /// Arrivals that come.
        count: u32,
        /// Arrivals that the phase lacks.
        pending: u32,
        /// Arrivals of a phase.
        expected: u32,
        /// Bytes that the phase lacks.
        bytes: i64,
        /// Its number, counted from 0.
        phase: u32,
    },
    /// More bytes are expected, or came unexpected, than an mbarrier can count.
    TooManyBytes {
        /// Bytes that the phase would lack.
        bytes: i64,
    },
    /// An arrival that must not complete the phase completes it.
    Completes {
        /// The phase, counted from 0.
        phase: u32,
    },
    /// An arrival in a phase, though nobody waited for the one before: a wait for it cannot be told from one for the next.
    Unobserved {
        /// The phase that nobody waited for, counted from 0.
        phase: u32,
    },
    /// A wait with a state that is older than the phase before the present one.
    StaleState {
        /// The phase of the state, counted from 0.
        state: u32,
        /// The present phase, counted from 0.
        phase: u32,
    },
    /// An instruction of another kind touches its eight bytes.
    Touched {
        /// Where it was initialised.
        at: Box<Place>,
    },
    /// More mbarriers than the race detector can tell apart.
    TooMany,
    /// Only threads of its own CTA may do this to an mbarrier.
    Remote,
}

impl MbarrierMisuse {
    /// What usually mends it.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            MbarrierMisuse::NotInitialised => "mbarrier.init it in one thread, and let the others pass a barrier",
            MbarrierMisuse::InitialisedUnordered { .. } => {
                "put a barrier of the CTA between mbarrier.init and the first use by other threads"
            }
            MbarrierMisuse::InitialisedTwice { .. } => "initialise it once, or mbarrier.inval it first",
            MbarrierMisuse::InUse { .. } => "wait for its phase before it is invalidated",
            MbarrierMisuse::Count { .. } => "counts are 1 to 1048575",
            MbarrierMisuse::TooManyArrivals { .. } => {
                "initialise it with as many arrivals as come in a phase, arrive.expect_tx included, or wait before \
                 the next arrival"
            }
            MbarrierMisuse::TooManyBytes { .. } => "expect each byte once, in the phase in which it comes",
            MbarrierMisuse::Completes { .. } => "without .noComplete, or count the arrivals again",
            MbarrierMisuse::Unobserved { .. } => "wait for each phase in a thread before the next one can complete",
            MbarrierMisuse::StaleState { .. } => "wait for the state of each arrival before arriving again",
            MbarrierMisuse::Touched { .. } => {
                "only mbarrier instructions and copies may: check the offsets of what lies beside it, or \
                 mbarrier.inval it first"
            }
            MbarrierMisuse::TooMany => "use fewer mbarriers in a CTA",
            MbarrierMisuse::Remote => "wait on an mbarrier of the own CTA; others may arrive at it",
        }
    }

    /// The initialisation that it is about.
    pub(crate) fn initialised(&self) -> Option<&Place> {
        match self {
            MbarrierMisuse::InitialisedUnordered { at }
            | MbarrierMisuse::InitialisedTwice { at }
            | MbarrierMisuse::Touched { at } => Some(at),
            _ => None,
        }
    }
}

impl fmt::Display for MbarrierMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MbarrierMisuse::NotInitialised => f.write_str("no mbarrier was initialised there"),
            MbarrierMisuse::InitialisedUnordered { .. } => {
                f.write_str("nothing orders this use after its initialisation by another thread")
            }
            MbarrierMisuse::InitialisedTwice { .. } => f.write_str("it is initialised again while it is one"),
            MbarrierMisuse::InUse { pending, expected, bytes } => write!(
                f,
                "it is invalidated in the middle of a phase: {pending} of {expected} arrivals and {bytes} bytes are missing"
            ),
            MbarrierMisuse::Count { count } => write!(f, "{count} arrivals"),
            MbarrierMisuse::TooManyArrivals { count, pending, expected, bytes, phase } => write!(
                f,
                "{count} more arrivals, and phase {phase} lacks {pending} of {expected} arrivals and {bytes} bytes"
            ),
            MbarrierMisuse::TooManyBytes { bytes } => {
                write!(f, "its phase would lack {bytes} bytes, and it counts to 1048575 either way")
            }
            MbarrierMisuse::Completes { phase } => {
                write!(f, "an arrival with .noComplete is the last that phase {phase} lacks")
            }
            MbarrierMisuse::Unobserved { phase } => write!(
                f,
                "phase {} completes, and no wait was ever told that phase {phase} is complete",
                phase.wrapping_add(1)
            ),
            MbarrierMisuse::StaleState { state, phase } => {
                write!(f, "a wait with a state of phase {state} in phase {phase}: it may only be one behind")
            }
            MbarrierMisuse::Touched { .. } => f.write_str("its bytes are touched as if they were data"),
            MbarrierMisuse::TooMany => f.write_str("more mbarriers than can be told apart"),
            MbarrierMisuse::Remote => f.write_str("it belongs to another CTA of the cluster"),
        }
    }
}

/// A bulk copy that the hardware refuses, or that can only be a mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum BulkMisuse {
    /// A number of bytes that is no multiple of 16.
    Size {
        /// The bytes.
        bytes: u32,
    },
    /// The bytes at the address are no tensor map.
    Map(TensorMapError),
    /// The map lies where a GPU does not read one.
    MapSpace {
        /// The space of its address.
        space: Space,
    },
    /// The map describes a tensor of another rank than the instruction says.
    Rank {
        /// Axes of the tensor.
        map: u8,
        /// Axes that the instruction says.
        instruction: u8,
    },
    /// The innermost coordinate is not at a multiple of 16 bytes.
    Coordinate {
        /// The coordinate.
        coordinate: i32,
        /// Bytes of an element.
        element_bytes: u8,
    },
    /// A store or a reduction at a negative coordinate.
    Negative {
        /// The axis, innermost first.
        axis: usize,
        /// The coordinate.
        coordinate: i32,
    },
    /// A reduction that the type of the tensor's elements does not have.
    Operation,
    /// A mask that names CTAs which the cluster does not have.
    Mask {
        /// The mask.
        mask: u32,
        /// CTAs of the cluster.
        ctas: u32,
    },
}

impl BulkMisuse {
    /// What usually mends it.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            BulkMisuse::Size { .. } => "copy whole chunks of 16 bytes",
            BulkMisuse::Map(_) => {
                "pass the map as a __grid_constant__ parameter, or copy its 128 bytes unchanged, and name its generic \
                 address"
            }
            BulkMisuse::MapSpace { .. } => {
                "pass the map as a __grid_constant__ parameter: without it, its address is that of a copy of the thread"
            }
            BulkMisuse::Rank { .. } => "use the instruction of the map's rank",
            BulkMisuse::Coordinate { .. } => "begin boxes at columns whose bytes are a multiple of 16",
            BulkMisuse::Negative { .. } => "begin stores inside the tensor: only the far end is clipped",
            BulkMisuse::Operation => "make the map with the type that the operation has",
            BulkMisuse::Mask { .. } => "name CTAs of the cluster only, one at least",
        }
    }
}

impl fmt::Display for BulkMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            BulkMisuse::Size { bytes } => write!(f, "it moves {bytes} bytes, no multiple of 16"),
            BulkMisuse::Map(error) => error.fmt(f),
            BulkMisuse::MapSpace { space } => {
                write!(
                    f,
                    "the tensor map lies in {space} memory; a GPU reads it from parameters, constants or global memory"
                )
            }
            BulkMisuse::Rank { map, instruction } => {
                write!(f, "it says {instruction} axes, and the tensor map has {map}")
            }
            BulkMisuse::Coordinate { coordinate, element_bytes } => write!(
                f,
                "its innermost coordinate {coordinate} is {} bytes into the row, no multiple of 16",
                i64::from(*coordinate) * i64::from(*element_bytes)
            ),
            BulkMisuse::Negative { axis, coordinate } => {
                write!(f, "it writes from coordinate {coordinate} on along axis {axis}; a GPU takes no negative one")
            }
            BulkMisuse::Operation => f.write_str("the elements of the tensor map have no such operation"),
            BulkMisuse::Mask { mask, ctas } => {
                write!(f, "it goes to the CTAs of the mask {mask:#06x}, of a cluster of {ctas}")
            }
        }
    }
}

/// A use of the barrier or of the shared memory of a cluster that PTX leaves undefined.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum ClusterMisuse {
    /// A thread arrives again before it has waited.
    ArrivesTwice,
    /// A thread waits that has not arrived.
    WaitsWithoutArriving,
    /// A CTA that the cluster does not have.
    Rank {
        /// The number that is named.
        rank: u32,
        /// CTAs of the cluster.
        ctas: u32,
    },
    /// Shared memory of a CTA is accessed before it is sure that it runs.
    NotStarted {
        /// Its number.
        rank: u32,
    },
    /// Shared memory of a CTA is accessed after its end.
    Ended {
        /// Its number.
        rank: u32,
    },
}

impl ClusterMisuse {
    /// What usually mends it.
    pub(crate) fn help(&self) -> &'static str {
        match self {
            ClusterMisuse::ArrivesTwice | ClusterMisuse::WaitsWithoutArriving => {
                "let every thread arrive once, then wait once: barrier.cluster.arrive, barrier.cluster.wait"
            }
            ClusterMisuse::Rank { .. } => {
                "name CTAs below %cluster_nctarank, and launch with the cluster that is meant"
            }
            ClusterMisuse::NotStarted { .. } => "pass a barrier of the cluster before the first access to another CTA",
            ClusterMisuse::Ended { .. } => "pass a barrier of the cluster after the last access to another CTA",
        }
    }
}

impl fmt::Display for ClusterMisuse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ClusterMisuse::ArrivesTwice => f.write_str("a thread arrives at its barrier for the second time"),
            ClusterMisuse::WaitsWithoutArriving => f.write_str("a thread waits at its barrier and has not arrived"),
            ClusterMisuse::Rank { rank, ctas } => write!(f, "CTA {rank} is named, of a cluster of {ctas}"),
            ClusterMisuse::NotStarted { rank } => {
                write!(f, "shared memory of CTA {rank} is accessed, and nothing says that it runs already")
            }
            ClusterMisuse::Ended { rank } => write!(f, "shared memory of CTA {rank} is accessed, which has ended"),
        }
    }
}
