//! The float types of tensors, widened to f32 a row at a time.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use sparsym_ir::Tensor;
use sparsym_ir::tensor::Data;

/// An element type of [`Tensor`].
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// 0.
    const ZERO: Self;

    /// The elements of a tensor of this type.
    ///
    /// # Panics
    /// If the tensor is of another type; [`sparsym_ir::AttentionCall::check`] makes sure that all tensors share one.
    fn elements(tensor: &Tensor) -> &[Self];

    /// Exact conversion; both slices have one length.
    fn widen(from: &[Self], to: &mut [f32]);

    /// Product with `factor`, rounded to the nearest, ties to even; both slices have one length. `from` is used up.
    fn narrow(from: &mut [f32], factor: f32, to: &mut [Self]);
}

impl Element for f32 {
    const ZERO: f32 = 0.0;

    fn elements(tensor: &Tensor) -> &[f32] {
        match &tensor.data {
            Data::F32(values) => values,
            _ => panic!("{} where f32 was checked", tensor.dtype().name()),
        }
    }

    fn widen(from: &[f32], to: &mut [f32]) {
        to.copy_from_slice(from);
    }

    fn narrow(from: &mut [f32], factor: f32, to: &mut [f32]) {
        to.iter_mut().zip(from).for_each(|(to, from)| *to = *from * factor);
    }
}

macro_rules! half_element {
    ($half:ident, $variant:ident) => {
        impl Element for $half {
            const ZERO: $half = $half::ZERO;

            fn elements(tensor: &Tensor) -> &[$half] {
                match &tensor.data {
                    Data::$variant(values) => values,
                    _ => panic!("{} where {} was checked", tensor.dtype().name(), stringify!($half)),
                }
            }

            fn widen(from: &[$half], to: &mut [f32]) {
                from.convert_to_f32_slice(to);
            }

            fn narrow(from: &mut [f32], factor: f32, to: &mut [$half]) {
                from.iter_mut().for_each(|x| *x *= factor);
                to.convert_from_f32_slice(from);
            }
        }
    };
}

half_element!(f16, F16);
half_element!(bf16, Bf16);
