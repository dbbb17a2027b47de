//! The schedule of FORA against the published one.

use sparsym_ir::eval::StepKind;
use sparsym_ir::strategy::Value;
use sparsym_ir::{Bindings, Bound, Problem};
use sparsym_zoo::find;

/// F: computed, P: taken from the cache.
fn schedule(steps: u32, interval: i64, warmup: i64) -> String {
    let strategy = &find("fora").unwrap().strategy;
    let problem = Problem::self_attention(1, 128, 1, 64);
    let params = vec![Value::Int(interval), Value::Int(warmup)];
    let bindings = Bindings { params, tables: Vec::new(), inputs: Vec::new() };
    let bound = Bound::new(strategy, &problem, &bindings).unwrap();
    let mut last_update = None;
    (0..steps)
        .map(|step| match bound.schedule(step, steps, last_update.map(|update: u32| step - update), 0) {
            StepKind::Update => {
                last_update = Some(step);
                'F'
            }
            StepKind::Dispatch => 'P',
            StepKind::Dense => 'D',
        })
        .collect()
}

#[test]
fn every_third_step_is_computed() {
    assert_eq!(schedule(20, 3, 1), "FPPFPPFPPFPPFPPFPPFP");
}

#[test]
fn warmup_comes_first() {
    assert_eq!(schedule(20, 5, 3), "FFFPPPPFPPPPFPPPPFPP");
}
