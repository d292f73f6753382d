//! Looking on and interfering, for tests: a decorator that asks an [`Observer`] around every call of a store.
//!
//! [`Faults`] is the scripted one: it fails chosen calls before or after their effect, remembers all calls, and can say
//! which of its faults never happened, so that a test can insist that they did. The product never builds one.

use std::{
    ops::Range,
    sync::{Arc, Mutex, PoisonError},
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::FutureExt;

use super::{
    ErrorKind, Object, StorageError,
    backend::{Answer, Backend, Secured, Upload},
};

/// What a store was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Verb {
    /// `put_new`
    PutNew,
    /// `get`
    Get,
    /// `get_range`
    GetRange,
    /// `size`
    Size,
    /// `list`; its key is the prefix
    List,
    /// `delete`
    Delete,
    /// `time`; its key is empty
    Time,
    /// `create`
    Create,
    /// `resume`
    Resume,
    /// `ObjectWriter::secure`; done when it has begun
    Secure,
    /// One part of an [`ObjectWriter`](super::ObjectWriter) reaching the store: 8 MiB or more, or the rest.
    Part,
    /// `ObjectWriter::finish`, after the last part
    Finish,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// What.
    pub verb: Verb,
    /// On which key.
    pub key: String,
}

/// When an observer is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// Nothing has happened yet.
    Before,
    /// The call has succeeded and its caller does not know yet.
    After,
}

/// What becomes of the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It goes on.
    Go,
    /// The caller sees this error. [`Moment::After`] makes it a lost reply: the effect stays.
    Fail(ErrorKind),
    /// The caller never hears again, as if the process had stopped here.
    Hang,
}

/// Asked before and after every call.
pub trait Observer: Send + Sync {
    /// Decides what becomes of `call`.
    fn observe(&self, call: &Call, moment: Moment) -> Verdict;

    /// What time the store is to say it is; with none it says what it would say.
    fn time(&self) -> Option<DateTime<Utc>> {
        None
    }

    /// Why the store is to say that it is waited for; with none it says what it would say.
    fn waits(&self) -> Option<ErrorKind> {
        None
    }
}

/// One scripted fault.
#[derive(Debug, Clone)]
pub struct Fault {
    /// Which calls it can hit.
    pub verb: Verb,
    /// Only keys that hold this text; `""` means all.
    pub key_contains: &'static str,
    /// It hits the n-th such call, counted from 1.
    pub nth: usize,
    /// Before or after the effect.
    pub moment: Moment,
    /// What it does.
    pub verdict: Verdict,
}

/// A script of faults and a record of the calls.
#[derive(Default)]
pub struct Faults {
    script: Vec<Fault>,
    calls: Mutex<Vec<Call>>,
    fired: Mutex<Vec<usize>>,
    time: Mutex<Option<DateTime<Utc>>>,
}

impl Faults {
    /// With this script; an empty one only records.
    pub fn new(script: Vec<Fault>) -> Arc<Self> {
        Arc::new(Self { script, ..Self::default() })
    }

    /// Every call so far, in order.
    pub fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The faults that have not happened: a test that scripted them proved nothing.
    pub fn unfired(&self) -> Vec<Fault> {
        let fired = self.fired.lock().unwrap_or_else(PoisonError::into_inner);
        let unfired = self.script.iter().enumerate().filter(|(index, _)| !fired.contains(index));
        unfired.map(|(_, fault)| fault.clone()).collect()
    }

    /// From now on the store says that it is `time`.
    pub fn set_time(&self, time: DateTime<Utc>) {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
    }

    fn hits(&self, fault: &Fault, call: &Call, moment: Moment) -> bool {
        let matches = |call: &Call| call.verb == fault.verb && call.key.contains(fault.key_contains);
        // The call itself is already among those recorded.
        fault.moment == moment && matches(call) && self.calls().iter().filter(|call| matches(call)).count() == fault.nth
    }
}

impl Observer for Faults {
    fn observe(&self, call: &Call, moment: Moment) -> Verdict {
        if moment == Moment::Before {
            self.calls.lock().unwrap_or_else(PoisonError::into_inner).push(call.clone());
        }
        let hit = self.script.iter().position(|fault| self.hits(fault, call, moment));
        hit.map_or(Verdict::Go, |index| {
            self.fired.lock().unwrap_or_else(PoisonError::into_inner).push(index);
            self.script[index].verdict
        })
    }

    fn time(&self) -> Option<DateTime<Utc>> {
        *self.time.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

pub(super) struct Observed {
    inner: Arc<dyn Backend>,
    watch: Watch,
}

#[derive(Clone)]
struct Watch {
    store: Arc<str>,
    observer: Arc<dyn Observer>,
}

impl Observed {
    pub(super) fn new(inner: Arc<dyn Backend>, observer: Arc<dyn Observer>) -> Self {
        let store = inner.description().into();
        Self { inner, watch: Watch { store, observer } }
    }

    fn observed(&self, key: &str, inner: Box<dyn Upload>) -> Box<dyn Upload> {
        Box::new(ObservedUpload { inner, watch: self.watch.clone(), key: key.to_owned() })
    }
}

impl Watch {
    async fn around<T>(&self, verb: Verb, key: &str, call: Answer<'_, T>) -> Result<T, StorageError> {
        let seen = Call { verb, key: key.to_owned() };
        self.ask(&seen, Moment::Before).await?;
        let answer = call.await?;
        self.ask(&seen, Moment::After).await?;
        Ok(answer)
    }

    async fn ask(&self, call: &Call, moment: Moment) -> Result<(), StorageError> {
        match self.observer.observe(call, moment) {
            Verdict::Go => Ok(()),
            Verdict::Fail(kind) => Err(StorageError::new(kind, &self.store, "serve", &call.key)
                .because(format!("scripted fault {moment:?} {:?}", call.verb))),
            Verdict::Hang => std::future::pending().await,
        }
    }
}

impl Backend for Observed {
    fn description(&self) -> &str {
        self.inner.description()
    }

    fn waits(&self) -> Option<StorageError> {
        let told = self.watch.observer.waits();
        let told = told.map(|kind| StorageError::new(kind, &self.watch.store, "reach", ""));
        told.or_else(|| self.inner.waits())
    }

    fn put_new<'a>(&'a self, key: &'a str, data: Bytes) -> Answer<'a, ()> {
        self.watch.around(Verb::PutNew, key, self.inner.put_new(key, data)).boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Bytes> {
        self.watch.around(Verb::Get, key, self.inner.get(key)).boxed()
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        self.watch.around(Verb::GetRange, key, self.inner.get_range(key, range)).boxed()
    }

    fn size<'a>(&'a self, key: &'a str) -> Answer<'a, u64> {
        self.watch.around(Verb::Size, key, self.inner.size(key)).boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Object>> {
        self.watch.around(Verb::List, prefix, self.inner.list(prefix)).boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        self.watch.around(Verb::Delete, key, self.inner.delete(key)).boxed()
    }

    fn time(&self) -> Answer<'_, Option<DateTime<Utc>>> {
        let told = self.watch.observer.time();
        let time = async move { if told.is_some() { Ok(told) } else { self.inner.time().await } };
        self.watch.around(Verb::Time, "", time.boxed()).boxed()
    }

    fn create<'a>(&'a self, key: &'a str, about: u64) -> Answer<'a, Box<dyn Upload>> {
        let create = async move { Ok(self.observed(key, self.inner.create(key, about).await?)) };
        self.watch.around(Verb::Create, key, create.boxed()).boxed()
    }

    fn resume<'a>(&'a self, key: &'a str, sign: &'a str, len: u64) -> Answer<'a, Option<Box<dyn Upload>>> {
        let resume = async move {
            let upload = self.inner.resume(key, sign, len).await?;
            Ok(upload.map(|upload| self.observed(key, upload)))
        };
        self.watch.around(Verb::Resume, key, resume.boxed()).boxed()
    }
}

struct ObservedUpload {
    inner: Box<dyn Upload>,
    watch: Watch,
    key: String,
}

impl Upload for ObservedUpload {
    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        let Self { inner, watch, key } = self;
        async move { watch.around(Verb::Part, key, inner.write(part)).await }.boxed()
    }

    fn secure(&mut self) -> Answer<'_, Option<Secured>> {
        let Self { inner, watch, key } = self;
        async move { watch.around(Verb::Secure, key, inner.secure()).await }.boxed()
    }

    fn finish(self: Box<Self>) -> Answer<'static, ()> {
        let Self { inner, watch, key } = *self;
        async move { watch.around(Verb::Finish, &key, async move { inner.finish().await }.boxed()).await }.boxed()
    }

    fn abort(self: Box<Self>) -> Answer<'static, ()> {
        self.inner.abort()
    }
}
