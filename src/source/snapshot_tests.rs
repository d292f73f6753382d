use std::{
    error::Error,
    ffi::OsStr,
    fs,
    io::{self, Read, Write},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt, fs::symlink, net::UnixListener},
    path::{Path, PathBuf},
};

use chrono::{DateTime, TimeDelta, Utc};
use rustix::fs::{CWD, Mode, OFlags, mkfifoat, openat};
use tempfile::TempDir;

use super::{
    super::{
        Source, SourceError,
        trees::{as_nobody, chain, delete, fast, few_descriptors},
        walk::{Look, Walker},
    },
    Snapshot,
};
use crate::{
    clock::Clock,
    domain::{Entry, EntryKind},
};

/// A state with a file at the root, files in a directory and one beside it.
struct State {
    _temp: TempDir,
    root: PathBuf,
}

impl State {
    fn new() -> Self {
        let temp = tempfile::tempdir().unwrap();
        let root = temp.path().join("parent/state");
        fs::create_dir_all(root.join("d/deep")).unwrap();
        for name in ["a", "d/b", "d/deep/c", "d.beside", "e"] {
            fs::write(root.join(name), "0123456789").unwrap();
        }
        Self { _temp: temp, root }
    }

    fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.root.join(name)
    }

    fn snapshot(&self) -> Snapshot {
        self.try_snapshot().unwrap()
    }

    fn try_snapshot(&self) -> Result<Snapshot, SourceError> {
        Source::directory(&self.root).snapshot()
    }
}

fn entries(snapshot: &Snapshot) -> Vec<Entry> {
    snapshot.walk().collect::<Result<_, _>>().unwrap()
}

fn paths(snapshot: &Snapshot) -> Vec<String> {
    entries(snapshot).iter().map(|entry| entry.path.as_str().to_owned()).collect()
}

fn entry(snapshot: &Snapshot, path: &str) -> Entry {
    entries(snapshot).into_iter().find(|entry| entry.path.as_str() == path).unwrap()
}

fn read(snapshot: &Snapshot, path: &str) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    snapshot.open(&entry(snapshot, path))?.read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[track_caller]
fn assert_changed<T>(result: Result<T, SourceError>, at: &str) {
    match result.map(drop) {
        Err(SourceError::Changed { path }) => assert_eq!(path, at),
        other => panic!("expected a change of '{at}', got {other:?}"),
    }
}

fn message(result: Result<Snapshot, SourceError>) -> String {
    result.map(drop).unwrap_err().to_string()
}

#[test]
fn a_walk_is_depth_first_in_byte_order_and_the_same_each_time() {
    let state = State::new();
    fs::write(state.path(".hidden"), "").unwrap();
    fs::create_dir(state.path("empty")).unwrap();
    let snapshot = state.snapshot();
    let expected = [".hidden", "a", "d", "d/b", "d/deep", "d/deep/c", "d.beside", "e", "empty"];
    assert_eq!(paths(&snapshot), expected);
    assert_eq!(paths(&snapshot), expected);
    assert_eq!((snapshot.entries(), snapshot.bytes()), (9, 50));
    snapshot.verify().unwrap();
}

#[test]
fn an_entry_tells_kind_mode_and_time() {
    let state = State::new();
    let before_1970 = std::time::UNIX_EPOCH - std::time::Duration::new(7, 250_000_000);
    fs::File::options().write(true).open(state.path("a")).unwrap().set_modified(before_1970).unwrap();
    fs::set_permissions(state.path("a"), fs::Permissions::from_mode(0o4751)).unwrap();
    fs::set_permissions(state.path("d"), fs::Permissions::from_mode(0o1777)).unwrap();
    symlink("no/where", state.path("dangling")).unwrap();
    symlink("/etc", state.path("etc")).unwrap();
    let snapshot = state.snapshot();

    let a = entry(&snapshot, "a");
    assert_eq!((a.kind, a.mode, a.mtime_s, a.mtime_ns), (EntryKind::File { len: 10 }, 0o4751, -8, 750_000_000));
    let d = entry(&snapshot, "d");
    assert_eq!((d.kind, d.mode), (EntryKind::Directory, 0o1777));
    assert_eq!(entry(&snapshot, "dangling").kind, EntryKind::Symlink { target: "no/where".into() });
    assert_eq!(entry(&snapshot, "etc").kind, EntryKind::Symlink { target: "/etc".into() });
    assert!(!paths(&snapshot).iter().any(|path| path.starts_with("etc/")), "a link was followed");
}

#[test]
fn a_file_reads_as_its_bytes() {
    let state = State::new();
    fs::write(state.path("empty"), "").unwrap();
    fs::hard_link(state.path("a"), state.path("d/same")).unwrap();
    fs::File::create(state.path("sparse")).unwrap().set_len(3 << 20).unwrap();
    let snapshot = state.snapshot();
    assert_eq!(read(&snapshot, "d/deep/c").unwrap(), b"0123456789");
    assert_eq!(read(&snapshot, "a").unwrap(), read(&snapshot, "d/same").unwrap());
    assert_eq!(read(&snapshot, "empty").unwrap(), b"");
    assert_eq!(read(&snapshot, "sparse").unwrap(), vec![0; 3 << 20]);
    snapshot.verify().unwrap();
}

#[test]
fn files_open_in_any_order() {
    let state = State::new();
    let snapshot = state.snapshot();
    for path in ["e", "a", "d/deep/c", "d/b", "d.beside", "a"] {
        assert_eq!(read(&snapshot, path).unwrap(), b"0123456789");
    }
}

#[test]
fn what_no_backup_carries_is_skipped_with_a_note() {
    let state = State::new();
    let _socket = UnixListener::bind(state.path("d/socket")).unwrap();
    mkfifoat(CWD, state.path("fifo"), Mode::RWXU).unwrap();
    mkfifoat(CWD, state.path(OsStr::from_bytes(b"odd\xff")), Mode::RWXU).unwrap();
    let snapshot = state.snapshot();
    assert_eq!(snapshot.skipped().count, 3);
    assert_eq!(snapshot.skipped().examples, ["d/socket (socket)", "fifo (fifo)", "odd\\xff (fifo)"]);
    let note = "3 left out, as no backup carries them: d/socket (socket), fifo (fifo), odd\\xff (fifo)";
    assert_eq!(snapshot.skipped().to_string(), note);
    assert_eq!(snapshot.entries(), 7);
    snapshot.verify().unwrap();
}

#[test]
fn the_note_of_skipped_things_is_bounded() {
    let state = State::new();
    for number in 0..25 {
        mkfifoat(CWD, state.path(format!("f{number:02}")), Mode::RWXU).unwrap();
    }
    let snapshot = state.snapshot();
    assert_eq!((snapshot.skipped().count, snapshot.skipped().examples.len()), (25, 10));
    assert!(snapshot.skipped().to_string().ends_with("f09 (fifo), ..."));
}

#[test]
fn a_name_or_target_that_is_not_utf8_is_an_error_that_names_it() {
    let state = State::new();
    fs::write(state.path(OsStr::from_bytes(b"d/\xc3\xbcbad\xff")), "").unwrap();
    assert_eq!(message(state.try_snapshot()), r"the name of 'd/übad\xff' is not UTF-8, which a backup cannot carry");

    let state = State::new();
    symlink(OsStr::from_bytes(b"\xff"), state.path("d/link")).unwrap();
    assert_eq!(message(state.try_snapshot()), "the link target of 'd/link' is not UTF-8, which a backup cannot carry");
}

#[test]
fn the_root_must_be_a_directory() {
    let state = State::new();
    symlink(&state.root, state.root.with_file_name("link")).unwrap();
    let why = |path: PathBuf| message(Source::directory(path).snapshot());
    assert!(why(state.path("none")).ends_with("/state/none' does not exist"));
    assert!(why(state.path("none/none")).ends_with("/state/none/none' does not exist"));
    assert!(why(state.path("a")).ends_with("/state/a' is not a directory"));
    assert!(
        why(state.root.with_file_name("link"))
            .ends_with("is a symbolic link; configure the directory that it points to")
    );
    assert!(why("/".into()).ends_with("is no directory with a name and a parent"));
}

#[test]
fn each_change_after_the_snapshot_is_named() {
    type Change = fn(&State);
    let changes: [(&str, &str, Change); 13] = [
        ("appended", "d/b", |s| fs::write(s.path("d/b"), "0123456789+").unwrap()),
        ("truncated", "d/b", |s| fs::write(s.path("d/b"), "").unwrap()),
        ("overwritten", "d/b", |s| fs::write(s.path("d/b"), "9876543210").unwrap()),
        ("mode", "d/b", |s| fs::set_permissions(s.path("d/b"), fs::Permissions::from_mode(0o600)).unwrap()),
        ("added", "d/added", |s| fs::write(s.path("d/added"), "").unwrap()),
        ("added last", "z", |s| fs::write(s.path("z"), "").unwrap()),
        ("added directory", "d/new", |s| fs::create_dir(s.path("d/new")).unwrap()),
        ("deleted", "d", |s| fs::remove_file(s.path("d/b")).unwrap()),
        ("deleted last", ".", |s| fs::remove_file(s.path("e")).unwrap()),
        ("directory deleted", "d", |s| fs::remove_dir_all(s.path("d/deep")).unwrap()),
        ("replaced by itself", "d/b", |s| {
            fs::copy(s.path("d/b"), s.path("d/b.new")).unwrap();
            fs::rename(s.path("d/b.new"), s.path("d/b")).unwrap();
        }),
        ("replaced by a link", "d/deep", |s| {
            fs::rename(s.path("d/deep"), s.root.with_file_name("moved")).unwrap();
            symlink(s.root.with_file_name("moved"), s.path("d/deep")).unwrap();
        }),
        ("came and went", "d", |s| {
            fs::write(s.path("d/brief"), "").unwrap();
            fs::remove_file(s.path("d/brief")).unwrap();
        }),
    ];
    for (what, at, change) in changes {
        let state = State::new();
        let snapshot = state.snapshot();
        change(&state);
        println!("{what}");
        assert_changed(snapshot.verify(), at);
        assert_eq!(paths(&snapshot), ["a", "d", "d/b", "d/deep", "d/deep/c", "d.beside", "e"], "what was seen moved");
    }
}

#[test]
fn an_error_is_one_line_whatever_the_name() {
    let state = State::new();
    let snapshot = state.snapshot();
    fs::write(state.path("d/a\nb"), "").unwrap();
    assert_changed(snapshot.verify(), r"d/a\nb");
}

#[test]
fn a_restored_mtime_hides_no_change() {
    let state = State::new();
    let snapshot = state.snapshot();
    let mut file = fs::File::options().write(true).open(state.path("a")).unwrap();
    let modified = file.metadata().unwrap().modified().unwrap();
    file.write_all(b"9").unwrap();
    file.set_modified(modified).unwrap();
    assert_changed(snapshot.verify(), "a");
}

#[test]
fn a_state_replaced_as_a_whole_is_noticed() {
    let state = State::new();
    let snapshot = state.snapshot();
    // Moving what the state lies in leaves all its stamps as they are.
    let parent = state.root.parent().unwrap();
    fs::rename(parent, parent.with_file_name("moved")).unwrap();
    assert_changed(snapshot.verify(), ".");
    fs::create_dir_all(&state.root).unwrap();
    assert_changed(snapshot.verify(), ".");
}

#[test]
fn a_file_that_changed_before_it_is_opened_does_not_open() {
    type Change = fn(&State);
    let changes: [Change; 6] = [
        |s| fs::write(s.path("d/b"), "9876543210").unwrap(),
        |s| fs::remove_file(s.path("d/b")).unwrap(),
        |s| {
            fs::remove_file(s.path("d/b")).unwrap();
            symlink("/etc/passwd", s.path("d/b")).unwrap();
        },
        |s| {
            fs::remove_file(s.path("d/b")).unwrap();
            mkfifoat(CWD, s.path("d/b"), Mode::RWXU).unwrap();
        },
        |s| {
            fs::remove_file(s.path("d/b")).unwrap();
            drop(UnixListener::bind(s.path("d/b")).unwrap());
        },
        |s| {
            fs::rename(s.path("d"), s.root.with_file_name("moved")).unwrap();
            symlink(s.root.with_file_name("moved"), s.path("d")).unwrap();
        },
    ];
    for change in changes {
        let state = State::new();
        let snapshot = state.snapshot();
        let entry = entry(&snapshot, "d/b");
        change(&state);
        assert_changed(snapshot.open(&entry), "d/b");
    }
}

#[test]
fn a_file_that_changes_while_it_is_read_does_not_end_well() {
    type Change = fn(&Path);
    let changes: [Change; 4] = [
        |path| fs::write(path, "").unwrap(),
        |path| fs::write(path, "9876543210").unwrap(),
        |path| fs::File::options().append(true).open(path).unwrap().write_all(b"+").unwrap(),
        |path| fs::remove_file(path).unwrap(),
    ];
    for change in changes {
        let state = State::new();
        let snapshot = state.snapshot();
        let mut reader = snapshot.open(&entry(&snapshot, "a")).unwrap();
        reader.read_exact(&mut [0; 4]).unwrap();
        change(&state.path("a"));
        let error = reader.read_exact(&mut [0; 6]).unwrap_err();
        assert!(matches!(SourceError::find(&error), Some(SourceError::Changed { path }) if path == "a"), "{error}");
    }
}

#[test]
fn an_entry_of_another_walk_does_not_open() {
    let state = State::new();
    let snapshot = state.snapshot();
    fs::write(state.path("later"), "").unwrap();
    let later = entry(&state.snapshot(), "later");
    assert_changed(snapshot.open(&later), "later");
}

#[test]
fn a_snapshot_waits_until_a_change_cannot_repeat_a_stamp() {
    let state = State::new();
    fs::write(state.path("e"), "new").unwrap();
    let changed: DateTime<Utc> = state.path("e").metadata().unwrap().modified().unwrap().into();
    let _snapshot = state.snapshot();
    assert!(Clock::system().now() - changed >= TimeDelta::milliseconds(20));
}

#[test]
fn a_lack_of_permission_names_path_and_permission() {
    as_nobody(closed_files_are_named);
}

fn closed_files_are_named() {
    let state = State::new();
    fs::set_permissions(state.path("d/b"), fs::Permissions::from_mode(0o200)).unwrap();
    let snapshot = state.snapshot();
    let error = snapshot.open(&entry(&snapshot, "d/b")).unwrap_err();
    assert_eq!(error.to_string(), "'d/b' is closed to this process: it needs read permission on it");
    for mode in [0o300, 0o600] {
        fs::set_permissions(state.path("d"), fs::Permissions::from_mode(mode)).unwrap();
        let denied = message(state.try_snapshot());
        assert_eq!(denied, "'d' is closed to this process: it needs read and search permission on it");
    }
    fs::set_permissions(state.path("d"), fs::Permissions::from_mode(0o700)).unwrap();
}

#[test]
fn an_error_is_found_below_what_was_wrapped_around_it() {
    #[derive(Debug, thiserror::Error)]
    #[error("packing failed")]
    struct Packing(#[source] io::Error);

    let wrapped = Packing(io::Error::other(Packing(SourceError::changed("a").into())));
    let found = SourceError::find(&wrapped as &(dyn Error + 'static));
    assert!(matches!(found, Some(SourceError::Changed { path }) if path == "a"));
    assert!(SourceError::find(&io::Error::other("else")).is_none());
}

/// A chain of directories with a file at its end.
fn deep(name: &str, levels: usize) -> TempDir {
    let temp = tempfile::tempdir_in(fast()).unwrap();
    let end = chain(temp.path(), name, levels);
    let flags = OFlags::WRONLY | OFlags::CREATE;
    fs::File::from(openat(end, "f", flags, Mode::RWXU).unwrap()).write_all(b"deep").unwrap();
    temp
}

#[test]
fn a_deep_state_is_read_with_few_descriptors() {
    few_descriptors();
    let temp = deep("d", 3000);
    let snapshot = Source::directory(temp.path()).snapshot().unwrap();
    assert_eq!(snapshot.entries(), 3001);
    let path = format!("{}f", "d/".repeat(3000));
    assert_eq!(read(&snapshot, &path).unwrap(), b"deep");
    snapshot.verify().unwrap();
    delete(temp);
}

#[test]
fn a_path_that_no_backup_carries_is_refused_before_anything_is_read() {
    let temp = deep(&"d".repeat(250), 262);
    let error = Source::directory(temp.path()).snapshot().map(drop).unwrap_err();
    let why = error.source().unwrap().to_string();
    assert_eq!(why, "its path is longer than the 65535 bytes that a backup can carry");
    assert!(error.to_string().len() < 2000, "the whole path is no help");
    delete(temp);
}

#[test]
fn a_directory_that_is_moved_during_a_walk_leads_nowhere() {
    let temp = deep("d", 40);
    fs::write(temp.path().join("last"), "").unwrap();
    let root = fs::File::open(temp.path()).unwrap().into();
    let (mut walker, _) = Walker::start(&root, Look::AsIs).unwrap();
    assert_eq!(walker.by_ref().take(41).flatten().count(), 41);
    fs::rename(temp.path().join("d/d/d/d"), temp.path().join("moved")).unwrap();
    assert_changed(walker.try_for_each(|found| found.map(drop)), "d/d/d/d");
}
