//! What layers with and without projections have in common: the schedule, symbols, and how calls are run.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sparsym_ir::bind::{Bound, Geometry, Moment};
use sparsym_ir::eval::StepKind;
use sparsym_ir::projection::Shaped;
use sparsym_ir::static_symbols::static_symbols;
use sparsym_ir::strategy::Strategy;
use sparsym_ir::symbols::{BitRows, Packed};
use sparsym_ir::{Code, DType, Finding, Findings};

use super::base::Engine;
use super::calls::{Named, Task, Work};
use super::error::StepError;
use super::report::StepReport;
use super::schedule::{PlannedStep, Schedule};
use super::spec::LayerSpec;
use super::state::LayerState;
use super::varying::{check_mask, reads_steps};
use super::workspace::{Sizes, Workspace};
use crate::device::session::{Array, ArrayError, Prepared, Session, SymbolArrays};
use crate::error::Error;

/// A strategy on an engine.
pub(super) struct Core {
    pub(super) engine: Engine,
    pub(super) spec: LayerSpec,
    /// The strategy without block rules: what dense steps compute.
    mask_only: Strategy,
    geometry: Geometry,
    pub(super) schedule: Schedule,
    pub(super) dtype: DType,
    id: u64,
    /// Whether S_c may differ from step to step, and S_s.
    pub(super) varying: [bool; 2],
    /// Whether no Dispatch computes anything: every S_c is 0, whatever the data.
    pub(super) idle: bool,
    /// What the device has made of each task.
    pub(super) prepared: HashMap<Task, Prepared>,
    /// Projections that share a launch: of computed tiles alone or of all, with block means or without.
    pub(super) together: HashSet<(bool, bool)>,
    workspace: Arc<Mutex<Workspace>>,
}

impl Core {
    pub(super) fn new(
        engine: &Engine,
        spec: LayerSpec,
        dtype: DType,
        sizes: impl FnOnce(&dyn Session) -> Sizes,
    ) -> Result<Core, Error> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let LayerSpec { strategy, problem, bindings, place } = &spec;
        let bound = Bound::new(strategy, problem, bindings)?;
        let moment = Moment { step: 0, steps: place.steps, since_update: 0, layer: place.layer };
        bound.check_moment(&moment)?;
        let schedule = Schedule::new(&bound, *place);
        check_mask(strategy, &schedule)?;
        crate::device::warn_once(&bound, &moment);
        let is_static = strategy.caches() && !strategy.reads_data();
        let varying = [false, true].map(|skips| reads_steps(strategy, skips));
        let idle = is_static && !varying[0] && static_symbols(&bound, &moment).cache.density() == 0.0;
        Ok(Core {
            mask_only: Strategy { rules: Vec::new(), ..strategy.clone() },
            geometry: bound.geometry,
            workspace: engine.workspace(sizes(&**engine.session()))?,
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            engine: engine.clone(),
            prepared: HashMap::new(),
            together: HashSet::new(),
            schedule,
            dtype,
            varying,
            idle,
            spec,
        })
    }

    /// Whether anything of an Update is reused later: cached blocks, or the whole output once the layer degrades.
    pub(super) fn keeps(&self) -> bool {
        self.spec.strategy.caches() || self.spec.strategy.schedule.degrade.is_some()
    }

    /// Features that a forecast may need, of order 0 and up.
    pub(super) fn orders(&self) -> usize {
        self.schedule.most_order().filter(|_| self.keeps()).map_or(0, |order| order as usize + 1)
    }

    /// A state with memory for so many outputs, and these partials.
    pub(super) fn state(&self, outputs: usize, partials: Vec<Vec<Array>>) -> Result<LayerState, Error> {
        let (session, problem) = (self.engine.session(), &self.spec.problem);
        let symbols = SymbolArrays::ones(session, problem, self.spec.strategy.mask.is_some())?;
        let output = |n| Array::new(session, &format!("output {n}"), &problem.q_shape(), self.dtype);
        Ok(LayerState::new(self.id, symbols, (0..outputs).map(output).collect::<Result<_, _>>()?, partials))
    }

    pub(super) fn workspace(&self) -> MutexGuard<'_, Workspace> {
        self.workspace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The kind of a step, if it may come now.
    pub(super) fn kind(&self, step: u32, state: &LayerState) -> Result<StepKind, StepError> {
        match (self.next(step, state)?.kind, state.last_update()) {
            (StepKind::Dispatch, None) => Err(StepError::NoUpdate { step }),
            (kind, _) => Ok(kind),
        }
    }

    /// What the schedule says of a step that follows the last one. The schedule is that of a run from step 0 on; the state
    /// may have seen less of it.
    fn next(&self, step: u32, state: &LayerState) -> Result<PlannedStep, StepError> {
        let steps = self.schedule.steps();
        if state.owner != self.id {
            return Err(StepError::OtherLayer);
        }
        let planned = self.schedule.at(step).ok_or(StepError::BeyondRun { step, steps })?;
        match state.last_step() {
            Some(last) if step != last + 1 => Err(StepError::OutOfOrder { step, last }),
            _ => Ok(planned),
        }
    }

    /// What a step of this kind is to a state that has seen these Updates and no others.
    pub(super) fn planned(&self, step: u32, kind: StepKind, state: &LayerState) -> Result<PlannedStep, StepError> {
        let planned = self.next(step, state)?;
        match (planned.kind, kind, state.last_update()) {
            (StepKind::Dispatch, StepKind::Dispatch, Some(last)) => {
                Ok(PlannedStep { since_update: step - last, ..planned })
            }
            (StepKind::Dispatch, StepKind::Dispatch, None) => Err(StepError::NoUpdate { step }),
            // A run may start here: the Dispatches after it have this output and no other.
            (StepKind::Dispatch, StepKind::Update, None) => {
                Ok(PlannedStep { kind, since_update: 0, order: planned.order.map(|_| 0) })
            }
            (planned_kind, asked, _) if planned_kind == asked => Ok(planned),
            (planned, asked, _) => Err(StepError::OtherKind { step, asked, planned }),
        }
    }

    /// Checks an input or a result of a step before anything is computed, so that a mistake changes nothing.
    pub(super) fn check_array(&self, name: &str, array: &Array, shape: &[usize]) -> Result<(), Error> {
        if !array.belongs_to(&**self.engine.session()) {
            return Err(ArrayError::OtherSession { name: name.to_owned() }.into());
        }
        let mut findings = Findings::new();
        if array.shape() != shape {
            let what = format!("{name} has shape {:?}", array.shape());
            findings.push(Finding::new(Code::TensorShape, what, format!("this layer needs {shape:?}")));
        }
        if array.dtype() != self.dtype {
            let what = format!("{name} is {}", array.dtype().name());
            findings.push(Finding::new(Code::TensorType, what, format!("this layer is {}", self.dtype.name())));
        }
        Ok(findings.into_result(())?)
    }

    /// Strategy, shapes and values: with all rules, and with the mask alone. They were checked when the layer was made.
    pub(super) fn bounds(&self) -> [Bound<'_>; 2] {
        let LayerSpec { strategy, problem, bindings, .. } = &self.spec;
        let bound = |strategy| Bound { strategy, problem, bindings, geometry: self.geometry.clone() };
        [bound(strategy), bound(&self.mask_only)]
    }

    pub(super) fn work<'a>(
        &self,
        step: u32,
        planned: PlannedStep,
        [rules, mask]: &'a [Bound<'a>; 2],
        space: &'a Workspace,
        qkv: [&'a Array; 3],
    ) -> Work<'a> {
        let place = self.spec.place;
        let moment = Moment { step, steps: place.steps, since_update: planned.since_update, layer: place.layer };
        Work { rules, mask, moment, planned, space, qkv }
    }

    /// One of each kind of step that the schedule has, and of each order that a run may have which starts later.
    pub(super) fn kinds_of_steps(&self) -> Vec<(u32, PlannedStep)> {
        let mut seen: Vec<(u32, PlannedStep)> = Vec::new();
        for (step, planned) in (0..self.schedule.steps()).filter_map(|step| Some((step, self.schedule.at(step)?))) {
            let orders = planned.order.map_or(vec![None], |most| (0..=most).map(Some).collect());
            for planned in orders.into_iter().map(|order| PlannedStep { order, ..planned }) {
                if !seen.iter().any(|(_, known)| (known.kind, known.order) == (planned.kind, planned.order)) {
                    seen.push((step, planned));
                }
            }
        }
        seen
    }

    /// Prepares calls whose tasks are not prepared yet.
    pub(super) fn prepare(&self, calls: Vec<Named<'_>>, prepared: &mut HashMap<Task, Prepared>) -> Result<(), Error> {
        for Named { task, call } in calls {
            if let Entry::Vacant(vacant) = prepared.entry(task) {
                vacant.insert(self.engine.session().prepare(&call)?);
            }
        }
        Ok(())
    }

    /// Runs calls one after another: a device with a queue gets all of them before it is waited for.
    pub(super) fn run(&self, calls: Vec<Named<'_>>, report: &mut StepReport) -> Result<(), Error> {
        let session = self.engine.session();
        let prepared = calls.iter().map(|Named { task, call }| match self.prepared.get(task) {
            Some(prepared) => Ok(prepared.clone()),
            None => session.prepare(call),
        });
        let prepared = prepared.collect::<Result<Vec<_>, Error>>()?;
        let (tasks, calls): (Vec<Task>, Vec<_>) = calls.into_iter().map(|Named { task, call }| (task, call)).unzip();
        let costs = self.engine.run(&prepared.iter().zip(calls).collect::<Vec<_>>())?;
        tasks.iter().zip(&costs).for_each(|(task, cost)| report.add(task.room(), cost));
        Ok(())
    }

    /// Makes the symbols that the rules say at this Update, unless they are the same as before; and finds out whether the
    /// layer degrades.
    pub(super) fn update_symbols(
        &self,
        work: &Work<'_>,
        state: &mut LayerState,
        report: &mut StepReport,
    ) -> Result<(), Error> {
        let degrades = self.spec.strategy.schedule.degrade.is_some();
        if !state.has_symbols && degrades {
            // A degraded run may have left zeros.
            let [rows, bits] = state.symbols.cache.symbol_shape().rows();
            state.symbols.cache.write(&BitRows::ones(rows, bits))?;
        }
        if !state.has_symbols || self.varying.contains(&true) || self.spec.strategy.reads_data() {
            self.run(vec![work.symbols(&state.symbols)], report)?;
            state.has_symbols = true;
        }
        if !degrades {
            return Ok(());
        }
        let symbols = state.symbols.read(&self.spec.problem)?;
        state.degraded |= work.rules.degrades(&work.moment, symbols.cache.density(), symbols.skip.density());
        if state.degraded {
            let rows = symbols.cache.rows();
            let zeros = vec![0; rows.words().len()];
            state.symbols.cache.write(&BitRows::from_words(rows.rows(), rows.bits(), zeros))?;
        }
        Ok(())
    }

    /// The symbols of a Dispatch, those of the last Update unless static rules say something else of this step, and the
    /// call that makes them.
    pub(super) fn dispatch_symbols<'a>(
        &self,
        work: &Work<'a>,
        state: &'a LayerState,
    ) -> (Option<Named<'a>>, &'a SymbolArrays) {
        if !self.varying.contains(&true) || self.spec.strategy.reads_data() || state.degraded {
            return (None, &state.symbols);
        }
        (Some(work.symbols(&work.space.symbols)), &work.space.symbols)
    }
}

/// A step writes no array that it reads, nor one twice.
pub(super) fn check_aliases(reads: &[(&str, &Array)], writes: &[(&str, &Array)]) -> Result<(), ArrayError> {
    for (at, (written, output)) in writes.iter().enumerate() {
        let mut others = reads.iter().chain(&writes[..at]);
        if let Some((other, _)) = others.find(|(_, array)| array.is(output)) {
            return Err(ArrayError::Aliased { written: (*written).to_owned(), other: (*other).to_owned() });
        }
    }
    Ok(())
}
