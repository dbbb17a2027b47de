//! A look inside: `SPARSYM_DUMP=cuda,ptx,log` writes what the compiler takes and gives into `SPARSYM_DUMP_DIR`, or into
//! `sparsym-dump` in the working directory. It changes nothing else; a file that cannot be written is a logged warning.

use std::path::PathBuf;

use crate::nvrtc::{Image, Source};

/// What to write, and where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dump {
    folder: PathBuf,
    cuda: bool,
    ptx: bool,
    log: bool,
}

impl Dump {
    pub(crate) fn from_environment() -> Dump {
        let stages = std::env::var("SPARSYM_DUMP").unwrap_or_default();
        let folder = std::env::var_os("SPARSYM_DUMP_DIR").filter(|folder| !folder.is_empty());
        Dump::new(&stages, folder.map_or_else(|| PathBuf::from("sparsym-dump"), PathBuf::from))
    }

    fn new(stages: &str, folder: PathBuf) -> Dump {
        let mut dump = Dump { folder, ..Dump::default() };
        for stage in stages.split(',').map(str::trim).filter(|stage| !stage.is_empty()) {
            match stage {
                "cuda" => dump.cuda = true,
                "ptx" => dump.ptx = true,
                "log" => dump.log = true,
                other => tracing::warn!("SPARSYM_DUMP names {other}, but the stages are cuda, ptx and log"),
            }
        }
        dump
    }

    pub(crate) fn cuda(&self, source: &Source<'_>) {
        if self.cuda {
            self.write(source, "cu", source.text.as_bytes());
        }
    }

    pub(crate) fn image(&self, source: &Source<'_>, image: &Image) {
        if self.ptx {
            self.write(source, "ptx", &image.ptx);
        }
        if self.log {
            self.write(source, "log", image.log.as_bytes());
        }
    }

    fn write(&self, source: &Source<'_>, extension: &str, bytes: &[u8]) {
        let path = self.folder.join(format!("{}_{}_{}.{extension}", source.strategy, source.name, source.target));
        if let Err(error) = std::fs::create_dir_all(&self.folder).and_then(|()| std::fs::write(&path, bytes)) {
            tracing::warn!(path = %path.display(), %error, "SPARSYM_DUMP");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_stages_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let dump = Dump::new("cuda, nonsense", folder.path().join("new"));
        let source = Source { name: "k", strategy: "dense", text: "text", target: "sm_80", template: &|_| None };
        dump.cuda(&source);
        assert_eq!(std::fs::read_to_string(folder.path().join("new/dense_k_sm_80.cu")).unwrap(), "text");
        assert!(!dump.ptx && !dump.log);
    }
}
