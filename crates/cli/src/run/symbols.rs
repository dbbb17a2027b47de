//! `sparsym run symbols`.

use safetensors::tensor::Dtype;
use sparsym::device::Device;
use sparsym::ir::{Bound, Problem, Symbols, SymbolsCall};
use sparsym::kernel::Room;

use super::SymbolsArgs;
use super::file::{self, InputFile, OutputTensor};
use crate::chosen::Chosen;
use crate::failure::{Failure, Outcome};
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
    let bytes = SymbolBytes::of(symbols);
    let mut tensors = bytes.tensors(&problem).to_vec();
    if args.full {
        let no_mask = || Failure::usage(format!("{} has no mask, so there is no s_f; leave --full out", args.strategy));
        tensors.push(bytes.full(&problem).ok_or_else(no_mask)?);
    }
    let margins = match args.margins {
        true => Some(margins(&*device, &call)?),
        false => None,
    };
    if let Some([cache, skip]) = &margins {
        let shape = vec![problem.batch, problem.heads, problem.q_blocks()];
        let of_pairs = [&shape[..], &[problem.kv_blocks()]].concat();
        tensors.push(OutputTensor { name: "margin_c", dtype: Dtype::F32, shape, bytes: cache });
        tensors.push(OutputTensor { name: "margin_s", dtype: Dtype::F32, shape: of_pairs, bytes: skip });
    }
    file::write(&files.output, &tensors)?;
    let result = files.report(&*device, [symbols.cache.density(), symbols.density()], measured.cost);
    output::print(report, &result, || result.to_string())
}

/// Of S_c and S_s, little-endian.
fn margins(device: &dyn Device, call: &SymbolsCall<'_>) -> Outcome<[Vec<u8>; 2]> {
    let margins = device.margins(call)?.ok_or_else(|| {
        Failure::usage(format!("device {} does not know margins; use --device reference", device.name()))
    })?;
    let bytes = |values: &[f32]| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    Ok([bytes(&margins.cache), bytes(&margins.skip)])
}

/// Symbols as a file has them: one byte per decision.
pub(super) struct SymbolBytes {
    cache: Vec<u8>,
    skip: Vec<u8>,
    full: Option<Vec<u8>>,
}

impl SymbolBytes {
    /// Unpacks.
    pub(super) fn of(symbols: &Symbols) -> SymbolBytes {
        let full = symbols.full.as_ref().map(|full| full.unpack());
        SymbolBytes { cache: symbols.cache.unpack(), skip: symbols.skip.unpack(), full }
    }

    /// S_c and S_s.
    pub(super) fn tensors(&self, problem: &Problem) -> [OutputTensor<'_>; 2] {
        let shape = vec![problem.batch, problem.heads, problem.q_blocks()];
        [
            OutputTensor { name: "s_c", dtype: Dtype::U8, shape, bytes: &self.cache },
            of_pairs("s_s", &self.skip, problem),
        ]
    }

    /// S_f; None without a mask.
    pub(super) fn full(&self, problem: &Problem) -> Option<OutputTensor<'_>> {
        self.full.as_ref().map(|full| of_pairs("s_f", full, problem))
    }
}

fn of_pairs<'a>(name: &'static str, bytes: &'a [u8], problem: &Problem) -> OutputTensor<'a> {
    let shape = vec![problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks()];
    OutputTensor { name, dtype: Dtype::U8, shape, bytes }
}
