//! The way of a zip's bytes from the thread that packs to the task that sends: in pieces, and marks between them.

use std::{
    io::{self, Write},
    sync::mpsc as std_mpsc,
};

use bytes::Bytes;
use tokio::sync::mpsc;

use super::pack::{Grown, Out};
use crate::disk::Pages;

/// What is handed to the storage at once; a store takes a piece this large without copying it.
const PIECE: usize = 8 << 20;

/// What comes from the packer.
pub(super) enum Sent {
    Piece(Bytes),
    Mark(Box<Grown>),
}

/// Where the packer writes: gathers bytes and passes them on, waiting while the storage is slower. What the storage has
/// done with is filled again.
pub struct Upload {
    pieces: mpsc::Sender<Sent>,
    distance: Option<u64>,
    /// How long the zip is with what was passed on.
    len: u64,
    gathered: Pages,
    spare: std_mpsc::Receiver<Pages>,
    back: std_mpsc::Sender<Pages>,
}

/// Bytes on their way to the storage. Their memory goes back to the upload.
struct Piece {
    pages: Pages,
    back: std_mpsc::Sender<Pages>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        self.pages.bytes()
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        // After the last piece nobody wants it.
        let _ = self.back.send(std::mem::take(&mut self.pages));
    }
}

impl Upload {
    pub(super) fn channel(distance: Option<u64>, len: u64) -> (Self, mpsc::Receiver<Sent>) {
        let ((pieces, receiver), (back, spare)) = (mpsc::channel(1), std_mpsc::channel());
        (Self { pieces, distance, len, gathered: Pages::default(), spare, back }, receiver)
    }

    /// How many bytes there is room for, at least one. Pieces end where they would if none had been cut short: there a disk
    /// can take them from where they are.
    fn room(&mut self) -> usize {
        if self.gathered.bytes().is_empty() {
            self.gathered = self.spare.try_recv().unwrap_or_else(|_| Pages::with_capacity(PIECE));
            self.gathered.clear();
        }
        let cut = usize::try_from(self.len % PIECE as u64).unwrap_or(0);
        PIECE - cut - self.gathered.bytes().len()
    }

    fn pass_on(&mut self) -> io::Result<()> {
        self.len += self.gathered.bytes().len() as u64;
        let piece = Piece { pages: std::mem::take(&mut self.gathered), back: self.back.clone() };
        self.pieces.blocking_send(Sent::Piece(Bytes::from_owner(piece))).map_err(|_| given_up())
    }
}

impl Write for Upload {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.pieces.is_closed() {
            return Err(given_up());
        }
        let room = self.room();
        let len = bytes.len().min(room);
        self.gathered.extend(&bytes[..len]);
        if len == room {
            self.pass_on()?;
        }
        Ok(len)
    }

    /// Passes on what is left; the packer calls this at the end.
    fn flush(&mut self) -> io::Result<()> {
        if self.gathered.bytes().is_empty() { Ok(()) } else { self.pass_on() }
    }
}

impl Out for Upload {
    fn distance(&self) -> Option<u64> {
        self.distance
    }

    fn mark(&mut self, grown: Grown) -> io::Result<()> {
        self.flush()?;
        self.pieces.blocking_send(Sent::Mark(Box::new(grown))).map_err(|_| given_up())
    }
}

fn given_up() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "nobody wants the backup any more")
}
