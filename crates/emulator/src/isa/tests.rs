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
                all.insert(format!("{}{}", form.opcode(), words.concat()));
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

/// An instruction with this spelling whose operands are what the form wants.
fn instruction(form: &Form, spelling: &str) -> String {
    let register = |class| match class {
        Class::Predicate => "%p1",
        Class::Word => "%r1",
        Class::Wide => "%rd1",
    };
    // Where the width is the type's to say.
    let any = register(if spelling.ends_with("64") { Class::Wide } else { Class::Word });
    let list = |count: usize, register: &str| format!("{{{}}}", vec![register; count].join(", "));
    let elements = match () {
        () if spelling.contains(".x2") || spelling.contains(".v2") => 2,
        () if spelling.contains(".x4") || spelling.contains(".v4") => 4,
        () if spelling.contains(".v8") => 8,
        () => 1,
    };
    let operands: Vec<_> = form
        .operands
        .iter()
        .map(|operand| match *operand {
            Operand::In(class) | Operand::Out(class) => register(class).to_owned(),
            Operand::InAny | Operand::OutAny => any.to_owned(),
            Operand::OutPair(first, second) => format!("{}|{}", register(first), register(second)),
            Operand::OutList(class) => list(elements, register(class)),
            Operand::OutListAny | Operand::InListAny => list(elements, any),
            Operand::OutBraces(class, count) | Operand::InBraces(class, count) => list(count.into(), register(class)),
            Operand::Address => "[%rd1]".to_owned(),
            Operand::Label => "END".to_owned(),
            Operand::Number => "16".to_owned(),
        })
        .collect();
    format!("{spelling} {};", operands.join(", "))
}

/// The rows that these instructions decode to.
fn decode(instructions: &[String]) -> Result<Vec<FormInfo>, LoadError> {
    let text = format!(
        ".version 9.0 .target sm_90 .address_size 64 .visible .entry k() {{
        .reg .pred %p<2>; .reg .b32 %r<2>; .reg .b64 %rd<2>;\n{}\nEND: ret; }}",
        instructions.join("\n")
    );
    Ok(Program::load(&text)?.kernel("k")?.forms().collect())
}

#[test]
fn spellings_decode_to_their_row() {
    for form in rows() {
        let instructions: Vec<_> = spellings(form).iter().map(|spelling| instruction(form, spelling)).collect();
        // Some rows refuse some combinations, such as an atomic `and` of floats.
        let accepted: Vec<_> = match decode(&instructions) {
            Ok(_) => instructions,
            Err(_) => instructions.into_iter().filter(|one| decode(std::slice::from_ref(one)).is_ok()).collect(),
        };
        let decoded = decode(&accepted).expect("each of them decodes");
        for (instruction, decoded) in accepted.iter().zip(decoded) {
            assert_eq!(decoded, FormInfo::of(form), "{instruction}");
        }
        let words = form.spelling.split(['.', '{', '}', '[', ']', '|']).skip(1).filter(|word| !word.is_empty());
        for word in words {
            let occurs = |text: &String| text.split([' ', '.']).any(|part| part == word);
            assert!(accepted.iter().any(occurs), "{}: nothing with .{word} decodes", form.spelling);
        }
    }
}
