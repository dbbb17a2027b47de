//! Rules of the repository that no compiler checks. Each test names what breaks the rule, and says what to do.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use sparsym::ir::Code;
use sparsym::kernel::{Launch, Schedule, Target};
use sparsym_tests::case;
use sparsym_tests::kernels::{self, Generated};
use sparsym_tests::modules;

/// Who may depend on whom. A new edge is a decision: it needs a line here and a sentence in docs/architecture.md.
const EDGES: &[(&str, &[&str])] = &[
    ("sparsym-ir", &[]),
    ("sparsym-dsl-core", &["ir"]),
    ("sparsym-dsl-macros", &["dsl-core", "ir"]),
    ("sparsym-dsl", &["dsl-macros", "ir"]),
    ("sparsym-zoo", &["dsl"]),
    ("sparsym-reference", &["ir"]),
    ("sparsym-cpu", &["ir"]),
    ("ptx-emulator", &[]),
    ("sparsym-codegen", &["ir"]),
    ("sparsym-runtime", &["codegen", "cpu", "ptx-emulator", "reference", "ir"]),
    ("sparsym", &["codegen", "dsl", "dsl-core", "ir", "runtime", "zoo"]),
    ("sparsym-cli", &[""]),
    ("sparsym-mm-dit", &[""]),
    ("sparsym-beside", &["", "cli", "mm-dit"]),
    ("sparsym-tests", &["", "mm-dit", "reference"]),
    ("xtask", &[]),
];

/// Crates that write to stdout or stderr.
const PRINTING: &[&str] =
    &["crates/cli", "crates/emulator/src/bin", "crates/mm-dit/src/main.rs", "crates/xtask", "tests"];

/// Lines of a Rust file: the limit, and the wish that is only reported.
const LINES: (usize, usize) = (700, 400);

/// An example of the façade is shorter.
const EXAMPLE_LINES: usize = 80;

/// Characters of a line of a template.
const TEMPLATE_WIDTH: usize = 100;

#[test]
fn crate_edges_are_those_of_the_table() {
    let metadata = metadata();
    let allowed: BTreeMap<String, BTreeSet<String>> = EDGES
        .iter()
        .map(|(name, to)| ((*name).to_owned(), to.iter().map(|short| full_name(short)).collect()))
        .collect();
    let packages = metadata["packages"].as_array().unwrap();
    let names: BTreeSet<&str> = packages.iter().map(|package| package["name"].as_str().unwrap()).collect();
    assert_eq!(names, allowed.keys().map(String::as_str).collect(), "EDGES does not list the crates of the workspace");
    let mut wrong = Vec::new();
    for package in packages {
        let name = package["name"].as_str().unwrap();
        let found: BTreeSet<String> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            // Tests and benches of a crate may use any other: such an edge is not part of what users build.
            .filter(|dependency| dependency["kind"] != "dev")
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|dependency| names.contains(dependency))
            .map(str::to_owned)
            .collect();
        if found != allowed[name] {
            wrong.push(format!("{name} depends on {found:?}, the table says {:?}", allowed[name]));
        }
    }
    report("crate edges", wrong);
}

/// What a manifest of the workspace leaves out is judged by nobody: the oldest toolchain, the lints.
#[test]
fn manifests_take_the_promises_of_the_workspace() {
    let mut wrong = Vec::new();
    for package in metadata()["packages"].as_array().unwrap() {
        let file = PathBuf::from(package["manifest_path"].as_str().unwrap());
        let manifest: toml::Table = read(&file).parse().unwrap();
        let inherits = |entry: Option<&toml::Value>| {
            entry.and_then(|entry| entry.get("workspace")).and_then(toml::Value::as_bool) == Some(true)
        };
        for field in ["edition", "license", "rust-version", "version"] {
            if !inherits(manifest["package"].get(field)) {
                wrong.push(format!("{}: write `{field}.workspace = true`", shown(&file)));
            }
        }
        if !inherits(manifest.get("lints")) {
            wrong.push(format!("{}: write `[lints] workspace = true`", shown(&file)));
        }
    }
    report("manifests", wrong);
}

/// Their words are compared with the language's where those are, in dsl-core.
#[test]
fn grammars_of_editors_are_short_and_know_the_delimiters() {
    let mut wrong = Vec::new();
    for name in ["strategy", "template"] {
        let file = root().join(format!("editors/{name}.tmLanguage.json"));
        let text = read(&file);
        if serde_json::from_str::<Value>(&text).is_err() || text.lines().count() > 30 {
            wrong.push(format!("{}: not JSON, or longer than 30 lines", shown(&file)));
        }
    }
    let grammar = read(&root().join("editors/template.tmLanguage.json")).replace('\\', "");
    let sources: String = files(&["rs"])
        .iter()
        .filter(|file| shown(file).starts_with("crates/codegen/src/"))
        .map(|file| read(file))
        .collect();
    for setting in ["variable_delimiters", "line_statement_prefix", "line_comment_prefix"] {
        let (_, rest) = sources.split_once(&format!(".{setting}(")).expect("codegen sets up the renderer");
        let arguments = rest.split(')').next().unwrap_or_default();
        for delimiter in arguments.split('"').skip(1).step_by(2).filter(|delimiter| !grammar.contains(delimiter)) {
            wrong.push(format!("editors/template.tmLanguage.json does not know {delimiter} ({setting})"));
        }
    }
    report("grammars", wrong);
}

/// Crates whose files can be read in order.
const WITHOUT_CIRCLES: &[&str] = &["crates/codegen/src", "crates/runtime/src"];

#[test]
fn no_file_needs_a_file_that_needs_it() {
    let mut wrong = Vec::new();
    for source in WITHOUT_CIRCLES {
        let folder = root().join(source);
        let below = |file: &PathBuf| file.strip_prefix(&folder).ok().map(|at| (at.display().to_string(), read(file)));
        let files: Vec<(String, String)> = files(&["rs"]).iter().filter_map(below).collect();
        assert!(!files.is_empty(), "nothing in {source}");
        for mut circle in modules::circles(&modules::edges(&files)) {
            circle.push(circle[0].clone());
            wrong.push(format!("{source}: {}; move what both need into a file of its own", circle.join(" → ")));
        }
    }
    report("circles of files", wrong);
}

#[test]
fn no_leftovers() {
    // Spelt in two halves so that this file passes.
    let words = [
        concat!("to", "do!"),
        concat!("TO", "DO"),
        concat!("FIX", "ME"),
        concat!("XX", "X:"),
        concat!("db", "g!("),
        concat!("unimplemented", "!"),
        concat!("/wo", "rk/"),
        concat!("/ro", "ot/"),
    ];
    let files = files(&["rs", "toml", "md", "cu", "cuh", "strategy"]);
    report("leftovers", lines_with(&files, |_, line| words.iter().any(|word| line.contains(word))));
}

#[test]
fn rust_files_are_short() {
    let (limit, wish) = LINES;
    let mut too_long = Vec::new();
    for file in files(&["rs"]) {
        let lines = read(&file).lines().count();
        if lines > limit {
            too_long.push(format!("{}: {lines} lines, at most {limit}; split it by question", shown(&file)));
        } else if lines > wish {
            println!("{}: {lines} lines, the wish is {wish}", shown(&file));
        }
    }
    report("long files", too_long);
}

#[test]
fn every_library_says_what_it_is_for() {
    let mut wrong = Vec::new();
    for (name, entry) in entry_files() {
        let text = read(&entry);
        let docs: String = text.lines().take_while(|line| line.starts_with("//!")).collect::<Vec<_>>().join("\n");
        if docs.is_empty() {
            wrong.push(format!("{}: open it with `//!` and a sentence", shown(&entry)));
        } else if entry.ends_with("lib.rs") && !(docs.contains("Non-goals") || docs.contains("# Should I use this?")) {
            wrong.push(format!("{}: the crate doc of {name} does not say what it is not for", shown(&entry)));
        } else if entry.ends_with("lib.rs") && !docs.contains("```") {
            wrong.push(format!("{}: the crate doc of {name} has no example", shown(&entry)));
        }
    }
    report("crate docs", wrong);
}

#[test]
fn only_programs_print() {
    let macros = ["print!(", "println!(", "eprint!(", "eprintln!("];
    let libraries: Vec<PathBuf> = files(&["rs"])
        .into_iter()
        .filter(|file| shown(file).contains("/src/") && !PRINTING.iter().any(|at| shown(file).starts_with(at)))
        .collect();
    let prints = |_: &Path, line: &str| {
        let code = line.trim_start();
        !code.starts_with("//") && macros.iter().any(|name| code.contains(name))
    };
    report("printing outside programs", lines_with(&libraries, prints));
}

#[test]
fn templates_decide_nothing() {
    let templates: Vec<PathBuf> = files(&["cu", "cuh"]);
    assert!(!templates.is_empty(), "no templates found");
    let forbidden = ["#if", "#include", "template<", "template <"];
    let mut wrong = lines_with(&templates, |_, line| forbidden.iter().any(|word| line.contains(word)));
    let macros = ["#define DEVICE ", "#define UNROLL ", "#define EIGHT(d, n) "];
    let defines_another = |line: &str| line.contains("#define") && !macros.iter().any(|known| line.starts_with(known));
    wrong.extend(lines_with(&templates, |_, line| defines_another(line)));
    wrong.extend(lines_with(&templates, |file, line| {
        words_of(line).any(|word| word == "asm") && !file.parent().is_some_and(|folder| folder.ends_with("ptx"))
    }));
    wrong.extend(lines_with(&templates, |_, line| width_without_holes(line) > TEMPLATE_WIDTH));
    // A comment that ends as a statement does is most likely code that somebody switched off.
    wrong.extend(lines_with(&templates, |_, line| {
        line.trim_start().strip_prefix("//").is_some_and(|rest| rest.starts_with(' ') && rest.trim_end().ends_with(';'))
    }));
    report("templates", wrong);
}

/// What a part may not ask: it has to say which fact it means, as `plan.cut == "columns"`, so that any room and any schedule
/// may have that fact.
const ROOMS_AND_SCHEDULES: &[&str] =
    &["plan.room", "plan.schedule", "tile_n > 0", "tile_n == 0", "is defined", "is undefined"];

#[test]
fn parts_know_neither_room_nor_schedule() {
    let parts: Vec<PathBuf> = files(&["cuh"]);
    assert!(parts.iter().any(|file| shown(file).starts_with("templates/parts/")), "no parts found");
    let asks = |_: &Path, line: &str| {
        let named = words_of(line).any(|word| Schedule::ALL.iter().any(|schedule| schedule.name() == word));
        named || ROOMS_AND_SCHEDULES.iter().any(|asked| line.contains(asked))
    };
    report("parts that ask for a room or a schedule", lines_with(&parts, asks));
}

#[test]
fn one_word_for_each_thing() {
    let rejected = ["BLKQ", "BLKK", "BM", "BN", "BK", "kBlockM", "kBlockN", "seqlen_q", "seqlen_k", "threadblock"];
    let here = Path::new(file!()).file_name().unwrap();
    let files: Vec<PathBuf> =
        files(&["rs", "cu", "cuh"]).into_iter().filter(|file| file.file_name().unwrap() != here).collect();
    let wrong = lines_with(&files, |_, line| words_of(line).any(|word| rejected.contains(&word)));
    report("synonyms; docs/glossary.md has the word to use", wrong);
}

#[test]
fn links_in_documents_resolve() {
    let mut wrong = Vec::new();
    for file in files(&["md"]) {
        for target in read(&file).split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap();
            let external = path.is_empty() || path.contains("://");
            if !external && !file.parent().unwrap().join(path).exists() {
                wrong.push(format!("{}: nothing at {target}", shown(&file)));
            }
        }
    }
    report("links", wrong);
}

#[test]
fn examples_are_short_listed_and_run() {
    let (readme, manifest) = (read(&root().join("README.md")), read(&root().join("crates/sparsym/Cargo.toml")));
    let manifest: toml::Table = manifest.parse().unwrap();
    let declared = manifest["example"].as_array().unwrap();
    let mut wrong = Vec::new();
    let examples = files(&["rs"]).into_iter().filter(|file| shown(file).starts_with("crates/sparsym/examples/"));
    for file in examples {
        let (name, text) = (file.file_stem().unwrap().to_str().unwrap(), read(&file));
        if text.lines().count() >= EXAMPLE_LINES {
            wrong.push(format!("{}: {EXAMPLE_LINES} lines or more", shown(&file)));
        }
        if !readme.contains(&format!("({})", shown(&file))) {
            wrong.push(format!("{}: README.md does not list it", shown(&file)));
        }
        let is_test =
            |entry: &&toml::Value| entry["name"].as_str() == Some(name) && entry.get("test") == Some(&true.into());
        if !declared.iter().any(|entry| is_test(&entry)) || !text.contains("main().unwrap()") {
            wrong.push(format!("{}: no test runs it; see the others, and `test = true` in Cargo.toml", shown(&file)));
        }
    }
    report("examples", wrong);
}

#[test]
fn kernels_declare_what_they_read() {
    let target = Target::parse("sm_80").unwrap();
    let mut wrong = Vec::new();
    for Generated { strategy, kernel, .. } in kernels::generated(target) {
        let (head, body) = kernel.source.split_once("struct Params {").expect("a kernel has Params");
        let (declarations, body) = body.split_once("};").unwrap();
        let declared: BTreeSet<&str> = declarations
            .lines()
            .filter_map(|line| line.split(';').next()?.split(['[', ' ', '*']).rfind(|word| is_name(word)))
            .collect();
        let read: BTreeSet<&str> = body.split("p.").skip(1).map(first_name).filter(|name| is_name(name)).collect();
        let place = format!("{strategy}/{}", kernel.name);
        wrong.extend(declared.difference(&read).map(|name| format!("{place} declares {name} and does not read it")));
        let fields: BTreeSet<&str> = kernel.params.fields.iter().map(|field| first_name(&field.name)).collect();
        if fields != declared {
            wrong.push(format!("{place}: the layout has {fields:?}, the text {declared:?}"));
        }
        let leftovers = ["${", "//%", "//#", "#include", "#if", "\n\n\n"];
        wrong.extend(
            leftovers.iter().filter(|word| kernel.source.contains(*word)).map(|word| format!("{place}: {word:?}")),
        );
        let is_there = |launch: &Launch| kernel.source.contains(&format!("\n{}(", launch.entry));
        if kernel.source.matches("__global__").count() != kernel.launches.len() || !kernel.launches.iter().all(is_there)
        {
            wrong.push(format!("{place}: not exactly the kernels that are launched"));
        }
        let lines = head.lines().take_while(|line| line.starts_with("//")).count();
        if lines == 0 || lines > 16 {
            wrong.push(format!("{place}: a header of {lines} lines"));
        }
    }
    report("kernels", wrong);
}

#[test]
fn a_kernel_text_is_snapshotted_once_under_its_own_name() {
    let mut known: BTreeMap<String, String> = BTreeMap::new();
    let mut wrong = Vec::new();
    for file in files(&["snap"]) {
        let text = read(&file);
        let text = text.splitn(3, "---\n").nth(2).unwrap_or_default();
        let Some(kernel) = text.split("__launch_bounds__").nth(1).and_then(|rest| rest.lines().nth(1)) else {
            continue;
        };
        let stem = file.file_stem().unwrap().to_string_lossy().into_owned();
        let name = stem.split("_of_").next().unwrap();
        if !kernel.starts_with(name) {
            wrong.push(format!("{}: its kernel is {}", shown(&file), first_name(kernel)));
        }
        if let Some(first) = known.insert(text.to_owned(), shown(&file)) {
            wrong.push(format!("{}: the same text as {first}", shown(&file)));
        }
    }
    assert!(!known.is_empty(), "no kernel is snapshotted");
    report("snapshots of kernels; one is enough, and others name it", wrong);
}

#[test]
fn every_strategy_has_a_case_a_snapshot_and_a_source() {
    let cases = case::all();
    let mut wrong = Vec::new();
    for entry in sparsym::zoo::all() {
        let name = entry.name.as_str();
        if !cases.iter().any(|case| case.strategy.as_deref() == Some(name)) && name != "dense" {
            wrong.push(format!("{name}: no case in tests/cases names it"));
        }
        if !root().join(format!("tests/snapshots/{name}.snap")).exists() {
            wrong.push(format!("{name}: no snapshot; `cargo xtask bless` writes it"));
        }
        let file = entry.setting_of.as_deref().unwrap_or(name);
        let docs = read(&root().join(format!("crates/zoo/src/{file}.rs")));
        if !docs.lines().take_while(|line| line.starts_with("//!")).any(|line| line.contains("arXiv ")) {
            wrong.push(format!("{name}: its module doc names no source (arXiv number)"));
        }
    }
    report("zoo", wrong);
}

#[test]
fn every_code_is_in_the_manual() {
    let manual = read(&root().join("docs/errors.md"));
    let missing = Code::ALL.iter().filter(|code| !manual.contains(code.id()));
    report("docs/errors.md", missing.map(|code| format!("{} is not in it; `cargo xtask bless`", code.id())).collect());
}

fn report(rule: &str, wrong: Vec<String>) {
    assert!(wrong.is_empty(), "{rule}:\n{}", wrong.join("\n"));
}

/// `dsl` is `sparsym-dsl`; the empty name is the façade; the emulator is nobody's part.
fn full_name(short: &str) -> String {
    match short {
        "" => "sparsym".to_owned(),
        "ptx-emulator" => short.to_owned(),
        part => format!("sparsym-{part}"),
    }
}

fn metadata() -> Value {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--format-version", "1"])
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).expect("cargo writes JSON")
}

/// `lib.rs` or `main.rs` of each crate.
fn entry_files() -> Vec<(String, PathBuf)> {
    let metadata = metadata();
    let mut out = Vec::new();
    for package in metadata["packages"].as_array().unwrap() {
        for target in package["targets"].as_array().unwrap() {
            let kinds = target["kind"].as_array().unwrap();
            if kinds.iter().any(|kind| ["lib", "bin", "proc-macro"].contains(&kind.as_str().unwrap())) {
                let name = package["name"].as_str().unwrap().to_owned();
                out.push((name, PathBuf::from(target["src_path"].as_str().unwrap())));
            }
        }
    }
    out
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// Files of the repository with one of these extensions, sorted.
fn files(extensions: &[&str]) -> Vec<PathBuf> {
    fn collect(folder: &Path, extensions: &[&str], out: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let (path, name) = (entry.path(), entry.file_name().to_string_lossy().into_owned());
            let hidden = name.starts_with('.') || name == "target";
            // Links are not followed: what they show is checked where it lies.
            let kind = entry.file_type().unwrap();
            if kind.is_dir() && !hidden {
                collect(&path, extensions, out);
            } else if kind.is_file() && path.extension().is_some_and(|e| extensions.iter().any(|&x| e == x)) {
                out.push(path);
            }
        }
    }
    let mut out = Vec::new();
    collect(&root(), extensions, &mut out);
    out.sort();
    out
}

fn read(file: &Path) -> String {
    fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

fn shown(file: &Path) -> String {
    file.strip_prefix(root()).unwrap_or(file).display().to_string()
}

/// `file:line: text` of the lines that a test picks.
fn lines_with(files: &[PathBuf], picks: impl Fn(&Path, &str) -> bool) -> Vec<String> {
    let mut out = Vec::new();
    for file in files {
        for (index, line) in read(file).lines().enumerate().filter(|(_, line)| picks(file, line)) {
            out.push(format!("{}:{}: {}", shown(file), index + 1, line.trim()));
        }
    }
    out
}

/// Characters of a template's line, leaving out `${ … }`, which the output does not have.
fn width_without_holes(line: &str) -> usize {
    let mut parts = line.split("${");
    let first = parts.next().unwrap_or_default().chars().count();
    first + parts.map(|part| part.split_once('}').map_or(part, |(_, after)| after).chars().count()).sum::<usize>()
}

/// The name that a text starts with.
fn first_name(text: &str) -> &str {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').next().unwrap_or_default()
}

fn is_name(word: &str) -> bool {
    word.starts_with(|c: char| c.is_alphabetic())
}

fn words_of(line: &str) -> impl Iterator<Item = &str> {
    line.split(|c: char| !c.is_alphanumeric() && c != '_')
}
