//! A staged tree that becomes a directory of its own, nobody's state.

use std::{fs, path::Path};

use tempfile::TempDir;
use uuid::Uuid;

use super::{Source, SourceError, Staging};
use crate::domain::{Entry, EntryKind, TreePath};

const JOB: Uuid = Uuid::from_u128(7);

fn staged(source: &Source) -> Staging {
    let mut staging = source.stage(JOB).unwrap();
    let kind = EntryKind::Symlink { target: "there".into() };
    staging
        .symlink(&Entry { path: TreePath::parse("here").unwrap(), kind, mode: 0o777, mtime_s: 1, mtime_ns: 2 })
        .unwrap();
    staging
}

fn names(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<String> = names.collect();
    names.sort_unstable();
    names
}

fn place() -> (TempDir, Source) {
    let above = tempfile::tempdir().unwrap();
    let source = Source::directory(above.path().join("tree"));
    (above, source)
}

#[test]
fn a_tree_lands_where_nothing_is_and_leaves_nothing_beside_it() {
    let (above, source) = place();
    staged(&source).seal().unwrap().land().unwrap();
    source.tidy().unwrap();
    assert_eq!(names(above.path()), ["tree"]);
    assert_eq!(names(&above.path().join("tree")), ["here"]);
}

#[test]
fn a_tree_lands_in_an_empty_directory_and_in_no_other() {
    let (above, source) = place();
    let tree = above.path().join("tree");
    fs::create_dir(&tree).unwrap();
    staged(&source).seal().unwrap().land().unwrap();
    assert_eq!(names(&tree), ["here"]);
    let sealed = staged(&source).seal().unwrap();
    fs::write(tree.join("mine"), "").unwrap();
    assert!(matches!(sealed.land(), Err(SourceError::Root { why: "is not empty", .. })));
    source.tidy().unwrap();
    assert_eq!(names(above.path()), ["tree"]);
    assert_eq!(names(&tree), ["here", "mine"]);
}

#[test]
fn a_tree_that_was_given_up_leaves_nothing() {
    let (above, source) = place();
    drop(staged(&source));
    source.tidy().unwrap();
    assert_eq!(names(above.path()), [""; 0]);
    source.tidy().unwrap();
}

#[test]
fn tidying_up_beside_a_state_keeps_its_undo_point() {
    let (above, source) = place();
    fs::create_dir(above.path().join("tree")).unwrap();
    staged(&source).seal().unwrap().swap().unwrap();
    source.tidy().unwrap();
    assert!(above.path().join(".tree.fabric-backup/undo").is_dir());
}
