//! A store whose values cannot be read or exchanged by whoever has its file only.
//!
//! Every value is sealed whole, for the key that it lies under. Keys stay readable. One record says that the store is
//! sealed: it proves the key, and from then on a plain value is a forgery. What it cannot tell is that a record was
//! deleted or put back to an earlier value of its own.

use std::path::Path;

use super::{Becomes, Change, Embedded, KeyError, KeyFile, KeyValue, LedgerError, SealKey, Versioned, key::is_sealed};

/// The record that says so. No other key begins with it.
const MARK: &str = "sealed";
/// What the record holds once the file has nothing left from before it was sealed. Without it the process ended between.
const CLEAN: &[u8] = b"clean";

/// A sealed store over any other.
pub struct Sealed<K> {
    store: K,
    key: SealKey,
}

impl Sealed<Embedded> {
    /// Opens or creates the file `path`. Plain records of earlier versions are sealed.
    pub fn open(path: &Path, key: &KeyFile) -> Result<Self, LedgerError> {
        let unusable = |source| LedgerError::Key {
            ledger: path.display().to_string(),
            key_file: key.path().display().to_string(),
            source,
        };
        let store = Embedded::open(path)?;
        let marked = store.get(MARK)?.is_some();
        let key = key.take(marked || holds_sealed(&store)?).map_err(unusable)?;
        let sealed = match Self::over(store, key) {
            Err(LedgerError::Sealed { key }) if key == MARK => return Err(unusable(KeyError::Foreign)),
            opened => opened?,
        };
        sealed.clean()?;
        Ok(sealed)
    }
}

impl Sealed<Embedded> {
    /// Takes plain values out of the file, once.
    fn clean(&self) -> Result<(), LedgerError> {
        let Some(mark) = self.get(MARK)?.filter(|mark| mark.value != CLEAN) else { return Ok(()) };
        self.store.compact()?;
        let becomes = Becomes::Value(CLEAN.to_vec());
        self.commit(&[Change { key: MARK.to_owned(), seen: mark.revision, becomes }])
    }
}

impl<K: KeyValue> Sealed<K> {
    /// Over `store`, which is sealed with this key or not yet.
    pub fn over(store: K, key: SealKey) -> Result<Self, LedgerError> {
        let sealed = Self { store, key };
        match sealed.store.get(MARK)? {
            Some(mark) => drop(sealed.unsealed(MARK, &mark)?),
            None => sealed.seal_all()?,
        }
        Ok(sealed)
    }

    /// All in one commit: a store is plain or sealed, never half of each.
    fn seal_all(&self) -> Result<(), LedgerError> {
        let mut changes = vec![Change { key: MARK.to_owned(), seen: 0, becomes: Becomes::Value(Vec::new()) }];
        for (key, Versioned { revision, value }) in self.store.list("", None, usize::MAX)? {
            if is_sealed(&value) {
                return Err(LedgerError::Sealed { key });
            }
            changes.push(Change { key, seen: revision, becomes: Becomes::Value(value) });
        }
        self.commit(&changes)
    }

    fn unsealed(&self, key: &str, found: &Versioned) -> Result<Versioned, LedgerError> {
        match self.key.unseal(key, &found.value) {
            Ok(value) => Ok(Versioned { revision: found.revision, value }),
            Err(_) => Err(LedgerError::Sealed { key: key.to_owned() }),
        }
    }

    fn sealed(&self, change: &Change) -> Result<Change, LedgerError> {
        let Becomes::Value(value) = &change.becomes else { return Ok(change.clone()) };
        let (key, seen) = (change.key.clone(), change.seen);
        match self.key.seal(&key, value) {
            Ok(sealed) => Ok(Change { key, seen, becomes: Becomes::Value(sealed) }),
            Err(error) => Err(LedgerError::Store { operation: "seal", key, source: Box::new(error) }),
        }
    }
}

fn holds_sealed(store: &impl KeyValue) -> Result<bool, LedgerError> {
    Ok(store.list("", None, usize::MAX)?.iter().any(|(_, found)| is_sealed(&found.value)))
}

impl<K: KeyValue> KeyValue for Sealed<K> {
    fn get(&self, key: &str) -> Result<Option<Versioned>, LedgerError> {
        self.store.get(key)?.map(|found| self.unsealed(key, &found)).transpose()
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Versioned)>, LedgerError> {
        let found = self.store.list(prefix, after, limit)?.into_iter();
        found.map(|(key, found)| self.unsealed(&key, &found).map(|opened| (key, opened))).collect()
    }

    fn commit(&self, changes: &[Change]) -> Result<(), LedgerError> {
        let sealed: Vec<Change> = changes.iter().map(|change| self.sealed(change)).collect::<Result<_, _>>()?;
        self.store.commit(&sealed)
    }
}

#[cfg(test)]
#[path = "sealed_tests.rs"]
mod tests;
