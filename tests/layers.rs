//! Holds the floors of the house (docs/ARCHITECTURE.md): what each module may import, and that nothing goes round it.
//!
//! A single crate has no compiler to do this. Only non-test code is held; code generated into `OUT_DIR` is not read.
#![expect(clippy::unwrap_used, reason = "a source that cannot be read fails the test")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use proc_macro2::{Spacing, TokenStream, TokenTree};
use syn::{Attribute, UseTree, ext::IdentExt, visit::Visit};

/// Module, floor, and what it may import besides itself and `domain`, the words that every floor speaks.
const FLOORS: &[(&str, u8, &[&str])] = &[
    ("domain", 0, &[]),
    ("clock", 0, &[]),
    ("disk", 0, &[]),
    ("spool", 0, &[]),
    ("chain", 1, &[]),
    ("job", 1, &[]),
    ("policy", 1, &["chain"]),
    ("storage", 2, &["disk", "clock"]),
    ("source", 2, &["disk", "spool", "clock"]),
    ("ledger", 2, &["job", "clock"]),
    ("archive", 2, &["storage", "chain", "job", "disk", "spool", "clock"]),
    ("retention", 3, &["archive", "ledger", "policy", "chain", "clock"]),
    ("engine", 3, &["archive", "source", "ledger", "policy", "chain", "job", "spool", "clock"]),
    ("ops", 3, &["ledger", "archive", "chain", "policy", "retention", "job", "clock"]),
    ("reconcile", 4, &["engine", "retention", "ledger", "archive", "policy", "chain", "job", "clock"]),
    ("api", 4, &["ops", "clock"]),
    ("client", 4, &["clock"]),
    (
        "app",
        5,
        &[
            "clock",
            "chain",
            "job",
            "policy",
            "storage",
            "source",
            "spool",
            "ledger",
            "archive",
            "retention",
            "engine",
            "ops",
            "reconcile",
            "api",
            "client",
        ],
    ),
];

/// Names under which code gathers that belongs nowhere.
const NO_ROOM: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "shared"];

/// The name of the library crate, as `main.rs` says it.
const LIBRARY: &str = "fabric_backup";

fn floor(module: &str) -> Option<&'static (&'static str, u8, &'static [&'static str])> {
    FLOORS.iter().find(|(name, ..)| *name == module)
}

fn allowed(from: &str, to: &str) -> bool {
    from == to
        || floor(from).is_some_and(|(_, _, imports)| (to == "domain" && from != "clock") || imports.contains(&to))
}

/// A path of the crate that some code names: where it leads to, and whether it takes everything there.
#[derive(Debug)]
struct Import {
    path: Vec<String>,
    glob: bool,
}

/// Gathers what one file says, `module` being where it is in the crate.
#[derive(Default)]
struct Reader {
    module: Vec<String>,
    imports: Vec<Import>,
    modules: Vec<Declared>,
}

/// A module that a file declares: its path, and for one without a body the file that an attribute names.
struct Declared {
    path: Vec<String>,
    has_body: bool,
    file: Option<String>,
}

impl Reader {
    fn of(module: &[String], file: &syn::File) -> Self {
        let mut reader = Self { module: module.to_vec(), ..Self::default() };
        reader.visit_file(file);
        reader
    }

    /// Where `segments` leads to from here, if it is a path of this crate that says so itself.
    fn resolve(&self, segments: &[String]) -> Option<Vec<String>> {
        let (first, rest) = segments.split_first()?;
        match first.as_str() {
            "crate" | LIBRARY => Some(rest.to_vec()),
            "self" | "super" => Some(self.climb(segments)),
            name => (self.module.is_empty() && floor(name).is_some()).then(|| segments.to_vec()),
        }
    }

    /// Follows `self` and `super` from here.
    fn climb(&self, segments: &[String]) -> Vec<String> {
        let steps = segments.iter().take_while(|segment| matches!(segment.as_str(), "self" | "super")).count();
        let ups = segments[..steps].iter().filter(|segment| *segment == "super").count();
        let depth = self.module.len().checked_sub(ups).expect("super leads out of the crate");
        [&self.module[..depth], &segments[steps..]].concat()
    }

    fn import(&mut self, segments: &[String], glob: bool) {
        if let Some(path) = self.resolve(segments) {
            self.imports.push(Import { path, glob });
        }
    }

    fn use_tree(&mut self, mut prefix: Vec<String>, tree: &UseTree) {
        match tree {
            UseTree::Path(path) => {
                prefix.push(path.ident.unraw().to_string());
                self.use_tree(prefix, &path.tree);
            }
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.use_tree(prefix.clone(), tree)),
            UseTree::Glob(_) => self.import(&prefix, true),
            UseTree::Name(name) => self.use_name(prefix, &name.ident),
            UseTree::Rename(rename) => self.use_name(prefix, &rename.ident),
        }
    }

    /// `use a::{self}` imports `a`.
    fn use_name(&mut self, mut prefix: Vec<String>, name: &syn::Ident) {
        if prefix.is_empty() || name != "self" {
            prefix.push(name.unraw().to_string());
        }
        self.import(&prefix, false);
    }

    /// Paths in the arguments of macros and attributes, which are only tokens.
    fn tokens(&mut self, tokens: TokenStream) {
        let mut path: Vec<String> = Vec::new();
        let mut colons = 0;
        for token in tokens {
            match &token {
                TokenTree::Ident(name) => {
                    if colons != 2 {
                        self.import_tokens(&mut path);
                    }
                    path.push(name.to_string());
                    colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => {
                    colons += 1;
                    if colons == 1 && punct.spacing() == Spacing::Alone {
                        colons = 3;
                    }
                }
                other => {
                    self.import_tokens(&mut path);
                    if let TokenTree::Group(group) = other {
                        self.tokens(group.stream());
                    }
                    colons = 0;
                }
            }
        }
        self.import_tokens(&mut path);
    }

    fn import_tokens(&mut self, path: &mut Vec<String>) {
        let segments = std::mem::take(path);
        if segments.len() > 1 {
            self.import(&segments, false);
        }
    }

    fn module(&mut self, item: &syn::ItemMod) {
        let name = item.ident.unraw().to_string();
        let path = [self.module.clone(), vec![name]].concat();
        let has_body = item.content.is_some();
        self.modules.push(Declared { path: path.clone(), has_body, file: path_attribute(&item.attrs) });
        let outer = std::mem::replace(&mut self.module, path);
        syn::visit::visit_item_mod(self, item);
        self.module = outer;
    }
}

impl<'ast> Visit<'ast> for Reader {
    fn visit_item(&mut self, item: &'ast syn::Item) {
        match item {
            item if is_test(item_attributes(item)) => {}
            syn::Item::Use(item) => self.use_tree(Vec::new(), &item.tree),
            syn::Item::Mod(item) => self.module(item),
            item => syn::visit::visit_item(self, item),
        }
    }

    fn visit_impl_item(&mut self, item: &'ast syn::ImplItem) {
        if let syn::ImplItem::Fn(function) = item
            && is_test(&function.attrs)
        {
            return;
        }
        syn::visit::visit_impl_item(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        let segments: Vec<String> = path.segments.iter().map(|s| s.ident.unraw().to_string()).collect();
        if segments.len() > 1 {
            self.import(&segments, false);
        }
        syn::visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.tokens(invocation.tokens.clone());
        syn::visit::visit_macro(self, invocation);
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        if let syn::Meta::List(list) = &attribute.meta {
            self.tokens(list.tokens.clone());
        }
    }

    /// `pub(in crate::a)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}
}

fn item_attributes(item: &syn::Item) -> &[Attribute] {
    match item {
        syn::Item::Const(i) => &i.attrs,
        syn::Item::Enum(i) => &i.attrs,
        syn::Item::Fn(i) => &i.attrs,
        syn::Item::Impl(i) => &i.attrs,
        syn::Item::Macro(i) => &i.attrs,
        syn::Item::Mod(i) => &i.attrs,
        syn::Item::Static(i) => &i.attrs,
        syn::Item::Struct(i) => &i.attrs,
        syn::Item::Trait(i) => &i.attrs,
        syn::Item::Type(i) => &i.attrs,
        syn::Item::Use(i) => &i.attrs,
        _ => &[],
    }
}

fn is_test(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("cfg") && attribute.parse_args::<syn::Ident>().is_ok_and(|name| name == "test")
    })
}

fn path_attribute(attributes: &[Attribute]) -> Option<String> {
    let attribute = attributes.iter().find(|attribute| attribute.path().is_ident("path"))?;
    let syn::Meta::NameValue(value) = &attribute.meta else { return None };
    let syn::Expr::Lit(syn::ExprLit { lit: syn::Lit::Str(text), .. }) = &value.value else { return None };
    Some(text.value())
}

/// What is wrong with a file of `home`, a module of the table.
fn violations(home: &str, reader: &Reader) -> Vec<String> {
    let wrong = |import: &Import| {
        let why = match import.path.first() {
            None => "takes the crate root, so that nobody can see what it imports".to_owned(),
            Some(to) if floor(to).is_none() => {
                format!("takes '{to}' from the crate root, which is no module of the table")
            }
            Some(to) if !allowed(home, to) => format!("'{home}' may not import '{to}'"),
            Some(to) if import.glob && to != home => format!("takes everything that '{to}' has"),
            Some(_) => return None,
        };
        Some(format!("`crate::{}`: {why}", import.path.join("::")))
    };
    reader.imports.iter().filter_map(wrong).collect()
}

fn source_root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src")
}

/// Reads the file of a module and of all modules below it. `directory` is where the files of its children are.
fn read(module: &[String], file: &Path, directory: &Path, found: &mut Vec<(PathBuf, Reader)>) {
    let text = fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let parsed = syn::parse_file(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    let reader = Reader::of(module, &parsed);
    for child in reader.modules.iter().filter(|child| !child.has_body) {
        let below = child.path[module.len()..].iter().collect::<PathBuf>();
        let directory = directory.join(below);
        let named = child.file.as_ref().map(|name| file.with_file_name(name));
        let beside = named.unwrap_or_else(|| directory.with_extension("rs"));
        let inside = directory.join("mod.rs");
        read(&child.path, if inside.exists() { &inside } else { &beside }, &directory, found);
    }
    found.push((file.to_owned(), reader));
}

fn sources() -> Vec<(PathBuf, Reader)> {
    let (root, mut found) = (source_root(), Vec::new());
    read(&[], &root.join("lib.rs"), &root, &mut found);
    read(&["app".to_owned()], &root.join("main.rs"), &root, &mut found);
    found
}

#[test]
fn every_module_imports_only_what_its_floor_may() {
    let mut wrong = Vec::new();
    for (file, reader) in sources() {
        let home = reader.module.first().map_or("app", String::as_str);
        wrong.extend(violations(home, &reader).into_iter().map(|why| format!("{}: {why}", file.display())));
    }
    assert!(wrong.is_empty(), "\n{}\n", wrong.join("\n"));
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { files_below(&path) } else { vec![path] }).collect()
}

#[test]
fn every_source_but_the_tests_is_read() {
    let read: BTreeSet<_> = sources().into_iter().map(|(file, _)| file).collect();
    let is_source = |file: &PathBuf| file.extension().is_some_and(|e| e == "rs") && !file.ends_with("tests.rs");
    let is_tests = |file: &PathBuf| file.file_stem().is_some_and(|name| name.to_string_lossy().ends_with("_tests"));
    let all = files_below(&source_root());
    let unread: Vec<_> = all.iter().filter(|f| is_source(f) && !is_tests(f) && !read.contains(*f)).collect();
    assert!(unread.is_empty(), "{unread:?}");
}

#[test]
fn every_module_of_the_house_is_in_the_table() {
    let names = fs::read_dir(source_root()).unwrap().map(|entry| entry.unwrap().path());
    let names = names.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
    let strangers: BTreeSet<_> =
        names.filter(|n| !matches!(n.as_str(), "lib" | "main") && floor(n).is_none()).collect();
    assert!(strangers.is_empty(), "not in the table: {strangers:?}");
}

#[test]
fn no_module_is_a_room_for_what_belongs_nowhere() {
    let sources = sources();
    let declared = sources.iter().flat_map(|(_, reader)| &reader.modules).map(|module| module.path.join("::"));
    let rooms: Vec<_> =
        declared.filter(|path| NO_ROOM.iter().any(|name| path.split("::").any(|p| p == *name))).collect();
    assert!(rooms.is_empty(), "{rooms:?}");
}

#[test]
fn the_table_points_down_and_has_no_cycle() {
    let mut above: BTreeMap<&str, BTreeSet<&str>> = BTreeMap::new();
    for (from, level, imports) in FLOORS {
        for to in *imports {
            let (_, lower, below) = floor(to).unwrap();
            assert!(lower <= level, "{from} is below {to}");
            assert!(!below.contains(from), "{from} and {to} import each other");
            above.entry(to).or_default().insert(from);
        }
    }
    let mut left: BTreeSet<&str> = FLOORS.iter().map(|(name, ..)| *name).collect();
    while let Some(top) = left.iter().find(|name| above.get(**name).is_none_or(|a| a.is_disjoint(&left))).copied() {
        left.remove(top);
    }
    assert!(left.is_empty(), "a cycle among {left:?}");
    assert!(!allowed("api", "reconcile") && !allowed("reconcile", "api"));
}

/// The violations of a source that stands at `module`.
fn judge(module: &str, source: &str) -> Vec<String> {
    let module: Vec<String> = module.split("::").map(str::to_owned).collect();
    violations(&module[0], &Reader::of(&module, &syn::parse_str(source).unwrap()))
}

#[test]
fn the_check_finds_every_way_of_naming_another_module() {
    for (module, source) in [
        ("storage", "use crate::archive;"),
        ("storage", "use crate::archive::pack::Packer;"),
        ("storage", "use crate::{clock::Clock, archive::{names, pack::{self, Packer}}};"),
        ("storage", "use crate::r#archive as a;"),
        ("storage", "use super::archive::pack;"),
        ("storage::share", "use super::super::{archive::pack};"),
        ("storage::share", "use super::super::archive as a;"),
        ("storage", "use self::super::archive;"),
        ("storage", "mod inner { use super::super::archive::pack; }"),
        ("storage", "fn f() { crate::archive::names::key() }"),
        ("storage", "fn f(x: super::archive::Pack) {}"),
        ("storage", "impl From<crate::archive::Error> for X {}"),
        ("storage", "fn f() { use crate::archive::x; }"),
        ("storage", "fn f() { println!(\"{}\", g(crate::archive::NAME)) }"),
        ("storage", "macro_rules! m { () => { $crate::archive::x() } }"),
        ("storage", "#[derive(crate::archive::Pack)] struct X;"),
        ("storage", "#[cfg(not(test))] use crate::archive;"),
        ("storage", "pub use crate::archive::Pack;"),
        ("api", "use crate::reconcile::Waker;"),
        ("reconcile", "use crate::api::Router;"),
        ("ops", "use crate::engine;"),
        ("clock", "use crate::domain::Epoch;"),
        ("domain", "use crate::clock::Clock;"),
        ("app", "use crate::*;"),
        ("app", "use super::*;"),
        ("app", "use crate::{self as root};"),
        ("app", "use super as root;"),
        ("app", "use crate::domain::*;"),
        ("app", "use crate::Partition;"),
        ("app", "use fabric_backup::*;"),
    ] {
        assert!(!judge(module, source).is_empty(), "{module}: {source}");
    }
}

#[test]
fn the_check_leaves_what_is_allowed() {
    for (module, source) in [
        ("storage", "use crate::{clock::Clock, domain::{StorageSpec, Secret}};"),
        ("storage", "use self::share::Share; use super::domain::StorageSpec;"),
        ("storage::share", "use super::{Storage, key::*}; fn f() { super::check(); self::g(); crate::storage::h() }"),
        ("storage", "use std::{fs, io::*}; use object_store::path; mod archive {}"),
        ("storage", "#[cfg(test)] mod tests { use super::*; use crate::archive; }"),
        ("storage", "#[cfg(test)] use crate::archive;"),
        ("storage", "/// See [`crate::archive`].\npub(crate) struct X; pub(in crate::storage) fn f(&self) { self.x }"),
        ("storage", "fn f() { match x { y => Self::Z { crate_: 1 } }; json!({ \"crate\": a::archive }) }"),
        ("app", "use crate::api; use crate::reconcile;"),
        ("app", "fn main() { fabric_backup::app::cli::run() }"),
    ] {
        assert!(judge(module, source).is_empty(), "{module}: {source}: {:?}", judge(module, source));
    }
}
