//! The driver: whether it is there, what it shows, and its failures as errors.

use std::panic::AssertUnwindSafe;

use cudarc::driver::sys::{
    self, CUdevice_attribute, CUevent, CUresult, CUtensorMap, CUtensorMapDataType, CUtensorMapFloatOOBfill,
    CUtensorMapInterleave, CUtensorMapL2promotion, CUtensorMapSwizzle,
};
use cudarc::driver::{CudaEvent, CudaFunction, CudaStream, DriverError, LaunchConfig, result};
use sparsym_codegen::Target;
use sparsym_ir::DType;

use crate::device::kernels::{Boxed, Swizzle};
use crate::error::{Error, ErrorKind};

/// What the driver tells of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Driver {
    /// Highest CUDA version that it supports, major and minor.
    pub cuda_version: (u32, u32),
    /// The GPUs that it shows, in order.
    pub gpus: Vec<Gpu>,
}

/// A GPU as the driver describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Gpu {
    /// Product name.
    pub name: String,
    /// Major and minor.
    pub compute_capability: (u32, u32),
    /// Bytes of its memory.
    pub memory_bytes: u64,
    /// Bytes of its L2 cache.
    pub l2_cache_bytes: u64,
    /// Where it is plugged in, `domain:bus:device.0` in hexadecimal: how nvidia-smi can be asked for exactly this one.
    pub pci_bus_id: String,
    /// The target that kernels for it are compiled for; None: this version has none.
    pub target: Option<&'static str>,
}

/// The driver and the GPUs that it shows.
///
/// # Errors
/// [`ErrorKind::Driver`] if there is no driver or if it does not start.
pub fn probe() -> Result<Driver, Error> {
    require_driver()?;
    let describe = |ordinal: i32| -> Result<Gpu, DriverError> {
        let device = result::device::get(ordinal)?;
        // SAFETY: the device handle was just given by the driver, and the driver is initialised.
        let ask = |attribute| unsafe { result::device::get_attribute(device, attribute) }.map(i32::unsigned_abs);
        let major = ask(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR)?;
        let minor = ask(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR)?;
        let l2_cache = ask(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_L2_CACHE_SIZE)?;
        let domain = ask(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_DOMAIN_ID)?;
        let bus = ask(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_BUS_ID)?;
        let slot = ask(CUdevice_attribute::CU_DEVICE_ATTRIBUTE_PCI_DEVICE_ID)?;
        // SAFETY: as above.
        let memory = unsafe { result::device::total_mem(device)? };
        Ok(Gpu {
            name: result::device::get_name(device)?,
            compute_capability: (major, minor),
            memory_bytes: memory as u64,
            l2_cache_bytes: u64::from(l2_cache),
            pci_bus_id: format!("{domain:08x}:{bus:02x}:{slot:02x}.0"),
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

/// Fails if there is no driver: everything else may then call it.
pub(super) fn require_driver() -> Result<(), Error> {
    // SAFETY: tries to load the driver by its names and unloads it again.
    if unsafe { sys::is_culib_present() } {
        return Ok(());
    }
    let reason = "libcuda.so.1 is not on this machine, or not in the loader's path";
    Err(failed("find the driver", reason, "install NVIDIA's driver, or use the device cpu"))
}

/// Milliseconds between two events that were recorded on one stream and have both passed.
///
/// cudarc binds the second version of this function, which drivers before CUDA 12.8 lack; the first is in all of them.
pub(super) fn elapsed_ms(start: &CudaEvent, end: &CudaEvent) -> Result<f64, DriverError> {
    type Elapsed = unsafe extern "C" fn(*mut f32, CUevent, CUevent) -> CUresult;
    let mut ms = 0.0;
    // SAFETY: events exist, so the driver is loaded and stays so; the signature is that of cuda.h since CUDA 2, and the
    // pointer and both events are valid.
    unsafe {
        let elapsed = sys::culib()
            .get::<Elapsed>(b"cuEventElapsedTime")
            .map_err(|_| DriverError(CUresult::CUDA_ERROR_NOT_FOUND))?;
        elapsed(&mut ms, start.cu_event(), end.cu_event()).result()?;
    }
    Ok(f64::from(ms))
}

/// Launches a function that may start while the launch before it on the stream still runs.
///
/// # Safety
/// `params` holds the one parameter of the function, which is valid for it; the function reads nothing that the launch before
/// it writes, before it has waited for that (`griddepcontrol.wait`); everything it points to lives until it has ended.
pub(super) unsafe fn launch_early(
    stream: &CudaStream,
    function: &CudaFunction,
    config: LaunchConfig,
    params: &mut [u8],
) -> Result<(), DriverError> {
    stream.context().bind_to_thread()?;
    let mut attribute = sys::CUlaunchAttribute {
        id: sys::CUlaunchAttributeID::CU_LAUNCH_ATTRIBUTE_PROGRAMMATIC_STREAM_SERIALIZATION,
        pad: [0; 4],
        value: sys::CUlaunchAttributeValue { programmaticStreamSerializationAllowed: 1 },
    };
    let config = sys::CUlaunchConfig {
        gridDimX: config.grid_dim.0,
        gridDimY: config.grid_dim.1,
        gridDimZ: config.grid_dim.2,
        blockDimX: config.block_dim.0,
        blockDimY: config.block_dim.1,
        blockDimZ: config.block_dim.2,
        sharedMemBytes: config.shared_mem_bytes,
        hStream: stream.cu_stream(),
        attrs: &raw mut attribute,
        numAttrs: 1,
    };
    let mut arguments = [params.as_mut_ptr().cast()];
    // SAFETY: the caller's promise; the driver has read the configuration and copied the parameter when this returns.
    unsafe {
        sys::cuLaunchKernelEx(&raw const config, function.cu_function(), arguments.as_mut_ptr(), std::ptr::null_mut())
    }
    .result()
}

/// The driver's 128 bytes for a box of a tensor in a buffer at `address`, or what it has against it. The driver looks at the
/// numbers and at nothing else; [`Backend::tensor_map`](crate::device::Backend::tensor_map) checks them first, and sees to it
/// that this thread has a context, which the driver wants.
///
/// # Errors
/// [`ErrorKind::Driver`].
pub fn encode_tensor_map(address: u64, of: &Boxed) -> Result<[u8; 128], Error> {
    let dtype = match of.dtype {
        DType::F32 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT32,
        DType::F16 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_FLOAT16,
        DType::Bf16 => CUtensorMapDataType::CU_TENSOR_MAP_DATA_TYPE_BFLOAT16,
    };
    let swizzle = match of.swizzle {
        Swizzle::None => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_NONE,
        Swizzle::Span32 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_32B,
        Swizzle::Span64 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_64B,
        Swizzle::Span128 => CUtensorMapSwizzle::CU_TENSOR_MAP_SWIZZLE_128B,
    };
    // Room for the entries of any rank, whatever the lists hold.
    let (extents, strides) = (padded(&of.extents), padded(&of.strides));
    let (boxes, steps) = (padded(&of.box_extents), padded(&of.element_strides));
    let begin = address.wrapping_add(of.offset);
    let mut map = CUtensorMap { opaque: [0; 16] };
    guarded("make a tensor map", || {
        // SAFETY: each array has an entry for every axis that the driver may read, five at most and `rank` as a rule; the map
        // is one, and it is aligned. The address is a number to the driver, which does not follow it.
        unsafe {
            sys::cuTensorMapEncodeTiled(
                &mut map,
                dtype,
                of.extents.len() as u32,
                begin as *mut std::ffi::c_void,
                extents.as_ptr(),
                strides.as_ptr(),
                boxes.as_ptr(),
                steps.as_ptr(),
                CUtensorMapInterleave::CU_TENSOR_MAP_INTERLEAVE_NONE,
                swizzle,
                CUtensorMapL2promotion::CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
                CUtensorMapFloatOOBfill::CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE,
            )
        }
        .result()
    })?;
    Ok(bytemuck::cast(map.opaque))
}

/// The entries, and zeros behind them.
fn padded<T: Copy + Default>(entries: &[T]) -> Vec<T> {
    let mut entries = entries.to_vec();
    entries.resize(entries.len().max(8), T::default());
    entries
}

/// Calls the driver; its errors and cudarc's panics become [`ErrorKind::Driver`].
pub(super) fn guarded<T>(action: &str, call: impl FnOnce() -> Result<T, DriverError>) -> Result<T, Error> {
    match std::panic::catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(failed(action, &words(error), advice(error.0))),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().map(String::as_str).or(panic.downcast_ref::<&str>().copied());
            let help = "update NVIDIA's driver, or use the device cpu";
            Err(failed(action, text.unwrap_or("the binding failed"), help))
        }
    }
}

/// `help` may be empty.
fn failed(action: &str, reason: &str, help: &str) -> Error {
    let help = if help.is_empty() { String::new() } else { format!("\nhelp: {help}") };
    Error::new(ErrorKind::Driver, format!("cuda could not {action}: {reason}{help}"))
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
        CUresult::CUDA_ERROR_OUT_OF_MEMORY => "free GPU memory, or split the call by batch items",
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
        assert_eq!(error.kind(), ErrorKind::Driver);
        assert!(error.to_string().starts_with("cuda could not do a thing: Missing symbol cuNew\nhelp: "), "{error}");
    }
}
