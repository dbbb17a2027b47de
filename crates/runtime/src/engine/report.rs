//! What a step did.

use sparsym_codegen::Room;
use sparsym_ir::eval::StepKind;

use crate::device::Cost;

/// What a step did.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepReport {
    /// What the schedule made of it.
    pub kind: StepKind,
    /// Order of the forecast that was used; None if nothing was forecast.
    pub order: Option<u32>,
    /// What `gemm_q`, `symbols`, `attention` and `gemm_o` cost.
    pub rooms: [Cost; 4],
}

impl StepReport {
    pub(super) fn new(kind: StepKind, order: Option<u32>) -> StepReport {
        StepReport { kind, order, rooms: Default::default() }
    }

    pub(super) fn add(&mut self, room: Room, cost: &Cost) {
        self.rooms[room as usize].add(cost);
    }
}
