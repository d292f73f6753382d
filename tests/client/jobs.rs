//! `backup`, `restore`, `list`, `progress` and `cancel` against a real server.

use std::{fs, net::TcpListener};

use serde_json::{Value, json};

use crate::{
    node::{CALC, GONE, LEFT, Node, tree},
    program, run,
};

#[test]
fn a_backup_and_a_restore_of_the_latest_bring_a_changed_state_back() {
    let node = Node::start();
    let before = tree(&node.path("calc"));
    let backup = node.ask(&["backup", "fabric:/App/Calc", "--wait"]).ended(0).lines().pop().unwrap();
    fs::write(node.path("calc/two"), "changed").unwrap();
    fs::remove_dir_all(node.path("calc/a")).unwrap();
    let restored = node.ask(&["restore", CALC, "--latest", "--wait", "--timeout", "5"]).ended(0);
    restored.says(&[
        "restoring backup ",
        backup["BackupId"].as_str().unwrap(),
        backup["BackupLocation"].as_str().unwrap(),
    ]);
    assert_eq!(tree(&node.path("calc")), before);
}

#[test]
fn every_change_of_a_job_is_one_line_with_what_the_server_told() {
    let node = Node::start();
    let lines = node.ask(&["backup", CALC, "--wait"]).ended(0).lines();
    let (last, before) = lines.split_last().unwrap();
    assert!(before.iter().all(|line| line["BackupState"] != "Success"), "{lines:?}");
    assert!(lines.windows(2).all(|pair| pair[0] != pair[1]), "a line that says nothing new: {lines:?}");
    assert_eq!((&last["PartitionId"], &last["BackupState"]), (&json!(CALC), &json!("Success")));
    let restored = node.ask(&["restore", CALC, "--wait"]).ended(0).lines().pop().unwrap();
    for name in ["BackupId", "BackupLocation"] {
        assert_eq!(restored[name], last[name], "{name}");
    }
    assert_eq!((&restored["RestoreState"], &restored["FailureError"]), (&json!("Success"), &Value::Null));
}

#[test]
fn a_backup_that_nobody_waits_for_is_accepted_and_can_be_followed() {
    let node = Node::start();
    let accepted = node.ask(&["backup", CALC]).ended(0).lines();
    assert_eq!(accepted, [json!({"PartitionId": CALC, "BackupState": "Accepted"})]);
    let followed = node.ask(&["progress", CALC, "--follow"]).ended(0).lines().pop().unwrap();
    assert_eq!(followed["BackupState"], "Success");
    assert_eq!(node.ask(&["progress", CALC]).ended(0).lines(), [followed]);
}

#[test]
fn backups_are_listed_as_lines_for_people_and_as_objects_for_programs() {
    let node = Node::start();
    node.ask(&["list", CALC]).ended(0).says(&["no backups"]);
    let (first, second) = (node.back_up(), node.back_up());
    let table = node.ask(&["list", "fabric:/App/Calc"]).ended(0).out;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.contains(first["BackupLocation"].as_str().unwrap()), "{table}");
    let ids = |arguments: &[&str]| {
        let listed = node.ask(arguments).ended(0).lines();
        listed.iter().map(|item| item["BackupId"].clone()).collect::<Vec<_>>()
    };
    let (one, two) = (first["BackupId"].clone(), second["BackupId"].clone());
    assert_eq!(ids(&["list", "--application", "fabric:/App", "--json"]), [one.clone(), two.clone()]);
    assert_eq!(ids(&["list", "--service", "fabric:/App/Calc", "--latest", "--json"]), [two]);
    let upto = first["TimeStampUtc"].as_str().unwrap();
    assert_eq!(ids(&["list", CALC, "--to", upto, "--json"]), [one]);
}

#[test]
fn a_restore_takes_the_backup_that_is_named_or_the_newest_up_to_a_time() {
    let node = Node::start();
    let first = node.back_up();
    let before = tree(&node.path("calc"));
    fs::write(node.path("calc/two"), "changed").unwrap();
    let second = node.back_up();
    let after = tree(&node.path("calc"));
    node.ask(&["restore", CALC, "--at", first["TimeStampUtc"].as_str().unwrap(), "--wait"]).ended(0);
    assert_eq!(tree(&node.path("calc")), before);
    node.ask(&["restore", CALC, "--backup", second["BackupId"].as_str().unwrap(), "--wait"]).ended(0);
    assert_eq!(tree(&node.path("calc")), after);
    node.ask(&["restore", CALC, "--at", "2001-01-01 00:00:00"])
        .ended(4)
        .says(&["no backup up to 2001-01-01T00:00:00Z"]);
    node.ask(&["restore", CALC, "--backup", LEFT]).ended(4).says(&[LEFT, "fabric-backup list"]);
}

#[test]
fn a_job_that_fails_ends_with_1_and_says_why() {
    let node = Node::start();
    let failed = node.ask(&["backup", GONE, "--wait"]).ended(1);
    failed.says(&["the backup of partition", GONE, "gone' does not exist"]);
    assert_eq!(failed.lines().pop().unwrap()["BackupState"], "Failure");
    node.ask(&["progress", GONE]).ended(1).says(&["gone' does not exist"]);
    node.back_up();
    let (zip, mut bytes) = node.object(".zip");
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(zip, bytes).unwrap();
    let before = tree(&node.path("calc"));
    node.ask(&["restore", CALC, "--wait"]).ended(1).says(&["FABRIC_E_RESTORE_SAFE_CHECK_FAILED", "is damaged"]);
    assert_eq!(tree(&node.path("calc")), before);
}

#[test]
fn a_verification_is_complete_or_names_what_is_damaged_as_deep_as_its_level_looks() {
    let node = Node::start();
    let (first, second) = (node.back_up(), node.back_up());
    node.ask(&["progress", CALC, "--verify"]).ended(4).says(&["no verification"]);
    for level in ["1", "2", "3"] {
        let verified = node.ask(&["verify", CALC, "--latest", "--level", level, "--wait"]).ended(0);
        verified.says(&["verifying backup", second["BackupLocation"].as_str().unwrap()]);
        let last = verified.lines().pop().unwrap();
        assert_eq!((&last["BackupId"], &last["VerifyState"]), (&second["BackupId"], &json!("Success")));
    }
    node.damage(&first, |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let damaged = ["verify", CALC, "--at", first["TimeStampUtc"].as_str().unwrap(), "--wait"];
    node.ask(&[&damaged[..], &["--level", "1"]].concat()).ended(0);
    let found = node.ask(&damaged).ended(1);
    found.says(&[first["BackupLocation"].as_str().unwrap(), "byte ", "FABRIC_E_RESTORE_SAFE_CHECK_FAILED"]);
    node.ask(&["progress", CALC, "--verify"]).ended(1).says(&["FABRIC_E_RESTORE_SAFE_CHECK_FAILED"]);
    let one = ["verify", CALC, "--backup", first["BackupId"].as_str().unwrap(), "--wait", "--level", "1"];
    node.damage(&first, |bytes| bytes.truncate(bytes.len() - 1));
    node.ask(&one).ended(1).says(&["FABRIC_E_RESTORE_SAFE_CHECK_FAILED"]);
    node.ask(&["verify", CALC, "--backup", LEFT]).ended(4).says(&[LEFT, "fabric-backup list"]);
    node.ask(&["verify", CALC, "--wait"]).ended(0);
}

#[test]
fn what_the_server_refuses_ends_with_4_and_shows_its_code_and_a_way_out() {
    let node = Node::start();
    let unknown = "00000000-0000-0000-0000-0000000000ff";
    for command in [&["backup", unknown][..], &["restore", unknown], &["list", unknown], &["progress", unknown]] {
        node.ask(command).ended(4).says(&["FABRIC_E_PARTITION_NOT_FOUND", unknown, "GET /Applications"]);
    }
    node.ask(&["backup", "fabric:/App/None"]).ended(4).says(&["FABRIC_E_SERVICE_DOES_NOT_EXIST"]);
    node.ask(&["cancel", CALC]).ended(4).says(&["FABRIC_E_KEY_NOT_FOUND"]);
    node.ask(&["progress", CALC, "--restore"]).ended(4).says(&["no restore", "none was ever asked for"]);
    node.ask(&["restore", CALC]).ended(4).says(&["has no backup", "fabric-backup backup"]);
}

#[test]
fn a_command_line_that_cannot_be_used_ends_with_2_and_asks_nobody() {
    let node = Node::start();
    node.ask(&["backup", "calc"]).ended(2).says(&["'calc' is neither the GUID", "fabric:/App/Service"]);
    node.ask(&["backup", "fabric:/App/Split"]).ended(2).says(&["2 partitions", LEFT, "named 'right'"]);
    node.ask(&["list", CALC, "--server", "ftp://there"]).ended(2).says(&["http://127.0.0.1:19080"]);
    for wrong in [
        &["restore", CALC, "--at", "yesterday"][..],
        &["restore", CALC, "--latest", "--backup", LEFT],
        &["backup", CALC, "--timeout", "0"],
        &["verify", CALC, "--level", "4"],
        &["list"],
        &["list", CALC, "--application", "fabric:/App"],
    ] {
        node.ask(wrong).ended(2);
    }
}

#[test]
fn a_server_that_is_down_or_is_another_program_ends_with_3() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    drop(taken);
    let down = run(program().args(["backup", CALC, "--server", &format!("http://u:hush@{address}")])).ended(3);
    down.says(&["cannot be reached", &format!("http://{address}"), "--server"]);
    assert!(!down.err.contains("hush"), "{}", down.err);
}
