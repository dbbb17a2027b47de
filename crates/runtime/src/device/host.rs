//! Sessions in host memory: of the reference and of the cpu.

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sparsym_ir::projection::Stream;
use sparsym_ir::symbols::{BitRows, CacheSymbol, SkipSymbol};
use sparsym_ir::{
    Attention, AttentionOutput, DifferencesCall, Findings, Forecast, GemmOCall, GemmQCall, Symbols, SymbolsOf, Tensor,
};

use super::contract::Device;
use super::measured::{Cost, Measured};
use super::session::{
    Array, ArrayLayout, BitArray, Call, Copied, Initial, Memory, Prepared, Session, SymbolRefs, Values, check_room,
};
use crate::error::Error;

/// The projections of a device in host memory.
pub(crate) trait Projections: Device + 'static {
    /// See [`GemmQ`](sparsym_ir::GemmQ).
    fn gemm_q(&self, call: &GemmQCall<'_>, q: &mut Tensor, means: Option<&mut Tensor>) -> Result<(), Findings>;

    /// See [`GemmO`](sparsym_ir::GemmO).
    fn gemm_o(&self, call: &GemmOCall<'_>, y: &mut Tensor, partial: Option<&mut Tensor>) -> Result<(), Findings>;

    /// See [`Differences`](sparsym_ir::Differences).
    fn differences(&self, call: &DifferencesCall<'_>, partials: &mut [&mut Tensor]) -> Result<(), Findings>;
}

/// Arrays as tensors.
pub(crate) struct HostSession<D> {
    device: D,
    arrays: Mutex<Arrays>,
    next: AtomicU64,
    copied: Mutex<Copied>,
}

type Arrays = HashMap<u64, Values<'static>>;
type Sure<T> = Result<T, Infallible>;

impl<D: Projections> HostSession<D> {
    /// Nothing yet.
    pub(crate) fn new(device: D) -> HostSession<D> {
        HostSession { device, arrays: Mutex::default(), next: AtomicU64::new(0), copied: Mutex::default() }
    }

    fn arrays(&self) -> MutexGuard<'_, Arrays> {
        self.arrays.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counter(&self) -> MutexGuard<'_, Copied> {
        self.copied.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<D: Projections> Memory for HostSession<D> {
    fn name(&self) -> &'static str {
        self.device.name()
    }

    fn handle(self: Arc<Self>) -> Arc<dyn Memory> {
        self
    }

    fn allocate(&self, name: &str, layout: &ArrayLayout, initial: Initial<'_>) -> Result<u64, Error> {
        check_room(name, layout)?;
        let id = self.next.fetch_add(1, Ordering::Relaxed);
        let values = match initial {
            Initial::Nothing => layout.zeros(),
            Initial::Constant(values) | Initial::Background(values) => {
                self.counter().to_device += values.bytes().len() as u64;
                values.into_owned()
            }
        };
        self.arrays().insert(id, values);
        Ok(id)
    }

    fn release(&self, id: u64) {
        self.arrays().remove(&id);
    }

    fn write(&self, id: u64, values: Values<'_>) -> Result<(), Error> {
        self.counter().to_device += values.bytes().len() as u64;
        self.arrays().insert(id, values.into_owned());
        Ok(())
    }

    fn read(&self, id: u64, layout: &ArrayLayout) -> Result<Values<'static>, Error> {
        self.counter().to_host += layout.bytes() as u64;
        Ok(self.arrays().get(&id).cloned().unwrap_or_else(|| layout.zeros()))
    }

    fn copy(&self, from: u64, to: u64) -> Result<(), Error> {
        let mut arrays = self.arrays();
        let values = arrays[&from].clone();
        arrays.insert(to, values);
        Ok(())
    }

    fn copied(&self) -> Copied {
        *self.counter()
    }
}

impl<D: Projections> Session for HostSession<D> {
    /// Nothing is gained here, and nothing lost: what a device with kernels does is done everywhere.
    fn takes_together(&self, _: &[Call<'_>]) -> bool {
        true
    }

    /// Host memory needs nothing beside the arrays.
    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Error> {
        call.check(std::ptr::from_ref(self).cast())?;
        Ok(Prepared::new(()))
    }

    fn run(&self, _: &Prepared, call: &Call<'_>) -> Result<Cost, Error> {
        call.check(std::ptr::from_ref(self).cast())?;
        if let Call::Together(calls) = call {
            let mut all = Cost::default();
            for call in calls {
                all.add(&self.run_once(call)?);
            }
            return Ok(all);
        }
        let mut arrays = self.arrays();
        let run = |work: &mut dyn FnMut() -> Result<(), Findings>| Measured::on_host(work).map(|done| done.cost);
        match call {
            Call::GemmQ { call, q, means } => {
                let s_c = call.s_c.map(|s_c| cache_symbol(&arrays, &call.stream, s_c));
                let (mut result, mut found) = (take(&mut arrays, q), means.map(|means| take(&mut arrays, means)));
                let Ok(call): Sure<_> =
                    call.try_map(|array| Ok(tensor(&arrays, array)), |_| Ok(s_c.as_ref().expect("made above")));
                let done = run(&mut || self.device.gemm_q(&call, &mut result, found.as_mut()));
                put(&mut arrays, q, result);
                means.iter().zip(found).for_each(|(means, found)| put(&mut arrays, means, found));
                Ok(done?)
            }
            Call::GemmO { call, y, partial } => {
                let s_c = call.s_c.map(|s_c| cache_symbol(&arrays, &call.stream, s_c));
                let (mut result, mut found) = (take(&mut arrays, y), partial.map(|partial| take(&mut arrays, partial)));
                let Ok(call): Sure<_> =
                    call.try_map(|array| Ok(tensor(&arrays, array)), |_| Ok(s_c.as_ref().expect("made above")));
                let done = run(&mut || self.device.gemm_o(&call, &mut result, found.as_mut()));
                put(&mut arrays, y, result);
                partial.iter().zip(found).for_each(|(partial, found)| put(&mut arrays, partial, found));
                Ok(done?)
            }
            Call::Differences { call, partials } => {
                let mut results: Vec<Tensor> = partials.iter().map(|partial| take(&mut arrays, partial)).collect();
                let s_c = cache_symbol(&arrays, &call.stream, call.s_c);
                let Ok(call): Sure<_> = call.try_map(|array| Ok(tensor(&arrays, array)), |_| Ok(&s_c));
                let done = run(&mut || {
                    let mut results: Vec<&mut Tensor> = results.iter_mut().collect();
                    self.device.differences(&call, &mut results)
                });
                partials.iter().zip(results).for_each(|(partial, result)| put(&mut arrays, partial, result));
                Ok(done?)
            }
            Call::Symbols { call, symbols: to, .. } => {
                let Measured { value, cost } = self.symbols(call, &arrays)?;
                let Symbols { cache, skip, full } = value;
                arrays.insert(to.cache.slot().id(), Values::Bits(Cow::Owned(cache.rows().clone())));
                arrays.insert(to.skip.slot().id(), Values::Bits(Cow::Owned(skip.rows().clone())));
                if let (Some(to), Some(full)) = (&to.full, full) {
                    arrays.insert(to.slot().id(), Values::Bits(Cow::Owned(full.rows().clone())));
                }
                Ok(cost)
            }
            Call::Attention { call, o, .. } => {
                let Measured { value, cost } = self.attention(call, &arrays)?;
                arrays.insert(o.slot().id(), Values::Tensor(Cow::Owned(value.o)));
                Ok(cost)
            }
            Call::Together(_) => unreachable!("each of its calls was run"),
        }
    }

    fn workspace_bytes(&self) -> usize {
        0
    }
}

impl<D: Projections> HostSession<D> {
    fn symbols(&self, call: &SymbolsOf<'_, &Array>, arrays: &Arrays) -> Result<Measured<Symbols>, Error> {
        let data = call.data.map(|(q, k)| (tensor(arrays, q), tensor(arrays, k)));
        self.device.stored_symbols(&SymbolsOf { bound: call.bound, moment: call.moment, data })
    }

    fn attention(
        &self,
        call: &Attention<'_, &Array, SymbolRefs<'_>>,
        arrays: &Arrays,
    ) -> Result<Measured<AttentionOutput>, Error> {
        let Attention { bound, moment, q, k, v, symbols, ref forecast } = *call;
        let problem = bound.problem;
        let pairs = |rows: &BitArray| {
            SkipSymbol::from_rows(problem.batch, problem.heads, problem.q_blocks(), bits(arrays, rows))
        };
        let symbols = Symbols {
            cache: CacheSymbol::from_rows(problem.batch, problem.q_blocks(), bits(arrays, symbols.cache)),
            skip: pairs(symbols.skip),
            full: symbols.full.map(pairs),
        };
        let [q, k, v] = [q, k, v].map(|array| tensor(arrays, array));
        let forecast = forecast.as_ref().map(|forecast| Forecast {
            features: forecast.features.iter().map(|feature| tensor(arrays, feature)).collect(),
            coefficients: forecast.coefficients.clone(),
        });
        self.device.stored_attention(&Attention { bound, moment, q, k, v, symbols: &symbols, forecast })
    }
}

fn tensor<'a>(arrays: &'a Arrays, array: &Array) -> &'a Tensor {
    match &arrays[&array.slot().id()] {
        Values::Tensor(tensor) => tensor,
        Values::Bits(_) => unreachable!("an array holds a tensor"),
    }
}

fn bits(arrays: &Arrays, array: &BitArray) -> BitRows {
    match &arrays[&array.slot().id()] {
        Values::Bits(rows) => BitRows::clone(rows),
        Values::Tensor(_) => unreachable!("a bit array holds bits"),
    }
}

fn cache_symbol(arrays: &Arrays, stream: &Stream, array: &BitArray) -> CacheSymbol {
    CacheSymbol::from_rows(stream.batch, stream.blocks(), bits(arrays, array))
}

/// Takes the tensor of a result out, so that the others can be borrowed; [`put`] brings it back.
fn take(arrays: &mut Arrays, array: &Array) -> Tensor {
    match arrays.remove(&array.slot().id()) {
        Some(Values::Tensor(tensor)) => tensor.into_owned(),
        _ => unreachable!("an array holds a tensor"),
    }
}

fn put(arrays: &mut Arrays, array: &Array, tensor: Tensor) {
    arrays.insert(array.slot().id(), Values::Tensor(Cow::Owned(tensor)));
}
