//! The block: a double-stream layer, then a single-stream layer.

use sparsym::Error;
use sparsym::engine::{Array, Engine, Layer, LayerPlace, LayerSpec, LayerState, Part, StepReport, Sum};
use sparsym::ir::{Bindings, Strategy, Tensor};

use crate::{BlockWeights, Shape};

/// Two attention layers and the arrays between them. Everything stays on the device.
pub struct Block<'w> {
    double: Layer<'w>,
    single: Layer<'w>,
    /// What a layer gives.
    y: Vec<Array>,
    /// What stands between the layers.
    hidden: Vec<Array>,
    /// Residual connections of text and of vision.
    sums: Vec<Sum>,
    /// For steps from host memory.
    ends: [Vec<Array>; 2],
}

/// What the layers of one run remember.
pub struct BlockState {
    double: LayerState,
    single: LayerState,
}

/// What a step of a block did.
pub struct BlockReport {
    /// Of the double-stream and of the single-stream layer.
    pub layers: [StepReport; 2],
    /// Milliseconds of the residual connections.
    pub sums: f64,
}

/// What a step of a block gives, in host memory.
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
        let tokens = [shape.text, shape.vision()];
        let parts = |weights: [_; 2]| {
            let parts = tokens.into_iter().zip(weights);
            parts.map(|(tokens, weights)| Part { tokens, weights }).collect::<Vec<_>>()
        };
        let double = layer(0, parts([weights.text(), weights.vision()]))?;
        // One stream with one set of weights; in two parts, because it is kept in two arrays.
        let single = layer(1, parts([weights.single(), weights.single()]))?;
        let sums = tokens.map(|tokens| engine.sum([1, tokens, shape.width], weights.dtype));
        Ok(Block {
            y: double.outputs()?,
            hidden: double.inputs()?,
            sums: sums.into_iter().collect::<Result<_, _>>()?,
            ends: [double.inputs()?, double.outputs()?],
            double,
            single,
        })
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

    /// One step: text and vision, each plus what the two layers add to it. `outputs` are none of the `inputs`.
    ///
    /// # Errors
    /// What [`Layer::step`] has against it.
    pub fn step_on_device(
        &self,
        step: u32,
        inputs: [&Array; 2],
        outputs: [&Array; 2],
        state: &mut BlockState,
    ) -> Result<BlockReport, Error> {
        let (y, hidden) = (refs(&self.y), refs(&self.hidden));
        let double = self.double.step(step, &inputs, &y, &mut state.double)?;
        let mut sums = self.add(inputs, &hidden)?;
        let single = self.single.step(step, &hidden, &y, &mut state.single)?;
        sums += self.add([hidden[0], hidden[1]], &outputs)?;
        Ok(BlockReport { layers: [double, single], sums })
    }

    /// The same from host memory and back.
    ///
    /// # Errors
    /// What [`Layer::step`] has against it.
    pub fn step(&self, step: u32, inputs: &[Tensor; 2], state: &mut BlockState) -> Result<BlockStep, Error> {
        let [x, out] = &self.ends;
        x.iter().zip(inputs).try_for_each(|(x, input)| x.write(input))?;
        let reports = self.step_on_device(step, [&x[0], &x[1]], [&out[0], &out[1]], state)?.layers;
        Ok(BlockStep { text: out[0].read()?, vision: out[1].read()?, reports })
    }

    /// Arrays for the results of a step.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn outputs(&self) -> Result<Vec<Array>, Error> {
        self.double.outputs()
    }

    /// `to` = `x` + y of the last layer; milliseconds.
    fn add(&self, x: [&Array; 2], to: &[&Array]) -> Result<f64, Error> {
        let mut ms = 0.0;
        for (part, sum) in self.sums.iter().enumerate() {
            ms += sum.run(&[(1.0, x[part]), (1.0, &self.y[part])], to[part])?.ms;
        }
        Ok(ms)
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
