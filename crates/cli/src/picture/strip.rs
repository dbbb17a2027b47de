//! The steps of a run as a row of bars.

use sparsym::engine::StepKind;

use super::canvas::{Canvas, Color, INK, Size, Weight};
use super::symbols::{CACHED, FULL, key};

const DENSE: Color = [110, 118, 128];
const EMPTY: Color = [236, 239, 242];
/// Pixels of a bar that computes everything.
const BAR: u32 = 64;

/// The steps of a run.
pub(crate) struct Strip<'a> {
    /// For each step its kind and the share of block pairs that it computes.
    pub(crate) steps: &'a [(StepKind, f64)],
    /// The step that is shown above.
    pub(crate) shown: usize,
}

impl Strip<'_> {
    /// Pixels from the caption to the end.
    pub(crate) fn height(&self) -> u32 {
        3 * (Size::Small.height() + 6) + BAR
    }

    /// Draws caption, bars, and what their colours mean.
    pub(crate) fn draw(&self, canvas: &mut Canvas, x: u32, y: u32, width: u32) {
        let line = Size::Small.height() + 6;
        let count = self.steps.len();
        let caption = format!("{count} steps: the height of a bar is the share of block pairs that the step computes");
        canvas.text(x, y, &caption, Size::Small, Weight::Regular, INK);
        let (top, bars) = (y + line, count.min(width as usize));
        let step = (width as usize / bars.max(1)).clamp(1, 40) as u32;
        let gap = u32::from(step > 3);
        for bar in 0..bars {
            // More steps than pixels: a bar is the first of several and their mean.
            let steps = &self.steps[bar * count / bars..(bar + 1) * count / bars];
            let share = steps.iter().map(|(_, share)| share).sum::<f64>() / steps.len().max(1) as f64;
            let left = x + bar as u32 * step;
            // Never nothing: its colour says what kind of step it is.
            let height = ((f64::from(BAR) * share).ceil() as u32).clamp(3, BAR);
            canvas.fill(left, top, step - gap, BAR - height, EMPTY);
            canvas.fill(left, top + BAR - height, step - gap, height, color(steps[0].0));
        }
        let shown = x + (self.shown * bars / count.max(1)) as u32 * step;
        canvas.frame(shown, top, step - gap, BAR, INK);
        canvas.fill(shown, top + BAR + 1, (step - gap).max(3), 4, INK);
        let label = format!("step {}, shown above", self.shown);
        let long = label.len() as u32 * Size::Small.letter_width(Weight::Regular);
        let left = shown.min((x + width).saturating_sub(long));
        canvas.text(left, top + BAR + 6, &label, Size::Small, Weight::Bold, INK);
        let mut left = x;
        let below = top + BAR + line + 4;
        for kind in [StepKind::Update, StepKind::Dispatch, StepKind::Dense] {
            if self.steps.iter().any(|(of, _)| *of == kind) {
                left = key(canvas, left, below, color(kind), words(kind));
            }
        }
    }
}

fn color(kind: StepKind) -> Color {
    match kind {
        StepKind::Update => FULL,
        StepKind::Dispatch => CACHED,
        StepKind::Dense => DENSE,
    }
}

fn words(kind: StepKind) -> &'static str {
    match kind {
        StepKind::Update => "Update: computes all rows, makes symbols",
        StepKind::Dispatch => "Dispatch: obeys them, takes cached rows",
        StepKind::Dense => "dense: no rules",
    }
}
