//! The numbers of a case: the same on every machine, for ever.

use rand::RngExt;
use sparsym::ir::problem::DType;
use sparsym::ir::projection::{RmsNorm, Rope, Stream};
use sparsym::ir::symbols::CacheSymbol;
use sparsym::ir::{Differences, DifferencesCall, GemmO, GemmOCall, GemmQ, GemmQCall, Tensor};

use super::case::{Call, Case, DifferencesParts, GemmOParts, GemmQParts, Poison};
use crate::data::{generator, values};

/// The tensors of one call.
#[derive(Clone, Debug)]
pub struct Numbers {
    stream: Stream,
    /// X; O; or outputs, the newest first.
    activations: Vec<Tensor>,
    w: Tensor,
    bias: Option<Tensor>,
    norm_weight: Tensor,
    tables: [Tensor; 2],
    partials: Vec<Tensor>,
    s_c: Option<CacheSymbol>,
}

/// Streams of one seed, so that a change to one tensor leaves the others as they are.
#[derive(Clone, Copy)]
enum Of {
    W,
    Bias,
    NormWeight,
    Table(u64),
    CacheSymbol,
    Activations(u64),
    Partial(u64),
}

/// Factors of partials fall with their number, as those of a Taylor forecast do.
const COEFFICIENTS: [f32; 4] = [1.0, 0.75, 0.28125, 0.0703125];

/// Of differences: for each order a factor for each output. The sums are not 0, unlike those of true differences, so that
/// a lost output does not hide behind one that is alike.
const WEIGHTS: [[f32; 4]; 3] = [[0.5, -0.375, 0.0, 0.0], [0.3125, -0.5, 0.125, 0.0], [0.25, -0.625, 0.5, -0.0625]];

/// W is as small as to leave results near 1, where the floor is nothing.
const SMALL: f32 = 0.125;

impl Numbers {
    /// Makes them, rounded to `dtype`.
    pub fn new(case: &Case, dtype: DType) -> Numbers {
        let stream = case.stream();
        let columns = stream.heads * stream.head_dim;
        let tensor = |of: Of, shape: &[usize], dtype: DType, factor: f32, poison: &[Poison]| {
            let channels = shape.last().copied().unwrap_or(1);
            let mut values = values(&mut generator(case.seed, of.number()), shape.iter().product(), channels);
            values.iter_mut().for_each(|value| *value *= factor);
            poison.iter().for_each(|poison| poison.put(&mut values, shape));
            Tensor::from_f32(shape, dtype, &values)
        };
        let plain = |of: Of, shape: &[usize], dtype: DType| tensor(of, shape, dtype, 1.0, &[]);
        let (model, heads) = (stream.model_shape(), stream.head_shape());
        let (activations, w, bias) = match case.call {
            Call::GemmQ(_) => (&model[..], [columns, stream.width], columns),
            Call::GemmO(_) | Call::Differences(_) => (&heads[..], [stream.width, columns], stream.width),
        };
        let (outputs, partials, has_bias) = match case.call {
            Call::GemmQ(GemmQParts { bias, .. }) => (1, 0, bias),
            Call::GemmO(GemmOParts { bias, partials, .. }) => (1, partials, bias),
            Call::Differences(DifferencesParts { orders, outputs }) => (outputs.unwrap_or(orders + 1), 0, false),
        };
        let table = |n| plain(Of::Table(n), &[stream.tokens, stream.head_dim / 2], DType::F32);
        Numbers {
            stream,
            activations: (0..outputs as u64)
                .map(|n| tensor(Of::Activations(n), activations, dtype, 1.0, &case.poison))
                .collect(),
            w: tensor(Of::W, &w, dtype, SMALL, &[]),
            bias: has_bias.then(|| plain(Of::Bias, &[bias], dtype)),
            norm_weight: plain(Of::NormWeight, &[stream.head_dim], dtype),
            tables: [table(0), table(1)],
            partials: (0..partials as u64).map(|n| plain(Of::Partial(n), &model, dtype)).collect(),
            s_c: case.s_c.map(|density| cache_symbol(case.seed, &stream, density)),
        }
    }

    /// S_c, if the case has one.
    pub fn s_c(&self) -> Option<&CacheSymbol> {
        self.s_c.as_ref()
    }

    /// The projection to heads with these parts.
    pub fn gemm_q(&self, parts: GemmQParts) -> GemmQCall<'_> {
        let [cos, sin] = &self.tables;
        GemmQ {
            stream: self.stream,
            x: &self.activations[0],
            w: &self.w,
            bias: self.bias.as_ref(),
            norm: parts.norm.map(|eps| RmsNorm { weight: &self.norm_weight, eps }),
            rope: parts.rope.map(|pairs| Rope { cos, sin, pairs }),
            s_c: self.s_c.as_ref(),
        }
    }

    /// The projection back with these parts.
    pub fn gemm_o(&self, parts: GemmOParts) -> GemmOCall<'_> {
        GemmO {
            stream: self.stream,
            o: &self.activations[0],
            w: &self.w,
            bias: self.bias.as_ref(),
            s_c: self.s_c.as_ref(),
            summed: parts.summed,
            partials: self.partials.iter().collect(),
            coefficients: COEFFICIENTS[..parts.partials].to_vec(),
        }
    }

    /// The projection of differences.
    ///
    /// # Errors
    /// If the case has no S_c, without which no head is cached.
    pub fn differences(&self, parts: DifferencesParts) -> Result<DifferencesCall<'_>, String> {
        let weights = |weights: &[f32; 4]| weights[..self.activations.len()].to_vec();
        Ok(Differences {
            stream: self.stream,
            outputs: self.activations.iter().collect(),
            weights: WEIGHTS[..parts.orders].iter().map(weights).collect(),
            w: &self.w,
            s_c: self.s_c.as_ref().ok_or("differences need s_c")?,
        })
    }
}

impl Of {
    fn number(self) -> u64 {
        match self {
            Of::W => 0,
            Of::Bias => 1,
            Of::NormWeight => 2,
            Of::Table(n) => 3 + n,
            Of::CacheSymbol => 5,
            Of::Activations(n) => 6 + n,
            Of::Partial(n) => 10 + n,
        }
    }
}

impl Poison {
    /// Into values of X `[B, rows, C]` or O `[B, N, H, D]`.
    fn put(&self, values: &mut [f32], shape: &[usize]) {
        let (row, channels) = (shape[2..].iter().product::<usize>(), shape[shape.len() - 1]);
        let at = self.head * channels + self.channel;
        let rows = values.chunks_exact_mut(row).enumerate();
        rows.filter(|(n, _)| self.row.is_none_or(|only| only == *n)).for_each(|(_, values)| values[at] = self.value);
    }
}

fn cache_symbol(seed: u64, stream: &Stream, density: f64) -> CacheSymbol {
    let mut random = generator(seed, Of::CacheSymbol.number());
    let mut s_c = CacheSymbol::ones(stream.batch, stream.heads, stream.blocks());
    for b in 0..stream.batch {
        for h in 0..stream.heads {
            for i in 0..stream.blocks() {
                s_c.set(b, h, i, random.random_bool(density));
            }
        }
    }
    s_c
}
