//! The shapes that a strategy is applied to.

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Code, Finding, Findings};
use crate::strategy::Blocks;

/// Element type of tensors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DType {
    /// 32-bit float; CPU devices only.
    F32,
    /// IEEE half precision.
    F16,
    /// bfloat16.
    Bf16,
}

impl DType {
    /// Lower-case name.
    pub fn name(self) -> &'static str {
        match self {
            DType::F32 => "f32",
            DType::F16 => "f16",
            DType::Bf16 => "bf16",
        }
    }

    /// Bytes of an element.
    pub fn bytes(self) -> usize {
        match self {
            DType::F32 => 4,
            DType::F16 | DType::Bf16 => 2,
        }
    }
}

/// One attention problem: Q `[B, N, H, D]` against K and V `[B, N_kv, H_kv, D]`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Problem {
    /// Batch items `B`.
    pub batch: usize,
    /// Query tokens `N` of each batch item; the most of any item when [`ragged`](Self::ragged).
    pub n_q: usize,
    /// Key/value tokens `N_kv`; as `n_q`.
    pub n_kv: usize,
    /// Query heads `H`.
    pub heads: usize,
    /// Key/value heads `H_kv`; divides `heads`.
    pub kv_heads: usize,
    /// Head dimension `D`.
    pub head_dim: usize,
    /// Tokens of a query and of a kv block.
    pub blocks: Blocks,
    /// Factor on Q·K.
    pub scale: f32,
    /// Named parts of the sequence; empty means one unnamed part.
    pub layout: Layout,
    /// Sequences of different lengths packed one after another; tensors are then `[1, total, H, D]`.
    pub ragged: Option<Ragged>,
}

/// Index pointers of a ragged batch: item b owns rows `indptr[b]..indptr[b + 1]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ragged {
    /// For Q and O; `B + 1` entries.
    pub q: Vec<u32>,
    /// For K and V; `B + 1` entries.
    pub kv: Vec<u32>,
}

/// Named ranges of a sequence, in order and without gaps.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layout {
    /// The ranges in sequence order.
    pub ranges: Vec<LayoutRange>,
}

/// One range of a [`Layout`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayoutRange {
    /// Name, as in the strategy's `tokens`.
    pub name: String,
    /// Number of tokens; may be 0.
    pub len: usize,
    /// Extents (t, h, w) if the range is a grid.
    pub grid: Option<[usize; 3]>,
}

impl Layout {
    /// `n_text` tokens of `text` before the grid `vision`.
    pub fn text_front(n_text: usize, grid: [usize; 3]) -> Layout {
        Layout { ranges: vec![LayoutRange::plain("text", n_text), LayoutRange::grid("vision", grid)] }
    }

    /// The grid `vision` before `n_text` tokens of `text`.
    pub fn text_back(n_text: usize, grid: [usize; 3]) -> Layout {
        Layout { ranges: vec![LayoutRange::grid("vision", grid), LayoutRange::plain("text", n_text)] }
    }

    /// Number of tokens.
    pub fn len(&self) -> usize {
        self.ranges.iter().fold(0, |sum, range| sum.saturating_add(range.len))
    }

    /// Whether there are no tokens.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// First token and range of that name.
    pub fn find(&self, name: &str) -> Option<(usize, &LayoutRange)> {
        let mut start = 0;
        for range in &self.ranges {
            if range.name == name {
                return Some((start, range));
            }
            start += range.len;
        }
        None
    }

    /// Whether the ranges fill the sequence, each name stands once, and the grids have as many tokens as their ranges.
    fn check(&self, n_q: usize, n_kv: usize, findings: &mut Findings) {
        if self.len() != n_q || n_q != n_kv {
            findings.push(Finding::new(
                Code::TokenLayout,
                format!("the layout has {} tokens but N is {n_q} and N_kv is {n_kv}", self.len()),
                "named ranges need N = N_kv, and their lengths must add up to it",
            ));
        }
        for (index, range) in self.ranges.iter().enumerate() {
            if self.ranges[..index].iter().any(|before| before.name == range.name) {
                findings.push(Finding::new(
                    Code::TokenLayout,
                    format!("the layout names two ranges {}", range.name),
                    "give each range a name of its own",
                ));
            }
            let Some(grid) = range.grid else { continue };
            let [t, h, w] = grid;
            // Frames and rows of an empty grid are counted too.
            if product(&grid.map(|extent| extent.max(1))) > MOST_EXTENT {
                findings.push(Finding::new(
                    Code::TokenLayout,
                    format!("grid {t}×{h}×{w} of {} is too large", range.name),
                    format!("a grid has {MOST_EXTENT} tokens at most"),
                ));
            } else if product(&grid) != range.len {
                findings.push(Finding::new(
                    Code::TokenLayout,
                    format!("grid {t}×{h}×{w} of {} has {} tokens, not {}", range.name, product(&grid), range.len),
                    "make the three extents multiply to the number of tokens of the range",
                ));
            }
        }
    }
}

impl LayoutRange {
    /// Tokens without coordinates.
    pub fn plain(name: &str, len: usize) -> LayoutRange {
        LayoutRange { name: name.to_owned(), len, grid: None }
    }

    /// Tokens on a (t, h, w) grid.
    pub fn grid(name: &str, grid: [usize; 3]) -> LayoutRange {
        LayoutRange { name: name.to_owned(), len: product(&grid), grid: Some(grid) }
    }
}

/// The first few entries of an index pointer, and how many there are.
fn first_of(indptr: &[u32]) -> String {
    const SHOWN: usize = 8;
    match indptr.len() {
        0..=SHOWN => format!("{indptr:?}"),
        n => format!("{n}, {:?} at first", &indptr[..SHOWN]),
    }
}

impl Problem {
    /// Self-attention over one sequence length with blocks of 128 and scale 1/√D.
    pub fn self_attention(batch: usize, n: usize, heads: usize, head_dim: usize) -> Problem {
        Problem {
            batch,
            n_q: n,
            n_kv: n,
            heads,
            kv_heads: heads,
            head_dim,
            blocks: Blocks::default(),
            scale: 1.0 / (head_dim as f32).sqrt(),
            layout: Layout::default(),
            ragged: None,
        }
    }

    /// Query blocks `T_q` of the longest item.
    pub fn q_blocks(&self) -> usize {
        self.n_q.div_ceil(self.blocks.q as usize)
    }

    /// Kv blocks `T_kv` of the longest item.
    pub fn kv_blocks(&self) -> usize {
        self.n_kv.div_ceil(self.blocks.kv as usize)
    }

    /// Query rows of batch item `b` in the flattened `[rows, H, D]` tensor.
    pub fn q_rows(&self, b: usize) -> std::ops::Range<usize> {
        match &self.ragged {
            Some(ragged) => ragged.q[b] as usize..ragged.q[b + 1] as usize,
            None => b * self.n_q..(b + 1) * self.n_q,
        }
    }

    /// Kv rows of batch item `b` in the flattened `[rows, H_kv, D]` tensor.
    pub fn kv_rows(&self, b: usize) -> std::ops::Range<usize> {
        match &self.ragged {
            Some(ragged) => ragged.kv[b] as usize..ragged.kv[b + 1] as usize,
            None => b * self.n_kv..(b + 1) * self.n_kv,
        }
    }

    /// Shape of Q and O.
    pub fn q_shape(&self) -> [usize; 4] {
        match &self.ragged {
            Some(ragged) => [1, *ragged.q.last().unwrap_or(&0) as usize, self.heads, self.head_dim],
            None => [self.batch, self.n_q, self.heads, self.head_dim],
        }
    }

    /// Shape of K and V.
    pub fn kv_shape(&self) -> [usize; 4] {
        match &self.ragged {
            Some(ragged) => [1, *ragged.kv.last().unwrap_or(&0) as usize, self.kv_heads, self.head_dim],
            None => [self.batch, self.n_kv, self.kv_heads, self.head_dim],
        }
    }

    /// The kv head that query head `h` reads.
    pub fn kv_head(&self, h: usize) -> usize {
        h / (self.heads / self.kv_heads)
    }

    /// Checks that the shapes make sense together, and that what is made of them can be counted and stored. Whatever takes
    /// a problem asks this before it allocates or walks anything.
    ///
    /// # Errors
    /// All mistakes found, each naming the field and what would fit.
    pub fn check(&self) -> Result<(), Findings> {
        let mut findings = Findings::new();
        for (name, extent) in [
            ("batch size B", self.batch),
            ("query length N", self.n_q),
            ("key length N_kv", self.n_kv),
            ("number of heads H", self.heads),
            ("number of kv heads H_kv", self.kv_heads),
            ("head dimension D", self.head_dim),
        ] {
            findings.extend(check_extent(name, extent).err());
        }
        for (name, block) in [("block_q", self.blocks.q), ("block_kv", self.blocks.kv)] {
            findings.extend(check_block(name, block as usize).err());
        }
        // The rest calculates with these.
        findings.into_result(())?;
        let mut findings = Findings::new();
        if !self.heads.is_multiple_of(self.kv_heads) {
            findings.push(Finding::new(
                Code::HeadGroups,
                format!("{} query heads are not a multiple of {} kv heads", self.heads, self.kv_heads),
                "use a number of kv heads that divides the number of query heads",
            ));
        }
        if !self.scale.is_finite() {
            findings.push(Finding::new(
                Code::ParamValue,
                format!("scale is {}", self.scale),
                "use a finite scale, usually 1/sqrt(D)",
            ));
        }
        if let Some(ragged) = &self.ragged {
            for (name, indptr, most) in [("q", &ragged.q, self.n_q), ("kv", &ragged.kv, self.n_kv)] {
                let fits = indptr.len() == self.batch + 1
                    && indptr[0] == 0
                    && indptr.windows(2).all(|w| w[0] <= w[1] && (w[1] - w[0]) as usize <= most);
                if !fits {
                    findings.push(Finding::new(
                        Code::SequenceLengths,
                        format!(
                            "the {name} index pointer does not describe {} sequences of at most {most} tokens",
                            self.batch
                        ),
                        format!(
                            "give {} entries that start at 0, never fall and are no further apart; found {}",
                            self.batch.saturating_add(1),
                            first_of(indptr)
                        ),
                    ));
                }
            }
            if !self.layout.ranges.is_empty() {
                findings.push(Finding::new(
                    Code::TokenLayout,
                    "a ragged batch has no common layout",
                    "use a strategy without named ranges, or call once for each length",
                ));
            }
        } else if !self.layout.ranges.is_empty() {
            self.layout.check(self.n_q, self.n_kv, &mut findings);
        }
        findings.into_result(())?;
        self.check_sizes()
    }

    /// Whether tensors and symbols can be stored.
    fn check_sizes(&self) -> Result<(), Findings> {
        let mut findings = Findings::new();
        for (name, shape) in [("q", self.q_shape()), ("k", self.kv_shape())] {
            findings.extend(check_tensor_size(name, &shape).err());
        }
        findings.into_result(())?;
        let mut findings = Findings::new();
        let (t_q, t_kv) = (self.q_blocks(), self.kv_blocks());
        for (name, axes, shape, bits) in [
            ("s_c", "[B, H, T_q]", vec![self.batch, self.heads, t_q], [self.batch, t_q, self.heads]),
            (
                "s_s",
                "[B, H, T_q, T_kv]",
                vec![self.batch, self.heads, t_q, t_kv],
                [self.batch.saturating_mul(self.heads), t_q, t_kv],
            ),
        ] {
            let [outer, rows, bits] = bits;
            let bytes = product(&[outer, rows, bits.div_ceil(64), 8]);
            if bytes > MOST_SYMBOL_BYTES {
                findings.push(Finding::new(
                    Code::SymbolShape,
                    format!("{name} {axes} = {shape:?} is too large: {} GiB", bytes >> 30),
                    format!(
                        "a symbol has {} GiB at most; use larger blocks, or split the call by batch items",
                        MOST_SYMBOL_BYTES >> 30
                    ),
                ));
            }
        }
        findings.into_result(())
    }

    /// Checks that attention can be computed in blocks of these sizes. Symbols are made for blocks of any size.
    ///
    /// # Errors
    /// A finding for each size that is not a multiple of 16.
    pub fn check_attention_blocks(&self) -> Result<(), Findings> {
        let mut findings = Findings::new();
        for (name, block) in [("block_q", self.blocks.q), ("block_kv", self.blocks.kv)] {
            if block % 16 != 0 {
                findings.push(Finding::new(
                    Code::BlockSize,
                    format!("{name} is {block}, which is not a positive multiple of 16"),
                    format!("use {}", block.min(MOST_BLOCK - 1).next_multiple_of(16)),
                ));
            }
        }
        findings.into_result(())
    }
}

/// Most of anything that stands along an axis. Rules and kernels count in 32 bits, and a block more must fit.
pub(crate) const MOST_EXTENT: usize = 1 << 30;
/// Most tokens of a block, as in the clause `blocks`.
pub const MOST_BLOCK: u32 = 1 << 16;
/// Most bytes of a packed symbol.
const MOST_SYMBOL_BYTES: usize = 1 << 32;

/// Whether something can be counted along an axis: neither none of it nor too much.
///
/// # Errors
/// A finding that names it.
pub(crate) fn check_extent(name: &str, extent: usize) -> Result<(), Finding> {
    match extent {
        0 => Err(Finding::new(Code::TensorShape, format!("{name} is 0"), "give at least 1")),
        1..=MOST_EXTENT => Ok(()),
        _ => Err(Finding::new(
            Code::TensorShape,
            format!("{name} is {extent}, which is too large"),
            format!("give {MOST_EXTENT} at most"),
        )),
    }
}

/// Whether a block may have so many tokens.
///
/// # Errors
/// A finding that names it.
pub fn check_block(name: &str, block: usize) -> Result<(), Finding> {
    if (1..=MOST_BLOCK as usize).contains(&block) {
        return Ok(());
    }
    let help = format!("use a multiple of 16 from 16 to {MOST_BLOCK}, usually 64 or 128");
    Err(Finding::new(Code::BlockSize, format!("{name} is {block}"), help))
}

/// Whether a tensor of this shape can be addressed in any element type.
///
/// # Errors
/// A finding that names it.
pub(crate) fn check_tensor_size(name: &str, shape: &[usize]) -> Result<(), Finding> {
    if product(shape) <= isize::MAX as usize / DType::F32.bytes() {
        return Ok(());
    }
    Err(Finding::new(
        Code::TensorShape,
        format!("{name} {shape:?} has more elements than memory can have addresses"),
        "split the call by batch items, or by heads where no rule reads `head`",
    ))
}

/// The product of extents; the largest number if it is larger.
pub(crate) fn product(extents: &[usize]) -> usize {
    // A zero stands for nothing however large the others are.
    if extents.contains(&0) { 0 } else { extents.iter().fold(1, |product, &extent| product.saturating_mul(extent)) }
}
