//! The process under test, and what a test can do to it.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::mpsc,
    time::Duration,
};

use axum::{
    body::Body,
    http::{Method, Request, header},
};
use chrono::{DateTime, TimeDelta, Utc};
use fabric_backup::{
    api,
    archive::Catalog,
    clock::{Clock, ManualClock},
    domain::{Partition, PartitionId},
    engine::{Engine, Hosted},
    job::Meters,
    ledger::{Ledger, PartitionRecord},
    ops::Ops,
    reconcile::{Reconciler, Rules},
    retention::Keeper,
    source::Source,
    storage::{StoreSettings, Stores},
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::watch;
use tower::ServiceExt;
use uuid::Uuid;

use crate::{
    answer::Answer,
    document,
    observed::{Observed, Seen, Verdict},
    world,
};

/// When every test begins.
pub(crate) const START: &str = "2026-03-04T12:05:09.250Z";

/// A whole node in this process. Fails its test if a job is left unfinished that the test does not know of.
pub(crate) struct TestApp {
    pub(crate) store: Observed,
    pub(crate) clock: Clock,
    pub(crate) ledger: Ledger,
    /// There once it serves.
    edge: Option<api::Edge>,
    engine: Engine,
    catalog: Catalog,
    partitions: Vec<Partition>,
    hand: ManualClock,
    dir: TempDir,
    stop: watch::Sender<bool>,
    unfinished: bool,
}

impl TestApp {
    /// A node with the partitions of [`world`], each with a little state, and nothing backed up.
    pub(crate) fn new() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let store = Observed::new();
        let (clock, hand) = Clock::manual(START.parse().unwrap());
        let ledger = Ledger::over(store.clone());
        let stores = StoreSettings {
            share_roots: vec![dir.path().join("shares")],
            mounts: [(MOUNT.to_owned(), dir.path().join("mnt"))].into(),
            ..StoreSettings::default()
        };
        let catalog = Catalog::new(Stores::new(stores, clock.clone()));
        let partitions = world::partitions(&dir.path().join("shares/own"));
        let engine = Engine::new(Vec::new(), catalog.clone(), ledger.clone(), clock.clone(), 4);
        fs::create_dir(dir.path().join("shares")).unwrap();
        fs::create_dir(dir.path().join("mnt")).unwrap();
        let (stop, unfinished, edge) = (watch::Sender::new(false), false, None);
        let mut app = Self { store, clock, ledger, edge, engine, catalog, partitions, hand, dir, stop, unfinished };
        app.serve();
        for id in app.engine.partitions() {
            fs::create_dir_all(app.state(id.0)).unwrap();
            fs::write(app.state(id.0).join("record"), format!("of {id}")).unwrap();
        }
        app
    }

    /// Serves what the configuration says at present.
    fn serve(&mut self) {
        let (catalog, ledger, clock) = (self.catalog.clone(), self.ledger.clone(), self.clock.clone());
        let hosted = self.partitions.iter().filter(|partition| partition.persisted).map(|partition| Hosted {
            partition: partition.clone(),
            source: Source::directory(self.state(partition.id.0)),
        });
        self.engine = Engine::new(hosted.collect(), catalog.clone(), ledger.clone(), clock.clone(), 4);
        let keeper = Keeper::new(catalog.clone(), ledger.clone(), clock.clone());
        let ops = Ops::new(
            world::inventory(self.partitions.clone()),
            catalog,
            ledger,
            keeper,
            self.engine.meters(),
            clock.clone(),
        );
        self.edge = Some(api::service(ops, clock, self.stop.subscribe()));
    }

    /// Takes partitions, with their services, out of the configuration.
    pub(crate) fn unconfigure(&mut self, gone: &[Uuid]) {
        self.partitions.retain(|partition| !gone.contains(&partition.id.0));
        self.serve();
    }

    /// Says that jobs are left unfinished on purpose.
    pub(crate) fn leave_unfinished(mut self) {
        self.unfinished = true;
    }

    /// The directory that is the partition's state.
    pub(crate) fn state(&self, id: Uuid) -> PathBuf {
        state_of(self.dir.path(), id)
    }

    /// A path below the only root that file shares may lie in.
    pub(crate) fn share(&self, name: &str) -> PathBuf {
        self.dir.path().join("shares").join(name)
    }

    /// The directory that [`MOUNT`] is mapped to.
    pub(crate) fn mounted(&self) -> PathBuf {
        self.dir.path().join("mnt")
    }

    /// A storage as a request names it.
    pub(crate) fn storage(&self, name: &str) -> Value {
        json!({ "StorageKind": "FileShare", "Path": self.share(name) })
    }

    /// What answers requests.
    pub(crate) fn edge(&self) -> api::Edge {
        self.edge.clone().unwrap()
    }

    /// The body of an answer, not read yet.
    pub(crate) async fn body(&self, path: &str, headers: &[(&str, &str)]) -> Body {
        let request = headers.iter().fold(Request::get(path), |request, (name, value)| request.header(*name, *value));
        self.edge().oneshot(request.body(Body::empty()).unwrap()).await.unwrap().into_body()
    }

    /// Tells the service to stop.
    pub(crate) fn stop(&self) {
        self.stop.send_replace(true);
    }

    /// What the jobs that run here count on.
    pub(crate) fn meters(&self) -> Meters {
        self.engine.meters()
    }

    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    pub(crate) fn advance(&self, by: TimeDelta) {
        self.hand.advance(by);
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, Vec::new(), &[]).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, body.to_string().into(), &[(header::CONTENT_TYPE.as_str(), "application/json")])
            .await
    }

    /// Sends a request, of the version 6.4 unless it names another, and holds the answer against the document.
    pub(crate) async fn send(&self, method: Method, path: &str, body: Vec<u8>, headers: &[(&str, &str)]) -> Answer {
        let joint = if path.contains('?') { '&' } else { '?' };
        let uri = if path.contains("api-version") { path.to_owned() } else { format!("{path}{joint}api-version=6.4") };
        let request = Request::builder().method(method.clone()).uri(&uri);
        let request = headers.iter().fold(request, |request, (name, value)| request.header(*name, *value));
        let answer = self.edge.clone().unwrap().oneshot(request.body(Body::from(body)).unwrap()).await.unwrap();
        let answer = Answer::read(answer).await;
        document::judge(&method, uri.split('?').next().unwrap(), answer.status, answer.body.as_ref());
        answer
    }

    /// Runs background work until there is none.
    pub(crate) async fn work(&self) {
        for id in self.ledger.busy_partitions().await.unwrap() {
            self.engine.work(id).await.unwrap();
        }
        for id in self.ledger.verifying_partitions().await.unwrap() {
            self.engine.verify(id).await.unwrap();
        }
        assert_eq!(self.ledger.busy_partitions().await.unwrap(), [], "work that does not end");
    }

    /// Runs one partition's background work as far as it comes.
    pub(crate) async fn work_on(&self, id: Uuid) -> Result<(), String> {
        self.engine.work(PartitionId(id)).await.map_err(|error| error.to_string())
    }

    /// All background work, not begun.
    fn reconciler(&self) -> Reconciler {
        let (engine, catalog) = (self.engine.clone(), self.catalog.clone());
        let keeper = Keeper::new(catalog.clone(), self.ledger.clone(), self.clock.clone());
        Reconciler::new(engine, catalog, keeper, self.ledger.clone(), self.clock.clone(), Rules::default())
    }

    /// What the next process does first after this one died.
    pub(crate) async fn restart(&self) {
        self.store.observe(|_| Verdict::Go);
        self.reconciler().recover().await.unwrap();
    }

    /// Lets the real reconciler work until nothing is left to do, and stops it.
    pub(crate) async fn reconcile(&self) {
        let (stop, stopped) = watch::channel(false);
        let reconciler = self.reconciler();
        let running = tokio::spawn(reconciler.run(stopped, Duration::from_mins(1)));
        let mut changes = self.ledger.watch();
        let unfinished = async || {
            let busy = self.ledger.busy_partitions().await.unwrap().len();
            busy + self.ledger.verifying_partitions().await.unwrap().len()
        };
        while unfinished().await > 0 {
            changes.changed().await.unwrap();
        }
        stop.send_replace(true);
        running.await.unwrap();
    }

    /// Works on a partition, stops when `at` says so of a record just written, does `then`, and works on to the end.
    pub(crate) async fn pause<R>(
        &self,
        id: Uuid,
        at: impl Fn(&PartitionRecord) -> bool + Send + Sync + 'static,
        then: impl AsyncFnOnce() -> R,
    ) -> R {
        let (reached, mut reports) = tokio::sync::mpsc::unbounded_channel();
        let (go_on, gate) = mpsc::channel::<()>();
        let gate = std::sync::Mutex::new(gate);
        self.store.observe(move |seen| {
            if matches!(seen, Seen::Written(record) if at(record)) {
                reached.send(()).unwrap();
                // Ends when the test lets go of the other side.
                let _ = gate.lock().unwrap().recv();
            }
            Verdict::Go
        });
        let engine = self.engine.clone();
        let worker = tokio::spawn(async move {
            engine.work(PartitionId(id)).await?;
            engine.verify(PartitionId(id)).await
        });
        reports.recv().await.unwrap();
        self.store.observe(|_| Verdict::Go);
        let result = then().await;
        drop(go_on);
        worker.await.unwrap().unwrap();
        result
    }

    /// Asks for a backup with the partition's own storage.
    pub(crate) async fn ask_backup(&self, id: Uuid) {
        self.post(&format!("/Partitions/{id}/$/Backup"), &json!({})).await.accepted();
    }

    /// Takes a backup; its progress, which must be Success.
    pub(crate) async fn back_up(&self, id: Uuid) -> Value {
        self.ask_backup(id).await;
        self.work().await;
        let progress = self.backup_progress(id).await;
        assert_eq!(progress["BackupState"], "Success", "{progress}");
        progress
    }

    pub(crate) async fn backup_progress(&self, id: Uuid) -> Value {
        self.get(&format!("/Partitions/{id}/$/GetBackupProgress")).await.ok()
    }

    pub(crate) async fn restore_progress(&self, id: Uuid) -> Value {
        self.get(&format!("/Partitions/{id}/$/GetRestoreProgress")).await.ok()
    }

    /// Asks for a restore of what a backup's progress told.
    pub(crate) async fn ask_restore(&self, id: Uuid, backup: &Value) -> Answer {
        self.post(&format!("/Partitions/{id}/$/Restore"), &restore_of(backup)).await
    }

    /// The items of the partition's list.
    pub(crate) async fn list(&self, id: Uuid, query: &str) -> Vec<Value> {
        let page = self.get(&format!("/Partitions/{id}/$/GetBackups?{query}")).await.ok();
        assert_eq!(page["ContinuationToken"], "", "{page}");
        page["Items"].as_array().unwrap().clone()
    }

    /// Every file below a share, by its path in it.
    pub(crate) fn stored(&self, name: &str) -> Vec<String> {
        let mut files = Vec::new();
        gather(&self.share(name), &self.share(name), &mut files);
        files.sort();
        files
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        if !self.unfinished && !std::thread::panicking() {
            let is_left = |record: &PartitionRecord| record.is_busy() || record.is_verifying();
            let left = self.store.records().into_iter().filter(is_left).count();
            assert_eq!(left, 0, "jobs are left unfinished");
        }
    }
}

/// A UNC prefix that is mapped.
pub(crate) const MOUNT: &str = r"\\myshare\backupshare";

/// The body that restores what a backup's progress or item tells.
pub(crate) fn restore_of(backup: &Value) -> Value {
    json!({ "BackupId": backup["BackupId"], "BackupLocation": backup["BackupLocation"] })
}

/// What a progress has beyond the published fields: how far the job is.
const MOVED: [&str; 9] = [
    "BytesTotal",
    "BytesProcessed",
    "BytesStored",
    "FilesTotal",
    "FilesProcessed",
    "PercentComplete",
    "StartedUtc",
    "EstimatedCompletionUtc",
    "StageMilliseconds",
];

/// A progress without what tells how far the job is.
pub(crate) fn published(mut progress: Value) -> Value {
    progress.as_object_mut().unwrap().retain(|name, _| !MOVED.contains(&name.as_str()));
    progress
}

/// What a progress tells of how far the job is.
pub(crate) fn moved(progress: &Value) -> Value {
    let all = progress.as_object().unwrap().iter().filter(|(name, _)| MOVED.contains(&name.as_str()));
    all.map(|(name, value)| (name.clone(), value.clone())).collect()
}

fn state_of(dir: &Path, id: Uuid) -> PathBuf {
    dir.join("state").join(id.to_string())
}

fn gather(root: &Path, directory: &Path, files: &mut Vec<String>) {
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            gather(root, &path, files);
        } else {
            files.push(path.strip_prefix(root).unwrap().to_str().unwrap().to_owned());
        }
    }
}

#[tokio::test]
#[should_panic = "jobs are left unfinished"]
async fn a_test_that_forgets_a_job_fails() {
    TestApp::new().ask_backup(world::CALC).await;
}
