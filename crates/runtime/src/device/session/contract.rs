//! What a session does with calls.

use std::any::Any;
use std::sync::Arc;

use sparsym_ir::DType;
use sparsym_ir::strategy::Strategy;

use super::call::Call;
use super::memory::Memory;
use crate::device::measured::Cost;
use crate::error::Error;

/// Memory of a device, and calls over it.
pub trait Session: Memory {
    /// The most precise element type that its calls take.
    fn finest_dtype(&self) -> DType {
        DType::F32
    }

    /// Whether the symbols of a strategy can be made from block means alone; GEMM-Q then writes them on its way.
    fn takes_means(&self, _: &Strategy) -> bool {
        false
    }

    /// Whether these calls are faster as one [`Call::Together`]: if one launch makes all of them.
    fn takes_together(&self, _: &[Call<'_>]) -> bool {
        false
    }

    /// Compiles what a call needs, and allocates its workspace. Values of arrays, coefficients and the moment do not matter.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn prepare(&self, call: &Call<'_>) -> Result<Prepared, Error>;

    /// Runs a call that was prepared, or one that differs from it in arrays, numbers and extents alone. Results are in its
    /// arrays when this returns.
    ///
    /// # Errors
    /// Findings about arrays that do not fit, an array that is read and written, or the device's own failure. Devices with
    /// kernels refuse a call of another kind: [`ArrayError::OtherCall`](super::ArrayError::OtherCall). Nothing is written
    /// unless the device itself failed.
    fn run(&self, prepared: &Prepared, call: &Call<'_>) -> Result<Cost, Error>;

    /// Prepares a call and runs it.
    ///
    /// # Errors
    /// As [`Session::run`].
    fn run_once(&self, call: &Call<'_>) -> Result<Cost, Error> {
        self.run(&self.prepare(call)?, call)
    }

    /// Runs calls one after another, and gives what each took. A device with a queue starts all of them before it waits:
    /// how to time calls that are shorter than the way to the device and back.
    ///
    /// # Errors
    /// As [`Session::run`], for the first call that fails; those before it may have run.
    fn run_all(&self, calls: &[(&Prepared, Call<'_>)]) -> Result<Vec<Cost>, Error> {
        calls.iter().map(|(prepared, call)| self.run(prepared, call)).collect()
    }

    /// Runs calls one after another, without waiting on a device with a queue: results are in their arrays when one of them
    /// is read, or after [`Session::wait`].
    ///
    /// # Errors
    /// As [`Session::run_all`]; what a kernel does wrong while nobody waits comes with whatever waits for it.
    fn start(&self, calls: &[(&Prepared, Call<'_>)]) -> Result<(), Error> {
        self.run_all(calls).map(|_| ())
    }

    /// Waits for all calls that were started.
    ///
    /// # Errors
    /// Whatever stopped one of them.
    fn wait(&self) -> Result<(), Error> {
        Ok(())
    }

    /// Bytes of workspace that calls have needed so far beside their arrays.
    fn workspace_bytes(&self) -> usize;
}

/// What a session has made of a call, so that running it makes nothing: a loaded kernel and its workspace.
#[derive(Clone)]
pub struct Prepared(Arc<dyn Any + Send + Sync>);

impl Prepared {
    /// What a session keeps of a call.
    pub fn new(kept: impl Any + Send + Sync) -> Prepared {
        Prepared(Arc::new(kept))
    }

    /// What the session kept, if it kept this.
    pub fn get<T: Any>(&self) -> Option<&T> {
        self.0.downcast_ref()
    }
}
