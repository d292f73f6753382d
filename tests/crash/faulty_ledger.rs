//! A ledger that fails at each of its writes, before or after it wrote, in a process that lives on.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering},
};

use chrono::DateTime;
use fabric_backup::{
    job::State,
    ledger::Embedded,
    storage::{ErrorKind, faulty::Verdict},
};

use crate::{
    app::{App, ID, Node, directory},
    script::Script,
    tree,
};

/// Fails the ledger at one of the moments in which a job is worked on. What fails while a job is accepted is its
/// caller's answer, not the job's end.
struct Ledger {
    script: Arc<Script>,
    working: Arc<AtomicBool>,
    moments: Arc<AtomicUsize>,
}

impl Ledger {
    fn failing(at: usize) -> Self {
        let (working, moments) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
        let (armed, count) = (working.clone(), moments.clone());
        let script = Script::new(move |_, name| {
            let counts = name.ends_with("ledger") && armed.load(Ordering::SeqCst);
            let here = counts && count.fetch_add(1, Ordering::SeqCst) + 1 == at;
            if here { Verdict::Fail(ErrorKind::Full) } else { Verdict::Go }
        });
        Self { script, working, moments }
    }

    /// Has the engine work, again after the ledger failed, as the next activation does. Answers how often it failed.
    async fn work(&self, app: &App) -> usize {
        self.working.store(true, Ordering::SeqCst);
        let mut failures = 0;
        while app.engine.work(ID).await.is_err() {
            failures += 1;
            assert!(failures < 2, "the ledger fails once only");
        }
        self.working.store(false, Ordering::SeqCst);
        app.work_until_idle().await;
        failures
    }
}

/// A backup and a restore over a changed state. Answers how many moments the ledger has while it is worked on them.
async fn story(failing_at: usize) -> usize {
    let root = directory();
    let node = Node::new(root.path());
    let ledger = Ledger::failing(failing_at);
    let app = App::open(&node, 0, DateTime::UNIX_EPOCH, Embedded::in_memory().unwrap(), ledger.script.clone());
    let first = tree::read(&node.state());
    app.ask_backup().await;
    let mut failures = ledger.work(&app).await;
    let point = app.taken().await;
    app.check_backup().await;
    tree::write_second(&node.state());
    let second = tree::read(&node.state());
    app.ask_restore(&point).await;
    failures += ledger.work(&app).await;
    app.check_restore(&second, &first).await;
    let state = app.restore().await.unwrap().state;
    assert!(matches!(state, State::Succeeded(_)), "{state:?}");
    assert_eq!(failures, usize::from(failing_at > 0), "the ledger was to fail at moment {failing_at}");
    ledger.moments.load(Ordering::SeqCst)
}

#[tokio::test]
async fn a_ledger_that_fails_once_anywhere_delays_a_job_and_changes_nothing_of_its_result() {
    for at in 1..=story(0).await {
        story(at).await;
    }
}
