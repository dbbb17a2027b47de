//! What happens to a row of a head between the product and its place in Q: bias, normalisation, rotation.

use sparsym_ir::GemmQCall;
use sparsym_ir::projection::RopePairs;

use crate::element::{Element, widened};
use crate::softmax::LANES;

/// The small arrays of a call, as f32.
pub(crate) struct Finish<'a> {
    bias: Option<Vec<f32>>,
    norm: Option<(Vec<f32>, f32)>,
    rope: Option<(&'a [f32], &'a [f32], RopePairs)>,
}

impl<'a> Finish<'a> {
    /// Of a checked call.
    pub(crate) fn new<T: Element>(call: &GemmQCall<'a>) -> Finish<'a> {
        Finish {
            bias: call.bias.map(|bias| widened(T::elements(bias))),
            norm: call.norm.map(|norm| (widened(T::elements(norm.weight)), norm.eps)),
            rope: call.rope.map(|rope| (f32::elements(rope.cos), f32::elements(rope.sin), rope.pairs)),
        }
    }

    /// Finishes the row of head `h` and a token of the joint sequence, `[D]`.
    pub(crate) fn row(&self, h: usize, token: usize, row: &mut [f32]) {
        let d = row.len();
        if let Some(bias) = &self.bias {
            row.iter_mut().zip(&bias[h * d..(h + 1) * d]).for_each(|(x, bias)| *x += bias);
        }
        if let Some((weight, eps)) = &self.norm {
            let factor = 1.0 / (sum_of_squares(row) / d as f32 + eps).sqrt();
            row.iter_mut().zip(weight).for_each(|(x, weight)| *x = *x * weight * factor);
        }
        if let Some((cos, sin, pairs)) = self.rope {
            let table = token * (d / 2)..(token + 1) * (d / 2);
            let turns = cos[table.clone()].iter().zip(&sin[table]);
            let turn =
                |x: &mut f32, y: &mut f32, cos: f32, sin: f32| (*x, *y) = (*x * cos - *y * sin, *y * cos + *x * sin);
            match pairs {
                RopePairs::Interleaved => {
                    for (pair, (&cos, &sin)) in row.as_chunks_mut::<2>().0.iter_mut().zip(turns) {
                        let [x, y] = pair;
                        turn(x, y, cos, sin);
                    }
                }
                RopePairs::Half => {
                    let (front, back) = row.split_at_mut(d / 2);
                    for ((x, y), (&cos, &sin)) in front.iter_mut().zip(back).zip(turns) {
                        turn(x, y, cos, sin);
                    }
                }
            }
        }
    }
}

/// Σ x², in as many sums as a vector has lanes.
fn sum_of_squares(row: &[f32]) -> f32 {
    let (vectors, rest) = row.as_chunks::<LANES>();
    let mut sums = [0.0; LANES];
    for vector in vectors {
        sums.iter_mut().zip(vector).for_each(|(sum, x)| *sum += x * x);
    }
    sums.iter().sum::<f32>() + rest.iter().map(|x| x * x).sum::<f32>()
}
