//! `sparsym emit`: the generated CUDA of a kernel.

use clap::Args;
use serde::Serialize;
use sparsym::ir::problem::check_block;
use sparsym::ir::strategy::Blocks;
use sparsym::kernel::{
    self, CachedRows, FromHeads, Kernel, Launch, Plan, Product, Request, RoomRequest, Sequences, Target,
};

use crate::args::{CachedRowsArg, KernelArgs, ScheduleArg, SequenceArg};
use crate::chosen::Chosen;
use crate::failure::Outcome;
use crate::output::{self, Report};

/// Arguments of `sparsym emit`.
#[derive(Debug, Args)]
pub(crate) struct EmitArgs {
    #[command(flatten)]
    kernel: KernelArgs,
}

#[derive(Serialize)]
struct Emitted<'a> {
    name: &'a str,
    source: &'a str,
    launches: &'a [Launch],
    params: Parameters<'a>,
    plan: &'a Plan,
}

/// The struct that a launch passes.
#[derive(Serialize)]
struct Parameters<'a> {
    bytes: usize,
    fields: Vec<Parameter<'a>>,
}

#[derive(Serialize)]
struct Parameter<'a> {
    name: &'a str,
    #[serde(rename = "type")]
    c_type: &'a str,
    offset: usize,
}

/// Prints the kernel.
pub(crate) fn run(args: &EmitArgs, report: Report) -> Outcome {
    let kernel = asked(&args.kernel, |request, _| Ok(kernel::generate(request)?))?;
    let emitted = Emitted {
        name: &kernel.name,
        source: &kernel.source,
        launches: &kernel.launches,
        params: parameters(&kernel),
        plan: &kernel.plan,
    };
    output::print(report, &emitted, || kernel.source.clone())
}

fn parameters(kernel: &Kernel) -> Parameters<'_> {
    let fields = kernel.params.fields.iter();
    let fields = fields.map(|f| Parameter { name: &f.name, c_type: f.c_type(), offset: f.offset }).collect();
    Parameters { bytes: kernel.params.size, fields }
}

/// Hands on the request that the arguments make, and the name of its strategy.
pub(crate) fn asked<T>(args: &KernelArgs, make: impl FnOnce(&Request<'_>, &str) -> Outcome<T>) -> Outcome<T> {
    let chosen = Chosen::load(&args.strategy)?;
    let mut request = Request::new(&chosen.strategy, args.room, Target::parse(&args.target)?);
    request.dtype = args.dtype.dtype();
    request.head_dim = args.head_dim;
    request.schedule = args.schedule.map(ScheduleArg::schedule);
    let sequences = match args.sequences {
        SequenceArg::Uniform => Sequences::Uniform,
        SequenceArg::Ragged => Sequences::Ragged,
    };
    // Also where the room has no such block: a number that nothing could have is a mistake.
    for (name, block) in [("block_q", args.block_q), ("block_kv", args.block_kv)] {
        block.map_or(Ok(()), |block| check_block(name, block as usize))?;
    }
    let blocks = |of: Blocks| Blocks { q: args.block_q.unwrap_or(of.q), kv: args.block_kv.unwrap_or(of.kv) };
    match &mut request.room {
        RoomRequest::Attention(of) => {
            (of.blocks, of.sequences, of.order) = (blocks(of.blocks), sequences, args.order.order());
            of.cached_rows = match args.cached_rows {
                CachedRowsArg::Caller => CachedRows::LeftToCaller,
                CachedRowsArg::Forecast => CachedRows::Forecast,
            };
        }
        RoomRequest::Symbols(of) => (of.blocks, of.sequences) = (blocks(of.blocks), sequences),
        RoomRequest::GemmQ(of) => of.block = of.block.map(|block| args.block_q.unwrap_or(block)),
        RoomRequest::GemmO(FromHeads::Product(Product { heads: Some(heads), .. })) => {
            heads.block = args.block_q.unwrap_or(heads.block);
        }
        RoomRequest::GemmO(_) => {}
    }
    make(&request, &chosen.strategy.snake_name())
}
