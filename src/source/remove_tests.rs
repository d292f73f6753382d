use std::{
    ffi::CStr,
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use rustix::io::Errno;
use tempfile::TempDir;

use super::{Stuck, remove};
use crate::source::{
    crash::tests::{keep, let_go},
    trees::{chain, fast, few_descriptors},
};

fn place() -> TempDir {
    tempfile::tempdir_in(fast()).unwrap()
}

fn tree(temp: &TempDir) {
    for path in ["tree/a/b/c", "tree/a/z", "tree/e"] {
        fs::create_dir_all(temp.path().join(path)).unwrap();
        fs::write(temp.path().join(path).join("file"), "").unwrap();
    }
}

fn delete(temp: &Path, name: &CStr) -> Result<(), Stuck> {
    remove(fs::File::open(temp).unwrap(), name)
}

fn stuck(path: &str, errno: Errno) -> Result<(), Stuck> {
    Err(Stuck { path: path.into(), errno })
}

#[test]
fn a_deep_tree_goes_with_few_descriptors_and_little_stack() {
    few_descriptors();
    let temp = place();
    drop(chain(temp.path(), "d", 30_000));
    assert_eq!(delete(temp.path(), c"d"), Ok(()));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_file_a_tree_and_nothing_at_all_can_be_deleted() {
    let temp = place();
    tree(&temp);
    fs::write(temp.path().join("file"), "").unwrap();
    for name in [c"file", c"tree", c"none"] {
        assert_eq!(delete(temp.path(), name), Ok(()));
    }
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn no_link_is_followed() {
    let temp = place();
    tree(&temp);
    fs::create_dir_all(temp.path().join("outside/d")).unwrap();
    symlink(temp.path().join("outside"), temp.path().join("tree/a/link")).unwrap();
    symlink(temp.path().join("outside"), temp.path().join("link")).unwrap();
    assert_eq!([delete(temp.path(), c"tree"), delete(temp.path(), c"link")], [Ok(()), Ok(())]);
    assert!(temp.path().join("outside/d").exists());
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 1);
}

#[test]
fn no_mode_keeps_a_directory() {
    let temp = place();
    tree(&temp);
    for path in ["tree/a/b", "tree/a", "tree"] {
        fs::set_permissions(temp.path().join(path), fs::Permissions::from_mode(0o0)).unwrap();
    }
    assert_eq!(delete(temp.path(), c"tree"), Ok(()));
}

#[test]
fn what_stays_is_named_with_its_cause_and_all_else_goes() {
    let temp = place();
    tree(&temp);
    fs::write(temp.path().join("tree/a/b/immutable"), "").unwrap();
    keep(c"immutable", Errno::PERM);
    assert_eq!(delete(temp.path(), c"tree"), stuck("tree/a/b/immutable", Errno::PERM));
    let left = |path| fs::read_dir(temp.path().join(path)).unwrap().count();
    assert_eq!([left("tree"), left("tree/a"), left("tree/a/b")], [1, 1, 1]);
    let_go();
    assert_eq!(delete(temp.path(), c"tree"), Ok(()));
}

#[test]
fn what_is_mounted_in_a_tree_keeps_what_it_holds() {
    let temp = place();
    tree(&temp);
    keep(c"b", Errno::BUSY);
    assert_eq!(delete(temp.path(), c"tree"), stuck("tree/a/b", Errno::BUSY));
    assert!(temp.path().join("tree/a/b/c/file").exists());
    assert!(!temp.path().join("tree/e").exists());
    let_go();
}
