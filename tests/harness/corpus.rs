//! Runs cases on devices.

use std::time::Instant;

use serde::Serialize;
use sparsym::device::{Cost, Device};
use sparsym::ir::problem::DType;
use sparsym::ir::{AttentionCall, AttentionOutput, Bound, Forecast, Symbols, SymbolsCall};

use crate::case::{self, Case};
use crate::compare::{Deviation, Expected};
use crate::conflicts;
use crate::data::{self, Tensors};
use crate::decided::Decided;
use crate::devices::{self, Column, Stop};
use crate::projection;
use crate::stored::StoredOrder;

/// What came of one case in one element type on one device.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Name of the case.
    pub case: String,
    /// Element type.
    pub dtype: &'static str,
    /// Name of the device, with the target if it is the emulator.
    pub device: String,
    /// How it ended.
    #[serde(flatten)]
    pub verdict: Verdict,
}

/// How a case ended on a device.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "verdict", rename_all = "snake_case")]
pub enum Verdict {
    /// All results are close enough to the truth.
    Passed {
        /// How close.
        errors: Vec<Deviation>,
        /// Symbol bits that differ from the oracle's, all of them decided by less than [`NEAR_TIE`](crate::decided::NEAR_TIE).
        near_ties: usize,
        /// Share of block pairs that the rules compute; 1 for a projection.
        density: f64,
        /// Wall time of the call, compilation included; not a benchmark.
        ms: f64,
    },
    /// The device cannot do this, and says so.
    NotRun {
        /// Its words.
        reason: String,
    },
    /// Wrong numbers, wasted time, or an error where there should be none.
    Failed {
        /// What was wrong.
        reason: String,
        /// Who noticed.
        found_by: FoundBy,
    },
}

/// What noticed a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FoundBy {
    /// The comparison with the oracle.
    Comparison,
    /// The emulator, which calls it so.
    Trap(&'static str),
    /// The count of bank conflicts.
    Conflicts,
    /// The device, or what prepares its call.
    Error,
}

/// A case of any kind.
#[derive(Clone, Debug)]
pub enum AnyCase {
    /// One attention call.
    Attention(Box<Case>),
    /// One projection.
    Projection(Box<projection::Case>),
}

/// The whole corpus.
///
/// # Panics
/// If a file is not a list of cases; the message names the file and the line.
pub fn all() -> Vec<AnyCase> {
    let attention = case::all().into_iter().map(|case| AnyCase::Attention(Box::new(case)));
    let projections = projection::all().into_iter().map(|case| AnyCase::Projection(Box::new(case)));
    attention.chain(projections).collect()
}

impl AnyCase {
    /// Unique over the corpus.
    pub fn name(&self) -> &str {
        match self {
            AnyCase::Attention(case) => &case.name,
            AnyCase::Projection(case) => &case.name,
        }
    }

    /// Runs it in each of its element types on each device.
    pub fn run(&self, present: &[Column]) -> Vec<Report> {
        match self {
            AnyCase::Attention(case) => run(case, present),
            AnyCase::Projection(case) => {
                each_type(&case.name, &case.dtypes, present, |dtype| projection::run(case, dtype, present))
            }
        }
    }
}

/// Runs an attention call in each of its element types on each device.
pub fn run(case: &Case, present: &[Column]) -> Vec<Report> {
    each_type(&case.name, &case.dtypes, present, |dtype| run_type(case, dtype, present))
}

fn each_type(
    name: &str,
    dtypes: &[DType],
    present: &[Column],
    run: impl Fn(DType) -> Result<Vec<Verdict>, String>,
) -> Vec<Report> {
    let mut reports = Vec::new();
    for &dtype in dtypes {
        let verdicts = match run(dtype) {
            Ok(verdicts) => verdicts,
            Err(reason) => {
                let failed = || Verdict::Failed { reason: reason.clone(), found_by: FoundBy::Error };
                present.iter().map(|_| failed()).collect()
            }
        };
        for (column, verdict) in present.iter().zip(verdicts) {
            let (case, device) = (name.to_owned(), column.name.clone());
            reports.push(Report { case, dtype: dtype.name(), device, verdict });
        }
    }
    reports
}

fn run_type(case: &Case, dtype: DType, present: &[Column]) -> Result<Vec<Verdict>, String> {
    let strategy = case.strategy()?;
    let problem = case.problem(&strategy);
    let bindings = case.bindings(&strategy, &problem)?;
    let bound = Bound::new(&strategy, &problem, &bindings).map_err(|findings| format!("{}: {findings}", case.name))?;
    let tensors = data::tensors(case, &problem, dtype);
    // The oracle knows of no permutation: it gets the tokens as they are stored.
    let order = StoredOrder::of(&bound);
    let stored = order.as_ref().map_or_else(|| tensors.clone(), |order| order.tensors(&tensors));
    let stored_bindings = order.as_ref().map_or_else(|| bindings.clone(), |order| order.bindings(&bindings));
    let stored_bound = Bound { bindings: &stored_bindings, geometry: bound.geometry.clone(), ..bound };
    let data = Some((&stored.q, &stored.k));
    let from_rules = Decided::new(&SymbolsCall { bound: &stored_bound, moment: case.moment, data });
    let mut symbols = from_rules.symbols.clone();
    data::thin_out(case, &mut symbols);
    let truth = call(&stored_bound, case, &stored, &symbols);
    let (exact, yardstick) = (devices::oracle(&truth)?, results(devices::yardstick(&truth)?));
    let [o, lse] = yardstick;
    let expected = Expected::new(vec![("o", exact.o, o), ("lse", exact.lse, lse)], case.floor);
    let call = call(&bound, case, &tensors, &symbols);
    let run_on = |column: &Column| run_on(column, &call, &from_rules, order.as_ref(), &expected);
    Ok(present.iter().map(run_on).collect())
}

fn call<'a>(bound: &'a Bound<'a>, case: &Case, tensors: &'a Tensors, symbols: &'a Symbols) -> AttentionCall<'a> {
    let forecast = case
        .forecast
        .map(|_| Forecast { features: tensors.features.iter().collect(), coefficients: tensors.coefficients.clone() });
    let Tensors { q, k, v, .. } = tensors;
    AttentionCall { bound, moment: case.moment, q, k, v, symbols, forecast }
}

fn run_on(
    column: &Column,
    call: &AttentionCall<'_>,
    from_rules: &Decided,
    order: Option<&StoredOrder>,
    expected: &Expected,
) -> Verdict {
    let start = Instant::now();
    let given = given(&*column.device, call);
    let ms = start.elapsed().as_secs_f64() * 1e3;
    judge(given.map(|Given { symbols, output, costs }| {
        let output = match order {
            Some(order) => order.output(&output),
            None => output,
        };
        let classified = match column.name.as_str() {
            "reference" => Ok(()), // says the truth where classification cannot tell
            _ => from_rules.check_classified(&symbols),
        };
        let checked = classified
            .and_then(|()| from_rules.check(&symbols))
            .and_then(|ties| Ok((expected.check(&results(output))?, ties)));
        Judged { checked, density: from_rules.symbols.density(), costs: costs.into(), ms }
    }))
}

/// What a call took, and how near its results are to the truth.
pub(crate) struct Judged {
    /// The errors and the number of near ties, or what is wrong.
    pub(crate) checked: Result<(Vec<Deviation>, usize), String>,
    /// Share of block pairs that the rules compute.
    pub(crate) density: f64,
    /// Of all launches.
    pub(crate) costs: Vec<Cost>,
    /// Wall time.
    pub(crate) ms: f64,
}

/// The verdict on a call that a device took or stopped.
pub(crate) fn judge(outcome: Result<Judged, Stop>) -> Verdict {
    match outcome {
        Err(Stop::Declined(reason)) => Verdict::NotRun { reason },
        Err(Stop::Trapped { fault, report }) => Verdict::Failed { reason: report, found_by: FoundBy::Trap(fault) },
        Err(Stop::Failed(reason)) => Verdict::Failed { reason, found_by: FoundBy::Error },
        Ok(Judged { checked: Err(reason), .. }) => Verdict::Failed { reason, found_by: FoundBy::Comparison },
        Ok(Judged { checked: Ok((errors, near_ties)), density, costs, ms }) => {
            match costs.iter().filter_map(|cost| cost.stats.as_ref()).try_for_each(conflicts::check) {
                Err(reason) => Verdict::Failed { reason, found_by: FoundBy::Conflicts },
                Ok(()) => Verdict::Passed { errors, near_ties, density, ms },
            }
        }
    }
}

/// O and lse.
fn results(output: AttentionOutput) -> [Vec<f32>; 2] {
    [output.o.to_f32(), output.lse]
}

/// What a device made of a call.
struct Given {
    symbols: Symbols,
    output: AttentionOutput,
    /// Of both.
    costs: [Cost; 2],
}

fn given(device: &dyn Device, call: &AttentionCall<'_>) -> Result<Given, Stop> {
    let data = Some((call.q, call.k));
    let symbols = device.measured_symbols(&SymbolsCall { bound: call.bound, moment: call.moment, data })?;
    let output = device.measured_attention(call)?;
    Ok(Given { symbols: symbols.value, output: output.value, costs: [symbols.cost, output.cost] })
}
