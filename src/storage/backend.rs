//! What an adapter must do. The promises are those of the module [`storage`](super); the facade has checked the keys.
//! Nothing happens before the answer is polled: a decorator may look on first.

use std::ops::Range;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use super::{Object, StorageError};

pub(super) type Answer<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

pub(super) trait Backend: Send + Sync {
    /// For people; never a secret.
    fn description(&self) -> &str;

    /// Why a call is tried again at the moment, if one is.
    fn waits(&self) -> Option<StorageError>;

    fn put_new<'a>(&'a self, key: &'a str, data: Bytes) -> Answer<'a, ()>;

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Bytes>;

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes>;

    fn size<'a>(&'a self, key: &'a str) -> Answer<'a, u64>;

    /// In any order.
    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Object>>;

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()>;

    /// None if it has no clock but ours.
    fn time(&self) -> Answer<'_, Option<DateTime<Utc>>>;

    /// Of about so many bytes, or fewer; 0 if nobody knows. A decorator passes the number on.
    fn create<'a>(&'a self, key: &'a str, about: u64) -> Answer<'a, Box<dyn Upload>>;

    /// Goes on with an upload where [`Upload::secure`] left a sign, that many bytes after its start. What was written after
    /// that is dropped. None: it is not there as it was.
    fn resume<'a>(&'a self, key: &'a str, sign: &'a str, len: u64) -> Answer<'a, Option<Box<dyn Upload>>>;
}

/// The sign of an upload, once all that was written before it was asked for is durable. More may be written meanwhile.
pub type Secured = BoxFuture<'static, Result<String, StorageError>>;

/// An object that is being written. Dropping it gives it up, as `abort` does, but without waiting.
pub(super) trait Upload: Send {
    /// Takes the next part. Every part but the last is at least [`PART`](super::writer::PART) bytes long, those before and
    /// after `secure` excepted; none is empty.
    fn write(&mut self, part: Bytes) -> Answer<'_, ()>;

    /// Lets whoever comes after a crash go on from here, by [`Backend::resume`]. From then on dropping the upload leaves what
    /// was written where it is; `abort` removes it as ever. None: the store cannot do that, or not here.
    fn secure(&mut self) -> Answer<'_, Option<Secured>>;

    fn finish(self: Box<Self>) -> Answer<'static, ()>;

    fn abort(self: Box<Self>) -> Answer<'static, ()>;
}
