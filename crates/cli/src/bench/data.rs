//! Random inputs and symbols: the same for the same seed, on any number of cores.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;
use rayon::prelude::*;
use sparsym::ir::symbols::BitRows;
use sparsym::ir::{DType, Tensor};

/// Rows of a tensor that one generator makes, and tokens that share a slow part.
const ROWS: usize = 128;

/// Normal numbers of this standard deviation.
pub(super) fn normal(shape: &[usize], dtype: DType, scale: f32, seed: u64) -> Tensor {
    let row = shape.last().copied().unwrap_or(1).max(1);
    let mut values = vec![0.0f32; shape.iter().product()];
    values.par_chunks_mut(ROWS * row).enumerate().for_each(|(chunk, values)| {
        let mut random = stream(seed, chunk);
        values.iter_mut().for_each(|value| *value = scale * random.sample::<f32, _>(StandardNormal));
    });
    Tensor::from_f32(shape, dtype, &values)
}

/// `[B, N, H, D]`: normal numbers around a mean that changes every 128 tokens, so that blocks differ as those of a model do.
pub(super) fn tokens(shape: &[usize; 4], dtype: DType, seed: u64) -> Tensor {
    let [batch, n, heads, head_dim] = *shape;
    let row = heads * head_dim;
    let mut values = vec![0.0f32; batch * n * row];
    values.par_chunks_mut(ROWS * row).enumerate().for_each(|(chunk, values)| {
        let mut random = stream(seed, chunk);
        let mean: Vec<f32> = (0..row).map(|_| random.sample(StandardNormal)).collect();
        for token in values.chunks_mut(row) {
            for (value, mean) in token.iter_mut().zip(&mean) {
                *value = mean + random.sample::<f32, _>(StandardNormal);
            }
        }
    });
    Tensor::from_f32(shape, dtype, &values)
}

/// Clears bits at random, each with this chance.
pub(super) fn clear_at_random(rows: &mut BitRows, chance: f64, seed: u64) {
    let mut random = stream(seed, 0);
    for row in 0..rows.rows() {
        for bit in 0..rows.bits() {
            if random.random_bool(chance) {
                rows.set(row, bit, false);
            }
        }
    }
}

fn stream(seed: u64, chunk: usize) -> ChaCha8Rng {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    random.set_stream(chunk as u64);
    random
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_numbers_and_others_do_not() {
        let draw = |seed| tokens(&[1, 300, 2, 8], DType::F32, seed);
        assert_eq!(draw(1), draw(1));
        assert_ne!(draw(1), draw(2));
        let values = normal(&[64, 64], DType::F32, 2.0, 3).to_f32();
        let variance = values.iter().map(|value| value * value).sum::<f32>() / values.len() as f32;
        assert!((3.6..4.4).contains(&variance), "{variance}");
    }

    #[test]
    fn as_many_bits_are_cleared_as_the_chance_says() {
        let mut rows = BitRows::ones(100, 100);
        clear_at_random(&mut rows, 0.75, 1);
        assert!((2300..2700).contains(&rows.count()), "{}", rows.count());
    }
}
