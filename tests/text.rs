//! Whatever a user can write reaches a kernel as valid text, or is refused at its token: docs, names, numbers. NVRTC
//! compiles a file of each kind.

use std::collections::BTreeSet;
use std::sync::LazyLock;

use sparsym::ir::{Code, DType, Strategy};
use sparsym::kernel::cache::Cache;
use sparsym::kernel::nvrtc::Search;
use sparsym::kernel::{Compiler, Request, Room, Target, generate};

static COMPILER: LazyLock<Compiler> = LazyLock::new(|| {
    let nvrtc = Search::run().into_result().unwrap_or_else(|why| panic!("{why}\nhelp: `cargo xtask test` installs it"));
    Compiler::with(nvrtc, Cache::at(concat!(env!("CARGO_TARGET_TMPDIR"), "/kernels")))
});

/// Docs as they stand behind `///`.
const DOCS: &[&str] = &[
    r"Tokens on each side, as in C:\",
    r"with spaces behind it \  ",
    "in older C++ a backslash: ??/",
    "a comment /* opens and */ closes, and // another",
    "templates: ${ plan.dtype } //% if plan.mask //# part mask /*% raw %*/ {{ x }}",
    "слева и справа, 左右, يمين, 🙂, \u{202e}right to left",
    "#define int float",
    "\" ' ` \\n \\u000a int x;",
];

/// Docs that only an attribute can hold: characters that end a line somewhere.
const ATTRIBUTES: &[&str] =
    &[r"one\rint two;", r"a\u{0}b", r"one\u{b}two\u{c}three", r"one\u{85}two\u{2028}three", r"one\ntwo \\", r"\\"];

/// Keywords of C++ and CUDA, their macros, words of generated text, and names in other scripts.
const NAMES: &[&str] = &[
    "int",
    "template",
    "signed",
    "asm",
    "NULL",
    "INT_MAX",
    "__global__",
    "threadIdx",
    "warpSize",
    "linux",
    "Params",
    "kBlockQ",
    "Span",
    "mask",
    "tile",
    "cell",
    "p",
    "b",
    "h",
    "i",
    "j",
    "s",
    "w",
    "w_entry",
    "w_last_head",
    "first",
    "similarity",
    "rules",
    "cut_0",
    "stage_0",
    "stage_1",
    "wrapping_add",
    "block_span",
    "sequence_n",
    "n",
    "größe",
    "gr_u0000f6",
    "窗口",
    "окно",
    "r#fn",
    "_",
    "__",
];

#[test]
fn docs() {
    let docs = DOCS.iter().enumerate().map(|(n, doc)| (n, format!("/// {doc}\n")));
    let attributes = ATTRIBUTES.iter().enumerate().map(|(n, doc)| (100 + n, format!("#[doc = \"{doc}\"]\n")));
    let long = (200, format!("/// {}\n", "long ".repeat(2000)));
    let (mut params, mut sum) = (String::new(), "q.pos".to_owned());
    for (n, doc) in docs.chain(attributes).chain([long]) {
        params.push_str(&format!("{doc}param p{n}: i32 = {n};\n"));
        sum.push_str(&format!(" - p{n}"));
    }
    compiles("docs", &format!("{params}mask q, kv => {sum} < kv.pos;"), &[Room::Attention, Room::Symbols]);
}

#[test]
fn names_of_params() {
    let names = || legal_names().into_iter();
    let params: String = names().map(|name| format!("param {name}: i32 = 1; ")).collect();
    let sum: String = names().map(|name| format!(" - {name}")).collect();
    compiles("params", &format!("{params} mask q, kv => q.pos{sum} < kv.pos;"), &[Room::Attention, Room::Symbols]);
}

#[test]
fn names_of_tables() {
    let names = || legal_names().into_iter();
    let tables: String = names().map(|name| format!("table {name}: [head] of i32; ")).collect();
    let sum: String = names().map(|name| format!(" - {name}")).collect();
    compiles("tables", &format!("{tables} mask q, kv => q.pos{sum} < kv.pos;"), &[Room::Attention, Room::Symbols]);
    let tables: String = names().map(|name| format!("table {name}: [step] of (u32, u32, u32); ")).collect();
    let any: Vec<String> = names().map(|name| format!("near(q.tile, kv.tile, {name})")).collect();
    let rule = format!("tokens grid(t, h, w) tiled (2, 8, 8); keep q, kv where {}; otherwise skip;", any.join(" || "));
    compiles("triples", &format!("{tables} {rule}"), &[Room::Symbols]);
}

#[test]
fn names_of_inputs() {
    // More than a few are more than the registers hold.
    let legal = legal_names();
    let each = legal.chunks(8).map(|names| (names, Room::Symbols));
    for (names, room) in each.chain([(&["int", "größe", "sequence_n"][..], Room::Attention)]) {
        let inputs: String = names.iter().map(|name| format!("input {name}: [token] of i32; ")).collect();
        let sum: String = names.iter().map(|name| format!(" - {name}[q] + {name}[kv]")).collect();
        compiles("inputs", &format!("{inputs} mask q, kv => q.pos{sum} < 0;"), &[room]);
    }
}

#[test]
fn names_of_ranges() {
    let names = || legal_names().into_iter();
    let tokens: Vec<String> = names().map(|name| name.to_owned()).collect();
    let any: Vec<String> = names().map(|name| format!("q in {name}")).collect();
    let rules = format!(
        "tokens {}; keep q, kv where {}; otherwise skip; mask q, kv => {};",
        tokens.join(", "),
        any[1..].join(" || "),
        any[1..].join(" || ")
    );
    compiles("ranges", &rules, &[Room::Attention, Room::Symbols]);
}

#[test]
fn names_of_maps() {
    let names = || legal_names().into_iter();
    let maps: String = names().map(|name| format!("let {name}[q, kv] = softmax(kv: pool(Q) . pool(K)); ")).collect();
    let sum: Vec<String> = names().map(|name| format!("{name}[q, kv]")).collect();
    let rule = format!("skip q, kv where ascending_mass({}) < 0.5;", sum.join(" + "));
    compiles("maps", &format!("{maps} {rule}"), &[Room::Symbols]);
}

#[test]
fn names_of_lets() {
    let names = legal_names();
    let over = |variables: &str, value: &str| -> String {
        names.iter().map(|name| format!("let {name}{variables} = {value}; ")).collect()
    };
    let sum = |variables: &str| names.iter().map(|name| format!("{name}{variables}")).collect::<Vec<_>>().join(" + ");
    let tokens = "tokens words, pixels(t, h, w); ";
    for (variables, value) in [("(q)", "q.pos / 3 + q.t"), ("(kv)", "kv.pos % 7"), ("(q, kv)", "q.pos * kv.h")] {
        let (lets, sum) = (over(variables, value), sum(variables));
        let rules = format!("{tokens} {lets} mask q, kv => {sum} < 9; score logit, q, kv => logit - float({sum});");
        compiles("lets", &rules, &[Room::Attention, Room::Symbols]);
        let rules = format!("{tokens} {lets} skip q, kv where cover(all: {sum} < 9);");
        compiles("lets in a cover", &rules, &[Room::Symbols]);
    }
    let rules = format!(
        "let dots = pool(Q) . pool(K); {} skip q, kv where ascending_mass(dots[q, kv] + {sum}) <= {sum};",
        over("", "head + 1"),
        sum = sum("")
    );
    compiles("lets of none", &rules, &[Room::Symbols]);
}

/// The words of a text, without its comments.
fn words(text: &str) -> impl Iterator<Item = &str> {
    let code = text.lines().map(|line| line.split("//").next().unwrap_or(""));
    code.flat_map(|line| line.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))).filter(|word| !word.is_empty())
}

/// `(a + b)`, as flat as it can be.
fn sum_of(parts: &[String]) -> String {
    match parts {
        [one] => one.clone(),
        _ => {
            let (left, right) = parts.split_at(parts.len() / 2);
            format!("({} + {})", sum_of(left), sum_of(right))
        }
    }
}

/// A value may have any name: its local is called otherwise where a kernel of the zoo has that word.
#[test]
fn a_value_with_a_name_of_a_kernel_is_called_otherwise() {
    let target = Target::parse("sm_80").expect("sm_80 is known");
    let generated = |strategy: &Strategy, room| {
        generate(&Request::new(strategy, room, target)).map(|kernel| kernel.source).unwrap_or_default()
    };
    let zoo: Vec<Strategy> = sparsym::zoo::all().iter().map(|entry| entry.strategy.clone()).collect();
    let texts: Vec<String> =
        zoo.iter().flat_map(|of| [Room::Attention, Room::Symbols].map(|room| generated(of, room))).collect();
    let authors: BTreeSet<&str> = zoo.iter().flat_map(|of| &of.lets).map(|of| of.name.as_str()).collect();
    let taken: BTreeSet<&str> =
        texts.iter().flat_map(|text| words(text)).filter(|word| !authors.contains(word)).collect();
    let read = |text: &str| sparsym::language::compile_str("text", text);
    let is_legal = |word: &&&str| {
        read(&format!("pub Text {{ let {word}(q) = q.pos; mask q, kv => {word}(q) < kv.pos; }}")).is_ok()
    };
    let legal: Vec<&str> = taken.iter().filter(is_legal).copied().collect();
    assert!(legal.len() > 400, "{}", legal.len());
    for some in legal.chunks(500) {
        let lets: String = some.iter().map(|word| format!("let {word}(q) = q.pos; ")).collect();
        let read_all: Vec<String> = some.iter().map(|word| format!("{word}(q)")).collect();
        let text = format!("pub Text {{ {lets} mask q, kv => {} < kv.pos; }}", sum_of(&read_all));
        let source = generated(&read(&text).unwrap_or_else(|findings| panic!("{findings}")), Room::Attention);
        let row = source.split("struct MaskRow {\n").nth(1).and_then(|rest| rest.split('}').next()).unwrap_or_default();
        let locals: Vec<&str> =
            row.lines().filter_map(|line| line.trim().strip_prefix("int ")?.strip_suffix(';')).collect();
        assert_eq!(locals.len(), some.len());
        let met: Vec<&&str> = locals.iter().filter(|local| taken.contains(**local)).collect();
        assert!(met.is_empty(), "{met:?}");
    }
}

#[test]
fn long_names() {
    let name = "very_long_name_".repeat(200);
    let rules = format!(
        "param {name}: i32 = 1; tokens t{name}, u{name}; input i{name}: [token] of i32;
        let m{name}[q, kv] = softmax(kv in t{name}: pool(Q) . pool(K));
        skip q, kv where ascending_mass(m{name}[q, kv]) < 0.5 && q in u{name};
        let l{name}(q) = q.pos / 2; let p{name}(q, kv) = abs(l{name}(q) - kv.pos);
        mask q, kv => q.pos - {name} < kv.pos || i{name}[q] == 2 || p{name}(q, kv) == l{name}(q);"
    );
    compiles("long", &rules, &[Room::Attention, Room::Symbols]);
}

#[test]
fn numbers() {
    let floats = [
        "1e38",
        "3.4028235e38",
        "1e-45",
        "1.1754944e-38",
        "1e-400",
        "0.1",
        "1e0",
        "16777217.0",
        "0.0",
        "1_000.5",
        "5e-324",
        "123456789.123456789",
        "-0.0",
        "-1e38",
    ];
    let ints = ["0", "2147483647", "-2147483648", "-2147483647 - 1", "- -2147483648", "1_000", "0x10", "0b11", "0o17"];
    let any: Vec<String> = floats.iter().map(|number| format!("float(q.pos) - {number} < -{number}")).collect();
    let some: Vec<String> = ints.iter().map(|number| format!("kv.pos - {number} < -{number}")).collect();
    let sum: String = floats.iter().map(|number| format!(" + {number} * (s - {number}) / {number}")).collect();
    let rules = format!(
        "param least: i32 in -2147483648.. = -2147483648;
        mask q, kv => q.pos == least || {} || {}; score s, q, kv => s{sum};",
        any.join(" || "),
        some.join(" || ")
    );
    compiles("numbers", &rules, &[Room::Attention, Room::Symbols]);
}

#[test]
fn what_is_no_text_is_refused_at_its_token() {
    for (rules, token, code) in [
        ("mask q, kv => q.pos < 2147483648;", "2147483648", Code::BadLiteral),
        ("mask q, kv => q.pos < -2147483649;", "2147483649", Code::BadLiteral),
        ("param n: i32 = -2147483649;", "2147483649", Code::BadLiteral),
        ("param n: u32 = 2147483648;", "2147483648", Code::BadLiteral),
        ("mask q, kv => float(q.pos) < 1e39;", "1e39", Code::BadLiteral),
        ("mask q, kv => float(q.pos) < 1e38f32;", "1e38f32", Code::BadLiteral),
        ("mask q, kv => q.pos < 1\u{0};", "\u{0}", Code::Unreadable),
        ("mask q, kv => q.pos < \u{1b}1;", "\u{1b}", Code::Unreadable),
        ("param 1st: i32 = 1;", "1st", Code::UnexpectedToken),
        ("param 🙂: i32 = 1;", "🙂", Code::Unreadable),
        ("param struct: i32 = 1;", "struct", Code::ReservedName),
    ] {
        let text = format!("pub Text {{ {rules} }}");
        let findings = sparsym::language::compile_str("text", &text).expect_err(rules);
        let first = findings.iter().next().expect("there is a finding");
        let column = text.split(token).next().expect("a part").chars().count() as u32;
        let place = (first.code, first.span.map(|span| span.start.column));
        assert!(
            place.0 == code && place.1.is_some_and(|at| at == column || text.chars().nth(at as usize) == Some('-')),
            "{rules:?}: {findings}"
        );
    }
}

/// Those of [`NAMES`] that the language does not refuse.
fn legal_names() -> Vec<&'static str> {
    let legal = |name: &&&str| {
        let text = format!("pub Text {{ param {name}: i32 = 1; mask q, kv => q.pos < {name}; }}");
        sparsym::language::compile_str("text", &text).is_ok()
    };
    let legal: Vec<&str> = NAMES.iter().filter(legal).copied().collect();
    assert!(legal.len() + 8 > NAMES.len(), "most of them are names: {legal:?}");
    legal
}

fn compiles(name: &str, rules: &str, rooms: &[Room]) {
    let text = format!("pub Text {{ {rules} }}");
    let strategy: Strategy =
        sparsym::language::compile_str("text", &text).unwrap_or_else(|findings| panic!("{name}: {findings}"));
    let target = Target::parse("sm_80").expect("sm_80 is known");
    for &room in rooms {
        let request = Request { dtype: DType::F16, head_dim: 64, ..Request::new(&strategy, room, target) };
        let kernel = generate(&request).unwrap_or_else(|findings| panic!("{name}: {findings}"));
        let joined = kernel.source.lines().find(|line| line.trim_end().ends_with('\\'));
        assert_eq!(joined, None, "{name}: a line that takes the next one with it");
        let compiled = COMPILER.compile(&kernel, name);
        assert!(
            compiled.is_ok(),
            "{name}, {}: {}",
            room.name(),
            compiled.err().map_or(String::new(), |why| why.to_string())
        );
    }
}
