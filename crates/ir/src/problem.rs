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
        self.ranges.iter().map(|range| range.len).sum()
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
}

impl LayoutRange {
    /// Tokens without coordinates.
    pub fn plain(name: &str, len: usize) -> LayoutRange {
        LayoutRange { name: name.to_owned(), len, grid: None }
    }

    /// Tokens on a (t, h, w) grid.
    pub fn grid(name: &str, grid: [usize; 3]) -> LayoutRange {
        LayoutRange { name: name.to_owned(), len: grid.iter().product(), grid: Some(grid) }
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

    /// Checks that the shapes make sense together.
    ///
    /// # Errors
    /// All mistakes found, each naming the field and what would fit.
    pub fn check(&self) -> Result<(), Findings> {
        let mut findings = Findings::new();
        for (name, extent) in [("heads", self.heads), ("kv heads", self.kv_heads), ("head dimension", self.head_dim)] {
            if extent == 0 {
                findings.push(Finding::new(
                    Code::TensorShape,
                    format!("{name} is 0"),
                    format!("give at least one {name}"),
                ));
            }
        }
        if self.kv_heads != 0 && !self.heads.is_multiple_of(self.kv_heads) {
            findings.push(Finding::new(
                Code::HeadGroups,
                format!("{} query heads are not a multiple of {} kv heads", self.heads, self.kv_heads),
                "use a number of kv heads that divides the number of query heads",
            ));
        }
        for (name, block) in [("block_q", self.blocks.q), ("block_kv", self.blocks.kv)] {
            if block == 0 {
                findings.push(Finding::new(Code::BlockSize, format!("{name} is 0"), "use 64 or 128"));
            }
        }
        if !self.scale.is_finite() {
            findings.push(Finding::new(
                Code::ParamValue,
                format!("scale is {}", self.scale),
                "use a finite scale, usually 1/sqrt(D)",
            ));
        }
        if !self.layout.ranges.is_empty() && (self.layout.len() != self.n_q || self.n_q != self.n_kv) {
            findings.push(Finding::new(
                Code::TokenLayout,
                format!("the layout has {} tokens but N is {} and N_kv is {}", self.layout.len(), self.n_q, self.n_kv),
                "named ranges need N = N_kv, and their lengths must add up to it",
            ));
        }
        for range in &self.layout.ranges {
            if let Some(grid) = range.grid.filter(|grid| grid.iter().product::<usize>() != range.len) {
                findings.push(Finding::new(
                    Code::TokenLayout,
                    format!(
                        "grid {}×{}×{} of {} has {} tokens, not {}",
                        grid[0],
                        grid[1],
                        grid[2],
                        range.name,
                        grid.iter().product::<usize>(),
                        range.len
                    ),
                    "make the three extents multiply to the number of tokens of the range",
                ));
            }
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
                        "give B + 1 entries that start at 0 and never fall",
                    ));
                }
            }
            if !self.layout.ranges.is_empty() {
                findings.push(Finding::new(
                    Code::TokenLayout,
                    "a ragged batch has no common layout",
                    "use a strategy without named ranges, or pad the batch to one length",
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
                    format!("use {}", block.next_multiple_of(16)),
                ));
            }
        }
        findings.into_result(())
    }
}
