//! A kernel that the emulator stopped.

use ptx_emulator::Trap;
use sparsym_codegen::Kernel;

use crate::nvrtc::excerpt;

/// What the emulator says of a kernel that did something wrong, with the lines and templates that it speaks of.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct KernelTrap {
    /// The kernel.
    pub kernel: String,
    /// The target that it was compiled for.
    pub target: &'static str,
    /// The emulator's report.
    pub trap: Trap,
    /// Lines of the kernel's text that it names, innermost first.
    pub places: Vec<KernelLine>,
}

/// A line of the kernel's text.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct KernelLine {
    /// Line, counted from 1.
    pub line: usize,
    /// The template that made it; None in a text that was edited by hand.
    pub template: Option<String>,
    /// The line and two lines on either side, with their numbers.
    pub excerpt: String,
}

impl KernelTrap {
    pub(super) fn new(kernel: &Kernel, trap: Trap) -> KernelTrap {
        let text = format!("{}.cu", kernel.name);
        let mut places: Vec<KernelLine> = Vec::new();
        for line in trap.frames().filter(|frame| frame.file == text).map(|frame| frame.line as usize) {
            if places.iter().all(|place| place.line != line) {
                let template = kernel.origin(line).map(str::to_owned);
                places.push(KernelLine { line, template, excerpt: excerpt(&kernel.source, line) });
            }
        }
        KernelTrap { kernel: kernel.name.clone(), target: kernel.plan.target, trap, places }
    }
}

impl std::fmt::Display for KernelTrap {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let KernelTrap { kernel, target, trap, places } = self;
        write!(f, "kernel {kernel} for {target} was stopped by the emulator\n{}", trap.to_string().trim_end())?;
        for KernelLine { line, template, excerpt } in places {
            write!(f, "\n{kernel}.cu:{line}")?;
            if let Some(template) = template {
                write!(f, ", made by templates/{template}")?;
            }
            if !excerpt.is_empty() {
                write!(f, "\n{excerpt}")?;
            }
        }
        write!(f, "\nhelp: SPARSYM_DUMP=cuda,ptx writes the texts that these lines count in")
    }
}

impl std::error::Error for KernelTrap {}
