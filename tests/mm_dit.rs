//! The MM-DiT block over whole runs: every device does the same, and without sparsity nothing is lost.

use std::sync::Arc;

use sparsym::StrategyType;
use sparsym::device::{self, Device};
use sparsym::engine::{Copied, Engine};
use sparsym::ir::problem::DType;
use sparsym::ir::{Bindings, Strategy};
use sparsym::language::compile_str;
use sparsym::zoo::{FlashOmni, TaylorSeer};
use sparsym_mm_dit::{Block, BlockWeights, Inputs, Shape};
use sparsym_tests::denoise::{self, most, strategies};

const STEPS: u32 = 20;

/// Text and vision after every step of a run.
fn run(device: &str, dtype: DType, strategy: &Strategy, bindings: &Bindings) -> Vec<Vec<f32>> {
    run_steps(STEPS, device, dtype, strategy, bindings)
}

fn run_steps(steps: u32, device: &str, dtype: DType, strategy: &Strategy, bindings: &Bindings) -> Vec<Vec<f32>> {
    let device: Arc<dyn Device> = Arc::from(device::open(device).unwrap());
    run_on(&Engine::new(device).unwrap(), steps, dtype, strategy, bindings)
}

fn run_on(engine: &Engine, steps: u32, dtype: DType, strategy: &Strategy, bindings: &Bindings) -> Vec<Vec<f32>> {
    denoise::run(engine, Shape::SMALL, steps, dtype, strategy, bindings).unwrap()
}

/// Hidden states stay where they are: from input to output a step copies nothing, and it is the same step.
#[test]
fn a_step_copies_nothing() {
    for (device, dtype, steps) in [("cpu", DType::F32, STEPS), ("emulator", DType::F16, 5)] {
        let engine = Engine::new(Arc::from(device::open(device).unwrap())).unwrap();
        let weights = BlockWeights::random(&engine, &Shape::SMALL, dtype, 1).unwrap();
        let inputs = Inputs::new(&engine, &Shape::SMALL, 2, dtype).unwrap();
        for (name, strategy, bindings) in strategies() {
            let block = Block::new(&engine, Shape::SMALL, &weights, strategy, &bindings, steps).unwrap();
            let (mut here, mut there) = (block.state().unwrap(), block.state().unwrap());
            let outputs = block.outputs().unwrap();
            for step in 0..steps {
                let before = engine.copied();
                let (x, _) = inputs.at(step, steps).unwrap();
                block.step_on_device(step, x, [&outputs[0], &outputs[1]], &mut there).unwrap();
                let Copied { to_device, to_host } = engine.copied() - before;
                // `degrade when` asks the host for the densities of the symbols, each word of 64 bits.
                let asks = strategy.schedule.degrade.is_some();
                let symbols = there.layers().map(|state| state.symbols().filter(|_| asks).map_or(0, |s| s.bytes()));
                let most = symbols.into_iter().sum::<usize>() as u64;
                assert!(to_device.max(to_host) <= most, "{name} on {device}, step {step}: {to_device} and {to_host} B");
                let done = block.step(step, &x.map(|x| x.read().unwrap()), &mut here).unwrap();
                let found = outputs.iter().map(|output| output.read().unwrap());
                assert!([done.text, done.vision].into_iter().eq(found), "{name} on {device}, step {step}");
            }
        }
    }
}

#[test]
fn cpu_and_reference_agree_in_f32() {
    for (name, strategy, bindings) in strategies() {
        let [reference, cpu] = ["reference", "cpu"].map(|device| run(device, DType::F32, strategy, &bindings));
        let found = most(&reference, &cpu);
        // Two layers of sums over some hundred products, in f32: a few units of 2^-24 each.
        assert!(found < 2e-6, "{name}: {found:e}");
        assert!(reference.iter().flatten().all(|value| value.is_finite()));
    }
}

#[test]
fn without_sparsity_a_run_is_dense() {
    let dense = run("cpu", DType::F32, &Strategy::dense(), &Bindings::default());
    let flash_omni = FlashOmni { tau_q: 0.0, tau_kv: 0.0, ..FlashOmni::default() };
    let every_step = TaylorSeer { interval: 1, ..TaylorSeer::default() };
    let far = compile_str("far", "pub Far { param reach: u32 = 100000; mask q, kv => abs(q.pos - kv.pos) <= reach; }");
    let far = far.unwrap();
    for (name, strategy, bindings) in [
        ("flash_omni", FlashOmni::ir(), flash_omni.bindings().unwrap()),
        ("taylor_seer", TaylorSeer::ir(), every_step.bindings().unwrap()),
        ("window", &far, Bindings::defaults(&far)),
    ] {
        let found = most(&dense, &run("cpu", DType::F32, strategy, &bindings));
        assert!(found < 1e-6, "{name}: {found:e}");
    }
}

#[test]
fn without_sparsity_kernels_are_dense_bit_for_bit() {
    const STEPS: u32 = 6; // an Update, Dispatches, an Update with differences, a Dispatch, the last Update
    let dense = run_steps(STEPS, "emulator", DType::F16, &Strategy::dense(), &Bindings::default());
    let nothing = FlashOmni { tau_q: 0.0, tau_kv: 0.0, interval: 2, warmup: 1, ..FlashOmni::default() };
    let found = run_steps(STEPS, "emulator", DType::F16, FlashOmni::ir(), &nothing.bindings().unwrap());
    // The same products in the same order; a partial of no head is 0.
    assert_eq!(dense, found);
}

#[test]
fn emulated_kernels_agree_with_the_reference() {
    for (name, strategy, bindings) in strategies() {
        let device = Arc::from(device::open("emulator").unwrap());
        let of = (strategy, &bindings);
        let [found, bound] = denoise::error_and_bound(device, Shape::SMALL, STEPS, DType::Bf16, of).unwrap();
        assert!(found <= bound, "{name}: {found:e} of {bound:e}");
    }
}

#[test]
fn steps_that_nobody_waits_for_compute_the_same() {
    for (device, dtype) in [("cpu", DType::F32), ("emulator", DType::F16)] {
        let engine = Engine::new(Arc::from(device::open(device).unwrap())).unwrap();
        let hurried = engine.without_waiting();
        let (name, strategy, bindings) = &strategies()[0];
        let [waited, queued] = [&engine, &hurried].map(|engine| run_on(engine, 5, dtype, strategy, bindings));
        assert_eq!(waited, queued, "{name} on {device}");
        hurried.wait().unwrap();

        let weights = BlockWeights::random(&engine, &Shape::SMALL, dtype, 1).unwrap();
        let inputs = Inputs::new(&engine, &Shape::SMALL, 2, dtype).unwrap();
        let took = [&engine, &hurried].map(|engine| {
            let block = Block::new(engine, Shape::SMALL, &weights, strategy, bindings, 5).unwrap();
            let (mut state, outputs) = (block.state().unwrap(), block.outputs().unwrap());
            let (x, _) = inputs.at(0, 5).unwrap();
            let report = block.step_on_device(0, x, [&outputs[0], &outputs[1]], &mut state).unwrap();
            report.sums + report.layers.iter().flat_map(|layer| &layer.rooms).map(|room| room.ms).sum::<f64>()
        });
        assert!(took[0] > 0.0 && took[1] == 0.0, "{device}: {took:?}");
    }
}
