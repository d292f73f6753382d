//! Puts what the workers finish back into order.
//!
//! Holds no more than there are chunks and frames under way.

use std::{collections::BTreeMap, sync::mpsc::Receiver};

use super::{
    PackError,
    chunk::{Chunk, Done, NewFrame},
};

pub(super) struct Inbox {
    done: Receiver<Done>,
    chunks: BTreeMap<u64, Box<Chunk>>,
    next_chunk: u64,
    frames: BTreeMap<usize, NewFrame>,
    next_frame: usize,
}

impl Inbox {
    pub(super) fn new(done: Receiver<Done>) -> Self {
        Self { done, chunks: BTreeMap::new(), next_chunk: 0, frames: BTreeMap::new(), next_frame: 0 }
    }

    /// Waits for the chunk whose turn it is.
    pub(super) fn chunk(&mut self) -> Result<Box<Chunk>, PackError> {
        loop {
            if let Some(chunk) = self.chunks.remove(&self.next_chunk) {
                self.next_chunk += 1;
                return Ok(chunk);
            }
            self.receive()?;
        }
    }

    /// Waits for the frame whose turn it is.
    pub(super) fn frame(&mut self) -> Result<NewFrame, PackError> {
        loop {
            if let Some(frame) = self.ready_frame() {
                return Ok(frame);
            }
            self.receive()?;
        }
    }

    /// The frame whose turn it is, if it has come already.
    pub(super) fn ready_frame(&mut self) -> Option<NewFrame> {
        let frame = self.frames.remove(&self.next_frame)?;
        self.next_frame += 1;
        Some(frame)
    }

    fn receive(&mut self) -> Result<(), PackError> {
        match self.done.recv().unwrap_or(Done::Stopped) {
            Done::Chunk(chunk) => drop(self.chunks.insert(chunk.number, chunk)),
            Done::Frame(frame) => drop(self.frames.insert(frame.number, frame)),
            Done::Failed(error) => return Err(error),
            Done::Stopped => return Err(PackError::Stopped),
        }
        Ok(())
    }
}
