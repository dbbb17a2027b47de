//! A whole attention layer through the denoising steps, in the device's memory: projections, symbols, attention, and the
//! projection back, all obeying one set of symbols.
//!
//! ```text
//!            x ─► gemm_q ─► symbols ─► attention ─► gemm_o ─► y
//! Update        all tiles   S_c, S_s   all rows     all heads, and the cached ones alone: partials
//! Dispatch      S_c = 1     (kept)     S_c = 1      heads with S_c = 1, from Σ coefficient · partial
//! dense         all tiles   –          all rows     all heads
//! ```
//!
//! * [`Engine`]: a device with memory; places weights and activations.
//! * [`Layer`]: strategy, shapes and borrowed weights; [`Layer::update`] and [`Layer::dispatch`] are the two pages to read.
//! * [`Schedule`]: what each step is, known beforehand.
//! * [`LayerState`]: what one run of one layer remembers.
//! * [`Sum`]: residual connections, so that hidden states stay on the device; [`Engine::copied`] counts what does not.
//!
//! All memory is allocated when a layer and its state are made; a step allocates none on a device with kernels, and reads
//! nothing back but S_c and S_s at an Update of a strategy with `degrade when`. Tokens are given as they are stored: a
//! model permutes them once, before its first layer.
//!
//! A run starts at any Update or dense step of the schedule, or with [`Layer::update`] at any step: image to image, or a
//! run that goes on after another process stopped. Forecasts then grow from order 0 as they do from step 0.
//!
//! An application that owns its projections uses [`Attention`]: Q, K and V in, O out.

mod attention;
mod core;
mod error;
mod forecast;
mod layer;
mod schedule;
mod state;
mod step;
mod sum;
mod varying;
mod workspace;

use std::sync::{Arc, Mutex, PoisonError, Weak};

use sparsym_ir::{DType, Tensor};

pub use crate::device::session::{Array, BitArray, Copied, SymbolArrays};
pub use attention::Attention;
pub use error::{LayerError, StepError};
pub use layer::{Layer, LayerSpec, Linear, Part, Weights};
pub use schedule::{LayerPlace, PlannedStep, Schedule};
pub use sparsym_ir::eval::StepKind;
pub use state::LayerState;
pub use step::StepReport;
pub use sum::Sum;

use crate::device::session::Session;
use crate::device::{Cost, Device};
use crate::error::Error;
use workspace::Workspace;

/// A device with memory that stays between calls.
#[derive(Clone)]
pub struct Engine {
    session: Arc<dyn Session>,
    /// Layers of one shape work in the same memory, one after another.
    workspaces: Arc<Mutex<Vec<Weak<Mutex<Workspace>>>>>,
}

impl Engine {
    /// An engine on a device.
    ///
    /// # Errors
    /// The device's own.
    pub fn new(device: Arc<dyn Device>) -> Result<Engine, Error> {
        Ok(Engine { session: device.session()?, workspaces: Arc::default() })
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

    /// A layer; compiles its kernels and allocates its workspace.
    ///
    /// # Errors
    /// Findings about shapes and values, [`LayerError`], or the device's own.
    pub fn layer<'w>(&self, spec: LayerSpec, parts: Vec<Part<'w>>) -> Result<Layer<'w>, Error> {
        Layer::new(self, spec, parts)
    }

    /// Attention without projections, for an application that owns them; `dtype` is that of Q, K, V and O.
    ///
    /// # Errors
    /// Findings about shapes and values, or the device's own.
    pub fn attention(&self, spec: LayerSpec, dtype: DType) -> Result<Attention, Error> {
        Attention::new(self, spec, dtype)
    }

    /// Sums of arrays of this shape, `[B, rows, C]`, for what a model adds between its layers.
    ///
    /// # Errors
    /// Findings about sizes that the device has no kernel for, or the device's own.
    pub fn sum(&self, shape: [usize; 3], dtype: DType) -> Result<Sum, Error> {
        Sum::new(self, shape, dtype)
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

    fn session(&self) -> &Arc<dyn Session> {
        &self.session
    }

    /// The workspace of that shape; made if no living layer has one.
    fn workspace(&self, sizes: workspace::Sizes) -> Result<Arc<Mutex<Workspace>>, Error> {
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
