use std::{num::NonZeroU64, time::Duration};

use bytes::Bytes;
use tokio::time::{Instant, sleep};

use super::{Paced, Paces, Rates};
use crate::{
    domain::StoreId,
    storage::{Storage, throttled},
};

const MIB: usize = 1 << 20;

fn rate(mib: u64) -> Option<NonZeroU64> {
    NonZeroU64::new(mib << 20)
}

fn store(paces: &Paces, name: &str) -> Storage {
    Storage::over(Paced::new(Storage::memory().backend, paces.of(StoreId(name.to_owned()))))
}

/// How many seconds it takes to write so many objects of 1 MiB.
async fn seconds(store: &Storage, prefix: &str, count: usize) -> u64 {
    let started = Instant::now();
    for number in 0..count {
        store.put_new(&format!("{prefix}{number}"), Bytes::from(vec![0; MIB])).await.unwrap();
    }
    started.elapsed().as_secs()
}

#[tokio::test(start_paused = true)]
async fn so_many_bytes_go_in_a_second_and_the_first_do_not_wait() {
    let paces = Paces::new(Rates { node: None, store: rate(2) });
    let store = store(&paces, "one");
    assert_eq!(seconds(&store, "a", 1).await, 0);
    assert_eq!(seconds(&store, "b", 20).await, 10);
    let started = Instant::now();
    store.get("a0").await.unwrap();
    store.get_range("a0", 0..MIB as u64).await.unwrap();
    let mut writer = store.create("c").await.unwrap();
    writer.write(Bytes::from(vec![0; 8 * MIB])).await.unwrap();
    writer.write(Bytes::from(vec![0; 8 * MIB])).await.unwrap();
    writer.finish().await.unwrap();
    assert_eq!(started.elapsed().as_secs(), 5, "reading, and the parts of an upload, are counted");
}

#[tokio::test(start_paused = true)]
async fn what_a_bound_held_a_call_up_is_told_apart_from_what_the_store_took() {
    let paces = Paces::new(Rates { node: rate(4), store: rate(2) });
    let store = store(&paces, "one");
    let whole = || Bytes::from(vec![0; 8 * MIB]);
    let ((), held) = throttled(async { store.put_new("a", whole()).await.unwrap() }).await;
    assert_eq!(held, Duration::ZERO, "the first does not wait");
    let mut writer = store.create("b").await.unwrap();
    let ((), held) = throttled(async {
        writer.write(whole()).await.unwrap();
        sleep(Duration::from_secs(1)).await;
        writer.write(whole()).await.unwrap();
    })
    .await;
    // Both parts wait for 8 MiB before them; of the second's time one second is over.
    assert_eq!(held.as_millis() / 100, 70, "{held:?}");
}

#[tokio::test(start_paused = true)]
async fn stores_share_the_bound_of_the_node_and_each_has_its_own() {
    let paces = Paces::new(Rates { node: rate(3), store: rate(2) });
    let (one, other) = (store(&paces, "one"), store(&paces, "other"));
    let again = store(&paces, "one");
    let started = Instant::now();
    tokio::join!(seconds(&one, "a", 6), seconds(&again, "b", 6));
    assert!((5..=6).contains(&started.elapsed().as_secs()), "12 MiB at 2 a second: {:?}", started.elapsed());
    let started = Instant::now();
    tokio::join!(seconds(&one, "c", 12), seconds(&other, "d", 12));
    assert!((7..=8).contains(&started.elapsed().as_secs()), "24 MiB at 3 a second: {:?}", started.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_bound_that_is_changed_counts_at_once_for_those_who_wait() {
    let paces = Paces::new(Rates { node: NonZeroU64::new(1), store: None });
    let store = store(&paces, "one");
    let started = Instant::now();
    let change = async {
        tokio::task::yield_now().await;
        tokio::time::advance(Duration::from_mins(1)).await;
        paces.set(Rates::default());
    };
    tokio::join!(seconds(&store, "a", 50), change);
    assert_eq!(started.elapsed().as_secs(), 60);
}
