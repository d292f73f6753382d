//! `extract` and `list-store`: a storage and no server.

use std::{fs, io::Write, os::unix::fs::PermissionsExt, process::Stdio, thread};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{
    azurite::Azurite,
    node::{CALC, Node, noise, tree},
    program, run,
};

const STORE: &str = "shares/all";

/// The names in the node's directory, those that begin with a dot too.
fn names(node: &Node) -> Vec<String> {
    let names = fs::read_dir(node.path(".")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort_unstable();
    names
}

#[test]
fn a_backup_is_extracted_from_the_storage_alone_equal_to_the_state() {
    let node = Node::start();
    fs::set_permissions(node.path("calc/two"), fs::Permissions::from_mode(0o640)).unwrap();
    let backup = node.back_up();
    let (location, before) = (backup["BackupLocation"].as_str().unwrap(), names(&node));
    let extracted = node.offline(&["extract", STORE, location, "out"]).ended(0).lines();
    assert_eq!((&extracted[0]["BackupId"], &extracted[0]["FilesTotal"]), (&backup["BackupId"], &json!("2")));
    assert_eq!(tree(&node.path("out")), tree(&node.path("calc")));
    assert_eq!(fs::metadata(node.path("out/two")).unwrap().permissions().mode() & 0o7777, 0o640);
    fs::remove_dir_all(node.path("out")).unwrap();
    assert_eq!(names(&node), before, "something was left beside it");
    fs::create_dir(node.path("out")).unwrap();
    node.offline(&["extract", STORE, &location.replace('\\', "/"), "out"]).ended(0);
    assert_eq!(tree(&node.path("out")), tree(&node.path("calc")));
}

#[test]
fn the_newest_backup_of_a_folder_is_extracted_as_of_a_time_too() {
    let node = Node::start();
    let first = node.back_up();
    fs::write(node.path("calc/two"), "changed").unwrap();
    node.back_up();
    let folder = format!(r"App\Calc\{CALC}");
    node.offline(&["extract", STORE, &folder, "--latest", "new"]).ended(0);
    assert_eq!(fs::read(node.path("new/two")).unwrap(), b"changed");
    let time = first["TimeStampUtc"].as_str().unwrap();
    node.offline(&["extract", STORE, &folder, "--at", time, "old"]).ended(0);
    assert_eq!(fs::read(node.path("old/two")).unwrap(), noise(2));
    node.offline(&["extract", STORE, &folder, "--at", "2001-01-01T00:00:00Z", "none"])
        .ended(4)
        .says(&["no backup up to"]);
    node.ask(&["backup", "00000000-0000-0000-0000-00000000000b", "--wait"]).ended(0);
    node.offline(&["extract", STORE, "App", "--latest", "none"]).ended(2).says(&["several partitions"]);
}

#[test]
fn a_damaged_backup_is_not_extracted_and_leaves_nothing() {
    let node = Node::start();
    let backup = node.back_up();
    let location = backup["BackupLocation"].as_str().unwrap();
    let before = names(&node);
    let (zip, whole) = node.object(".zip");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    for damaged in [flipped, whole[..whole.len() - 1].to_vec()] {
        fs::write(&zip, damaged).unwrap();
        node.offline(&["extract", STORE, location, "out"]).ended(1).says(&["is damaged"]);
        assert_eq!(names(&node), before);
    }
    fs::write(&zip, whole).unwrap();
    let (record, _) = node.object(".bkmetadata");
    fs::write(record, "torn").unwrap();
    node.offline(&["extract", STORE, location, "out"]).ended(1).says(&["cannot be used"]);
    let newest = node.offline(&["extract", STORE, "App", "--latest", "out"]).ended(1);
    newest.says(&["the newest backup there cannot be used", "--at"]);
    assert_eq!(names(&node), before);
}

/// Large enough that its threads are at work when they are stopped.
fn large() -> Vec<u8> {
    noise(9).repeat(900)
}

#[test]
fn ctrl_c_in_the_middle_undoes_an_extract_and_ends_with_130() {
    let node = Node::start();
    fs::write(node.path("calc/large"), large()).unwrap();
    let backup = node.back_up();
    let (location, before) = (backup["BackupLocation"].as_str().unwrap(), names(&node));
    fs::create_dir(node.path("empty")).unwrap();
    for dest in ["out", "empty"] {
        let mut extract = node.offline_program(&["extract", STORE, location, dest]);
        let mut extract = extract.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let beside = node.path(&format!(".{dest}.fabric-backup/staging/large"));
        while !beside.exists() {
            assert!(extract.try_wait().unwrap().is_none(), "it ended before anything was there");
            thread::yield_now();
        }
        let signal = |signal| kill_process(Pid::from_child(&extract), signal).unwrap();
        signal(Signal::STOP);
        assert!(beside.exists(), "it was faster than the test");
        signal(Signal::INT);
        signal(Signal::CONT);
        let ended = extract.wait_with_output().unwrap();
        let err = String::from_utf8(ended.stderr).unwrap();
        assert_eq!((ended.status.code(), ended.stdout.len()), (Some(130), 0), "{err}");
        assert!(err.contains("nothing is left of it"), "{err}");
        assert_eq!(fs::read_dir(node.path("empty")).unwrap().count(), 0);
    }
    fs::remove_dir(node.path("empty")).unwrap();
    assert_eq!(names(&node), before);
    node.offline(&["extract", STORE, location, "out"]).ended(0);
    assert!(fs::read(node.path("out/large")).unwrap() == large());
}

#[test]
fn what_is_there_already_is_not_touched() {
    let node = Node::start();
    let backup = node.back_up();
    let location = backup["BackupLocation"].as_str().unwrap();
    std::os::unix::fs::symlink("left", node.path("link")).unwrap();
    let before = tree(&node.path("left"));
    for (dest, why) in [
        ("left", "not empty"),
        ("node.toml", "not a directory"),
        ("link", "not a directory"),
        ("no/x", "does not exist"),
        ("node.toml/x", "does not exist"),
        ("/", "not empty"),
        ("left/..", "not empty"),
    ] {
        node.offline(&["extract", STORE, location, dest]).ended(2).says(&[dest, why]);
    }
    assert_eq!(tree(&node.path("left")), before);
}

#[test]
fn a_storage_or_backup_that_is_not_there_is_named() {
    let node = Node::start();
    node.back_up();
    node.offline(&["extract", "none", "App", "--latest", "out"]).ended(2).says(&["'none' is not a directory"]);
    let nobody = format!("App/Calc/{CALC}/2001-01-01 00.00.00");
    node.offline(&["extract", STORE, &nobody, "out"]).ended(4).says(&["there is no backup at"]);
    node.offline(&["extract", STORE, "../left", "out"]).ended(2).says(&["is not the location of a backup"]);
    node.offline(&["list-store", "shares/all/../none"]).ended(2);
}

#[test]
fn the_backups_on_a_storage_are_listed_without_a_server() {
    let node = Node::start();
    node.offline(&["list-store", "shares"]).ended(0).says(&["no backups"]);
    let (first, second) = (node.back_up(), node.back_up());
    let table = node.offline(&["list-store", STORE]).ended(0).out;
    assert!(table.contains(first["BackupLocation"].as_str().unwrap()), "{table}");
    let latest = node.offline(&["list-store", STORE, r"App\Calc", "--latest", "--json"]).ended(0).lines();
    assert_eq!((latest.len(), &latest[0]["BackupId"]), (1, &second["BackupId"]));
    assert_eq!(latest[0]["CreationTimeUtc"], second["TimeStampUtc"]);
    node.offline(&["list-store", STORE, "Other"]).ended(0).says(&["no backups"]);
}

#[test]
fn a_backup_in_a_container_is_extracted_too() {
    let azurite = Azurite::start();
    let secret = azurite.connection_string();
    let kind = "storage_kind = 'AzureBlobStore'\ncontainer_name = 'backups'";
    let node = Node::storing(&format!("{kind}\nconnection_string = '{secret}'"));
    let backup = node.back_up();
    let mut extract = program();
    extract.current_dir(node.path(".")).env("AZURE_STORAGE_CONNECTION_STRING", secret);
    run(extract.args(["extract", "azure:backups", backup["BackupLocation"].as_str().unwrap(), "out"])).ended(0);
    assert_eq!(tree(&node.path("out")), tree(&node.path("calc")));
}

#[test]
fn a_connection_string_comes_from_the_environment_or_a_file_and_is_never_shown() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    write!(file, "AccountName=a;AccountKey=hush!").unwrap();
    let (path, hush) = (file.path().to_str().unwrap(), "AccountName=a;AccountKey=hush!");
    let none = ["list-store", "azure:backups"];
    run(program().args(none)).ended(2).says(&["AZURE_STORAGE_CONNECTION_STRING", "--connection-string-file"]);
    let of_environment = run(program().args(none).env("AZURE_STORAGE_CONNECTION_STRING", hush)).ended(2);
    let of_file = run(program().args(none).args(["--connection-string-file", path])).ended(2);
    for refused in [of_environment, of_file] {
        refused.says(&["the connection string's AccountKey"]);
        assert!(!refused.err.contains("hush"), "{}", refused.err);
    }
    run(program().args(none).args(["--connection-string-file", "/none"])).ended(2).says(&["'/none'"]);
}
