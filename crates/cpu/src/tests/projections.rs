//! The projections against the oracle: random shapes, and one by one what the documentation promises.

mod promises;
mod random;

use sparsym_ir::projection::{
    DifferencesCall, GemmO, GemmOCall, GemmQ, GemmQCall, RmsNorm, Rope, RopePairs, Stream, Summed,
};
use sparsym_ir::symbols::CacheSymbol;
use sparsym_ir::{DType, Differences, Tensor};
use sparsym_reference as reference;

use super::noise;
use crate::{differences, gemm_o, gemm_q};

/// A call of GEMM-Q with everything that it borrows.
#[derive(Clone, Debug)]
struct CaseQ {
    stream: Stream,
    x: Tensor,
    w: Tensor,
    bias: Option<Tensor>,
    norm: Option<Tensor>,
    rope: Option<([Tensor; 2], RopePairs)>,
    s_c: Option<CacheSymbol>,
    /// What Q and the means hold before.
    q: Tensor,
    means: Option<Tensor>,
}

/// A call of GEMM-O, and one for projected differences.
#[derive(Clone, Debug)]
struct CaseO {
    stream: Stream,
    /// O of the last Updates, the newest first.
    outputs: Vec<Tensor>,
    w: Tensor,
    bias: Option<Tensor>,
    s_c: Option<CacheSymbol>,
    summed: Summed,
    partials: Vec<Tensor>,
}

impl CaseQ {
    fn new(stream: Stream, dtype: DType, seed: u64) -> CaseQ {
        let columns = stream.heads * stream.head_dim;
        CaseQ {
            stream,
            x: noise(&stream.model_shape(), dtype, seed),
            w: noise(&[columns, stream.width], dtype, seed + 1),
            bias: None,
            norm: None,
            rope: None,
            s_c: None,
            q: noise(&stream.head_shape(), dtype, seed + 2),
            means: None,
        }
    }

    fn call(&self) -> GemmQCall<'_> {
        GemmQ {
            stream: self.stream,
            x: &self.x,
            w: &self.w,
            bias: self.bias.as_ref(),
            norm: self.norm.as_ref().map(|weight| RmsNorm { weight, eps: 1e-3 }),
            rope: self.rope.as_ref().map(|([cos, sin], pairs)| Rope { cos, sin, pairs: *pairs }),
            s_c: self.s_c.as_ref(),
        }
    }

    fn run(&self) -> (Tensor, Option<Tensor>) {
        let (mut q, mut means) = (self.q.clone(), self.means.clone());
        gemm_q(&self.call(), &mut q, means.as_mut()).expect("the case is legal");
        (q, means)
    }

    /// Rows that the call computes must be near the oracle's, all else as it was.
    fn check(&self) {
        let (q, means) = self.run();
        let (mut same, mut same_means) = (self.q.clone(), self.means.clone());
        reference::gemm_q::same_precision(&self.call(), &mut same, same_means.as_mut()).unwrap();
        let exact = reference::gemm_q::exact(&self.call()).unwrap();
        near("q", [&q, &same, &self.q], &exact.q);
        if let (Some(means), Some(same), Some(before)) = (means, same_means, &self.means) {
            near("means", [&means, &same, before], &exact.means.unwrap());
        }
    }
}

impl CaseO {
    fn new(stream: Stream, dtype: DType, seed: u64) -> CaseO {
        CaseO {
            stream,
            outputs: vec![noise(&stream.head_shape(), dtype, seed)],
            w: noise(&[stream.width, stream.heads * stream.head_dim], dtype, seed + 1),
            bias: None,
            s_c: None,
            summed: Summed::Active,
            partials: Vec::new(),
        }
    }

    fn call(&self) -> GemmOCall<'_> {
        GemmO {
            stream: self.stream,
            o: &self.outputs[0],
            w: &self.w,
            bias: self.bias.as_ref(),
            s_c: self.s_c.as_ref(),
            summed: self.summed,
            partials: self.partials.iter().collect(),
            coefficients: [1.0, 0.5, -2.0, 0.25][..self.partials.len()].to_vec(),
        }
    }

    /// Projected differences of each order that the outputs allow.
    fn differences(&self) -> DifferencesCall<'_> {
        let orders = [[1.0, -1.0, 0.0, 0.0], [0.5, -1.0, 0.5, 0.0], [0.25, -0.75, 0.75, -0.25]];
        let n = self.outputs.len();
        Differences {
            stream: self.stream,
            outputs: self.outputs.iter().collect(),
            weights: orders[..n - 1].iter().map(|weights| weights[..n].to_vec()).collect(),
            w: &self.w,
            s_c: self.s_c.as_ref().expect("differences have a symbol"),
        }
    }

    /// Y, and the partial of a call that asks for both.
    fn run(&self) -> (Tensor, Option<Tensor>) {
        let (mut y, mut partial) = self.places();
        gemm_o(&self.call(), &mut y, partial.as_mut()).expect("the case is legal");
        (y, partial)
    }

    fn run_differences(&self) -> Vec<Tensor> {
        let mut partials = vec![self.places().0; self.outputs.len() - 1];
        differences(&self.differences(), &mut partials.iter_mut().collect::<Vec<_>>()).expect("the case is legal");
        partials
    }

    /// Y and the partial before the call: NaN, since all of them is to be written.
    fn places(&self) -> (Tensor, Option<Tensor>) {
        let shape = self.stream.model_shape();
        let values = vec![f32::NAN; shape.iter().product()];
        let nan = Tensor::from_f32(&shape, self.w.dtype(), &values);
        (nan.clone(), (self.summed == Summed::Both).then_some(nan))
    }

    fn check(&self) {
        let (y, partial) = self.run();
        let (mut same, mut same_partial) = self.places();
        reference::gemm_o::same_precision(&self.call(), &mut same, same_partial.as_mut()).unwrap();
        let exact = reference::gemm_o::exact(&self.call()).unwrap();
        all_near("y", &y, &same, &exact.y);
        if let (Some(partial), Some(same)) = (partial, same_partial) {
            all_near("partial", &partial, &same, &exact.partial.unwrap());
        }
    }

    fn check_differences(&self) {
        let mut same = vec![self.places().0; self.outputs.len() - 1];
        let call = self.differences();
        reference::differences::same_precision(&call, &mut same.iter_mut().collect::<Vec<_>>()).unwrap();
        let exact = reference::differences::exact(&call).unwrap();
        for ((partial, same), exact) in self.run_differences().iter().zip(&same).zip(&exact) {
            all_near("difference", partial, same, exact);
        }
    }
}

fn all_near(name: &str, found: &Tensor, same: &Tensor, exact: &[f64]) {
    let exact: Vec<_> = exact.iter().map(|&value| Some(value)).collect();
    near(name, [found, same, found], &exact);
}

/// The largest error is at most twice that of plain f32, and what is not computed is as before.
fn near(name: &str, [found, same, before]: [&Tensor; 3], exact: &[Option<f64>]) {
    let [found, same, before] = [found, same, before].map(Tensor::to_f32);
    let computed = || exact.iter().enumerate().filter_map(|(at, value)| Some((at, (*value)?)));
    let largest = computed().fold(1.0, |largest: f64, (_, value)| largest.max(value.abs()));
    let same = computed().fold(0.0, |worst: f64, (at, value)| worst.max((f64::from(same[at]) - value).abs()));
    for (at, value) in exact.iter().enumerate() {
        let found = f64::from(found[at]);
        match value {
            Some(value) => {
                let error = (found - value).abs();
                let fits = error <= 2.0 * same + 1e-6 * largest;
                assert!(fits, "{name}[{at}] is {found} and should be {value}; plain f32 is off by {same}");
            }
            None => assert_eq!(found.to_bits(), f64::from(before[at]).to_bits(), "{name}[{at}] was not to be written"),
        }
    }
}
