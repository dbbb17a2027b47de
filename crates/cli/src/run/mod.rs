//! `sparsym run`: one room on a file.

mod attention;
pub(crate) mod file;
mod gemm_o;
mod gemm_q;
mod metadata;
mod ragged;
mod symbols;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;
use sparsym::Error;
use sparsym::device::{Cost, Device, Measured, emulator};
use sparsym::kernel::Room;

use crate::args::Settings;
use crate::device::{KernelArg, TargetArg, open_for};
use crate::failure::Outcome;
use crate::output::Report;

/// Arguments of `sparsym run`.
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    #[command(subcommand)]
    room: RoomForm,
}

/// Which room.
#[derive(Debug, Subcommand)]
enum RoomForm {
    /// One attention call: q, k, v and more in, o and lse out.
    ///
    /// Sequences of different lengths are packed: q [1, total, H, D], k and v [1, total_kv, H_kv, D], and q_indptr and
    /// kv_indptr [B + 1] say where each starts and the last ends. lse is then [H, total], inputs are [1, total].
    ///
    /// The symbols are those of the strategy's rules at the step given with --set or as metadata, or s_c and s_s of the
    /// file. They are obeyed as they are: the schedule (update when, dense when) belongs to a run of many steps and is
    /// not asked.
    Attention(AttentionArgs),
    /// The symbols of a strategy: q and k in, s_c and s_s out.
    ///
    /// Sequences of different lengths are packed as for attention.
    Symbols(SymbolsArgs),
    /// Projection to heads: x, w and more in, q out.
    ///
    /// Tiles of blocks whose s_c is 0 are not computed; they are 0 in the file.
    #[command(name = "gemm_q")]
    GemmQ(GemmArgs),
    /// Projection back to the model width: o, w and more in, y out.
    ///
    /// Metadata heads says whose s_c counts: active adds up the heads whose s_c is 1, cached those whose s_c is 0.
    #[command(name = "gemm_o")]
    GemmO(GemmArgs),
}

/// Where a room reads, writes and runs.
#[derive(Debug, Args)]
struct FileArgs {
    /// reference, cpu, emulator or cuda.
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: String,
    #[command(flatten)]
    target: TargetArg,
    #[command(flatten)]
    kernel: KernelArg,
    /// Safetensors file to read.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Safetensors file to write.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
    /// Compute this many times and report the shortest time: the first call of a kernel also loads it.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    repeat: u32,
}

#[derive(Debug, Args)]
struct AttentionArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Name of a strategy of the zoo, or path of a .strategy file; left out: everything is computed.
    #[arg(long, value_name = "S")]
    strategy: Option<String>,
    /// Also write the symbols that were obeyed: s_c and s_s, and s_f if the strategy has a mask.
    #[arg(long)]
    symbols: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
struct SymbolsArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Name of a strategy of the zoo, or path of a .strategy file.
    #[arg(long, value_name = "S")]
    strategy: String,
    /// Also write s_f [B, H, T_q, T_kv]: 1 where every token pair passes the mask.
    #[arg(long)]
    full: bool,
    /// Also write margin_c [B, H, T_q] and margin_s [B, H, T_q, T_kv], F32: by how much, relative to their size, numbers
    /// that come from q and k would have to move to change a decision; infinite where they have no say. Device reference.
    #[arg(long)]
    margins: bool,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
struct GemmArgs {
    #[command(flatten)]
    files: FileArgs,
}

/// What a run reports.
#[derive(Serialize)]
struct RunReport {
    device: String,
    ms: f64,
    density_c: f64,
    density_s: f64,
    output: PathBuf,
    #[serde(skip_serializing_if = "Option::is_none")]
    stats: Option<Stats>,
}

/// What the emulator counted: the numbers of the contract, and all of them.
#[derive(Serialize)]
struct Stats {
    warp_instructions: u64,
    mma_flops: u64,
    global_bytes: u64,
    bank_conflicts: u64,
    details: emulator::Stats,
}

/// Runs the room.
pub(crate) fn run(args: &RunArgs, report: Report) -> Outcome {
    match &args.room {
        RoomForm::Attention(args) => attention::run(args, report),
        RoomForm::Symbols(args) => symbols::run(args, report),
        RoomForm::GemmQ(args) => gemm_q::run(args, report),
        RoomForm::GemmO(args) => gemm_o::run(args, report),
    }
}

impl FileArgs {
    /// The device; a text of `--kernel` is one of this room.
    fn open(&self, room: Room) -> Outcome<Box<dyn Device>> {
        open_for(&self.device, &self.target, room, &self.kernel)
    }

    /// The shortest of the asked number of calls.
    fn measure<T>(&self, call: impl Fn() -> Result<Measured<T>, Error>) -> Result<Measured<T>, Error> {
        let mut measured = call()?;
        for _ in 1..self.repeat {
            let again = call()?;
            if again.cost.ms < measured.cost.ms {
                measured = again;
            }
        }
        Ok(measured)
    }

    /// The report of a run that computed these parts of all query blocks and block pairs.
    fn report(&self, device: &dyn Device, [density_c, density_s]: [f64; 2], cost: Cost) -> RunReport {
        RunReport {
            device: device.name().to_owned(),
            ms: cost.ms,
            density_c,
            density_s,
            output: self.output.clone(),
            stats: cost.stats.map(Stats::from),
        }
    }
}

impl From<emulator::Stats> for Stats {
    fn from(details: emulator::Stats) -> Stats {
        Stats {
            warp_instructions: details.warp_instructions,
            mma_flops: details.mma_flops,
            global_bytes: details.global_bytes(),
            bank_conflicts: details.bank_conflicts(),
            details,
        }
    }
}

impl std::fmt::Display for RunReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} in {:.2} ms on {}; {:.1} % of query blocks, {:.1} % of block pairs computed",
            self.output.display(),
            self.ms,
            self.device,
            100.0 * self.density_c,
            100.0 * self.density_s
        )?;
        match &self.stats {
            Some(stats) => write!(
                f,
                "\n{} warp instructions, {} FLOPs of tensor cores, {} bytes of global memory, {} bank conflicts",
                stats.warp_instructions, stats.mma_flops, stats.global_bytes, stats.bank_conflicts
            ),
            None => Ok(()),
        }
    }
}
