//! Findings to compiler errors at the author's tokens.

use proc_macro2::{Ident, Span, TokenStream, TokenTree};
use sparsym_ir::span::Place;
use sparsym_ir::{Finding, Findings};

/// One `compile_error!` for each finding.
pub(crate) fn compile_errors(findings: &Findings, tokens: &TokenStream) -> TokenStream {
    let places = Places::new(tokens);
    findings.iter().map(|finding| places.error(finding).into_compile_error()).collect()
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
        let mut message = finding.to_string();
        for (span, words) in &finding.labels {
            message.push_str(&format!("\nnote: line {}: {words}", span.start.line));
        }
        let Some(span) = finding.span else { return syn::Error::new(Span::call_site(), message) };
        let first = self.0.iter().find(|(start, ..)| *start == span.start).map(|(.., token)| *token);
        let last = self.0.iter().find(|(_, end, _)| *end == span.end).map(|(.., token)| *token);
        let first = first.unwrap_or_else(Span::call_site);
        let underlined = [first, last.unwrap_or(first)].map(|span| TokenTree::Ident(Ident::new("x", span)));
        syn::Error::new_spanned(TokenStream::from_iter(underlined), message)
    }
}

fn collect(tokens: TokenStream, spans: &mut Vec<Span>) {
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                spans.push(group.span_open());
                collect(group.stream(), spans);
                spans.push(group.span_close());
            }
            token => spans.push(token.span()),
        }
    }
}

fn place(at: proc_macro2::LineColumn) -> Place {
    Place { line: at.line as u32, column: at.column as u32 }
}
