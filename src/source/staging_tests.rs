use std::{
    fs,
    io::Read,
    os::unix::{fs::MetadataExt, fs::PermissionsExt, fs::chown, fs::lchown, fs::symlink},
    path::Path,
    time::{Duration, Instant, UNIX_EPOCH},
};

use proptest::prelude::*;
use rustix::{
    fs::{AtFlags, CWD, Timespec, Timestamps, utimensat},
    process::geteuid,
};
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    super::{
        Recovered, Snapshot, Source, SourceError,
        trees::{delete, fast, few_descriptors},
    },
    Staging,
};
use crate::domain::{Entry, EntryKind, TreePath};

const JOB: Uuid = Uuid::from_u128(7);
const BLOCK: usize = 64 << 10;

fn entry(path: &str, kind: EntryKind) -> Entry {
    Entry { path: TreePath::parse(path).unwrap(), kind, mode: 0o640, mtime_s: 1, mtime_ns: 2 }
}

fn file(path: &str, len: u64) -> Entry {
    entry(path, EntryKind::File { len })
}

fn directory(path: &str) -> Entry {
    entry(path, EntryKind::Directory)
}

fn link(path: &str, target: &str) -> Entry {
    entry(path, EntryKind::Symlink { target: target.into() })
}

fn fill(staging: &mut Staging, entry: &Entry, bytes: &[u8]) {
    let sink = staging.file(entry).unwrap();
    sink.write_at(0, bytes).unwrap();
    sink.finish().unwrap();
}

#[track_caller]
fn refusal<T>(result: Result<T, SourceError>) -> String {
    match result.map(drop) {
        Err(error @ SourceError::Refused { .. }) => error.to_string(),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// The naive copier: what backup and restore do, without an archive between them. Blocks go in last first.
fn copy(from: &Snapshot, to: &Source) {
    let mut staging = to.stage(JOB).unwrap();
    for entry in from.walk() {
        let entry = entry.unwrap();
        match entry.kind {
            EntryKind::Directory => staging.directory(&entry).unwrap(),
            EntryKind::Symlink { .. } => staging.symlink(&entry).unwrap(),
            EntryKind::File { .. } => {
                let (sink, mut bytes) = (staging.file(&entry).unwrap(), Vec::new());
                from.open(&entry).unwrap().read_to_end(&mut bytes).unwrap();
                for (number, block) in bytes.chunks(BLOCK).enumerate().rev() {
                    sink.write_at((number * BLOCK) as u64, block).unwrap();
                }
                sink.finish().unwrap();
            }
        }
    }
    from.verify().unwrap();
    for entry in from.walk().map(Result::unwrap).filter(|entry| entry.kind == EntryKind::Directory) {
        staging.complete(&entry).unwrap();
    }
    staging.seal().unwrap().swap().unwrap();
}

/// Makes an empty file.
fn touch(staging: &mut Staging, path: &str) -> Result<(), SourceError> {
    staging.file(&file(path, 0))?.finish()
}

fn complete(staging: &mut Staging, paths: &[&str]) {
    for path in paths {
        staging.complete(&directory(path)).unwrap();
    }
}

/// Every attribute and byte of a tree.
fn contents(source: &Source) -> Vec<(Entry, Vec<u8>)> {
    let snapshot = source.snapshot().unwrap();
    let read = |entry: Entry| {
        let mut bytes = Vec::new();
        if let EntryKind::File { .. } = entry.kind {
            snapshot.open(&entry).unwrap().read_to_end(&mut bytes).unwrap();
        }
        (entry, bytes)
    };
    snapshot.walk().map(|entry| read(entry.unwrap())).collect()
}

fn rich_tree(root: &Path) {
    fs::create_dir_all(root.join("d/deep/er")).unwrap();
    fs::create_dir(root.join(".empty")).unwrap();
    fs::write(root.join("d/.hidden"), vec![7; 3 * BLOCK + 5]).unwrap();
    fs::write(root.join("d/deep/er/empty"), "").unwrap();
    fs::write(root.join("name with ü\nand \\"), "odd").unwrap();
    symlink("../../outside", root.join("d/up")).unwrap();
    symlink("/nowhere", root.join("dangling")).unwrap();
    fs::hard_link(root.join("d/.hidden"), root.join("twin")).unwrap();
    let sparse = fs::File::create(root.join("sparse")).unwrap();
    sparse.set_len(64 << 20).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&sparse, b"data", 32 << 20).unwrap();
    for (name, mode) in [("d/.hidden", 0o4711), ("d/deep", 0o1555), ("d", 0o2750), ("sparse", 0)] {
        fs::set_permissions(root.join(name), fs::Permissions::from_mode(mode)).unwrap();
    }
    let before_1970 = UNIX_EPOCH - Duration::new(3600, 999_999_999);
    fs::File::open(root.join("d/deep")).unwrap().set_modified(before_1970).unwrap();
    fs::File::open(root.join(".empty")).unwrap().set_modified(UNIX_EPOCH + Duration::new(4_000_000_000, 1)).unwrap();
}

#[derive(Debug, Clone)]
enum Thing {
    Directory,
    Link(String),
    File(Vec<u8>),
}

/// A name in one of a few directories, which may turn out to be taken or to lie below no directory.
fn thing() -> impl Strategy<Value = (String, Thing, u32, (i64, u32))> {
    let kind = prop_oneof![
        Just(Thing::Directory),
        "[a-c./ü]{1,8}".prop_map(Thing::Link),
        proptest::collection::vec(0..2_u8, 0..5000).prop_map(Thing::File),
    ];
    let time = (-(1_i64 << 31)..1 << 33, 0..1_000_000_000_u32);
    ("[a-c](/[a-c.!ü][a-c]){0,3}", kind, 0..=0o7777_u32, time)
}

/// Makes what fits, then gives it its attributes.
fn make(root: &Path, things: &[(String, Thing, u32, (i64, u32))]) {
    let fits = |path: &Path| {
        let inside = path.parent().is_some_and(|parent| fs::symlink_metadata(parent).is_ok_and(|meta| meta.is_dir()));
        inside && fs::symlink_metadata(path).is_err()
    };
    let mut dressed = Vec::new();
    for (name, thing, mode, time) in things {
        let path = root.join(name);
        match thing {
            _ if !fits(&path) => continue,
            Thing::Link(target) => {
                symlink(target, path).unwrap();
                continue;
            }
            Thing::Directory => fs::create_dir(&path).unwrap(),
            Thing::File(bytes) => fs::write(&path, bytes).unwrap(),
        }
        dressed.push((path, *mode, *time));
    }
    for (path, mode, time) in dressed {
        dress(&path, mode, time);
    }
}

fn dress(path: &Path, mode: u32, (tv_sec, nanoseconds): (i64, u32)) {
    let last_modification = Timespec { tv_sec, tv_nsec: nanoseconds.into() };
    utimensat(CWD, path, &Timestamps { last_access: last_modification, last_modification }, AtFlags::empty()).unwrap();
    // What it may not read, somebody other than root could not copy.
    let mode = if geteuid().is_root() { mode } else { mode | 0o700 };
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_tree_comes_back_as_it_was(things in proptest::collection::vec(thing(), 0..40)) {
        let (temp, from, to) = places();
        make(&temp.path().join("from"), &things);
        copy(&from.snapshot().unwrap(), &to);
        let before = contents(&from);
        let parts = |(entry, _): &(Entry, _)| entry.path.as_str().split('/').map(str::to_owned).collect::<Vec<_>>();
        prop_assert!(before.is_sorted_by_key(parts));
        prop_assert_eq!(before, contents(&to));
    }
}

fn places() -> (TempDir, Source, Source) {
    let temp = tempfile::tempdir().unwrap();
    let (from, to) = (temp.path().join("from"), temp.path().join("to"));
    fs::create_dir(&from).unwrap();
    let sources = (Source::directory(from), Source::directory(to));
    (temp, sources.0, sources.1)
}

#[test]
fn a_tree_comes_back_as_it_was() {
    let (temp, from, to) = places();
    rich_tree(&temp.path().join("from"));
    if !geteuid().is_root() {
        // Only root reads what has no permission at all.
        fs::set_permissions(temp.path().join("from/sparse"), fs::Permissions::from_mode(0o400)).unwrap();
    }
    copy(&from.snapshot().unwrap(), &to);
    let (before, after) = (contents(&from), contents(&to));
    assert_eq!(before.len(), 11);
    assert!(before == after, "the trees differ");
    assert!(fs::metadata(temp.path().join("to/sparse")).unwrap().blocks() * 512 < 1 << 20, "holes were filled");
    assert_eq!(fs::metadata(temp.path().join("to")).unwrap().mode() & 0o7777, 0o700);
}

#[test]
fn a_restore_replaces_the_state_and_keeps_the_one_before_as_the_only_undo_point() {
    let (temp, from, to) = places();
    let (state, annex) = (temp.path().join("to"), temp.path().join(".to.fabric-backup"));
    for round in 0..3 {
        fs::write(temp.path().join("from/round"), format!("{round}")).unwrap();
        copy(&from.snapshot().unwrap(), &to);
        assert_eq!(fs::read_to_string(state.join("round")).unwrap(), format!("{round}"));
        if round > 0 {
            assert_eq!(fs::read_to_string(annex.join("undo/round")).unwrap(), format!("{}", round - 1));
        }
        // What the swap left in the trash is gone too.
        let mut left: Vec<_> = fs::read_dir(&annex).unwrap().map(|name| name.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, if round > 0 { vec!["restored", "undo"] } else { vec!["restored"] });
    }
    assert_eq!(fs::metadata(&annex).unwrap().mode() & 0o7777, 0o700);
    assert_eq!(to.recover().unwrap(), Recovered::Nothing);
    assert_eq!(to.restored_job().unwrap(), Some(JOB));
    assert_eq!(from.restored_job().unwrap(), None);
}

#[test]
fn the_root_keeps_its_mode() {
    let (temp, from, to) = places();
    fs::create_dir(temp.path().join("to")).unwrap();
    fs::set_permissions(temp.path().join("to"), fs::Permissions::from_mode(0o2751)).unwrap();
    copy(&from.snapshot().unwrap(), &to);
    assert_eq!(fs::metadata(temp.path().join("to")).unwrap().mode() & 0o7777, 0o2751);
}

#[test]
fn root_gives_everything_to_the_owner_of_the_state() {
    if !geteuid().is_root() {
        return; // Only root can give files away.
    }
    let (temp, from, to) = places();
    rich_tree(&temp.path().join("from"));
    fs::create_dir(temp.path().join("to")).unwrap();
    lchown(temp.path().join("from/d/up"), Some(1), Some(1)).unwrap();
    chown(temp.path().join("to"), Some(4711), Some(815)).unwrap();
    copy(&from.snapshot().unwrap(), &to);
    for name in ["", "d", "d/.hidden", "d/up", "d/deep/er/empty"] {
        let meta = fs::symlink_metadata(temp.path().join("to").join(name)).unwrap();
        assert_eq!((meta.uid(), meta.gid()), (4711, 815), "{name}");
    }
    assert!(contents(&from) == contents(&to), "giving a file away changed it");
}

#[test]
fn nothing_is_written_through_a_link() {
    let (temp, _, to) = places();
    let outside = temp.path().join("outside");
    fs::create_dir(&outside).unwrap();
    fs::write(outside.join("file"), "safe").unwrap();
    let mut staging = to.stage(JOB).unwrap();
    staging.symlink(&link("a", outside.to_str().unwrap())).unwrap();
    staging.symlink(&link("f", outside.join("file").to_str().unwrap())).unwrap();
    staging.directory(&directory("d")).unwrap();
    staging.symlink(&link("d/up", "..")).unwrap();

    let no_directory = |path: &str| format!("'{path}' is refused: what holds it is no directory");
    assert_eq!(refusal(staging.file(&file("a/b", 1))), no_directory("a/b"));
    assert_eq!(refusal(staging.directory(&directory("a/b"))), no_directory("a/b"));
    assert_eq!(refusal(staging.symlink(&link("a/b", "x"))), no_directory("a/b"));
    assert_eq!(refusal(staging.file(&file("d/up/b", 1))), no_directory("d/up/b"));
    assert_eq!(refusal(staging.file(&file("d/up/d/b", 1))), no_directory("d/up/d/b"));
    complete(&mut staging, &["d"]);
    staging.seal().unwrap().swap().unwrap();
    assert_eq!(fs::read_dir(&outside).unwrap().count(), 1);
    assert_eq!(fs::read_to_string(outside.join("file")).unwrap(), "safe");
}

#[test]
fn a_tree_swapped_under_our_hands_is_not_followed() {
    let (temp, _, to) = places();
    fs::create_dir(temp.path().join("outside")).unwrap();
    let mode = || fs::metadata(temp.path().join("outside")).unwrap().mode();
    let before = mode();
    let mut staging = to.stage(JOB).unwrap();
    staging.directory(&directory("d")).unwrap();
    let staged = temp.path().join(".to.fabric-backup/staging/d");
    fs::remove_dir(&staged).unwrap();
    symlink(temp.path().join("outside"), &staged).unwrap();
    refusal(staging.file(&file("d/b", 1)));
    complete(&mut staging, &["d"]);
    let Err(error) = staging.seal() else { panic!("a link was taken for a directory") };
    assert_eq!(error.to_string(), "restoring the attributes of 'd' failed");
    assert_eq!(mode(), before);
}

#[test]
fn an_entry_that_fits_nowhere_is_refused() {
    let (_temp, _, to) = places();
    let mut staging = to.stage(JOB).unwrap();
    staging.directory(&directory("d")).unwrap();
    fill(&mut staging, &file("f", 1), b"x");
    let early = "'none/b' is refused: its directory does not come before it";
    assert_eq!(refusal(staging.file(&file("none/b", 1))), early);
    assert_eq!(refusal(staging.file(&file("f/b", 1))), "'f/b' is refused: what holds it is no directory");
    for twice in [refusal(staging.directory(&directory("d"))), refusal(touch(&mut staging, "d"))] {
        assert_eq!(twice, "'d' is refused: the backup holds it twice");
    }
    assert_eq!(refusal(touch(&mut staging, "f")), "'f' is refused: the backup holds it twice");
    assert_eq!(refusal(staging.symlink(&link("f", "x"))), "'f' is refused: the backup holds it twice");
    for kind in [refusal(staging.file(&directory("e"))), refusal(staging.directory(&file("e", 1)))] {
        assert_eq!(kind, "'e' is refused: it is of another kind");
    }
}

#[test]
fn a_directory_is_completed_after_the_one_it_is_in_and_only_once_all_was_made() {
    let (temp, _, to) = places();
    let mut staging = to.stage(JOB).unwrap();
    for path in ["d", "d/e", "d.beside"] {
        staging.directory(&directory(path)).unwrap();
    }
    fill(&mut staging, &file("d/e/f", 1), b"x");
    complete(&mut staging, &["d"]);
    let early = |path: &str| format!("'{path}' is refused: its directory does not come before it");
    assert_eq!(refusal(staging.complete(&directory("d.beside/e"))), early("d.beside/e"));
    assert_eq!(refusal(staging.complete(&directory("d/e"))), early("d/e"));
    assert_eq!(refusal(staging.complete(&file("d", 1))), "'d' is refused: it is of another kind");
    assert!(refusal(staging.seal()).ends_with("it was not restored to its end"));
    assert!(!temp.path().join("to").exists());
}

#[test]
fn a_file_is_filled_by_many_threads_and_rests_between() {
    let (temp, _, to) = places();
    let mut staging = to.stage(JOB).unwrap();
    let sink = staging.file(&file("f", 64 * 100 + 7)).unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let sink = &sink;
            scope.spawn(move || {
                for at in (u64::from(thread)..64).step_by(4) {
                    sink.write_at(at * 100, &[thread + 1; 100]).unwrap();
                    sink.rest();
                }
            });
        }
    });
    sink.finish().unwrap();
    staging.seal().unwrap().swap().unwrap();
    let (file, written) = (temp.path().join("to/f"), (0..6400).map(|at| [1, 2, 3, 4][at / 100 % 4]));
    assert!(fs::read(&file).unwrap() == written.chain([0; 7]).collect::<Vec<u8>>());
    let meta = fs::metadata(file).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec()), (0o640, 1, 2));
}

#[test]
fn a_deep_tree_is_restored_with_few_descriptors_and_in_good_time() {
    few_descriptors();
    let (temp, began) = (tempfile::tempdir_in(fast()).unwrap(), Instant::now());
    let to = Source::directory(temp.path().join("to"));
    let mut staging = to.stage(JOB).unwrap();
    let path = vec!["d"; 5000].join("/");
    for level in 1..=5000 {
        staging.directory(&directory(&path[..2 * level - 1])).unwrap();
    }
    fill(&mut staging, &file(&format!("{path}/f"), 4), b"deep");
    fill(&mut staging, &file("e", 4), b"flat");
    for level in 1..=5000 {
        staging.complete(&directory(&path[..2 * level - 1])).unwrap();
    }
    staging.seal().unwrap().swap().unwrap();
    let dressed = |entry: &Entry| (entry.mode, entry.mtime_s, entry.mtime_ns) == (0o640, 1, 2);
    let entries: Vec<_> = to.snapshot().unwrap().walk().collect::<Result<_, _>>().unwrap();
    assert_eq!((entries.len(), entries.iter().filter(|entry| dressed(entry)).count()), (5002, 5002));
    assert!(began.elapsed() < Duration::from_secs(20), "it took {:?}", began.elapsed());
    delete(temp);
}

#[test]
fn a_file_takes_no_more_bytes_than_its_length() {
    let (_temp, _, to) = places();
    let mut staging = to.stage(JOB).unwrap();
    let sink = staging.file(&file("f", 10)).unwrap();
    sink.write_at(8, b"ok").unwrap();
    for (offset, data) in [(9, b"no"), (11, b"no"), (u64::MAX, b"no")] {
        assert_eq!(refusal(sink.write_at(offset, data)), "'f' is refused: the backup holds more bytes than its length");
    }
}

#[test]
fn a_tree_with_an_unfinished_file_is_not_sealed() {
    let (temp, _, to) = places();
    let mut staging = to.stage(JOB).unwrap();
    fill(&mut staging, &file("done", 2), b"ok");
    drop(staging.file(&file("f", 10)).unwrap());
    assert!(refusal(staging.seal()).ends_with("it was not restored to its end"));
    assert!(!temp.path().join("to").exists());
}

#[test]
fn a_dropped_staging_leaves_nothing_whatever_its_modes() {
    let (temp, _, to) = places();
    let leftovers = || fs::read_dir(temp.path().join(".to.fabric-backup")).unwrap().count();
    let stage = || {
        let mut staging = to.stage(JOB).unwrap();
        let directories = [Entry { mode: 0, ..directory("d") }, Entry { mode: 0o500, ..directory("d/e") }];
        for entry in &directories {
            staging.directory(entry).unwrap();
        }
        fill(&mut staging, &file("d/e/f", 1), b"x");
        for entry in &directories {
            staging.complete(entry).unwrap();
        }
        staging
    };
    drop(stage());
    assert_eq!(leftovers(), 0);
    drop(stage().seal().unwrap());
    assert_eq!(leftovers(), 0);
    assert!(!temp.path().join("to").exists());
}

#[test]
fn two_restores_of_one_state_do_not_meet() {
    let (_temp, _, to) = places();
    let staging = to.stage(JOB).unwrap();
    assert!(matches!(to.stage(JOB), Err(SourceError::Busy { .. })));
    assert!(matches!(to.recover(), Err(SourceError::Busy { .. })));
    drop(staging);
    drop(to.stage(JOB).unwrap());
}

#[test]
fn a_state_that_cannot_be_swapped_is_refused_before_anything_is_made() {
    let why = Source::directory("/proc").stage(JOB).unwrap_err().to_string();
    let advice = "it is a mount point; move the state into a directory inside it and configure that";
    assert_eq!(why, format!("the state '/proc' cannot be swapped: {advice}"));
    assert!(!Path::new("/.proc.fabric-backup").exists());
}

#[test]
fn only_a_directory_can_be_replaced() {
    let (temp, _, to) = places();
    symlink(temp.path().join("from"), temp.path().join("to")).unwrap();
    assert!(to.stage(JOB).unwrap_err().to_string().contains("is a symbolic link"));
    fs::remove_file(temp.path().join("to")).unwrap();
    fs::write(temp.path().join("to"), "").unwrap();
    assert!(to.stage(JOB).unwrap_err().to_string().ends_with("is not a directory"));
}
