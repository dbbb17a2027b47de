//! What leaves the program: pictures, folders of them, and the one JSON object of `--json`.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use serde::Serialize;

use crate::failure::{Failure, Outcome};
use crate::write::{temporary_file, write_file};

/// What stdout gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Report {
    /// Text for people.
    Text,
    /// One JSON object and nothing else.
    Json,
}

/// Prints what a form found out: `value` as JSON, or else `text`.
pub(crate) fn print(report: Report, value: &impl Serialize, text: impl FnOnce() -> String) -> Outcome {
    match report {
        Report::Text => write_stdout(&text()),
        Report::Json => {
            let json = serde_json::to_string_pretty(value)
                .map_err(|error| Failure::data(format!("the result cannot be written as JSON: {error}")))?;
            write_stdout(&json)
        }
    }
}

/// Says on stderr what is no failure but worth knowing; nothing if there is nothing to say.
pub(crate) fn warn(text: &str) {
    if !text.is_empty() {
        eprintln!("{text}\n");
    }
}

/// Writes a text and a line break to stdout. A reader that has gone away, as `head` does, is no failure.
pub(crate) fn write_stdout(text: &str) -> Outcome {
    let mut stdout = std::io::stdout().lock();
    let ending = if text.ends_with('\n') { "" } else { "\n" };
    match write!(stdout, "{text}{ending}").and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(Failure::data(format!("stdout cannot be written: {error}")))
        }
        _ => Ok(()),
    }
}

/// Creates a folder and makes sure that files can be written there, before any work is done for them.
pub(crate) fn prepare_folder(folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder)
        .and_then(|()| temporary_file(folder).map(drop))
        .map_err(|error| Failure::data(format!("output folder {} cannot be written: {error}", folder.display())))
}

/// Writes a picture as PNG.
pub(crate) fn write_png(path: PathBuf, picture: &RgbImage) -> Outcome<PathBuf> {
    let mut bytes = std::io::Cursor::new(Vec::new());
    // These pictures go into documents, so bytes count more than the few milliseconds of the best compression.
    let encoder = PngEncoder::new_with_quality(&mut bytes, CompressionType::Best, FilterType::Adaptive);
    picture
        .write_with_encoder(encoder)
        .map_err(|error| Failure::data(format!("{} cannot be encoded: {error}", path.display())))?;
    write_file(&path, bytes.get_ref())?;
    Ok(path)
}
