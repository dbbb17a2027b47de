//! Where libnvrtc may lie, and which one is taken.
//!
//! The order, first hit wins:
//!
//! 1. the variable `SPARSYM_NVRTC`, a file or a folder; if it is set, nothing else is tried;
//! 2. a libnvrtc that the process has already loaded;
//! 3. PyPI wheels (`nvidia-cuda-nvrtc`, layouts of CUDA 13 and 12) in `VIRTUAL_ENV`, in `CONDA_PREFIX`, in the prefix of
//!    every Python on `PATH`, and in `~/.local`;
//! 4. a toolkit in `CUDA_PATH`, `CUDA_HOME` or `/usr/local/cuda`;
//! 5. the loader's names, `libnvrtc.so.13` then `libnvrtc.so.12`.

use std::collections::HashSet;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::bind::{Nvrtc, OLDEST};
use super::loaded::{is_library, loaded_libraries};
use crate::error::{Error, ErrorKind};

/// The part of the environment that the search reads.
#[derive(Clone, Debug, Default)]
pub struct Places {
    /// `SPARSYM_NVRTC`.
    pub explicit: Option<PathBuf>,
    /// Files of libnvrtc in this process's memory map.
    pub loaded: Vec<PathBuf>,
    /// `VIRTUAL_ENV`.
    pub virtual_env: Option<PathBuf>,
    /// `CONDA_PREFIX`.
    pub conda_prefix: Option<PathBuf>,
    /// Folders of `PATH`.
    pub path: Vec<PathBuf>,
    /// `HOME`.
    pub home: Option<PathBuf>,
    /// `CUDA_PATH`, `CUDA_HOME` and `/usr/local/cuda`.
    pub toolkits: Vec<(&'static str, PathBuf)>,
    /// Names given to the system's loader.
    pub loader_names: Vec<&'static str>,
}

/// One place of a search.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Attempt {
    /// Why it was tried: `SPARSYM_NVRTC`, `python on PATH`, `loader` …
    pub reason: &'static str,
    /// The file or folder, or a bare name for the loader.
    pub path: PathBuf,
    /// Why it was not taken; None: it was.
    pub failure: Option<String>,
}

/// A finished search: everything tried, and what was found.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Search {
    /// In order.
    pub attempts: Vec<Attempt>,
    /// The library, if any.
    pub found: Option<Nvrtc>,
}

impl Places {
    /// Those of this process.
    pub fn from_environment() -> Places {
        let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        let toolkit = |name| folder(name).map(|path| (name, path));
        let mut toolkits: Vec<_> = ["CUDA_PATH", "CUDA_HOME"].into_iter().filter_map(toolkit).collect();
        toolkits.push(("toolkit", PathBuf::from("/usr/local/cuda")));
        Places {
            explicit: folder("SPARSYM_NVRTC"),
            loaded: loaded_libraries(),
            virtual_env: folder("VIRTUAL_ENV"),
            conda_prefix: folder("CONDA_PREFIX"),
            path: std::env::var_os("PATH").map(|path| std::env::split_paths(&path).collect()).unwrap_or_default(),
            home: folder("HOME"),
            toolkits,
            loader_names: vec!["libnvrtc.so.13", "libnvrtc.so.12"],
        }
    }

    /// Tries one place after the other.
    pub fn search(&self) -> Search {
        let mut search = Search::default();
        let mut seen = HashSet::new();
        for (reason, place) in self.candidates() {
            if search.found.is_some() {
                break;
            }
            if !seen.insert(place.clone()) {
                continue;
            }
            search.attempt(reason, place);
        }
        search
    }

    /// Files, folders and bare names in the order in which they are tried.
    fn candidates(&self) -> Vec<(&'static str, PathBuf)> {
        let mut out = Vec::new();
        if let Some(explicit) = &self.explicit {
            out.push(("SPARSYM_NVRTC", explicit.clone()));
            // A folder of wheels (`pip install --target`) or a toolkit may be named as a whole.
            out.extend(library_folders(explicit).into_iter().map(|folder| ("SPARSYM_NVRTC", folder)));
            return out;
        }
        out.extend(self.loaded.iter().map(|file| ("already loaded", file.clone())));
        let mut add_prefix = |reason, prefix: &Path| {
            for packages in package_folders(prefix) {
                out.extend(wheel_folders(&packages).into_iter().map(|folder| (reason, folder)));
            }
        };
        if let Some(prefix) = &self.virtual_env {
            add_prefix("VIRTUAL_ENV", prefix);
        }
        if let Some(prefix) = &self.conda_prefix {
            add_prefix("CONDA_PREFIX", prefix);
        }
        for prefix in self.python_prefixes() {
            add_prefix("python on PATH", &prefix);
        }
        if let Some(home) = &self.home {
            add_prefix("~/.local", &home.join(".local"));
        }
        let conda = self.conda_prefix.iter().map(|prefix| ("CONDA_PREFIX", prefix));
        let toolkits = self.toolkits.iter().map(|(reason, prefix)| (*reason, prefix));
        for (reason, prefix) in conda.chain(toolkits) {
            out.extend(toolkit_folders(prefix).into_iter().map(|folder| (reason, folder)));
        }
        out.extend(self.loader_names.iter().map(|name| ("loader", PathBuf::from(name))));
        out
    }

    /// Prefixes of the Pythons on `PATH`: of each executable as named, which is a virtual environment's, and as resolved.
    fn python_prefixes(&self) -> Vec<PathBuf> {
        let mut prefixes = Vec::new();
        let mut add = |prefix: Option<&Path>| {
            if let Some(prefix) = prefix.filter(|prefix| !prefixes.contains(&prefix.to_path_buf())) {
                prefixes.push(prefix.to_path_buf());
            }
        };
        for folder in &self.path {
            let Some(python) = ["python3", "python"].map(|name| folder.join(name)).into_iter().find(|p| p.is_file())
            else {
                continue;
            };
            add(folder.parent());
            if let Ok(real) = python.canonicalize() {
                add(real.parent().and_then(Path::parent));
            }
            if folder.ends_with("shims") {
                // pyenv: the executables are scripts that choose among the installed versions.
                for version in folder.parent().map(|root| children(&root.join("versions"), "")).unwrap_or_default() {
                    add(Some(&version));
                }
            }
            if folder.starts_with("/usr/bin") {
                add(Some(Path::new("/usr/local")));
            }
        }
        prefixes
    }
}

impl Search {
    /// Searches the places of this process.
    pub fn run() -> Search {
        Places::from_environment().search()
    }

    /// The library found.
    ///
    /// # Errors
    /// [`ErrorKind::NoCompiler`] with everything that was tried.
    pub fn into_result(self) -> Result<Nvrtc, Error> {
        match &self.found {
            Some(nvrtc) => Ok(nvrtc.clone()),
            None => Err(Error::of(ErrorKind::NoCompiler, self)),
        }
    }

    /// One sentence, what to do, and every library that was there but could not be loaded. [`Search::attempts`] has the
    /// empty places too.
    pub fn explanation(&self) -> String {
        let explicit = self.attempts.iter().find(|attempt| attempt.reason == "SPARSYM_NVRTC");
        let mut text = match explicit {
            Some(attempt) => format!(
                "SPARSYM_NVRTC is {}, but no libnvrtc could be loaded from there\nhelp: name the library or its folder, \
                 or unset the variable to search everywhere",
                attempt.path.display()
            ),
            None => format!(
                "no libnvrtc was found in {} places, and kernels cannot be compiled without it\nhelp: install it with \
                 `pip install nvidia-cuda-nvrtc` ({}.{} or newer), or let SPARSYM_NVRTC name the library or its folder; `sparsym doctor` \
                 lists the places",
                self.attempts.len(),
                OLDEST.0,
                OLDEST.1
            ),
        };
        for attempt in self.attempts.iter().filter(|attempt| attempt.path.exists()) {
            let failure = attempt.failure.as_deref().unwrap_or("taken");
            text.push_str(&format!("\n  {} ({}): {failure}", attempt.path.display(), attempt.reason));
        }
        text
    }

    fn attempt(&mut self, reason: &'static str, place: PathBuf) {
        let mut add = |path: &Path, failure: Option<String>| {
            self.attempts.push(Attempt { reason, path: path.to_path_buf(), failure });
        };
        let files = if place.is_dir() {
            let files = libraries_in(&place);
            if files.is_empty() {
                return add(&place, Some("holds no libnvrtc".to_owned()));
            }
            files
        } else if place.is_file() || place.components().count() == 1 && reason == "loader" {
            vec![place]
        } else {
            return add(&place, Some("does not exist".to_owned()));
        };
        for file in files {
            match Nvrtc::load(&file) {
                Ok(nvrtc) => {
                    add(nvrtc.path(), None);
                    self.found = Some(nvrtc);
                    return;
                }
                Err(words) => add(&file, Some(words)),
            }
        }
    }
}

impl std::fmt::Display for Search {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.explanation())
    }
}

/// A search that found nothing.
impl std::error::Error for Search {}

/// libnvrtc in a folder, the highest version first, the bare name last. Names of one file are tried once.
fn libraries_in(folder: &Path) -> Vec<PathBuf> {
    let version = |path: &PathBuf| -> Vec<u32> {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        name.trim_start_matches("libnvrtc.so").split('.').filter_map(|part| part.parse().ok()).collect()
    };
    let mut files: Vec<PathBuf> = children(folder, "libnvrtc.so")
        .into_iter()
        .filter(|path| path.is_file() && is_library(&path.file_name().unwrap_or_default().to_string_lossy()))
        .collect();
    files.sort_by_key(|path| std::cmp::Reverse(version(path)));
    let mut seen = HashSet::new();
    files.retain(|path| seen.insert(path.canonicalize().unwrap_or_else(|_| path.clone())));
    files
}

/// `lib/python3*/site-packages` and `dist-packages` of a Python prefix, the highest version first.
fn package_folders(prefix: &Path) -> Vec<PathBuf> {
    let mut out = Vec::new();
    for lib in ["lib", "lib64"] {
        for python in children(&prefix.join(lib), "python3") {
            out.extend(
                ["site-packages", "dist-packages"].map(|name| python.join(name)).into_iter().filter(|p| p.is_dir()),
            );
        }
    }
    out
}

/// Library folders of NVIDIA's wheels in a folder of packages, CUDA 13 first.
fn wheel_folders(packages: &Path) -> Vec<PathBuf> {
    let nvidia = packages.join("nvidia");
    vec![nvidia.join("cu13").join("lib"), nvidia.join("cuda_nvrtc").join("lib")]
}

/// Library folders of a toolkit.
fn toolkit_folders(prefix: &Path) -> Vec<PathBuf> {
    let mut out = vec![prefix.join("lib64"), prefix.join("lib")];
    out.extend(children(&prefix.join("targets"), "").into_iter().map(|target| target.join("lib")));
    out
}

/// Library folders below an explicitly named one, those that exist.
fn library_folders(folder: &Path) -> Vec<PathBuf> {
    let mut out = wheel_folders(folder);
    out.extend(package_folders(folder).iter().flat_map(|packages| wheel_folders(packages)));
    out.extend(toolkit_folders(folder));
    out.retain(|folder| folder.is_dir());
    out
}

/// Entries of a folder whose name starts with `prefix`, in falling order of name with numbers compared as numbers.
fn children(folder: &Path, prefix: &str) -> Vec<PathBuf> {
    let mut names: Vec<OsString> = std::fs::read_dir(folder)
        .map(|entries| entries.flatten().map(|entry| entry.file_name()).collect())
        .unwrap_or_default();
    names.retain(|name| name.to_string_lossy().starts_with(prefix));
    let numbers = |name: &OsString| -> Vec<u64> {
        name.to_string_lossy().split(|c: char| !c.is_ascii_digit()).filter_map(|part| part.parse().ok()).collect()
    };
    names.sort_by_key(|name| std::cmp::Reverse((numbers(name), name.clone())));
    names.into_iter().map(|name| folder.join(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these empty files.
    fn tree(files: &[&str]) -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for file in files {
            let path = root.path().join(file);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, "").unwrap();
        }
        root
    }

    fn tried(places: &Places) -> Vec<(&'static str, PathBuf)> {
        let search = places.search();
        assert!(search.found.is_none(), "empty files are no libraries");
        search.attempts.into_iter().map(|attempt| (attempt.reason, attempt.path)).collect()
    }

    #[test]
    fn both_wheel_layouts_of_a_python_on_path_are_tried_newest_first() {
        let root = tree(&[
            "bin/python3",
            "lib/python3.9/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
            "lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
            "lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc-builtins.so.12.8",
            "lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
            "lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.alt.so.13",
        ]);
        let packages = |version: &str| root.path().join("lib").join(version).join("site-packages/nvidia");
        let found = tried(&Places { path: vec![root.path().join("bin")], ..Places::default() });
        let files: Vec<_> = found.into_iter().filter(|(_, path)| path.is_file()).collect();
        assert_eq!(
            files,
            [
                ("python on PATH", packages("python3.11").join("cu13/lib/libnvrtc.so.13")),
                ("python on PATH", packages("python3.11").join("cuda_nvrtc/lib/libnvrtc.so.12")),
                ("python on PATH", packages("python3.9").join("cu13/lib/libnvrtc.so.13")),
            ]
        );
    }

    #[cfg(unix)]
    #[test]
    fn a_linked_python_is_resolved_to_its_real_prefix() {
        let real = tree(&["bin/python3.12", "lib/python3.12/dist-packages/nvidia/cu13/lib/libnvrtc.so.13"]);
        let links = tree(&["bin/other"]);
        std::os::unix::fs::symlink(real.path().join("bin/python3.12"), links.path().join("bin/python3")).unwrap();
        let found = tried(&Places { path: vec![links.path().join("bin")], ..Places::default() });
        let real = real.path().canonicalize().unwrap();
        let file = real.join("lib/python3.12/dist-packages/nvidia/cu13/lib/libnvrtc.so.13");
        assert!(found.contains(&("python on PATH", file)), "{found:?}");
    }

    #[test]
    fn pyenv_shims_lead_to_the_installed_versions() {
        let root =
            tree(&["shims/python3", "versions/3.9.1/lib/python3.9/site-packages/nvidia/cu13/lib/libnvrtc.so.13"]);
        let found = tried(&Places { path: vec![root.path().join("shims")], ..Places::default() });
        assert!(found.iter().any(|(_, path)| path.ends_with("libnvrtc.so.13")), "{found:?}");
    }

    #[test]
    fn environments_come_before_path_and_toolkits_after() {
        let root = tree(&[
            "venv/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
            "conda/lib/libnvrtc.so.12.8.93",
            "conda/lib/python3.11/site-packages/nvidia/cuda_nvrtc/lib/libnvrtc.so.12",
            "home/.local/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
            "cuda/targets/x86_64-linux/lib/libnvrtc.so.13",
            "py/bin/python",
            "py/lib/python3.11/site-packages/nvidia/cu13/lib/libnvrtc.so.13",
        ]);
        let at = |name: &str| root.path().join(name);
        let found = tried(&Places {
            virtual_env: Some(at("venv")),
            conda_prefix: Some(at("conda")),
            path: vec![at("py/bin")],
            home: Some(at("home")),
            toolkits: vec![("CUDA_HOME", at("cuda"))],
            loader_names: vec!["libnvrtc-of-no-machine.so.13"],
            ..Places::default()
        });
        let reasons: Vec<_> =
            found.iter().filter(|(_, path)| !path.is_dir() && path.exists()).map(|(r, _)| *r).collect();
        let expected = ["VIRTUAL_ENV", "CONDA_PREFIX", "python on PATH", "~/.local", "CONDA_PREFIX", "CUDA_HOME"];
        assert_eq!(reasons, expected);
        assert_eq!(found.last().unwrap().0, "loader");
    }

    #[test]
    fn an_explicit_place_is_the_only_one_and_its_failure_is_explained() {
        let root = tree(&["nvidia/cu13/lib/libnvrtc.so.13"]);
        let explicit = Some(root.path().to_path_buf());
        let places = Places { explicit, loader_names: vec!["libnvrtc.so.13"], ..Places::default() };
        let found = tried(&places);
        assert!(found.iter().all(|(reason, _)| *reason == "SPARSYM_NVRTC"), "{found:?}");
        let error = places.search().into_result().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NoCompiler);
        let text = error.to_string();
        assert!(text.starts_with("SPARSYM_NVRTC is "), "{text}");
        assert!(text.contains("nvidia/cu13/lib/libnvrtc.so.13 (SPARSYM_NVRTC): "), "{text}");
    }

    #[test]
    fn nothing_anywhere_says_what_to_install() {
        let error = Places { home: Some("/no/such".into()), ..Places::default() }.search().into_result().unwrap_err();
        assert!(error.to_string().contains("pip install nvidia-cuda-nvrtc"), "{error}");
    }

    #[test]
    fn only_the_library_itself_counts() {
        assert!(is_library("libnvrtc.so") && is_library("libnvrtc.so.12.8.93"));
        assert!(!is_library("libnvrtc-builtins.so.13.0") && !is_library("libnvrtc.so.13.bak"));
        assert!(!is_library("libnvrtc.alt.so.13"));
    }
}
