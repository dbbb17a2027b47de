//! Calls over arrays of a session.

use std::ops::Range;
use std::sync::Arc;

use sparsym_ir::symbols::{BitRows, CacheSymbol, Packed, PackedSet, SkipSymbol, SymbolShape};
use sparsym_ir::{Attention, Differences, Findings, GemmO, GemmQ, Problem, Symbols, SymbolsOf};

use super::array::{Array, BitArray, Slot};
use super::memory::{ArrayError, Memory};
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
    Symbols {
        /// Which symbols.
        call: SymbolsOf<'a, &'a Array>,
        /// Means of the blocks of Q and K, f32 `[B, H, T_q, D]` and `[B, H_kv, T_kv, D]`: read instead of them, if
        /// [`takes_means`](super::Session::takes_means).
        means: Option<[&'a Array; 2]>,
        /// Where the symbols go.
        symbols: &'a SymbolArrays,
    },
    /// Attention, tokens in stored order. Rows of O whose S_c is 0 are forecast, or left as they were; those of lse are left.
    Attention {
        /// What is computed.
        call: Attention<'a, &'a Array, SymbolRefs<'a>>,
        /// `[B, N, H, D]`.
        o: &'a Array,
        /// f32 `[B, H, N]`, natural logarithm.
        lse: &'a Array,
    },
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
    /// Calls in any order, or all at once: none reads or writes what another one writes, but for rows of different streams. A
    /// device with kernels has one launch for them and takes only what [`takes_together`](super::Session::takes_together)
    /// says.
    Together(Vec<Call<'a>>),
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
    pub fn ones(memory: &Arc<impl Memory + ?Sized>, problem: &Problem, mask: bool) -> Result<SymbolArrays, Error> {
        let [b, h, t_q, t_kv] = [problem.batch, problem.heads, problem.q_blocks(), problem.kv_blocks()];
        let pairs = BitRows::ones(b * h * t_q, t_kv);
        Ok(SymbolArrays {
            cache: BitArray::place(memory, "s_c", &BitRows::ones(b * t_q, h))?,
            skip: BitArray::place(memory, "s_s", &pairs)?,
            full: mask.then(|| BitArray::place(memory, "s_f", &pairs)).transpose()?,
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

/// The symbols of a call, which may come from different places.
#[derive(Clone, Copy, Debug)]
pub struct SymbolRefs<'a> {
    /// S_c.
    pub cache: &'a BitArray,
    /// S_s.
    pub skip: &'a BitArray,
    /// S_f.
    pub full: Option<&'a BitArray>,
}

impl<'a> From<&'a SymbolArrays> for SymbolRefs<'a> {
    fn from(symbols: &'a SymbolArrays) -> SymbolRefs<'a> {
        SymbolRefs { cache: &symbols.cache, skip: &symbols.skip, full: symbols.full.as_ref() }
    }
}

impl PackedSet for SymbolRefs<'_> {
    fn cache_shape(&self) -> SymbolShape {
        self.cache.symbol_shape()
    }

    fn skip_shape(&self) -> SymbolShape {
        self.skip.symbol_shape()
    }

    fn full_shape(&self) -> Option<SymbolShape> {
        self.full.map(Packed::symbol_shape)
    }
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
                return Err(aliased(written, other));
            }
        }
        match self {
            Call::Together(calls) => check_together(calls, session),
            _ => Ok(()),
        }
    }

    fn check_arrays(&self) -> Result<(), Findings> {
        match self {
            Call::GemmQ { call, q, means } => call.check(q, means.as_ref()),
            Call::GemmO { call, y, partial } => call.check(y, partial.as_ref()),
            Call::Differences { call, partials } => call.check(partials),
            // Each checks its own.
            Call::Together(_) => Ok(()),
            Call::Symbols { call, means, symbols } => {
                call.check()?;
                let means = means.as_ref().map(|[q, k]| [q, k]);
                call.check_results(&SymbolRefs::from(*symbols), means)
            }
            Call::Attention { call, o, lse } => {
                call.check()?;
                call.check_results(o, lse)
            }
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
            Call::Symbols { call, means, symbols } => {
                for (q, k) in call.data.into_iter().chain(means.map(|[q, k]| (q, k))) {
                    reads.extend([("q", q.slot()), ("k", k.slot())]);
                }
                writes.extend([("s_c", symbols.cache.slot()), ("s_s", symbols.skip.slot())]);
                writes.extend(symbols.full.as_ref().map(|full| ("s_f", full.slot())));
            }
            Call::Attention { call, o, lse } => {
                reads.extend([("q", call.q.slot()), ("k", call.k.slot()), ("v", call.v.slot())]);
                reads.extend([("s_c", call.symbols.cache.slot()), ("s_s", call.symbols.skip.slot())]);
                reads.extend(call.symbols.full.map(|full| ("s_f", full.slot())));
                let features = call.forecast.iter().flat_map(|forecast| &forecast.features);
                reads.extend(features.map(|feature| ("cache", feature.slot())));
                writes.extend([("o", o.slot()), ("lse", lse.slot())]);
            }
            Call::Together(_) => {}
        }
        (reads, writes)
    }

    /// Tokens of the joint sequence that a projection to heads writes; None: all that its results hold.
    fn rows(&self) -> Option<Range<usize>> {
        match self {
            Call::GemmQ { call, .. } => Some(call.stream.first..call.stream.first + call.stream.rows),
            _ => None,
        }
    }

    /// Whether what both write may be the same place, if it is of one array.
    fn overlaps(&self, other: &Call<'_>) -> bool {
        match (self.rows(), other.rows()) {
            (Some(one), Some(other)) => one.start < other.end && other.start < one.end,
            _ => true,
        }
    }
}

/// Checks each of these calls, and that they may run in any order.
fn check_together(calls: &[Call<'_>], session: *const ()) -> Result<(), Error> {
    calls.iter().try_for_each(|call| call.check(session))?;
    let slots: Vec<_> = calls.iter().map(Call::slots).collect();
    for (at, (_, writes)) in slots.iter().enumerate() {
        for (other_at, (reads, other_writes)) in slots.iter().enumerate().filter(|(other, _)| *other != at) {
            let overlapping = other_writes.iter().filter(|_| calls[at].overlaps(&calls[other_at]));
            let others = reads.iter().chain(overlapping);
            for (written, slot) in writes {
                if let Some((other, _)) = others.clone().find(|(_, other)| other.id() == slot.id()) {
                    return Err(aliased(written, other));
                }
            }
        }
    }
    Ok(())
}

fn aliased(written: &str, other: &str) -> Error {
    ArrayError::Aliased { written: written.to_owned(), other: other.to_owned() }.into()
}
