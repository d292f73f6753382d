//! Typed access to records: what every kind of record is read and written with.

use serde::{Serialize, de::DeserializeOwned};

use super::{Becomes, Change, KeyValue, Ledger, LedgerError, Revision, Versioned, feed::written};

/// A record, its key and the revision it was seen with.
pub(super) struct Record<T> {
    pub(super) key: String,
    pub(super) revision: Revision,
    pub(super) value: T,
}

impl Ledger {
    pub(super) async fn read<T: DeserializeOwned>(&self, key: &str) -> Result<Option<Record<T>>, LedgerError> {
        let key = key.to_owned();
        let found = self.run({
            let key = key.clone();
            move |store| store.get(&key)
        });
        found.await?.map(|found| decode(key, &found)).transpose()
    }

    /// The records whose keys start with `prefix` and come after `after`, at most `limit` of them.
    pub(super) async fn read_page<T: DeserializeOwned>(
        &self,
        prefix: &'static str,
        after: Option<String>,
        limit: usize,
    ) -> Result<Vec<Record<T>>, LedgerError> {
        let found = self.run(move |store| store.list(prefix, after.as_deref(), limit)).await?;
        found.into_iter().map(|(key, found)| decode(key, &found)).collect()
    }

    pub(super) async fn read_all<T: DeserializeOwned>(
        &self,
        prefix: &'static str,
    ) -> Result<Vec<Record<T>>, LedgerError> {
        self.read_page(prefix, None, usize::MAX).await
    }

    /// Makes the changes together and wakes whoever watches.
    pub(super) async fn write(&self, changes: Vec<Change>) -> Result<(), LedgerError> {
        let (keys, remembered) = (written(&changes), self.remembered.clone());
        let touched = keys.clone();
        // Also if nobody waits for the write any more.
        let commit = move |store: &dyn KeyValue| {
            let _write = remembered.write(&touched);
            store.commit(&changes)
        };
        let done = self.run(commit).await;
        if !matches!(done, Err(LedgerError::Conflict { .. })) {
            self.feeds.tell(&keys);
        }
        done?;
        self.announce();
        Ok(())
    }
}

/// The change that gives a record this value.
pub(super) fn put<T: Serialize>(key: &str, seen: Revision, value: &T) -> Result<Change, LedgerError> {
    let key = key.to_owned();
    match serde_json::to_vec(value) {
        Ok(value) => Ok(Change { key, seen, becomes: Becomes::Value(value) }),
        Err(source) => Err(LedgerError::Decode { key, source }),
    }
}

/// The change that changes nothing, and fails where a record is not any more as it was seen.
pub(super) fn same(key: String, seen: Revision) -> Change {
    Change { key, seen, becomes: Becomes::Same }
}

/// The change that deletes a record.
pub(super) fn delete<T>(record: &Record<T>) -> Change {
    Change { key: record.key.clone(), seen: record.revision, becomes: Becomes::Gone }
}

pub(super) fn decode<T: DeserializeOwned>(key: String, found: &Versioned) -> Result<Record<T>, LedgerError> {
    match serde_json::from_slice(&found.value) {
        Ok(value) => Ok(Record { key, revision: found.revision, value }),
        Err(source) => Err(LedgerError::Decode { key, source }),
    }
}

/// What came of an attempt; none if somebody else wrote in between, so that it has to be made again.
pub(super) fn settled<R>(attempt: Result<R, LedgerError>) -> Option<Result<R, LedgerError>> {
    match attempt {
        Err(LedgerError::Conflict { .. }) => None,
        done => Some(done),
    }
}
