//! Fences between the ways to memory.

use super::form::{Action, Family, Form, Operand, effect};
use crate::machine::fences::Fence;

/// The rows of this family.
pub(super) const FORMS: &[Form] = &[
    Form {
        spelling: "fence.proxy.async[.global|.shared::cta|.shared::cluster]",
        operands: &[],
        family: Family::Sync,
        meaning: "what the thread wrote so far bulk copies and wgmma see, once they are ordered after this",
        action: Action::Choose(|chosen, _ins| {
            // Of global memory, bulk copies see what CTAs wrote anyway.
            Some(match chosen.word(0) {
                "global" => effect!(Effect, |_effect, _ins| { Ok(()) }),
                _ => effect!(Effect, |effect, _ins| {
                    let (warp, lanes) = (effect.warp.agent as usize, effect.lanes.mask());
                    if let Some(races) = &mut effect.shared.races {
                        races.clocks().fence(warp, lanes);
                    }
                    Ok(())
                }),
            })
        }),
    },
    Form {
        spelling: "fence.proxy.alias",
        operands: &[],
        family: Family::Sync,
        meaning: "orders accesses by different names of one place: there is one name here",
        action: effect!(Effect, |_effect, _ins| { Ok(()) }),
    },
    Form {
        spelling: "fence.mbarrier_init.release.cluster",
        operands: &[],
        family: Family::Sync,
        meaning: "makes a relaxed arrival at the barrier of the cluster release, as initialisations of mbarriers need it",
        action: effect!(Effect, |effect, _ins| {
            effect.fence(Fence::Release);
            Ok(())
        }),
    },
    Form {
        spelling: "fence.proxy.tensormap::generic.release{.cta|.cluster|.gpu|.sys}",
        operands: &[],
        family: Family::Sync,
        meaning: "orders changes of tensor maps before what follows: they are seen at once here",
        action: effect!(Effect, |_effect, _ins| { Ok(()) }),
    },
    Form {
        spelling: "fence.proxy.tensormap::generic.acquire{.cta|.cluster|.gpu|.sys}",
        operands: &[Operand::Address, Operand::Number],
        family: Family::Sync,
        meaning: "orders uses of the b bytes of the tensor map at [a] after its changes: they are seen at once here",
        action: Action::Choose(|_chosen, ins| {
            (ins.number == 128).then_some(effect!(Effect, |_effect, _ins| { Ok(()) }))
        }),
    },
];
