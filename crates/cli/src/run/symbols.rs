//! `sparsym run symbols`.

use std::time::Instant;

use safetensors::tensor::Dtype;
use sparsym::ir::Bound;
use sparsym::runtime::device;

use super::file::{self, InputFile, OutputTensor};
use super::{RunReport, SymbolsArgs};
use crate::chosen::Chosen;
use crate::failure::Outcome;
use crate::output::{self, Report};

/// Reads, makes the symbols, writes, reports.
pub(super) fn run(args: &SymbolsArgs, report: Report) -> Outcome {
    let files = &args.files;
    let mut chosen = Chosen::load(&args.strategy)?;
    let device = device::open(&files.device)?;
    let input = InputFile::read(&files.input)?;
    input.fill(&mut chosen)?;
    let chosen = chosen.set_all(&args.settings.set)?;
    let bindings = chosen.bindings()?;
    let problem = input.problem(&input.tensor("q")?, &input.tensor("k")?)?;
    let bound = Bound::new(&chosen.strategy, &problem, &bindings)?;
    let start = Instant::now();
    let symbols = device.symbols(&bound, &chosen.moment)?;
    let ms = start.elapsed().as_secs_f64() * 1e3;

    let (batch, heads, t_q, t_kv) = (problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks());
    let (s_c, s_s) = (symbols.cache.unpack(), symbols.skip.unpack());
    file::write(
        &files.output,
        &[
            OutputTensor { name: "s_c", dtype: Dtype::U8, shape: vec![batch, heads, t_q], bytes: &s_c },
            OutputTensor { name: "s_s", dtype: Dtype::U8, shape: vec![batch, heads, t_q, t_kv], bytes: &s_s },
        ],
    )?;
    let result = RunReport {
        device: device.name().to_owned(),
        ms,
        density_c: symbols.cache.density(),
        density_s: symbols.density(),
        output: files.output.clone(),
    };
    output::print(report, &result, || result.to_string())
}
