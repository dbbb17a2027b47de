//! Mbarriers: objects in shared memory that count arrivals and bytes.

use super::form::operands::{L, TO_L, TO_P, TO_W, W};
use super::form::{Action, Chosen, Family, Flow, Form, Operand, effect};
use crate::machine::mbarrier::Arrive;
use crate::machine::phases::{AddressOf, Brings, Order, Says};

const AT: Operand = Operand::Mbarrier;

/// A row: `mbarrier!("spelling", operands, "meaning", action)`, whose function finds what the modifiers say in the note.
macro_rules! mbarrier {
    ($spelling:expr, $operands:expr, $meaning:literal, $action:expr) => {
        Form {
            spelling: $spelling,
            operands: $operands,
            family: Family::Sync,
            meaning: $meaning,
            action: Action::Choose(|chosen, ins| {
                ins.note = says(chosen)?.note();
                Some($action)
            }),
        }
    };
}

macro_rules! arrive {
    ($name:literal, $operands:expr, $meaning:literal, $how:ident, $brings:ident) => {
        mbarrier!(
            concat!(
                "mbarrier.",
                $name,
                "[.release|.relaxed][.cta|.cluster][.shared|.shared::cta|.shared::cluster].b64"
            ),
            $operands,
            $meaning,
            effect!(Effect, |effect, ins| { effect.arrive(ins, Arrive::$how, Brings::$brings) })
        )
    };
}

macro_rules! wait {
    ($name:literal, $operands:expr, $meaning:literal, $flow:ident) => {
        mbarrier!(
            concat!("mbarrier.", $name, "[.acquire|.relaxed][.cta|.cluster][.shared|.shared::cta].b64"),
            $operands,
            $meaning,
            Action::Flow(Flow::$flow)
        )
    };
}

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    mbarrier!(
        "mbarrier.init[.shared|.shared::cta].b64",
        &[AT, W],
        "the 8 bytes at [a] become an mbarrier whose phases complete with b arrivals",
        effect!(Effect, |effect, ins| { effect.init_mbarrier(ins) })
    ),
    mbarrier!(
        "mbarrier.inval[.shared|.shared::cta].b64",
        &[AT],
        "the mbarrier at [a] becomes memory again",
        effect!(Effect, |effect, ins| { effect.invalidate_mbarrier(ins) })
    ),
    mbarrier!(
        "mbarrier.expect_tx[.relaxed][.cta|.cluster][.shared|.shared::cta|.shared::cluster].b64",
        &[AT, W],
        "the phase of the mbarrier at [a] lacks b bytes more",
        effect!(Effect, |effect, ins| { effect.count_bytes(ins, 1) })
    ),
    mbarrier!(
        "mbarrier.complete_tx[.relaxed][.cta|.cluster][.shared|.shared::cta|.shared::cluster].b64",
        &[AT, W],
        "the phase of the mbarrier at [a] lacks b bytes less",
        effect!(Effect, |effect, ins| { effect.count_bytes(ins, -1) })
    ),
    arrive!("arrive", &[TO_L, AT], "arrives at the mbarrier at [a]; d = its state before", Stay, One),
    arrive!("arrive", &[TO_L, AT, W], "arrives b times at the mbarrier at [a]; d = its state before", Stay, Arrivals),
    arrive!(
        "arrive.noComplete",
        &[TO_L, AT, W],
        "as mbarrier.arrive, where it does not complete the phase",
        NoComplete,
        Arrivals
    ),
    arrive!(
        "arrive.expect_tx",
        &[TO_L, AT, W],
        "the phase of the mbarrier at [a] lacks b bytes more; then arrives; d = its state before",
        Stay,
        Bytes
    ),
    arrive!(
        "arrive_drop",
        &[TO_L, AT],
        "as mbarrier.arrive, and the phases after this one complete with an arrival less",
        Drop,
        One
    ),
    arrive!(
        "arrive_drop",
        &[TO_L, AT, W],
        "as mbarrier.arrive, and the phases after this one complete with b arrivals less",
        Drop,
        Arrivals
    ),
    arrive!(
        "arrive_drop.expect_tx",
        &[TO_L, AT, W],
        "as mbarrier.arrive.expect_tx, and the phases after this one complete with an arrival less",
        Drop,
        Bytes
    ),
    wait!("test_wait", &[TO_P, AT, L], "p = the phase of state b of the mbarrier at [a] is complete", TestWait),
    wait!(
        "test_wait.parity",
        &[TO_P, AT, W],
        "p = the phase before the present one of the mbarrier at [a] is of parity b",
        TestWait
    ),
    wait!("try_wait", &[TO_P, AT, L], "asks as test_wait, and waits once it was answered no; p = the answer", TryWait),
    wait!("try_wait", &[TO_P, AT, L, W], "as above; the hint of c nanoseconds is not modelled", TryWait),
    wait!(
        "try_wait.parity",
        &[TO_P, AT, W],
        "asks as test_wait, and waits once it was answered no; p = the answer",
        TryWait
    ),
    wait!("try_wait.parity", &[TO_P, AT, W, W], "as above; the hint of c nanoseconds is not modelled", TryWait),
    Form {
        spelling: "mbarrier.pending_count.b64",
        operands: &[TO_W, L],
        family: Family::Sync,
        meaning: "d = the arrivals that state a lacked",
        action: effect!(Effect, |effect, ins| {
            for lane in effect.executing() {
                let count = effect.lanes.wides(ins.rows[1])[lane] as u32;
                effect.lanes.set_word(ins.rows[0], lane, count);
            }
            Ok(())
        }),
    },
    mbarrier!(
        "cp.async.mbarrier.arrive[.shared|.shared::cta].b64",
        &[AT],
        "the phase of the mbarrier at [a] lacks an arrival more, which comes when the thread's copies have",
        effect!(Effect, |effect, ins| { effect.arrive_after_copies(ins, 1) })
    ),
    mbarrier!(
        "cp.async.mbarrier.arrive.noinc[.shared|.shared::cta].b64",
        &[AT],
        "arrives at the mbarrier at [a] when the thread's copies have come",
        effect!(Effect, |effect, ins| { effect.arrive_after_copies(ins, 0) })
    ),
];

/// What the modifiers say.
fn says(chosen: &Chosen<'_>) -> Option<Says> {
    let shared = ["shared", "shared::cta", "shared::cluster"].iter().any(|space| chosen.has(space));
    Some(Says {
        address: if shared { AddressOf::Shared } else { AddressOf::Generic },
        order: if chosen.has("relaxed") { Order::Relaxed } else { Order::Ordered },
    })
}
