//! A backup that is cut off in the middle, and what the next process makes of it.

use std::{
    fs,
    os::unix::fs::MetadataExt,
    path::PathBuf,
    sync::{Arc, Mutex},
};

use chrono::TimeDelta;

use super::{
    Engine, Hosted,
    tests::{NOTHING, Node, ONE, On, catalog, files, go, run, storage},
};
use crate::{
    archive,
    domain::{FailureCode, Parent, Wanted},
    job::State,
    ledger::Embedded,
    spool::Spools,
    storage::faulty::{Call, Moment, Observer, Verb, Verdict},
};

/// Every chunk is marked, so that a piece goes to the store for each.
const DISTANCE: u64 = 1;

/// Hangs at the n-th piece, and tells who waits for it. By then the marks of the pieces before the one before it are safe.
fn hang_at_piece(number: usize) -> (Arc<dyn Observer>, Arc<tokio::sync::Semaphore>) {
    let (hung, pieces) = (Arc::new(tokio::sync::Semaphore::new(0)), Mutex::new(0));
    let tell = hung.clone();
    let observer = On(move |call: &Call, moment| {
        if (call.verb, moment) == (Verb::Part, Moment::Before) {
            *pieces.lock().unwrap() += 1;
            if *pieces.lock().unwrap() == number {
                tell.add_permits(1);
                return Verdict::Hang;
            }
        }
        Verdict::Go
    });
    (Arc::new(observer), hung)
}

/// Notes what the store is asked to do.
fn record() -> (Arc<dyn Observer>, Arc<Mutex<Vec<Verb>>>) {
    let calls = Arc::new(Mutex::new(vec![]));
    let told = calls.clone();
    let observer = On(move |call: &Call, moment| {
        if moment == Moment::Before {
            told.lock().unwrap().push(call.verb);
        }
        Verdict::Go
    });
    (Arc::new(observer), calls)
}

fn noise(len: usize) -> Vec<u8> {
    let mut bytes = vec![0; len];
    blake3::Hasher::new().finalize_xof().fill(&mut bytes);
    bytes
}

struct Cut {
    node: Node,
    journals: PathBuf,
}

impl Cut {
    /// A backup whose process ends at the n-th piece.
    async fn at(piece: usize) -> Self {
        let (observer, hung) = hang_at_piece(piece);
        let node = Node::over(Embedded::in_memory().unwrap(), observer, 1, 1);
        let journals = node.root.path().join("resume");
        fs::create_dir(&journals).unwrap();
        fs::write(node.state(ONE).join("big"), noise(12 << 20)).unwrap();
        node.ask_backup(ONE).await;
        let engine = node.engine.clone().resuming(journals.clone(), DISTANCE);
        tokio::select! {
            _ = engine.work(ONE) => panic!("nothing hung"),
            permit = hung.acquire() => permit.unwrap().forget(),
        }
        Self { node, journals }
    }

    /// The next process.
    fn next(&self, observer: Arc<dyn Observer>) -> Engine {
        let hosted: Vec<Hosted> = self.node.engine.hosted.values().cloned().collect();
        let catalog = catalog(self.node.root.path(), &self.node.clock, observer);
        let engine = Engine::new(hosted, catalog, self.node.ledger.clone(), self.node.clock.clone(), 1);
        engine.resuming(self.journals.clone(), DISTANCE)
    }

    fn journals(&self) -> Vec<PathBuf> {
        files(&self.journals)
    }

    /// Every file of the state is in the backup as it is.
    async fn is_backed_up(&self) {
        let State::Succeeded(point) = self.node.backup(ONE).await else { panic!("{:?}", self.node.backup(ONE).await) };
        let store = catalog(self.node.root.path(), &self.node.clock, go());
        let store = store.open(&storage(self.node.root.path())).await.unwrap();
        let archive = archive::Archive::open(&store, &point.location, &Spools::in_memory()).await.unwrap();
        let checked = archive.check_blocks(Arc::default()).await.unwrap();
        assert!(checked.findings.is_empty(), "{:?}", checked.findings);
        let walk = crate::source::Source::directory(self.node.state(ONE)).snapshot().unwrap();
        let compared = archive.compare(walk.walk()).unwrap();
        assert!(compared.findings.is_empty(), "{:?}", compared.findings);
    }
}

#[test]
fn a_backup_that_was_cut_off_goes_on_in_the_object_that_is_there_and_sends_no_piece_again() {
    run(async {
        let cut = Cut::at(8).await;
        assert_eq!((cut.node.stored().len(), cut.journals().len()), (1, 1));
        let partial = fs::metadata(&cut.node.stored()[0]).unwrap();
        let (observer, calls) = record();
        cut.next(observer).work(ONE).await.unwrap();
        cut.is_backed_up().await;
        let calls = calls.lock().unwrap().clone();
        assert!(calls.contains(&Verb::Resume) && !calls.contains(&Verb::Create), "{calls:?}");
        let pieces = calls.iter().filter(|verb| **verb == Verb::Part).count();
        // 13 for all of it, the manifest with the last.
        assert!((6..=10).contains(&pieces), "{pieces} pieces");
        let whole = cut.node.stored().into_iter().find(|path| path.extension().is_some_and(|it| it == "zip"));
        assert_eq!(fs::metadata(whole.unwrap()).unwrap().ino(), partial.ino());
        assert!(cut.journals().is_empty());
    });
}

#[test]
fn a_backup_that_goes_on_keeps_its_name_and_is_of_the_time_when_it_goes_on() {
    run(async {
        let cut = Cut::at(8).await;
        let begun = cut.node.clock.now();
        cut.node.move_on(TimeDelta::seconds(90));
        fs::write(cut.node.state(ONE).join("late"), "written after the beginning").unwrap();
        cut.next(go()).work(ONE).await.unwrap();
        cut.is_backed_up().await;
        let State::Succeeded(point) = cut.node.backup(ONE).await else { panic!("not backed up") };
        assert_eq!(point.created, begun + TimeDelta::seconds(90));
        assert_eq!(archive::Place::of(&point.location).unwrap().1, begun);
    });
}

#[test]
fn an_incremental_backup_that_was_cut_off_goes_on_after_the_same_parent() {
    run(async {
        let (observer, hung) = hang_at_piece(8);
        let node = Node::over(Embedded::in_memory().unwrap(), observer, 1, 1);
        let journals = node.root.path().join("resume");
        fs::create_dir(&journals).unwrap();
        let cut = Cut { node, journals };
        let engine = cut.node.engine.clone().resuming(cut.journals.clone(), DISTANCE);
        cut.node.ask_backup(ONE).await;
        engine.work(ONE).await.unwrap();
        let State::Succeeded(full) = cut.node.backup(ONE).await else { panic!("not backed up") };
        // The last frames are packed beside each other and may go as one piece.
        fs::write(cut.node.state(ONE).join("big"), noise(32 << 20)).unwrap();
        cut.node.ask_backup(ONE).await;
        let wanted = Wanted::Incremental(Parent { id: full.id, location: full.location.clone() });
        cut.node.change(ONE, |record| record.backup.as_mut().unwrap().task.wanted = wanted.clone()).await;
        tokio::select! {
            _ = engine.work(ONE) => panic!("nothing hung"),
            permit = hung.acquire() => permit.unwrap().forget(),
        }
        let (observer, calls) = record();
        cut.next(observer).work(ONE).await.unwrap();
        cut.is_backed_up().await;
        let State::Succeeded(point) = cut.node.backup(ONE).await else { panic!("not backed up") };
        assert_eq!(point.parent.map(|parent| parent.id), Some(full.id));
        assert!(!calls.lock().unwrap().contains(&Verb::Create));
    });
}

#[test]
fn a_backup_that_is_cut_off_again_and_again_while_files_change_is_as_good_as_any() {
    run(async {
        let cut = Cut::at(5).await;
        for round in 0..4 {
            fs::write(cut.node.state(ONE).join("a"), format!("round {round}")).unwrap();
            fs::write(cut.node.state(ONE).join(format!("c{round}")), noise(2 << 20)).unwrap();
            let (observer, hung) = hang_at_piece(4);
            let engine = cut.next(observer);
            tokio::select! {
                _ = engine.work(ONE) => panic!("nothing hung"),
                permit = hung.acquire() => permit.unwrap().forget(),
            }
        }
        cut.next(go()).work(ONE).await.unwrap();
        cut.is_backed_up().await;
    });
}

#[test]
fn a_backup_whose_time_ran_out_after_a_crash_leaves_neither_object_nor_journal() {
    run(async {
        let cut = Cut::at(6).await;
        cut.node.time_passes();
        cut.next(go()).work(ONE).await.unwrap();
        assert!(matches!(cut.node.backup(ONE).await, State::TimedOut(_)));
        assert_eq!((cut.node.stored(), cut.journals()), (NOTHING.into(), vec![]));
    });
}

#[test]
fn a_backup_that_is_cancelled_after_a_crash_leaves_neither_object_nor_journal() {
    run(async {
        let cut = Cut::at(6).await;
        cut.node.change(ONE, |record| record.backup.as_mut().unwrap().cancelled = true).await;
        cut.next(go()).work(ONE).await.unwrap();
        let State::Failed(failure) = cut.node.backup(ONE).await else { panic!("it goes on") };
        assert_eq!(failure.code, FailureCode::Aborted);
        assert_eq!((cut.node.stored(), cut.journals()), (NOTHING.into(), vec![]));
    });
}

#[test]
fn a_backup_starts_over_where_its_journal_or_its_object_is_not_what_it_was() {
    let spoil: [fn(&Cut); 4] = [
        |cut| fs::write(&cut.journals()[0], "no journal").unwrap(),
        |cut| fs::remove_file(&cut.journals()[0]).unwrap(),
        |cut| fs::write(&cut.node.stored()[0], "shorter").unwrap(),
        |cut| fs::remove_file(&cut.node.stored()[0]).unwrap(),
    ];
    for spoil in spoil {
        run(async {
            let cut = Cut::at(8).await;
            spoil(&cut);
            let (observer, calls) = record();
            cut.next(observer).work(ONE).await.unwrap();
            cut.is_backed_up().await;
            assert!(calls.lock().unwrap().contains(&Verb::Create));
            assert_eq!((cut.node.stored().len(), cut.journals().len()), (2, 0));
        });
    }
}

#[test]
fn a_backup_starts_over_where_most_of_it_has_changed_since() {
    run(async {
        let cut = Cut::at(8).await;
        fs::write(cut.node.state(ONE).join("big"), noise((12 << 20) + 1)).unwrap();
        let (observer, calls) = record();
        cut.next(observer).work(ONE).await.unwrap();
        cut.is_backed_up().await;
        assert!(calls.lock().unwrap().contains(&Verb::Create));
        let whole = cut.node.stored().into_iter().find(|path| path.extension().is_some_and(|it| it == "zip"));
        assert!(fs::metadata(whole.unwrap()).unwrap().len() < 13 << 20);
    });
}

#[test]
fn files_that_are_always_read_let_a_backup_start_over() {
    run(async {
        let mut cut = Cut::at(8).await;
        cut.node.host(crate::source::Source::directory(cut.node.state(ONE)).always_read(true));
        let (observer, calls) = record();
        cut.next(observer).work(ONE).await.unwrap();
        cut.is_backed_up().await;
        assert!(calls.lock().unwrap().contains(&Verb::Create));
    });
}

#[test]
fn a_journal_without_a_job_is_removed_at_the_start_and_that_of_a_job_is_not() {
    run(async {
        let cut = Cut::at(8).await;
        let ours = cut.journals();
        for name in ["00000000-0000-0000-0000-000000000009", "x.new"] {
            fs::write(cut.journals.join(name), "left").unwrap();
        }
        cut.next(go()).sweep_journals().await;
        assert_eq!(cut.journals(), ours);
    });
}
