//! Properties of the zoo's strategies over random Q and K: what is forced stays on, thresholds are monotone, and rows without
//! a computed pair are defined.

use proptest::prelude::*;
use sparsym::device::{Cpu, Device};
use sparsym::engine::{Engine, LayerPlace, LayerSpec};
use sparsym::ir::problem::{Layout, LayoutRange};
use sparsym::ir::strategy::Blocks;
use sparsym::ir::{AttentionCall, Bindings, Bound, DType, Moment, Problem, Symbols, SymbolsCall, Tensor};
use sparsym::{StrategyType, zoo};

const BLOCK: usize = 16;
const BLOCKS: usize = 12;
const HEAD_DIM: usize = 16;
const HEADS: usize = 2;
const TEXT: usize = 2 * BLOCK;

fn problem() -> Problem {
    let mut problem = Problem::self_attention(1, BLOCKS * BLOCK, HEADS, HEAD_DIM);
    problem.blocks = Blocks { q: BLOCK as u32, kv: BLOCK as u32 };
    problem.layout =
        Layout { ranges: vec![LayoutRange::plain("text", TEXT), LayoutRange::plain("vision", BLOCKS * BLOCK - TEXT)] };
    problem
}

/// Blocks that differ from each other, of tokens that are alike in some blocks and not in others.
fn tensor() -> impl Strategy<Value = Tensor> {
    let blocks = prop::collection::vec((-2.0f32..2.0, 0.0f32..1.5), BLOCKS * HEADS * HEAD_DIM);
    let noise = prop::collection::vec(-1.0f32..1.0, BLOCKS * BLOCK * HEADS * HEAD_DIM);
    (blocks, noise).prop_map(|(blocks, noise)| {
        let value = |(at, noise): (usize, &f32)| {
            let (token, inner) = (at / (HEADS * HEAD_DIM), at % (HEADS * HEAD_DIM));
            let (mean, spread) = blocks[token / BLOCK * HEADS * HEAD_DIM + inner];
            mean + spread * noise
        };
        let values: Vec<f32> = noise.iter().enumerate().map(value).collect();
        Tensor::from_f32(&[1, BLOCKS * BLOCK, HEADS, HEAD_DIM], DType::F32, &values)
    })
}

fn symbols<S: StrategyType>(settings: &S, step: u32, q: &Tensor, k: &Tensor) -> Symbols {
    let (strategy, mut problem) = (S::ir(), problem());
    if strategy.tokens.is_empty() {
        problem.layout = Layout::default();
    }
    let bindings = Bindings { params: settings.values(), tables: Vec::new(), inputs: Vec::new() };
    let bound = Bound::new(strategy, &problem, &bindings).unwrap();
    let moment = Moment { step, steps: 50, ..Moment::default() };
    Cpu.symbols(&SymbolsCall { bound: &bound, moment, data: Some((q, k)) }).unwrap()
}

fn pairs() -> impl Iterator<Item = (usize, usize, usize)> {
    (0..HEADS).flat_map(|h| (0..BLOCKS).flat_map(move |i| (0..BLOCKS).map(move |j| (h, i, j))))
}

/// Whether every block and pair that `less` computes is computed by `more`.
fn is_part(less: &Symbols, more: &Symbols) -> bool {
    let part = |a: Vec<u8>, b: Vec<u8>| a.iter().zip(b).all(|(&a, b)| a <= b);
    part(less.cache.unpack(), more.cache.unpack()) && part(less.skip.unpack(), more.skip.unpack())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn flash_omni(q in tensor(), k in tensor(), low in 0.0f32..0.5, more in 0.0f32..0.5, step in 8u32..50) {
        let at = |tau| zoo::FlashOmni { tau_q: tau, tau_kv: tau, ..zoo::FlashOmni::default() };
        let (few, many) = (symbols(&at(low), step, &q, &k), symbols(&at(low + more), step, &q, &k));
        prop_assert!(is_part(&many, &few), "higher thresholds compute less");
        prop_assert!(is_part(&symbols(&at(low), 49, &q, &k), &symbols(&at(low), step, &q, &k)), "later steps compute less");
        prop_assert!((0..HEADS).all(|h| (0..2).all(|i| many.cache.get(0, h, i))), "text is computed");
        let strongest = pairs().filter(|&(h, i, j)| many.skip.get(0, h, i, j)).map(|(h, i, _)| (h, i));
        prop_assert_eq!(strongest.collect::<std::collections::BTreeSet<_>>().len(), HEADS * BLOCKS, "no row is empty");
    }

    #[test]
    fn sparge(q in tensor(), k in tensor(), low in 0.0f32..0.9, more in 0.0f32..0.1, theta in -0.2f32..0.9) {
        let at = |tau| zoo::Sparge { tau, theta, sink: true, ..zoo::Sparge::default() };
        let (few, many) = (symbols(&at(low), 0, &q, &k), symbols(&at(low + more), 0, &q, &k));
        prop_assert!(is_part(&few, &many), "more mass keeps more");
        prop_assert!((0..HEADS).all(|h| (0..BLOCKS).all(|i| few.skip.get(0, h, i, 0))), "the sink is kept");
        let all_similar = symbols(&zoo::Sparge { theta: -1.0, ..at(0.0) }, 0, &q, &k);
        prop_assert!(is_part(&all_similar, &symbols(&at(0.0), 0, &q, &k)), "what is not similar is kept besides");
        let none_similar = symbols(&zoo::Sparge { theta: 1.0, ..at(0.0) }, 0, &q, &k);
        prop_assert_eq!(none_similar.skip.density(), 1.0, "nothing similar: everything is kept");
    }

    #[test]
    fn top_k(q in tensor(), k in tensor(), low in 0.0f32..0.5, more in 0.0f32..0.5) {
        let at = |keep| zoo::TopK { keep, ..zoo::TopK::default() };
        let (few, many) = (symbols(&at(low), 0, &q, &k), symbols(&at(low + more), 0, &q, &k));
        prop_assert!(is_part(&few, &many));
        let expected = ((low * BLOCKS as f32).ceil() as usize).max(1);
        for (h, i) in (0..HEADS).flat_map(|h| (0..BLOCKS).map(move |i| (h, i))) {
            prop_assert_eq!(few.skip.computed(0, h, i).count(), expected, "every row keeps as many");
        }
    }

    #[test]
    fn xattention(q in tensor(), k in tensor(), low in 0.0f32..0.9, more in 0.0f32..0.1, causal: bool) {
        let at = |tau| zoo::Xattention { tau, causal, ..zoo::Xattention::default() };
        let (few, many) = (symbols(&at(low), 0, &q, &k), symbols(&at(low + more), 0, &q, &k));
        prop_assert!(is_part(&few, &many));
        if causal {
            prop_assert!(pairs().all(|(h, i, j)| j <= i || !many.skip.get(0, h, i, j)), "nothing above the diagonal");
            prop_assert!((0..HEADS).all(|h| (0..BLOCKS).all(|i| few.skip.get(0, h, i, 0) && few.skip.get(0, h, i, i))));
        }
    }

    #[test]
    fn a_row_without_a_computed_pair_is_zero(q in tensor(), k in tensor(), v in tensor()) {
        let symbols = symbols(&zoo::TopK::sla(0.01), 0, &q, &k);
        prop_assert_eq!(symbols.skip.density(), 0.0);
        let (strategy, mut problem) = (zoo::TopK::ir(), problem());
        problem.layout = Layout::default();
        let bindings = Bindings::defaults(strategy);
        let bound = Bound::new(strategy, &problem, &bindings).unwrap();
        let moment = Moment::default();
        let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &v, symbols: &symbols, forecast: None };
        let output = Cpu.attention(&call).unwrap();
        prop_assert!(output.o.to_f32().iter().all(|&x| x == 0.0));
        prop_assert!(output.lse.iter().all(|&x| x == f32::NEG_INFINITY));
    }
}

/// The FX2 feature.
fn feature(step: u32) -> f32 {
    let s = step as f32;
    s * s - 4.0 * s + 8.0
}

/// The first and the last row of O at each step, of a layer whose features are all s² - 4s + 8: V is constant, and attention
/// averages. And whether it degraded.
fn run<S: StrategyType>(settings: &S, steps: u32) -> (Vec<[f32; 2]>, bool) {
    let (strategy, mut problem) = (S::ir().clone(), problem());
    if strategy.tokens.is_empty() {
        problem.layout = Layout::default();
    } else {
        // All vision, so that all rows are alike.
        problem.layout.ranges[0].len = 0;
        problem.layout.ranges[1].len = problem.n_q;
    }
    let place = LayerPlace { layer: 0, steps };
    let bindings = Bindings { params: settings.values(), tables: Vec::new(), inputs: Vec::new() };
    let engine = Engine::new(std::sync::Arc::new(Cpu)).unwrap();
    let spec = LayerSpec { strategy, problem: problem.clone(), bindings, place };
    let attention = engine.attention(spec, DType::F32).unwrap();
    let mut state = attention.state().unwrap();
    let zeros = engine.place("q and k", &Tensor::zeros(&problem.q_shape(), DType::F32)).unwrap();
    let array = |name| engine.array(name, &problem.kv_shape(), DType::F32).unwrap();
    let (v, o) = (array("v"), array("o"));
    let elements = problem.kv_shape().iter().product();
    let rows = (0..steps).map(|step| {
        v.write(&Tensor::from_f32(&problem.kv_shape(), DType::F32, &vec![feature(step); elements])).unwrap();
        attention.step(step, [&zeros, &zeros, &v], &o, &mut state).unwrap();
        let o = o.read().unwrap().to_f32();
        [o[0], o[o.len() - 1]]
    });
    (rows.collect(), state.is_degraded())
}

fn first_rows<S: StrategyType>(settings: &S, steps: u32) -> Vec<f32> {
    run(settings, steps).0.into_iter().map(|[first, _]| first).collect()
}

#[test]
fn fx2_taylor_seer_forecasts() {
    let at = |order| zoo::TaylorSeer { interval: 4, warmup: 3, order, ..zoo::TaylorSeer::default() };
    let order_0 = [8.0, 5.0, 4.0, 4.0, 4.0, 4.0, 20.0, 20.0, 20.0, 20.0, 68.0, 68.0, 68.0];
    let order_1 = [8.0, 5.0, 4.0, 3.0, 2.0, 1.0, 20.0, 24.0, 28.0, 32.0, 68.0, 80.0, 92.0];
    let order_2 = [8.0, 5.0, 4.0, 3.0, 2.0, 1.0, 20.0, 24.625, 30.5, 37.625, 68.0, 81.0, 96.0];
    assert_eq!(first_rows(&at(0), 13), order_0);
    assert_eq!(first_rows(&at(1), 13), order_1);
    assert_eq!(first_rows(&at(2), 13), order_2);
}

/// All contributions are equal, so the first blocks are cached: the first row is forecast at every Dispatch step.
#[test]
fn fx2_flash_omni_forecasts() {
    let settings = zoo::FlashOmni { tau_q: 1.0, ..zoo::FlashOmni::default() };
    let expected = [29.0, 29.0, 29.0, 29.0, 104.0, 119.0, 134.0, 149.0, 164.0, 229.0, 255.0, 293.0];
    // Outputs are weighed in f32, and 1/3 and 1/5 are none: a forecast is the number or its neighbour.
    let found = first_rows(&settings, 20);
    let near = |found: f32, expected: f32| found.to_bits().abs_diff(expected.to_bits()) <= 1;
    assert!(found[8..].iter().zip(expected).all(|(&found, expected)| near(found, expected)), "{found:?}");
    assert_eq!(found[8..].len(), expected.len());
}

#[test]
fn flash_omni_degrades_when_little_is_computed() {
    let settings = zoo::FlashOmni { tau_q: 1.0, ..zoo::FlashOmni::default() };
    let (rows, degraded) = run(&settings, 50);
    assert!(degraded, "at step 47 the ramp is 0.88, and a sixth of the blocks is computed");
    assert_eq!(rows[46][1], feature(46), "before, the last row is computed at Dispatch");
    assert_eq!(rows[48], [feature(47); 2], "after, the whole output of the last Update is held, of order 0");
}
