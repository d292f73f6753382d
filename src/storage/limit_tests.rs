use std::num::{NonZeroU32, NonZeroU64};

use bytes::Bytes;
use futures::FutureExt;

use super::{Gates, Limited, Limits};
use crate::{domain::StoreId, storage::Storage};

fn id(name: &str) -> StoreId {
    StoreId(name.to_owned())
}

fn calls(calls: u32) -> Gates {
    Gates::new(Limits { calls: NonZeroU32::new(calls), bytes: None })
}

fn bytes(bytes: u64) -> Gates {
    Gates::new(Limits { calls: None, bytes: NonZeroU64::new(bytes) })
}

#[test]
fn so_many_calls_are_in_a_store_at_a_time_however_often_it_is_opened() {
    let gates = calls(2);
    let (one, again, other) = (gates.of(id("one")), gates.of(id("one")), gates.of(id("other")));
    let first = one.enter(0).now_or_never().unwrap();
    let second = again.enter(9 << 20).now_or_never();
    assert!(second.is_some() && one.enter(0).now_or_never().is_none());
    assert!(other.enter(0).now_or_never().is_some());
    drop(first);
    assert!(again.enter(0).now_or_never().is_some());
}

#[test]
fn so_many_bytes_are_in_a_store_at_a_time_and_what_is_longer_goes_alone() {
    let gates = bytes(1 << 20);
    let gate = gates.of(id("one"));
    let half = gate.enter(1 << 19).now_or_never().unwrap();
    assert!(gate.enter((1 << 19) + 1).now_or_never().is_none());
    assert!(gate.enter(0).now_or_never().is_some());
    drop(half);
    let whole = gate.enter(1 << 40).now_or_never();
    assert!(whole.is_some() && gate.enter(1).now_or_never().is_none());
}

#[tokio::test]
async fn every_call_waits_for_its_turn() {
    let gates = calls(1);
    let gate = gates.of(id("one"));
    let store = Storage::over(Limited::new(Storage::memory().backend, gates.of(id("one"))));
    let mut writer = store.create("c").await.unwrap();
    let data = || Bytes::from(vec![0; 8 << 20]);
    let turn = gate.enter(0).await;
    assert!(store.put_new("a", data()).now_or_never().is_none());
    assert!(store.get("a").now_or_never().is_none());
    assert!(store.get_range("a", 0..1).now_or_never().is_none());
    assert!(store.size("a").now_or_never().is_none());
    assert!(store.list("").now_or_never().is_none());
    assert!(store.delete("a").now_or_never().is_none());
    assert!(store.create("b").now_or_never().is_none());
    assert!(writer.write(data()).now_or_never().is_none());
    drop(turn);
    store.put_new("a", data()).await.unwrap();
    assert_eq!(store.get_range("a", 0..1).await.unwrap().len(), 1);
}
