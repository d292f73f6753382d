//! What a store asks of an SMB client. Another client takes the place of ours by keeping these promises:
//!
//! * An operation begins when it is called and goes on to its end though nobody waits for its answer.
//! * An operation that the server does not answer in time ends its connection, and so does one that fails for any other
//!   reason than the server's refusal. Nothing is ever asked again over such a connection.
//!
//! Paths begin at the share, have backslashes between their parts and none at the ends.

use std::{io, sync::Arc, time::Duration};

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::future::BoxFuture;

use super::status::{Meaning, Status};
use crate::{domain::Credentials, storage::allow::ForbiddenAddress};

pub(super) type Answer<T> = BoxFuture<'static, Result<T, Trouble>>;

/// Makes connections.
pub(super) trait Client: Send + Sync {
    fn connect(&self, target: &Target, user: &Credentials) -> Answer<Arc<dyn Link>>;
}

/// The share to connect to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) share: String,
    /// How long one answer may take.
    pub(super) answer_timeout: Duration,
}

/// A connection to a share as one user.
pub(super) trait Link: Send + Sync {
    fn is_over(&self) -> bool;

    /// Whether it will not last much longer: what is under way may end, and then it is to be left for another.
    fn is_worn(&self) -> bool;

    fn open(&self, path: &str, how: How) -> Answer<Box<dyn OpenFile>>;

    /// One that is there is no error; what is above it must be there.
    fn make_directory(&self, path: &str) -> Answer<()>;

    /// What a directory holds that fits `pattern`, in any order.
    fn list(&self, path: &str, pattern: &str) -> Answer<Vec<Entry>>;
}

/// How a file is opened. Nothing is ever replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum How {
    /// To read it.
    Read,
    /// To look at what was written and to go on writing.
    Write,
    /// To write it; it must not be there yet.
    Create,
    /// To delete it.
    Delete,
}

/// A file that is open. Dropping it closes it some time later.
pub(super) trait OpenFile: Send + Sync {
    fn facts(&self) -> Facts;

    /// A number that no other file of the share has at the same time.
    fn number(&self) -> Answer<u64>;

    /// Fewer bytes, or none, where the file ends; `len` is at most [`PIECE`].
    fn read(&self, at: u64, len: usize) -> Answer<Bytes>;

    /// Writes all of `data`, at most [`PIECE`] bytes.
    fn write(&self, at: u64, data: Bytes) -> Answer<()>;

    /// Makes what was written durable.
    fn flush(&self) -> Answer<()>;

    /// Never replaces.
    fn rename(&self, to: &str) -> Answer<()>;

    /// Deletes and closes it. It is gone once nobody else has it open any more.
    fn discard(self: Box<Self>) -> Answer<()>;
}

/// The most that is read or written at once.
pub(super) const PIECE: usize = 1 << 20;

/// What the server says of a file when it opens it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Facts {
    pub(super) size: u64,
    pub(super) created: DateTime<Utc>,
}

/// What a directory holds.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) kind: EntryKind,
    pub(super) size: u64,
    pub(super) written: DateTime<Utc>,
    /// The last change of anything, of its name too.
    pub(super) changed: DateTime<Utc>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum EntryKind {
    File,
    Directory,
    /// A link or something else that is not followed.
    Other,
}

/// Why something did not happen.
#[derive(Debug, thiserror::Error)]
pub(super) enum Trouble {
    /// The server answered so.
    #[error("the server answered {0}")]
    Refused(Status),
    /// The user is not let in.
    #[error("the server answered {0} to the logon")]
    NotLetIn(Status),
    /// The user may not have the share, or it is not there.
    #[error("the server answered {0} when the share was entered")]
    NoEntry(Status),
    /// The user was let in as a guest, so that nothing is signed.
    #[error("the server lets the user in as a guest only, so that nothing would be signed")]
    Guest,
    /// No name of a user.
    #[error("the user name is not of the form DOMAIN\\user, user@domain or user")]
    UserName,
    /// The host's name has no address.
    #[error("the name has no address")]
    NoHost(#[source] io::Error),
    /// The host's name has an address where no store is looked for.
    #[error(transparent)]
    Forbidden(#[from] ForbiddenAddress),
    /// No connection came about.
    #[error("no connection")]
    NoConnection(#[source] io::Error),
    /// There was no answer in time.
    #[error("no answer within {} s", .0.as_secs())]
    Stalled(Duration),
    /// The file that was being written is not there any more, or is another one.
    #[error("the unfinished file is gone or was changed")]
    Vanished,
    /// The connection broke, or cannot be trusted any more.
    #[error("the connection was lost: {0}")]
    Lost(String),
}

impl Trouble {
    /// Whether a new connection may do better.
    pub(super) fn is_passing(&self) -> bool {
        match self {
            Self::Refused(status) => matches!(status.meaning(), Meaning::Gone | Meaning::Busy),
            Self::NoHost(_) | Self::NoConnection(_) | Self::Stalled(_) | Self::Lost(_) => true,
            Self::Forbidden(_)
            | Self::NotLetIn(_)
            | Self::NoEntry(_)
            | Self::Guest
            | Self::UserName
            | Self::Vanished => false,
        }
    }

    /// Whether nothing may be asked over the connection any more.
    pub(super) fn ends_the_connection(&self) -> bool {
        self.meaning().is_none_or(|meaning| meaning == Meaning::Gone)
    }

    /// What the server's refusal means; nothing if it is none.
    pub(super) fn meaning(&self) -> Option<Meaning> {
        match self {
            Self::Refused(status) => Some(status.meaning()),
            _ => None,
        }
    }
}
