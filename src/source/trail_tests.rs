use std::{fs, os::unix::fs::symlink, path::Path};

use rustix::{fs::fstat, io::Errno};
use tempfile::TempDir;

use super::{Trail, WINDOW};
use crate::source::trees::chain;

fn start(root: &Path) -> Trail {
    Trail::start(fs::File::open(root).unwrap()).unwrap()
}

/// A trail at the end of a chain of directories.
fn deep(levels: usize) -> (TempDir, Trail) {
    let temp = tempfile::tempdir().unwrap();
    drop(chain(temp.path(), "d", levels));
    let mut trail = start(temp.path());
    trail.go(&vec!["d"; levels].join("/")).unwrap();
    (temp, trail)
}

#[test]
fn it_finds_back_whatever_the_depth_with_few_descriptors() {
    let (temp, mut trail) = deep(5 * WINDOW);
    for levels in (0..5 * WINDOW).rev() {
        assert!(trail.near.len() <= WINDOW);
        trail.leave().unwrap();
        let path = vec!["d"; levels].join("/");
        assert_eq!(trail.here(), if levels == 0 { "." } else { &path });
        let expected = fs::File::open(temp.path().join(path)).unwrap();
        assert_eq!(fstat(trail.dir()).unwrap().st_ino, fstat(expected).unwrap().st_ino);
    }
}

#[test]
fn it_never_leaves_the_tree() {
    let (_temp, mut trail) = deep(2);
    trail.go("").unwrap();
    assert_eq!(trail.leave(), Err(Errno::STALE));
    assert_eq!(trail.here(), ".");
}

#[test]
fn it_does_not_leave_a_directory_that_was_moved() {
    let (temp, mut trail) = deep(WINDOW + 4);
    fs::rename(temp.path().join("d/d/d/d"), temp.path().join("moved")).unwrap();
    for _ in 0..2 {
        assert_eq!(trail.go(""), Err(Errno::STALE));
        assert_eq!(trail.here(), "d/d/d/d");
    }
}

#[test]
fn it_goes_from_anywhere_to_anywhere() {
    let temp = tempfile::tempdir().unwrap();
    for path in ["d/e/f", "d.beside/e", "de"] {
        fs::create_dir_all(temp.path().join(path)).unwrap();
    }
    let mut trail = start(temp.path());
    for path in ["d/e/f", "d/e", "d.beside/e", "d", "de", "d/e/f", "d.beside"] {
        trail.go(path).unwrap();
        assert_eq!(trail.here(), path);
        let expected = fs::File::open(temp.path().join(path)).unwrap();
        assert_eq!(fstat(trail.dir()).unwrap().st_ino, fstat(expected).unwrap().st_ino);
    }
    assert_eq!(trail.go("d/none/f"), Err(Errno::NOENT));
    assert_eq!(trail.here(), "d");
}

#[test]
fn it_follows_no_link() {
    let temp = tempfile::tempdir().unwrap();
    fs::create_dir(temp.path().join("d")).unwrap();
    symlink("d", temp.path().join("link")).unwrap();
    assert!(matches!(start(temp.path()).go("link"), Err(Errno::NOTDIR | Errno::LOOP)));
}
