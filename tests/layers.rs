//! Calls point down: each file of `src/` names only files of lower layers, and no files name each other in a circle.
//!
//! The syntax tree is read, so it does not matter how a name is written: over several lines, by `super::`, nested or
//! re-exported. Names inside macro calls are read from their tokens.
#![allow(clippy::unwrap_used, clippy::panic)] // tests: shared functions

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use proc_macro2::{TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{File, Item, ItemMod, ItemUse, UseTree};

/// The top level of `src/` from the lowest layer to the highest. Modules in one row use nothing of one another.
const LAYERS: [&[&str]; 10] = [
    &["error"],
    &["parse"],
    &["image", "pca"],
    &["neighbors", "tensor"],
    &["pooling", "stage_times"],
    &["options"],
    &["onnx"],
    &["preprocessing"],
    &["extractor"],
    &["columns"],
];

/// Crates that only some modules may name. `python` stands above all layers.
const RESERVED: [(&str, &[&str]); 4] =
    [("pyo3", &["python"]), ("numpy", &["python"]), ("arrow_", &["columns", "python"]), ("ort", &["onnx"])];

/// A module's path below the crate, such as `["image", "decode"]`.
type Module = Vec<String>;

/// A name as a file writes it, made absolute.
type Name = Vec<String>;

/// What one file holds.
#[derive(Default)]
struct Source {
    module: Module,
    /// The inline module that is being read.
    scope: Module,
    /// Every path that it names.
    names: Vec<Name>,
    /// Names that it re-exports, and where they come from.
    exports: BTreeMap<String, Name>,
    /// Every identifier.
    words: BTreeSet<String>,
}

impl Source {
    fn read(module: Module, text: &str) -> Self {
        let file: File = syn::parse_file(text).unwrap();
        let mut source = Self { scope: module.clone(), module, ..Self::default() };
        source.visit_file(&file);
        source
    }

    /// Adds a path, made absolute, if it is one of this crate.
    fn add(&mut self, path: &[String]) {
        if let Some(name) = self.absolute(path) {
            self.names.push(name);
        }
    }

    /// The path from the crate's root; `None` for one of keywords only, as in `pub(super)`.
    fn absolute(&self, path: &[String]) -> Option<Name> {
        let keywords = path.iter().take_while(|word| matches!(word.as_str(), "crate" | "self" | "super")).count();
        let mut base = if path.first()? == "crate" { Vec::new() } else { self.scope.clone() };
        let up = path.iter().filter(|word| *word == "super").count();
        base.truncate(base.len().saturating_sub(up));
        // what begins with no keyword is a child module or another crate: `resolve` leaves the latter out
        (keywords < path.len()).then(|| [base, path[keywords..].to_vec()].concat())
    }

    fn add_use(&mut self, before: &[String], tree: &UseTree, is_export: bool) {
        let after = |word: &dyn ToString| [before, &[word.to_string()]].concat();
        let (path, alias) = match tree {
            UseTree::Path(path) => return self.add_use(&after(&path.ident), &path.tree, is_export),
            UseTree::Group(group) => return group.items.iter().for_each(|tree| self.add_use(before, tree, is_export)),
            UseTree::Glob(_) => (after(&"*"), None),
            UseTree::Name(name) if name.ident == "self" => (after(&"*"), None),
            UseTree::Name(name) => (after(&name.ident), Some(name.ident.to_string())),
            UseTree::Rename(name) => (after(&name.ident), Some(name.rename.to_string())),
        };
        match (is_export, alias) {
            (true, Some(alias)) if self.scope == self.module => {
                let name = self.absolute(&path).unwrap();
                self.exports.insert(alias, name);
            }
            _ => self.add(&path),
        }
    }

    fn add_tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match token {
                TokenTree::Ident(word) => {
                    if colons != 2 {
                        self.add(&std::mem::take(&mut path));
                    }
                    self.words.insert(word.to_string());
                    path.push(word.to_string());
                    colons = 0;
                }
                TokenTree::Punct(mark) if mark.as_char() == ':' => colons += 1,
                other => {
                    self.add(&std::mem::take(&mut path));
                    colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.add_tokens(group.stream());
                    }
                }
            }
        }
        self.add(&path);
    }
}

impl<'ast> Visit<'ast> for Source {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        self.scope.push(module.ident.to_string());
        visit::visit_item_mod(self, module);
        self.scope.pop();
    }

    fn visit_item(&mut self, item: &'ast Item) {
        // tests may use anything
        let is_test = |module: &ItemMod| module.attrs.iter().any(|attribute| quoted(attribute).contains("test"));
        if !matches!(item, Item::Mod(module) if is_test(module)) {
            visit::visit_item(self, item);
        }
    }

    fn visit_item_use(&mut self, item: &'ast ItemUse) {
        let is_export = !matches!(item.vis, syn::Visibility::Inherited);
        self.add_use(&[], &item.tree, is_export);
        visit::visit_item_use(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let words: Vec<String> = path.segments.iter().map(|segment| segment.ident.to_string()).collect();
        self.add(&words);
        visit::visit_path(self, path);
    }

    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {} // `pub(super)` uses nothing

    fn visit_macro(&mut self, call: &'ast syn::Macro) {
        self.add_tokens(call.tokens.clone());
        visit::visit_macro(self, call);
    }

    fn visit_ident(&mut self, word: &'ast proc_macro2::Ident) {
        self.words.insert(word.to_string());
    }
}

fn quoted(attribute: &syn::Attribute) -> String {
    match &attribute.meta {
        syn::Meta::List(list) if list.path.is_ident("cfg") => list.tokens.to_string(),
        _ => String::new(),
    }
}

/// The files of the crate and what each names of the others.
struct Crate(BTreeMap<Module, Source>);

impl Crate {
    fn read() -> Self {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        let sources = files(&root).into_iter().map(|path| {
            let below = path.strip_prefix(&root).unwrap().with_extension("");
            let mut module: Module = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
            if matches!(module.last().unwrap().as_str(), "mod" | "lib") {
                module.pop();
            }
            (module.clone(), Source::read(module, &fs::read_to_string(&path).unwrap()))
        });
        Self(sources.collect())
    }

    /// The file that defines a name.
    fn resolve(&self, name: &[String]) -> Option<Module> {
        let depth = (0..=name.len()).rev().find(|&depth| self.0.contains_key(&name[..depth]))?;
        let (module, rest) = name.split_at(depth);
        let Some(word) = rest.first() else { return Some(module.to_vec()) };
        match self.0[module].exports.get(word) {
            Some(origin) => self.resolve(&[origin.as_slice(), &rest[1..]].concat()),
            None => Some(module.to_vec()),
        }
    }

    /// The files that a file uses, itself and the crate's root left out.
    fn uses(&self, source: &Source) -> BTreeSet<Module> {
        let found = source.names.iter().filter_map(|name| self.resolve(name));
        found.filter(|module| *module != source.module && !module.is_empty()).collect()
    }
}

fn files(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let (folders, files): (Vec<_>, Vec<_>) = entries.partition(|path| path.is_dir());
    let is_rust = |path: &PathBuf| path.extension().is_some_and(|extension| extension == "rs");
    files.into_iter().filter(is_rust).chain(folders.iter().flat_map(|folder| self::files(folder))).collect()
}

/// Where a module stands; `python` above all.
fn layer(module: &[String]) -> usize {
    let at = LAYERS.iter().position(|row| row.contains(&module[0].as_str()));
    at.unwrap_or_else(|| if module[0] == "python" { LAYERS.len() } else { panic!("{} has no layer", module[0]) })
}

/// A line for each file that uses one of a layer that is not below its own.
fn upward_calls(all: &Crate) -> Vec<String> {
    let mut found = Vec::new();
    for source in all.0.values().filter(|source| !source.module.is_empty()) {
        for used in all.uses(source) {
            if used[0] != source.module[0] && layer(&used) >= layer(&source.module) {
                found.push(format!("{} may not use {}", source.module.join("::"), used.join("::")));
            }
        }
    }
    found
}

#[test]
fn calls_point_down() {
    assert_eq!(upward_calls(&Crate::read()), Vec::<String>::new());
}

#[test]
fn a_call_that_points_up_is_found_however_it_is_written() {
    for line in [
        "use crate::{\n    extractor::\n    Features,\n};",
        "use super::super::extractor::Features;",
        "fn f() { super::super::extractor::Features::default(); }",
        "use crate::{self as root};\nfn f(_: crate::Features) {}",
        "fn f() { println!(\"{}\", crate::FeatureExtractor::NAME) }",
    ] {
        let mut all = Crate::read();
        let module: Module = vec!["image".to_owned(), "encode".to_owned()];
        all.0.insert(module.clone(), Source::read(module, line));
        assert_eq!(upward_calls(&all), ["image::encode may not use extractor"], "{line}");
    }
}

#[test]
fn no_files_use_each_other_in_a_circle() {
    let all = Crate::read();
    let uses: BTreeMap<&Module, BTreeSet<Module>> =
        all.0.iter().map(|(module, file)| (module, all.uses(file))).collect();
    let mut circles = Vec::new();
    for start in uses.keys() {
        let mut seen = BTreeSet::new();
        let mut ways = vec![vec![*start]];
        while let Some(way) = ways.pop() {
            for used in &uses[way[way.len() - 1]] {
                if used == *start {
                    circles.push(way.iter().map(|module| module.join("::")).collect::<Vec<_>>().join(" -> "));
                } else if seen.insert(used) {
                    ways.push([way.as_slice(), &[used]].concat());
                }
            }
        }
    }
    assert!(circles.is_empty(), "{}", circles.join("\n"));
}

#[test]
fn reserved_crates_are_named_only_where_they_may() {
    for source in Crate::read().0.values().filter(|source| !source.module.is_empty()) {
        for (krate, modules) in RESERVED {
            let is_named =
                source.words.iter().any(|word| word == krate || (krate.ends_with('_') && word.starts_with(krate)));
            let allowed = !is_named || modules.contains(&source.module[0].as_str());
            assert!(allowed, "{} may not name {krate}", source.module.join("::"));
        }
    }
}

#[test]
fn every_way_of_writing_a_name_is_seen() {
    let text = "
        use crate::{
            columns::{self, FloatRows},
            Error,
        };
        pub use child::Thing;
        fn f() -> super::super::pca::Pca { let x = crate::extractor::new(); format!(\"{}\", crate::onnx::name()) }
        mod inline { use super::super::tensor::*; }
        #[cfg(test)] mod tests { use crate::python::anything; }
    ";
    let source = Source::read(vec!["image".into(), "resize".into()], text);
    let names: BTreeSet<String> = source.names.iter().map(|name| name.join("::")).collect();
    let expected =
        ["columns::*", "columns::FloatRows", "Error", "pca::Pca", "extractor::new", "onnx::name", "image::tensor::*"];
    for name in expected {
        assert!(names.contains(name), "{name} in {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("python")), "{names:?}");
    assert_eq!(source.exports["Thing"].join("::"), "image::resize::child::Thing");
}
