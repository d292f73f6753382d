use std::{
    collections::BTreeMap,
    ops::Range,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use futures::FutureExt;

use super::{
    ErrorKind, Object, StorageError,
    backend::{Answer, Backend, Secured, Upload},
};

const NAME: &str = "the store in memory";

/// Objects in a map. A panic in the middle of a call cannot leave the map half changed, so a poisoned lock is taken over.
#[derive(Default, Clone)]
pub(super) struct Memory(Arc<Mutex<BTreeMap<String, Bytes>>>);

impl Memory {
    fn objects(&self) -> MutexGuard<'_, BTreeMap<String, Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn insert(&self, key: &str, data: Bytes) -> Result<(), StorageError> {
        let mut objects = self.objects();
        if objects.contains_key(key) {
            return Err(StorageError::new(ErrorKind::AlreadyExists, NAME, "write", key));
        }
        objects.insert(key.to_owned(), data);
        Ok(())
    }

    fn read(&self, key: &str) -> Result<Bytes, StorageError> {
        let found = self.objects().get(key).cloned();
        found.ok_or_else(|| StorageError::new(ErrorKind::NotFound, NAME, "read", key))
    }
}

impl Backend for Memory {
    fn description(&self) -> &str {
        NAME
    }

    fn waits(&self) -> Option<StorageError> {
        None
    }

    fn put_new<'a>(&'a self, key: &'a str, data: Bytes) -> Answer<'a, ()> {
        async move { self.insert(key, data) }.boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Bytes> {
        async move { self.read(key) }.boxed()
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        async move { self.read(key).map(|data| data.slice(within(&range, data.len()))) }.boxed()
    }

    fn size<'a>(&'a self, key: &'a str) -> Answer<'a, u64> {
        async move { self.read(key).map(|data| data.len() as u64) }.boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Object>> {
        async move {
            let objects = self.objects();
            let found = objects.range(prefix.to_owned()..).take_while(|(key, _)| key.starts_with(prefix));
            Ok(found.map(|(key, data)| object(key, data)).collect())
        }
        .boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        async move {
            self.objects().remove(key);
            Ok(())
        }
        .boxed()
    }

    fn time(&self) -> Answer<'_, Option<DateTime<Utc>>> {
        async { Ok(None) }.boxed()
    }

    fn create<'a>(&'a self, key: &'a str, _about: u64) -> Answer<'a, Box<dyn Upload>> {
        let writer = Unfinished { memory: self.clone(), key: key.to_owned(), data: BytesMut::new() };
        async move { Ok(Box::new(writer) as Box<dyn Upload>) }.boxed()
    }

    fn resume<'a>(&'a self, _: &'a str, _: &'a str, _: u64) -> Answer<'a, Option<Box<dyn Upload>>> {
        async { Ok(None) }.boxed()
    }
}

fn within(range: &Range<u64>, len: usize) -> Range<usize> {
    let clip = |at: u64| usize::try_from(at).map_or(len, |at| at.min(len));
    let start = clip(range.start);
    start..clip(range.end).max(start)
}

struct Unfinished {
    memory: Memory,
    key: String,
    data: BytesMut,
}

impl Upload for Unfinished {
    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        async move {
            self.data.extend_from_slice(&part);
            Ok(())
        }
        .boxed()
    }

    fn secure(&mut self) -> Answer<'_, Option<Secured>> {
        async { Ok(None) }.boxed()
    }

    fn finish(self: Box<Self>) -> Answer<'static, ()> {
        async move { self.memory.insert(&self.key, self.data.freeze()) }.boxed()
    }

    fn abort(self: Box<Self>) -> Answer<'static, ()> {
        async { Ok(()) }.boxed()
    }
}

fn object(key: &str, data: &Bytes) -> Object {
    Object { key: key.to_owned(), size: data.len() as u64, tag: String::new() }
}
