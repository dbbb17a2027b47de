//! Sums of arrays in the device's memory: what a model adds between its layers.

use sparsym_ir::projection::{Stream, Summed};
use sparsym_ir::symbols::BitRows;
use sparsym_ir::{DType, GemmO};

use super::base::Engine;
use crate::device::Cost;
use crate::device::session::{Array, BitArray, Call, Prepared};
use crate::error::Error;

/// Y = Σ factor · X over at most `MOST_TERMS` arrays `[B, rows, C]`, added in f32 and rounded once, without leaving the
/// device: residual connections, and mixtures of inputs.
///
/// It is GEMM-O where all heads are cached: partials alone, and no product.
pub struct Sum {
    engine: Engine,
    operands: Operands,
    prepared: Prepared,
}

/// What GEMM-O asks for beside the terms.
struct Operands {
    stream: Stream,
    /// Nothing is read of these two.
    o: Array,
    w: Array,
    no_head: BitArray,
}

impl Engine {
    /// Sums of arrays of this shape, `[B, rows, C]`, for what a model adds between its layers.
    ///
    /// # Errors
    /// Findings about sizes that the device has no kernel for, or the device's own.
    pub fn sum(&self, [batch, rows, width]: [usize; 3], dtype: DType) -> Result<Sum, Error> {
        let (heads, head_dim, block) = (1, 64, 64);
        let stream = Stream { batch, tokens: rows, first: 0, rows, width, heads, head_dim, block };
        let blocks = batch * stream.blocks();
        let none = BitRows::from_words(blocks, heads, vec![0; blocks]);
        let operands = Operands {
            stream,
            o: self.array("no heads", &stream.head_shape(), dtype)?,
            w: self.array("no weights", &[width, heads * head_dim], dtype)?,
            no_head: BitArray::place(self.session(), "no head", &none)?,
        };
        let [x, y] = ["x", "y"].map(|name| self.array(name, &stream.model_shape(), dtype));
        let prepared = self.session().prepare(&operands.call(&[(1.0, &x?)], &y?))?;
        Ok(Sum { engine: self.clone(), operands, prepared })
    }
}

impl Sum {
    /// Adds up; `y` is none of the arrays that are added.
    ///
    /// # Errors
    /// Findings about arrays that do not fit or are more than `MOST_TERMS`, an array that is read and written, or the
    /// device's own.
    pub fn run(&self, terms: &[(f32, &Array)], y: &Array) -> Result<Cost, Error> {
        let costs = self.engine.run(&[(&self.prepared, self.operands.call(terms, y))])?;
        Ok(costs.into_iter().next().unwrap_or_default())
    }
}

impl Operands {
    fn call<'a>(&'a self, terms: &[(f32, &'a Array)], y: &'a Array) -> Call<'a> {
        let call = GemmO {
            stream: self.stream,
            o: &self.o,
            w: &self.w,
            bias: None,
            s_c: Some(&self.no_head),
            summed: Summed::Active,
            partials: terms.iter().map(|(_, x)| *x).collect(),
            coefficients: terms.iter().map(|(factor, _)| *factor).collect(),
        };
        Call::GemmO { call, y, partial: None }
    }
}
