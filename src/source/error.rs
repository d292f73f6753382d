//! What can be wrong with a state, in words that name the path.

use std::{error::Error, io};

use rustix::io::Errno;

use super::dirfd::escape;

/// Why a state could not be read or replaced. Paths inside the state are relative to its root, `.` being the root.
#[derive(Debug, thiserror::Error)]
pub enum SourceError {
    /// There is no state to work on.
    #[error("the state '{path}' {why}")]
    Root {
        /// The configured directory.
        path: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The tree is no longer what the snapshot saw: take a new snapshot.
    #[error("'{path}' changed while it was read")]
    Changed {
        /// What was added, removed or changed; for a removed entry the directory that lost it.
        path: String,
    },
    /// The archive keeps names as UTF-8 text.
    #[error("{what} of '{path}' is not UTF-8, which a backup cannot carry")]
    NotUtf8 {
        /// The path, its stray bytes written `\xff`.
        path: String,
        /// The name or the link's target.
        what: &'static str,
    },
    /// The process may not read something, or not swap it.
    #[error("'{path}' is closed to this process: it needs {need}")]
    Denied {
        /// What.
        path: String,
        /// The permission that is missing.
        need: &'static str,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// An entry that no honest backup holds, or that was not written whole.
    #[error("'{path}' is refused: {why}")]
    Refused {
        /// The entry.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// The state cannot be replaced in one step where it lies.
    #[error("the state '{path}' cannot be swapped: {why}")]
    Unswappable {
        /// The configured directory.
        path: String,
        /// Why, and what to do.
        why: &'static str,
    },
    /// Another restore of this state is under way.
    #[error("another restore of '{path}' is still under way")]
    Busy {
        /// The configured directory.
        path: String,
    },
    /// There is no room for the list of what was seen, or it cannot be read again.
    #[error("the list of the state's files cannot be kept or read again")]
    List(#[source] io::Error),
    /// The file system refused.
    #[error("{doing} '{path}' failed")]
    Io {
        /// The attempted work.
        doing: &'static str,
        /// On what.
        path: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
}

impl SourceError {
    /// Finds a source's error in what others wrapped around it, such as the [`io::Error`] of a [`super::FileReader`].
    pub fn find<'e>(error: &'e (dyn Error + 'static)) -> Option<&'e Self> {
        // An io::Error answers `source()` with the cause of what it holds, never with what it holds.
        let held = error.downcast_ref::<io::Error>().and_then(|error| error.get_ref()).map(|held| held as &dyn Error);
        error.downcast_ref().or_else(|| held.or_else(|| error.source()).and_then(Self::find))
    }

    pub(super) fn changed(path: impl Into<String>) -> Self {
        Self::Changed { path: shown(path) }
    }

    pub(super) fn refused(path: impl Into<String>, why: &'static str) -> Self {
        Self::Refused { path: shown(path), why }
    }

    pub(super) fn io(doing: &'static str, path: impl Into<String>, source: impl Into<io::Error>) -> Self {
        Self::Io { doing, path: shown(path), source: source.into() }
    }

    /// What a failed look at something that the walk has seen means.
    pub(super) fn reading(path: impl Into<String>, need: &'static str, errno: Errno) -> Self {
        let path = shown(path);
        match errno {
            Errno::NOENT | Errno::NOTDIR | Errno::LOOP | Errno::STALE | Errno::NXIO => Self::Changed { path },
            Errno::ACCESS | Errno::PERM => Self::Denied { path, need, source: errno.into() },
            errno => Self::io("reading", path, errno),
        }
    }
}

/// How much of a path is shown, at its start and at its end.
const SHOWN: usize = 400;

/// A line break in a name must not break a log, and 64 KB of path must not fill it.
fn shown(path: impl Into<String>) -> String {
    let path = escape(path.into().as_bytes());
    if path.len() <= 2 * SHOWN {
        return path;
    }
    let (start, end) = (path.floor_char_boundary(SHOWN), path.ceil_char_boundary(path.len() - SHOWN));
    format!("{} … {}", &path[..start], &path[end..])
}

impl From<SourceError> for io::Error {
    fn from(error: SourceError) -> Self {
        Self::other(error)
    }
}
