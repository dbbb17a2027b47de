//! `sparsym run attention`.

use safetensors::tensor::Dtype;
use sparsym::device::Device;
use sparsym::ir::symbols::{CacheSymbol, SkipSymbol};
use sparsym::ir::{AttentionCall, Bound, Forecast, Moment, Problem, Strategy, Symbols, SymbolsCall, Tensor};
use sparsym::kernel::Room;

use super::AttentionArgs;
use super::file::{self, InputFile, OutputTensor};
use super::symbols::SymbolBytes;
use crate::chosen::Chosen;
use crate::failure::Outcome;
use crate::output::{self, Report};

/// Reads, computes, writes, reports.
pub(super) fn run(args: &AttentionArgs, report: Report) -> Outcome {
    let files = &args.files;
    let mut chosen = match &args.strategy {
        Some(name) => Chosen::load(name)?,
        None => Chosen::of(Strategy::dense()),
    };
    let device = files.open(Room::Attention)?;
    let input = InputFile::read(&files.input)?;
    let (q, k, v) = (input.tensor("q")?, input.tensor("k")?, input.tensor("v")?);
    let cache = input.find_tensor("cache")?;
    let problem = input.problem(&q, &k)?;
    input.fill(&mut chosen, &problem)?;
    let chosen = chosen.set_all(&args.settings.set)?;
    let bindings = chosen.bindings()?;
    let bound = Bound::new(&chosen.strategy, &problem, &bindings).map_err(|findings| input.about_call(findings))?;
    let symbols = symbols(&input, &bound, chosen.moment, (&q, &k), &*device)?;
    let forecast = cache.as_ref().map(|feature| Forecast { features: vec![feature], coefficients: vec![1.0] });
    let call = AttentionCall { bound: &bound, moment: chosen.moment, q: &q, k: &k, v: &v, symbols: &symbols, forecast };
    call.check().map_err(|findings| input.failure(findings))?;
    let measured = files.measure(|| device.measured_attention(&call)).map_err(|error| input.about_call(error))?;

    let result = &measured.value;
    let lse: Vec<u8> = result.lse.iter().flat_map(|value| value.to_le_bytes()).collect();
    let lse_shape = match &problem.ragged {
        Some(_) => vec![problem.heads, result.o.shape[1]],
        None => vec![problem.batch, problem.heads, problem.n_q],
    };
    let mut tensors = vec![
        OutputTensor::of("o", &result.o),
        OutputTensor { name: "lse", dtype: Dtype::F32, shape: lse_shape, bytes: &lse },
    ];
    let bytes = SymbolBytes::of(&symbols);
    if args.symbols {
        tensors.extend(bytes.tensors(&problem));
        tensors.extend(bytes.full(&problem));
    }
    file::write(&files.output, &tensors)?;
    let result = files.report(&*device, [symbols.cache.density(), symbols.density()], measured.cost);
    output::print(report, &result, || result.to_string())
}

/// The symbols of the rules, with S_c and S_s of the file in their place. The mask has the last word in any case.
fn symbols(
    input: &InputFile,
    bound: &Bound<'_>,
    moment: Moment,
    data: (&Tensor, &Tensor),
    device: &dyn Device,
) -> Outcome<Symbols> {
    let Problem { batch, heads, .. } = *bound.problem;
    let (t_q, t_kv) = (bound.problem.q_blocks(), bound.problem.kv_blocks());
    let s_c = input.symbol("s_c", &[batch, heads, t_q], "[B, H, T_q]")?;
    let s_s = input.symbol("s_s", &[batch, heads, t_q, t_kv], "[B, H, T_q, T_kv]")?;
    let mut symbols =
        device.symbols(&SymbolsCall { bound, moment, data: Some(data) }).map_err(|error| input.about_call(error))?;
    if let Some(s_c) = s_c {
        symbols.cache = CacheSymbol::pack(batch, heads, t_q, &s_c);
    }
    if let Some(s_s) = s_s {
        let mask_only = Strategy { rules: Vec::new(), ..bound.strategy.clone() };
        let mask_only = Bound::new(&mask_only, bound.problem, bound.bindings)?;
        let masked = device.symbols(&SymbolsCall::without_data(&mask_only, moment));
        let masked = masked.map_err(|error| input.about_call(error))?;
        let bytes: Vec<u8> = s_s.iter().zip(masked.skip.unpack()).map(|(asked, possible)| asked & possible).collect();
        symbols.skip = SkipSymbol::pack(batch, heads, t_q, t_kv, &bytes);
    }
    Ok(symbols)
}
