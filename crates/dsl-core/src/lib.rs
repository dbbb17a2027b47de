//! Strategy text to checked IR, and back to text.
//!
//! Use this crate to read strategies at run time, to print them, or to show their mistakes. Strategies that are part
//! of a program are written with `sparsym::strategy!`, which runs the same stages at build time.
//!
//! Non-goals: no files, no environment, no shapes, no devices, no Rust code.
//!
//! ```
//! let text = "pub Window {
//!     param reach: u32 = 1024;
//!     mask q, kv => abs(q.pos - kv.pos) <= rech;
//! }";
//! let findings = sparsym_dsl_core::compile_str("window.strategy", text).unwrap_err();
//! assert_eq!(findings.iter().next().unwrap().help, "did you mean `reach`?");
//! println!("{}", sparsym_dsl_core::render(&findings, "window.strategy", text));
//!
//! let strategy = sparsym_dsl_core::compile_str("window.strategy", &text.replace("rech;", "reach;")).unwrap();
//! assert_eq!(strategy.params[0].name, "reach");
//! ```
#![deny(missing_docs)]

mod check;
mod print;
mod render;
mod resolve;
mod syntax;

use proc_macro2::TokenStream;
use sparsym_ir::{Code, Finding, Findings, Strategy};

pub use check::check;
pub use print::{print, print_mask_part};
pub use render::render;

/// Compiles a strategy from text: `pub Name { … }`, or the whole `strategy! { … }`.
///
/// Text is read on a thread of its own, so this is not for procedural macros: there, [`compile_tokens`].
///
/// # Errors
/// The mistakes found, in source order. Warnings alone are no mistake; [`compile_str_warned`] gives them.
pub fn compile_str(name: &str, text: &str) -> Result<Strategy, Findings> {
    compile_str_warned(name, text).map(|(strategy, _)| strategy)
}

/// As [`compile_str`], with the warnings about a strategy that compiles: what it declares and never reads.
///
/// # Errors
/// The mistakes found, and the warnings among them, in source order.
pub fn compile_str_warned(name: &str, text: &str) -> Result<(Strategy, Findings), Findings> {
    // The lexer keeps every text that it reads in a table of the thread, as long as the thread lives: a service that
    // compiles all day would grow without end.
    let compile = || compile_text(name, text);
    std::thread::scope(|scope| {
        let reader = std::thread::Builder::new().name("strategy".to_owned()).stack_size(STACK_BYTES);
        match reader.spawn_scoped(scope, compile) {
            Ok(reader) => reader.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
            // No threads on this machine, or no more.
            Err(_) => compile(),
        }
    })
}

/// As a main thread has: expressions nest up to a limit, and are walked by recursion.
const STACK_BYTES: usize = 8 << 20;

fn compile_text(name: &str, text: &str) -> Result<(Strategy, Findings), Findings> {
    let tokens = syntax::lex(text)?;
    if tokens.is_empty() {
        let message = format!("{name} holds no strategy");
        return Err(Finding::new(Code::UnexpectedToken, message, "write `pub Name { … }`").into());
    }
    warned(tokens)
}

/// Compiles a strategy from the tokens of a macro call.
///
/// # Errors
/// The mistakes found, in source order.
pub fn compile_tokens(tokens: TokenStream) -> Result<Strategy, Findings> {
    warned(tokens).map(|(strategy, _)| strategy)
}

fn warned(tokens: TokenStream) -> Result<(Strategy, Findings), Findings> {
    let (strategy, findings) = analyze(tokens);
    match strategy {
        Some(strategy) => findings.into_warned(strategy),
        // There is a finding that says why.
        None => Err(findings),
    }
}

/// All stages, once each: tokens → syntax tree → typed IR → checks.
///
/// The strategy is what could be understood even if there are findings, so that the macro can emit an item that does
/// not cause errors of its own; warnings are among the findings. None if there is no `Name { … }` at all; then there is a finding.
pub fn analyze(tokens: TokenStream) -> (Option<Strategy>, Findings) {
    let mut findings = Findings::new();
    let Some(item) = syntax::parse(tokens, &mut findings) else { return (None, findings) };
    let strategy = resolve::resolve(&item, &mut findings);
    let complete = !findings.has_errors();
    check::present(&strategy, &mut findings);
    if complete {
        check::absent(&strategy, &mut findings);
    }
    (Some(strategy), findings)
}
