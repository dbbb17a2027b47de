//! The device that runs generated kernels, and the kernels that it has loaded.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use sparsym_codegen::{Kernel, Plan, Request, Room, Schedule, Target, TileOrder, ToHeads};
use sparsym_ir::bind::Bound;

use super::backend::Backend;
use crate::compiler::Compiler;
use crate::error::{Error, ErrorKind};
use crate::nvrtc::Image;

/// Bytes of kernel parameters that every driver accepts.
pub(crate) const PARAM_BYTES: usize = 4096;

/// The device that runs generated kernels on a machine.
///
/// A handle: its clones are the same device, with the same loaded kernels.
pub struct KernelDevice<B: Backend> {
    backend: Arc<B>,
    compiler: Arc<Compiler>,
    texts: Arc<HashMap<Room, String>>,
    /// Of attention's tiles; None: as it pays.
    order: Option<TileOrder>,
    /// Of kernels that multiply tiles; None: the fastest.
    schedule: Option<Schedule>,
    loaded: Arc<Mutex<HashMap<Plan, Arc<Loaded<B>>>>>,
}

impl<B: Backend> Clone for KernelDevice<B> {
    fn clone(&self) -> KernelDevice<B> {
        let (backend, compiler) = (self.backend.clone(), self.compiler.clone());
        let (texts, loaded) = (self.texts.clone(), self.loaded.clone());
        KernelDevice { backend, compiler, texts, order: self.order, schedule: self.schedule, loaded }
    }
}

/// A kernel on the machine.
pub(super) struct Loaded<B: Backend> {
    pub(super) kernel: Kernel,
    pub(super) function: B::Function,
    /// Registers went to memory, for want of a kernel that needs fewer.
    pub(super) spills: bool,
}

impl<B: Backend> KernelDevice<B> {
    /// A device on this machine, with the compiler that is found and the kernel cache of this user.
    ///
    /// # Errors
    /// [`ErrorKind::NoCompiler`] without a compiler.
    pub fn new(backend: B) -> Result<KernelDevice<B>, Error> {
        let compiler = Arc::new(Compiler::new()?);
        let (backend, texts, loaded) = (Arc::new(backend), Arc::default(), Arc::default());
        Ok(KernelDevice { backend, compiler, texts, order: None, schedule: None, loaded })
    }

    /// The target that kernels are compiled for.
    pub fn target(&self) -> Target {
        self.backend.target()
    }

    /// Compiles with this compiler, and keeps images in its cache instead of that of this user.
    #[must_use]
    pub fn with_compiler(mut self, compiler: Arc<Compiler>) -> KernelDevice<B> {
        self.compiler = compiler;
        self.loaded = Arc::default();
        self
    }

    /// Runs this CUDA text in place of every generated kernel of a room: for edits by hand. The text must keep the
    /// generated kernel's name (but for the hash at its end), parameter struct, threads and shared memory; it says which
    /// schedule it is of, and attention's in which order it takes tiles. The emulator stops where a wrong text goes
    /// wrong; on a GPU it may fail the driver, or give wrong numbers.
    #[must_use]
    pub fn with_text(mut self, room: Room, text: impl Into<String>) -> KernelDevice<B> {
        let text = text.into();
        if room == Room::Attention {
            self.order = Some(TileOrder::of_text(&text));
        }
        Arc::make_mut(&mut self.texts).insert(room, text);
        self.loaded = Arc::default();
        self
    }

    /// Takes the tiles of attention in this order, instead of that which [pays](TileOrder::of) at the size of each call.
    #[must_use]
    pub fn with_tile_order(mut self, order: TileOrder) -> KernelDevice<B> {
        self.order = Some(order);
        self
    }

    /// Runs only kernels of this schedule, instead of the fastest that can do what is asked for.
    #[must_use]
    pub fn with_schedule(mut self, schedule: Schedule) -> KernelDevice<B> {
        self.schedule = Some(schedule);
        self
    }

    /// The only schedule whose kernels run in a room, if there is one: that of its text, if it was given.
    pub(super) fn schedule(&self, room: Room) -> Option<Schedule> {
        self.texts.get(&room).map(|text| Schedule::of_text(text)).or(self.schedule)
    }

    /// In which order the tiles of a call of attention are taken, whose kernel is asked for so.
    pub(super) fn tile_order(&self, bound: &Bound<'_>, request: &Request<'_>) -> TileOrder {
        self.order.unwrap_or_else(|| match sparsym_codegen::plan(request).ok().and_then(|plan| plan.schedule()) {
            Some(Schedule::Specialised) => TileOrder::of_resident(bound.strategy),
            _ => TileOrder::of(bound, self.backend.multiprocessors()),
        })
    }

    /// The machine, for kernels that are not generated here.
    pub fn backend(&self) -> &B {
        &self.backend
    }

    /// Whether the kernels of a room are replaced by a text.
    pub(super) fn has_text(&self, room: Room) -> bool {
        self.texts.contains_key(&room)
    }

    /// Whether a kernel of several projections may run: one is generated, or the text in its place is one.
    pub(super) fn runs_together(&self) -> bool {
        self.texts.get(&Room::GemmQ).is_none_or(|text| ToHeads::is_text_together(text))
    }

    /// The loaded kernel of a request; generated and compiled when it is first asked for. `strategy` is named in errors.
    pub(super) fn kernel(&self, request: &Request<'_>, strategy: &str) -> Result<Arc<Loaded<B>>, Error> {
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
        let param_bytes = kernel.params.size * kernel.structs();
        if param_bytes > PARAM_BYTES {
            let reason = format!("its parameters take {param_bytes} bytes and {PARAM_BYTES} are the most");
            return Err(self.refusal(&kernel, &reason, "use fewer params, tables and inputs"));
        }
        let most = self.backend.shared_bytes()?;
        for launch in &kernel.launches {
            let resources = image.resources.get(&launch.entry).copied().unwrap_or_default();
            let needed = u64::from(launch.shared_bytes) + u64::from(resources.shared_bytes);
            if needed > u64::from(most) {
                let reason =
                    format!("{} needs {needed} bytes of shared memory and a CTA may have {most}", launch.entry);
                return Err(self.refusal(&kernel, &reason, ""));
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
        let spills = image.spills().is_some();
        let function = self.backend.load(&kernel, image)?;
        Ok(Loaded { kernel, function, spills })
    }

    pub(super) fn refusal(&self, kernel: &Kernel, reason: &str, help: &str) -> Error {
        refusal(self.backend.name(), &kernel.name, reason, help)
    }
}

/// What a device has against a kernel; `help` may be empty.
pub(crate) fn refusal(device: &str, kernel: &str, reason: &str, help: &str) -> Error {
    let help = if help.is_empty() { String::new() } else { format!("\nhelp: {help}") };
    Error::new(ErrorKind::Kernel, format!("{device} cannot run kernel {kernel}: {reason}{help}"))
}
