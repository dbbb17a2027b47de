//! What the buffers of a launch hold: bytes before it, and symbols from the bytes after it.

use std::borrow::Cow;

use sparsym_codegen::{Buffer, Kernel, Numbers, Source};
use sparsym_ir::bind::Bound;
use sparsym_ir::strategy::{Element, Scalar};
use sparsym_ir::symbols::BitRows;
use sparsym_ir::{AttentionCall, Code, Finding, Findings, Symbols, SymbolsCall, Tensor};

use super::Contents;

/// CTAs of a launch along y and z.
const MOST_CTAS_YZ: usize = 65_535;

/// Kernels count tokens in 32 bits, and the driver limits the CTAs along an axis.
pub(super) fn check_extents(bound: &Bound<'_>) -> Result<(), Findings> {
    let problem = bound.problem;
    let mut findings = Findings::new();
    let rows = |shape: [usize; 4]| shape[0].saturating_mul(shape[1]);
    for (name, extent, most) in [
        ("tokens of all queries", rows(problem.q_shape()), i32::MAX as usize),
        ("tokens of all keys", rows(problem.kv_shape()), i32::MAX as usize),
        ("query heads", problem.heads, MOST_CTAS_YZ),
        ("batch items", problem.batch, MOST_CTAS_YZ),
    ] {
        if extent > most {
            findings.push(Finding::new(
                Code::TensorShape,
                format!("{extent} {name} are too many for one launch"),
                format!("split the call by batch items, or by heads where no rule reads `head`; a launch takes {most} at most"),
            ));
        }
    }
    findings.into_result(())
}

/// What a kernel of the attention room finds in a buffer. None: the call has no such buffer.
pub(super) fn of_attention<'a>(buffer: Buffer, call: &'a AttentionCall<'_>) -> Option<Contents<'a>> {
    let tensor = |tensor: &'a Tensor| Contents::Input(Cow::Borrowed(tensor.bytes()));
    let symbol = |rows: &'a BitRows| Contents::Input(words(rows));
    Some(match buffer {
        Buffer::Q => tensor(call.q),
        Buffer::K => tensor(call.k),
        Buffer::V => tensor(call.v),
        // Rows that no CTA computes or forecasts are these in O and lse.
        Buffer::O => Contents::Zeros(call.q.bytes().len()),
        Buffer::Lse => Contents::Output(f32::NEG_INFINITY.to_ne_bytes().repeat(lse_len(call.bound)).into()),
        Buffer::CacheSymbol => symbol(call.symbols.cache.rows()),
        Buffer::SkipSymbol => symbol(call.symbols.skip.rows()),
        Buffer::FullSymbol => symbol(call.symbols.full.as_ref()?.rows()),
        Buffer::Feature(index) => tensor(call.forecast.as_ref()?.features.get(index)?),
        other => return of_rules(other, call.bound),
    })
}

/// What a kernel of the symbols room finds in a buffer: its outputs are these symbols where it writes nothing.
pub(super) fn of_symbols<'a>(buffer: Buffer, call: &SymbolsCall<'a>, symbols: &'a Symbols) -> Option<Contents<'a>> {
    if let Some(bytes) = buffer.workspace_bytes(&Numbers::of_rules(call.bound, call.moment)) {
        return Some(Contents::Zeros(bytes));
    }
    Some(match buffer {
        Buffer::Q => Contents::Input(Cow::Borrowed(call.data?.0.bytes())),
        Buffer::K => Contents::Input(Cow::Borrowed(call.data?.1.bytes())),
        Buffer::CacheSymbol => Contents::Output(words(symbols.cache.rows())),
        Buffer::SkipSymbol | Buffer::FullSymbol => Contents::Output(words(symbols.skip.rows())),
        other => return of_rules(other, call.bound),
    })
}

/// What rules read.
pub(super) fn of_rules<'a>(buffer: Buffer, bound: &'a Bound<'_>) -> Option<Contents<'a>> {
    let numbers = |scalar: Scalar, values: &'a [f32]| -> Cow<'a, [u8]> {
        match scalar {
            Scalar::F32 => Cow::Borrowed(bytemuck::cast_slice(values)),
            Scalar::U32 | Scalar::I32 | Scalar::Bool => values.iter().flat_map(|&v| (v as i32).to_ne_bytes()).collect(),
        }
    };
    let ragged = bound.problem.ragged.as_ref();
    Some(Contents::Input(match buffer {
        Buffer::Table(index) => {
            let (Element::One(scalar) | Element::Three(scalar)) = bound.strategy.tables[index].element;
            numbers(scalar, &bound.bindings.tables[index].values)
        }
        Buffer::Input(index) => numbers(bound.strategy.inputs[index].scalar, &bound.bindings.inputs[index].values),
        // Below 2^31 by `check_extents`, so the bits of u32 and i32 are the same.
        Buffer::QIndptr => Cow::Borrowed(bytemuck::cast_slice(&ragged?.q)),
        Buffer::KvIndptr => Cow::Borrowed(bytemuck::cast_slice(&ragged?.kv)),
        _ => return None,
    }))
}

/// The name of a buffer in reports: as the kernel's text spells the field that points to it.
pub(super) fn name(buffer: Buffer, kernel: &Kernel) -> String {
    let pointer = kernel.params.fields.iter().find(|field| field.source == Source::Buffer(buffer));
    match (buffer, pointer) {
        (Buffer::Feature(index), _) => format!("features[{index}]"),
        (_, Some(field)) => field.name.trim_end_matches("_out").to_owned(),
        (other, None) => format!("{other:?}"),
    }
}

/// Entries of lse: one for each head and query row.
fn lse_len(bound: &Bound<'_>) -> usize {
    bound.problem.q_shape()[..3].iter().product()
}

/// The bytes of packed rows.
fn words(rows: &BitRows) -> Cow<'_, [u8]> {
    Cow::Borrowed(bytemuck::cast_slice(rows.words()))
}

/// Rows of the same shape from downloaded words.
pub(super) fn bit_rows(like: &BitRows, bytes: &[u8]) -> BitRows {
    let words = bytemuck::pod_collect_to_vec(&bytes[..like.words().len() * 8]);
    BitRows::from_words(like.rows(), like.bits(), words)
}
