//! A defect of ours: a panic at each moment of a job, in a process that lives on.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use chrono::DateTime;
use fabric_backup::{domain::BackupPoint, job::State, ledger::Embedded, storage::faulty::Verdict};
use tokio::sync::watch;

use crate::{
    app::{App, Node, directory},
    script::Script,
    tree,
};

/// Panics at one of the moments in which a job is worked on, if `at` is one.
struct Defect {
    script: Arc<Script>,
    working: Arc<AtomicBool>,
    moments: Arc<AtomicUsize>,
}

impl Defect {
    fn at(at: usize) -> Self {
        let (working, moments) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (armed, count) = (working.clone(), moments.clone());
        let script = Script::new(move |_, name| {
            let nth = count.fetch_add(usize::from(armed.load(Ordering::SeqCst)), Ordering::SeqCst) + 1;
            assert!(!armed.load(Ordering::SeqCst) || nth != at, "the defect at moment {at}, {name}");
            Verdict::Go
        });
        Self { script, working, moments }
    }

    /// Lets the reconciler work until nothing is left to do.
    async fn work(&self, app: &App) {
        self.working.store(true, Ordering::SeqCst);
        let (stop, stopped) = watch::channel(false);
        let mut changes = app.ledger.watch();
        let reconciler = app.reconciler();
        let running = tokio::spawn(reconciler.run(stopped, Duration::MAX));
        while !app.ledger.busy_partitions().await.unwrap().is_empty() {
            changes.changed().await.unwrap();
        }
        stop.send_replace(true);
        running.await.unwrap();
        self.working.store(false, Ordering::SeqCst);
    }
}

/// A backup and a restore over a changed state. Answers how many moments they have, and how many of the two succeeded.
async fn story(at: usize) -> (usize, usize) {
    let root = directory();
    let node = Node::new(root.path());
    let defect = Defect::at(at);
    let app = App::open(&node, 0, DateTime::UNIX_EPOCH, Embedded::in_memory().unwrap(), defect.script.clone());
    let first = tree::read(&node.state());
    app.ask_backup().await;
    defect.work(&app).await;
    app.check_backup().await;
    let state = app.backup().await.unwrap().state;
    let State::Succeeded(done) = state else {
        let (moments, again) = (defect.moments.load(Ordering::SeqCst), back_up_again(&app, &defect).await);
        assert!(matches!(again, State::Succeeded(_)), "after {state:?}: {again:?}");
        return (moments, 0);
    };
    tree::write_second(&node.state());
    let second = tree::read(&node.state());
    app.ask_restore(&done).await;
    defect.work(&app).await;
    app.check_restore(&second, &first).await;
    let restored = matches!(app.restore().await.unwrap().state, State::Succeeded(_));
    (defect.moments.load(Ordering::SeqCst), 1 + usize::from(restored))
}

/// What was met once is met no more.
async fn back_up_again(app: &App, defect: &Defect) -> State<BackupPoint> {
    app.ask_backup().await;
    defect.work(app).await;
    app.check_backup().await;
    app.backup().await.unwrap().state
}

#[tokio::test]
async fn a_panic_anywhere_ends_the_job_truthfully_and_leaves_nothing() {
    let (count, succeeded) = story(0).await;
    assert_eq!(succeeded, 2);
    for at in 1..=count {
        let (reached, _) = story(at).await;
        assert!(reached >= at, "moment {at} did not come");
    }
}
