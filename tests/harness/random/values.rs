//! Shapes and numbers for a random strategy.

use std::collections::BTreeMap;

use rand::RngExt;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use sparsym::ir::bind::{Moment, TableData};
use sparsym::ir::problem::DType;

use super::draft::names;
use super::{Batch, Frame, Subject, Tokens, VALUES};
use crate::case::{Case, InputSpec, RangeSpec, SymbolSpec, usual_floor};
use crate::data::generator;

/// Most tokens of a sequence: the oracle visits every pair, and the emulator every instruction.
const LONGEST: usize = 320;
/// Of a run.
const STEPS: u32 = 10;
const LAYERS: u32 = 4;

/// A problem for a strategy.
pub(super) fn case(subject: &Subject, variant: u64) -> Case {
    let (frame, text) = (&subject.frame, subject.text());
    let mut random = generator(subject.seed, VALUES + variant);
    let random = &mut random;
    let layout = layout(frame, random);
    let n = match layout.is_empty() {
        true => length(random),
        false => layout.iter().map(tokens).sum(),
    };
    let ragged = frame.batch == Batch::Ragged;
    let lengths: Option<Vec<u32>> = ragged.then(|| {
        let items = random.random_range(1..4);
        // The first has a token, so that there is one.
        (0..items).map(|item| random.random_range(u32::from(item == 0)..150)).collect()
    });
    let batch = random.random_range(1..=2);
    let items = lengths.clone().unwrap_or_else(|| vec![n as u32; batch]);
    let heads = [[1, 1], [2, 2], [2, 1], [4, 2], [3, 1], [2, 2]][random.random_range(0..6)];
    let thinned = |random: &mut ChaCha8Rng| SymbolSpec {
        density: if random.random_bool(0.2) { 0.7 } else { 1.0 },
        empty_rows: if random.random_bool(0.1) { 0.2 } else { 0.0 },
    };
    let step = random.random_range(0..STEPS);
    let moment = Moment {
        step,
        steps: STEPS,
        since_update: random.random_range(0..=step.min(4)),
        layer: random.random_range(0..LAYERS),
    };
    let caches = text.contains("cache q");
    Case {
        name: format!("random_{}_{variant}", subject.seed),
        stresses: "whatever the seed gives".to_owned(),
        strategy: None,
        set: params(&text, random),
        tables: tables(&text, heads[0], random),
        inputs: inputs(&text, &items, random),
        text: Some(text),
        batch,
        n,
        n_kv: (frame.batch == Batch::Cross).then(|| length(random)),
        heads: heads[0],
        kv_heads: Some(heads[1]),
        head_dim: frame.head_dim,
        blocks: None,
        scale: frame.scale,
        layout,
        lengths,
        lengths_kv: None,
        moment,
        s_c: thinned(random),
        s_s: thinned(random),
        forecast: caches.then_some(frame.order),
        poison: Vec::new(),
        dtypes: match random.random_bool(0.1) {
            true => vec![frame.dtype, DType::F32],
            false => vec![frame.dtype],
        },
        seed: subject.seed * 1000 + variant,
        floor: usual_floor(),
        because: None,
    }
}

fn length(random: &mut ChaCha8Rng) -> usize {
    match random.random_range(0..6) {
        0 => random.random_range(1..40),
        1 => 64 * random.random_range(1..5),
        _ => random.random_range(40..LONGEST),
    }
}

fn tokens(range: &RangeSpec) -> usize {
    range.grid.map_or(range.len.unwrap_or(0), |grid| grid.iter().product())
}

fn layout(frame: &Frame, random: &mut ChaCha8Rng) -> Vec<RangeSpec> {
    let mut text = random.random_range(0..90);
    let whole_blocks = frame.has_tiles_of_blocks();
    let mut grid = |tile: [usize; 3], most: [usize; 3]| loop {
        let grid: [usize; 3] = std::array::from_fn(|axis| tile[axis] * random.random_range(1..=most[axis]));
        if grid.iter().product::<usize>() <= LONGEST {
            return Some(grid);
        }
    };
    let vision = match frame.tokens {
        Tokens::Unnamed => return Vec::new(),
        Tokens::Plain => None,
        Tokens::Raster => grid([1, 1, 1], [5, 8, 11]),
        Tokens::Tiled(tile) => grid(tile, [3, 4, 4]),
    };
    let in_front = random.random_bool(0.5);
    if whole_blocks && in_front {
        text = text / 64 * frame.blocks.into_iter().max().unwrap_or(64) as usize;
    }
    let len = vision.is_none().then(|| random.random_range(1..220));
    let vision = RangeSpec { name: "vision".to_owned(), len, grid: vision };
    let text = RangeSpec { name: "text".to_owned(), len: Some(text), grid: None };
    if in_front { vec![text, vision] } else { vec![vision, text] }
}

/// Values of params, each now and then its default.
fn params(text: &str, random: &mut ChaCha8Rng) -> BTreeMap<String, toml::Value> {
    let mut set = BTreeMap::new();
    let mut give = |name: &str, value: toml::Value, taken: bool| {
        if taken && names(text, name) {
            set.insert(name.to_owned(), value);
        }
    };
    let mut take = || random.random_bool(0.7);
    let taken: [bool; 9] = std::array::from_fn(|_| take());
    let extremes = [i64::from(i32::MAX), i64::from(i32::MIN), 1 << 30];
    let far = extremes[random.random_range(0..3)] + if random.random_bool(0.5) { 0 } else { 1 };
    let far = far.min(i64::from(i32::MAX));
    give("reach", random.random_range(-5..130i64).into(), taken[0]);
    give("shift", random.random_range(-100..=100i64).into(), taken[1]);
    give("period", random.random_range(1..40i64).into(), taken[2]);
    give("few", random.random_range(1..6i64).into(), taken[3]);
    give("far", far.into(), taken[4]);
    give("slope", f64::from(random.random_range(-128..128) as f32 / 64.0).into(), taken[5]);
    give("cap", f64::from(random.random_range(32..640) as f32 / 64.0).into(), taken[6]);
    give("tau", f64::from(random.random_range(0.0..=1.0f32)).into(), taken[7]);
    give("causal", random.random_bool(0.5).into(), taken[8]);
    set
}

/// Entries of tables: along each axis one for all, or one for each step, layer or head that there is.
fn tables(text: &str, heads: usize, random: &mut ChaCha8Rng) -> BTreeMap<String, TableData> {
    let (step, layer, head) = (STEPS as usize, LAYERS as usize, heads);
    let mut tables = BTreeMap::new();
    let mut give = |name: &str, axes: &[usize], numbers: usize, value: &dyn Fn(&mut ChaCha8Rng) -> f32| {
        if names(text, name) {
            let shape: Vec<usize> =
                axes.iter().map(|&extent| if random.random_bool(0.4) { 1 } else { extent }).collect();
            let entries = shape.iter().product::<usize>() * numbers;
            let values = (0..entries).map(|_| value(random)).collect();
            tables.insert(name.to_owned(), TableData { shape, values });
        }
    };
    give("width", &[head], 1, &|random| random.random_range(-3..90) as f32);
    give("bias", &[layer, head], 1, &|random| random.random_range(-64..64) as f32 / 64.0);
    give("chosen", &[step, head], 1, &|random| random.random_range(0..2) as f32);
    give("window", &[step, layer, head], 3, &|random| random.random_range(0..6) as f32);
    give("method", &[head], 1, &|random| random.random_range(0..3) as f32);
    tables
}

fn inputs(text: &str, items: &[u32], random: &mut ChaCha8Rng) -> BTreeMap<String, InputSpec> {
    let tokens = items.iter().sum::<u32>() as usize;
    let mut inputs = BTreeMap::new();
    let mut give = |name: &str, values: Vec<f32>| {
        if names(text, name) {
            inputs.insert(name.to_owned(), InputSpec::Values(values));
        }
    };
    let mut documents = Vec::new();
    while documents.len() < tokens {
        let (length, id) = (random.random_range(1..50), random.random_range(-3..4) as f32);
        documents.extend(std::iter::repeat_n(id, length));
    }
    documents.truncate(tokens);
    give("document", documents);
    give("gain", (0..tokens).map(|_| random.random_range(-128..128) as f32 / 64.0).collect());
    give("marked", (0..tokens).map(|_| f32::from(u8::from(random.random_bool(0.6)))).collect());
    let mut order = Vec::new();
    for &item in items {
        let mut places: Vec<f32> = (0..item).map(|place| place as f32).collect();
        places.shuffle(random);
        order.extend(places);
    }
    give("order", order);
    inputs
}
