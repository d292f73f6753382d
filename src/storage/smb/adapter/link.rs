use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::{FutureExt, StreamExt, TryStreamExt, stream};
use smb::{
    CreateDisposition, CreateOptions, Directory, File, FileAccessMask, FileAttributes, FileCreateArgs,
    FileDirectoryInformation, FileDispositionInformation, FileInternalInformation, FileRenameInformation, Resource,
};

use super::{Closed, Inside, Interim, QUESTIONS, Room, Share, WORN, given_up, in_time, io_trouble, trouble};
use crate::storage::smb::{
    client::{Answer, Entry, EntryKind, Facts, How, Link, OpenFile, Trouble},
    status::Status,
};

pub(super) struct CrateLink {
    share: Inside<Share>,
    interim: Interim,
    /// Whether it was given credits for more than a few pieces.
    rich: Arc<AtomicBool>,
    limit: Duration,
}

impl CrateLink {
    pub(super) fn new(share: Inside<Share>, interim: Interim, limit: Duration) -> Self {
        Self { share, interim, rich: Arc::default(), limit }
    }
}

impl Drop for CrateLink {
    fn drop(&mut self) {
        tracing::debug!(interim_answers = self.interim.count(), "a connection to a share is given back");
    }
}

/// Does `work` in the room. What leaves the connection in doubt ends it.
fn operate<T, U, F>(
    room: &Arc<Room>,
    thing: Option<Arc<T>>,
    limit: Duration,
    work: impl FnOnce(Arc<T>) -> F,
) -> Answer<U>
where
    U: Send + 'static,
    F: Future<Output = Result<U, Trouble>> + Send + 'static,
{
    let Some(thing) = thing else { return std::future::ready(Err(given_up())).boxed() };
    let (within, work) = (Arc::clone(room), work(thing));
    let watched = async move {
        let done = in_time(limit, work).await;
        if done.as_ref().is_err_and(Trouble::ends_the_connection) {
            within.close();
        }
        done
    };
    room.run(watched).map(|done| done.unwrap_or_else(|Closed| Err(given_up()))).boxed()
}

impl Link for CrateLink {
    fn is_over(&self) -> bool {
        self.share.room.is_closed()
    }

    fn is_worn(&self) -> bool {
        self.interim.count() > WORN
    }

    fn open(&self, path: &str, how: How) -> Answer<Box<dyn OpenFile>> {
        let (path, room, limit) = (path.to_owned(), Arc::clone(&self.share.room), self.limit);
        let rich = Arc::clone(&self.rich);
        operate(&self.share.room, self.share.get(), limit, move |share| async move {
            let file = opened_file(share.tree.create(&path, &file_args(how)).await.map_err(trouble)?)?;
            let facts = Facts { size: file_size(&file).await?, created: created(&file) };
            if how != How::Delete && !rich.swap(true, Relaxed) {
                enrich(&file).await?;
            }
            let piece = share.piece();
            Ok(Box::new(CrateFile { file: Inside::new(room, file), facts, piece, limit }) as Box<dyn OpenFile>)
        })
    }

    fn make_directory(&self, path: &str) -> Answer<()> {
        let path = path.to_owned();
        operate(&self.share.room, self.share.get(), self.limit, |share| async move {
            let made = share.tree.create(&path, &directory_args(CreateDisposition::OpenIf)).await.map_err(trouble)?;
            opened_directory(made)?.handle.close().await.map_err(trouble)
        })
    }

    fn list(&self, path: &str, pattern: &str) -> Answer<Vec<Entry>> {
        let (path, pattern) = (path.to_owned(), pattern.to_owned());
        operate(&self.share.room, self.share.get(), self.limit, |share| async move {
            let opened = share.tree.create(&path, &directory_args(CreateDisposition::Open)).await.map_err(trouble)?;
            let directory = Arc::new(opened_directory(opened)?);
            let listed = entries(&directory, &pattern, share.listed_at_once()).await;
            directory.handle.close().await.map_err(trouble)?;
            listed
        })
    }
}

async fn entries(directory: &Arc<Directory>, pattern: &str, at_once: u32) -> Result<Vec<Entry>, Trouble> {
    let stream = Directory::query_with_options::<FileDirectoryInformation>(directory, pattern, at_once).await;
    let mut stream = stream.map_err(trouble)?;
    let mut entries = Vec::new();
    while let Some(found) = stream.next().await {
        match found.map_err(trouble) {
            Ok(found) => entries.extend(entry(&found)),
            Err(Trouble::Refused(Status::NO_SUCH_FILE)) => break,
            Err(other) => return Err(other),
        }
    }
    Ok(entries)
}

fn entry(found: &FileDirectoryInformation) -> Option<Entry> {
    let name = found.file_name.to_string();
    let kind = match (found.file_attributes.reparse_point(), found.file_attributes.directory()) {
        (true, _) => EntryKind::Other,
        (false, true) => EntryKind::Directory,
        (false, false) => EntryKind::File,
    };
    let written = moment(found.last_write_time.since_epoch());
    let changed = moment(found.change_time.since_epoch());
    (name != "." && name != "..").then_some(Entry { name, kind, size: found.end_of_file, written, changed })
}

/// Windows counts from 1601.
fn moment(since: Duration) -> DateTime<Utc> {
    const UNIX_EPOCH: i64 = 11_644_473_600;
    let seconds = i64::try_from(since.as_secs()).unwrap_or(UNIX_EPOCH) - UNIX_EPOCH;
    DateTime::from_timestamp(seconds, since.subsec_nanos()).unwrap_or_default()
}

fn created(file: &File) -> DateTime<Utc> {
    let created = file.created().assume_utc();
    DateTime::from_timestamp(created.unix_timestamp(), created.nanosecond()).unwrap_or_default()
}

/// Asks what is answered at once, for the credits that come with the answers.
async fn enrich(file: &File) -> Result<(), Trouble> {
    let questions = stream::iter(0..QUESTIONS).map(|_| file_size(file));
    questions.buffer_unordered(8).try_for_each(|_| std::future::ready(Ok(()))).await
}

async fn file_size(file: &File) -> Result<u64, Trouble> {
    smb::GetLen::get_len(file).await.map_err(trouble)
}

fn opened_file(opened: Resource) -> Result<File, Trouble> {
    opened.try_into().map_err(|_| Trouble::Refused(Status::FILE_IS_A_DIRECTORY))
}

fn opened_directory(opened: Resource) -> Result<Directory, Trouble> {
    opened.try_into().map_err(|_| Trouble::Refused(Status::NOT_A_DIRECTORY))
}

fn directory_args(disposition: CreateDisposition) -> FileCreateArgs {
    FileCreateArgs {
        disposition,
        attributes: FileAttributes::new().with_directory(true),
        options: CreateOptions::new().with_directory_file(true),
        // The right to read a file's data is that to list a directory.
        desired_access: FileAccessMask::new().with_file_read_data(true).with_file_read_attributes(true),
    }
}

fn file_args(how: How) -> FileCreateArgs {
    let looking = FileAccessMask::new().with_file_read_attributes(true).with_synchronize(true);
    let reading = looking.with_file_read_data(true);
    let writing = reading.with_file_write_data(true).with_file_append_data(true).with_delete(true);
    let (disposition, desired_access) = match how {
        How::Read => (CreateDisposition::Open, reading),
        How::Write => (CreateDisposition::Open, writing),
        How::Create => (CreateDisposition::Create, writing),
        How::Delete => (CreateDisposition::Open, looking.with_delete(true)),
    };
    let options = CreateOptions::new().with_non_directory_file(true);
    FileCreateArgs { disposition, attributes: FileAttributes::new(), options, desired_access }
}

struct CrateFile {
    file: Inside<File>,
    facts: Facts,
    piece: usize,
    limit: Duration,
}

impl OpenFile for CrateFile {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn number(&self) -> Answer<u64> {
        operate(&self.file.room, self.file.get(), self.limit, |file| async move {
            let number = file.query_info::<FileInternalInformation>().await.map_err(trouble)?;
            Ok(number.index_number)
        })
    }

    fn read(&self, at: u64, len: usize) -> Answer<Bytes> {
        let len = len.min(self.piece);
        operate(&self.file.room, self.file.get(), self.limit, move |file| async move {
            let mut data = vec![0; len];
            let read = file.read_block(&mut data, at, None, false).await.map_err(|error| io_trouble(&error))?;
            data.truncate(read);
            Ok(data.into())
        })
    }

    fn write(&self, at: u64, data: Bytes) -> Answer<()> {
        let piece = self.piece;
        let copy = move |data: &Bytes| Arc::from(&data[..data.len().min(piece)]);
        // Copied out here: in the room is one thread, and it has to sign or encrypt all that goes over the connection.
        let mut first = Some(copy(&data));
        operate(&self.file.room, self.file.get(), self.limit, move |file| async move {
            let (mut at, mut data) = (at, data);
            while !data.is_empty() {
                let next = first.take().unwrap_or_else(|| copy(&data));
                let written = file.write_block_zc(next, at, None).await.map_err(|error| io_trouble(&error))?;
                at += written as u64;
                // Else a server that writes nothing would be asked for ever.
                data = data.split_off(written.clamp(1, data.len()));
            }
            Ok(())
        })
    }

    fn flush(&self) -> Answer<()> {
        operate(&self.file.room, self.file.get(), self.limit, |file| async move {
            file.flush().await.map_err(|error| io_trouble(&error))
        })
    }

    fn rename(&self, to: &str) -> Answer<()> {
        let to = FileRenameInformation { replace_if_exists: false.into(), root_directory: 0, file_name: to.into() };
        operate(
            &self.file.room,
            self.file.get(),
            self.limit,
            |file| async move { file.set_info(to).await.map_err(trouble) },
        )
    }

    fn discard(mut self: Box<Self>) -> Answer<()> {
        let gone = FileDispositionInformation { delete_pending: true.into() };
        let file = self.file.take();
        operate(&self.file.room, file, self.limit, |file| async move {
            file.set_info(gone).await.map_err(trouble)?;
            file.close().await.map_err(trouble)
        })
    }
}

impl Drop for CrateFile {
    fn drop(&mut self) {
        let Some(file) = self.file.take() else { return };
        // The room stays open until it is closed.
        let room = Arc::clone(&self.file.room);
        let closing = async move {
            let _ = file.close().await;
            drop((file, room));
        };
        drop(self.file.room.run(closing));
    }
}
