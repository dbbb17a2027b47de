//! Y = Σ over heads of O_h·W_hᵀ + Σ coefficient·partial + bias, for the heads that each block asks for.

use std::ops::Range;

use rayon::prelude::*;
use sparsym_ir::projection::{Stream, Summed};
use sparsym_ir::symbols::CacheSymbol;
use sparsym_ir::{GemmOCall, Tensor};

use crate::bands::{Band, shares};
use crate::buffer::Buffer;
use crate::element::{Element, Widened, widened};
use crate::gemm::Matrix;
use crate::sums::{Rows, Sums};
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
    y: Rows<'y, T>,
    /// There is one exactly if there is a partial.
    partial: Option<Rows<'y, T>>,
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
            let jobs = cut(width, &bands, &panels.columns, results);
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

    /// Sets the sums to what they begin with: bias, partials, and the cached heads if they are summed apart. Whole rows, one
    /// after another: in pieces of [`COLUMNS`] the pass over memory took five times
    /// as long.
    fn begin(&self, band: &Band, columns: &Range<usize>, y: &mut Sums<T>, cached: Option<&mut Sums<T>>) {
        let stream = &self.stream;
        let mut known = vec![0.0; if self.known.is_empty() { 0 } else { columns.len() }];
        let first = band.b * stream.rows + band.tokens.start - stream.first;
        let mut cached = cached.map(Sums::rows);
        for (r, sum) in y.rows().enumerate() {
            match &self.bias {
                Some(bias) => sum.copy_from_slice(&bias[columns.clone()]),
                None => sum.fill(0.0),
            }
            for (partial, coefficient) in &self.known {
                let at = (first + r) * stream.width;
                let partial = T::floats(&partial[at + columns.start..at + columns.end], &mut known);
                sum.iter_mut().zip(partial).for_each(|(sum, x)| *sum += coefficient * x);
            }
            if let Some(cached) = cached.as_mut().and_then(Iterator::next) {
                sum.iter_mut().zip(&*cached).for_each(|(sum, x)| *sum += x);
            }
        }
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
    results: &'y mut Results<T>,
) -> Vec<Job<'y, T>> {
    let tiles = columns.len().div_ceil(COLUMNS);
    let share = tiles.div_ceil(shares(bands.len(), tiles)) * COLUMNS;
    let mut jobs = Vec::new();
    let mut y: &mut [T] = results.y;
    let mut partial: Option<&mut [T]> = results.partial.as_deref_mut();
    for band in bands {
        let len = band.tokens.len() * width;
        let of_band =
            |values: &mut &'y mut [T]| values.split_off_mut(..len).expect("results have a row for each token");
        let y = pieces(of_band(&mut y), width, columns, share);
        let mut partial = partial.as_mut().map(|partial| pieces(of_band(partial), width, columns, share).into_iter());
        for (start, y) in columns.clone().step_by(share).zip(y) {
            let columns = start..(start + share).min(columns.end);
            jobs.push(Job { band, columns, y, partial: partial.as_mut().and_then(Iterator::next) });
        }
    }
    jobs
}

/// The rows of a band in pieces of some columns each.
fn pieces<'y, T>(band: &'y mut [T], width: usize, columns: &Range<usize>, share: usize) -> Vec<Rows<'y, T>> {
    if columns.len() == width && share >= width {
        return vec![Rows::Whole(band)];
    }
    let count = band.len() / width;
    let mut pieces: Vec<_> =
        (0..columns.len().div_ceil(share)).map(|_| Vec::<&mut [T]>::with_capacity(count)).collect();
    for row in band.chunks_exact_mut(width) {
        pieces.iter_mut().zip(row[columns.clone()].chunks_mut(share)).for_each(|(piece, part)| piece.push(part));
    }
    pieces.into_iter().map(Rows::Pieces).collect()
}

impl<T: Element> Job<'_, T> {
    fn run(self, projection: &Projection<T>, panels: &Panels) {
        let (stream, band, columns) = (&projection.stream, self.band, self.columns.clone());
        let runs = band.runs(stream.block, |block| projection.heads(band.b, block));
        let o = projection.load(band, &runs);
        let new = |rows| Sums::new(rows, band.tokens.len(), columns.len());
        let (mut y, mut cached) = (new(self.y), self.partial.map(new));
        if let Some(cached) = &mut cached {
            cached.values().fill(0.0);
            add_heads(cached, &o, &runs, |[_, cached]| cached, projection, panels, &columns);
        }
        projection.begin(band, &columns, &mut y, cached.as_mut());
        add_heads(&mut y, &o, &runs, |[summed, _]| summed, projection, panels, &columns);
        y.finish();
        if let Some(cached) = cached {
            cached.finish();
        }
    }
}

/// Adds O_h·W_hᵀ for the heads of each run that `which` picks.
fn add_heads<T: Element>(
    sums: &mut Sums<T>,
    o: &[f32],
    runs: &[([HeadRuns; 2], Range<usize>)],
    which: fn(&[HeadRuns; 2]) -> &HeadRuns,
    projection: &Projection<T>,
    panels: &Panels,
    columns: &Range<usize>,
) {
    let Stream { heads, head_dim, .. } = projection.stream;
    let row = heads * head_dim;
    for column in columns.clone().step_by(COLUMNS) {
        let n = COLUMNS.min(columns.end - column);
        let place = column - columns.start..column - columns.start + n;
        for (heads, rows) in runs {
            for heads in which(heads) {
                let a = Matrix { data: &o[rows.start * row + heads.start * head_dim..], stride: row };
                sums.add(rows, place.clone(), heads.len() * head_dim, a, panels.of(heads, column, n, head_dim));
            }
        }
    }
}
