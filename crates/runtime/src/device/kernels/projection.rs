//! Which kernel a projection needs, and what its buffers are.

use sparsym_codegen::{Buffer, Projection, ProjectionNumbers, Request, Room, Target};
use sparsym_ir::problem::DType;
use sparsym_ir::projection::{Shaped, Stream};
use sparsym_ir::strategy::{Blocks, Strategy};
use sparsym_ir::{Code, Differences, Finding, Findings, GemmO, GemmQ};

use super::session::{Place, bits, id};
use crate::device::session::{Array, BitArray, Call};

/// A projection over arrays, whichever it is.
pub(super) struct ProjectionCall<'a> {
    /// Its sizes.
    pub(super) stream: Stream,
    room: Room,
    parts: Projection,
    dtype: DType,
    eps: f32,
    coefficients: &'a [f32],
    weights: &'a [Vec<f32>],
    call: &'a Call<'a>,
}

impl<'a> ProjectionCall<'a> {
    /// None: the call is not a projection.
    pub(super) fn of(call: &'a Call<'a>) -> Option<ProjectionCall<'a>> {
        let none = Projection::default();
        let of = |room, stream, dtype, parts| ProjectionCall {
            stream,
            room,
            parts,
            dtype,
            eps: 0.0,
            coefficients: &[],
            weights: &[],
            call,
        };
        Some(match call {
            Call::GemmQ { call: GemmQ { stream, x, bias, norm, rope, s_c, .. }, means, .. } => ProjectionCall {
                eps: norm.map_or(0.0, |norm| norm.eps),
                ..of(
                    Room::GemmQ,
                    *stream,
                    x.dtype(),
                    Projection {
                        sparse: s_c.is_some(),
                        bias: bias.is_some(),
                        norm: norm.is_some(),
                        rope: rope.map(|rope| rope.pairs),
                        means: means.is_some(),
                        ..none
                    },
                )
            },
            Call::GemmO { call: GemmO { stream, o, bias, s_c, summed, partials, coefficients, .. }, .. } => {
                ProjectionCall {
                    coefficients,
                    ..of(
                        Room::GemmO,
                        *stream,
                        o.dtype(),
                        Projection {
                            sparse: s_c.is_some(),
                            bias: bias.is_some(),
                            summed: *summed,
                            partials: !partials.is_empty(),
                            ..none
                        },
                    )
                }
            }
            Call::Differences { call: Differences { stream, w, weights, .. }, .. } => ProjectionCall {
                weights,
                ..of(Room::GemmO, *stream, w.dtype(), Projection { sparse: true, differences: true, ..none })
            },
            Call::Symbols(_) | Call::Attention(_) => return None,
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

    /// The kernel; `strategy` is only a name.
    pub(super) fn request<'s>(&self, strategy: &'s Strategy, target: Target) -> Request<'s> {
        let block = self.stream.block as u32;
        Request {
            dtype: self.dtype,
            head_dim: self.stream.head_dim,
            blocks: Blocks { q: block, kv: block },
            projection: self.parts,
            ..Request::new(strategy, self.room, target)
        }
    }

    pub(super) fn numbers(&self) -> ProjectionNumbers<'a> {
        ProjectionNumbers { eps: self.eps, coefficients: self.coefficients, weights: self.weights }
    }

    /// Results that one launch makes side by side.
    pub(super) fn orders(&self) -> usize {
        self.weights.len()
    }

    /// What is in a buffer. None: the call has no such one.
    pub(super) fn place(&self, buffer: Buffer) -> Option<Place<'static>> {
        if let Some(bytes) = buffer.projection_workspace_bytes(&self.stream, self.orders()) {
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
            Call::Symbols(_) | Call::Attention(_) => None,
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
