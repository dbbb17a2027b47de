//! Random shapes, symbols and rules.

use proptest::prelude::*;
use sparsym_ir::problem::Ragged;
use sparsym_ir::strategy::Blocks;
use sparsym_ir::symbols::{CacheSymbol, SkipSymbol};
use sparsym_ir::{DType, Problem};

use super::{Case, noise};

prop_compose! {
    fn problems()(
        batch in 1usize..3, lengths in prop::collection::vec((0usize..90, 0usize..90), 3), kv_heads in 1usize..3,
        group in 1usize..4, head_dim in 1usize..40, block_q in 1u32..4, block_kv in 1u32..4, scale in -1.0f32..1.0,
        ragged in any::<bool>(),
    ) -> Problem {
        let (mut q, mut kv) = (vec![0], vec![0]);
        for (b, &(n_q, n_kv)) in lengths.iter().take(batch).enumerate() {
            q.push(q[b] + n_q as u32);
            kv.push(kv[b] + n_kv as u32);
        }
        let most = |side: fn(&(usize, usize)) -> usize| lengths.iter().map(side).max().unwrap_or(0).max(1);
        Problem {
            batch,
            n_q: most(|lengths| lengths.0),
            n_kv: most(|lengths| lengths.1),
            heads: kv_heads * group,
            kv_heads,
            head_dim,
            blocks: Blocks { q: 16 * block_q, kv: 16 * block_kv },
            scale,
            ragged: ragged.then_some(Ragged { q, kv }),
            ..Problem::self_attention(1, 1, 1, 1)
        }
    }
}

prop_compose! {
    fn cases()(problem in problems(), seed in any::<u32>(), density in 0.0f32..1.0, causal in any::<bool>(), soft_cap in any::<bool>())(
        s_c in prop::collection::vec(0u8..4, problem.batch * problem.heads * problem.q_blocks()),
        s_s in prop::collection::vec(
            prop::bool::weighted(f64::from(density)),
            problem.batch * problem.heads * problem.q_blocks() * problem.kv_blocks(),
        ),
        features in 0usize..=4, problem in Just(problem), seed in Just(seed), causal in Just(causal), soft_cap in Just(soft_cap),
        dtype in prop::sample::select(vec![DType::F32, DType::F16, DType::Bf16]),
    ) -> Case {
        let (b, h, t_q, t_kv) = (problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks());
        let shape = problem.q_shape();
        let mut case = Case::new(problem, dtype, u64::from(seed));
        case.symbols.cache = CacheSymbol::pack(b, h, t_q, &s_c);
        let s_s: Vec<u8> = s_s.into_iter().map(u8::from).collect();
        case.symbols.skip = SkipSymbol::pack(b, h, t_q, t_kv, &s_s);
        case.features = (0..features).map(|k| noise(&shape, dtype, u64::from(seed) + 3 + k as u64)).collect();
        case.coefficients = [1.0, 0.5, -2.0, 0.25][..features].to_vec();
        if causal {
            case = case.causal();
        }
        if soft_cap {
            case = case.soft_cap();
        }
        case
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn agrees_with_the_loop(case in cases()) {
        case.check();
    }
}
