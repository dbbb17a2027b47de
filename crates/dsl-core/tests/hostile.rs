//! Texts that nobody would write: reading them takes time that grows with their length, ends in findings that somebody can
//! read, and never in a stack that overflows.

use std::fmt::Write;
use std::time::{Duration, Instant};

use sparsym_dsl_core::{compile_str, render};
use sparsym_ir::diagnostic::MOST_FINDINGS;
use sparsym_ir::{Code, Findings};

/// Where the square of the number of clauses costs minutes.
const MANY: usize = 20_000;
/// Far more than a busy machine needs for what grows with the length, far less than any square takes.
const LIMIT: Duration = Duration::from_secs(30);

fn clauses(count: usize, clause: impl Fn(usize) -> String) -> String {
    format!("pub X {{\n{}}}", (0..count).fold(String::new(), |text, at| text + &clause(at) + "\n"))
}

/// Compiles and renders; None if there is no finding.
fn read(name: &str, text: &str) -> Option<(Findings, String)> {
    let start = Instant::now();
    let found = compile_str(name, text).err().map(|findings| {
        let report = render(&findings, name, text);
        (findings, report)
    });
    let took = start.elapsed();
    println!("{name}: {took:?} for {} bytes", text.len());
    assert!(took < LIMIT, "{name}: {took:?} for {} bytes", text.len());
    if let Some((findings, report)) = &found {
        assert!(findings.iter().count() <= MOST_FINDINGS, "{name}");
        assert!(report.len() < 1 << 20, "{name}: a report of {} bytes", report.len());
    }
    found
}

#[test]
fn a_hundred_findings_are_shown_and_the_others_counted() {
    let (findings, report) = read("names", &clauses(8000, |at| format!("let b{at} = unknown{at};"))).unwrap();
    assert_eq!((findings.iter().count(), findings.more()), (MOST_FINDINGS, 8000 - MOST_FINDINGS));
    assert!(report.ends_with("\n\nand 7900 more\n"), "{}", &report[report.len() - 200..]);
    assert!(findings.to_string().ends_with("\nand 7900 more"));
    // The first ones in the text, with their lines.
    assert!(report.contains("unknown0") && report.contains("unknown99") && !report.contains("unknown100"));
    assert!(report.contains("names:101:11"), "{report}");
    // A hundred are no more than that.
    let (findings, report) = read("names", &clauses(100, |at| format!("let b{at} = unknown{at};"))).unwrap();
    assert_eq!((findings.iter().count(), findings.more()), (100, 0));
    assert!(!report.contains("more\n"));
}

#[test]
fn one_mistake_at_many_places_names_some_of_them() {
    let sum = (0..60).map(|_| "q.block > 0").collect::<Vec<_>>().join(" || ");
    let (findings, _) = read("places", &format!("pub X {{ mask q, kv => {sum}; }}")).unwrap();
    let finding = findings.iter().next().unwrap();
    assert_eq!(finding.labels.len(), 20);
    assert_eq!(finding.labels[19].1, "also here, and at 39 more");
}

#[test]
fn the_time_grows_with_the_text() {
    let unused = "mask q, kv => q.pos >= kv.pos;";
    let many = |clause: fn(usize) -> String| clauses(MANY, clause);
    for (name, text) in [
        ("undefined", many(|at| format!("let b{at} = unknown{at};"))),
        (
            "undefined beside params",
            many(|at| match at % 2 {
                0 => format!("param number_{at}: u32 = 1;"),
                _ => format!("let b{at} = numbre_{at};"),
            }),
        ),
        ("twice", many(|at| format!("param p{}: u32 = {at};", at / 2))),
        ("unread", many(|at| format!("param p{at}: u32 = {at};"))),
        ("rules that differ", many(|at| format!("skip q, kv where q.block == {at};"))),
        ("rules that do not", many(|_| "skip q, kv where q.block == 3;".to_owned())),
        ("rules of no effect", many(|at| format!("keep q, kv where q.block == {at};"))),
        (
            "otherwise",
            many(
                |at| if at % 2 == 0 { "otherwise skip;".into() } else { format!("keep q, kv where q.block == {at};") },
            ),
        ),
        ("words", many(|at| format!("sikp{at} q;"))),
        ("no semicolon", many(|at| format!("let b{at} = 1"))),
        ("characters", many(|_| "= = =".to_owned())),
        ("docs", many(|at| format!("/// about {at}\nmask q, kv => q.pos >= kv.pos;"))),
        ("duplicate masks", many(|_| "mask q, kv => q.pos >= kv.pos;".to_owned())),
        ("one line", many(|at| format!("let b{at} = unknown{at};")).replace('\n', " ")),
        ("coordinates", many(|at| format!("skip q, kv where q.pos > {at} && kv.t < {at} && q.len > r;"))),
        ("ranges", {
            let names: Vec<_> = (0..MANY / 4).map(|at| format!("r{at}")).collect();
            let rules = names.iter().fold(String::new(), |text, name| text + &format!("keep q in {name}, kv;\n"));
            format!("pub X {{ tokens {};\n{rules} otherwise skip; }}", names.join(", "))
        }),
        (
            "not ranges",
            many(|at| if at < 4000 { format!("let a{at} = {at};") } else { format!("skip q in a{}, kv;", at % 4000) }),
        ),
        ("entries", {
            let names: Vec<_> = (0..MANY).map(|at| format!("e{at}")).collect();
            format!(
                "pub X {{ table t: [layer] of {{ {} }};\n dense when t == e7; dense when t == f8; }}",
                names.join(", ")
            )
        }),
        ("large values", {
            let mut text = format!("pub X {{ let a = max({});\n", ["step"; 2].join(", "));
            let row = format!("min({}, 1)", "(a + a)");
            for level in 0..9 {
                let _ = writeln!(
                    text,
                    "let a{level} = {} + {row};",
                    if level == 0 { "a + a".to_owned() } else { format!("a{0} + a{0}", level - 1) }
                );
            }
            for at in 0..MANY {
                let _ = writeln!(text, "let b{at} = a8;");
            }
            text + "}"
        }),
        ("a long number", format!("pub X {{ let a = {}; }}", "7".repeat(1 << 20))),
        ("a long fraction", format!("pub X {{ let a = 0.{}; }}", "7".repeat(1 << 20))),
        ("a long name", format!("pub X {{ let {0} = 1; let b = {0}x; }}", "n".repeat(100_000))),
        ("a long comment", format!("pub X {{ /* {} */ {unused} }}", "* ".repeat(1 << 20))),
    ] {
        read(name, &text);
    }
}

#[test]
fn the_operands_of_a_strategy_are_bounded() {
    let mut text = "pub X { let a0 = step + step;\n".to_owned();
    for level in 1..10 {
        let _ = writeln!(text, "let a{level} = a{0} + a{0};", level - 1);
    }
    for at in 0..2000 {
        let _ = writeln!(text, "let b{at} = a9;");
    }
    let (findings, _) = read("operands", &(text + "}")).unwrap();
    let first = findings.iter().next().unwrap();
    assert_eq!(first.code, Code::TooLarge);
    assert!(first.message.contains("the expressions of the strategy"), "{first}");
}

#[test]
fn what_nests_too_deep_is_a_finding() {
    let deep = 200_000;
    for (open, close) in
        [("(", ")"), ("[", "]"), ("{", "}"), ("(", ""), ("-", ""), ("!", ""), ("f(", ")"), ("sum(kv: ", ")"), ("", ")")]
    {
        let text = format!("pub X {{ let a = {}1{}; }}", open.repeat(deep), close.repeat(deep));
        let (findings, _) = read("nested", &text).unwrap_or_else(|| panic!("{open}"));
        assert!(findings.iter().count() > 0);
    }
    for chain in
        [" + 1", " && true", " || q", ".pos", "[q]", " in q", " at least 1", " == 1", " - -1", " || !true && (1"]
    {
        let text = format!("pub X {{ mask q, kv => 1{}; }}", chain.repeat(deep));
        let _ = read("chained", &text).unwrap_or_else(|| panic!("{chain}"));
    }
    let _ = read("comments", &format!("pub X {{ {} }}", "/*".repeat(deep))).unwrap();
}
