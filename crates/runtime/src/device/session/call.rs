//! Calls over arrays of a session.

use std::sync::Arc;

use sparsym_ir::bind::{Bound, Moment};
use sparsym_ir::projection::Shaped;
use sparsym_ir::symbols::{BitRows, CacheSymbol, SkipSymbol};
use sparsym_ir::{Code, Differences, Finding, Findings, GemmO, GemmQ, Problem, Symbols};

use super::array::Slot;
use super::{Array, ArrayError, BitArray, Session};
use crate::error::Error;

/// Work of one room on arrays of one session.
#[derive(Clone, Debug)]
pub enum Call<'a> {
    /// Projection to heads.
    GemmQ {
        /// What is projected.
        call: GemmQ<&'a Array, &'a BitArray>,
        /// `[B, N, H, D]`.
        q: &'a Array,
        /// f32 `[B, H, T, D]`: means of the finished blocks.
        means: Option<&'a Array>,
    },
    /// Symbols of a strategy, tokens in stored order.
    Symbols(SymbolsArrays<'a>),
    /// Attention, tokens in stored order.
    Attention(AttentionArrays<'a>),
    /// Projection back to the model width.
    GemmO {
        /// What is projected.
        call: GemmO<&'a Array, &'a BitArray>,
        /// `[B, rows, C]`.
        y: &'a Array,
        /// `[B, rows, C]`.
        partial: Option<&'a Array>,
    },
    /// Projected differences of the last outputs.
    Differences {
        /// What is projected.
        call: Differences<&'a Array, &'a BitArray>,
        /// `[B, rows, C]` each.
        partials: Vec<&'a Array>,
    },
}

/// Symbols in a session's memory.
#[derive(Debug)]
pub struct SymbolArrays {
    /// S_c: `[B, T_q]` rows of H bits.
    pub cache: BitArray,
    /// S_s: `[B, H, T_q]` rows of T_kv bits.
    pub skip: BitArray,
    /// S_f, as S_s; present exactly when the strategy has a mask.
    pub full: Option<BitArray>,
}

impl SymbolArrays {
    /// Symbols of a problem, everything computed. S_f, if there is a mask, is made with the first call.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn ones(session: &Arc<dyn Session>, problem: &Problem, mask: bool) -> Result<SymbolArrays, Error> {
        let [b, h, t_q, t_kv] = [problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks()];
        let pairs = BitRows::ones(b * h * t_q, t_kv);
        Ok(SymbolArrays {
            cache: BitArray::place(session, "s_c", &BitRows::ones(b * t_q, h))?,
            skip: BitArray::place(session, "s_s", &pairs)?,
            full: mask.then(|| BitArray::place(session, "s_f", &pairs)).transpose()?,
        })
    }

    /// The symbols, in host memory.
    ///
    /// # Errors
    /// The device's own.
    pub fn read(&self, problem: &Problem) -> Result<Symbols, Error> {
        let pairs = |array: &BitArray| -> Result<SkipSymbol, Error> {
            Ok(SkipSymbol::from_rows(problem.batch, problem.heads, problem.q_blocks(), array.read()?))
        };
        Ok(Symbols {
            cache: CacheSymbol::from_rows(problem.batch, problem.q_blocks(), self.cache.read()?),
            skip: pairs(&self.skip)?,
            full: self.full.as_ref().map(pairs).transpose()?,
        })
    }

    /// Other arrays of the same symbols.
    ///
    /// # Errors
    /// If the device has no room for them.
    pub fn duplicate(&self) -> Result<SymbolArrays, Error> {
        Ok(SymbolArrays {
            cache: self.cache.duplicate()?,
            skip: self.skip.duplicate()?,
            full: self.full.as_ref().map(BitArray::duplicate).transpose()?,
        })
    }

    /// Their bytes on the device.
    pub fn bytes(&self) -> usize {
        self.cache.bytes() + self.skip.bytes() + self.full.as_ref().map_or(0, BitArray::bytes)
    }
}

/// A call of the symbols room.
#[derive(Clone, Copy, Debug)]
pub struct SymbolsArrays<'a> {
    /// Strategy, shapes and values.
    pub bound: &'a Bound<'a>,
    /// Step and layer.
    pub moment: Moment,
    /// Q `[B, N, H, D]` and K `[B, N_kv, H_kv, D]`; None for rules that read no tensor data.
    pub data: Option<[&'a Array; 2]>,
    /// Means of their blocks, f32 `[B, H, T_q, D]` and `[B, H_kv, T_kv, D]`: read instead, if
    /// [`takes_means`](super::Session::takes_means).
    pub means: Option<[&'a Array; 2]>,
    /// Where the symbols go.
    pub symbols: &'a SymbolArrays,
}

/// Σ coefficient · feature, for rows whose S_c is 0.
#[derive(Clone, Debug)]
pub struct ForecastArrays<'a> {
    /// `[B, N, H, D]` each; one to four.
    pub features: Vec<&'a Array>,
    /// One for each feature.
    pub coefficients: Vec<f32>,
}

/// A call of the attention room. Rows of O whose S_c is 0 are forecast, or unspecified afterwards; in lse they are.
#[derive(Clone, Debug)]
pub struct AttentionArrays<'a> {
    /// Strategy, shapes and values.
    pub bound: &'a Bound<'a>,
    /// Step and layer.
    pub moment: Moment,
    /// Q `[B, N, H, D]`.
    pub q: &'a Array,
    /// K `[B, N_kv, H_kv, D]`.
    pub k: &'a Array,
    /// V `[B, N_kv, H_kv, D]`.
    pub v: &'a Array,
    /// S_c.
    pub cache: &'a BitArray,
    /// S_s.
    pub skip: &'a BitArray,
    /// S_f.
    pub full: Option<&'a BitArray>,
    /// Value of rows whose S_c is 0.
    pub forecast: Option<ForecastArrays<'a>>,
    /// `[B, N, H, D]`.
    pub o: &'a Array,
    /// f32 `[B, H, N]`, natural logarithm.
    pub lse: &'a Array,
}

impl<'a> Call<'a> {
    /// Checks arrays and numbers against each other, and that nothing is read and written.
    ///
    /// # Errors
    /// Findings, or [`ArrayError`].
    pub(crate) fn check(&self, session: *const ()) -> Result<(), Error> {
        self.check_arrays()?;
        let (reads, writes) = self.slots();
        for (name, slot) in reads.iter().chain(&writes) {
            if slot.session_address() != session {
                return Err(ArrayError::OtherSession { name: format!("{name} ({})", slot.name()) }.into());
            }
        }
        for (index, (written, slot)) in writes.iter().enumerate() {
            let mut others = reads.iter().chain(&writes[..index]);
            if let Some((other, _)) = others.find(|(_, other)| other.id() == slot.id()) {
                let [written, other] = [written, other].map(|name| (*name).to_owned());
                return Err(ArrayError::Aliased { written, other }.into());
            }
        }
        Ok(())
    }

    fn check_arrays(&self) -> Result<(), Findings> {
        match self {
            Call::GemmQ { call, q, means } => {
                call.check(q, means.as_ref())?;
                let stream = &call.stream;
                let rows = [stream.batch * stream.blocks(), stream.heads];
                call.s_c.map_or(Ok(()), |s_c| check_bits("s_c", s_c, rows))
            }
            Call::GemmO { call, y, partial } => {
                call.check(y, partial.as_ref())?;
                let stream = &call.stream;
                let rows = [stream.batch * stream.blocks(), stream.heads];
                call.s_c.map_or(Ok(()), |s_c| check_bits("s_c", s_c, rows))
            }
            Call::Differences { call, partials } => {
                call.check(partials)?;
                let stream = &call.stream;
                check_bits("s_c", call.s_c, [stream.batch * stream.blocks(), stream.heads])
            }
            Call::Symbols(call) => call.check(),
            Call::Attention(call) => call.check(),
        }
    }

    /// What is read, and what is written: names and places.
    #[allow(clippy::type_complexity)]
    fn slots(&self) -> (Vec<(&'static str, &'a Slot)>, Vec<(&'static str, &'a Slot)>) {
        let (mut reads, mut writes): (Vec<(&'static str, &'a Slot)>, Vec<_>) = (Vec::new(), Vec::new());
        match self {
            Call::GemmQ { call, q, means } => {
                reads.extend([("x", call.x.slot()), ("w", call.w.slot())]);
                reads.extend(call.bias.map(|bias| ("bias", bias.slot())));
                reads.extend(call.norm.map(|norm| ("q_norm", norm.weight.slot())));
                let tables = call.rope.map(|rope| [("rope_cos", rope.cos.slot()), ("rope_sin", rope.sin.slot())]);
                reads.extend(tables.into_iter().flatten());
                reads.extend(call.s_c.map(|s_c| ("s_c", s_c.slot())));
                writes.push(("q", q.slot()));
                writes.extend(means.map(|means| ("means", means.slot())));
            }
            Call::GemmO { call, y, partial } => {
                reads.extend([("o", call.o.slot()), ("w", call.w.slot())]);
                reads.extend(call.bias.map(|bias| ("bias", bias.slot())));
                reads.extend(call.s_c.map(|s_c| ("s_c", s_c.slot())));
                reads.extend(call.partials.iter().map(|partial| ("partial", partial.slot())));
                writes.push(("y", y.slot()));
                writes.extend(partial.map(|partial| ("partial", partial.slot())));
            }
            Call::Differences { call, partials } => {
                reads.extend([("w", call.w.slot()), ("s_c", call.s_c.slot())]);
                reads.extend(call.outputs.iter().map(|output| ("o", output.slot())));
                writes.extend(partials.iter().map(|partial| ("partial", partial.slot())));
            }
            Call::Symbols(call) => {
                for [q, k] in [call.data, call.means].into_iter().flatten() {
                    reads.extend([("q", q.slot()), ("k", k.slot())]);
                }
                writes.extend([("s_c", call.symbols.cache.slot()), ("s_s", call.symbols.skip.slot())]);
                writes.extend(call.symbols.full.as_ref().map(|full| ("s_f", full.slot())));
            }
            Call::Attention(call) => {
                reads.extend([("q", call.q.slot()), ("k", call.k.slot()), ("v", call.v.slot())]);
                reads.extend([("s_c", call.cache.slot()), ("s_s", call.skip.slot())]);
                reads.extend(call.full.map(|full| ("s_f", full.slot())));
                let features = call.forecast.iter().flat_map(|forecast| &forecast.features);
                reads.extend(features.map(|feature| ("cache", feature.slot())));
                writes.extend([("o", call.o.slot()), ("lse", call.lse.slot())]);
            }
        }
        (reads, writes)
    }
}

impl SymbolsArrays<'_> {
    fn check(&self) -> Result<(), Findings> {
        self.bound.check_moment(&self.moment)?;
        let (problem, strategy) = (self.bound.problem, self.bound.strategy);
        let [b, h, t_q, t_kv] = [problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks()];
        check_bits("s_c", &self.symbols.cache, [b * t_q, h])?;
        check_bits("s_s", &self.symbols.skip, [b * h * t_q, t_kv])?;
        if let Some(full) = &self.symbols.full {
            check_bits("s_f", full, [b * h * t_q, t_kv])?;
        }
        if self.symbols.full.is_some() != strategy.mask.is_some() {
            return Err(no_s_f().into());
        }
        if strategy.reads_data() && self.data.is_none() && self.means.is_none() {
            let what = format!("rules of {} read q and k, which are not given", strategy.name);
            return Err(Finding::new(Code::TensorShape, what, "give q and k").into());
        }
        for [q, k] in self.data.iter() {
            check_shape("q", q, &problem.q_shape())?;
            check_shape("k", k, &problem.kv_shape())?;
        }
        for [q, k] in self.means.iter() {
            check_shape("means of q", q, &[b, h, t_q, problem.head_dim])?;
            check_shape("means of k", k, &[b, problem.kv_heads, t_kv, problem.head_dim])?;
        }
        Ok(())
    }
}

impl AttentionArrays<'_> {
    fn check(&self) -> Result<(), Findings> {
        self.bound.check_moment(&self.moment)?;
        let problem = self.bound.problem;
        problem.check_attention_blocks()?;
        let [b, h, t_q, t_kv] = [problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks()];
        check_shape("q", self.q, &problem.q_shape())?;
        check_shape("k", self.k, &problem.kv_shape())?;
        check_shape("v", self.v, &problem.kv_shape())?;
        for (name, array) in [("k", self.k), ("v", self.v), ("o", self.o)] {
            check_dtype(name, array, self.q)?;
        }
        check_shape("o", self.o, &problem.q_shape())?;
        if let Some(ForecastArrays { features, coefficients }) = &self.forecast {
            if features.len() != coefficients.len() || !(1..=4).contains(&features.len()) {
                let what = format!("{} coefficients for {} features", coefficients.len(), features.len());
                return Err(Finding::new(Code::CacheMissing, what, "give one to four features").into());
            }
            features.iter().try_for_each(|feature| check_shape("cache", feature, &problem.q_shape()))?;
        }
        check_bits("s_c", self.cache, [b * t_q, h])?;
        check_bits("s_s", self.skip, [b * h * t_q, t_kv])?;
        match (self.full, &self.bound.strategy.mask) {
            (Some(full), Some(_)) => check_bits("s_f", full, [b * h * t_q, t_kv]),
            (None, None) => Ok(()),
            _ => Err(no_s_f().into()),
        }
    }
}

fn no_s_f() -> Finding {
    Finding::new(
        Code::SymbolShape,
        "s_f is there exactly when the strategy has a mask",
        "make the symbols for this strategy",
    )
}

fn check_shape(name: &str, array: &Array, shape: &[usize]) -> Result<(), Findings> {
    if array.shape() == shape {
        return Ok(());
    }
    let help = format!("this problem needs {shape:?}");
    Err(Finding::new(Code::TensorShape, format!("{name} has shape {:?}", array.shape()), help).into())
}

fn check_dtype(name: &str, array: &Array, q: &Array) -> Result<(), Findings> {
    if array.dtype() == q.dtype() {
        return Ok(());
    }
    let what = format!("{name} is {} but q is {}", array.dtype().name(), q.dtype().name());
    Err(Finding::new(
        Code::TensorType,
        what,
        "convert to one type that holds the values of all: f16 ends at 65504, bf16 has 8 bits of precision",
    )
    .into())
}

fn check_bits(name: &str, array: &BitArray, [rows, bits]: [usize; 2]) -> Result<(), Findings> {
    if array.extents() == [rows, bits] {
        return Ok(());
    }
    let [found_rows, found_bits] = array.extents();
    let help = format!("this problem needs {rows} rows of {bits}");
    Err(Finding::new(Code::SymbolShape, format!("{name} has {found_rows} rows of {found_bits} bits"), help).into())
}
