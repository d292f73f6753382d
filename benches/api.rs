//! What `scripts/bench-api` measures with: a bare axum handler to compare with, and a client that asks for backups at a
//! steady rate.
//!
//!     api serve FILE                       answers every GET with the bytes of FILE; prints its address
//!     api backups SERVER RATE PARTITIONS   asks for a backup of each partition of the file PARTITIONS, one a line, in turn,
//!                                          RATE a second; prints how long the answers took, from when each was due

#![expect(clippy::unwrap_used, reason = "what fails here ends the run")]

use std::{collections::BTreeMap, env, fs, time::Duration};

use axum::{Router, http::header, routing::get};
use bytes::Bytes;
use tokio::{net::TcpListener, task::JoinSet, time::Instant};

#[tokio::main]
async fn main() {
    let arguments: Vec<String> = env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments.as_slice() {
        ["serve", file] => serve(fs::read(file).unwrap().into()).await,
        ["backups", server, rate, partitions] => backups(server, rate.parse().unwrap(), partitions).await,
        [] => println!("run by scripts/bench-api"),
        other => panic!("{other:?} is not understood"),
    }
}

async fn serve(body: Bytes) {
    let answer = move || async move { ([(header::CONTENT_TYPE, "application/json")], body) };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    println!("http://{}", listener.local_addr().unwrap());
    axum::serve(listener, Router::new().fallback(get(answer))).await.unwrap();
}

async fn backups(server: &str, rate: u32, partitions: &str) {
    let (client, start) = (reqwest::Client::new(), Instant::now());
    let mut running = JoinSet::new();
    for (number, partition) in (0..).zip(fs::read_to_string(partitions).unwrap().lines()) {
        let due = start + Duration::from_secs(1) / rate * number;
        let url = format!("{server}/Partitions/{partition}/$/Backup?api-version=6.4");
        let request = client.post(url).header(header::CONTENT_TYPE, "application/json").body("{}");
        tokio::time::sleep_until(due).await;
        running.spawn(async move { (request.send().await.unwrap().status().as_u16(), due.elapsed()) });
    }
    report(&running.join_all().await);
}

fn report(answers: &[(u16, Duration)]) {
    let mut statuses = BTreeMap::<u16, usize>::new();
    for (status, _) in answers {
        *statuses.entry(*status).or_default() += 1;
    }
    let mut took: Vec<f64> = answers.iter().map(|(_, took)| took.as_secs_f64() * 1e3).collect();
    took.sort_by(f64::total_cmp);
    let at = |share: usize| took[(took.len() * share / 1000).min(took.len() - 1)];
    let (half, most, nearly_all, last) = (at(500), at(990), at(999), at(1000));
    println!("{statuses:?}  p50 {half:.1} ms  p99 {most:.1} ms  p99.9 {nearly_all:.1} ms  most {last:.1} ms");
}
