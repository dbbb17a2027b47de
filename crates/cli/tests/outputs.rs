//! Where outputs go: regular files by rename, links kept, devices and pipes written through.
#![cfg(unix)]

mod common;

use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;

use common::{File, failure, read_f32, success};
use tempfile::tempdir;

fn run_to(folder: &Path, output: &str) -> String {
    success(folder, &["run", "attention", "--input", "in.safetensors", "--output", output])
}

fn mkfifo(path: &Path) {
    assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
}

#[test]
fn devices_stay_devices() {
    let folder = tempdir().unwrap();
    File::attention(16, 1, 1, 4).write(folder.path());
    let node = folder.path().join("node");
    // Nodes can be made by root alone; a link to one takes the same way for everybody.
    if !Command::new("mknod").arg(&node).args(["c", "1", "3"]).status().unwrap().success() {
        symlink("/dev/null", &node).unwrap();
    }
    run_to(folder.path(), "node");
    success(folder.path(), &["explain", "causal", "--tokens", "100", "--png", "node"]);
    assert!(node.metadata().unwrap().file_type().is_char_device());
    run_to(folder.path(), "/dev/null");
    assert!(Path::new("/dev/null").metadata().unwrap().file_type().is_char_device());
    symlink("/dev/full", folder.path().join("full")).unwrap();
    let args = ["run", "attention", "--input", "in.safetensors", "--output", "full"];
    assert!(failure(folder.path(), &args, 3).contains("full cannot be written: No space left on device"));
}

#[test]
fn pipes_are_written_through() {
    let folder = tempdir().unwrap();
    File::attention(16, 1, 1, 4).write(folder.path());
    let fifo = folder.path().join("fifo");
    mkfifo(&fifo);
    // More than a pipe holds, so that the writer has to wait.
    File::attention(2048, 2, 2, 16).write(folder.path());
    let reader = std::thread::spawn({
        let fifo = fifo.clone();
        move || std::fs::read(fifo).unwrap()
    });
    run_to(folder.path(), "fifo");
    let piped = reader.join().unwrap();
    run_to(folder.path(), "file");
    assert_eq!(piped, std::fs::read(folder.path().join("file")).unwrap());
    assert!(fifo.symlink_metadata().unwrap().file_type().is_fifo());

    let args = ["run", "attention", "--input", "in.safetensors", "--output", "fifo"];
    assert!(failure(folder.path(), &args, 3).contains("fifo cannot be written: nobody reads it"));
    assert!(fifo.symlink_metadata().unwrap().file_type().is_fifo());
}

#[test]
fn links_stay_and_what_they_lead_to_is_replaced() {
    let folder = tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    File::attention(16, 1, 1, 4).write(folder.path());
    std::fs::create_dir(at("far")).unwrap();
    std::fs::write(at("far/target"), "old").unwrap();
    let old = at("far/target").metadata().unwrap().ino();
    symlink("far/target", at("link")).unwrap();
    symlink("link", at("second")).unwrap();
    symlink("far/new", at("dangling")).unwrap();
    run_to(folder.path(), "second");
    run_to(folder.path(), "dangling");
    for link in ["link", "second", "dangling"] {
        assert!(at(link).symlink_metadata().unwrap().is_symlink(), "{link}");
        assert_eq!(read_f32(&at(link), "o").0, [1, 16, 1, 4], "{link}");
    }
    assert_ne!(at("far/target").metadata().unwrap().ino(), old, "the target appeared by rename");
    assert!(at("far/new").symlink_metadata().unwrap().is_file());

    symlink("round", at("round")).unwrap();
    let args = ["run", "attention", "--input", "in.safetensors", "--output", "round"];
    assert!(failure(folder.path(), &args, 3).contains("round cannot be written: it leads through more than 40 links"));
}

#[test]
fn folders_without_permission_are_named_and_nothing_is_left() {
    let folder = tempdir().unwrap();
    File::attention(16, 1, 1, 4).write(folder.path());
    let locked = folder.path().join("locked");
    std::fs::create_dir(&locked).unwrap();
    std::fs::set_permissions(&locked, std::fs::Permissions::from_mode(0o555)).unwrap();
    if std::fs::write(locked.join("probe"), "").is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    let args = ["run", "attention", "--input", "in.safetensors", "--output", "locked/out"];
    assert!(failure(folder.path(), &args, 3).contains("locked/out cannot be written: Permission denied"));
    assert_eq!(std::fs::read_dir(&locked).unwrap().count(), 0);
}
