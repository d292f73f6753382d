//! The decorator that tests interfere with: it must do what it says, or the tests that use it prove nothing.

use std::sync::Arc;

use bytes::Bytes;
use fabric_backup::storage::{
    ErrorKind, Storage,
    faulty::{Call, Fault, Faults, Moment, Verb, Verdict},
};

fn fault(verb: Verb, key_contains: &'static str, nth: usize, moment: Moment, verdict: Verdict) -> Fault {
    Fault { verb, key_contains, nth, moment, verdict }
}

fn faulty(script: Vec<Fault>) -> (Storage, Storage, Arc<Faults>) {
    let plain = Storage::memory();
    let faults = Faults::new(script);
    (plain.clone(), plain.observed(Arc::clone(&faults) as _), faults)
}

#[tokio::test]
async fn a_fault_hits_the_chosen_call_only_and_is_seen_to_have_happened() {
    let unreachable = Verdict::Fail(ErrorKind::Unreachable);
    let (plain, store, faults) = faulty(vec![
        fault(Verb::PutNew, "meta", 2, Moment::Before, unreachable),
        fault(Verb::Delete, "", 1, Moment::Before, unreachable),
    ]);
    for key in ["1.meta", "1.zip"] {
        store.put_new(key, Bytes::new()).await.unwrap();
    }
    let refused = store.put_new("2.meta", Bytes::new()).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Unreachable);
    store.put_new("3.meta", Bytes::new()).await.unwrap();
    assert_eq!(plain.list("").await.unwrap().len(), 3);
    let unfired = faults.unfired();
    assert!(matches!(unfired.as_slice(), [Fault { verb: Verb::Delete, .. }]), "{unfired:?}");
}

#[tokio::test]
async fn a_lost_reply_leaves_the_effect() {
    let lost = Verdict::Fail(ErrorKind::Unreachable);
    let (plain, store, faults) =
        faulty(vec![fault(Verb::PutNew, "", 1, Moment::After, lost), fault(Verb::Finish, "", 1, Moment::After, lost)]);
    assert!(store.put_new("a", Bytes::from("x")).await.is_err());
    assert!(store.create("b").await.unwrap().finish().await.is_err());
    assert_eq!(plain.list("").await.unwrap().len(), 2);
    assert!(faults.unfired().is_empty());
}

#[tokio::test]
async fn a_call_that_hangs_never_returns_and_has_no_effect() {
    let (plain, store, _) = faulty(vec![fault(Verb::PutNew, "", 1, Moment::Before, Verdict::Hang)]);
    let put = store.put_new("a", Bytes::new());
    tokio::select! {
        biased;
        _ = put => panic!("it returned"),
        () = tokio::task::yield_now() => {}
    }
    assert!(plain.list("").await.unwrap().is_empty());
}

#[tokio::test]
async fn every_call_is_recorded_in_order_and_parts_as_the_store_sees_them() {
    let (_, store, faults) = faulty(Vec::new());
    let mut writer = store.create("a").await.unwrap();
    for _ in 0..3 {
        writer.write(Bytes::from(vec![0; 4 << 20])).await.unwrap();
    }
    writer.finish().await.unwrap();
    store.list("").await.unwrap();
    store.get_range("a", 0..1).await.unwrap();
    let verbs: Vec<_> = faults.calls().into_iter().map(|Call { verb, .. }| verb).collect();
    assert_eq!(verbs, [Verb::Create, Verb::Part, Verb::Part, Verb::Finish, Verb::List, Verb::GetRange]);
}

#[tokio::test]
async fn the_time_is_what_the_test_says_once_it_says_one() {
    let (_, store, faults) = faulty(Vec::new());
    assert_eq!(store.time().await.unwrap(), None);
    let later = chrono::DateTime::UNIX_EPOCH + chrono::TimeDelta::days(40_000);
    faults.set_time(later);
    assert_eq!(store.time().await.unwrap(), Some(later));
    assert!(faults.calls().iter().all(|call| call.verb == Verb::Time));
}
