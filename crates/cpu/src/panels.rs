//! K and V of one kv head as f32 in the order that the GEMMs read: converted once a call, read by every query tile.

use std::ops::Range;

use crate::buffer::Buffer;
use crate::element::Element;
use crate::softmax::LANES;

/// K and V of one (batch item, kv head), cut into tiles of `tile` tokens.
///
/// K is stored tile by tile, each transposed to `[D, tokens of the tile]`: read along tokens, the GEMM need not pack it,
/// which is worth a tenth of its speed. V is `[N_kv, D]`.
pub(crate) struct Panels {
    tokens: usize,
    tile: usize,
    head_dim: usize,
    k: Buffer,
    v: Buffer,
    v_finite: Vec<bool>,
}

/// Where one kv head lies in K and V as they were given.
pub(crate) struct Source<'a, T> {
    pub(crate) k: &'a [T],
    pub(crate) v: &'a [T],
    /// Rows of the batch item in the flattened `[rows, H_kv, D]` tensors.
    pub(crate) rows: Range<usize>,
    pub(crate) kv_heads: usize,
    pub(crate) kv_head: usize,
}

/// One tile of [`Panels`] that is still to be filled.
pub(crate) struct Unfilled<'p> {
    tokens: Range<usize>,
    head_dim: usize,
    k: &'p mut [f32],
    v: &'p mut [f32],
    v_finite: &'p mut bool,
}

impl Panels {
    /// Bytes of the panels for that many tokens.
    pub(crate) fn bytes(tokens: usize, head_dim: usize) -> usize {
        2 * size_of::<f32>() * tokens * head_dim
    }

    /// Panels whose tiles are still to be filled.
    pub(crate) fn new(tokens: usize, tile: usize, head_dim: usize) -> Panels {
        let floats = tokens * head_dim;
        let v_finite = vec![true; tokens.div_ceil(tile)];
        Panels { tokens, tile, head_dim, k: Buffer::new(floats), v: Buffer::new(floats), v_finite }
    }

    /// The tiles in token order, to be filled independently.
    pub(crate) fn unfilled(&mut self) -> impl Iterator<Item = Unfilled<'_>> {
        let (tile, tokens, head_dim) = (self.tile, self.tokens, self.head_dim);
        let k = self.k.chunks_mut(tile * head_dim);
        let v = self.v.chunks_mut(tile * head_dim);
        k.zip(v).zip(&mut self.v_finite).enumerate().map(move |(index, ((k, v), v_finite))| {
            let tokens = index * tile..((index + 1) * tile).min(tokens);
            Unfilled { tokens, head_dim, k, v, v_finite }
        })
    }

    /// Tokens of the tiles that make up a block of tokens, in order; less at the end of the sequence.
    pub(crate) fn tiles_of(&self, block: Range<usize>) -> impl Iterator<Item = Range<usize>> {
        let (tile, end) = (self.tile, block.end.min(self.tokens));
        (block.start..end).step_by(tile).map(move |start| start..(start + tile).min(end))
    }

    /// Kᵀ of one tile, `[D, tokens]`.
    pub(crate) fn k_transposed(&self, tokens: Range<usize>) -> &[f32] {
        &self.k[tokens.start * self.head_dim..tokens.end * self.head_dim]
    }

    /// V of any run of tokens, `[tokens, D]`.
    pub(crate) fn v(&self, tokens: Range<usize>) -> &[f32] {
        &self.v[tokens.start * self.head_dim..tokens.end * self.head_dim]
    }

    /// Whether V of a tile is free of NaN and infinity.
    pub(crate) fn v_is_finite(&self, tokens: &Range<usize>) -> bool {
        self.v_finite[tokens.start / self.tile]
    }
}

impl Unfilled<'_> {
    /// The tokens of the tile.
    pub(crate) fn tokens(&self) -> Range<usize> {
        self.tokens.clone()
    }

    /// Converts K and V of the tile.
    pub(crate) fn fill<T: Element>(self, source: &Source<T>) {
        let (d, width) = (self.head_dim, self.tokens.len());
        let row = |token: usize| {
            let at = ((source.rows.start + token) * source.kv_heads + source.kv_head) * d;
            at..at + d
        };
        // Some tokens at a time, so that the transposition reads from the first-level cache and writes whole lines.
        let mut few = vec![0.0; LANES * d];
        for start in (0..width).step_by(LANES) {
            let n = LANES.min(width - start);
            for (token, few) in few.chunks_exact_mut(d).enumerate().take(n) {
                T::widen(&source.k[row(self.tokens.start + start + token)], few);
            }
            for (c, k) in self.k.chunks_exact_mut(width).enumerate() {
                for (token, k) in k[start..start + n].iter_mut().enumerate() {
                    *k = few[token * d + c];
                }
            }
        }
        for (token, v) in self.tokens.clone().zip(self.v.chunks_exact_mut(d)) {
            T::widen(&source.v[row(token)], v);
        }
        // Without an early end, so that the loop is vectorised.
        *self.v_finite = self.v.iter().fold(true, |finite, x| finite & x.is_finite());
    }
}
