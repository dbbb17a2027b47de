//! Devices by name.

use super::contract::Device;
use super::cpu::Cpu;
#[cfg(feature = "cuda")]
use super::cuda::Cuda;
#[cfg(feature = "emulator")]
use super::emulator::{Emulator, Settings};
#[cfg(feature = "reference")]
use super::reference::Reference;
use crate::error::{Error, ErrorKind};

/// Opens the device of that name: `reference`, `cpu`, `emulator` or `cuda`. The emulator gets its default settings; see
/// `Emulator::open` for others.
///
/// # Errors
/// [`ErrorKind::UnknownDevice`], [`ErrorKind::NotBuilt`] if its feature is off, [`ErrorKind::NoCompiler`] without a
/// compiler for `emulator` or `cuda`, and [`ErrorKind::Driver`] without a driver or a GPU.
///
/// ```
/// let device = sparsym_runtime::device::open("cpu")?;
/// assert_eq!(device.name(), "cpu");
/// assert!(sparsym_runtime::device::open("abacus").is_err());
/// # Ok::<(), sparsym_runtime::Error>(())
/// ```
pub fn open(name: &str) -> Result<Box<dyn Device>, Error> {
    match name {
        #[cfg(feature = "reference")]
        "reference" => Ok(Box::new(Reference)),
        "cpu" => Ok(Box::new(Cpu)),
        #[cfg(feature = "emulator")]
        "emulator" => Ok(Box::new(Emulator::open(Settings::default())?)),
        #[cfg(feature = "cuda")]
        "cuda" => Ok(Box::new(Cuda::open(0)?)),
        _ => Err(not_here(name)),
    }
}

/// Why this program has no such device.
fn not_here(name: &str) -> Error {
    match ["reference", "emulator", "cuda"].into_iter().find(|&feature| feature == name) {
        Some(name) => {
            let help = format!("enable the feature {name:?} of the crate sparsym in Cargo.toml; cpu is always there");
            let text = format!("this program was built without the device {name}\nhelp: {help}");
            Error::new(ErrorKind::NotBuilt, text)
        }
        None => {
            let text = format!("there is no device {name:?}\nhelp: devices are reference, cpu, emulator and cuda");
            Error::new(ErrorKind::UnknownDevice, text)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_that_was_left_out_names_its_feature() {
        let all = [
            ("reference", cfg!(feature = "reference")),
            ("emulator", cfg!(feature = "emulator")),
            ("cuda", cfg!(feature = "cuda")),
        ];
        for (name, built) in all {
            // With the feature the way there is closed, so what it leads to is asked for directly.
            let error = if built { not_here(name) } else { open(name).err().expect("the feature is off") };
            let lines = [
                format!("this program was built without the device {name}"),
                format!("help: enable the feature {name:?} of the crate sparsym in Cargo.toml; cpu is always there"),
            ];
            assert_eq!(error.to_string(), lines.join("\n"));
            assert_eq!(error.kind(), ErrorKind::NotBuilt);
        }
        assert_eq!(not_here("abacus").kind(), ErrorKind::UnknownDevice);
    }
}
