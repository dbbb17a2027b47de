//! What `explain` found out, as text and as JSON.

use std::path::PathBuf;

use serde::Serialize;
use sparsym::engine::StepKind;
use sparsym::ir::Bound;
use sparsym::ir::analysis::{Classifier, Unclassified, may_be_unclassified};
use sparsym::language;

use super::kernels::{Scheduled, TARGET};
use super::predict::{self, Prediction, Waste};
use super::timeline::{Step, Timeline, name};
use super::{example, words};
use crate::chosen::Chosen;
use crate::list;
use crate::picture::{heads_alike, heads_name};

#[derive(Serialize)]
pub(super) struct Explanation {
    name: String,
    doc: String,
    uses: Vec<&'static str>,
    warnings: Vec<String>,
    rules: Vec<String>,
    kinds: Vec<String>,
    ir: String,
    problem: String,
    notes: Vec<String>,
    /// The step that the densities, `waste` and the picture speak of.
    step: u32,
    step_kind: &'static str,
    /// The step at which its symbols were made.
    symbols_of_step: u32,
    at_step: String,
    /// Share of query blocks that are computed where the symbols of the step are obeyed.
    density_c: f64,
    /// Share of block pairs that are computed where the symbols of the step are obeyed.
    density_s: f64,
    /// Share of the computed token pairs that the mask then drops.
    waste: f64,
    /// Whether all partial blocks were looked at for it.
    waste_is_exact: bool,
    /// Share of query blocks that are computed over all steps.
    density_c_run: f64,
    /// Share of block pairs that are computed over all steps.
    density_s_run: f64,
    /// Whether the symbols of all steps were looked at for them.
    run_is_exact: bool,
    /// Heads with equal symbols at the step.
    heads_alike: Vec<Vec<usize>>,
    steps: Vec<Step>,
    predicted: Prediction,
    /// Of bf16 kernels for [`TARGET`].
    schedules: Vec<Scheduled>,
    files: Vec<PathBuf>,
}

impl Explanation {
    pub(super) fn new(
        chosen: &Chosen,
        bound: &Bound<'_>,
        run: &Timeline,
        mut notes: Vec<String>,
        files: Vec<PathBuf>,
    ) -> Explanation {
        let strategy = &chosen.strategy;
        let [moments, looked_at] = run.moments;
        if looked_at < moments {
            notes.push(format!(
                "symbols change {moments} times over the run; {looked_at} of them were made, the others lie between those"
            ));
        }
        let Waste { share, one_of } = predict::waste(bound, &run.made, &run.symbols);
        if one_of > 1 {
            notes.push(format!("waste is that of one in {one_of} partial blocks"));
        }
        notes.extend(unclassified(bound, run));
        let predicted = predict::predict(&run.steps);
        Explanation {
            name: strategy.name.clone(),
            doc: strategy.doc.clone(),
            uses: list::uses(strategy),
            warnings: chosen.warnings.clone(),
            rules: words::rules(strategy),
            kinds: words::kinds(bound),
            ir: language::print(strategy),
            problem: example::describe(bound.problem),
            notes,
            step: run.shown as u32,
            step_kind: name(run.steps[run.shown].kind),
            symbols_of_step: run.made.step,
            at_step: at_step(bound, run),
            density_c: run.symbols.cache.density(),
            density_s: run.symbols.density(),
            waste: share,
            waste_is_exact: one_of == 1,
            density_c_run: predicted.rows,
            density_s_run: predicted.work,
            run_is_exact: looked_at == moments,
            heads_alike: heads_alike(&run.symbols),
            steps: run.steps.clone(),
            predicted,
            schedules: Scheduled::all(bound),
            files,
        }
    }
}

/// For each part of the mask that could not be decided for some block pairs: which, why, and what form could be.
fn unclassified(bound: &Bound<'_>, run: &Timeline) -> Vec<String> {
    /// Query blocks that are looked at, spread over the sequence.
    const ROWS: usize = 64;
    if !may_be_unclassified(bound, &run.made) {
        return Vec::new();
    }
    let words = |found: Unclassified| {
        format!(
            "the mask could not be classified for {:.1} % of block pairs, which are tested token by token: {}, in {}; to have \
             it classified, {}",
            100.0 * found.share,
            found.doubt.reason(),
            language::print_mask_part(bound.strategy, &found.expr),
            found.doubt.help()
        )
    };
    Classifier::new(bound, &run.made).unclassified(ROWS).into_iter().map(words).collect()
}

/// What the step shown is, and whose symbols it obeys.
pub(super) fn at_step(bound: &Bound<'_>, run: &Timeline) -> String {
    let step = &run.steps[run.shown];
    let made = run.made.step;
    let same = run.moments[0] <= 1;
    match step.kind {
        StepKind::Dense => format!("step {} is dense: block rules are not asked", step.step),
        StepKind::Dispatch if step.degraded => {
            format!("step {} is a Dispatch of a layer that has degraded: it reuses its whole output", step.step)
        }
        StepKind::Dispatch if same => format!("step {} is a Dispatch; all of them obey the same symbols", step.step),
        StepKind::Dispatch if made == step.step => format!("step {} is a Dispatch", step.step),
        StepKind::Dispatch => format!("step {} is a Dispatch and obeys the symbols of step {made}", step.step),
        StepKind::Update if bound.strategy.caches() => {
            format!(
                "step {} is an Update: it computes all rows; the Dispatch steps after it obey these symbols",
                step.step
            )
        }
        StepKind::Update if same => format!("step {}; symbols are the same at every step", step.step),
        StepKind::Update => format!("step {}; symbols change from step to step", step.step),
    }
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}\n", self.name, self.doc)?;
        section(f, "Rules", self.rules.iter())?;
        section(f, "\nStatic and dynamic", self.kinds.iter())?;
        section(f, "\nAs the compiler reads it", self.ir.lines())?;
        writeln!(f, "\nAt {}", self.problem)?;
        for note in &self.notes {
            writeln!(f, "  ({note})")?;
        }
        let row = |f: &mut std::fmt::Formatter<'_>, name: &str, share: f64, words: &str| {
            writeln!(f, "  {name:<22}{:>5.1} % {words}", 100.0 * share)
        };
        writeln!(f, "\n{}", capital(&self.at_step))?;
        row(f, "density of S_c", self.density_c, "of query blocks are computed")?;
        row(f, "density of S_s", self.density_s, "of block pairs are computed")?;
        let about = if self.waste_is_exact { "" } else { "about, " };
        row(f, "waste in tiles", self.waste, &format!("{about}of computed token pairs are masked"))?;
        let alike: Vec<String> = self.heads_alike.iter().take(4).map(|heads| heads_name(heads)).collect();
        let more = if self.heads_alike.len() > 4 { ", and others" } else { "" };
        writeln!(f, "  heads                 {}{more}", alike.join("; "))?;
        let Prediction { steps, updates, dense, rooms, .. } = &self.predicted;
        let dispatch = steps - updates - dense;
        writeln!(f, "\nOver the run: {steps} steps, {updates} Updates, {dispatch} Dispatch, {dense} dense")?;
        let about = if self.run_is_exact { "" } else { "about, " };
        row(f, "rows computed", self.density_c_run, &format!("{about}of query blocks of all steps"))?;
        row(f, "pairs computed", self.density_s_run, &format!("{about}of block pairs of all steps"))?;
        let [kinds, bars] = strip(&self.steps);
        writeln!(f, "  steps                 {kinds}  U Update, d Dispatch, D dense")?;
        writeln!(f, "  pairs of each         {bars}")?;
        write!(
            f,
            "  predicted speed-up    attention {:.2}×, gemm_q {:.2}×, gemm_o {:.2}× over all steps, by counted work",
            rooms.attention, rooms.gemm_q, rooms.gemm_o
        )?;
        for file in &self.files {
            write!(f, "\n  picture               {}", file.display())?;
        }
        write!(f, "\n\nKernels for {TARGET}, bf16")?;
        for scheduled in &self.schedules {
            write!(f, "\n  {scheduled}")?;
        }
        Ok(())
    }
}

fn section(
    f: &mut std::fmt::Formatter<'_>,
    title: &str,
    lines: impl Iterator<Item = impl std::fmt::Display>,
) -> std::fmt::Result {
    writeln!(f, "{title}")?;
    lines.into_iter().try_for_each(|line| writeln!(f, "  {line}"))
}

/// A letter and a bar for each step, or for each of 100 parts of a long run.
fn strip(steps: &[Step]) -> [String; 2] {
    const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
    const MOST: usize = 100;
    let count = steps.len().min(MOST);
    let parts = (0..count).map(|n| &steps[n * steps.len() / count..(n + 1) * steps.len() / count]);
    parts.fold([String::new(), String::new()], |[mut kinds, mut bars], part| {
        kinds.push(match part[0].kind {
            StepKind::Update => 'U',
            StepKind::Dispatch => 'd',
            StepKind::Dense => 'D',
        });
        let share = part.iter().map(|step| step.pairs).sum::<f64>() / part.len() as f64;
        bars.push(BARS[((share * 8.0).ceil() as usize).clamp(1, 8) - 1]);
        [kinds, bars]
    })
}

fn capital(words: &str) -> String {
    let mut letters = words.chars();
    letters.next().map_or(String::new(), |first| first.to_uppercase().chain(letters).collect())
}
