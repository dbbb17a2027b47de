//! Which CTA touched which bytes of global memory: CTAs of a launch run in any order, so two of them may share bytes only
//! to read. A claim is kept for every four bytes; narrower accesses are not watched.

use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::global::Memory;

/// Claims on all buffers that a launch may write.
#[derive(Debug)]
pub(crate) struct Claims {
    /// By buffer; empty for one that is only read.
    buffers: Vec<Box<[Claim]>>,
}

/// Claims on four bytes.
#[derive(Debug, Default)]
struct Claim {
    /// The CTA that wrote them.
    writer: AtomicU32,
    /// The CTA that read them, or [`MANY`].
    reader: AtomicU32,
}

const NOBODY: u32 = 0;
const MANY: u32 = u32::MAX;

impl Claims {
    /// No claims yet on the buffers of a memory and, behind them, the variables of a program.
    pub(crate) fn new(memory: &Memory, variables: &Memory) -> Claims {
        let claims = |bytes: u64| (0..bytes.div_ceil(4)).map(|_| Claim::default()).collect();
        let all = memory.allocations().iter().chain(variables.allocations());
        let buffers = all.map(|allocation| match allocation.is_read_only() {
            true => Box::default(),
            false => claims(allocation.region.bytes),
        });
        Claims { buffers: buffers.collect() }
    }

    /// Notes a read. Gives the other CTA that wrote one of these bytes; None of a read that "many" did is a number.
    #[inline(always)]
    pub(crate) fn read(&self, buffer: usize, offset: usize, bytes: usize, cta: u32) -> Option<u32> {
        self.of(buffer, offset, bytes).find_map(|claim| {
            let me = cta + 1;
            let reader = claim.reader.load(SeqCst);
            if reader != me {
                claim.reader.store(if reader == NOBODY { me } else { MANY }, SeqCst);
            }
            other(claim.writer.load(SeqCst), me)
        })
    }

    /// Notes a write. Gives the other CTA that read or wrote one of these bytes.
    #[inline(always)]
    pub(crate) fn write(&self, buffer: usize, offset: usize, bytes: usize, cta: u32) -> Option<u32> {
        self.of(buffer, offset, bytes).find_map(|claim| {
            let me = cta + 1;
            let writer = claim.writer.swap(me, SeqCst);
            other(writer, me).or_else(|| other(claim.reader.load(SeqCst), me))
        })
    }

    fn of(&self, buffer: usize, offset: usize, bytes: usize) -> impl Iterator<Item = &Claim> {
        let words = if bytes < 4 { 0..0 } else { offset / 4..(offset + bytes) / 4 };
        self.buffers[buffer].get(words).into_iter().flatten()
    }
}

fn other(claim: u32, me: u32) -> Option<u32> {
    (claim != NOBODY && claim != me).then(|| claim.wrapping_sub(1))
}
