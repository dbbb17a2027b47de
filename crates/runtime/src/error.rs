//! What can go wrong at run time.

use std::error::Error as StdError;
use std::fmt;

use sparsym_ir::diagnostic::Family;
use sparsym_ir::{Code, Finding, Findings};

/// Anything that stops a compilation, a call or a step. Its text names what was wrong and what to do.
///
/// [`kind`](Error::kind) is what programs tell apart, [`help`](Error::help) is what people read next, and
/// [`downcast_ref`](Error::downcast_ref) gives the details of a kind, if it has any.
///
/// ```
/// use sparsym_runtime::{ErrorKind, device};
///
/// let Err(error) = device::open("abacus") else { panic!("it opened") };
/// assert_eq!(error.kind(), ErrorKind::UnknownDevice);
/// assert_eq!(error.help(), Some("devices are reference, cpu, emulator and cuda"));
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    text: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What went wrong, as far as programs tell it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A strategy, its params or the target do not fit: [`Findings`] of which one at least speaks of them.
    Strategy,
    /// Tensors, shapes or layouts do not fit: [`Findings`] that speak of nothing else.
    Input,
    /// There is no device of that name.
    UnknownDevice,
    /// This program was built without that device.
    NotBuilt,
    /// A call cannot take an array: [`ArrayError`](crate::device::session::ArrayError).
    Array,
    /// A layer cannot be made: [`LayerError`](crate::engine::LayerError).
    Layer,
    /// A denoising step is out of order: [`StepError`](crate::engine::StepError).
    Step,
    /// No usable libnvrtc was found: [`Search`](crate::nvrtc::Search) has everything that was tried.
    NoCompiler,
    /// The compiler itself failed, not the text that it was given.
    Compiler,
    /// The compiler refused a kernel: [`CompileError`](crate::nvrtc::CompileError).
    Compile,
    /// A kernel compiled, but would run far slower than it should: [`QualityError`](crate::nvrtc::QualityError).
    Quality,
    /// A device cannot take a kernel.
    Kernel,
    /// A tensor map cannot be made: [`BoxError`](crate::device::kernels::BoxError).
    TensorMap,
    /// There is no CUDA driver or no GPU, or the driver refused a request.
    Driver,
    /// A kernel did something wrong, and the emulator stopped it: `device::emulator::KernelTrap`.
    Trap,
    /// A file could not be read or written: [`std::io::Error`].
    File,
}

impl Error {
    /// An error of these words: one sentence and, if there is something to do, a line after it that starts with `help: `.
    pub fn new(kind: ErrorKind, text: impl Into<String>) -> Error {
        Error(Box::new(Inner { kind, text: text.into(), source: None }))
    }

    /// An error that says what `source` says.
    pub fn of(kind: ErrorKind, source: impl StdError + Send + Sync + 'static) -> Error {
        Error::new(kind, source.to_string()).because_of(source)
    }

    /// The same error with its cause.
    #[must_use]
    pub fn because_of(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.0.source = Some(Box::new(source));
        self
    }

    /// What went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What to do; of several findings, about the first. It is a part of the text.
    pub fn help(&self) -> Option<&str> {
        self.0.text.lines().find_map(|line| line.strip_prefix("help: "))
    }

    /// The details, if they are of this type.
    pub fn downcast_ref<T: StdError + 'static>(&self) -> Option<&T> {
        self.0.source.as_ref()?.downcast_ref()
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.text)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Inner { kind, text, source } = &*self.0;
        f.debug_struct("Error").field("kind", kind).field("text", text).field("source", source).finish()
    }
}

impl StdError for Error {
    /// The details of the kind. Their words are in the text already.
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl From<Findings> for Error {
    fn from(findings: Findings) -> Error {
        let of_input =
            |code: Code| code.family() == Family::Shape && !matches!(code, Code::ParamValue | Code::UnknownName);
        let kind = match findings.iter().all(|finding| of_input(finding.code)) {
            true => ErrorKind::Input,
            false => ErrorKind::Strategy,
        };
        Error::of(kind, findings)
    }
}

impl From<Finding> for Error {
    fn from(finding: Finding) -> Error {
        Findings::from(finding).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn findings_about_tensors_are_input_and_others_are_of_the_strategy() {
        let kind = |code| Error::from(Finding::new(code, "", "")).kind();
        assert_eq!(kind(Code::TensorShape), ErrorKind::Input);
        assert_eq!(kind(Code::ParamValue), ErrorKind::Strategy);
        assert_eq!(kind(Code::UnknownTarget), ErrorKind::Strategy);
        let mut both = Findings::from(Finding::new(Code::TensorShape, "", ""));
        both.push(Finding::new(Code::ParamValue, "", ""));
        assert_eq!(Error::from(both).kind(), ErrorKind::Strategy);
    }

    #[test]
    fn text_help_and_cause_are_those_of_the_findings() {
        let finding = Finding::new(Code::TensorShape, "q is flat", "give four axes");
        let error = Error::from(finding.clone());
        assert_eq!(error.to_string(), finding.to_string());
        assert_eq!(error.help(), Some("give four axes"));
        let cause = error.source().and_then(|source| source.downcast_ref::<Findings>());
        assert_eq!(cause, error.downcast_ref::<Findings>());
        assert_eq!(cause.and_then(|findings| findings.iter().next()), Some(&finding));
        assert!(error.downcast_ref::<std::io::Error>().is_none());
    }

    #[test]
    fn an_error_without_a_help_line_has_no_help() {
        let error = Error::new(ErrorKind::Driver, "cuda could not wait: no");
        assert_eq!((error.help(), error.source().is_none()), (None, true));
    }
}
