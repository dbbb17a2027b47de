//! Sizes of a block.

use sparsym::ir::Problem;
use sparsym::ir::problem::Layout;
use sparsym::ir::strategy::Blocks;

/// Sizes of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Its name on the command line.
    pub name: &'static str,
    /// Text tokens, in front.
    pub text: usize,
    /// Grid (t, h, w) of vision tokens.
    pub grid: [usize; 3],
    /// Heads `H`.
    pub heads: usize,
    /// Head dimension `D`.
    pub head_dim: usize,
    /// Model width `C`.
    pub width: usize,
    /// Tokens of a block, of queries and of keys.
    pub block: u32,
}

impl Shape {
    /// FLUX.1 at 1024²: 512 + 4096 tokens.
    pub const FLUX_1K: Shape =
        Shape { name: "flux_1k", text: 512, grid: [1, 64, 64], heads: 24, head_dim: 128, width: 3072, block: 128 };
    /// FLUX.1 at 2048²: 512 + 16384 tokens.
    pub const FLUX_2K: Shape = Shape { name: "flux_2k", grid: [1, 128, 128], ..Shape::FLUX_1K };
    /// HunyuanVideo at 33 frames of 960 × 544 and 256 text tokens, rounded up to whole blocks: 33K tokens.
    pub const HUNYUAN: Shape = Shape { name: "hunyuan", text: 256, grid: [16, 32, 64], ..Shape::FLUX_1K };
    /// Small enough to run on every device: 64 + 256 tokens.
    pub const SMALL: Shape =
        Shape { name: "small", text: 64, grid: [1, 16, 16], heads: 2, head_dim: 64, width: 96, block: 64 };

    /// Blocks enough for symbols to differ, and still seconds on a CPU: 128 + 2304 tokens.
    pub const MEDIUM: Shape =
        Shape { name: "medium", text: 128, grid: [1, 48, 48], heads: 4, head_dim: 64, width: 256, block: 64 };

    /// Those that are run.
    pub const TO_RUN: [Shape; 2] = [Shape::SMALL, Shape::MEDIUM];
    /// Those whose work is counted.
    pub const TO_COUNT: [Shape; 3] = [Shape::FLUX_1K, Shape::FLUX_2K, Shape::HUNYUAN];

    /// Vision tokens.
    pub fn vision(&self) -> usize {
        self.grid.iter().product()
    }

    /// Tokens of the joint sequence, `N`.
    pub fn tokens(&self) -> usize {
        self.text + self.vision()
    }

    /// The attention problem, with or without named ranges.
    pub fn problem(&self, named: bool) -> Problem {
        let layout = if named { Layout::text_front(self.text, self.grid) } else { Layout::default() };
        let blocks = Blocks { q: self.block, kv: self.block };
        Problem { blocks, layout, ..Problem::self_attention(1, self.tokens(), self.heads, self.head_dim) }
    }
}
