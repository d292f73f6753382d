use std::{collections::HashSet, sync::Arc};

use proptest::{collection, prelude::Strategy};
use uuid::Uuid;

use super::{all, application, at, hours};
use crate::{
    archive::{
        Filter, Keys, Metadata, Position,
        cache::Cache,
        encode,
        listing::{Shelf, list},
        remove,
        testing::{draft, noon, shelf},
    },
    domain::Location,
    storage::Storage,
};

/// What happens between two pages: a backup comes or goes.
#[derive(Debug, Clone)]
struct Change {
    shelf: usize,
    partition: u128,
    hour: i64,
}

fn changes(count: usize) -> impl Strategy<Value = Vec<Change>> {
    let change = (0..2_usize, 1..4_u128, 0..6_i64);
    collection::vec(change.prop_map(|(shelf, partition, hour)| Change { shelf, partition, hour }), 0..count)
}

impl Change {
    fn location(&self) -> Location {
        at("Svc", self.partition).location(noon() + hours(self.hour))
    }

    /// Puts a record there, or takes it away.
    async fn happen(&self, shelves: &[Arc<Shelf>]) {
        let storage = &shelves[self.shelf].storage;
        let key = Keys::of(&self.location()).unwrap().metadata;
        if storage.size(&key).await.is_ok() {
            remove(storage, &self.location()).await.unwrap();
        } else {
            let point = draft(&at("Svc", self.partition), noon() + hours(self.hour)).point;
            let record = encode(&Metadata { point, content: None });
            storage.put_new(&key, record.into()).await.unwrap();
        }
    }
}

/// All pages, something changing before each but the first.
async fn paged(shelves: &[Arc<Shelf>], changes: &[Change], limit: usize) -> Vec<Uuid> {
    let (cache, mut ids) = (Cache::default(), vec![]);
    let mut filter = Filter { limit: Some(limit), ..Filter::default() };
    let mut changes = changes.iter();
    loop {
        let page = list(shelves, &cache, &application(), &filter).await.unwrap();
        assert!(page.items.len() <= limit);
        ids.extend(page.items.into_iter().map(|found| found.point.unwrap().id));
        let Some(next) = page.next else { return ids };
        filter.after = Some(Position::decode(&next.encode()).unwrap());
        if let Some(change) = changes.next() {
            change.happen(shelves).await;
        }
    }
}

async fn ids(shelves: &[Arc<Shelf>]) -> HashSet<Uuid> {
    let found = all(shelves, &Cache::default(), &Filter::default()).await;
    found.into_iter().map(|found| found.point.unwrap().id).collect()
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config { failure_persistence: None, ..Default::default() })]
    #[test]
    fn pages_tell_each_backup_once_while_others_come_and_go(
        before in changes(20),
        during in changes(20),
        limit in 1..5_usize,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let shelves = [shelf("first", &Storage::memory()), shelf("second", &Storage::memory())];
            for change in &before {
                change.happen(&shelves).await;
            }
            let at_first = ids(&shelves).await;
            let told = paged(&shelves, &during, limit).await;
            let at_last = ids(&shelves).await;
            let once: HashSet<_> = told.iter().copied().collect();
            assert_eq!(told.len(), once.len(), "none is told twice");
            assert!(at_first.intersection(&at_last).all(|id| once.contains(id)), "what stayed is told");
        });
    }
}
