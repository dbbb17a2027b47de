//! The functions of libnvrtc that are called, and all `unsafe` code around them.
//!
//! Why not cudarc's binding: it opens a library by name, once in a process, and tries `libnvrtc.so` before
//! `libnvrtc.so.13`. An old toolkit in the loader's path would then win over the wheel that [`find`](super::find) chose,
//! whose own name is `libnvrtc.so.13`; and no second version could ever be compared with the first. Handles of our own
//! bind to exactly the file that was found.

use std::ffi::{CStr, CString, OsStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};

use libloading::Library;

use crate::error::{Error, ErrorKind};

type Program = *mut c_void;

/// `NVRTC_SUCCESS`.
const SUCCESS: c_int = 0;
/// `NVRTC_ERROR_COMPILATION`: the text is at fault, and the log says why.
const COMPILATION: c_int = 6;

/// The oldest version that compiles every kernel of the corpus for the targets that it knows: `cargo xtask nvrtc-matrix`.
pub const OLDEST: (u32, u32) = (12, 0);

/// A loaded libnvrtc. It is never unloaded, and may be used from several threads at once.
#[derive(Clone, Debug)]
pub struct Nvrtc {
    path: PathBuf,
    version: (u32, u32),
    bytes: u64,
    api: Api,
}

/// What a compilation gives, whether it succeeded or not.
pub(super) struct Raw {
    /// Cubin and PTX; None if the compiler refused the text.
    pub images: Option<(Vec<u8>, Vec<u8>)>,
    /// Everything that the compiler printed.
    pub log: String,
}

impl Nvrtc {
    /// Loads this file, and the `libnvrtc-builtins` of its version from the same folder.
    ///
    /// The builtins are loaded here because libnvrtc opens them by bare name at the first compilation, and the 13.0 wheel
    /// does not look beside itself: a library of that name that is already loaded is taken instead.
    ///
    /// # Errors
    /// A few words: what is wrong with the file.
    pub fn load(path: &Path) -> Result<Nvrtc, String> {
        let api = Api::load(path)?;
        let version = api.version()?;
        if version < OLDEST {
            let (major, minor) = OLDEST;
            return Err(format!(
                "is version {}.{}, and {major}.{minor} is the oldest that works",
                version.0, version.1
            ));
        }
        let path = match path.is_absolute() {
            true => path.to_path_buf(),
            // Found by the loader: the memory map knows where.
            false => super::loaded::loaded_libraries()
                .into_iter()
                .find(|file| file.file_name().is_some_and(|name| starts_with(name, path)))
                .unwrap_or_else(|| path.to_path_buf()),
        };
        let folder = path.canonicalize().ok().and_then(|real| real.parent().map(Path::to_path_buf));
        let builtins = format!("libnvrtc-builtins.so.{}.{}", version.0, version.1);
        for folder in path.parent().into_iter().map(Path::to_path_buf).chain(folder) {
            let builtins = folder.join(&builtins);
            // A failure here shows as the compiler's own error, which names the file; some versions need no help.
            if builtins.is_file() && open(&builtins).map(std::mem::forget).is_ok() {
                break;
            }
        }
        let bytes = std::fs::metadata(&path).map_or(0, |data| data.len());
        Ok(Nvrtc { path, version, bytes, api })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Major and minor version, which are those of the CUDA toolkit.
    pub fn version(&self) -> (u32, u32) {
        self.version
    }

    /// Version and size of the file. The library does not tell its patch level, and two patch levels of one version may
    /// compile the same text differently; their sizes differ.
    pub fn identity(&self) -> String {
        format!("nvrtc {}.{}, {} bytes", self.version.0, self.version.1, self.bytes)
    }

    pub(super) fn run(&self, text: &CStr, name: &CStr, options: &[CString]) -> Result<Raw, Error> {
        self.api.run(text, name, options)
    }
}

macro_rules! api {
    ($($field:ident = $symbol:literal: fn($($arg:ty),*) $(-> $ret:ty)?;)*) => {
        /// Function pointers into a library that stays loaded for the rest of the process.
        #[derive(Clone, Copy, Debug)]
        struct Api {
            $($field: unsafe extern "C" fn($($arg),*) $(-> $ret)?,)*
        }

        impl Api {
            fn load(path: &Path) -> Result<Api, String> {
                let library = open(path)?;
                // SAFETY: the signatures below are those of nvrtc.h, unchanged since CUDA 11; the library is leaked right
                // after, so the pointers stay valid.
                let api = unsafe {
                    Api {
                        $($field: *library
                            .get($symbol)
                            .map_err(|_| format!("has no function {}", String::from_utf8_lossy($symbol)))?,)*
                    }
                };
                std::mem::forget(library);
                Ok(api)
            }
        }
    };
}

api! {
    get_version = b"nvrtcVersion": fn(*mut c_int, *mut c_int) -> c_int;
    error_string = b"nvrtcGetErrorString": fn(c_int) -> *const c_char;
    create = b"nvrtcCreateProgram":
        fn(*mut Program, *const c_char, *const c_char, c_int, *const *const c_char, *const *const c_char) -> c_int;
    destroy = b"nvrtcDestroyProgram": fn(*mut Program) -> c_int;
    compile = b"nvrtcCompileProgram": fn(Program, c_int, *const *const c_char) -> c_int;
    log_size = b"nvrtcGetProgramLogSize": fn(Program, *mut usize) -> c_int;
    log = b"nvrtcGetProgramLog": fn(Program, *mut c_char) -> c_int;
    cubin_size = b"nvrtcGetCUBINSize": fn(Program, *mut usize) -> c_int;
    cubin = b"nvrtcGetCUBIN": fn(Program, *mut c_char) -> c_int;
    ptx_size = b"nvrtcGetPTXSize": fn(Program, *mut usize) -> c_int;
    ptx = b"nvrtcGetPTX": fn(Program, *mut c_char) -> c_int;
}

type Size = unsafe extern "C" fn(Program, *mut usize) -> c_int;
type Fill = unsafe extern "C" fn(Program, *mut c_char) -> c_int;

impl Api {
    fn version(&self) -> Result<(u32, u32), String> {
        let (mut major, mut minor) = (0, 0);
        // SAFETY: two valid pointers to int.
        match unsafe { (self.get_version)(&mut major, &mut minor) } {
            SUCCESS => Ok((major.unsigned_abs(), minor.unsigned_abs())),
            code => Err(format!("does not tell its version: {}", self.words(code))),
        }
    }

    fn run(&self, text: &CStr, name: &CStr, options: &[CString]) -> Result<Raw, Error> {
        let mut handle: Program = std::ptr::null_mut();
        // SAFETY: both strings end in NUL and outlive the call; there are no headers, so their arrays may be null.
        let code =
            unsafe { (self.create)(&mut handle, text.as_ptr(), name.as_ptr(), 0, std::ptr::null(), std::ptr::null()) };
        self.check("start a program", code)?;
        let mut program = Guard { api: self, handle };
        let options: Vec<*const c_char> = options.iter().map(|option| option.as_ptr()).collect();
        // SAFETY: the program lives in the guard; the options end in NUL and outlive the call.
        let code = unsafe { (self.compile)(program.handle, options.len() as c_int, options.as_ptr()) };
        let log = program.read("give its log", self.log_size, self.log)?;
        let log = String::from_utf8_lossy(&log).trim_end_matches(['\0', '\n']).to_owned();
        if code == COMPILATION {
            return Ok(Raw { images: None, log });
        }
        if code != SUCCESS {
            let reason = if log.is_empty() { self.words(code) } else { format!("{}: {log}", self.words(code)) };
            return Err(failed("compile", &reason));
        }
        let cubin = program.read("give a cubin", self.cubin_size, self.cubin)?;
        let mut ptx = program.read("give PTX", self.ptx_size, self.ptx)?;
        while ptx.last() == Some(&0) {
            ptx.pop();
        }
        Ok(Raw { images: Some((cubin, ptx)), log })
    }

    fn check(&self, action: &'static str, code: c_int) -> Result<(), Error> {
        match code {
            SUCCESS => Ok(()),
            code => Err(failed(action, &self.words(code))),
        }
    }

    fn words(&self, code: c_int) -> String {
        // SAFETY: takes any number and gives a static string.
        let text = unsafe { (self.error_string)(code) };
        if text.is_null() {
            return format!("error {code}");
        }
        // SAFETY: not null, and the library's strings end in NUL.
        unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
    }
}

/// A program that is destroyed however its scope ends.
struct Guard<'a> {
    api: &'a Api,
    handle: Program,
}

impl Guard<'_> {
    fn read(&mut self, action: &'static str, size: Size, fill: Fill) -> Result<Vec<u8>, Error> {
        let mut n = 0usize;
        // SAFETY: the handle is live and `n` is a valid pointer.
        self.api.check(action, unsafe { size(self.handle, &mut n) })?;
        let mut bytes = vec![0u8; n];
        if n > 0 {
            // SAFETY: the handle is live and the buffer holds the `n` bytes that the library asked for.
            self.api.check(action, unsafe { fill(self.handle, bytes.as_mut_ptr().cast()) })?;
        }
        Ok(bytes)
    }
}

impl Drop for Guard<'_> {
    fn drop(&mut self) {
        // SAFETY: the handle came from `create` and is destroyed once, here. A failure leaks a program, no more.
        unsafe { (self.api.destroy)(&mut self.handle) };
    }
}

/// Whether a file name continues a bare library name: `libnvrtc.so.13.0.88` is what `libnvrtc.so.13` stands for.
fn starts_with(name: &OsStr, bare: &Path) -> bool {
    name.to_string_lossy().starts_with(&*bare.to_string_lossy())
}

fn open(path: &Path) -> Result<Library, String> {
    // SAFETY: loading runs the library's initialisers. The names looked for are NVRTC's own, which do nothing there.
    unsafe { Library::new(path) }.map_err(|error| {
        let mut words = error.to_string();
        let mut cause = std::error::Error::source(&error);
        while let Some(inner) = cause {
            words = format!("{words}: {inner}");
            cause = inner.source();
        }
        words
    })
}

/// NVRTC itself failed, not the text that it was given.
pub(super) fn failed(action: &str, reason: &str) -> Error {
    Error::new(ErrorKind::Compiler, format!("nvrtc could not {action}: {reason}"))
}
