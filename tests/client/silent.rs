//! Against a server that does not behave: what it says is written down beforehand.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{TcpListener, TcpStream},
    process::Stdio,
    thread,
};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::{node::CALC, program, run};

/// The head of a request, and its body.
struct Asked {
    head: String,
    body: String,
}

impl Asked {
    fn key(&self) -> &str {
        let line = self.head.lines().find(|line| line.to_lowercase().starts_with("idempotency-key:"));
        line.map_or("", |line| line.split_once(':').unwrap().1.trim())
    }
}

fn read(stream: &TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let lower = head.to_lowercase();
    let length = lower.split("content-length: ").nth(1).and_then(|rest| rest.lines().next()?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { head, body: String::from_utf8(body).unwrap() })
}

/// No answer at all.
const SILENCE: String = String::new();

/// Answers one request after the other as told, closing each connection, and then no more. Answers what it was asked.
fn server(answers: Vec<String>) -> (String, thread::JoinHandle<Vec<Asked>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let serving = thread::spawn(move || {
        let mut asked = Vec::new();
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            asked.extend(read(&stream));
            stream.write_all(answer.as_bytes()).unwrap();
        }
        asked
    });
    (url, serving)
}

fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

#[test]
fn an_order_whose_answer_was_lost_is_sent_again_under_the_same_key() {
    let done = json!({"BackupState": "Success"}).to_string();
    let (url, serving) = server(vec![SILENCE, answer("202 Accepted", ""), answer("200 OK", &done)]);
    run(program().args(["backup", CALC, "--wait", "--server", &url])).ended(0);
    let asked = serving.join().unwrap();
    assert_eq!((asked[0].key().len(), asked[0].key(), asked[0].body.as_str()), (36, asked[1].key(), "{}"));
}

#[test]
fn a_silence_while_a_job_goes_on_is_borne() {
    let busy = json!({"BackupState": "BackupInProgress"}).to_string();
    let done = json!({"BackupState": "Success"}).to_string();
    let (url, serving) = server(vec![answer("200 OK", &busy), SILENCE, answer("200 OK", &done)]);
    let followed = run(program().args(["progress", CALC, "--follow", "--server", &url])).ended(0);
    assert_eq!(followed.lines().len(), 2);
    serving.join().unwrap();
}

#[test]
fn events_are_followed_and_when_they_break_off_the_job_is_asked_after() {
    let event =
        |bytes: u32| format!("event: progress\ndata: {{\"BackupState\":\"BackupInProgress\",\"N\":{bytes}}}\n\n");
    let events =
        format!("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{}:\n\n{}data: {{", event(1), event(2));
    let done = json!({"BackupState": "Success"}).to_string();
    let (url, serving) = server(vec![events, answer("200 OK", &done)]);
    let followed = run(program().args(["progress", CALC, "--follow", "--server", &url])).ended(0).lines();
    let told: Vec<_> = followed.iter().map(|line| line["N"].clone()).collect();
    assert_eq!(told, [json!(1), json!(2), json!(null)]);
    let accepts =
        serving.join().unwrap().iter().map(|asked| asked.head.contains("text/event-stream")).collect::<Vec<_>>();
    assert_eq!(accepts, [true, false]);
}

#[test]
fn what_is_no_answer_of_the_api_ends_with_3_and_doubts_the_address() {
    let answers = [
        ("200 OK", "<html>"),
        ("404 Not Found", "<html>"),
        ("500 Internal Server Error", ""),
        ("502 Bad Gateway", "<html>"),
        ("302 Found", ""),
        ("200 OK", ""),
        ("200 OK", "[]"),
        ("200 OK", "7"),
        ("200 OK", "\"signed out\""),
    ];
    for (status, body) in answers {
        for command in [&["list"][..], &["progress"], &["progress", "--follow"], &["backup"], &["cancel"]] {
            let (url, serving) = server(vec![answer(status, body)]);
            let refused = run(program().args(command).args([CALC, "--server", &url])).ended(3);
            refused.says(&["--server", &status[..3]]);
            assert_eq!(refused.out, "", "{command:?} {status} {body}");
            serving.join().unwrap();
        }
    }
    for (command, told) in [("list", "{}"), ("restore", "null"), ("verify", r#"{"Items": 7}"#)] {
        let (url, serving) = server(vec![answer("200 OK", told)]);
        run(program().args([command, CALC, "--server", &url])).ended(3).says(&["no Items"]);
        serving.join().unwrap();
    }
}

#[test]
fn an_error_of_the_api_ends_with_4_whatever_its_status() {
    for status in ["404 Not Found", "409 Conflict", "500 Internal Server Error"] {
        for command in ["backup", "restore", "list", "progress", "verify", "cancel"] {
            let body = json!({"Error": {"Code": "FABRIC_E_X", "Message": "not so"}}).to_string();
            let (url, serving) = server(vec![answer(status, &body)]);
            run(program().args([command, CALC, "--server", &url])).ended(4).says(&["FABRIC_E_X: not so"]);
            serving.join().unwrap();
        }
    }
}

#[test]
fn a_verification_that_finds_damage_ends_with_1_and_names_every_place() {
    let backup = json!({"BackupId": CALC, "BackupLocation": "L", "CreationTimeUtc": "2026-03-04T12:05:09Z"});
    let found = json!({"VerifyState": "Failure", "FailureError": {"Code": "FABRIC_E_X", "Message": "damaged"},
        "Findings": [{"BackupLocation": "L", "File": "f", "Offset": "65536", "Reason": "its hash is wrong"}]});
    let (url, serving) = server(vec![
        answer("200 OK", &json!({"ContinuationToken": "", "Items": [backup]}).to_string()),
        answer("202 Accepted", ""),
        answer("200 OK", &found.to_string()),
    ]);
    let verify = ["verify", CALC, "--level", "3", "--timeout", "7", "--wait", "--server", &url];
    let verified = run(program().args(verify)).ended(1);
    verified.says(&["verifying backup", "L: file 'f', byte 65536, its hash is wrong", "FABRIC_E_X: damaged"]);
    let asked = serving.join().unwrap();
    assert!(
        asked[1].head.contains("/$/VerifyBackup?") && asked[1].head.contains("VerifyTimeout=7"),
        "{}",
        asked[1].head
    );
    let body: serde_json::Value = serde_json::from_str(&asked[1].body).unwrap();
    assert_eq!(body, json!({"BackupId": CALC, "BackupLocation": "L", "Level": 3}));
}

#[test]
fn ctrl_c_ends_the_waiting_with_130_and_says_that_the_job_goes_on() {
    let busy = json!({"RestoreState": "RestoreInProgress"}).to_string();
    let (url, serving) = server(vec![answer("200 OK", &busy)]);
    let mut following = program();
    following.args(["progress", CALC, "--restore", "--follow", "--server", &url]);
    let mut following = following.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(following.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    kill_process(Pid::from_child(&following), Signal::INT).unwrap();
    let ended = following.wait_with_output().unwrap();
    let err = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(130), "{err}");
    for part in ["goes on", "--restore --follow", &format!("cancel {CALC} --restore")] {
        assert!(err.contains(part), "{part:?} is not in {err:?}");
    }
    serving.join().unwrap();
}
