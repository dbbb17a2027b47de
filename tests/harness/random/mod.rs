//! Whole random strategies with random problems: rules, shapes and numbers from a seed.
//!
//! A [`Subject`] is a strategy and what else decides its kernels (head dimension, type, blocks, kind of batch). Each of its
//! variants is a case with other lengths, tables, inputs and numbers for the same kernels, which are compiled once.
//!
//! | module | question |
//! |---|---|
//! | `draft` | which clauses does a text have, and which smaller texts are like it |
//! | `tokens` | what do masks and scores look like |
//! | `blocks` | what do block rules, maps and schedules look like |
//! | `values` | which shapes and numbers go with it |
//! | `run` | do all devices agree, and does every target compile it |
//!
//! Texts are valid by construction but for what only a check of the whole can know, such as a rule that never matches: those
//! are refused with findings, and counted by who asks.

mod blocks;
mod draft;
pub mod run;
mod tokens;
mod values;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use sparsym::ir::problem::DType;

use crate::case::Case;
use crate::data::generator;
use draft::Draft;

/// A random strategy, and what its kernels depend on beside it.
#[derive(Clone, Debug)]
pub struct Subject {
    /// Where it comes from.
    pub seed: u64,
    frame: Frame,
    draft: Draft,
}

/// What a text may read, and the constants of its kernels.
#[derive(Clone, Copy, Debug)]
struct Frame {
    tokens: Tokens,
    /// Whether the strategy declares text before vision.
    text_is_declared_first: bool,
    batch: Batch,
    head_dim: usize,
    dtype: DType,
    blocks: [u32; 2],
    scale: Option<f32>,
    /// Highest order of the forecast of cached rows.
    order: u32,
}

/// Which ranges a sequence has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Tokens {
    /// None.
    Unnamed,
    /// Two without a grid.
    Plain,
    /// A grid in raster order.
    Raster,
    /// A grid tile by tile.
    Tiled([usize; 3]),
}

/// How the sequences of a batch are given.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Batch {
    /// Queries and keys are the same tokens, equally many in each item.
    Uniform,
    /// As many keys as one likes.
    Cross,
    /// Items of different lengths.
    Ragged,
}

impl Subject {
    /// The strategy of a seed.
    pub fn new(seed: u64) -> Subject {
        let mut writer = Writer { random: generator(seed, TEXT), frame: Frame::new(&mut generator(seed, FRAME)) };
        let draft = writer.draft();
        Subject { seed, frame: writer.frame, draft }
    }

    /// The strategy.
    pub fn text(&self) -> String {
        self.draft.text(&self.frame)
    }

    /// One problem for it.
    pub fn case(&self, variant: u64) -> Case {
        values::case(self, variant)
    }

    /// Like it, with less in it; the smallest first.
    pub fn smaller(&self) -> Vec<Subject> {
        self.draft.smaller().into_iter().map(|draft| Subject { draft, ..self.clone() }).collect()
    }
}

/// Streams of a seed, beside those of a case.
const FRAME: u64 = 1000;
const TEXT: u64 = 1001;
const VALUES: u64 = 1002;

impl Frame {
    fn new(random: &mut ChaCha8Rng) -> Frame {
        let tiles = [[1, 2, 4], [2, 2, 4], [1, 4, 8], [2, 4, 4], [2, 4, 8], [2, 8, 8], [1, 3, 5]];
        let batch = match random.random_range(0..10) {
            0 => Batch::Cross,
            1 | 2 => Batch::Ragged,
            _ => Batch::Uniform,
        };
        let tokens = match (batch, random.random_range(0..10)) {
            (Batch::Cross | Batch::Ragged, _) | (_, 0 | 1) => Tokens::Unnamed,
            (_, 2) => Tokens::Plain,
            (_, 3..6) => Tokens::Raster,
            _ => Tokens::Tiled(tiles[random.random_range(0..tiles.len())]),
        };
        let mut of = |some: &[u32]| some[random.random_range(0..some.len())];
        let blocks = [of(&[32, 64, 64, 128]), of(&[32, 64, 64, 128])];
        let head_dim = of(&[64, 64, 64, 96, 128, 128]) as usize;
        let dtype = [DType::Bf16, DType::F16][random.random_range(0..2)];
        let scale = [None, Some(0.3), Some(-0.2)][random.random_range(0..20usize).saturating_sub(17)];
        let (order, text_is_declared_first) = (random.random_range(0..3), random.random_bool(0.5));
        Frame { tokens, text_is_declared_first, batch, head_dim, dtype, blocks, scale, order }
    }

    fn has_grid(&self) -> bool {
        matches!(self.tokens, Tokens::Raster | Tokens::Tiled(_))
    }

    /// Whether every block can lie in one tile.
    fn has_tiles_of_blocks(&self) -> bool {
        match self.tokens {
            Tokens::Tiled(tile) => {
                let tokens = tile.iter().product::<usize>();
                self.blocks.iter().all(|&block| tokens.is_multiple_of(block as usize))
            }
            _ => false,
        }
    }

    fn has_inputs(&self) -> bool {
        self.batch != Batch::Cross
    }
}

/// Writes the parts of a text.
struct Writer {
    random: ChaCha8Rng,
    frame: Frame,
}

/// A way to write a part of a text: how often, of what frames, and how.
type Form = (u32, fn(&Frame) -> bool, fn(&mut Writer) -> String);

impl Writer {
    /// A part in one of the forms that the frame allows.
    fn write(&mut self, forms: &[Form]) -> String {
        let allowed = || forms.iter().filter(|(_, allows, _)| allows(&self.frame));
        let mut at = self.random.random_range(0..allowed().map(|(weight, ..)| weight).sum());
        for (weight, _, make) in forms.iter().filter(|(_, allows, _)| allows(&self.frame)) {
            match at.checked_sub(*weight) {
                Some(rest) => at = rest,
                None => return make(self),
            }
        }
        unreachable!("the weights add up")
    }

    fn int(&mut self, low: i64, high: i64) -> i64 {
        self.random.random_range(low..=high)
    }

    fn float(&mut self, low: f64, high: f64) -> f64 {
        // Few digits, so that a text is short and every ties with what it should.
        (self.random.random_range(low..high) * 64.0).round() / 64.0
    }

    fn chance(&mut self, share: f64) -> bool {
        self.random.random_bool(share)
    }

    fn one_of<'a>(&mut self, words: &[&'a str]) -> &'a str {
        words[self.random.random_range(0..words.len())]
    }

    fn comparison(&mut self) -> &'static str {
        self.one_of(&["<", "<=", "<=", ">", ">=", "==", "!="])
    }
}
