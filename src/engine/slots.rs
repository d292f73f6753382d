//! How many backups are at work at once, and what becomes of a slot whose backup can only wait for its store.
//!
//! It is lent to others, and once the store answers its backup goes on uncounted until a slot is free again. Of those that
//! lend there are never more than there are slots, so that no more than twice as many are under way, with what they hold
//! in memory.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time::{self, Instant},
};

/// The time from one look at a store to the next. The network's business, so not the product's clock.
const LOOK: Duration = Duration::from_millis(250);

/// Who waits at every look for so long lends: one request that is lost or turned away soon passes.
pub(super) const LONG: Duration = Duration::from_secs(15);

/// The slots of the backups. Cheap to clone.
#[derive(Clone)]
pub(super) struct Slots {
    pub(super) free: Arc<Semaphore>,
    /// One for each that may be lent.
    lendable: Arc<Semaphore>,
}

impl Slots {
    pub(super) fn new(count: usize) -> Self {
        Self { free: Arc::new(Semaphore::new(count)), lendable: Arc::new(Semaphore::new(count)) }
    }

    /// Does `work` in a slot that somebody else may have while `waits` says that nothing can be done.
    pub(super) async fn lending<R>(
        &self,
        slot: OwnedSemaphorePermit,
        waits: impl Fn() -> bool,
        work: impl Future<Output = R>,
    ) -> R {
        tokio::select! {
            biased;
            result = work => result,
            never = self.lend(slot, waits) => match never {},
        }
    }

    async fn lend(&self, mut slot: OwnedSemaphorePermit, waits: impl Fn() -> bool) -> Infallible {
        loop {
            for_long(&waits).await;
            if let Some(lent) = self.leave(&waits).await {
                drop(slot);
                until(|| !waits()).await;
                slot = one_of(&self.free).await;
                drop(lent);
            }
        }
    }

    /// The leave to lend; none if the store is well before it is given.
    async fn leave(&self, waits: impl Fn() -> bool) -> Option<OwnedSemaphorePermit> {
        let leave = tokio::select! {
            biased;
            () = until(|| !waits()) => None,
            leave = one_of(&self.lendable) => Some(leave),
        };
        leave.filter(|_| waits())
    }
}

/// In the order of asking. The semaphores are never closed.
async fn one_of(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(semaphore).acquire_owned().await {
        Ok(permit) => permit,
        Err(_closed) => pending().await,
    }
}

async fn for_long(so: impl Fn() -> bool) {
    let mut since = Instant::now();
    while since.elapsed() < LONG {
        time::sleep(LOOK).await;
        if !so() {
            since = Instant::now();
        }
    }
}

async fn until(so: impl Fn() -> bool) {
    while !so() {
        time::sleep(LOOK).await;
    }
}

#[cfg(test)]
mod tests {
    use std::{
        future::pending,
        sync::{
            Arc,
            atomic::{AtomicBool, Ordering},
        },
        time::Duration,
    };

    use tokio::task::JoinHandle;

    use super::{LONG, LOOK, Slots, one_of};

    /// Somebody who never ends and waits for a store while the flag says so.
    async fn start(slots: &Slots) -> (Arc<AtomicBool>, JoinHandle<()>) {
        let (flag, slots) = (Arc::new(AtomicBool::new(false)), slots.clone());
        let (slot, waits) = (one_of(&slots.free).await, flag.clone());
        let work = async move { slots.lending(slot, || waits.load(Ordering::SeqCst), pending()).await };
        (flag, tokio::spawn(work))
    }

    /// How many are free once every flag has been as it is for long.
    async fn free(slots: &Slots) -> usize {
        tokio::time::sleep(LONG + LOOK * 2).await;
        slots.free.available_permits()
    }

    #[tokio::test(start_paused = true)]
    async fn a_slot_is_lent_while_its_store_is_waited_for_and_no_longer() {
        let slots = Slots::new(1);
        let (waits, job) = start(&slots).await;
        assert_eq!(free(&slots).await, 0);
        for _ in 0..2 {
            waits.store(true, Ordering::SeqCst);
            assert_eq!(free(&slots).await, 1);
            waits.store(false, Ordering::SeqCst);
            assert_eq!(free(&slots).await, 0);
        }
        job.abort();
        assert_eq!(free(&slots).await, 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_store_that_is_soon_well_again_costs_its_backup_no_slot() {
        let slots = Slots::new(1);
        let (waits, _job) = start(&slots).await;
        for _ in 0..3 {
            waits.store(true, Ordering::SeqCst);
            tokio::time::sleep(LONG.mul_f32(0.9)).await;
            assert_eq!(slots.free.available_permits(), 0);
            waits.store(false, Ordering::SeqCst);
            tokio::time::sleep(LOOK * 2).await;
        }
        assert_eq!(slots.free.available_permits(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn who_may_lend_when_the_store_is_well_keeps_the_slot() {
        for after in [Duration::ZERO, LOOK * 2] {
            let slots = Slots::new(1);
            let (first, lends) = start(&slots).await;
            first.store(true, Ordering::SeqCst);
            assert_eq!(free(&slots).await, 1);
            let (second, _job) = start(&slots).await;
            second.store(true, Ordering::SeqCst);
            assert_eq!(free(&slots).await, 0, "one lends already");
            // Between two looks.
            tokio::time::sleep(LOOK / 2).await;
            second.store(false, Ordering::SeqCst);
            tokio::time::sleep(after).await;
            let semaphore = slots.free.clone();
            let third = tokio::spawn(async move { drop(one_of(&semaphore).await) });
            lends.abort();
            tokio::time::sleep(LOOK * 2).await;
            assert!(!third.is_finished(), "{after:?}");
            assert_eq!(slots.lendable.available_permits(), 1, "it is given back");
            second.store(true, Ordering::SeqCst);
            tokio::time::sleep(LONG.mul_f32(0.9)).await;
            assert!(!third.is_finished(), "it began anew");
            assert_eq!(free(&slots).await, 1);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn no_more_slots_are_lent_than_there_are() {
        let slots = Slots::new(2);
        for _ in 0..2 {
            start(&slots).await.0.store(true, Ordering::SeqCst);
        }
        assert_eq!(free(&slots).await, 2);
        let mut last = Vec::new();
        for _ in 0..2 {
            let (waits, job) = start(&slots).await;
            waits.store(true, Ordering::SeqCst);
            last.push(job);
        }
        assert_eq!(free(&slots).await, 0);
        last.remove(0).abort();
        assert_eq!(free(&slots).await, 1);
    }
}
