//! Somebody else writes to the same names in the middle of our backup.

use std::{
    fs,
    path::PathBuf,
    sync::{Arc, Once},
};

use chrono::DateTime;
use fabric_backup::{domain::BackupPoint, job::State, ledger::Embedded, storage::faulty::Verdict};

use crate::{
    app::{App, Node, directory},
    script::Script,
};

/// Where our backups will lie.
fn folder(node: &Node) -> PathBuf {
    node.share().join("App/Svc/00000000-0000-0000-0000-00001daae3f5")
}

/// Writes `bytes` to our name with `extension` at the moment of that name, the first time it comes.
fn intruder(node: &Node, moment: &'static str, extension: &'static str, bytes: &'static str) -> Arc<Script> {
    let path = folder(node).join(format!("1970-01-01 00.00.00.{extension}"));
    let once = Once::new();
    Script::new(move |_, name| {
        if name == moment {
            once.call_once(|| fs::write(&path, bytes).unwrap());
        }
        Verdict::Go
    })
}

async fn backed_up(node: &Node, script: Arc<Script>) -> (App, State<BackupPoint>) {
    let app = App::open(node, 0, DateTime::UNIX_EPOCH, Embedded::in_memory().unwrap(), script);
    app.ask_backup().await;
    app.work_until_idle().await;
    let state = app.backup().await.unwrap().state;
    (app, state)
}

fn files(node: &Node) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder(node)).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| entry.unwrap())
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .collect();
    files.sort();
    files
}

#[tokio::test]
async fn a_foreign_commit_record_is_left_alone_and_only_our_data_is_taken_back() {
    let root = directory();
    let node = Node::new(root.path());
    let script = intruder(&node, "Before PutNew bkmetadata", "bkmetadata", "theirs");
    let (_app, state) = backed_up(&node, script).await;
    let State::Failed(why) = state else { panic!("{state:?}") };
    assert!(why.message.contains("1970-01-01 00.00.00.zip"), "{}", why.message);
    assert_eq!(files(&node), [("1970-01-01 00.00.00.bkmetadata".to_owned(), b"theirs".to_vec())]);
}

#[tokio::test]
async fn foreign_data_under_our_name_is_left_alone_and_the_backup_takes_the_next_free_name() {
    let root = directory();
    let node = Node::new(root.path());
    let script = intruder(&node, "Before Finish zip", "zip", "theirs");
    let (app, state) = backed_up(&node, script).await;
    let State::Succeeded(done) = state else { panic!("{state:?}") };
    assert!(done.location.0.ends_with("1970-01-01 00.00.01.zip"), "{}", done.location);
    assert_eq!(files(&node)[0], ("1970-01-01 00.00.00.zip".to_owned(), b"theirs".to_vec()));
    assert_eq!(app.listed().await.len(), 1);
}
