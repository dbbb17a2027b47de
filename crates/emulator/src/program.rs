//! A PTX text, loaded.

use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::decode::{Code, inline, variables, widths};
use crate::isa::manual::FormInfo;
use crate::memory::global::Memory;
use crate::syntax::{self, FunctionKind, Module, Position, SyntaxError};
use crate::trap::Trap;

/// A PTX text that is ready to run.
pub struct Program {
    module: Arc<Module>,
    /// By function, decoded when it is first asked for.
    /// Its variables of global memory.
    variables: Arc<Memory>,
    kernels: Vec<OnceLock<Result<Arc<Code>, LoadError>>>,
}

/// A kernel of a program.
#[derive(Clone)]
pub struct Kernel {
    pub(crate) code: Arc<Code>,
}

impl Program {
    /// Reads a PTX text.
    ///
    /// # Errors
    /// [`LoadError::Syntax`] with line and column.
    pub fn load(ptx: &str) -> Result<Program, LoadError> {
        let mut module = syntax::parse(ptx).map_err(LoadError::Syntax)?;
        inline::inline(&mut module);
        module.functions.iter_mut().for_each(widths::fit);
        let variables = Arc::new(variables::place(&module));
        let module = Arc::new(module);
        let kernels = module.functions.iter().map(|_| OnceLock::new()).collect();
        Ok(Program { module, variables, kernels })
    }

    /// The kernel of this name.
    ///
    /// # Errors
    /// [`LoadError::NoKernel`] if there is none, [`LoadError::Unsupported`] if it does something that the emulator cannot.
    pub fn kernel(&self, name: &str) -> Result<Kernel, LoadError> {
        let entry = |function: &syntax::Function| function.kind == FunctionKind::Entry && function.name == name;
        let Some(at) = self.module.functions.iter().position(entry) else {
            return Err(LoadError::NoKernel {
                name: name.to_owned(),
                known: self.names().map(str::to_owned).collect(),
            });
        };
        let code = self.kernels[at].get_or_init(|| Code::new(&self.module, &self.variables, at).map(Arc::new));
        code.clone().map(|code| Kernel { code })
    }

    /// The bytes of a variable of global memory that the text declares, as the last launch left them; None if there is none.
    pub fn read_variable(&self, name: &str) -> Option<Vec<u8>> {
        self.variables.named(name).map(|buffer| self.variables.download(buffer))
    }

    /// Replaces the bytes of a variable of global memory, as `cudaMemcpyToSymbol` does.
    ///
    /// # Panics
    /// If the text declares no such variable, or one of another size.
    pub fn write_variable(&self, name: &str, bytes: &[u8]) {
        let buffer = self.variables.named(name).unwrap_or_else(|| panic!("there is no variable {name}"));
        self.variables.overwrite(buffer, bytes);
    }

    /// The names of its kernels, in the order of the text.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        let entries = self.module.functions.iter().filter(|function| function.kind == FunctionKind::Entry);
        entries.map(|function| function.name.as_str())
    }

    /// The architecture that the text was compiled for, such as `sm_80`.
    pub fn target(&self) -> &str {
        &self.module.target
    }
}

impl fmt::Debug for Program {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Program").field("kernels", &self.names().collect::<Vec<_>>()).finish_non_exhaustive()
    }
}

impl Kernel {
    /// Its name.
    pub fn name(&self) -> &str {
        self.code.name()
    }

    /// Bytes of its parameters.
    pub fn param_bytes(&self) -> usize {
        self.code.layout.param_bytes as usize
    }

    /// The row of the instruction table that each of its instructions is, in the order of the text.
    pub fn forms(&self) -> impl Iterator<Item = FormInfo> {
        self.code.instructions.iter().map(|instruction| FormInfo::of(instruction.form))
    }
}

impl fmt::Debug for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kernel").field("name", &self.name()).finish_non_exhaustive()
    }
}

/// Why a text does not load.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LoadError {
    /// It is not PTX.
    Syntax(SyntaxError),
    /// It has no such kernel.
    NoKernel {
        /// The name.
        name: String,
        /// The kernels that it has.
        known: Vec<String>,
    },
    /// A kernel does something that the emulator cannot.
    Unsupported {
        /// Name of the kernel.
        kernel: String,
        /// Line of the text, counted from 1.
        line: u32,
        /// Column, counted from 1.
        column: u32,
        /// The instruction, and why.
        what: String,
    },
}

impl LoadError {
    pub(crate) fn unsupported(kernel: &str, position: Position, what: String) -> LoadError {
        LoadError::Unsupported { kernel: kernel.to_owned(), line: position.line, column: position.column, what }
    }
}

impl std::error::Error for LoadError {}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LoadError::Syntax(error) => write!(f, "the text is not PTX: {error}"),
            LoadError::NoKernel { name, known } if known.is_empty() => {
                write!(f, "there is no kernel {name}; the text has none")
            }
            LoadError::NoKernel { name, known } => {
                write!(f, "there is no kernel {name}; the text has {}", known.join(", "))
            }
            LoadError::Unsupported { kernel, line, column, what } => {
                write!(f, "kernel {kernel} cannot be emulated, line {line}, column {column}: {what}")
            }
        }
    }
}

/// Why a launch gives no result.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum LaunchError {
    /// The launch does not fit the kernel; nothing ran.
    Refused {
        /// Name of the kernel.
        kernel: String,
        /// What does not fit.
        reason: String,
    },
    /// The kernel did something wrong.
    Trap(Box<Trap>),
}

impl std::error::Error for LaunchError {}

impl fmt::Display for LaunchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            LaunchError::Refused { kernel, reason } => write!(f, "kernel {kernel} cannot be launched so: {reason}"),
            LaunchError::Trap(trap) => trap.fmt(f),
        }
    }
}
