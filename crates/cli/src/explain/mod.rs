//! `sparsym explain`: a strategy in words, what it costs at a problem, and a picture of its symbols.

mod example;
mod predict;
mod words;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use serde::Serialize;
use sparsym::dsl_core;
use sparsym::ir::{Bound, SymbolsCall};
use sparsym::runtime::device::{Cpu, Device};

use crate::args::{Settings, parse_grid};
use crate::chosen::Chosen;
use crate::failure::Outcome;
use crate::list;
use crate::output::{self, Report, write_png};
use crate::picture::{Panel, draw_symbols};
use predict::Prediction;

/// Arguments of `sparsym explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// Name of a strategy of the zoo, or path of a .strategy file.
    #[arg(value_name = "S")]
    strategy: String,
    #[command(flatten)]
    settings: Settings,
    /// Tokens of the sequence, text and vision together.
    #[arg(long, value_name = "N", conflicts_with = "grid")]
    tokens: Option<usize>,
    /// Tokens of the range text.
    #[arg(long, value_name = "N")]
    text: Option<usize>,
    /// Extents of the range vision, in tokens.
    #[arg(long, value_name = "T,H,W", value_parser = parse_grid)]
    grid: Option<[usize; 3]>,
    /// Where text stands; left out: as the strategy declares its ranges.
    #[arg(long, value_enum)]
    text_at: Option<TextAt>,
    /// Query heads.
    #[arg(long, value_name = "H", default_value_t = 1)]
    heads: usize,
    /// Tokens of a query block; left out: the strategy's.
    #[arg(long, value_name = "TOKENS")]
    block_q: Option<u32>,
    /// Tokens of a kv block; left out: the strategy's.
    #[arg(long, value_name = "TOKENS")]
    block_kv: Option<u32>,
    /// Write a picture of the symbols.
    #[arg(long, value_name = "FILE")]
    png: Option<PathBuf>,
}

/// Which end of the sequence the text stands at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum TextAt {
    /// Before vision.
    Front,
    /// After vision.
    Back,
}

#[derive(Serialize)]
struct Explanation {
    name: String,
    doc: String,
    uses: Vec<&'static str>,
    rules: Vec<String>,
    kinds: Vec<String>,
    ir: String,
    problem: String,
    notes: Vec<String>,
    density_c: f64,
    density_s: f64,
    /// Share of the computed token pairs that the mask then drops; None: too many to count.
    waste: Option<f64>,
    predicted: Prediction,
    files: Vec<PathBuf>,
}

/// Explains the strategy.
pub(crate) fn run(args: &ExplainArgs, report: Report) -> Outcome {
    let mut chosen = Chosen::load(&args.strategy)?.set_all(&args.settings.set)?;
    let (problem, mut notes) = example::problem(args, &chosen.strategy)?;
    notes.extend(example::fill(&mut chosen, &problem));
    let bindings = chosen.bindings()?;
    let bound = Bound::new(&chosen.strategy, &problem, &bindings)?;
    let data = chosen.strategy.reads_data().then(|| example::data(&problem));
    if data.is_some() {
        notes.push("rules read Q and K: densities are those of made-up ones, smooth over the grid".to_owned());
    }
    let data = data.as_ref().map(|(q, k)| (q, k));
    let symbols = Cpu.symbols(&SymbolsCall { bound: &bound, moment: chosen.moment, data })?;

    let mut files = Vec::new();
    if let Some(path) = &args.png {
        let panel = Panel {
            symbols: &symbols,
            geometry: &bound.geometry,
            blocks: [problem.blocks.q as usize, problem.blocks.kv as usize],
        };
        let title = format!("{} at step {}", chosen.strategy.name, chosen.moment.step);
        let picture = draw_symbols(&panel, &title, &example::describe(&problem));
        files.push(write_png(path.clone(), &picture)?);
    }
    let explanation = Explanation {
        name: chosen.strategy.name.clone(),
        doc: chosen.strategy.doc.clone(),
        uses: list::uses(&chosen.strategy),
        rules: words::rules(&chosen.strategy),
        kinds: words::kinds(&chosen.strategy),
        ir: dsl_core::print(&chosen.strategy),
        problem: example::describe(&problem),
        notes,
        density_c: symbols.cache.density(),
        density_s: symbols.density(),
        waste: predict::waste(&bound, &chosen.moment, &symbols),
        predicted: predict::predict(&bound, &chosen.moment, data)?,
        files,
    };
    output::print(report, &explanation, || explanation.to_string())
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}\n", self.name, self.doc)?;
        writeln!(f, "Rules")?;
        for line in &self.rules {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "\nStatic and dynamic")?;
        for line in &self.kinds {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "\nAs the compiler reads it")?;
        for line in self.ir.lines() {
            writeln!(f, "  {line}")?;
        }
        writeln!(f, "\nAt {}", self.problem)?;
        for note in &self.notes {
            writeln!(f, "  ({note})")?;
        }
        let when = if self.uses.contains(&"cache") { " at a Dispatch step" } else { "" };
        writeln!(f, "  density of S_c        {:.1} % of query blocks are computed{when}", 100.0 * self.density_c)?;
        writeln!(f, "  density of S_s        {:.1} % of block pairs are computed{when}", 100.0 * self.density_s)?;
        if let Some(waste) = self.waste {
            writeln!(f, "  waste in tiles        {:.1} % of computed token pairs are masked", 100.0 * waste)?;
        }
        let Prediction { steps, updates, dense, work, rooms } = &self.predicted;
        writeln!(
            f,
            "  work over {steps} steps    {:.1} % of dense attention ({updates} Updates, {dense} dense steps)",
            100.0 * work
        )?;
        write!(
            f,
            "  predicted speed-up    attention {:.2}×, gemm_q {:.2}×, gemm_o {:.2}× over all steps, by counted work",
            rooms.attention, rooms.gemm_q, rooms.gemm_o
        )?;
        for file in &self.files {
            write!(f, "\n  picture               {}", file.display())?;
        }
        Ok(())
    }
}
