//! Symbols of rules over Q and K: generated kernels on the emulator against the host.

mod support;

use sparsym_ir::data::{Features, data_symbols};
use sparsym_ir::expr::{Axis, BinaryOp, Coordinate, Function, Global, Line, Measure, Reduction, Side, Type, Within};
use sparsym_ir::problem::{DType, Layout, LayoutRange};
use sparsym_ir::strategy::{Action, Blocks, RangeId, Strategy};
use sparsym_ir::{Bindings, Bound, Moment, Problem, SymbolsCall, Tensor};
use sparsym_runtime::device::{Device, Emulator, Measured, emulator};

use support::*;

/// Runs the strategy on the emulator and compares every bit with the host; both see the same 16-bit values.
fn agrees(name: &str, strategy: &Strategy, problem: &Problem, dtype: DType) -> Measured<sparsym_ir::Symbols> {
    let q = noise(&problem.q_shape(), dtype, 11);
    let k = noise(&problem.kv_shape(), dtype, 12);
    agrees_on(name, strategy, problem, &q, &k)
}

fn agrees_on(
    name: &str,
    strategy: &Strategy,
    problem: &Problem,
    q: &Tensor,
    k: &Tensor,
) -> Measured<sparsym_ir::Symbols> {
    let device = Emulator::open(emulator::Settings::default()).unwrap();
    let bindings = Bindings::defaults(strategy);
    let bound = Bound::new(strategy, problem, &bindings).unwrap();
    let moment = Moment { step: 20, steps: 50, since_update: 0, layer: 1 };
    let call = SymbolsCall { bound: &bound, moment, data: Some((q, k)) };
    let found = device.measured_symbols(&call).unwrap_or_else(|error| panic!("{name}: {error}"));
    let plain = Plain { problem, q: q.to_f32(), k: k.to_f32() };
    let expected = data_symbols(&bound, &moment, &plain);
    let stats = found.cost.stats.clone().unwrap_or_default();
    println!(
        "{name}: s_c {:.3}, s_s {:.3}, {:.0} ms, {} B loaded, {} B stored, {} sectors loaded",
        expected.cache.density(),
        expected.skip.density(),
        found.cost.ms,
        stats.global_loads.bytes,
        stats.global_stores.bytes,
        stats.global_loads.sectors
    );
    assert_eq!(found.value.cache, expected.cache, "{name}: s_c");
    assert_eq!(found.value.skip, expected.skip, "{name}: s_s");
    assert_eq!(found.value.full, expected.full, "{name}: s_f");
    found
}

/// 5 + a short query block, 7 + a short kv block; three heads over one kv head; two batch items.
fn small(text: usize, head_dim: usize) -> Problem {
    let n = 7 * 32 + 9;
    let ranges = vec![LayoutRange::plain("text", text), LayoutRange::plain("vision", n - text)];
    Problem {
        blocks: Blocks { q: 32, kv: 32 },
        kv_heads: 1,
        layout: if text > 0 { Layout { ranges } } else { Layout::default() },
        ..Problem::self_attention(2, n, 3, head_dim)
    }
}

#[test]
fn flash_omni() {
    for (head_dim, dtype) in [(64, DType::Bf16), (40, DType::F16)] {
        agrees("FlashOmni", &flash_omni_strategy(), &small(64, head_dim), dtype);
    }
}

#[test]
fn more_than_one_word_and_tile_of_blocks() {
    let n = 16 * 70 + 3;
    let problem = Problem { blocks: Blocks { q: 32, kv: 16 }, ..Problem::self_attention(1, n, 2, 16) };
    let m = s_map();
    let rule = rank_below(Side::Kv, 9);
    agrees("top 9 of 71", &with_rules(vec![m], vec![pairs(Action::Skip, not(rule))]), &problem, DType::Bf16);
}

#[test]
fn thresholds() {
    let above = binary(read(0, &[Side::Q, Side::Kv]), BinaryOp::Gt, float(0.1));
    agrees("s > 0.1", &with_rules(vec![s_map()], vec![pairs(Action::Skip, above)]), &small(0, 64), DType::Bf16);
}

