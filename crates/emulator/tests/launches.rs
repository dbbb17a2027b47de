//! Kernels whose tokens were changed: they load or say why not, and run to their end, a trap or the limit.

use proptest::prelude::*;
use ptx_emulator::{Checks, Launch, Memory, Options, Program, Schedule};

/// Kernels that use much of the table.
const TEXTS: &[&str] = &[
    include_str!("ptx-input/document_symbols_sm_80.ptx"),
    include_str!("ptx-input/softcap_attention_sm_80.ptx"),
    include_str!("ptx/memory.ptx"),
    include_str!("ptx/copies.ptx"),
    include_str!("ptx/barriers.ptx"),
    include_str!("ptx/control.ptx"),
    include_str!("ptx/ldmatrix.ptx"),
];

/// Tokens that are legal in many places, and extreme in some.
const PIECES: &[&str] = &[
    "0", "1", "-1", "31", "32", "255", "0x7FFFFFFF", "0x80000000", "4294967295", "9223372036854775807",
    "-9223372036854775808", "18446744073709551615", "0f7F800000", "0dFFF0000000000000", "%tid.x", "%laneid", "_",
    "[%rd1+-2147483648]", "[%rd1+2147483647]", ".u8", ".s8", ".u16", ".s16", ".b32", ".u64", ".s64", ".f16x2", ".v2", ".v4",
    ".v8", ".shared", ".global", ".local", ".const", ".sync", ".sat", ".ftz", ".rz", "bar.sync", "exit", "ret", "bra", "@%p1",
    "@!%p1", "{", "}", "[", "]", ",", ";", "|", "+",
];

/// The pieces that a text is made of: words, numbers and single characters.
fn tokens(text: &str) -> Vec<&str> {
    let word = |c: char| c.is_alphanumeric() || "_$%:".contains(c);
    let mut out = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if word(first) { rest.find(|c| !word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        out.push(&rest[..end]);
        rest = &rest[end..];
    }
    out
}

/// A change: where, as a part of the text, whether it replaces or inserts, and what comes: a piece or a token of the text.
#[derive(Clone, Debug)]
struct Change {
    at: prop::sample::Index,
    replaces: usize,
    with: Result<&'static str, prop::sample::Index>,
}

fn change() -> impl Strategy<Value = Change> {
    let piece = prop_oneof![
        prop::sample::select(PIECES).prop_map(Ok),
        any::<prop::sample::Index>().prop_map(Err),
    ];
    (any::<prop::sample::Index>(), 0usize..3, piece).prop_map(|(at, replaces, with)| Change { at, replaces, with })
}

/// Loads and launches every kernel; how it ends does not matter, that it ends does.
fn exercise(text: &str, options: &Options) {
    let Ok(program) = Program::load(text) else { return };
    for kernel in program.names().filter_map(|name| program.kernel(name).ok()) {
        let mut memory = Memory::new();
        let buffer = memory.upload("buffer", &[1; 8192]);
        let params = buffer.address().to_le_bytes().repeat(kernel.param_bytes().div_ceil(8));
        let params = &params[..kernel.param_bytes()];
        let launch = Launch { grid: [2, 1, 1], block: [64, 1, 1], dynamic_shared: 4096, params };
        if let Err(error) = kernel.launch(&memory, &launch, options) {
            assert!(!error.to_string().is_empty());
        }
    }
}

fn limited(checks: Checks, schedule: Schedule) -> Options {
    Options { checks, schedule, threads: 1, limit: 20_000, ..Options::default() }
}

#[test]
fn the_texts_load_as_they_are() {
    for text in TEXTS {
        let program = Program::load(text).unwrap();
        for name in program.names() {
            program.kernel(name).unwrap();
        }
        exercise(text, &limited(Checks::All, Schedule::InOrder));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(384))]

    #[test]
    fn changed_tokens_end_well(
        text in prop::sample::select(TEXTS),
        changes in prop::collection::vec(change(), 1..4),
        checks in prop::sample::select(&[Checks::None, Checks::Memory, Checks::All][..]),
        schedule in prop::sample::select(&[Schedule::InOrder, Schedule::Random, Schedule::RoundRobin(1)][..]),
    ) {
        let original = tokens(text);
        let mut changed = original.clone();
        for Change { at, replaces, with } in changes {
            let at = at.index(changed.len());
            let token = match with {
                Ok(piece) => piece,
                Err(other) => original[other.index(original.len())],
            };
            let end = (at + replaces).min(changed.len());
            changed.splice(at..end, [token]);
        }
        exercise(&changed.concat(), &limited(checks, schedule));
    }
}
