//! One projection on tensors in host memory: places them, runs the call, reads the results.

use std::sync::Arc;

use sparsym_ir::projection::{Summed, check_cache_symbol};
use sparsym_ir::{DType, DifferencesCall, GemmOCall, GemmQCall, Tensor};

use super::session::{Array, BitArray, Call, Session};
use super::{Device, Measured};
use crate::error::Error;

/// What GEMM-Q gives.
#[derive(Clone, Debug)]
pub struct GemmQOutput {
    /// `[B, N, H, D]`; tiles that were not computed, and rows of other streams, are 0.
    pub q: Tensor,
    /// f32 `[B, H, T, D]`, if asked for: means of the blocks that were computed, 0 for others.
    pub means: Option<Tensor>,
}

/// What GEMM-O gives.
#[derive(Clone, Debug)]
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
    let (session, stream) = (device.clone().session()?, &call.stream);
    stream.check()?;
    call.s_c.map_or(Ok(()), |s_c| check_cache_symbol(stream, s_c))?;
    let place = |tensor: &&Tensor| Array::place(&session, "input", tensor);
    let placed = call.try_map(place, |s_c| BitArray::place(&session, "s_c", s_c.rows()))?;
    let q = zeros(&session, "q", &stream.head_shape(), call.x.dtype())?;
    let shape = [stream.batch, stream.heads, stream.blocks(), stream.head_dim];
    let means = means.then(|| zeros(&session, "means", &shape, DType::F32)).transpose()?;
    let call = placed.try_map(Ok::<_, Error>, Ok)?;
    let cost = session.run(&Call::GemmQ { call, q: &q, means: means.as_ref() })?;
    let value = GemmQOutput { q: q.read()?, means: means.as_ref().map(Array::read).transpose()? };
    Ok(Measured { value, cost })
}

/// One projection back to the model width.
///
/// # Errors
/// Findings about arrays that do not fit, or the device's own failure.
pub fn gemm_o(device: &Arc<dyn Device>, call: &GemmOCall<'_>) -> Result<Measured<GemmOOutput>, Error> {
    let (session, stream) = (device.clone().session()?, &call.stream);
    stream.check()?;
    call.s_c.map_or(Ok(()), |s_c| check_cache_symbol(stream, s_c))?;
    let place = |tensor: &&Tensor| Array::place(&session, "input", tensor);
    let placed = call.try_map(place, |s_c| BitArray::place(&session, "s_c", s_c.rows()))?;
    let result = |name| Array::new(&session, name, &stream.model_shape(), call.o.dtype());
    let (y, partial) = (result("y")?, (call.summed == Summed::Both).then(|| result("partial")).transpose()?);
    let call = placed.try_map(Ok::<_, Error>, Ok)?;
    let cost = session.run(&Call::GemmO { call, y: &y, partial: partial.as_ref() })?;
    let value = GemmOOutput { y: y.read()?, partial: partial.as_ref().map(Array::read).transpose()? };
    Ok(Measured { value, cost })
}

/// Projected differences, `[B, rows, C]` for each order from 1.
///
/// # Errors
/// Findings about arrays that do not fit, or the device's own failure.
pub fn differences(device: &Arc<dyn Device>, call: &DifferencesCall<'_>) -> Result<Measured<Vec<Tensor>>, Error> {
    let (session, stream) = (device.clone().session()?, &call.stream);
    check_cache_symbol(stream, call.s_c)?;
    let place = |tensor: &&Tensor| Array::place(&session, "input", tensor);
    let placed = call.try_map(place, |s_c| BitArray::place(&session, "s_c", s_c.rows()))?;
    let partial = |_| Array::new(&session, "partial", &stream.model_shape(), call.w.dtype());
    let partials: Vec<Array> = call.weights.iter().map(partial).collect::<Result<_, _>>()?;
    let call = placed.try_map(Ok::<_, Error>, Ok)?;
    let cost = session.run(&Call::Differences { call, partials: partials.iter().collect() })?;
    let value = partials.iter().map(Array::read).collect::<Result<_, _>>()?;
    Ok(Measured { value, cost })
}

fn zeros(session: &Arc<dyn Session>, name: &str, shape: &[usize], dtype: DType) -> Result<Array, Error> {
    Array::place(session, name, &Tensor::zeros(shape, dtype))
}
