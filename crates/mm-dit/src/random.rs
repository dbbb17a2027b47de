//! Made-up numbers, drawn on all threads in the type that they are kept in: equal seeds give equal ones, whatever the machine.

use half::{bf16, f16};
use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;
use sparsym::ir::Tensor;
use sparsym::ir::problem::DType;
use sparsym::ir::tensor::Data;

/// Numbers that are drawn one after another; chunks have streams of the generator of their own.
const CHUNK: usize = 1 << 16;

/// A source of tensors, each with numbers of its own.
pub(crate) struct Source {
    seed: u64,
    tensors: u64,
}

impl Source {
    pub(crate) fn new(seed: u64) -> Source {
        Source { seed, tensors: 0 }
    }

    /// A tensor of what `draw` makes of normal numbers.
    pub(crate) fn tensor(
        &mut self,
        shape: &[usize],
        dtype: DType,
        draw: impl Fn(&mut dyn FnMut() -> f32) -> f32 + Sync,
    ) -> Tensor {
        let len = shape.iter().product();
        self.tensors += 1;
        let data = match dtype {
            DType::F32 => Data::F32(self.fill(len, &draw, |value| value)),
            DType::F16 => Data::F16(self.fill(len, &draw, f16::from_f32)),
            DType::Bf16 => Data::Bf16(self.fill(len, &draw, bf16::from_f32)),
        };
        Tensor { shape: shape.to_vec(), data }
    }

    fn fill<T: Copy + Default + Send>(
        &self,
        len: usize,
        draw: &(impl Fn(&mut dyn FnMut() -> f32) -> f32 + Sync),
        round: impl Fn(f32) -> T + Sync,
    ) -> Vec<T> {
        let mut values = vec![T::default(); len];
        values.par_chunks_mut(CHUNK).enumerate().for_each(|(chunk, values)| {
            let mut rng = ChaCha8Rng::seed_from_u64(self.seed);
            rng.set_stream(self.tensors << 32 | chunk as u64);
            let mut normal = || -> f32 { StandardNormal.sample(&mut rng) };
            values.iter_mut().for_each(|value| *value = round(draw(&mut normal)));
        });
        values
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_do_not_depend_on_threads() {
        let made = |threads| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| Source::new(3).tensor(&[3, CHUNK], DType::F16, |normal| 1.0 + 0.5 * normal()))
        };
        assert_eq!(made(1), made(3));
        let values = made(1).to_f32();
        assert_ne!(values[..CHUNK], values[CHUNK..2 * CHUNK]);
        let mean = values.iter().sum::<f32>() / values.len() as f32;
        assert!((mean - 1.0).abs() < 0.01, "{mean}");
    }
}
