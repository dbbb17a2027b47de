//! PTX of real kernels with tokens and lines changed, on the emulator: it loads or says why not, and runs to its end, a
//! trap, a refusal or the limit. An input is made from its number alone, so a failure can be made again.
//!
//! `FUZZ_MINUTES=60 FUZZ_FROM=1000000 cargo test -p sparsym-runtime --test fuzz_ptx` looks longer, from another number on.

#[expect(dead_code, reason = "one strategy is all that is wanted of it")]
mod support;

use std::io::Write;
use std::panic::catch_unwind;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ptx_emulator::{Checks, Copies, Launch, Memory, Options, Program, Schedule};
use sparsym_codegen::{FromHeads, Product, Request, Room, RoomRequest, Target, ToHeads, generate};
use sparsym_ir::Strategy;
use sparsym_ir::strategy::Blocks;
use sparsym_runtime::Compiler;

/// Inputs of a run that nobody asks to be longer.
const MOST_INPUTS: u64 = 20_000;
/// No input may take longer: each is small, and its launch is limited.
const HANG: Duration = Duration::from_secs(60);

/// Tokens that are legal in many places, and extreme in some.
const PIECES: &[&str] = &[
    "0",
    "1",
    "-1",
    "3",
    "31",
    "32",
    "255",
    "4294967295",
    "2147483648",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "0f7F800000",
    "0fFFC00000",
    "0dFFF0000000000000",
    "%tid.x",
    "%ctaid.x",
    "%laneid",
    "%lanemask_lt",
    "_",
    "%p1",
    "%r1",
    "%rd1",
    "%rs1",
    "!%p1",
    "@%p1",
    "@!%p2",
    "[%rd1+-2147483648]",
    "[%rd1+2147483647]",
    ".u8",
    ".s8",
    ".u16",
    ".b16",
    ".b32",
    ".s32",
    ".u32",
    ".b64",
    ".u64",
    ".s64",
    ".f16",
    ".bf16",
    ".f16x2",
    ".f32",
    ".f64",
    ".pred",
    ".v2",
    ".v4",
    ".v8",
    ".x2",
    ".x4",
    ".trans",
    ".shared",
    ".global",
    ".local",
    ".param",
    ".const",
    ".sync",
    ".aligned",
    ".sat",
    ".ftz",
    ".rz",
    ".wide",
    ".hi",
    ".lo",
    "bar.sync 0;",
    "bar.sync 1, 64;",
    "bar.arrive 2, 32;",
    "exit;",
    "ret;",
    "trap;",
    "bra",
    "{",
    "}",
    "[",
    "]",
    "(",
    ")",
    ",",
    ";",
    "|",
    "+",
    "-",
    ":",
    "<",
    ">",
    "=",
    ".align",
    ".reg",
    ".local .align 8 .b8 d[524288];",
    ".shared .b8 s[262144];",
    ".reg .b32 %q<1048576>;",
    ".maxntid",
    ".reqntid",
    "cp.async.wait_group 0;",
    "cp.async.commit_group;",
    "mbarrier.init.shared.b64 [%rd1], 1;",
];

/// Numbers from a number, by splitmix64.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ z >> 30).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ z >> 27).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ z >> 31
    }

    fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
}

/// A kernel's text, cut where a change may stand.
struct Text {
    name: String,
    tokens: Vec<String>,
    /// Where lines of instructions begin among the tokens.
    lines: Vec<usize>,
}

/// The pieces that a text is made of: words, numbers, spaces and single characters.
fn cut(name: String, text: &str) -> Text {
    let word = |c: char| c.is_alphanumeric() || "_$%".contains(c);
    let (mut tokens, mut lines) = (Vec::new(), vec![0]);
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let end = if word(first) { rest.find(|c| !word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        tokens.push(rest[..end].to_owned());
        if first == '\n' {
            lines.push(tokens.len());
        }
        rest = &rest[end..];
    }
    Text { name, tokens, lines }
}

/// The kernels of a few rooms and targets, without what is only there for debuggers.
fn texts() -> Vec<Text> {
    let (dense, omni) = (Strategy::dense(), support::flash_omni_strategy());
    let compiler = Compiler::new().unwrap();
    let mut texts = Vec::new();
    let blocks_of_64 = |strategy: &Strategy| Strategy { blocks: Blocks { q: 64, kv: 64 }, ..strategy.clone() };
    let (dense, omni) = (blocks_of_64(&dense), blocks_of_64(&omni));
    let of = |strategy, room, target| Request::new(strategy, room, Target::parse(target).unwrap());
    let mut requests = vec![
        of(&dense, Room::Attention, "sm_80"),
        of(&omni, Room::Attention, "sm_80"),
        of(&omni, Room::Attention, "sm_120"),
        of(&omni, Room::Symbols, "sm_80"),
    ];
    for room in [
        RoomRequest::GemmQ(ToHeads { block: Some(64), bias: true, ..ToHeads::default() }),
        RoomRequest::GemmO(FromHeads::Product(Product::default())),
    ] {
        requests.push(Request::of(room, Target::parse("sm_80").unwrap()));
    }
    for request in requests {
        let room = request.room.room();
        let request = Request { head_dim: 64, ..request };
        let kernel = generate(&request).unwrap_or_else(|error| panic!("{room:?}: {error}"));
        let image = compiler.compile(&kernel, "fuzz").unwrap().image;
        let ptx = String::from_utf8_lossy(&image.ptx).into_owned();
        let ptx = ptx.split("\t.section").next().unwrap_or_default();
        let without_places: String =
            ptx.lines().filter(|line| !line.trim_start().starts_with(".loc")).map(|line| format!("{line}\n")).collect();
        texts.push(cut(format!("{} for {}", kernel.name, kernel.plan.target), &without_places));
    }
    for (name, text) in [
        ("document_symbols_sm_80", include_str!("../../emulator/tests/ptx-input/document_symbols_sm_80.ptx")),
        ("softcap_attention_sm_80", include_str!("../../emulator/tests/ptx-input/softcap_attention_sm_80.ptx")),
    ] {
        texts.push(cut(name.to_owned(), text));
    }
    texts
}

/// The text of an input.
fn changed(texts: &[Text], number: u64) -> (usize, String) {
    let mut numbers = Numbers(number);
    let which = numbers.below(texts.len());
    let text = &texts[which];
    let mut tokens: Vec<&str> = text.tokens.iter().map(String::as_str).collect();
    for _ in 0..1 + numbers.below(3) {
        let at = numbers.below(tokens.len());
        let other = text.tokens[numbers.below(text.tokens.len())].as_str();
        let piece = if numbers.below(2) == 0 { PIECES[numbers.below(PIECES.len())] } else { other };
        match numbers.below(8) {
            0 => tokens.insert(at, piece),
            1 => drop(tokens.remove(at)),
            2 | 3 => tokens[at] = piece,
            4 => {
                // Another number, or a register of another family.
                let places: Vec<_> = (at..tokens.len().min(at + 400))
                    .filter(|&at| tokens[at].starts_with(|c: char| c == '%' || c.is_ascii_digit()))
                    .collect();
                if !places.is_empty() {
                    tokens[places[numbers.below(places.len())]] = piece;
                }
            }
            // Lines, as they were in the text: one goes, comes again elsewhere, or changes places with another.
            kind => {
                let line = |number: usize| {
                    let end = text.lines.get(number + 1).copied().unwrap_or(text.tokens.len());
                    text.lines[number]..end
                };
                let (one, two) = (line(numbers.below(text.lines.len())), line(numbers.below(text.lines.len())));
                if one.end > tokens.len() || two.end > tokens.len() {
                    continue;
                }
                let copy: Vec<&str> = tokens[one.clone()].to_vec();
                match kind {
                    5 => drop(tokens.drain(one)),
                    6 => drop(tokens.splice(two.start..two.start, copy)),
                    _ => {
                        let other: Vec<&str> = tokens[two.clone()].to_vec();
                        if one.end <= two.start {
                            tokens.splice(two, copy);
                            tokens.splice(one, other);
                        }
                    }
                }
            }
        }
    }
    (which, tokens.concat())
}

/// Loads and launches every kernel. How it ends does not matter, that it ends does, and that it says why. Gives whether one
/// ran to its end.
fn exercise(text: &str, number: u64) -> bool {
    let mut numbers = Numbers(!number);
    let Ok(program) = Program::load(text) else { return false };
    let mut ran = false;
    for name in program.names() {
        let kernel = match program.kernel(name) {
            Ok(kernel) => kernel,
            Err(error) => {
                assert!(!error.to_string().is_empty());
                continue;
            }
        };
        let mut memory = Memory::new();
        let buffers = [memory.upload("given", &[0x3C; 1 << 16]), memory.alloc("out", 1 << 16)];
        // Pointers, and small numbers, where the kernel has either.
        let mut params: Vec<u8> = (0..kernel.param_bytes().div_ceil(8))
            .flat_map(|_| match numbers.below(4) {
                0 | 1 => buffers[numbers.below(2)].address().to_le_bytes(),
                2 => (numbers.below(200) as u64 | (numbers.below(200) as u64) << 32).to_le_bytes(),
                _ => [1, 0, 0, 0, 64, 0, 0, 0],
            })
            .collect();
        params.truncate(kernel.param_bytes());
        let options = Options {
            checks: [Checks::All, Checks::Memory, Checks::None][numbers.below(3)],
            schedule: [Schedule::InOrder, Schedule::Random, Schedule::RoundRobin(3), Schedule::Reverse]
                [numbers.below(4)],
            copies: [Copies::Latest, Copies::Earliest][numbers.below(2)],
            seed: number,
            threads: 1,
            limit: 20_000,
            ..Options::default()
        };
        let block = [[128, 1, 1], [256, 1, 1], [32, 1, 1], [33, 2, 1]][numbers.below(4)];
        let launch = Launch { grid: [2, 1, 1], block, dynamic_shared: 100_000, params: &params };
        match kernel.launch(&memory, &launch, &options) {
            Ok(_) => ran = true,
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    ran
}

/// Seconds that a run may take, and the number of the first input.
fn budget() -> (Duration, u64, u64) {
    let number = |name: &str| std::env::var(name).ok().map(|text| text.parse::<f64>().unwrap());
    let from = number("FUZZ_FROM").unwrap_or(0.0) as u64;
    match number("FUZZ_MINUTES") {
        Some(minutes) => (Duration::from_secs_f64(60.0 * minutes), from, u64::MAX),
        None => (Duration::from_secs(30), from, MOST_INPUTS),
    }
}

#[test]
fn changed_kernels_end_well() {
    let texts = texts();
    for text in &texts {
        let program = Program::load(&text.tokens.concat()).unwrap_or_else(|error| panic!("{}: {error}", text.name));
        for name in program.names() {
            program.kernel(name).unwrap_or_else(|error| panic!("{}: {error}", text.name));
        }
    }
    let (time, from, most) = budget();
    let present = AtomicU64::new(u64::MAX);
    let start = Instant::now();
    let (mut failed, mut loaded, mut ended) = (Vec::new(), 0u64, 0u64);
    let mut number = from;
    std::thread::scope(|scope| {
        // An input that hangs cannot be stopped from here: its number is said, and the process ends.
        scope.spawn(|| {
            let (mut last, mut since) = (u64::MAX, Instant::now());
            while present.load(Relaxed) != u64::MAX - 1 {
                std::thread::sleep(Duration::from_millis(200));
                let now = present.load(Relaxed);
                if now != last {
                    (last, since) = (now, Instant::now());
                } else if now < u64::MAX - 1 && since.elapsed() > HANG {
                    let _ = writeln!(std::io::stderr(), "fuzz_ptx: input {now} does not end: FUZZ_FROM={now} makes it");
                    std::process::abort();
                }
            }
        });
        while start.elapsed() < time && number - from < most {
            present.store(number, Relaxed);
            let (which, text) = changed(&texts, number);
            match catch_unwind(|| (Program::load(&text).is_ok(), exercise(&text, number))) {
                Ok((loads, runs)) => {
                    loaded += u64::from(loads);
                    ended += u64::from(runs);
                }
                Err(_) => failed.push((number, texts[which].name.clone())),
            }
            number += 1;
        }
        present.store(u64::MAX - 1, Relaxed);
    });
    // Not captured: how much was looked at belongs to a test that passes.
    let _ = writeln!(
        std::io::stderr(),
        "fuzz_ptx: inputs {from} to {number} in {:.0} s: {loaded} were PTX, {ended} ran to their end, {} panicked",
        start.elapsed().as_secs_f64(),
        failed.len()
    );
    assert!(failed.is_empty(), "these inputs panicked: {failed:?}");
    assert!(number > from + 20 && loaded > 0, "too little was looked at");
}
