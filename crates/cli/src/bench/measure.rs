//! Rows of calls, timed in turns.

use std::time::Instant;

use serde::Serialize;
use sparsym::Error;
use sparsym::device::Session;
use sparsym::device::session::{Call, Prepared};

use super::rooms::failure;
use crate::failure::{Failure, Outcome};

/// How long to measure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Timing {
    /// Rounds in which rows take turns.
    pub(super) rounds: u32,
    /// Seconds of launches for each row.
    pub(super) seconds: f64,
}

/// The calls of a row, one for each set of inputs, and what one of them does.
#[derive(Clone)]
pub(super) struct Row<'a> {
    /// Where its arrays are.
    pub(super) session: &'a dyn Session,
    /// In which order kernels take their tiles, if it was asked for.
    pub(super) order: Option<&'static str>,
    /// Their schedule, if it was asked for.
    pub(super) schedule: Option<&'static str>,
    /// Chance of a skipped block pair, if drawn.
    pub(super) sparsity: Option<f64>,
    /// Chance of a cached tile, if drawn.
    pub(super) cached: Option<f64>,
    /// Share of query blocks that are computed.
    pub(super) density_c: f64,
    /// Share of block pairs that are computed.
    pub(super) density_s: f64,
    /// Share of the dense work that is done.
    pub(super) density: f64,
    /// Operations of tensor cores if everything is computed; None where they are not what the room is about.
    pub(super) dense_flops: Option<f64>,
    /// Bytes of the arrays of a call.
    pub(super) bytes: f64,
    /// The calls.
    pub(super) calls: Vec<Call<'a>>,
}

impl Row<'_> {
    /// Operations of the work done.
    pub(super) fn flops(&self) -> Option<f64> {
        self.dense_flops.map(|dense| dense * self.density)
    }
}

/// A row of the table.
#[derive(Clone, Serialize)]
pub(super) struct RowReport {
    /// In which order kernels took their tiles, if it was asked for.
    pub(super) order: Option<&'static str>,
    /// Their schedule, if it was asked for.
    pub(super) schedule: Option<&'static str>,
    pub(super) sparsity: Option<f64>,
    pub(super) cached: Option<f64>,
    pub(super) density_c: f64,
    pub(super) density_s: f64,
    /// Share of the dense work that is done: of token pairs in computed blocks, or of tokens in computed tiles.
    pub(super) density: f64,
    pub(super) ms: Milliseconds,
    pub(super) samples: usize,
    /// Wall time until the first call could run: text, compiler or kernel cache, loading.
    pub(super) prepare_ms: f64,
    /// Operations of the work done.
    pub(super) flops: Option<f64>,
    pub(super) tflops: Option<f64>,
    /// The rate that a dense call would need for the same time.
    pub(super) dense_tflops: Option<f64>,
    /// Bytes of the arrays of a call, each once; sparse calls touch fewer.
    pub(super) bytes: f64,
    pub(super) gb_per_s: f64,
    /// Time over that of the row without random sparsity and cached tiles; None: there is no such row.
    pub(super) of_dense: Option<f64>,
}

/// Times of single calls.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Milliseconds {
    pub(super) median: f64,
    pub(super) min: f64,
    pub(super) max: f64,
}

/// Launches of a row in one round.
const MOST_LAUNCHES: f64 = 100.0;

/// Rows that were warmed up, to be launched in turns.
pub(super) struct Turns<'r, 'a> {
    rows: &'r [Row<'a>],
    prepared: Vec<Vec<Prepared>>,
    prepare_ms: Vec<f64>,
    /// Milliseconds of a launch, the best of the first ones.
    estimates: Vec<f64>,
    /// Launches so far.
    launched: Vec<usize>,
}

impl<'r, 'a> Turns<'r, 'a> {
    /// Prepares the rows and launches each call once.
    pub(super) fn new(rows: &'r [Row<'a>]) -> Outcome<Turns<'r, 'a>> {
        let launched = vec![0; rows.len()];
        let mut turns = Turns { rows, prepared: Vec::new(), prepare_ms: Vec::new(), estimates: Vec::new(), launched };
        for (at, row) in rows.iter().enumerate() {
            let start = Instant::now();
            let made = row.calls.iter().map(|call| row.session.prepare(call)).collect::<Result<Vec<_>, Error>>();
            turns.prepared.push(made.map_err(failure)?);
            turns.prepare_ms.push(start.elapsed().as_secs_f64() * 1e3);
            let warm_up = turns.launch(at, row.calls.len())?;
            turns.estimates.push(warm_up.into_iter().fold(f64::INFINITY, f64::min));
        }
        Ok(turns)
    }

    /// Launches a row so many times, right one after another; milliseconds of each. It goes on where the last turn stopped,
    /// so that sets of inputs keep taking turns.
    pub(super) fn launch(&mut self, row: usize, launches: usize) -> Outcome<Vec<f64>> {
        let (Row { session, calls, .. }, prepared) = (&self.rows[row], &self.prepared[row]);
        let turns = prepared.iter().zip(calls).cycle().skip(self.launched[row] % calls.len()).take(launches);
        let turns: Vec<_> = turns.map(|(prepared, call)| (prepared, call.clone())).collect();
        self.launched[row] += launches;
        Ok(session.run_all(&turns).map_err(failure)?.iter().map(|cost| cost.ms).collect())
    }

    /// The rows.
    pub(super) fn rows(&self) -> &'r [Row<'a>] {
        self.rows
    }
}

/// Warms up and times the rows.
pub(super) fn measure(rows: &[Row<'_>], timing: Timing) -> Outcome<Vec<RowReport>> {
    let mut turns = Turns::new(rows)?;
    let mut times = vec![Vec::new(); rows.len()];
    for _ in 0..timing.rounds {
        for (row, times) in times.iter_mut().enumerate() {
            let launches = timing.seconds * 1e3 / f64::from(timing.rounds) / turns.estimates[row];
            times.extend(turns.launch(row, launches.clamp(1.0, MOST_LAUNCHES) as usize)?);
        }
    }
    let prepare_ms = turns.prepare_ms;
    let mut reports = Vec::new();
    for ((row, times), prepare_ms) in rows.iter().zip(times).zip(prepare_ms) {
        let samples = times.len();
        let ms = Milliseconds::of(times).filter(|ms| ms.median > 0.0);
        let ms = ms.ok_or_else(|| {
            Failure::usage("there was nothing to compute, so there is no time\nhelp: lower the shares")
        })?;
        let flops = row.flops();
        let rate = |flops: Option<f64>| flops.map(|flops| flops / ms.median / 1e9);
        reports.push(RowReport {
            order: row.order,
            schedule: row.schedule,
            sparsity: row.sparsity,
            cached: row.cached,
            density_c: row.density_c,
            density_s: row.density_s,
            density: row.density,
            ms,
            samples,
            prepare_ms,
            flops,
            tflops: rate(flops),
            dense_tflops: rate(row.dense_flops),
            bytes: row.bytes,
            gb_per_s: row.bytes / ms.median / 1e6,
            of_dense: None,
        });
    }
    // The row that draws nothing; a strategy alone is no such row, unless it computes everything.
    let none = |share: Option<f64>| share.is_none_or(|share| share == 0.0);
    let draws = |row: &RowReport| row.sparsity.is_some() || row.cached.is_some();
    let is_base = |row: &&RowReport| none(row.sparsity) && none(row.cached) && (draws(row) || row.density == 1.0);
    let dense = reports.iter().filter(|row| row.flops.is_some()).find(is_base).map(|row| row.ms.median);
    reports.iter_mut().for_each(|row| row.of_dense = dense.map(|dense| row.ms.median / dense));
    Ok(reports)
}

impl Milliseconds {
    /// Of these samples; None without any.
    fn of(mut samples: Vec<f64>) -> Option<Milliseconds> {
        samples.sort_by(f64::total_cmp);
        let (min, max) = (*samples.first()?, *samples.last()?);
        let middle = samples.len() / 2;
        let below = if samples.len().is_multiple_of(2) { samples[middle - 1] } else { samples[middle] };
        Some(Milliseconds { median: f64::midpoint(below, samples[middle]), min, max })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between_the_middle_two() {
        assert_eq!(Milliseconds::of(vec![4.0, 1.0, 3.0, 8.0]), Some(Milliseconds { median: 3.5, min: 1.0, max: 8.0 }));
        assert_eq!(Milliseconds::of(vec![3.0, 9.0, 2.0]), Some(Milliseconds { median: 3.0, min: 2.0, max: 9.0 }));
        assert_eq!(Milliseconds::of(Vec::new()), None);
    }
}
