//! `sparsym run gemm_o`.

use sparsym::device::projections;
use sparsym::ir::GemmOCall;
use sparsym::ir::projection::{Stream, Summed};
use sparsym::ir::symbols::CacheSymbol;
use sparsym::kernel::Room;

use super::GemmArgs;
use super::file::{self, InputFile, OutputTensor};
use crate::failure::Outcome;
use crate::output::{self, Report};

const READ: [&str; 5] = ["o", "w", "s_c", "bias", "partial"];

/// Reads, projects, writes, reports.
pub(super) fn run(GemmArgs { files }: &GemmArgs, report: Report) -> Outcome {
    let device = files.open(Room::GemmO)?.into();
    let input = InputFile::read(&files.input)?;
    input.note_others(&READ);
    let (o, w) = (input.tensor("o")?, input.tensor("w")?);
    let (bias, partial) = (input.find_tensor("bias")?, input.find_tensor("partial")?);
    let [batch, tokens, heads, head_dim] = input.extents("o", &o, "[B, N, H, D]")?;
    let [width, _] = input.extents("w", &w, "[C, H·D]")?;
    let block = 0; // of the metadata
    let stream = input.stream(Stream { batch, tokens, first: 0, rows: tokens, width, heads, head_dim, block })?;
    let s_c = input.cache_symbol(&stream)?;
    let call = GemmOCall {
        stream,
        o: &o,
        w: &w,
        bias: bias.as_ref(),
        s_c: s_c.as_ref(),
        summed: summed(&input, s_c.is_some())?,
        partials: partial.iter().collect(),
        coefficients: partial.iter().map(|_| 1.0).collect(),
    };
    let measured =
        files.measure(|| projections::gemm_o(&device, &call)).map_err(|failure| input.about_data(failure))?;

    file::write(&files.output, &[OutputTensor::of("y", &measured.value.y)])?;
    let result = files.report(&*device, [s_c.as_ref().map_or(1.0, CacheSymbol::density), 1.0], measured.cost);
    output::print(report, &result, || result.to_string())
}

fn summed(input: &InputFile, sparse: bool) -> Outcome<Summed> {
    match input.metadata("heads") {
        None | Some("active") => Ok(Summed::Active),
        Some("cached") if sparse => Ok(Summed::Cached),
        Some("cached") => Err(input.failure("metadata heads is cached, and without a tensor s_c no head is")),
        Some(other) => Err(input.failure(format!("metadata heads is {other:?}; it is active or cached"))),
    }
}
