//! What the documentation says of shapes at the edge, of NaN and infinity, and of mistakes.

use sparsym_ir::problem::Ragged;
use sparsym_ir::strategy::Blocks;
use sparsym_ir::tensor::Data;
use sparsym_ir::{Code, DType, Problem, Tensor};

use super::{Case, noise, small};

/// Writes one element of an f32 tensor `[1, N, H, D]`.
fn poke(tensor: &mut Tensor, token: usize, h: usize, c: usize, value: f32) {
    let (heads, d) = (tensor.shape[2], tensor.shape[3]);
    let Data::F32(values) = &mut tensor.data else { panic!("only f32 tensors are poked") };
    values[(token * heads + h) * d + c] = value;
}

/// Query rows of head `h` whose output or LSE holds a NaN or, in the output, an infinity.
fn touched(case: &Case, h: usize) -> Vec<usize> {
    let out = case.run().expect("the case is legal");
    let (o, heads, d, n) = (out.o.to_f32(), case.problem.heads, case.problem.head_dim, case.problem.n_q);
    let bad =
        |row: &usize| o[(row * heads + h) * d..][..d].iter().any(|x| !x.is_finite()) || out.lse[h * n + row].is_nan();
    (0..n).filter(bad).collect()
}

#[test]
fn blocks_larger_than_tiles() {
    for (block, n) in [(256, 700), (1024, 1500), (528, 1100), (144, 300)] {
        let problem = Problem { blocks: Blocks { q: block, kv: block }, ..Problem::self_attention(1, n, 1, 8) };
        Case::new(problem, DType::F32, 1).causal().check();
    }
}

#[test]
fn long_rows_take_several_strips() {
    let mut case = Case::new(small(1700, 1, 16), DType::F32, 2);
    for j in (0..case.problem.kv_blocks()).filter(|j| j % 5 == 3) {
        (0..case.problem.q_blocks()).for_each(|i| case.symbols.skip.set(0, 0, i, j, false));
    }
    case.check();
}

#[test]
fn large_logits_do_not_overflow() {
    let case = Case::new(Problem { scale: 1e4, ..small(100, 2, 32) }, DType::F32, 3);
    let out = case.run().unwrap();
    assert!(out.o.to_f32().iter().chain(&out.lse).all(|x| x.is_finite()));
}

#[test]
fn one_token() {
    let case = Case::new(small(1, 1, 64), DType::F32, 4);
    assert_eq!(case.run().unwrap().o, case.v);
    case.check();
}

#[test]
fn an_item_without_keys() {
    let ragged = Some(Ragged { q: vec![0, 5, 5, 9], kv: vec![0, 0, 7, 9] });
    let case = Case::new(Problem { batch: 3, n_q: 5, n_kv: 7, ragged, ..small(9, 2, 8) }, DType::F16, 5);
    let out = case.run().unwrap();
    assert!(out.o.to_f32()[..5 * 2 * 8].iter().all(|&x| x == 0.0));
    assert!(out.lse[..5].iter().all(|&x| x == f32::NEG_INFINITY) && out.lse[5..9].iter().all(|x| x.is_finite()));
    case.check();
}

#[test]
fn rows_without_pairs_are_zero() {
    let mut case = Case::new(small(48, 1, 8), DType::F32, 6);
    (0..3).for_each(|j| case.symbols.skip.set(0, 0, 1, j, false));
    let out = case.run().unwrap();
    assert!(out.o.to_f32()[16 * 8..32 * 8].iter().all(|&x| x == 0.0));
    assert!(out.lse[16..32].iter().all(|&x| x == f32::NEG_INFINITY));
    case.check();
}

#[test]
fn cached_rows_without_forecast_are_zero() {
    let mut case = Case::new(small(48, 1, 8), DType::F32, 7);
    case.symbols.cache.set(0, 0, 1, false);
    poke(&mut case.q, 20, 0, 0, f32::NAN);
    assert!(case.run().unwrap().o.to_f32()[16 * 8..32 * 8].iter().all(|&x| x == 0.0));
    assert_eq!(touched(&case, 0), []);
}

#[test]
fn nan_in_q_touches_its_row() {
    let mut case = Case::new(small(40, 2, 8), DType::F32, 8);
    poke(&mut case.q, 21, 1, 3, f32::NAN);
    assert_eq!(touched(&case, 0), []);
    assert_eq!(touched(&case, 1), [21]);
    case.check();
}

#[test]
fn a_skipped_pair_hands_nothing_on() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut case = Case::new(small(48, 1, 8), DType::F32, 9);
        poke(&mut case.k, 17, 0, 2, value);
        poke(&mut case.v, 18, 0, 2, value);
        case.symbols.skip.set(0, 0, 0, 1, false);
        case.symbols.skip.set(0, 0, 2, 1, false);
        let rows = touched(&case, 0);
        assert!(!rows.is_empty() && rows.iter().all(|row| (16..32).contains(row)), "{value} touched {rows:?}");
    }
}

#[test]
fn a_masked_token_hands_nothing_on() {
    for value in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut case = Case::new(small(48, 1, 8), DType::F32, 10).causal();
        poke(&mut case.v, 20, 0, 2, value);
        assert_eq!(touched(&case, 0), (20..48).collect::<Vec<_>>(), "V is {value}");
        case.check();
    }
    let mut case = Case::new(small(48, 1, 8), DType::F32, 11).causal();
    poke(&mut case.k, 20, 0, 2, f32::NAN);
    assert_eq!(touched(&case, 0), (20..48).collect::<Vec<_>>());
    case.check();
}

#[test]
fn a_masked_row_before_any_pair_stays_zero_beside_nan() {
    // The block of the diagonal is the only one: rows before the poisoned token see other tokens, row 0 only itself.
    let mut case = Case::new(small(16, 1, 8), DType::F32, 12).causal();
    (1..16).for_each(|token| poke(&mut case.v, token, 0, 0, f32::NAN));
    assert_eq!(touched(&case, 0), (1..16).collect::<Vec<_>>());
}

#[test]
fn infinity_in_v_stays_infinity() {
    let mut case = Case::new(small(20, 1, 4), DType::F32, 13);
    poke(&mut case.v, 3, 0, 1, f32::INFINITY);
    let o = case.run().unwrap().o.to_f32();
    assert!(o.chunks(4).all(|row| row[1] == f32::INFINITY && row[0].is_finite()));
}

#[test]
fn the_number_of_threads_does_not_show() {
    let case = Case::new(small(300, 4, 24), DType::Bf16, 14).causal().soft_cap();
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap().install(|| case.run().unwrap());
    let crowd = rayon::ThreadPoolBuilder::new().num_threads(7).build().unwrap().install(|| case.run().unwrap());
    assert_eq!((alone.o, alone.lse), (crowd.o, crowd.lse));
}

#[test]
fn mistakes_are_findings() {
    let good = Case::new(small(32, 2, 8), DType::F32, 15);
    let code = |case: &Case| case.run().unwrap_err().iter().next().unwrap().code;
    let k = noise(&[1, 31, 2, 8], DType::F32, 0);
    assert_eq!(code(&Case { k, ..good.clone() }), Code::TensorShape);
    let v = noise(&[1, 32, 2, 8], DType::F16, 0);
    assert_eq!(code(&Case { v, ..good.clone() }), Code::TensorType);
    let q = Tensor { shape: vec![1, 32, 2, 8], data: Data::F32(vec![0.0; 3]) };
    assert_eq!(code(&Case { q, ..good.clone() }), Code::TensorShape);
    let symbols = sparsym_ir::Symbols::dense(1, 2, 1, 2);
    assert_eq!(code(&Case { symbols, ..good.clone() }), Code::SymbolShape);
    assert_eq!(code(&Case { coefficients: vec![1.0], ..good }), Code::CacheMissing);
}
