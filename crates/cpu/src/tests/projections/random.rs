//! Random shapes, symbols and options. What nobody may read is NaN.

use proptest::prelude::*;
use sparsym_ir::DType;
use sparsym_ir::projection::{RopePairs, Stream, Summed};
use sparsym_ir::symbols::CacheSymbol;
use sparsym_ir::tensor::Data;

use super::{CaseO, CaseQ, noise};

/// Blocks from smaller than a row of vectors to larger than a band.
fn blocks() -> impl Strategy<Value = usize> {
    prop_oneof![1usize..40, Just(64), Just(128), 129usize..300]
}

prop_compose! {
    fn streams()(
        batch in 1usize..3, block in blocks(), first in 0usize..60, rows in 0usize..200, rest in 0usize..40,
        whole in any::<bool>(), width in 1usize..150, heads in 1usize..5, half in 1usize..20,
    ) -> Stream {
        let first = if whole { first / 20 * block } else { first };
        let tokens = (first + rows + if whole { 0 } else { rest }).max(1);
        Stream { batch, tokens, first, rows, width, heads, head_dim: 2 * half, block }
    }
}

fn dtypes() -> impl Strategy<Value = DType> {
    prop::sample::select(vec![DType::F32, DType::F16, DType::Bf16])
}

fn symbols(stream: Stream) -> impl Strategy<Value = CacheSymbol> {
    let Stream { batch, heads, .. } = stream;
    let tiles = batch * heads * stream.blocks();
    (0.0..1.0f64).prop_flat_map(move |density| {
        let bits = prop::collection::vec(prop::bool::weighted(density), tiles);
        bits.prop_map(move |bits| {
            let bytes: Vec<u8> = bits.into_iter().map(u8::from).collect();
            CacheSymbol::pack(batch, heads, stream.blocks(), &bytes)
        })
    })
}

prop_compose! {
    fn cases_q()(stream in streams())(
        s_c in prop::option::weighted(0.8, symbols(stream)), dtype in dtypes(), seed in any::<u32>(),
        bias in any::<bool>(), norm in any::<bool>(), means in any::<bool>(), odd in any::<bool>(),
        pairs in prop::option::of(prop::sample::select(vec![RopePairs::Interleaved, RopePairs::Half])), stream in Just(stream),
    ) -> CaseQ {
        let (seed, mut stream) = (u64::from(seed), stream);
        stream.head_dim -= usize::from(odd && pairs.is_none());
        let (dim, heads) = (stream.head_dim, stream.heads);
        let mut case = CaseQ::new(stream, dtype, seed);
        case.s_c = s_c;
        case.bias = bias.then(|| noise(&[heads * dim], dtype, seed + 3));
        case.norm = norm.then(|| noise(&[dim], dtype, seed + 4));
        let tables = [seed + 5, seed + 6].map(|seed| noise(&[stream.tokens, dim / 2], DType::F32, seed));
        case.rope = pairs.map(|pairs| (tables, pairs));
        let means = means && stream.owns_its_blocks();
        case.means = means.then(|| noise(&[stream.batch, heads, stream.blocks(), dim], DType::F32, seed + 7));
        case
    }
}

prop_compose! {
    fn cases_o()(stream in streams())(
        s_c in symbols(stream), all in prop::bool::weighted(0.1), dtype in dtypes(), seed in any::<u32>(),
        bias in any::<bool>(), summed in prop::sample::select(vec![Summed::Active, Summed::Cached, Summed::Both]),
        partials in 0usize..=4, outputs in 1usize..=4, stream in Just(stream),
    ) -> CaseO {
        let seed = u64::from(seed);
        let mut case = CaseO::new(stream, dtype, seed);
        case.outputs.extend((1..outputs).map(|n| noise(&stream.head_shape(), dtype, seed + 1 + n as u64)));
        case.bias = bias.then(|| noise(&[stream.width], dtype, seed + 5));
        case.partials = (0..partials).map(|n| noise(&stream.model_shape(), dtype, seed + 6 + n as u64)).collect();
        // Without S_c no head is cached.
        case.s_c = (!all || outputs > 1 || summed != Summed::Active).then_some(s_c);
        case.summed = summed;
        case
    }
}

/// Makes every element NaN that `needed` denies.
fn poison(data: &mut Data, needed: impl Fn(usize) -> bool) {
    for at in 0..match data {
        Data::F32(values) => values.len(),
        Data::F16(values) => values.len(),
        Data::Bf16(values) => values.len(),
    } {
        if !needed(at) {
            match data {
                Data::F32(values) => values[at] = f32::NAN,
                Data::F16(values) => values[at] = half::f16::NAN,
                Data::Bf16(values) => values[at] = half::bf16::NAN,
            }
        }
    }
}

/// Rows of X in blocks without a computed tile, and weights of heads without one.
fn poison_q(case: &mut CaseQ) {
    let (s, s_c) = (case.stream, case.s_c.clone());
    let computed = |b, h, block| s_c.as_ref().is_none_or(|s_c| s_c.get(b, h, block));
    poison(&mut case.x.data, |at| {
        let (b, row) = (at / s.width / s.rows, at / s.width % s.rows);
        (0..s.heads).any(|h| computed(b, h, (s.first + row) / s.block))
    });
    let own = |b, h| s.rows > 0 && s.own_blocks().any(|block| computed(b, h, block));
    poison(&mut case.w.data, |at| (0..s.batch).any(|b| own(b, at / s.width / s.head_dim)));
}

/// Outputs of heads that are not summed and of other streams, and weights of heads that are summed nowhere.
fn poison_o(case: &mut CaseO, summed: Summed) {
    let (s, s_c) = (case.stream, case.s_c.clone());
    let reads = |b, h, block| match summed {
        Summed::Both => true,
        summed => s_c.as_ref().is_none_or(|s_c| s_c.get(b, h, block)) == (summed == Summed::Active),
    };
    for output in &mut case.outputs {
        poison(&mut output.data, |at| {
            let (row, h) = (at / s.head_dim / s.heads, at / s.head_dim % s.heads);
            let (b, token) = (row / s.tokens, row % s.tokens);
            (s.first..s.first + s.rows).contains(&token) && reads(b, h, token / s.block)
        });
    }
    let own = |b, h| s.rows > 0 && s.own_blocks().any(|block| reads(b, h, block));
    poison(&mut case.w.data, |at| (0..s.batch).any(|b| own(b, at / s.head_dim % s.heads)));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn gemm_q_is_the_oracle(mut case in cases_q()) {
        poison_q(&mut case);
        case.check();
    }

    #[test]
    fn gemm_o_is_the_oracle(mut case in cases_o()) {
        let summed = case.summed;
        poison_o(&mut case, summed);
        case.check();
    }

    #[test]
    fn differences_are_the_oracle(mut case in cases_o()) {
        if case.outputs.len() > 1 {
            poison_o(&mut case, Summed::Cached);
            case.check_differences();
        }
    }
}
