//! The manual is true: `docs/errors.md` is what the registry says, and every strategy in `docs/language.md` compiles.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use sparsym_dsl_core::{compile_str, compile_str_warned, print, render};
use sparsym_ir::Code;
use sparsym_ir::diagnostic::{Family, Severity};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

#[test]
fn errors_md_is_fresh() {
    let path = root().join("docs/errors.md");
    let wanted = errors_md();
    if std::env::var_os("BLESS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert_eq!(found, wanted, "docs/errors.md is stale: BLESS=1 cargo test -p sparsym-dsl-core --test docs");
}

#[test]
fn strategies_of_the_manual_compile() {
    let text = fs::read_to_string(root().join("docs/language.md")).unwrap();
    let mut blocks = Vec::new();
    for part in text.split("```strategy\n").skip(1) {
        blocks.push(part.split("\n```").next().unwrap());
    }
    assert!(blocks.len() >= 15, "one example for each form");
    for block in blocks {
        let strategy = compile_str("language.md", block)
            .unwrap_or_else(|findings| panic!("{}", render(&findings, "language.md", block)));
        assert_eq!(compile_str("printed", &print(&strategy)).unwrap(), strategy);
    }
}

fn errors_md() -> String {
    let mut out = String::from(
        "# Findings\n\n\
         What each code means and what to do about it. The macro reports it at the token, the command line with the\n\
         source line; the message says what was wrong in your case.\n\n\
         *This file is generated from the registry of codes and from the examples in tests/strategies:\n\
         `BLESS=1 cargo test -p sparsym-dsl-core --test docs`.*\n",
    );
    let mut family = None;
    for &code in Code::ALL {
        if family != Some(code.family()) {
            family = Some(code.family());
            let _ = write!(out, "\n## {}\n", heading(code.family()));
        }
        let _ = write!(out, "\n### {}: {}\n\n{}\n", code.id(), code.title(), code.explanation());
        if let Some((name, text)) = example(code) {
            let findings = compile_str_warned(&name, &text).map_or_else(|errors| errors, |(_, warnings)| warnings);
            let report = render(&findings, &name, &text);
            let _ = write!(out, "\n```text\n{}```\n", report.trim_end_matches('\n').to_owned() + "\n");
        }
    }
    out
}

fn heading(family: Family) -> &'static str {
    match family {
        Family::Syntax => "S1: syntax",
        Family::Meaning => "S2: names, types, granularity",
        Family::Rules => "S3: rules",
        Family::Schedule => "S4: schedule and reuse",
        Family::Shape => "S5: shapes and values of a call",
        Family::Target => "S6: GPU targets",
    }
}

/// The file of the corpus that is named after the code.
fn example(code: Code) -> Option<(String, String)> {
    let verdict = if code.severity() == Severity::Error { "fail" } else { "warn" };
    let folder = root().join("tests/strategies").join(verdict);
    let mut names: Vec<String> =
        fs::read_dir(&folder).ok()?.filter_map(|entry| entry.ok()?.file_name().into_string().ok()).collect();
    names.sort();
    let prefix = format!("{}_", code.id());
    let name = names.into_iter().find(|name| name.starts_with(&prefix) && name.ends_with(".strategy"))?;
    let text = fs::read_to_string(folder.join(&name)).ok()?;
    Some((name, text))
}
