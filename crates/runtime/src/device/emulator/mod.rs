//! The machine that is a program: PTX of the compiler, on the emulator. The only folder that names `ptx_emulator`.
//!
//! It needs libnvrtc and nothing else. Inputs are constant, outputs start uninitialised: a kernel that writes the one or
//! reads the other too early is stopped, and so is one that does anything else that the emulator knows to be wrong.

pub(super) mod stats;
mod trap;

use std::time::Instant;

use ptx_emulator::{Element, Fill, LaunchError, Memory, Program, TensorMap};
use sparsym_codegen::{Kernel, Target};
use sparsym_ir::DType;

pub use ptx_emulator::{Checks, Copies, Options, Schedule, Trap};
pub use stats::Stats;
pub use trap::{KernelLine, KernelTrap};

/// What traps and counts are made of.
pub mod report {
    pub use ptx_emulator::{
        Access, BulkMisuse, ClusterMisuse, Conflicts, Earlier, Fault, Frame, GlobalTraffic, MbarrierMisuse, Occupancy,
        Place, Region, SharedTraffic, Space, TensorMapError, Wait,
    };
}

use super::kernels::loaded::refusal;
use super::kernels::{Backend, Boxed, Contents, KernelDevice, KernelLaunch};
use super::measured::Cost;
use crate::error::{Error, ErrorKind};
use crate::nvrtc::Image;

/// Generated kernels on the emulator.
pub type Emulator = KernelDevice<EmulatorBackend>;

/// What is emulated, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The target whose kernels are run.
    pub target: Target,
    /// Checks, order of the warps, delivery of asynchronous copies, threads of this machine.
    pub options: Options,
    /// Multiprocessors of the GPU that is emulated: few, so that a CTA that stays resident has several tiles to work on.
    pub multiprocessors: u32,
}

/// Kernels of sm_80, every check, four multiprocessors.
impl Default for Settings {
    fn default() -> Settings {
        let target = Target::parse("sm_80").expect("the first target");
        Settings { target, options: Options::default(), multiprocessors: 4 }
    }
}

/// An emulated GPU.
pub struct EmulatorBackend {
    settings: Settings,
}

/// A buffer of an emulated GPU.
pub struct EmulatorBuffer {
    buffer: ptx_emulator::Buffer,
    bytes: usize,
    /// What an output shows where nothing was written; zeros if it is empty.
    untouched: Vec<u8>,
}

impl KernelDevice<EmulatorBackend> {
    /// Finds the compiler; there is nothing else to open.
    ///
    /// # Errors
    /// [`ErrorKind::NoCompiler`] without a compiler.
    pub fn open(settings: Settings) -> Result<Emulator, Error> {
        KernelDevice::new(EmulatorBackend { settings })
    }
}

impl Backend for EmulatorBackend {
    type Function = Program;
    type Memory = Memory;
    type Buffer = EmulatorBuffer;

    fn name(&self) -> &'static str {
        "emulator"
    }

    fn target(&self) -> Target {
        self.settings.target
    }

    fn shared_bytes(&self) -> Result<u32, Error> {
        Ok(self.target().shared_bytes())
    }

    fn multiprocessors(&self) -> u32 {
        self.settings.multiprocessors
    }

    fn load(&self, kernel: &Kernel, image: Image) -> Result<Program, Error> {
        let program = Program::load(&String::from_utf8_lossy(&image.ptx)).map_err(|error| not_ours(kernel, &error))?;
        for launch in &kernel.launches {
            program.kernel(&launch.entry).map_err(|error| not_ours(kernel, &error))?;
        }
        Ok(program)
    }

    fn memory(&self) -> Memory {
        Memory::new()
    }

    fn place(&self, memory: &mut Memory, name: &str, contents: &Contents<'_>) -> Result<EmulatorBuffer, Error> {
        let (buffer, untouched) = match contents {
            Contents::Input(bytes) => (memory.upload_constant(name, bytes), Vec::new()),
            Contents::Output(bytes) => (memory.alloc(name, bytes.len()), bytes.to_vec()),
            Contents::Zeros(bytes) => (memory.alloc(name, *bytes), Vec::new()),
            Contents::Counters(bytes) => (memory.upload(name, &vec![0; *bytes]), Vec::new()),
        };
        Ok(EmulatorBuffer { buffer, bytes: contents.bytes(), untouched })
    }

    fn write(&self, memory: &mut Memory, buffer: &mut EmulatorBuffer, bytes: &[u8]) -> Result<(), Error> {
        memory.write(buffer.buffer, bytes);
        Ok(())
    }

    fn release(&self, memory: &mut Memory, buffer: EmulatorBuffer) {
        memory.free(buffer.buffer);
    }

    fn address(&self, buffer: &EmulatorBuffer) -> u64 {
        buffer.buffer.address()
    }

    fn tensor_map(&self, buffer: &EmulatorBuffer, of: &Boxed) -> Result<[u8; 128], Error> {
        let address = buffer.buffer.address();
        of.check(address, buffer.bytes as u64, self.shared_bytes()?)?;
        let mut map = TensorMap {
            element: match of.dtype {
                DType::F32 => Element::F32,
                DType::F16 => Element::F16,
                DType::Bf16 => Element::Bf16,
            },
            rank: of.extents.len() as u8,
            swizzle_bytes: of.swizzle.bytes(),
            address: address + of.offset,
            extents: [1; 5],
            strides: [0; 4],
            box_extents: [1; 5],
            element_strides: [1; 5],
            fill: Fill::Zeros,
        };
        for axis in 0..of.extents.len() {
            map.extents[axis] = of.extents[axis];
            map.box_extents[axis] = of.box_extents[axis] as u16;
            map.element_strides[axis] = of.element_strides[axis] as u8;
        }
        map.strides[..of.strides.len()].copy_from_slice(&of.strides);
        Ok(map.encode())
    }

    fn launch(&self, program: &Program, memory: &Memory, launch: &KernelLaunch<'_>) -> Result<Cost, Error> {
        let KernelLaunch { kernel, grids, params } = *launch;
        let mut total = Stats::default();
        let start = Instant::now();
        for (launch, &grid) in kernel.launches.iter().zip(grids) {
            let entry = program.kernel(&launch.entry).map_err(|error| not_ours(kernel, &error))?;
            let block = [launch.threads, 1, 1];
            let launch = ptx_emulator::Launch { grid, block, dynamic_shared: launch.shared_bytes, params };
            match entry.launch(memory, &launch, &self.settings.options) {
                Ok(stats) if kernel.launches.len() == 1 => total = stats,
                Ok(stats) => total.add(&stats),
                Err(LaunchError::Trap(trap)) => return Err(Error::of(ErrorKind::Trap, KernelTrap::new(kernel, *trap))),
                Err(refused) => return Err(not_ours(kernel, &refused)),
            }
        }
        Ok(Cost { ms: start.elapsed().as_secs_f64() * 1e3, stats: Some(total) })
    }

    fn no_cost(&self) -> Cost {
        Cost { ms: 0.0, stats: Some(Stats::default()) }
    }

    fn download(&self, memory: &Memory, buffer: &EmulatorBuffer) -> Result<Vec<u8>, Error> {
        let mut bytes = memory.download(buffer.buffer);
        for range in memory.unwritten(buffer.buffer) {
            match buffer.untouched.get(range.clone()) {
                Some(untouched) => bytes[range].copy_from_slice(untouched),
                None => bytes[range].fill(0),
            }
        }
        Ok(bytes)
    }
}

/// PTX that the emulator does not take: a gap of the emulator, not a defect of the kernel.
fn not_ours(kernel: &Kernel, error: &dyn std::error::Error) -> Error {
    let help = "SPARSYM_DUMP=ptx writes the PTX that it speaks of; cpu and cuda do not go through the emulator";
    refusal("emulator", &kernel.name, &error.to_string(), help)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::kernels::{BoxError, Swizzle};

    #[test]
    fn a_tensor_map_says_where_the_tensor_lies_and_what_a_box_is() {
        let (backend, mut memory) = (EmulatorBackend { settings: Settings::default() }, Memory::new());
        let buffer = backend.place(&mut memory, "q", &Contents::Zeros(32 * 2 * 128 * 2 + 64)).unwrap();
        let of =
            Boxed { offset: 64, swizzle: Swizzle::Span128, ..Boxed::dense(DType::F16, &[128, 2, 32], &[64, 1, 16]) };
        let map = TensorMap::decode(&backend.tensor_map(&buffer, &of).unwrap()).unwrap();
        let expected = TensorMap {
            element: Element::F16,
            rank: 3,
            swizzle_bytes: 128,
            address: backend.address(&buffer) + 64,
            extents: [128, 2, 32, 1, 1],
            strides: [256, 512, 0, 0],
            box_extents: [64, 1, 16, 1, 1],
            element_strides: [1; 5],
            fill: Fill::Zeros,
        };
        assert_eq!(map, expected);

        let error = backend.tensor_map(&buffer, &Boxed { offset: 80, ..of.clone() }).unwrap_err();
        assert!(matches!(error.downcast_ref(), Some(BoxError::Outside { .. })), "{error}");
        let error = backend.tensor_map(&buffer, &Boxed { box_extents: vec![64, 300, 1], ..of }).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::TensorMap);
        assert_eq!(error.help(), Some("a box has 1 to 256 elements along an axis"));
    }
}
