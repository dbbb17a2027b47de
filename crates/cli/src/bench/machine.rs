//! What ran: device, compiler, clocks as they were found, date and command. Clocks are read and never set.

use std::process::Command;

use serde::Serialize;
use sparsym::device::cuda;
use sparsym::kernel::Compiler;

use crate::failure::Outcome;

/// The machine of a run.
#[derive(Serialize)]
pub(super) struct Machine {
    device: String,
    cores: usize,
    gpu: Option<Gpu>,
    /// The compiler of kernels; None on devices that have none.
    compiler: Option<String>,
    /// When it started, UTC.
    date: String,
    command: String,
    version: &'static str,
}

/// The GPU that ran it.
#[derive(Serialize)]
struct Gpu {
    name: String,
    target: Option<&'static str>,
    cuda_version: String,
    memory_bytes: u64,
    l2_cache_bytes: u64,
    pci_bus_id: String,
    /// As nvidia-smi tells; None without it.
    before: Option<Clocks>,
    /// Right after the last launch.
    after: Option<Clocks>,
}

/// What nvidia-smi says of a GPU; None: it does not say.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Clocks {
    driver: Option<String>,
    sm_mhz: Option<f64>,
    memory_mhz: Option<f64>,
    most_sm_mhz: Option<f64>,
    power_w: Option<f64>,
    power_limit_w: Option<f64>,
    temperature_c: Option<f64>,
}

/// Fields of [`Clocks`], in order.
const QUERY: &str =
    "--query-gpu=driver_version,clocks.sm,clocks.mem,clocks.max.sm,power.draw,power.limit,temperature.gpu";
/// Inputs beside which a CPU's last-level cache is small.
const CPU_ROTATED_BYTES: u64 = 64 << 20;
/// How many times the L2 cache is read between two uses of the same inputs.
const TIMES_L2: u64 = 4;

impl Machine {
    /// Of a run on this device, before it starts.
    pub(super) fn examine(device: &str) -> Outcome<Machine> {
        let compiled = matches!(device, "cuda" | "emulator");
        Ok(Machine {
            device: device.to_owned(),
            cores: std::thread::available_parallelism().map_or(1, usize::from),
            gpu: if device == "cuda" { Gpu::first()? } else { None },
            compiler: if compiled { Some(Compiler::new()?.nvrtc().identity()) } else { None },
            date: jiff::Timestamp::now().strftime("%Y-%m-%d %H:%M:%S UTC").to_string(),
            command: std::env::args().collect::<Vec<_>>().join(" "),
            version: env!("CARGO_PKG_VERSION"),
        })
    }

    /// Reads the clocks once more.
    pub(super) fn finish(&mut self) {
        if let Some(gpu) = &mut self.gpu {
            gpu.after = Clocks::read(&gpu.pci_bus_id);
        }
    }

    /// Bytes of inputs between two uses of the same ones.
    pub(super) fn rotated_bytes(&self) -> u64 {
        match &self.gpu {
            Some(gpu) => TIMES_L2 * gpu.l2_cache_bytes,
            None if self.device == "cpu" => CPU_ROTATED_BYTES,
            None => 0,
        }
    }
}

impl Gpu {
    fn first() -> Outcome<Option<Gpu>> {
        let driver = cuda::probe()?;
        let (major, minor) = driver.cuda_version;
        Ok(driver.gpus.into_iter().next().map(|gpu| Gpu {
            before: Clocks::read(&gpu.pci_bus_id),
            after: None,
            name: gpu.name,
            target: gpu.target,
            cuda_version: format!("{major}.{minor}"),
            memory_bytes: gpu.memory_bytes,
            l2_cache_bytes: gpu.l2_cache_bytes,
            pci_bus_id: gpu.pci_bus_id,
        }))
    }
}

impl Clocks {
    fn read(pci_bus_id: &str) -> Option<Clocks> {
        let done = Command::new("nvidia-smi")
            .args([QUERY, "--format=csv,noheader,nounits", "--id", pci_bus_id])
            .output()
            .ok()
            .filter(|done| done.status.success())?;
        Clocks::parse(&String::from_utf8_lossy(&done.stdout))
    }

    fn parse(line: &str) -> Option<Clocks> {
        let fields: Vec<&str> = line.trim().split(',').map(str::trim).collect();
        let [driver, numbers @ ..] = fields.as_slice() else { return None };
        let [sm_mhz, memory_mhz, most_sm_mhz, power_w, power_limit_w, temperature_c] =
            numbers.iter().map(|text| text.parse().ok()).collect::<Vec<Option<f64>>>().try_into().ok()?;
        let driver = (!driver.starts_with('[')).then(|| (*driver).to_owned());
        Some(Clocks { driver, sm_mhz, memory_mhz, most_sm_mhz, power_w, power_limit_w, temperature_c })
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} on ", self.device)?;
        match &self.gpu {
            Some(gpu) => {
                write!(f, "{}, CUDA {}", gpu.name, gpu.cuda_version)?;
                let clocks = [("before", &gpu.before), ("after", &gpu.after)];
                for (when, clocks) in clocks.iter().filter_map(|(when, clocks)| Some((when, clocks.as_ref()?))) {
                    write!(f, ", SM clock {when} {} MHz", clocks.sm_mhz.map_or("?".to_owned(), |mhz| mhz.to_string()))?;
                }
                if let Some(driver) = gpu.before.as_ref().and_then(|clocks| clocks.driver.as_ref()) {
                    write!(f, ", driver {driver}")?;
                }
            }
            None => write!(f, "{} cores", self.cores)?,
        }
        if let Some(compiler) = &self.compiler {
            write!(f, ", {compiler}")?;
        }
        write!(f, ", {}", self.date)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nvidia_smi_does_not_know_is_none() {
        let clocks = Clocks::parse("580.159.04, 1980, 2619, 1980, 118.32, 700.00, [N/A]\n").unwrap();
        assert_eq!((clocks.driver.as_deref(), clocks.sm_mhz), (Some("580.159.04"), Some(1980.0)));
        assert_eq!((clocks.power_limit_w, clocks.temperature_c), (Some(700.0), None));
        assert_eq!(Clocks::parse("No devices were found"), None);
    }
}
