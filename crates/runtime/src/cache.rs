//! Compiled kernels on disk. The cache can only help: every failure of the file system is a miss.
//!
//! An entry is one file, `<key>.kernel`, where the key is the SHA-256 of all that decides the compiled bytes. It holds its
//! own digest, which is verified whenever it is read: an entry that was truncated, altered or renamed is deleted and
//! compiled again. Files appear by rename, so two processes never see half an entry, and the last one wins.
//!
//! What is loaded runs, so an entry counts only if nobody else can have put it there: a regular file of this user, in a
//! folder of this user that no other may write. Anything else is a miss, and said once. Loading, `verify` and `stats` go
//! by the same rule.

use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::error::{Error, ErrorKind};
use crate::nvrtc::{Image, Spills};

/// A folder of compiled kernels, shared by any number of threads and processes.
#[derive(Debug)]
pub struct Cache {
    folder: Option<PathBuf>,
    counters: Counters,
    /// Whether it was said that something is not taken.
    said: AtomicBool,
}

/// What happened since this [`Cache`] was opened.
#[derive(Debug, Default)]
struct Counters {
    hits: AtomicU64,
    misses: AtomicU64,
    corrupt: AtomicU64,
    failures: AtomicU64,
}

/// Name of an entry: SHA-256 in hexadecimal.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Key(String);

/// What a cache holds and did.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct CacheStats {
    /// The folder; None: there is no place for one, and every look-up is a miss.
    pub folder: Option<PathBuf>,
    /// Why nothing in the folder counts; None: its entries do.
    pub not_used: Option<String>,
    /// Entries on disk.
    pub entries: u64,
    /// Their bytes.
    pub bytes: u64,
    /// Look-ups of this process that found an entry.
    pub hits: u64,
    /// Look-ups of this process that found none.
    pub misses: u64,
    /// Entries that this process found damaged and deleted.
    pub corrupt: u64,
    /// Reads, writes and deletions of this process that the file system refused.
    pub failures: u64,
}

/// Result of [`Cache::verify`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Verified {
    /// Entries whose digest is right.
    pub good: u64,
    /// Damaged entries, now deleted.
    pub corrupt: u64,
}

/// First bytes of an entry; the number is the version of the format and part of every key.
const MAGIC: &[u8] = b"sparsym kernel 1\n";
const DIGEST_BYTES: usize = 32;
const SUFFIX: &str = ".kernel";
/// Prefix and suffix of files being written; a process that is killed may leave one behind.
const UNFINISHED: (&str, &str) = (".sparsym-", ".unfinished");
/// Larger files are no entries of ours: cubin and PTX of a kernel are below a megabyte.
const MOST_BYTES: u64 = 256 << 20;

/// The readable part of an entry; cubin and PTX follow it.
#[derive(Serialize, Deserialize)]
struct Header {
    key: String,
    image: Image,
    cubin_bytes: usize,
    ptx_bytes: usize,
}

impl Cache {
    /// The cache of this user: `SPARSYM_CACHE`, else `$XDG_CACHE_HOME/sparsym`, else `~/.cache/sparsym`. Without any of
    /// them nothing is cached.
    pub fn open() -> Cache {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
        // Relative paths in XDG variables are to be ignored, says the standard.
        let xdg = variable("XDG_CACHE_HOME").filter(|path| path.is_absolute()).map(|path| path.join("sparsym"));
        let home = || variable("HOME").map(|path| path.join(".cache").join("sparsym"));
        Cache::over(variable("SPARSYM_CACHE").or(xdg).or_else(home))
    }

    /// A cache in this folder, which is made when the first entry is stored.
    pub fn at(folder: impl Into<PathBuf>) -> Cache {
        Cache::over(Some(folder.into()))
    }

    fn over(folder: Option<PathBuf>) -> Cache {
        Cache { folder, counters: Counters::default(), said: AtomicBool::new(false) }
    }

    /// The folder, if there is a place for one.
    pub fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// The entry of this key, if it is there and undamaged.
    pub fn load(&self, key: &Key) -> Option<Image> {
        let found = self.path(key).and_then(|path| match self.read(&path) {
            Ok(bytes) => self.decode_or_delete(&path, &bytes, &key.0),
            Err(error) => {
                if error.kind() != std::io::ErrorKind::NotFound {
                    self.say(&path, &error);
                    self.count_failure("read", &path, &error);
                }
                None
            }
        });
        let counter = if found.is_some() { &self.counters.hits } else { &self.counters.misses };
        counter.fetch_add(1, Ordering::Relaxed);
        found
    }

    /// Stores an entry; a failure is counted and otherwise without effect.
    pub fn store(&self, key: &Key, image: &Image) {
        let (Some(folder), Some(path)) = (&self.folder, self.path(key)) else { return };
        let write = || -> std::io::Result<()> {
            create_folder(folder)?;
            if let Some(reason) = self.not_used() {
                self.say(folder, &reason);
                return Ok(());
            }
            let mut file = tempfile::Builder::new().prefix(UNFINISHED.0).suffix(UNFINISHED.1).tempfile_in(folder)?;
            file.write_all(&encode(key, image)?)?;
            file.persist(&path).map_err(|error| error.error)?;
            Ok(())
        };
        if let Err(error) = write() {
            self.count_failure("write", &path, &error);
        }
    }

    /// What the folder holds, and what this process did.
    pub fn stats(&self) -> CacheStats {
        let not_used = self.not_used();
        let sizes: Vec<u64> = match not_used {
            None => self.own_files(is_entry).iter().map(|(_, bytes)| *bytes).collect(),
            Some(_) => Vec::new(),
        };
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        CacheStats {
            folder: self.folder.clone(),
            not_used,
            entries: sizes.len() as u64,
            bytes: sizes.iter().sum(),
            hits: count(&self.counters.hits),
            misses: count(&self.counters.misses),
            corrupt: count(&self.counters.corrupt),
            failures: count(&self.counters.failures),
        }
    }

    /// Deletes all entries and what killed processes left; nothing else. Gives the number of files deleted.
    ///
    /// # Errors
    /// [`ErrorKind::File`] for the first file that cannot be deleted.
    pub fn clear(&self) -> Result<u64, Error> {
        let mut deleted = 0;
        for (path, _) in self.own_files(|name| is_entry(name) || is_unfinished(name)) {
            match fs::remove_file(&path) {
                Ok(()) => deleted += 1,
                // Another process was faster.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
                Err(reason) => {
                    let text = format!("could not delete {}: {reason}", path.display());
                    return Err(Error::new(ErrorKind::File, text).because_of(reason));
                }
            }
        }
        Ok(deleted)
    }

    /// Reads every entry, and deletes those that are damaged.
    pub fn verify(&self) -> Verified {
        let mut verified = Verified::default();
        if let (Some(folder), Some(reason)) = (&self.folder, self.not_used()) {
            self.say(folder, &reason);
            return verified;
        }
        for (path, _) in self.own_files(is_entry) {
            let key = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match self.read(&path).map(|bytes| self.decode_or_delete(&path, &bytes, &key)) {
                Ok(Some(_)) => verified.good += 1,
                Ok(None) => verified.corrupt += 1,
                Err(error) => self.count_failure("read", &path, &error),
            }
        }
        verified
    }

    /// Kernels of the folder that spill registers, each with its compiler.
    pub fn spilling(&self) -> Vec<(Spills, String)> {
        if self.not_used().is_some() {
            return Vec::new();
        }
        let image = |(path, _): (PathBuf, u64)| {
            let key = path.file_stem()?.to_string_lossy().into_owned();
            let image = decode(&self.read(&path).ok()?, &key)?;
            Some((image.spills()?, image.compiler))
        };
        self.own_files(is_entry).into_iter().filter_map(image).collect()
    }

    fn path(&self, key: &Key) -> Option<PathBuf> {
        self.folder.as_ref().map(|folder| folder.join(format!("{}{SUFFIX}", key.0)))
    }

    /// The bytes of an entry that counts.
    fn read(&self, path: &Path) -> std::io::Result<Vec<u8>> {
        let named = fs::symlink_metadata(path)?;
        let refuse = |reason: String| Err(std::io::Error::other(reason));
        if let Some(reason) = self.not_used() {
            return refuse(format!("its folder {reason}"));
        }
        if let Some(reason) = not_an_entry(&named) {
            return refuse(reason);
        }
        // Another may have taken its place meanwhile: what is read is what was looked at.
        let file = owner::open(path)?;
        let opened = file.metadata()?;
        if let Some(reason) = not_an_entry(&opened) {
            return refuse(reason);
        }
        let mut bytes = Vec::with_capacity(opened.len() as usize);
        file.take(MOST_BYTES).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    /// Why nothing in the folder counts; None: its entries do, or there is no folder.
    fn not_used(&self) -> Option<String> {
        let data = fs::metadata(self.folder.as_ref()?).ok()?;
        owner::objection(&data)
    }

    /// Says once that something is not taken, and why.
    fn say(&self, path: &Path, reason: &dyn std::fmt::Display) {
        if !self.said.swap(true, Ordering::Relaxed) {
            tracing::warn!(
                "the kernel cache does not take {}: it {reason}; kernels are compiled instead. Entries are files of this user \
                 in a folder that nobody else may write",
                path.display()
            );
        }
    }

    fn decode_or_delete(&self, path: &Path, bytes: &[u8], key: &str) -> Option<Image> {
        let image = decode(bytes, key);
        if image.is_none() {
            self.counters.corrupt.fetch_add(1, Ordering::Relaxed);
            tracing::warn!(path = %path.display(), "a damaged cache entry was deleted");
            if let Err(error) = fs::remove_file(path) {
                self.count_failure("delete", path, &error);
            }
        }
        image
    }

    /// Files of this user in the folder whose name passes, with their sizes; links are not followed.
    fn own_files(&self, wanted: impl Fn(&str) -> bool) -> Vec<(PathBuf, u64)> {
        let Some(entries) = self.folder.as_ref().and_then(|folder| fs::read_dir(folder).ok()) else {
            return Vec::new();
        };
        entries
            .flatten()
            .filter(|entry| wanted(&entry.file_name().to_string_lossy()))
            .filter_map(|entry| {
                let data = entry.metadata().ok().filter(|data| not_an_entry(data).is_none())?;
                Some((entry.path(), data.len()))
            })
            .collect()
    }

    fn count_failure(&self, action: &str, path: &Path, error: &std::io::Error) {
        self.counters.failures.fetch_add(1, Ordering::Relaxed);
        tracing::debug!(action, path = %path.display(), %error, "kernel cache");
    }
}

impl Key {
    /// The key of a compilation: text, file name, options (the target is one), and compiler.
    pub fn new(text: &str, name: &str, options: &[&str], compiler: &str) -> Key {
        let mut hash = Sha256::new();
        hash.update(MAGIC);
        // Lengths in front, so that no two lists of parts run together into the same bytes.
        for part in [text, name, compiler].iter().chain(options) {
            hash.update((part.len() as u64).to_le_bytes());
            hash.update(part.as_bytes());
        }
        Key(hex(&hash.finalize()))
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

/// Magic, digest of the rest, length of the header, header as JSON, cubin, PTX.
fn encode(key: &Key, image: &Image) -> std::io::Result<Vec<u8>> {
    let header = Header {
        key: key.0.clone(),
        cubin_bytes: image.cubin.len(),
        ptx_bytes: image.ptx.len(),
        image: Image { cubin: Vec::new(), ptx: Vec::new(), ..image.clone() },
    };
    let header = serde_json::to_vec(&header)?;
    let mut rest = (header.len() as u64).to_le_bytes().to_vec();
    for part in [&header, &image.cubin, &image.ptx] {
        rest.extend_from_slice(part);
    }
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&Sha256::digest(&rest));
    out.extend_from_slice(&rest);
    Ok(out)
}

/// The image of an entry; None if any byte of it is not as it was written, or if it is the entry of another key.
fn decode(bytes: &[u8], key: &str) -> Option<Image> {
    let (digest, rest) = bytes.strip_prefix(MAGIC)?.split_at_checked(DIGEST_BYTES)?;
    if Sha256::digest(rest).as_slice() != digest {
        return None;
    }
    let (length, rest) = rest.split_first_chunk::<8>()?;
    let (header, rest) = rest.split_at_checked(usize::try_from(u64::from_le_bytes(*length)).ok()?)?;
    let header: Header = serde_json::from_slice(header).ok()?;
    let (cubin, ptx) = rest.split_at_checked(header.cubin_bytes)?;
    let fits = header.key == key && ptx.len() == header.ptx_bytes;
    fits.then(|| Image { cubin: cubin.to_vec(), ptx: ptx.to_vec(), ..header.image })
}

/// Why what has these data is no entry, whatever its name; None: it may be one.
fn not_an_entry(data: &fs::Metadata) -> Option<String> {
    if !data.is_file() {
        return Some(format!("is a {}, not a file", if data.is_symlink() { "link" } else { "folder or device" }));
    }
    if data.len() > MOST_BYTES {
        return Some(format!("has {} bytes, more than any kernel", data.len()));
    }
    owner::objection(data)
}

/// Makes the folder and those above it, open to this user alone.
fn create_folder(folder: &Path) -> std::io::Result<()> {
    let mut builder = fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder)
}

/// Whose a file or folder is, and who may write it.
#[cfg(unix)]
mod owner {
    use std::fs::{File, Metadata, OpenOptions};
    use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
    use std::path::Path;

    use rustix::fs::OFlags;

    /// Leave to write, of the group and of everybody.
    const OTHERS_WRITE: u32 = 0o022;

    /// Why somebody else may have written it; None: nobody can.
    pub(super) fn objection(data: &Metadata) -> Option<String> {
        let user = rustix::process::geteuid().as_raw();
        if data.uid() != user {
            return Some(format!("belongs to user {}, and this is user {user}", data.uid()));
        }
        (data.mode() & OTHERS_WRITE != 0).then(|| {
            format!("may be written by other users (mode {:o}); `chmod go-w` mends that", data.mode() & 0o7777)
        })
    }

    /// Opens what has this name, not what it links to, and does not wait for the other end of a pipe.
    pub(super) fn open(path: &Path) -> std::io::Result<File> {
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
        OpenOptions::new().read(true).custom_flags(flags.bits() as i32).open(path)
    }
}

/// Elsewhere a user's folders are their own.
#[cfg(not(unix))]
mod owner {
    use std::fs::{File, Metadata};

    pub(super) fn objection(_: &Metadata) -> Option<String> {
        None
    }

    pub(super) fn open(path: &std::path::Path) -> std::io::Result<File> {
        File::open(path)
    }
}

fn is_entry(name: &str) -> bool {
    name.strip_suffix(SUFFIX)
        .is_some_and(|key| key.len() == 2 * DIGEST_BYTES && key.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')))
}

fn is_unfinished(name: &str) -> bool {
    name.starts_with(UNFINISHED.0) && name.ends_with(UNFINISHED.1)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
