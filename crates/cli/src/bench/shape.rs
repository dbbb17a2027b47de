//! The shapes that are timed, from the command line.

use clap::Args;
use serde::Serialize;
use sparsym::ir::problem::{Layout, LayoutRange};
use sparsym::ir::projection::Stream;
use sparsym::ir::strategy::Blocks;
use sparsym::ir::{DType, Problem, Strategy};
use sparsym::kernel::Room;

use crate::args::parse_grid;
use crate::explain::TextAt;
use crate::failure::{Failure, Outcome};

/// Shapes.
#[derive(Debug, Args)]
pub(super) struct ShapeArgs {
    /// Batch items.
    #[arg(long, value_name = "B", default_value_t = 1)]
    batch: usize,
    /// Tokens of the sequence, text and vision together; left out: 4096, or what --text and --grid come to.
    #[arg(long, value_name = "N", conflicts_with = "grid")]
    tokens: Option<usize>,
    /// Tokens of the range text.
    #[arg(long, value_name = "N")]
    text: Option<usize>,
    /// Extents of the range vision, in tokens.
    #[arg(long, value_name = "T,H,W", value_parser = parse_grid)]
    grid: Option<[usize; 3]>,
    /// Where text stands; left out: as the strategy declares its ranges.
    #[arg(long, value_enum)]
    text_at: Option<TextAt>,
    /// Query heads.
    #[arg(long, value_name = "H", default_value_t = 24)]
    heads: usize,
    /// Key/value heads; left out: as many as query heads.
    #[arg(long, value_name = "H_KV")]
    kv_heads: Option<usize>,
    /// Head dimension D.
    #[arg(long, value_name = "D", default_value_t = 128)]
    head_dim: usize,
    /// Element type: bf16, f16 or f32; kernels take the half types.
    #[arg(long, value_name = "TYPE", default_value = "bf16", value_parser = parse_dtype)]
    dtype: DType,
    /// Tokens of a query block; left out: the strategy's.
    #[arg(long, value_name = "TOKENS")]
    block_q: Option<u32>,
    /// Tokens of a kv block; left out: the strategy's.
    #[arg(long, value_name = "TOKENS")]
    block_kv: Option<u32>,
    /// Model width C of a projection; left out: H·D.
    #[arg(long, value_name = "C")]
    width: Option<usize>,
}

/// What is timed.
#[derive(Serialize)]
pub(super) struct Shape {
    /// The attention problem.
    pub(super) problem: Problem,
    /// Model width C.
    pub(super) width: usize,
    /// Element type.
    pub(super) dtype: DType,
}

/// Tokens without other words.
const TOKENS: usize = 4096;
/// Elements of all arrays of a call beyond which no machine of today has room; a typing error must not fill the memory.
const MOST_ELEMENTS: f64 = (1u64 << 36) as f64;
/// Sets of inputs are never more: small inputs would otherwise be thousands of arrays.
const MOST_SETS: u64 = 64;

impl ShapeArgs {
    /// The shape, in the blocks of the strategy where none are given.
    pub(super) fn resolve(&self, strategy: &Strategy) -> Outcome<Shape> {
        let layout = self.layout(strategy)?;
        let tokens = if layout.ranges.is_empty() { self.tokens.unwrap_or(TOKENS) } else { layout.len() };
        for (name, extent) in [
            ("--tokens", tokens),
            ("--batch", self.batch),
            ("--heads", self.heads),
            ("--head-dim", self.head_dim),
            ("--width", self.width.unwrap_or(1)),
        ] {
            if extent == 0 {
                return Err(Failure::usage(format!(
                    "{name} is 0, and then there is nothing to time\nhelp: give at least 1"
                )));
            }
        }
        let inner = self.heads as f64 * self.head_dim as f64;
        let width = self.width.map_or(inner, |width| width as f64);
        let rows = self.batch as f64 * tokens as f64;
        let elements = rows * (4.0 * inner + width) + inner * width;
        if elements > MOST_ELEMENTS {
            return Err(Failure::usage(format!(
                "{tokens} tokens of {} heads of {} channels, batch {}, are arrays of {elements:.1e} elements\nhelp: stay below \
                 {MOST_ELEMENTS:.1e}",
                self.heads, self.head_dim, self.batch
            )));
        }
        let problem = Problem {
            kv_heads: self.kv_heads.unwrap_or(self.heads),
            blocks: Blocks {
                q: self.block_q.unwrap_or(strategy.blocks.q),
                kv: self.block_kv.unwrap_or(strategy.blocks.kv),
            },
            layout,
            ..Problem::self_attention(self.batch, tokens, self.heads, self.head_dim)
        };
        problem.check().map_err(|findings| Failure::usage(findings.to_string()))?;
        Ok(Shape { problem, width: self.width.unwrap_or(self.heads * self.head_dim), dtype: self.dtype })
    }

    fn layout(&self, strategy: &Strategy) -> Outcome<Layout> {
        if self.text.is_none() && self.grid.is_none() {
            return Ok(Layout::default());
        }
        let n_text = self.text.unwrap_or(0);
        let vision = match self.grid {
            Some(grid) => LayoutRange::grid("vision", grid),
            None => {
                let tokens = self.tokens.unwrap_or(TOKENS);
                let rest = tokens.checked_sub(n_text).ok_or_else(|| {
                    Failure::usage(format!("--text {n_text} is more than the {tokens} tokens of the whole sequence"))
                })?;
                LayoutRange::plain("vision", rest)
            }
        };
        if n_text.checked_add(vision.len).is_none() {
            return Err(Failure::usage(format!("--text {n_text} and the grid are too many tokens together")));
        }
        let text = LayoutRange::plain("text", n_text);
        // A strategy for video models that append the text declares vision first.
        let text_first = strategy.tokens.first().is_none_or(|range| range.name == "text");
        let front = self.text_at.map_or(text_first, |at| at == TextAt::Front);
        Ok(Layout { ranges: if front { vec![text, vision] } else { vec![vision, text] } })
    }
}

impl Shape {
    /// The whole sequence as one stream of a projection.
    pub(super) fn stream(&self) -> Stream {
        let Problem { batch, n_q, heads, head_dim, blocks, .. } = self.problem;
        let (width, block) = (self.width, blocks.q as usize);
        Stream { batch, tokens: n_q, first: 0, rows: n_q, width, heads, head_dim, block }
    }

    /// Bytes of the arrays that a call reads and writes, each once; symbols and what rules read are left out, being small.
    pub(super) fn bytes(&self, room: Room) -> f64 {
        let elements = |shape: &[usize]| shape.iter().product::<usize>() as f64;
        let (problem, stream) = (&self.problem, self.stream());
        let (q, kv) = (elements(&problem.q_shape()), elements(&problem.kv_shape()));
        let (x, w) = (elements(&stream.model_shape()), (stream.width * stream.heads * stream.head_dim) as f64);
        let lse = (problem.batch * problem.heads * problem.n_q * 4) as f64;
        let element = self.dtype.bytes() as f64;
        match room {
            Room::Attention => element * (2.0 * q + 2.0 * kv) + lse,
            Room::Symbols => element * (q + kv),
            Room::GemmQ | Room::GemmO => element * (q + x + w),
        }
    }

    /// Sets of inputs, two at least, so that as many bytes are read between two uses of the same ones.
    pub(super) fn input_sets(&self, room: Room, rotated_bytes: u64) -> usize {
        let bytes = self.bytes(room).max(1.0) as u64;
        (1 + rotated_bytes.div_ceil(bytes)).clamp(2, MOST_SETS) as usize
    }
}

fn parse_dtype(text: &str) -> Result<DType, String> {
    let types = [DType::Bf16, DType::F16, DType::F32];
    types.into_iter().find(|dtype| dtype.name() == text).ok_or_else(|| "types are bf16, f16 and f32".to_owned())
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Problem { batch, n_q, heads, kv_heads, head_dim, blocks, .. } = &self.problem;
        write!(
            f,
            "B {batch}, N {n_q}, H {heads}, H_kv {kv_heads}, D {head_dim}, C {}, {}, blocks of {}×{}",
            self.width,
            self.dtype.name(),
            blocks.q,
            blocks.kv
        )
    }
}
