//! The series that bench and example share: self-attention of 4 heads in blocks of 128 with block pairs skipped at random.

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sparsym_ir::symbols::SkipSymbol;
use sparsym_ir::{AttentionCall, Bindings, Bound, DType, Moment, Problem, Strategy, Symbols, Tensor};

/// Heads of every problem.
pub(crate) const HEADS: usize = 4;
/// Sequence lengths and head dimensions, in the order in which they are measured.
pub(crate) const SHAPES: [(usize, usize); 4] = [(4096, 64), (4096, 128), (16384, 64), (16384, 128)];
/// Percentages of skipped block pairs.
pub(crate) const SPARSITIES: [usize; 4] = [0, 50, 75, 90];

/// Tensors and symbols of one shape.
pub(crate) struct Workload {
    /// The shapes.
    pub(crate) problem: Problem,
    strategy: Strategy,
    bindings: Bindings,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rng: ChaCha8Rng,
}

impl Workload {
    /// Uniform values in -1..1, the same at every run.
    pub(crate) fn new(n: usize, head_dim: usize, dtype: DType) -> Workload {
        let problem = Problem::self_attention(1, n, HEADS, head_dim);
        let mut rng = ChaCha8Rng::seed_from_u64(7);
        let shape = problem.q_shape();
        let mut tensor = || {
            let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
            Tensor::from_f32(&shape, dtype, &values)
        };
        let (q, k, v) = (tensor(), tensor(), tensor());
        let strategy = Strategy::dense();
        let bindings = Bindings::defaults(&strategy);
        Workload { problem, strategy, bindings, q, k, v, rng }
    }

    /// Symbols in which exactly this percentage of each head's block pairs, rounded to whole pairs, is skipped. Rows
    /// differ in their number of pairs, as they do under real rules.
    pub(crate) fn symbols(&mut self, percent: usize) -> Symbols {
        let (t_q, t_kv) = (self.problem.q_blocks(), self.problem.kv_blocks());
        let mut mask = Vec::new();
        for _ in 0..HEADS {
            let mut head = vec![1; t_q * t_kv];
            head[..(t_q * t_kv * percent + 50) / 100].fill(0);
            head.shuffle(&mut self.rng);
            mask.extend(head);
        }
        Symbols { skip: SkipSymbol::pack(1, HEADS, t_q, t_kv, &mask), ..Symbols::dense(1, HEADS, t_q, t_kv) }
    }

    /// One attention call.
    pub(crate) fn run(&self, symbols: &Symbols) {
        let bound = Bound::new(&self.strategy, &self.problem, &self.bindings).expect("the series is legal");
        let (q, k, v) = (&self.q, &self.k, &self.v);
        let call = AttentionCall { bound: &bound, moment: Moment::default(), q, k, v, symbols, forecast: None };
        std::hint::black_box(sparsym_cpu::attention(&call).expect("the series is legal"));
    }

    /// Floating-point operations of the two products for the pairs that these symbols ask for.
    pub(crate) fn flops(&self, symbols: &Symbols) -> f64 {
        4.0 * (self.problem.n_q * self.problem.n_kv * self.problem.head_dim * HEADS) as f64 * symbols.density()
    }
}
