//! One projection on tensors in host memory: places them, runs the call, reads the results.

use std::sync::Arc;

use sparsym_ir::projection::{Summed, Unmade};
use sparsym_ir::{DType, DifferencesCall, GemmOCall, GemmQCall, Tensor};

use super::contract::Device;
use super::measured::Measured;
use super::session::{Array, BitArray, Call, Session};
use crate::error::Error;

/// What GEMM-Q gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GemmQOutput {
    /// `[B, N, H, D]`; tiles that were not computed, and rows of other streams, are 0.
    pub q: Tensor,
    /// f32 `[B, H, T, D]`, if asked for: means of the blocks that were computed, 0 for others.
    pub means: Option<Tensor>,
}

/// What GEMM-O gives.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct GemmOOutput {
    /// `[B, rows, C]`.
    pub y: Tensor,
    /// `[B, rows, C]`: the cached heads alone, for [`Summed::Both`].
    pub partial: Option<Tensor>,
}

/// One projection to heads.
///
/// # Errors
/// Findings about arrays that do not fit, or the device's own failure.
pub fn gemm_q(device: &Arc<dyn Device>, call: &GemmQCall<'_>, means: bool) -> Result<Measured<GemmQOutput>, Error> {
    let (session, stream) = (device.session()?, &call.stream);
    let q = Unmade::new(&stream.head_shape(), call.x.dtype());
    let shape = [stream.batch, stream.heads, stream.blocks(), stream.head_dim];
    let means = means.then(|| Unmade::new(&shape, DType::F32));
    call.check(&q, means.as_ref())?;
    let call = call.try_map(|tensor| input(&session, tensor), |s_c| BitArray::place(&session, "s_c", s_c.rows()))?;
    let (q, means) = (zeros(&session, "q", &q)?, means.map(|means| zeros(&session, "means", &means)).transpose()?);
    let call = call.try_map(Ok::<_, Error>, Ok)?;
    let cost = session.run_once(&Call::GemmQ { call, q: &q, means: means.as_ref() })?;
    let value = GemmQOutput { q: q.read()?, means: means.as_ref().map(Array::read).transpose()? };
    Ok(Measured { value, cost })
}

/// One projection back to the model width.
///
/// # Errors
/// Findings about arrays that do not fit, or the device's own failure.
pub fn gemm_o(device: &Arc<dyn Device>, call: &GemmOCall<'_>) -> Result<Measured<GemmOOutput>, Error> {
    let (session, stream) = (device.session()?, &call.stream);
    let y = Unmade::new(&stream.model_shape(), call.o.dtype());
    let partial = (call.summed == Summed::Both).then_some(&y);
    call.check(&y, partial)?;
    let call = call.try_map(|tensor| input(&session, tensor), |s_c| BitArray::place(&session, "s_c", s_c.rows()))?;
    let partial = partial.map(|partial| unwritten(&session, "partial", partial)).transpose()?;
    let (y, call) = (unwritten(&session, "y", &y)?, call.try_map(Ok::<_, Error>, Ok)?);
    let cost = session.run_once(&Call::GemmO { call, y: &y, partial: partial.as_ref() })?;
    let value = GemmOOutput { y: y.read()?, partial: partial.as_ref().map(Array::read).transpose()? };
    Ok(Measured { value, cost })
}

/// Projected differences, `[B, rows, C]` for each order from 1.
///
/// # Errors
/// Findings about arrays that do not fit, or the device's own failure.
pub fn differences(device: &Arc<dyn Device>, call: &DifferencesCall<'_>) -> Result<Measured<Vec<Tensor>>, Error> {
    let (session, stream) = (device.session()?, &call.stream);
    let partials = vec![Unmade::new(&stream.model_shape(), call.w.dtype()); call.weights.len()];
    call.check(&partials)?;
    let call = call.try_map(|tensor| input(&session, tensor), |s_c| BitArray::place(&session, "s_c", s_c.rows()))?;
    let partials = partials.iter().map(|partial| unwritten(&session, "partial", partial));
    let partials: Vec<Array> = partials.collect::<Result<_, _>>()?;
    let call = call.try_map(Ok::<_, Error>, Ok)?;
    let cost = session.run_once(&Call::Differences { call, partials: partials.iter().collect() })?;
    let value = partials.iter().map(Array::read).collect::<Result<_, _>>()?;
    Ok(Measured { value, cost })
}

fn input(session: &Arc<dyn Session>, tensor: &Tensor) -> Result<Array, Error> {
    Array::place(session, "input", tensor)
}

/// A result that a call writes in part.
fn zeros(session: &Arc<dyn Session>, name: &str, of: &Unmade) -> Result<Array, Error> {
    Array::place(session, name, &Tensor::zeros(&of.shape, of.dtype))
}

/// A result that a call writes whole.
fn unwritten(session: &Arc<dyn Session>, name: &str, of: &Unmade) -> Result<Array, Error> {
    Array::new(session, name, &of.shape, of.dtype)
}
