//! `sparsym run gemm_q`.

use sparsym::device::projections;
use sparsym::ir::projection::{RmsNorm, Rope, RopePairs, Stream};
use sparsym::ir::symbols::CacheSymbol;
use sparsym::ir::{DType, GemmQCall, Tensor};
use sparsym::kernel::Room;

use super::GemmArgs;
use super::file::{self, InputFile, OutputTensor};
use crate::failure::Outcome;
use crate::output::{self, Report};

const READ: [&str; 7] = ["x", "w", "s_c", "bias", "q_norm", "rope_cos", "rope_sin"];

/// Reads, projects, writes, reports.
pub(super) fn run(GemmArgs { files }: &GemmArgs, report: Report) -> Outcome {
    let device = files.open(Room::GemmQ)?.into();
    let input = InputFile::read(&files.input)?;
    input.note_others(&READ);
    let (x, w, bias) = (input.tensor("x")?, input.tensor("w")?, input.find_tensor("bias")?);
    let stream = stream(&input, &x, &w)?;
    let s_c = input.cache_symbol(&stream)?;
    let (weight, tables) = (input.find_tensor("q_norm")?, tables(&input)?);
    let norm = weight.as_ref().map(|weight| -> Outcome<_> {
        Ok(RmsNorm { weight, eps: input.required("norm_eps", "which q_norm needs, for instance 0.000001")? })
    });
    let rope = tables.as_ref().map(|(cos, sin, pairs)| Rope { cos, sin, pairs: *pairs });
    let (norm, bias) = (norm.transpose()?, bias.as_ref());
    let call = GemmQCall { stream, x: &x, w: &w, bias, norm, rope, s_c: s_c.as_ref() };
    let measured =
        files.measure(|| projections::gemm_q(&device, &call, false)).map_err(|failure| input.about_data(failure))?;

    file::write(&files.output, &[OutputTensor::of("q", &measured.value.q)])?;
    let result = files.report(&*device, [s_c.as_ref().map_or(1.0, CacheSymbol::density), 1.0], measured.cost);
    output::print(report, &result, || result.to_string())
}

/// The whole sequence, as one stream.
fn stream(input: &InputFile, x: &Tensor, w: &Tensor) -> Outcome<Stream> {
    let [batch, tokens, width] = input.extents("x", x, "[B, N, C]")?;
    let [columns, _] = input.extents("w", w, "[H·D, C]")?;
    let head_dim: usize = input.required("head_dim", "which says how many rows of w are a head")?;
    if head_dim == 0 || !columns.is_multiple_of(head_dim) {
        return Err(input.failure(format!(
            "w has {columns} rows, which are no whole heads of {head_dim}; w is [H·D, C] and metadata head_dim is D"
        )));
    }
    input.stream(Stream {
        batch,
        tokens,
        first: 0,
        rows: tokens,
        width,
        heads: columns / head_dim,
        head_dim,
        block: 0, // of the metadata
    })
}

/// Cosines and sines as f32, and which channels they turn.
fn tables(input: &InputFile) -> Outcome<Option<(Tensor, Tensor, RopePairs)>> {
    let as_f32 = |table: Tensor| Tensor::from_f32(&table.shape, DType::F32, &table.to_f32());
    let (cos, sin) = match (input.find_tensor("rope_cos")?, input.find_tensor("rope_sin")?) {
        (Some(cos), Some(sin)) => (as_f32(cos), as_f32(sin)),
        (None, None) => return Ok(None),
        (Some(_), None) => return Err(input.failure("there is a tensor rope_cos, and no rope_sin; give both or none")),
        (None, Some(_)) => return Err(input.failure("there is a tensor rope_sin, and no rope_cos; give both or none")),
    };
    let name: String = input.required("rope", "which says what channels rope_cos turns: interleaved or half")?;
    match RopePairs::parse(&name) {
        Some(pairs) => Ok(Some((cos, sin, pairs))),
        None => Err(input.failure(format!("metadata rope is {name:?}; it is interleaved or half"))),
    }
}
