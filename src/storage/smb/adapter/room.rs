//! A thread with a runtime of its own, in which one connection of the SMB crate lives.
//!
//! What the crate does goes on there though nobody waits for it, nothing of it outlives the thread, and no two of its
//! tasks run at once: its directory listing may miss a wake-up and hang when they do. Its objects start tasks when they
//! are dropped, so outside they are held as [`Inside`].

use std::{
    io,
    sync::{Arc, Mutex, PoisonError},
    thread,
};

use futures::{FutureExt, future::BoxFuture};
use tokio::{
    runtime::{Builder, Handle},
    sync::oneshot,
};

pub(super) struct Room {
    runtime: Handle,
    /// Nothing once the room is closed.
    open: Mutex<Option<oneshot::Sender<()>>>,
}

/// The room was closed, or the work in it panicked.
pub(super) struct Closed;

impl Room {
    pub(super) fn new() -> io::Result<Arc<Self>> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (open, closed) = oneshot::channel::<()>();
        thread::Builder::new().name("smb".into()).spawn(move || {
            // An error, since nothing is ever sent: the room was closed or dropped.
            let _ = runtime.block_on(closed);
        })?;
        Ok(Arc::new(Self { runtime: handle, open: Mutex::new(Some(open)) }))
    }

    /// Begins `work` now; it goes on whether or not anybody waits for the answer.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = T> + Send + 'static,
    ) -> BoxFuture<'static, Result<T, Closed>> {
        // A closed room drops the work at once.
        let _inside = self.runtime.enter();
        self.runtime.spawn(work).map(|done| done.map_err(|_| Closed)).boxed()
    }

    /// Ends all work in it, finished or not.
    pub(super) fn close(&self) {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).take();
    }

    pub(super) fn is_closed(&self) -> bool {
        self.open.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }
}

/// Something that must be dropped in its room.
pub(super) struct Inside<T> {
    pub(super) room: Arc<Room>,
    thing: Option<Arc<T>>,
}

impl<T> Inside<T> {
    pub(super) fn new(room: Arc<Room>, thing: T) -> Self {
        Self { room, thing: Some(Arc::new(thing)) }
    }

    /// Nothing once it was taken. To be used, and dropped, in the room only.
    pub(super) fn get(&self) -> Option<Arc<T>> {
        self.thing.clone()
    }

    /// Leaves nothing to drop here. To be dropped in the room only.
    pub(super) fn take(&mut self) -> Option<Arc<T>> {
        self.thing.take()
    }
}

impl<T> Drop for Inside<T> {
    fn drop(&mut self) {
        let _inside = self.room.runtime.enter();
        self.thing.take();
    }
}
