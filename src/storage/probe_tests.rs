use uuid::Uuid;

use super::{ProbeStep, probe};
use crate::storage::{
    ErrorKind, Storage,
    faulty::{Fault, Faults, Moment, Verb, Verdict},
};

fn fault(verb: Verb, moment: Moment) -> Fault {
    Fault { verb, key_contains: "", nth: 1, moment, verdict: Verdict::Fail(ErrorKind::AccessDenied) }
}

#[tokio::test]
async fn each_of_the_four_steps_is_made_once_on_one_object() {
    let calls = Faults::new(vec![]);
    probe(&Storage::memory().observed(calls.clone()), Uuid::max()).await.unwrap();
    let verbs: Vec<_> = calls.calls().iter().map(|call| call.verb).collect();
    assert_eq!(verbs, [Verb::PutNew, Verb::Get, Verb::List, Verb::Delete]);
    assert!(calls.calls().iter().all(|call| call.key == calls.calls()[0].key));
}

#[tokio::test]
async fn the_step_that_failed_is_named_and_nothing_is_left() {
    let table = [
        (Verb::PutNew, Moment::Before, ProbeStep::Write, "could not be written"),
        (Verb::PutNew, Moment::After, ProbeStep::Write, "could not be written"),
        (Verb::Get, Moment::Before, ProbeStep::Read, "could not be read"),
        (Verb::List, Moment::Before, ProbeStep::List, "could not be listed"),
        (Verb::Delete, Moment::After, ProbeStep::Delete, "could not be deleted"),
    ];
    for (verb, moment, step, words) in table {
        let (storage, faults) = (Storage::memory(), Faults::new(vec![fault(verb, moment)]));
        let error = probe(&storage.observed(faults.clone()), Uuid::max()).await.unwrap_err();
        assert_eq!(error.step(), step);
        assert!(error.to_string().ends_with(words), "{error}");
        assert!(std::error::Error::source(&error).is_some(), "{error}");
        assert!(storage.list("").await.unwrap().is_empty(), "{verb:?}");
        assert!(faults.unfired().is_empty());
    }
}

#[tokio::test]
async fn the_first_trouble_is_told_when_the_object_cannot_be_deleted_either() {
    let faults = Faults::new(vec![fault(Verb::Get, Moment::Before), fault(Verb::Delete, Moment::Before)]);
    let error = probe(&Storage::memory().observed(faults.clone()), Uuid::max()).await.unwrap_err();
    assert_eq!(error.step(), ProbeStep::Read);
    assert!(faults.unfired().is_empty());
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_asked_once() {
    let verdict = Verdict::Fail(ErrorKind::Unreachable);
    let faults = Faults::new(vec![Fault { verdict, ..fault(Verb::PutNew, Moment::Before) }]);
    let error = probe(&Storage::memory().observed(faults.clone()), Uuid::max()).await.unwrap_err();
    assert_eq!(error.step(), ProbeStep::Write);
    assert_eq!(faults.calls().len(), 1);
}
