//! `sparsym explain`: a strategy in words, what it costs at a problem, and a picture of its symbols.

mod example;
mod kernels;
mod looks;
mod made_up;
mod predict;
mod report;
mod timeline;
mod words;

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use image::RgbImage;
use sparsym::engine::StepKind;
use sparsym::ir::{Bound, Findings, Strategy};

use crate::args::{Settings, parse_grid};
use crate::chosen::Chosen;
use crate::failure::{Failure, Outcome, in_words_of};
use crate::output::{self, Report, write_png};
use crate::picture::{Panel, Strip, Words, draw_symbols};
use looks::Looks;
use report::Explanation;
use timeline::Timeline;

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
    /// Step to show; left out: one near the middle of the run that obeys the strategy's symbols.
    #[arg(long, value_name = "STEP")]
    step: Option<u32>,
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

/// Explains the strategy.
pub(crate) fn run(args: &ExplainArgs, report: Report) -> Outcome {
    let mut chosen = Chosen::load(&args.strategy)?.set_all(&args.settings.set)?;
    let shown = shown_step(args, &chosen)?;
    let (problem, mut notes) = example::problem(args, &chosen.strategy)?;
    notes.extend(example::fill(&mut chosen, &problem));
    let bindings = chosen.bindings()?;
    let bound = Bound::new(&chosen.strategy, &problem, &bindings).map_err(in_flags)?;
    let looks = Looks::new(&bound);
    notes.extend(looks.notes.iter().cloned());
    if args.settings.set.iter().any(|setting| setting.name == "since_update") {
        notes.push("since_update follows from the schedule, so its value of --set is not used".to_owned());
    }
    let run = timeline::follow(&bound, &looks, chosen.moment, shown)?;

    let mut files = Vec::new();
    if let Some(path) = &args.png {
        files.push(write_png(path.clone(), &picture(&chosen.strategy, &bound, &run))?);
    }
    let explanation = Explanation::new(&chosen, &bound, &run, notes, files);
    output::print(report, &explanation, || explanation.to_string())
}

/// What does not fit was said by flags.
fn in_flags(findings: Findings) -> Failure {
    let layout = "give the extents with --grid T,H,W, and the tokens of text with --text N";
    Failure::usage(in_words_of(findings, layout).to_string())
}

/// The step that was asked for, by `--step` or by `--set step=`.
fn shown_step(args: &ExplainArgs, chosen: &Chosen) -> Outcome<Option<u32>> {
    let set = args.settings.set.iter().any(|setting| setting.name == "step").then_some(chosen.moment.step);
    let steps = chosen.moment.steps;
    match args.step.or(set) {
        Some(step) if step >= steps => Err(Failure::usage(format!(
            "step {step} is beyond the {steps} steps of the run\nhelp: steps count from 0; use --set steps=N for a longer run"
        ))),
        step => Ok(step),
    }
}

fn picture(strategy: &Strategy, bound: &Bound<'_>, run: &Timeline) -> RgbImage {
    let blocks = bound.problem.blocks;
    let panel =
        Panel { symbols: &run.symbols, geometry: &bound.geometry, blocks: [blocks.q as usize, blocks.kv as usize] };
    let title = format!("{} at step {} of {}", strategy.name, run.shown, run.steps.len());
    let subtitle = [example::describe(bound.problem), report::at_step(bound, run)];
    let steps: Vec<(StepKind, f64)> = run.steps.iter().map(|step| (step.kind, step.pairs)).collect();
    let strip = Strip { steps: &steps, shown: run.shown };
    draw_symbols(&panel, &Words { title: &title, subtitle: &subtitle }, Some(&strip))
}
