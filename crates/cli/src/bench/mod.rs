//! `sparsym bench`: how long a room takes on a device, over random inputs.
//!
//! Several sets of inputs take turns, so that none is still in the cache when it is read again. Rows (shares of skipped
//! pairs, shares of cached tiles) take turns too: each round times all of them, so that a ratio compares what ran in the
//! same weather. A time is the device's own: on a GPU from before the first launch of a call until after the last, by
//! events; on cpu and emulator the wall time of what they really compute.

mod data;
mod machine;
mod measure;
mod rooms;
mod rows;
mod shape;

use clap::Args;
use comfy_table::{CellAlignment, Table, presets};
use serde::Serialize;
use sparsym::ir::Strategy;
use sparsym::kernel::{Room, Schedule};

use crate::args::{OrderArg, ScheduleArg, Settings, parse_room};
use crate::chosen::Chosen;
use crate::device::{KernelArg, KernelChoice, TargetArg, open_choosing};
use crate::failure::{Failure, Outcome};
use crate::output::{self, Report};
use machine::Machine;
use measure::{RowReport, Timing, measure};
use rooms::{Visit, Work};
pub use rows::{Rows, rows_of_bench};
use shape::{Shape, ShapeArgs};

/// Arguments of `sparsym bench`.
#[derive(Debug, Args)]
pub(crate) struct BenchArgs {
    /// Which kernel: attention, symbols, gemm_q or gemm_o.
    #[arg(value_name = "ROOM", value_parser = parse_room)]
    room: Room,
    /// Name of a strategy of the zoo, or path of a .strategy file; left out: everything is computed.
    #[arg(long, value_name = "S")]
    strategy: Option<String>,
    #[command(flatten)]
    settings: Settings,
    /// cpu, emulator, cuda or reference.
    #[arg(long, value_name = "D", default_value = "cpu")]
    device: String,
    #[command(flatten)]
    target: TargetArg,
    #[command(flatten)]
    kernel: KernelArg,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Shares of block pairs that are skipped at random, a row each (attention).
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',', value_parser = parse_share)]
    sparsity: Vec<f64>,
    /// Shares of (query block, head) tiles that are cached at random, a row each (attention, gemm_q, gemm_o).
    #[arg(long, value_name = "SHARE,…", value_delimiter = ',', value_parser = parse_share)]
    cached: Vec<f64>,
    /// What else gemm_q does in its launch: bias, norm, rope.
    #[arg(long, value_name = "PART,…", value_delimiter = ',', value_parser = ["bias", "norm", "rope"])]
    parts: Vec<String>,
    /// In which order kernels take their tiles: grid, or heaviest-first from a list; a row each (attention). Left out: as it
    /// pays for the strategy and the shape, whatever is drawn at random.
    #[arg(long, value_name = "ORDER,…", value_delimiter = ',', value_enum)]
    order: Vec<OrderArg>,
    /// Who loads, multiplies and waits in the kernels: specialised or portable; a row each. Left out: the fastest that can do
    /// what is asked for.
    #[arg(long, value_name = "SCHEDULE,…", value_delimiter = ',', value_enum)]
    schedule: Vec<ScheduleArg>,
    /// gemm_o as at an Update: all heads, and the cached ones alone into a partial; left out: as at a Dispatch.
    #[arg(long)]
    update: bool,
    /// Symbols from block means, as gemm_q leaves them; left out: from Q and K.
    #[arg(long)]
    means: bool,
    #[command(flatten)]
    timing: TimingArgs,
}

#[derive(Debug, Args)]
struct TimingArgs {
    /// Rounds in which the rows take turns; left out: 5 on cuda, 3 elsewhere.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1000))]
    rounds: Option<u32>,
    /// Seconds of launches for each row, all rounds together; a round has one launch at least and a hundred at most.
    #[arg(long, value_name = "SECONDS", default_value_t = 0.5, value_parser = parse_seconds)]
    seconds: f64,
    /// Mebibytes of inputs between two uses of the same ones; left out: four times the L2 cache of the GPU, 64 on cpu. There
    /// are two sets of inputs at least.
    #[arg(long, value_name = "MIB")]
    rotate: Option<u32>,
}

/// What was timed, where, and how long it took.
#[derive(Serialize)]
struct BenchReport {
    room: &'static str,
    strategy: String,
    machine: Machine,
    shape: Shape,
    /// Sets of inputs that take turns.
    input_sets: usize,
    /// What the times are.
    clock: &'static str,
    rows: Vec<RowReport>,
}

/// Times a room.
pub(crate) fn run(args: &BenchArgs, report: Report) -> Outcome {
    let timing = Timing {
        rounds: args.timing.rounds.unwrap_or(if args.device == "cuda" { 5 } else { 3 }),
        seconds: args.timing.seconds,
    };
    let mut rows = Vec::new();
    let mut bench = make(args, &mut |made| {
        rows = measure(made, timing)?;
        Ok(())
    })?;
    bench.machine.finish();
    let Bench { strategy, machine, shape, input_sets } = bench;
    let result = BenchReport {
        room: args.room.name(),
        strategy,
        clock: match args.device.as_str() {
            "cuda" => "events on the GPU, from before the first launch of a call until after the last",
            "emulator" => "wall time of emulating the kernel; says nothing of a GPU",
            _ => "wall time of the computation on this machine's cores",
        },
        machine,
        shape,
        input_sets,
        rows,
    };
    output::print(report, &result, || result.to_string())
}

/// What a bench was of.
struct Bench {
    strategy: String,
    machine: Machine,
    shape: Shape,
    input_sets: usize,
}

/// Makes the rows that the arguments ask for, and shows them to `visit`.
fn make(args: &BenchArgs, visit: Visit<'_>) -> Outcome<Bench> {
    let (room, wrong) = (args.room, |words: String| Err(Failure::usage(words)));
    let chosen = match &args.strategy {
        Some(name) => Chosen::load(name)?,
        None => Chosen::of(Strategy::dense()),
    };
    let chosen = chosen.set_all(&args.settings.set)?;
    if !args.sparsity.is_empty() && room != Room::Attention {
        return wrong(format!(
            "--sparsity skips block pairs of attention, and the room is {}\nhelp: {}",
            room.name(),
            match room {
                Room::Symbols => "what a strategy skips follows from its rules; change them with --set",
                _ => "projections leave out tiles that are cached; give --cached",
            }
        ));
    }
    if !args.cached.is_empty() && room == Room::Symbols {
        return wrong("--cached draws S_c, which the room symbols makes itself\nhelp: leave it out".to_owned());
    }
    if !args.parts.is_empty() && room != Room::GemmQ {
        return wrong(format!("--parts belongs to gemm_q, and the room is {}\nhelp: leave it out", room.name()));
    }
    if args.update && room != Room::GemmO {
        return wrong(format!("--update belongs to gemm_o, and the room is {}\nhelp: leave it out", room.name()));
    }
    if args.means && room != Room::Symbols {
        return wrong(format!("--means belongs to symbols, and the room is {}\nhelp: leave it out", room.name()));
    }
    if !args.order.is_empty() && room != Room::Attention {
        return wrong(format!("--order belongs to attention, and the room is {}\nhelp: leave it out", room.name()));
    }
    if room == Room::Symbols && chosen.strategy.rules.is_empty() && chosen.strategy.mask.is_none() {
        return wrong(format!(
            "strategy {} has no rules and no mask, so there are no symbols to make\nhelp: name one that has with --strategy, \
             as window or flash_omni",
            chosen.strategy.snake_name()
        ));
    }
    let shape = args.shape.resolve(&chosen.strategy)?;
    let orders: Vec<Option<OrderArg>> = match args.order.as_slice() {
        [] => vec![None],
        given => given.iter().map(|&order| Some(order)).collect(),
    };
    let schedules = match args.schedule.as_slice() {
        [] => vec![None],
        given => given.iter().map(|&schedule| Some(schedule.schedule())).collect(),
    };
    let open = |(order, schedule): (Option<OrderArg>, Option<Schedule>)| {
        let kernels = KernelChoice { order: order.map(OrderArg::order), schedule };
        let device = open_choosing(&args.device, &args.target, room, &args.kernel, kernels)?;
        Ok((order.map(OrderArg::name), schedule.map(Schedule::name), device))
    };
    let ways = schedules.iter().flat_map(|&schedule| orders.iter().map(move |&order| (order, schedule)));
    let devices = ways.map(open).collect::<Outcome<Vec<_>>>()?;
    let machine = Machine::examine(&args.device)?;
    let rotated = args.timing.rotate.map_or(machine.rotated_bytes(), |mib| u64::from(mib) << 20);
    let input_sets = shape.input_sets(room, rotated);
    let shares = |given: &[f64]| if given.is_empty() { vec![None] } else { given.iter().copied().map(Some).collect() };
    let work = Work {
        chosen: &chosen,
        shape: &shape,
        input_sets,
        sparsities: shares(&args.sparsity),
        cached: shares(&args.cached),
        parts: &args.parts,
        update: args.update,
        means: args.means,
    };
    rooms::run(room, devices, &work, visit)?;
    Ok(Bench { strategy: chosen.strategy.snake_name(), machine, shape, input_sets })
}

fn parse_share(text: &str) -> Result<f64, String> {
    text.trim()
        .parse()
        .ok()
        .filter(|share| (0.0..1.0).contains(share))
        .ok_or_else(|| "a share is at least 0 and below 1: three quarters are 0.75".to_owned())
}

fn parse_seconds(text: &str) -> Result<f64, String> {
    text.parse()
        .ok()
        .filter(|seconds| (0.0..=3600.0).contains(seconds))
        .ok_or_else(|| "give seconds from 0 to 3600".to_owned())
}

impl std::fmt::Display for BenchReport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} of {}, {}", self.room, self.strategy, self.shape)?;
        writeln!(f, "{}; {} sets of inputs take turns\ntimes: {}", self.machine, self.input_sets, self.clock)?;
        let mut table = Table::new();
        table.load_style(presets::ASCII_MARKDOWN);
        table.set_header([
            "schedule",
            "order",
            "sparsity",
            "cached",
            "density",
            "ms",
            "min",
            "max",
            "samples",
            "TFLOP/s of work done",
            "dense-equivalent",
            "GB/s",
            "time(s)/time(0)",
        ]);
        let number =
            |value: Option<f64>, digits: usize| value.map_or("–".to_owned(), |value| format!("{value:.digits$}"));
        for row in &self.rows {
            table.add_row([
                row.schedule.unwrap_or("–").to_owned(),
                row.order.unwrap_or("–").to_owned(),
                number(row.sparsity, 2),
                number(row.cached, 2),
                format!("{:.4}", row.density),
                format!("{:.4}", row.ms.median),
                format!("{:.4}", row.ms.min),
                format!("{:.4}", row.ms.max),
                row.samples.to_string(),
                number(row.tflops, 2),
                number(row.dense_tflops, 2),
                format!("{:.0}", row.gb_per_s),
                number(row.of_dense, 4),
            ]);
        }
        for column in table.column_iter_mut() {
            column.set_cell_alignment(CellAlignment::Right);
        }
        write!(f, "{table}")
    }
}
