//! Objects on the files of a share.

use std::{ops::Range, sync::Arc};

use bytes::{Bytes, BytesMut};
use chrono::{DateTime, SecondsFormat, Utc};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use tokio::sync::Semaphore;

use super::{
    Address, Shares, SmbSettings,
    client::{EntryKind, How, OpenFile, PIECE, Target, Trouble},
    explain::explained,
    names::{part_of, path_of},
    patience::Patience,
    shares::{Access, Lent},
    status::{Meaning, Status},
    upload::SmbUpload,
};
use crate::{
    clock::Clock,
    domain::{Credentials, FileShare},
    storage::{
        ErrorKind, Object, StorageError,
        backend::{Answer, Backend, Upload},
        key::{UNFINISHED, checked, unfinished_of},
    },
};

/// How many pieces of a file are on the way at once.
pub(super) const AT_ONCE: usize = 8;
/// How many operations of one store run at once, uploads not counted. Each has a connection of its own.
const OPERATIONS: usize = 8;

#[derive(Clone)]
pub(in crate::storage) struct Smb(Arc<Store>);

pub(super) struct Store {
    description: String,
    access: Arc<Access>,
    pub(super) folder: String,
    shares: Shares,
    settings: SmbSettings,
    turns: Semaphore,
    pub(super) clock: Clock,
}

impl Smb {
    /// Contacts nothing.
    pub(in crate::storage) fn new(
        share: &FileShare,
        address: Address,
        shares: Shares,
        settings: &SmbSettings,
        clock: Clock,
    ) -> Self {
        let Address { host, port, share: name, folder } = address;
        let target = Target { host, port, share: name, answer_timeout: settings.answer_timeout };
        let users: Vec<Credentials> = [&share.primary, &share.secondary].into_iter().flatten().cloned().collect();
        Self(Arc::new(Store {
            description: format!("file share {}", share.path),
            access: Arc::new(Access { target, users }),
            folder,
            shares,
            settings: settings.clone(),
            turns: Semaphore::new(OPERATIONS),
            clock,
        }))
    }
}

impl Store {
    pub(super) fn patience(&self) -> Patience {
        Patience::new(self.settings.patience)
    }

    pub(super) async fn lend(&self) -> Result<Arc<Lent>, Trouble> {
        self.shares.lend(&self.access).await.map(Arc::new)
    }

    /// Does `work` on a connection, and again on a new one when that is lost.
    async fn ask<T, F>(&self, work: impl Fn(Arc<Lent>) -> F + Send + Sync) -> Result<T, Trouble>
    where
        F: Future<Output = Result<T, Trouble>> + Send,
    {
        // It is never closed.
        let _turn = self.turns.acquire().await;
        let mut patience = self.patience();
        loop {
            let done = match self.lend().await {
                Ok(lent) => {
                    patience.begin();
                    work(lent).await
                }
                Err(trouble) => Err(trouble),
            };
            match done {
                Err(trouble) => patience.bear(trouble).await?,
                done => return done,
            }
        }
    }

    async fn told<T>(&self, operation: &'static str, key: &str, done: Result<T, Trouble>) -> Result<T, StorageError> {
        match done {
            Err(trouble) => Err(self.error(operation, key, trouble).await),
            Ok(done) => Ok(done),
        }
    }

    /// A store that was never written to is a missing store.
    pub(super) async fn error(&self, operation: &'static str, key: &str, trouble: Trouble) -> StorageError {
        let (mut kind, mut reason) = explained(&trouble, &self.access);
        let missing = if kind == ErrorKind::NotFound { self.whether_missing().await } else { None };
        if let Some(status) = missing {
            reason = Some(format!("the folder '{}' is not there", self.folder));
            if status == Status::NOT_A_DIRECTORY {
                // Nobody may take it for an empty store.
                (kind, reason) = (ErrorKind::Invalid, Some(format!("'{}' is a file and no folder", self.folder)));
            }
        }
        let mut error = StorageError::new(kind, &self.description, operation, key);
        if let Some(reason) = reason {
            error = error.because(reason);
        }
        if missing.is_some() && kind == ErrorKind::NotFound {
            error = error.store_is_missing();
        }
        error.caused_by(trouble)
    }

    /// What the server says of the store's folder if that is not there.
    async fn whether_missing(&self) -> Option<Status> {
        match self.ask(|lent| async move { lent.list(&self.folder, UNFINISHED).await }).await {
            Err(Trouble::Refused(status)) if status.meaning() == Meaning::NotThere => Some(status),
            _ => None,
        }
    }

    fn path(&self, key: &str) -> String {
        path_of(&self.folder, key)
    }

    /// How the names begin under which the object at `path` is written before it has its own, with the folder.
    pub(super) fn unfinished(path: &str) -> (&str, String) {
        let (folder, name) = path.rsplit_once('\\').unwrap_or(("", path));
        (folder, unfinished_of(name.as_bytes()))
    }

    async fn read(&self, key: &str, range: Range<u64>) -> Result<Bytes, Trouble> {
        let (path, range) = (&self.path(key), &range);
        self.ask(|lent| async move {
            let file = lent.open(path, How::Read).await?;
            let data = read_range(&*file, range.start..range.end.min(file.facts().size)).await?;
            Ok(data)
        })
        .await
    }

    async fn size(&self, key: &str) -> Result<u64, Trouble> {
        let path = &self.path(key);
        self.ask(|lent| async move { Ok(lent.open(path, How::Read).await?.facts().size) }).await
    }

    async fn delete(&self, key: &str) -> Result<(), Trouble> {
        let path = &self.path(key);
        self.ask(|lent| async move {
            match remove(&lent, path).await {
                Err(trouble) if is_absence(&trouble) => remove_unfinished(&lent, path).await,
                removed => removed,
            }
        })
        .await
    }

    async fn list(&self, prefix: &str) -> Result<Vec<Object>, Trouble> {
        let folder = prefix.rsplit_once('/').map_or("", |(folder, _)| folder);
        self.ask(|lent| async move {
            let mut found = Vec::new();
            let mut waiting = vec![folder.to_owned()];
            while let Some(folder) = waiting.pop() {
                match self.list_one(&lent, &folder, prefix, &mut waiting, &mut found).await {
                    // What vanishes while it is listed is not listed. The store itself must be there.
                    Err(trouble) if is_absence(&trouble) => lent.list(&self.folder, UNFINISHED).await.map(drop)?,
                    listed => listed?,
                }
            }
            Ok(found)
        })
        .await
    }

    async fn list_one(
        &self,
        lent: &Lent,
        folder: &str,
        prefix: &str,
        waiting: &mut Vec<String>,
        found: &mut Vec<Object>,
    ) -> Result<(), Trouble> {
        for entry in lent.list(&self.path(folder), "*").await? {
            let Some(part) = part_of(&entry.name) else { continue };
            let key = if folder.is_empty() { part } else { format!("{folder}/{part}") };
            match entry.kind {
                _ if !key.starts_with(prefix) || checked(&key).is_err() => {}
                EntryKind::Directory => waiting.push(key),
                EntryKind::File => {
                    let tag = entry.changed.to_rfc3339_opts(SecondsFormat::Nanos, true);
                    found.push(Object { key, size: entry.size, tag });
                }
                EntryKind::Other => {}
            }
        }
        Ok(())
    }

    /// As the server stamps a new file.
    async fn time(&self) -> Result<DateTime<Utc>, Trouble> {
        self.ask(|lent| async move {
            let path = path_of(&self.folder, &format!("{UNFINISHED}{}", self.clock.uuid()));
            let file = lent.open(&path, How::Create).await?;
            let time = file.facts().created;
            file.discard().await?;
            Ok(time)
        })
        .await
    }
}

pub(super) fn is_absence(trouble: &Trouble) -> bool {
    trouble.meaning() == Some(Meaning::NotThere)
}

async fn read_range(file: &dyn OpenFile, range: Range<u64>) -> Result<Bytes, Trouble> {
    let mut data = BytesMut::new();
    for_each_piece(file, range, |piece| data.extend_from_slice(piece)).await?;
    Ok(data.freeze())
}

/// Shows what a file holds, in order, to `look`.
pub(super) async fn for_each_piece(
    file: &dyn OpenFile,
    range: Range<u64>,
    mut look: impl FnMut(&[u8]) + Send,
) -> Result<(), Trouble> {
    let pieces = range.clone().step_by(PIECE).map(|at| read_piece(file, at, (range.end - at).min(PIECE as u64)));
    let mut pieces = stream::iter(pieces).buffered(AT_ONCE);
    while let Some(piece) = pieces.try_next().await? {
        look(&piece);
    }
    Ok(())
}

/// A server may give less at once than it is asked for.
async fn read_piece(file: &dyn OpenFile, at: u64, len: u64) -> Result<Bytes, Trouble> {
    let whole = usize::try_from(len).unwrap_or(PIECE);
    let first = file.read(at, whole).await?;
    if first.len() == whole {
        return Ok(first);
    }
    let mut data = BytesMut::from(first);
    while data.len() < whole {
        let more = file.read(at + data.len() as u64, whole - data.len()).await?;
        if more.is_empty() {
            return Err(Trouble::Lost("the file became shorter while it was read".to_owned()));
        }
        data.extend_from_slice(&more);
    }
    Ok(data.freeze())
}

pub(super) async fn remove(lent: &Lent, path: &str) -> Result<(), Trouble> {
    let file = lent.open(path, How::Delete).await?;
    file.discard().await
}

/// Removes what writers that died left of an object that was never finished. A writer that is alive loses its file and
/// fails when it finishes.
async fn remove_unfinished(lent: &Lent, path: &str) -> Result<(), Trouble> {
    let (folder, prefix) = Store::unfinished(path);
    let remains = match lent.list(folder, &format!("{prefix}*")).await {
        Err(trouble) if is_absence(&trouble) => return Ok(()),
        remains => remains?,
    };
    for entry in remains {
        match remove(lent, &join(folder, &entry.name)).await {
            Err(trouble) if is_absence(&trouble) => {}
            removed => removed?,
        }
    }
    Ok(())
}

pub(super) fn join(folder: &str, name: &str) -> String {
    if folder.is_empty() { name.to_owned() } else { format!("{folder}\\{name}") }
}

impl Backend for Smb {
    fn description(&self) -> &str {
        &self.0.description
    }

    fn waits(&self) -> Option<StorageError> {
        None
    }

    fn put_new<'a>(&'a self, key: &'a str, data: Bytes) -> Answer<'a, ()> {
        async move {
            let mut upload = SmbUpload::start(Arc::clone(&self.0), key).await?;
            if !data.is_empty() {
                upload.write(data).await?;
            }
            Box::new(upload).finish().await
        }
        .boxed()
    }

    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Bytes> {
        self.get_range(key, 0..u64::MAX)
    }

    fn get_range<'a>(&'a self, key: &'a str, range: Range<u64>) -> Answer<'a, Bytes> {
        async move { self.0.told("read", key, self.0.read(key, range).await).await }.boxed()
    }

    fn size<'a>(&'a self, key: &'a str) -> Answer<'a, u64> {
        async move { self.0.told("look at", key, self.0.size(key).await).await }.boxed()
    }

    fn list<'a>(&'a self, prefix: &'a str) -> Answer<'a, Vec<Object>> {
        async move { self.0.told("list", prefix, self.0.list(prefix).await).await }.boxed()
    }

    fn delete<'a>(&'a self, key: &'a str) -> Answer<'a, ()> {
        async move { self.0.told("delete", key, self.0.delete(key).await).await }.boxed()
    }

    fn time(&self) -> Answer<'_, Option<DateTime<Utc>>> {
        async move { self.0.told("ask the time with", UNFINISHED, self.0.time().await).await.map(Some) }.boxed()
    }

    fn create<'a>(&'a self, key: &'a str, _about: u64) -> Answer<'a, Box<dyn Upload>> {
        async move {
            let mut upload = SmbUpload::start(Arc::clone(&self.0), key).await?;
            upload.sweep().await;
            Ok(Box::new(upload) as Box<dyn Upload>)
        }
        .boxed()
    }

    fn resume<'a>(&'a self, _: &'a str, _: &'a str, _: u64) -> Answer<'a, Option<Box<dyn Upload>>> {
        async { Ok(None) }.boxed()
    }
}
