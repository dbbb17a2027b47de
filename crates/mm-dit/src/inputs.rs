//! Hidden states that drift smoothly from step to step: fixed noise that turns slowly into other noise.

use std::f32::consts::PI;

use sparsym::Error;
use sparsym::engine::{Array, Engine, Sum};
use sparsym::ir::Tensor;
use sparsym::ir::problem::DType;

use crate::Shape;
use crate::random::Source;

/// Text `[1, text, C]` and vision `[1, vision, C]` at a step, in host memory.
pub fn input(shape: &Shape, step: u32, steps: u32, seed: u64, dtype: DType) -> [Tensor; 2] {
    let [now, later] = weights(step, steps);
    let mut source = Source::new(seed);
    parts(shape).map(|part| source.tensor(&part, dtype, |normal| now * normal() + later * normal()))
}

/// The same on a device, where both noises stay: a step copies nothing.
pub struct Inputs {
    parts: [Part; 2],
}

/// Text or vision.
struct Part {
    noise: [Array; 2],
    mixed: Array,
    sum: Sum,
}

impl Inputs {
    /// Draws the noise; equal seeds give equal inputs.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn new(engine: &Engine, shape: &Shape, seed: u64, dtype: DType) -> Result<Inputs, Error> {
        let mut source = Source::new(seed);
        let mut part = |shape: [usize; 3]| -> Result<Part, Error> {
            let mut noise = || engine.place("noise", &source.tensor(&shape, dtype, |normal| normal()));
            let noise = [noise()?, noise()?];
            Ok(Part { noise, mixed: engine.array("x", &shape, dtype)?, sum: engine.sum(shape, dtype)? })
        };
        let [text, vision] = parts(shape);
        Ok(Inputs { parts: [part(text)?, part(vision)?] })
    }

    /// Text and vision at a step, until the next is asked for; and the milliseconds that mixing took.
    ///
    /// # Errors
    /// The device's own.
    pub fn at(&self, step: u32, steps: u32) -> Result<([&Array; 2], f64), Error> {
        let [now, later] = weights(step, steps);
        let mut ms = 0.0;
        for Part { noise, mixed, sum } in &self.parts {
            ms += sum.run(&[(now, &noise[0]), (later, &noise[1])], mixed)?.ms;
        }
        Ok((self.parts.each_ref().map(|part| &part.mixed), ms))
    }
}

/// Of the noise at the start, and of that at the end: their squares add up to 1.
fn weights(step: u32, steps: u32) -> [f32; 2] {
    let phase = 0.5 * PI * step as f32 / steps as f32;
    [phase.cos(), phase.sin()]
}

/// Shapes of text and vision.
fn parts(shape: &Shape) -> [[usize; 3]; 2] {
    [shape.text, shape.vision()].map(|tokens| [1, tokens, shape.width])
}
