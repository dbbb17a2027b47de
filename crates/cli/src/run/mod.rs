//! `sparsym run`: one room on a file.

mod attention;
mod file;
mod symbols;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde::Serialize;

use crate::args::Settings;
use crate::failure::{Failure, Outcome};
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
    /// The symbols are those of the strategy's rules at the step given with --set, or s_c and s_s of the file. They are
    /// obeyed as they are: the schedule (update when, dense when) belongs to a run of many steps and is not asked.
    Attention(AttentionArgs),
    /// The symbols of a strategy: q and k in, s_c and s_s out.
    Symbols(SymbolsArgs),
    /// Projection of the hidden states; not in this version.
    #[command(name = "gemm_q")]
    GemmQ(GemmArgs),
    /// Output projection; not in this version.
    #[command(name = "gemm_o")]
    GemmO(GemmArgs),
}

/// Where a room reads, writes and runs.
#[derive(Debug, Args)]
struct FileArgs {
    /// reference, cpu or cuda.
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: String,
    /// Safetensors file to read.
    #[arg(long, value_name = "FILE")]
    input: PathBuf,
    /// Safetensors file to write.
    #[arg(long, value_name = "FILE")]
    output: PathBuf,
}

#[derive(Debug, Args)]
struct AttentionArgs {
    #[command(flatten)]
    files: FileArgs,
    /// Name of a strategy of the zoo, or path of a .strategy file; left out: everything is computed.
    #[arg(long, value_name = "S")]
    strategy: Option<String>,
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
    #[command(flatten)]
    settings: Settings,
}

#[derive(Debug, Args)]
struct GemmArgs {
    /// Whatever a later version will take.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, hide = true)]
    rest: Vec<String>,
}

/// What a run reports.
#[derive(Serialize)]
struct RunReport {
    device: String,
    ms: f64,
    density_c: f64,
    density_s: f64,
    output: PathBuf,
}

/// Runs the room.
pub(crate) fn run(args: &RunArgs, report: Report) -> Outcome {
    match &args.room {
        RoomForm::Attention(args) => attention::run(args, report),
        RoomForm::Symbols(args) => symbols::run(args, report),
        RoomForm::GemmQ(args) => not_in_this_version("gemm_q", args),
        RoomForm::GemmO(args) => not_in_this_version("gemm_o", args),
    }
}

fn not_in_this_version(room: &str, _: &GemmArgs) -> Outcome {
    Err(Failure::usage(format!(
        "run {room} is not in this version\nhelp: the rooms that run are attention and symbols"
    )))
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
        )
    }
}
