//! A process that is killed at each moment of its life, and what the next one makes of it.
//!
//! The process is real: this test binary, started again. SIGKILL ends all its threads at once, so nothing is cleaned up,
//! no destructor runs, and its files are what a crash leaves.

use std::{
    env, fs,
    io::Write,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Command, Stdio},
    sync::Arc,
};

use chrono::{DateTime, TimeDelta, Utc};
use fabric_backup::{
    job::{Job, State},
    ledger::{KeyFile, Sealed},
    storage::faulty::Verdict,
};
use rustix::process::{Signal, getpid, kill_process};
use tokio::runtime::Builder;

use crate::{
    app::{App, Node, directory},
    script::Script,
    tree::{self, Tree},
};

pub(crate) const NODE: &str = "FB_CRASH_NODE";
pub(crate) const MOMENT: &str = "FB_CRASH_MOMENT";
pub(crate) const ASKED_BACKUP: &str = "asked backup";
const PROCESS: &str = "killed::the_process_that_is_killed";
const ASKED_RESTORE: &str = "asked restore";
const CHANGED: &str = "state changed";
const CHANGED_AGAIN: &str = "state changed again";

pub(crate) fn start() -> DateTime<Utc> {
    "2026-01-02T03:04:05Z".parse().unwrap()
}

pub(crate) fn trace(node: &Path, line: &str) {
    let file = fs::OpenOptions::new().append(true).create(true).open(node.join("trace"));
    writeln!(file.unwrap(), "{line}").unwrap();
}

/// Writes every moment down before it can be the last.
pub(crate) fn mortal(node: &Path, last: usize) -> Arc<Script> {
    let node = node.to_owned();
    Script::new(move |nth, name| {
        trace(&node, name);
        if nth == last {
            kill_process(getpid(), Signal::KILL).unwrap();
            std::thread::park();
        }
        Verdict::Go
    })
}

/// A backup, a restore of it over a changed state, and a backup of what became of that.
async fn story(app: &App) {
    let note = |line| trace(&app.node.0, line);
    note(ASKED_BACKUP);
    app.ask_backup().await;
    app.work_until_idle().await;
    tree::write_second(&app.node.state());
    note(CHANGED);
    let point = app.taken().await;
    note(ASKED_RESTORE);
    app.ask_restore(&point).await;
    app.work_until_idle().await;
    tree::write_third(&app.node.state());
    note(CHANGED_AGAIN);
    note(ASKED_BACKUP);
    app.ask_backup().await;
    app.work_until_idle().await;
    app.taken().await;
}

pub(crate) fn block_on(work: impl Future<Output = ()>) {
    Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap().block_on(work);
}

pub(crate) fn open(node: &Node, life: usize, now: DateTime<Utc>, script: Arc<Script>) -> App {
    let store = Sealed::open(&node.ledger(), &KeyFile::Own(node.0.join("ledger.key"))).unwrap();
    App::open(node, life, now, store, script)
}

#[test]
#[ignore = "the process that the other tests start and kill"]
fn the_process_that_is_killed() {
    let node = Node(env::var_os(NODE).unwrap().into());
    let last = env::var(MOMENT).unwrap().parse().unwrap();
    block_on(async {
        let app = open(&node, 0, start(), mortal(&node.0, last));
        app.recover().await;
        story(&app).await;
    });
}

/// Runs a process until it is killed at moment `last`, if it gets there. Answers its trace.
pub(crate) fn live(name: &str, node: &Node, last: usize) -> Vec<String> {
    let mut process = Command::new(env::current_exe().unwrap());
    process.args(["--exact", name, "--ignored", "--nocapture"]);
    process.env(NODE, &node.0).env(MOMENT, last.to_string()).stdout(Stdio::null());
    let status = process.status().unwrap();
    let killed = status.signal() == Some(9);
    assert!(killed || status.success(), "the process was to be killed at moment {last}, but: {status}");
    assert!(!tells_its_storage(node), "killed at moment {last}, the ledger's file can be read");
    let trace = fs::read_to_string(node.0.join("trace")).unwrap();
    assert_eq!(killed, last <= moments(&trace), "moment {last}");
    trace.lines().map(str::to_owned).collect()
}

/// Whether the storage of a job can be read in the file of the ledger.
fn tells_its_storage(node: &Node) -> bool {
    let (file, share) = (fs::read(node.ledger()).unwrap(), node.share());
    let share = share.to_str().unwrap().as_bytes();
    file.windows(share.len()).any(|part| part == share)
}

pub(crate) fn moments(trace: &str) -> usize {
    trace.lines().filter(|line| line.starts_with("Before") || line.starts_with("After")).count()
}

/// What is known of a killed process without asking the product.
struct Corpse<'a> {
    trace: &'a [String],
    first: Tree,
    second: Tree,
    third: Tree,
}

impl<'a> Corpse<'a> {
    fn new(trace: &'a [String], node: &Node) -> Self {
        let expected = |name: &str, changes: &[fn(&Path)]| {
            let scratch = node.0.join(name);
            for change in changes {
                change(&scratch);
            }
            tree::read(&scratch)
        };
        let first = expected("first", &[tree::write_first]);
        let second = expected("second", &[tree::write_first, tree::write_second]);
        // The first was restored before it was changed.
        let third = expected("third", &[tree::write_first, tree::write_third]);
        Self { trace, first, second, third }
    }

    fn happened(&self, event: &str) -> bool {
        self.trace.iter().any(|line| line == event)
    }

    /// What came after each question that was answered: the first write after it makes the job durable.
    fn accepted(&self, asked: &str) -> Vec<&[String]> {
        let asked = self.trace.iter().enumerate().filter(|(_, line)| *line == asked);
        let since = asked.map(|(at, _)| &self.trace[at..]);
        since.filter(|since| since.iter().any(|line| line == "After ledger")).collect()
    }

    /// Whether the metadata of the last backup had been written.
    fn committed(&self) -> bool {
        let last = self.accepted(ASKED_BACKUP).pop();
        last.is_some_and(|since| since.iter().any(|line| line == "After PutNew bkmetadata"))
    }

    fn old(&self) -> &Tree {
        if self.happened(CHANGED) { &self.second } else { &self.first }
    }

    fn restored(&self) -> &Tree {
        if self.happened(CHANGED_AGAIN) { &self.third } else { &self.first }
    }

    /// What was there to be backed up each time.
    fn backed_up(&self) -> [&Tree; 2] {
        [&self.first, &self.third]
    }

    async fn check(&self, app: &App) {
        app.check_backup().await;
        app.check_restore(self.old(), self.restored()).await;
        for ((_, tree), expected) in app.listed().await.iter().zip(self.backed_up()) {
            assert!(tree == expected, "a listed backup is not what was backed up");
        }
    }
}

fn succeeded<T, O>(job: Option<&Job<T, O>>) -> bool {
    job.is_some_and(|job| matches!(job.state, State::Succeeded(_)))
}

/// The next process comes in time for every job: each one that was accepted succeeds, whatever had happened of it.
async fn revive_in_time(node: &Node, trace: &[String]) {
    let corpse = Corpse::new(trace, node);
    let app = open(node, 1, start() + TimeDelta::minutes(1), Script::silent());
    app.recover().await;
    app.work_until_idle().await;
    corpse.check(&app).await;
    assert_eq!(app.listed().await.len(), corpse.accepted(ASKED_BACKUP).len(), "each accepted backup is there once");
    assert_eq!(succeeded(app.backup().await.as_ref()), !corpse.accepted(ASKED_BACKUP).is_empty());
    assert_eq!(succeeded(app.restore().await.as_ref()), !corpse.accepted(ASKED_RESTORE).is_empty());
    goes_on(&app).await;
}

/// The next process comes after every deadline: what was visible succeeds, and all else times out without a trace.
async fn revive_too_late(node: &Node, trace: &[String]) {
    let corpse = Corpse::new(trace, node);
    let swapped = tree::read(&node.state()) != *corpse.old();
    let app = open(node, 1, start() + TimeDelta::days(1), Script::silent());
    app.recover().await;
    app.work_until_idle().await;
    corpse.check(&app).await;
    let (backups, restores) = (corpse.accepted(ASKED_BACKUP).len(), corpse.accepted(ASKED_RESTORE).len());
    assert_eq!(succeeded(app.backup().await.as_ref()), corpse.committed());
    assert_eq!(succeeded(app.restore().await.as_ref()), swapped && restores > 0);
    assert_eq!(app.backup().await.is_some(), backups > 0, "no accepted backup is lost");
    assert_eq!(app.restore().await.is_some(), restores > 0, "no accepted restore is lost");
    goes_on(&app).await;
}

/// Nothing that was left is in the way of the next job.
async fn goes_on(app: &App) {
    let state = tree::read(&app.node.state());
    app.ask_backup().await;
    app.work_until_idle().await;
    let taken = app.taken().await;
    app.ask_restore(&taken).await;
    app.work_until_idle().await;
    assert!(succeeded(app.restore().await.as_ref()));
    app.check_restore(&state, &state).await;
    app.check_backup().await;
}

/// Kills the process `name` at each moment of its life and hands what is left to `revive`.
pub(crate) fn each_moment(name: &str, revive: &impl AsyncFn(&Node, &[String])) {
    let unharmed = directory();
    let whole = live(name, &Node::new(unharmed.path()), usize::MAX);
    let count = moments(&whole.join("\n"));
    for last in 1..=count {
        let root = directory();
        let node = Node::new(root.path());
        let trace = live(name, &node, last);
        assert!(whole.starts_with(&trace), "the story goes otherwise this time: {trace:#?}");
        println!("killed at moment {last} of {count}: {}", trace.last().unwrap());
        block_on(revive(&node, &trace));
    }
}

#[test]
fn killed_at_any_moment_every_accepted_job_succeeds_when_the_next_process_is_in_time() {
    each_moment(PROCESS, &revive_in_time);
}

#[test]
fn killed_at_any_moment_a_job_whose_time_is_up_tells_whether_its_result_is_visible() {
    each_moment(PROCESS, &revive_too_late);
}
