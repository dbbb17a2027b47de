//! Functions of generated text: parameters and locals are those that a body names; long expressions are laid out.

/// Parameters and arguments of a function: those of `words` (word, parameter, argument) that its body names.
pub(super) fn signature(body: &str, words: &[[&str; 3]]) -> (String, String) {
    let used: Vec<&[&str; 3]> = words.iter().filter(|[word, ..]| names(body, word)).collect();
    let list = |n: usize| used.iter().map(|row| row[n]).collect::<Vec<_>>().join(", ");
    (list(1), list(2))
}

/// Two lists of parameters or arguments as one.
pub(super) fn joined(first: &str, rest: &str) -> String {
    let separator = if first.is_empty() || rest.is_empty() { "" } else { ", " };
    format!("{first}{separator}{rest}")
}

/// Whether `word` occurs as a whole identifier that is not a field.
pub(super) fn names(body: &str, word: &str) -> bool {
    let in_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    body.match_indices(word).any(|(at, _)| {
        !body[..at].chars().next_back().is_some_and(|c| in_word(c) || c == '.')
            && !body[at + word.len()..].chars().next().is_some_and(in_word)
    })
}

/// A device function; its comment is a sentence or nothing.
pub(super) fn define(comment: &str, head: &str, parameters: &str, body: &str) -> String {
    let comment = if comment.is_empty() { String::new() } else { format!("// {comment}\n") };
    let head = format!("static __device__ __forceinline__ {head}(");
    let mut text = format!("{head}{parameters}) {{");
    if text.len() > WIDTH {
        let at = text[..WIDTH].rfind(", ").map_or(text.len(), |at| at + 1);
        let rest = text.split_off(at);
        text = format!("{text}\n{}{}", " ".repeat(head.len()), rest.trim_start());
    }
    format!("{comment}{text}\n{body}}}\n")
}

/// Breaks a long expression after its logical operators.
pub(super) fn wrapped(body: &str) -> String {
    let mut out = String::new();
    let mut column = 11;
    for piece in body.split_inclusive(&[' '][..]) {
        let breaks = matches!(piece, "|| " | "&& ") && column > 60;
        if breaks {
            out = out.trim_end().to_owned();
            out.push_str("\n        ");
            column = 8;
        }
        out.push_str(piece);
        column += piece.len();
    }
    out
}

/// Characters of a line.
const WIDTH: usize = 100;

/// A statement of a function's body: `before`, the expression, `after`. If it does not fit a line it is broken before its
/// outermost logical operators, and what still does not fit further in.
pub(super) fn statement(before: &str, expression: &str, after: &str) -> String {
    let whole = format!("    {before}{expression}{after}");
    if whole.len() <= WIDTH {
        return whole + "\n";
    }
    let (mut lines, mut depth) = (vec![String::new()], 0i32);
    for piece in whole.trim_start().split_inclusive(' ') {
        if matches!(piece, "|| " | "&& ") && depth <= i32::from(before.ends_with('(')) {
            lines.push(String::new());
        }
        depth += piece.matches('(').count() as i32 - piece.matches(')').count() as i32;
        lines.last_mut().expect("there is a line").push_str(piece);
    }
    let mut out = String::new();
    for (n, line) in lines.iter().enumerate() {
        fold(line.trim_end(), if n == 0 { 4 } else { 8 }, &mut out);
    }
    out
}

/// Breaks a line after a comma or before a logical operator, as far out in its parentheses as possible.
fn fold(line: &str, indent: usize, out: &mut String) {
    out.push_str(&" ".repeat(indent));
    let (mut depth, mut best) = (0, None);
    for (at, c) in line.char_indices().take_while(|(at, _)| indent + at < WIDTH) {
        let breaks = match c {
            ',' => Some(at + 1),
            '&' | '|' if at > 0 && line[at..].starts_with(&format!("{c}{c} ")) => Some(at),
            _ => None,
        };
        depth += i32::from(c == '(') - i32::from(c == ')');
        best = match (breaks, best) {
            (Some(at), Some((least, _))) if depth <= least => Some((depth, at)),
            (Some(at), None) => Some((depth, at)),
            (_, best) => best,
        };
    }
    match best {
        Some((_, at)) if indent + line.len() > WIDTH => {
            out.push_str(line[..at].trim_end());
            out.push('\n');
            fold(line[at..].trim_start(), if indent == 4 { 12 } else { indent }, out);
        }
        _ => {
            out.push_str(line);
            out.push('\n');
        }
    }
}
