//! Counts the moments of a run and decides what becomes of each.

use std::sync::{Arc, Mutex};

use fabric_backup::{
    ledger::{Change, KeyValue, LedgerError, Versioned},
    storage::faulty::{Call, Moment, Observer, Verdict},
};

type Decide = dyn Fn(usize, &str) -> Verdict + Send + Sync;

/// Every moment so far, and what is to happen at the next one.
pub(crate) struct Script {
    decide: Box<Decide>,
    seen: Mutex<Vec<String>>,
}

impl Script {
    /// `decide` is told how many moments there were, this one included, and its name.
    pub(crate) fn new(decide: impl Fn(usize, &str) -> Verdict + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { decide: Box::new(decide), seen: Mutex::default() })
    }

    /// Lets everything happen.
    pub(crate) fn silent() -> Arc<Self> {
        Self::new(|_, _| Verdict::Go)
    }

    pub(crate) fn moments(&self) -> Vec<String> {
        self.seen.lock().unwrap().clone()
    }

    fn moment(&self, moment: Moment, what: &str) -> Verdict {
        let name = format!("{moment:?} {what}");
        let nth = {
            let mut seen = self.seen.lock().unwrap();
            seen.push(name.clone());
            seen.len()
        };
        (self.decide)(nth, &name)
    }
}

impl Observer for Script {
    fn observe(&self, call: &Call, moment: Moment) -> Verdict {
        let object = call.key.rsplit('.').next().unwrap_or_default();
        self.moment(moment, &format!("{:?} {object}", call.verb))
    }
}

/// A ledger store whose writes are moments of a script.
pub(crate) struct Watched<K> {
    pub(crate) store: K,
    pub(crate) script: Arc<Script>,
}

impl<K: KeyValue> KeyValue for Watched<K> {
    fn get(&self, key: &str) -> Result<Option<Versioned>, LedgerError> {
        self.store.get(key)
    }

    fn list(&self, prefix: &str, after: Option<&str>, limit: usize) -> Result<Vec<(String, Versioned)>, LedgerError> {
        self.store.list(prefix, after, limit)
    }

    fn commit(&self, changes: &[Change]) -> Result<(), LedgerError> {
        let key = changes.first().map_or("", |change| change.key.as_str());
        self.ask(Moment::Before, key)?;
        self.store.commit(changes)?;
        self.ask(Moment::After, key)
    }
}

impl<K> Watched<K> {
    fn ask(&self, moment: Moment, key: &str) -> Result<(), LedgerError> {
        match self.script.moment(moment, "ledger") {
            Verdict::Go => Ok(()),
            Verdict::Fail(kind) => {
                Err(LedgerError::Store { operation: "write", key: key.to_owned(), source: format!("{kind:?}").into() })
            }
            Verdict::Hang => panic!("a ledger's write does not hang here"),
        }
    }
}
