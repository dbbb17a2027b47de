//! How a layer is made: what it refuses, and everything that its steps will need.

use std::collections::{HashMap, HashSet};

use sparsym_ir::eval::StepKind;
use sparsym_ir::projection::Shaped;
use sparsym_ir::{DType, Problem};

use super::base::Engine;
use super::calls::{Named, Reach};
use super::core::Core;
use super::error::LayerError;
use super::layer::{Ends, Layer, Part};
use super::spec::LayerSpec;
use super::state::LayerState;
use super::workspace::Sizes;
use crate::device::session::{Array, Call};
use crate::error::Error;

impl Engine {
    /// A layer; compiles its kernels and allocates its workspace.
    ///
    /// # Errors
    /// Findings about shapes and values, [`LayerError`], or the device's own.
    pub fn layer<'w>(&self, spec: LayerSpec, parts: Vec<Part<'w>>) -> Result<Layer<'w>, Error> {
        let Problem { n_q, n_kv, ref ragged, .. } = spec.problem;
        if ragged.is_some() || n_q != n_kv {
            return Err(LayerError::NotSelfAttention { n_q, n_kv }.into());
        }
        let found = parts.iter().fold(0, |sum: usize, part| sum.saturating_add(part.tokens));
        if found != n_q {
            return Err(LayerError::Parts { found, expected: n_q }.into());
        }
        let dtype = parts.first().map_or(DType::F32, |part| part.weights.q.weight.dtype());
        let (strategy, problem) = (spec.strategy.clone(), spec.problem.clone());
        let core = Core::new(self, spec, dtype, |session| {
            let means = session.takes_means(&strategy) && means_fit(&problem, &parts);
            Sizes::of(&problem, dtype, &strategy, means)
        })?;
        if core.varying[0] && !strategy.reads_data() {
            return Err(LayerError::VaryingCache { strategy: strategy.snake_name() }.into());
        }
        let mut layer = Layer { core, parts };
        layer.prepare()?;
        Ok(layer)
    }
}

impl Layer<'_> {
    /// Prepares every kind of step that the schedule has: a step then compiles nothing and allocates nothing.
    fn prepare(&mut self) -> Result<(), Error> {
        let (x, y, state) = (self.inputs()?, self.outputs()?, self.state()?);
        let (x, y): (Vec<&Array>, Vec<&Array>) = (x.iter().collect(), y.iter().collect());
        self.core.together = self.kinds_together(Ends { x: &x, y: &y }, &state);
        let (core, mut prepared) = (&self.core, HashMap::new());
        let (space, bounds) = (core.workspace(), core.bounds());
        for (step, planned) in core.kinds_of_steps() {
            let work = core.work(step, planned, &bounds, &space, space.qkv());
            let reach = Reach::planned(planned.order.filter(|_| core.keeps()));
            core.prepare(self.calls(&work, Ends { x: &x, y: &y }, &state, &reach), &mut prepared)?;
        }
        drop(space);
        self.core.prepared = prepared;
        Ok(())
    }

    /// Which of its projections the device makes in one launch.
    fn kinds_together(&self, ends: Ends<'_>, state: &LayerState) -> HashSet<(bool, bool)> {
        let (core, mut together) = (&self.core, HashSet::new());
        let (space, bounds) = (core.workspace(), core.bounds());
        for (step, planned) in core.kinds_of_steps() {
            let work = core.work(step, planned, &bounds, &space, space.qkv());
            let s_c = (planned.kind == StepKind::Dispatch && core.keeps()).then_some(&state.symbols.cache);
            let kind = (s_c.is_some(), work.block_means().is_some());
            let takes = |named: &Named<'_>| match &named.call {
                Call::Together(calls) => calls.len() > 1 && core.engine.session().takes_together(calls),
                _ => false,
            };
            if !together.contains(&kind)
                && super::step::together(self.projections(&work, ends, s_c), kind).iter().all(takes)
            {
                together.insert(kind);
            }
        }
        together
    }
}

/// Whether GEMM-Q can write the means of all blocks: every part has whole blocks, of a size that its tiles hold.
fn means_fit(problem: &Problem, parts: &[Part<'_>]) -> bool {
    let mut first = 0;
    let mut fits = [problem.blocks.q, problem.blocks.kv].iter().all(|block| matches!(block, 32 | 64 | 128));
    for part in parts {
        for block in [problem.blocks.q as usize, problem.blocks.kv as usize] {
            fits &= first % block == 0;
        }
        first += part.tokens;
    }
    fits
}
