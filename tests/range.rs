//! What is finite in f32 stays finite on every device: scores up to the largest f32, soft caps of any size, the largest
//! values of a type.

use sparsym::ir::bind::{Bindings, Bound, InputData};
use sparsym::ir::strategy::{Blocks, Strategy, Value};
use sparsym::ir::{AttentionCall, DType, Moment, Problem, SymbolsCall, Tensor};
use sparsym_tests::devices::{self, Availability, Column};

const D: usize = 64;

/// A call of one head, and what it is for.
struct Case {
    name: String,
    /// Clauses of a strategy.
    rules: &'static str,
    params: Vec<Value>,
    /// Of the one input, if there is one.
    input: Vec<f32>,
    dtype: DType,
    /// Factor on Q·K; None: the usual one.
    scale: Option<f32>,
    tokens: usize,
    /// Elements of Q, K and V by token and channel.
    elements: [fn(usize, usize) -> f32; 3],
}

impl Default for Case {
    fn default() -> Case {
        let usual = |token: usize, channel: usize| ((token * 31 + channel * 17) % 23) as f32 / 11.0 - 0.9;
        Case {
            name: String::new(),
            rules: "",
            params: Vec::new(),
            input: Vec::new(),
            dtype: DType::Bf16,
            scale: None,
            tokens: 33,
            elements: [usual, |token, channel| ((token * 7 + channel * 5) % 19) as f32 / 9.0 - 1.1, usual],
        }
    }
}

const BIASED: &str = "input bias: [token] of f32; score s, q, kv => s + bias[kv];";

#[test]
fn scores_up_to_the_largest_f32() {
    for dtype in [DType::F16, DType::Bf16] {
        for value in [-2.3e38, -2.4e38, f32::MIN, 2.4e38, f32::MAX] {
            let name = format!("all keys {value:e}");
            check(&Case { name, rules: BIASED, input: vec![value; 33], dtype, ..Case::default() });
        }
        for value in [2.4e38, 1e30, -2.4e38, f32::MIN] {
            let mut input = vec![0.0; 33];
            input[7] = value;
            check(&Case { name: format!("one key {value:e}"), rules: BIASED, input, dtype, ..Case::default() });
        }
        let mut input = vec![f32::MIN; 200];
        input[150] = f32::MAX;
        check(&Case {
            name: "from end to end".to_owned(),
            rules: BIASED,
            input,
            dtype,
            tokens: 200,
            ..Case::default()
        });
    }
}

#[test]
fn masked_rows_beside_the_largest_scores() {
    let rules = "input bias: [token] of f32; score s, q, kv => s + bias[kv]; mask q, kv => kv.pos < q.pos;";
    check(&Case { name: "masked".to_owned(), rules, input: vec![f32::MIN; 33], ..Case::default() });
}

#[test]
fn products_up_to_the_largest_f32() {
    // Q·K of 3e38 and 2.9e38, then times a scale of 1 or more.
    let q = |_: usize, channel: usize| if channel == 0 { 1.5e19 } else { 0.0 };
    let k = |token: usize, channel: usize| match (channel, token % 3) {
        (0, 0) => 2e19,
        (0, 1) => -2e19,
        _ => 0.0,
    };
    let v = Case::default().elements[2];
    for scale in [0.9, 1.0, -1.0] {
        let name = format!("scale {scale}");
        check(&Case { name, scale: Some(scale), elements: [q, k, v], ..Case::default() });
    }
    let q = |token: usize, channel: usize| if channel == 0 { 60_000.0 - (token % 5) as f32 * 512.0 } else { 0.0 };
    for scale in [1e26, 6e28] {
        let name = format!("f16 with scale {scale:e}");
        check(&Case { name, dtype: DType::F16, scale: Some(scale), elements: [q, q, v], ..Case::default() });
    }
}

#[test]
fn a_large_soft_cap_is_none() {
    let rules = "param cap: f32 in 0.5.. = 30.0; score s, q, kv => cap * tanh(s / cap);";
    for dtype in [DType::F16, DType::Bf16] {
        for cap in [0.5, 30.0, 1e3, 1e5, 1e6, 1e9, 1e20, 8e37, 1e38, 3e38] {
            let name = format!("cap {cap:e}");
            let params = vec![Value::Float(cap)];
            check(&Case { name, rules, params, dtype, scale: Some(2.0), ..Case::default() });
        }
    }
}

#[test]
fn logarithms_and_quotients_of_the_smallest_and_the_largest() {
    let rules = "input weight: [token] of f32; score s, q, kv => s + log(weight[kv]) / 64.0 + weight[kv] / 2.5e38;";
    let input = (0..33).map(|n| if n % 2 == 0 { 1e-40 } else { 2e38 }).collect();
    check(&Case { name: "weights".to_owned(), rules, input, ..Case::default() });
}

#[test]
fn the_largest_values() {
    for (dtype, value, tokens) in [
        (DType::Bf16, 3.38e38, 2),
        (DType::Bf16, 1e37, 600),
        (DType::Bf16, -3.38e38, 600),
        (DType::F16, 65504.0, 600),
        (DType::F32, 1e38, 100),
        (DType::F32, f32::MAX * 0.999, 300),
    ] {
        for rules in ["", "score s, q, kv => s * 0.5;", "mask q, kv => kv.pos <= q.pos;"] {
            let name = format!("V = {value:e}");
            let v: fn(usize, usize) -> f32 = match value {
                3.38e38 => |_, _| 3.38e38,
                1e37 => |_, _| 1e37,
                -3.38e38 => |_, _| -3.38e38,
                65504.0 => |_, _| 65504.0,
                1e38 => |_, _| 1e38,
                _ => |_, _| f32::MAX * 0.999,
            };
            let [q, k, _] = Case::default().elements;
            check(&Case { name, rules, dtype, tokens, elements: [q, k, v], ..Case::default() });
        }
    }
}

fn check(case: &Case) {
    let text = format!("pub Range {{ blocks q = 64, kv = 64; {} }}", case.rules);
    let strategy: Strategy = sparsym::language::compile_str("range", &text).unwrap_or_else(|why| panic!("{why}"));
    let mut problem = Problem::self_attention(1, case.tokens, 1, D);
    problem.blocks = Blocks { q: 64, kv: 64 };
    problem.scale = case.scale.unwrap_or(problem.scale);
    let mut bindings = Bindings::defaults(&strategy);
    bindings.params.clone_from_slice(&case.params);
    bindings.inputs = strategy.inputs.iter().map(|_| InputData { values: case.input.clone() }).collect();
    let bound = Bound::new(&strategy, &problem, &bindings).unwrap_or_else(|why| panic!("{why}"));
    let shape = [1, case.tokens, 1, D];
    let [q, k, v] = case.elements.map(|element| {
        let values: Vec<f32> = (0..case.tokens * D).map(|at| element(at / D, at % D)).collect();
        Tensor::from_f32(&shape, case.dtype, &values)
    });
    let moment = Moment { steps: 1, ..Moment::default() };
    for Column { name: device, device: on } in devices() {
        if case.dtype == DType::F32 && device.starts_with("emulator") {
            continue; // there are no f32 kernels
        }
        let name = format!("{} {} on {device}", case.name, case.dtype.name());
        let symbols = on.symbols(&SymbolsCall { bound: &bound, moment, data: None });
        let symbols = symbols.unwrap_or_else(|why| panic!("{name}: {why}"));
        let call = AttentionCall { bound: &bound, moment, q: &q, k: &k, v: &v, symbols: &symbols, forecast: None };
        let truth = devices::oracle(&call).unwrap_or_else(|why| panic!("{name}: {why}"));
        let found = on.attention(&call).unwrap_or_else(|why| panic!("{name}: {why}"));
        let largest = truth.o.iter().fold(0.0f64, |most, o| most.max(o.abs()));
        for (at, (&o, &exact)) in found.o.to_f32().iter().zip(&truth.o).enumerate() {
            let error = (f64::from(o) - exact).abs() / largest;
            assert!(error <= 4e-3, "{name}: O of {o} in place of {exact} at row {}", at / D);
        }
        for (row, (&lse, &exact)) in found.lse.iter().zip(&truth.lse).enumerate() {
            let same = lse == exact as f32 || (f64::from(lse) - exact).abs() <= 1e-3 + 1e-5 * exact.abs();
            assert!(same, "{name}: lse of {lse} in place of {exact} at row {row}");
        }
    }
}

fn devices() -> Vec<Column> {
    let find = |name: &&str| match devices::find(name) {
        Availability::Present(column) => column,
        Availability::Absent { reason } => panic!("{name} needs no hardware, yet it is absent: {reason}"),
    };
    ["reference", "cpu", "emulator sm_80"].iter().map(find).collect()
}
