//! How many backups are at work at once, and what becomes of a slot whose backup can only wait for its store.
//!
//! It is lent to others until the store answers. Of those that lend there are never more than there are slots, so that no
//! more than twice as many are under way, with what they hold in memory.

use std::{convert::Infallible, future::pending, sync::Arc, time::Duration};

use tokio::{
    sync::{OwnedSemaphorePermit, Semaphore},
    time,
};

/// So often is looked whether a store is waited for. The network's business, so not the product's clock.
const LOOK: Duration = Duration::from_millis(250);

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
            until(&waits).await;
            let lent = one_of(&self.lendable).await;
            drop(slot);
            until(|| !waits()).await;
            slot = one_of(&self.free).await;
            drop(lent);
        }
    }
}

/// In the order of asking. The semaphores are never closed.
async fn one_of(semaphore: &Arc<Semaphore>) -> OwnedSemaphorePermit {
    match Arc::clone(semaphore).acquire_owned().await {
        Ok(permit) => permit,
        Err(_closed) => pending().await,
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
    };

    use tokio::task::JoinHandle;

    use super::{LOOK, Slots, one_of};

    /// Somebody who never ends and waits for a store while the flag says so.
    async fn start(slots: &Slots) -> (Arc<AtomicBool>, JoinHandle<()>) {
        let (flag, slots) = (Arc::new(AtomicBool::new(false)), slots.clone());
        let (slot, waits) = (one_of(&slots.free).await, flag.clone());
        let work = async move { slots.lending(slot, || waits.load(Ordering::SeqCst), pending()).await };
        (flag, tokio::spawn(work))
    }

    async fn free(slots: &Slots) -> usize {
        tokio::time::sleep(LOOK * 2).await;
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
