//! A layer: strategy, shapes and weights, and the sizes of its projections.

use sparsym_ir::projection::{GemmQ, RmsNorm, Rope, Shaped, Stream};
use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Code, Finding, Findings, Problem};

use super::core::{Core, check_aliases};
use super::schedule::Schedule;
use super::state::LayerState;
use crate::device::session::{Array, BitArray};
use crate::error::Error;

/// Weights of a projection.
#[derive(Clone, Copy, Debug)]
pub struct Linear<'w> {
    /// `[outputs, inputs]`.
    pub weight: &'w Array,
    /// `[outputs]`.
    pub bias: Option<&'w Array>,
}

/// Projections of a part of the sequence.
#[derive(Clone, Copy, Debug)]
pub struct Weights<'w> {
    /// To queries, `[H·D, C]`.
    pub q: Linear<'w>,
    /// To keys, `[H_kv·D, C]`.
    pub k: Linear<'w>,
    /// To values, `[H_kv·D, C]`.
    pub v: Linear<'w>,
    /// From heads to the model width, `[C_out, H·D]`.
    pub o: Linear<'w>,
    /// Normalisation of queries.
    pub q_norm: Option<RmsNorm<&'w Array>>,
    /// Normalisation of keys.
    pub k_norm: Option<RmsNorm<&'w Array>>,
    /// Rotary embedding of queries and keys, by token of the joint sequence.
    pub rope: Option<Rope<&'w Array>>,
}

/// A part of the joint sequence with weights of its own: all of it in a single stream, text or vision in a double stream.
#[derive(Clone, Copy, Debug)]
pub struct Part<'w> {
    /// Its tokens; parts follow each other in the sequence.
    pub tokens: usize,
    /// Its weights.
    pub weights: Weights<'w>,
}

/// Inputs and results, one array for each part of the sequence.
#[derive(Clone, Copy)]
pub(super) struct Ends<'a> {
    pub(super) x: &'a [&'a Array],
    pub(super) y: &'a [&'a Array],
}

/// An attention layer with its projections.
pub struct Layer<'w> {
    pub(super) core: Core,
    pub(super) parts: Vec<Part<'w>>,
}

impl Layer<'_> {
    /// What each step is.
    pub fn schedule(&self) -> &Schedule {
        &self.core.schedule
    }

    /// The shapes.
    pub fn problem(&self) -> &Problem {
        &self.core.spec.problem
    }

    /// The strategy.
    pub fn strategy(&self) -> &Strategy {
        &self.core.spec.strategy
    }

    /// Memory for one run of the layer.
    ///
    /// # Errors
    /// If the device has no room for it.
    pub fn state(&self) -> Result<LayerState, Error> {
        let orders = self.core.orders();
        let partial = |part, k| self.array(&format!("partial {k}"), &self.stream_of_o(part));
        let partials = |part| (0..orders).map(|k| partial(part, k)).collect::<Result<Vec<_>, _>>();
        let partials = (0..self.parts.len()).map(partials).collect::<Result<_, _>>()?;
        // Order 0 is in the partial itself.
        self.core.state(if orders > 1 { orders } else { 0 }, partials)
    }

    /// Arrays for the results of a step, one for each part: `[B, tokens, C_out]`.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn outputs(&self) -> Result<Vec<Array>, Error> {
        (0..self.parts.len()).map(|part| self.array("y", &self.stream_of_o(part))).collect()
    }

    /// Arrays for the inputs of a step, one for each part: `[B, tokens, C]`.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn inputs(&self) -> Result<Vec<Array>, Error> {
        (0..self.parts.len()).map(|part| self.array("x", &self.stream_of_q(part))).collect()
    }

    fn array(&self, name: &str, stream: &Stream) -> Result<Array, Error> {
        self.core.engine.array(name, &stream.model_shape(), self.core.dtype)
    }

    /// Inputs and results, if there are as many as parts, they fit, and none is written twice or read and written.
    pub(super) fn ends<'a>(&self, x: &'a [&'a Array], y: &'a [&'a Array]) -> Result<Ends<'a>, Error> {
        check_count("x", x.len(), self.parts.len())?;
        check_count("y", y.len(), self.parts.len())?;
        for (part, (x, y)) in x.iter().zip(y).enumerate() {
            self.core.check_array("x", x, &self.stream_of_q(part).model_shape())?;
            self.core.check_array("y", y, &self.stream_of_o(part).model_shape())?;
        }
        let named = |name, arrays: &'a [&'a Array]| arrays.iter().map(|array| (name, *array)).collect::<Vec<_>>();
        check_aliases(&named("x", x), &named("y", y))?;
        Ok(Ends { x, y })
    }

    /// The projection of a part to queries, of tiles whose S_c is 1.
    pub(super) fn q_of<'a>(
        &'a self,
        part: usize,
        x: &'a Array,
        s_c: Option<&'a BitArray>,
    ) -> GemmQ<&'a Array, &'a BitArray> {
        let Weights { q, q_norm, rope, .. } = self.parts[part].weights;
        let stream = self.stream_of_q(part);
        GemmQ { stream, x, w: q.weight, bias: q.bias, norm: q_norm, rope, s_c }
    }

    /// The projection of a part to keys.
    pub(super) fn k_of<'a>(&'a self, part: usize, x: &'a Array) -> GemmQ<&'a Array, &'a BitArray> {
        let Weights { k, k_norm, rope, .. } = self.parts[part].weights;
        GemmQ { stream: self.stream_of_k(part), x, w: k.weight, bias: k.bias, norm: k_norm, rope, s_c: None }
    }

    /// The projection of a part to values.
    pub(super) fn v_of<'a>(&'a self, part: usize, x: &'a Array) -> GemmQ<&'a Array, &'a BitArray> {
        let v = self.parts[part].weights.v;
        GemmQ { stream: self.stream_of_k(part), x, w: v.weight, bias: v.bias, norm: None, rope: None, s_c: None }
    }

    fn stream_of_q(&self, part: usize) -> Stream {
        let Problem { batch, n_q: tokens, heads, head_dim, blocks, .. } = self.core.spec.problem;
        let first = self.parts[..part].iter().map(|part| part.tokens).sum();
        let Part { tokens: rows, weights } = &self.parts[part];
        let width = weights.q.weight.shape().get(1).copied().unwrap_or(0);
        Stream { batch, tokens, first, rows: *rows, width, heads, head_dim, block: blocks.q as usize }
    }

    fn stream_of_k(&self, part: usize) -> Stream {
        let Problem { kv_heads, blocks, .. } = self.core.spec.problem;
        Stream { heads: kv_heads, block: blocks.kv as usize, ..self.stream_of_q(part) }
    }

    /// Of the projection back.
    pub(super) fn stream_of_o(&self, part: usize) -> Stream {
        let width = self.parts[part].weights.o.weight.shape().first().copied().unwrap_or(0);
        Stream { width, ..self.stream_of_q(part) }
    }
}

/// A finding about the inputs or outputs of a step.
fn check_count(name: &str, found: usize, expected: usize) -> Result<(), Findings> {
    if found == expected {
        return Ok(());
    }
    let help = format!("give one for each of the {expected} parts of the layer");
    Err(Finding::new(Code::TensorShape, format!("{found} arrays of {name}"), help).into())
}
