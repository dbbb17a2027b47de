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

/// All mistakes of one stage, in source order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings(Vec<Finding>);

impl Findings {
    /// None so far.
    pub fn new() -> Findings {
        Findings::default()
    }

    /// Adds one.
    pub fn push(&mut self, finding: Finding) {
        self.0.push(finding);
    }

    /// `Ok(value)` if there are no errors, else all findings in source order.
    pub fn into_result<T>(self, value: T) -> Result<T, Findings> {
        self.into_warned(value).map(|(value, _)| value)
    }

    /// The value and the warnings if there are no errors, else all findings; in source order.
    pub fn into_warned<T>(mut self, value: T) -> Result<(T, Findings), Findings> {
        self.0.sort_by_key(|finding| finding.span.map(|span| span.start));
        if self.has_errors() { Err(self) } else { Ok((value, self)) }
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.0.iter().any(|finding| finding.code.severity() == Severity::Error)
    }

    /// The findings.
    pub fn iter(&self) -> std::slice::Iter<'_, Finding> {
        self.0.iter()
    }

    /// Whether there are none, warnings included.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<Finding> for Findings {
    fn from(finding: Finding) -> Findings {
        Findings(vec![finding])
    }
}

impl Extend<Finding> for Findings {
    fn extend<I: IntoIterator<Item = Finding>>(&mut self, findings: I) {
        self.0.extend(findings);
    }
}

impl IntoIterator for Findings {
    type Item = Finding;
    type IntoIter = std::vec::IntoIter<Finding>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl std::fmt::Display for Findings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (index, finding) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            finding.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for Findings {}
