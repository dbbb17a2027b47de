//! Sessions of generated kernels: buffers that stay on the machine, and launches over them.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sparsym_codegen::{Argument, Buffer, Launch, Numbers, Request, Room, RoomRequest};
use sparsym_ir::DType;
use sparsym_ir::strategy::Strategy;

use super::backend::{Backend, Contents, KernelLaunch};
use super::boxed::{Boxed, Swizzle};
use super::buffers;
use super::call::{KernelCall, MadeFor, Operand, Part};
use super::loaded::{KernelDevice, Loaded};
use crate::device::contract::Device;
use crate::device::measured::Cost;
use crate::device::session::{
    ArrayError, ArrayLayout, Call, Copied, Initial, Memory, Prepared, Session, Values, check_room,
};
use crate::error::Error;

/// Memory of a machine, and kernels over it.
pub(super) struct KernelSession<B: Backend> {
    device: KernelDevice<B>,
    id: u64,
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
    /// What one launch writes for a later one; of so many bytes, for the n-th parameter struct.
    Workspace(Buffer, usize, usize),
    /// A table, an input or an index pointer, by its bytes.
    Constant(Vec<u8>),
}

/// What a call needs beside its arrays and numbers. None: it needs nothing, because it does nothing.
struct PreparedCall<B: Backend> {
    session: u64,
    kernel: Option<PreparedKernel<B>>,
}

struct PreparedKernel<B: Backend> {
    made_for: MadeFor,
    loaded: Arc<Loaded<B>>,
    /// What rules read, and where it lies: the same at every launch, as a rule.
    constants: Vec<(Buffer, Vec<u8>, u64)>,
}

/// A launch with everything in its place.
struct Filled<'p, B: Backend> {
    loaded: &'p Loaded<B>,
    params: Vec<u8>,
    grids: Vec<[u32; 3]>,
}

impl<B: Backend> KernelSession<B> {
    pub(super) fn new(device: KernelDevice<B>) -> KernelSession<B> {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let memory = device.backend().memory();
        let (arrays, kept) = (HashMap::new(), HashMap::new());
        let state = State { memory, arrays, next: 0, kept, kept_bytes: 0, copied: Copied::default() };
        KernelSession { device, id: NEXT.fetch_add(1, Ordering::Relaxed), state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a call has nothing to do: arrays of symbols start as ones, and these rules write none.
    fn is_idle(&self, call: &Call<'_>) -> bool {
        let Call::Symbols { call, .. } = call else { return false };
        let decided = call.bound.strategy.rules.is_empty() && call.bound.strategy.mask.is_none();
        decided && !self.device.has_text(Room::Symbols)
    }

    /// The launch of a prepared call; None if there is nothing to launch.
    fn filled<'p>(
        &self,
        state: &mut State<B>,
        prepared: &'p Prepared,
        call: &Call<'_>,
    ) -> Result<Option<Filled<'p, B>>, Error> {
        call.check(std::ptr::from_ref(self).cast())?;
        let prepared = prepared.get::<PreparedCall<B>>().filter(|prepared| prepared.session == self.id);
        let wanted = KernelCall::of(call, self.device.target())?;
        match prepared.map(|prepared| &prepared.kernel) {
            Some(None) if self.is_idle(call) => Ok(None),
            Some(Some(kernel)) if kernel.made_for.is(&wanted.request) => self.fill(state, kernel, &wanted),
            _ => Err(ArrayError::OtherCall.into()),
        }
    }

    /// Fills the parameters, and places what no array holds.
    fn fill<'p>(
        &self,
        state: &mut State<B>,
        prepared: &'p PreparedKernel<B>,
        wanted: &KernelCall<'_>,
    ) -> Result<Option<Filled<'p, B>>, Error> {
        let (backend, loaded) = (self.device.backend(), &*prepared.loaded);
        let kernel = &loaded.kernel;
        if wanted.parts.is_empty() {
            return Ok(None);
        }
        let numbers: Vec<Numbers<'_>> = wanted.parts.iter().map(|part| part.numbers).collect();
        let ctas = |launch: &Launch| launch.ctas_together(&numbers, backend.multiprocessors());
        let grids: Vec<[u32; 3]> = kernel.launches.iter().map(ctas).collect();
        if grids.iter().flatten().any(|&ctas| ctas == 0) {
            return Ok(None);
        }
        let mut params = vec![0; kernel.params.size * kernel.structs()];
        for (n, part) in wanted.parts.iter().enumerate() {
            let of_part = &mut params[n * kernel.params.size..][..kernel.params.size];
            self.fill_part(state, prepared, &wanted.request, (n, part), of_part)?;
        }
        Ok(Some(Filled { loaded, params, grids }))
    }

    /// Fills the n-th parameter struct.
    fn fill_part(
        &self,
        state: &mut State<B>,
        prepared: &PreparedKernel<B>,
        request: &Request<'_>,
        (n, part): (usize, &Part<'_>),
        params: &mut [u8],
    ) -> Result<(), Error> {
        let (backend, loaded) = (self.device.backend(), &*prepared.loaded);
        for (offset, argument) in loaded.kernel.arguments(&part.numbers) {
            let mut write = |bytes: &[u8]| params[offset..offset + bytes.len()].copy_from_slice(bytes);
            match argument {
                Argument::I32(value) => write(&value.to_ne_bytes()),
                Argument::F32(value) => write(&value.to_ne_bytes()),
                // What one of several projections does not have is null.
                Argument::Buffer(buffer) if loaded.kernel.structs() > 1 && part.place(buffer).is_none() => {}
                Argument::Buffer(buffer) => {
                    let address = match (self.place(loaded, part, buffer)?, prepared.constant(buffer)) {
                        (Operand::Constant(bytes), Some((known, address))) if *bytes == *known => address,
                        (place, _) => state.address(backend, loaded, (buffer, n), place)?,
                    };
                    write(&address.to_ne_bytes());
                }
                Argument::Boxes { of, first, extents, strides, in_box } => {
                    let boxed = Boxed {
                        offset: first * 2,
                        strides: strides.map(|stride| stride * 2).to_vec(),
                        swizzle: Swizzle::of_row(in_box[0] * 2),
                        ..Boxed::dense(request.dtype, &extents, &in_box)
                    };
                    let buffer = state.buffer(backend, loaded, (of, n), self.place(loaded, part, of)?)?;
                    write(&backend.tensor_map(buffer, &boxed)?);
                }
            }
        }
        Ok(())
    }

    /// What rules read, where `fill` has placed it.
    fn constants(
        &self,
        state: &mut State<B>,
        prepared: &PreparedKernel<B>,
        wanted: &KernelCall<'_>,
    ) -> Result<Vec<(Buffer, Vec<u8>, u64)>, Error> {
        let (loaded, mut constants) = (&*prepared.loaded, Vec::new());
        // Projections, of which a launch has several, read none.
        let part = &wanted.parts[0];
        for (_, argument) in loaded.kernel.arguments(&part.numbers) {
            let Argument::Buffer(buffer) = argument else { continue };
            if let Some(Operand::Constant(bytes)) = part.place(buffer) {
                let known = bytes.to_vec();
                let place = Operand::Constant(bytes);
                constants.push((buffer, known, state.address(self.device.backend(), loaded, (buffer, 0), place)?));
            }
        }
        Ok(constants)
    }

    fn place<'a>(&self, loaded: &Loaded<B>, part: &Part<'a>, buffer: Buffer) -> Result<Operand<'a>, Error> {
        part.place(buffer).ok_or_else(|| {
            let name = buffers::name(buffer, &loaded.kernel);
            self.device.refusal(&loaded.kernel, &format!("it asks for {name}, which the call does not have"), "")
        })
    }
}

impl<B: Backend> PreparedKernel<B> {
    fn constant(&self, buffer: Buffer) -> Option<(&[u8], u64)> {
        self.constants.iter().find(|(of, ..)| *of == buffer).map(|(_, bytes, address)| (&**bytes, *address))
    }
}

impl<B: Backend> State<B> {
    /// Launches that failed may have left counters behind that are not zero: the next call gets others.
    fn forget_counters(&mut self, backend: &B) {
        let is_counter = |key: &Kept, _: &mut B::Buffer| matches!(key, Kept::Workspace(buffer, ..) if counts(*buffer));
        for (key, buffer) in self.kept.extract_if(is_counter) {
            backend.release(&mut self.memory, buffer);
            if let Kept::Workspace(_, bytes, _) = key {
                self.kept_bytes -= bytes;
            }
        }
    }

    /// Where a buffer of the n-th parameter struct begins.
    fn address(
        &mut self,
        backend: &B,
        loaded: &Loaded<B>,
        of: (Buffer, usize),
        place: Operand<'_>,
    ) -> Result<u64, Error> {
        Ok(backend.address(self.buffer(backend, loaded, of, place)?))
    }

    /// A buffer of the n-th parameter struct, which is made if it is a workspace or a constant that no call has needed yet.
    fn buffer(
        &mut self,
        backend: &B,
        loaded: &Loaded<B>,
        (buffer, n): (Buffer, usize),
        place: Operand<'_>,
    ) -> Result<&B::Buffer, Error> {
        let (key, contents) = match place {
            Operand::Array(id) => return Ok(&self.arrays[&id]),
            Operand::Workspace(bytes) => {
                let contents = if counts(buffer) { Contents::Counters(bytes) } else { Contents::Zeros(bytes) };
                (Kept::Workspace(buffer, bytes, n), contents)
            }
            Operand::Constant(bytes) => (Kept::Constant(bytes.to_vec()), Contents::Input(bytes)),
        };
        Ok(match self.kept.entry(key) {
            Entry::Occupied(kept) => kept.into_mut(),
            Entry::Vacant(free) => {
                let name = buffers::name(buffer, &loaded.kernel);
                let placed = backend.place(&mut self.memory, &name, &contents)?;
                if let Contents::Input(bytes) = &contents {
                    self.copied.to_device += bytes.len() as u64;
                }
                self.kept_bytes += contents.bytes();
                free.insert(placed)
            }
        })
    }
}

/// Whether kernels count in a workspace, and leave it as they found it.
fn counts(buffer: Buffer) -> bool {
    matches!(buffer, Buffer::Arrivals)
}

impl<B: Backend> Memory for KernelSession<B> {
    fn name(&self) -> &'static str {
        self.device.name()
    }

    fn handle(self: Arc<Self>) -> Arc<dyn Memory> {
        self
    }

    fn allocate(&self, name: &str, layout: &ArrayLayout, initial: Initial<'_>) -> Result<u64, Error> {
        check_room(name, layout)?;
        let state = &mut *self.state();
        let contents = match &initial {
            Initial::Nothing => Contents::Zeros(layout.bytes()),
            Initial::Constant(values) => Contents::Input(values.bytes().into()),
            Initial::Background(values) => Contents::Output(values.bytes().into()),
        };
        if !matches!(initial, Initial::Nothing) {
            state.copied.to_device += contents.bytes() as u64;
        }
        let placed = self.device.backend().place(&mut state.memory, name, &contents)?;
        state.next += 1;
        state.arrays.insert(state.next, placed);
        Ok(state.next)
    }

    fn release(&self, id: u64) {
        let state = &mut *self.state();
        if let Some(buffer) = state.arrays.remove(&id) {
            self.device.backend().release(&mut state.memory, buffer);
        }
    }

    fn write(&self, id: u64, values: Values<'_>) -> Result<(), Error> {
        let state = &mut *self.state();
        state.copied.to_device += values.bytes().len() as u64;
        let buffer = state.arrays.get_mut(&id).expect("a live handle");
        self.device.backend().write(&mut state.memory, buffer, values.bytes())
    }

    fn read(&self, id: u64, layout: &ArrayLayout) -> Result<Values<'static>, Error> {
        let state = &mut *self.state();
        let bytes = self.device.backend().download(&state.memory, &state.arrays[&id])?;
        state.copied.to_host += bytes.len() as u64;
        Ok(Values::from_bytes(layout, &bytes))
    }

    fn copy(&self, from: u64, to: u64) -> Result<(), Error> {
        let state = &mut *self.state();
        // Taken out so that both can be borrowed.
        let mut target = state.arrays.remove(&to).expect("a live handle");
        let done = self.device.backend().copy(&mut state.memory, &state.arrays[&from], &mut target);
        state.arrays.insert(to, target);
        done
    }

    fn copied(&self) -> Copied {
        self.state().copied
    }
}

impl<B: Backend> Session for KernelSession<B> {
    fn finest_dtype(&self) -> DType {
        self.device.finest_dtype()
    }

    fn takes_means(&self, strategy: &Strategy) -> bool {
        sparsym_codegen::reads_means_alone(strategy)
    }

    /// Where a kernel makes all of them that spills no registers, and nobody gave a text for each alone.
    fn takes_together(&self, calls: &[Call<'_>]) -> bool {
        if !self.device.runs_together() {
            return false;
        }
        let Ok(mut wanted) = KernelCall::together(calls, self.device.target()) else { return false };
        wanted.request.schedule = self.device.schedule(Room::GemmQ);
        self.device.kernel(&wanted.request, &wanted.strategy_name()).is_ok_and(|loaded| !loaded.spills)
    }

    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Error> {
        call.check(std::ptr::from_ref(self).cast())?;
        if self.is_idle(call) {
            return Ok(Prepared::new(PreparedCall::<B> { session: self.id, kernel: None }));
        }
        let mut wanted = KernelCall::of(call, self.device.target())?;
        wanted.request.schedule = self.device.schedule(wanted.request.room.room());
        if let Call::Attention { call, .. } = call {
            let order = self.device.tile_order(call.bound, &wanted.request);
            if let RoomRequest::Attention(of) = &mut wanted.request.room {
                of.order = order;
            }
        }
        let loaded = self.device.kernel(&wanted.request, &wanted.strategy_name())?;
        let mut kernel = PreparedKernel { made_for: MadeFor::new(&wanted.request), loaded, constants: Vec::new() };
        let state = &mut *self.state();
        if self.fill(state, &kernel, &wanted)?.is_some() {
            kernel.constants = self.constants(state, &kernel, &wanted)?;
        }
        Ok(Prepared::new(PreparedCall { session: self.id, kernel: Some(kernel) }))
    }

    fn run(&self, prepared: &Prepared, call: &Call<'_>) -> Result<Cost, Error> {
        let state = &mut *self.state();
        let Some(Filled { loaded, params, grids }) = self.filled(state, prepared, call)? else {
            return Ok(self.device.backend().no_cost());
        };
        let launch = KernelLaunch { kernel: &loaded.kernel, grids: &grids, params: &params };
        let done = self.device.backend().launch(&loaded.function, &state.memory, &launch);
        done.inspect_err(|_| state.forget_counters(self.device.backend()))
    }

    fn run_all(&self, calls: &[(&Prepared, Call<'_>)]) -> Result<Vec<Cost>, Error> {
        fn launch<'f, B: Backend>(filled: &'f Filled<'_, B>) -> (&'f B::Function, KernelLaunch<'f>) {
            let Filled { loaded, params, grids } = filled;
            (&loaded.function, KernelLaunch { kernel: &loaded.kernel, grids, params })
        }
        let state = &mut *self.state();
        let filled = calls.iter().map(|(prepared, call)| self.filled(state, prepared, call));
        let filled = filled.collect::<Result<Vec<_>, _>>()?;
        let launches: Vec<_> = filled.iter().flatten().map(launch).collect();
        let done = self.device.backend().launch_all(&state.memory, &launches);
        let mut costs = done.inspect_err(|_| state.forget_counters(self.device.backend()))?.into_iter();
        let cost = |filled: &Option<Filled<'_, B>>| filled.as_ref().and_then(|_| costs.next());
        Ok(filled.iter().map(cost).map(|cost| cost.unwrap_or_else(|| self.device.backend().no_cost())).collect())
    }

    /// The first call runs while the next ones are filled in.
    fn start(&self, calls: &[(&Prepared, Call<'_>)]) -> Result<(), Error> {
        let state = &mut *self.state();
        for (prepared, call) in calls {
            let Some(Filled { loaded, params, grids }) = self.filled(state, prepared, call)? else { continue };
            let launch = KernelLaunch { kernel: &loaded.kernel, grids: &grids, params: &params };
            self.device.backend().start(&loaded.function, &state.memory, &launch)?;
        }
        Ok(())
    }

    fn wait(&self) -> Result<(), Error> {
        self.device.backend().wait()
    }

    fn workspace_bytes(&self) -> usize {
        self.state().kept_bytes
    }
}

impl<B: Backend> Device for KernelDevice<B> {
    fn name(&self) -> &'static str {
        self.backend().name()
    }

    /// Kernels take half types only; f16 has more digits than bf16.
    fn finest_dtype(&self) -> DType {
        DType::F16
    }

    fn session(&self) -> Result<Arc<dyn Session>, Error> {
        Ok(Arc::new(KernelSession::new(self.clone())))
    }
}
