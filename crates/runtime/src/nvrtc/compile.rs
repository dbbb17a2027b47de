//! One text, one target, one [`Image`].

use std::collections::BTreeMap;
use std::ffi::CString;
use std::fmt::Write;
use std::time::Instant;

use serde::{Deserialize, Serialize};

use super::bind::{Nvrtc, failed};
use super::log::{self, Message, Resources};
use crate::error::{Error, ErrorKind};

/// A text to compile.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Name of the kernel; the compiler's messages and the debugger's lines speak of `name.cu`.
    pub name: &'a str,
    /// Name of the strategy that it was generated for.
    pub strategy: &'a str,
    /// CUDA text without `#include`.
    pub text: &'a str,
    /// A real architecture such as `sm_80`: only then are there both cubin and PTX.
    pub target: &'a str,
    /// The template that made a line, counted from 1.
    pub template: &'a dyn Fn(usize) -> Option<String>,
}

/// A compiled text.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// Machine code for exactly the target.
    #[serde(skip)]
    pub cubin: Vec<u8>,
    /// The same as PTX text.
    #[serde(skip)]
    pub ptx: Vec<u8>,
    /// Everything that the compiler printed.
    pub log: String,
    /// What each kernel of the text takes, by name.
    pub resources: BTreeMap<String, Resources>,
    /// The compiler, see [`Nvrtc::identity`].
    pub compiler: String,
    /// Milliseconds that the compilation took.
    pub compile_ms: f64,
}

/// Sizes in place of the bytes.
impl std::fmt::Debug for Image {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Image { cubin, ptx, log: _, resources, compiler, compile_ms } = self;
        f.debug_struct("Image")
            .field("cubin_bytes", &cubin.len())
            .field("ptx_bytes", &ptx.len())
            .field("resources", resources)
            .field("compiler", compiler)
            .field("compile_ms", compile_ms)
            .finish_non_exhaustive()
    }
}

/// The compiler refused a text.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct CompileError {
    /// The kernel.
    pub kernel: String,
    /// The strategy that it was generated for.
    pub strategy: String,
    /// The target.
    pub target: String,
    /// The errors, each with the line, the template behind it and the lines around it.
    pub places: Vec<RefusedLine>,
    /// Everything that the compiler printed.
    pub log: String,
}

/// An error and where it is.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct RefusedLine {
    /// What the compiler said.
    pub message: Message,
    /// The template that made the line, if known.
    pub template: Option<String>,
    /// The line and two lines on either side, with their numbers.
    pub excerpt: String,
}

/// Registers that did not fit: a kernel with some is right, and slower than it should be. Ours have none with the compilers
/// that are tested; another version may decide otherwise, and that is no reason to refuse a strategy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Spills {
    /// The function that has the most.
    pub entry: String,
    /// Bytes of a thread that it writes to local memory.
    pub stores: u32,
    /// Bytes that it reads back.
    pub loads: u32,
}

impl std::fmt::Display for Spills {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} spills registers, {} bytes of stores and {} of loads a thread",
            self.entry, self.stores, self.loads
        )
    }
}

/// A kernel that compiled, but that must not be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum QualityError {
    /// Operands of wgmma pass through local memory, which takes most of its speed.
    #[error(
        "kernel {kernel} of strategy {strategy} compiled for {target} with wgmma and {bytes} bytes of local memory a \
         thread\nhelp: this is a defect of the tile table, not of the strategy; use another libnvrtc, or smaller blocks, \
         until it is mended"
    )]
    LocalMemory {
        /// The kernel.
        kernel: String,
        /// Its strategy.
        strategy: String,
        /// The target.
        target: String,
        /// Bytes of local memory of a thread.
        bytes: u32,
    },
    /// ptxas gave up overlapping tensor-core instructions.
    #[error(
        "kernel {kernel} of strategy {strategy} compiled for {target} with a note that it will be slow: {note}\nhelp: this \
         is a defect of a template, not of the strategy"
    )]
    Serialised {
        /// The kernel.
        kernel: String,
        /// Its strategy.
        strategy: String,
        /// The target.
        target: String,
        /// The compiler's note.
        note: String,
    },
}

/// Options of every compilation beside the target: a report of registers, line numbers for profilers, and errors for
/// unused variables and functions, because generated text must not hold any.
const OPTIONS: [&str; 3] = ["--ptxas-options=-v", LINE_NUMBERS, "--diag-error=177"];

/// Lines of the text in what is made of it.
const LINE_NUMBERS: &str = "-lineinfo";

/// Where there is a driver, NVRTC from this version on has a cache of its own, shared by all programs of the user. What it
/// takes from there comes without a report of registers and spills, also if the text differs in a comment. Ours keeps the
/// report.
const OWN_CACHE: ((u32, u32), &str) = ((12, 9), "--no-cache");

/// Targets that older versions do not know, and the first that does.
const SINCE: [(&str, (u32, u32)); 3] = [("sm_100", (12, 8)), ("sm_120", (12, 8)), ("sm_103", (12, 9))];

impl Nvrtc {
    /// Options of every compilation beside the target.
    pub fn options(&self) -> Vec<&'static str> {
        let (since, no_cache) = OWN_CACHE;
        OPTIONS.into_iter().chain((self.version() >= since).then_some(no_cache)).collect()
    }

    /// Compiles a text to cubin and PTX in one go.
    ///
    /// # Errors
    /// [`ErrorKind::Compile`] if the compiler refuses the text, [`ErrorKind::Quality`] if a kernel has serialised
    /// tensor-core instructions or wgmma beside local memory, [`ErrorKind::Compiler`] if the compiler itself fails. A kernel that spills
    /// registers is given; [`Image::spills`] says so.
    pub fn compile(&self, source: &Source<'_>) -> Result<Image, Error> {
        let start = Instant::now();
        let (cubin, ptx, log) = self.raw(source, &self.options())?;
        // Whole microseconds, so that the number survives the cache's decimal text bit for bit.
        let compile_ms = start.elapsed().as_micros() as f64 / 1e3;
        if cubin.is_empty() {
            let reason = format!("{} is not a real architecture such as sm_80", source.target);
            return Err(failed("give a cubin", &reason));
        }
        let image = Image { resources: log::resources(&log), cubin, ptx, log, compiler: self.identity(), compile_ms };
        image.check(source)?;
        tracing::debug!(kernel = source.name, target = source.target, compile_ms, "compiled");
        Ok(image)
    }

    /// Compiles a text for a virtual target, such as `compute_90a`: to PTX, and functions of whose resources nothing is known.
    ///
    /// # Errors
    /// As [`ptx`](Self::ptx); with the options of every compilation.
    pub(crate) fn compile_to_ptx(&self, source: &Source<'_>) -> Result<Image, Error> {
        let start = Instant::now();
        let (_, ptx, log) = self.raw(source, &self.options())?;
        let compile_ms = start.elapsed().as_micros() as f64 / 1e3;
        let resources = log::entries(&ptx).map(|entry| (entry, Resources::default())).collect();
        Ok(Image { resources, cubin: Vec::new(), ptx, log, compiler: self.identity(), compile_ms })
    }

    /// Compiles a text to PTX alone; the target may be virtual, such as `compute_90a`. What ptxas would say is not asked, and
    /// unused names are no errors: for handwritten texts, also those that are wrong on purpose.
    ///
    /// # Errors
    /// [`ErrorKind::Compile`] if the compiler refuses the text, [`ErrorKind::Compiler`] if the compiler itself fails.
    pub fn ptx(&self, source: &Source<'_>) -> Result<Vec<u8>, Error> {
        self.raw(source, &[LINE_NUMBERS]).map(|(_, ptx, _)| ptx)
    }

    /// Cubin, empty for a virtual target, PTX and log.
    fn raw(&self, source: &Source<'_>, options: &[&'static str]) -> Result<(Vec<u8>, Vec<u8>, String), Error> {
        let file = format!("{}.cu", source.name);
        let no_nul = |what: &'static str, text: &str| {
            CString::new(text).map_err(|nul| {
                let (of, at) = (source.name.escape_debug(), nul.nul_position());
                failed("take the text", &format!("the {what} of {of} holds a NUL at byte {at}"))
            })
        };
        let (text, name) = (no_nul("text", source.text)?, no_nul("name", &file)?);
        let mut all = vec![no_nul("target", &architecture(source.target))?];
        for option in options {
            all.push(no_nul("options", option)?);
        }
        if let Some((_, since)) =
            SINCE.into_iter().find(|(target, since)| *target == source.target && self.version() < *since)
        {
            let (target, path) = (source.target, self.path().display());
            let reason = format!(
                "version {}.{} does not know {target}, and {}.{} is the first that does\nhelp: `pip install \
                 nvidia-cuda-nvrtc` installs a newer one; this one is {path}",
                self.version().0,
                self.version().1,
                since.0,
                since.1
            );
            return Err(failed("compile for this GPU", &reason));
        }
        let raw = self.run(&text, &name, &all)?;
        match raw.images {
            Some((cubin, ptx)) => Ok((cubin, without_folder(ptx, &file), raw.log)),
            None => Err(Error::of(ErrorKind::Compile, CompileError::new(source, &file, raw.log))),
        }
    }
}

/// NVRTC puts the working folder before the name in `.file`, where no such file lies. Without it equal texts give equal
/// PTX in every folder, and reports speak of `name.cu`.
fn without_folder(mut ptx: Vec<u8>, file: &str) -> Vec<u8> {
    let name = format!("/{file}\"");
    let is_quote = |&byte: &u8| byte == b'"';
    if let Some(slash) = ptx.windows(name.len()).rposition(|window| window == name.as_bytes())
        && let Some(quote) = ptx[..slash].iter().rposition(is_quote)
    {
        ptx.drain(quote + 1..=slash);
    }
    ptx
}

/// The option that names a target.
pub(crate) fn architecture(target: &str) -> String {
    format!("--gpu-architecture={target}")
}

impl Image {
    /// The function that spills the most registers; None: all of them fit.
    pub fn spills(&self) -> Option<Spills> {
        let of = |found: &Resources| found.spill_stores + found.spill_loads;
        let (entry, found) = self.resources.iter().max_by_key(|(_, found)| of(found))?;
        let spills = Spills { entry: entry.clone(), stores: found.spill_stores, loads: found.spill_loads };
        (of(found) > 0).then_some(spills)
    }

    /// Refuses a kernel that would be many times slower than its source says.
    fn check(&self, source: &Source<'_>) -> Result<(), QualityError> {
        const WGMMA: &[u8] = b"wgmma.mma_async";
        let (strategy, target) = (source.strategy.to_owned(), source.target.to_owned());
        let stack = self.resources.values().map(|found| found.stack.max(found.spill_stores)).max().unwrap_or(0);
        if stack > 0 && self.ptx.windows(WGMMA.len()).any(|words| words == WGMMA) {
            let (kernel, bytes) = (source.name.to_owned(), stack);
            return Err(QualityError::LocalMemory { kernel, strategy, target, bytes });
        }
        match log::slow_notes(&self.log).first() {
            Some(note) => {
                let note = (*note).trim().to_owned();
                Err(QualityError::Serialised { kernel: source.name.to_owned(), strategy, target, note })
            }
            None => Ok(()),
        }
    }
}

impl CompileError {
    fn new(source: &Source<'_>, file: &str, log: String) -> CompileError {
        let places = log::errors(&log, file)
            .into_iter()
            .map(|message| RefusedLine {
                template: (source.template)(message.line),
                excerpt: excerpt(source.text, message.line),
                message,
            })
            .collect();
        CompileError {
            kernel: source.name.to_owned(),
            strategy: source.strategy.to_owned(),
            target: source.target.to_owned(),
            places,
            log,
        }
    }
}

impl From<QualityError> for Error {
    fn from(error: QualityError) -> Error {
        Error::of(ErrorKind::Quality, error)
    }
}

impl std::error::Error for CompileError {}

impl std::fmt::Display for CompileError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        /// More than this many errors are consequences of the first ones.
        const SHOWN: usize = 5;
        let CompileError { kernel, strategy, target, places, log } = self;
        write!(f, "the compiler refused kernel {kernel} of strategy {strategy} for {target}")?;
        for RefusedLine { message, template, excerpt } in places.iter().take(SHOWN) {
            write!(f, "\n{kernel}.cu:{}: {}", message.line, message.text)?;
            if let Some(template) = template {
                write!(f, "\n  made by templates/{template}")?;
            }
            write!(f, "\n{excerpt}")?;
        }
        if places.is_empty() {
            write!(f, "\n{log}")?;
        } else if places.len() > SHOWN {
            write!(f, "\nand {} more errors", places.len() - SHOWN)?;
        }
        Ok(())
    }
}

/// The line, two before and two after it, numbered, the line itself marked.
pub(crate) fn excerpt(text: &str, line: usize) -> String {
    let (first, last) = (line.saturating_sub(2).max(1), line + 2);
    let mut out = String::new();
    for (index, content) in text.lines().enumerate().skip(first - 1).take(last + 1 - first) {
        let mark = if index + 1 == line { '>' } else { ' ' };
        let _ = writeln!(out, "{mark} {:>4} | {content}", index + 1);
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_working_folder_is_not_in_the_ptx() {
        let ptx = |name: &str| format!("ret;\n}}\n\t.file\t1 \"{name}\"\n").into_bytes();
        assert_eq!(without_folder(ptx("/some/where/k.cu"), "k.cu"), ptx("k.cu"));
        assert_eq!(without_folder(ptx("k.cu"), "k.cu"), ptx("k.cu"));
        assert_eq!(without_folder(b"no file".to_vec(), "k.cu"), b"no file");
    }

    fn image(ptx: &str, spill_stores: u32, stack: u32) -> Image {
        let spill_loads = spill_stores;
        let found = Resources { spill_stores, spill_loads, stack, ..Resources::default() };
        let resources = BTreeMap::from([("fits".to_owned(), Resources::default()), ("k".to_owned(), found)]);
        let (ptx, log, compiler) = (ptx.as_bytes().to_vec(), String::new(), String::new());
        Image { cubin: Vec::new(), ptx, log, resources, compiler, compile_ms: 0.0 }
    }

    #[test]
    fn local_memory_is_refused_beside_wgmma_alone() {
        let source = Source { name: "k", strategy: "dense", text: "", target: "sm_90a", template: &|_| None };
        let spills = |image: &Image| image.spills().map(|spills| (spills.entry, spills.stores));
        let portable = image("mma.sync.aligned", 8, 16);
        assert_eq!((portable.check(&source), spills(&portable)), (Ok(()), Some(("k".to_owned(), 8))));
        for (stores, stack) in [(8, 8), (0, 16)] {
            let refused = image("wgmma.mma_async.sync.aligned", stores, stack).check(&source);
            assert!(matches!(refused, Err(QualityError::LocalMemory { bytes, .. }) if bytes == stack), "{refused:?}");
        }
        let good = image("wgmma.mma_async.sync.aligned", 0, 0);
        assert_eq!((good.check(&source), good.spills()), (Ok(()), None));
    }

    #[test]
    fn an_excerpt_at_an_edge_is_cut() {
        assert_eq!(excerpt("a\nb\nc\nd", 1), ">    1 | a\n     2 | b\n     3 | c");
        assert_eq!(excerpt("a\nb", 9), "");
    }
}
