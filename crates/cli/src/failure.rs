//! Why a form of the command line failed: one message and an exit status.

use sparsym::ErrorKind;
use sparsym::ir::Findings;

/// A failure as the shell sees it.
#[derive(Debug)]
pub(crate) struct Failure {
    status: Status,
    message: String,
}

/// Exit statuses; they are part of the command line's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    /// Bad usage or a bad strategy.
    Usage = 2,
    /// Bad input data, or an output that cannot be written.
    Data = 3,
    /// A missing or failing device or compiler.
    Device = 4,
    /// A kernel that the emulator stopped.
    Trap = 5,
}

/// Result of a form.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    /// The arguments or the strategy are wrong.
    pub(crate) fn usage(message: impl Into<String>) -> Failure {
        Failure { status: Status::Usage, message: message.into() }
    }

    /// The input data are wrong, or the output cannot be written.
    pub(crate) fn data(message: impl Into<String>) -> Failure {
        Failure { status: Status::Data, message: message.into() }
    }

    /// A device or the compiler is missing or fails.
    pub(crate) fn device(message: impl Into<String>) -> Failure {
        Failure { status: Status::Device, message: message.into() }
    }

    /// Exit status.
    pub(crate) fn exit_code(&self) -> u8 {
        self.status as u8
    }
}

/// Findings in words of the command line: the library speaks of `Problem::layout`, and `extents` says how grids are given
/// here.
pub(crate) fn in_words_of(findings: Findings, extents: &str) -> Findings {
    let mut reworded = Findings::new();
    for mut finding in findings {
        if finding.help.contains("`Layout::") {
            finding.help = extents.to_owned();
        } else if let Some(help) = finding.help.strip_suffix(" in `Problem::layout`") {
            finding.help = format!("{help}; those of the command line are text and vision");
        }
        reworded.push(finding);
    }
    reworded
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl From<sparsym::Error> for Failure {
    fn from(error: sparsym::Error) -> Failure {
        Failure { status: status(error.kind()), message: error.to_string() }
    }
}

/// The exit status that a kind of error deserves.
fn status(kind: ErrorKind) -> Status {
    match kind {
        ErrorKind::Strategy | ErrorKind::UnknownDevice | ErrorKind::Array | ErrorKind::Layer | ErrorKind::Step => {
            Status::Usage
        }
        ErrorKind::Input | ErrorKind::File => Status::Data,
        ErrorKind::Trap => Status::Trap,
        // Whatever is new is about devices or the compiler.
        _ => Status::Device,
    }
}

impl From<Findings> for Failure {
    fn from(findings: Findings) -> Failure {
        Failure::from(sparsym::Error::from(findings))
    }
}

impl From<sparsym::ir::Finding> for Failure {
    fn from(finding: sparsym::ir::Finding) -> Failure {
        Failure::from(Findings::from(finding))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract that scripts rely on.
    #[test]
    fn every_kind_has_its_exit_status() {
        use ErrorKind::*;
        for (expected, kinds) in [
            (2, &[Strategy, UnknownDevice, Array, Layer, Step][..]),
            (3, &[Input, File]),
            (4, &[NotBuilt, NoCompiler, Compiler, Compile, Quality, Kernel, TensorMap, Driver]),
            (5, &[Trap]),
        ] {
            for kind in kinds {
                let failure = Failure::from(sparsym::Error::new(*kind, "words"));
                assert_eq!(failure.exit_code(), expected, "{kind:?}");
            }
        }
    }
}
