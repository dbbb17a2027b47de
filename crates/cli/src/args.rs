//! The forms of the command line and the arguments that several of them share.

use clap::{Args, Parser, Subcommand, ValueEnum};
use sparsym::ir::DType;
use sparsym::kernel::{Room, Schedule, TileOrder};

use crate::{bench, cache, compile, demo, emit, explain, run};

/// Sparse attention strategies: look at them, compile them, run them.
#[derive(Debug, Parser)]
#[command(name = "sparsym", version, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// Print one JSON object on stdout and nothing else there.
    #[arg(long, global = true)]
    pub(crate) json: bool,
    /// What to do.
    #[command(subcommand)]
    pub(crate) form: Form,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Form {
    /// Denoise a photograph with dense attention and with several strategies, and compare.
    Demo(demo::DemoArgs),
    /// List the strategies of the zoo.
    List,
    /// Say what a strategy does, and draw its symbols.
    Explain(explain::ExplainArgs),
    /// Print the generated CUDA of a kernel.
    Emit(emit::EmitArgs),
    /// Compile a kernel and report registers, memory and time.
    Compile(compile::CompileArgs),
    /// Run one room on a file.
    Run(run::RunArgs),
    /// Time one room on a device, over random inputs.
    Bench(Box<bench::BenchArgs>),
    /// Show what was found on this machine: driver, GPUs, compiler, cache.
    Doctor,
    /// Look at the kernel cache, empty or check it.
    Cache(cache::CacheArgs),
}

/// `--set NAME=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Setting {
    /// Name of a param, table or input, or `step`, `steps`, `layer`.
    pub(crate) name: String,
    /// Value as written.
    pub(crate) value: String,
}

/// Values of what a strategy leaves open.
#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// Value of a param (reach=512), table (window=3,3,3, entries of its last axis separated by `;`; or JSON, an array for
    /// each axis, written out or as @FILE; or @FILE.safetensors), input (document=0*100,1*28) or of step, steps, layer; may
    /// be given several times.
    #[arg(long = "set", value_name = "NAME=VALUE", value_parser = parse_setting)]
    pub(crate) set: Vec<Setting>,
}

/// A kernel to generate.
#[derive(Debug, Args)]
pub(crate) struct KernelArgs {
    /// Name of a strategy of the zoo, or path of a .strategy file.
    #[arg(value_name = "S")]
    pub(crate) strategy: String,
    /// Which kernel: attention, symbols, gemm_q or gemm_o. A projection is the product alone, sparse if the strategy caches.
    #[arg(long, value_name = "ROOM", value_parser = parse_room)]
    pub(crate) room: Room,
    /// Architecture, for instance sm_80 or sm_90a.
    #[arg(long, value_name = "TARGET")]
    pub(crate) target: String,
    /// Type of Q, K, V and O.
    #[arg(long, value_enum, default_value_t = KernelType::Bf16)]
    pub(crate) dtype: KernelType,
    /// Head dimension D.
    #[arg(long, value_name = "D", default_value_t = 128)]
    pub(crate) head_dim: usize,
    /// Tokens of a query block; left out: the strategy's.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) block_q: Option<u32>,
    /// Tokens of a kv block; left out: the strategy's.
    #[arg(long, value_name = "TOKENS")]
    pub(crate) block_kv: Option<u32>,
    /// How the sequences of a batch are given.
    #[arg(long, value_enum, default_value_t = SequenceArg::Uniform)]
    pub(crate) sequences: SequenceArg,
    /// Who fills the rows whose S_c is 0.
    #[arg(long, value_enum, default_value_t = CachedRowsArg::Caller)]
    pub(crate) cached_rows: CachedRowsArg,
    /// In which order attention takes its tiles.
    #[arg(long, value_enum, default_value_t = OrderArg::Grid)]
    pub(crate) order: OrderArg,
    /// Who loads, multiplies and waits; left out: the fastest schedule that can do what is asked for.
    #[arg(long, value_enum)]
    pub(crate) schedule: Option<ScheduleArg>,
}

/// Element type of a kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum KernelType {
    /// bfloat16.
    Bf16,
    /// IEEE half precision.
    F16,
}

/// How the sequences of a batch are given.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SequenceArg {
    /// All of one length.
    Uniform,
    /// Packed one after another, with index pointers.
    Ragged,
}

/// Who fills the rows whose S_c is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CachedRowsArg {
    /// The caller; the kernel leaves them alone.
    Caller,
    /// The kernel writes their forecast.
    Forecast,
}

/// In which order attention takes its tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OrderArg {
    /// Each CTA has the tile of its place in the grid.
    Grid,
    /// Those with most computed kv blocks first, from a list that a first launch makes.
    HeaviestFirst,
}

/// Who loads, multiplies and waits in a kernel that multiplies tiles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScheduleArg {
    /// One warp copies boxes, warpgroups multiply, CTAs stay resident: sm_90a.
    Specialised,
    /// All warps copy and multiply alike: every target.
    Portable,
}

impl ScheduleArg {
    /// The schedule that it stands for.
    pub(crate) fn schedule(self) -> Schedule {
        match self {
            ScheduleArg::Specialised => Schedule::Specialised,
            ScheduleArg::Portable => Schedule::Portable,
        }
    }
}

impl OrderArg {
    /// As it is written.
    pub(crate) fn name(self) -> &'static str {
        match self {
            OrderArg::Grid => "grid",
            OrderArg::HeaviestFirst => "heaviest-first",
        }
    }

    /// The order that it stands for.
    pub(crate) fn order(self) -> TileOrder {
        match self {
            OrderArg::Grid => TileOrder::Grid,
            OrderArg::HeaviestFirst => TileOrder::HeaviestFirst,
        }
    }
}

impl KernelType {
    /// The type that it stands for.
    pub(crate) fn dtype(self) -> DType {
        match self {
            KernelType::Bf16 => DType::Bf16,
            KernelType::F16 => DType::F16,
        }
    }
}

fn parse_setting(text: &str) -> Result<Setting, String> {
    match text.split_once('=') {
        Some((name, value)) if !name.trim().is_empty() && !value.trim().is_empty() => {
            Ok(Setting { name: name.trim().to_owned(), value: value.trim().to_owned() })
        }
        _ => Err("write NAME=VALUE, for instance reach=512".to_owned()),
    }
}

/// A room by its name.
pub(crate) fn parse_room(text: &str) -> Result<Room, String> {
    Room::parse(text).ok_or_else(|| "rooms are attention, symbols, gemm_q and gemm_o".to_owned())
}

/// `T,H,W`: the extents of a grid.
pub(crate) fn parse_grid(text: &str) -> Result<[usize; 3], String> {
    let extents: Option<Vec<usize>> = text.split(',').map(|part| part.trim().parse().ok()).collect();
    let grid: Option<[usize; 3]> = extents.and_then(|extents| extents.try_into().ok());
    grid.filter(|grid| grid.iter().try_fold(1usize, |product, &extent| product.checked_mul(extent)).is_some())
        .ok_or_else(|| "write three whole numbers T,H,W, for instance 18,32,32".to_owned())
}
