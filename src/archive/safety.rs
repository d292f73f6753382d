//! Sees to it that a backup that is being written can be gone on with after a crash: lets its store make durable what was
//! written, and notes it in the journal then and not before.
//!
//! It holds nothing up: while a store makes one stretch durable the next is written. It fails nothing either: a journal that
//! cannot be written costs a start from the beginning.

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::{
    journal::Pen,
    pack::{Grown, Mark},
    write::Draft,
};
use crate::{
    domain::words,
    storage::{ObjectWriter, Secured, StorageError},
};

/// What was asked of the store, and who writes it down.
pub(super) enum Safety {
    /// Nothing is noted, or not any more.
    Off,
    Idle(Pen),
    Waiting(Aborting<Option<Pen>>),
}

/// A task that ends with whoever waits for it.
pub(super) struct Aborting<T>(JoinHandle<T>);

impl<T> Drop for Aborting<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Aborting<T> {
    async fn end(mut self) -> Result<T, JoinError> {
        (&mut self.0).await
    }
}

impl Safety {
    pub(super) fn of(draft: &Draft) -> Self {
        let Some(journal) = draft.journal.clone() else { return Self::Off };
        let pen = Pen::new(journal, draft.point.id, &draft.point.location, &draft.packing);
        pen.map_or_else(|error| Self::without(&error), Self::Idle)
    }

    /// Packing could go on here: asks the store to keep what it has, and waits for the answer to the question before.
    pub(super) async fn mark(&mut self, object: &mut ObjectWriter, grown: Grown) -> Result<(), StorageError> {
        let Some(mut pen) = self.pen().await else { return Ok(()) };
        let mark = grown.mark;
        pen.note(grown);
        *self = match object.secure().await? {
            None => Self::Idle(pen),
            Some(secured) => Self::Waiting(Aborting(tokio::spawn(write_down(pen, mark, secured)))),
        };
        Ok(())
    }

    async fn pen(&mut self) -> Option<Pen> {
        match std::mem::replace(self, Self::Off) {
            Self::Off => None,
            Self::Idle(pen) => Some(pen),
            Self::Waiting(task) => task.end().await.ok().flatten(),
        }
    }

    fn without(error: &dyn std::error::Error) -> Self {
        tracing::warn!(why = words(error), "a crash from here on would let the backup start over");
        Self::Off
    }
}

/// None: nothing can be noted any more, since what would follow has a gap before it.
async fn write_down(mut pen: Pen, mark: Mark, secured: Secured) -> Option<Pen> {
    let sign = match secured.await {
        Ok(sign) => sign,
        Err(error) => {
            Safety::without(&error);
            return None;
        }
    };
    let written = spawn_blocking(move || pen.safe(mark, sign).map(|()| pen)).await.ok()?;
    written.inspect_err(|error| drop(Safety::without(error))).ok()
}
