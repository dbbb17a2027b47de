//! The two projections around attention, which obey S_c: one call each, what every device takes.
//!
//! Both are generic over what holds the numbers: `&Tensor` and `&CacheSymbol` in host memory, handles of arrays on a device.

use crate::diagnostic::{Code, Finding, Findings};
use crate::problem::{DType, check_block, check_extent, check_tensor_size, product};
use crate::strategy::MOST_TERMS;
use crate::symbols::{CacheSymbol, Packed, SymbolShape};
use crate::tensor::Tensor;

/// Something with a shape and an element type.
pub trait Shaped {
    /// Extents, outermost first.
    fn shape(&self) -> &[usize];
    /// Element type.
    fn dtype(&self) -> DType;
    /// Elements that it holds; more or fewer than its shape says only if it was put together by hand.
    fn elements(&self) -> usize {
        product(self.shape())
    }
}

impl Shaped for Tensor {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        Tensor::dtype(self)
    }

    fn elements(&self) -> usize {
        self.len()
    }
}

impl<T: Shaped> Shaped for &T {
    fn shape(&self) -> &[usize] {
        T::shape(self)
    }

    fn dtype(&self) -> DType {
        T::dtype(self)
    }

    fn elements(&self) -> usize {
        T::elements(self)
    }
}

/// The shape and type of a tensor that nobody has made yet: what a result would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmade {
    /// Extents, outermost first.
    pub shape: Vec<usize>,
    /// Element type.
    pub dtype: DType,
}

impl Unmade {
    /// Of this shape and type.
    pub fn new(shape: &[usize], dtype: DType) -> Unmade {
        Unmade { shape: shape.to_vec(), dtype }
    }
}

impl Shaped for Unmade {
    fn shape(&self) -> &[usize] {
        &self.shape
    }

    fn dtype(&self) -> DType {
        self.dtype
    }
}

/// The part of a joint sequence that one set of weights projects: all of it, or the text or vision of a double stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Stream {
    /// Batch items `B`.
    pub batch: usize,
    /// Tokens of the joint sequence `N`: rows of Q, K, V and O.
    pub tokens: usize,
    /// The stream's first token in it.
    pub first: usize,
    /// Tokens of the stream: rows of X and Y.
    pub rows: usize,
    /// Model width `C`: columns of X, or of Y.
    pub width: usize,
    /// Heads that are projected: `H`, or `H_kv` for K and V.
    pub heads: usize,
    /// Head dimension `D`.
    pub head_dim: usize,
    /// Tokens of a block of the joint sequence, the first of which starts at token 0.
    pub block: usize,
}

impl Stream {
    /// Blocks of the joint sequence, `T`; none where a block has no tokens, which the checks refuse.
    pub fn blocks(&self) -> usize {
        self.tokens.checked_next_multiple_of(self.block).map_or(0, |end| end / self.block)
    }

    /// Blocks that hold a token of the stream.
    pub fn own_blocks(&self) -> std::ops::Range<usize> {
        self.first / self.block..(self.first + self.rows).div_ceil(self.block)
    }

    /// Tokens of the joint sequence that the stream has in a block.
    pub fn tokens_of(&self, block: usize) -> std::ops::Range<usize> {
        let end = self.first + self.rows;
        (block * self.block).clamp(self.first, end)..((block + 1) * self.block).clamp(self.first, end)
    }

    /// Whether no block is shared with another stream.
    pub fn owns_its_blocks(&self) -> bool {
        let end = self.first + self.rows;
        self.first.is_multiple_of(self.block) && (end.is_multiple_of(self.block) || end == self.tokens)
    }

    /// Shape of X and Y.
    pub fn model_shape(&self) -> [usize; 3] {
        [self.batch, self.rows, self.width]
    }

    /// Shape of Q, K, V and O.
    pub fn head_shape(&self) -> [usize; 4] {
        [self.batch, self.tokens, self.heads, self.head_dim]
    }

    /// Checks that the sizes fit each other, and that arrays of them can be counted and stored. A stream may have no rows.
    ///
    /// # Errors
    /// All mistakes found.
    pub fn check(&self) -> Result<(), Findings> {
        let mut findings = Findings::new();
        for (name, extent) in [
            ("batch size B", self.batch),
            ("length N", self.tokens),
            ("number of heads H", self.heads),
            ("head dimension D", self.head_dim),
            ("model width C", self.width),
        ] {
            findings.extend(check_extent(name, extent).err());
        }
        findings.extend(check_block("block_q", self.block).err());
        let end = self.first.saturating_add(self.rows);
        if end > self.tokens {
            let what = format!("the stream ends at token {end} of {}", self.tokens);
            findings.push(Finding::new(Code::TokenLayout, what, "streams lie inside the joint sequence"));
        }
        findings.into_result(())?;
        let mut findings = Findings::new();
        let [batch, rows, width] = self.model_shape();
        let columns = product(&[self.heads, self.head_dim]);
        findings.extend(check_tensor_size("[B, N, H, D]", &self.head_shape()).err());
        findings.extend(check_tensor_size("[B, N, C]", &[batch, rows, width]).err());
        findings.extend(check_extent("product of heads and head dimension H·D", columns).err());
        findings.extend(check_tensor_size("[H·D, C]", &[columns, width]).err());
        findings.into_result(())
    }
}

/// Q = rope(norm(X·Wᵀ + bias)), `[B, N, H, D]`, for the tiles whose S_c is 1; K and V likewise, without S_c.
///
/// Accumulation, bias, normalisation and rotation are f32; the result is rounded once. Tiles that are not computed, and
/// rows of other streams, stay as they were.
#[derive(Clone, Debug, PartialEq)]
pub struct GemmQ<T, S> {
    /// Sizes.
    pub stream: Stream,
    /// X `[B, rows, C]`.
    pub x: T,
    /// W `[H·D, C]`.
    pub w: T,
    /// `[H·D]`.
    pub bias: Option<T>,
    /// Normalisation of each head's row.
    pub norm: Option<RmsNorm<T>>,
    /// Rotary embedding.
    pub rope: Option<Rope<T>>,
    /// S_c of the joint sequence. None: every tile is computed.
    pub s_c: Option<S>,
}

/// x ← x · weight / √(mean(x²) + eps), over the D values of a head.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RmsNorm<T> {
    /// `[D]`, in X's type.
    pub weight: T,
    /// Added to the mean square.
    pub eps: f32,
}

/// Rotation of pairs of channels: (a, b) ← (a·cos − b·sin, b·cos + a·sin).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rope<T> {
    /// f32 `[N, D/2]`, a row for each token of the joint sequence.
    pub cos: T,
    /// f32 `[N, D/2]`.
    pub sin: T,
    /// Which channels are a pair.
    pub pairs: RopePairs,
}

/// Which channels a rotary embedding turns together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RopePairs {
    /// 2i and 2i + 1.
    Interleaved,
    /// i and i + D/2.
    Half,
}

impl RopePairs {
    /// `interleaved` or `half`.
    pub fn parse(name: &str) -> Option<RopePairs> {
        [RopePairs::Interleaved, RopePairs::Half].into_iter().find(|pairs| pairs.name() == name)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            RopePairs::Interleaved => "interleaved",
            RopePairs::Half => "half",
        }
    }

    /// Channels of pair `i` of `head_dim / 2`.
    pub fn channels(self, i: usize, head_dim: usize) -> [usize; 2] {
        match self {
            RopePairs::Interleaved => [2 * i, 2 * i + 1],
            RopePairs::Half => [i, i + head_dim / 2],
        }
    }
}

/// Y = Σ over heads of O_h·W_hᵀ + Σ coefficient·partial + bias, `[B, rows, C]`.
///
/// A head counts for the rows of a block as [`Summed`] says; O of other heads is never read. Accumulation is f32, and the
/// result is rounded once.
#[derive(Clone, Debug, PartialEq)]
pub struct GemmO<T, S> {
    /// Sizes.
    pub stream: Stream,
    /// O `[B, N, H, D]`.
    pub o: T,
    /// W `[C, H·D]`.
    pub w: T,
    /// `[C]`.
    pub bias: Option<T>,
    /// S_c of the joint sequence. None: all heads are active.
    pub s_c: Option<S>,
    /// Which heads are added up.
    pub summed: Summed,
    /// `[B, rows, C]` each: what the heads that are not added up come to. At most [`MOST_TERMS`].
    pub partials: Vec<T>,
    /// A factor for each partial.
    pub coefficients: Vec<f32>,
}

/// Which heads GEMM-O adds up for the rows of a block.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Summed {
    /// Those whose S_c is 1.
    Active,
    /// Those whose S_c is 0.
    Cached,
    /// All, and the sum of the cached ones is a second result: the partial that later steps start from, without bias.
    Both,
}

/// P_k = Σ over cached heads of D^k_h·W_hᵀ for k = 1, 2, …, `[B, rows, C]` each: what a forecast of order k adds to GEMM-O.
///
/// D^k is the sum of `outputs[j]` times `weights[k - 1][j]`, in f32 and rounded once to O's type. Differences are taken
/// before projecting, because the set of cached heads changes from one Update to the next.
#[derive(Clone, Debug, PartialEq)]
pub struct Differences<T, S> {
    /// Sizes.
    pub stream: Stream,
    /// O `[B, N, H, D]` of the last Updates, the newest first; from two to [`MOST_TERMS`].
    pub outputs: Vec<T>,
    /// For each order from 1 a weight for each output.
    pub weights: Vec<Vec<f32>>,
    /// W `[C, H·D]`.
    pub w: T,
    /// S_c of the joint sequence.
    pub s_c: S,
}

/// One projection to heads, in host memory.
pub type GemmQCall<'a> = GemmQ<&'a Tensor, &'a CacheSymbol>;
/// One projection back to the model width, in host memory.
pub type GemmOCall<'a> = GemmO<&'a Tensor, &'a CacheSymbol>;
/// Projected differences, in host memory.
pub type DifferencesCall<'a> = Differences<&'a Tensor, &'a CacheSymbol>;

impl<T, S> GemmQ<T, S> {
    /// The same call over what `array` makes of each array and `symbol` of S_c.
    ///
    /// # Errors
    /// Those of the two.
    pub fn try_map<'a, U, V, E>(
        &'a self,
        array: impl Fn(&'a T) -> Result<U, E>,
        symbol: impl Fn(&'a S) -> Result<V, E>,
    ) -> Result<GemmQ<U, V>, E> {
        Ok(GemmQ {
            stream: self.stream,
            x: array(&self.x)?,
            w: array(&self.w)?,
            bias: self.bias.as_ref().map(&array).transpose()?,
            norm: match &self.norm {
                Some(norm) => Some(RmsNorm { weight: array(&norm.weight)?, eps: norm.eps }),
                None => None,
            },
            rope: match &self.rope {
                Some(rope) => Some(Rope { cos: array(&rope.cos)?, sin: array(&rope.sin)?, pairs: rope.pairs }),
                None => None,
            },
            s_c: self.s_c.as_ref().map(symbol).transpose()?,
        })
    }
}

impl<T: Shaped, S: Packed> GemmQ<T, S> {
    /// Checks every array, S_c, and the results: `q` and, if asked for, the f32 block means `[B, H, T, D]`.
    ///
    /// # Errors
    /// All mistakes found, each naming the array, what it is and what it should be.
    pub fn check(&self, q: &impl Shaped, means: Option<&impl Shaped>) -> Result<(), Findings> {
        let (mut findings, stream) = (Findings::new(), &self.stream);
        stream.check()?;
        let (columns, half, dtype) = (stream.heads * stream.head_dim, stream.head_dim / 2, self.x.dtype());
        check_array("x", &self.x, &stream.model_shape(), "[B, N, C]", dtype, &mut findings);
        check_array("w", &self.w, &[columns, stream.width], "[H·D, C]", dtype, &mut findings);
        if let Some(bias) = &self.bias {
            check_array("bias", bias, &[columns], "[H·D]", dtype, &mut findings);
        }
        if let Some(norm) = &self.norm {
            check_array("q_norm", &norm.weight, &[stream.head_dim], "[D]", dtype, &mut findings);
            if !(norm.eps >= 0.0 && norm.eps.is_finite()) {
                let what = format!("norm_eps is {}", norm.eps);
                findings.push(Finding::new(Code::ParamValue, what, "use a small number that is not negative, as 1e-6"));
            }
        }
        if let Some(rope) = &self.rope {
            if !stream.head_dim.is_multiple_of(2) {
                let what = format!("a rotary embedding of {} channels", stream.head_dim);
                findings.push(Finding::new(Code::TensorShape, what, "channels are turned in pairs"));
            }
            for (name, table) in [("rope_cos", &rope.cos), ("rope_sin", &rope.sin)] {
                check_array(name, table, &[stream.tokens, half], "[N, D/2]", DType::F32, &mut findings);
            }
        }
        check_array("q", q, &stream.head_shape(), "[B, N, H, D]", dtype, &mut findings);
        self.s_c.iter().for_each(|s_c| check_cache_symbol(stream, s_c, &mut findings));
        if let Some(means) = means {
            let shape = [stream.batch, stream.heads, stream.blocks(), stream.head_dim];
            check_array("means", means, &shape, "[B, H, T, D]", DType::F32, &mut findings);
            if !stream.owns_its_blocks() {
                let what = format!("a stream from token {} shares a block with another one", stream.first);
                findings.push(Finding::new(Code::TokenLayout, what, "block means need streams that start on a block"));
            }
        }
        findings.into_result(())
    }
}

impl<T, S> GemmO<T, S> {
    /// The same call over what `array` makes of each array and `symbol` of S_c.
    ///
    /// # Errors
    /// Those of the two.
    pub fn try_map<'a, U, V, E>(
        &'a self,
        array: impl Fn(&'a T) -> Result<U, E>,
        symbol: impl Fn(&'a S) -> Result<V, E>,
    ) -> Result<GemmO<U, V>, E> {
        Ok(GemmO {
            stream: self.stream,
            o: array(&self.o)?,
            w: array(&self.w)?,
            bias: self.bias.as_ref().map(&array).transpose()?,
            s_c: self.s_c.as_ref().map(symbol).transpose()?,
            summed: self.summed,
            partials: self.partials.iter().map(&array).collect::<Result<_, _>>()?,
            coefficients: self.coefficients.clone(),
        })
    }
}

impl<T: Shaped, S: Packed> GemmO<T, S> {
    /// Checks every array, S_c, and the results: `y` and, for [`Summed::Both`], the partial.
    ///
    /// # Errors
    /// All mistakes found, each naming the array, what it is and what it should be.
    pub fn check(&self, y: &impl Shaped, partial: Option<&impl Shaped>) -> Result<(), Findings> {
        let (mut findings, stream) = (Findings::new(), &self.stream);
        stream.check()?;
        let (columns, dtype, model) = (stream.heads * stream.head_dim, self.o.dtype(), stream.model_shape());
        check_array("o", &self.o, &stream.head_shape(), "[B, N, H, D]", dtype, &mut findings);
        check_array("w", &self.w, &[stream.width, columns], "[C, H·D]", dtype, &mut findings);
        if let Some(bias) = &self.bias {
            check_array("bias", bias, &[stream.width], "[C]", dtype, &mut findings);
        }
        for known in &self.partials {
            check_array("partial", known, &model, "[B, N, C]", dtype, &mut findings);
        }
        let (partials, coefficients) = (self.partials.len(), self.coefficients.len());
        if partials != coefficients || partials > MOST_TERMS {
            findings.push(Finding::new(
                Code::CacheMissing,
                format!("{coefficients} coefficients for {partials} partials"),
                format!("give at most {MOST_TERMS} partials and one coefficient for each"),
            ));
        }
        check_array("y", y, &model, "[B, N, C]", dtype, &mut findings);
        self.s_c.iter().for_each(|s_c| check_cache_symbol(stream, s_c, &mut findings));
        if let Some(partial) = partial {
            check_array("partial", partial, &model, "[B, N, C]", dtype, &mut findings);
        }
        if self.summed != Summed::Active && self.s_c.is_none() {
            let help = "give S_c, or sum active heads";
            findings.push(Finding::new(Code::SymbolShape, "without s_c no head is cached", help));
        }
        if partial.is_some() != (self.summed == Summed::Both) {
            findings.push(Finding::new(
                Code::CacheMissing,
                "a partial is written exactly when both kinds of heads are summed",
                "give a place for it, or sum active or cached heads alone",
            ));
        }
        findings.into_result(())
    }
}

impl<T, S> Differences<T, S> {
    /// The same call over what `array` makes of each array and `symbol` of S_c.
    ///
    /// # Errors
    /// Those of the two.
    pub fn try_map<'a, U, V, E>(
        &'a self,
        array: impl Fn(&'a T) -> Result<U, E>,
        symbol: impl Fn(&'a S) -> Result<V, E>,
    ) -> Result<Differences<U, V>, E> {
        Ok(Differences {
            stream: self.stream,
            outputs: self.outputs.iter().map(&array).collect::<Result<_, _>>()?,
            weights: self.weights.clone(),
            w: array(&self.w)?,
            s_c: symbol(&self.s_c)?,
        })
    }
}

impl<T: Shaped, S: Packed> Differences<T, S> {
    /// Checks every array, S_c, and the results.
    ///
    /// # Errors
    /// All mistakes found, each naming the array, what it is and what it should be.
    pub fn check(&self, partials: &[impl Shaped]) -> Result<(), Findings> {
        let (mut findings, stream) = (Findings::new(), &self.stream);
        stream.check()?;
        let (columns, dtype) = (stream.heads * stream.head_dim, self.w.dtype());
        check_array("w", &self.w, &[stream.width, columns], "[C, H·D]", dtype, &mut findings);
        for output in &self.outputs {
            check_array("o", output, &stream.head_shape(), "[B, N, H, D]", dtype, &mut findings);
        }
        for partial in partials {
            check_array("partial", partial, &stream.model_shape(), "[B, N, C]", dtype, &mut findings);
        }
        let outputs = self.outputs.len();
        let weighted = self.weights.iter().all(|weights| weights.len() == outputs);
        if !(2..=MOST_TERMS).contains(&outputs)
            || !weighted
            || self.weights.len() != partials.len()
            || partials.len() >= outputs
        {
            findings.push(Finding::new(
                Code::CacheMissing,
                format!("differences up to order {} of {outputs} outputs", self.weights.len()),
                "order k needs k + 1 outputs, a weight for each of them, and a partial",
            ));
        }
        check_cache_symbol(stream, &self.s_c, &mut findings);
        findings.into_result(())
    }
}

/// Whether S_c is that of the joint sequence.
fn check_cache_symbol(stream: &Stream, s_c: &impl Packed, findings: &mut Findings) {
    let needed = SymbolShape::Cache([stream.batch, stream.heads, stream.blocks()]);
    findings.extend(s_c.symbol_shape().check("s_c", needed, "this projection").err());
}

fn check_array(name: &str, array: &impl Shaped, shape: &[usize], axes: &str, dtype: DType, findings: &mut Findings) {
    let needed = Needed {
        shape,
        shape_help: format!("this projection needs {axes} = {shape:?}"),
        dtype,
        dtype_of: "and must be",
        dtype_help: "activations and weights share one type; tables of a rotary embedding and block means are f32",
    };
    needed.check(name, array, findings);
}

/// What a call needs of an array, and how it says so.
pub(crate) struct Needed<'a> {
    /// Its extents.
    pub shape: &'a [usize],
    /// Follows a wrong shape.
    pub shape_help: String,
    /// Type of its elements.
    pub dtype: DType,
    /// Stands between the type that it has and the one it needs.
    pub dtype_of: &'static str,
    /// Follows a wrong type.
    pub dtype_help: &'static str,
}

impl Needed<'_> {
    /// Adds what is wrong with an array.
    pub(crate) fn check(&self, name: &str, array: &impl Shaped, findings: &mut Findings) {
        if array.shape() != self.shape {
            let what = format!("{name} has shape {:?}", array.shape());
            findings.push(Finding::new(Code::TensorShape, what, self.shape_help.as_str()));
        }
        let elements = product(array.shape());
        if array.elements() != elements {
            findings.push(Finding::new(
                Code::TensorShape,
                format!("{name} holds {} elements", array.elements()),
                format!("its shape {:?} has {elements}", array.shape()),
            ));
        }
        if array.dtype() != self.dtype {
            let what = format!("{name} is {} {} {}", array.dtype().name(), self.dtype_of, self.dtype.name());
            findings.push(Finding::new(Code::TensorType, what, self.dtype_help));
        }
    }
}
