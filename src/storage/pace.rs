//! How many bytes a second go to the stores and come from them: a decorator that waits.
//!
//! There is one bound for the node and one for each store, however often it is opened. Both can be changed while stores
//! are in use. Bytes are paid for by those who come next, so a lone part never waits. The time between them is the
//! network's business, so it is that of tokio's timer and not of the product's clock.

use std::{
    collections::HashMap,
    num::NonZeroU64,
    ops::Range,
    sync::{Arc, Mutex as Lock, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use tokio::{
    sync::{Mutex, watch},
    time::{Instant, sleep},
};

use super::{
    Object, StorageError,
    backend::{Answer, Backend, Secured, Upload},
    throttle::hold,
};
use crate::domain::StoreId;

/// The most bytes a second; none is as many as go.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rates {
    /// Of all stores together.
    pub node: Option<NonZeroU64>,
    /// Of each store.
    pub store: Option<NonZeroU64>,
}

/// The bounds of one node.
pub(super) struct Paces {
    rates: watch::Sender<Rates>,
    node: Arc<Account>,
    stores: Lock<HashMap<StoreId, Arc<Account>>>,
}

/// Bytes that were let through and have not had their time yet. First come, first served.
#[derive(Default)]
struct Account(Mutex<Option<Debt>>);

struct Debt {
    bytes: u64,
    at: Instant,
}

/// The two bounds of one store.
#[derive(Clone)]
pub(super) struct Pace {
    rates: watch::Receiver<Rates>,
    node: Arc<Account>,
    store: Arc<Account>,
}

impl Paces {
    pub(super) fn new(rates: Rates) -> Self {
        Self { rates: watch::Sender::new(rates), node: Arc::default(), stores: Lock::default() }
    }

    pub(super) fn set(&self, rates: Rates) {
        self.rates.send_replace(rates);
    }

    pub(super) fn of(&self, store: StoreId) -> Pace {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        // Whom nobody uses has no debt that matters.
        stores.retain(|_, account| Arc::strong_count(account) > 1);
        let store = Arc::clone(stores.entry(store).or_default());
        Pace { rates: self.rates.subscribe(), node: Arc::clone(&self.node), store }
    }
}

impl Pace {
    /// Returns when so many bytes may go.
    async fn take(&self, bytes: usize) {
        let mut rates = self.rates.clone();
        hold(async {
            self.store.take(bytes as u64, &mut rates, |rates| rates.store).await;
            self.node.take(bytes as u64, &mut rates, |rates| rates.node).await;
        })
        .await;
    }
}

impl Account {
    async fn take(&self, bytes: u64, rates: &mut watch::Receiver<Rates>, bound: fn(&Rates) -> Option<NonZeroU64>) {
        let mut debt = self.0.lock().await;
        loop {
            let rate = bound(&rates.borrow_and_update());
            let left = debt.take().zip(rate).and_then(|(debt, rate)| debt.left(rate));
            let (Some((open, wait)), Some(_)) = (left, rate) else {
                *debt = rate.map(|_| Debt { bytes, at: Instant::now() });
                return;
            };
            *debt = Some(open);
            tokio::select! {
                () = sleep(wait) => {}
                changed = rates.changed() => if changed.is_err() {
                    // Nobody can change them any more.
                    sleep(wait).await;
                },
            }
        }
    }
}

impl Debt {
    /// What is left of it now, and for how long.
    fn left(self, rate: NonZeroU64) -> Option<(Self, Duration)> {
        let (now, rate) = (Instant::now(), u128::from(rate.get()));
        let had_time = now.duration_since(self.at).as_micros() * rate / 1_000_000;
        let bytes = u128::from(self.bytes).checked_sub(had_time).filter(|bytes| *bytes > 0)?;
        let wait = u64::try_from(bytes * 1_000_000 / rate + 1).unwrap_or(u64::MAX);
        Some((Self { bytes: u64::try_from(bytes).ok()?, at: now }, Duration::from_micros(wait)))
    }
}

/// A store at that pace.
pub(super) struct Paced {
    inner: Arc<dyn Backend>,
    pace: Pace,
}

impl Paced {
    pub(super) fn new(inner: Arc<dyn Backend>, pace: Pace) -> Self {
        Self { inner, pace }
    }

    fn paced(&self, inner: Box<dyn Upload>) -> Box<dyn Upload> {
        Box::new(PacedUpload { inner, pace: self.pace.clone() })
    }
}

impl Backend for Paced {
    fn description(&self) -> &str {
        self.inner.description()
    }

    fn waits(&self) -> Option<StorageError> {
        self.inner.waits()
    }

    fn put_new<'a>(&'a self, key: &'a str, data: Bytes) -> Answer<'a, ()> {
        async move {
            self.pace.take(data.len()).await;
            self.inner.put_new(key, data).await
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Bytes> {
        async move {
            let data = self.inner.get(key).await?;
            self.pace.take(data.len()).await;
            Ok(data)
        }
        .boxed()
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        async move {
            let data = self.inner.get_range(key, range).await?;
            self.pace.take(data.len()).await;
            Ok(data)
        }
        .boxed()
    }

    fn size<'a>(&'a self, key: &'a str) -> Answer<'a, u64> {
        self.inner.size(key)
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Object>> {
        self.inner.list(prefix)
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        self.inner.delete(key)
    }

    fn time(&self) -> Answer<'_, Option<DateTime<Utc>>> {
        self.inner.time()
    }

    fn create<'a>(&'a self, key: &'a str, about: u64) -> Answer<'a, Box<dyn Upload>> {
        async move { Ok(self.paced(self.inner.create(key, about).await?)) }.boxed()
    }

    fn resume<'a>(&'a self, key: &'a str, sign: &'a str, len: u64) -> Answer<'a, Option<Box<dyn Upload>>> {
        async move { Ok(self.inner.resume(key, sign, len).await?.map(|upload| self.paced(upload))) }.boxed()
    }
}

struct PacedUpload {
    inner: Box<dyn Upload>,
    pace: Pace,
}

impl Upload for PacedUpload {
    fn secure(&mut self) -> Answer<'_, Option<Secured>> {
        self.inner.secure()
    }

    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        async move {
            self.pace.take(part.len()).await;
            self.inner.write(part).await
        }
        .boxed()
    }

    fn finish(self: Box<Self>) -> Answer<'static, ()> {
        self.inner.finish()
    }

    fn abort(self: Box<Self>) -> Answer<'static, ()> {
        self.inner.abort()
    }
}

#[cfg(test)]
#[path = "pace_tests.rs"]
mod tests;
