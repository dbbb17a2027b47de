//! The two kinds of steps, each four rooms in a row, and the dense step beside them.
//!
//! A step is a list of calls: `project`, `symbols`, `attention`, `project_back`. The same lists are prepared when the layer is
//! made. Only an Update looks at a result between two of its calls, and only if its strategy may degrade.

use sparsym_codegen::MOST_PROJECTIONS;
use sparsym_ir::eval::StepKind;
use sparsym_ir::projection::Summed;
use sparsym_ir::{Differences, GemmO};

use super::calls::{Heads, Named, Reach, Task, Work};
use super::forecast::{coefficients, difference_weights};
use super::layer::{Ends, Layer};
use super::report::StepReport;
use super::state::LayerState;
use crate::device::session::{Array, BitArray, Call, SymbolRefs};
use crate::error::Error;

impl Layer<'_> {
    /// Takes the next step, whatever the schedule says it is. `x` and `y` have one array for each part of the sequence.
    ///
    /// # Errors
    /// [`StepError`](super::StepError) for a step out of order or a state of another layer, findings about arrays
    /// that do not fit, an array that is read and written, or the device's own. The state forgets nothing unless the
    /// device itself failed.
    pub fn step(&self, step: u32, x: &[&Array], y: &[&Array], state: &mut LayerState) -> Result<StepReport, Error> {
        match self.core.kind(step, state)? {
            StepKind::Update => self.update(step, x, y, state),
            StepKind::Dispatch => self.dispatch(step, x, y, state),
            StepKind::Dense => self.dense(step, x, y, state),
        }
    }

    /// An Update: computes everything, makes the symbols, and keeps what the Dispatches after it start from. A state that
    /// has seen no Update takes a planned Dispatch as one, so that a run may start anywhere.
    ///
    /// # Errors
    /// As [`Layer::step`].
    pub fn update(&self, step: u32, x: &[&Array], y: &[&Array], state: &mut LayerState) -> Result<StepReport, Error> {
        let (ends, space, bounds) = (self.ends(x, y)?, self.core.workspace(), self.core.bounds());
        let planned = self.core.planned(step, StepKind::Update, state)?;
        let work = self.core.work(step, planned, &bounds, &space, space.qkv());
        let mut report = StepReport::new(planned.kind, None);
        self.core.run(self.project(&work, ends, None), &mut report)?;
        self.core.update_symbols(&work, state, &mut report)?;
        let reach = state.reach_after(step, planned.order.filter(|_| self.core.keeps()));
        state.kept = None; // the partials are being written
        self.core.run(self.rest_of_update(&work, ends, state, &reach), &mut report)?;
        state.finish_update(step, reach);
        Ok(report)
    }

    /// A Dispatch: computes what S_c and S_s ask for, and starts GEMM-O from the forecast of the rest.
    ///
    /// # Errors
    /// As [`Layer::step`].
    pub fn dispatch(&self, step: u32, x: &[&Array], y: &[&Array], state: &mut LayerState) -> Result<StepReport, Error> {
        let (ends, space, bounds) = (self.ends(x, y)?, self.core.workspace(), self.core.bounds());
        let planned = self.core.planned(step, StepKind::Dispatch, state)?;
        let work = self.core.work(step, planned, &bounds, &space, space.qkv());
        let order = state.kept.zip(planned.order).map(|(kept, asked)| kept.min(asked));
        let mut report = StepReport::new(planned.kind, order);
        self.core.run(self.dispatched(&work, ends, state, order), &mut report)?;
        state.count_step(step);
        Ok(report)
    }

    /// A step that obeys the mask only, and remembers nothing.
    ///
    /// # Errors
    /// As [`Layer::step`].
    pub fn dense(&self, step: u32, x: &[&Array], y: &[&Array], state: &mut LayerState) -> Result<StepReport, Error> {
        let (ends, space, bounds) = (self.ends(x, y)?, self.core.workspace(), self.core.bounds());
        let planned = self.core.planned(step, StepKind::Dense, state)?;
        let work = self.core.work(step, planned, &bounds, &space, space.qkv());
        let mut report = StepReport::new(planned.kind, None);
        self.core.run(self.masked(&work, ends), &mut report)?;
        state.count_step(step);
        Ok(report)
    }

    /// All calls that a step of this kind may make.
    pub(super) fn calls<'a>(
        &'a self,
        work: &Work<'a>,
        ends: Ends<'a>,
        state: &'a LayerState,
        reach: &Reach,
    ) -> Vec<Named<'a>> {
        match work.planned.kind {
            StepKind::Update => {
                let mut calls = self.project(work, ends, None);
                calls.push(work.symbols(&state.symbols));
                calls.extend(self.rest_of_update(work, ends, state, reach));
                calls
            }
            StepKind::Dispatch => self.dispatched(work, ends, state, reach.order),
            StepKind::Dense => self.masked(work, ends),
        }
    }

    /// Attention over all rows, and the projection back of all heads; if a Dispatch follows, of the cached ones alone too,
    /// for each order of its forecast.
    fn rest_of_update<'a>(
        &'a self,
        work: &Work<'a>,
        ends: Ends<'a>,
        state: &'a LayerState,
        reach: &Reach,
    ) -> Vec<Named<'a>> {
        let o = state.target().unwrap_or(work.space.o());
        let symbols = SymbolRefs { cache: &work.space.every_row, ..(&state.symbols).into() };
        let mut calls = vec![work.attention(symbols, o, None)];
        match reach.order {
            None => calls.extend(self.project_back(ends, Back::all(o))),
            Some(order) => {
                calls.extend(self.project_back(ends, Back { heads: Heads::Both, state: Some(state), ..Back::all(o) }));
                if order > 0 {
                    calls.extend(self.differences(o, state, order, reach));
                }
            }
        }
        calls
    }

    /// Rows and heads whose S_c is 1, and the forecast of the others. None of them, where it is known that all S_c are 0.
    fn dispatched<'a>(
        &'a self,
        work: &Work<'a>,
        ends: Ends<'a>,
        state: &'a LayerState,
        order: Option<u32>,
    ) -> Vec<Named<'a>> {
        let (s_c, o, mut calls) = (&state.symbols.cache, work.space.o(), Vec::new());
        let s_c = self.core.keeps().then_some(s_c);
        if !(self.core.idle || state.degraded) {
            calls.extend(self.project(work, ends, s_c));
            let (made, symbols) = self.core.dispatch_symbols(work, state);
            calls.extend(made);
            let symbols = SymbolRefs { cache: &state.symbols.cache, ..symbols.into() };
            calls.push(work.attention(symbols, o, None));
        }
        let from = match self.core.keeps() {
            true => Back {
                o,
                heads: Heads::Active,
                state: Some(state),
                factors: order.map_or_else(Vec::new, |order| coefficients(work.planned.since_update, order)),
            },
            false => Back::all(o),
        };
        calls.extend(self.project_back(ends, from));
        calls
    }

    /// All rows and heads, and the pairs that the mask lets through.
    fn masked<'a>(&'a self, work: &Work<'a>, ends: Ends<'a>) -> Vec<Named<'a>> {
        let o = work.space.o();
        let mut calls = self.project(work, ends, None);
        calls.extend(work.masked_attention(o));
        calls.extend(self.project_back(ends, Back::all(o)));
        calls
    }

    /// Projections of all parts: Q where S_c is 1, K and V everywhere. In one launch, if the device has one for them.
    fn project<'a>(&'a self, work: &Work<'a>, ends: Ends<'a>, s_c: Option<&'a BitArray>) -> Vec<Named<'a>> {
        let projections = self.projections(work, ends, s_c);
        let kind = (s_c.is_some(), work.block_means().is_some());
        if self.core.together.contains(&kind) { together(projections, kind) } else { projections }
    }

    /// The same, each alone.
    pub(super) fn projections<'a>(
        &'a self,
        work: &Work<'a>,
        ends: Ends<'a>,
        s_c: Option<&'a BitArray>,
    ) -> Vec<Named<'a>> {
        let [q, k, v] = work.qkv;
        let means = work.block_means();
        let [q_means, k_means] = [means.map(|means| &means[0]), means.map(|means| &means[1])];
        let (sparse, means) = (s_c.is_some(), means.is_some());
        let of_part = |(part, &x): (usize, &&'a Array)| {
            [
                (Task::Q { part, sparse, means }, Call::GemmQ { call: self.q_of(part, x, s_c), q, means: q_means }),
                (Task::K { part, means }, Call::GemmQ { call: self.k_of(part, x), q: k, means: k_means }),
                (Task::V { part }, Call::GemmQ { call: self.v_of(part, x), q: v, means: None }),
            ]
        };
        ends.x.iter().enumerate().flat_map(of_part).map(|(task, call)| Named { task, call }).collect()
    }

    /// The projection of all parts back to the model width.
    fn project_back<'a>(&'a self, ends: Ends<'a>, from: Back<'a>) -> Vec<Named<'a>> {
        let Back { o, heads, state, factors } = from;
        let of_part = |(part, &y): (usize, &&'a Array)| {
            let partials = state.and_then(|state| state.partials.get(part)).map_or(&[][..], |partials| partials);
            let weights = self.parts[part].weights.o;
            let summed = if heads == Heads::Both { Summed::Both } else { Summed::Active };
            let call = GemmO {
                stream: self.stream_of_o(part),
                o,
                w: weights.weight,
                bias: weights.bias,
                s_c: state.map(|state| &state.symbols.cache),
                summed,
                partials: partials.iter().take(factors.len()).collect(),
                coefficients: factors.clone(),
            };
            let partial = partials.first().filter(|_| summed == Summed::Both);
            let task = Task::O { part, heads, forecast: !factors.is_empty() };
            Named { task, call: Call::GemmO { call, y, partial } }
        };
        ends.y.iter().enumerate().map(of_part).collect()
    }

    /// The partials of order 1 and up, from the newest output and those before it.
    fn differences<'a>(
        &'a self,
        newest: &'a Array,
        state: &'a LayerState,
        order: u32,
        reach: &Reach,
    ) -> Vec<Named<'a>> {
        let outputs = order as usize + 1;
        let weights = difference_weights(&reach.updates[..outputs], order);
        let of_part = |(part, partials): (usize, &'a Vec<Array>)| {
            let call = Differences {
                stream: self.stream_of_o(part),
                outputs: std::iter::once(newest).chain(&state.outputs).take(outputs).collect(),
                weights: weights.clone(),
                w: self.parts[part].weights.o.weight,
                s_c: &state.symbols.cache,
            };
            let partials = partials[..outputs].iter().skip(1).collect();
            Named { task: Task::Differences { part, order }, call: Call::Differences { call, partials } }
        };
        state.partials.iter().enumerate().map(of_part).collect()
    }
}

/// As many projections together as a launch makes.
pub(super) fn together(projections: Vec<Named<'_>>, (sparse, means): (bool, bool)) -> Vec<Named<'_>> {
    let mut calls = projections.into_iter().map(|named| named.call);
    let launches = calls.len().div_ceil(MOST_PROJECTIONS);
    let of_launch = |launch| {
        let call = Call::Together(calls.by_ref().take(MOST_PROJECTIONS).collect());
        Named { task: Task::Projections { launch, sparse, means }, call }
    };
    (0..launches).map(of_launch).collect()
}

/// What a projection back starts from.
struct Back<'a> {
    o: &'a Array,
    heads: Heads,
    /// S_c and partials; None: all heads, and nothing else.
    state: Option<&'a LayerState>,
    /// How much of each partial.
    factors: Vec<f32>,
}

impl<'a> Back<'a> {
    fn all(o: &'a Array) -> Back<'a> {
        Back { o, heads: Heads::All, state: None, factors: Vec::new() }
    }
}
