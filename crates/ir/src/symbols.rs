//! The symbols that kernels read: packed bits, 1 = do the work.
//!
//! | symbol | logical shape | packed as |
//! |---|---|---|
//! | S_c, [`CacheSymbol`] | `[B, T_q, H]` | one row of H bits for each (b, i) |
//! | S_s, [`SkipSymbol`] | `[B, H, T_q, T_kv]` | one row of T_kv bits for each (b, h, i) |
//! | S_f, [`FullSymbol`] | as S_s | as S_s |
//!
//! Every row starts on a 64-bit word and bits are little-endian inside it, so a kernel walks a row with find-first-set
//! and GEMM-O reads the heads of a query block as one word. Bits past the end of a row are 0.

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Finding};

/// Rows of bits, each row starting on a 64-bit word.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BitRows {
    rows: usize,
    bits: usize,
    words: Vec<u64>,
}

impl BitRows {
    /// `rows` rows of `bits` ones.
    pub fn ones(rows: usize, bits: usize) -> BitRows {
        let mut out = BitRows { rows, bits, words: vec![u64::MAX; rows * bits.div_ceil(64)] };
        out.clear_padding();
        out
    }

    /// Rows from packed words, as a device wrote them.
    ///
    /// # Panics
    /// If the number of words is not `rows * ceil(bits / 64)`.
    pub fn from_words(rows: usize, bits: usize, words: Vec<u64>) -> BitRows {
        let needed = rows * bits.div_ceil(64);
        assert_eq!(words.len(), needed, "a symbol of {rows} rows of {bits} bits has {needed} words");
        let mut out = BitRows { rows, bits, words };
        out.clear_padding();
        out
    }

    /// Number of rows.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// Bits of a row.
    pub fn bits(&self) -> usize {
        self.bits
    }

    /// Words of a row.
    pub fn row_words(&self) -> usize {
        self.bits.div_ceil(64)
    }

    /// All words, row after row.
    pub fn words(&self) -> &[u64] {
        &self.words
    }

    /// The words of one row.
    pub fn row(&self, row: usize) -> &[u64] {
        &self.words[row * self.row_words()..(row + 1) * self.row_words()]
    }

    /// One bit.
    ///
    /// # Panics
    /// If there is no such row or bit.
    pub fn get(&self, row: usize, bit: usize) -> bool {
        within("a symbol", [("row", row, self.rows), ("bit", bit, self.bits)]);
        self.row(row)[bit / 64] >> (bit % 64) & 1 == 1
    }

    /// Writes one bit.
    ///
    /// # Panics
    /// If there is no such row or bit.
    pub fn set(&mut self, row: usize, bit: usize, value: bool) {
        within("a symbol", [("row", row, self.rows), ("bit", bit, self.bits)]);
        let word = row * self.row_words() + bit / 64;
        self.words[word] = self.words[word] & !(1 << (bit % 64)) | u64::from(value) << (bit % 64);
    }

    /// Indices of the ones of a row, ascending.
    pub fn ones_in(&self, row: usize) -> impl Iterator<Item = usize> + '_ {
        self.row(row).iter().enumerate().flat_map(|(index, &word)| {
            std::iter::successors((word != 0).then_some(word), |w| Some(w & (w - 1)).filter(|&w| w != 0))
                .map(move |w| index * 64 + w.trailing_zeros() as usize)
        })
    }

    /// Number of ones.
    pub fn count(&self) -> usize {
        self.words.iter().map(|w| w.count_ones() as usize).sum()
    }

    fn clear_padding(&mut self) {
        let (used, row_words) = (self.bits % 64, self.row_words());
        if used != 0 {
            for row in self.words.chunks_exact_mut(row_words) {
                row[row_words - 1] &= (1 << used) - 1;
            }
        }
    }
}

/// S_c: whether query block i of head h is computed (1) or taken from the cache (0).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CacheSymbol {
    batch: usize,
    blocks: usize,
    rows: BitRows,
}

impl CacheSymbol {
    /// Everything computed.
    pub fn ones(batch: usize, heads: usize, q_blocks: usize) -> CacheSymbol {
        CacheSymbol { batch, blocks: q_blocks, rows: BitRows::ones(batch * q_blocks, heads) }
    }

    /// From packed rows, `[B, T_q]` rows of H bits.
    ///
    /// # Panics
    /// If the number of rows is not `batch * q_blocks`.
    pub fn from_rows(batch: usize, q_blocks: usize, rows: BitRows) -> CacheSymbol {
        let needed = batch * q_blocks;
        assert_eq!(rows.rows(), needed, "s_c of [B, T_q] = [{batch}, {q_blocks}] has {needed} rows");
        CacheSymbol { batch, blocks: q_blocks, rows }
    }

    /// From one byte per decision in `[B, H, T_q]` order; any non-zero byte is 1.
    ///
    /// # Panics
    /// If `mask.len()` is not `batch * heads * q_blocks`.
    pub fn pack(batch: usize, heads: usize, q_blocks: usize, mask: &[u8]) -> CacheSymbol {
        let needed = batch * heads * q_blocks;
        assert_eq!(mask.len(), needed, "s_c of [B, H, T_q] = [{batch}, {heads}, {q_blocks}] has {needed} bytes");
        let mut out = CacheSymbol::ones(batch, heads, q_blocks);
        for (index, &byte) in mask.iter().enumerate() {
            let (b, h, i) = (index / (heads * q_blocks), index / q_blocks % heads, index % q_blocks);
            out.set(b, h, i, byte != 0);
        }
        out
    }

    /// One byte per decision in `[B, H, T_q]` order.
    pub fn unpack(&self) -> Vec<u8> {
        let (heads, mut out) = (self.heads(), Vec::new());
        for b in 0..self.batch {
            for h in 0..heads {
                out.extend((0..self.blocks).map(|i| u8::from(self.get(b, h, i))));
            }
        }
        out
    }

    /// Batch items.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Heads.
    pub fn heads(&self) -> usize {
        self.rows.bits()
    }

    /// Query blocks.
    pub fn q_blocks(&self) -> usize {
        self.blocks
    }

    /// One decision.
    ///
    /// # Panics
    /// If there is no such batch item, head or query block.
    pub fn get(&self, b: usize, h: usize, i: usize) -> bool {
        within("s_c", [("batch item", b, self.batch), ("head", h, self.heads()), ("query block", i, self.blocks)]);
        self.rows.get(b * self.blocks + i, h)
    }

    /// Writes one decision.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub fn set(&mut self, b: usize, h: usize, i: usize, compute: bool) {
        within("s_c", [("batch item", b, self.batch), ("head", h, self.heads()), ("query block", i, self.blocks)]);
        self.rows.set(b * self.blocks + i, h, compute);
    }

    /// The packed rows, `[B, T_q]` rows of H bits.
    pub fn rows(&self) -> &BitRows {
        &self.rows
    }

    /// Share of ones; 1 for an empty symbol.
    pub fn density(&self) -> f64 {
        share(self.rows.count(), self.rows.rows() * self.rows.bits())
    }
}

/// S_s: whether the pair of query block i and kv block j of head h is computed (1) or skipped (0).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SkipSymbol {
    batch: usize,
    heads: usize,
    q_blocks: usize,
    rows: BitRows,
}

/// S_f: beside a token mask, whether every token pair of a block pair passes it, so that no element test is needed.
pub type FullSymbol = SkipSymbol;

impl SkipSymbol {
    /// Everything computed.
    pub fn ones(batch: usize, heads: usize, q_blocks: usize, kv_blocks: usize) -> SkipSymbol {
        SkipSymbol { batch, heads, q_blocks, rows: BitRows::ones(batch * heads * q_blocks, kv_blocks) }
    }

    /// From packed rows, `[B, H, T_q]` rows of T_kv bits.
    ///
    /// # Panics
    /// If the number of rows is not `batch * heads * q_blocks`.
    pub fn from_rows(batch: usize, heads: usize, q_blocks: usize, rows: BitRows) -> SkipSymbol {
        let needed = batch * heads * q_blocks;
        assert_eq!(rows.rows(), needed, "s_s of [B, H, T_q] = [{batch}, {heads}, {q_blocks}] has {needed} rows");
        SkipSymbol { batch, heads, q_blocks, rows }
    }

    /// From one byte per decision in `[B, H, T_q, T_kv]` order; any non-zero byte is 1.
    ///
    /// # Panics
    /// If `mask.len()` does not fit.
    pub fn pack(batch: usize, heads: usize, q_blocks: usize, kv_blocks: usize, mask: &[u8]) -> SkipSymbol {
        let mut out = SkipSymbol::ones(batch, heads, q_blocks, kv_blocks);
        let needed = out.rows.rows() * kv_blocks;
        let shape = [batch, heads, q_blocks, kv_blocks];
        assert_eq!(mask.len(), needed, "s_s of [B, H, T_q, T_kv] = {shape:?} has {needed} bytes");
        for (index, &byte) in mask.iter().enumerate() {
            out.rows.set(index / kv_blocks, index % kv_blocks, byte != 0);
        }
        out
    }

    /// One byte per decision in `[B, H, T_q, T_kv]` order.
    pub fn unpack(&self) -> Vec<u8> {
        let bits = self.rows.bits();
        (0..self.rows.rows() * bits).map(|n| u8::from(self.rows.get(n / bits, n % bits))).collect()
    }

    /// Batch items.
    pub fn batch(&self) -> usize {
        self.batch
    }

    /// Heads.
    pub fn heads(&self) -> usize {
        self.heads
    }

    /// Query blocks.
    pub fn q_blocks(&self) -> usize {
        self.q_blocks
    }

    /// Kv blocks.
    pub fn kv_blocks(&self) -> usize {
        self.rows.bits()
    }

    /// Index of the row of (b, h, i).
    ///
    /// # Panics
    /// If there is no such batch item, head or query block.
    pub fn row_index(&self, b: usize, h: usize, i: usize) -> usize {
        within("s_s", [("batch item", b, self.batch), ("head", h, self.heads), ("query block", i, self.q_blocks)]);
        (b * self.heads + h) * self.q_blocks + i
    }

    /// One decision.
    ///
    /// # Panics
    /// If there is no such batch item, head, query or kv block.
    pub fn get(&self, b: usize, h: usize, i: usize, j: usize) -> bool {
        within("s_s", [("kv block", j, self.kv_blocks())]);
        self.rows.get(self.row_index(b, h, i), j)
    }

    /// Writes one decision.
    ///
    /// # Panics
    /// As [`get`](Self::get).
    pub fn set(&mut self, b: usize, h: usize, i: usize, j: usize, compute: bool) {
        within("s_s", [("kv block", j, self.kv_blocks())]);
        let row = self.row_index(b, h, i);
        self.rows.set(row, j, compute);
    }

    /// Kv blocks computed for (b, h, i), ascending.
    pub fn computed(&self, b: usize, h: usize, i: usize) -> impl Iterator<Item = usize> + '_ {
        self.rows.ones_in(self.row_index(b, h, i))
    }

    /// The packed rows.
    pub fn rows(&self) -> &BitRows {
        &self.rows
    }

    /// Share of ones; 1 for an empty symbol.
    pub fn density(&self) -> f64 {
        share(self.rows.count(), self.rows.rows() * self.rows.bits())
    }
}

/// The symbols of one attention call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Symbols {
    /// S_c.
    pub cache: CacheSymbol,
    /// S_s.
    pub skip: SkipSymbol,
    /// S_f; present exactly when the strategy has a mask.
    pub full: Option<FullSymbol>,
}

impl Symbols {
    /// Everything computed, no mask.
    pub fn dense(batch: usize, heads: usize, q_blocks: usize, kv_blocks: usize) -> Symbols {
        Symbols {
            cache: CacheSymbol::ones(batch, heads, q_blocks),
            skip: SkipSymbol::ones(batch, heads, q_blocks, kv_blocks),
            full: None,
        }
    }

    /// Share of block pairs that are computed: S_s ∧ S_c over all pairs.
    pub fn density(&self) -> f64 {
        let (skip, mut ones) = (&self.skip, 0);
        for b in 0..skip.batch {
            for h in 0..skip.heads {
                for i in (0..skip.q_blocks).filter(|&i| self.cache.get(b, h, i)) {
                    ones += skip.computed(b, h, i).count();
                }
            }
        }
        share(ones, skip.rows.rows() * skip.rows.bits())
    }
}

/// What holds one symbol: in host memory, or on a device, where it is rows of bits.
pub trait Packed {
    /// How much it holds.
    fn symbol_shape(&self) -> SymbolShape;
}

/// What holds the symbols of a call.
pub trait PackedSet {
    /// Of S_c.
    fn cache_shape(&self) -> SymbolShape;
    /// Of S_s.
    fn skip_shape(&self) -> SymbolShape;
    /// Of S_f, if it is there.
    fn full_shape(&self) -> Option<SymbolShape>;
}

/// Extents of a symbol, as far as its holder knows them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SymbolShape {
    /// S_c, `[B, H, T_q]`.
    Cache([usize; 3]),
    /// S_s or S_f, `[B, H, T_q, T_kv]`.
    Pairs([usize; 4]),
    /// Rows, and bits of each.
    Rows([usize; 2]),
}

impl SymbolShape {
    /// Rows, and bits of each.
    pub fn rows(self) -> [usize; 2] {
        match self {
            SymbolShape::Cache([b, h, t_q]) => [b * t_q, h],
            SymbolShape::Pairs([b, h, t_q, t_kv]) => [b * h * t_q, t_kv],
            SymbolShape::Rows(rows) => rows,
        }
    }

    /// Whether a symbol of this shape is what a call needs; `who` needs it.
    ///
    /// # Errors
    /// A finding that names the symbol, what it is and what it should be.
    pub fn check(self, name: &str, needed: SymbolShape, who: &str) -> Result<(), Finding> {
        let fits = match self {
            SymbolShape::Rows(rows) => rows == needed.rows(),
            logical => logical == needed,
        };
        if fits {
            return Ok(());
        }
        let finding = |what, help: String| Err(Finding::new(Code::SymbolShape, format!("{name} {what}"), help));
        match (self, needed) {
            (SymbolShape::Rows([rows, bits]), _) => {
                let [needed_rows, needed_bits] = needed.rows();
                let help = format!("{who} needs {needed_rows} rows of {needed_bits}");
                finding(format!("has {rows} rows of {bits} bits"), help)
            }
            _ => finding(
                format!("is {}", self.extents()),
                format!("{who} needs {} = {}", needed.axes(), needed.extents()),
            ),
        }
    }

    fn axes(self) -> &'static str {
        match self {
            SymbolShape::Cache(_) => "[B, H, T_q]",
            SymbolShape::Pairs(_) => "[B, H, T_q, T_kv]",
            SymbolShape::Rows(_) => "[rows, bits]",
        }
    }

    fn extents(self) -> String {
        match self {
            SymbolShape::Cache(extents) => format!("{extents:?}"),
            SymbolShape::Pairs(extents) => format!("{extents:?}"),
            SymbolShape::Rows(extents) => format!("{extents:?}"),
        }
    }
}

impl Packed for CacheSymbol {
    fn symbol_shape(&self) -> SymbolShape {
        SymbolShape::Cache([self.batch, self.heads(), self.blocks])
    }
}

impl Packed for SkipSymbol {
    fn symbol_shape(&self) -> SymbolShape {
        SymbolShape::Pairs([self.batch, self.heads, self.q_blocks, self.kv_blocks()])
    }
}

impl PackedSet for Symbols {
    fn cache_shape(&self) -> SymbolShape {
        self.cache.symbol_shape()
    }

    fn skip_shape(&self) -> SymbolShape {
        self.skip.symbol_shape()
    }

    fn full_shape(&self) -> Option<SymbolShape> {
        self.full.as_ref().map(Packed::symbol_shape)
    }
}

impl<S: Packed> Packed for &S {
    fn symbol_shape(&self) -> SymbolShape {
        S::symbol_shape(self)
    }
}

impl<S: PackedSet> PackedSet for &S {
    fn cache_shape(&self) -> SymbolShape {
        S::cache_shape(self)
    }

    fn skip_shape(&self) -> SymbolShape {
        S::skip_shape(self)
    }

    fn full_shape(&self) -> Option<SymbolShape> {
        S::full_shape(self)
    }
}

/// Panics with the symbol, the axis and its extent if an index lies outside.
#[inline]
fn within<const N: usize>(symbol: &str, indices: [(&str, usize, usize); N]) {
    #[cold]
    fn outside(symbol: &str, axis: &str, index: usize, extent: usize) -> ! {
        panic!("{symbol} has no {axis} {index}: there are {extent}, counted from 0")
    }
    for (axis, index, extent) in indices {
        if index >= extent {
            outside(symbol, axis, index, extent);
        }
    }
}

fn share(part: usize, whole: usize) -> f64 {
    if whole == 0 { 1.0 } else { part as f64 / whole as f64 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_start_on_words_and_padding_is_zero() {
        let rows = BitRows::ones(2, 65);
        assert_eq!(rows.words(), [u64::MAX, 1, u64::MAX, 1]);
        assert_eq!(rows.ones_in(1).count(), 65);
    }

    #[test]
    fn pack_and_unpack_agree() {
        let mask: Vec<u8> = (0..2 * 3 * 5).map(|n| u8::from(n % 3 == 0)).collect();
        assert_eq!(CacheSymbol::pack(2, 3, 5, &mask).unpack(), mask);
        let mask: Vec<u8> = (0..2 * 3 * 5 * 70).map(|n| u8::from(n % 7 < 3)).collect();
        assert_eq!(SkipSymbol::pack(2, 3, 5, 70, &mask).unpack(), mask);
    }

    #[test]
    fn a_shape_is_compared_as_far_as_it_is_known() {
        let needed = SymbolShape::Cache([2, 3, 5]);
        assert_eq!(CacheSymbol::ones(2, 3, 5).symbol_shape().check("s_c", needed, "this call"), Ok(()));
        assert_eq!(SymbolShape::Rows([10, 3]).check("s_c", needed, "this call"), Ok(()));
        let words = |shape: SymbolShape| {
            let finding = shape.check("s_c", needed, "this call").unwrap_err();
            format!("{}; {}", finding.message, finding.help)
        };
        // As many rows, of other items.
        let turned = CacheSymbol::ones(5, 3, 2).symbol_shape();
        assert_eq!(words(turned), "s_c is [5, 3, 2]; this call needs [B, H, T_q] = [2, 3, 5]");
        let rows = SymbolShape::Rows([10, 4]);
        assert_eq!(words(rows), "s_c has 10 rows of 4 bits; this call needs 10 rows of 3");
    }

    #[test]
    fn cache_symbol_is_head_minor() {
        let mut s_c = CacheSymbol::ones(1, 3, 2);
        s_c.set(0, 2, 1, false);
        assert_eq!(s_c.rows().words(), [0b111, 0b011]);
    }

    #[test]
    fn an_index_outside_is_told_with_symbol_axis_and_extent() {
        let words = |act: &dyn Fn()| {
            let caught = std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).unwrap_err();
            caught.downcast::<String>().map_or_else(|_| String::new(), |words| *words)
        };
        let (s_c, s_s) = (CacheSymbol::ones(2, 3, 4), SkipSymbol::ones(2, 3, 4, 5));
        assert_eq!(words(&|| _ = s_c.get(0, 3, 0)), "s_c has no head 3: there are 3, counted from 0");
        // These are bits of other rows.
        assert_eq!(words(&|| _ = s_c.get(0, 0, 4)), "s_c has no query block 4: there are 4, counted from 0");
        assert_eq!(words(&|| _ = s_s.get(0, 3, 0, 0)), "s_s has no head 3: there are 3, counted from 0");
        assert_eq!(words(&|| _ = s_s.get(0, 0, 0, 5)), "s_s has no kv block 5: there are 5, counted from 0");
        assert_eq!(
            words(&|| _ = s_s.computed(2, 0, 0).count()),
            "s_s has no batch item 2: there are 2, counted from 0"
        );
    }
}
