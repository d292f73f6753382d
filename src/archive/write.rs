//! Writes a backup: the zip as a stream while it is packed ([`stage`]), and when it is whole the commit record beside it
//! ([`Staged::commit`]). They are two steps so that a job can note in between that the backup may exist from now on.
//!
//! Owns the order of the two writes. Until the commit record is there, there is no backup; when it cannot be written,
//! the zip is taken away again, but never while a commit record may exist beside it. A write whose answer was lost is
//! recognised by the id in the record. Dropping the future of [`stage`] gives the backup up: the packing thread fails at
//! its next write, at most one frame later.

use std::sync::Arc;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use tokio::{sync::mpsc, task::spawn_blocking};
use uuid::Uuid;

use super::{
    journal::{Journal, Read},
    metadata::{self, Content, Metadata},
    names::{Keys, LocationError, Place},
    pack::{Left, PackError, Packed, Packer, Packing},
    read::{ReadError, read_metadata},
    safety::Safety,
    timing::called,
    upload::{Sent, Upload},
};
use crate::{
    domain::{BackupPoint, Location, PolicyName, words},
    job::{Meter, Stage},
    spool::Spools,
    storage::{ErrorKind, ObjectWriter, Storage, StorageError},
};

/// A backup to be written.
#[derive(Debug, Clone)]
pub struct Draft {
    /// What its commit record will say; the location decides its keys.
    pub point: BackupPoint,
    /// What kind of source it is taken of: `directory`, …
    pub source_kind: String,
    /// How the state is packed.
    pub packing: Packing,
    /// The policy that it is made for, if it is made for one.
    pub policy: Option<PolicyName>,
    /// About how long the state's files are together, which the zip will hardly be; 0 if that is not known.
    pub state_bytes: u64,
    /// Where is noted how far it has come, if it is to be gone on with after a crash.
    pub journal: Option<Journal>,
}

/// What an attempt left that was cut off, and the object that it wrote.
pub struct Resumption {
    named: DateTime<Utc>,
    left: Left,
    object: ObjectWriter,
}

impl Resumption {
    /// What it had packed, for [`Packing::left`].
    pub fn left(&self) -> &Left {
        &self.left
    }

    /// The time in its name, when it was begun.
    pub fn named(&self) -> DateTime<Utc> {
        self.named
    }

    /// How long the zip is.
    pub fn length(&self) -> u64 {
        self.left.mark.offset
    }

    /// Removes what was written.
    pub async fn abort(self) {
        give_up(self.object).await;
    }
}

/// Finds what the attempt of the backup `id` to write at `location` left, if the store has all that its journal says. The log
/// says why not.
pub async fn take_up(
    storage: &Storage,
    journal: &Journal,
    location: &Location,
    id: Uuid,
    spools: &Spools,
) -> Result<Option<Resumption>, StorageError> {
    let (Ok(keys), Ok((_, named))) = (Keys::of(location), Place::of(location)) else { return Ok(None) };
    let (journal, at, spools) = (journal.clone(), location.clone(), spools.clone());
    let read = spawn_blocking(move || journal.read(id, &at, &spools)).await;
    let why = match read.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic())) {
        Ok(None) => return Ok(None),
        Ok(Some(Read { left, sign })) => match storage.resume(&keys.zip, &sign, left.mark.offset).await? {
            Some(object) => return Ok(Some(Resumption { named, left, object })),
            None => "the store does not have all that was written, or cannot go on with it".to_owned(),
        },
        Err(error) => words(&error),
    };
    tracing::warn!(%location, why, "a backup that was interrupted starts over");
    Ok(None)
}

/// Why a backup was not written. `E` is the error of whoever hands the state to the packer.
#[derive(Debug, thiserror::Error)]
pub enum WriteError<E: std::error::Error + 'static> {
    /// The state could not be read or packed.
    #[error(transparent)]
    Source(E),
    /// The storage failed.
    #[error(transparent)]
    Storage(StorageError),
    /// Not a place where a backup can lie.
    #[error(transparent)]
    Location(#[from] LocationError),
    /// Another backup took the name meanwhile: choose the next free second.
    #[error("another backup has the name '{0}'")]
    Taken(Location),
    /// The storage has lost what it had taken: write it anew.
    #[error(transparent)]
    Vanished(StorageError),
    /// The packing thread died.
    #[error("packing stopped unexpectedly; the log says where")]
    Stopped,
}

/// The first second from `time` on, whose name no backup of the place has.
pub async fn free_second(storage: &Storage, place: &Place, time: DateTime<Utc>) -> Result<DateTime<Utc>, StorageError> {
    let mut time = time.trunc_subsecs(0);
    while is_taken(storage, &place.keys(time)).await? {
        time += TimeDelta::seconds(1);
    }
    Ok(time)
}

async fn is_taken(storage: &Storage, keys: &Keys) -> Result<bool, StorageError> {
    Ok(exists(storage, &keys.zip).await? || exists(storage, &keys.metadata).await?)
}

async fn exists(storage: &Storage, key: &str) -> Result<bool, StorageError> {
    match storage.size(key).await {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// A backup whose data is written and that is not committed: nobody sees it yet. Dropping it leaves the data where it is,
/// for [`discard`] to take away.
#[derive(Debug)]
pub struct Staged {
    storage: Storage,
    keys: Keys,
    metadata: Metadata,
}

/// Why a staged backup was not committed.
#[derive(Debug, thiserror::Error)]
pub enum CommitError {
    /// The storage failed.
    #[error(transparent)]
    Storage(StorageError),
    /// Another backup took the name meanwhile.
    #[error("another backup has the name '{0}'")]
    Taken(Location),
}

/// Writes the data of a backup of what `pack` hands to the packer on a thread of its own. An error from `pack`, or
/// from anything else, leaves nothing. The meter is told what is done; what there is to do, its owner knows.
pub async fn stage<E, F>(storage: &Storage, draft: Draft, meter: Arc<Meter>, pack: F) -> Result<Staged, WriteError<E>>
where
    E: std::error::Error + From<PackError> + Send + 'static,
    F: FnOnce(&mut Packer<Upload>) -> Result<(), E> + Send + 'static,
{
    let keys = Keys::of(&draft.point.location)?;
    let object = storage.create_of(&keys.zip, draft.state_bytes).await.map_err(|error| refused(&draft, error))?;
    fill(storage, object, draft, meter, pack).await
}

/// The same, but goes on with what an earlier attempt left, and which is in the draft's packing.
pub async fn stage_rest<E, F>(
    storage: &Storage,
    resumption: Resumption,
    draft: Draft,
    meter: Arc<Meter>,
    pack: F,
) -> Result<Staged, WriteError<E>>
where
    E: std::error::Error + From<PackError> + Send + 'static,
    F: FnOnce(&mut Packer<Upload>) -> Result<(), E> + Send + 'static,
{
    let left = Some(resumption.left);
    let draft = Draft { packing: Packing { left, ..draft.packing }, ..draft };
    fill(storage, resumption.object, draft, meter, pack).await
}

async fn fill<E, F>(
    storage: &Storage,
    object: ObjectWriter,
    draft: Draft,
    meter: Arc<Meter>,
    pack: F,
) -> Result<Staged, WriteError<E>>
where
    E: std::error::Error + From<PackError> + Send + 'static,
    F: FnOnce(&mut Packer<Upload>) -> Result<(), E> + Send + 'static,
{
    let keys = Keys::of(&draft.point.location)?;
    let mut safety = Safety::of(&draft);
    let begun = draft.packing.left.as_ref().map_or(0, |left| left.mark.offset);
    let (upload, pieces) = Upload::channel(draft.journal.as_ref().map(Journal::distance), begun);
    let running = spawn_blocking({
        let (packing, meter) = (draft.packing.clone(), meter.clone());
        move || run(upload, &packing, meter, pack)
    });
    let sent = send(object, pieces, &meter, &mut safety).await;
    let packed = running.await.map_or(Err(WriteError::Stopped), |packed| packed.map_err(WriteError::Source));
    let object = sent.map_err(|error| refused(&draft, error))?;
    let packed = match packed {
        Ok(packed) => {
            // It may hold the last part still.
            let finished = called(&meter, Stage::Write, object.finish()).await;
            finished.map(|()| packed).map_err(|error| refused(&draft, error))?
        }
        Err(error) => {
            give_up(object).await;
            return Err(error);
        }
    };
    let metadata = Metadata { content: Some(content(draft.source_kind, draft.policy, &packed)), point: draft.point };
    Ok(Staged { storage: storage.clone(), keys, metadata })
}

/// What it means that the zip could not be created, written or finished.
fn refused<E: std::error::Error + 'static>(draft: &Draft, error: StorageError) -> WriteError<E> {
    match error.kind() {
        ErrorKind::AlreadyExists => WriteError::Taken(draft.point.location.clone()),
        ErrorKind::Vanished => WriteError::Vanished(error),
        _ => WriteError::Storage(error),
    }
}

impl Staged {
    /// Where it lies.
    pub fn location(&self) -> &Location {
        &self.metadata.point.location
    }

    /// Makes the backup exist. A lost answer is looked after. On an error there is no backup and no data, unless the
    /// store does not let that be seen or done: then the data stays wherever a record of ours may be, for [`discard`].
    pub async fn commit(self) -> Result<Metadata, CommitError> {
        let bytes = metadata::encode(&self.metadata).into();
        let Err(error) = self.storage.put_new(&self.keys.metadata, bytes).await else { return Ok(self.metadata) };
        match self.storage.get(&self.keys.metadata).await {
            Ok(found) if self.is_ours(&found) => Ok(self.metadata),
            Ok(_) => {
                take_back(&self.storage, &self.keys.zip).await;
                Err(CommitError::Taken(self.metadata.point.location))
            }
            // Somebody has a record there that cannot be seen: ours to delete or not, nobody knows.
            Err(_) if error.kind() == ErrorKind::AlreadyExists => Err(CommitError::Storage(error)),
            Err(_) => {
                if take_back(&self.storage, &self.keys.metadata).await {
                    take_back(&self.storage, &self.keys.zip).await;
                }
                Err(CommitError::Storage(error))
            }
        }
    }

    fn is_ours(&self, record: &[u8]) -> bool {
        metadata::decode(record).is_ok_and(|found| found.point.id == self.metadata.point.id)
    }
}

/// The backup at `location`, if it is the backup `id`.
pub async fn committed(storage: &Storage, location: &Location, id: Uuid) -> Result<Option<BackupPoint>, ReadError> {
    match read_metadata(storage, location).await {
        Ok(metadata) => Ok(Some(metadata.point).filter(|point| point.id == id)),
        Err(ReadError::NotFound { .. } | ReadError::Metadata { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes away the data that a backup which was never committed left at `location`. Where a commit record is, nothing is
/// touched.
pub async fn discard(storage: &Storage, location: &Location) -> Result<(), StorageError> {
    let Ok(keys) = Keys::of(location) else { return Ok(()) };
    if exists(storage, &keys.metadata).await? {
        return Ok(());
    }
    storage.delete(&keys.zip).await
}

/// Everything that happens on the packing thread.
fn run<E: From<PackError>>(
    upload: Upload,
    packing: &Packing,
    meter: Arc<Meter>,
    pack: impl FnOnce(&mut Packer<Upload>) -> Result<(), E>,
) -> Result<Packed, E> {
    let mut packer = Packer::start(upload, packing, meter)?;
    pack(&mut packer)?;
    Ok(packer.finish()?.0)
}

/// Sends all pieces; if the storage fails, nobody takes pieces any more and the packing ends.
async fn send(
    mut object: ObjectWriter,
    mut pieces: mpsc::Receiver<Sent>,
    meter: &Meter,
    safety: &mut Safety,
) -> Result<ObjectWriter, StorageError> {
    while let Some(sent) = pieces.recv().await {
        let written = called(meter, Stage::Write, async {
            match sent {
                Sent::Piece(piece) => object.write(piece).await,
                Sent::Mark(grown) => safety.mark(&mut object, *grown).await,
            }
        });
        if let Err(error) = written.await {
            give_up(object).await;
            return Err(error);
        }
    }
    Ok(object)
}

async fn give_up(object: ObjectWriter) {
    if let Err(error) = object.abort().await {
        tracing::warn!(%error, "what was written of a backup that failed could not be taken away; it is invisible");
    }
}

pub(super) fn content(source_kind: String, policy: Option<PolicyName>, packed: &Packed) -> Content {
    Content {
        source_kind,
        zip_len: packed.zip_len,
        manifest_offset: packed.manifest_offset,
        manifest_len: packed.manifest_len,
        manifest_hash: packed.manifest_hash,
        plain_bytes: packed.plain_bytes,
        stored_bytes: packed.stored_bytes,
        files: packed.files,
        block_size: packed.block_size.bytes(),
        product_version: env!("CARGO_PKG_VERSION").to_owned(),
        policy,
    }
}

/// Takes away an object of a backup that was not committed. Answers whether it is gone.
async fn take_back(storage: &Storage, key: &str) -> bool {
    let gone = storage.delete(key).await;
    if let Err(error) = &gone {
        tracing::warn!(%error, "a backup was not committed and what was written of it could not be taken away");
    }
    gone.is_ok()
}

#[cfg(test)]
#[path = "write_tests.rs"]
mod tests;
