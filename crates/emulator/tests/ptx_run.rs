//! The program `ptx-run`: what it prints, and how it ends.

use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

/// A kernel of one pointer, one of a tensor map, and one of two pointers.
const TEXT: &str = ".version 8.8\n.target sm_90\n.address_size 64
.visible .entry k(.param .u64 out) {
    .reg .b32 %r<2>;
    .reg .b64 %rd<3>;
    ld.param.u64 %rd0, [out];
    mov.u32 %r0, %tid.x;
    mad.wide.u32 %rd1, %r0, 4, %rd0;
    st.global.u32 [%rd1], %r0;
    ret;
}
.visible .entry map(.param .align 64 .b8 map[128]) { ret; }
.visible .entry two(.param .u64 a, .param .u64 b) { ret; }
";

/// A file of this test.
fn file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name)
}

/// The command with the text and these words.
fn command(name: &str, words: &str) -> Command {
    let text = file(name);
    std::fs::write(&text, TEXT).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ptx-run"));
    command.arg(text).args(words.split_whitespace());
    command
}

fn run(words: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ptx-run")).args(words).output().unwrap()
}

/// Status and what stands in stdout and stderr.
fn read(output: &Output) -> (Option<i32>, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code(), text(&output.stdout), text(&output.stderr))
}

#[test]
fn a_reader_that_has_gone_ends_it_quietly() {
    let out = file("quiet.npy");
    let launch = format!("--kernel k out={}:u32[32]", out.display());
    for words in [launch.as_str(), "--help"] {
        let mut command = command("quiet.ptx", words);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let output = command.stdout(writer).stderr(Stdio::piped()).output().unwrap();
        assert_eq!(read(&output), (Some(0), String::new(), String::new()), "{words}");
    }
    // The result is there all the same.
    assert_eq!(std::fs::read(&out).unwrap().len(), 128 + 32 * 4);
}

#[test]
fn arrays_that_are_too_large_are_refused() {
    let out = file("large.npy");
    let one = format!("--kernel k out={}:f32[9999999999]", out.display());
    let half = format!("out={}:u8[2147483649]", out.display());
    for (words, bytes) in [(one, "39999999996"), (format!("--kernel two {half} {half}"), "4294967298")] {
        let (status, _, said) = read(&command("large.ptx", &words).output().unwrap());
        assert_eq!(status, Some(2), "{said}");
        assert!(said.contains(&format!("{bytes} bytes")), "{said}");
    }
}

#[test]
fn arrays_that_do_not_fit_the_machine_are_refused() {
    let launch = command("limited.ptx", &format!("--kernel k out={}:u8[2000000000]", file("limited.npy").display()));
    // A shell is what sets the limit.
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 2000000 && exec \"$0\" \"$@\""]).arg(launch.get_program()).args(launch.get_args());
    let (status, _, said) = read(&limited.output().unwrap());
    assert_eq!(status, Some(2), "{said}");
    assert!(said.contains("2000000000 bytes"), "{said}");
}

#[test]
fn help_and_version() {
    let (status, help, _) = read(&run(&["--help"]));
    assert_eq!(status, Some(0));
    for words in ["most warp instructions (20000000000)", "tensor map"] {
        assert!(help.contains(words), "no {words:?} in\n{help}");
    }
    assert_eq!(read(&run(&["-h"])), (Some(0), help, String::new()));
    let version = format!("ptx-run {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(read(&run(&["--version"])), (Some(0), version, String::new()));
}

#[test]
fn mistakes_are_bad_usage() {
    for (words, said) in [
        ("--kernel map u64=1", "map takes 128 bytes, as a tensor map does, and no argument can be one"),
        ("--kernel k --grid 0 null", "--grid 0: each number is at least 1"),
        ("--kernel k --block 32,0 null", "--block 32,0: each number is at least 1"),
        (
            "--kernel k --schedule foo null",
            "--schedule foo: it is in-order, reverse, random or a number of instructions",
        ),
    ] {
        let (status, _, error) = read(&command("mistakes.ptx", words).output().unwrap());
        assert_eq!(status, Some(2), "{error}");
        assert!(error.contains(said), "{error}");
    }
}
