//! Lines of at most 100 columns: what does not fit is broken as far out as possible.

/// Characters of a line.
const WIDTH: usize = 100;
/// Characters that a level, or the rest of a statement, is set in.
pub(super) const INDENT: usize = 4;

/// A text that may be broken at some places.
#[derive(Clone, Debug)]
pub(super) enum Doc {
    /// Stays together.
    Text(String),
    /// One after another.
    Row(Vec<Doc>),
    /// A new line where the group around it is broken, else this text.
    Line(&'static str),
    /// On one line if it fits; else all of its own `Line`s are new lines.
    Group(Vec<Doc>),
    /// New lines inside are set in by one level more.
    Nest(Box<Doc>),
}

impl Doc {
    pub(super) fn text(text: impl Into<String>) -> Doc {
        Doc::Text(text.into())
    }

    /// On one line.
    pub(super) fn flat(&self) -> String {
        match self {
            Doc::Text(text) => text.clone(),
            Doc::Line(text) => (*text).to_owned(),
            Doc::Row(parts) | Doc::Group(parts) => parts.iter().map(Doc::flat).collect(),
            Doc::Nest(inner) => inner.flat(),
        }
    }

    /// Set in by so many characters, with new lines where the width asks for them.
    pub(super) fn lines(&self, indent: usize) -> String {
        let mut out = " ".repeat(indent);
        let mut column = indent;
        let mut rest = vec![(indent, false, self)];
        while let Some((indent, flat, doc)) = rest.pop() {
            match doc {
                Doc::Text(text) => {
                    out.push_str(text);
                    column += text.chars().count();
                }
                Doc::Line(text) if flat => {
                    out.push_str(text);
                    column += text.len();
                }
                Doc::Line(_) => {
                    out.truncate(out.trim_end_matches(' ').len());
                    out.push('\n');
                    out.push_str(&" ".repeat(indent));
                    column = indent;
                }
                Doc::Row(parts) => rest.extend(parts.iter().rev().map(|part| (indent, flat, part))),
                Doc::Nest(inner) => rest.push((indent + INDENT, flat, inner)),
                Doc::Group(parts) => {
                    let flat = flat || fits(WIDTH.saturating_sub(column), parts, &rest);
                    rest.extend(parts.iter().rev().map(|part| (indent, flat, part)));
                }
            }
        }
        out
    }
}

/// Whether these parts fit on one line with what follows them up to the next place where it may be broken.
fn fits(mut width: usize, parts: &[Doc], after: &[(usize, bool, &Doc)]) -> bool {
    let mut here: Vec<(bool, &Doc)> = parts.iter().rev().map(|part| (true, part)).collect();
    let mut after = after.iter().rev();
    loop {
        let next = here.pop().or_else(|| after.next().map(|&(_, flat, doc)| (flat, doc)));
        let Some((flat, doc)) = next else { return true };
        let taken = match doc {
            Doc::Text(text) => text.chars().count(),
            Doc::Line(text) if flat => text.len(),
            Doc::Line(_) => return true,
            Doc::Row(parts) | Doc::Group(parts) => {
                here.extend(parts.iter().rev().map(|part| (flat, part)));
                0
            }
            Doc::Nest(inner) => {
                here.push((flat, inner));
                0
            }
        };
        match width.checked_sub(taken) {
            Some(left) => width = left,
            None => return false,
        }
    }
}
