//! Host tensors: contiguous, row-major, in one of three float types.

use half::{bf16, f16};

use crate::problem::{DType, product};

/// A contiguous row-major tensor in host memory.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Elements.
    pub data: Data,
}

/// Elements of a [`Tensor`].
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// f32 elements.
    F32(Vec<f32>),
    /// IEEE half precision elements.
    F16(Vec<f16>),
    /// bfloat16 elements.
    Bf16(Vec<bf16>),
}

impl Tensor {
    /// A tensor from f32 values, rounded to `dtype` (nearest even).
    ///
    /// # Panics
    /// If `values.len()` is not the product of `shape`.
    pub fn from_f32(shape: &[usize], dtype: DType, values: &[f32]) -> Tensor {
        assert_eq!(values.len(), product(shape), "values do not fill the shape {shape:?}");
        let data = match dtype {
            DType::F32 => Data::F32(values.to_vec()),
            DType::F16 => Data::F16(values.iter().map(|&v| f16::from_f32(v)).collect()),
            DType::Bf16 => Data::Bf16(values.iter().map(|&v| bf16::from_f32(v)).collect()),
        };
        Tensor { shape: shape.to_vec(), data }
    }

    /// A tensor from the bytes of its elements, little-endian.
    ///
    /// # Panics
    /// If there are more or fewer bytes than `shape` has elements.
    pub fn from_bytes(shape: &[usize], dtype: DType, bytes: &[u8]) -> Tensor {
        assert_eq!(
            Some(bytes.len()),
            product(shape).checked_mul(dtype.bytes()),
            "bytes do not fill the shape {shape:?} of {}",
            dtype.name()
        );
        let data = match dtype {
            DType::F32 => Data::F32(bytemuck::pod_collect_to_vec(bytes)),
            DType::F16 => Data::F16(bytemuck::pod_collect_to_vec(bytes)),
            DType::Bf16 => Data::Bf16(bytemuck::pod_collect_to_vec(bytes)),
        };
        Tensor { shape: shape.to_vec(), data }
    }

    /// A tensor of zeros.
    ///
    /// # Panics
    /// If no memory can hold it.
    pub fn zeros(shape: &[usize], dtype: DType) -> Tensor {
        let n = product(shape);
        let data = match dtype {
            DType::F32 => Data::F32(vec![0.0; n]),
            DType::F16 => Data::F16(vec![f16::ZERO; n]),
            DType::Bf16 => Data::Bf16(vec![bf16::ZERO; n]),
        };
        Tensor { shape: shape.to_vec(), data }
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        match self.data {
            Data::F32(_) => DType::F32,
            Data::F16(_) => DType::F16,
            Data::Bf16(_) => DType::Bf16,
        }
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        match &self.data {
            Data::F32(v) => v.len(),
            Data::F16(v) => v.len(),
            Data::Bf16(v) => v.len(),
        }
    }

    /// Whether there are no elements.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All elements as f32; exact.
    pub fn to_f32(&self) -> Vec<f32> {
        match &self.data {
            Data::F32(v) => v.clone(),
            Data::F16(v) => v.iter().map(|x| x.to_f32()).collect(),
            Data::Bf16(v) => v.iter().map(|x| x.to_f32()).collect(),
        }
    }

    /// The elements' bytes, little-endian.
    pub fn bytes(&self) -> &[u8] {
        match &self.data {
            Data::F32(v) => bytemuck::cast_slice(v),
            Data::F16(v) => bytemuck::cast_slice(v),
            Data::Bf16(v) => bytemuck::cast_slice(v),
        }
    }
}
