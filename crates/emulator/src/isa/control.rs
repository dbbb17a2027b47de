//! Branches, the end of a thread, barriers and fences.

use super::form::operands::{P, TO_P, TO_W, W};
use super::form::{Action, Family, Flow, Form, Operand, effect};
use crate::machine::fences::Fence;

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

/// A fence; atomics, volatile and ordered accesses order memory by themselves.
macro_rules! fence {
    ($spelling:literal, $way:ident, $meaning:literal) => {
        Form {
            spelling: $spelling,
            operands: &[],
            family: Family::Sync,
            meaning: $meaning,
            action: effect!(Effect, |effect, _ins| {
                effect.fence(Fence::$way);
                Ok(())
            }),
        }
    };
}

/// A barrier of the CTA. All lanes of a warp come to `bar` and to `.aligned` together; to any other, each in its own time.
macro_rules! barrier {
    ($spelling:literal, $operands:expr, $flow:ident, $meaning:literal) => {
        Form {
            spelling: $spelling,
            operands: $operands,
            family: Family::Sync,
            meaning: $meaning,
            action: Action::Choose(|chosen, ins| {
                let together = $spelling.starts_with("bar[") || chosen.has("aligned");
                ins.note = if together { 0 } else { IN_OWN_TIME };
                Some(Action::Flow(Flow::$flow))
            }),
        }
    };
}

/// In the note of a barrier: lanes of a warp may come one after the other.
pub(crate) const IN_OWN_TIME: u32 = 1;

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    flow!("bra[.uni]", &[Operand::Label], Control, Branch, "goes on at the label in the lanes whose guard holds"),
    flow!("exit", &[], Control, Exit, "ends the thread"),
    flow!("ret[.uni]", &[], Control, Exit, "ends the thread: kernels only"),
    flow!("trap", &[], Control, Trap, "stops the launch"),
    flow!("brkpt", &[], Control, Nothing, "nothing"),
    barrier!("bar[.cta].sync", &[W], Barrier, "arrives at barrier a and waits for all threads of the CTA"),
    barrier!("bar[.cta].sync", &[W, W], Barrier, "arrives at barrier a and waits for b threads"),
    barrier!("barrier[.cta].sync[.aligned]", &[W], Barrier, "as bar.sync; without aligned, each lane in its own time"),
    barrier!(
        "barrier[.cta].sync[.aligned]",
        &[W, W],
        Barrier,
        "as bar.sync; without aligned, each lane in its own time"
    ),
    barrier!(
        "bar[.cta].arrive",
        &[W, W],
        BarrierArrive,
        "arrives at barrier a, which waits for b threads, and goes on"
    ),
    barrier!(
        "barrier[.cta].arrive[.aligned]",
        &[W, W],
        BarrierArrive,
        "as bar.arrive; without aligned, once all lanes of the warp have come"
    ),
    barrier!("bar[.cta].red.popc.u32", &[TO_W, W, P], BarrierCount, "as bar.sync; d = threads whose p holds"),
    barrier!("bar[.cta].red.popc.u32", &[TO_W, W, W, P], BarrierCount, "as bar.sync; d = threads whose p holds"),
    barrier!("bar[.cta].red.and.pred", &[TO_P, W, P], BarrierAll, "as bar.sync; d = p holds in all threads"),
    barrier!("bar[.cta].red.and.pred", &[TO_P, W, W, P], BarrierAll, "as bar.sync; d = p holds in all threads"),
    barrier!("bar[.cta].red.or.pred", &[TO_P, W, P], BarrierAny, "as bar.sync; d = p holds in a thread"),
    barrier!("bar[.cta].red.or.pred", &[TO_P, W, W, P], BarrierAny, "as bar.sync; d = p holds in a thread"),
    barrier!("barrier[.cta].red.popc[.aligned].u32", &[TO_W, W, P], BarrierCount, "as bar.red"),
    barrier!("barrier[.cta].red.popc[.aligned].u32", &[TO_W, W, W, P], BarrierCount, "as bar.red"),
    barrier!("barrier[.cta].red.and[.aligned].pred", &[TO_P, W, P], BarrierAll, "as bar.red"),
    barrier!("barrier[.cta].red.and[.aligned].pred", &[TO_P, W, W, P], BarrierAll, "as bar.red"),
    barrier!("barrier[.cta].red.or[.aligned].pred", &[TO_P, W, P], BarrierAny, "as bar.red"),
    barrier!("barrier[.cta].red.or[.aligned].pred", &[TO_P, W, W, P], BarrierAny, "as bar.red"),
    flow!("bar.warp.sync", &[W], Sync, WarpBarrier, "waits for the lanes of mask a, and orders their memory"),
    fence!("membar{.cta|.gl|.sys}", Both, "makes relaxed operations before it acquire, and those after it release"),
    fence!(
        "fence[.sc|.acq_rel]{.cta|.cluster|.gpu|.sys}",
        Both,
        "makes relaxed operations before it acquire, and those after it release"
    ),
    fence!("fence.acquire{.cta|.cluster|.gpu|.sys}", Acquire, "makes relaxed operations before it acquire"),
    fence!("fence.release{.cta|.cluster|.gpu|.sys}", Release, "makes relaxed operations after it release"),
    Form {
        spelling: "setmaxnreg{.inc|.dec}.sync.aligned.u32",
        operands: &[Operand::Number],
        family: Family::Sync,
        meaning: "takes registers from the CTA, once there are enough, or gives some back: a for each thread afterwards",
        action: Action::Choose(|chosen, ins| {
            let count = u32::try_from(ins.number).ok().filter(|count| (24..=256).contains(count) && count % 8 == 0)?;
            ins.note = count;
            Some(Action::Flow(if chosen.has("inc") { Flow::TakeRegisters } else { Flow::GiveRegisters }))
        }),
    },
    Form {
        spelling: "griddepcontrol{.wait|.launch_dependents}",
        operands: &[],
        family: Family::Sync,
        meaning: "nothing: launches run one after the other",
        action: effect!(Effect, |_effect, _ins| { Ok(()) }),
    },
];
