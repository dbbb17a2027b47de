//! Inputs of a launch, and what it may give.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex};

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sparsym::StrategyType;
use sparsym::ir::bind::{Bindings, Bound};
use sparsym::ir::problem::Problem as Shapes;
use sparsym::ir::{AttentionCall, DType, Moment, Symbols, Tensor};
use sparsym::zoo;
use sparsym_tests::compare::Expected;
use sparsym_tests::devices;

use crate::kernels::Problem;

/// One problem's.
pub(crate) struct Numbers {
    /// Q, K and V `[N, H, D]`; or A `[M, K]` and B `[N, K]`.
    pub(crate) inputs: Vec<Tensor>,
    pub(crate) expected: Expected,
}

/// Added to twice the rounding error of the type, as in the corpus.
const FLOOR: f64 = 2e-5;

/// Made once in a run of the tests.
pub(crate) fn of(problem: Problem) -> Arc<Numbers> {
    static MADE: LazyLock<Mutex<HashMap<Problem, Arc<Numbers>>>> = LazyLock::new(Mutex::default);
    MADE.lock().unwrap().entry(problem).or_insert_with(|| Arc::new(Numbers::new(problem))).clone()
}

/// Of the logits.
pub(crate) fn scale() -> f32 {
    1.0 / (128f32).sqrt()
}

impl Numbers {
    fn new(problem: Problem) -> Numbers {
        match problem {
            Problem::Attention { heads, n_q, n_kv } => attention(heads, n_q, n_kv),
            Problem::Gemm { m, n, k, .. } => gemm(m, n, k),
        }
    }
}

fn attention(heads: usize, n_q: usize, n_kv: usize) -> Numbers {
    const HEAD_DIM: usize = 128;
    let inputs = [n_q, n_kv, n_kv].into_iter().zip(0..);
    let inputs: Vec<Tensor> = inputs.map(|(tokens, stream)| tensor(&[1, tokens, heads, HEAD_DIM], stream)).collect();
    let shapes = Shapes { n_kv, scale: scale(), ..Shapes::self_attention(1, n_q, heads, HEAD_DIM) };
    let strategy = zoo::Dense::ir();
    let bindings = Bindings::defaults(strategy);
    let bound = Bound::new(strategy, &shapes, &bindings).unwrap_or_else(|why| panic!("{why}"));
    let symbols = Symbols::dense(1, heads, shapes.q_blocks(), shapes.kv_blocks());
    let [q, k, v] = &inputs[..] else { unreachable!("three tensors") };
    let call = AttentionCall { bound: &bound, moment: Moment::default(), q, k, v, symbols: &symbols, forecast: None };
    let truth = devices::oracle(&call).unwrap_or_else(|why| panic!("{why}"));
    let yardstick = devices::yardstick(&call).unwrap_or_else(|why| panic!("{why}"));
    let results = vec![("o", truth.o, yardstick.o.to_f32()), ("lse", truth.lse, yardstick.lse)];
    Numbers { expected: Expected::new(results, FLOOR), inputs }
}

fn gemm(m: usize, n: usize, k: usize) -> Numbers {
    let inputs = vec![tensor(&[m, k], 0), tensor(&[n, k], 1)];
    let [a, b] = [0, 1].map(|at: usize| inputs[at].to_f32());
    let pairs = || a.chunks_exact(k).flat_map(|row| b.chunks_exact(k).map(move |column| (row, column)));
    let exact = |(row, column): (&[f32], &[f32])| {
        row.iter().zip(column).map(|(&a, &b)| f64::from(a) * f64::from(b)).sum::<f64>()
    };
    let single = |(row, column): (&[f32], &[f32])| row.iter().zip(column).map(|(a, b)| a * b).sum::<f32>();
    let rounded = Tensor::from_f32(&[m, n], DType::Bf16, &pairs().map(single).collect::<Vec<_>>());
    let results = vec![("c", pairs().map(exact).collect(), rounded.to_f32())];
    Numbers { expected: Expected::new(results, FLOOR), inputs }
}

/// Not symmetric about 0, and different in every column: a wrong sign, a swapped axis or a lost row changes the result.
fn tensor(shape: &[usize], stream: u64) -> Tensor {
    let mut random = ChaCha8Rng::seed_from_u64(90);
    random.set_stream(stream);
    let columns = shape.last().copied().unwrap_or(1);
    let mut value = |at: usize| random.random_range(-1.0..1.5f32) + 0.25 * (at % columns) as f32 / columns as f32;
    let values: Vec<f32> = (0..shape.iter().product()).map(&mut value).collect();
    Tensor::from_f32(shape, DType::Bf16, &values)
}
