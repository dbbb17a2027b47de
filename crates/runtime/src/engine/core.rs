//! What layers with and without projections have in common: the schedule, symbols and attention.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sparsym_codegen::Room;
use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::eval::StepKind;
use sparsym_ir::projection::Shaped;
use sparsym_ir::static_symbols::static_symbols;
use sparsym_ir::strategy::Strategy;
use sparsym_ir::symbols::{BitRows, Packed};
use sparsym_ir::{Attention, Code, DType, Finding, Findings, Forecast, SymbolsOf};

use super::varying::{check_mask, reads_steps};
use super::workspace::{Sizes, Workspace};
use super::{
    Array, BitArray, Cost, Engine, LayerSpec, LayerState, PlannedStep, Schedule, StepError, StepReport, SymbolArrays,
};
use crate::device::session::{ArrayError, Call, Session, SymbolRefs};
use crate::error::Error;

/// A strategy on an engine.
pub(super) struct Core {
    pub(super) engine: Engine,
    pub(super) spec: LayerSpec,
    /// The strategy without block rules: what dense steps compute.
    pub(super) mask_only: Strategy,
    pub(super) schedule: Schedule,
    pub(super) dtype: DType,
    pub(super) id: u64,
    /// Whether S_c may differ from step to step, and S_s.
    pub(super) varying: [bool; 2],
    /// Whether no Dispatch computes anything: every S_c is 0, whatever the data.
    pub(super) idle: bool,
    workspace: Arc<Mutex<Workspace>>,
}

/// What a step works on.
pub(super) struct Work<'a> {
    pub(super) bound: Bound<'a>,
    pub(super) moment: Moment,
    pub(super) planned: PlannedStep,
    pub(super) space: &'a Workspace,
    /// Q, K and V.
    pub(super) qkv: [&'a Array; 3],
    /// Only compile and allocate.
    pub(super) dry: bool,
    /// Order of the forecast that was used.
    pub(super) order: Option<u32>,
    rooms: [Cost; 4],
}

/// Which block pairs are computed.
#[derive(Clone, Copy)]
pub(super) struct Pairs<'a> {
    skip: &'a BitArray,
    full: Option<&'a BitArray>,
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
        let mask_only = Strategy { rules: Vec::new(), ..strategy.clone() };
        let workspace = engine.workspace(sizes(&**engine.session()))?;
        let (engine, id) = (engine.clone(), NEXT.fetch_add(1, Ordering::Relaxed));
        Ok(Core { engine, spec, mask_only, schedule, dtype, id, varying, idle, workspace })
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
    fn planned(&self, step: u32, kind: StepKind, state: &LayerState) -> Result<PlannedStep, StepError> {
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
        if array.slot().session_address() != Arc::as_ptr(self.engine.session()).cast() {
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

    /// The work of a step that may come now and is of this kind.
    pub(super) fn work<'a>(
        &'a self,
        step: u32,
        kind: StepKind,
        space: &'a Workspace,
        qkv: [&'a Array; 3],
        state: &LayerState,
    ) -> Result<Work<'a>, Error> {
        let planned = self.planned(step, kind, state)?;
        self.work_of(step, planned, space, qkv, false)
    }

    pub(super) fn work_of<'a>(
        &'a self,
        step: u32,
        planned: PlannedStep,
        space: &'a Workspace,
        qkv: [&'a Array; 3],
        dry: bool,
    ) -> Result<Work<'a>, Error> {
        let LayerSpec { strategy, problem, bindings, place } = &self.spec;
        let bound = Bound::new(strategy, problem, bindings)?;
        let moment = Moment { step, steps: place.steps, since_update: planned.since_update, layer: place.layer };
        Ok(Work { bound, moment, planned, space, qkv, dry, order: None, rooms: Default::default() })
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

    /// The symbols that the rules make at this step, unless they are the same as before; and whether the layer degrades.
    pub(super) fn symbols_of_update(&self, work: &mut Work<'_>, state: &mut LayerState) -> Result<(), Error> {
        let degrades = self.spec.strategy.schedule.degrade.is_some() && !work.dry;
        if !state.has_symbols && degrades {
            // A degraded run may have left zeros.
            let [rows, bits] = state.symbols.cache.symbol_shape().rows();
            state.symbols.cache.write(&BitRows::ones(rows, bits))?;
        }
        if !state.has_symbols || self.varying.contains(&true) || self.spec.strategy.reads_data() {
            self.make_symbols(work, &state.symbols)?;
            state.has_symbols = true;
        }
        if !degrades {
            return Ok(());
        }
        let symbols = state.symbols.read(&self.spec.problem)?;
        state.degraded |= work.bound.degrades(&work.moment, symbols.cache.density(), symbols.skip.density());
        if state.degraded {
            let rows = symbols.cache.rows();
            let zeros = vec![0; rows.words().len()];
            state.symbols.cache.write(&BitRows::from_words(rows.rows(), rows.bits(), zeros))?;
        }
        Ok(())
    }

    /// The symbols of a Dispatch: those of the last Update, unless static rules say something else of this step.
    pub(super) fn symbols_of_dispatch<'s, 'a: 's>(
        &self,
        work: &mut Work<'a>,
        state: &'s LayerState,
    ) -> Result<&'s SymbolArrays, Error> {
        if !self.varying.contains(&true) || self.spec.strategy.reads_data() || state.degraded {
            return Ok(&state.symbols);
        }
        let space = work.space;
        self.make_symbols(work, &space.symbols)?;
        Ok(&space.symbols)
    }

    /// What the mask alone lets through.
    pub(super) fn pairs_of_dense<'a>(&'a self, work: &mut Work<'a>) -> Result<Pairs<'a>, Error> {
        work.bound.strategy = &self.mask_only;
        let space = work.space;
        if self.mask_only.mask.is_none() {
            return Ok(Pairs { skip: &space.every_pair, full: None });
        }
        self.make_symbols(work, &space.symbols)?;
        Ok(Pairs::of(&space.symbols))
    }

    fn make_symbols(&self, work: &mut Work<'_>, symbols: &SymbolArrays) -> Result<(), Error> {
        let (space, moment, [q, k, _]) = (work.space, work.moment, work.qkv);
        let reads_data = work.bound.strategy.reads_data();
        let data = reads_data.then_some((q, k));
        let means = space.means.as_ref().filter(|_| reads_data).map(|[q, k]| [q, k]);
        let bound = work.bound.clone();
        let call = SymbolsOf { bound: &bound, moment, data };
        work.run(self, Room::Symbols, &Call::Symbols { call, means, symbols })
    }

    /// Attention over every row; into the memory of the oldest output, if outputs are remembered, else into `o`.
    pub(super) fn attention_of_update(
        &self,
        work: &mut Work<'_>,
        state: &mut LayerState,
        o: &Array,
    ) -> Result<(), Error> {
        let space = work.space;
        let own = state.take_output(work.moment.step);
        let to = own.as_ref().unwrap_or(o);
        let done = self.attention(work, &space.every_row, Pairs::of(&state.symbols), to, None);
        match done {
            Ok(()) => state.remember(work.moment.step, own),
            Err(_) => state.outputs.extend(own),
        }
        done
    }

    /// Attention over the rows whose S_c is 1; others are forecast, or left.
    pub(super) fn attention(
        &self,
        work: &mut Work<'_>,
        cache: &BitArray,
        pairs: Pairs<'_>,
        o: &Array,
        forecast: Option<Forecast<&Array>>,
    ) -> Result<(), Error> {
        let (lse, [q, k, v]) = (&work.space.lse, work.qkv);
        let (bound, moment) = (work.bound.clone(), work.moment);
        let Pairs { skip, full } = pairs;
        let symbols = SymbolRefs { cache, skip, full };
        let call = Attention { bound: &bound, moment, q, k, v, symbols, forecast };
        work.run(self, Room::Attention, &Call::Attention { call, o, lse })
    }
}

/// A step writes no array that it reads, nor one twice.
pub(super) fn check_aliases(reads: &[(&str, &Array)], writes: &[(&str, &Array)]) -> Result<(), ArrayError> {
    for (at, (written, output)) in writes.iter().enumerate() {
        let mut others = reads.iter().chain(&writes[..at]);
        if let Some((other, _)) = others.find(|(_, array)| array.slot().id() == output.slot().id()) {
            return Err(ArrayError::Aliased { written: (*written).to_owned(), other: (*other).to_owned() });
        }
    }
    Ok(())
}

impl<'a> Pairs<'a> {
    pub(super) fn of(symbols: &'a SymbolArrays) -> Pairs<'a> {
        Pairs { skip: &symbols.skip, full: symbols.full.as_ref() }
    }
}

impl Work<'_> {
    pub(super) fn run(&mut self, core: &Core, room: Room, call: &Call<'_>) -> Result<(), Error> {
        if self.dry {
            return core.engine.session().prepare(call);
        }
        self.rooms[room as usize].add(&core.engine.session().run(call)?);
        Ok(())
    }

    pub(super) fn report(self) -> StepReport {
        StepReport { kind: self.planned.kind, order: self.order, rooms: self.rooms }
    }
}
