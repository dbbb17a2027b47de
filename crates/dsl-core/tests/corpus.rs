//! Files of `tests/strategies`: those in `pass` compile in silence and survive printing, those in `warn` compile with a
//! word to their author, those in `fail` are explained.
//!
//! `BLESS=1 cargo test -p sparsym-dsl-core` rewrites the expected reports; read the difference before committing it.

use std::fs;
use std::path::{Path, PathBuf};

use sparsym_dsl_core::{compile_str, compile_str_warned, print, render};
use sparsym_ir::diagnostic::{Family, Severity};
use sparsym_ir::{Code, Findings};

fn files(verdict: &str) -> Vec<(String, String, PathBuf)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/strategies").join(verdict);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.retain(|path| path.extension().is_some_and(|extension| extension == "strategy"));
    paths.sort();
    assert!(paths.len() >= 3, "{} holds too few strategies", folder.display());
    let name = |path: &PathBuf| path.file_name().unwrap().to_str().unwrap().to_owned();
    paths.into_iter().map(|path| (name(&path), fs::read_to_string(&path).unwrap(), path)).collect()
}

#[test]
fn good_strategies_survive_printing() {
    for (name, text, _) in files("pass") {
        let compiled = compile_str_warned(&name, &text);
        let (strategy, warnings) = compiled.unwrap_or_else(|found| panic!("{}", render(&found, &name, &text)));
        assert!(warnings.is_empty(), "{}", render(&warnings, &name, &text));
        let printed = print(&strategy);
        let again = compile_str(&name, &printed).unwrap_or_else(|found| panic!("{}", render(&found, &name, &printed)));
        assert_eq!(strategy, again, "{name} printed as\n{printed}");
        assert_eq!(printed, print(&again), "{name}: printing is not stable");
    }
}

#[test]
fn bad_strategies_are_explained() {
    for (name, text, path) in files("fail") {
        explained(&compile_str(&name, &text).expect_err(&name), &name, &text, &path);
    }
}

#[test]
fn strategies_with_warnings_compile() {
    for (name, text, path) in files("warn") {
        let compiled = compile_str_warned(&name, &text);
        let (strategy, warnings) = compiled.unwrap_or_else(|found| panic!("{}", render(&found, &name, &text)));
        assert_eq!(compile_str(&name, &print(&strategy)).unwrap(), strategy, "{name}");
        explained(&warnings, &name, &text, &path);
    }
}

/// Compares a report with the file beside the strategy, and the code with the strategy's name.
fn explained(findings: &Findings, name: &str, text: &str, path: &Path) {
    let report = render(findings, name, text);
    let expected = path.with_extension("stderr");
    if std::env::var_os("BLESS").is_some() {
        fs::write(&expected, &report).unwrap();
    }
    let wanted = fs::read_to_string(&expected).unwrap_or_default();
    assert_eq!(report, wanted, "{name}: run with BLESS=1 if the new report is better");
    if let Some((code, _)) = name.split_once('_').filter(|(code, _)| code.starts_with('S')) {
        let codes: Vec<&str> = findings.iter().map(|finding| finding.code.id()).collect();
        assert_eq!(codes, [code], "{name}: one mistake is one finding");
    }
}

#[test]
fn ten_mistakes_are_ten_findings() {
    let (name, text, _) = files("fail").into_iter().find(|(name, ..)| name == "ten_mistakes.strategy").unwrap();
    let findings = compile_str(&name, &text).unwrap_err();
    assert!(findings.iter().count() >= 10, "{}", render(&findings, &name, &text));
    let lines: Vec<u32> = findings.iter().filter_map(|finding| finding.span).map(|span| span.start.line).collect();
    let mut once = lines.clone();
    once.dedup();
    assert_eq!(lines, once, "each of these mistakes has a line of its own");
}

#[test]
fn every_code_of_the_language_has_an_example_in_text_and_in_a_macro() {
    let of_language =
        |code: &&Code| matches!(code.family(), Family::Syntax | Family::Meaning | Family::Rules | Family::Schedule);
    let ui = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/ui");
    let (errors, warnings) = (files("fail"), files("warn"));
    for code in Code::ALL.iter().filter(of_language) {
        let prefix = format!("{}_", code.id());
        let texts = if code.severity() == Severity::Error { &errors } else { &warnings };
        assert!(texts.iter().any(|(name, ..)| name.starts_with(&prefix)), "no text example of {code:?}");
        // rustc itself refuses what is not made of tokens.
        if *code == Code::Unreadable {
            continue;
        }
        let folder = match code.family() {
            Family::Syntax => "syntax",
            Family::Meaning => "meaning",
            Family::Rules => "rules",
            _ => "schedule",
        };
        let mut entries = fs::read_dir(ui.join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
        let found = entries.any(|name| name.to_string_lossy().starts_with(&prefix));
        assert!(found, "no macro example of {code:?} in tests/ui/{folder}");
    }
}
