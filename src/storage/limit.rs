//! How many calls of one store run at a time, and how many bytes they carry: a decorator that lets the others wait.
//!
//! There is one bound for each store, however often it is opened. A part of an upload counts until the adapter has taken
//! it; how much an adapter then has on its way by itself is its own bound.

use std::{
    collections::HashMap,
    num::{NonZeroU32, NonZeroU64},
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt;
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    Object, StorageError,
    backend::{Answer, Backend, Secured, Upload},
    throttle::hold,
};
use crate::domain::StoreId;

/// The most at a time in one store; none is as many as come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Limits {
    /// Calls.
    pub calls: Option<NonZeroU32>,
    /// Bytes that they carry. One call alone may carry more.
    pub bytes: Option<NonZeroU64>,
}

/// The gates of one node.
pub(super) struct Gates {
    limits: Limits,
    stores: Mutex<HashMap<StoreId, Arc<Gate>>>,
}

/// Bytes are counted by the KiB, since a semaphore counts no further than 32 bits.
const UNIT: u64 = 1 << 10;

pub(super) struct Gate {
    calls: Option<Semaphore>,
    bytes: Option<(Semaphore, u32)>,
}

/// Somebody is inside as long as it lives.
type Inside<'a> = (Option<SemaphorePermit<'a>>, Option<SemaphorePermit<'a>>);

impl Gates {
    pub(super) fn new(limits: Limits) -> Self {
        Self { limits, stores: Mutex::default() }
    }

    pub(super) fn of(&self, store: StoreId) -> Arc<Gate> {
        let mut stores = self.stores.lock().unwrap_or_else(PoisonError::into_inner);
        stores.retain(|_, gate| Arc::strong_count(gate) > 1);
        Arc::clone(stores.entry(store).or_insert_with(|| Gate::new(self.limits).into()))
    }
}

impl Gate {
    fn new(limits: Limits) -> Self {
        let permits = |count: u32| Semaphore::new(count as usize);
        let units = |bytes: NonZeroU64| u32::try_from(bytes.get().div_ceil(UNIT)).unwrap_or(u32::MAX);
        Self {
            calls: limits.calls.map(|calls| permits(calls.get())),
            bytes: limits.bytes.map(units).map(|units| (permits(units), units)),
        }
    }

    async fn enter(&self, bytes: u64) -> Inside<'_> {
        hold(self.turn(bytes)).await
    }

    /// Always in this order, so that nobody waits for each other. The semaphores are never closed.
    async fn turn(&self, bytes: u64) -> Inside<'_> {
        let carried = match &self.bytes {
            Some((semaphore, most)) => {
                let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX).min(*most);
                semaphore.acquire_many(units).await.ok()
            }
            None => None,
        };
        let call = match &self.calls {
            Some(semaphore) => semaphore.acquire().await.ok(),
            None => None,
        };
        (carried, call)
    }
}

/// A store behind its gate.
pub(super) struct Limited {
    inner: Arc<dyn Backend>,
    gate: Arc<Gate>,
}

impl Limited {
    pub(super) fn new(inner: Arc<dyn Backend>, gate: Arc<Gate>) -> Self {
        Self { inner, gate }
    }

    fn behind_too(&self, inner: Box<dyn Upload>) -> Box<dyn Upload> {
        Box::new(LimitedUpload { inner, gate: Arc::clone(&self.gate) })
    }

    fn behind<'a, T: Send + 'a>(
        &'a self,
        bytes: u64,
        call: impl FnOnce() -> Answer<'a, T> + Send + 'a,
    ) -> Answer<'a, T> {
        async move {
            let _inside = self.gate.enter(bytes).await;
            call().await
        }
        .boxed()
    }
}

impl Backend for Limited {
    fn description(&self) -> &str {
        self.inner.description()
    }

    fn waits(&self) -> Option<StorageError> {
        self.inner.waits()
    }

    fn put_new<'a>(&'a self, key: &'a str, data: Bytes) -> Answer<'a, ()> {
        self.behind(data.len() as u64, move || self.inner.put_new(key, data))
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Bytes> {
        self.behind(0, move || self.inner.get(key))
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        self.behind(range.end.saturating_sub(range.start), move || self.inner.get_range(key, range))
    }

    fn size<'a>(&'a self, key: &'a str) -> Answer<'a, u64> {
        self.behind(0, move || self.inner.size(key))
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Object>> {
        self.behind(0, move || self.inner.list(prefix))
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        self.behind(0, move || self.inner.delete(key))
    }

    fn time(&self) -> Answer<'_, Option<DateTime<Utc>>> {
        self.behind(0, move || self.inner.time())
    }

    fn create<'a>(&'a self, key: &'a str, about: u64) -> Answer<'a, Box<dyn Upload>> {
        async move {
            let _inside = self.gate.enter(0).await;
            Ok(self.behind_too(self.inner.create(key, about).await?))
        }
        .boxed()
    }

    fn resume<'a>(&'a self, key: &'a str, sign: &'a str, len: u64) -> Answer<'a, Option<Box<dyn Upload>>> {
        async move {
            let _inside = self.gate.enter(0).await;
            Ok(self.inner.resume(key, sign, len).await?.map(|upload| self.behind_too(upload)))
        }
        .boxed()
    }
}

struct LimitedUpload {
    inner: Box<dyn Upload>,
    gate: Arc<Gate>,
}

impl Upload for LimitedUpload {
    fn secure(&mut self) -> Answer<'_, Option<Secured>> {
        self.inner.secure()
    }

    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        async move {
            let _inside = self.gate.enter(part.len() as u64).await;
            self.inner.write(part).await
        }
        .boxed()
    }

    fn finish(self: Box<Self>) -> Answer<'static, ()> {
        async move {
            let Self { inner, gate } = *self;
            let _inside = gate.enter(0).await;
            inner.finish().await
        }
        .boxed()
    }

    fn abort(self: Box<Self>) -> Answer<'static, ()> {
        self.inner.abort()
    }
}

#[cfg(test)]
#[path = "limit_tests.rs"]
mod tests;
