//! `sparsym run symbols`.

use safetensors::tensor::Dtype;
use sparsym::codegen::Room;
use sparsym::ir::{Bound, SymbolsCall};

use super::SymbolsArgs;
use super::file::{self, InputFile, OutputTensor};
use crate::chosen::Chosen;
use crate::failure::Outcome;
use crate::output::{self, Report};

/// Reads, makes the symbols, writes, reports.
pub(super) fn run(args: &SymbolsArgs, report: Report) -> Outcome {
    let files = &args.files;
    let mut chosen = Chosen::load(&args.strategy)?;
    let device = files.open(Room::Symbols)?;
    let input = InputFile::read(&files.input)?;
    let (q, k) = (input.tensor("q")?, input.tensor("k")?);
    let problem = input.problem(&q, &k)?;
    input.fill(&mut chosen, &problem)?;
    let chosen = chosen.set_all(&args.settings.set)?;
    let bindings = chosen.bindings()?;
    let bound = Bound::new(&chosen.strategy, &problem, &bindings).map_err(|findings| input.about_call(findings))?;
    let call = SymbolsCall { bound: &bound, moment: chosen.moment, data: Some((&q, &k)) };
    let measured = files.measure(|| device.measured_symbols(&call)).map_err(|error| input.about_call(error))?;

    let symbols = &measured.value;
    let (batch, heads, t_q, t_kv) = (problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks());
    let (s_c, s_s) = (symbols.cache.unpack(), symbols.skip.unpack());
    file::write(
        &files.output,
        &[
            OutputTensor { name: "s_c", dtype: Dtype::U8, shape: vec![batch, heads, t_q], bytes: &s_c },
            OutputTensor { name: "s_s", dtype: Dtype::U8, shape: vec![batch, heads, t_q, t_kv], bytes: &s_s },
        ],
    )?;
    let result = files.report(&*device, [symbols.cache.density(), symbols.density()], measured.cost);
    output::print(report, &result, || result.to_string())
}
