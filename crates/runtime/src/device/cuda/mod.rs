//! Generated kernels on a GPU, through the CUDA driver. The only folder that names cudarc.
//!
//! A call uploads what the kernel's parameter struct asks for, launches on one stream, waits, and downloads O and lse.
//! Everything is checked before the launch, because a kernel checks nothing. Compiled kernels stay loaded for the life of
//! the device; their cubins stay in the kernel cache.
//!
//! cudarc loads the driver when it is first used and panics if it or one of its functions is missing, so every use goes
//! through one guard, which turns a panic into an [`Error`].

mod buffers;
mod driver;

use std::borrow::Cow;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{CUdevice_attribute, CUevent_flags, CUfunction_attribute};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, LaunchConfig, PushKernelArg,
};
use cudarc::nvrtc::Ptx;
use half::{bf16, f16};
use sparsym_codegen::{Argument, Buffer, CachedRows, Kernel, Request, Room, Scale, Sequences, Target};
use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::symbols::{BitRows, SkipSymbol};
use sparsym_ir::tensor::Data;
use sparsym_ir::{AttentionCall, AttentionOutput, DType, Symbols, Tensor};

pub use driver::{Driver, Gpu, probe};

use self::buffers::{attention_bytes, bit_rows, cache_symbol, check_extents, lse_len, rule_bytes, words};
use self::driver::{elapsed_ms, guarded, require_driver};
use super::Device;
use crate::compiler::Compiler;
use crate::error::Error;

/// A GPU with a stream of its own and the kernels loaded so far.
pub struct Cuda {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    target: Target,
    compiler: Compiler,
    loaded: Mutex<HashMap<String, Arc<Loaded>>>,
}

/// A kernel on the GPU.
struct Loaded {
    kernel: Kernel,
    function: CudaFunction,
}

/// How a call is measured.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Timing {
    Off,
    KernelEvents,
}

impl Cuda {
    /// Opens a GPU and finds the compiler.
    ///
    /// # Errors
    /// [`Error::Cuda`] without a driver or that GPU, a finding if this version has no kernels for it,
    /// [`Error::NoNvrtc`] without a compiler.
    pub fn open(ordinal: usize) -> Result<Cuda, Error> {
        require_driver()?;
        let context = guarded("open the GPU", || CudaContext::new(ordinal))?;
        let (major, minor) = guarded("ask for the compute capability", || context.compute_capability())?;
        let target = Target::for_compute_capability(major.unsigned_abs(), minor.unsigned_abs())?;
        let compiler = Compiler::new()?;
        // The default stream: everything of this device runs in the order of its calls, so no buffer needs an event.
        let stream = context.default_stream();
        Ok(Cuda { context, stream, target, compiler, loaded: Mutex::default() })
    }

    /// The target that kernels are compiled for.
    pub fn target(&self) -> Target {
        self.target
    }

    /// One attention call with this CUDA text in place of the generated one: for edits by hand. The text must keep the
    /// generated kernel's name, parameter struct, threads and shared memory. A wrong text may fail the driver, or give
    /// wrong numbers.
    ///
    /// # Errors
    /// As [`Device::attention`].
    pub fn attention_with_text(&self, call: &AttentionCall<'_>, text: &str) -> Result<AttentionOutput, Error> {
        call.check()?;
        let mut kernel = sparsym_codegen::generate(&self.attention_request(call))?;
        kernel.source = text.to_owned();
        kernel.origins.clear();
        let loaded = self.load(kernel, &call.bound.strategy.snake_name())?;
        Ok(self.run_attention(call, &loaded, Timing::Off)?.0)
    }

    fn attention_request<'a>(&self, call: &AttentionCall<'a>) -> Request<'a> {
        let problem = call.bound.problem;
        Request {
            strategy: call.bound.strategy,
            room: Room::Attention,
            target: self.target,
            dtype: call.q.dtype(),
            head_dim: problem.head_dim,
            blocks: problem.blocks,
            sequences: sequences(call.bound),
            cached_rows: match call.forecast {
                Some(_) => CachedRows::Forecast,
                // O starts as zeros, which is what such rows are without a forecast.
                None => CachedRows::LeftToCaller,
            },
            scale: Scale::of(problem.scale),
        }
    }

    fn run_attention(
        &self,
        call: &AttentionCall<'_>,
        loaded: &Loaded,
        timing: Timing,
    ) -> Result<(AttentionOutput, f64), Error> {
        let coefficients = call.forecast.as_ref().map_or(&[][..], |forecast| &forecast.coefficients);
        let arguments = loaded.kernel.arguments(call.bound, &call.moment, coefficients);
        let mut buffers = HashMap::new();
        // Both are outputs even of a launch without CTAs. Rows that are not computed keep these values.
        buffers.insert(Buffer::O, self.zeros(call.q.bytes().len())?);
        buffers.insert(Buffer::Lse, self.upload(&attention_bytes(Buffer::Lse, call)?)?);
        let ms = self.launch(loaded, call.bound, &arguments, &mut buffers, timing, |b| attention_bytes(b, call))?;
        let (o, lse) = (self.download(&buffers[&Buffer::O])?, self.download(&buffers[&Buffer::Lse])?);
        let n = call.q.len();
        let data = match call.q.dtype() {
            DType::F32 => Data::F32(bytemuck::pod_collect_to_vec(&o[..n * 4])),
            DType::F16 => Data::F16(bytemuck::pod_collect_to_vec::<u8, f16>(&o[..n * 2])),
            DType::Bf16 => Data::Bf16(bytemuck::pod_collect_to_vec::<u8, bf16>(&o[..n * 2])),
        };
        let lse = bytemuck::pod_collect_to_vec(&lse[..lse_len(call.bound) * 4]);
        Ok((AttentionOutput { o: Tensor { shape: call.bound.problem.q_shape().to_vec(), data }, lse }, ms))
    }

    /// The loaded kernel of a request; generated and compiled when it is first asked for.
    fn kernel(&self, request: &Request<'_>) -> Result<Arc<Loaded>, Error> {
        let strategy = serde_json::to_string(request.strategy).unwrap_or_default();
        let Request { room, dtype, head_dim, blocks, sequences, cached_rows, scale, .. } = request;
        let key =
            format!("{room:?} {dtype:?} {head_dim} {blocks:?} {sequences:?} {cached_rows:?} {scale:?} {strategy}");
        let map = || self.loaded.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = map().get(&key) {
            return Ok(found.clone());
        }
        let kernel = sparsym_codegen::generate(request)?;
        let loaded = Arc::new(self.load(kernel, &request.strategy.snake_name())?);
        map().insert(key, loaded.clone());
        Ok(loaded)
    }

    fn load(&self, kernel: Kernel, strategy: &str) -> Result<Loaded, Error> {
        let compiled = self.compiler.compile(&kernel, strategy)?;
        let limit = guarded("ask for the shared memory of a CTA", || {
            self.context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
        })?;
        let resources = compiled.image.resources.get(&kernel.name).copied().unwrap_or_default();
        let needed = u64::from(kernel.shared_bytes) + u64::from(resources.shared_bytes);
        if needed > u64::from(limit.unsigned_abs()) {
            let reason = format!("it needs {needed} bytes of shared memory and the GPU has {limit} for a CTA");
            return Err(Error::Cuda { action: format!("load kernel {}", kernel.name), reason, help: "" });
        }
        let function = guarded(&format!("load kernel {}", kernel.name), || {
            let module = self.context.load_module(Ptx::from_binary(compiled.image.cubin))?;
            let function = module.load_function(&kernel.name)?;
            if kernel.shared_bytes > DEFAULT_SHARED_BYTES {
                function.set_attribute(
                    CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                    kernel.shared_bytes as i32,
                )?;
            }
            Ok(function)
        })?;
        let threads = guarded("ask for the threads of a CTA", || function.max_threads_per_block())?;
        if kernel.threads > threads.unsigned_abs() {
            let reason = format!("its CTAs have {} threads, but with its registers {threads} fit", kernel.threads);
            return Err(Error::Cuda { action: format!("load kernel {}", kernel.name), reason, help: "" });
        }
        Ok(Loaded { kernel, function })
    }

    /// Uploads the buffers that the arguments name and that are not there yet, launches, and waits. Gives milliseconds of
    /// the kernel, 0 if they were not asked for.
    fn launch<'a>(
        &self,
        loaded: &Loaded,
        bound: &Bound<'_>,
        arguments: &[(usize, Argument)],
        buffers: &mut HashMap<Buffer, CudaSlice<u8>>,
        timing: Timing,
        bytes_of: impl Fn(Buffer) -> Result<Cow<'a, [u8]>, Error>,
    ) -> Result<f64, Error> {
        let Loaded { kernel, function } = loaded;
        let [x, y, z] = kernel.grid(bound.problem);
        if [x, y, z].contains(&0) {
            return Ok(0.0);
        }
        check_extents(bound)?;
        let mut block = ParamBlock([0; PARAM_BYTES]);
        for &(offset, argument) in arguments {
            match argument {
                Argument::Buffer(buffer) => {
                    let on_device = match buffers.entry(buffer) {
                        Entry::Occupied(there) => there.into_mut(),
                        Entry::Vacant(place) => place.insert(self.upload(&bytes_of(buffer)?)?),
                    };
                    let (address, _) = on_device.device_ptr(&self.stream);
                    block.write(kernel, offset, &address.to_ne_bytes())?;
                }
                Argument::I32(value) => block.write(kernel, offset, &value.to_ne_bytes())?,
                Argument::F32(value) => block.write(kernel, offset, &value.to_ne_bytes())?,
            }
        }
        let config = LaunchConfig {
            grid_dim: (x, y, z),
            block_dim: (kernel.threads, 1, 1),
            shared_mem_bytes: kernel.shared_bytes,
        };
        guarded(&format!("launch kernel {}", kernel.name), || {
            let mut launch = self.stream.launch_builder(function);
            launch.arg(&block);
            if timing == Timing::KernelEvents {
                launch.record_kernel_launch(CUevent_flags::CU_EVENT_DEFAULT);
            }
            // SAFETY: the kernel's one parameter is the struct whose bytes `block` holds, as its own layout says; every
            // address in it belongs to a buffer of the size that the kernel's contract asks for, because `check` passed,
            // and all of them live until the wait below.
            let events = unsafe { launch.launch(config) }?;
            self.stream.synchronize()?;
            Ok(match events {
                Some((start, end)) => elapsed_ms(&start, &end)?,
                None => 0.0,
            })
        })
    }

    fn zeros(&self, bytes: usize) -> Result<CudaSlice<u8>, Error> {
        guarded(&format!("allocate {bytes} bytes"), || self.stream.alloc_zeros(bytes.max(LEAST_BYTES)))
    }

    fn upload(&self, bytes: &[u8]) -> Result<CudaSlice<u8>, Error> {
        if bytes.is_empty() {
            return self.zeros(0);
        }
        guarded(&format!("upload {} bytes", bytes.len()), || self.stream.clone_htod(bytes))
    }

    fn download(&self, buffer: &CudaSlice<u8>) -> Result<Vec<u8>, Error> {
        guarded("download a result", || {
            let bytes = self.stream.clone_dtoh(buffer)?;
            self.stream.synchronize()?;
            Ok(bytes)
        })
    }
}

impl Device for Cuda {
    fn name(&self) -> &'static str {
        "cuda"
    }

    fn symbols(&self, bound: &Bound<'_>, moment: &Moment) -> Result<Symbols, Error> {
        let (strategy, problem) = (bound.strategy, bound.problem);
        let dense = crate::step::all_ones(problem);
        if strategy.rules.is_empty() && strategy.mask.is_none() {
            return Ok(dense);
        }
        let loaded = self.kernel(&Request {
            strategy,
            room: Room::Symbols,
            target: self.target,
            // No kernel text of this room depends on the element type.
            dtype: DType::Bf16,
            head_dim: problem.head_dim,
            blocks: problem.blocks,
            sequences: sequences(bound),
            cached_rows: CachedRows::LeftToCaller,
            scale: Scale::Positive,
        })?;
        let arguments = loaded.kernel.arguments(bound, moment, &[]);
        let mut buffers = HashMap::new();
        self.launch(&loaded, bound, &arguments, &mut buffers, Timing::Off, |buffer| match buffer {
            Buffer::CacheSymbol => Ok(words(dense.cache.rows())),
            Buffer::SkipSymbol | Buffer::FullSymbol => Ok(words(dense.skip.rows())),
            other => rule_bytes(other, bound),
        })?;
        let mut symbols = dense;
        if let Some(buffer) = buffers.get(&Buffer::CacheSymbol) {
            let rows = bit_rows(symbols.cache.rows(), &self.download(buffer)?);
            symbols.cache = cache_symbol(problem.batch, problem.q_blocks(), &rows);
        }
        let made = |buffer, like: &BitRows| -> Result<Option<SkipSymbol>, Error> {
            let Some(buffer) = buffers.get(&buffer) else { return Ok(None) };
            let rows = bit_rows(like, &self.download(buffer)?);
            Ok(Some(SkipSymbol::from_rows(problem.batch, problem.heads, problem.q_blocks(), rows)))
        };
        let full = made(Buffer::FullSymbol, symbols.skip.rows())?;
        // A launch without CTAs leaves no buffer, and then there is no pair either.
        symbols.full = strategy.mask.as_ref().map(|_| full.unwrap_or_else(|| symbols.skip.clone()));
        if let Some(skip) = made(Buffer::SkipSymbol, symbols.skip.rows())? {
            symbols.skip = skip;
        }
        Ok(symbols)
    }

    fn attention(&self, call: &AttentionCall<'_>) -> Result<AttentionOutput, Error> {
        call.check()?;
        let loaded = self.kernel(&self.attention_request(call))?;
        Ok(self.run_attention(call, &loaded, Timing::Off)?.0)
    }

    fn timed_attention(&self, call: &AttentionCall<'_>) -> Result<(AttentionOutput, f64), Error> {
        call.check()?;
        let loaded = self.kernel(&self.attention_request(call))?;
        self.run_attention(call, &loaded, Timing::KernelEvents)
    }
}

/// Dynamic shared memory that a kernel may use without asking.
const DEFAULT_SHARED_BYTES: u32 = 48 * 1024;
/// Bytes of the smallest buffer: the driver gives no memory of zero bytes.
const LEAST_BYTES: usize = 16;
/// Bytes of kernel parameters that every driver accepts.
const PARAM_BYTES: usize = 4096;

/// The parameter struct of any kernel: the driver reads as many bytes as the kernel declares.
#[repr(C, align(16))]
struct ParamBlock([u8; PARAM_BYTES]);

// SAFETY: plain bytes without padding or pointers into the host.
unsafe impl DeviceRepr for ParamBlock {}

impl ParamBlock {
    fn write(&mut self, kernel: &Kernel, offset: usize, bytes: &[u8]) -> Result<(), Error> {
        let end = offset + bytes.len();
        if end > kernel.params.size || end > PARAM_BYTES {
            let reason =
                format!("its parameters take {} bytes and {PARAM_BYTES} are the most", kernel.params.size.max(end));
            let help = "use fewer params, tables and inputs";
            return Err(Error::Cuda { action: format!("launch kernel {}", kernel.name), reason, help });
        }
        self.0[offset..end].copy_from_slice(bytes);
        Ok(())
    }
}

fn sequences(bound: &Bound<'_>) -> Sequences {
    if bound.problem.ragged.is_some() { Sequences::Ragged } else { Sequences::Uniform }
}
