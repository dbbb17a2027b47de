//! The two precisions in which a formula is worked out, and the rounding to a tensor's type that ends it.

use std::ops::{Add, AddAssign, Div, Mul, Sub};

use half::{bf16, f16};
use sparsym_ir::projection::Shaped;
use sparsym_ir::tensor::Data;
use sparsym_ir::{DType, Tensor};

/// f64, in which results are exact for every practical purpose, or f32, in which kernels add up.
pub(crate) trait Real:
    Copy
    + From<f32>
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + AddAssign
    + 'static
{
    /// Square root.
    fn sqrt(self) -> Self;

    /// The nearest f32.
    fn to_f32(self) -> f32;

    /// The value that a tensor of this type would hold.
    fn rounded(self, dtype: DType) -> Self {
        Self::from(rounded(self.to_f32(), dtype))
    }
}

impl Real for f64 {
    fn sqrt(self) -> f64 {
        self.sqrt()
    }

    fn to_f32(self) -> f32 {
        self as f32
    }
}

impl Real for f32 {
    fn sqrt(self) -> f32 {
        self.sqrt()
    }

    fn to_f32(self) -> f32 {
        self
    }
}

/// Σ a·b, one product after another.
pub(crate) fn dot<N: Real>(a: &[f32], b: &[f32]) -> N {
    let mut sum = N::from(0.0);
    for (&a, &b) in a.iter().zip(b) {
        sum += N::from(a) * N::from(b);
    }
    sum
}

/// The value that a tensor of this type would hold.
pub(crate) fn rounded(value: f32, dtype: DType) -> f32 {
    match dtype {
        DType::F32 => value,
        DType::F16 => f16::from_f32(value).to_f32(),
        DType::Bf16 => bf16::from_f32(value).to_f32(),
    }
}

/// Writes one element, rounded to the tensor's type.
pub(crate) fn write<N: Real>(tensor: &mut Tensor, at: usize, value: N) {
    match &mut tensor.data {
        Data::F32(values) => values[at] = value.to_f32(),
        Data::F16(values) => values[at] = f16::from_f32(value.to_f32()),
        Data::Bf16(values) => values[at] = bf16::from_f32(value.to_f32()),
    }
}

/// A result that nobody gave a place for: its shape and type, so that a call without it can be checked.
pub(crate) struct Missing {
    pub(crate) shape: Vec<usize>,
    pub(crate) dtype: DType,
}

impl Shaped for Missing {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}
