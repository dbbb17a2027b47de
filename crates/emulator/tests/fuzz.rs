//! The texts of `ptx` and `ptx-input` with tokens and lines changed, and mixed with each other: what comes of it loads or says
//! why not, prints, and runs to its end, a trap, a refusal or the limit. An input is made from its number alone.
//!
//! `FUZZ_MINUTES=60 FUZZ_FROM=1000000 cargo test -p ptx-emulator --test fuzz` looks longer, from another number on.

use std::io::Write;
use std::panic::catch_unwind;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use ptx_emulator::syntax::parse;
use ptx_emulator::{Checks, Copies, Launch, Memory, Options, Program, Schedule};

/// How long a run takes that nobody asks to be longer.
const SHORT: Duration = Duration::from_secs(10);
/// No input may take longer: each is small, and its launch is limited.
const HANG: Duration = Duration::from_secs(60);

/// Tokens that are extreme in many places; the others come from the texts.
const EXTREMES: &[&str] = &[
    "-1",
    "2147483648",
    "4294967295",
    "9223372036854775807",
    "-9223372036854775808",
    "18446744073709551615",
    "0f7F800000",
    "0dFFF0000000000000",
    "[%rd1+-2147483648]",
    "[%rd1+2147483647]",
    "0xFFFFFFFFFFFFFFF8",
    "%lanemask_lt",
    "_",
    ".local .align 8 .b8 d[524288];",
    ".global .align 8 .b8 g[9223372036854775807];",
    ".shared .b8 s[262144];",
    ".reg .b32 %q<1048576>;",
    ".maxnreg 24",
];

/// Numbers from a number, by splitmix64.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        ((z ^ (z >> 31)) % end.max(1) as u64) as usize
    }

    fn one<'a, T: ?Sized>(&mut self, of: &[&'a T]) -> &'a T {
        of[self.below(of.len())]
    }
}

/// A text, cut into lines of words, numbers, spaces and single characters.
struct Text {
    name: String,
    lines: Vec<Vec<String>>,
}

fn cut(line: &str) -> Vec<String> {
    let word = |c: char| c.is_alphanumeric() || "_$%".contains(c);
    let mut tokens = Vec::new();
    let mut rest = line;
    while let Some(first) = rest.chars().next() {
        let end = if word(first) { rest.find(|c| !word(c)).unwrap_or(rest.len()) } else { first.len_utf8() };
        tokens.push(rest[..end].to_owned());
        rest = &rest[end..];
    }
    tokens
}

fn texts() -> Vec<Text> {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests");
    let mut texts = Vec::new();
    for folder in ["ptx", "ptx-input"] {
        for entry in std::fs::read_dir(tests.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|ending| ending == "ptx") {
                let text = std::fs::read_to_string(&path).unwrap();
                let lines = text.split_inclusive('\n').map(cut).collect();
                texts.push(Text { name: path.file_name().unwrap().to_string_lossy().into_owned(), lines });
            }
        }
    }
    // A folder lists its files in any order; an input is made from its number alone.
    texts.sort_by(|a, b| a.name.cmp(&b.name));
    texts
}

/// The text of an input, and which it was before.
fn changed(texts: &[Text], number: u64) -> (usize, String) {
    let mut numbers = Numbers(number);
    let which = numbers.below(texts.len());
    let mut lines: Vec<Vec<&str>> = Vec::new();
    for line in &texts[which].lines {
        lines.push(line.iter().map(String::as_str).collect());
    }
    for _ in 0..1 + numbers.below(4) {
        let other = &texts[if numbers.below(2) == 0 { which } else { numbers.below(texts.len()) }];
        let foreign: Vec<&str> = other.lines[numbers.below(other.lines.len())].iter().map(String::as_str).collect();
        let (at, to) = (numbers.below(lines.len()), numbers.below(lines.len()));
        let token = match numbers.below(4) {
            0 => numbers.one(EXTREMES),
            _ if foreign.is_empty() => continue,
            _ => numbers.one(&foreign),
        };
        let place = numbers.below(lines[at].len());
        match numbers.below(9) {
            0 => lines[at].insert(place, token),
            1 => drop(lines[at].pop()),
            2..5 if !lines[at].is_empty() => lines[at][place] = token,
            5 if lines.len() > 1 => drop(lines.remove(at)),
            6 => lines.swap(at, to),
            7 => lines.insert(at, foreign),
            _ => {
                // A register or a number in place of another.
                let is = |token: &&str| token.starts_with(|c: char| c == '%' || c.is_ascii_digit());
                if let Some(one) = lines[at].iter_mut().find(|token| is(token)) {
                    *one = token;
                }
            }
        }
    }
    (which, lines.concat().concat())
}

/// Prints, loads and launches every kernel. How it ends does not matter, that it ends does, and that it says why. Gives
/// whether the text is PTX, and whether a kernel ran to its end.
fn exercise(text: &str, number: u64) -> (bool, bool) {
    let mut numbers = Numbers(!number);
    match parse(text) {
        Ok(module) => {
            for function in &module.functions {
                for index in 0..function.body.len() {
                    assert!(function.print(index).to_string().ends_with(';'));
                }
            }
        }
        Err(error) => assert!(error.line >= 1 && error.column >= 1, "{error}"),
    }
    let Ok(program) = Program::load(text) else { return (false, false) };
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
        let buffers = [memory.upload("given", &[0x3C; 1 << 14]), memory.alloc("out", 1 << 14)];
        // Pointers, and small numbers, where the kernel has either.
        let mut params: Vec<u8> = (0..kernel.param_bytes().div_ceil(8))
            .flat_map(|_| match numbers.below(3) {
                0 => [1, 0, 0, 0, 64, 0, 0, 0],
                _ => buffers[numbers.below(2)].address().to_le_bytes(),
            })
            .collect();
        params.truncate(kernel.param_bytes());
        let options = Options {
            checks: [Checks::All, Checks::All, Checks::Memory, Checks::None][numbers.below(4)],
            schedule: [Schedule::InOrder, Schedule::Random, Schedule::RoundRobin(3), Schedule::Reverse]
                [numbers.below(4)],
            copies: [Copies::Latest, Copies::Earliest][numbers.below(2)],
            seed: number,
            threads: 1,
            limit: 20_000,
            ..Options::default()
        };
        let block = [[128, 1, 1], [256, 1, 1], [32, 1, 1], [33, 2, 1]][numbers.below(4)];
        let launch = Launch { grid: [2, 1, 1], block, dynamic_shared: 50_000, params: &params };
        match kernel.launch(&memory, &launch, &options) {
            Ok(_) => ran = true,
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    (true, ran)
}

#[test]
fn changed_texts_end_well() {
    let texts = texts();
    let asked = |name: &str| std::env::var(name).ok().map(|text| text.parse::<f64>().unwrap());
    let time = asked("FUZZ_MINUTES").map_or(SHORT, |minutes| Duration::from_secs_f64(60.0 * minutes));
    let from = asked("FUZZ_FROM").unwrap_or(0.0) as u64;
    let present = AtomicU64::new(from);
    let over = u64::MAX;
    let start = Instant::now();
    let (mut failed, mut loaded, mut ended) = (Vec::new(), 0u64, 0u64);
    let mut number = from;
    std::thread::scope(|scope| {
        // An input that hangs cannot be stopped from here: its number is said, and the process ends.
        scope.spawn(|| {
            let (mut last, mut since) = (over, Instant::now());
            while present.load(Relaxed) != over {
                std::thread::sleep(Duration::from_millis(200));
                let now = present.load(Relaxed);
                if now != last {
                    (last, since) = (now, Instant::now());
                } else if since.elapsed() > HANG {
                    let _ = writeln!(std::io::stderr(), "fuzz: input {now} does not end: FUZZ_FROM={now} makes it");
                    std::process::abort();
                }
            }
        });
        while start.elapsed() < time {
            present.store(number, Relaxed);
            let (which, text) = changed(&texts, number);
            match catch_unwind(|| exercise(&text, number)) {
                Ok((loads, runs)) => {
                    loaded += u64::from(loads);
                    ended += u64::from(runs);
                }
                Err(_) => failed.push((number, texts[which].name.as_str())),
            }
            number += 1;
        }
        present.store(over, Relaxed);
    });
    // Not captured: how much was looked at belongs to a test that passes.
    let _ = writeln!(
        std::io::stderr(),
        "fuzz: inputs {from} to {number} in {:.0} s: {loaded} were PTX, {ended} ran to their end, {} panicked",
        start.elapsed().as_secs_f64(),
        failed.len()
    );
    assert!(failed.is_empty(), "these inputs panicked: {failed:?}");
    assert!(number > from + 10 && loaded > 0 && ended > 0, "too little was looked at");
}
