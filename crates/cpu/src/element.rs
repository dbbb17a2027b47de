//! The float types of tensors, widened to f32 a row at a time.

use std::ops::{Deref, Range};

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};
use sparsym_ir::Tensor;
use sparsym_ir::tensor::Data;

use crate::buffer::Buffer;

/// An element type of [`Tensor`].
pub(crate) trait Element: Copy + Send + Sync + 'static {
    /// 0.
    const ZERO: Self;

    /// The elements of a tensor of this type.
    ///
    /// # Panics
    /// If the tensor is of another type; [`sparsym_ir::AttentionCall::check`] makes sure that all tensors share one.
    fn elements(tensor: &Tensor) -> &[Self];

    /// As [`elements`](Element::elements), to write to.
    fn elements_mut(tensor: &mut Tensor) -> &mut [Self];

    /// The elements themselves, if they are f32.
    fn as_f32(elements: &[Self]) -> Option<&[f32]>;

    /// As [`as_f32`](Element::as_f32), to write to.
    fn as_f32_mut(elements: &mut [Self]) -> Option<&mut [f32]>;

    /// Exact conversion; both slices have one length.
    fn widen(from: &[Self], to: &mut [f32]);

    /// The elements as f32: themselves, or widened into `room`, which is at least as long.
    fn floats<'a>(elements: &'a [Self], room: &'a mut [f32]) -> &'a [f32] {
        match Self::as_f32(elements) {
            Some(same) => same,
            None => {
                let room = &mut room[..elements.len()];
                Self::widen(elements, room);
                room
            }
        }
    }

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

    fn elements_mut(tensor: &mut Tensor) -> &mut [f32] {
        let dtype = tensor.dtype();
        match &mut tensor.data {
            Data::F32(values) => values,
            _ => panic!("{} where f32 was checked", dtype.name()),
        }
    }

    fn as_f32(elements: &[f32]) -> Option<&[f32]> {
        Some(elements)
    }

    fn as_f32_mut(elements: &mut [f32]) -> Option<&mut [f32]> {
        Some(elements)
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

            fn elements_mut(tensor: &mut Tensor) -> &mut [$half] {
                let dtype = tensor.dtype();
                match &mut tensor.data {
                    Data::$variant(values) => values,
                    _ => panic!("{} where {} was checked", dtype.name(), stringify!($half)),
                }
            }

            fn as_f32(_: &[$half]) -> Option<&[f32]> {
                None
            }

            fn as_f32_mut(_: &mut [$half]) -> Option<&mut [f32]> {
                None
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

/// A part of a tensor as f32: the part itself, or a copy.
pub(crate) enum Widened<'a> {
    /// The tensor is f32.
    Same(&'a [f32]),
    /// Elements that nobody asked for are what the buffer held before.
    Copy(Buffer),
}

impl<'a> Widened<'a> {
    /// These ranges of the elements; others are neither read nor converted.
    pub(crate) fn new<T: Element>(elements: &'a [T], ranges: impl IntoIterator<Item = Range<usize>>) -> Widened<'a> {
        if let Some(same) = T::as_f32(elements) {
            return Widened::Same(same);
        }
        let mut copy = Buffer::new(elements.len());
        for range in ranges {
            T::widen(&elements[range.clone()], &mut copy[range]);
        }
        Widened::Copy(copy)
    }
}

impl Deref for Widened<'_> {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match self {
            Widened::Same(same) => same,
            Widened::Copy(copy) => copy,
        }
    }
}

/// All of a small array as f32.
pub(crate) fn widened<T: Element>(from: &[T]) -> Vec<f32> {
    let mut to = vec![0.0; from.len()];
    T::widen(from, &mut to);
    to
}

half_element!(f16, F16);
half_element!(bf16, Bf16);
