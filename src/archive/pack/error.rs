//! Why packing fails.

use std::io;

use crate::archive::{manifest::ManifestError, order::OrderError};

/// Why a state could not be packed.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The state uses our name.
    #[error("'{0}' cannot be backed up: the name .fabric-backup is kept for the backup's own entries. Rename it")]
    Reserved(String),
    /// The source handed out entries in an order that no tree has.
    #[error("the state was read in an impossible order")]
    Order(#[from] OrderError),
    /// The source failed while a file was read.
    #[error("'{path}' cannot be read")]
    Read {
        /// The file.
        path: String,
        /// As the source told it.
        #[source]
        source: io::Error,
    },
    /// A file had fewer or more bytes than its entry says.
    #[error("'{path}' changed while it was read: it was {expected} bytes long and is no more")]
    Length {
        /// The file.
        path: String,
        /// The length in its entry.
        expected: u64,
    },
    /// There is no memory to pack with, or no threads.
    #[error("packing cannot start")]
    Start(#[source] io::Error),
    /// The manifest of the backup before has the right hash and cannot be read all the same.
    #[error("the manifest of the backup before it cannot be used")]
    Base(#[source] ManifestError),
    /// What an attempt before this one left has the right sums and cannot be read all the same.
    #[error("what was packed before the interruption cannot be used")]
    Left(#[source] ManifestError),
    /// The library that compresses refused.
    #[error("the state cannot be compressed")]
    Compress(#[source] io::Error),
    /// What was packed cannot be written.
    #[error("'{path}' cannot be written into the backup")]
    Write {
        /// What was being packed.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// A thread died, or somebody goes on after an error.
    #[error("packing stopped unexpectedly; the log says where")]
    Stopped,
}
