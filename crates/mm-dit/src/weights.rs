//! Weights of a block, made up: normal, of a size that keeps activations near 1.

use sparsym::Error;
use sparsym::engine::{Array, Engine, Linear, Weights};
use sparsym::ir::Tensor;
use sparsym::ir::problem::DType;
use sparsym::ir::projection::{RmsNorm, Rope, RopePairs};

use crate::Shape;
use crate::random::Source;

/// Base of the wavelengths of a rotary embedding.
const ROPE_BASE: f32 = 10_000.0;
/// Added to mean squares.
const EPS: f32 = 1e-6;

/// All weights of a block, on an engine's device.
pub struct BlockWeights {
    text: StreamWeights,
    vision: StreamWeights,
    single: StreamWeights,
    cos: Array,
    sin: Array,
    pub(crate) dtype: DType,
}

struct StreamWeights {
    q: LinearWeights,
    k: LinearWeights,
    v: LinearWeights,
    o: LinearWeights,
    q_norm: Array,
    k_norm: Array,
}

struct LinearWeights {
    weight: Array,
    bias: Array,
}

impl BlockWeights {
    /// Random weights; equal seeds give equal ones.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn random(engine: &Engine, shape: &Shape, dtype: DType, seed: u64) -> Result<BlockWeights, Error> {
        let mut maker = Maker { engine, shape, dtype, source: Source::new(seed) };
        let [text, vision, single] = [maker.stream()?, maker.stream()?, maker.stream()?];
        let [cos, sin] = rope_tables(shape);
        let (cos, sin) = (engine.place("rope_cos", &cos)?, engine.place("rope_sin", &sin)?);
        Ok(BlockWeights { text, vision, single, cos, sin, dtype })
    }

    pub(crate) fn text(&self) -> Weights<'_> {
        self.weights(&self.text)
    }

    pub(crate) fn vision(&self) -> Weights<'_> {
        self.weights(&self.vision)
    }

    pub(crate) fn single(&self) -> Weights<'_> {
        self.weights(&self.single)
    }

    fn weights<'w>(&'w self, stream: &'w StreamWeights) -> Weights<'w> {
        let linear = |of: &'w LinearWeights| Linear { weight: &of.weight, bias: Some(&of.bias) };
        Weights {
            q: linear(&stream.q),
            k: linear(&stream.k),
            v: linear(&stream.v),
            o: linear(&stream.o),
            q_norm: Some(RmsNorm { weight: &stream.q_norm, eps: EPS }),
            k_norm: Some(RmsNorm { weight: &stream.k_norm, eps: EPS }),
            rope: Some(Rope { cos: &self.cos, sin: &self.sin, pairs: RopePairs::Interleaved }),
        }
    }
}

struct Maker<'a> {
    engine: &'a Engine,
    shape: &'a Shape,
    dtype: DType,
    source: Source,
}

impl Maker<'_> {
    fn stream(&mut self) -> Result<StreamWeights, Error> {
        let (inner, width) = (self.shape.heads * self.shape.head_dim, self.shape.width);
        Ok(StreamWeights {
            q: self.linear(inner, width)?,
            k: self.linear(inner, width)?,
            v: self.linear(inner, width)?,
            o: self.linear(width, inner)?,
            q_norm: self.array(&[self.shape.head_dim], 1.0, 0.1)?,
            k_norm: self.array(&[self.shape.head_dim], 1.0, 0.1)?,
        })
    }

    fn linear(&mut self, outputs: usize, inputs: usize) -> Result<LinearWeights, Error> {
        let spread = 1.0 / (inputs as f32).sqrt();
        Ok(LinearWeights {
            weight: self.array(&[outputs, inputs], 0.0, spread)?,
            bias: self.array(&[outputs], 0.0, 0.1)?,
        })
    }

    fn array(&mut self, shape: &[usize], mean: f32, spread: f32) -> Result<Array, Error> {
        let weights = self.source.tensor(shape, self.dtype, |normal| mean + spread * normal());
        self.engine.place("weights", &weights)
    }
}

/// cos and sin `[N, D/2]`: text tokens do not turn; of the pairs of a vision token an eighth turns with its frame, and the
/// rest in halves with its row and column.
fn rope_tables(shape: &Shape) -> [Tensor; 2] {
    let (pairs, [_, height, width]) = (shape.head_dim / 2, shape.grid);
    let of_frame = pairs / 8;
    let of_row = (pairs - of_frame) / 2;
    let extents = [of_frame, of_row, pairs - of_frame - of_row];
    let mut angles = vec![0.0; shape.text * pairs];
    for token in 0..shape.vision() {
        let position = [token / (height * width), token / width % height, token % width];
        for (position, extent) in position.into_iter().zip(extents) {
            let angle = |pair: usize| position as f32 * ROPE_BASE.powf(-(pair as f32) / extent as f32);
            angles.extend((0..extent).map(angle));
        }
    }
    [f32::cos, f32::sin].map(|turn| {
        let values: Vec<f32> = angles.iter().map(|&angle| turn(angle)).collect();
        Tensor::from_f32(&[shape.tokens(), pairs], DType::F32, &values)
    })
}
