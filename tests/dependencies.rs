//! `deny.toml`, held without the program that it is written for: licences, sources, versions and owners of what is built on
//! this machine. `cargo deny check` sees the other platforms too, and the advisories of rustsec.org.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use spdx::{Expression, ParseMode};

/// What cargo builds with all features, and the rules over it.
struct Graph {
    rules: toml::Table,
    packages: BTreeSet<Package>,
    /// Who uses whom, by name; not for tests.
    edges: BTreeSet<(String, String)>,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Package {
    name: String,
    version: String,
    licence: String,
    /// Empty for the registry; a path or an address for anything else.
    source: String,
}

#[test]
fn licences_are_among_those_allowed() {
    let graph = Graph::load();
    let allowed: BTreeSet<&str> = graph.list("licenses", "allow").iter().filter_map(toml::Value::as_str).collect();
    let mut wrong = Vec::new();
    for package in graph.foreign() {
        let fits = Expression::parse_mode(&package.licence, ParseMode::LAX)
            .is_ok_and(|expression| expression.evaluate(|need| allowed.contains(need.to_string().as_str())));
        if !fits {
            wrong.push(format!("{} {}: {:?}", package.name, package.version, package.licence));
        }
    }
    assert!(wrong.is_empty(), "licences that deny.toml does not allow:\n{}", wrong.join("\n"));
}

#[test]
fn sources_are_the_registry_and_this_repository() {
    let graph = Graph::load();
    let strange = graph.foreign().filter(|package| !package.source.is_empty());
    let wrong: Vec<String> = strange.map(|package| format!("{} from {}", package.name, package.source)).collect();
    assert!(wrong.is_empty(), "neither from the registry nor a member of the workspace:\n{}", wrong.join("\n"));
}

#[test]
fn a_second_version_of_a_crate_has_a_reason() {
    let graph = Graph::load();
    let skipped = |name: &str, version: &str| {
        let known = graph.list("bans", "skip").iter().filter_map(|entry| entry["crate"].as_str());
        known.filter_map(|entry| entry.split_once('@')).any(|(its, prefix)| {
            its == name && version.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'))
        })
    };
    let mut versions: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for package in graph.foreign() {
        if !skipped(&package.name, &package.version) {
            versions.entry(&package.name).or_default().push(&package.version);
        }
    }
    versions.retain(|_, versions| versions.len() > 1);
    assert!(versions.is_empty(), "versions beside each other, without a line in deny.toml: {versions:?}");
}

#[test]
fn what_belongs_to_one_crate_is_used_by_no_other() {
    let graph = Graph::load();
    let mut wrong = Vec::new();
    for rule in graph.list("bans", "deny") {
        let name = rule["crate"].as_str().unwrap();
        let wrappers: Vec<&str> = rule
            .get("wrappers")
            .and_then(toml::Value::as_array)
            .into_iter()
            .flatten()
            .filter_map(toml::Value::as_str)
            .collect();
        for (user, _) in graph.edges.iter().filter(|(_, used)| used == name) {
            if !wrappers.contains(&user.as_str()) {
                wrong.push(format!("{user} uses {name}: {}", rule["reason"]));
            }
        }
        for wrapper in wrappers {
            if !graph.edges.contains(&(wrapper.to_owned(), name.to_owned())) {
                wrong.push(format!("{wrapper} owns {name} in deny.toml and does not use it"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

impl Graph {
    fn load() -> Graph {
        let rules = std::fs::read_to_string(root().join("deny.toml")).unwrap().parse().unwrap();
        let (mut packages, mut edges) = (BTreeSet::new(), BTreeSet::new());
        // A line begins with its depth; whom a package uses follows it, one deeper.
        let mut above: Vec<String> = Vec::new();
        for line in tree().lines().filter(|line| !line.is_empty()) {
            let depth = line.chars().take_while(char::is_ascii_digit).count();
            above.truncate(line[..depth].parse().expect("a depth"));
            let package = Package::read(&line[depth..]);
            edges.extend(above.last().map(|user| (user.clone(), package.name.clone())));
            above.push(package.name.clone());
            packages.insert(package);
        }
        assert!(packages.len() > 100, "cargo shows {} packages", packages.len());
        Graph { rules, packages, edges }
    }

    /// A list of `deny.toml`.
    fn list(&self, section: &str, name: &str) -> &[toml::Value] {
        self.rules[section][name].as_array().expect("a list")
    }

    /// Packages of others.
    fn foreign(&self) -> impl Iterator<Item = &Package> {
        self.packages.iter().filter(|package| !Path::new(&package.source).starts_with(root()))
    }
}

impl Package {
    /// `syn v3.0.10|MIT OR Apache-2.0`, with a source in parentheses after the version if it is not the registry.
    fn read(line: &str) -> Package {
        let (package, licence) = line.split_once('|').expect("the format that was asked for");
        let mut words = package.splitn(3, ' ');
        let [name, version, rest] = std::array::from_fn(|_| words.next().unwrap_or_default());
        Package {
            name: name.to_owned(),
            version: version.trim_start_matches('v').to_owned(),
            licence: licence.trim_end_matches(" (*)").to_owned(),
            source: rest.replace("(proc-macro)", "").trim().trim_matches(['(', ')']).to_owned(),
        }
    }
}

fn tree() -> String {
    let all = ["--workspace", "--all-features", "--edges", "normal,build", "--prefix", "depth", "--format", "{p}|{l}"];
    let output = Command::new(env!("CARGO"))
        .args(["tree", "--offline"])
        .args(all)
        .current_dir(root())
        .output()
        .expect("cargo starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}
