//! The numbers of a case: the same on every machine, for ever.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sparsym::ir::problem::{DType, Problem};
use sparsym::ir::symbols::{CacheSymbol, SkipSymbol};
use sparsym::ir::{Symbols, Tensor};

use crate::case::{Case, Poisoned, SymbolSpec};

/// The tensors of one call.
#[derive(Clone, Debug)]
pub struct Tensors {
    /// `[B, N, H, D]`.
    pub q: Tensor,
    /// `[B, N_kv, H_kv, D]`.
    pub k: Tensor,
    /// `[B, N_kv, H_kv, D]`.
    pub v: Tensor,
    /// The cached output and its differences, each `[B, N, H, D]`; empty without a forecast.
    pub features: Vec<Tensor>,
    /// One factor for each feature.
    pub coefficients: Vec<f32>,
}

/// Streams of one seed, so that a change to one tensor leaves the others as they are.
#[derive(Clone, Copy)]
enum Stream {
    Q,
    K,
    V,
    CacheSymbol,
    SkipSymbol,
    Feature(u64),
}

/// Makes Q, K, V and cached features, rounded to `dtype`.
///
/// No value distribution is symmetric about 0 and none is the same in two channels: a wrong sign, a swapped axis or a
/// lost row then changes the output.
pub fn tensors(case: &Case, problem: &Problem, dtype: DType) -> Tensors {
    let tensor = |stream, shape: [usize; 4], poisoned| {
        let mut values = values(&mut case_generator(case, stream), shape.iter().product(), shape[3]);
        for poison in case.poison.iter().filter(|poison| Some(poison.tensor) == poisoned) {
            let [_, _, heads, head_dim] = shape;
            values[(poison.row * heads + poison.head) * head_dim + poison.channel] = poison.value;
        }
        Tensor::from_f32(&shape, dtype, &values)
    };
    let n_features = case.forecast.map_or(0, |order| u64::from(order) + 1);
    Tensors {
        q: tensor(Stream::Q, problem.q_shape(), Some(Poisoned::Q)),
        k: tensor(Stream::K, problem.kv_shape(), Some(Poisoned::K)),
        v: tensor(Stream::V, problem.kv_shape(), Some(Poisoned::V)),
        features: (0..n_features).map(|n| tensor(Stream::Feature(n), problem.q_shape(), None)).collect(),
        // Coefficients of a Taylor forecast fall with the order; the values only need to differ.
        coefficients: [1.0, 0.75, 0.28125, 0.0703125][..n_features as usize].to_vec(),
    }
}

/// Clears decisions of the symbols that the rules gave, as the case asks.
pub fn thin_out(case: &Case, symbols: &mut Symbols) {
    let (s_c, s_s) = (&mut symbols.cache, &mut symbols.skip);
    clear_cache(&mut case_generator(case, Stream::CacheSymbol), &case.s_c, s_c);
    clear_skip(&mut case_generator(case, Stream::SkipSymbol), &case.s_s, s_s);
}

fn clear_cache(random: &mut ChaCha8Rng, spec: &SymbolSpec, s_c: &mut CacheSymbol) {
    for b in 0..s_c.batch() {
        for h in 0..s_c.heads() {
            for i in 0..s_c.q_blocks() {
                let kept = random.random_bool(spec.density);
                s_c.set(b, h, i, s_c.get(b, h, i) && kept);
            }
        }
    }
}

fn clear_skip(random: &mut ChaCha8Rng, spec: &SymbolSpec, s_s: &mut SkipSymbol) {
    for b in 0..s_s.batch() {
        for h in 0..s_s.heads() {
            for i in 0..s_s.q_blocks() {
                let empty = random.random_bool(spec.empty_rows);
                for j in 0..s_s.kv_blocks() {
                    let kept = random.random_bool(spec.density) && !empty;
                    s_s.set(b, h, i, j, s_s.get(b, h, i, j) && kept);
                }
            }
        }
    }
}

fn case_generator(case: &Case, stream: Stream) -> ChaCha8Rng {
    generator(
        case.seed,
        match stream {
            Stream::Q => 0,
            Stream::K => 1,
            Stream::V => 2,
            Stream::CacheSymbol => 3,
            Stream::SkipSymbol => 4,
            Stream::Feature(n) => 5 + n,
        },
    )
}

/// Random numbers of one stream of a seed.
pub(crate) fn generator(seed: u64, stream: u64) -> ChaCha8Rng {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    generator.set_stream(stream);
    generator
}

/// Values of rows with so many channels.
pub(crate) fn values(random: &mut ChaCha8Rng, count: usize, channels: usize) -> Vec<f32> {
    let mut value = |index: usize| {
        let channel = (index % channels) as f32 / channels as f32;
        random.random_range(-1.0..1.5f32) + 0.25 * channel
    };
    (0..count).map(&mut value).collect()
}
