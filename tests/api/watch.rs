//! `Accept: text/event-stream`: progress as it changes, over a real connection.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use axum::{
    ServiceExt,
    http::{Method, StatusCode, header},
};
use fabric_backup::job::State;
use futures::StreamExt;
use serde_json::{Value, json};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    task::JoinHandle,
    time::timeout,
};
use uuid::Uuid;

use crate::{
    app::TestApp,
    observed::{Seen, Verdict},
    world::{CALC, UNKNOWN},
};

/// Longer than anything here takes, shorter than the patience of whoever runs the tests.
const LONG: Duration = Duration::from_secs(20);

/// The node on a port of its own, until told to stop taking connections; then it waits for those that are open.
async fn listen(app: &TestApp) -> (SocketAddr, oneshot::Sender<()>, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (address, edge) = (listener.local_addr().unwrap(), app.edge());
    let (stop, stopped) = oneshot::channel::<()>();
    let stopped = async move { drop(stopped.await) };
    let served =
        async move { axum::serve(listener, edge.into_make_service()).with_graceful_shutdown(stopped).await.unwrap() };
    (address, stop, tokio::spawn(served))
}

/// A client that watches.
struct Watcher(BufReader<TcpStream>);

impl Watcher {
    /// Asks, and reads the head of the answer. HTTP/1.0 has no chunks: what comes is what was sent.
    async fn ask(address: SocketAddr, id: Uuid, what: &str) -> Self {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let path = format!("/Partitions/{id}/$/{what}?api-version=6.4");
        let request = format!("GET {path} HTTP/1.0\r\nHost: here\r\nAccept: text/event-stream\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut watcher = Self(BufReader::new(stream));
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert_ne!(watcher.0.read_line(&mut head).await.unwrap(), 0, "{head}");
        }
        let head = head.to_lowercase();
        assert!(
            head.starts_with("http/1.0 200 ") && head.contains("\r\ncontent-type: text/event-stream\r\n"),
            "{head}"
        );
        for told in ["cache-control: no-cache", "x-accel-buffering: no"] {
            assert!(head.contains(&format!("\r\n{told}\r\n")), "a proxy would hold it back: {head}");
        }
        watcher
    }

    /// The next event: its id and what it tells. None at the end.
    async fn next(&mut self) -> Option<(u64, Value)> {
        let mut event = String::new();
        while !event.ends_with("\n\n") {
            let read = timeout(LONG, self.0.read_line(&mut event)).await.expect("no event comes");
            if read.unwrap() == 0 {
                assert_eq!(event, "", "an event that is cut off");
                return None;
            }
        }
        let field = |name: &str| {
            let mut lines = event.lines().filter_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            lines.next().unwrap_or_else(|| panic!("no {name} in {event:?}")).to_owned()
        };
        assert_eq!(field("event"), "progress");
        Some((field("id").parse().unwrap(), serde_json::from_str(&field("data")).unwrap()))
    }

    /// What the next event that `matches` tells.
    async fn until(&mut self, matches: impl Fn(&Value) -> bool) -> Value {
        loop {
            let (_, told) = self.next().await.expect("the stream ended too early");
            if matches(&told) {
                return told;
            }
        }
    }

    async fn ended(mut self) {
        assert_eq!(self.next().await, None);
    }
}

#[tokio::test]
async fn a_backup_is_followed_from_accepted_to_success_and_then_the_stream_ends() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    let (address, _stop, _serving) = listen(&app).await;
    let mut watcher = Watcher::ask(address, CALC, "GetBackupProgress").await;
    let (mut last, told) = watcher.next().await.unwrap();
    assert_eq!((last, &told), (1, &app.backup_progress(CALC).await));
    assert_eq!(told["BackupState"], "Accepted");
    let job = app.store.records()[0].backup.as_ref().unwrap().id;
    let running = |record: &fabric_backup::ledger::PartitionRecord| {
        record.backup.as_ref().is_some_and(|job| job.state == State::Running)
    };
    let look = async || {
        watcher.until(|told| told["BackupState"] == "BackupInProgress").await;
        app.meters().of(job).begin(1, 100);
        app.meters().of(job).processed(40);
        watcher.until(|told| told["PercentComplete"] == 40).await;
    };
    app.pause(CALC, running, look).await;
    let mut states = vec![told["BackupState"].clone()];
    while let Some((id, told)) = watcher.next().await {
        assert!(id > last, "{id} after {last}");
        last = id;
        states.push(told["BackupState"].clone());
    }
    assert_eq!(states.last(), Some(&json!("Success")));
}

#[tokio::test]
async fn a_restore_is_followed_to_its_end() {
    let app = TestApp::new();
    let point = app.back_up(CALC).await;
    app.ask_restore(CALC, &point).await.accepted();
    let (address, _stop, _serving) = listen(&app).await;
    let mut watcher = Watcher::ask(address, CALC, "GetRestoreProgress").await;
    assert_eq!(watcher.next().await.unwrap().1["RestoreState"], "Accepted");
    app.work().await;
    let end = watcher.until(|told| told["RestoreState"] == "Success").await;
    assert_eq!(end, app.restore_progress(CALC).await);
    watcher.ended().await;
}

#[tokio::test]
async fn what_does_not_run_is_told_once() {
    let app = TestApp::new();
    let (address, _stop, _serving) = listen(&app).await;
    for what in ["GetBackupProgress", "GetRestoreProgress"] {
        let mut watcher = Watcher::ask(address, CALC, what).await;
        assert_eq!(watcher.next().await, Some((1, Value::Null)));
        watcher.ended().await;
    }
    let point = app.back_up(CALC).await;
    let mut watcher = Watcher::ask(address, CALC, "GetBackupProgress").await;
    assert_eq!(watcher.next().await, Some((1, point)));
    watcher.ended().await;
}

#[tokio::test]
async fn an_error_is_told_as_ever() {
    let app = TestApp::new();
    for what in ["GetBackupProgress", "GetRestoreProgress"] {
        let accept = [(header::ACCEPT.as_str(), "text/event-stream")];
        let path = format!("/Partitions/{UNKNOWN}/$/{what}");
        let answer = app.send(axum::http::Method::GET, &path, Vec::new(), &accept).await;
        answer.refused(404, "FABRIC_E_PARTITION_NOT_FOUND");
    }
}

#[tokio::test]
async fn a_client_that_hangs_up_leaves_nothing_behind() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    let (address, stop, serving) = listen(&app).await;
    let mut watcher = Watcher::ask(address, CALC, "GetBackupProgress").await;
    watcher.next().await.unwrap();
    drop(watcher);
    stop.send(()).unwrap();
    timeout(LONG, serving).await.expect("a connection is still open").unwrap();
    app.leave_unfinished();
}

#[tokio::test]
async fn a_service_that_stops_lets_its_watchers_go() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    let (address, stop, serving) = listen(&app).await;
    let mut watcher = Watcher::ask(address, CALC, "GetBackupProgress").await;
    watcher.next().await.unwrap();
    app.stop();
    watcher.ended().await;
    stop.send(()).unwrap();
    timeout(LONG, serving).await.expect("a connection is still open").unwrap();
    app.leave_unfinished();
}

#[tokio::test]
async fn a_ledger_that_fails_cuts_the_stream_off() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    let (address, _stop, _serving) = listen(&app).await;
    let mut stream = TcpStream::connect(address).await.unwrap();
    let path = format!("/Partitions/{CALC}/$/GetBackupProgress?api-version=6.4");
    let request = format!("GET {path} HTTP/1.1\r\nHost: here\r\nAccept: text/event-stream\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut rest = Vec::new();
    while !String::from_utf8_lossy(&rest).contains("Accepted") {
        assert_ne!(stream.read_buf(&mut rest).await.unwrap(), 0);
    }
    let failed = AtomicBool::new(false);
    // From the first write on: what that may have changed has to be read again.
    app.store.observe(move |seen| match seen {
        Seen::Reading if !failed.load(Ordering::Relaxed) => Verdict::Go,
        _ => {
            failed.store(true, Ordering::Relaxed);
            Verdict::Fail
        }
    });
    let path = format!("/Partitions/{CALC}/$/CancelBackup?api-version=6.4");
    assert_eq!(app.send(Method::POST, &path, Vec::new(), &[]).await.status, StatusCode::INTERNAL_SERVER_ERROR);
    drop(timeout(LONG, stream.read_to_end(&mut rest)).await.expect("the stream goes on"));
    let rest = String::from_utf8(rest).unwrap();
    assert!(!rest.ends_with("0\r\n\r\n"), "{rest}");
    assert!(!rest.contains("secret-of-the-inside"), "{rest}");
    app.leave_unfinished();
}

#[tokio::test(start_paused = true)]
async fn a_stream_on_which_nothing_happens_says_that_it_lives() {
    let app = TestApp::new();
    app.ask_backup(CALC).await;
    let path = format!("/Partitions/{CALC}/$/GetBackupProgress?api-version=6.4");
    let mut told = app.body(&path, &[(header::ACCEPT.as_str(), "text/event-stream")]).await.into_data_stream();
    assert!(told.next().await.unwrap().unwrap().starts_with(b"event: progress\n"));
    let before = tokio::time::Instant::now();
    assert!(told.next().await.unwrap().unwrap().starts_with(b":"));
    assert_eq!(before.elapsed().as_secs(), 15);
    app.leave_unfinished();
}
