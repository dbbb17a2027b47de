//! Block-sparse attention and the projections around it on the CPU: the device that is always there.
//!
//! [`attention`] takes an [`AttentionCall`] and does the work that its symbols ask for, in tiles with an online softmax:
//!
//! ```text
//! for each (batch item, head, query tile) whose S_c bit is 1, in parallel:
//!     for each strip of kv tiles whose S_s bit is 1:
//!         S  = scale · Q Kᵀ                     one GEMM a tile
//!         S  = score(S), -inf where masked      masked only where the S_f bit is 0
//!         m' = max(m, rowmax S);  P = exp(S - m')
//!         l  = l · exp(m - m') + rowsum P
//!         O  = O · exp(m - m') + P V            one GEMM a run of neighbouring tiles
//!     o = O / l,  lse = m + ln l
//! ```
//!
//! A pair whose S_s bit is 0 is never looked at: neither its logits nor its K and V. Input is f32, f16 or bf16,
//! accumulation is f32, and O has Q's type. NaN and infinity spread to the rows that touch them and to no other row; a
//! masked token pair touches nothing.
//!
//! Memory beyond the inputs and outputs:
//!
//! * K and V as f32, 8·N_kv·D bytes for each kv head in work: heads are worked off together until there are 32 query tiles
//!   for each thread, and up to 256 MiB, but at least one head;
//! * `4·tile_q·(STRIP + 16 + 2·D)` bytes for each thread, with `tile_q <= 128` and `STRIP = 512`: 392 KiB for D = 128;
//! * 16 bytes for each query row and head.
//!
//! Up to 64 MiB of the first two are kept for the next call.
//!
//! [`symbols`] makes the symbols that rules over Q and K say.
//!
//! [`gemm_q()`] and [`gemm_o()`] project to heads and back, for the (block, head) tiles that S_c asks for;
//! [`differences()`] projects what a forecast adds:
//!
//! ```text
//! Wᵀ = W as f32, turned so that the GEMM reads along outputs      once a call, only heads that some block asks for
//! for each band of at most 128 rows, in parallel:
//!     GEMM-Q:  for each head, for each run of blocks that compute it:
//!                  P = X Wᵀ                         one GEMM over C
//!                  Q = rope(norm(P + bias))         rounded once
//!     GEMM-O:  Y = bias + Σ coefficient · partial
//!              for each run of blocks with the same heads, for each run of heads:
//!                  Y = Y + O Wᵀ                     one GEMM over the channels of the run
//! ```
//!
//! Tiles, heads and blocks that are not asked for are neither read nor converted, so their NaN reaches nothing. The same
//! sums are taken in the same order on any number of threads. Memory beyond inputs and outputs: turned weights, at most
//! 64 MiB at a time unless one head (GEMM-Q) or 128 columns (GEMM-O) need more; and for each thread 512·D bytes in GEMM-Q,
//! and 512·C for each result of GEMM-O that is not f32 or is shared out by columns, because there are fewer than four bands
//! for each thread. Half-precision inputs are converted a band at a time, 512·C or 512·H·D bytes.
//!
//! Cargo compiles dependencies of a debug build without optimisation, and this crate then takes 30 to 100 times as long. A
//! library cannot choose that; an application can, in its `Cargo.toml`:
//!
//! ```toml
//! [profile.dev.package."*"]
//! opt-level = 3
//! ```
//!
//! Non-goals: no schedule is followed, no result is kept between calls, and the oracle is
//! another crate: this one is tuned, so it is checked like any device.
//!
//! ```
//! use sparsym_ir::{AttentionCall, Bindings, Bound, DType, Moment, Problem, Strategy, Symbols, Tensor};
//!
//! let (strategy, problem) = (Strategy::dense(), Problem::self_attention(1, 2, 1, 1));
//! let bindings = Bindings::defaults(&strategy);
//! let bound = Bound::new(&strategy, &problem, &bindings)?;
//! let tensor = |values: &[f32]| Tensor::from_f32(&[1, 2, 1, 1], DType::F32, values);
//! let (q, k, v) = (tensor(&[0.0, 0.0]), tensor(&[1.0, 2.0]), tensor(&[10.0, 30.0]));
//!
//! let symbols = Symbols::dense(1, 1, problem.q_blocks(), problem.kv_blocks());
//! let call = AttentionCall {
//!     bound: &bound,
//!     moment: Moment::default(),
//!     q: &q,
//!     k: &k,
//!     v: &v,
//!     symbols: &symbols,
//!     forecast: None,
//! };
//! let out = sparsym_cpu::attention(&call)?;
//! assert_eq!(out.o.to_f32(), [20.0, 20.0]); // queries of 0 weigh all tokens alike
//! # Ok::<(), sparsym_ir::Findings>(())
//! ```
#![deny(missing_docs)]
#![deny(unsafe_code)]

mod bands;
mod buffer;
mod differences;
mod element;
mod features;
mod finish;
mod gemm;
mod gemm_o;
mod gemm_q;
mod panels;
mod plan;
mod rules;
mod softmax;
mod sums;
#[cfg(test)]
mod tests;
mod tile;
mod weights;

use half::{bf16, f16};
use sparsym_ir::data::data_symbols;
use sparsym_ir::static_symbols::static_symbols;
use sparsym_ir::tensor::Data;
use sparsym_ir::{
    AttentionCall, AttentionOutput, DType, DifferencesCall, Findings, GemmOCall, GemmQCall, Symbols, SymbolsCall,
    Tensor,
};

use features::BlockFeatures;

/// Whether this crate was compiled with optimisation, whatever else the profile says.
pub const OPTIMISED: bool = is_optimised(option_env!("SPARSYM_OPT_LEVEL"));

/// Of the level that the build script was told; None: another build system, which is not known to be slow.
const fn is_optimised(level: Option<&str>) -> bool {
    match level {
        Some(level) => !matches!(level.as_bytes(), b"0"),
        None => true,
    }
}

/// Computes one attention call on all threads of the current rayon pool.
///
/// # Errors
/// What [`AttentionCall::check`] finds: tensors or symbols that do not fit the problem.
pub fn attention(call: &AttentionCall) -> Result<AttentionOutput, Findings> {
    call.check()?;
    let (data, lse) = match call.q.data {
        Data::F32(_) => {
            let (o, lse) = plan::run(call);
            (Data::F32(o), lse)
        }
        Data::F16(_) => {
            let (o, lse) = plan::run(call);
            (Data::F16(o), lse)
        }
        Data::Bf16(_) => {
            let (o, lse) = plan::run(call);
            (Data::Bf16(o), lse)
        }
    };
    Ok(AttentionOutput { o: Tensor { shape: call.bound.problem.q_shape().to_vec(), data }, lse })
}

/// The symbols of a strategy. Means, similarities and products of blocks are computed here, on all threads of the current
/// rayon pool; maps and rules follow in [`sparsym_ir::data`].
///
/// # Errors
/// What [`SymbolsCall::check`] finds: tensors that are missing or do not fit the problem.
pub fn symbols(call: &SymbolsCall) -> Result<Symbols, Findings> {
    call.check()?;
    let (bound, moment) = (call.bound, &call.moment);
    let Some((q, k)) = call.data.filter(|_| bound.strategy.reads_data()) else {
        return Ok(static_symbols(bound, moment));
    };
    Ok(match q.data {
        Data::F32(_) => data_symbols(bound, moment, &BlockFeatures::<f32>::new(bound.problem, q, k)),
        Data::F16(_) => data_symbols(bound, moment, &BlockFeatures::<f16>::new(bound.problem, q, k)),
        Data::Bf16(_) => data_symbols(bound, moment, &BlockFeatures::<bf16>::new(bound.problem, q, k)),
    })
}

/// One projection to heads, on all threads of the current rayon pool: the rows of computed tiles are written to `q`, and
/// the means of the computed blocks' rows, as `q` holds them, to `means`. X and W are read where a tile is computed.
///
/// # Errors
/// What [`GemmQCall::check`] finds.
pub fn gemm_q(call: &GemmQCall, q: &mut Tensor, means: Option<&mut Tensor>) -> Result<(), Findings> {
    call.check(q, means.as_deref())?;
    match q.dtype() {
        DType::F32 => gemm_q::run::<f32>(call, q, means),
        DType::F16 => gemm_q::run::<f16>(call, q, means),
        DType::Bf16 => gemm_q::run::<bf16>(call, q, means),
    }
    Ok(())
}

/// One projection back to the model width, on all threads of the current rayon pool: all of `y` is written, and all of
/// `partial`. O and W are read where a head is summed.
///
/// # Errors
/// What [`GemmOCall::check`] finds.
pub fn gemm_o(call: &GemmOCall, y: &mut Tensor, partial: Option<&mut Tensor>) -> Result<(), Findings> {
    call.check(y, partial.as_deref())?;
    match y.dtype() {
        DType::F32 => gemm_o::run::<f32>(call, y, partial),
        DType::F16 => gemm_o::run::<f16>(call, y, partial),
        DType::Bf16 => gemm_o::run::<bf16>(call, y, partial),
    }
    Ok(())
}

/// The projected differences of each order from 1, on all threads of the current rayon pool: all of every partial is
/// written. Outputs and W are read where a head is cached.
///
/// # Errors
/// What [`DifferencesCall::check`] finds.
pub fn differences(call: &DifferencesCall, partials: &mut [&mut Tensor]) -> Result<(), Findings> {
    call.check(&partials.iter().map(|partial| &**partial).collect::<Vec<_>>())?;
    match call.w.dtype() {
        DType::F32 => differences::run::<f32>(call, partials),
        DType::F16 => differences::run::<f16>(call, partials),
        DType::Bf16 => differences::run::<bf16>(call, partials),
    }
    Ok(())
}
