//! The table against itself, through texts that name each of its rows.

use std::collections::BTreeSet;

use super::form::{Class, Form, Operand};
use super::{TABLES, forms};
use crate::{FormInfo, LoadError, Program};

fn rows() -> impl Iterator<Item = &'static Form> {
    TABLES.iter().flat_map(|table| table.iter())
}

/// Spellings of a row: the plainest, and every other that differs from it in one or two choices.
fn spellings(form: &Form) -> Vec<String> {
    let mut slots: Vec<Vec<&str>> = Vec::new();
    let mut rest = &form.spelling[form.opcode().len()..];
    while !rest.is_empty() {
        let first = &rest[..1];
        let (slot, after) = match first {
            "{" | "[" => rest[1..].split_once(['}', ']']).expect("choices are closed"),
            _ => rest.split_at(rest[1..].find(['.', '{', '[']).map_or(rest.len(), |at| at + 1)),
        };
        rest = after;
        let absent = (first == "[").then_some("");
        slots.push(absent.into_iter().chain(slot.split('|')).collect());
    }
    let mut all = BTreeSet::new();
    for one in 0..slots.len() {
        for other in one..slots.len() {
            for (choice, second) in slots[one].iter().flat_map(|a| slots[other].iter().map(move |b| (a, b))) {
                let mut words: Vec<&str> = slots.iter().map(|slot| slot[0]).collect();
                (words[one], words[other]) = (choice, second);
                all.insert(format!("{}{}", form.opcode(), words.concat()).replace("nN", "n16"));
            }
        }
    }
    if slots.is_empty() {
        all.insert(form.opcode().to_owned());
    }
    all.into_iter().collect()
}

#[test]
fn no_two_rows_have_a_spelling_and_operands_in_common() {
    for form in rows() {
        for text in spellings(form) {
            let modifiers: Vec<_> = text.split('.').skip(1).map(str::to_owned).collect();
            let same = forms(form.opcode())
                .filter(|other| other.choose(&modifiers).is_some() && other.form.operands == form.operands);
            assert_eq!(same.count(), 1, "{text}");
        }
    }
}

/// What stands in the place of a word: a register of 32 bits or one of 16.
const WORDS: [&str; 2] = ["%r1", "%rs1"];

fn register(class: Class, word: &'static str) -> &'static str {
    match class {
        Class::Predicate => "%p1",
        Class::Word => word,
        Class::Wide => "%rd1",
    }
}

/// Operands of an instruction with this spelling, as the form wants them; bit i of `narrow` says whether the words of
/// operand i have 16 bits.
fn operands(form: &Form, spelling: &str, narrow: usize) -> Vec<String> {
    let list = |count: usize, register: &str| format!("{{{}}}", vec![register; count].join(", "));
    let elements = match () {
        () if spelling.contains(".x2") || spelling.contains(".v2") => 2,
        () if spelling.contains(".x4") || spelling.contains(".v4") => 4,
        () if spelling.contains(".v8") => 8,
        () => 1,
    };
    let operand = |(at, operand): (usize, &Operand)| {
        let word = WORDS[narrow >> at & 1];
        // Where the width is the type's to say.
        let any = if spelling.ends_with("64") { "%rd1" } else { word };
        match *operand {
            Operand::In(class) | Operand::Out(class) => register(class, word).to_owned(),
            Operand::InAny | Operand::OutAny => any.to_owned(),
            Operand::OutPair(first, second) => format!("{}|{}", register(first, word), register(second, word)),
            Operand::OutList(class) => list(elements, register(class, word)),
            Operand::OutListAny | Operand::InListAny => list(elements, any),
            Operand::InList(class) => list(elements, register(class, word)),
            Operand::OutBraces(class, count) | Operand::InBraces(class, count) => {
                list(count.into(), register(class, word))
            }
            Operand::Address | Operand::Mbarrier => "[%rd1]".to_owned(),
            Operand::Box => {
                let rank = (1..=5).find(|rank| spelling.contains(&format!(".{rank}d"))).unwrap_or(1);
                format!("[%rd1, {}]", list(rank, "%r1"))
            }
            Operand::Clock(Class::Wide) => "%clock64".to_owned(),
            Operand::Clock(_) => "%clock_hi".to_owned(),
            Operand::Label => "END".to_owned(),
            // Those of m64n16: of results of 32 bits, or of 16.
            Operand::Accumulators => {
                let count = if spelling.contains("k16.f16") || spelling.contains("k32.f16") { 4 } else { 8 };
                format!("{{{}}}", (2..2 + count).map(|at| format!("%r{at}")).collect::<Vec<_>>().join(", "))
            }
            Operand::Sign => "-1".to_owned(),
            Operand::Flag => "1".to_owned(),
            Operand::Number if form.opcode() == "setmaxnreg" => "24".to_owned(),
            Operand::Number if form.opcode() == "fence" => "128".to_owned(),
            Operand::Number if form.opcode() == "wgmma" => "7".to_owned(),
            Operand::Number => "16".to_owned(),
        }
    };
    form.operands.iter().enumerate().map(operand).collect()
}

fn has_words(operand: &Operand) -> bool {
    match *operand {
        Operand::In(class) | Operand::Out(class) | Operand::OutList(class) | Operand::InList(class) => {
            class == Class::Word
        }
        Operand::OutBraces(class, _) | Operand::InBraces(class, _) | Operand::OutPair(class, _) => class == Class::Word,
        Operand::InAny | Operand::OutAny | Operand::OutListAny | Operand::InListAny => true,
        Operand::Accumulators | Operand::Sign | Operand::Flag | Operand::Clock(_) => false,
        Operand::Address | Operand::Mbarrier | Operand::Box | Operand::Label | Operand::Number => false,
    }
}

/// The operands with which a spelling decodes, for each choice of widths that differs from the others.
fn accepted(form: &Form, spelling: &str) -> Vec<Vec<String>> {
    let words = form.operands.iter().enumerate().filter(|(_, operand)| has_words(operand));
    let bits = words.fold(0, |bits, (at, _)| bits | 1 << at);
    let mut all: Vec<_> = (0..1 << form.operands.len())
        .filter(|narrow| narrow & !bits == 0)
        .map(|narrow| operands(form, spelling, narrow))
        .collect();
    all.dedup();
    all.retain(|operands| decode(&[format!("{spelling} {};", operands.join(", "))]).is_ok());
    all
}

/// The rows that these instructions decode to.
fn decode(instructions: &[String]) -> Result<Vec<FormInfo>, LoadError> {
    let text = format!(
        ".version 9.0 .target sm_90a .address_size 64 .visible .entry k(.param .u64 given) {{
        .reg .pred %p<2>; .reg .b16 %rs<2>; .reg .b32 %r<10>; .reg .b64 %rd<2>; .shared .align 16 .b8 tile[16];\n{}\nEND: ret; }}",
        instructions.join("\n")
    );
    Ok(Program::load(&text)?.kernel("k")?.forms().collect())
}

#[test]
fn spellings_decode_to_their_row() {
    for form in rows() {
        let mut instructions = Vec::new();
        for spelling in spellings(form) {
            // Some rows refuse some combinations, such as an atomic `and` of floats.
            let Some(operands) = accepted(form, &spelling).pop() else { continue };
            instructions.push(format!("{spelling} {};", operands.join(", ")));
        }
        let decoded = decode(&instructions).expect("each of them decodes");
        for (instruction, decoded) in instructions.iter().zip(decoded) {
            assert_eq!(decoded, FormInfo::of(form), "{instruction}");
        }
        let words = form.spelling.split(['.', '{', '}', '[', ']', '|']).skip(1).filter(|word| !word.is_empty());
        for word in words {
            let occurs = |text: &String| text.split([' ', '.']).any(|part| part == word.replace("nN", "n16"));
            assert!(instructions.iter().any(occurs), "{}: nothing with .{word} decodes", form.spelling);
        }
    }
}

/// Every operand that there is, to be put where another kind belongs.
const KINDS: &[&str] = &[
    "%p1",
    "!%p1",
    "%rs1",
    "%r1",
    "%rd1",
    "7",
    "-1",
    "0f3F800000",
    "0d3FF0000000000000",
    "%tid.x",
    "tile",
    "given",
    "_",
    "END",
    "nothing",
    "[%rd1]",
    "[%rs1]",
    "[%p1]",
    "[tile]",
    "[given]",
    "[7]",
    "{%r1}",
    "{%p1, %p1}",
    "{%r1, %rd1}",
    "{%r1, %r1, %r1}",
    "{%rd1, 7}",
    "{_, _}",
    "%r1|%p1",
    "%p1|%p1",
    "%rd1|%rd1",
    "(%r1)",
    "{}",
    "99999999999999999999",
];

/// Whether a text may have this operand in such a place, by what PTX says of it; None where the type decides.
fn may_stand(operand: &Operand, spelling: &str, given: &str) -> Option<bool> {
    let is_constant = given.starts_with(|c: char| c.is_ascii_digit() || c == '-');
    let is_register = |given: &str| given.starts_with('%') && given != "%tid.x" && !given.contains('|');
    let fits = |class: Class, given: &str| match class {
        Class::Predicate => given == "%p1",
        Class::Word => ["%r1", "%rs1"].contains(&given),
        Class::Wide => given == "%rd1",
    };
    let written = |class: Class| Some(given == "_" || fits(class, given));
    match *operand {
        Operand::In(Class::Predicate) => Some(["%p1", "!%p1", "-1"].contains(&given)),
        // Conversions read and write narrow types in wide registers.
        Operand::In(_) | Operand::Out(_) if spelling.starts_with("cvt") && given == "%rd1" => None,
        Operand::In(class) if is_register(given) => (!fits(class, given)).then_some(false),
        // A float is no integer, and an integer is no float.
        // Its two types may be an integer and a float.
        Operand::In(_) if is_constant && spelling.starts_with("slct") => None,
        // Its type is that of the values in memory.
        Operand::In(_) if is_constant && spelling.starts_with("cp.reduce") => None,
        Operand::In(_) | Operand::InAny if is_constant => match spelling.rsplit('.').next() {
            Some("f32" | "f64") if !given.contains('f') && !given.contains('d') => Some(false),
            Some("u16" | "s16" | "u32" | "s32" | "u64" | "s64")
                if given.starts_with("0f") || given.starts_with("0d") =>
            {
                Some(false)
            }
            _ => None,
        },
        Operand::In(_) | Operand::InAny if ["%tid.x", "tile", "given"].contains(&given) => None,
        Operand::InAny if is_register(given) && given != "%p1" => None,
        Operand::In(_) | Operand::InAny => Some(false),
        Operand::Out(class) => written(class).filter(|fits| !fits),
        Operand::OutAny => (!is_register(given) && given != "_" || given == "%p1").then_some(false),
        Operand::OutPair(first, second) => match given.split_once('|') {
            Some((one, other)) => (!fits(first, one) || !fits(second, other)).then_some(false),
            None => written(first).filter(|fits| !fits),
        },
        Operand::Box | Operand::Clock(_) => Some(false),
        Operand::Address | Operand::Mbarrier => match given {
            "[%rd1]" | "[7]" => None,
            "[tile]" if spelling.contains(".shared") => None,
            "[given]" if spelling.contains(".param") => None,
            _ => Some(false),
        },
        Operand::Label => Some(given == "END"),
        Operand::Number => {
            (!is_constant || given.starts_with("0f") || given.starts_with("0d") || given.len() > 19).then_some(false)
        }
        // Lists are tried by their elements below.
        _ => None,
    }
}

#[test]
fn an_operand_of_another_kind_is_refused_in_every_place_of_every_row() {
    let mut refused = 0;
    for form in rows() {
        let mut seen = BTreeSet::new();
        for spelling in spellings(form) {
            // One spelling for each last type is enough: the others say nothing of the operands.
            let Some(right) = accepted(form, &spelling).pop() else { continue };
            if !seen.insert(spelling.rsplit('.').next().unwrap_or_default().to_owned()) {
                continue;
            }
            for (at, operand) in form.operands.iter().enumerate() {
                let mut kinds: Vec<String> = KINDS.iter().map(|&kind| kind.to_owned()).collect();
                if let Some(list) = right[at].strip_prefix('{') {
                    // One element is another, and one too many.
                    let wrong = if list.starts_with("%rd") { "%r1" } else { "%rd1" };
                    let elements: Vec<_> = list.trim_end_matches('}').split(", ").collect();
                    kinds = vec![format!("{{{}, {}}}", elements.join(", "), elements[0])];
                    for one in ["%p1", wrong, "[%rd1]", "END", "{%r1}"] {
                        let mut elements = elements.clone();
                        elements[0] = one;
                        kinds.push(format!("{{{}}}", elements.join(", ")));
                    }
                    if spelling.starts_with("ld") {
                        // Wider registers may be loaded.
                        kinds.retain(|kind| !kind.contains("%rd1,") && !kind.ends_with("%rd1}"));
                    }
                    if spelling.starts_with("st") {
                        kinds.retain(|kind| !kind.contains("%rd1"));
                    }
                }
                for kind in kinds {
                    let is_list = right[at].starts_with('{');
                    let must = if is_list { Some(false) } else { may_stand(operand, &spelling, &kind) };
                    let mut operands = right.clone();
                    operands[at] = kind;
                    let text = format!("{spelling} {};", operands.join(", "));
                    match decode(std::slice::from_ref(&text)) {
                        // Another row may take it.
                        Ok(rows) if must == Some(false) => {
                            assert_ne!(rows[0], FormInfo::of(form), "{text} is accepted")
                        }
                        Ok(_) => {}
                        Err(LoadError::Syntax(_) | LoadError::Unsupported { .. }) => refused += 1,
                        Err(error) => panic!("{text}: {error}"),
                    }
                }
            }
            for guard in ["%r1", "%rs1", "%rd1", "%tid.x", "tile", "7", "_", "{%p1}", "!!%p1"] {
                let text = format!("@{guard} {spelling} {};", right.join(", "));
                assert!(decode(std::slice::from_ref(&text)).is_err(), "{text} is accepted");
            }
        }
    }
    assert!(refused > 10_000, "{refused}");
}

#[test]
fn words_have_one_width_but_where_wider_registers_may_stand() {
    for form in rows().filter(|form| !["ld", "st", "cvt", "mov"].contains(&form.opcode())) {
        for spelling in spellings(form) {
            let accepted = accepted(form, &spelling);
            assert!(accepted.len() <= 1, "{spelling}: {accepted:?}");
        }
    }
}
