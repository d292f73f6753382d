use bytes::{Bytes, BytesMut};

use super::{
    StorageError,
    backend::{Secured, Upload},
};

/// Stores work best with parts of this size; a writer holds about one of them, and an adapter a few in flight.
pub(super) const PART: usize = 8 << 20;

/// An object that is being written: invisible until [`finish`](Self::finish), gone if dropped before, unless it was
/// [secured](Self::secure).
pub struct ObjectWriter {
    upload: Box<dyn Upload>,
    gathered: BytesMut,
    /// A part was cut short, and what comes next makes up for it: it is not to be copied together with what follows.
    was_cut: bool,
}

impl ObjectWriter {
    pub(super) fn new(upload: Box<dyn Upload>) -> Self {
        Self { upload, gathered: BytesMut::new(), was_cut: false }
    }

    /// Takes the next bytes. Waits while the store is slower than the caller. After an error the writer is of no more use.
    pub async fn write(&mut self, data: Bytes) -> Result<(), StorageError> {
        if self.gathered.is_empty() && !data.is_empty() && (data.len() >= PART || std::mem::take(&mut self.was_cut)) {
            return self.upload.write(data).await;
        }
        if self.gathered.is_empty() {
            // Else it would grow by doubling, to twice of what is needed.
            self.gathered.reserve(PART + data.len());
        }
        self.gathered.extend_from_slice(&data);
        if self.gathered.len() < PART {
            return Ok(());
        }
        self.flush().await
    }

    /// Lets a later process go on from here with [`Storage::resume`](super::Storage::resume), once the answer is there; more
    /// may be written meanwhile. From then on only [`abort`](Self::abort) removes what was written. None: the store cannot
    /// do that, or not here.
    pub async fn secure(&mut self) -> Result<Option<Secured>, StorageError> {
        if !self.gathered.is_empty() {
            self.flush().await?;
        }
        self.was_cut = true;
        self.upload.secure().await
    }

    /// Makes the object visible and durable; `AlreadyExists` if the key was taken meanwhile.
    pub async fn finish(mut self) -> Result<(), StorageError> {
        if !self.gathered.is_empty() {
            self.flush().await?;
        }
        self.upload.finish().await
    }

    /// Gives the object up and waits until what was written is gone.
    pub async fn abort(self) -> Result<(), StorageError> {
        self.upload.abort().await
    }

    async fn flush(&mut self) -> Result<(), StorageError> {
        let part = self.gathered.split().freeze();
        self.upload.write(part).await
    }
}
