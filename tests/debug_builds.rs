//! What the README says of debug builds: an application that adds its lines has an optimised CPU device, and the crate knows.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The lines, as the README has them.
fn lines() -> String {
    let readme = read("README.md");
    let (_, block) = readme.split_once("```toml\n").expect("the README has lines for Cargo.toml");
    let (lines, _) = block.split_once("```").expect("the block ends");
    lines.to_owned()
}

#[test]
fn front_pages_give_the_same_lines() {
    let commented: String = lines().lines().map(|line| format!("//! {line}\n")).collect();
    for page in ["crates/sparsym/src/lib.rs", "crates/cpu/src/lib.rs"] {
        assert!(read(page).contains(&commented), "{page} does not give the lines of the README");
    }
}

/// A crate with the real build script, and an application that depends on it, built by the real cargo.
#[test]
fn the_crate_knows_whether_it_is_optimised() {
    assert_eq!(level_with(""), "0");
    assert_eq!(level_with(&lines()), "3");
    assert_eq!(level_with("[profile.dev.package.slow]\nopt-level = 1\n"), "1");
}

/// What the crate is told in a dev build of an application with these lines.
fn level_with(lines: &str) -> String {
    let folder = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = folder.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    };
    let manifest = |name: &str, rest: &str| format!("[package]\nname = \"{name}\"\nedition = \"2024\"\n{rest}");
    write("slow/Cargo.toml", &manifest("slow", ""));
    write("slow/build.rs", &read("crates/cpu/build.rs"));
    write("slow/src/lib.rs", "pub const LEVEL: Option<&str> = option_env!(\"SPARSYM_OPT_LEVEL\");\n");
    let rest = format!("[dependencies]\nslow = {{ path = \"slow\" }}\n[workspace]\nexclude = [\"slow\"]\n{lines}");
    write("Cargo.toml", &manifest("application", &rest));
    write(
        "src/main.rs",
        "fn main() {\n    assert!(cfg!(debug_assertions));\n    print!(\"{}\", slow::LEVEL.unwrap());\n}\n",
    );
    let output = Command::new(env!("CARGO"))
        .args(["run", "--quiet", "--offline"])
        .current_dir(folder.path())
        .env("CARGO_TARGET_DIR", folder.path().join("target"))
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

fn read(path: &str) -> String {
    let root: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    fs::read_to_string(root.join(path)).unwrap()
}
