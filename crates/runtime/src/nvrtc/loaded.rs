//! Which libnvrtc this process has already.

use std::path::{Path, PathBuf};

/// Files of libnvrtc that this process has mapped; empty where there is no `/proc`.
pub(super) fn loaded_libraries() -> Vec<PathBuf> {
    let maps = std::fs::read(Path::new("/proc/self/maps")).unwrap_or_default();
    let mut files: Vec<PathBuf> = Vec::new();
    for line in String::from_utf8_lossy(&maps).lines() {
        let Some(path) = line.find('/').map(|at| PathBuf::from(&line[at..])) else { continue };
        if path.file_name().is_some_and(|name| is_library(&name.to_string_lossy())) && !files.contains(&path) {
            files.push(path);
        }
    }
    files
}

/// `libnvrtc.so`, `libnvrtc.so.13`, `libnvrtc.so.12.8.93`; not the builtins, not the `.alt` build.
pub(super) fn is_library(name: &str) -> bool {
    name.strip_prefix("libnvrtc.so").is_some_and(|rest| {
        rest.is_empty() || rest.starts_with('.') && rest[1..].split('.').all(|part| part.parse::<u32>().is_ok())
    })
}
