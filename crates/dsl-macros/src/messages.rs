//! Findings to messages of the compiler at the author's tokens.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use quote::quote;
use sparsym_ir::diagnostic::{MOST_FINDINGS, Severity};
use sparsym_ir::span::Place;
use sparsym_ir::{Finding, Findings};

/// One message of the compiler for each finding: a `compile_error!`, or a warning. At most a hundred, and one that counts the
/// others.
pub(crate) fn of(findings: &Findings, tokens: &TokenStream) -> TokenStream {
    let places = Places::new(tokens);
    let message = |finding: &Finding| match finding.code.severity() {
        Severity::Error => places.error(finding).into_compile_error(),
        Severity::Warning => places.warning(finding),
    };
    let mut shown: Vec<&Finding> = findings.iter().collect();
    let more = shown.len().saturating_sub(MOST_FINDINGS);
    if more > 0 {
        // No warning takes the place of an error.
        shown.sort_by_key(|finding| finding.code.severity() == Severity::Warning);
        shown.truncate(MOST_FINDINGS);
    }
    let more = (more > 0 && findings.has_errors())
        .then(|| syn::Error::new(Span::call_site(), format!("and {more} more")).into_compile_error());
    shown.into_iter().map(message).chain(more).collect()
}

/// The compiler's spans of all tokens. Findings carry places as plain numbers; this leads back.
struct Places(Vec<(Place, Place, Span)>);

impl Places {
    fn new(tokens: &TokenStream) -> Places {
        let mut spans = Vec::new();
        collect(tokens.clone(), &mut spans);
        Places(spans.into_iter().map(|span| (place(span.start()), place(span.end()), span)).collect())
    }

    /// An error that underlines from the finding's first token to its last. Other places follow as line numbers, which
    /// is all that stable Rust can show.
    fn error(&self, finding: &Finding) -> syn::Error {
        let underlined = self.ends(finding).map(|span| TokenTree::Ident(Ident::new("x", span)));
        syn::Error::new_spanned(TokenStream::from_iter(underlined), message(finding))
    }

    /// A warning that underlines the finding's first token. Stable Rust lets a macro warn in one way only: it uses something
    /// deprecated there, and the deprecation says what there is to say.
    fn warning(&self, finding: &Finding) -> TokenStream {
        let message = message(finding);
        let used = Ident::new("warning", self.ends(finding)[0]);
        quote! {
            const _: () = {
                #[deprecated(note = #message)]
                fn warning() {}
                let _ = #used;
            };
        }
    }

    /// The first and the last token of a finding.
    fn ends(&self, finding: &Finding) -> [Span; 2] {
        let Some(span) = finding.span else { return [Span::call_site(); 2] };
        let first = self.0.iter().find(|(start, ..)| *start == span.start).map(|(.., token)| *token);
        let last = self.0.iter().find(|(_, end, _)| *end == span.end).map(|(.., token)| *token);
        let first = first.unwrap_or_else(Span::call_site);
        [first, last.unwrap_or(first)]
    }
}

fn message(finding: &Finding) -> String {
    let mut message = finding.to_string();
    for (span, words) in &finding.labels {
        message.push_str(&format!("\nnote: line {}: {words}", span.start.line));
    }
    message
}

/// Without recursion: brackets may nest so deep that there is a finding about it.
fn collect(tokens: TokenStream, spans: &mut Vec<Span>) {
    let mut open = vec![(tokens.into_iter(), None)];
    while let Some((level, close)) = open.last_mut() {
        match level.next() {
            Some(TokenTree::Group(group)) => {
                spans.push(group.span_open());
                open.push((group.stream().into_iter(), Some(group.span_close())));
            }
            Some(token) => spans.push(token.span()),
            None => {
                spans.extend(*close);
                open.pop();
            }
        }
    }
}

fn place(at: proc_macro2::LineColumn) -> Place {
    Place { line: at.line as u32, column: at.column as u32 }
}
