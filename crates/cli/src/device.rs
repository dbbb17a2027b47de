//! Where a form runs: the device of `--device`, with `--target` and `--kernel`.

use std::path::{Path, PathBuf};

use clap::Args;
use sparsym::device::emulator::Settings;
use sparsym::device::{self, Backend, Cuda, Device, Emulator, KernelDevice};
use sparsym::kernel::{Room, Schedule, Target, TileOrder};

use crate::failure::{Failure, Outcome};

/// `--target`.
#[derive(Debug, Args)]
pub(crate) struct TargetArg {
    /// Architecture whose kernels the emulator runs, for instance sm_80 or sm_90a; left out: sm_80.
    #[arg(long, value_name = "TARGET")]
    target: Option<String>,
}

/// `--kernel`.
#[derive(Debug, Args)]
pub(crate) struct KernelArg {
    /// CUDA text to run instead of the generated kernel, on emulator or cuda. It keeps the kernel's name (but for the hash
    /// at its end), parameter struct, threads and shared memory; `sparsym emit` prints the text to start from.
    #[arg(long, value_name = "FILE.cu")]
    kernel: Option<PathBuf>,
}

/// Opens the device of that name for a form that runs generated kernels only.
pub(crate) fn open(name: &str, target: &TargetArg) -> Outcome<Box<dyn Device>> {
    open_with(name, target, None, KernelChoice::default())
}

/// Opens the device of that name for a form whose kernel of this room may be given as text.
pub(crate) fn open_for(name: &str, target: &TargetArg, room: Room, kernel: &KernelArg) -> Outcome<Box<dyn Device>> {
    open_choosing(name, target, room, kernel, KernelChoice::default())
}

/// What is chosen of kernels beside what they do; None: as it pays.
#[derive(Clone, Copy, Default)]
pub(crate) struct KernelChoice {
    /// In which order attention takes its tiles.
    pub(crate) order: Option<TileOrder>,
    /// Who loads, multiplies and waits.
    pub(crate) schedule: Option<Schedule>,
}

/// As [`open_for`], for kernels that are chosen so.
pub(crate) fn open_choosing(
    name: &str,
    target: &TargetArg,
    room: Room,
    kernel: &KernelArg,
    choice: KernelChoice,
) -> Outcome<Box<dyn Device>> {
    open_with(name, target, kernel.kernel.as_deref().map(|path| (room, path)), choice)
}

fn open_with(
    name: &str,
    target: &TargetArg,
    text: Option<(Room, &Path)>,
    choice: KernelChoice,
) -> Outcome<Box<dyn Device>> {
    let target = target.target.as_deref();
    match name {
        "emulator" => {
            let mut settings = Settings::default();
            if let Some(target) = target {
                settings.target = Target::parse(target)?;
            }
            let text = read(text)?;
            Ok(boxed(Emulator::open(settings)?, text, choice))
        }
        _ if target.is_some() => Err(Failure::usage(format!(
            "--target chooses what the emulator runs, and the device is {name}\nhelp: add --device emulator, or leave \
             --target out"
        ))),
        "cuda" => {
            let text = read(text)?;
            Ok(boxed(Cuda::open(0)?, text, choice))
        }
        _ if choice.order.is_some() || choice.schedule.is_some() => Err(Failure::usage(format!(
            "--order and --schedule choose kernels, and the device {name} runs none\nhelp: add --device emulator or \
             --device cuda"
        ))),
        _ => {
            let device = device::open(name)?;
            match text {
                Some(_) => Err(Failure::usage(format!(
                    "--kernel gives a CUDA text, and the device {name} runs none\nhelp: add --device emulator or --device \
                     cuda"
                ))),
                None => Ok(device),
            }
        }
    }
}

fn read(text: Option<(Room, &Path)>) -> Outcome<Option<(Room, String)>> {
    let Some((room, path)) = text else { return Ok(None) };
    let failure = |error| Failure::data(format!("kernel text {} cannot be read: {error}", path.display()));
    Ok(Some((room, std::fs::read_to_string(path).map_err(failure)?)))
}

fn boxed<B: Backend + 'static>(
    device: KernelDevice<B>,
    text: Option<(Room, String)>,
    choice: KernelChoice,
) -> Box<dyn Device> {
    let device = match choice.order {
        Some(order) => device.with_tile_order(order),
        None => device,
    };
    let device = match choice.schedule {
        Some(schedule) => device.with_schedule(schedule),
        None => device,
    };
    match text {
        Some((room, text)) => Box::new(device.with_text(room, text)),
        None => Box::new(device),
    }
}
