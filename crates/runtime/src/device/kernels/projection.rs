//! Which kernel a projection needs, and what its buffers are.

use sparsym_codegen::{Buffer, FromHeads, Numbers, Product, Request, RoomRequest, Sizes, SummedHeads, Target, ToHeads};
use sparsym_ir::problem::DType;
use sparsym_ir::projection::{Shaped, Stream};
use sparsym_ir::{Code, Differences, Finding, Findings, GemmO, GemmQ};

use super::session::{Place, bits, id};
use crate::device::session::{Array, BitArray, Call};

/// A projection over arrays, whichever it is.
pub(super) struct ProjectionCall<'a> {
    stream: &'a Stream,
    room: RoomRequest<'static>,
    dtype: DType,
    eps: f32,
    coefficients: &'a [f32],
    weights: &'a [Vec<f32>],
    call: &'a Call<'a>,
}

impl<'a> ProjectionCall<'a> {
    /// None: the call is not a projection.
    pub(super) fn of(call: &'a Call<'a>) -> Option<ProjectionCall<'a>> {
        let of = |room, stream: &'a Stream, dtype| ProjectionCall {
            stream,
            room,
            dtype,
            eps: 0.0,
            coefficients: &[],
            weights: &[],
            call,
        };
        Some(match call {
            Call::GemmQ { call: GemmQ { stream, x, bias, norm, rope, s_c, .. }, means, .. } => {
                let block = stream.block as u32;
                let room = ToHeads {
                    block: s_c.is_some().then_some(block),
                    bias: bias.is_some(),
                    norm: norm.is_some(),
                    rope: rope.map(|rope| rope.pairs),
                    means: means.is_some().then_some(block),
                };
                let eps = norm.map_or(0.0, |norm| norm.eps);
                ProjectionCall { eps, ..of(RoomRequest::GemmQ(room), stream, x.dtype()) }
            }
            Call::GemmO { call: GemmO { stream, o, bias, s_c, summed, partials, coefficients, .. }, .. } => {
                let heads = s_c.map(|_| SummedHeads { block: stream.block as u32, summed: *summed });
                let room = Product { heads, partials: !partials.is_empty(), bias: bias.is_some() };
                let room = RoomRequest::GemmO(FromHeads::Product(room));
                ProjectionCall { coefficients, ..of(room, stream, o.dtype()) }
            }
            Call::Differences { call: Differences { stream, w, weights, .. }, .. } => {
                let room = RoomRequest::GemmO(FromHeads::Differences { block: stream.block as u32 });
                ProjectionCall { weights, ..of(room, stream, w.dtype()) }
            }
            Call::Symbols { .. } | Call::Attention { .. } => return None,
        })
    }

    /// What kernels cannot do.
    pub(super) fn check(&self) -> Result<(), Findings> {
        if !self.stream.width.is_multiple_of(8) {
            let what = format!("a model width of {} cannot be read 16 bytes at a time", self.stream.width);
            let help = "pad C in X and weights with zeros to a multiple of 8 and leave out the columns that Y has more, or use the cpu device";
            return Err(Finding::new(Code::NoTile, what, help).into());
        }
        for (name, extent) in [("tokens", self.stream.tokens), ("model width", self.stream.width)] {
            if i32::try_from(extent.saturating_mul(self.stream.batch)).is_err() {
                let what = format!("{extent} {name} are too many for one launch");
                return Err(Finding::new(Code::TensorShape, what, "split the call by batch items or tokens").into());
            }
        }
        Ok(())
    }

    /// The kernel.
    pub(super) fn request(&self, target: Target) -> Request<'static> {
        Request { dtype: self.dtype, head_dim: self.stream.head_dim, ..Request::of(self.room.clone(), target) }
    }

    pub(super) fn numbers(&self) -> Numbers<'a> {
        Numbers {
            sizes: Sizes::Stream { stream: self.stream, eps: self.eps },
            coefficients: self.coefficients,
            weights: self.weights,
        }
    }

    /// What is in a buffer. None: the call has no such one.
    pub(super) fn place(&self, buffer: Buffer) -> Option<Place<'static>> {
        if let Some(bytes) = buffer.workspace_bytes(&self.numbers()) {
            return Some(Place::Workspace(bytes));
        }
        match self.call {
            Call::GemmQ { call, q, means } => of_gemm_q(buffer, call, q, *means),
            Call::GemmO { call, y, partial } => of_gemm_o(buffer, call, y, *partial),
            Call::Differences { call, partials } => Some(match buffer {
                Buffer::W => id(call.w),
                Buffer::CacheSymbol => bits(call.s_c),
                Buffer::Output(n) => id(call.outputs.get(n)?),
                Buffer::PartialOut(n) => id(partials.get(n)?),
                _ => return None,
            }),
            Call::Symbols { .. } | Call::Attention { .. } => None,
        }
    }
}

fn of_gemm_q(
    buffer: Buffer,
    call: &GemmQ<&Array, &BitArray>,
    q: &Array,
    means: Option<&Array>,
) -> Option<Place<'static>> {
    Some(match buffer {
        Buffer::X => id(call.x),
        Buffer::W => id(call.w),
        Buffer::Bias => id(call.bias?),
        Buffer::NormWeight => id(call.norm?.weight),
        Buffer::RopeCos => id(call.rope?.cos),
        Buffer::RopeSin => id(call.rope?.sin),
        Buffer::CacheSymbol => bits(call.s_c?),
        Buffer::QOut => id(q),
        Buffer::BlockMeans => id(means?),
        _ => return None,
    })
}

fn of_gemm_o(
    buffer: Buffer,
    call: &GemmO<&Array, &BitArray>,
    y: &Array,
    partial: Option<&Array>,
) -> Option<Place<'static>> {
    Some(match buffer {
        Buffer::O => id(call.o),
        Buffer::W => id(call.w),
        Buffer::Bias => id(call.bias?),
        Buffer::CacheSymbol => bits(call.s_c?),
        Buffer::PartialIn(n) => id(call.partials.get(n)?),
        Buffer::PartialOut(0) => id(partial?),
        Buffer::Y => id(y),
        _ => return None,
    })
}
