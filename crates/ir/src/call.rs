//! One attention call: what every device takes and gives.

use crate::bind::{Bound, Moment};
use crate::diagnostic::{Code, Finding, Findings};
use crate::problem::product;
use crate::strategy::MOST_TERMS;
use crate::symbols::Symbols;
use crate::tensor::Tensor;

/// O = softmax(score(Q Kᵀ · scale) over computed pairs that pass the mask) V, for the blocks that S_c asks for.
#[derive(Clone, Debug)]
pub struct AttentionCall<'a> {
    /// Strategy, shapes and values. Mask and score come from here, block decisions from `symbols`.
    pub bound: &'a Bound<'a>,
    /// Step and layer.
    pub moment: Moment,
    /// `[B, N, H, D]`.
    pub q: &'a Tensor,
    /// `[B, N_kv, H_kv, D]`.
    pub k: &'a Tensor,
    /// `[B, N_kv, H_kv, D]`.
    pub v: &'a Tensor,
    /// Which blocks and pairs are computed.
    pub symbols: &'a Symbols,
    /// Value of rows whose S_c is 0. None: they are 0 in O.
    pub forecast: Option<Forecast<'a>>,
}

/// Σ coefficient · feature, the output of rows that are not computed.
#[derive(Clone, Debug)]
pub struct Forecast<'a> {
    /// The cached output and its finite differences, each of O's shape and type.
    pub features: Vec<&'a Tensor>,
    /// One factor for each feature; 1 for the first. At most [`MOST_TERMS`].
    pub coefficients: Vec<f32>,
}

/// What a call gives.
#[derive(Clone, Debug)]
pub struct AttentionOutput {
    /// `[B, N, H, D]` in Q's type. A computed row without any computed pair is 0.
    pub o: Tensor,
    /// Natural logarithm of each row's softmax denominator, `[B, H, N]` (ragged: `[H, total]`): -inf for a row without
    /// any computed pair and for rows that were not computed.
    pub lse: Vec<f32>,
}

impl AttentionCall<'_> {
    /// Checks every tensor and symbol against the problem, and that tables have entries for the moment.
    ///
    /// # Errors
    /// All mistakes found, each naming the tensor, what it is and what it should be.
    pub fn check(&self) -> Result<(), Findings> {
        let problem = self.bound.problem;
        let mut findings = problem.check_attention_blocks().err().unwrap_or_default();
        findings.extend(self.bound.check_moment(&self.moment).err().into_iter().flatten());
        for (name, tensor, shape) in
            [("q", self.q, problem.q_shape()), ("k", self.k, problem.kv_shape()), ("v", self.v, problem.kv_shape())]
        {
            check_tensor(name, tensor, &shape, self.q, &mut findings);
        }
        if let Some(forecast) = &self.forecast {
            let (features, coefficients) = (forecast.features.len(), forecast.coefficients.len());
            if features != coefficients || !(1..=MOST_TERMS).contains(&features) {
                findings.push(Finding::new(
                    Code::CacheMissing,
                    format!("a forecast of {coefficients} coefficients over {features} cached features"),
                    format!("give 1 to {MOST_TERMS} features and one coefficient for each"),
                ));
            }
            for feature in &forecast.features {
                check_tensor("cache", feature, &problem.q_shape(), self.q, &mut findings);
            }
        }
        let (s_c, s_s) = (&self.symbols.cache, &self.symbols.skip);
        let (b, h, t_q, t_kv) = (problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks());
        if [s_c.batch(), s_c.heads(), s_c.q_blocks()] != [b, h, t_q] {
            findings.push(Finding::new(
                Code::SymbolShape,
                format!("s_c is [{}, {}, {}]", s_c.batch(), s_c.heads(), s_c.q_blocks()),
                format!("this problem needs [B, H, T_q] = [{b}, {h}, {t_q}]"),
            ));
        }
        for (name, s) in std::iter::once(("s_s", s_s)).chain(self.symbols.full.as_ref().map(|s_f| ("s_f", s_f))) {
            if [s.batch(), s.heads(), s.q_blocks(), s.kv_blocks()] != [b, h, t_q, t_kv] {
                findings.push(Finding::new(
                    Code::SymbolShape,
                    format!("{name} is [{}, {}, {}, {}]", s.batch(), s.heads(), s.q_blocks(), s.kv_blocks()),
                    format!("this problem needs [B, H, T_q, T_kv] = [{b}, {h}, {t_q}, {t_kv}]"),
                ));
            }
        }
        if self.bound.strategy.mask.is_some() && self.symbols.full.is_none() {
            findings.push(Finding::new(
                Code::SymbolShape,
                "the strategy has a mask but the symbols have no s_f",
                "make the symbols with the same strategy",
            ));
        }
        findings.into_result(())
    }
}

/// One call of the symbols room.
#[derive(Clone, Copy, Debug)]
pub struct SymbolsCall<'a> {
    /// Strategy, shapes and values.
    pub bound: &'a Bound<'a>,
    /// Step and layer.
    pub moment: Moment,
    /// Q `[B, N, H, D]` and K `[B, N_kv, H_kv, D]`. None: nothing is known of them, which only rules without tensor data
    /// can do with.
    pub data: Option<(&'a Tensor, &'a Tensor)>,
}

impl<'a> SymbolsCall<'a> {
    /// A call for rules that read no tensor data.
    pub fn without_data(bound: &'a Bound<'a>, moment: Moment) -> SymbolsCall<'a> {
        SymbolsCall { bound, moment, data: None }
    }

    /// Checks that the tensors are there if a rule reads them, their shapes, and that tables have entries for the moment.
    ///
    /// # Errors
    /// All mistakes found, each naming the tensor, what it is and what it should be.
    pub fn check(&self) -> Result<(), Findings> {
        let problem = self.bound.problem;
        let mut findings = self.bound.check_moment(&self.moment).err().unwrap_or_default();
        match self.data {
            Some((q, k)) => {
                check_tensor("q", q, &problem.q_shape(), q, &mut findings);
                check_tensor("k", k, &problem.kv_shape(), q, &mut findings);
            }
            None if self.bound.strategy.reads_data() => findings.push(Finding::new(
                Code::TensorShape,
                format!("rules of {} read q and k, which are not given", self.bound.strategy.name),
                "give q and k",
            )),
            None => {}
        }
        findings.into_result(())
    }
}

fn check_tensor(name: &str, tensor: &Tensor, shape: &[usize], q: &Tensor, findings: &mut Findings) {
    if tensor.shape != shape {
        findings.push(Finding::new(
            Code::TensorShape,
            format!("{name} has shape {:?}", tensor.shape),
            format!("this problem needs {shape:?}, [batch, tokens, heads, head dimension]"),
        ));
    }
    let elements = product(&tensor.shape);
    if tensor.len() != elements {
        findings.push(Finding::new(
            Code::TensorShape,
            format!("{name} holds {} elements", tensor.len()),
            format!("its shape {:?} has {elements}", tensor.shape),
        ));
    }
    if tensor.dtype() != q.dtype() {
        findings.push(Finding::new(
            Code::TensorType,
            format!("{name} is {} but q is {}", tensor.dtype().name(), q.dtype().name()),
            "convert to one type that holds the values of all: f16 ends at 65504, bf16 has 8 bits of precision",
        ));
    }
}
