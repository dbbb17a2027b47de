//! What can be reached from the façade, printed.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use proc_macro2::Span;
use syn::spanned::Spanned;
use syn::{
    Attribute, Fields, GenericArgument, GenericParam, Generics, ImplItem, Item, ItemImpl, PathArguments, TraitItem,
    Type, Visibility,
};

use crate::crates::{Crates, Def, Entry, What, features, left_out, name_of, strategy};

/// What users see.
pub(crate) struct Face {
    /// Module after module, an item is printed where it is reached first.
    pub(crate) text: String,
    /// Types of signatures that users cannot name, with the lines that speak of them.
    pub(crate) nameless: BTreeSet<String>,
}

/// The face of `sparsym`.
pub(crate) fn print(crates: &Crates) -> Face {
    let mut printer = Printer {
        crates,
        impls: impls(crates),
        printed: BTreeMap::new(),
        modules: VecDeque::new(),
        speaking: None,
        said: Vec::new(),
        out: String::new(),
    };
    printer.meet(crates.root("sparsym"), "sparsym", &[]);
    while let Some((module, path, features)) = printer.modules.pop_front() {
        if !printer.out.is_empty() {
            printer.out.push('\n');
        }
        printer.out.push_str(&format!("{path}{}\n", brackets(&features)));
        printer.module(module, &path);
    }
    Face { nameless: printer.nameless(), text: printer.out }
}

/// Impls of each type, each with the module that it stands in.
type Impls<'a> = BTreeMap<Def, Vec<(usize, &'a Entry, &'a ItemImpl)>>;

struct Printer<'a> {
    crates: &'a Crates,
    impls: Impls<'a>,
    /// Where each definition was printed.
    printed: BTreeMap<Def, String>,
    /// Modules yet to print.
    modules: VecDeque<(usize, String, Vec<String>)>,
    /// The module whose names the present lines use.
    speaking: Option<usize>,
    /// Lines with such a module.
    said: Vec<(usize, String)>,
    out: String,
}

impl Printer<'_> {
    fn meet(&mut self, module: usize, path: &str, features: &[String]) {
        self.printed.insert(Def::Module(module), path.to_owned());
        self.modules.push_back((module, path.to_owned(), features.to_vec()));
    }

    fn module(&mut self, module: usize, path: &str) {
        for entry in self.crates.modules[module].entries.iter().filter(|entry| entry.public) {
            match &entry.what {
                What::Module(name, id) => self.definition(Def::Module(*id), name, path, &entry.features),
                What::Use { name, path: target } => {
                    let found = self.crates.resolve(module, target);
                    if found.is_empty() {
                        self.line(1, &format!("use {}", target.join("::")), &entry.features);
                    }
                    for def in found {
                        self.definition(def, name, path, &entry.features);
                    }
                }
                What::Glob(target) => {
                    for def in self.crates.resolve(module, target) {
                        if let Def::Module(from) = def {
                            self.module(from, path);
                        }
                    }
                }
                What::Item(_) => {}
            }
            if let What::Item(item) = &entry.what
                && let Some(name) = name_of(item)
            {
                let at = self.crates.modules[module].entries.iter().position(|other| std::ptr::eq(other, entry));
                self.definition(Def::Item(module, at.unwrap_or_default()), &name, path, &[]);
            }
        }
    }

    /// Something that is public under this name here: printed if it is met for the first time, mentioned otherwise.
    fn definition(&mut self, def: Def, name: &str, path: &str, features: &[String]) {
        let here = format!("{path}::{name}");
        match (self.printed.get(&def), def) {
            (Some(there), _) if *there == here => {}
            (Some(there), _) => {
                let renamed =
                    if there.rsplit("::").next() == Some(name) { String::new() } else { format!(" as {name}") };
                let line = format!("use {there}{renamed}");
                self.line(1, &line, features);
            }
            (None, Def::Module(module)) => self.meet(module, &here, features),
            (None, Def::Item(module, at)) => {
                self.printed.insert(def, here);
                let crates = self.crates;
                let entry = &crates.modules[module].entries[at];
                let What::Item(item) = &entry.what else { return };
                let features = [features, &entry.features].concat();
                self.speaking = Some(module);
                self.item(item, name, &features);
                self.impls_of(def);
                self.speaking = None;
            }
        }
    }

    fn item(&mut self, item: &Item, name: &str, features: &[String]) {
        match item {
            Item::Const(item) => self.line(1, &format!("const {name}: {}", text(&item.ty)), features),
            Item::Static(item) => self.line(1, &format!("static {name}: {}", text(&item.ty)), features),
            Item::Type(item) => {
                self.line(1, &format!("type {name}{} = {}", generics(&item.generics), text(&item.ty)), features);
            }
            Item::Fn(item) if item.attrs.iter().any(|attribute| attribute.path().is_ident("proc_macro")) => {
                self.line(1, &format!("macro {name}!"), features);
            }
            Item::Fn(item) => {
                let signature = text(&item.sig);
                let own = item.sig.ident.to_string();
                let renamed = if own == name { String::new() } else { format!("{name} = ") };
                self.line(1, &signature.replacen(&format!("fn {own}"), &format!("fn {renamed}{own}"), 1), features);
            }
            Item::Struct(item) => {
                let head = format!("struct {name}{}{}", generics(&item.generics), marks(&item.attrs));
                self.line(1, &head, features);
                self.fields(&item.fields);
            }
            Item::Enum(item) => {
                self.line(1, &format!("enum {name}{}{}", generics(&item.generics), marks(&item.attrs)), features);
                for variant in item.variants.iter().filter(|variant| !left_out(&variant.attrs)) {
                    let fields = match &variant.fields {
                        Fields::Unit => String::new(),
                        Fields::Unnamed(fields) => {
                            let types: Vec<String> = fields.unnamed.iter().map(|field| text(&field.ty)).collect();
                            format!("({})", types.join(", "))
                        }
                        Fields::Named(fields) => {
                            let fields = fields.named.iter().map(field_text).collect::<Vec<_>>();
                            format!(" {{ {} }}", fields.join(", "))
                        }
                    };
                    self.line(2, &format!("{}{fields}", variant.ident), &crate::crates::features(&variant.attrs));
                }
            }
            Item::Trait(item) => {
                let bounds: Vec<String> = item.supertraits.iter().map(text).collect();
                let bounds = if bounds.is_empty() { String::new() } else { format!(": {}", bounds.join(" + ")) };
                self.line(1, &format!("trait {name}{}{bounds}", generics(&item.generics)), features);
                for item in &item.items {
                    self.trait_item(item);
                }
            }
            Item::Macro(call) if call.mac.path.is_ident("strategy") => {
                let params = strategy(call).map(|strategy| strategy.params).unwrap_or_default();
                let fields = params.iter().map(|param| format!("{}: {}", param.name, param.scalar.name()));
                self.line(1, &format!("strategy! {name} {{ {} }}", fields.collect::<Vec<_>>().join(", ")), features);
            }
            Item::Macro(_) => self.line(1, &format!("macro {name}!"), features),
            other => panic!("a kind of item that the listing does not know: {}", text(other)),
        }
    }

    fn fields(&mut self, fields: &Fields) {
        let public = |field: &&syn::Field| matches!(field.vis, Visibility::Public(_)) && !left_out(&field.attrs);
        match fields {
            Fields::Unit => {}
            Fields::Named(named) => {
                for field in named.named.iter().filter(public) {
                    self.line(2, &field_text(field), &features(&field.attrs));
                }
            }
            Fields::Unnamed(unnamed) => {
                for (at, field) in unnamed.unnamed.iter().enumerate().filter(|(_, field)| public(field)) {
                    self.line(2, &format!("{at}: {}", text(&field.ty)), &features(&field.attrs));
                }
            }
        }
        if !fields.iter().all(|field| public(&field)) {
            self.line(2, "..", &[]);
        }
    }

    fn trait_item(&mut self, item: &TraitItem) {
        match item {
            TraitItem::Fn(method) if !left_out(&method.attrs) => {
                let provided = if method.default.is_some() { " (provided)" } else { "" };
                self.line(2, &format!("{}{provided}", text(&method.sig)), &features(&method.attrs));
            }
            TraitItem::Const(item) => self.line(2, &format!("const {}: {}", item.ident, text(&item.ty)), &[]),
            TraitItem::Type(item) => {
                let bounds: Vec<String> = item.bounds.iter().map(text).collect();
                let bounds = if bounds.is_empty() { String::new() } else { format!(": {}", bounds.join(" + ")) };
                self.line(2, &format!("type {}{bounds}", item.ident), &[]);
            }
            _ => {}
        }
    }

    fn impls_of(&mut self, def: Def) {
        for (module, entry, item) in self.impls.remove(&def).unwrap_or_default() {
            self.speaking = Some(module);
            if let Some((path, _)) = &item.trait_ {
                let names: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                // A trait of these libraries that is not public is a matter of their own.
                let public = |def: &Def| match def {
                    Def::Item(module, at) => self.crates.modules[*module].entries[*at].public,
                    Def::Module(_) => true,
                };
                if self.crates.resolve(module, &names).iter().all(public) {
                    self.line(2, &format!("impl {}", text(path)), &entry.features);
                }
                continue;
            }
            // Methods that only some parameters have say for which.
            let of = if is_concrete(item) { format!("{}: ", text(&item.self_ty)) } else { String::new() };
            for item in &item.items {
                let (visibility, attributes, line) = match item {
                    ImplItem::Fn(method) => (&method.vis, &method.attrs, text(&method.sig)),
                    ImplItem::Const(item) => {
                        (&item.vis, &item.attrs, format!("const {}: {}", item.ident, text(&item.ty)))
                    }
                    _ => continue,
                };
                if matches!(visibility, Visibility::Public(_)) && !left_out(attributes) {
                    let features = [&entry.features[..], &features(attributes)].concat();
                    self.line(2, &format!("{of}{line}"), &features);
                }
            }
        }
    }

    /// Definitions of these libraries that lines speak of and no path leads to.
    fn nameless(&self) -> BTreeSet<String> {
        let mut out = BTreeSet::new();
        for (module, line) in &self.said {
            for word in line.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':') {
                let path: Vec<String> = word.trim_matches(':').split("::").map(str::to_owned).collect();
                // The line of a variant begins with its own name.
                if line.starts_with(word) || !path.last().is_some_and(|name| name.starts_with(char::is_uppercase)) {
                    continue;
                }
                for def in self.crates.resolve(*module, &path) {
                    if matches!(def, Def::Item(..)) && !self.printed.contains_key(&def) {
                        out.insert(format!("{word} in `{line}`"));
                    }
                }
            }
        }
        out
    }

    fn line(&mut self, depth: usize, text: &str, features: &[String]) {
        self.said.extend(self.speaking.map(|module| (module, text.to_owned())));
        self.out.push_str(&format!("{}{text}{}\n", "  ".repeat(depth), brackets(features)));
    }
}

/// Impls by the type that they are of; impls of traits for types of elsewhere are counted to the trait.
fn impls(crates: &Crates) -> Impls<'_> {
    let mut out: Impls<'_> = BTreeMap::new();
    for (module, entries) in crates.modules.iter().map(|module| &module.entries).enumerate() {
        for entry in entries {
            let What::Item(item) = &entry.what else { continue };
            let Item::Impl(item) = &**item else { continue };
            let of = path_of(&item.self_ty).map(|path| crates.resolve(module, &path)).unwrap_or_default();
            let of_trait = || {
                let (path, _) = item.trait_.as_ref()?;
                let path: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
                crates.resolve(module, &path).first().copied()
            };
            if let Some(def) = of.first().copied().or_else(of_trait) {
                out.entry(def).or_default().push((module, entry, item));
            }
        }
    }
    out
}

/// Whether an impl is of some parameters of a type, `KernelDevice<CudaBackend>`.
fn is_concrete(item: &ItemImpl) -> bool {
    let Type::Path(path) = &*item.self_ty else { return false };
    let arguments = path.path.segments.last().map(|segment| &segment.arguments);
    let Some(PathArguments::AngleBracketed(arguments)) = arguments else { return false };
    let has_types = arguments.args.iter().any(|argument| matches!(argument, GenericArgument::Type(_)));
    has_types && !item.generics.params.iter().any(|param| matches!(param, GenericParam::Type(_)))
}

fn path_of(ty: &Type) -> Option<Vec<String>> {
    match ty {
        Type::Path(path) => Some(path.path.segments.iter().map(|segment| segment.ident.to_string()).collect()),
        Type::Reference(inner) => path_of(&inner.elem),
        Type::TraitObject(object) => object.bounds.iter().find_map(|bound| match bound {
            syn::TypeParamBound::Trait(bound) => {
                Some(bound.path.segments.iter().map(|segment| segment.ident.to_string()).collect())
            }
            _ => None,
        }),
        _ => None,
    }
}

/// Derives, and what forbids users to name all fields or to drop a value.
fn marks(attributes: &[Attribute]) -> String {
    let lists = |name: &str| -> Vec<String> {
        let found = attributes.iter().filter(|attribute| attribute.path().is_ident(name));
        found.filter_map(|attribute| Some(one_line(&attribute.meta.require_list().ok()?.tokens.to_string()))).collect()
    };
    let derives = lists("derive").join(", ");
    let derives = if derives.is_empty() { String::new() } else { format!(": {derives}") };
    let flags =
        ["non_exhaustive", "must_use"].into_iter().filter(|flag| attributes.iter().any(|a| a.path().is_ident(flag)));
    derives + &flags.map(|flag| format!(" #[{flag}]")).collect::<String>()
}

fn field_text(field: &syn::Field) -> String {
    let name = field.ident.as_ref().map(ToString::to_string).unwrap_or_default();
    format!("{name}: {}", text(&field.ty))
}

fn generics(generics: &Generics) -> String {
    if generics.params.is_empty() { String::new() } else { text(generics) }
}

fn brackets(features: &[String]) -> String {
    let mut features = features.to_vec();
    features.dedup();
    if features.is_empty() { String::new() } else { format!(" [{}]", features.join(", ")) }
}

/// A piece of source on one line.
fn text(piece: &impl Spanned) -> String {
    let span: Span = piece.span();
    one_line(&span.source_text().unwrap_or_default())
}

fn one_line(source: &str) -> String {
    let without_comments = source.lines().map(|line| line.split("//").next().unwrap_or_default());
    let words: Vec<&str> = without_comments.flat_map(str::split_whitespace).collect();
    let mut line = words.join(" ");
    for (from, to) in [("( ", "("), (", )", ")"), (" )", ")"), ("< ", "<"), (", >", ">"), (" :: ", "::"), (" ,", ",")] {
        line = line.replace(from, to);
    }
    line
}
