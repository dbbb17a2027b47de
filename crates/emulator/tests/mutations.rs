//! Damaged texts: they never end the program, and mistakes have a place.

use proptest::prelude::*;
use ptx_emulator::syntax::parse;

const TEXT: &str = include_str!("ptx-input/misc_sm_90a.ptx");

/// Pieces that mean something to the parser, to put where they do not belong.
const PIECES: &[&str] = &[
    "{",
    "}",
    "(",
    ")",
    "[",
    "]",
    "<",
    ">",
    ",",
    ";",
    ":",
    "+",
    "-",
    "@",
    "!",
    "|",
    "=",
    "\"",
    "/*",
    "//",
    "\n",
    ".loc ",
    ".reg .b32 ",
    ".section ",
    ".func ",
    ".param ",
    ".pragma \"used_bytes_mask ",
    " 18446744073709551615 ",
    "0f",
    "1e",
    "x: .branchtargets ",
    "%r1",
    "p",
    "é",
    "\0",
];

/// One change: where, how many bytes go, and what comes.
fn change() -> impl Strategy<Value = (usize, usize, String)> {
    let piece = prop_oneof![
        prop::sample::select(PIECES).prop_map(str::to_owned),
        any::<String>(),
        // Another part of the same text.
        (0..TEXT.len(), 0usize..80).prop_map(|(at, length)| slice(at, at + length).to_owned()),
    ];
    (0..TEXT.len(), prop_oneof![Just(0), 0usize..8, 0usize..2000], piece)
}

/// The text between two places, or between the next characters if they are inside one.
fn slice(start: usize, end: usize) -> &'static str {
    &TEXT[TEXT.ceil_char_boundary(start)..TEXT.ceil_char_boundary(end.min(TEXT.len()))]
}

fn check(text: &str) -> Result<(), TestCaseError> {
    match parse(text) {
        Ok(module) => {
            for function in &module.functions {
                for index in 0..function.body.len() {
                    prop_assert!(function.print(index).to_string().ends_with(';'));
                }
            }
        }
        Err(error) => {
            let lines = text.split('\n').count();
            prop_assert!(error.line >= 1 && error.line as usize <= lines, "{error}");
            let line = text.split('\n').nth(error.line as usize - 1).unwrap_or_default();
            prop_assert!(error.column >= 1 && error.column as usize <= line.len() + 1, "{error}");
            prop_assert!(!error.message.is_empty() && !error.message.ends_with('.'), "{error}");
        }
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn of_a_valid_text(changes in prop::collection::vec(change(), 1..4)) {
        let mut text = TEXT.to_owned();
        for (at, length, piece) in changes {
            let start = text.ceil_char_boundary(at.min(text.len()));
            let end = text.ceil_char_boundary((start + length).min(text.len()));
            text.replace_range(start..end, &piece);
        }
        check(&text)?;
    }

    #[test]
    fn pieces_in_any_order(pieces in prop::collection::vec(prop::sample::select(PIECES), 0..40)) {
        check(&pieces.concat())?;
        check(&format!(".version 9.0 .target sm_80 .address_size 64 {}", pieces.concat()))?;
        check(&format!(".version 9.0 .target sm_80 .address_size 64 .entry k() {{ {}", pieces.concat()))?;
    }

    #[test]
    fn any_text(text in any::<String>()) {
        check(&text)?;
    }
}

#[test]
fn a_text_that_ends_anywhere() {
    for end in (0..TEXT.len()).step_by(61) {
        check(slice(0, end)).unwrap();
    }
}
