//! The help of S603 is followed to the letter, and the numbers are those of the head dimension that has no kernel.

use std::sync::Arc;

use sparsym_codegen::{Request, Room, RoomRequest, Target, ToHeads, generate};
use sparsym_ir::expr::{BinaryOp, Expr, ExprKind, Global, Type, UnaryOp};
use sparsym_ir::projection::{RmsNorm, Rope, RopePairs, Stream};
use sparsym_ir::strategy::{Blocks, Strategy, TokenRule};
use sparsym_ir::{AttentionCall, Bindings, Bound, Code, DType, GemmQCall, Moment, Problem, Span, Symbols, Tensor};
use sparsym_runtime::device::{self, Device, projections};

/// The head dimension without a kernel, and the one that the help names.
const D: usize = 80;
const PADDED: usize = 96;

fn device(name: &str) -> Arc<dyn Device> {
    Arc::from(device::open(name).unwrap())
}

fn help(request: &Request<'_>) -> String {
    let findings = generate(request).unwrap_err();
    let finding = findings.iter().next().unwrap();
    assert_eq!(finding.code, Code::HeadDimension);
    finding.help.clone()
}

fn request(strategy: &Strategy, room: Room) -> Request<'_> {
    Request { head_dim: D, ..Request::new(strategy, room, Target::parse("sm_80").unwrap()) }
}

fn noise(shape: &[usize], seed: usize) -> Vec<f32> {
    (0..shape.iter().product()).map(|n: usize| ((n * 7919 + seed * 104_729) % 1009) as f32 / 504.5 - 1.0).collect()
}

/// The values with every run of `from` followed by `fill` up to `to`.
fn pad(values: &[f32], from: usize, to: usize, fill: f32) -> Vec<f32> {
    values.chunks(from).flat_map(|run| run.iter().copied().chain(std::iter::repeat_n(fill, to - from))).collect()
}

fn bf16(shape: &[usize], values: &[f32]) -> Tensor {
    Tensor::from_f32(shape, DType::Bf16, values)
}

fn close(found: &[f32], expected: &[f32], limit: f32) {
    assert_eq!(found.len(), expected.len());
    let worst = found.iter().zip(expected).map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(worst <= limit, "off by {worst}");
}

fn attention(device: &dyn Device, strategy: &Strategy, d: usize, scale: f32, qkv: &[Vec<f32>; 3]) -> Vec<f32> {
    let problem = Problem { scale, blocks: Blocks { q: 64, kv: 64 }, ..Problem::self_attention(1, 100, 2, d) };
    let bindings = Bindings::defaults(strategy);
    let bound = Bound::new(strategy, &problem, &bindings).unwrap();
    let [q, k, v] = qkv.each_ref().map(|values| bf16(&problem.q_shape(), values));
    let symbols = Symbols::dense(1, 2, 2, 2);
    let moment = Moment::default();
    let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &v, symbols: &symbols, forecast: None };
    device.attention(&call).unwrap().o.to_f32()
}

/// `score s, q, kv => s / d * 80`, with `d` as given.
fn scored(d: ExprKind) -> Strategy {
    let node = |kind, ty| Box::new(Expr { kind, ty, span: Span::default() });
    let float = |kind| node(ExprKind::Unary(UnaryOp::ToFloat, node(kind, Type::Int)), Type::Float);
    let share = node(ExprKind::Binary(BinaryOp::Div, node(ExprKind::Logit, Type::Float), float(d)), Type::Float);
    let value = *node(ExprKind::Binary(BinaryOp::Mul, share, float(ExprKind::Int(80))), Type::Float);
    Strategy { name: "Scored".to_owned(), score: Some(TokenRule { value, span: Span::default() }), ..Strategy::dense() }
}

#[test]
fn attention_of_padded_heads() {
    let (own, replaced) = (scored(ExprKind::Global(Global::HeadDim)), scored(ExprKind::Int(D as i64)));
    let dense = Strategy::dense();
    for (asked, followed) in [(&dense, &dense), (&own, &replaced)] {
        let help = help(&request(asked, Room::Attention));
        assert!(help.contains("pad the heads of Q, K and V with zeros to D = 96"), "{help}");
        let scale = help.split("give scale = ").nth(1).unwrap().split(' ').next().unwrap().parse().unwrap();
        assert_eq!(help.contains("write 80 in place of D in the rules of Scored"), asked.score.is_some(), "{help}");
        let qkv = [1, 2, 3].map(|seed| noise(&[1, 100, 2, D], seed).iter().map(|x| 2.0 * x).collect::<Vec<_>>());
        let truth = attention(&*device("reference"), asked, D, 1.0 / (D as f32).sqrt(), &qkv);
        let padded = qkv.each_ref().map(|values| pad(values, D, PADDED, 0.0));
        for name in ["cpu", "emulator"] {
            let o = attention(&*device(name), followed, PADDED, scale, &padded);
            let cut: Vec<f32> = o.chunks(PADDED).flat_map(|head| head[..D].to_vec()).collect();
            close(&cut, &truth, 0.02);
        }
    }
}

#[test]
fn gemm_q_of_padded_heads() {
    const EPS: f32 = 1e-2;
    let (heads, width, tokens) = (2, 64, 70);
    let dense = Strategy::dense();
    for pairs in [RopePairs::Half, RopePairs::Interleaved] {
        let mut request = request(&dense, Room::GemmQ);
        request.room = RoomRequest::GemmQ(ToHeads { bias: true, norm: true, rope: Some(pairs), ..ToHeads::default() });
        let help = help(&request);
        for words in [
            "multiply it by sqrt(80/96), and norm_eps by 80/96",
            "pad rope_cos with ones and rope_sin with zeros to 48",
            if pairs == RopePairs::Half {
                "pad both halves of each head in the rows of w, and of bias, with zeros to 48"
            } else {
                "pad the heads in the rows of w, and of bias, with zeros to D = 96"
            },
        ] {
            assert!(help.contains(words), "expected {words:?} in {help}");
        }
        // Runs that are padded one by one: halves of a head, or heads.
        let (from, to) = if pairs == RopePairs::Half { (D / 2, PADDED / 2) } else { (D, PADDED) };
        let x = noise(&[1, tokens, width], 1);
        // Columns are padded below, so the rows of W are its inner axis here.
        let w: Vec<Vec<f32>> = noise(&[width, heads * D], 2).chunks(heads * D).map(<[f32]>::to_vec).collect();
        let rows = |columns: &[Vec<f32>]| -> Vec<f32> {
            (0..columns[0].len()).flat_map(|row| columns.iter().map(move |column| column[row] / 8.0)).collect()
        };
        let (bias, weight) = (noise(&[heads * D], 3), noise(&[D], 4));
        let angles = noise(&[tokens, D / 2], 5);
        let (cos, sin): (Vec<f32>, Vec<f32>) = angles.iter().map(|a| ((9.0 * a).cos(), (9.0 * a).sin())).unzip();
        let run =
            |name: &str, d: usize, w: &[f32], bias: &[f32], weight: &[f32], eps: f32, cos: &[f32], sin: &[f32]| {
                let stream = Stream { batch: 1, tokens, first: 0, rows: tokens, width, heads, head_dim: d, block: 64 };
                let table = |values: &[f32]| Tensor::from_f32(&[tokens, d / 2], DType::F32, values);
                let (x, w) = (bf16(&[1, tokens, width], &x), bf16(&[heads * d, width], w));
                let (bias, weight) = (bf16(&[heads * d], bias), bf16(&[d], weight));
                let (cos, sin) = (table(cos), table(sin));
                let call = GemmQCall {
                    stream,
                    x: &x,
                    w: &w,
                    bias: Some(&bias),
                    norm: Some(RmsNorm { weight: &weight, eps }),
                    rope: Some(Rope { cos: &cos, sin: &sin, pairs }),
                    s_c: None,
                };
                projections::gemm_q(&device(name), &call, false).unwrap().value.q.to_f32()
            };
        let truth = run("reference", D, &rows(&w), &bias, &weight, EPS, &cos, &sin);
        let share = D as f32 / PADDED as f32;
        let w: Vec<Vec<f32>> = w.iter().map(|column| pad(column, from, to, 0.0)).collect();
        let weight: Vec<f32> = pad(&weight, from, to, 0.0).iter().map(|x| x * share.sqrt()).collect();
        let tables = [pad(&cos, D / 2, PADDED / 2, 1.0), pad(&sin, D / 2, PADDED / 2, 0.0)];
        for name in ["cpu", "emulator"] {
            let [cos, sin] = &tables;
            let q = run(name, PADDED, &rows(&w), &pad(&bias, from, to, 0.0), &weight, EPS * share, cos, sin);
            let cut: Vec<f32> = q.chunks(to).flat_map(|run| run[..from].to_vec()).collect();
            close(&cut, &truth, 0.03);
        }
    }
}

#[test]
fn beyond_the_largest_kernel_there_is_nothing_to_pad_to() {
    let dense = Strategy::dense();
    for room in [Room::Attention, Room::GemmQ, Room::GemmO] {
        let request = Request { head_dim: 300, ..request(&dense, room) };
        assert_eq!(help(&request), "use the cpu device");
    }
}
