//! Generated kernels on a GPU, through the CUDA driver. The only file that names cudarc.
//!
//! A call uploads what the kernel's parameter struct asks for, launches on one stream, waits, and downloads O and lse.
//! Everything is checked before the launch, because a kernel checks nothing. Compiled kernels stay loaded for the life of
//! the device; their cubins stay in the kernel cache.
//!
//! cudarc loads the driver when it is first used and panics if it or one of its functions is missing, so every use goes
//! through [`guarded`], which turns a panic into an [`Error`].

use std::collections::HashMap;
use std::panic::AssertUnwindSafe;
use std::sync::{Arc, Mutex, PoisonError};

use cudarc::driver::sys::{self, CUdevice_attribute, CUevent_flags, CUfunction_attribute, CUresult};
use cudarc::driver::{
    CudaContext, CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, DriverError, LaunchConfig, PushKernelArg,
    result,
};
use cudarc::nvrtc::Ptx;
use half::{bf16, f16};
use sparsym_codegen::{Argument, Buffer, CachedRows, Kernel, Request, Room, Sequences, Target};
use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::strategy::{Element, Scalar};
use sparsym_ir::symbols::{BitRows, CacheSymbol, SkipSymbol};
use sparsym_ir::tensor::Data;
use sparsym_ir::{AttentionCall, AttentionOutput, Code, DType, Finding, Findings, Symbols, Tensor};

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

/// What the driver tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Driver {
    /// Highest CUDA version that it supports, major and minor.
    pub cuda_version: (u32, u32),
    /// The GPUs that it shows, in order.
    pub gpus: Vec<Gpu>,
}

/// A GPU as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gpu {
    /// Product name.
    pub name: String,
    /// Major and minor.
    pub compute_capability: (u32, u32),
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// The target that kernels for it are compiled for; None: this version has none.
    pub target: Option<&'static str>,
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

/// The driver and the GPUs that it shows.
///
/// # Errors
/// [`Error::Cuda`] if there is no driver or if it does not start.
pub fn probe() -> Result<Driver, Error> {
    require_driver()?;
    let describe = |ordinal: i32| -> Result<Gpu, DriverError> {
        let device = result::device::get(ordinal)?;
        // SAFETY: the device handle was just given by the driver, and the driver is initialised.
        let (major, minor, memory) = unsafe {
            (
                result::device::get_attribute(
                    device,
                    CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR,
                )?,
                result::device::get_attribute(
                    device,
                    CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR,
                )?,
                result::device::total_mem(device)?,
            )
        };
        let (major, minor) = (major.unsigned_abs(), minor.unsigned_abs());
        Ok(Gpu {
            name: result::device::get_name(device)?,
            compute_capability: (major, minor),
            memory_bytes: memory as u64,
            target: Target::for_compute_capability(major, minor).ok().map(|target| target.name()),
        })
    };
    guarded("start the driver", || {
        result::init()?;
        let mut version = 0;
        // SAFETY: a valid pointer to int.
        unsafe { sys::cuDriverGetVersion(&mut version) }.result()?;
        let version = version.unsigned_abs();
        let gpus = (0..result::device::get_count()?).map(describe).collect::<Result<_, _>>()?;
        Ok(Driver { cuda_version: (version / 1000, version % 1000 / 10), gpus })
    })
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
        // Both are outputs even of a launch without CTAs.
        for buffer in [Buffer::O, Buffer::Lse] {
            buffers.insert(buffer, self.upload(&attention_bytes(buffer, call)?)?);
        }
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
        let Request { room, dtype, head_dim, blocks, sequences, cached_rows, .. } = request;
        let key = format!("{room:?} {dtype:?} {head_dim} {blocks:?} {sequences:?} {cached_rows:?} {strategy}");
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
    fn launch(
        &self,
        loaded: &Loaded,
        bound: &Bound<'_>,
        arguments: &[(usize, Argument)],
        buffers: &mut HashMap<Buffer, CudaSlice<u8>>,
        timing: Timing,
        bytes_of: impl Fn(Buffer) -> Result<Vec<u8>, Error>,
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
                    if !buffers.contains_key(&buffer) {
                        buffers.insert(buffer, self.upload(&bytes_of(buffer)?)?);
                    }
                    let (address, _) = buffers[&buffer].device_ptr(&self.stream);
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
                Some((start, end)) => f64::from(start.elapsed_ms(&end)?),
                None => 0.0,
            })
        })
    }

    fn upload(&self, bytes: &[u8]) -> Result<CudaSlice<u8>, Error> {
        // The driver gives no memory of zero bytes.
        let bytes = if bytes.is_empty() { &[0; 16] } else { bytes };
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
        })?;
        let arguments = loaded.kernel.arguments(bound, moment, &[]);
        let mut buffers = HashMap::new();
        self.launch(&loaded, bound, &arguments, &mut buffers, Timing::Off, |buffer| match buffer {
            Buffer::CacheSymbol => Ok(bytemuck::cast_slice(dense.cache.rows().words()).to_vec()),
            Buffer::SkipSymbol | Buffer::FullSymbol => Ok(bytemuck::cast_slice(dense.skip.rows().words()).to_vec()),
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
/// Bytes of kernel parameters that every driver accepts.
const PARAM_BYTES: usize = 4096;
/// CTAs of a launch along y and z.
const MOST_CTAS_YZ: usize = 65_535;

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

/// Kernels count tokens in 32 bits, and the driver limits the CTAs along an axis.
fn check_extents(bound: &Bound<'_>) -> Result<(), Findings> {
    let problem = bound.problem;
    let mut findings = Findings::new();
    let rows = |shape: [usize; 4]| shape[0].saturating_mul(shape[1]);
    for (name, extent, most) in [
        ("tokens of all queries", rows(problem.q_shape()), i32::MAX as usize),
        ("tokens of all keys", rows(problem.kv_shape()), i32::MAX as usize),
        ("query heads", problem.heads, MOST_CTAS_YZ),
        ("batch items", problem.batch, MOST_CTAS_YZ),
    ] {
        if extent > most {
            findings.push(Finding::new(
                Code::TensorShape,
                format!("{extent} {name} are too many for one launch"),
                format!("split the call; a launch takes {most} at most"),
            ));
        }
    }
    findings.into_result(())
}

fn lse_len(bound: &Bound<'_>) -> usize {
    bound.problem.q_shape()[..3].iter().product()
}

/// What a buffer of an attention call holds before the launch.
fn attention_bytes(buffer: Buffer, call: &AttentionCall<'_>) -> Result<Vec<u8>, Error> {
    let words = |rows: &BitRows| bytemuck::cast_slice(rows.words()).to_vec();
    Ok(match buffer {
        Buffer::Q => call.q.bytes().to_vec(),
        Buffer::K => call.k.bytes().to_vec(),
        Buffer::V => call.v.bytes().to_vec(),
        Buffer::O => vec![0; call.q.bytes().len()],
        Buffer::Lse => f32::NEG_INFINITY.to_ne_bytes().repeat(lse_len(call.bound)),
        Buffer::CacheSymbol => words(call.symbols.cache.rows()),
        Buffer::SkipSymbol => words(call.symbols.skip.rows()),
        Buffer::FullSymbol => call.symbols.full.as_ref().map(|full| words(full.rows())).unwrap_or_default(),
        Buffer::Feature(index) => match call.forecast.as_ref().and_then(|forecast| forecast.features.get(index)) {
            Some(feature) => feature.bytes().to_vec(),
            None => Vec::new(),
        },
        other => return rule_bytes(other, call.bound),
    })
}

/// What a buffer that rules read holds.
fn rule_bytes(buffer: Buffer, bound: &Bound<'_>) -> Result<Vec<u8>, Error> {
    let numbers = |scalar: Scalar, values: &[f32]| -> Vec<u8> {
        match scalar {
            Scalar::F32 => bytemuck::cast_slice(values).to_vec(),
            Scalar::U32 | Scalar::I32 | Scalar::Bool => values.iter().flat_map(|&v| (v as i32).to_ne_bytes()).collect(),
        }
    };
    let ragged = bound.problem.ragged.as_ref();
    Ok(match buffer {
        Buffer::Table(index) => {
            let (Element::One(scalar) | Element::Three(scalar)) = bound.strategy.tables[index].element;
            numbers(scalar, &bound.bindings.tables[index].values)
        }
        Buffer::Input(index) => numbers(bound.strategy.inputs[index].scalar, &bound.bindings.inputs[index].values),
        // Below 2^31 by `check_extents`, so the bits of u32 and i32 are the same.
        Buffer::QIndptr => ragged.map(|ragged| bytemuck::cast_slice(&ragged.q).to_vec()).unwrap_or_default(),
        Buffer::KvIndptr => ragged.map(|ragged| bytemuck::cast_slice(&ragged.kv).to_vec()).unwrap_or_default(),
        other => {
            let reason = format!("its kernel asks for {other:?}, which the call does not have");
            return Err(Error::Cuda { action: "launch a kernel".to_owned(), reason, help: "" });
        }
    })
}

/// Rows of the same shape from downloaded words.
fn bit_rows(like: &BitRows, bytes: &[u8]) -> BitRows {
    let words = bytemuck::pod_collect_to_vec(&bytes[..like.words().len() * 8]);
    BitRows::from_words(like.rows(), like.bits(), words)
}

fn cache_symbol(batch: usize, q_blocks: usize, rows: &BitRows) -> CacheSymbol {
    let mut symbol = CacheSymbol::ones(batch, rows.bits(), q_blocks);
    for row in 0..rows.rows() {
        for h in 0..rows.bits() {
            symbol.set(row / q_blocks, h, row % q_blocks, rows.get(row, h));
        }
    }
    symbol
}

fn require_driver() -> Result<(), Error> {
    // SAFETY: tries to load the driver by its names and unloads it again.
    if unsafe { sys::is_culib_present() } {
        return Ok(());
    }
    Err(Error::Cuda {
        action: "find the driver".to_owned(),
        reason: "libcuda.so.1 is not on this machine, or not in the loader's path".to_owned(),
        help: "install NVIDIA's driver, or use the device cpu",
    })
}

/// Calls the driver; its errors and cudarc's panics become [`Error::Cuda`].
fn guarded<T>(action: &str, call: impl FnOnce() -> Result<T, DriverError>) -> Result<T, Error> {
    let failed = |reason: String, help| Error::Cuda { action: action.to_owned(), reason, help };
    match std::panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(words(error), advice(error.0))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            Err(failed(
                text.unwrap_or("the binding failed").to_owned(),
                "update NVIDIA's driver, or use the device cpu",
            ))
        }
    }
}

fn words(error: DriverError) -> String {
    let text = |found: Result<&std::ffi::CStr, DriverError>| found.ok().map(|text| text.to_string_lossy().into_owned());
    match (text(error.error_name()), text(error.error_string())) {
        (Some(name), Some(sentence)) => format!("{sentence} ({name})"),
        _ => format!("error {}", error.0 as u32),
    }
}

fn advice(code: CUresult) -> &'static str {
    match code {
        CUresult::CUDA_ERROR_NO_DEVICE | CUresult::CUDA_ERROR_INVALID_DEVICE => {
            "check nvidia-smi and CUDA_VISIBLE_DEVICES, or use the device cpu"
        }
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => "free GPU memory, or split the call into smaller ones",
        CUresult::CUDA_ERROR_UNSUPPORTED_PTX_VERSION | CUresult::CUDA_ERROR_NO_BINARY_FOR_GPU => {
            "use a libnvrtc that is not newer than the driver, named by SPARSYM_NVRTC"
        }
        CUresult::CUDA_ERROR_STUB_LIBRARY => {
            "the loader finds the toolkit's stub of the driver; remove it from the path"
        }
        _ => "",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_of_the_binding_is_an_error() {
        let error = guarded::<()>("do a thing", || panic!("Missing symbol cuNew")).unwrap_err();
        assert_eq!(error.class().exit_status(), 4);
        assert!(error.to_string().starts_with("cuda could not do a thing: Missing symbol cuNew\nhelp: "), "{error}");
    }

    #[test]
    fn downloaded_rows_of_the_cache_symbol_find_their_blocks() {
        let mut expected = CacheSymbol::ones(2, 70, 3);
        expected.set(1, 69, 2, false);
        expected.set(0, 0, 1, false);
        let rows = bit_rows(expected.rows(), bytemuck::cast_slice(expected.rows().words()));
        assert_eq!(cache_symbol(2, 3, &rows), expected);
    }
}
