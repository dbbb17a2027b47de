//! What each step of a run is, planned before the run starts.

use std::fmt;

use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::eval::StepKind;

use super::spec::LayerPlace;

/// The kinds of all steps of a run at one layer, and what each Update keeps for the steps after it.
///
/// A schedule depends on nothing but the strategy's params, the layer and the number of steps, so it is known beforehand.
/// It is that of a run from step 0 on. A run may start later (image to image, or where another one stopped), at any Update
/// or dense step, or with [`Layer::update`](super::Layer::update) at any step at all: then kinds stay as planned, and orders
/// are limited by the Updates that the state has seen.
/// `Display` prints F for an Update, P for a Dispatch and D for a dense step, as `FFFPPPPFPPPP`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Schedule {
    steps: Vec<PlannedStep>,
}

/// What one step is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PlannedStep {
    /// Its kind.
    pub kind: StepKind,
    /// Steps since the last Update; 0 unless it is a Dispatch.
    pub since_update: u32,
    /// Of a Dispatch the order of its forecast; of an Update the highest order that the Dispatches after it ask for, None
    /// if no Dispatch follows it.
    pub order: Option<u32>,
}

impl Schedule {
    /// Plans a run; of more than [`Moment::MOST_STEPS`] steps, which layers refuse, the first ones.
    pub fn new(bound: &Bound<'_>, place: LayerPlace) -> Schedule {
        let LayerPlace { layer, steps } = place;
        let planned_steps = steps.min(Moment::MOST_STEPS);
        let mut planned: Vec<PlannedStep> = Vec::with_capacity(planned_steps as usize);
        let (mut last_update, mut updates) = (None, 0);
        for step in 0..planned_steps {
            let since_update = last_update.map(|last| step - last as u32);
            let kind = bound.schedule(step, steps, since_update, layer);
            let since_update = since_update.filter(|_| kind == StepKind::Dispatch).unwrap_or(0);
            let mut order = None;
            match (kind, last_update) {
                (StepKind::Update, _) => (last_update, updates) = (Some(step as usize), updates + 1),
                (StepKind::Dispatch, Some(last)) => {
                    let asked = bound.taylor_order(&Moment { step, steps, since_update, layer });
                    // Order k needs k Updates before the last one.
                    order = Some(asked.min(updates - 1));
                    planned[last].order = planned[last].order.max(order);
                }
                (StepKind::Dispatch, None) | (StepKind::Dense, _) => {}
            }
            planned.push(PlannedStep { kind, since_update, order });
        }
        Schedule { steps: planned }
    }

    /// The step of that index; None beyond the run.
    pub fn at(&self, step: u32) -> Option<PlannedStep> {
        self.steps.get(step as usize).copied()
    }

    /// Steps of the run.
    pub fn steps(&self) -> u32 {
        self.steps.len() as u32
    }

    /// Highest order of any forecast of the run; None if nothing is ever forecast.
    pub fn most_order(&self) -> Option<u32> {
        self.steps.iter().filter_map(|step| step.order).max()
    }
}

impl fmt::Display for Schedule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.steps.iter().try_for_each(|step| {
            f.write_str(match step.kind {
                StepKind::Update => "F",
                StepKind::Dispatch => "P",
                StepKind::Dense => "D",
            })
        })
    }
}
