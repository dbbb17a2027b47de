//! A process that compiles all day does not grow.

use sparsym_dsl_core::{compile_str, render};

const RIGHT: &str =
    "/// A window.\npub Window { param reach: u32 = 1024; mask q, kv => abs(q.pos - kv.pos) <= reach; }";
const WRONG: &str = "/// A window.\npub Window { param reach: u32 = 1024; mask q, kv => abs(q.pos - kv.pos) <= rech; }";

/// Bytes of memory that the process holds.
#[cfg(target_os = "linux")]
fn resident() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<usize>().unwrap() * 1024
}

#[cfg(target_os = "linux")]
#[test]
fn compiling_a_text_again_and_again_keeps_nothing() {
    let compile = |count: usize| {
        for _ in 0..count {
            assert!(compile_str("window", RIGHT).is_ok());
            let findings = compile_str("window", WRONG).unwrap_err();
            assert!(render(&findings, "window", WRONG).contains("did you mean `reach`?"));
        }
    };
    compile(500);
    let before = resident();
    compile(5000);
    // The table of the lexer grew by more than 3 KB with each text.
    let grown = resident().saturating_sub(before);
    assert!(grown < 4 << 20, "10000 texts leave {grown} bytes");
}
