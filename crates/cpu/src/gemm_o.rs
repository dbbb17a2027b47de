//! Y = Σ over heads of O_h·W_hᵀ + Σ coefficient·partial + bias, for the heads that each block asks for.

use std::ops::Range;

use rayon::prelude::*;
use sparsym_ir::projection::{Stream, Summed};
use sparsym_ir::symbols::CacheSymbol;
use sparsym_ir::{GemmOCall, Tensor};

use crate::bands::{Band, shares};
use crate::buffer::Buffer;
use crate::element::{Element, Widened, widened};
use crate::gemm::{Matrix, Target, multiply};
use crate::weights::{WEIGHT_BYTES, transpose};

/// Columns of Y that are summed at a time.
const COLUMNS: usize = 128;

/// Heads of a block as runs of neighbours.
type HeadRuns = Vec<Range<usize>>;

/// A sum over heads and what is added to it.
pub(crate) struct Projection<'a, T> {
    pub(crate) stream: Stream,
    pub(crate) source: Source<'a, T>,
    pub(crate) w: &'a [T],
    pub(crate) bias: Option<Vec<f32>>,
    /// Partials with their coefficients.
    pub(crate) known: Vec<(&'a [T], f32)>,
    pub(crate) s_c: Option<&'a CacheSymbol>,
    pub(crate) summed: Summed,
}

/// What is projected, `[B, N, H, D]`.
pub(crate) enum Source<'a, T> {
    /// O.
    Output(&'a [T]),
    /// Σ weight · output, rounded to the outputs' type.
    Difference(Vec<(&'a [T], f32)>),
}

/// The results of one [`Projection`], `[B, rows, C]` each.
pub(crate) struct Results<'y, T> {
    pub(crate) y: &'y mut [T],
    /// The sum over the cached heads alone; there is one exactly for [`Summed::Both`].
    pub(crate) partial: Option<&'y mut [T]>,
}

/// Some columns of a band.
struct Job<'y, T> {
    band: &'y Band,
    /// Of Y.
    columns: Range<usize>,
    /// For each row these columns of Y.
    y: Vec<&'y mut [T]>,
    /// The same of the partial; empty if there is none.
    partial: Vec<&'y mut [T]>,
}

/// Which of the two results.
#[derive(Clone, Copy)]
enum Place {
    Y,
    Partial,
}

/// Turned weights of some columns and the heads that anybody asks for: for each [`COLUMNS`] of them `[heads, D, columns]`.
struct Panels {
    columns: Range<usize>,
    /// Position of each head that has weights here.
    places: Vec<Option<usize>>,
    heads: usize,
    turned: Buffer,
}

/// Writes Y and the partial of a checked call.
pub(crate) fn run<T: Element>(call: &GemmOCall, y: &mut Tensor, partial: Option<&mut Tensor>) {
    let partials = call.partials.iter().map(|partial| T::elements(partial));
    let projection = Projection {
        stream: call.stream,
        source: Source::Output(T::elements(call.o)),
        w: T::elements(call.w),
        bias: call.bias.map(|bias| widened(T::elements(bias))),
        known: partials.zip(call.coefficients.iter().copied()).collect(),
        s_c: call.s_c,
        summed: call.summed,
    };
    project(&mut [(projection, Results { y: T::elements_mut(y), partial: partial.map(T::elements_mut) })]);
}

/// Works off projections that share stream, weights, symbol and heads.
pub(crate) fn project<T: Element>(projections: &mut [(Projection<T>, Results<T>)]) {
    let Some((first, _)) = projections.first() else { return };
    let (width, places) = (first.stream.width, first.places());
    let bands = Band::all(&first.stream);
    let heads = places.iter().flatten().count();
    let bytes = size_of::<f32>() * heads * first.stream.head_dim * COLUMNS;
    let at_once = (WEIGHT_BYTES / bytes.max(1)).max(1).saturating_mul(COLUMNS);
    for start in (0..width).step_by(at_once.min(width)) {
        let columns = start..start.saturating_add(at_once).min(width);
        let panels = Panels::new(&projections[0].0, columns, places.clone());
        for (projection, results) in projections.iter_mut() {
            let jobs = cut(width, &bands, &panels.columns, projection, results);
            // Jobs differ in their number of heads: each one is a piece that an idle thread may take.
            jobs.into_par_iter().with_max_len(1).for_each(|job| job.run(projection, &panels));
        }
    }
}

impl<T: Element> Projection<'_, T> {
    /// Whether the head is summed, be it into Y or into the partial.
    fn reads(&self, b: usize, h: usize, block: usize) -> bool {
        let active = self.s_c.is_none_or(|s_c| s_c.get(b, h, block));
        match self.summed {
            Summed::Active => active,
            Summed::Cached => !active,
            Summed::Both => true,
        }
    }

    /// The heads of a block that are summed into Y alone, and those that are summed into the partial first.
    fn heads(&self, b: usize, block: usize) -> [HeadRuns; 2] {
        let mut runs: [HeadRuns; 2] = Default::default();
        for h in (0..self.stream.heads).filter(|&h| self.reads(b, h, block)) {
            let cached = self.s_c.is_some_and(|s_c| !s_c.get(b, h, block));
            let runs = &mut runs[usize::from(cached && self.summed == Summed::Both)];
            match runs.last_mut() {
                Some(run) if run.end == h => run.end = h + 1,
                _ => runs.push(h..h + 1),
            }
        }
        runs
    }

    /// The position of each head among those that anybody reads.
    fn places(&self) -> Vec<Option<usize>> {
        let stream = &self.stream;
        let anywhere =
            |h| (0..stream.batch).any(|b| stream.own_blocks().any(|block| self.reads(b, h, block)) && stream.rows > 0);
        let mut found = 0..;
        (0..stream.heads).map(|h| anywhere(h).then(|| found.next()).flatten()).collect()
    }

    /// What is projected of a band's rows as f32, `[rows, H, D]`; only the heads that are summed are read.
    fn load(&self, band: &Band, runs: &[([HeadRuns; 2], Range<usize>)]) -> Widened<'_> {
        let Stream { tokens, heads, head_dim, .. } = self.stream;
        let row = heads * head_dim;
        let first = (band.b * tokens + band.tokens.start) * row;
        let part = first..first + band.tokens.len() * row;
        let ranges = runs.iter().flat_map(|(heads, rows)| {
            rows.clone().flat_map(move |r| {
                heads
                    .iter()
                    .flatten()
                    .map(move |heads| r * row + heads.start * head_dim..r * row + heads.end * head_dim)
            })
        });
        match &self.source {
            Source::Output(o) => Widened::new(&o[part], ranges),
            Source::Difference(outputs) => {
                let mut sum = Buffer::new(band.tokens.len() * row);
                let (mut value, mut held) = (vec![0.0; row], vec![T::ZERO; row]);
                for range in ranges {
                    let (sum, len) = (&mut sum[range.clone()], range.len());
                    sum.fill(0.0);
                    for (output, weight) in outputs {
                        T::widen(&output[part.clone()][range.clone()], &mut value[..len]);
                        sum.iter_mut().zip(&value).for_each(|(sum, x)| *sum += weight * x);
                    }
                    T::narrow(sum, 1.0, &mut held[..len]);
                    T::widen(&held[..len], sum);
                }
                Widened::Copy(sum)
            }
        }
    }
}

impl Panels {
    fn new<T: Element>(projection: &Projection<T>, columns: Range<usize>, places: Vec<Option<usize>>) -> Panels {
        let Stream { heads, head_dim, .. } = projection.stream;
        let present: Vec<usize> = (0..heads).filter(|&h| places[h].is_some()).collect();
        let depth = present.len() * head_dim;
        let mut turned = Buffer::new(depth * columns.len());
        if depth > 0 {
            let tiles = turned.par_chunks_mut(depth * COLUMNS).enumerate();
            let parts = tiles.flat_map(|(tile, panel)| {
                let (n, first) = (panel.len() / depth, columns.start + tile * COLUMNS);
                panel.par_chunks_mut(head_dim * n).zip(&present).map(move |(part, &h)| (part, n, first, h))
            });
            let stride = heads * head_dim;
            parts.for_each(|(part, n, first, h)| {
                transpose(&projection.w[first * stride + h * head_dim..], stride, n, part);
            });
        }
        Panels { columns, places, heads: present.len(), turned }
    }

    /// W_hᵀ of neighbouring heads and the `n` columns from one that begins a panel, `[heads·D, n]`.
    fn of(&self, heads: &Range<usize>, column: usize, n: usize, head_dim: usize) -> Matrix<'_> {
        let place = self.places[heads.start].expect("weights of every head that is read");
        let at = (column - self.columns.start) * self.heads * head_dim + place * head_dim * n;
        Matrix { data: &self.turned[at..at + heads.len() * head_dim * n], stride: n }
    }
}

/// Jobs over some columns: a band each, or less of one where bands are few.
fn cut<'y, T: Element>(
    width: usize,
    bands: &'y [Band],
    columns: &Range<usize>,
    projection: &Projection<T>,
    results: &'y mut Results<T>,
) -> Vec<Job<'y, T>> {
    let tiles = columns.len().div_ceil(COLUMNS);
    let share = tiles.div_ceil(shares(bands.len(), tiles)) * COLUMNS;
    let mut jobs: Vec<Job<T>> = Vec::new();
    for band in bands {
        let shares = columns.clone().step_by(share).map(|start| start..(start + share).min(columns.end));
        jobs.extend(shares.map(|columns| Job { band, columns, y: Vec::new(), partial: Vec::new() }));
    }
    debug_assert_eq!(results.partial.is_some(), projection.summed == Summed::Both);
    let per_band = columns.len().div_ceil(share);
    let mut deal = |values: &'y mut [T], place: Place| {
        let mut rows = values.chunks_exact_mut(width);
        for jobs in jobs.chunks_exact_mut(per_band) {
            for row in rows.by_ref().take(jobs[0].band.tokens.len()) {
                let pieces = row[columns.clone()].chunks_mut(share);
                jobs.iter_mut().zip(pieces).for_each(|(job, piece)| match place {
                    Place::Y => job.y.push(piece),
                    Place::Partial => job.partial.push(piece),
                });
            }
        }
    };
    deal(results.y, Place::Y);
    if let Some(partial) = &mut results.partial {
        deal(partial, Place::Partial);
    }
    jobs
}

impl<T: Element> Job<'_, T> {
    fn run(mut self, projection: &Projection<T>, panels: &Panels) {
        let stream = &projection.stream;
        let (rows, row) = (self.band.tokens.len(), stream.heads * stream.head_dim);
        let runs = self.band.runs(stream.block, |block| projection.heads(self.band.b, block));
        let o = projection.load(self.band, &runs);
        let mut sums = [Buffer::new(rows * COLUMNS), Buffer::new(self.partial.len() * COLUMNS)];
        let mut known = [0.0; COLUMNS];
        for column in self.columns.clone().step_by(COLUMNS) {
            let n = COLUMNS.min(self.columns.end - column);
            for (heads, rows) in &runs {
                for (heads, sum) in heads.iter().zip(&mut sums) {
                    // A call without a partial has no second sum.
                    let Some(sum) = sum.get_mut(rows.start * n..rows.end * n) else { continue };
                    let mut target = Target::Overwrite;
                    for heads in heads {
                        let a = Matrix { data: &o[rows.start * row + heads.start * stream.head_dim..], stride: row };
                        let b = panels.of(heads, column, n, stream.head_dim);
                        multiply([rows.len(), n, heads.len() * stream.head_dim], a, b, sum, n, target);
                        target = Target::Add;
                    }
                    if target == Target::Overwrite {
                        sum.fill(0.0);
                    }
                }
            }
            let first = self.band.b * stream.rows + self.band.tokens.start - stream.first;
            let place = column - self.columns.start..column - self.columns.start + n;
            let [sums, cached] = &mut sums;
            for (r, y) in self.y.iter_mut().enumerate() {
                let sum = &mut sums[r * n..(r + 1) * n];
                if let Some(partial) = self.partial.get_mut(r) {
                    let cached = &mut cached[r * n..(r + 1) * n];
                    sum.iter_mut().zip(&*cached).for_each(|(sum, x)| *sum += x);
                    T::narrow(cached, 1.0, &mut partial[place.clone()]);
                }
                for (partial, coefficient) in &projection.known {
                    let at = (first + r) * stream.width + column;
                    T::widen(&partial[at..at + n], &mut known[..n]);
                    sum.iter_mut().zip(&known).for_each(|(sum, x)| *sum += coefficient * x);
                }
                if let Some(bias) = &projection.bias {
                    sum.iter_mut().zip(&bias[column..]).for_each(|(sum, x)| *sum += x);
                }
                T::narrow(sum, 1.0, &mut y[place.clone()]);
            }
        }
    }
}
