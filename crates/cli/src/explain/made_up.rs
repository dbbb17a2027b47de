//! Q and K that nobody gave, for rules that read them: alike where tokens are near on the grid, and not the same in all heads.
//!
//! Neighbours in space and time are what attention of images and videos is made of, so products of these tokens fall with
//! the distance on the grid: a few waves of random direction, whose scalar product is a smooth bump around the token
//! itself. How wide the bump is along time, height and width is what distinguishes the heads. On top of that some places are
//! seen by everybody, some look at the text more than others, and text is seen a little by all. Everything follows from the
//! place and a fixed seed.

use std::collections::HashMap;
use std::f32::consts::TAU;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use rand::SeedableRng;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use sparsym::ir::Problem;
use sparsym::ir::analysis::Features;
use sparsym::ir::expr::Side;

/// Waves of a head; each takes two channels, its sine and its cosine.
const WAVES: usize = 10;
/// Channels after the waves: seen by all, looks at text, is looked at by text.
const EXTRA: usize = 3;
const CHANNELS: usize = 2 * WAVES + EXTRA;
/// Logit of a token with itself, above that with a token far away.
const PEAK: f32 = 5.0;

/// Ways in which heads look: how far along (t, h, w), as a share of the grid.
const KINDS: [[f32; 3]; 4] = [[0.30, 0.35, 0.6], [2.0, 0.15, 0.4], [0.12, 0.9, 1.2], [0.6, 0.6, 0.9]];

/// How many kinds of heads there are.
pub(super) const HEAD_KINDS: usize = KINDS.len();

/// Blocks of made-up Q and K. They are the same at all steps, so what was computed is kept.
pub(super) struct MadeUp {
    /// Tokens of a query and of a kv block.
    blocks: [usize; 2],
    heads: Vec<Head>,
    dots: Mutex<HashMap<[bool; 2], Vec<f32>>>,
    /// Means of groups, of the stride and head that were asked for last.
    groups: Mutex<Option<Groups>>,
}

struct Groups {
    of: (usize, usize),
    q: Vec<f32>,
    k: Vec<f32>,
}

/// Tokens of a head, `[N, CHANNELS]`.
struct Head {
    q: Vec<f32>,
    k: Vec<f32>,
}

impl MadeUp {
    /// Tokens of heads of these kinds, one for each head of the problem, which has one batch item.
    pub(super) fn new(problem: &Problem, kinds: &[usize]) -> MadeUp {
        let places = places(problem);
        MadeUp {
            blocks: [problem.blocks.q as usize, problem.blocks.kv as usize],
            heads: kinds.iter().map(|&kind| Head::new(problem, &places, kind)).collect(),
            dots: Mutex::default(),
            groups: Mutex::default(),
        }
    }

    /// Number of heads.
    pub(super) fn heads(&self) -> usize {
        self.heads.len()
    }

    fn side(&self, h: usize, side: Side) -> (&[f32], usize) {
        match side {
            Side::Q => (&self.heads[h].q, self.blocks[0]),
            Side::Kv => (&self.heads[h].k, self.blocks[1]),
        }
    }
}

/// Where a token stands on the grid, each axis from 0 to 1; None for text.
type Spot = Option<[f32; 3]>;

fn places(problem: &Problem) -> Vec<Spot> {
    let grid = problem.layout.ranges.iter().find_map(|range| range.grid);
    let vision = match (problem.layout.find("vision"), problem.layout.find("text")) {
        (Some((start, range)), _) => start..start + range.len,
        (None, Some((0, range))) => range.len..problem.n_q,
        (None, Some((start, _))) => 0..start,
        (None, None) => 0..problem.n_q,
    };
    let [t, h, w] = grid.unwrap_or([1, 1, vision.len()]).map(|extent| extent.max(1));
    let along = |n: usize, of: usize| n as f32 / of as f32;
    let spot = |token: usize| {
        let at = vision.contains(&token).then(|| token - vision.start)?;
        // Without a grid the one axis there is counts as all three, so that every kind of head looks near.
        match grid {
            Some(_) => Some([along(at / (h * w) % t, t), along(at / w % h, h), along(at % w, w)]),
            None => Some([along(at, w); 3]),
        }
    };
    (0..problem.n_q.max(problem.n_kv)).map(spot).collect()
}

impl Head {
    fn new(problem: &Problem, places: &[Spot], kind: usize) -> Head {
        let mut rng = ChaCha8Rng::seed_from_u64(7 + kind as u64);
        let mut normal = || -> f32 { StandardNormal.sample(&mut rng) };
        let waves: Vec<[f32; 3]> = (0..WAVES).map(|_| KINDS[kind].map(|reach| normal() / reach)).collect();
        let phase: [[f32; 3]; 3] = std::array::from_fn(|_| std::array::from_fn(|_| normal()));
        // A smooth field over the grid, between 0 and 1.
        let field = |of: usize, spot: [f32; 3]| {
            let waves = (0..3).map(|axis| (TAU * (0.8 * spot[axis] + phase[of][axis])).sin());
            0.5 + waves.sum::<f32>() / 6.0
        };
        // Rules divide products by sqrt(D); these numbers are logits.
        let sharp = (PEAK * (problem.head_dim as f32).sqrt() / WAVES as f32).sqrt();
        let extra = (problem.head_dim as f32).sqrt();
        let (mut q, mut k) = (vec![0.0; problem.n_q * CHANNELS], vec![0.0; problem.n_kv * CHANNELS]);
        for (n, spot) in places.iter().enumerate() {
            let (mut of_q, mut of_k) = ([0.0; CHANNELS], [0.0; CHANNELS]);
            match *spot {
                Some(spot) => {
                    for (m, wave) in waves.iter().enumerate() {
                        let angle = wave.iter().zip(spot).map(|(wave, x)| wave * x).sum::<f32>();
                        [of_q[2 * m], of_q[2 * m + 1]] = [sharp * angle.cos(), sharp * angle.sin()];
                    }
                    of_k[..2 * WAVES].copy_from_slice(&of_q[..2 * WAVES]);
                    [of_q[2 * WAVES], of_k[2 * WAVES]] = [1.0, 2.5 * extra * field(0, spot)];
                    of_q[2 * WAVES + 1] = 4.0 * field(1, spot);
                    of_k[2 * WAVES + 2] = 4.0 * field(2, spot);
                }
                None => {
                    [of_q[2 * WAVES], of_k[2 * WAVES]] = [1.0, 3.0 * extra];
                    of_k[2 * WAVES + 1] = extra;
                    of_q[2 * WAVES + 2] = extra;
                }
            }
            if let Some(row) = q.get_mut(n * CHANNELS..(n + 1) * CHANNELS) {
                row.copy_from_slice(&of_q);
            }
            if let Some(row) = k.get_mut(n * CHANNELS..(n + 1) * CHANNELS) {
                row.copy_from_slice(&of_k);
            }
        }
        Head { q, k }
    }
}

/// Mean of each `size` tokens.
fn means(tokens: &[f32], size: usize) -> Vec<f32> {
    let mut means = Vec::with_capacity(tokens.len().div_ceil(size.max(1)));
    for block in tokens.chunks(size * CHANNELS) {
        let count = (block.len() / CHANNELS) as f32;
        let mut sum = [0.0; CHANNELS];
        for token in block.chunks_exact(CHANNELS) {
            sum.iter_mut().zip(token).for_each(|(sum, x)| *sum += x);
        }
        means.extend(sum.map(|sum| sum / count));
    }
    means
}

/// The same less the mean of all.
fn centred(tokens: &[f32]) -> Vec<f32> {
    let centre = means(tokens, tokens.len() / CHANNELS);
    tokens.iter().zip(centre.iter().cycle()).map(|(x, centre)| x - centre).collect()
}

/// All products of rows, `[rows of a, rows of b]`.
fn products(a: &[f32], b: &[f32]) -> Vec<f32> {
    let rows = b.len() / CHANNELS;
    // Channel by channel, so that the inner loop runs along a row of the result.
    let across: Vec<f32> = (0..CHANNELS).flat_map(|c| b.iter().skip(c).step_by(CHANNELS).copied()).collect();
    let mut out = vec![0.0; a.len() / CHANNELS * rows];
    for (row, a) in out.chunks_exact_mut(rows.max(1)).zip(a.chunks_exact(CHANNELS)) {
        for (x, b) in a.iter().zip(across.chunks_exact(rows)) {
            row.iter_mut().zip(b).for_each(|(sum, y)| *sum += x * y);
        }
    }
    out
}

impl Features for MadeUp {
    fn dot(&self, q_centered: bool, kv_centered: bool) -> Vec<f32> {
        let blocks = |h: usize, side: Side, centered: bool| {
            let (tokens, size) = self.side(h, side);
            if centered { means(&centred(tokens), size) } else { means(tokens, size) }
        };
        let of_head = |h| products(&blocks(h, Side::Q, q_centered), &blocks(h, Side::Kv, kv_centered));
        let mut dots = self.dots.lock().unwrap_or_else(PoisonError::into_inner);
        let known = dots.entry([q_centered, kv_centered]);
        known.or_insert_with(|| (0..self.heads.len()).flat_map(of_head).collect()).clone()
    }

    fn self_similarity(&self, of: Side, centered: bool) -> Vec<f32> {
        let of_head = |h| {
            let (tokens, size) = self.side(h, of);
            let mut tokens = if centered { centred(tokens) } else { tokens.to_vec() };
            for token in tokens.chunks_exact_mut(CHANNELS) {
                let length = token.iter().map(|x| x * x).sum::<f32>().sqrt();
                token.iter_mut().for_each(|x| *x /= length);
            }
            let squares = |mean: &[f32]| mean.iter().map(|x| x * x).sum::<f32>();
            means(&tokens, size).chunks_exact(CHANNELS).map(squares).collect::<Vec<f32>>()
        };
        (0..self.heads.len()).flat_map(of_head).collect()
    }

    /// Tokens change so little within a group that its mean stands for each of them.
    fn antidiagonals(&self, stride: usize, _: usize, h: usize, q_groups: Range<usize>) -> Vec<f32> {
        let mut groups = self.groups.lock().unwrap_or_else(PoisonError::into_inner);
        if groups.as_ref().is_none_or(|groups| groups.of != (stride, h)) {
            let rows = |side: Side| means(self.side(h, side).0, stride);
            *groups = Some(Groups { of: (stride, h), q: rows(Side::Q), k: rows(Side::Kv) });
        }
        let Some(Groups { q, k, .. }) = groups.as_ref() else { return Vec::new() };
        let mut out = products(&q[q_groups.start * CHANNELS..q_groups.end * CHANNELS], k);
        out.iter_mut().for_each(|x| *x *= stride as f32);
        out
    }
}
