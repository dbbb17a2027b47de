//! Devices by name; the GPU against the oracle where there is one, and its clear failure where there is none.

use sparsym_codegen::{Request, Room, Target, generate};
use sparsym_ir::expr::{BinaryOp, Coordinate, Expr, ExprKind, Side, Type};
use sparsym_ir::problem::Ragged;
use sparsym_ir::strategy::{Action, BlockRule, Reuse, Strategy, TokenRule, When};
use sparsym_ir::{
    AttentionCall, Bindings, Bound, DType, Forecast, Moment, Problem, Span, Symbols, SymbolsCall, Tensor,
};
use sparsym_runtime::device::kernels::{Boxed, Swizzle};
use sparsym_runtime::device::{self, Cuda, Device, Emulator, Measured, Reference, emulator};
use sparsym_runtime::{Error, ErrorKind};

fn failure(name: &str) -> Error {
    match device::open(name) {
        Err(error) => error,
        Ok(_) => panic!("{name} should not open"),
    }
}

#[test]
fn devices_open_by_name() {
    for name in ["reference", "cpu", "emulator"] {
        assert_eq!(device::open(name).unwrap().name(), name);
    }
    assert_eq!(failure("gpu").kind(), ErrorKind::UnknownDevice);
}

fn node(kind: ExprKind, ty: Type) -> Expr {
    Expr { kind, ty, span: Span::default() }
}

fn at(side: Side, coordinate: Coordinate) -> Box<Expr> {
    Box::new(node(ExprKind::Coordinate(side, coordinate), Type::Int))
}

/// `mask q, kv => kv.pos <= q.pos`
fn causal() -> Strategy {
    let (kv, q) = (at(Side::Kv, Coordinate::Pos), at(Side::Q, Coordinate::Pos));
    let value = node(ExprKind::Binary(BinaryOp::Le, kv, q), Type::Bool);
    Strategy { name: "Causal".to_owned(), mask: Some(TokenRule { value, span: Span::default() }), ..Strategy::dense() }
}

/// `skip q, kv where kv.block > q.block; cache q where q.block == 1 by hold`
fn block_rules() -> Strategy {
    let int = |value| Box::new(node(ExprKind::Int(value), Type::Int));
    let compare = |a, op, b| Some(node(ExprKind::Binary(op, a, b), Type::Bool));
    let rule = |action, condition, reuse| {
        let when = When::Match { q: None, kv: None, condition };
        BlockRule { action, when, reuse, span: Span::default() }
    };
    let (q, kv) = (|| at(Side::Q, Coordinate::Block), at(Side::Kv, Coordinate::Block));
    let rules = vec![
        rule(Action::Skip, compare(kv, BinaryOp::Gt, q()), None),
        rule(Action::Cache, compare(q(), BinaryOp::Eq, int(1)), Some(Reuse::Hold)),
    ];
    Strategy { name: "BlockRules".to_owned(), rules, ..Strategy::dense() }
}

/// Even numbers between -1 and 1, the same on every machine.
fn noise(shape: &[usize], dtype: DType, seed: u64) -> Tensor {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let values: Vec<f32> = (0..shape.iter().product())
        .map(|_| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 40) as f32 / (1u64 << 23) as f32 - 1.0
        })
        .collect();
    Tensor::from_f32(shape, dtype, &values)
}

fn most_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    // Equal infinities differ by nothing; anything else that is not finite differs by infinity.
    let difference = |(a, b): (&f32, &f32)| match (a == b, (a - b).abs()) {
        (true, _) => 0.0,
        (false, d) if d.is_nan() => f32::INFINITY,
        (false, d) => d,
    };
    a.iter().zip(b).map(difference).fold(0.0, f32::max)
}

fn compare(device: &dyn Device, what: &str, strategy: &Strategy, problem: &Problem, dtype: DType, orders: usize) {
    let bindings = Bindings::defaults(strategy);
    let bound = Bound::new(strategy, problem, &bindings).unwrap();
    let moment = Moment { step: 3, steps: 10, since_update: 1, layer: 0 };
    let symbols = Reference.symbols(&SymbolsCall::without_data(&bound, moment)).unwrap();
    assert_eq!(device.symbols(&SymbolsCall::without_data(&bound, moment)).unwrap(), symbols, "symbols of {what}");

    let (q, features): (Tensor, Vec<Tensor>) = (
        noise(&problem.q_shape(), dtype, 1),
        (0..orders).map(|order| noise(&problem.q_shape(), dtype, 4 + order as u64)).collect(),
    );
    let (k, v) = (noise(&problem.kv_shape(), dtype, 2), noise(&problem.kv_shape(), dtype, 3));
    let forecast = (orders > 0)
        .then(|| Forecast { features: features.iter().collect(), coefficients: [1.0, 0.5, 0.125][..orders].to_vec() });
    let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &v, symbols: &symbols as &Symbols, forecast };
    let expected = Reference.attention(&call).unwrap();
    let Measured { value: found, cost } = device.measured_attention(&call).unwrap();
    let o = most_difference(&found.o.to_f32(), &expected.o.to_f32());
    let lse = most_difference(&found.lse, &expected.lse);
    println!("{what}: o differs by {o:.5}, lse by {lse:.6}, kernel {:.4} ms", cost.ms);
    // P and O are rounded to 8 (bf16) or 11 (f16) bits, and values are below 2.
    let tolerance = if dtype == DType::Bf16 { 2e-2 } else { 3e-3 };
    assert!(o <= tolerance && lse <= 1e-3, "{what}");
}

#[test]
fn the_emulator_agrees_with_the_oracle() {
    for target in ["sm_80", "sm_120"] {
        let target = Target::parse(target).unwrap();
        let emulator = Emulator::open(emulator::Settings { target, ..Default::default() }).unwrap();
        assert_eq!(emulator.target(), target);
        agrees_with_the_oracle(&emulator);
    }
}

/// The same text with one index wrong: the emulator names the line that reads beyond q, and the kernel that it belongs to.
#[test]
fn the_emulator_stops_a_text_that_is_wrong() {
    let (strategy, problem) = (Strategy::dense(), Problem::self_attention(1, 128, 1, 64));
    let target = Target::parse("sm_80").unwrap();
    let request = Request { head_dim: 64, ..Request::new(&strategy, Room::Attention, target) };
    let kernel = generate(&request).unwrap();
    let broken = kernel.source.replacen("p.q + ", "p.q + (1 << 20) + ", 1);
    assert_ne!(broken, kernel.source, "the text takes q from elsewhere now");
    let emulator = Emulator::open(emulator::Settings::default()).unwrap().with_text(Room::Attention, &*broken);

    let bindings = Bindings::defaults(&strategy);
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
    let (moment, x) = (Moment::default(), noise(&problem.q_shape(), DType::Bf16, 1));
    let symbols = emulator.symbols(&SymbolsCall::without_data(&bound, moment)).unwrap();
    let call = AttentionCall { bound: &bound, moment, q: &x, k: &x, v: &x, symbols: &symbols, forecast: None };
    let error = emulator.attention(&call).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Trap, "{error}");
    let trap = error.downcast_ref::<emulator::KernelTrap>().unwrap_or_else(|| panic!("no trap, but {error:?}"));
    let place = trap.places.first().expect("the report names a line");
    assert!(error.to_string().contains(&format!("{}.cu:{}", kernel.name, place.line)), "{error}");
    assert_eq!(place.template, None, "no template made a text that was edited by hand");
}

/// Without a driver this must say so and not panic; with one, the GPU must agree with the oracle.
#[test]
fn cuda_agrees_with_the_oracle_or_says_what_is_missing() {
    let cuda = match Cuda::open(0) {
        Ok(cuda) => cuda,
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::Driver);
            assert!(error.to_string().contains("help: "), "{error}");
            assert!(device::cuda::probe().is_err(), "a GPU is there, but: {error}");
            println!("not compared on a GPU: {error}");
            return;
        }
    };
    println!("{:?}", device::cuda::probe().unwrap());
    agrees_with_the_oracle(&cuda);
}

/// What a corpus does at length, in nine calls.
fn agrees_with_the_oracle(device: &dyn Device) {
    let grouped = |n, d| Problem { kv_heads: 2, ..Problem::self_attention(2, n, 4, d) };
    compare(device, "dense, D 64, bf16", &Strategy::dense(), &grouped(256, 64), DType::Bf16, 0);
    compare(device, "dense, D 128, f16, ragged tail", &Strategy::dense(), &grouped(333, 128), DType::F16, 0);
    compare(device, "causal, D 128, bf16, ragged tail", &causal(), &grouped(333, 128), DType::Bf16, 0);
    compare(device, "block rules, D 96, bf16", &block_rules(), &grouped(400, 96), DType::Bf16, 0);
    compare(device, "block rules with forecast, D 128, bf16", &block_rules(), &grouped(400, 128), DType::Bf16, 3);
    compare(device, "causal, D 256, bf16", &causal(), &grouped(200, 256), DType::Bf16, 0);
    compare(device, "one token", &causal(), &Problem::self_attention(1, 1, 1, 64), DType::Bf16, 0);
    let ends = vec![0, 100, 100, 333];
    let ragged = Problem {
        batch: 3,
        n_q: 233,
        n_kv: 233,
        ragged: Some(Ragged { q: ends.clone(), kv: ends }),
        ..Problem::self_attention(3, 233, 4, 64)
    };
    compare(device, "causal, sequences of 100, 0 and 233", &causal(), &ragged, DType::Bf16, 0);

    let (strategy, problem) = (Strategy::dense(), Problem::self_attention(1, 16, 1, 64));
    let bindings = Bindings::defaults(&strategy);
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap();
    let symbols = device.symbols(&SymbolsCall::without_data(&bound, Moment::default())).unwrap();
    let x = noise(&problem.q_shape(), DType::F32, 1);
    let moment = Moment::default();
    let call = AttentionCall { bound: &bound, moment, q: &x, k: &x, v: &x, symbols: &symbols, forecast: None };
    assert!(device.attention(&call).unwrap_err().to_string().contains("bf16"));
}

/// Our check must say of each field what the driver says of it: what it refuses alone would fail late, and what it takes
/// alone would be lost. Without a driver this says so.
#[test]
fn the_driver_takes_the_tensor_maps_that_pass_our_check_and_no_others() {
    if let Err(error) = device::cuda::probe() {
        println!("no tensor map was asked of a driver: {error}");
        return;
    }
    let _context = device::open("cuda").expect("there is a driver and a GPU");
    let (address, shared_bytes) = (1 << 32, 227 * 1024);
    let p = || Boxed { swizzle: Swizzle::Span128, ..Boxed::dense(DType::Bf16, &[128, 24, 4096], &[64, 1, 128]) };
    let cases = [
        p(),
        Boxed { swizzle: Swizzle::None, ..p() },
        Boxed { swizzle: Swizzle::Span64, box_extents: vec![32, 1, 128], ..p() },
        Boxed { swizzle: Swizzle::Span32, box_extents: vec![16, 1, 128], ..p() },
        Boxed { dtype: DType::F16, ..p() },
        Boxed { strides: vec![0, 16], ..p() },
        Boxed { box_extents: vec![64, 24, 256], element_strides: vec![1, 8, 8], ..p() },
        Boxed::dense(DType::F32, &[1024], &[256]),
        Boxed::dense(DType::F16, &[64, 2, 2, 2, 2], &[64, 2, 2, 2, 2]),
        Boxed { extents: vec![], strides: vec![], box_extents: vec![], element_strides: vec![], ..p() },
        Boxed::dense(DType::F16, &[64, 1, 1, 1, 1, 1], &[64, 1, 1, 1, 1, 1]),
        Boxed { extents: vec![128, 0, 4096], ..p() },
        Boxed { extents: vec![(1 << 32) + 1, 24, 4096], ..p() },
        Boxed { strides: vec![256, 6152], ..p() },
        Boxed { strides: vec![256, 1 << 40], ..p() },
        Boxed { box_extents: vec![64, 1, 257], ..p() },
        Boxed { box_extents: vec![64, 0, 1], ..p() },
        Boxed { element_strides: vec![1, 0, 1], ..p() },
        Boxed { element_strides: vec![1, 9, 1], ..p() },
        Boxed { offset: 8, ..p() },
        Boxed { box_extents: vec![60, 1, 1], ..p() },
        Boxed { box_extents: vec![72, 1, 1], ..p() },
        Boxed { box_extents: vec![64, 8, 256], ..p() },
    ];
    for of in cases {
        // Everything but the end of the buffer, of which the driver knows nothing.
        let ours = of.check(address, u64::MAX, shared_bytes);
        let drivers = device::cuda::encode_tensor_map(address, &of);
        println!("{of:?}: {}", ours.as_ref().map_or_else(ToString::to_string, |()| "fits".to_owned()));
        assert_eq!(ours.is_ok(), drivers.is_ok(), "{of:?}: {ours:?}, and the driver: {drivers:?}");
    }
    let map = |of: &Boxed| device::cuda::encode_tensor_map(address, of).unwrap();
    assert_eq!(map(&p()), map(&p()));
    assert_ne!(map(&p()), [0; 128]);
    assert_ne!(map(&p()), map(&Boxed { swizzle: Swizzle::None, ..p() }));
}
