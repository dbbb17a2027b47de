//! A call from a seed: which kernel it needs, its shapes, its decisions, and numbers that are hard on a softmax.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use sparsym::ir::bind::Bindings;
use sparsym::ir::problem::{DType, Layout, Problem, Ragged};
use sparsym::ir::strategy::{Blocks, Strategy, Value};
use sparsym::ir::{Symbols, Tensor};
use sparsym::kernel::TileOrder;

use crate::data::{self, generator};

/// Kinds of kernels among so many seeds: each is compiled once, whatever number of calls is drawn. The seeds that follow have
/// others.
const KINDS: u64 = 96;
const SEEDS: u64 = 100_000;

/// Streams of a seed.
const KIND: u64 = 2000;
const SHAPES: u64 = 2001;
const NUMBERS: u64 = 2002;
const DECISIONS: u64 = 2003;

/// One call.
#[derive(Clone, Debug)]
pub struct Drawn {
    /// What a failure is repeated with.
    pub seed: u64,
    /// The rules, as text that was compiled.
    pub strategy: Strategy,
    /// The same for who judges.
    pub rules: Rules,
    /// Shapes.
    pub problem: Problem,
    /// Values of params.
    pub bindings: Bindings,
    /// Queries, keys and values.
    pub qkv: [Tensor; 3],
    /// What fills rows that are not computed; may be empty.
    pub features: Vec<Tensor>,
    /// A factor for each.
    pub coefficients: Vec<f32>,
    /// `[B, T_q, H]`: whether a row is computed.
    pub computed: Vec<bool>,
    /// `[B, T_q, H, T_kv]`: whether a pair of blocks is, as far as the mask lets it.
    pub kept: Vec<bool>,
    /// The order of attention's tiles; None: as it pays.
    pub order: Option<TileOrder>,
    /// How its numbers are made, for messages.
    pub style: Style,
}

/// What the rules of a strategy say, as numbers.
#[derive(Clone, Copy, Debug, Default)]
pub struct Rules {
    /// kv ≤ q + shift, and q - kv ≤ reach.
    pub band: Option<(i32, i32)>,
    /// (q + kv) % 3 = 0.
    pub is_striped: bool,
    /// The score is the logit minus this times |q - kv|.
    pub slope: Option<f32>,
}

/// How Q, K and V are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// As the corpus does.
    Usual,
    /// Logits of hundreds and thousands.
    Huge,
    /// Logits grow with the kv row, so that every block has a new maximum.
    Growing,
    /// They fall with it.
    Falling,
    /// Blocks of high and of low logits in turn.
    Alternating,
    /// One kv row has logits far above all others.
    Spike,
    /// V is close to the largest value of f16, or so large in bf16 that products with weights above 1 may overflow.
    LargeValues,
    /// Everything is close to 0.
    Small,
    /// A few elements are infinite or NaN.
    NotFinite,
}

const STYLES: [Style; 9] = [
    Style::Usual,
    Style::Huge,
    Style::Growing,
    Style::Falling,
    Style::Alternating,
    Style::Spike,
    Style::LargeValues,
    Style::Small,
    Style::NotFinite,
];

/// Of a kernel.
struct Kind {
    is_masked: bool,
    is_striped: bool,
    is_scored: bool,
    head_dim: usize,
    dtype: DType,
    blocks: Blocks,
    is_ragged: bool,
    terms: usize,
}

impl Kind {
    fn new(random: &mut ChaCha8Rng) -> Kind {
        let mut one_of = |some: &[u32]| some[random.random_range(0..some.len())];
        let rules = one_of(&[0, 0, 0, 1, 1, 2, 3, 4]);
        let q = one_of(&[64, 128, 128, 128, 192, 256]);
        Kind {
            is_masked: [1, 2, 4].contains(&rules),
            is_striped: rules == 2,
            is_scored: rules >= 3,
            head_dim: one_of(&[64, 64, 96, 128, 128, 128, 256]) as usize,
            dtype: [DType::Bf16, DType::F16][one_of(&[0, 0, 1]) as usize],
            blocks: Blocks { q, kv: one_of(&[64, 64, 128, 128, 256]) },
            is_ragged: one_of(&[0, 0, 0, 1]) == 1,
            terms: one_of(&[0, 0, 0, 1, 3]) as usize,
        }
    }

    fn text(&self) -> String {
        let stripes = if self.is_striped { " && (q.pos + kv.pos) % 3 == 0" } else { "" };
        let mask = match self.is_masked {
            true => format!(
                "param shift: i32 = 0;\nparam reach: i32 = 0;\n\
                 mask q, kv => kv.pos <= q.pos + shift && q.pos - kv.pos <= reach{stripes};\n"
            ),
            false => String::new(),
        };
        let score = match self.is_scored {
            true => "param slope: f32 = 0.0;\nscore s, q, kv => s - slope * float(abs(q.pos - kv.pos));\n",
            false => "",
        };
        format!("strategy! {{\n/// Drawn.\npub Drawn {{\n{mask}{score}}}\n}}")
    }
}

impl Drawn {
    /// The call of a seed, with at most so many tokens in an item and so many pairs of tokens in all.
    ///
    /// # Panics
    /// If the text of the strategy is wrong.
    pub fn new(seed: u64, most_tokens: usize, most_pairs: usize) -> Drawn {
        let kind = Kind::new(&mut generator(kind_of(seed), KIND));
        let mut random = generator(seed, SHAPES);
        let strategy = sparsym::language::compile_str("drawn", &kind.text())
            .unwrap_or_else(|findings| panic!("{findings}\n{}", kind.text()));
        let problem = problem(&mut random, &kind, most_tokens, most_pairs);
        let mut bindings = Bindings::defaults(&strategy);
        let mut rules = Rules { is_striped: kind.is_striped, ..Rules::default() };
        let tokens = problem.n_q.max(problem.n_kv) as i32;
        if kind.is_masked {
            // A shift below 0 leaves the first rows nothing; one of all tokens and a long reach mask nothing.
            let shift = [0, 0, random.random_range(-tokens..=tokens), tokens][random.random_range(0..4usize)];
            let reach = [tokens, random.random_range(0..=tokens), 40][random.random_range(0..3usize)];
            rules.band = Some((shift, reach));
            bindings.params[0] = Value::Int(shift.into());
            bindings.params[1] = Value::Int(reach.into());
        }
        if kind.is_scored {
            let slope = random.random_range(-0.05..0.2f32);
            rules.slope = Some(slope);
            let last = bindings.params.len() - 1;
            bindings.params[last] = Value::Float(slope.into());
        }
        let style = STYLES[random.random_range(0..STYLES.len())];
        let order = [None, Some(TileOrder::Grid), Some(TileOrder::HeaviestFirst)][random.random_range(0..3usize)];
        let qkv = qkv(&mut generator(seed, NUMBERS), style, &problem, kind.dtype);
        let (mut features, coefficients) = (Vec::new(), [1.0, 0.75, 0.28125][..kind.terms].to_vec());
        for term in 0..kind.terms as u64 {
            let shape = problem.q_shape();
            let values = data::values(&mut generator(seed, NUMBERS + 10 + term), shape.iter().product(), shape[3]);
            features.push(Tensor::from_f32(&shape, kind.dtype, &values));
        }
        let (computed, kept) = decisions(&mut generator(seed, DECISIONS), &problem);
        Drawn { seed, strategy, rules, problem, bindings, qkv, features, coefficients, computed, kept, order, style }
    }

    /// Clears what is not decided for.
    pub fn thin_out(&self, symbols: &mut Symbols) {
        let (heads, q_blocks, kv_blocks) = (self.problem.heads, self.problem.q_blocks(), self.problem.kv_blocks());
        for (row, &computed) in self.computed.iter().enumerate() {
            let (b, i, h) = (row / heads / q_blocks, row / heads % q_blocks, row % heads);
            symbols.cache.set(b, h, i, symbols.cache.get(b, h, i) && computed);
            for j in 0..kv_blocks {
                symbols.skip.set(b, h, i, j, symbols.skip.get(b, h, i, j) && self.kept[row * kv_blocks + j]);
            }
        }
    }

    /// Everything but the numbers, on a line.
    pub fn summary(&self) -> String {
        let Drawn { seed, problem, rules, style, order, .. } = self;
        let Problem { batch, n_q, n_kv, heads, kv_heads, head_dim, blocks, ragged, .. } = problem;
        format!(
            "seed {seed}: {} B {batch} N {n_q} N_kv {n_kv} H {heads} H_kv {kv_heads} D {head_dim} blocks {}×{}{} {rules:?} {style:?}, {} \
             terms of a forecast, tiles {order:?}",
            self.qkv[0].dtype().name(),
            blocks.q,
            blocks.kv,
            if ragged.is_some() { ", ragged" } else { "" },
            self.features.len(),
        )
    }
}

/// Which of the kinds of kernels a seed's call needs.
pub(super) fn kind_of(seed: u64) -> u64 {
    seed / SEEDS * KINDS + seed % KINDS
}

/// Few tokens as often as many: extents are drawn by their logarithms, and often close to a multiple of a tile.
pub(super) fn tokens(random: &mut ChaCha8Rng, most: usize) -> usize {
    let n = (most as f64).powf(random.random_range(0.0..=1.0f64)) as usize;
    let near = n.next_multiple_of(64) + [0, 0, 1, 63][random.random_range(0..4usize)];
    [n, near][random.random_range(0..2usize)].clamp(1, most)
}

fn problem(random: &mut ChaCha8Rng, kind: &Kind, most_tokens: usize, most_pairs: usize) -> Problem {
    let batch = [1, 1, 2, 3][random.random_range(0..4usize)];
    let n_q = tokens(random, most_tokens);
    let n_kv = if random.random_bool(0.2) { tokens(random, most_tokens) } else { n_q };
    let fitting = (most_pairs / (n_q * n_kv * batch)).clamp(1, 8);
    let heads = random.random_range(1..=fitting);
    let groups: Vec<usize> = (1..=heads).filter(|kv_heads| heads.is_multiple_of(*kv_heads)).collect();
    let kv_heads = if random.random_bool(0.5) { heads } else { groups[random.random_range(0..groups.len())] };
    let mut problem = Problem {
        batch,
        n_q,
        n_kv,
        heads,
        kv_heads,
        head_dim: kind.head_dim,
        blocks: kind.blocks,
        scale: 1.0 / (kind.head_dim as f32).sqrt(),
        layout: Layout::default(),
        ragged: None,
    };
    if kind.is_ragged {
        let mut pointer = |most: usize| {
            let mut starts = vec![0];
            for item in 0..batch {
                let length = if item == 0 { most } else { random.random_range(1..=most) };
                starts.push(starts[item] + length as u32);
            }
            starts
        };
        problem.ragged = Some(Ragged { q: pointer(n_q), kv: pointer(n_kv) });
    }
    problem
}

fn qkv(random: &mut ChaCha8Rng, style: Style, problem: &Problem, dtype: DType) -> [Tensor; 3] {
    let (q_shape, kv_shape) = (problem.q_shape(), problem.kv_shape());
    let mut of = |shape: [usize; 4]| data::values(random, shape.iter().product(), shape[3]);
    let (mut q, mut k, mut v) = (of(q_shape), of(kv_shape), of(kv_shape));
    let row = kv_shape[2] * kv_shape[3];
    let rows = k.len() / row;
    let factor: Box<dyn Fn(usize) -> f32> = match style {
        Style::Huge => Box::new(|_| 300.0),
        Style::Growing => Box::new(|at| 40.0 * at as f32 / rows as f32),
        Style::Falling => Box::new(|at| 40.0 * (rows - at) as f32 / rows as f32),
        Style::Alternating => Box::new(|at| if at / 64 % 2 == 0 { 60.0 } else { -60.0 }),
        Style::Spike => {
            let spike = random.random_range(0..rows);
            Box::new(move |at| if at == spike { 500.0 } else { 1.0 })
        }
        Style::Small => Box::new(|_| 1e-3),
        _ => Box::new(|_| 1.0),
    };
    k.iter_mut().enumerate().for_each(|(at, k)| *k *= factor(at / row));
    match style {
        Style::LargeValues => {
            // Half of them with logits that grow, so that weights may exceed 1 by far where no maximum is kept.
            let most = if dtype == DType::F16 { 37000.0 } else { 1e34 };
            v.iter_mut().for_each(|v| *v *= most);
            let grows = random.random_bool(0.5);
            k.iter_mut()
                .enumerate()
                .for_each(|(at, k)| *k *= if grows { 1.0 + 30.0 * (at / row) as f32 / rows as f32 } else { 1.0 });
        }
        Style::Small => q.iter_mut().chain(&mut v).for_each(|x| *x *= 1e-3),
        Style::NotFinite => {
            for _ in 0..random.random_range(1..4) {
                let value = [f32::INFINITY, f32::NEG_INFINITY, f32::NAN][random.random_range(0..3usize)];
                let tensor =
                    [&mut q, &mut k, &mut v].into_iter().nth(random.random_range(0..3usize)).expect("one of three");
                let at = random.random_range(0..tensor.len());
                tensor[at] = value;
            }
        }
        _ => {}
    }
    let tensor = |shape: [usize; 4], values: &[f32]| Tensor::from_f32(&shape, dtype, values);
    [tensor(q_shape, &q), tensor(kv_shape, &k), tensor(kv_shape, &v)]
}

/// Which rows of blocks and which pairs are computed: all, many, few; some rows none.
fn decisions(random: &mut ChaCha8Rng, problem: &Problem) -> (Vec<bool>, Vec<bool>) {
    let density = [1.0, 1.0, 0.7, 0.4, 0.1][random.random_range(0..5usize)];
    let of_rows = [1.0, 1.0, 0.6][random.random_range(0..3usize)];
    let empty = [0.0, 0.2][random.random_range(0..2usize)];
    let rows = problem.batch * problem.q_blocks() * problem.heads;
    let (mut computed, mut kept) = (Vec::new(), Vec::new());
    for _ in 0..rows {
        computed.push(random.random_bool(of_rows));
        let is_empty = random.random_bool(empty);
        kept.extend((0..problem.kv_blocks()).map(|_| random.random_bool(density) && !is_empty));
    }
    (computed, kept)
}
