//! Generated kernels, on whatever machine runs them.
//!
//! [`KernelDevice`] does what is the same everywhere: it knows which kernel a call needs, compiles it, fills its parameter
//! struct and its buffers, and reads the outputs. A [`Backend`] is the machine: memory and launches.
//!
//! A call places what the kernel's parameter struct asks for, launches, waits, and downloads the outputs. Everything is
//! checked before the launch, because a kernel checks nothing. Loaded kernels stay loaded for the life of the device; their
//! images stay in the kernel cache.

mod backend;
mod buffers;
mod projection;
mod session;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use sparsym_codegen::{
    Argument, AttentionRequest, Buffer, CachedRows, Kernel, Means, Numbers, Plan, Request, Room, RoomRequest, Scale,
    Sequences, SymbolsRequest, Target,
};
use sparsym_ir::bind::Bound;
use sparsym_ir::symbols::{BitRows, CacheSymbol, SkipSymbol};
use sparsym_ir::{AttentionCall, AttentionOutput, DType, Symbols, SymbolsCall, Tensor};

pub use backend::{Backend, Contents, Launch};

use self::buffers::{bit_rows, check_extents};
use self::session::KernelSession;
use super::{Cost, Device, Measured, Session};
use crate::compiler::Compiler;
use crate::error::{Error, ErrorKind};
use crate::nvrtc::Image;

/// Bytes of kernel parameters that every driver accepts.
pub(super) const PARAM_BYTES: usize = 4096;

/// The device that runs generated kernels on a machine.
pub struct KernelDevice<B: Backend> {
    backend: B,
    compiler: Arc<Compiler>,
    texts: HashMap<Room, String>,
    loaded: Mutex<HashMap<Plan, Arc<Loaded<B>>>>,
}

/// A kernel on the machine.
struct Loaded<B: Backend> {
    kernel: Kernel,
    function: B::Function,
}

/// A call after its launch.
struct Finished<'a, B: Backend> {
    backend: &'a B,
    memory: B::Memory,
    buffers: HashMap<Buffer, B::Buffer>,
    contents: ContentsOf<'a>,
    cost: Cost,
}

/// What each buffer of a call holds; None: the call has no such buffer.
type ContentsOf<'a> = &'a dyn Fn(Buffer) -> Option<Contents<'a>>;

impl<B: Backend> KernelDevice<B> {
    /// A device on this machine, with the compiler that is found and the kernel cache of this user.
    ///
    /// # Errors
    /// [`ErrorKind::NoCompiler`] without a compiler.
    pub fn new(backend: B) -> Result<KernelDevice<B>, Error> {
        let compiler = Arc::new(Compiler::new()?);
        Ok(KernelDevice { backend, compiler, texts: HashMap::new(), loaded: Mutex::default() })
    }

    /// The target that kernels are compiled for.
    pub fn target(&self) -> Target {
        self.backend.target()
    }

    /// Compiles with this compiler, and keeps images in its cache instead of that of this user.
    #[must_use]
    pub fn with_compiler(mut self, compiler: Arc<Compiler>) -> KernelDevice<B> {
        self.compiler = compiler;
        self.loaded = Mutex::default();
        self
    }

    /// Runs this CUDA text in place of every generated kernel of a room: for edits by hand. The text must keep the
    /// generated kernel's name (but for the hash at its end), parameter struct, threads and shared memory. The emulator stops where a wrong text goes
    /// wrong; on a GPU it may fail the driver, or give wrong numbers.
    #[must_use]
    pub fn with_text(mut self, room: Room, text: impl Into<String>) -> KernelDevice<B> {
        self.texts.insert(room, text.into());
        self.loaded = Mutex::default();
        self
    }

    fn attention_request<'a>(&self, bound: &Bound<'a>, dtype: DType, forecast: bool) -> Request<'a> {
        let of = AttentionRequest {
            strategy: bound.strategy,
            blocks: bound.problem.blocks,
            sequences: sequences(bound),
            cached_rows: match forecast {
                true => CachedRows::Forecast,
                // O starts as zeros, which is what such rows are without a forecast.
                false => CachedRows::LeftToCaller,
            },
            scale: Scale::of(bound.problem.scale, dtype),
        };
        Request { dtype, head_dim: bound.problem.head_dim, ..Request::of(RoomRequest::Attention(of), self.target()) }
    }

    /// Only texts that read Q and K depend on their type.
    fn symbols_request<'a>(&self, bound: &Bound<'a>, dtype: DType, means: Means) -> Request<'a> {
        let of = SymbolsRequest {
            strategy: bound.strategy,
            blocks: bound.problem.blocks,
            sequences: sequences(bound),
            means,
        };
        Request {
            dtype: if bound.strategy.reads_data() { dtype } else { DType::Bf16 },
            head_dim: bound.problem.head_dim,
            ..Request::of(RoomRequest::Symbols(of), self.target())
        }
    }

    /// The loaded kernel of a request; generated and compiled when it is first asked for. `strategy` is named in errors.
    fn kernel(&self, request: &Request<'_>, strategy: &str) -> Result<Arc<Loaded<B>>, Error> {
        let key = sparsym_codegen::plan(request)?;
        let map = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = map().get(&key) {
            return Ok(found.clone());
        }
        let (kernel, compiled) = match self.texts.get(&request.room.room()) {
            Some(text) => {
                let mut edited = sparsym_codegen::generate(request)?;
                edited.replace_source(text.as_str());
                let compiled = self.compiler.compile(&edited, strategy)?;
                (edited, compiled)
            }
            None => self.compiler.fitting(request, strategy)?,
        };
        let loaded = Arc::new(self.load(kernel, compiled.image)?);
        map().insert(key, loaded.clone());
        Ok(loaded)
    }

    fn load(&self, kernel: Kernel, image: Image) -> Result<Loaded<B>, Error> {
        if kernel.params.size > PARAM_BYTES {
            let reason = format!("its parameters take {} bytes and {PARAM_BYTES} are the most", kernel.params.size);
            return Err(self.refusal(&kernel, reason, "use fewer params, tables and inputs"));
        }
        let most = self.backend.shared_bytes()?;
        for launch in &kernel.launches {
            let resources = image.resources.get(&launch.entry).copied().unwrap_or_default();
            let needed = u64::from(launch.shared_bytes) + u64::from(resources.shared_bytes);
            if needed > u64::from(most) {
                let reason =
                    format!("{} needs {needed} bytes of shared memory and a CTA may have {most}", launch.entry);
                return Err(self.refusal(&kernel, reason, ""));
            }
        }
        // A kernel is loaded once, so this is said once.
        if let Some(spills) = image.spills() {
            let (target, compiler) = (kernel.plan.target, &image.compiler);
            tracing::warn!(
                "{spills} on {target} with {compiler}: it is right, and slower than it should be. The fault is not the \
                 strategy's; another libnvrtc may have room for it"
            );
        }
        let function = self.backend.load(&kernel, image)?;
        Ok(Loaded { kernel, function })
    }

    /// Places the buffers that the arguments name, launches, and waits.
    fn run<'a>(
        &'a self,
        loaded: &Loaded<B>,
        bound: &Bound<'_>,
        numbers: &Numbers<'_>,
        contents: ContentsOf<'a>,
    ) -> Result<Finished<'a, B>, Error> {
        let (backend, kernel) = (&self.backend, &loaded.kernel);
        let (mut memory, mut buffers) = (backend.memory(), HashMap::new());
        let grids: Vec<[u32; 3]> = kernel.launches.iter().map(|launch| launch.ctas(numbers)).collect();
        if grids.iter().flatten().any(|&ctas| ctas == 0) {
            return Ok(Finished { backend, memory, buffers, contents, cost: backend.no_cost() });
        }
        check_extents(bound)?;
        let mut params = vec![0; kernel.params.size];
        let mut write = |offset: usize, bytes: &[u8]| params[offset..offset + bytes.len()].copy_from_slice(bytes);
        for (offset, argument) in kernel.arguments(numbers) {
            match argument {
                Argument::Buffer(buffer) => {
                    let placed = match buffers.entry(buffer) {
                        Entry::Occupied(there) => there.into_mut(),
                        Entry::Vacant(vacant) => {
                            let name = buffers::name(buffer, kernel);
                            let contents = contents(buffer).ok_or_else(|| {
                                self.refusal(kernel, format!("it asks for {name}, which the call does not have"), "")
                            })?;
                            vacant.insert(backend.place(&mut memory, &name, &contents)?)
                        }
                    };
                    write(offset, &backend.address(placed).to_ne_bytes());
                }
                Argument::I32(value) => write(offset, &value.to_ne_bytes()),
                Argument::F32(value) => write(offset, &value.to_ne_bytes()),
            }
        }
        let cost = backend.launch(&loaded.function, &memory, &Launch { kernel, grids: &grids, params: &params })?;
        Ok(Finished { backend, memory, buffers, contents, cost })
    }

    fn refusal(&self, kernel: &Kernel, reason: String, help: &'static str) -> Error {
        refusal(self.backend.name(), &kernel.name, &reason, help)
    }
}

impl<B: Backend> Finished<'_, B> {
    /// The bytes of an output. A launch that does not name it, or has no CTAs, leaves it as it was.
    fn output(&self, buffer: Buffer) -> Result<Vec<u8>, Error> {
        match self.buffers.get(&buffer) {
            Some(placed) => self.backend.download(&self.memory, placed),
            None => Ok((self.contents)(buffer).map(Contents::into_bytes).unwrap_or_default()),
        }
    }

    fn measured<T>(self, value: T) -> Measured<T> {
        Measured { value, cost: self.cost }
    }
}

impl<B: Backend> Device for KernelDevice<B> {
    fn name(&self) -> &'static str {
        self.backend.name()
    }

    /// Kernels take half types only; f16 has more digits than bf16.
    fn finest_dtype(&self) -> DType {
        DType::F16
    }

    fn session(self: Arc<Self>) -> Result<Arc<dyn Session>, Error> {
        Ok(Arc::new(KernelSession::new(self)))
    }

    fn stored_symbols(&self, call: &SymbolsCall<'_>) -> Result<Measured<Symbols>, Error> {
        call.check()?;
        let SymbolsCall { bound, moment, .. } = *call;
        let (strategy, problem) = (bound.strategy, bound.problem);
        let dense = Symbols::dense(problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks());
        let decided = strategy.rules.is_empty() && strategy.mask.is_none();
        if decided && !self.texts.contains_key(&Room::Symbols) {
            return Ok(Measured { value: dense, cost: self.backend.no_cost() });
        }
        let dtype = call.data.map_or(DType::Bf16, |(q, _)| q.dtype());
        let loaded = self.kernel(&self.symbols_request(bound, dtype, Means::Computed), &strategy.snake_name())?;
        let numbers = Numbers::of_rules(bound, moment);
        let contents = |buffer| buffers::of_symbols(buffer, call, &dense);
        let finished = self.run(&loaded, bound, &numbers, &contents)?;
        let pairs = |buffer| -> Result<SkipSymbol, Error> {
            let rows = bit_rows(dense.skip.rows(), &finished.output(buffer)?);
            Ok(SkipSymbol::from_rows(problem.batch, problem.heads, problem.q_blocks(), rows))
        };
        let blocks: BitRows = bit_rows(dense.cache.rows(), &finished.output(Buffer::CacheSymbol)?);
        let symbols = Symbols {
            cache: CacheSymbol::from_rows(problem.batch, problem.q_blocks(), blocks),
            skip: pairs(Buffer::SkipSymbol)?,
            full: strategy.mask.as_ref().map(|_| pairs(Buffer::FullSymbol)).transpose()?,
        };
        Ok(finished.measured(symbols))
    }

    fn stored_attention(&self, call: &AttentionCall<'_>) -> Result<Measured<AttentionOutput>, Error> {
        call.check()?;
        let request = self.attention_request(call.bound, call.q.dtype(), call.forecast.is_some());
        let loaded = self.kernel(&request, &call.bound.strategy.snake_name())?;
        let coefficients = call.forecast.as_ref().map_or(&[][..], |forecast| &forecast.coefficients);
        let numbers = Numbers { coefficients, ..Numbers::of_rules(call.bound, call.moment) };
        let contents = |buffer| buffers::of_attention(buffer, call);
        let finished = self.run(&loaded, call.bound, &numbers, &contents)?;
        let (o, lse) = (finished.output(Buffer::O)?, finished.output(Buffer::Lse)?);
        let o = Tensor::from_bytes(&call.bound.problem.q_shape(), call.q.dtype(), &o);
        Ok(finished.measured(AttentionOutput { o, lse: bytemuck::pod_collect_to_vec(&lse) }))
    }
}

/// What a device has against a kernel; `help` may be empty.
pub(super) fn refusal(device: &str, kernel: &str, reason: &str, help: &str) -> Error {
    let help = if help.is_empty() { String::new() } else { format!("\nhelp: {help}") };
    Error::new(ErrorKind::Kernel, format!("{device} cannot run kernel {kernel}: {reason}{help}"))
}

fn sequences(bound: &Bound<'_>) -> Sequences {
    if bound.problem.ragged.is_some() { Sequences::Ragged } else { Sequences::Uniform }
}
