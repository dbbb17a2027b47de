//! One call on tensors in host memory, in a session that is thrown away after it.

use std::sync::Arc;

use sparsym_ir::{Attention, AttentionCall, AttentionOutput, DType, Forecast, Symbols, SymbolsCall, SymbolsOf, Tensor};

use super::measured::Measured;
use super::session::{Array, BitArray, Call, Session, SymbolArrays, SymbolRefs};
use crate::error::Error;

/// The symbols of a call that has passed its check.
pub(super) fn symbols(session: &Arc<dyn Session>, call: &SymbolsCall<'_>) -> Result<Measured<Symbols>, Error> {
    let &SymbolsCall { bound, moment, data } = call;
    let problem = bound.problem;
    let mut ones = Symbols::dense(problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks());
    ones.full = bound.strategy.mask.as_ref().map(|_| ones.skip.clone());
    let symbols = arrays(&ones, |name, rows| BitArray::over(session, name, rows))?;
    let input = |name, tensor| Array::constant(session, name, tensor);
    let data = data.filter(|_| bound.strategy.reads_data());
    let data = data.map(|(q, k)| Ok::<_, Error>((input("q", q)?, input("k", k)?))).transpose()?;
    let data = data.as_ref().map(|(q, k)| (q, k));
    let call = SymbolsOf { bound, moment, data };
    let cost = session.run_once(&Call::Symbols { call, means: None, symbols: &symbols })?;
    Ok(Measured { value: symbols.read(problem)?, cost })
}

/// The attention of a call that has passed its check. Rows without a value are 0.
pub(super) fn attention(
    session: &Arc<dyn Session>,
    call: &AttentionCall<'_>,
) -> Result<Measured<AttentionOutput>, Error> {
    let (bound, shape, dtype) = (call.bound, call.bound.problem.q_shape(), call.q.dtype());
    let input = |name: &str, tensor| Array::constant(session, name, tensor);
    let (q, k, v) = (input("q", call.q)?, input("k", call.k)?, input("v", call.v)?);
    let symbols = arrays(call.symbols, |name, rows| BitArray::constant(session, name, rows))?;
    let features = call.forecast.iter().flat_map(|forecast| &forecast.features).enumerate();
    let features = features.map(|(n, feature)| input(&format!("features[{n}]"), feature));
    let features: Vec<Array> = features.collect::<Result<_, _>>()?;
    let forecast = call
        .forecast
        .as_ref()
        .map(|forecast| Forecast { features: features.iter().collect(), coefficients: forecast.coefficients.clone() });
    let [b, n, h, _] = shape;
    let o = Array::new(session, "o", &shape, dtype)?;
    let nothing = Tensor::from_f32(&[b, h, n], DType::F32, &vec![f32::NEG_INFINITY; b * h * n]);
    let lse = Array::over(session, "lse", &nothing)?;
    let symbols = SymbolRefs::from(&symbols);
    let call = Attention { bound, moment: call.moment, q: &q, k: &k, v: &v, symbols, forecast };
    let cost = session.run_once(&Call::Attention { call, o: &o, lse: &lse })?;
    let lse = lse.read()?.to_f32();
    Ok(Measured { value: AttentionOutput { o: o.read()?, lse }, cost })
}

fn arrays(
    symbols: &Symbols,
    array: impl Fn(&str, &sparsym_ir::symbols::BitRows) -> Result<BitArray, Error>,
) -> Result<SymbolArrays, Error> {
    Ok(SymbolArrays {
        cache: array("s_c", symbols.cache.rows())?,
        skip: array("s_s", symbols.skip.rows())?,
        full: symbols.full.as_ref().map(|full| array("s_f", full.rows())).transpose()?,
    })
}
