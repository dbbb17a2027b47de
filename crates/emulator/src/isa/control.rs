//! Branches, the end of a thread, barriers and fences.

use super::form::operands::{P, TO_P, TO_W, W};
use super::form::{Action, Family, Flow, Form, Operand, effect};

macro_rules! flow {
    ($spelling:literal, $operands:expr, $family:ident, $flow:ident, $meaning:literal) => {
        Form {
            spelling: $spelling,
            operands: $operands,
            family: Family::$family,
            meaning: $meaning,
            action: Action::Flow(Flow::$flow),
        }
    };
}

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    flow!("bra[.uni]", &[Operand::Label], Control, Branch, "goes on at the label in the lanes whose guard holds"),
    flow!("exit", &[], Control, Exit, "ends the thread"),
    flow!("ret[.uni]", &[], Control, Exit, "ends the thread: kernels only"),
    flow!("trap", &[], Control, Trap, "stops the launch"),
    flow!("brkpt", &[], Control, Nothing, "nothing"),
    flow!("bar[.cta].sync", &[W], Sync, AlignedBarrier, "arrives at barrier a and waits for all threads of the CTA"),
    flow!("bar[.cta].sync", &[W, W], Sync, AlignedBarrier, "arrives at barrier a and waits for b threads"),
    flow!("barrier[.cta].sync.aligned", &[W], Sync, AlignedBarrier, "as bar.sync"),
    flow!("barrier[.cta].sync.aligned", &[W, W], Sync, AlignedBarrier, "as bar.sync"),
    flow!("barrier[.cta].sync", &[W], Sync, Barrier, "as bar.sync, each lane in its own time"),
    flow!("barrier[.cta].sync", &[W, W], Sync, Barrier, "as bar.sync, each lane in its own time"),
    flow!(
        "bar[.cta].arrive",
        &[W, W],
        Sync,
        BarrierArrive,
        "arrives at barrier a, which waits for b threads, and goes on"
    ),
    flow!("barrier[.cta].arrive.aligned", &[W, W], Sync, BarrierArrive, "as bar.arrive"),
    flow!("bar[.cta].red.popc.u32", &[TO_W, W, P], Sync, BarrierCount, "as bar.sync; d = threads whose p holds"),
    flow!("bar[.cta].red.popc.u32", &[TO_W, W, W, P], Sync, BarrierCount, "as bar.sync; d = threads whose p holds"),
    flow!("bar[.cta].red.and.pred", &[TO_P, W, P], Sync, BarrierAll, "as bar.sync; d = p holds in all threads"),
    flow!("bar[.cta].red.and.pred", &[TO_P, W, W, P], Sync, BarrierAll, "as bar.sync; d = p holds in all threads"),
    flow!("bar[.cta].red.or.pred", &[TO_P, W, P], Sync, BarrierAny, "as bar.sync; d = p holds in a thread"),
    flow!("bar[.cta].red.or.pred", &[TO_P, W, W, P], Sync, BarrierAny, "as bar.sync; d = p holds in a thread"),
    flow!("bar.warp.sync", &[W], Sync, WarpBarrier, "waits for the lanes of mask a, and orders their memory"),
    flow!("membar{.cta|.gl|.sys}", &[], Sync, Nothing, "orders memory: atomics order it here anyway"),
    flow!(
        "fence[.sc|.acq_rel|.acquire|.release]{.cta|.cluster|.gpu|.sys}",
        &[],
        Sync,
        Nothing,
        "orders memory: atomics order it here anyway"
    ),
    Form {
        spelling: "griddepcontrol{.wait|.launch_dependents}",
        operands: &[],
        family: Family::Sync,
        meaning: "nothing: launches run one after the other",
        action: effect!(Effect, |_effect, _ins| { Ok(()) }),
    },
];
