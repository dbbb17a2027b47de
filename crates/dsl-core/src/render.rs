//! Findings on text: the source line, carets, and every place that belongs to the mistake.

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};
use sparsym_ir::diagnostic::Severity;
use sparsym_ir::span::Place;
use sparsym_ir::{Finding, Findings, Span};

/// The findings as rustc would show them, without colour, each followed by an empty line.
///
/// `source_name` is shown before line and column; `text` is the text that was compiled.
pub fn render(findings: &Findings, source_name: &str, text: &str) -> String {
    let lines = Lines::new(text);
    let mut reports: Vec<String> = findings.iter().map(|finding| report(finding, source_name, &lines)).collect();
    if findings.more() > 0 {
        reports.push(format!("and {} more\n", findings.more()));
    }
    reports.join("\n")
}

fn report(finding: &Finding, source_name: &str, lines: &Lines) -> String {
    let level = match finding.code.severity() {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let title = level.primary_title(finding.message.as_str()).id(finding.code.id());
    let mut group = annotate_snippets::Group::with_title(title);
    if let Some(span) = finding.span {
        // Only the lines that are shown: the whole text would be taken apart for each finding.
        let all = finding.labels.iter().fold(span, |all, (label, _)| all.to(*label));
        let (first, part) = lines.part(all);
        let within = |span: Span| {
            let bytes = lines.bytes(span);
            bytes.start - part.start..bytes.end - part.start
        };
        let labels = finding
            .labels
            .iter()
            .map(|(span, words)| AnnotationKind::Context.span(within(*span)).label(words.as_str()));
        let primary = AnnotationKind::Primary.span(within(span));
        let source = Snippet::source(&lines.text[part.clone()]).line_start(first).path(source_name);
        group = group.element(source.annotation(primary).annotations(labels));
    }
    if !finding.help.is_empty() {
        group = group.element(Level::HELP.message(finding.help.as_str()));
    }
    Renderer::plain().render(&[group]) + "\n"
}

/// Byte offsets of places.
struct Lines<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Lines<'t> {
    fn new(text: &'t str) -> Lines<'t> {
        let starts = std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1)).collect();
        Lines { text, starts }
    }

    /// The byte range of a span; places beyond the text become its end.
    fn bytes(&self, span: Span) -> std::ops::Range<usize> {
        let start = self.byte(span.start);
        start..self.byte(span.end).max(start)
    }

    /// The number of the first line of a span, and the bytes of all its lines.
    fn part(&self, span: Span) -> (usize, std::ops::Range<usize>) {
        let last = self.starts.len();
        let first = (span.start.line as usize).clamp(1, last);
        let end = self.starts.get((span.end.line as usize).max(first)).copied().unwrap_or(self.text.len());
        (first, self.starts[first - 1]..end)
    }

    fn byte(&self, place: Place) -> usize {
        let Some(&start) = self.starts.get(place.line.saturating_sub(1) as usize) else { return self.text.len() };
        let rest = &self.text[start..];
        let line = rest.split('\n').next().unwrap_or(rest);
        start + line.char_indices().nth(place.column as usize).map_or(line.len(), |(at, _)| at)
    }
}
