//! Runs a case on the arrays of each device's session.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use sparsym::Error;
use sparsym::device::session::Call;
use sparsym::device::{Array, BitArray, Cost, Device, Session};
use sparsym::ir::problem::DType;
use sparsym::ir::projection::{Stream, Summed};
use sparsym::ir::symbols::CacheSymbol;
use sparsym::ir::{DifferencesCall, Findings, GemmOCall, GemmQ, GemmQCall, Tensor};
use sparsym_reference as oracle;

use super::UNTOUCHED;
use super::case::{self, Case, GemmQParts};
use super::numbers::Numbers;
use crate::compare::{Deviation, Expected};
use crate::corpus::{Judged, Verdict, judge};
use crate::devices::{Column, Stop};

/// A call on host tensors.
enum Made<'a> {
    GemmQ(GemmQCall<'a>, GemmQParts),
    GemmO(GemmOCall<'a>),
    Differences(DifferencesCall<'a>),
}

/// Runs a case in one of its element types on each device.
pub(crate) fn run(case: &Case, dtype: DType, present: &[Column]) -> Result<Vec<Verdict>, String> {
    let numbers = Numbers::new(case, dtype);
    let made = Made::new(case, &numbers)?;
    let expected = made.expected(case.floor).map_err(|findings| findings.to_string())?;
    let run_on = |column: &Column| {
        let start = Instant::now();
        let given = column.device.session().and_then(|session| made.on(&session));
        let ms = start.elapsed().as_secs_f64() * 1e3;
        judge(given.map_err(Stop::from).map(|(results, cost)| Judged {
            density: 1.0,
            checked: expected.check(&results).map(|errors| (errors, 0)),
            costs: vec![cost],
            ms,
        }))
    };
    Ok(present.iter().map(run_on).collect())
}

/// Runs a case twice on a device, which must give the same bits, and compares them with the truth.
pub(crate) fn run_twice(case: &Case, dtype: DType, device: &dyn Device) -> Result<Vec<Deviation>, Stop> {
    let numbers = Numbers::new(case, dtype);
    let made = Made::new(case, &numbers).map_err(Stop::Failed)?;
    let session = device.session()?;
    let (results, _) = made.on(&session)?;
    let (again, _) = made.on(&session)?;
    let bits = |results: &[Vec<f32>]| results.iter().flatten().map(|value| value.to_bits()).collect::<Vec<_>>();
    if bits(&results) != bits(&again) {
        return Err(Stop::Failed("a second run gave other bits".to_owned()));
    }
    let expected = made.expected(case.floor).map_err(|findings| Stop::Failed(findings.to_string()))?;
    expected.check(&results).map_err(Stop::Failed)
}

impl<'a> Made<'a> {
    fn new(case: &Case, numbers: &'a Numbers) -> Result<Made<'a>, String> {
        Ok(match case.call {
            case::Call::GemmQ(parts) => Made::GemmQ(numbers.gemm_q(parts), parts),
            case::Call::GemmO(parts) => Made::GemmO(numbers.gemm_o(parts)),
            case::Call::Differences(parts) => Made::Differences(numbers.differences(parts)?),
        })
    }

    /// The truth and the yardstick.
    fn expected(&self, floor: f64) -> Result<Expected, Findings> {
        let results = match self {
            Made::GemmQ(call, parts) => {
                let (exact, stream) = (oracle::gemm_q::exact(call)?, &call.stream);
                let mut q = untouched(&stream.head_shape(), call.x.dtype());
                let mut mean = parts.means.then(|| untouched(&means_shape(stream), DType::F32));
                oracle::gemm_q::same_precision(call, &mut q, mean.as_mut())?;
                let mean = mean.map(|mean| ("means", kept(exact.means.unwrap_or_default()), mean.to_f32()));
                let bare = parts.beside.map(|_| -> Result<_, Findings> {
                    let (call, mut q) = (plain(call), untouched(&stream.head_shape(), call.x.dtype()));
                    let exact = oracle::gemm_q::exact(&call)?;
                    oracle::gemm_q::same_precision(&call, &mut q, None)?;
                    Ok(("q beside", kept(exact.q), q.to_f32()))
                });
                let bare = bare.transpose()?;
                [("q", kept(exact.q), q.to_f32())].into_iter().chain(mean).chain(bare).collect()
            }
            Made::GemmO(call) => {
                let place = || untouched(&call.stream.model_shape(), call.o.dtype());
                let (exact, mut y) = (oracle::gemm_o::exact(call)?, place());
                let mut partial = (call.summed == Summed::Both).then(place);
                oracle::gemm_o::same_precision(call, &mut y, partial.as_mut())?;
                let partial = exact.partial.zip(partial).map(|(exact, partial)| ("partial", exact, partial.to_f32()));
                [("y", exact.y, y.to_f32())].into_iter().chain(partial).collect()
            }
            Made::Differences(call) => {
                let exact = oracle::differences::exact(call)?;
                let place = |_: &Vec<f64>| untouched(&call.stream.model_shape(), call.w.dtype());
                let mut partials: Vec<Tensor> = exact.iter().map(place).collect();
                oracle::differences::same_precision(call, &mut partials.iter_mut().collect::<Vec<_>>())?;
                let names = ["order 1", "order 2", "order 3"].into_iter().zip(exact);
                names.zip(partials).map(|((name, exact), partial)| (name, exact, partial.to_f32())).collect()
            }
        };
        Ok(Expected::new(results, floor))
    }

    /// The results in the memory of a device, and what they took.
    fn on(&self, session: &Arc<dyn Session>) -> Result<(Vec<Vec<f32>>, Cost), Error> {
        let place = |tensor: &&Tensor| Array::place(session, "input", tensor);
        let symbol = |s_c: &&CacheSymbol| BitArray::place(session, "s_c", s_c.rows());
        let result = |shape: &[usize], dtype| Array::place(session, "result", &untouched(shape, dtype));
        let (results, cost) = match self {
            Made::GemmQ(call, parts) => {
                let (placed, stream) = (call.try_map(place, symbol)?, &call.stream);
                let q = result(&stream.head_shape(), call.x.dtype())?;
                let means = parts.means.then(|| result(&means_shape(stream), DType::F32)).transpose()?;
                let made = placed.try_map(Ok::<_, Error>, Ok)?;
                let Some(split) = parts.beside else {
                    let cost = session.run_once(&Call::GemmQ { call: made, q: &q, means: means.as_ref() })?;
                    return read([q].into_iter().chain(means), cost);
                };
                let bare = result(&stream.head_shape(), call.x.dtype())?;
                let halves = [0..split, split..stream.rows];
                let [x, y] = halves.each_ref().map(|rows| Array::place(session, "x", &rows_of(call.x, rows)));
                let of = |rows: &Range<usize>, x| {
                    let stream = Stream { first: stream.first + rows.start, rows: rows.len(), ..*stream };
                    Call::GemmQ { call: GemmQ { stream, x, ..made.clone() }, q: &q, means: means.as_ref() }
                };
                let (x, y) = (x?, y?);
                let beside = Call::GemmQ { call: plain(&made), q: &bare, means: None };
                let cost = run_together(session, vec![of(&halves[0], &x), beside, of(&halves[1], &y)])?;
                return read([q].into_iter().chain(means).chain([bare]), cost);
            }
            Made::GemmO(call) => {
                let (placed, shape) = (call.try_map(place, symbol)?, call.stream.model_shape());
                let y = result(&shape, call.o.dtype())?;
                let partial = (call.summed == Summed::Both).then(|| result(&shape, call.o.dtype())).transpose()?;
                let call = placed.try_map(Ok::<_, Error>, Ok)?;
                let cost = session.run_once(&Call::GemmO { call, y: &y, partial: partial.as_ref() })?;
                ([y].into_iter().chain(partial).collect(), cost)
            }
            Made::Differences(call) => {
                let (placed, shape) = (call.try_map(place, symbol)?, call.stream.model_shape());
                let partial = |_: &Vec<f32>| result(&shape, call.w.dtype());
                let partials: Vec<Array> = call.weights.iter().map(partial).collect::<Result<_, _>>()?;
                let call = placed.try_map(Ok::<_, Error>, Ok)?;
                let cost = session.run_once(&Call::Differences { call, partials: partials.iter().collect() })?;
                (partials, cost)
            }
        };
        read(results, cost)
    }
}

/// What is in results.
fn read(results: impl IntoIterator<Item = Array>, cost: Cost) -> Result<(Vec<Vec<f32>>, Cost), Error> {
    let results = results.into_iter().map(|array| Ok(array.read()?.to_f32()));
    Ok((results.collect::<Result<_, Error>>()?, cost))
}

/// One call where the device takes it, otherwise one after another.
fn run_together(session: &Arc<dyn Session>, calls: Vec<Call<'_>>) -> Result<Cost, Error> {
    if session.takes_together(&calls) {
        return session.run_once(&Call::Together(calls));
    }
    let mut all = Cost::default();
    for call in &calls {
        all.add(&session.run_once(call)?);
    }
    Ok(all)
}

/// The product alone.
fn plain<T: Clone, S: Clone>(call: &GemmQ<T, S>) -> GemmQ<T, S> {
    GemmQ { bias: None, norm: None, rope: None, s_c: None, ..call.clone() }
}

/// Rows of X `[B, rows, C]`.
fn rows_of(x: &Tensor, rows: &Range<usize>) -> Tensor {
    let &[batch, all, width] = &x.shape[..] else { unreachable!("X has three axes") };
    let values = x.to_f32();
    let of_item = |b: usize| &values[(b * all + rows.start) * width..(b * all + rows.end) * width];
    Tensor::from_f32(&[batch, rows.len(), width], x.dtype(), &(0..batch).flat_map(of_item).copied().collect::<Vec<_>>())
}

/// What is not computed stays as it was.
fn kept(values: Vec<Option<f64>>) -> Vec<f64> {
    values.into_iter().map(|value| value.unwrap_or(f64::from(UNTOUCHED))).collect()
}

fn untouched(shape: &[usize], dtype: DType) -> Tensor {
    Tensor::from_f32(shape, dtype, &vec![UNTOUCHED; shape.iter().product()])
}

fn means_shape(stream: &Stream) -> [usize; 4] {
    [stream.batch, stream.heads, stream.blocks(), stream.head_dim]
}

#[cfg(test)]
mod tests {
    use sparsym::ir::problem::DType;

    use super::{Made, Numbers, UNTOUCHED};
    use crate::projection::all;

    #[test]
    fn poison_reaches_some_elements_and_not_all() {
        for case in all().into_iter().filter(|case| !case.poison.is_empty()) {
            let numbers = Numbers::new(&case, DType::F32);
            let expected = Made::new(&case, &numbers).unwrap().expected(case.floor).unwrap();
            let (finite, broken): (Vec<f64>, Vec<f64>) = expected.truths().partition(|value| value.is_finite());
            assert!(!finite.is_empty() && !broken.is_empty(), "{}: {} elements", case.name, broken.len());
        }
    }

    #[test]
    fn no_truth_looks_untouched() {
        for case in all().into_iter().filter(|case| case.s_c.is_none() && case.stream.is_none()) {
            let numbers = Numbers::new(&case, DType::F32);
            let expected = Made::new(&case, &numbers).unwrap().expected(case.floor).unwrap();
            let far = |value: f64| value.is_nan() || (value - f64::from(UNTOUCHED)).abs() > 900.0;
            assert!(expected.truths().all(far), "{}", case.name);
        }
    }

    #[test]
    fn a_chance_between_0_and_1_gives_decisions_of_both_kinds() {
        for case in all() {
            let mixed = |density: f64| density > 0.0 && density < 1.0;
            if case.s_c.is_some_and(mixed) {
                let found = Numbers::new(&case, DType::F32).s_c().unwrap().density();
                assert!(mixed(found), "{}: all bits of S_c are alike", case.name);
            }
        }
    }
}
