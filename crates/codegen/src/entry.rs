//! Names of functions: what a kernel is, and at the end a hash of its text, so that no two texts share a name. Profilers,
//! traps and caches of drivers know a kernel by nothing else.

use std::fmt::Write;

use sha2::{Digest, Sha256};

/// Hexadecimal digits of the hash.
const DIGITS: usize = 8;

/// The hash of a text, its own functions' names left out, so that it can be part of them.
pub(crate) fn content_hash(text: &str, names: &[&str]) -> String {
    let mut hash = Sha256::new();
    for word in words(text).filter(|word| !names.contains(word)) {
        hash.update(word);
    }
    let mut hex = String::new();
    for byte in &hash.finalize()[..DIGITS / 2] {
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

/// The text with the hash behind each of these names.
pub(crate) fn with_hash(text: &str, names: &[&str], hash: &str) -> String {
    let mut out = String::with_capacity(text.len() + 64);
    for word in words(text) {
        out.push_str(word);
        if names.contains(&word) {
            out.push('_');
            out.push_str(hash);
        }
    }
    out
}

/// The function of a text that is this one, whatever the hash at its end.
pub(crate) fn find_in<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut found = None;
    let mut words = words(text).peekable();
    while let Some(word) = words.next() {
        let is_function = words.peek().is_some_and(|next| next.starts_with('('));
        if is_function && word == name {
            return Some(word);
        }
        if is_function && name_without_hash(word) == name_without_hash(name) {
            found = found.or(Some(word));
        }
    }
    found
}

/// A kernel's name without the hash of its text: what it is.
///
/// ```
/// assert_eq!(sparsym_codegen::name_without_hash("attention_d128_bf16_0123abcd"), "attention_d128_bf16");
/// assert_eq!(sparsym_codegen::name_without_hash("attention_d128_bf16"), "attention_d128_bf16");
/// ```
pub fn name_without_hash(name: &str) -> &str {
    let is_hash = |end: &str| end.len() == DIGITS && end.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    name.rsplit_once('_').filter(|(_, end)| is_hash(end)).map_or(name, |(start, _)| start)
}

/// The text in pieces: words, and what stands between them.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let of_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest.find(|c| of_word(c) != of_word(first)).unwrap_or(rest.len());
        let (piece, more) = rest.split_at(end);
        rest = more;
        Some(piece)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "// kernel\nvoid kernel_cut(int x) { y = kernel_cut_2; } void kernel() {}";

    #[test]
    fn only_whole_words_get_the_hash_and_names_do_not_count() {
        let names = ["kernel_cut", "kernel"];
        let hash = content_hash(TEXT, &names);
        let text = with_hash(TEXT, &names, &hash);
        assert!(text.contains(&format!("void kernel_cut_{hash}(int")) && text.contains("kernel_cut_2;"), "{text}");
        let renamed = TEXT.replace("kernel", "other");
        assert_eq!(content_hash(&renamed, &["other_cut", "other"]).len(), DIGITS);
        assert_eq!(content_hash("void a() {}", &["a"]), content_hash("void b() {}", &["b"]));
        assert_ne!(content_hash("void a() {}", &["a"]), content_hash("void a() { }", &["a"]));
    }

    #[test]
    fn a_function_is_found_with_its_hash_another_or_none() {
        for text in ["f_0123abcd(", "f_89abcdef(", "f("] {
            let text = format!("int f_0123abcd; void {text}int x)");
            assert!(find_in(&text, "f_0123abcd").is_some_and(|name| text.contains(&format!("{name}("))), "{text}");
        }
        assert_eq!(find_in("void f_cut_0123abcd(int x)", "f_0123abcd"), None);
    }
}
