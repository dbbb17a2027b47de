//! The problem that a strategy is explained at: what the arguments say, and sensible values for what they leave out.

use sparsym::ir::bind::InputData;
use sparsym::ir::problem::{Layout, LayoutRange};
use sparsym::ir::strategy::Grid;
use sparsym::ir::{Problem, Strategy};

use super::{ExplainArgs, TextAt};
use crate::chosen::Chosen;
use crate::failure::{Failure, Outcome};

/// Tokens without other words.
const TOKENS: usize = 4096;
/// Text tokens without other words.
const TEXT: usize = 256;
/// Tiles along (t, h, w) of a grid without other words.
const TILES: [usize; 3] = [3, 4, 4];
/// Block pairs of all heads that are looked at: S_s and S_f of so many take 256 MiB, and a minute.
const MOST_PAIRS: usize = 1 << 30;
/// Block pairs of one head, for rules over Q and K: its maps take gigabytes beyond it.
const MOST_MAPPED: usize = 1 << 25;

/// The problem, and notes on what was chosen for the reader.
pub(super) fn problem(args: &ExplainArgs, strategy: &Strategy) -> Outcome<(Problem, Vec<String>)> {
    let mut notes = Vec::new();
    let layout = layout(args, strategy, &mut notes)?;
    let tokens = if layout.ranges.is_empty() { args.tokens.unwrap_or(TOKENS) } else { layout.len() };
    let mut problem = Problem::self_attention(1, tokens, args.heads, 128);
    problem.layout = layout;
    problem.blocks = strategy.blocks;
    problem.blocks.q = args.block_q.unwrap_or(problem.blocks.q);
    problem.blocks.kv = args.block_kv.unwrap_or(problem.blocks.kv);
    problem.check().map_err(|findings| Failure::usage(findings.to_string()))?;
    fits(&problem, strategy)?;
    Ok((problem, notes))
}

/// Whether symbols of this size can be looked at.
fn fits(problem: &Problem, strategy: &Strategy) -> Outcome {
    let (t_q, t_kv, heads) = (problem.q_blocks(), problem.kv_blocks(), problem.heads);
    let of_head = t_q.saturating_mul(t_kv);
    let (pairs, most, whose) = match strategy.reads_data() {
        true if of_head > MOST_MAPPED => (of_head, MOST_MAPPED, "of one head, whose rules read Q and K"),
        _ => (of_head.saturating_mul(heads), MOST_PAIRS, "of all heads"),
    };
    if pairs <= most {
        return Ok(());
    }
    let millions = |pairs: usize| pairs.div_ceil(1_000_000);
    let tokens = (most as f64 / if most == MOST_PAIRS { heads as f64 } else { 1.0 }).sqrt() as usize;
    let tokens = tokens.saturating_mul(problem.blocks.q.min(problem.blocks.kv) as usize);
    Err(Failure::usage(format!(
        "{} tokens in blocks of {}×{} and {heads} head(s) make {} million block pairs {whose}, and explain looks at {} million \
         at most\nhelp: give fewer tokens (about {tokens} fit), fewer heads with --heads, or larger blocks with --block-q and \
         --block-kv",
        problem.n_q,
        problem.blocks.q,
        problem.blocks.kv,
        millions(pairs),
        millions(most),
    )))
}

/// Gives inputs without values an example: four equal parts, numbered from 0.
pub(super) fn fill(chosen: &mut Chosen, problem: &Problem) -> Vec<String> {
    const PARTS: usize = 4;
    let mut notes = Vec::new();
    for (input, data) in chosen.strategy.inputs.iter().zip(&mut chosen.inputs).filter(|(_, data)| data.is_none()) {
        let values = (0..problem.n_q).map(|token| (token * PARTS / problem.n_q) as f32).collect();
        *data = Some(InputData { values });
        notes.push(format!("input {}: no values given, so {PARTS} equal parts numbered from 0", input.name));
    }
    notes
}

/// The problem in a few words.
pub(super) fn describe(problem: &Problem) -> String {
    let ranges: Vec<String> = problem
        .layout
        .ranges
        .iter()
        .map(|range| match range.grid {
            Some([t, h, w]) => format!("{} {t}×{h}×{w}", range.name),
            None => format!("{} {}", range.name, range.len),
        })
        .collect();
    let ranges = if ranges.is_empty() { String::new() } else { format!(" ({})", ranges.join(", ")) };
    format!(
        "{} tokens{ranges}, {} head(s), blocks of {}×{}",
        problem.n_q, problem.heads, problem.blocks.q, problem.blocks.kv
    )
}

fn layout(args: &ExplainArgs, strategy: &Strategy, notes: &mut Vec<String>) -> Outcome<Layout> {
    let declared_grid = strategy.tokens.iter().find_map(|range| range.grid);
    if args.tokens.is_some() && args.text.is_none()
        || strategy.tokens.is_empty() && args.grid.is_none() && args.text.is_none()
    {
        return Ok(Layout::default());
    }
    let declares_text = strategy.tokens.iter().any(|range| range.name == "text");
    let asked = args.text.is_some() || args.grid.is_some();
    let n_text = args.text.unwrap_or(if declares_text && !asked { TEXT } else { 0 });
    let vision = match (args.grid, args.tokens, declared_grid) {
        (Some(grid), _, _) => LayoutRange::grid("vision", grid),
        (None, Some(tokens), _) => LayoutRange::plain(
            "vision",
            tokens.checked_sub(n_text).ok_or_else(|| {
                Failure::usage(format!("--text {n_text} is more than --tokens {tokens}, which counts all of them"))
            })?,
        ),
        (None, None, Some(Grid::Tiled(tile))) => {
            LayoutRange::grid("vision", std::array::from_fn(|axis| TILES[axis] * tile[axis] as usize))
        }
        (None, None, Some(Grid::Raster)) => LayoutRange::grid("vision", [4, 32, 32]),
        (None, None, None) => LayoutRange::plain("vision", TOKENS),
    };
    if !asked {
        notes.push("no problem given, so an example; choose one with --tokens, or --text and --grid".to_owned());
    }
    let text = LayoutRange::plain("text", n_text);
    // A strategy for video models that append the text declares vision first.
    let text_first = strategy.tokens.first().is_none_or(|range| range.name == "text");
    let front = args.text_at.map_or(text_first, |at| at == TextAt::Front);
    Ok(Layout { ranges: if front { vec![text, vision] } else { vec![vision, text] } })
}
