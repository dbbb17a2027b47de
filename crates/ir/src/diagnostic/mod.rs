//! Findings: what is wrong with a strategy, a shape or a target, where, and what to do.
//!
//! A [`Finding`] is data. The macro turns it into a compiler error at the token, the command line into a source excerpt
//! with a caret, an application into whatever it likes. Every finding has a [`Code`] from one registry.

mod codes;

pub use codes::{Code, Family, Severity};

use crate::span::Span;

/// One mistake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// Which kind of mistake.
    pub code: Code,
    /// One sentence that names what was wrong; lower case, no final dot.
    pub message: String,
    /// What to do about it; one sentence.
    pub help: String,
    /// Where, if it has a place in a strategy's text.
    pub span: Option<Span>,
    /// Further places that belong to the mistake, each with a few words.
    pub labels: Vec<(Span, String)>,
}

impl Finding {
    /// A finding at a place of the strategy's text.
    pub fn at(code: Code, span: Span, message: impl Into<String>, help: impl Into<String>) -> Finding {
        Finding { code, message: message.into(), help: help.into(), span: Some(span), labels: Vec::new() }
    }

    /// A finding about something outside the strategy's text: a shape, a value, a target.
    pub fn new(code: Code, message: impl Into<String>, help: impl Into<String>) -> Finding {
        Finding { code, message: message.into(), help: help.into(), span: None, labels: Vec::new() }
    }

    /// Adds a second place.
    pub fn label(mut self, span: Span, words: impl Into<String>) -> Finding {
        self.labels.push((span, words.into()));
        self
    }

    /// Adds places where the same mistake was made: the first few, and how many there are beyond.
    pub fn also_at(mut self, places: impl IntoIterator<Item = Span>) -> Finding {
        let mut places = places.into_iter();
        self.labels.extend(places.by_ref().take(MOST_PLACES).map(|place| (place, "also here".to_owned())));
        let more = places.count();
        if let Some((_, words)) = self.labels.last_mut().filter(|_| more > 0) {
            *words = format!("also here, and at {more} more");
        }
        self
    }
}

impl std::fmt::Display for Finding {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{}] {}", self.code.id(), self.message)?;
        if !self.help.is_empty() {
            write!(f, "\nhelp: {}", self.help)?;
        }
        Ok(())
    }
}

impl std::error::Error for Finding {}

/// Findings that are kept of one stage: nobody reads more, and one slip can cause any number.
pub const MOST_FINDINGS: usize = 100;

/// Further places that one finding names.
const MOST_PLACES: usize = 20;

/// The mistakes of one stage, in source order: the first hundred, and how many there are beyond.
#[must_use = "findings are mistakes: hand them on, or make a result of them"]
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    list: Vec<Finding>,
    more: usize,
}

impl Findings {
    /// None so far.
    pub fn new() -> Findings {
        Findings::default()
    }

    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        self.list.push(finding);
    }

    /// `Ok(value)` if there are no errors, else the findings in source order, at most [`MOST_FINDINGS`] of them.
    pub fn into_result<T>(self, value: T) -> Result<T, Findings> {
        self.into_warned(value).map(|(value, _)| value)
    }

    /// The value and the warnings if there are no errors, else the findings; in source order, at most [`MOST_FINDINGS`] of
    /// them, and errors rather than warnings.
    pub fn into_warned<T>(mut self, value: T) -> Result<(T, Findings), Findings> {
        self.list.sort_by_key(|finding| finding.span.map(|span| span.start));
        let (all, errors) = (self.list.len(), self.list.iter().filter(|finding| is_error(finding)).count());
        let mut warnings = MOST_FINDINGS.saturating_sub(errors);
        self.list.retain(|finding| {
            let room = warnings > 0;
            warnings -= usize::from(room && !is_error(finding));
            room || is_error(finding)
        });
        self.list.truncate(MOST_FINDINGS);
        self.more += all - self.list.len();
        if errors > 0 { Err(self) } else { Ok((value, self)) }
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.list.iter().any(is_error)
    }

    /// The findings.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.list.iter()
    }

    /// How many there are beyond those that were kept.
    pub fn more(&self) -> usize {
        self.more
    }

    /// Whether there are none, warnings included.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

fn is_error(finding: &Finding) -> bool {
    finding.code.severity() == Severity::Error
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Findings {
        Findings { list: vec![finding], more: 0 }
    }
}

impl Extend<Finding> for Findings {
    fn extend<I: IntoIterator<Item = Finding>>(&mut self, findings: I) {
        self.list.extend(findings);
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;
    fn into_iter(self) -> Self::IntoIter {
        self.list.into_iter()
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, finding) in self.list.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            finding.fmt(f)?;
        }
        if self.more > 0 {
            write!(f, "\nand {} more", self.more)?;
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}
