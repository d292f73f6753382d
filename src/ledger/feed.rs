//! Who must hear of what was written, so that nobody has to read everything to find it.

use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use tokio::sync::Notify;

use super::{Change, partition::partition_of};
use crate::domain::PartitionId;

/// What records are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topic {
    /// The partitions and their jobs.
    Partitions,
    /// What is enabled and suspended, and the policies.
    InForce,
    /// How retention runs.
    Retention,
    /// What has to be cleaned up.
    Cleanups,
}

/// What was written since somebody last asked.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News {
    /// These partitions.
    pub partitions: BTreeSet<PartitionId>,
    /// Something else.
    pub others: bool,
}

/// Hears of what is written. A write whose outcome is not known is told too.
pub struct Feed(Arc<Subscriber>);

struct Subscriber {
    topics: &'static [Topic],
    news: Mutex<News>,
    wake: Notify,
}

/// All that listen.
#[derive(Clone, Default)]
pub(super) struct Feeds(Arc<Mutex<Vec<Weak<Subscriber>>>>);

impl Feeds {
    pub(super) fn subscribe(&self, topics: &'static [Topic]) -> Feed {
        let subscriber = Arc::new(Subscriber { topics, news: Mutex::default(), wake: Notify::new() });
        let mut all = locked(&self.0);
        all.retain(|it| it.strong_count() > 0);
        all.push(Arc::downgrade(&subscriber));
        Feed(subscriber)
    }

    pub(super) fn tell(&self, keys: &[String]) {
        for subscriber in locked(&self.0).iter().filter_map(Weak::upgrade) {
            for key in keys {
                subscriber.hear(key);
            }
        }
    }
}

impl Subscriber {
    fn hear(&self, key: &str) {
        let Some(topic) = topic(key).filter(|topic| self.topics.contains(topic)) else { return };
        let mut news = locked(&self.news);
        match partition_of(key) {
            Some(id) if topic == Topic::Partitions => news.partitions.extend([id]),
            _ => news.others = true,
        }
        self.wake.notify_one();
    }
}

impl Feed {
    /// What was written since the last time.
    pub fn take(&mut self) -> News {
        std::mem::take(&mut locked(&self.0.news))
    }

    /// Returns once there is something to take.
    pub async fn changed(&mut self) {
        while *locked(&self.0.news) == News::default() {
            self.0.wake.notified().await;
        }
    }
}

/// The keys that are written, but for those that are only looked at.
pub(super) fn written(changes: &[Change]) -> Vec<String> {
    let written = changes.iter().filter(|change| change.becomes != super::Becomes::Same);
    written.map(|change| change.key.clone()).collect()
}

fn topic(key: &str) -> Option<Topic> {
    match key.split_once('/')?.0 {
        "partition" => Some(Topic::Partitions),
        "control" | "policy" => Some(Topic::InForce),
        "retention" => Some(Topic::Retention),
        "cleanup" => Some(Topic::Cleanups),
        _ => None,
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use chrono::DateTime;
    use tokio::time::timeout;
    use uuid::Uuid;

    use super::{News, Topic};
    use crate::{
        domain::PartitionId,
        ledger::{Embedded, Ledger, samples::policy},
    };

    const ID: PartitionId = PartitionId(Uuid::from_u128(7));

    #[tokio::test]
    async fn a_feed_tells_once_which_partitions_were_written_and_nothing_that_it_does_not_ask_for() {
        let ledger = Ledger::over(Embedded::in_memory().unwrap());
        let (mut partitions, mut others) = (ledger.feed(&[Topic::Partitions]), ledger.feed(&[Topic::InForce]));
        ledger.change_partition(ID, DateTime::UNIX_EPOCH, |record| record.lsn += 1).await.unwrap();
        partitions.changed().await;
        assert_eq!(partitions.take(), News { partitions: [ID].into(), others: false });
        assert_eq!((partitions.take(), others.take()), (News::default(), News::default()));
        ledger.create_policy(&policy("p")).await.unwrap();
        assert!(others.take().others && partitions.take() == News::default());
        timeout(Duration::from_millis(20), others.changed()).await.expect_err("it was taken");
    }
}
