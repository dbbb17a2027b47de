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
    "0",
    "1",
    "-1",
    "31",
    "32",
    "255",
    "0x7FFFFFFF",
    "0x80000000",
    "4294967295",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "0f7F800000",
    "0dFFF0000000000000",
    "%tid.x",
    "%laneid",
    "_",
    "[%rd1+-2147483648]",
    "[%rd1+2147483647]",
    ".u8",
    ".s8",
    ".u16",
    ".s16",
    ".b32",
    ".u64",
    ".s64",
    ".f16x2",
    ".v2",
    ".v4",
    ".v8",
    ".shared",
    ".global",
    ".local",
    ".const",
    ".sync",
    ".sat",
    ".ftz",
    ".rz",
    "bar.sync",
    "exit",
    "ret",
    "bra",
    "@%p1",
    "@!%p1",
    "{",
    "}",
    "[",
    "]",
    ",",
    ";",
    "|",
    "+",
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
    let piece = prop_oneof![prop::sample::select(PIECES).prop_map(Ok), any::<prop::sample::Index>().prop_map(Err),];
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

/// One instruction each, with operands at the ends of their ranges.
const EXTREMES: &[&str] = &[
    "ld.global.u32 %r1, [%l2];",
    "ld.global.u64 %l1, [%l2+-8];",
    "st.global.v4.u32 [%l2+-9223372036854775808], {%r1, %r1, %r1, %r1};",
    "ld.shared.u32 %r1, [%r2];",
    "ld.shared.u32 %r1, [%l2];",
    "st.shared.u8 [%r2+4294967295], %r1;",
    "ld.local.u64 %l1, [%l2];",
    "st.local.u64 [%l2+9223372036854775807], %l1;",
    "ld.param.u64 %l1, [%l2];",
    "ld.param.u64 %l1, [x+9223372036854775807];",
    "ld.const.u32 %r1, [%l2];",
    "ld.u32 %r1, [%l2];",
    "ld.u32 %r1, [0x7E0000FFFFFF];",
    "ld.u32 %r1, [0x7EFFFFFFFFFF];",
    "atom.global.add.u32 %r1, [%l2], 1;",
    "atom.shared.add.u64 %l1, [%r2], 1;",
    "atom.global.add.bf16 %r1, [%l2+1], %r1;",
    "red.global.add.f64 [%l3], %l2;",
    "cp.async.ca.shared.global [%r2], [%l2], 16;",
    "cp.async.ca.shared.global [tile], [%l3], 0;",
    "cp.async.ca.shared.global [tile], [%l3], 3;",
    "cp.async.ca.shared.global [tile], [%l3], 9223372036854775807;",
    "cp.async.cg.shared.global [tile], [%l3], -16;",
    "cp.async.ca.shared.global [tile], [%l3], 16, 4294967295;",
    "cp.async.ca.shared.global [tile], [%l2], 16, 0; cp.async.wait_all;",
    "cp.async.wait_group 18446744073709551615;",
    "cp.async.wait_group -1;",
    "bar.sync %r2;",
    "bar.sync 0, 0;",
    "bar.sync 0, 4294967295;",
    "bar.arrive 1, 4294967264;",
    "bar.warp.sync 0;",
    "shfl.sync.idx.b32 %r1, %r2, -1, -1, 0;",
    "shfl.sync.down.b32 %r1, %r2, 4294967295, 4294967295, -1;",
    "shfl.sync.up.b32 %r1, %r2, 2147483648, 0, -1;",
    "vote.sync.ballot.b32 %r1, %p1, 0;",
    "fns.b32 %r1, %r2, 4294967295, -2147483648;",
    "fns.b32 %r1, %r2, 31, 2147483647;",
    "bmsk.clamp.b32 %r1, 4294967295, 4294967295;",
    "szext.clamp.s32 %r1, %r2, 4294967295;",
    "bfe.s64 %l1, %l2, 255, 255;",
    "bfi.b64 %l1, %l2, %l2, 255, 255;",
    "shf.l.clamp.b32 %r1, %r2, %r2, 4294967295;",
    "div.s32 %r1, -2147483648, -1;",
    "rem.s64 %l1, -9223372036854775808, -1;",
    "sad.s64 %l1, -9223372036854775808, 9223372036854775807, %l2;",
    "abs.s64 %l1, -9223372036854775808;",
    "mad.hi.s64 %l1, -9223372036854775808, -9223372036854775808, %l2;",
    "lop3.b32 %r1, %r2, %r2, %r2, 18446744073709551615;",
    "cvt.rzi.s64.f64 %l1, 0dFFF0000000000000;",
    "cvt.rn.f32.s64 %r1, -9223372036854775808;",
    "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1, %r1, %r1, %r1}, [%r2];",
    "ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%r1}, [tile];",
    "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%r1}, {%r1}, {%r1}, {%r1};",
    "ld.global.v8.u64 {%l1, %l1, %l1, %l1, %l1, %l1, %l1, %l1}, [%l3];",
    "ld.global.v2.u32 {%r1}, [%l3];",
    "nanosleep.u32 4294967295;",
    "discard.global.L2 [%l2], 18446744073709551615;",
    "isspacep.shared %p1, %l2;",
    "cvta.shared.u64 %l1, %l2;",
    "cvta.to.shared.u64 %l1, 0;",
];

#[test]
fn operands_at_the_ends_of_their_ranges_end_well() {
    for declarations in ["", ".local .align 8 .b8 frame[8];"] {
        for extreme in EXTREMES {
            let text = format!(
                ".version 8.8 .target sm_90 .address_size 64
                .visible .entry k(.param .u64 x) {{
                    .reg .pred %p<3>; .reg .b32 %r<3>; .reg .b64 %l<4>; .shared .align 16 .b8 tile[512]; {declarations}
                    mov.u64 %l2, 0xFFFFFFFFFFFFFFF8; mov.u32 %r2, 0xFFFFFFF0; ld.param.u64 %l3, [x];
                    {extreme}
                    ret;
                }}"
            );
            for checks in [Checks::None, Checks::All] {
                exercise(&text, &limited(checks, Schedule::InOrder));
            }
        }
    }
}

#[test]
fn declarations_at_the_ends_of_their_ranges_end_well() {
    for (params, body) in [
        ("", ".shared .align 4294967296 .b8 s[4]; mov.u32 %r1, s;"),
        ("", ".shared .align 1 .b8 s[18446744073709551615]; mov.u32 %r1, s;"),
        ("", ".shared .b64 s[9223372036854775807]; mov.u32 %r1, s;"),
        ("", ".local .align 3 .b8 s[524289]; mov.u32 %r1, s;"),
        ("", ".reg .b32 %big<1000000>; mov.u32 %r1, %big999999;"),
        (".param .align 8 .b8 p[5000]", "ld.param.u64 %l1, [p+4992];"),
        (".param .u8 a, .param .u64 b, .param .align 64 .b8 c[3]", "ld.param.u8 %r1, [c+2];"),
    ] {
        let text = format!(
            ".version 8.8 .target sm_90 .address_size 64
            .visible .entry k({params}) {{ .reg .b32 %r<3>; .reg .b64 %l<4>; {body} ret; }}"
        );
        exercise(&text, &limited(Checks::All, Schedule::InOrder));
    }
    for directive in [".maxnreg 4294967295", ".maxntid 4294967295", ".maxntid 65537, 65535", ".minnctapersm 4294967295"]
    {
        let text = format!(".version 8.8 .target sm_90a .address_size 64 .visible .entry k() {directive} {{ ret; }}");
        exercise(&text, &limited(Checks::All, Schedule::InOrder));
    }
    let constant =
        ".version 8.8 .target sm_90 .address_size 64 .const .align 8 .b8 c[65537]; .visible .entry k() { ret; }";
    exercise(constant, &limited(Checks::All, Schedule::InOrder));
}
