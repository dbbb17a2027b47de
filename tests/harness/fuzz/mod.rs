//! Calls that a seed draws, thousands of them: attention judged on the device by a plain kernel in f64, projections by the
//! oracle of the host.
//!
//! The corpus looks at few calls. This looks at many: on a GPU ten thousand of attention take two minutes, because the truth
//! is computed there as well. Each call runs twice and must give the same bits.
//!
//! | module | question |
//! |---|---|
//! | `draw` | which shapes, decisions and numbers does a seed stand for |
//! | `exact` | how far is a result from f64, and how far may it be |
//! | [`projection`] | the same of projections |

mod draw;
mod exact;
pub mod projection;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use sparsym::device::{Backend, Device, KernelDevice};
use sparsym::ir::{AttentionCall, AttentionOutput, Bound, Forecast, Moment, SymbolsCall};

use crate::devices::Stop;
use draw::kind_of;
pub use draw::{Drawn, Rules, Style};
pub use exact::{Distance, Judge};

/// Which calls, and how large they may be.
#[derive(Clone, Copy, Debug)]
pub struct Range {
    /// Of the first call; the next one has the next.
    pub seed: u64,
    /// How many.
    pub count: u64,
    /// Most tokens of an item, at most 2000.
    pub most_tokens: usize,
    /// Most pairs of tokens over all heads and items, roughly.
    pub most_pairs: usize,
    /// Threads that make numbers and launch.
    pub threads: usize,
}

/// What came of them.
#[derive(Debug, Default)]
pub struct Summary {
    /// Calls that are right.
    pub passed: u64,
    /// How many calls the device declined for each reason.
    pub declined: BTreeMap<String, u64>,
    /// Of each failure the call and what is wrong.
    pub failed: Vec<String>,
    /// The largest of all that passed.
    pub largest: Distance,
    /// Elements of O that were compared in calls that passed.
    pub elements: f64,
}

/// Draws calls and judges what the device gives.
///
/// # Errors
/// If the judge cannot be loaded.
pub fn run<B: Backend>(device: &KernelDevice<B>, range: Range) -> Result<Summary, sparsym::Error>
where
    KernelDevice<B>: Device,
{
    let judge = Judge::new(device)?;
    let mut summary = Summary::default();
    let judge = |seed| {
        let drawn = Drawn::new(seed, range.most_tokens, range.most_pairs);
        match judge_one(device, &judge, &drawn) {
            Outcome::Right(distance) => Ok(Ok(distance)),
            Outcome::Declined(why) => Err(why),
            Outcome::Wrong(why) => Ok(Err(format!("{}\n    {why}", drawn.summary()))),
        }
    };
    each_seed(range, judge, |outcome| summary.add(outcome));
    Ok(summary)
}

/// Judges each seed of a range on its threads and hands over what came of it, or why the call was declined. What a device
/// declines is a kernel, so other seeds of its kind are not judged.
fn each_seed<T: Send>(
    range: Range,
    judge: impl Fn(u64) -> Result<T, String> + Sync,
    take: impl FnMut(Result<T, String>) + Send,
) {
    let (next, declined, take) = (AtomicU64::new(0), Mutex::new(BTreeMap::new()), Mutex::new(take));
    std::thread::scope(|scope| {
        for _ in 0..range.threads {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= range.count {
                        break;
                    }
                    let seed = range.seed + at;
                    let known: Option<String> = declined.lock().unwrap().get(&kind_of(seed)).cloned();
                    let outcome = known.map_or_else(|| judge(seed), Err);
                    if let Err(why) = &outcome {
                        declined.lock().unwrap().insert(kind_of(seed), why.clone());
                    }
                    take.lock().unwrap()(outcome);
                }
            });
        }
    });
}

enum Outcome {
    Right(Distance),
    Declined(String),
    Wrong(String),
}

fn judge_one<B: Backend>(device: &KernelDevice<B>, judge: &Judge<'_, B>, drawn: &Drawn) -> Outcome
where
    KernelDevice<B>: Device,
{
    let device = match drawn.order {
        Some(order) => device.clone().with_tile_order(order),
        None => device.clone(),
    };
    let output = match attention(&device, drawn) {
        Ok(output) => output,
        Err(Stop::Declined(why)) => return Outcome::Declined(why),
        Err(Stop::Trapped { report, .. } | Stop::Failed(report)) => {
            return Outcome::Wrong(report);
        }
    };
    let again = attention(&device, drawn);
    if !again.is_ok_and(|again| is_same(&again, &output)) {
        return Outcome::Wrong("a second run gave other bits".to_owned());
    }
    let distance = match judge.distance(drawn, &output) {
        Ok(distance) => distance,
        Err(error) => return Outcome::Wrong(error.to_string()),
    };
    match distance.check() {
        Ok(()) => Outcome::Right(distance),
        Err(why) => Outcome::Wrong(format!("{why}; {distance:?}")),
    }
}

/// What a device gives for a call.
///
/// # Errors
/// As [`Device::measured_attention`].
pub fn attention(device: &dyn Device, drawn: &Drawn) -> Result<AttentionOutput, Stop> {
    let bound = Bound::new(&drawn.strategy, &drawn.problem, &drawn.bindings).map_err(sparsym::Error::from)?;
    let moment = Moment::default();
    let mut symbols = device.symbols(&SymbolsCall::without_data(&bound, moment))?;
    drawn.thin_out(&mut symbols);
    let forecast = (!drawn.features.is_empty())
        .then(|| Forecast { features: drawn.features.iter().collect(), coefficients: drawn.coefficients.clone() });
    let [q, k, v] = &drawn.qkv;
    Ok(device.attention(&AttentionCall { bound: &bound, moment, q, k, v, symbols: &symbols, forecast })?)
}

/// To the bit, NaNs included.
fn is_same(a: &AttentionOutput, b: &AttentionOutput) -> bool {
    let bits = |output: &AttentionOutput| output.lse.iter().map(|lse| lse.to_bits()).collect::<Vec<_>>();
    a.o.bytes() == b.o.bytes() && bits(a) == bits(b)
}

impl Summary {
    fn add(&mut self, outcome: Result<Result<Distance, String>, String>) {
        match outcome {
            Ok(Ok(distance)) => {
                self.passed += 1;
                self.elements += distance.elements;
                self.largest.o = self.largest.o.max(distance.o);
                self.largest.lse = self.largest.lse.max(distance.lse);
                self.largest.relative = self.largest.relative.max(distance.relative);
                self.largest.yardstick = self.largest.yardstick.max(distance.yardstick);
            }
            Ok(Err(why)) => self.failed.push(why),
            Err(why) => *self.declined.entry(why).or_default() += 1,
        }
    }
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Summary { passed, declined, failed, largest, elements } = self;
        write!(
            f,
            "{passed} calls right, {} declined, {} wrong; {elements:.3e} elements of O; the largest error took {:.2} of what \
             is allowed in O and {:.2} in lse; ‖O - truth‖ / ‖truth‖ at most {:.1e}, of plain loops {:.1e}",
            declined.values().sum::<u64>(),
            failed.len(),
            largest.o,
            largest.lse,
            largest.relative,
            largest.yardstick
        )
    }
}
