//! An object on its way: pieces are written without waiting for each other, and again where the connection was lost.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;
use chrono::{DateTime, TimeDelta, Utc};
use futures::FutureExt;

use super::{
    client::{self, How, OpenFile, PIECE, Trouble},
    names::path_of,
    patience::Patience,
    shares::Lent,
    status::Meaning,
    store::{AT_ONCE, Store, for_each_piece, is_absence, join, remove},
};
use crate::storage::{
    StorageError,
    backend::{Answer, Secured, Upload},
    key::UNFINISHED,
};

/// How much may be acknowledged and not yet durable: a server that lost it in a crash is asked to show it again.
const CHECKPOINT: u64 = 1 << 30;
/// A file that nobody has written to for so long belongs to a writer that died.
const ABANDONED: TimeDelta = TimeDelta::days(1);

pub(super) struct SmbUpload {
    store: Arc<Store>,
    key: String,
    unfinished: Unfinished,
}

/// A file on its way to becoming an object.
struct Unfinished {
    store: Arc<Store>,
    target: String,
    temporary: String,
    /// Nothing before the first, between two connections and after the end.
    open: Option<Open>,
    /// What the server has not acknowledged, in order.
    waiting: VecDeque<Piece>,
    len: u64,
    /// So far it was flushed, and the sum of what was acknowledged after that.
    durable: u64,
    sum: crc32fast::Hasher,
    renamed: bool,
    patience: Patience,
}

struct Open {
    lent: Arc<Lent>,
    file: Box<dyn OpenFile>,
    /// Tells the file from any other that came to have its name.
    number: u64,
}

struct Piece {
    at: u64,
    data: Bytes,
    sum: crc32fast::Hasher,
    written: client::Answer<()>,
}

impl SmbUpload {
    /// Makes the folders on the way.
    pub(super) async fn start(store: Arc<Store>, key: &str) -> Result<Self, StorageError> {
        match Unfinished::start(Arc::clone(&store), path_of(&store.folder, key)).await {
            Ok(unfinished) => Ok(Self { store, key: key.to_owned(), unfinished }),
            Err(trouble) => Err(store.error("write", key, trouble).await),
        }
    }

    /// Removes what writers that died left beside it, as far as it can.
    pub(super) async fn sweep(&mut self) {
        if let Err(trouble) = self.unfinished.sweep().await {
            tracing::debug!(%trouble, key = self.key, "what dead writers may have left was not swept");
        }
    }

    async fn told<T>(&mut self, done: Result<T, Trouble>) -> Result<T, StorageError> {
        match done {
            Err(trouble) => Err(self.store.error("write", &self.key, trouble).await),
            Ok(done) => Ok(done),
        }
    }
}

impl Unfinished {
    async fn start(store: Arc<Store>, target: String) -> Result<Self, Trouble> {
        let (folder, prefix) = Store::unfinished(&target);
        let temporary = join(folder, &format!("{prefix}{}", store.clock.uuid()));
        let patience = store.patience();
        let (open, waiting) = (None, VecDeque::new());
        let sum = crc32fast::Hasher::new();
        let mut new =
            Self { store, target, temporary, open, waiting, len: 0, durable: 0, sum, renamed: false, patience };
        let mut again = false;
        while let Err(trouble) = new.create(again).await {
            new.patience.bear(trouble).await?;
            again = true;
        }
        Ok(new)
    }

    /// The answer to an earlier attempt may have been lost, so that its file is there.
    async fn create(&mut self, again: bool) -> Result<(), Trouble> {
        let lent = self.store.lend().await?;
        self.patience.begin();
        let mut created = lent.open(&self.temporary, How::Create).await;
        if created.as_ref().is_err_and(is_absence) {
            make_folder(&lent, folder_of(&self.temporary)).await?;
            created = lent.open(&self.temporary, How::Create).await;
        }
        let file = match created {
            Err(trouble) if again && trouble.meaning() == Some(Meaning::Taken) => {
                lent.open(&self.temporary, How::Write).await?
            }
            created => created?,
        };
        let number = file.number().await?;
        self.open = Some(Open { lent, file, number });
        Ok(())
    }

    async fn write(&mut self, mut part: Bytes) -> Result<(), Trouble> {
        while !part.is_empty() {
            while self.waiting.len() >= AT_ONCE {
                self.settle().await?;
            }
            if self.acknowledged() - self.durable >= CHECKPOINT {
                self.make_durable().await?;
            }
            if self.open.as_ref().is_some_and(|open| open.lent.is_worn()) {
                self.change().await?;
            }
            let (at, data) = (self.len, part.split_to(part.len().min(PIECE)));
            self.len += data.len() as u64;
            // Now, as the bytes are in the processor's cache when they are copied for the message.
            let sum = sum_of(&data);
            let written = self.begin(at, data.clone());
            self.waiting.push_back(Piece { at, data, sum, written });
        }
        Ok(())
    }

    fn begin(&self, at: u64, data: Bytes) -> client::Answer<()> {
        match &self.open {
            Some(open) => open.file.write(at, data),
            None => std::future::ready(Err(Trouble::Lost("there is none".to_owned()))).boxed(),
        }
    }

    /// Waits for the oldest piece.
    async fn settle(&mut self) -> Result<(), Trouble> {
        let Some(oldest) = self.waiting.front_mut() else { return Ok(()) };
        if let Err(trouble) = (&mut oldest.written).await {
            return self.recover(trouble).await;
        }
        self.patience.renew();
        self.sum.combine(&oldest.sum);
        self.waiting.pop_front();
        Ok(())
    }

    fn acknowledged(&self) -> u64 {
        self.waiting.front().map_or(self.len, |oldest| oldest.at)
    }

    async fn make_durable(&mut self) -> Result<(), Trouble> {
        let Some(Open { file, .. }) = &self.open else { return Err(Trouble::Vanished) };
        if let Err(trouble) = file.flush().await {
            return self.recover(trouble).await;
        }
        (self.durable, self.sum) = (self.acknowledged(), crc32fast::Hasher::new());
        Ok(())
    }

    /// Goes on over another connection while nothing is on its way and all is durable, before this one fails.
    async fn change(&mut self) -> Result<(), Trouble> {
        while !self.waiting.is_empty() {
            self.settle().await?;
        }
        self.make_durable().await?;
        match self.reopen().await {
            Err(trouble) => self.recover(trouble).await,
            Ok(()) => Ok(()),
        }
    }

    /// Goes on from what the server has acknowledged, on another connection.
    async fn recover(&mut self, trouble: Trouble) -> Result<(), Trouble> {
        let mut trouble = trouble;
        loop {
            self.patience.bear(trouble).await?;
            match self.reopen().await {
                Err(other) => trouble = other,
                Ok(()) => break,
            }
        }
        tracing::info!(file = self.temporary, "the connection was lost; the upload goes on over another");
        let answers: Vec<_> = self.waiting.iter().map(|piece| self.begin(piece.at, piece.data.clone())).collect();
        for (piece, answer) in self.waiting.iter_mut().zip(answers) {
            piece.written = answer;
        }
        Ok(())
    }

    /// The answer to the renaming may have been lost, so that the file has its own name; and what was acknowledged may
    /// have been lost with the server.
    async fn reopen(&mut self) -> Result<(), Trouble> {
        let Some(number) = self.open.as_ref().map(|open| open.number) else { return Err(Trouble::Vanished) };
        let lent = self.store.lend().await?;
        let (file, renamed) = match lent.open(&self.temporary, How::Write).await {
            Err(trouble) if is_absence(&trouble) => (lent.open(&self.target, How::Write).await, true),
            opened => (opened, false),
        };
        let file = file.map_err(|trouble| if is_absence(&trouble) { Trouble::Vanished } else { trouble })?;
        let range = self.durable..self.acknowledged();
        if file.number().await? != number || file.facts().size < range.end {
            return Err(Trouble::Vanished);
        }
        let mut sum = crc32fast::Hasher::new();
        for_each_piece(&*file, range, |piece| sum.update(piece)).await?;
        if sum.finalize() != self.sum.clone().finalize() {
            return Err(Trouble::Vanished);
        }
        self.renamed = renamed;
        self.open = Some(Open { lent, file, number });
        Ok(())
    }

    async fn finish(&mut self) -> Result<(), Trouble> {
        while !self.waiting.is_empty() {
            self.settle().await?;
        }
        while let Err(trouble) = self.publish().await {
            self.recover(trouble).await?;
        }
        self.open = None;
        Ok(())
    }

    /// Makes it an object, durably: what it holds first, its name then.
    async fn publish(&mut self) -> Result<(), Trouble> {
        let Some(Open { file, .. }) = &self.open else { return Err(Trouble::Vanished) };
        if !self.renamed {
            file.flush().await?;
            file.rename(&self.target).await?;
            self.renamed = true;
        }
        file.flush().await
    }

    /// Removes it, if it has not become an object.
    async fn discard(&mut self) {
        self.waiting.clear();
        let Some(Open { file, lent, .. }) = self.open.take().filter(|_| !self.renamed) else { return };
        let mut discarded = file.discard().await;
        if discarded.is_err() && lent.is_over() {
            discarded = match self.store.lend().await {
                Ok(lent) => remove(&lent, &self.temporary).await,
                Err(trouble) => Err(trouble),
            };
        }
        if let Err(trouble) = discarded {
            tracing::warn!(file = self.temporary, %trouble, "an unfinished file could not be removed; a later writer does it");
        }
    }

    async fn sweep(&mut self) -> Result<(), Trouble> {
        let Some(open) = &self.open else { return Ok(()) };
        let (folder, now) = (folder_of(&self.temporary), open.file.facts().created);
        for entry in open.lent.list(folder, &format!("{UNFINISHED}*")).await? {
            let path = join(folder, &entry.name);
            if path != self.temporary && is_abandoned(entry.written, now) {
                // Another writer may be sweeping too.
                let _ = remove(&open.lent, &path).await;
            }
        }
        Ok(())
    }
}

fn sum_of(data: &[u8]) -> crc32fast::Hasher {
    let mut sum = crc32fast::Hasher::new();
    sum.update(data);
    sum
}

/// Both as the server tells the time.
fn is_abandoned(written: DateTime<Utc>, now: DateTime<Utc>) -> bool {
    now - written > ABANDONED
}

fn folder_of(path: &str) -> &str {
    path.rsplit_once('\\').map_or("", |(folder, _)| folder)
}

/// Makes a folder and those above it that are missing.
async fn make_folder(lent: &Lent, folder: &str) -> Result<(), Trouble> {
    let mut missing = Vec::new();
    let mut next = folder;
    while let Err(trouble) = lent.make_directory(next).await {
        if !is_absence(&trouble) || folder_of(next).is_empty() {
            return Err(trouble);
        }
        missing.push(next);
        next = folder_of(next);
    }
    for folder in missing.into_iter().rev() {
        lent.make_directory(folder).await?;
    }
    Ok(())
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        if let Some(Open { file, .. }) = self.open.take().filter(|_| !self.renamed) {
            // It goes on though nobody waits.
            drop(file.discard());
        }
    }
}

impl Upload for SmbUpload {
    fn write(&mut self, part: Bytes) -> Answer<'_, ()> {
        async move {
            let written = self.unfinished.write(part).await;
            if written.is_err() {
                self.unfinished.discard().await;
            }
            self.told(written).await
        }
        .boxed()
    }

    /// Who comes after a crash begins anew.
    fn secure(&mut self) -> Answer<'_, Option<Secured>> {
        async { Ok(None) }.boxed()
    }

    fn finish(mut self: Box<Self>) -> Answer<'static, ()> {
        async move {
            let finished = self.unfinished.finish().await;
            if finished.is_err() {
                self.unfinished.discard().await;
            }
            self.told(finished).await
        }
        .boxed()
    }

    fn abort(mut self: Box<Self>) -> Answer<'static, ()> {
        async move {
            self.unfinished.discard().await;
            Ok(())
        }
        .boxed()
    }
}
