//! Projections that a seed draws: any shape, and each of their parts with any other.
//!
//! The oracle of the host is the truth, in f64, and says what stays as it was; the bounds are those of the corpus.

use std::collections::BTreeMap;

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use sparsym::device::{Backend, Device, KernelDevice};
use sparsym::ir::DType;
use sparsym::ir::projection::{RopePairs, Summed};

use super::draw::{kind_of, tokens};
use super::{Range, each_seed};
use crate::data::generator;
use crate::devices::Stop;
use crate::projection::{Call, Case, DifferencesParts, GemmOParts, GemmQParts, Poison, run_twice};

/// Streams of a seed.
const KIND: u64 = 3000;
const SHAPES: u64 = 3001;

/// Most multiplications of a call for each pair of tokens that one of attention may have.
const WORK_OF_A_PAIR: usize = 64;

/// What came of projections.
#[derive(Debug, Default)]
pub struct Summary {
    /// Calls that are right.
    pub passed: u64,
    /// How many calls the device declined for each reason.
    pub declined: BTreeMap<String, u64>,
    /// Of each failure the call and what is wrong.
    pub failed: Vec<String>,
    /// The largest error, as a share of what is allowed.
    pub largest: f64,
}

/// Draws projections and compares what the device gives with the oracle.
pub fn run<B: Backend>(device: &KernelDevice<B>, range: Range) -> Summary
where
    KernelDevice<B>: Device,
{
    let mut summary = Summary::default();
    let judge = |seed| {
        let (case, dtype) = draw(seed, range.most_tokens, range.most_pairs * WORK_OF_A_PAIR);
        match run_twice(&case, dtype, device) {
            Ok(deviations) => Ok(Ok(deviations.iter().map(|one| one.error / one.allowed).fold(0.0, f64::max))),
            Err(Stop::Declined(why)) => Err(why),
            Err(Stop::Trapped { report: why, .. } | Stop::Failed(why)) => {
                Ok(Err(format!("{}\n    {why}", words(&case, dtype))))
            }
        }
    };
    each_seed(range, judge, |outcome| match outcome {
        Ok(Ok(share)) => {
            summary.passed += 1;
            summary.largest = summary.largest.max(share);
        }
        Ok(Err(why)) => summary.failed.push(why),
        Err(why) => *summary.declined.entry(why).or_default() += 1,
    });
    summary
}

/// The call of a seed, with at most so many tokens in an item and so many multiplications in all.
fn draw(seed: u64, most_tokens: usize, most_work: usize) -> (Case, DType) {
    let mut of_kind = generator(kind_of(seed), KIND);
    let mut random = generator(seed, SHAPES);
    let dtype = [DType::Bf16, DType::Bf16, DType::F16][of_kind.random_range(0..3usize)];
    let head_dim = [64, 64, 96, 128, 128, 128, 256][of_kind.random_range(0..7usize)];
    let block = [64, 96, 128, 128, 128, 192, 256][of_kind.random_range(0..7usize)];
    let has_s_c = of_kind.random_bool(0.7);
    let call = call(&mut of_kind, &mut random, has_s_c);
    let batch = [1, 1, 2, 3][random.random_range(0..4usize)];
    let n = tokens(&mut random, most_tokens);
    let needs_s_c = has_s_c || matches!(call, Call::Differences(_));
    let has_means = matches!(call, Call::GemmQ(GemmQParts { means: true, .. }));
    let stream = random.random_bool(0.5).then(|| part(&mut random, n, if has_means { block } else { 1 }));
    let rows = stream.map_or(n, |[_, rows]| rows).max(1);
    let fitting = (most_work / (batch * rows * head_dim)).max(8);
    let width = up_to(&mut random, (fitting / 8).clamp(1, 256)) * 8;
    let heads = up_to(&mut random, (fitting / width).clamp(1, 24));
    let mut case = Case {
        name: format!("seed {seed}"),
        stresses: String::new(),
        poison: poison(&mut random, &call, [batch * rows, batch * n], [width, head_dim], heads),
        call,
        batch,
        tokens: n,
        stream,
        width,
        heads,
        head_dim,
        block,
        s_c: needs_s_c.then(|| [0.0, 0.1, 0.5, 0.5, 0.9, 1.0][random.random_range(0..6usize)]),
        dtypes: vec![dtype],
        seed,
        floor: 2e-5,
        because: None,
    };
    let unit = if has_means { block } else { 1 };
    let splits = (rows - 1) / unit; // places where the stream may be cut in two
    match &mut case.call {
        Call::GemmQ(parts) if of_kind.random_bool(0.4) && splits > 0 => {
            parts.beside = Some(random.random_range(1..=splits) * unit);
        }
        _ => {}
    }
    (case, dtype)
}

/// The room and its parts. What changes the text comes from the kind, what does not from the seed.
fn call(of_kind: &mut ChaCha8Rng, random: &mut ChaCha8Rng, has_s_c: bool) -> Call {
    let summed = [Summed::Active, Summed::Active, Summed::Cached, Summed::Both][of_kind.random_range(0..4usize)];
    let rope = [None, Some(RopePairs::Interleaved), Some(RopePairs::Half)][of_kind.random_range(0..3usize)];
    let [bias, norm, means, partials] = [0.5, 0.5, 0.4, 0.5].map(|chance| of_kind.random_bool(chance));
    let eps = [1e-6, 1e-2, 1.0][random.random_range(0..3usize)];
    match of_kind.random_range(0..10u32) {
        0..5 => Call::GemmQ(GemmQParts { bias, norm: norm.then_some(eps), rope, means, beside: None }),
        5..9 => Call::GemmO(GemmOParts {
            bias,
            summed: if has_s_c { summed } else { Summed::Active },
            partials: if partials { random.random_range(1..=4) } else { 0 },
        }),
        _ => {
            let orders = random.random_range(1..=3);
            let outputs = random.random_bool(0.3).then(|| random.random_range(orders + 1..=4));
            Call::Differences(DifferencesParts { orders, outputs })
        }
    }
}

/// First token and rows of a stream that starts on a multiple of `unit`, and ends on one or with the sequence.
fn part(random: &mut ChaCha8Rng, n: usize, unit: usize) -> [usize; 2] {
    let first = random.random_range(0..n.div_ceil(unit)) * unit;
    let rows = random.random_range(1..=(n - first).div_ceil(unit)) * unit;
    [first, rows.min(n - first)]
}

/// From 1 on, small ones as often as large ones.
fn up_to(random: &mut ChaCha8Rng, most: usize) -> usize {
    ((most as f64 + 1.0).powf(random.random_range(0.0..1.0f64)) as usize).clamp(1, most)
}

/// In every fourth call a row has an element that is not finite; of O also where a head is not read.
fn poison(
    random: &mut ChaCha8Rng,
    call: &Call,
    [of_x, of_o]: [usize; 2],
    [width, head_dim]: [usize; 2],
    heads: usize,
) -> Vec<Poison> {
    let value = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY][random.random_range(0..3usize)];
    let (rows, channels, heads) = match call {
        Call::GemmQ(_) => (of_x, width, 1),
        Call::GemmO(_) | Call::Differences(_) => (of_o, head_dim, heads),
    };
    let mut below = |end: usize| random.random_range(0..end);
    let one = Poison { row: Some(below(rows)), head: below(heads), channel: below(channels), value };
    if random.random_bool(0.25) { vec![one] } else { Vec::new() }
}

/// Everything but the numbers, on a line.
fn words(case: &Case, dtype: DType) -> String {
    let Case { name, call, batch, tokens, stream, width, heads, head_dim, block, s_c, poison, .. } = case;
    let stream = stream.map(|[first, rows]| format!(", {rows} rows from {first} on")).unwrap_or_default();
    format!(
        "{name}: {} B {batch} N {tokens}{stream} C {width} H {heads} D {head_dim} blocks of {block} s_c {s_c:?} {call:?}{}",
        dtype.name(),
        if poison.is_empty() { "" } else { ", not finite" }
    )
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Summary { passed, declined, failed, largest } = self;
        write!(
            f,
            "{passed} projections right, {} declined, {} wrong; the largest error took {largest:.2} of what is allowed",
            declined.values().sum::<u64>(),
            failed.len()
        )
    }
}
