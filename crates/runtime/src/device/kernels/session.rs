//! Sessions of generated kernels: buffers that stay on the machine, and launches over them.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sparsym_codegen::{Argument, Buffer, Means, Numbers};
use sparsym_ir::bind::Bound;
use sparsym_ir::projection::Shaped;
use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Attention, DType, SymbolsOf};

use super::backend::{Backend, Contents, Launch};
use super::buffers::{self, check_extents};
use super::projection::ProjectionCall;
use super::{KernelDevice, Loaded};
use crate::device::session::{
    Array, BitArray, Call, Copied, Layout, Session, SymbolArrays, SymbolRefs, Values, check_room,
};
use crate::device::{Cost, Device};
use crate::error::Error;

/// Memory of a machine, and kernels over it.
pub(super) struct KernelSession<B: Backend> {
    device: Arc<KernelDevice<B>>,
    state: Mutex<State<B>>,
}

struct State<B: Backend> {
    memory: B::Memory,
    arrays: HashMap<u64, B::Buffer>,
    next: u64,
    /// Workspaces and what rules read, shared by all calls: calls run one after another.
    kept: HashMap<Kept, B::Buffer>,
    kept_bytes: usize,
    copied: Copied,
}

/// A buffer that a call needs beside its arrays.
#[derive(PartialEq, Eq, Hash)]
enum Kept {
    /// What one launch writes for a later one.
    Workspace(Buffer, usize),
    /// A table, an input or an index pointer, by its bytes.
    Constant(Vec<u8>),
}

/// What a kernel finds in one of its buffers.
pub(super) enum Place<'a> {
    /// An array.
    Array(u64),
    /// So many bytes that no call reads before it wrote them.
    Workspace(usize),
    /// These bytes.
    Constant(Cow<'a, [u8]>),
}

/// A call with everything in its place.
struct Prepared<B: Backend> {
    loaded: Arc<Loaded<B>>,
    params: Vec<u8>,
    grids: Vec<[u32; 3]>,
}

impl<B: Backend> KernelSession<B> {
    pub(super) fn new(device: Arc<KernelDevice<B>>) -> KernelSession<B> {
        let memory = device.backend.memory();
        let (arrays, kept) = (HashMap::new(), HashMap::new());
        KernelSession {
            device,
            state: Mutex::new(State { memory, arrays, next: 0, kept, kept_bytes: 0, copied: Copied::default() }),
        }
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything of a call but its launch; None if there is nothing to launch.
    fn prepared(&self, state: &mut State<B>, call: &Call<'_>) -> Result<Option<Prepared<B>>, Error> {
        call.check(std::ptr::from_ref(self).cast())?;
        match call {
            Call::Symbols { call, means, symbols } => self.symbols(state, call, *means, symbols),
            Call::Attention { call, o, lse } => self.attention(state, call, [o, lse]),
            projection => self.projection(state, projection),
        }
    }

    fn attention(
        &self,
        state: &mut State<B>,
        call: &Attention<'_, &Array, SymbolRefs<'_>>,
        [o, lse]: [&Array; 2],
    ) -> Result<Option<Prepared<B>>, Error> {
        let request = self.device.attention_request(call.bound, call.q.dtype(), call.forecast.is_some());
        let loaded = self.device.kernel(&request, &call.bound.strategy.snake_name())?;
        let coefficients = call.forecast.as_ref().map_or(&[][..], |forecast| &forecast.coefficients);
        let numbers = Numbers { coefficients, ..Numbers::of_rules(call.bound, call.moment) };
        let place = |buffer| {
            Some(match buffer {
                Buffer::Q => id(call.q),
                Buffer::K => id(call.k),
                Buffer::V => id(call.v),
                Buffer::O => id(o),
                Buffer::Lse => id(lse),
                Buffer::CacheSymbol => bits(call.symbols.cache),
                Buffer::SkipSymbol => bits(call.symbols.skip),
                Buffer::FullSymbol => bits(call.symbols.full?),
                Buffer::Feature(n) => id(call.forecast.as_ref()?.features.get(n)?),
                other => constant(other, call.bound)?,
            })
        };
        check_extents(call.bound)?;
        self.place(state, loaded, &numbers, &place)
    }

    fn symbols(
        &self,
        state: &mut State<B>,
        call: &SymbolsOf<'_, &Array>,
        means: Option<[&Array; 2]>,
        symbols: &SymbolArrays,
    ) -> Result<Option<Prepared<B>>, Error> {
        let strategy = call.bound.strategy;
        if strategy.rules.is_empty() && strategy.mask.is_none() {
            return Ok(None); // arrays of symbols start as ones
        }
        let given = means.filter(|_| self.takes_means(strategy));
        let from = if given.is_some() { Means::Given } else { Means::Computed };
        let dtype = call.data.map_or(DType::Bf16, |(q, _)| q.dtype());
        let request = self.device.symbols_request(call.bound, dtype, from);
        let loaded = self.device.kernel(&request, &strategy.snake_name())?;
        let numbers = Numbers::of_rules(call.bound, call.moment);
        let place = |buffer: Buffer| {
            if let (Buffer::Means(side), Some(means)) = (buffer, given) {
                return Some(id(means[side as usize]));
            }
            if let Some(bytes) = buffer.workspace_bytes(&numbers) {
                return Some(Place::Workspace(bytes));
            }
            Some(match buffer {
                Buffer::Q => id(call.data?.0),
                Buffer::K => id(call.data?.1),
                Buffer::CacheSymbol => bits(&symbols.cache),
                Buffer::SkipSymbol => bits(&symbols.skip),
                Buffer::FullSymbol => bits(symbols.full.as_ref()?),
                other => constant(other, call.bound)?,
            })
        };
        check_extents(call.bound)?;
        self.place(state, loaded, &numbers, &place)
    }

    fn projection(&self, state: &mut State<B>, call: &Call<'_>) -> Result<Option<Prepared<B>>, Error> {
        let Some(projection) = ProjectionCall::of(call) else { return Ok(None) };
        projection.check()?;
        let loaded = self.device.kernel(&projection.request(self.device.target()), "projection")?;
        self.place(state, loaded, &projection.numbers(), &|buffer| projection.place(buffer))
    }

    /// Fills the parameters, and places what no array holds.
    fn place<'a>(
        &self,
        state: &mut State<B>,
        loaded: Arc<Loaded<B>>,
        numbers: &Numbers<'_>,
        place: &dyn Fn(Buffer) -> Option<Place<'a>>,
    ) -> Result<Option<Prepared<B>>, Error> {
        let (backend, kernel) = (&self.device.backend, &loaded.kernel);
        let grids: Vec<[u32; 3]> = kernel.launches.iter().map(|launch| launch.ctas(numbers)).collect();
        if grids.iter().flatten().any(|&ctas| ctas == 0) {
            return Ok(None);
        }
        let mut params = vec![0; kernel.params.size];
        for (offset, argument) in kernel.arguments(numbers) {
            let mut write = |bytes: &[u8]| params[offset..offset + bytes.len()].copy_from_slice(bytes);
            match argument {
                Argument::I32(value) => write(&value.to_ne_bytes()),
                Argument::F32(value) => write(&value.to_ne_bytes()),
                Argument::Buffer(buffer) => {
                    let name = buffers::name(buffer, kernel);
                    let place = place(buffer).ok_or_else(|| {
                        let reason = format!("it asks for {name}, which the call does not have");
                        self.device.refusal(kernel, reason, "")
                    })?;
                    write(&state.address(backend, &name, buffer, place)?.to_ne_bytes());
                }
            }
        }
        Ok(Some(Prepared { loaded, params, grids }))
    }
}

impl<B: Backend> State<B> {
    /// Where a buffer begins.
    fn address(&mut self, backend: &B, name: &str, buffer: Buffer, place: Place<'_>) -> Result<u64, Error> {
        let (key, contents) = match place {
            Place::Array(id) => return Ok(backend.address(&self.arrays[&id])),
            Place::Workspace(bytes) => (Kept::Workspace(buffer, bytes), Contents::Zeros(bytes)),
            Place::Constant(bytes) => (Kept::Constant(bytes.to_vec()), Contents::Input(bytes)),
        };
        if let Some(kept) = self.kept.get(&key) {
            return Ok(backend.address(kept));
        }
        let placed = backend.place(&mut self.memory, name, &contents)?;
        let address = backend.address(&placed);
        if let Contents::Input(bytes) = &contents {
            self.copied.to_device += bytes.len() as u64;
        }
        self.kept_bytes += contents.bytes();
        self.kept.insert(key, placed);
        Ok(address)
    }
}

impl<B: Backend> Session for KernelSession<B> {
    fn name(&self) -> &'static str {
        self.device.name()
    }

    fn finest_dtype(&self) -> DType {
        self.device.finest_dtype()
    }

    fn takes_means(&self, strategy: &Strategy) -> bool {
        sparsym_codegen::reads_means_alone(strategy)
    }

    fn allocate(&self, name: &str, layout: &Layout) -> Result<u64, Error> {
        check_room(name, layout)?;
        let state = &mut *self.state();
        let placed = self.device.backend.place(&mut state.memory, name, &Contents::Zeros(layout.bytes()))?;
        state.next += 1;
        state.arrays.insert(state.next, placed);
        Ok(state.next)
    }

    fn release(&self, id: u64) {
        let state = &mut *self.state();
        if let Some(buffer) = state.arrays.remove(&id) {
            self.device.backend.release(&mut state.memory, buffer);
        }
    }

    fn write(&self, id: u64, values: Values) -> Result<(), Error> {
        let state = &mut *self.state();
        state.copied.to_device += values.bytes().len() as u64;
        self.device.backend.write(&mut state.memory, state.arrays.get_mut(&id).expect("a live handle"), values.bytes())
    }

    fn read(&self, id: u64, layout: &Layout) -> Result<Values, Error> {
        let state = &mut *self.state();
        let bytes = self.device.backend.download(&state.memory, &state.arrays[&id])?;
        state.copied.to_host += bytes.len() as u64;
        Ok(Values::from_bytes(layout, &bytes))
    }

    fn copy(&self, from: u64, to: u64) -> Result<(), Error> {
        let state = &mut *self.state();
        // Taken out so that both can be borrowed.
        let mut target = state.arrays.remove(&to).expect("a live handle");
        let done = self.device.backend.copy(&mut state.memory, &state.arrays[&from], &mut target);
        state.arrays.insert(to, target);
        done
    }

    fn prepare(&self, call: &Call<'_>) -> Result<(), Error> {
        self.prepared(&mut self.state(), call).map(|_| ())
    }

    fn run(&self, call: &Call<'_>) -> Result<Cost, Error> {
        let state = &mut *self.state();
        let Some(Prepared { loaded, params, grids }) = self.prepared(state, call)? else {
            return Ok(self.device.backend.no_cost());
        };
        let launch = Launch { kernel: &loaded.kernel, grids: &grids, params: &params };
        self.device.backend.launch(&loaded.function, &state.memory, &launch)
    }

    fn run_all(&self, calls: &[Call<'_>]) -> Result<Vec<Cost>, Error> {
        fn launch<B: Backend>(prepared: &Prepared<B>) -> (&B::Function, Launch<'_>) {
            let Prepared { loaded, params, grids } = prepared;
            (&loaded.function, Launch { kernel: &loaded.kernel, grids, params })
        }
        let state = &mut *self.state();
        let prepared = calls.iter().map(|call| self.prepared(state, call)).collect::<Result<Vec<_>, _>>()?;
        let launches: Vec<_> = prepared.iter().flatten().map(launch).collect();
        let mut costs = self.device.backend.launch_all(&state.memory, &launches)?.into_iter();
        let cost = |prepared: &Option<Prepared<B>>| prepared.as_ref().and_then(|_| costs.next());
        Ok(prepared.iter().map(cost).map(|cost| cost.unwrap_or_else(|| self.device.backend.no_cost())).collect())
    }

    fn workspace_bytes(&self) -> usize {
        self.state().kept_bytes
    }

    fn copied(&self) -> Copied {
        self.state().copied
    }
}

pub(super) fn id(array: &Array) -> Place<'static> {
    Place::Array(array.slot().id())
}

pub(super) fn bits(array: &BitArray) -> Place<'static> {
    Place::Array(array.slot().id())
}

fn constant<'a>(buffer: Buffer, bound: &'a Bound<'_>) -> Option<Place<'a>> {
    match buffers::of_rules(buffer, bound)? {
        Contents::Input(bytes) => Some(Place::Constant(bytes)),
        Contents::Output(_) | Contents::Zeros(_) => None,
    }
}
