//! A whole layer through twenty denoising steps, in the device's memory: every fourth step is computed, the others are
//! forecast. `cargo run -p sparsym --example layer` shows each step beside the same layer without caching.

use std::sync::Arc;

use sparsym::engine::{Array, LayerPlace, Linear, Part, StepKind, Weights};
use sparsym::prelude::*;

strategy! {
    /// Between full steps every row is forecast along the line through the last two.
    pub Often {
        /// Steps from one full step to the next.
        param interval: u32 in 1.. = 4;
        cache q by taylor(1);
        update when step < 3 || since_update == interval;
    }
}

const TOKENS: usize = 64;
const WIDTH: usize = 32;
const STEPS: u32 = 20;

/// Hidden states that move smoothly, as those of a denoising run do.
fn hidden(step: u32) -> Tensor {
    let value = |at: usize| (at as f32 * 0.7).sin() + 0.4 * (at as f32 * 0.3 + 0.08 * step as f32).cos();
    Tensor::from_f32(&[1, TOKENS, WIDTH], DType::F32, &(0..TOKENS * WIDTH).map(value).collect::<Vec<_>>())
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let engine = Engine::new(Arc::from(device::open("cpu")?))?;
    let weight = |name: &str, seed: f32| -> Result<Array, sparsym::Error> {
        let values: Vec<f32> = (0..WIDTH * WIDTH).map(|at| (at as f32 * seed).sin() * 0.2).collect();
        engine.place(name, &Tensor::from_f32(&[WIDTH, WIDTH], DType::F32, &values))
    };
    let [w_q, w_k, w_v, w_o] = [weight("w_q", 1.1)?, weight("w_k", 1.3)?, weight("w_v", 1.7)?, weight("w_o", 1.9)?];
    let [q, k, v, o] = [&w_q, &w_k, &w_v, &w_o].map(|weight| Linear { weight, bias: None });
    let part = Part { tokens: TOKENS, weights: Weights { q, k, v, o, q_norm: None, k_norm: None, rope: None } };
    let layer = |strategy: &Strategy, bindings: Bindings| {
        let problem = Problem::self_attention(1, TOKENS, 2, WIDTH / 2);
        let place = LayerPlace { layer: 0, steps: STEPS };
        engine.layer(LayerSpec { strategy: strategy.clone(), problem, bindings, place }, vec![part])
    };

    let cached = layer(Often::ir(), Often::default().bindings()?)?;
    let dense = layer(&Strategy::dense(), Bindings::default())?;
    println!("schedule {}", cached.schedule());
    let (mut state, mut dense_state) = (cached.state()?, dense.state()?);
    let x = engine.place("x", &hidden(0))?;
    let y = engine.array("y", &[1, TOKENS, WIDTH], DType::F32)?;
    let mut worst = 0.0f32;
    for step in 0..STEPS {
        x.write(&hidden(step))?;
        dense.step(step, &[&x], &[&y], &mut dense_state)?;
        let expected = y.read()?.to_f32();
        let report = cached.step(step, &[&x], &[&y], &mut state)?;
        let found = y.read()?.to_f32();
        let largest = expected.iter().fold(0.0f32, |most, value| most.max(value.abs()));
        let error = found.iter().zip(&expected).fold(0.0f32, |most, (a, b)| most.max((a - b).abs())) / largest;
        println!("step {step:2}  {:8}  error {error:.4}", format!("{:?}", report.kind));
        assert!(report.kind == StepKind::Dispatch || error < 1e-5, "a full step is exact");
        worst = worst.max(error);
    }

    assert_eq!(cached.schedule().to_string(), "FFFPPPFPPPFPPPFPPPFP");
    assert!(worst < 0.1, "a forecast follows what moves smoothly");
    Ok(())
}

#[test]
fn it_shows_what_it_says() {
    main().unwrap();
}
