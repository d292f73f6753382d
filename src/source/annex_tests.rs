use std::{cell::Cell, fs, os::unix::fs::PermissionsExt, path::PathBuf};

use rustix::io::Errno;
use tempfile::TempDir;
use uuid::Uuid;

use super::{
    super::{
        Source, SourceError,
        crash::tests::{keep, killed_after, let_go},
        trees::{as_nobody, chain, fast, few_descriptors},
    },
    Recovered,
};
use crate::domain::{Entry, EntryKind, TreePath};

const JOB: Uuid = Uuid::from_u128(2);

/// A state `old` with the undo point `older`, or nothing at all.
struct Place {
    temp: TempDir,
    source: Source,
}

impl Place {
    fn empty() -> Self {
        let temp = tempfile::tempdir_in(fast()).unwrap();
        let source = Source::directory(temp.path().join("state"));
        Self { temp, source }
    }

    fn restored_before() -> Self {
        let place = Self::empty();
        place.restore(Uuid::from_u128(0), "older").unwrap();
        place.restore(Uuid::from_u128(1), "old").unwrap();
        place
    }

    /// Killed as soon as the trees had changed places.
    fn just_exchanged() -> Self {
        for steps in 0.. {
            let place = Self::restored_before();
            assert!(killed_after(steps, || drop(place.restore(JOB, "new"))), "no step exchanged the trees");
            if place.state().as_deref() == Some("new") {
                return place;
            }
        }
        unreachable!("a restore has an end");
    }

    fn restore(&self, job: Uuid, word: &str) -> Result<(), SourceError> {
        let mut staging = self.source.stage(job)?;
        let entry =
            |path, kind| Entry { path: TreePath::parse(path).unwrap(), kind, mode: 0o700, mtime_s: 0, mtime_ns: 0 };
        for path in ["a", "d/b"] {
            if path == "d/b" {
                staging.directory(&entry("d", EntryKind::Directory))?;
            }
            let sink = staging.file(&entry(path, EntryKind::File { len: word.len() as u64 }))?;
            sink.write_at(0, word.as_bytes())?;
            sink.finish()?;
        }
        staging.complete(&entry("d", EntryKind::Directory))?;
        staging.seal()?.swap()
    }

    fn path(&self, name: &str) -> PathBuf {
        self.temp.path().join(name)
    }

    fn annex(&self, name: &str) -> PathBuf {
        self.path(".state.fabric-backup").join(name)
    }

    /// What is thrown away and not deleted yet.
    fn trash(&self) -> Vec<PathBuf> {
        let names = fs::read_dir(self.annex("")).unwrap().map(|entry| entry.unwrap().file_name());
        names.filter(|name| name.to_string_lossy().starts_with("trash")).map(|name| self.annex("").join(name)).collect()
    }

    /// The word that both files of a tree say; a tree of two minds fails the test.
    fn word(&self, tree: &str) -> Option<String> {
        let tree = self.path(tree);
        if !tree.exists() {
            return None;
        }
        let [a, b] = ["a", "d/b"].map(|path| fs::read_to_string(tree.join(path)).expect("half a tree"));
        assert_eq!(a, b, "a mixed tree");
        Some(a)
    }

    fn state(&self) -> Option<String> {
        self.word("state")
    }

    fn undo(&self) -> Option<String> {
        self.word(".state.fabric-backup/undo")
    }

    /// What must hold after a restore over `before` (state and undo point) was killed and recovered.
    fn assert_whole(&self, recovered: Recovered, before: [Option<&str>; 2]) {
        let restored = self.source.restored_job().unwrap() == Some(JOB);
        let undo = before[0].or(before[1]);
        let expected = if restored { [Some("new"), undo] } else { before };
        assert_eq!([self.state().as_deref(), self.undo().as_deref()], expected);
        match recovered {
            Recovered::Restored(job) => assert!(restored && job == JOB),
            Recovered::Discarded => assert!(!restored),
            Recovered::Nothing => {}
        }
        for left in fs::read_dir(self.annex("")).into_iter().flatten() {
            let left = left.unwrap().file_name();
            assert!(left == "undo" || left == "restored", "{} is left over", left.display());
        }
        assert_eq!(self.source.recover().unwrap(), Recovered::Nothing);
    }
}

/// Kills a restore at each of its steps. Answers what recovery found, step by step.
fn kill_everywhere(place: impl Fn() -> Place, recover: impl Fn(&Place) -> Recovered) -> Vec<Recovered> {
    let mut found = Vec::new();
    for steps in 0.. {
        let place = place();
        let before = [place.state(), place.undo()];
        let before = [before[0].as_deref(), before[1].as_deref()];
        let killed = killed_after(steps, || drop(place.restore(JOB, "new")));
        let (state, _whole) = (place.state(), place.undo());
        assert!(state.as_deref() == Some("new") || state.as_deref() == before[0], "{state:?} after {steps} steps");
        let recovered = recover(&place);
        place.assert_whole(recovered, before);
        if !killed {
            return found;
        }
        found.push(recovered);
    }
    unreachable!("a restore has an end");
}

fn recover(place: &Place) -> Recovered {
    place.source.recover().unwrap()
}

#[test]
fn a_restore_killed_at_any_step_leaves_the_old_state_or_the_new() {
    let found = kill_everywhere(Place::restored_before, recover);
    for recovered in [Recovered::Nothing, Recovered::Discarded, Recovered::Restored(JOB)] {
        assert!(found.contains(&recovered), "no kill led to {recovered:?}");
    }
}

#[test]
fn a_first_restore_killed_at_any_step_leaves_no_state_or_the_new() {
    let found = kill_everywhere(Place::empty, recover);
    assert!(found.contains(&Recovered::Discarded) && found.contains(&Recovered::Restored(JOB)));
}

#[test]
fn a_recovery_killed_at_any_step_is_finished_by_the_next() {
    for place in [Place::restored_before, Place::empty] {
        for steps in 0.. {
            let some_killed = Cell::new(false);
            kill_everywhere(place, |place| {
                let mut first = None;
                let killed = killed_after(steps, || first = place.source.recover().ok());
                some_killed.set(some_killed.get() || killed);
                let second = recover(place);
                first.unwrap_or(second)
            });
            if !some_killed.get() {
                break;
            }
        }
    }
}

#[test]
fn a_recovery_tells_what_happened_even_if_it_cannot_clear_up() {
    for steps in 0.. {
        let (place, mut recovered) = (Place::just_exchanged(), None);
        let killed = killed_after(steps, || recovered = place.source.recover().ok());
        if recovered == Some(Recovered::Restored(JOB)) {
            assert!(killed && place.trash().len() == 1, "it told only after clearing up");
            return;
        }
    }
}

#[test]
fn the_next_restore_clears_what_a_killed_one_left() {
    for steps in 0.. {
        let place = Place::restored_before();
        let killed = killed_after(steps, || drop(place.restore(JOB, "new")));
        place.restore(Uuid::from_u128(3), "newer").unwrap();
        assert_eq!(place.state().as_deref(), Some("newer"));
        assert!(matches!(place.undo().as_deref(), Some("old" | "new")));
        if !killed {
            return;
        }
    }
}

#[test]
fn a_staging_tree_deleted_by_hand_is_no_restore() {
    for steps in 0.. {
        let place = Place::restored_before();
        assert!(killed_after(steps, || drop(place.restore(JOB, "new"))), "no step noted its intent");
        if place.annex("intent").exists() {
            fs::remove_dir_all(place.annex("staging")).unwrap();
            assert_eq!(recover(&place), Recovered::Discarded);
            assert_eq!([place.state().as_deref(), place.undo().as_deref()], [Some("old"), Some("older")]);
            return;
        }
    }
}

#[test]
fn a_previous_state_is_not_lost_when_the_restored_one_was_moved_away() {
    let place = Place::just_exchanged();
    fs::rename(place.path("state"), place.path("moved")).unwrap();
    fs::create_dir(place.path("state")).unwrap();
    assert_eq!(recover(&place), Recovered::Restored(JOB));
    assert_eq!(place.undo().as_deref(), Some("old"));
}

#[test]
fn a_damaged_note_stops_everything() {
    let place = Place::restored_before();
    fs::write(place.annex("intent"), "gibberish").unwrap();
    let trouble = |error: SourceError| error.to_string().starts_with("reading what was restored last of");
    assert!(place.source.recover().is_err_and(trouble));
    assert!(place.source.stage(JOB).is_err());
    assert_eq!([place.state().as_deref(), place.undo().as_deref()], [Some("old"), Some("older")]);
}

#[test]
fn a_state_that_was_never_restored_has_nothing_to_recover() {
    let place = Place::empty();
    fs::create_dir(place.path("state")).unwrap();
    assert_eq!(recover(&place), Recovered::Nothing);
    assert_eq!(place.source.restored_job().unwrap(), None);
    assert_eq!(fs::read_dir(place.temp.path()).unwrap().count(), 1, "looking made something");
}

#[test]
fn what_cannot_be_deleted_blocks_no_restore_and_goes_when_it_can() {
    let place = Place::restored_before();
    keep(c"b", Errno::PERM);
    for (round, word) in ["one", "two", "three", "four"].into_iter().enumerate() {
        let before = place.state();
        place.restore(Uuid::from_u128(round as u128 + 9), word).unwrap();
        assert_eq!((place.state().as_deref(), place.undo()), (Some(word), before));
        assert_eq!(place.trash().len(), round + 1);
    }
    drop(place.source.stage(JOB).unwrap());
    assert_eq!(recover(&place), Recovered::Nothing);
    let kept = |trash: &PathBuf| trash.join("d/b").exists() && !trash.join("a").exists();
    assert!(place.trash().len() == 4 && place.trash().iter().all(kept), "too much or too little was deleted");
    let_go();
    assert_eq!(recover(&place), Recovered::Nothing);
    assert!(place.trash().is_empty());
    assert_eq!([place.state().as_deref(), place.undo().as_deref()], [Some("four"), Some("three")]);
}

#[test]
fn a_discarded_tree_that_cannot_be_deleted_blocks_no_restore() {
    let place = Place::restored_before();
    fs::create_dir(place.annex("staging")).unwrap();
    fs::write(place.annex("staging/stuck"), "").unwrap();
    keep(c"stuck", Errno::BUSY);
    assert_eq!(recover(&place), Recovered::Discarded);
    place.restore(JOB, "new").unwrap();
    assert_eq!([place.state().as_deref(), place.undo().as_deref()], [Some("new"), Some("old")]);
    assert_eq!(place.trash().len(), 1);
    let_go();
}

#[test]
fn deep_trees_are_cleared_at_start_with_few_descriptors() {
    few_descriptors();
    let place = Place::restored_before();
    // The first as an earlier version named it.
    for tree in ["trash", "trash-of-late", "staging"] {
        fs::create_dir(place.annex(tree)).unwrap();
        chain(&place.annex(tree), "d", 9000);
    }
    assert_eq!(recover(&place), Recovered::Discarded);
    assert!(place.trash().is_empty());
    assert!(!place.annex("staging").exists());
}

#[test]
fn a_deep_state_becomes_the_undo_point_and_goes_with_the_next_restore() {
    few_descriptors();
    let place = Place::empty();
    fs::create_dir(place.path("state")).unwrap();
    chain(&place.path("state"), "d", 9000);
    for word in ["one", "two", "three"] {
        place.restore(JOB, word).unwrap();
    }
    assert_eq!([place.state().as_deref(), place.undo().as_deref()], [Some("three"), Some("two")]);
    assert!(place.trash().is_empty());
}

#[test]
fn a_swap_that_would_not_be_permitted_is_refused_before_anything_is_restored() {
    as_nobody(unpermitted_swaps_are_refused);
}

fn unpermitted_swaps_are_refused() {
    let home = tempfile::tempdir().unwrap();
    let state = home.path().join("state");
    fs::create_dir(&state).unwrap();
    // The place for restores is there: only the swap itself is forbidden.
    drop(Source::directory(&state).stage(JOB).unwrap());
    for (closed, named) in [(state.as_path(), "state' is closed"), (home.path(), "state/..' is closed")] {
        fs::set_permissions(closed, fs::Permissions::from_mode(0o500)).unwrap();
        let refused = Source::directory(&state).stage(JOB).unwrap_err();
        fs::set_permissions(closed, fs::Permissions::from_mode(0o700)).unwrap();
        assert!(matches!(refused, SourceError::Denied { .. }) && refused.to_string().contains(named), "{refused}");
    }
}
