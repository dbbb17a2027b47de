//! The machine of a GPU, through the CUDA driver. The only folder that names cudarc.
//!
//! Everything goes over one stream. cudarc loads the driver when it is first used and panics if it or one of its functions
//! is missing, so every use goes through one guard, which turns a panic into an [`Error`].

mod driver;

use std::sync::Arc;

use cudarc::driver::sys::{CUdevice_attribute, CUevent_flags, CUfunction_attribute};
use cudarc::driver::{
    CudaContext, CudaEvent, CudaFunction, CudaSlice, CudaStream, DevicePtr, DeviceRepr, DriverError, LaunchConfig,
    PushKernelArg,
};
use cudarc::nvrtc::Ptx;
use sparsym_codegen::{self as codegen, Kernel, Target};

#[doc(hidden)]
pub use driver::encode_tensor_map;
pub use driver::{Driver, Gpu, probe};

use self::driver::{elapsed_ms, guarded, launch_early, require_driver};
use super::kernels::loaded::{PARAM_BYTES, refusal};
use super::kernels::{Backend, Boxed, Contents, KernelDevice, KernelLaunch};
use super::measured::Cost;
use crate::error::Error;
use crate::nvrtc::Image;

/// Generated kernels on a GPU.
pub type Cuda = KernelDevice<CudaBackend>;

/// A GPU and its default stream.
pub struct CudaBackend {
    context: Arc<CudaContext>,
    stream: Arc<CudaStream>,
    target: Target,
    multiprocessors: u32,
}

/// A buffer on the GPU.
pub struct CudaBuffer {
    slice: CudaSlice<u8>,
    /// What was asked for; the slice may be longer.
    bytes: usize,
}

/// Dynamic shared memory that a kernel may use without asking.
const DEFAULT_SHARED_BYTES: u32 = 48 * 1024;
/// Bytes of the smallest buffer: the driver gives no memory of zero bytes.
const LEAST_BYTES: usize = 16;

impl KernelDevice<CudaBackend> {
    /// Opens a GPU and finds the compiler.
    ///
    /// # Errors
    /// [`ErrorKind::Driver`](crate::ErrorKind::Driver) without a driver or that GPU, a finding if this version has no
    /// kernels for it, [`ErrorKind::NoCompiler`](crate::ErrorKind::NoCompiler) without a compiler.
    pub fn open(ordinal: usize) -> Result<Cuda, Error> {
        KernelDevice::new(CudaBackend::open(ordinal)?)
    }
}

impl CudaBackend {
    fn open(ordinal: usize) -> Result<CudaBackend, Error> {
        require_driver()?;
        let context = guarded("open the GPU", || CudaContext::new(ordinal))?;
        let (major, minor) = guarded("ask for the compute capability", || context.compute_capability())?;
        let target = Target::for_compute_capability(major.unsigned_abs(), minor.unsigned_abs())?;
        // The default stream: everything of this device runs in the order of its calls, so no buffer needs an event.
        let stream = context.default_stream();
        let count = CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT;
        let multiprocessors = guarded("count the multiprocessors", || context.attribute(count))?.unsigned_abs();
        Ok(CudaBackend { context, stream, target, multiprocessors })
    }
}

impl Backend for CudaBackend {
    type Function = Vec<CudaFunction>;
    type Memory = ();
    type Buffer = CudaBuffer;

    fn name(&self) -> &'static str {
        "cuda"
    }

    fn target(&self) -> Target {
        self.target
    }

    fn shared_bytes(&self) -> Result<u32, Error> {
        let bytes = guarded("ask for the shared memory of a CTA", || {
            self.context.attribute(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN)
        })?;
        Ok(bytes.unsigned_abs())
    }

    fn multiprocessors(&self) -> u32 {
        self.multiprocessors
    }

    fn load(&self, kernel: &Kernel, image: Image) -> Result<Vec<CudaFunction>, Error> {
        let module =
            guarded(&format!("load {}", kernel.name), || self.context.load_module(Ptx::from_binary(image.cubin)))?;
        let load = |launch: &codegen::Launch| {
            let function = guarded(&format!("load kernel {}", launch.entry), || {
                let function = module.load_function(&launch.entry)?;
                if launch.shared_bytes > DEFAULT_SHARED_BYTES {
                    function.set_attribute(
                        CUfunction_attribute::CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES,
                        launch.shared_bytes as i32,
                    )?;
                }
                Ok(function)
            })?;
            let threads = guarded("ask for the threads of a CTA", || function.max_threads_per_block())?;
            if launch.threads > threads.unsigned_abs() {
                let reason = format!("its CTAs have {} threads, but with its registers {threads} fit", launch.threads);
                return Err(refusal(self.name(), &launch.entry, &reason, ""));
            }
            Ok(function)
        };
        kernel.launches.iter().map(load).collect()
    }

    fn memory(&self) {}

    fn place(&self, (): &mut (), _: &str, contents: &Contents<'_>) -> Result<CudaBuffer, Error> {
        let zeros = |bytes: usize| {
            guarded(&format!("allocate {bytes} bytes"), || self.stream.alloc_zeros(bytes.max(LEAST_BYTES)))
        };
        let (slice, bytes) = match contents {
            Contents::Zeros(bytes) | Contents::Counters(bytes) => (zeros(*bytes)?, *bytes),
            Contents::Input(bytes) | Contents::Output(bytes) if bytes.is_empty() => (zeros(0)?, 0),
            Contents::Input(bytes) | Contents::Output(bytes) => {
                let upload = || self.stream.clone_htod(&**bytes);
                (guarded(&format!("upload {} bytes", bytes.len()), upload)?, bytes.len())
            }
        };
        Ok(CudaBuffer { slice, bytes })
    }

    fn write(&self, (): &mut (), buffer: &mut CudaBuffer, bytes: &[u8]) -> Result<(), Error> {
        guarded(&format!("upload {} bytes", bytes.len()), || {
            let mut to = buffer.slice.slice_mut(..bytes.len());
            self.stream.memcpy_htod(bytes, &mut to)
        })
    }

    fn copy(&self, (): &mut (), from: &CudaBuffer, to: &mut CudaBuffer) -> Result<(), Error> {
        guarded("copy a buffer", || self.stream.memcpy_dtod(&from.slice, &mut to.slice))
    }

    /// The memory is freed when the buffer is dropped, after all work on the stream so far.
    fn release(&self, (): &mut (), _: CudaBuffer) {}

    fn address(&self, buffer: &CudaBuffer) -> u64 {
        buffer.slice.device_ptr(&self.stream).0
    }

    fn tensor_map(&self, buffer: &CudaBuffer, of: &Boxed) -> Result<[u8; 128], Error> {
        let address = self.address(buffer);
        of.check(address, buffer.bytes as u64, self.shared_bytes()?)?;
        // The driver asks which device the calling thread has; whoever prepares may be another than who opened it.
        guarded("make a tensor map", || self.stream.context().bind_to_thread())?;
        encode_tensor_map(address, of)
    }

    fn launch(&self, functions: &Vec<CudaFunction>, memory: &(), launch: &KernelLaunch<'_>) -> Result<Cost, Error> {
        let costs = self.launch_all(memory, &[(functions, *launch)])?;
        Ok(costs.into_iter().next().unwrap_or_default())
    }

    fn launch_all(&self, (): &(), launches: &[(&Vec<CudaFunction>, KernelLaunch<'_>)]) -> Result<Vec<Cost>, Error> {
        let timed = |(functions, launch): &(&Vec<CudaFunction>, KernelLaunch<'_>)| {
            guarded(&format!("launch kernel {}", launch.kernel.name), || {
                let start = self.stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT))?;
                self.enqueue(functions, launch)?;
                Ok((start, self.stream.record_event(Some(CUevent_flags::CU_EVENT_DEFAULT))?))
            })
        };
        let ends = launches.iter().map(timed).collect::<Result<Vec<_>, _>>()?;
        let first = launches.first().map_or("", |(_, launch)| launch.kernel.name.as_str());
        guarded(&format!("run kernel {first}"), || self.stream.synchronize())?;
        let cost = |(start, end): (CudaEvent, CudaEvent)| -> Result<Cost, Error> {
            let ms = guarded("time a launch", || elapsed_ms(&start, &end))?;
            Ok(Cost::of_ms(ms))
        };
        ends.into_iter().map(cost).collect()
    }

    fn start(&self, functions: &Vec<CudaFunction>, (): &(), launch: &KernelLaunch<'_>) -> Result<(), Error> {
        guarded(&format!("launch kernel {}", launch.kernel.name), || self.enqueue(functions, launch))
    }

    fn wait(&self) -> Result<(), Error> {
        guarded("run what was started", || self.stream.synchronize())
    }

    fn no_cost(&self) -> Cost {
        Cost::default()
    }

    fn download(&self, (): &(), buffer: &CudaBuffer) -> Result<Vec<u8>, Error> {
        guarded("download a result", || {
            let mut bytes = self.stream.clone_dtoh(&buffer.slice)?;
            self.stream.synchronize()?;
            bytes.truncate(buffer.bytes);
            Ok(bytes)
        })
    }
}

impl CudaBackend {
    /// Puts the launches of a kernel on the stream. Nothing stands between them, or one could not start before the other ends.
    fn enqueue(&self, functions: &[CudaFunction], launch: &KernelLaunch<'_>) -> Result<(), DriverError> {
        let KernelLaunch { kernel, grids, params } = *launch;
        let mut block = ParamBlock([0; PARAM_BYTES]);
        block.0[..params.len()].copy_from_slice(params);
        for ((function, launch), &[x, y, z]) in functions.iter().zip(&kernel.launches).zip(grids) {
            let config = LaunchConfig {
                grid_dim: (x, y, z),
                block_dim: (launch.threads, 1, 1),
                shared_mem_bytes: launch.shared_bytes,
            };
            // SAFETY: the function's one parameter is the struct whose bytes `block` holds, as its own layout says;
            // every address in it belongs to a buffer of the size that the kernel's contract asks for, because the
            // call was checked, and all of them are freed on this stream, so behind this launch.
            unsafe {
                if launch.early {
                    launch_early(&self.stream, function, config, &mut block.0)?;
                } else {
                    self.stream.launch_builder(function).arg(&block).launch(config)?;
                }
            }
        }
        Ok(())
    }
}

/// The parameter struct of any kernel: the driver reads as many bytes as the kernel declares.
#[repr(C, align(16))]
struct ParamBlock([u8; PARAM_BYTES]);

// SAFETY: plain bytes without padding or pointers into the host.
unsafe impl DeviceRepr for ParamBlock {}
