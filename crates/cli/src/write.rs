//! Where a file of results goes: whole and by rename where a regular file is or will be, straight into devices and pipes.

use std::io::{Error, ErrorKind, Result, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::failure::{Failure, Outcome};

/// Links that are followed from one name.
const MOST_LINKS: usize = 40;
/// How long a named pipe may be without a reader: as long as a reader that was started together with us may take.
const PATIENCE: Duration = Duration::from_secs(2);

/// Writes a file so that nobody ever sees half of it: under a temporary name beside it, renamed when it is whole. A link
/// stays a link, and what it leads to is replaced. Devices, pipes and what a shell passes as `/dev/fd/N` are written
/// through.
pub(crate) fn write_file(path: &Path, bytes: &[u8]) -> Outcome {
    let failure = |error: Error| Failure::data(format!("{} cannot be written: {error}", path.display()));
    if path.is_dir() {
        return Err(Failure::data(format!("{} is a folder, not a file that can be written", path.display())));
    }
    match destination(path).map_err(failure)? {
        Destination::Regular(path) => replace(&path, bytes),
        Destination::Stream => write_through(path, bytes),
    }
    .map_err(failure)
}

/// A file under a temporary name.
pub(crate) fn temporary_file(folder: &Path) -> Result<tempfile::NamedTempFile> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(".sparsym-");
    #[cfg(unix)]
    {
        // Temporary files are private by default; an output is an ordinary file under the user's umask.
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

enum Destination {
    /// A regular file, or a name that nothing has yet.
    Regular(PathBuf),
    /// Something that cannot be replaced.
    Stream,
}

/// What the name leads to, through all links.
fn destination(path: &Path) -> Result<Destination> {
    let mut path = path.to_path_buf();
    for _ in 0..MOST_LINKS {
        let metadata = match path.symlink_metadata() {
            Ok(metadata) => metadata,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Destination::Regular(path)),
            Err(error) => return Err(error),
        };
        if metadata.is_file() {
            return Ok(Destination::Regular(path));
        }
        // A link under /proc stands for an open file of a process, whatever it seems to lead to.
        if !metadata.is_symlink() || folder_of(&path).canonicalize()?.starts_with("/proc") {
            return Ok(Destination::Stream);
        }
        path = folder_of(&path).join(path.read_link()?);
    }
    Err(Error::other(format!("it leads through more than {MOST_LINKS} links")))
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

fn replace(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = temporary_file(folder_of(path))?;
    file.write_all(bytes)?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

fn write_through(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = open_stream(path)?;
    file.write_all(bytes)?;
    file.flush()
}

/// Opens a device or a pipe. A named pipe without a reader is an error after a while, not a process that never ends.
#[cfg(unix)]
fn open_stream(path: &Path) -> Result<std::fs::File> {
    use std::fs::OpenOptions;
    use std::os::unix::fs::OpenOptionsExt;

    let start = Instant::now();
    loop {
        match OpenOptions::new().append(true).custom_flags(libc::O_NONBLOCK).open(path) {
            // With a reader, or none needed, a plain open does not wait; this one may wait in its writes.
            Ok(_held) => return OpenOptions::new().append(true).open(path),
            Err(error) if error.raw_os_error() != Some(libc::ENXIO) => return Err(error),
            Err(_) if start.elapsed() > PATIENCE => {
                return Err(Error::other("nobody reads it; start the reader of a pipe before or together with this"));
            }
            Err(_) => std::thread::sleep(Duration::from_millis(20)),
        }
    }
}

#[cfg(not(unix))]
fn open_stream(path: &Path) -> Result<std::fs::File> {
    std::fs::OpenOptions::new().append(true).open(path)
}
