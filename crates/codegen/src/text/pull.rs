//! A kernel's text, made of pieces in the order of its launches and of the parts that they name.
//!
//! A part is in the kernel exactly when its name occurs in what is already there, so nobody keeps include lists and nothing
//! unused can appear. A part is specialised when it is pulled in, so a text costs what is in it.

use std::collections::HashSet;

use minijinja::Value;

use super::expand::{Expander, LIBRARY, Part};
use super::registry::{AFTER_RULES, Template};

/// Lines from `first_line` (counted from 1) up to the next origin come from this template.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// First line.
    pub first_line: usize,
    /// Path below `templates/`, or what else made the lines.
    pub template: String,
}

/// What a text is made of.
pub(crate) enum Piece<'a> {
    /// Functions of the strategy's rules.
    Rules(&'a str),
    /// A template, with what it alone has.
    File(&'static Template, Value),
}

/// A kernel's text before its parameter struct is known.
pub(crate) struct Body {
    expander: Expander,
    header: Section,
    sections: Vec<Section>,
    /// All sections: everything that may read parameters.
    text: String,
}

/// A stretch of text from one template.
struct Section {
    template: &'static str,
    text: String,
}

impl Section {
    /// Types stand together, as do constants, and functions of one line; everything else is set apart by a blank line.
    fn kind(&self) -> Option<&'static str> {
        let mut code = self.text.lines().skip_while(|line| line.starts_with("//"));
        let first = code.next()?;
        let kind = ["#define", "typedef", "constexpr", "DEVICE"].into_iter().find(|kind| first.starts_with(kind))?;
        (kind != "DEVICE" || code.next().is_none()).then_some(kind)
    }
}

impl Body {
    /// Specialises the pieces with these values and pulls in what they use. The header is that of the room's file.
    pub(crate) fn new(values: Value, room: &'static Template, pieces: &[Piece<'_>]) -> Body {
        let expander = Expander::new(values);
        let header = Section { template: room.path, text: expander.expand_header(room) };
        let section = |piece: &Piece<'_>| match piece {
            Piece::Rules(text) => Section { template: "the strategy's rules", text: (*text).to_owned() },
            Piece::File(file, step) => {
                Section { template: file.path, text: expander.expand_step(file.path, step.clone()) }
            }
        };
        let mut own: Vec<Section> = pieces.iter().map(section).filter(|section| !section.text.is_empty()).collect();
        let texts: Vec<&str> = own.iter().map(|section| section.text.as_str()).collect();
        let pulled = pull(&LIBRARY.after_params, &texts, &expander);
        let calls_rules = |section: &Section| AFTER_RULES.iter().any(|file| file.path == section.template);
        let (after_rules, mut sections): (Vec<Section>, Vec<Section>) = pulled.into_iter().partition(calls_rules);
        // Rules come before what calls them, and the room comes last.
        let room = own.pop();
        sections.append(&mut own);
        sections.extend(after_rules.into_iter().chain(room));
        let text = sections.iter().map(|section| section.text.as_str()).collect();
        Body { expander, header, sections, text }
    }

    /// All of it.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The whole file with this declaration of the parameter struct, and which template each stretch of it comes from.
    pub(crate) fn finish(self, declaration: String) -> (String, Vec<Origin>) {
        let before = pull(&LIBRARY.before_params, &[&declaration, &self.text], &self.expander);
        for Section { template, text } in before.iter().chain(&self.sections).chain([&self.header]) {
            for leftover in ["${", "//%", "//#", "/*%"] {
                assert!(!text.contains(leftover), "{template} left {leftover} in {text}");
            }
        }
        // Users' docs stand in the declaration alone, and may hold what they like.
        let declaration = Section { template: "the parameter struct", text: declaration };
        let all = std::iter::once(self.header).chain(before).chain([declaration]).chain(self.sections);
        let (mut source, mut origins): (String, Vec<Origin>) = (String::new(), Vec::new());
        let (mut previous, mut lines) = (None, 0);
        for section in all {
            let kind = section.kind();
            let apart = kind.is_none() || kind != previous;
            if !source.is_empty() && apart {
                source.push('\n');
                lines += 1;
            }
            previous = kind;
            if origins.last().is_none_or(|origin: &Origin| origin.template != section.template) {
                origins.push(Origin { first_line: lines + 1, template: section.template.to_owned() });
            }
            let text = section.text.trim_start_matches('\n');
            lines += text.matches('\n').count();
            source.push_str(text);
        }
        (without_blank_runs(&source), origins)
    }
}

/// Every part whose name occurs in these texts, or in a part that does, in the order of the parts.
fn pull(parts: &[Part], texts: &[&str], expander: &Expander) -> Vec<Section> {
    let mut known: HashSet<String> = texts.iter().flat_map(|text| words(text)).map(str::to_owned).collect();
    let mut pulled: Vec<Option<String>> = parts.iter().map(|_| None).collect();
    loop {
        let before = pulled.iter().flatten().count();
        for (part, pulled) in parts.iter().zip(&mut pulled) {
            if pulled.is_none() && known.contains(part.name) {
                let text = expander.expand(part.name);
                known.extend(words(&text).map(str::to_owned));
                *pulled = Some(text);
            }
        }
        if pulled.iter().flatten().count() == before {
            break;
        }
    }
    let pairs = parts.iter().zip(pulled);
    pairs.filter_map(|(part, text)| Some(Section { template: part.file, text: text? })).collect()
}

/// The identifiers, keywords and numbers of a text, without its comments.
pub(crate) fn words(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    code.flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))).filter(|word| !word.is_empty())
}

fn without_blank_runs(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut blank = true;
    for line in text.lines().map(str::trim_end) {
        if !(line.is_empty() && blank) {
            out.push_str(line);
            out.push('\n');
        }
        blank = line.is_empty();
    }
    out
}
