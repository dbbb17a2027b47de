//! What an engine refuses: layers that cannot be made, and steps out of order.

use sparsym_ir::eval::StepKind;

use crate::error::{Error, ErrorKind};

/// A layer that cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The parts do not fill the sequence.
    #[error(
        "the parts have {found} tokens and the sequence has {expected}\nhelp: give one part, or parts that follow each other and fill it"
    )]
    Parts {
        /// Tokens of all parts.
        found: usize,
        /// N.
        expected: usize,
    },
    /// Queries and keys are not the same tokens.
    #[error(
        "a layer with projections is self-attention over one length; N is {n_q} and N_kv is {n_kv}\nhelp: use engine::Attention for cross-attention"
    )]
    NotSelfAttention {
        /// N.
        n_q: usize,
        /// N_kv.
        n_kv: usize,
    },
    /// S_c may differ between an Update and the Dispatches after it.
    #[error(
        "S_c of {strategy} changes from step to step, but GEMM-O starts from partials that the last Update made for its S_c\nhelp: read the step in `update when` or in skip rules, or use engine::Attention, which forecasts before projecting"
    )]
    VaryingCache {
        /// The strategy.
        strategy: String,
    },
    /// The mask may differ between an Update and the Dispatches after it, but symbols are kept between them.
    #[error(
        "the mask of {strategy} changes from step to step, but its symbols are kept from one Update to the next, because rules read Q and K\nhelp: read the step in block rules, or leave out `update when`, so that symbols are made at every step"
    )]
    VaryingMask {
        /// The strategy.
        strategy: String,
    },
}

/// A step out of order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StepError {
    /// Steps of a layer come one after another.
    #[error("step {step} cannot follow step {last}\nhelp: give the steps one after another, or start with a new state")]
    OutOfOrder {
        /// The step asked for.
        step: u32,
        /// The step before it.
        last: u32,
    },
    /// The run is over.
    #[error("step {step} is beyond the {steps} steps of the run\nhelp: steps count from 0")]
    BeyondRun {
        /// The step asked for.
        step: u32,
        /// Steps of the run.
        steps: u32,
    },
    /// There is nothing to forecast from.
    #[error(
        "step {step} is a Dispatch, and the state has seen no Update\nhelp: start the run at an Update, F in the layer's schedule, or call `update` to make this step one"
    )]
    NoUpdate {
        /// The step asked for.
        step: u32,
    },
    /// The schedule says otherwise.
    #[error("step {step} is planned as {planned:?}, not as {asked:?}\nhelp: ask the layer's schedule, or call `step`")]
    OtherKind {
        /// The step.
        step: u32,
        /// What was asked for.
        asked: StepKind,
        /// What the schedule says.
        planned: StepKind,
    },
    /// A state remembers one layer only.
    #[error("this state belongs to another layer\nhelp: keep one state for each layer, and a new one for each run")]
    OtherLayer,
}

impl From<LayerError> for Error {
    fn from(error: LayerError) -> Error {
        Error::of(ErrorKind::Layer, error)
    }
}

impl From<StepError> for Error {
    fn from(error: StepError) -> Error {
        Error::of(ErrorKind::Step, error)
    }
}
