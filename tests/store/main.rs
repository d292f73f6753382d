//! Every store keeps the promises of `fabric_backup::storage`: one suite, run by each adapter and each decorator.

#![expect(clippy::unwrap_used, reason = "what fails here fails the test")]

mod azure;
#[path = "../support/azurite.rs"]
mod azurite;
mod backups;
#[path = "../support/certificates.rs"]
mod certificates;
mod conformance;
mod cutting_proxy;
mod faults;
mod identity;
mod identity_endpoint;
mod local;
#[path = "../support/samba.rs"]
mod samba;
mod secrets;
mod secrets_server;
mod shared_access;
mod smb;

use bytes::Bytes;
use fabric_backup::storage::{Storage, faulty::Faults};

#[tokio::test(flavor = "multi_thread")]
async fn the_store_in_memory_keeps_every_promise() {
    conformance::run(async |_| Storage::memory()).await;
    let store = Storage::memory();
    let put = async |key: &str| store.put_new(key, Bytes::from("x")).await.unwrap();
    conformance::lists_in_order_of_bytes(&store, 10_000, put).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_observed_store_keeps_every_promise() {
    conformance::run(async |_| Storage::memory().observed(Faults::new(Vec::new()))).await;
}
