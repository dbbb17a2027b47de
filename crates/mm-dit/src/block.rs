//! The block: a double-stream layer, then a single-stream layer.

use sparsym::ir::problem::DType;
use sparsym::ir::{Bindings, Strategy, Tensor};
use sparsym::runtime::engine::{Array, Engine, Layer, LayerSpec, LayerState, Part, StepReport};
use sparsym::runtime::{Error, LayerPlace};

use crate::{BlockWeights, Shape};

/// Two attention layers and the arrays between them.
pub struct Block<'w> {
    double: Layer<'w>,
    single: Layer<'w>,
    shape: Shape,
    dtype: DType,
    x: Vec<Array>,
    y: Vec<Array>,
    x_single: Vec<Array>,
    y_single: Vec<Array>,
}

/// What the layers of one run remember.
pub struct BlockState {
    double: LayerState,
    single: LayerState,
}

/// What a step of a block gives.
pub struct BlockStep {
    /// `[1, text, C]`.
    pub text: Tensor,
    /// `[1, vision, C]`.
    pub vision: Tensor,
    /// Of the double-stream and of the single-stream layer.
    pub reports: [StepReport; 2],
}

impl<'w> Block<'w> {
    /// A block of one strategy.
    ///
    /// # Errors
    /// What [`Engine::layer`] has against it.
    pub fn new(
        engine: &Engine,
        shape: Shape,
        weights: &'w BlockWeights,
        strategy: &Strategy,
        bindings: &Bindings,
        steps: u32,
    ) -> Result<Block<'w>, Error> {
        let layer = |index: u32, parts: Vec<Part<'w>>| {
            let spec = LayerSpec {
                strategy: strategy.clone(),
                problem: shape.problem(!strategy.tokens.is_empty()),
                bindings: bindings.clone(),
                place: LayerPlace { layer: index, steps },
            };
            engine.layer(spec, parts)
        };
        let [text, vision] = [(shape.text, weights.text()), (shape.vision(), weights.vision())]
            .map(|(tokens, weights)| Part { tokens, weights });
        let double = layer(0, vec![text, vision])?;
        let single = layer(1, vec![Part { tokens: shape.tokens(), weights: weights.single() }])?;
        let (x, y, x_single, y_single) = (double.inputs()?, double.outputs()?, single.inputs()?, single.outputs()?);
        Ok(Block { double, single, shape, dtype: weights.dtype, x, y, x_single, y_single })
    }

    /// Memory for one run.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn state(&self) -> Result<BlockState, Error> {
        Ok(BlockState { double: self.double.state()?, single: self.single.state()? })
    }

    /// The double-stream layer.
    pub fn double(&self) -> &Layer<'w> {
        &self.double
    }

    /// One step: text and vision, each plus what the two layers add to it.
    ///
    /// # Errors
    /// What [`Layer::step`] has against it.
    pub fn step(&self, step: u32, inputs: &[Tensor; 2], state: &mut BlockState) -> Result<BlockStep, Error> {
        for (x, input) in self.x.iter().zip(inputs) {
            x.write(&self.normalised(input))?;
        }
        let double = self.double.step(step, &refs(&self.x), &refs(&self.y), &mut state.double)?;
        let [text, vision] = inputs;
        let hidden = [added(text, &self.y[0].read()?), added(vision, &self.y[1].read()?)];

        let joint = Tensor::from_f32(&[1, self.shape.tokens(), self.shape.width], self.dtype, &hidden.concat());
        self.x_single[0].write(&self.normalised(&joint))?;
        let single = self.single.step(step, &refs(&self.x_single), &refs(&self.y_single), &mut state.single)?;
        let output = added(&joint, &self.y_single[0].read()?);

        let (text, vision) = output.split_at(self.shape.text * self.shape.width);
        let tensor = |values: &[f32]| {
            Tensor::from_f32(&[1, values.len() / self.shape.width, self.shape.width], self.dtype, values)
        };
        Ok(BlockStep { text: tensor(text), vision: tensor(vision), reports: [double, single] })
    }

    /// Each token less its mean, over its deviation.
    fn normalised(&self, x: &Tensor) -> Tensor {
        let mut values = x.to_f32();
        for token in values.chunks_exact_mut(self.shape.width) {
            let n = token.len() as f32;
            let mean = token.iter().sum::<f32>() / n;
            let deviation = (token.iter().map(|x| (x - mean).powi(2)).sum::<f32>() / n + 1e-6).sqrt();
            token.iter_mut().for_each(|x| *x = (*x - mean) / deviation);
        }
        Tensor::from_f32(&x.shape, self.dtype, &values)
    }
}

impl BlockState {
    /// The same memory once more, for a second branch of guidance.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn duplicate(&self) -> Result<BlockState, Error> {
        Ok(BlockState { double: self.double.duplicate()?, single: self.single.duplicate()? })
    }

    /// Of the double-stream and of the single-stream layer.
    pub fn layers(&self) -> [&LayerState; 2] {
        [&self.double, &self.single]
    }
}

fn refs(arrays: &[Array]) -> Vec<&Array> {
    arrays.iter().collect()
}

fn added(x: &Tensor, y: &Tensor) -> Vec<f32> {
    x.to_f32().iter().zip(y.to_f32()).map(|(x, y)| x + y).collect()
}
