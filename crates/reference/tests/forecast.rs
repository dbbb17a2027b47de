//! Fixtures FX2 of the published schedules: forecasts of F(s) = s² - 4s + 8.

use sparsym_reference::forecast::{Differences, coefficients};

fn feature(s: u32) -> [f32; 1] {
    let s = s as f32;
    [s * s - 4.0 * s + 8.0]
}

/// TaylorSeer with T = 13, W = 3, N = 4: order 0 before the last warm-up step.
fn taylorseer(order: u32) -> (Vec<f32>, Vec<Vec<f32>>) {
    let (mut state, mut out, mut factors) = (Differences::default(), Vec::new(), Vec::new());
    for (s, kind) in "FFFPPPFPPPFPP".bytes().enumerate() {
        let s = s as u32;
        if kind == b'F' {
            state.update(s, &feature(s), if s >= 2 { order } else { 0 });
            factors.push(state.features.concat());
        }
        out.extend(state.forecast(s));
    }
    (out, factors)
}

#[test]
fn taylorseer_orders_0_to_2() {
    assert_eq!(taylorseer(0).0, [8., 5., 4., 4., 4., 4., 20., 20., 20., 20., 68., 68., 68.]);
    assert_eq!(taylorseer(1).0, [8., 5., 4., 3., 2., 1., 20., 24., 28., 32., 68., 80., 92.]);
    let (out, factors) = taylorseer(2);
    assert_eq!(out, [8., 5., 4., 3., 2., 1., 20., 24.625, 30.5, 37.625, 68., 81., 96.]);
    let expected: [&[f32]; 5] = [&[8.], &[5.], &[4., -1.], &[20., 4., 1.25], &[68., 12., 2.]];
    assert_eq!(factors, expected);
}

/// FlashOmni with T = 20, W = 8, N = 5, the last step full: factors start at the last warm-up step.
#[test]
fn flash_omni_order_2() {
    let (mut state, mut out) = (Differences::default(), Vec::new());
    for (s, kind) in "FFFFFFFFPPPPFPPPPFPF".bytes().enumerate().skip(7) {
        let s = s as u32;
        if kind == b'F' {
            state.update(s, &feature(s), 2);
        }
        out.extend(state.forecast(s));
    }
    assert_eq!(out[1..], [29., 29., 29., 29., 104., 119., 134., 149., 164., 229., 255., 293.]);
}

#[test]
fn coefficients_are_terms_of_the_exponential() {
    assert_eq!(coefficients(4, 3), [1.0, 3.0, 4.5, 4.5]);
}
