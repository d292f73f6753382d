//! Any state, changed in any way between backups, comes back from each of them: the whole way, from a directory through source,
//! archive and store into a directory. What a tree is, is read by other code than the product's.

use std::{
    collections::BTreeMap,
    fs, io,
    os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink},
    path::Path,
    time::{Duration, UNIX_EPOCH},
};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{
    chain_tests::{backup, restore, wanted},
    tests::{Node, ONE, go, noise, run},
};

/// Some below others, so that what is a file in one state is a directory in the next.
const PATHS: [&str; 10] = ["a", "b", "d", "d/a", "d/e", "d/e/f", "d/e/g", "h/ü \n\\", "h", ".i"];
/// Round about the length of a block.
const LENGTHS: [usize; 7] = [0, 1, 700, 65_535, 65_536, 65_544, 300_000];

#[derive(Debug, Clone)]
enum Change {
    /// With noise from here on, so that files have blocks in common.
    Write(usize),
    /// A few bytes in place.
    Patch(usize),
    /// Cut, or made longer with a hole.
    Resize(usize),
    Directory,
    Link(&'static str),
    Remove,
    RenameTo(&'static str),
    Mode(u32),
    Modified(u64),
}

fn change() -> impl Strategy<Value = (&'static str, Change)> {
    let change = prop_oneof![
        4 => select(&LENGTHS).prop_map(Change::Write),
        2 => select(&LENGTHS).prop_map(Change::Patch),
        2 => select(&LENGTHS).prop_map(Change::Resize),
        3 => Just(Change::Directory),
        1 => select(&PATHS).prop_map(Change::Link),
        2 => Just(Change::Remove),
        2 => select(&PATHS).prop_map(Change::RenameTo),
        1 => (0..=0o7777_u32).prop_map(Change::Mode),
        1 => (0..4_000_000_000_u64).prop_map(Change::Modified),
    ];
    (select(&PATHS), change)
}

/// An error is a change that this tree does not allow.
fn apply(root: &Path, path: &str, change: &Change) -> io::Result<()> {
    let at = root.join(path);
    let opened = || fs::File::options().write(true).open(&at);
    match change {
        Change::Write(len) => fs::write(&at, &noise(400_000)[..*len]),
        Change::Patch(offset) => opened()?.write_all_at(path.as_bytes(), *offset as u64),
        Change::Resize(len) => opened()?.set_len(*len as u64),
        Change::Directory => fs::create_dir(&at),
        Change::Link(target) => symlink(target, &at),
        Change::Remove => fs::remove_file(&at).or_else(|_| fs::remove_dir_all(&at)),
        Change::RenameTo(other) => fs::rename(&at, root.join(other)),
        // Others than root must be able to read and to search.
        Change::Mode(mode) => fs::set_permissions(&at, fs::Permissions::from_mode(mode | 0o700)),
        Change::Modified(seconds) => fs::File::open(&at)?.set_modified(UNIX_EPOCH + Duration::new(*seconds, 7)),
    }
}

/// Mode, time and content of everything by its path; a link's content is its target.
type Tree = BTreeMap<String, (u32, (i64, i64), Vec<u8>)>;

fn tree(root: &Path) -> Tree {
    let mut found = Tree::new();
    gather(root, "", &mut found);
    found
}

fn gather(root: &Path, below: &str, found: &mut Tree) {
    for name in fs::read_dir(root.join(below)).unwrap() {
        let path = Path::new(below).join(name.unwrap().file_name()).to_str().unwrap().to_owned();
        let (at, about) = (root.join(&path), fs::symlink_metadata(root.join(&path)).unwrap());
        let content = match about.file_type() {
            kind if kind.is_file() => fs::read(at).unwrap(),
            kind if kind.is_symlink() => fs::read_link(at).unwrap().into_os_string().into_encoded_bytes(),
            _ => {
                gather(root, &path, found);
                Vec::new()
            }
        };
        found.insert(path, (about.mode(), (about.mtime(), about.mtime_nsec()), content));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn any_state_comes_back_from_every_backup_of_its_chain(steps in vec(vec(change(), 0..8), 1..=11)) {
        let node = Node::new(go(), 1, 1);
        run(async {
            let mut taken = Vec::new();
            for step in &steps {
                for (path, change) in step {
                    let _ = apply(&node.state(ONE), path, change);
                }
                // Never without anything, which would be a loss.
                fs::write(node.state(ONE).join("always"), "there").unwrap();
                let wanted = wanted(&node, 10).await;
                taken.push((backup(&node, wanted).await, tree(&node.state(ONE))));
            }
            assert_eq!(taken.iter().filter(|(point, _)| point.is_full()).count(), 1);
            for (n, (point, expected)) in taken.iter().enumerate() {
                restore(&node, point).await;
                assert!(tree(&node.state(ONE)) == *expected, "backup {n}");
            }
        });
    }
}
