use std::{fs, time::Duration};

use tokio::time::timeout;

use super::tests::{Node, ONE, go, hang_at, run, storage};
use crate::{
    domain::{Failure, FailureCode},
    job::{Depth, Measured, State, VerifyJob, VerifyTask},
    storage::faulty::Verb,
};

async fn job(node: &Node) -> VerifyJob {
    node.ledger.partition(ONE).await.unwrap().unwrap().verify.unwrap()
}

/// Asks to verify the partition's last backup.
async fn ask(node: &Node) {
    let State::Succeeded(point) = node.backup(ONE).await else { panic!("no backup to verify") };
    let ((now, deadline), storage) = (node.deadline(), storage(node.root.path()));
    let (backup, location, chain) = (point.id, point.location, Some(point.chain_id));
    let task = VerifyTask { storage, backup, location, chain, depth: Depth::Records, checked: None };
    let job = VerifyJob::new(node.clock.uuid(), now, deadline, task);
    node.change(ONE, |record| record.verify = Some(job.clone())).await;
}

async fn back_up(node: &Node) {
    node.ask_backup(ONE).await;
    node.engine.work(ONE).await.unwrap();
}

#[test]
fn what_a_backup_counted_is_whole_at_its_end_and_stays() {
    let node = Node::new(go(), 1, 1);
    fs::create_dir(node.state(ONE).join("deep")).unwrap();
    fs::write(node.state(ONE).join("deep/big"), vec![7; 300_000]).unwrap();
    run(async {
        back_up(&node).await;
        let job = node.ledger.partition(ONE).await.unwrap().unwrap().backup.unwrap();
        let Measured { bytes_total, bytes_processed, bytes_stored, files_total, files_processed, .. } =
            job.measured.unwrap();
        assert_eq!((bytes_total, bytes_processed), (300_005, 300_005));
        assert_eq!((files_total, files_processed), (2, 2));
        assert!(bytes_stored > 0);
        assert_eq!(job.started, Some(node.clock.now()));
        assert_eq!(node.engine.meters().read(job.id), None, "the meter is gone with the job");
    });
}

#[test]
fn a_verification_is_cancelled_and_timed_out_while_its_store_hangs() {
    for cancel in [true, false] {
        let (observer, hung) = hang_at(Verb::GetRange, ".bkmetadata");
        let node = Node::new(go(), 1, 1);
        run(async {
            back_up(&node).await;
            ask(&node).await;
            let catalog = super::tests::catalog(node.root.path(), &node.clock, observer);
            let engine = super::Engine { catalog, ..node.engine.clone() };
            let verification = tokio::spawn(async move { engine.verify(ONE).await });
            hung.acquire().await.unwrap().forget();
            if cancel {
                node.change(ONE, |record| record.verify.as_mut().unwrap().cancelled = true).await;
            } else {
                node.time_passes();
            }
            timeout(Duration::from_secs(5), verification).await.expect("not in time").unwrap().unwrap();
            let code = match job(&node).await.state {
                State::Failed(why) if cancel => why.code,
                State::TimedOut(why) if !cancel => why.code,
                state => panic!("{state:?}"),
            };
            assert_eq!(code, if cancel { FailureCode::Aborted } else { FailureCode::Timeout });
        });
    }
}

#[test]
fn a_verification_that_was_left_begins_again_and_disturbs_no_other_job() {
    let node = Node::new(go(), 1, 1);
    run(async {
        back_up(&node).await;
        ask(&node).await;
        node.change(ONE, |record| record.verify.as_mut().unwrap().state = State::Running).await;
        let next = node.reborn();
        next.recover(ONE).await.unwrap();
        assert_eq!(job(&node).await.state, State::Running, "another job's recovery is not its own");
        next.recover_verify(ONE).await.unwrap();
        assert_eq!(job(&node).await.state, State::Accepted);
        next.verify(ONE).await.unwrap();
        assert!(matches!(job(&node).await.state, State::Succeeded(_)));
    });
}

#[test]
fn a_verification_that_met_a_defect_ends_and_one_that_has_ended_stays() {
    let node = Node::new(go(), 1, 1);
    run(async {
        back_up(&node).await;
        ask(&node).await;
        node.engine.fail_verify(ONE, Failure::new(FailureCode::Other, "a defect")).await.unwrap();
        let ended = job(&node).await.state;
        assert!(matches!(&ended, State::Failed(why) if why.message == "a defect"));
        node.engine.fail_verify(ONE, Failure::new(FailureCode::Other, "another")).await.unwrap();
        node.engine.verify(ONE).await.unwrap();
        assert_eq!(job(&node).await.state, ended);
    });
}
