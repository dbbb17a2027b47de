//! A case: one projection, described by a page of TOML.

use serde::Deserialize;
use sparsym::ir::problem::DType;
use sparsym::ir::projection::{RopePairs, Stream, Summed};
use sparsym::kernel::{FromHeads, Product, RoomRequest, SummedHeads, ToHeads};

use crate::case::{all_types, one, sixty_four, usual_floor};

/// The case files, embedded: a file for each room.
pub const FILES: &[(&str, &str)] =
    &[("gemm_q", include_str!("../../cases/gemm_q.toml")), ("gemm_o", include_str!("../../cases/gemm_o.toml"))];

/// One projection: shapes, parts, and how its numbers are made.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Case {
    /// Unique over all files, those of attention calls included.
    pub name: String,
    /// What it puts under stress, in a sentence.
    pub stresses: String,
    /// Which call, and its parts.
    pub call: Call,
    /// Batch items.
    #[serde(default = "one")]
    pub batch: usize,
    /// N: tokens of the joint sequence.
    pub tokens: usize,
    /// First token and rows of the stream; all tokens if absent.
    pub stream: Option<[usize; 2]>,
    /// C.
    #[serde(default = "sixty_four")]
    pub width: usize,
    /// H, or H_kv.
    #[serde(default = "two")]
    pub heads: usize,
    /// D.
    #[serde(default = "sixty_four")]
    pub head_dim: usize,
    /// Tokens of a block.
    #[serde(default = "block")]
    pub block: usize,
    /// Chance of a 1 in S_c. Absent: there is no S_c.
    pub s_c: Option<f64>,
    /// Activations that are not finite.
    #[serde(default)]
    pub poison: Vec<Poison>,
    /// Element types; the case runs once for each.
    #[serde(default = "all_types")]
    pub dtypes: Vec<DType>,
    /// Seed of all its numbers.
    pub seed: u64,
    /// Added to twice the rounding error of the type; 0.00002 if absent.
    #[serde(default = "usual_floor")]
    pub floor: f64,
    /// Why the floor is not the usual one.
    pub because: Option<String>,
}

/// Which projection.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Call {
    /// To heads.
    GemmQ(GemmQParts),
    /// Back to the model width.
    GemmO(GemmOParts),
    /// Of differences of outputs.
    Differences(DifferencesParts),
}

/// What a projection to heads has.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GemmQParts {
    /// A bias is added.
    pub bias: bool,
    /// Each head's row is normalised, and this is added to its mean square.
    pub norm: Option<f32>,
    /// Each head's row is turned.
    pub rope: Option<RopePairs>,
    /// Block means are a second result.
    pub means: bool,
    /// So many rows of the stream are one projection and the rest is another one; between them comes one of all rows without
    /// any of these and without S_c. Together they are one call, where the device takes such.
    pub beside: Option<usize>,
}

/// What a projection back to the model width has.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct GemmOParts {
    /// A bias is added.
    pub bias: bool,
    /// Which heads are added up.
    pub summed: Summed,
    /// Partials that are added.
    pub partials: usize,
}

/// What a projection of differences has.
#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DifferencesParts {
    /// Orders, 1 to 3.
    pub orders: usize,
    /// Outputs, one more than orders if absent.
    pub outputs: Option<usize>,
}

/// Elements of X or O that are not finite; of all outputs, if there are several.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Poison {
    /// Row of all batch items, `[B·rows]` or `[B·N]`; every row if absent.
    pub row: Option<usize>,
    /// Head, of O.
    #[serde(default)]
    pub head: usize,
    /// Channel.
    #[serde(default)]
    pub channel: usize,
    /// `nan`, `inf` or `-inf`.
    pub value: f32,
}

impl Default for GemmOParts {
    fn default() -> GemmOParts {
        GemmOParts { bias: false, summed: Summed::Active, partials: 0 }
    }
}

impl Case {
    /// The shapes.
    pub fn stream(&self) -> Stream {
        let [first, rows] = self.stream.unwrap_or([0, self.tokens]);
        Stream {
            batch: self.batch,
            tokens: self.tokens,
            first,
            rows,
            width: self.width,
            heads: self.heads,
            head_dim: self.head_dim,
            block: self.block,
        }
    }

    /// The kernel that it needs.
    pub fn room(&self) -> RoomRequest<'static> {
        let block = self.block as u32;
        let s_c = self.s_c.is_some().then_some(block);
        match self.call {
            Call::GemmQ(GemmQParts { bias, norm, rope, means, beside }) => RoomRequest::GemmQ(ToHeads {
                block: s_c,
                bias,
                norm: norm.is_some(),
                rope,
                means: means.then_some(block),
                together: beside.is_some(),
            }),
            Call::GemmO(GemmOParts { bias, summed, partials }) => {
                let heads = s_c.map(|block| SummedHeads { block, summed });
                RoomRequest::GemmO(FromHeads::Product(Product { heads, partials: partials > 0, bias }))
            }
            Call::Differences(_) => RoomRequest::GemmO(FromHeads::Differences { block }),
        }
    }
}

/// All cases of all files.
///
/// # Panics
/// If a file is not a list of cases; the message names the file and the line.
pub fn all() -> Vec<Case> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct CaseFile {
        case: Vec<Case>,
    }
    let parse = |&(name, text): &(&str, &str)| match toml::from_str::<CaseFile>(text) {
        Ok(file) => file.case,
        Err(error) => panic!("tests/cases/{name}.toml: {error}"),
    };
    FILES.iter().flat_map(parse).collect()
}

fn two() -> usize {
    2
}

fn block() -> usize {
    128
}
