//! Q = rope(norm(X·Wᵀ + bias)) band by band of rows, for the heads that each block asks for.

use rayon::prelude::*;
use sparsym_ir::projection::Stream;
use sparsym_ir::{GemmQCall, Tensor};

use crate::bands::{Band, shares};
use crate::buffer::Buffer;
use crate::element::{Element, Widened};
use crate::finish::Finish;
use crate::gemm::{Matrix, Target, multiply};
use crate::weights::{WEIGHT_BYTES, transpose};

/// Inputs of a head's weights that one job turns.
const TURNED: usize = 128;

/// Some heads of a band, at least one of which is computed somewhere in it.
struct Job<'q, 'h, T> {
    band: &'q Band,
    /// Position and number of each head, ascending: the position is that of its weights.
    heads: &'h [(usize, usize)],
    /// For each row the elements of Q from the first of these heads to the last.
    rows: Vec<&'q mut [T]>,
}

/// Writes the computed rows of Q, and the means of the computed blocks, of a checked call.
pub(crate) fn run<T: Element>(call: &GemmQCall, q: &mut Tensor, means: Option<&mut Tensor>) {
    let (stream, finish) = (&call.stream, Finish::new::<T>(call));
    let bands = Band::all(stream);
    if bands.is_empty() {
        return;
    }
    let anywhere = |h: &usize| (0..stream.batch).any(|b| stream.own_blocks().any(|block| computed(call, b, *h, block)));
    let heads: Vec<usize> = (0..stream.heads).filter(anywhere).collect();
    let panel = stream.width * stream.head_dim;
    for heads in heads.chunks((WEIGHT_BYTES / size_of::<f32>() / panel).max(1)) {
        let panels = turned_weights::<T>(call, heads);
        let heads: Vec<(usize, usize)> = heads.iter().copied().enumerate().collect();
        let jobs = cut(call, &bands, &heads, T::elements_mut(q));
        // Jobs differ in their number of computed tiles: each one is a piece that an idle thread may take.
        jobs.into_par_iter().with_max_len(1).for_each(|job| job.run(call, &panels, &finish));
    }
    if let Some(means) = means {
        block_means(call, T::elements(q), f32::elements_mut(means));
    }
}

fn computed(call: &GemmQCall, b: usize, h: usize, block: usize) -> bool {
    call.s_c.is_none_or(|s_c| s_c.get(b, h, block))
}

/// Wᵀ of each of these heads as f32, `[C, D]`.
fn turned_weights<T: Element>(call: &GemmQCall, heads: &[usize]) -> Buffer {
    let Stream { width, head_dim, .. } = call.stream;
    let w = T::elements(call.w);
    let mut panels = Buffer::new(heads.len() * width * head_dim);
    let of_heads = panels.par_chunks_mut(width * head_dim).zip(heads);
    let parts = of_heads.flat_map(|(panel, &h)| {
        panel.par_chunks_mut(TURNED * head_dim).enumerate().map(move |(index, part)| (h, index * TURNED, part))
    });
    parts.for_each(|(h, column, part)| transpose(&w[h * head_dim * width + column..], width, head_dim, part));
    panels
}

/// The jobs of some heads: a band each, or less of one where bands are few.
fn cut<'q, 'h, T: Element>(
    call: &GemmQCall,
    bands: &'q [Band],
    heads: &'h [(usize, usize)],
    q: &'q mut [T],
) -> Vec<Job<'q, 'h, T>> {
    let Stream { tokens, head_dim, block, .. } = call.stream;
    let share = heads.len().div_ceil(shares(bands.len(), heads.len()));
    let mut rest = q.chunks_exact_mut(call.stream.heads * head_dim);
    let (mut jobs, mut at) = (Vec::new(), 0);
    for band in bands {
        let start = band.b * tokens + band.tokens.start;
        let mut of_band: Vec<Job<T>> =
            heads.chunks(share).map(|heads| Job { band, heads, rows: Vec::with_capacity(band.tokens.len()) }).collect();
        // Rows of other streams lie between those of two batch items.
        rest.by_ref().take(start - at).for_each(drop);
        for mut row in rest.by_ref().take(band.tokens.len()) {
            let mut gone = 0;
            for job in &mut of_band {
                let (from, to) = (job.heads[0].1 * head_dim, (job.heads[job.heads.len() - 1].1 + 1) * head_dim);
                let (piece, after) = row[from - gone..].split_at_mut(to - from);
                job.rows.push(piece);
                (row, gone) = (after, to);
            }
        }
        at = start + band.tokens.len();
        let any = |job: &Job<T>| {
            let blocks = band.tokens.start / block..(band.tokens.end - 1) / block + 1;
            job.heads.iter().any(|&(_, h)| blocks.clone().any(|block| computed(call, band.b, h, block)))
        };
        jobs.extend(of_band.into_iter().filter(any));
    }
    jobs
}

impl<T: Element> Job<'_, '_, T> {
    fn run(mut self, call: &GemmQCall, panels: &[f32], finish: &Finish) {
        let Stream { width, head_dim, block, rows, first, .. } = call.stream;
        let Band { b, tokens } = self.band;
        let needed = |block| self.heads.iter().any(|&(_, h)| computed(call, *b, h, block));
        let needed = self.band.runs(block, needed).into_iter().filter(|(needed, _)| *needed);
        let at = (b * rows + tokens.start - first) * width;
        let x = &T::elements(call.x)[at..at + tokens.len() * width];
        let x = Widened::new(x, needed.map(|(_, rows)| rows.start * width..rows.end * width));
        let mut product = Buffer::new(tokens.len() * head_dim);
        for &(position, h) in self.heads {
            let weights = Matrix { data: &panels[position * width * head_dim..], stride: head_dim };
            let column = (h - self.heads[0].1) * head_dim;
            for (computed, run) in self.band.runs(block, |block| computed(call, *b, h, block)) {
                if !computed {
                    continue;
                }
                let x = Matrix { data: &x[run.start * width..], stride: width };
                let extents = [run.len(), head_dim, width];
                multiply(extents, x, weights, &mut product, head_dim, Target::Overwrite);
                for (row, values) in run.zip(product.chunks_exact_mut(head_dim)) {
                    finish.row(h, tokens.start + row, values);
                    T::narrow(values, 1.0, &mut self.rows[row][column..column + head_dim]);
                }
            }
        }
    }
}

/// The mean of each computed block of the stream and head over its rows as Q holds them; `means` is `[B, H, T, D]`.
fn block_means<T: Element>(call: &GemmQCall, q: &[T], means: &mut [f32]) {
    let stream = &call.stream;
    let (heads, dim, blocks) = (stream.heads, stream.head_dim, stream.blocks());
    means.par_chunks_exact_mut(dim).enumerate().for_each(|(index, mean)| {
        let (b, h, block) = (index / blocks / heads, index / blocks % heads, index % blocks);
        let tokens = stream.tokens_of(block);
        if tokens.is_empty() || !computed(call, b, h, block) {
            return;
        }
        let (count, mut row) = (tokens.len() as f32, vec![0.0; dim]);
        mean.fill(0.0);
        for token in tokens {
            T::widen(&q[((b * stream.tokens + token) * heads + h) * dim..][..dim], &mut row);
            mean.iter_mut().zip(&row).for_each(|(mean, x)| *mean += x);
        }
        mean.iter_mut().for_each(|mean| *mean /= count);
    });
}
