//! The problem that a strategy is explained at: what the arguments say, and sensible values for what they leave out.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use sparsym::ir::bind::InputData;
use sparsym::ir::problem::{Layout, LayoutRange};
use sparsym::ir::strategy::Grid;
use sparsym::ir::{DType, Problem, Strategy, Tensor};

use super::{ExplainArgs, TextAt};
use crate::chosen::Chosen;
use crate::failure::{Failure, Outcome};

/// Tokens without other words.
const TOKENS: usize = 4096;
/// Text tokens without other words.
const TEXT: usize = 256;
/// Tiles along (t, h, w) of a grid without other words.
const TILES: [usize; 3] = [3, 4, 4];
/// Beyond this many symbol bits a picture or a density takes minutes and gigabytes.
const MOST_PAIRS: usize = 1 << 30;

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
    let pairs = problem.q_blocks().saturating_mul(problem.kv_blocks()).saturating_mul(problem.heads);
    if pairs > MOST_PAIRS {
        return Err(Failure::usage(format!(
            "{tokens} tokens and {} heads make {pairs} block pairs, too many to look at\nhelp: stay below {MOST_PAIRS}",
            problem.heads
        )));
    }
    Ok((problem, notes))
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

/// Q and K for rules that read them: each token looks for, and offers, smooth functions of its place, of a wavelength of its
/// head's, and some noise. Text tokens look everywhere.
pub(super) fn data(problem: &Problem) -> (Tensor, Tensor) {
    let mut rng = ChaCha8Rng::seed_from_u64(7);
    let vision = problem.layout.ranges.iter().find_map(|range| range.grid);
    let text = problem.layout.find("text").map_or(0..0, |(start, range)| start..start + range.len);
    let vision_start = problem.layout.find("vision").map_or(0, |(start, _)| start);
    let place = |token: usize| -> [f32; 3] {
        let [t, h, w] = vision.unwrap_or([1, 1, problem.n_q.max(1)]);
        let at = token.saturating_sub(vision_start);
        let along = |n: usize, of: usize| n as f32 / of.max(1) as f32;
        [along(at / (h * w), t), along(at / w % h, h), along(at % w, w)]
    };
    let mut tensor = |heads: usize| {
        let mut values = Vec::with_capacity(problem.batch * problem.n_q * heads * problem.head_dim);
        for row in 0..problem.batch * problem.n_q {
            let token = row % problem.n_q;
            let place = place(token);
            let loud = if text.contains(&token) { 0.2 } else { 1.0 };
            for head in 0..heads {
                for d in 0..problem.head_dim {
                    let waves = (1 + d / 6 % 4 + head) as f32;
                    let phase = std::f32::consts::TAU * waves * place[d % 3];
                    let wave = if d / 3 % 2 == 0 { phase.sin() } else { phase.cos() };
                    values.push(loud * 1.5 * wave + rng.random_range(-0.5..0.5));
                }
            }
        }
        Tensor::from_f32(&[problem.batch, problem.n_q, heads, problem.head_dim], DType::F32, &values)
    };
    (tensor(problem.heads), tensor(problem.kv_heads))
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
