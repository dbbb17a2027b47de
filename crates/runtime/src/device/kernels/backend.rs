//! What [`KernelDevice`](super::KernelDevice) asks of a machine.

use std::borrow::Cow;

use sparsym_codegen::{Kernel, Target};

use super::boxed::Boxed;
use crate::device::measured::Cost;
use crate::error::Error;
use crate::nvrtc::Image;

/// A machine that runs compiled kernels: memory and launches, and nothing that knows of attention.
pub trait Backend: Send + Sync + 'static {
    /// The functions of a kernel, ready to be launched.
    type Function: Send + Sync;
    /// The memory of one call; its buffers go with it.
    type Memory: Send;
    /// A buffer in such memory.
    type Buffer: Send;

    /// The name that [`open`](fn@crate::device::open) knows its device by.
    fn name(&self) -> &'static str;

    /// The target that kernels are compiled for.
    fn target(&self) -> Target;

    /// Shared memory that a CTA may have, static and dynamic together, in bytes.
    ///
    /// # Errors
    /// If the machine does not answer.
    fn shared_bytes(&self) -> Result<u32, Error>;

    /// Multiprocessors: how many CTAs of a kernel that stays resident are worth a launch.
    fn multiprocessors(&self) -> u32;

    /// Makes a compiled kernel ready.
    ///
    /// # Errors
    /// What the machine has against it.
    fn load(&self, kernel: &Kernel, image: Image) -> Result<Self::Function, Error>;

    /// Empty memory for a call.
    fn memory(&self) -> Self::Memory;

    /// A new buffer. Its name is the one in the kernel's text.
    ///
    /// # Errors
    /// If there is no room.
    fn place(&self, memory: &mut Self::Memory, name: &str, contents: &Contents<'_>) -> Result<Self::Buffer, Error>;

    /// Replaces all bytes of a buffer that kernels may write.
    ///
    /// # Errors
    /// If the machine does not take them.
    fn write(&self, memory: &mut Self::Memory, buffer: &mut Self::Buffer, bytes: &[u8]) -> Result<(), Error>;

    /// Copies a buffer to another one of the same size.
    ///
    /// # Errors
    /// If the machine does not.
    fn copy(&self, memory: &mut Self::Memory, from: &Self::Buffer, to: &mut Self::Buffer) -> Result<(), Error> {
        let bytes = self.download(memory, from)?;
        self.write(memory, to, &bytes)
    }

    /// Frees a buffer.
    fn release(&self, memory: &mut Self::Memory, buffer: Self::Buffer);

    /// Where a buffer begins, as a kernel sees it.
    fn address(&self, buffer: &Self::Buffer) -> u64;

    /// What a kernel needs to move boxes of a tensor in a buffer: the bytes of a parameter that is aligned to 64.
    ///
    /// # Errors
    /// [`BoxError`](super::BoxError), or the machine's own.
    fn tensor_map(&self, buffer: &Self::Buffer, of: &Boxed) -> Result<[u8; 128], Error>;

    /// Launches the functions of a kernel in order and waits for the last one.
    ///
    /// # Errors
    /// Whatever stopped it.
    fn launch(
        &self,
        function: &Self::Function,
        memory: &Self::Memory,
        launch: &KernelLaunch<'_>,
    ) -> Result<Cost, Error>;

    /// Launches kernels one after another, and gives what each took. A machine with a queue starts all of them before it
    /// waits, so that its own gaps lie between them and not those of this program.
    ///
    /// # Errors
    /// Whatever stopped one of them.
    fn launch_all(
        &self,
        memory: &Self::Memory,
        launches: &[(&Self::Function, KernelLaunch<'_>)],
    ) -> Result<Vec<Cost>, Error> {
        launches.iter().map(|(function, launch)| self.launch(function, memory, launch)).collect()
    }

    /// Launches the functions of a kernel in order. A machine with a queue does not wait for them and does not time them.
    ///
    /// # Errors
    /// What is known at once; the rest comes with [`Backend::wait`] or with the next result that is asked for.
    fn start(&self, function: &Self::Function, memory: &Self::Memory, launch: &KernelLaunch<'_>) -> Result<(), Error> {
        self.launch(function, memory, launch).map(|_| ())
    }

    /// Waits for all that was started.
    ///
    /// # Errors
    /// Whatever stopped one of them.
    fn wait(&self) -> Result<(), Error> {
        Ok(())
    }

    /// What a launch without CTAs costs: it never gets here.
    fn no_cost(&self) -> Cost;

    /// The bytes of a buffer after the launch.
    ///
    /// # Errors
    /// If the machine does not give them.
    fn download(&self, memory: &Self::Memory, buffer: &Self::Buffer) -> Result<Vec<u8>, Error>;
}

/// What a buffer holds before a launch, and what a kernel may do with it.
#[derive(Clone, Debug)]
pub enum Contents<'a> {
    /// These bytes; no kernel writes them.
    Input(Cow<'a, [u8]>),
    /// Bytes for a kernel to write, and not to read before that. Where it writes nothing, these bytes come back.
    Output(Cow<'a, [u8]>),
    /// As [`Contents::Output`], with so many zeros.
    Zeros(usize),
    /// So many zeros for kernels to count with.
    Counters(usize),
}

impl Contents<'_> {
    /// How many bytes there are.
    pub fn bytes(&self) -> usize {
        match self {
            Contents::Input(bytes) | Contents::Output(bytes) => bytes.len(),
            Contents::Zeros(bytes) | Contents::Counters(bytes) => *bytes,
        }
    }

    /// What comes back where nothing was written.
    pub fn into_bytes(self) -> Vec<u8> {
        match self {
            Contents::Input(bytes) | Contents::Output(bytes) => bytes.into_owned(),
            Contents::Zeros(bytes) | Contents::Counters(bytes) => vec![0; bytes],
        }
    }
}

/// The launches of a kernel.
#[derive(Clone, Copy, Debug)]
pub struct KernelLaunch<'a> {
    /// The kernel: for each launch its function, threads and dynamic shared memory.
    pub kernel: &'a Kernel,
    /// CTAs of each along x, y and z; none is zero.
    pub grids: &'a [[u32; 3]],
    /// The bytes of its one parameter, a struct.
    pub params: &'a [u8],
}
