//! What loads and stores reach: the spaces, their windows in the generic address space, and what lies in them.

pub(crate) mod claims;
pub(crate) mod global;
pub(crate) mod local;
pub(crate) mod shared;

use std::fmt;

/// A state space of PTX.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Space {
    /// Memory of the device, which all CTAs see.
    Global,
    /// Memory of one CTA.
    Shared,
    /// Memory of one thread.
    Local,
    /// The parameters of the kernel.
    Param,
    /// Constants of the module.
    Const,
}

impl fmt::Display for Space {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Space::Global => "global",
            Space::Shared => "shared",
            Space::Local => "local",
            Space::Param => "parameter",
            Space::Const => "constant",
        })
    }
}

/// Bytes of a window of the generic address space.
const WINDOW: u64 = 1 << 40;
const CONST_WINDOW: u64 = 0x7B00_0000_0000;
const PARAM_WINDOW: u64 = 0x7C00_0000_0000;
const LOCAL_WINDOW: u64 = 0x7D00_0000_0000;
/// The first 16 MiB of the shared window are left free, so that the generic address of shared memory is never 0 there.
const SHARED_WINDOW: u64 = 0x7E00_0000_0000 + (1 << 24);

impl Space {
    /// Where the space begins among generic addresses. Addresses of global memory are generic as they are.
    pub(crate) fn window(self) -> u64 {
        match self {
            Space::Global => 0,
            Space::Shared => SHARED_WINDOW,
            Space::Local => LOCAL_WINDOW,
            Space::Param => PARAM_WINDOW,
            Space::Const => CONST_WINDOW,
        }
    }

    /// The space that a generic address lies in, and the address inside it.
    pub(crate) fn of_generic(address: u64) -> (Space, u64) {
        for space in [Space::Shared, Space::Local, Space::Param, Space::Const] {
            if (space.window()..space.window() + WINDOW).contains(&address) {
                return (space, address - space.window());
            }
        }
        (Space::Global, address)
    }
}

/// What an access does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Reads.
    Load,
    /// Writes.
    Store,
    /// Reads and writes at once.
    Atomic,
    /// Reads for an asynchronous copy.
    CopySource,
    /// Writes by an asynchronous copy.
    CopyDestination,
    /// Uses an mbarrier.
    Mbarrier,
    /// Reads an operand of a `wgmma`.
    Operand,
    /// Reads for a bulk copy.
    BulkSource,
    /// Writes by a bulk copy.
    BulkDestination,
    /// Reads a tensor map.
    TensorMap,
}

impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Access::Load => "load",
            Access::Store => "store",
            Access::Atomic => "atomic",
            Access::CopySource => "read of an asynchronous copy",
            Access::CopyDestination => "write of an asynchronous copy",
            Access::Mbarrier => "use of an mbarrier",
            Access::Operand => "read of an operand of wgmma",
            Access::BulkSource => "read of a bulk copy",
            Access::BulkDestination => "write of a bulk copy",
            Access::TensorMap => "read of a tensor map",
        })
    }
}

/// Up to 32 bytes on their way between memory and registers, in little-endian words. Fewer than four bytes stand
/// zero-extended in the first word.
pub(crate) type Packet = [u32; 8];

/// A stretch of memory with a name: what an address is near to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Region {
    /// Name of the buffer or variable.
    pub name: String,
    /// Its first address.
    pub base: u64,
    /// Its bytes.
    pub bytes: u64,
}

impl Region {
    /// Whether all these bytes are inside.
    pub(crate) fn holds(&self, address: u64, bytes: u64) -> bool {
        address >= self.base && address - self.base <= self.bytes && bytes <= self.bytes - (address - self.base)
    }

    /// How far an address is from the region; 0 inside.
    pub(crate) fn distance(&self, address: u64) -> u64 {
        self.base.saturating_sub(address).max(address.saturating_sub(self.base + self.bytes.saturating_sub(1)))
    }
}

/// The region nearest to an address.
pub(crate) fn nearest<'a>(regions: impl Iterator<Item = &'a Region>, address: u64) -> Option<Region> {
    regions.min_by_key(|region| region.distance(address)).cloned()
}
