//! Generated kernel to compiled image, through the cache.

use std::sync::OnceLock;

use sparsym_codegen::{Kernel, Request, generate, name_without_hash};

use crate::cache::{Cache, Key};
use crate::dump::Dump;
use crate::error::{Error, ErrorKind};
use crate::nvrtc::{Image, Nvrtc, QualityError, Search, Source, compile};

/// NVRTC and the kernel cache, ready for generated kernels.
#[derive(Debug)]
pub struct Compiler {
    nvrtc: Nvrtc,
    cache: Cache,
    dump: Dump,
    makes: Makes,
}

/// What is made of a text.
#[derive(Clone, Copy, Debug)]
enum Makes {
    MachineCode,
    PtxAlone,
}

/// A compiled kernel and where it came from.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Compiled {
    /// The image.
    pub image: Image,
    /// Whether it was compiled now.
    pub origin: ImageOrigin,
}

/// Where an image came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ImageOrigin {
    /// The cache had it.
    Cache,
    /// It was compiled by this call.
    Compiler,
}

impl Compiler {
    /// The libnvrtc that [`Search`] finds, and the cache of this user.
    ///
    /// # Errors
    /// [`ErrorKind::NoCompiler`] with everything that was tried.
    pub fn new() -> Result<Compiler, Error> {
        // One search in a process: it touches many folders, and a library once loaded stays.
        static FOUND: OnceLock<Search> = OnceLock::new();
        let nvrtc = FOUND.get_or_init(Search::run).clone().into_result()?;
        Ok(Compiler::with(nvrtc, Cache::open()))
    }

    /// This library and this cache.
    pub fn with(nvrtc: Nvrtc, cache: Cache) -> Compiler {
        Compiler { nvrtc, cache, dump: Dump::from_environment(), makes: Makes::MachineCode }
    }

    /// Makes PTX and no cubin, in half the time: what the emulator needs of a text that no GPU will run, as one with a planted
    /// bug. What ptxas would say is not asked, so nothing is known to spill and of all fits the first is taken.
    #[must_use]
    pub fn without_machine_code(self) -> Compiler {
        Compiler { makes: Makes::PtxAlone, ..self }
    }

    /// The library.
    pub fn nvrtc(&self) -> &Nvrtc {
        &self.nvrtc
    }

    /// The cache.
    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    /// Generates and compiles the kernel of a request: of its [fits](Request::fit) the first that the compiler does not spill
    /// registers for and that may be used, or if there is none the first that may be used. So the same compiler takes the same one each time. `strategy`
    /// is named in errors.
    ///
    /// # Errors
    /// The findings of the first fit; otherwise as [`Compiler::compile`].
    pub fn fitting(&self, request: &Request<'_>, strategy: &str) -> Result<(Kernel, Compiled), Error> {
        let make = |fit| -> Result<(Kernel, Compiled), Error> {
            let kernel = generate(&Request { fit, ..request.clone() })?;
            let compiled = self.compile(&kernel, strategy)?;
            Ok((kernel, compiled))
        };
        let fits = |made: &Result<(Kernel, Compiled), Error>| match made {
            Ok((_, compiled)) => compiled.image.spills().is_none(),
            Err(_) => false,
        };
        // A kernel that must not be used is one that does not fit, too.
        let may_fit = |made: &Result<(Kernel, Compiled), Error>| match made {
            Ok(_) => true,
            Err(error) => error.downcast_ref::<QualityError>().is_some(),
        };
        let first = make(request.fit);
        if fits(&first) || !may_fit(&first) {
            return first;
        }
        let mut best = first;
        for made in (request.fit + 1..).map(make).take_while(may_fit) {
            if fits(&made) {
                return made;
            }
            if best.is_err() && made.is_ok() {
                best = made;
            }
        }
        best
    }

    /// Compiles a generated kernel for the target in its plan, or takes it from the cache. `strategy` is named in errors.
    ///
    /// # Errors
    /// As [`Nvrtc::compile`]; a line of an error names the template that made it.
    pub fn compile(&self, kernel: &Kernel, strategy: &str) -> Result<Compiled, Error> {
        let compiled = self.compile_text(&Source {
            name: &kernel.name,
            strategy,
            text: &kernel.source,
            target: kernel.plan.target,
            template: &|line| kernel.origin(line).map(str::to_owned),
        })?;
        match kernel.launches.iter().find(|launch| !compiled.image.resources.contains_key(&launch.entry)) {
            Some(launch) => Err(no_function(&launch.entry)),
            None => Ok(compiled),
        }
    }

    /// Compiles any text, for instance a generated one after edits by hand, or takes it from the cache.
    ///
    /// # Errors
    /// As [`Nvrtc::compile`]; and [`ErrorKind::Compiler`] if the text has no kernel of that name.
    pub fn compile_text(&self, source: &Source<'_>) -> Result<Compiled, Error> {
        self.dump.cuda(source);
        let target = match self.makes {
            Makes::MachineCode => source.target.to_owned(),
            Makes::PtxAlone => source.target.replacen("sm_", "compute_", 1),
        };
        let source = &Source { target: &target, ..*source };
        let architecture = compile::architecture(source.target);
        let options: Vec<&str> = std::iter::once(architecture.as_str()).chain(self.nvrtc.options()).collect();
        let key = Key::new(source.text, source.name, &options, &self.nvrtc.identity());
        let compiled = match self.cache.load(&key) {
            Some(image) => Compiled { image, origin: ImageOrigin::Cache },
            None => {
                let image = match self.makes {
                    Makes::MachineCode => self.nvrtc.compile(source)?,
                    Makes::PtxAlone => self.nvrtc.compile_to_ptx(source)?,
                };
                // A text of several functions puts its name before theirs, and the hash behind.
                let name = name_without_hash(source.name);
                let first = format!("{name}_");
                if !image.resources.keys().any(|entry| entry == name || entry.starts_with(&first)) {
                    return Err(no_function(source.name));
                }
                self.cache.store(&key, &image);
                Compiled { image, origin: ImageOrigin::Compiler }
            }
        };
        self.dump.image(source, &compiled.image);
        Ok(compiled)
    }
}

fn no_function(name: &str) -> Error {
    let text = format!("nvrtc could not find the kernel: the text has no `extern \"C\" __global__` function {name}");
    Error::new(ErrorKind::Compiler, text)
}
