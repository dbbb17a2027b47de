//! What the buffers of a launch hold on the host: bytes to upload, and symbols from downloaded bytes.

use std::borrow::Cow;

use sparsym_codegen::Buffer;
use sparsym_ir::bind::Bound;
use sparsym_ir::strategy::{Element, Scalar};
use sparsym_ir::symbols::{BitRows, CacheSymbol};
use sparsym_ir::{AttentionCall, Code, Finding, Findings, Tensor};

use crate::error::Error;

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
                format!("split the call; a launch takes {most} at most"),
            ));
        }
    }
    findings.into_result(())
}

/// Entries of lse: one for each head and query row.
pub(super) fn lse_len(bound: &Bound<'_>) -> usize {
    bound.problem.q_shape()[..3].iter().product()
}

/// The bytes of packed rows.
pub(super) fn words(rows: &BitRows) -> Cow<'_, [u8]> {
    Cow::Borrowed(bytemuck::cast_slice(rows.words()))
}

/// What a buffer of an attention call holds before the launch. O is not among them: it starts as zeros.
pub(super) fn attention_bytes<'a>(buffer: Buffer, call: &'a AttentionCall<'_>) -> Result<Cow<'a, [u8]>, Error> {
    let borrowed = |tensor: &'a Tensor| Cow::Borrowed(tensor.bytes());
    Ok(match buffer {
        Buffer::Q => borrowed(call.q),
        Buffer::K => borrowed(call.k),
        Buffer::V => borrowed(call.v),
        Buffer::Lse => Cow::Owned(f32::NEG_INFINITY.to_ne_bytes().repeat(lse_len(call.bound))),
        Buffer::CacheSymbol => words(call.symbols.cache.rows()),
        Buffer::SkipSymbol => words(call.symbols.skip.rows()),
        Buffer::FullSymbol => call.symbols.full.as_ref().map(|full| words(full.rows())).unwrap_or_default(),
        Buffer::Feature(index) => match call.forecast.as_ref().and_then(|forecast| forecast.features.get(index)) {
            Some(feature) => borrowed(feature),
            None => Cow::default(),
        },
        other => return rule_bytes(other, call.bound),
    })
}

/// What a buffer that rules read holds.
pub(super) fn rule_bytes<'a>(buffer: Buffer, bound: &'a Bound<'_>) -> Result<Cow<'a, [u8]>, Error> {
    let numbers = |scalar: Scalar, values: &'a [f32]| -> Cow<'a, [u8]> {
        match scalar {
            Scalar::F32 => Cow::Borrowed(bytemuck::cast_slice(values)),
            Scalar::U32 | Scalar::I32 | Scalar::Bool => values.iter().flat_map(|&v| (v as i32).to_ne_bytes()).collect(),
        }
    };
    let ragged = bound.problem.ragged.as_ref();
    Ok(match buffer {
        Buffer::Table(index) => {
            let (Element::One(scalar) | Element::Three(scalar)) = bound.strategy.tables[index].element;
            numbers(scalar, &bound.bindings.tables[index].values)
        }
        Buffer::Input(index) => numbers(bound.strategy.inputs[index].scalar, &bound.bindings.inputs[index].values),
        // Below 2^31 by `check_extents`, so the bits of u32 and i32 are the same.
        Buffer::QIndptr => ragged.map(|ragged| Cow::Borrowed(bytemuck::cast_slice(&ragged.q))).unwrap_or_default(),
        Buffer::KvIndptr => ragged.map(|ragged| Cow::Borrowed(bytemuck::cast_slice(&ragged.kv))).unwrap_or_default(),
        other => {
            let reason = format!("its kernel asks for {other:?}, which the call does not have");
            return Err(Error::Cuda { action: "launch a kernel".to_owned(), reason, help: "" });
        }
    })
}

/// Rows of the same shape from downloaded words.
pub(super) fn bit_rows(like: &BitRows, bytes: &[u8]) -> BitRows {
    let words = bytemuck::pod_collect_to_vec(&bytes[..like.words().len() * 8]);
    BitRows::from_words(like.rows(), like.bits(), words)
}

/// S_c from its packed rows.
pub(super) fn cache_symbol(batch: usize, q_blocks: usize, rows: &BitRows) -> CacheSymbol {
    let mut symbol = CacheSymbol::ones(batch, rows.bits(), q_blocks);
    for row in 0..rows.rows() {
        for h in 0..rows.bits() {
            symbol.set(row / q_blocks, h, row % q_blocks, rows.get(row, h));
        }
    }
    symbol
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn downloaded_rows_of_the_cache_symbol_find_their_blocks() {
        let mut expected = CacheSymbol::ones(2, 70, 3);
        expected.set(1, 69, 2, false);
        expected.set(0, 0, 1, false);
        let rows = bit_rows(expected.rows(), bytemuck::cast_slice(expected.rows().words()));
        assert_eq!(cache_symbol(2, 3, &rows), expected);
    }
}
