//! The projections around attention against numbers worked out by hand.

use sparsym_ir::projection::{
    Differences, DifferencesCall, GemmO, GemmOCall, GemmQ, GemmQCall, RmsNorm, Rope, RopePairs, Stream, Summed,
};
use sparsym_ir::symbols::CacheSymbol;
use sparsym_ir::{Code, DType, Tensor};
use sparsym_reference::{differences, gemm_o, gemm_q};

const NAN: f32 = f32::NAN;

fn tensor(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(shape, DType::F32, values)
}

/// A stream of one batch item, model width 2, heads of two channels and blocks of two tokens.
fn stream(tokens: usize, first: usize, rows: usize, heads: usize) -> Stream {
    Stream { batch: 1, tokens, first, rows, width: 2, heads, head_dim: 2, block: 2 }
}

fn plain_q<'a>(stream: Stream, x: &'a Tensor, w: &'a Tensor) -> GemmQCall<'a> {
    GemmQ { stream, x, w, bias: None, norm: None, rope: None, s_c: None }
}

fn plain_o<'a>(stream: Stream, o: &'a Tensor, w: &'a Tensor) -> GemmOCall<'a> {
    let (bias, s_c, partials, coefficients) = (None, None, Vec::new(), Vec::new());
    GemmO { stream, o, w, bias, s_c, summed: Summed::Active, partials, coefficients }
}

#[test]
fn q_is_projected_biased_normalised_and_turned() {
    let x = tensor(&[1, 1, 2], &[1.0, 2.0]);
    let w = tensor(&[2, 2], &[1.0, 1.0, 1.0, 1.5]);
    let (bias, weight) = (tensor(&[2], &[0.0, 0.0]), tensor(&[2], &[10.0, 100.0]));
    // Two tokens in all: the row is the second one, whose table turns by 90 degrees.
    let (cos, sin) = (tensor(&[2, 1], &[1.0, 0.0]), tensor(&[2, 1], &[0.0, 1.0]));
    let mut call = plain_q(stream(2, 1, 1, 1), &x, &w);
    let mut q = tensor(&[1, 2, 1, 2], &[7.0; 4]);
    gemm_q(&call, &mut q, None).unwrap();
    assert_eq!(q.to_f32(), [7.0, 7.0, 3.0, 4.0]);

    let shift = tensor(&[2], &[-2.0, 3.0]);
    call.bias = Some(&shift);
    gemm_q(&call, &mut q, None).unwrap();
    assert_eq!(q.to_f32(), [7.0, 7.0, 1.0, 7.0]);

    // (1 + 49) / 2 = 25, the root of which is 5.
    call.norm = Some(RmsNorm { weight: &weight, eps: 0.0 });
    gemm_q(&call, &mut q, None).unwrap();
    assert_eq!(q.to_f32(), [7.0, 7.0, 2.0, 140.0]);

    call.rope = Some(Rope { cos: &cos, sin: &sin, pairs: RopePairs::Half });
    gemm_q(&call, &mut q, None).unwrap();
    assert_eq!(q.to_f32(), [7.0, 7.0, -140.0, 2.0]);

    // eps counts: (9 + 16) / 2 + 3.5 = 16.
    call.bias = Some(&bias);
    call.norm = Some(RmsNorm { weight: &weight, eps: 3.5 });
    gemm_q(&call, &mut q, None).unwrap();
    assert_eq!(q.to_f32(), [7.0, 7.0, -100.0, 7.5]);
}

#[test]
fn pairs_are_neighbours_or_half_a_head_apart() {
    let stream = Stream { head_dim: 4, ..stream(1, 0, 1, 1) };
    let (x, w) = (tensor(&[1, 1, 2], &[1.0, 0.0]), tensor(&[4, 2], &[1.0, 0.0, 2.0, 0.0, 3.0, 0.0, 4.0, 0.0]));
    let (cos, sin) = (tensor(&[1, 2], &[0.0, 2.0]), tensor(&[1, 2], &[1.0, 3.0]));
    for (pairs, expected) in
        [(RopePairs::Interleaved, [-2.0, 1.0, 6.0 - 12.0, 8.0 + 9.0]), (RopePairs::Half, [-3.0, 4.0 - 12.0, 1.0, 14.0])]
    {
        let call = GemmQ { rope: Some(Rope { cos: &cos, sin: &sin, pairs }), ..plain_q(stream, &x, &w) };
        let mut q = Tensor::zeros(&[1, 1, 1, 4], DType::F32);
        gemm_q(&call, &mut q, None).unwrap();
        assert_eq!(q.to_f32(), expected, "{}", pairs.name());
    }
}

#[test]
fn cached_tiles_of_q_and_their_means_stay() {
    // Five tokens in three blocks; W makes head 0 a copy of X and head 1 its double.
    let x = tensor(&[1, 5, 2], &[1., 2., 3., 4., 5., 6., 7., 8., 9., 10.]);
    let w = tensor(&[4, 2], &[1., 0., 0., 1., 2., 0., 0., 2.]);
    let s_c = CacheSymbol::pack(1, 2, 3, &[1, 0, 1, 0, 1, 0]);
    let call = GemmQ { s_c: Some(&s_c), ..plain_q(stream(5, 0, 5, 2), &x, &w) };
    let (mut q, mut means) = (tensor(&[1, 5, 2, 2], &[-1.0; 20]), tensor(&[1, 2, 3, 2], &[-1.0; 12]));
    gemm_q(&call, &mut q, Some(&mut means)).unwrap();
    let rows = [1., 2., -1., -1., 3., 4., -1., -1., -1., -1., 10., 12., -1., -1., 14., 16., 9., 10., -1., -1.];
    assert_eq!(q.to_f32(), rows);
    assert_eq!(means.to_f32(), [2., 3., -1., -1., 9., 10., -1., -1., 12., 14., -1., -1.]);

    let exact = sparsym_reference::gemm_q::exact(&call).unwrap();
    assert_eq!(exact.q.iter().filter(|value| value.is_none()).count(), 10);
    assert_eq!((exact.q[0], exact.q[2], exact.q[10]), (Some(1.0), None, Some(10.0)));
    assert_eq!(exact.means.unwrap()[..4], [Some(2.0), Some(3.0), None, None]);
}

#[test]
fn means_are_those_of_the_rounded_rows() {
    // 1 + 2⁻⁹ is 1 in bf16.
    let values = [1.0 + 2f32.powi(-9); 2];
    let x = Tensor::from_f32(&[1, 1, 2], DType::Bf16, &[1.0, 2f32.powi(-9)]);
    let w = Tensor::from_f32(&[2, 2], DType::Bf16, &[1.0; 4]);
    let call = plain_q(stream(1, 0, 1, 1), &x, &w);
    for project in [gemm_q, sparsym_reference::gemm_q::same_precision] {
        let (mut q, mut means) = (Tensor::zeros(&[1, 1, 1, 2], DType::Bf16), Tensor::zeros(&[1, 1, 1, 2], DType::F32));
        project(&call, &mut q, Some(&mut means)).unwrap();
        assert_eq!((q.to_f32(), means.to_f32()), (vec![1.0; 2], vec![1.0; 2]));
    }
    assert_eq!(sparsym_reference::gemm_q::exact(&call).unwrap().q, values.map(|x| Some(f64::from(x))));
}

#[test]
fn streams_write_their_rows_and_read_their_blocks() {
    // Tokens 0..3 are the text's and 3..5 the vision's; block 1 has a token of each.
    let x = tensor(&[1, 2, 2], &[1.0, 0.0, 2.0, 0.0]);
    let w = tensor(&[2, 2], &[1.0, 0.0, 3.0, 0.0]);
    let s_c = CacheSymbol::pack(1, 1, 3, &[1, 1, 0]);
    let call = GemmQ { s_c: Some(&s_c), ..plain_q(stream(5, 3, 2, 1), &x, &w) };
    let mut q = tensor(&[1, 5, 1, 2], &[9.0; 10]);
    gemm_q(&call, &mut q, None).unwrap();
    assert_eq!(q.to_f32(), [9., 9., 9., 9., 9., 9., 1., 3., 9., 9.]);

    let o = tensor(&[1, 5, 1, 2], &[NAN, NAN, NAN, NAN, NAN, NAN, 1., 2., NAN, NAN]);
    let call = GemmO { s_c: Some(&s_c), ..plain_o(stream(5, 3, 2, 1), &o, &w) };
    let mut y = tensor(&[1, 2, 2], &[9.0; 4]);
    gemm_o(&call, &mut y, None).unwrap();
    assert_eq!(y.to_f32(), [1.0, 3.0, 0.0, 0.0]);
}

#[test]
fn grouped_heads_and_batches_have_their_places() {
    // One kv head of two batch items.
    let stream = Stream { batch: 2, ..stream(1, 0, 1, 1) };
    let (x, w) = (tensor(&[2, 1, 2], &[1.0, 2.0, 3.0, 4.0]), tensor(&[2, 2], &[0.0, 1.0, 1.0, 0.0]));
    let mut k = Tensor::zeros(&[2, 1, 1, 2], DType::F32);
    gemm_q(&plain_q(stream, &x, &w), &mut k, None).unwrap();
    assert_eq!(k.to_f32(), [2.0, 1.0, 4.0, 3.0]);
}

/// Two heads and two blocks of two tokens: head 0 is cached in block 0, head 1 in block 1.
struct Cached {
    o: Tensor,
    w: Tensor,
    s_c: CacheSymbol,
}

impl Cached {
    fn new() -> Cached {
        Cached {
            // Head 0 of token t is (t, 0), head 1 is (0, 10 t).
            o: tensor(&[1, 4, 2, 2], &[0., 0., 0., 0., 1., 0., 0., 10., 2., 0., 0., 20., 3., 0., 0., 30.]),
            // Column 0 adds all channels, column 1 doubles them.
            w: tensor(&[2, 4], &[1., 1., 1., 1., 2., 2., 2., 2.]),
            s_c: CacheSymbol::pack(1, 2, 2, &[0, 1, 1, 0]),
        }
    }

    fn call(&self, summed: Summed) -> GemmOCall<'_> {
        GemmO { s_c: Some(&self.s_c), summed, ..plain_o(stream(4, 0, 4, 2), &self.o, &self.w) }
    }

    fn y(&self, call: &GemmOCall) -> Vec<f32> {
        let mut y = tensor(&[1, 4, 2], &[NAN; 8]);
        gemm_o(call, &mut y, None).unwrap();
        y.to_f32()
    }
}

#[test]
fn active_and_cached_heads_are_summed_apart_or_together() {
    let case = Cached::new();
    assert_eq!(case.y(&case.call(Summed::Active)), [0., 0., 10., 20., 2., 4., 3., 6.]);
    assert_eq!(case.y(&case.call(Summed::Cached)), [0., 0., 1., 2., 20., 40., 30., 60.]);
    let bias = tensor(&[2], &[100.0, 200.0]);
    let call = GemmO { bias: Some(&bias), ..case.call(Summed::Both) };
    let (mut y, mut partial) = (tensor(&[1, 4, 2], &[NAN; 8]), tensor(&[1, 4, 2], &[NAN; 8]));
    gemm_o(&call, &mut y, Some(&mut partial)).unwrap();
    assert_eq!(y.to_f32(), [100., 200., 111., 222., 122., 244., 133., 266.]);
    assert_eq!(partial.to_f32(), [0., 0., 1., 2., 20., 40., 30., 60.]);
    let exact = sparsym_reference::gemm_o::exact(&call).unwrap();
    assert_eq!((exact.y[7], exact.partial.unwrap()[7]), (266.0, 60.0));
    // Without S_c all heads are active.
    let all = GemmO { s_c: None, ..case.call(Summed::Active) };
    assert_eq!(case.y(&all), [0., 0., 11., 22., 22., 44., 33., 66.]);
}

#[test]
fn partials_and_bias_reach_rows_without_heads() {
    let mut case = Cached::new();
    case.s_c = CacheSymbol::pack(1, 2, 2, &[0, 1, 0, 0]);
    let partials = [tensor(&[1, 4, 2], &[1.0; 8]), tensor(&[1, 4, 2], &[0.5; 8])];
    let bias = tensor(&[2], &[0.25, 0.0]);
    let call = GemmO {
        bias: Some(&bias),
        partials: partials.iter().collect(),
        coefficients: vec![2.0, -4.0],
        ..case.call(Summed::Active)
    };
    assert_eq!(case.y(&call), [0.25, 0., 0.25, 0., 2.25, 4., 3.25, 6.]);
    let halves = GemmO { coefficients: vec![1.0, 1.0], ..call };
    assert_eq!(case.y(&halves), [1.75, 1.5, 1.75, 1.5, 3.75, 5.5, 4.75, 7.5]);
}

#[test]
fn heads_that_are_not_summed_hand_nothing_on() {
    let mut case = Cached::new();
    let expected = case.y(&case.call(Summed::Active));
    let mut o = case.o.to_f32();
    for (token, head) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
        o[(token * 2 + head) * 2..][..2].fill(NAN);
    }
    case.o = tensor(&[1, 4, 2, 2], &o);
    assert_eq!(case.y(&case.call(Summed::Active)), expected);
    assert!(case.y(&case.call(Summed::Cached)).iter().all(|y| y.is_nan()));
    assert!(case.y(&GemmO { s_c: None, ..case.call(Summed::Active) }).iter().all(|y| y.is_nan()));
}

#[test]
fn differences_are_taken_of_cached_heads_and_projected() {
    let case = Cached::new();
    let mut before = vec![NAN; 16];
    for (token, head) in [(0, 0), (1, 0), (2, 1), (3, 1)] {
        before[(token * 2 + head) * 2..][..2].fill(1.0);
    }
    let before = tensor(&[1, 4, 2, 2], &before);
    let call: DifferencesCall = Differences {
        stream: stream(4, 0, 4, 2),
        outputs: vec![&case.o, &before],
        weights: vec![vec![0.5, -0.5]],
        w: &case.w,
        s_c: &case.s_c,
    };
    let mut partial = tensor(&[1, 4, 2], &[NAN; 8]);
    differences(&call, &mut [&mut partial]).unwrap();
    // (P_now - P_before) / 2: P_before is 2 in column 0.
    assert_eq!(partial.to_f32(), [-1., -2., -0.5, -1., 9., 18., 14., 28.]);
    assert_eq!(sparsym_reference::differences::exact(&call).unwrap()[0][7], 28.0);

    // 1 + 2⁻⁹ is 1 in bf16, and only the same-precision variant rounds differences.
    let half = |values: &[f32]| Tensor::from_f32(&[1, 1, 1, 2], DType::Bf16, values);
    let (now, before) = (half(&[1.0, 0.0]), half(&[-(2f32.powi(-9)), 0.0]));
    let w = Tensor::from_f32(&[2, 2], DType::Bf16, &[1.0, 0.0, 0.0, 0.0]);
    let s_c = CacheSymbol::pack(1, 1, 1, &[0]);
    let (outputs, weights) = (vec![&now, &before], vec![vec![1.0, -1.0]]);
    let call = Differences { stream: stream(1, 0, 1, 1), outputs, weights, w: &w, s_c: &s_c };
    assert_eq!(sparsym_reference::differences::exact(&call).unwrap()[0][0], 1.0 + 2f64.powi(-9));
    let mut partial = Tensor::zeros(&[1, 1, 2], DType::Bf16);
    sparsym_reference::differences::same_precision(&call, &mut [&mut partial]).unwrap();
    assert_eq!(partial.to_f32(), [1.0, 0.0]);
}

#[test]
fn single_precision_stays_near() {
    let stream = Stream { width: 40, head_dim: 8, ..stream(6, 0, 6, 3) };
    let values = |shape: &[usize], factor: f32| {
        let values: Vec<f32> = (0..shape.iter().product()).map(|n: usize| (n as f32 * factor).sin()).collect();
        tensor(shape, &values)
    };
    let (x, w) = (values(&[1, 6, 40], 0.7), values(&[24, 40], 0.3));
    let call = plain_q(stream, &x, &w);
    let mut q = Tensor::zeros(&stream.head_shape(), DType::F32);
    sparsym_reference::gemm_q::same_precision(&call, &mut q, None).unwrap();
    let exact = sparsym_reference::gemm_q::exact(&call).unwrap().q;
    let near = |(&found, exact): (&f32, f64)| (f64::from(found) - exact).abs() < 1e-5;
    assert!(q.to_f32().iter().zip(exact).all(|(found, exact)| near((found, exact.unwrap()))));

    let w = values(&[40, 24], 0.3);
    let call = plain_o(stream, &q, &w);
    let mut y = Tensor::zeros(&stream.model_shape(), DType::F32);
    sparsym_reference::gemm_o::same_precision(&call, &mut y, None).unwrap();
    let exact = sparsym_reference::gemm_o::exact(&call).unwrap().y;
    assert!(y.to_f32().iter().zip(exact).all(near));
}

#[test]
fn mistakes_are_findings() {
    let (x, w, o) = (Tensor::zeros(&[1, 4, 2], DType::F32), Tensor::zeros(&[4, 2], DType::F32), Cached::new().o);
    let code = |found: Result<(), sparsym_ir::Findings>| found.unwrap_err().iter().next().unwrap().code;
    let (mut q, mut means) = (Tensor::zeros(&[1, 4, 2, 2], DType::F32), Tensor::zeros(&[1, 2, 2, 2], DType::F32));
    let call = plain_q(stream(4, 0, 4, 2), &x, &w);
    gemm_q(&call, &mut q, Some(&mut means)).unwrap();

    assert_eq!(code(gemm_q(&call, &mut means, None)), Code::TensorShape);
    let nothing = Stream { block: 0, ..call.stream };
    assert_eq!(code(gemm_q(&plain_q(nothing, &x, &w), &mut q, Some(&mut means))), Code::BlockSize);
    assert_eq!(code(gemm_q(&plain_q(stream(3, 0, 4, 2), &x, &w), &mut q, None)), Code::TokenLayout);
    let s_c = CacheSymbol::ones(1, 2, 3);
    assert_eq!(code(gemm_q(&GemmQ { s_c: Some(&s_c), ..call.clone() }, &mut q, None)), Code::SymbolShape);
    let mut half = Tensor::zeros(&[1, 4, 2, 2], DType::F16);
    assert_eq!(code(gemm_q(&call, &mut half, None)), Code::TensorType);
    assert!(sparsym_reference::gemm_q::exact(&plain_q(nothing, &x, &w)).is_err());

    let (w, mut y) = (Tensor::zeros(&[2, 4], DType::F32), Tensor::zeros(&[1, 4, 2], DType::F32));
    let call = plain_o(stream(4, 0, 4, 2), &o, &w);
    gemm_o(&call, &mut y, None).unwrap();
    let ones = CacheSymbol::ones(1, 2, 2);
    let both = GemmO { summed: Summed::Both, s_c: Some(&ones), ..call.clone() };
    assert_eq!(code(gemm_o(&both, &mut y, None)), Code::CacheMissing);
    assert_eq!(code(gemm_o(&GemmO { summed: Summed::Cached, ..call.clone() }, &mut y, None)), Code::SymbolShape);
    assert_eq!(code(gemm_o(&GemmO { partials: vec![&x], ..call.clone() }, &mut y, None)), Code::CacheMissing);
    assert_eq!(code(gemm_o(&call, &mut q, None)), Code::TensorShape);
    assert_eq!(code(gemm_o(&GemmO { s_c: Some(&s_c), ..call }, &mut y, None)), Code::SymbolShape);

    let call = Differences {
        stream: stream(4, 0, 4, 2),
        outputs: vec![&o, &o],
        weights: vec![vec![1.0, -1.0]],
        w: &w,
        s_c: &CacheSymbol::ones(1, 2, 2),
    };
    differences(&call, &mut [&mut y]).unwrap();
    assert_eq!(code(differences(&call, &mut [])), Code::CacheMissing);
    assert_eq!(code(differences(&Differences { s_c: &s_c, ..call }, &mut [&mut y])), Code::SymbolShape);
}
