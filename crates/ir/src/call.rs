//! One call of attention and of the symbols room: what every device takes and gives.
//!
//! Both are generic over what holds the numbers, as [projections](crate::projection) are: `&Tensor` and `&Symbols` in host
//! memory, handles of arrays on a device. There is one check for all of them.

use crate::bind::{Bound, Moment};
use crate::diagnostic::{Code, Finding, Findings};
use crate::problem::{DType, Problem};
use crate::projection::{Needed, Shaped};
use crate::strategy::MOST_TERMS;
use crate::symbols::{PackedSet, SymbolShape, Symbols};
use crate::tensor::Tensor;

/// O = softmax(score(Q Kᵀ · scale) over computed pairs that pass the mask) V, for the blocks that S_c asks for.
#[derive(Clone, Debug)]
pub struct Attention<'a, T, S> {
    /// Strategy, shapes and values. Mask and score come from here, block decisions from `symbols`.
    pub bound: &'a Bound<'a>,
    /// Step and layer.
    pub moment: Moment,
    /// `[B, N, H, D]`.
    pub q: T,
    /// `[B, N_kv, H_kv, D]`.
    pub k: T,
    /// `[B, N_kv, H_kv, D]`.
    pub v: T,
    /// Which blocks and pairs are computed.
    pub symbols: S,
    /// Value of rows whose S_c is 0. None: nothing is written to them.
    pub forecast: Option<Forecast<T>>,
}

/// Σ coefficient · feature, the output of rows that are not computed.
#[derive(Clone, Debug)]
pub struct Forecast<T> {
    /// The cached output and its finite differences, or earlier outputs; each of O's shape and type.
    pub features: Vec<T>,
    /// One factor for each feature. At most [`MOST_TERMS`].
    pub coefficients: Vec<f32>,
}

/// One attention call in host memory; rows without a value are 0 in O.
pub type AttentionCall<'a> = Attention<'a, &'a Tensor, &'a Symbols>;

/// What a call gives.
#[derive(Clone, Debug)]
pub struct AttentionOutput {
    /// `[B, N, H, D]` in Q's type. A computed row without any computed pair is 0.
    pub o: Tensor,
    /// Natural logarithm of each row's softmax denominator, `[B, H, N]` (ragged: `[H, total]`): -inf for a row without
    /// any computed pair and for rows that were not computed.
    pub lse: Vec<f32>,
}

impl<T: Shaped, S: PackedSet> Attention<'_, T, S> {
    /// Checks every array and symbol against the problem, and that tables have entries for the moment.
    ///
    /// # Errors
    /// All mistakes found, each naming the array, what it is and what it should be.
    pub fn check(&self) -> Result<(), Findings> {
        let problem = self.bound.problem;
        let mut findings = problem.check_attention_blocks().err().unwrap_or_default();
        findings.extend(self.bound.check_moment(&self.moment).err().into_iter().flatten());
        let dtype = self.q.dtype();
        for (name, array, shape) in
            [("q", &self.q, problem.q_shape()), ("k", &self.k, problem.kv_shape()), ("v", &self.v, problem.kv_shape())]
        {
            check_array(name, array, &shape, dtype, &mut findings);
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
                check_array("cache", feature, &problem.q_shape(), dtype, &mut findings);
            }
        }
        check_symbols(&self.symbols, problem, &mut findings);
        if self.bound.strategy.mask.is_some() && self.symbols.full_shape().is_none() {
            findings.push(no_s_f());
        }
        findings.into_result(())
    }

    /// Checks arrays that take the results: `o`, and `lse` in f32 `[B, H, N]`.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_results(&self, o: &impl Shaped, lse: &impl Shaped) -> Result<(), Findings> {
        let mut findings = Findings::new();
        let [b, n, h, d] = self.bound.problem.q_shape();
        check_array("o", o, &[b, n, h, d], self.q.dtype(), &mut findings);
        if lse.shape() != [b, h, n] || lse.dtype() != DType::F32 {
            let what = format!("lse is {} {:?}", lse.dtype().name(), lse.shape());
            let help = format!("this problem needs f32 {:?}, [batch, heads, tokens]", [b, h, n]);
            findings.push(Finding::new(Code::TensorShape, what, help));
        }
        findings.into_result(())
    }
}

/// One call of the symbols room.
#[derive(Clone, Copy, Debug)]
pub struct SymbolsOf<'a, T> {
    /// Strategy, shapes and values.
    pub bound: &'a Bound<'a>,
    /// Step and layer.
    pub moment: Moment,
    /// Q `[B, N, H, D]` and K `[B, N_kv, H_kv, D]`. None: nothing is known of them, which only rules without tensor data
    /// can do with.
    pub data: Option<(T, T)>,
}

/// One call of the symbols room in host memory.
pub type SymbolsCall<'a> = SymbolsOf<'a, &'a Tensor>;

impl<'a, T> SymbolsOf<'a, T> {
    /// A call for rules that read no tensor data.
    pub fn without_data(bound: &'a Bound<'a>, moment: Moment) -> SymbolsOf<'a, T> {
        SymbolsOf { bound, moment, data: None }
    }
}

impl<T: Shaped> SymbolsOf<'_, T> {
    /// Checks that the tensors are there if a rule reads them, their shapes, and that tables have entries for the moment.
    ///
    /// # Errors
    /// All mistakes found, each naming the array, what it is and what it should be.
    pub fn check(&self) -> Result<(), Findings> {
        let problem = self.bound.problem;
        let mut findings = self.bound.check_moment(&self.moment).err().unwrap_or_default();
        match &self.data {
            Some((q, k)) => {
                check_array("q", q, &problem.q_shape(), q.dtype(), &mut findings);
                check_array("k", k, &problem.kv_shape(), q.dtype(), &mut findings);
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

    /// Checks what takes the symbols, and means of the blocks of Q and K that are read instead of them:
    /// f32 `[B, H, T_q, D]` and `[B, H_kv, T_kv, D]`.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_results(&self, symbols: &impl PackedSet, means: Option<[&T; 2]>) -> Result<(), Findings> {
        let (mut findings, problem) = (Findings::new(), self.bound.problem);
        check_symbols(symbols, problem, &mut findings);
        match (self.bound.strategy.mask.is_some(), symbols.full_shape().is_some()) {
            (true, false) => findings.push(no_s_f()),
            (false, true) => findings.push(Finding::new(
                Code::SymbolShape,
                "the symbols have an s_f but the strategy has no mask",
                "make the symbols for the same strategy",
            )),
            (true, true) | (false, false) => {}
        }
        let Problem { batch, heads, kv_heads, head_dim, .. } = *problem;
        let shapes = [[batch, heads, problem.q_blocks(), head_dim], [batch, kv_heads, problem.kv_blocks(), head_dim]];
        for ((name, mean), shape) in
            ["means of q", "means of k"].into_iter().zip(means.into_iter().flatten()).zip(shapes)
        {
            if mean.shape() != shape || mean.dtype() != DType::F32 {
                let what = format!("the array for {name} is {} {:?}", mean.dtype().name(), mean.shape());
                let help = format!("this problem needs f32 {shape:?}, [batch, heads, blocks, head dimension]");
                findings.push(Finding::new(Code::TensorShape, what, help));
            }
        }
        findings.into_result(())
    }
}

fn check_symbols(symbols: &impl PackedSet, problem: &Problem, findings: &mut Findings) {
    let (b, h, t_q, t_kv) = (problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks());
    let (who, pairs) = ("this problem", SymbolShape::Pairs([b, h, t_q, t_kv]));
    findings.extend(symbols.cache_shape().check("s_c", SymbolShape::Cache([b, h, t_q]), who).err());
    findings.extend(symbols.skip_shape().check("s_s", pairs, who).err());
    findings.extend(symbols.full_shape().and_then(|full| full.check("s_f", pairs, who).err()));
}

fn no_s_f() -> Finding {
    Finding::new(
        Code::SymbolShape,
        "the strategy has a mask but the symbols have no s_f",
        "make the symbols with the same strategy",
    )
}

fn check_array(name: &str, array: &impl Shaped, shape: &[usize], q: DType, findings: &mut Findings) {
    let needed = Needed {
        shape,
        shape_help: format!("this problem needs {shape:?}, [batch, tokens, heads, head dimension]"),
        dtype: q,
        dtype_of: "but q is",
        dtype_help: "convert to one type that holds the values of all: f16 ends at 65504, bf16 has 8 bits of precision",
    };
    needed.check(name, array, findings);
}
