//! Remembers commit records that were read, in memory: an object is never written over, so a name with its size and
//! tag in a store tells what is in it; damage that the store can see gives it another tag. What is there at all, a listing tells every time.

use std::sync::{Mutex, MutexGuard, PoisonError};

use indexmap::IndexMap;

use super::metadata::Metadata;
use crate::{
    domain::{BackupPoint, Location, PolicyName, StoreId},
    storage::Object,
};

/// So many records are remembered: about 40 MB, if they are of the usual length, which is less than 1 KiB.
const MOST: usize = 100_000;

/// A longer record is read every time: what somebody else put there must not fill the memory.
const LONGEST: u64 = 4096;

/// Names a record: the hash of store, key, size and tag.
pub(super) type RecordId = [u8; 32];

/// As much of a record as a listing tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) point: BackupPoint,
    pub(super) policy: Option<PolicyName>,
}

/// The records that were read. A panic cannot leave the map half changed, so a poisoned lock is taken over.
#[derive(Default)]
pub(super) struct Cache(Mutex<IndexMap<RecordId, Record>>);

/// The name of the record that lies in `store` under `key`.
pub(super) fn record_id(store: &StoreId, object: &Object) -> RecordId {
    let Object { key, size, tag } = object;
    // No control character is in a key or a tag.
    *blake3::hash(format!("{size}\n{tag}\n{key}\n{}", store.0).as_bytes()).as_bytes()
}

impl From<Metadata> for Record {
    fn from(metadata: Metadata) -> Self {
        Self { point: metadata.point, policy: metadata.content.and_then(|content| content.policy) }
    }
}

impl Cache {
    /// The record, as if it had just been read at `location`.
    pub(super) fn get(&self, id: &RecordId, location: &Location) -> Option<Record> {
        let mut record = self.records().get(id).cloned()?;
        record.point.location.clone_from(location);
        Some(record)
    }

    /// Remembers a record of `size` bytes that was whole. A full cache forgets another one, whichever: then a listing of more than fit
    /// still finds most of them.
    pub(super) fn put(&self, id: RecordId, size: u64, record: &Record) {
        if size > LONGEST {
            return;
        }
        let mut record = record.clone();
        // Whoever asks knows it.
        record.point.location = Location(String::new());
        let mut records = self.records();
        if records.len() >= MOST {
            let [a, b, c, d, ..] = id;
            records.swap_remove_index(u32::from_le_bytes([a, b, c, d]) as usize % MOST);
        }
        records.insert(id, record);
    }

    fn records(&self) -> MutexGuard<'_, IndexMap<RecordId, Record>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Cache, LONGEST, MOST, Record, record_id};
    use crate::{
        archive::testing::{draft, noon, place},
        domain::{Location, StoreId},
        storage::Object,
    };

    fn object(key: &str, size: u64, tag: &str) -> Object {
        Object { key: key.to_owned(), size, tag: tag.to_owned() }
    }

    fn record() -> Record {
        Record { point: draft(&place(), noon()).point, policy: None }
    }

    #[test]
    fn a_record_comes_back_with_the_location_it_is_asked_for_at() {
        let cache = Cache::default();
        let (id, record) = (record_id(&StoreId("s".into()), &object("k", 1, "")), record());
        cache.put(id, LONGEST, &record);
        assert_eq!(cache.get(&id, &record.point.location), Some(record));
    }

    #[test]
    fn a_record_of_unusual_length_is_not_remembered() {
        let (cache, id) = (Cache::default(), record_id(&StoreId("s".into()), &object("k", LONGEST + 1, "")));
        cache.put(id, LONGEST + 1, &record());
        assert_eq!(cache.get(&id, &record().point.location), None);
    }

    #[test]
    fn store_key_size_and_tag_each_tell_records_apart() {
        let id = |store: &str, key, size, tag| record_id(&StoreId(store.to_owned()), &object(key, size, tag));
        let ids = [
            id("s", "k", 1, ""),
            id("t", "k", 1, ""),
            id("s", "l", 1, ""),
            id("s", "k", 2, ""),
            id("", "k\ns", 1, ""),
            id("s", "k", 1, "t"),
        ];
        for (n, one) in ids.iter().enumerate() {
            assert!(ids[n + 1..].iter().all(|other| other != one), "{n}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded_and_the_newest_is_among_it() {
        let cache = Cache::default();
        for n in 0..MOST as u64 + 100 {
            let id = record_id(&StoreId(String::new()), &object("k", n, ""));
            cache.put(id, 1, &record());
            assert!(n % 1000 != 0 || cache.get(&id, &Location(String::new())).is_some());
        }
        assert_eq!(cache.records().len(), MOST);
    }
}
