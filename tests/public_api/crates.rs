//! The workspace's libraries as modules, and what their paths mean.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use sparsym::ir::Strategy;
use sparsym::language::compile_str;
use syn::{Attribute, Item, ItemMacro, ItemUse, UseTree, Visibility};

/// Libraries that the façade shows something of, by the names that sources give them.
const LIBRARIES: [(&str, &str); 9] = [
    ("sparsym", "crates/sparsym"),
    ("sparsym_codegen", "crates/codegen"),
    ("sparsym_dsl", "crates/dsl"),
    ("sparsym_dsl_core", "crates/dsl-core"),
    ("sparsym_dsl_macros", "crates/dsl-macros"),
    ("sparsym_ir", "crates/ir"),
    ("sparsym_reference", "crates/reference"),
    ("sparsym_runtime", "crates/runtime"),
    ("sparsym_zoo", "crates/zoo"),
];

/// The emulator is nobody's part, and the runtime shows its settings and reports.
const EMULATOR: (&str, &str) = ("ptx_emulator", "crates/emulator");

/// All modules of all libraries.
pub(crate) struct Crates {
    pub(crate) modules: Vec<Module>,
    roots: BTreeMap<String, usize>,
}

/// A module and what stands in it, in the order of the source.
pub(crate) struct Module {
    /// The module itself for paths that begin with `self`, its parent for `super`.
    parent: Option<usize>,
    /// The root of its crate, for `crate`.
    root: usize,
    pub(crate) entries: Vec<Entry>,
}

/// Something in a module that has a name, or brings names.
pub(crate) struct Entry {
    pub(crate) public: bool,
    /// Features that it needs.
    pub(crate) features: Vec<String>,
    pub(crate) what: What,
}

pub(crate) enum What {
    Module(String, usize),
    Use { name: String, path: Vec<String> },
    Glob(Vec<String>),
    Item(Box<Item>),
}

/// Something that a path leads to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Def {
    Module(usize),
    /// An entry of a module, an item.
    Item(usize, usize),
}

impl Crates {
    /// Reads the sources of the workspace.
    pub(crate) fn load(root: &Path) -> Crates {
        let mut crates = Crates { modules: Vec::new(), roots: BTreeMap::new() };
        for (name, folder) in LIBRARIES.into_iter().chain([EMULATOR]) {
            let source = root.join(folder).join("src");
            let read = |file: &str| std::fs::read_to_string(source.join(file)).ok();
            crates.add(name, &read);
        }
        crates
    }

    /// One library, of texts.
    pub(crate) fn of_texts(name: &str, files: &[(&str, &str)]) -> Crates {
        let mut crates = Crates { modules: Vec::new(), roots: BTreeMap::new() };
        crates.add(name, &|file| files.iter().find(|(name, _)| *name == file).map(|(_, text)| (*text).to_owned()));
        crates
    }

    /// The root module of a library.
    pub(crate) fn root(&self, name: &str) -> usize {
        self.roots[name]
    }

    fn add(&mut self, name: &str, read: &dyn Fn(&str) -> Option<String>) {
        let text = read("lib.rs").unwrap_or_else(|| panic!("{name} has no lib.rs"));
        let root = self.modules.len();
        self.roots.insert(name.to_owned(), root);
        self.module(None, root, parse(name, &text), "", read);
    }

    /// Adds a module and those below it. `folder` is where the files of its children lie: empty, or with a slash at its end.
    fn module(
        &mut self,
        parent: Option<usize>,
        root: usize,
        items: Vec<Item>,
        folder: &str,
        read: &dyn Fn(&str) -> Option<String>,
    ) -> usize {
        let own = self.modules.len();
        self.modules.push(Module { parent, root, entries: Vec::new() });
        for item in items {
            let Some(attributes) = attributes(&item).filter(|attributes| !left_out(attributes)) else { continue };
            let features = features(attributes);
            let public = is_public(&item);
            let whats = match item {
                Item::Mod(module) => {
                    let name = module.ident.to_string();
                    let inner = format!("{folder}{name}/");
                    let items = module.content.map(|(_, items)| items).unwrap_or_else(|| {
                        let file = [format!("{folder}{name}.rs"), format!("{inner}mod.rs")];
                        let text = file.iter().find_map(|file| read(file)).unwrap_or_else(|| panic!("no {file:?}"));
                        parse(&file[0], &text)
                    });
                    vec![What::Module(name, self.module(Some(own), root, items, &inner, read))]
                }
                Item::Use(item) => uses(&item),
                other => vec![What::Item(Box::new(other))],
            };
            let entry = |what| Entry { public, features: features.clone(), what };
            self.modules[own].entries.extend(whats.into_iter().map(entry));
        }
        own
    }

    /// What a path means that is written in a module: a module and a function may have one name. Empty if it leads outside.
    pub(crate) fn resolve(&self, module: usize, path: &[String]) -> Vec<Def> {
        self.walk(self.modules[module].root, module, path, &mut BTreeSet::new())
    }

    /// Follows a path that a crate has written, of which this is the root, from a module on.
    fn walk(&self, by: usize, module: usize, path: &[String], seen: &mut BTreeSet<(usize, usize)>) -> Vec<Def> {
        let Some((first, rest)) = path.split_first() else { return vec![Def::Module(module)] };
        let here = &self.modules[module];
        let step = match first.as_str() {
            "crate" => vec![Def::Module(here.root)],
            "self" => vec![Def::Module(module)],
            "super" => here.parent.map(Def::Module).into_iter().collect(),
            name => match self.named(by, module, name, seen) {
                found if found.is_empty() => self.roots.get(name).copied().map(Def::Module).into_iter().collect(),
                found => found,
            },
        };
        if rest.is_empty() {
            return step;
        }
        let inside = |def| match def {
            Def::Module(module) => self.walk(by, module, rest, seen),
            Def::Item(..) => Vec::new(),
        };
        step.into_iter().flat_map(inside).collect()
    }

    /// What a name in a module stands for, to its own crate or to another one.
    fn named(&self, by: usize, module: usize, name: &str, seen: &mut BTreeSet<(usize, usize)>) -> Vec<Def> {
        let mut out = Vec::new();
        let here = &self.modules[module];
        for (at, entry) in here.entries.iter().enumerate().filter(|(_, entry)| entry.public || here.root == by) {
            match &entry.what {
                What::Module(own, id) if own == name => out.push(Def::Module(*id)),
                // `pub use check::check` leads over its own name.
                What::Use { name: own, path } if own == name && seen.insert((module, at)) => {
                    out.extend(self.walk(here.root, module, path, seen));
                    seen.remove(&(module, at));
                }
                What::Item(item) if name_of(item).is_some_and(|own| own == name) => out.push(Def::Item(module, at)),
                What::Glob(path) if seen.insert((module, at)) => {
                    for def in self.walk(here.root, module, path, seen) {
                        if let Def::Module(from) = def {
                            out.extend(self.named(here.root, from, name, seen));
                        }
                    }
                    seen.remove(&(module, at));
                }
                _ => {}
            }
        }
        out.sort();
        out.dedup();
        out
    }
}

fn parse(name: &str, text: &str) -> Vec<Item> {
    syn::parse_file(text).unwrap_or_else(|error| panic!("{name}: {error}")).items
}

/// The names that a `use` brings, one by one.
fn uses(item: &ItemUse) -> Vec<What> {
    fn walk(tree: &UseTree, mut path: Vec<String>, out: &mut Vec<What>) {
        match tree {
            UseTree::Path(step) => {
                path.push(step.ident.to_string());
                walk(&step.tree, path, out);
            }
            UseTree::Name(name) if name.ident == "self" => {
                out.push(What::Use { name: path.last().cloned().unwrap_or_default(), path });
            }
            UseTree::Name(name) => {
                path.push(name.ident.to_string());
                out.push(What::Use { name: name.ident.to_string(), path });
            }
            UseTree::Rename(renamed) => {
                if renamed.ident != "self" {
                    path.push(renamed.ident.to_string());
                }
                out.push(What::Use { name: renamed.rename.to_string(), path });
            }
            UseTree::Glob(_) => out.push(What::Glob(path)),
            UseTree::Group(group) => group.items.iter().for_each(|tree| walk(tree, path.clone(), out)),
        }
    }
    let mut out = Vec::new();
    walk(&item.tree, Vec::new(), &mut out);
    out
}

/// The name of an item; None of an impl, and of a call of a macro.
pub(crate) fn name_of(item: &Item) -> Option<String> {
    let ident = match item {
        Item::Const(item) => &item.ident,
        Item::Enum(item) => &item.ident,
        Item::Fn(item) => &item.sig.ident,
        Item::Static(item) => &item.ident,
        Item::Struct(item) => &item.ident,
        Item::Trait(item) => &item.ident,
        Item::Type(item) => &item.ident,
        Item::Union(item) => &item.ident,
        Item::Macro(call) if call.mac.path.is_ident("strategy") => return strategy(call).map(|strategy| strategy.name),
        Item::Macro(item) => item.ident.as_ref()?,
        _ => return None,
    };
    Some(ident.to_string())
}

/// What a call of `strategy!` declares; its struct has the params as fields.
pub(crate) fn strategy(call: &ItemMacro) -> Option<Strategy> {
    compile_str("strategy!", &call.mac.tokens.to_string()).ok()
}

fn attributes(item: &Item) -> Option<&[Attribute]> {
    Some(match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Union(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => return None,
    })
}

fn is_public(item: &Item) -> bool {
    let visibility = match item {
        Item::Const(item) => &item.vis,
        Item::Enum(item) => &item.vis,
        Item::Fn(item) => &item.vis,
        Item::Mod(item) => &item.vis,
        Item::Static(item) => &item.vis,
        Item::Struct(item) => &item.vis,
        Item::Trait(item) => &item.vis,
        Item::Type(item) => &item.vis,
        Item::Union(item) => &item.vis,
        Item::Use(item) => &item.vis,
        Item::Macro(call) if call.mac.path.is_ident("strategy") => return true,
        Item::Macro(item) => return item.attrs.iter().any(|attribute| attribute.path().is_ident("macro_export")),
        _ => return false,
    };
    matches!(visibility, Visibility::Public(_))
}

/// Whether users do not see it: hidden from the docs, or there for tests and docs alone.
pub(crate) fn left_out(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        let list = attribute.meta.require_list().map(|list| list.tokens.to_string()).unwrap_or_default();
        match attribute.path().get_ident().map(ToString::to_string).as_deref() {
            Some("doc") => list == "hidden",
            Some("cfg") => {
                ["test", "doctest"].iter().any(|word| list.split(|c: char| !c.is_alphabetic()).any(|w| w == *word))
            }
            _ => false,
        }
    })
}

/// The features that a `cfg` names.
pub(crate) fn features(attributes: &[Attribute]) -> Vec<String> {
    let lists = attributes.iter().filter(|attribute| attribute.path().is_ident("cfg"));
    let texts = lists.filter_map(|attribute| Some(attribute.meta.require_list().ok()?.tokens.to_string()));
    texts.flat_map(|text| text.split('"').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()).collect()
}
