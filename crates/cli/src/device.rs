//! Where a form runs: the device of `--device`, with `--target` and `--kernel`.

use std::path::{Path, PathBuf};

use clap::Args;
use sparsym::device::emulator::Settings;
use sparsym::device::{self, Backend, Cuda, Device, Emulator, KernelDevice};
use sparsym::kernel::{Room, Target, TileOrder};

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
    open_with(name, target, None, None)
}

/// Opens the device of that name for a form whose kernel of this room may be given as text.
pub(crate) fn open_for(name: &str, target: &TargetArg, room: Room, kernel: &KernelArg) -> Outcome<Box<dyn Device>> {
    open_in_order(name, target, room, kernel, None)
}

/// As [`open_for`], for kernels of attention that take their tiles in this order; None: as it pays.
pub(crate) fn open_in_order(
    name: &str,
    target: &TargetArg,
    room: Room,
    kernel: &KernelArg,
    order: Option<TileOrder>,
) -> Outcome<Box<dyn Device>> {
    open_with(name, target, kernel.kernel.as_deref().map(|path| (room, path)), order)
}

fn open_with(
    name: &str,
    target: &TargetArg,
    text: Option<(Room, &Path)>,
    order: Option<TileOrder>,
) -> Outcome<Box<dyn Device>> {
    let target = target.target.as_deref();
    match name {
        "emulator" => {
            let mut settings = Settings::default();
            if let Some(target) = target {
                settings.target = Target::parse(target)?;
            }
            let text = read(text)?;
            Ok(boxed(Emulator::open(settings)?, text, order))
        }
        _ if target.is_some() => Err(Failure::usage(format!(
            "--target chooses what the emulator runs, and the device is {name}\nhelp: add --device emulator, or leave \
             --target out"
        ))),
        "cuda" => {
            let text = read(text)?;
            Ok(boxed(Cuda::open(0)?, text, order))
        }
        _ if order.is_some() => Err(Failure::usage(format!(
            "--order chooses how a kernel takes its tiles, and the device {name} runs none\nhelp: add --device emulator or \
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
    order: Option<TileOrder>,
) -> Box<dyn Device> {
    let device = match order {
        Some(order) => device.with_tile_order(order),
        None => device,
    };
    match text {
        Some((room, text)) => Box::new(device.with_text(room, text)),
        None => Box::new(device),
    }
}
