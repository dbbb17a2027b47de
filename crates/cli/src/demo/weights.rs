//! The projections of the demo's layer: from hidden states to Q, K and V, and from the heads' outputs to their mean.

use sparsym::engine::{Array, Engine, Linear, Part, Weights};
use sparsym::ir::{DType, Tensor};

use super::tokens::{
    HEAD_DIM, HEADS, N_PALETTE, N_VISION, PALETTE_BANDWIDTH, PATCH, PENALTY, POSITION_UNIT, WIDTH_IN, WIDTH_OUT, column,
};
use crate::failure::Outcome;

/// Weights on a device.
pub(crate) struct LayerWeights {
    q_vision: Array,
    q_palette: Array,
    k: Array,
    v: Array,
    o: Array,
}

impl LayerWeights {
    /// Places them.
    pub(crate) fn place(engine: &Engine, dtype: DType) -> Outcome<LayerWeights> {
        let place = |name, rows: usize, columns, values: Vec<f32>| {
            engine.place(name, &Tensor::from_f32(&[rows, columns], dtype, &values))
        };
        let inner = HEADS.len() * HEAD_DIM;
        Ok(LayerWeights {
            q_vision: place("w_q", inner, WIDTH_IN, queries(false))?,
            q_palette: place("w_q of the palette", inner, WIDTH_IN, queries(true))?,
            k: place("w_k", HEAD_DIM, WIDTH_IN, keys())?,
            v: place("w_v", HEAD_DIM, WIDTH_IN, values())?,
            o: place("w_o", WIDTH_OUT, inner, mean_of_heads())?,
        })
    }

    /// The parts of the sequence.
    pub(crate) fn parts(&self) -> Vec<Part<'_>> {
        let part = |tokens, q| {
            let linear = |weight| Linear { weight, bias: None };
            let (q, k, v, o) = (linear(q), linear(&self.k), linear(&self.v), linear(&self.o));
            Part { tokens, weights: Weights { q, k, v, o, q_norm: None, k_norm: None, rope: None } }
        };
        vec![part(N_VISION, &self.q_vision), part(N_PALETTE, &self.q_palette)]
    }
}

/// W_q `[H·D, C]`. The scale 1/√D, which strategies count on, makes the logits what the products are meant to be.
fn queries(of_palette: bool) -> Vec<f32> {
    let mut w = vec![0.0; HEADS.len() * HEAD_DIM * WIDTH_IN];
    for (head, &(relative, reach)) in HEADS.iter().enumerate() {
        let relative = if of_palette { PALETTE_BANDWIDTH } else { relative };
        let (of_colors, of_places) = (relative.powi(-2), (reach / POSITION_UNIT).powi(-2));
        let mut set = |row: usize, column: usize, value: f32| {
            w[(head * HEAD_DIM + row) * WIDTH_IN + column] = value * (HEAD_DIM as f32).sqrt();
        };
        (0..PATCH).for_each(|n| set(n, column::SOUGHT + n, 2.0 * of_colors));
        (0..2).for_each(|n| set(PATCH + n, column::PLACE + n, 2.0 * of_places));
        (2..4).for_each(|n| set(PATCH + n, column::SHARPNESS, of_colors));
        set(PATCH + 4, column::ON_GRID, of_places);
        set(PATCH + 5, column::DISTANCE, of_places);
        set(PATCH + 6, column::ON_GRID, -PENALTY);
    }
    w
}

/// W_k `[D, C]`.
fn keys() -> Vec<f32> {
    let mut w = vec![0.0; HEAD_DIM * WIDTH_IN];
    let mut pick = |row: usize, column: usize| w[row * WIDTH_IN + column] = 1.0;
    (0..PATCH).for_each(|n| pick(n, column::SEEN + n));
    (0..2).for_each(|n| pick(PATCH + n, column::PLACE + n));
    (0..2).for_each(|n| pick(PATCH + 2 + n, column::NORM + n));
    pick(PATCH + 4, column::DISTANCE);
    pick(PATCH + 5, column::ON_GRID);
    pick(PATCH + 6, column::IN_PALETTE);
    w
}

/// W_v `[D, C]`.
fn values() -> Vec<f32> {
    let mut w = vec![0.0; HEAD_DIM * WIDTH_IN];
    (0..PATCH).for_each(|n| w[n * WIDTH_IN + column::VALUE + n] = 1.0);
    w
}

/// W_o `[C_out, H·D]`.
fn mean_of_heads() -> Vec<f32> {
    let (heads, mut w) = (HEADS.len(), vec![0.0; WIDTH_OUT * HEADS.len() * HEAD_DIM]);
    for n in 0..PATCH {
        (0..heads).for_each(|head| w[n * heads * HEAD_DIM + head * HEAD_DIM + n] = (heads as f32).recip());
    }
    w
}

#[cfg(test)]
mod tests {
    use super::super::photo::{HEIGHT, Picture, WIDTH};
    use super::super::tokens::{Order, Palette, input, patch, position, problem};
    use super::*;

    #[test]
    fn logits_are_negative_distances_up_to_a_constant_of_the_row() {
        let picture = Picture((0..HEIGHT * WIDTH * 3).map(|n| (n as f32 * 0.37).sin() * 0.5 + 0.5).collect());
        let palette = Palette(vec![[0.2, 0.4, 0.6]; N_PALETTE]);
        let h = 0.7;
        let x = input(&picture, &picture, &palette, h, &Order::Raster.raster_indices(), DType::F32).vision.to_f32();
        let (head, (relative, reach)) = (1, HEADS[1]);
        let (w_q, w_k) = (queries(false), keys());
        let projected = |w: &[f32], token: usize| -> Vec<f32> {
            let x = &x[token * WIDTH_IN..][..WIDTH_IN];
            w.chunks(WIDTH_IN).map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum()).collect()
        };
        let logit = |i: usize, j: usize| -> f64 {
            let (q, k) = (projected(&w_q[head * HEAD_DIM * WIDTH_IN..][..HEAD_DIM * WIDTH_IN], i), projected(&w_k, j));
            f64::from(problem().scale) * q.iter().zip(&k).map(|(q, k)| f64::from(*q) * f64::from(*k)).sum::<f64>()
        };
        let distance = |i: usize, j: usize| -> f64 {
            let colors: f32 = patch(&picture, i).iter().zip(&patch(&picture, j)).map(|(a, b)| (a - b).powi(2)).sum();
            let places: f32 = position(i).iter().zip(&position(j)).map(|(a, b)| (a - b).powi(2)).sum();
            f64::from(colors / (h * relative).powi(2)) + f64::from(places / (reach / POSITION_UNIT).powi(2))
        };
        for (i, j) in [(0, 5), (137, 4000), (9000, 9001)] {
            let difference = (logit(i, j) - logit(i, i)) + distance(i, j);
            assert!(difference.abs() < 1e-2, "rows {i} and {j} differ by {difference}");
        }
    }
}
