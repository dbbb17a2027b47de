//! The engine itself: a device with memory that stays between calls.

use std::sync::{Arc, Mutex, PoisonError, Weak};

use sparsym_ir::{DType, Tensor};

use super::workspace::{Sizes, Workspace};
use crate::device::session::{Array, Call, Copied, Prepared, Session};
use crate::device::{Cost, Device};
use crate::error::Error;

/// A device with memory that stays between calls.
#[derive(Clone)]
pub struct Engine {
    session: Arc<dyn Session>,
    /// Layers of one shape work in the same memory, one after another.
    workspaces: Arc<Mutex<Vec<Weak<Mutex<Workspace>>>>>,
    waits: Waits,
}

/// When a step waits for the device.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// Before it returns: it reports what its rooms took.
    AtItsEnd,
    /// Not at all.
    Never,
}

impl Engine {
    /// An engine on a device.
    ///
    /// # Errors
    /// The device's own.
    pub fn new(device: Arc<dyn Device>) -> Result<Engine, Error> {
        Ok(Engine { session: device.session()?, workspaces: Arc::default(), waits: Waits::AtItsEnd })
    }

    /// The same engine for loops in a hurry: steps of its layers, and sums, return once they are queued, so that the device
    /// never waits for the host, and their reports know no times. Results are there when an array is read, or after
    /// [`Engine::wait`]; what a kernel does wrong meanwhile comes with that.
    pub fn without_waiting(&self) -> Engine {
        Engine { waits: Waits::Never, ..self.clone() }
    }

    /// Waits for all that was queued.
    ///
    /// # Errors
    /// Whatever stopped it.
    pub fn wait(&self) -> Result<(), Error> {
        self.session.wait()
    }

    /// The name of the device.
    pub fn device(&self) -> &'static str {
        self.session.name()
    }

    /// The most precise element type that it takes.
    pub fn finest_dtype(&self) -> DType {
        self.session.finest_dtype()
    }

    /// Copies a tensor to the device; `name` is for reports.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn place(&self, name: &str, tensor: &Tensor) -> Result<Array, Error> {
        Array::place(&self.session, name, tensor)
    }

    /// An array that holds nothing yet, for results.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn array(&self, name: &str, shape: &[usize], dtype: DType) -> Result<Array, Error> {
        Array::new(&self.session, name, shape, dtype)
    }

    /// What was copied between the host and the device so far.
    pub fn copied(&self) -> Copied {
        self.session.copied()
    }

    /// Bytes of all workspaces: activations between the rooms, and what kernels need beside their arrays.
    pub fn workspace_bytes(&self) -> usize {
        let known = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        let alive = known.iter().filter_map(Weak::upgrade);
        let bytes = alive.map(|workspace| workspace.lock().unwrap_or_else(PoisonError::into_inner).bytes());
        bytes.sum::<usize>() + self.session.workspace_bytes()
    }

    /// Runs calls one after another, and gives what each took, as far as this engine waits for it.
    pub(super) fn run(&self, calls: &[(&Prepared, Call<'_>)]) -> Result<Vec<Cost>, Error> {
        match self.waits {
            Waits::AtItsEnd => self.session.run_all(calls),
            Waits::Never => self.session.start(calls).map(|()| vec![Cost::default(); calls.len()]),
        }
    }

    pub(super) fn session(&self) -> &Arc<dyn Session> {
        &self.session
    }

    /// The workspace of that shape; made if no living layer has one.
    pub(super) fn workspace(&self, sizes: Sizes) -> Result<Arc<Mutex<Workspace>>, Error> {
        let mut known = self.workspaces.lock().unwrap_or_else(PoisonError::into_inner);
        known.retain(|workspace| workspace.strong_count() > 0);
        for workspace in known.iter().filter_map(Weak::upgrade) {
            if workspace.lock().unwrap_or_else(PoisonError::into_inner).sizes() == &sizes {
                return Ok(workspace);
            }
        }
        let made = Arc::new(Mutex::new(Workspace::new(&self.session, sizes)?));
        known.push(Arc::downgrade(&made));
        Ok(made)
    }
}

impl std::fmt::Debug for Engine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Engine").field("device", &self.device()).finish_non_exhaustive()
    }
}
