//! A call as kernels see it: which one it needs, with which numbers, and what its buffers are.

use std::borrow::Cow;

use sparsym_codegen::{
    AttentionRequest, Buffer, CachedRows, FromHeads, MOST_PROJECTIONS, Means, Numbers, Product, Request, RoomRequest,
    Scale, Sequences, Sizes, SummedHeads, SymbolsRequest, Target, TileOrder, ToHeads,
};
use sparsym_ir::bind::Bound;
use sparsym_ir::problem::DType;
use sparsym_ir::projection::{Shaped, Stream};
use sparsym_ir::strategy::{Blocks, Strategy};
use sparsym_ir::{Code, Differences, Finding, Findings, GemmO, GemmQ};

use super::buffers;
use crate::device::session::{Array, BitArray, Call};

/// Row tiles of a projection that shares a launch: a tile has 24 bits for them.
const MOST_ROW_TILES: usize = 1 << 24;

/// A call, and the kernel that it needs.
pub(super) struct KernelCall<'a> {
    pub(super) request: Request<'a>,
    /// What each parameter struct of the kernel is filled with: one, or those of the projections that share a launch.
    pub(super) parts: Vec<Part<'a>>,
}

/// What a parameter struct is filled with.
pub(super) struct Part<'a> {
    call: &'a Call<'a>,
    pub(super) numbers: Numbers<'a>,
    /// Block means that are read instead of Q and K.
    means: Option<[&'a Array; 2]>,
}

/// What a kernel finds in one of its buffers.
pub(super) enum Operand<'a> {
    /// An array.
    Array(u64),
    /// So many bytes that no call reads before it wrote them.
    Workspace(usize),
    /// These bytes.
    Constant(Cow<'a, [u8]>),
}

/// The request that a kernel was made for, to know it again.
pub(super) struct MadeFor {
    rules: Option<Strategy>,
    dtype: DType,
    head_dim: usize,
    kind: Kind,
}

/// A room request without its strategy.
#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Attention(Blocks, Sequences, CachedRows, Scale),
    Symbols(Blocks, Sequences, Means),
    GemmQ(ToHeads),
    GemmO(FromHeads),
}

impl<'a> KernelCall<'a> {
    /// The call must have passed its check.
    ///
    /// # Errors
    /// Findings about what kernels cannot do.
    pub(super) fn of(call: &'a Call<'a>, target: Target) -> Result<KernelCall<'a>, Findings> {
        let of = |dtype, head_dim, room, numbers| {
            let request = Request { dtype, head_dim, ..Request::of(room, target) };
            Ok(KernelCall { request, parts: vec![Part { call, numbers, means: None }] })
        };
        match call {
            Call::Attention { call, .. } => {
                buffers::check_extents(call.bound)?;
                let (bound, dtype) = (call.bound, call.q.dtype());
                let room = AttentionRequest {
                    strategy: bound.strategy,
                    blocks: bound.problem.blocks,
                    sequences: sequences(bound),
                    // O starts as zeros, which is what such rows are without a forecast.
                    cached_rows: call.forecast.as_ref().map_or(CachedRows::LeftToCaller, |_| CachedRows::Forecast),
                    scale: Scale::of(bound.problem.scale, dtype),
                    order: TileOrder::Grid,
                };
                let coefficients = call.forecast.as_ref().map_or(&[][..], |forecast| &forecast.coefficients);
                let numbers = Numbers { coefficients, ..Numbers::of_rules(bound, call.moment) };
                of(dtype, bound.problem.head_dim, RoomRequest::Attention(room), numbers)
            }
            Call::Symbols { call, means, .. } => {
                buffers::check_extents(call.bound)?;
                let (bound, strategy) = (call.bound, call.bound.strategy);
                let means = means.filter(|_| sparsym_codegen::reads_means_alone(strategy));
                let room = SymbolsRequest {
                    strategy,
                    blocks: bound.problem.blocks,
                    sequences: sequences(bound),
                    means: if means.is_some() { Means::Given } else { Means::Computed },
                };
                // Only texts that read Q and K depend on their type.
                let dtype = call.data.filter(|_| strategy.reads_data()).map_or(DType::Bf16, |(q, _)| q.dtype());
                let numbers = Numbers::of_rules(bound, call.moment);
                let mut made = of(dtype, bound.problem.head_dim, RoomRequest::Symbols(room), numbers)?;
                made.parts[0].means = means;
                Ok(made)
            }
            Call::Together(calls) => KernelCall::together(calls, target),
            Call::GemmQ { call: GemmQ { stream, x, bias, norm, rope, s_c, .. }, means, .. } => {
                check_stream(stream)?;
                let block = stream.block as u32;
                let room = ToHeads {
                    block: s_c.is_some().then_some(block),
                    bias: bias.is_some(),
                    norm: norm.is_some(),
                    rope: rope.map(|rope| rope.pairs),
                    means: means.is_some().then_some(block),
                    together: false,
                };
                let sizes = Sizes::Stream { stream, eps: norm.map_or(0.0, |norm| norm.eps) };
                let numbers = Numbers { sizes, ..Numbers::of_stream(stream) };
                of(x.dtype(), stream.head_dim, RoomRequest::GemmQ(room), numbers)
            }
            Call::GemmO { call: GemmO { stream, o, bias, s_c, summed, partials, coefficients, .. }, .. } => {
                check_stream(stream)?;
                let heads = s_c.map(|_| SummedHeads { block: stream.block as u32, summed: *summed });
                let room = Product { heads, partials: !partials.is_empty(), bias: bias.is_some() };
                let numbers = Numbers { coefficients, ..Numbers::of_stream(stream) };
                of(o.dtype(), stream.head_dim, RoomRequest::GemmO(FromHeads::Product(room)), numbers)
            }
            Call::Differences { call: Differences { stream, w, weights, .. }, .. } => {
                check_stream(stream)?;
                let room = FromHeads::Differences { block: stream.block as u32 };
                let numbers = Numbers { weights, ..Numbers::of_stream(stream) };
                of(w.dtype(), stream.head_dim, RoomRequest::GemmO(room), numbers)
            }
        }
    }

    /// Projections to heads in one launch. The kernel has what any of them has.
    ///
    /// # Errors
    /// Findings about what no kernel does together.
    pub(super) fn together(calls: &'a [Call<'a>], target: Target) -> Result<KernelCall<'a>, Findings> {
        let made = calls.iter().map(|call| KernelCall::of(call, target)).collect::<Result<Vec<_>, _>>()?;
        let mut all: Option<Request<'a>> = None;
        for request in made.iter().map(|made| &made.request) {
            all = Some(match all {
                None => Request { room: RoomRequest::GemmQ(alone(request)?), ..request.clone() },
                Some(all) => joined(&all, request)?,
            });
        }
        let Some(all) = all else { return Err(apart("no calls at all have no kernel")) };
        let room = ToHeads { together: true, ..alone(&all)? };
        // Without tokens a projection has no tiles, and its arrays cannot be cut into boxes.
        let mut parts: Vec<_> = made.into_iter().flat_map(|made| made.parts).collect();
        let stream = |part: &Part<'a>| match part.call {
            Call::GemmQ { call, .. } => call.stream,
            _ => unreachable!("each is a projection to heads"),
        };
        parts.retain(|part| stream(part).rows > 0);
        if parts.len() > MOST_PROJECTIONS {
            return Err(apart(&format!("{} projections are too many for one launch", parts.len())));
        }
        let most_row_tiles = |stream: Stream| stream.batch.saturating_mul(stream.rows / 128 + 2);
        if parts.iter().any(|part| most_row_tiles(stream(part)) > MOST_ROW_TILES) {
            return Err(apart("a projection has too many batch items for a launch with others"));
        }
        Ok(KernelCall { request: Request { room: RoomRequest::GemmQ(room), ..all }, parts })
    }

    /// What errors call the strategy.
    pub(super) fn strategy_name(&self) -> String {
        kind(&self.request).0.map_or_else(|| "projection".to_owned(), Strategy::snake_name)
    }
}

impl<'a> Part<'a> {
    /// What is in a buffer. None: the call has no such one.
    pub(super) fn place(&self, buffer: Buffer) -> Option<Operand<'a>> {
        if let (Buffer::Means(side), Some(means)) = (buffer, self.means) {
            return Some(id(means[side as usize]));
        }
        if let (Buffer::HeadTiles(_), Call::GemmQ { call: GemmQ { s_c: None, .. }, .. }) = (buffer, self.call) {
            return None; // all tiles are computed: there is no list
        }
        if let Some(bytes) = buffer.workspace_bytes(&self.numbers) {
            return Some(Operand::Workspace(bytes));
        }
        Some(match self.call {
            Call::Attention { call, o, lse } => match buffer {
                Buffer::Q => id(call.q),
                Buffer::K => id(call.k),
                Buffer::V => id(call.v),
                Buffer::O => id(o),
                Buffer::Lse => id(lse),
                Buffer::CacheSymbol => bits(call.symbols.cache),
                Buffer::SkipSymbol => bits(call.symbols.skip),
                Buffer::FullSymbol => bits(call.symbols.full?),
                Buffer::Feature(n) => id(call.forecast.as_ref()?.features.get(n)?),
                other => Operand::Constant(buffers::of_rules(other, call.bound)?),
            },
            Call::Symbols { call, symbols, .. } => match buffer {
                Buffer::Q => id(call.data?.0),
                Buffer::K => id(call.data?.1),
                Buffer::CacheSymbol => bits(&symbols.cache),
                Buffer::SkipSymbol => bits(&symbols.skip),
                Buffer::FullSymbol => bits(symbols.full.as_ref()?),
                other => Operand::Constant(buffers::of_rules(other, call.bound)?),
            },
            Call::GemmQ { call, q, means } => match buffer {
                Buffer::X => id(call.x),
                Buffer::W => id(call.w),
                Buffer::Bias => id(call.bias?),
                Buffer::NormWeight => id(call.norm?.weight),
                Buffer::RopeCos => id(call.rope?.cos),
                Buffer::RopeSin => id(call.rope?.sin),
                Buffer::CacheSymbol => bits(call.s_c?),
                Buffer::QOut => id(q),
                Buffer::BlockMeans => id((*means)?),
                _ => return None,
            },
            Call::GemmO { call, y, partial } => match buffer {
                Buffer::O => id(call.o),
                Buffer::W => id(call.w),
                Buffer::Bias => id(call.bias?),
                Buffer::CacheSymbol => bits(call.s_c?),
                Buffer::PartialIn(n) => id(call.partials.get(n)?),
                Buffer::PartialOut(0) => id((*partial)?),
                Buffer::Y => id(y),
                _ => return None,
            },
            Call::Differences { call, partials } => match buffer {
                Buffer::W => id(call.w),
                Buffer::CacheSymbol => bits(call.s_c),
                Buffer::Output(n) => id(call.outputs.get(n)?),
                Buffer::PartialOut(n) => id(partials.get(n)?),
                _ => return None,
            },
            Call::Together(_) => return None,
        })
    }
}

/// What a projection to heads has, if a request is one.
fn alone(request: &Request<'_>) -> Result<ToHeads, Findings> {
    match request.room {
        RoomRequest::GemmQ(of) if !of.together => Ok(of),
        _ => Err(apart("only projections to heads share a launch")),
    }
}

/// What makes either of two requests.
fn joined<'a>(all: &Request<'a>, next: &Request<'a>) -> Result<Request<'a>, Findings> {
    fn either<T: PartialEq>(one: Option<T>, other: Option<T>, what: &str) -> Result<Option<T>, Findings> {
        match (one, other) {
            (Some(one), Some(other)) if one != other => Err(apart(&format!("projections have two {what}"))),
            (one, other) => Ok(one.or(other)),
        }
    }
    let (one, other) = (alone(all)?, alone(next)?);
    if (all.dtype, all.head_dim) != (next.dtype, next.head_dim) {
        return Err(apart("projections have two element types or head dimensions"));
    }
    let room = ToHeads {
        block: either(one.block, other.block, "sizes of blocks of S_c")?,
        bias: one.bias || other.bias,
        norm: one.norm || other.norm,
        rope: either(one.rope, other.rope, "kinds of rotary embeddings")?,
        means: either(one.means, other.means, "sizes of blocks with means")?,
        together: false,
    };
    Ok(Request { room: RoomRequest::GemmQ(room), ..all.clone() })
}

/// A finding about calls that no launch makes together.
fn apart(what: &str) -> Findings {
    Finding::new(Code::NoTile, what, "make these calls one after another").into()
}

impl MadeFor {
    pub(super) fn new(request: &Request<'_>) -> MadeFor {
        let (rules, kind) = kind(request);
        MadeFor { rules: rules.cloned(), dtype: request.dtype, head_dim: request.head_dim, kind }
    }

    /// Whether a request of the same target asks for the same kernel.
    pub(super) fn is(&self, request: &Request<'_>) -> bool {
        let (rules, kind) = kind(request);
        (kind, request.dtype, request.head_dim) == (self.kind, self.dtype, self.head_dim)
            && rules == self.rules.as_ref()
    }
}

fn kind<'a>(request: &Request<'a>) -> (Option<&'a Strategy>, Kind) {
    match request.room {
        // Whoever prepares a call decides in which order tiles are taken: the results do not depend on it.
        RoomRequest::Attention(AttentionRequest { strategy, blocks, sequences, cached_rows, scale, order: _ }) => {
            (Some(strategy), Kind::Attention(blocks, sequences, cached_rows, scale))
        }
        RoomRequest::Symbols(SymbolsRequest { strategy, blocks, sequences, means }) => {
            (Some(strategy), Kind::Symbols(blocks, sequences, means))
        }
        RoomRequest::GemmQ(parts) => (None, Kind::GemmQ(parts)),
        RoomRequest::GemmO(parts) => (None, Kind::GemmO(parts)),
    }
}

/// What kernels cannot project.
fn check_stream(stream: &Stream) -> Result<(), Findings> {
    if !stream.width.is_multiple_of(8) {
        let what = format!("a model width of {} cannot be read 16 bytes at a time", stream.width);
        let help = "pad C in X and weights with zeros to a multiple of 8 and leave out the columns that Y has more, or use the cpu device";
        return Err(Finding::new(Code::NoTile, what, help).into());
    }
    if stream.heads > buffers::MOST_CTAS_YZ {
        let what = format!("{} heads are too many for one launch", stream.heads);
        let help = format!("split the call by heads; a launch takes {} at most", buffers::MOST_CTAS_YZ);
        return Err(Finding::new(Code::TensorShape, what, help).into());
    }
    for (name, extent) in [("tokens", stream.tokens), ("model width", stream.width)] {
        if i32::try_from(extent.saturating_mul(stream.batch)).is_err() {
            let what = format!("{extent} {name} are too many for one launch");
            return Err(Finding::new(Code::TensorShape, what, "split the call by batch items or tokens").into());
        }
    }
    Ok(())
}

fn sequences(bound: &Bound<'_>) -> Sequences {
    if bound.problem.ragged.is_some() { Sequences::Ragged } else { Sequences::Uniform }
}

fn id(array: &Array) -> Operand<'static> {
    Operand::Array(array.slot().id())
}

fn bits(array: &BitArray) -> Operand<'static> {
    Operand::Array(array.slot().id())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_of_a_projection_fit_what_kernels_count_with() {
        let stream =
            Stream { batch: 1, tokens: 8, first: 0, rows: 8, width: 64, heads: 65_535, head_dim: 64, block: 128 };
        check_stream(&stream).expect("as many heads as 16 bits have numbers for");
        for (stream, words) in [
            (Stream { heads: 65_536, ..stream }, "65536 heads are too many"),
            (Stream { tokens: 1 << 31, ..stream }, "2147483648 tokens are too many"),
            (Stream { width: 60, ..stream }, "a model width of 60 cannot be read"),
        ] {
            let findings = check_stream(&stream).expect_err(words).to_string();
            assert!(findings.contains(words) && findings.contains("help: "), "{findings}");
        }
    }
}
