//! `sparsym doctor`: what was found on this machine, and where. Finding nothing is an answer too.

use serde::Serialize;
use sparsym::device::cuda::{self, Gpu};
use sparsym::kernel::Cache;
use sparsym::kernel::cache::CacheStats;
use sparsym::kernel::nvrtc::{OLDEST, Search};

use crate::cache::describe;
use crate::failure::Outcome;
use crate::output::{self, Report};

#[derive(Serialize)]
struct Examination {
    driver: DriverReport,
    nvrtc: NvrtcReport,
    cache: CacheStats,
    /// Kernels in the cache that spill registers.
    spilling: Vec<String>,
    devices: Vec<&'static str>,
    default_device: &'static str,
}

#[derive(Serialize)]
struct DriverReport {
    found: bool,
    cuda_version: Option<String>,
    problem: Option<String>,
    gpus: Vec<GpuReport>,
}

#[derive(Serialize)]
struct GpuReport {
    name: String,
    compute_capability: String,
    memory_bytes: u64,
    target: Option<&'static str>,
}

#[derive(Serialize)]
struct NvrtcReport {
    found: Option<String>,
    version: Option<String>,
    tried: Vec<Tried>,
    /// A line for a shell that installs it where it is found, if none was.
    install: Option<&'static str>,
}

/// Works beside any Python, also one that a distribution manages, and whatever `SPARSYM_NVRTC` was before.
const INSTALL: &str = "python3 -m pip install --target \"$HOME/.local/share/sparsym/nvrtc\" nvidia-cuda-nvrtc \
                       && export SPARSYM_NVRTC=\"$HOME/.local/share/sparsym/nvrtc\"";

#[derive(Serialize)]
struct Tried {
    path: String,
    reason: &'static str,
    problem: Option<String>,
}

/// Looks around and reports. Never fails because something is missing.
pub(crate) fn run(report: Report) -> Outcome {
    let driver = examine_driver();
    let nvrtc = examine_nvrtc();
    let compiler = nvrtc.found.is_some();
    let gpu = compiler && driver.gpus.iter().any(|gpu| gpu.target.is_some());
    let examination = Examination {
        devices: [("reference", true), ("cpu", true), ("emulator", compiler), ("cuda", gpu)]
            .into_iter()
            .filter_map(|(name, ready)| ready.then_some(name))
            .collect(),
        default_device: if gpu { "cuda" } else { "cpu" },
        driver,
        nvrtc,
        spilling: {
            let spilling = Cache::open().spilling().into_iter();
            spilling.map(|(spills, compiler)| format!("{spills} ({compiler})")).collect()
        },
        cache: Cache::open().stats(),
    };
    output::print(report, &examination, || examination.to_string())
}

fn examine_driver() -> DriverReport {
    match cuda::probe() {
        Ok(driver) => DriverReport {
            found: true,
            cuda_version: Some(format!("{}.{}", driver.cuda_version.0, driver.cuda_version.1)),
            problem: None,
            gpus: driver.gpus.into_iter().map(gpu_report).collect(),
        },
        Err(error) => {
            DriverReport { found: false, cuda_version: None, problem: Some(error.to_string()), gpus: Vec::new() }
        }
    }
}

fn gpu_report(gpu: Gpu) -> GpuReport {
    GpuReport {
        name: gpu.name,
        compute_capability: format!("{}.{}", gpu.compute_capability.0, gpu.compute_capability.1),
        memory_bytes: gpu.memory_bytes,
        target: gpu.target,
    }
}

fn examine_nvrtc() -> NvrtcReport {
    let search = Search::run();
    NvrtcReport {
        install: search.found.is_none().then_some(INSTALL),
        found: search.found.as_ref().map(|nvrtc| nvrtc.path().display().to_string()),
        version: search.found.as_ref().map(|nvrtc| format!("{}.{}", nvrtc.version().0, nvrtc.version().1)),
        tried: search
            .attempts
            .into_iter()
            .map(|attempt| Tried {
                path: attempt.path.display().to_string(),
                reason: attempt.reason,
                problem: attempt.failure,
            })
            .collect(),
    }
}

impl std::fmt::Display for Examination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match (&self.driver.cuda_version, &self.driver.problem) {
            (Some(version), _) => writeln!(f, "driver   CUDA {version}")?,
            (None, problem) => writeln!(f, "driver   none: {}", first_line(problem.as_deref().unwrap_or_default()))?,
        }
        for gpu in &self.driver.gpus {
            let target = gpu.target.unwrap_or("no target of this version");
            let gib = gpu.memory_bytes as f64 / f64::from(1 << 30);
            writeln!(
                f,
                "GPU      {}, compute capability {}, {gib:.0} GiB, {target}",
                gpu.name, gpu.compute_capability
            )?;
        }
        if self.driver.gpus.is_empty() {
            writeln!(f, "GPU      none")?;
        }
        match (&self.nvrtc.found, &self.nvrtc.version) {
            (Some(path), Some(version)) => writeln!(f, "NVRTC    {version} at {path}")?,
            _ => {
                let (major, minor) = OLDEST;
                let what = format!("{major}.{minor} or newer is needed");
                writeln!(f, "NVRTC    none, and {what}; emit works without it, and the last line installs it")?;
            }
        }
        for tried in &self.nvrtc.tried {
            let outcome = tried.problem.as_deref().unwrap_or("taken");
            writeln!(f, "  tried  {} ({}): {}", tried.path, tried.reason, first_line(outcome))?;
        }
        let emulator = if self.nvrtc.found.is_some() { "ready" } else { "not ready" };
        writeln!(f, "emulator {emulator}: it needs NVRTC, no driver and no GPU")?;
        writeln!(f, "cache    {}", describe(&self.cache))?;
        for kernel in &self.spilling {
            writeln!(
                f,
                "  slow   {kernel}: right, and slower than it should be; another libnvrtc may have room for it"
            )?;
        }
        write!(f, "devices  {}; default {}", self.devices.join(", "), self.default_device)?;
        self.nvrtc.install.map_or(Ok(()), |install| write!(f, "\n{install}"))
    }
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}
