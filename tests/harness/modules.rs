//! Which file of a crate names which other one, read from its paths: `use crate::a::B`, `super::b::C`, `child::D`.
//!
//! A path is a dependency on the file of the deepest module that it goes through. A `pub use` needs nothing itself: who
//! names what it hands on needs the file where that is. Unit tests at the end of a file do not count.

use std::collections::{BTreeMap, BTreeSet};

/// A path from the root of a crate; empty: the root.
type Path = Vec<String>;

/// What a file names, and what it hands on: names and the paths that they stand for, `*` for all of a module.
#[derive(Default)]
struct Names {
    needs: Vec<Path>,
    hands_on: Vec<(String, Path)>,
}

/// For each file the files that it needs. `files` are paths below `src/` and their texts.
pub fn edges(files: &[(String, String)]) -> BTreeMap<String, BTreeSet<String>> {
    let read = files.iter().map(|(file, text)| {
        let module = module_of(file);
        let names = Names::of(&module, text);
        (module, (file.as_str(), names))
    });
    let modules: BTreeMap<Path, (&str, Names)> = read.collect();
    let needed = |(file, names): &(&str, Names)| {
        let mut to = BTreeSet::new();
        names.needs.iter().for_each(|path| find(path, &modules, 0, &mut to));
        to.remove(*file);
        ((*file).to_owned(), to)
    };
    modules.values().map(needed).collect()
}

/// The files that a path leads to, through what modules on its way hand on.
fn find(path: &[String], modules: &BTreeMap<Path, (&str, Names)>, hops: usize, found: &mut BTreeSet<String>) {
    let known = |end: &usize| modules.contains_key(&path[..*end]);
    let Some(end) = (0..=path.len()).rev().find(known).filter(|_| hops < 8) else { return };
    let (file, names) = &modules[&path[..end]];
    let Some(first) = path.get(end) else {
        found.insert((*file).to_owned());
        return;
    };
    let rest = &path[end + 1..];
    if let Some((_, stands_for)) = names.hands_on.iter().find(|(name, _)| name == first) {
        return find(&[stands_for, rest].concat(), modules, hops + 1, found);
    }
    found.insert((*file).to_owned());
    for (_, module) in names.hands_on.iter().filter(|(name, _)| name == "*") {
        find(module, modules, hops + 1, found);
    }
}

/// Circles among files, each as the files of a shortest one; none: they can be read in order.
pub fn circles(edges: &BTreeMap<String, BTreeSet<String>>) -> Vec<Vec<String>> {
    let mut found: Vec<Vec<String>> = Vec::new();
    for start in edges.keys().filter(|start| !found.concat().contains(start)).cloned().collect::<Vec<_>>() {
        if found.concat().contains(&start) {
            continue;
        }
        // Breadth first, so the way back is a shortest one.
        let mut ways: BTreeMap<&str, Vec<String>> = BTreeMap::from([(start.as_str(), vec![start.clone()])]);
        let mut front = vec![start.as_str()];
        'search: while !front.is_empty() {
            let mut next = Vec::new();
            for from in front {
                for to in &edges[from] {
                    let way = ways[from].clone();
                    if *to == start {
                        found.push(way);
                        break 'search;
                    }
                    if !ways.contains_key(to.as_str()) {
                        ways.insert(to, [way, vec![to.clone()]].concat());
                        next.push(to.as_str());
                    }
                }
            }
            front = next;
        }
    }
    found
}

/// `lower/cells.rs` is `lower::cells`, `lower/mod.rs` is `lower`, `lib.rs` is the root.
fn module_of(file: &str) -> Path {
    let path = file.trim_end_matches(".rs").trim_end_matches("mod").trim_end_matches('/');
    if matches!(path, "lib" | "main") { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

/// Reads one file.
struct Reader<'a> {
    tokens: Vec<&'a str>,
    at: usize,
    /// Paths of the tree that was read last, with the names that a `use` gives them.
    found: Vec<(String, Path)>,
}

impl Names {
    fn of(module: &Path, text: &str) -> Names {
        let text = without_comments(text.split("#[cfg(test)]\nmod ").next().unwrap_or_default());
        let mut reader = Reader { tokens: tokens(&text), at: 0, found: Vec::new() };
        let declared = reader.tokens.windows(3).filter(|three| three[0] == "mod" && three[2] == ";");
        let children: BTreeSet<&str> = declared.map(|three| three[1]).collect();
        // Modules inside the file: how many braces are open where they begin.
        let (mut inner, mut braces): (Vec<usize>, usize) = (Vec::new(), 0);
        let mut names = Names::default();
        while reader.at < reader.tokens.len() {
            let (before, token) = (reader.before(1), reader.tokens[reader.at]);
            let starts_path = before != "::" && before != "." && reader.next(1) == "::";
            let hands_on = before == "use" && matches!(reader.before(2), "pub" | ")");
            match token {
                "{" => {
                    if reader.before(2) == "mod" {
                        inner.push(braces);
                    }
                    braces += 1;
                }
                "}" => {
                    braces = braces.saturating_sub(1);
                    inner.pop_if(|open| *open == braces);
                }
                "crate" if starts_path => reader.tree(Vec::new()),
                "self" if starts_path => reader.tree(module.clone()),
                "super" if starts_path => {
                    let mut up = 1usize;
                    while reader.next(1) == "::" && reader.next(2) == "super" {
                        reader.at += 2;
                        up += 1;
                    }
                    let up = up.saturating_sub(inner.len());
                    reader.tree(module[..module.len().saturating_sub(up)].to_vec());
                }
                name if starts_path && children.contains(name) => {
                    reader.tree([module.clone(), vec![name.to_owned()]].concat());
                }
                _ => {}
            }
            match hands_on {
                true => names.hands_on.append(&mut reader.found),
                false => names.needs.extend(reader.found.drain(..).map(|(_, path)| path)),
            }
            reader.at += 1;
        }
        names
    }
}

impl<'a> Reader<'a> {
    fn before(&self, n: usize) -> &'a str {
        self.at.checked_sub(n).map_or("", |at| self.tokens[at])
    }

    fn next(&self, n: usize) -> &'a str {
        self.tokens.get(self.at + n).copied().unwrap_or_default()
    }

    /// What follows a path that stands at its last segment: more segments, or braces with a tree each.
    fn tree(&mut self, mut path: Path) {
        while self.next(1) == "::" {
            if self.next(2) == "{" {
                self.at += 2;
                while !matches!(self.next(1), "}" | "") {
                    self.at += 1;
                    match self.next(0) {
                        "," => {}
                        "self" => self.named(path.clone()),
                        name => self.tree([path.clone(), vec![name.to_owned()]].concat()),
                    }
                }
                self.at += 1;
                return;
            }
            path.push(self.next(2).to_owned());
            self.at += 2;
        }
        self.named(path);
    }

    fn named(&mut self, mut path: Path) {
        let mut name = path.last().cloned().unwrap_or_default();
        if self.next(1) == "as" {
            name = self.next(2).to_owned();
            self.at += 2;
        }
        path.pop_if(|last| last == "*");
        self.found.push((name, path));
    }
}

/// Identifiers, `::`, and single other characters.
fn tokens(text: &str) -> Vec<&str> {
    let in_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = text.trim_start();
    let mut tokens = Vec::new();
    while let Some(first) = rest.chars().next() {
        let end = match first {
            c if in_word(c) => rest.find(|c| !in_word(c)).unwrap_or(rest.len()),
            ':' if rest.starts_with("::") => 2,
            c => c.len_utf8(),
        };
        tokens.push(&rest[..end]);
        rest = rest[end..].trim_start();
    }
    tokens
}

/// Without comments, docs and string literals, which may name anything.
fn without_comments(text: &str) -> String {
    let mut out = String::new();
    for line in text.lines() {
        let (mut code, mut in_string, mut escaped) = (String::new(), false, false);
        let mut chars = line.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                _ if escaped => escaped = false,
                '\\' if in_string => escaped = true,
                '"' => in_string = !in_string,
                '/' if !in_string && chars.peek() == Some(&'/') => break,
                _ if !in_string => code.push(c),
                _ => {}
            }
        }
        out.push_str(&code);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::{circles, edges};

    fn files(texts: &[(&str, &str)]) -> Vec<(String, String)> {
        texts.iter().map(|(file, text)| ((*file).to_owned(), (*text).to_owned())).collect()
    }

    #[test]
    fn every_way_to_name_a_module_is_an_edge() {
        let files = files(&[
            ("lib.rs", "mod a; mod b; use a::X; fn f() { b::c::g() }"),
            ("a.rs", "use crate::{b::{self, c::{G as H, I}}, k}; // use crate::lib::no\nconst S: &str = \"crate::e\";"),
            ("b/mod.rs", "pub(super) mod c; mod d;"),
            ("b/c.rs", "use super::d::D; fn f() -> super::super::k::K { todo() }"),
            ("b/d.rs", "mod inner { use super::super::c::C; }\n#[cfg(test)]\nmod tests { use crate::a; }"),
            ("k.rs", "fn f(k: &self::Own) { crate::b::Thing.c::<u8>() }"),
            ("e.rs", ""),
        ]);
        let edges = edges(&files);
        let of = |file: &str| edges[file].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("lib.rs"), ["a.rs", "b/c.rs"]);
        assert_eq!(of("a.rs"), ["b/c.rs", "b/mod.rs", "k.rs"]);
        assert_eq!(of("b/mod.rs"), [""; 0]);
        assert_eq!(of("b/c.rs"), ["b/d.rs", "k.rs"]);
        assert_eq!(of("b/d.rs"), ["b/c.rs"]);
        assert_eq!(of("k.rs"), ["b/mod.rs"]);
        assert_eq!(circles(&edges), [["b/c.rs", "b/d.rs"]]);
    }

    #[test]
    fn what_is_handed_on_is_looked_for_where_it_is() {
        let files = files(&[
            ("lib.rs", "mod a; pub use a::{One as Uno, b::*}; pub struct Own;"),
            ("a/mod.rs", "mod b; mod c; pub(crate) use b::Two; pub use c::One; pub struct Three;"),
            ("a/b.rs", "use super::One; struct Two;"),
            ("a/c.rs", "use super::{Three, Two}; use crate::Uno;"),
            ("d.rs", "use crate::Own; use crate::a::Two;"),
        ]);
        let edges = edges(&files);
        let of = |file: &str| edges[file].iter().map(String::as_str).collect::<Vec<_>>();
        assert_eq!(of("lib.rs"), [""; 0]);
        assert_eq!(of("a/mod.rs"), [""; 0]);
        assert_eq!(of("a/b.rs"), ["a/c.rs"]);
        assert_eq!(of("a/c.rs"), ["a/b.rs", "a/mod.rs"]);
        assert_eq!(of("d.rs"), ["a/b.rs", "lib.rs"], "a glob may hand anything on");
        assert_eq!(circles(&edges), [["a/b.rs", "a/c.rs"]]);
    }
}
