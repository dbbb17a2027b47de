//! The device against a plain f64 loop, and the promises of the crate's documentation one by one.

mod oracle;
mod projections;
mod promises;
mod random;

use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Function, Side, Type};
use sparsym_ir::strategy::{Blocks, TokenRule};
use sparsym_ir::symbols::SkipSymbol;
use sparsym_ir::{
    AttentionCall, AttentionOutput, Bindings, Bound, DType, Findings, Forecast, Moment, Problem, Span, Strategy,
    Symbols, Tensor,
};

use crate::attention;

/// A call with everything that it borrows.
#[derive(Clone, Debug)]
struct Case {
    strategy: Strategy,
    problem: Problem,
    q: Tensor,
    k: Tensor,
    v: Tensor,
    symbols: Symbols,
    features: Vec<Tensor>,
    coefficients: Vec<f32>,
}

impl Case {
    /// Everything computed; values in -1..1 that repeat for the same seed.
    fn new(problem: Problem, dtype: DType, seed: u64) -> Case {
        let (q_shape, kv_shape) = (problem.q_shape(), problem.kv_shape());
        let symbols = Symbols::dense(problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks());
        Case {
            strategy: Strategy::dense(),
            q: noise(&q_shape, dtype, seed),
            k: noise(&kv_shape, dtype, seed + 1),
            v: noise(&kv_shape, dtype, seed + 2),
            problem,
            symbols,
            features: Vec::new(),
            coefficients: Vec::new(),
        }
    }

    /// With `kv.pos <= q.pos`, and the S_s and S_f that belong to it.
    fn causal(mut self) -> Case {
        let pos = |side| Box::new(expr(ExprKind::Coordinate(side, Coordinate::Pos), Type::Int));
        let value = expr(ExprKind::Binary(BinaryOp::Le, pos(Side::Kv), pos(Side::Q)), Type::Bool);
        self.strategy.mask = Some(TokenRule { value, span: Span::default() });
        let (p, s_s) = (&self.problem, &mut self.symbols.skip);
        let mut s_f = SkipSymbol::ones(p.batch, p.heads, p.q_blocks(), p.kv_blocks());
        let (q, kv) = (p.blocks.q as usize, p.blocks.kv as usize);
        for (i, j) in (0..p.q_blocks()).flat_map(|i| (0..p.kv_blocks()).map(move |j| (i, j))) {
            for (b, h) in (0..p.batch).flat_map(|b| (0..p.heads).map(move |h| (b, h))) {
                s_f.set(b, h, i, j, (j + 1) * kv <= i * q + 1);
                if j * kv > (i + 1) * q - 1 {
                    s_s.set(b, h, i, j, false);
                }
            }
        }
        self.symbols.full = Some(s_f);
        self
    }

    /// With the score `2 * tanh(s / 2)`.
    fn soft_cap(mut self) -> Case {
        let float = |kind| expr(kind, Type::Float);
        let two = || Box::new(float(ExprKind::Float(2.0)));
        let half = float(ExprKind::Binary(BinaryOp::Div, Box::new(float(ExprKind::Logit)), two()));
        let tanh = float(ExprKind::Call(Function::Tanh, vec![half]));
        let value = float(ExprKind::Binary(BinaryOp::Mul, two(), Box::new(tanh)));
        self.strategy.score = Some(TokenRule { value, span: Span::default() });
        self
    }

    fn run(&self) -> Result<AttentionOutput, Findings> {
        let bindings = Bindings::defaults(&self.strategy);
        let bound = Bound::new(&self.strategy, &self.problem, &bindings)?;
        let (q, k, v, symbols) = (&self.q, &self.k, &self.v, &self.symbols);
        let forecast = (!self.coefficients.is_empty())
            .then(|| Forecast { features: self.features.iter().collect(), coefficients: self.coefficients.clone() });
        attention(&AttentionCall { bound: &bound, moment: Moment::default(), q, k, v, symbols, forecast })
    }

    /// Runs the case and compares every element of O and LSE with the loop.
    fn check(&self) {
        let out = self.run().expect("the case is legal");
        let (o, lse) = oracle::attention(self);
        let tolerance = match self.q.dtype() {
            DType::F32 => 1e-5,
            DType::F16 => 1e-3,
            DType::Bf16 => 8e-3,
        };
        assert_eq!((&out.o.shape[..], out.o.dtype()), (&self.problem.q_shape()[..], self.q.dtype()));
        assert_close("o", &out.o.to_f32(), &o, tolerance);
        assert_close("lse", &out.lse, &lse, 1e-5);
    }
}

fn assert_close(name: &str, found: &[f32], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len(), "length of {name}");
    for (index, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let found = f64::from(found);
        let same = found == expected || found.is_nan() && expected.is_nan();
        assert!(
            same || (found - expected).abs() <= tolerance * (1.0 + expected.abs()),
            "{name}[{index}] is {found}, the loop gives {expected}"
        );
    }
}

fn noise(shape: &[usize], dtype: DType, seed: u64) -> Tensor {
    use rand::{RngExt, SeedableRng};
    let mut rng = rand_chacha::ChaCha8Rng::seed_from_u64(seed);
    let values: Vec<f32> = (0..shape.iter().product()).map(|_| rng.random_range(-1.0..1.0)).collect();
    Tensor::from_f32(shape, dtype, &values)
}

fn expr(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

/// Self-attention of one batch item in blocks of 16.
fn small(n: usize, heads: usize, head_dim: usize) -> Problem {
    Problem { blocks: Blocks { q: 16, kv: 16 }, ..Problem::self_attention(1, n, heads, head_dim) }
}
