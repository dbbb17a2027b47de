//! What can go wrong at run time, and which exit status it deserves.

use std::path::PathBuf;

use sparsym_ir::diagnostic::Family;
use sparsym_ir::{Code, Findings};

#[cfg(feature = "emulator")]
use crate::device::emulator::KernelTrap;
use crate::nvrtc::Search;

/// Anything that stops a compilation, a call or a step. Its text names what was wrong and what to do.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A strategy, a shape, a value or a target that does not fit.
    #[error("{0}")]
    Findings(#[from] Findings),
    /// There is no device of that name.
    #[error("there is no device {name:?}\nhelp: devices are reference, cpu, emulator and cuda")]
    UnknownDevice {
        /// The name asked for.
        name: String,
    },
    /// This program was built without that device.
    #[error(
        "this program was built without the device {name}\nhelp: enable the feature {name:?} of the crate sparsym in \
         Cargo.toml; cpu is always there"
    )]
    NotBuilt {
        /// The device, which is also the feature.
        name: &'static str,
    },
    /// No usable libnvrtc was found.
    #[error("{}", .0.explanation())]
    NoNvrtc(Box<Search>),
    /// NVRTC itself failed, not the text that it was given.
    #[error("nvrtc could not {action}: {reason}")]
    Nvrtc {
        /// What was being done.
        action: &'static str,
        /// NVRTC's words.
        reason: String,
    },
    /// The compiler refused a kernel.
    #[error("{0}")]
    Compile(Box<crate::nvrtc::CompileError>),
    /// A kernel compiled, but would run far slower than it should.
    #[error(transparent)]
    Quality(#[from] crate::nvrtc::QualityError),
    /// A device cannot take a kernel.
    #[error("{device} cannot run kernel {kernel}: {reason}{}", help_line(.help))]
    Kernel {
        /// The device.
        device: &'static str,
        /// The kernel.
        kernel: String,
        /// What is in the way.
        reason: String,
        /// What to do; may be empty.
        help: &'static str,
    },
    /// A kernel did something wrong, and the emulator stopped it.
    #[cfg(feature = "emulator")]
    #[error("{0}")]
    Trap(Box<KernelTrap>),
    /// There is no CUDA driver or no GPU, or the driver refused a request.
    #[error("cuda could not {action}: {reason}{}", help_line(.help))]
    Cuda {
        /// What was being done.
        action: String,
        /// The driver's words.
        reason: String,
        /// What to do; may be empty.
        help: &'static str,
    },
    /// A file could not be read or written.
    #[error("could not {action} {}: {reason}", .path.display())]
    File {
        /// What was being done.
        action: &'static str,
        /// The file or folder.
        path: PathBuf,
        /// The system's words.
        reason: std::io::Error,
    },
    /// An array that a call cannot take.
    #[error(transparent)]
    Array(#[from] crate::device::session::ArrayError),
    /// A layer that cannot be made.
    #[error(transparent)]
    Layer(#[from] crate::engine::LayerError),
    /// A denoising step out of order.
    #[error(transparent)]
    Step(#[from] crate::engine::StepError),
}

/// The kinds of failure that scripts tell apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// Bad usage or a bad strategy.
    Usage,
    /// Bad input data.
    Input,
    /// A missing or failing device or compiler.
    Device,
    /// A kernel that the emulator stopped.
    Trap,
}

impl Class {
    /// The exit status of the command line: 2, 3, 4 or 5.
    pub fn exit_status(self) -> u8 {
        match self {
            Class::Usage => 2,
            Class::Input => 3,
            Class::Device => 4,
            Class::Trap => 5,
        }
    }
}

impl Error {
    /// The kind of failure. Findings count as bad input when all of them speak of tensors and layouts, and as bad usage
    /// as soon as one speaks of the strategy, its params or the target.
    pub fn class(&self) -> Class {
        match self {
            Error::Findings(findings) => {
                let of_input = |code: Code| {
                    code.family() == Family::Shape && !matches!(code, Code::ParamValue | Code::UnknownName)
                };
                match findings.iter().all(|finding| of_input(finding.code)) {
                    true => Class::Input,
                    false => Class::Usage,
                }
            }
            Error::UnknownDevice { .. } | Error::Step(_) | Error::Array(_) | Error::Layer(_) => Class::Usage,
            Error::File { .. } => Class::Input,
            #[cfg(feature = "emulator")]
            Error::Trap(_) => Class::Trap,
            Error::NotBuilt { .. }
            | Error::NoNvrtc(_)
            | Error::Nvrtc { .. }
            | Error::Compile(_)
            | Error::Quality(_)
            | Error::Kernel { .. }
            | Error::Cuda { .. } => Class::Device,
        }
    }
}

impl From<sparsym_ir::Finding> for Error {
    fn from(finding: sparsym_ir::Finding) -> Error {
        Error::Findings(finding.into())
    }
}

fn help_line(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("\nhelp: {text}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use sparsym_ir::Finding;

    #[test]
    fn findings_about_tensors_are_input_and_others_are_usage() {
        let class = |code| Error::from(Finding::new(code, "", "")).class();
        assert_eq!(class(Code::TensorShape), Class::Input);
        assert_eq!(class(Code::ParamValue), Class::Usage);
        assert_eq!(class(Code::UnknownTarget), Class::Usage);
    }
}
