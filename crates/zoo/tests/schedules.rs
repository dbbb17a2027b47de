//! Which steps are full, against the published schedules (FX2 of the catalogue of strategies).

use sparsym_ir::eval::StepKind;
use sparsym_ir::strategy::Strategy;
use sparsym_ir::{Bindings, Bound, Problem};
use sparsym_zoo::{FlashOmni, TaylorSeer, find};

/// F: computed, P: predicted.
fn schedule(strategy: &Strategy, bindings: &Bindings, steps: u32) -> String {
    let mut problem = Problem::self_attention(1, 128, 1, 64);
    problem.layout.ranges.push(sparsym_ir::problem::LayoutRange::plain("vision", 128));
    if strategy.tokens.is_empty() {
        problem.layout.ranges.clear();
    }
    let bound = Bound::new(strategy, &problem, bindings).unwrap();
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

fn taylor_seer(settings: &TaylorSeer, steps: u32) -> String {
    schedule(&find("taylor_seer").unwrap().strategy, &settings.bindings().unwrap(), steps)
}

fn full(schedule: &str) -> Vec<usize> {
    schedule.char_indices().filter(|&(_, kind)| kind == 'F').map(|(step, _)| step).collect()
}

#[test]
fn taylor_seer_and_fora() {
    let settings = |warmup, interval| TaylorSeer { warmup, interval, ..TaylorSeer::default() };
    assert_eq!(taylor_seer(&settings(3, 5), 20), "FFFPPPPFPPPPFPPPPFPP");
    assert_eq!(taylor_seer(&TaylorSeer::fora(3), 20), "FPPFPPFPPFPPFPPFPPFP");
    assert_eq!(full(&taylor_seer(&TaylorSeer::default(), 50)), [0, 1, 2, 8, 14, 20, 26, 32, 38, 44], "FLUX");
    assert_eq!(full(&taylor_seer(&settings(1, 5), 50)), [0, 5, 10, 15, 20, 25, 30, 35, 40, 45], "HunyuanVideo");
}

#[test]
fn pab_counts_from_step_0_and_is_full_outside_its_range() {
    assert_eq!(taylor_seer(&TaylorSeer::pab(2, 3, 4), 12), "FFFPFPFPFFFF");
}

#[test]
fn flash_omni() {
    let bindings = FlashOmni::default().bindings().unwrap();
    let strategy = &find("flash_omni").unwrap().strategy;
    assert_eq!(schedule(strategy, &bindings, 20), "FFFFFFFFPPPPFPPPPFPF");
    let expected = [0, 1, 2, 3, 4, 5, 6, 7, 12, 17, 22, 27, 32, 37, 42, 47, 49];
    assert_eq!(full(&schedule(strategy, &bindings, 50)), expected);
}
