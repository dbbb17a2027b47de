//! `sparsym compile`: NVRTC's view of a kernel.

use clap::Args;
use serde::Serialize;
use sparsym::kernel::nvrtc::Resources;
use sparsym::kernel::{self, Compiler, ImageOrigin, Request};

use crate::args::KernelArgs;
use crate::emit;
use crate::failure::{Failure, Outcome};
use crate::output::{self, Report};

/// Arguments of `sparsym compile`.
#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    #[command(flatten)]
    kernel: KernelArgs,
}

#[derive(Serialize)]
struct Compiled {
    name: String,
    target: &'static str,
    registers: u32,
    spill_stores: u32,
    spill_loads: u32,
    stack: u32,
    shared_bytes: u32,
    cubin_bytes: usize,
    ptx_bytes: usize,
    lines: usize,
    compile_ms: f64,
    cache: &'static str,
    compiler: String,
    /// Faster schedules that cannot do what was asked for, and why.
    passed_over: Vec<String>,
    log: String,
}

/// A sentence for each schedule that would be faster.
fn passed_over(request: &Request<'_>) -> Outcome<Vec<String>> {
    let passed = kernel::passed_over(request)?.into_iter();
    Ok(passed.map(|(schedule, why)| format!("not {}: {why}", schedule.name())).collect())
}

/// Compiles the kernel and prints what it needs.
pub(crate) fn run(args: &CompileArgs, report: Report) -> Outcome {
    let fitting = |request: &Request<'_>, strategy: &str| {
        let (kernel, compiled) = Compiler::new()?.fitting(request, strategy)?;
        Ok((kernel, compiled, passed_over(request)?))
    };
    let (kernel, compiled, passed_over) = emit::asked(&args.kernel, fitting)?;
    let image = compiled.image;
    let resources = kernel.launches.iter().map(|launch| {
        let missing = || format!("the compiler's log does not speak of {}:\n{}", launch.entry, image.log);
        let mut resources = *image.resources.get(&launch.entry).ok_or_else(|| Failure::device(missing()))?;
        // What the launch asks for comes on top of what the text declares.
        resources.shared_bytes += launch.shared_bytes;
        Ok(resources)
    });
    let resources: Vec<Resources> = resources.collect::<Outcome<_>>()?;
    // Of several functions: the most that one of them takes, and all spills.
    let most = |of: fn(&Resources) -> u32| resources.iter().map(of).max().unwrap_or(0);
    let all = |of: fn(&Resources) -> u32| resources.iter().map(of).sum();
    let result = Compiled {
        name: kernel.name.clone(),
        target: kernel.plan.target,
        registers: most(|r| r.registers),
        spill_stores: all(|r| r.spill_stores),
        spill_loads: all(|r| r.spill_loads),
        stack: most(|r| r.stack),
        shared_bytes: most(|r| r.shared_bytes),
        cubin_bytes: image.cubin.len(),
        ptx_bytes: image.ptx.len(),
        lines: kernel.source.lines().count(),
        compile_ms: image.compile_ms,
        cache: match compiled.origin {
            ImageOrigin::Cache => "hit",
            ImageOrigin::Compiler => "miss",
        },
        compiler: image.compiler.clone(),
        passed_over,
        log: image.log.clone(),
    };
    output::print(report, &result, || result.to_string())
}

impl std::fmt::Display for Compiled {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{} for {}", self.name, self.target)?;
        writeln!(f, "registers      {}", self.registers)?;
        writeln!(f, "spills         {} bytes stored, {} bytes loaded", self.spill_stores, self.spill_loads)?;
        if self.spill_stores + self.spill_loads > 0 {
            let words = "the kernel is right, and slower than it should be; not a fault of the strategy";
            writeln!(f, "               {words}, and another libnvrtc may have room for it")?;
        }
        writeln!(f, "stack          {} bytes", self.stack)?;
        writeln!(f, "shared memory  {} bytes a CTA", self.shared_bytes)?;
        writeln!(f, "cubin          {} bytes", self.cubin_bytes)?;
        writeln!(f, "PTX            {} bytes", self.ptx_bytes)?;
        writeln!(f, "source         {} lines", self.lines)?;
        writeln!(f, "compile time   {:.0} ms, cache {}", self.compile_ms, self.cache)?;
        writeln!(f, "compiler       {}", self.compiler)?;
        for sentence in &self.passed_over {
            writeln!(f, "schedule       {}", sentence.replace('\n', "\n               "))?;
        }
        write!(f, "log\n{}", self.log.trim_end())
    }
}
