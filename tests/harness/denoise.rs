//! Runs of an MM-DiT block: every step of a device, against the reference.

use std::sync::Arc;

use sparsym::device::{self, Device};
use sparsym::engine::Engine;
use sparsym::ir::problem::DType;
use sparsym::ir::{Bindings, Strategy, Tensor};
use sparsym::zoo::{FlashOmni, TaylorSeer, Window};
use sparsym::{Error, StrategyType};
use sparsym_mm_dit::{Block, BlockWeights, Shape, input};

/// Blocks of 128 tokens, the last of which is short: what kernels with roles for warps take.
pub const SMALL_OF_128: Shape =
    Shape { name: "small_of_128", text: 128, grid: [1, 20, 20], block: 128, ..Shape::SMALL };

/// The strategies of the loop, sparse enough on random data to matter.
pub fn strategies() -> [(&'static str, &'static Strategy, Bindings); 3] {
    let flash_omni = FlashOmni { tau_q: 0.9, tau_kv: 0.4, interval: 4, warmup: 3, order: 2 };
    let taylor = TaylorSeer { interval: 4, order: 2, ..TaylorSeer::default() };
    let window = Window::default();
    let bound = |bindings: Result<Bindings, _>| bindings.expect("these params are in their ranges");
    [
        ("flash_omni", FlashOmni::ir(), bound(flash_omni.bindings())),
        ("taylor_seer", TaylorSeer::ir(), bound(taylor.bindings())),
        ("window", Window::ir(), bound(window.bindings())),
    ]
}

/// Text and vision after every step of a run.
///
/// # Errors
/// What the device says.
///
/// # Panics
/// If a step allocates memory.
pub fn run(
    engine: &Engine,
    shape: Shape,
    steps: u32,
    dtype: DType,
    strategy: &Strategy,
    bindings: &Bindings,
) -> Result<Vec<Vec<f32>>, Error> {
    let weights = BlockWeights::random(engine, &shape, dtype, 1)?;
    let block = Block::new(engine, shape, &weights, strategy, bindings, steps)?;
    let mut state = block.state()?;
    let planned = engine.workspace_bytes();
    let step = |step| {
        let done = block.step(step, &input(&shape, step, steps, 2, dtype), &mut state)?;
        Ok([done.text, done.vision].iter().flat_map(Tensor::to_f32).collect())
    };
    let outputs = (0..steps).map(step).collect();
    assert_eq!(engine.workspace_bytes(), planned, "a step allocated memory");
    outputs
}

/// Root of the mean square of differences, over that of the values.
pub fn distance(a: &[f32], b: &[f32]) -> f64 {
    let square = |x: f32| f64::from(x) * f64::from(x);
    let differences: f64 = a.iter().zip(b).map(|(a, b)| square(a - b)).sum();
    (differences / a.iter().copied().map(square).sum::<f64>()).sqrt()
}

/// Largest distance of any step; infinite if a value is not finite.
pub fn most(a: &[Vec<f32>], b: &[Vec<f32>]) -> f64 {
    let far = |distance: f64| if distance.is_finite() { distance } else { f64::INFINITY };
    a.iter().zip(b).map(|(a, b)| far(distance(a, b))).fold(0.0, f64::max)
}

/// How far a device is from the truth in any step of a run, and how far it may be: the reference rounds what kernels round
/// but the weights of attention, so twice its error.
///
/// # Errors
/// What a device says.
pub fn error_and_bound(
    device: Arc<dyn Device>,
    shape: Shape,
    steps: u32,
    dtype: DType,
    (strategy, bindings): (&Strategy, &Bindings),
) -> Result<[f64; 2], Error> {
    let reference = Engine::new(Arc::from(device::open("reference")?))?;
    let exact = run(&reference, shape, steps, DType::F32, strategy, bindings)?;
    let rounded = run(&reference, shape, steps, dtype, strategy, bindings)?;
    let found = run(&Engine::new(device)?, shape, steps, dtype, strategy, bindings)?;
    Ok([most(&exact, &found), 2.0 * most(&exact, &rounded)])
}
