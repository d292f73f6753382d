//! The order of a backup's entries: depth-first, a directory before what is in it, the names of a directory in byte order.
//!
//! Writer and reader hold every backup to it. It is what makes a path unique, and what makes it impossible to write
//! through a symbolic link: the parent of an entry is always a directory of the same backup.

use crate::domain::{Entry, EntryKind};

/// Follows the entries of one backup.
#[derive(Debug, Default)]
pub(super) struct Order {
    /// The directories from the root to where we are.
    open: Vec<String>,
    /// The entry before, in full.
    last: Option<String>,
}

/// An entry that cannot stand where it stands.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// Its parent is no directory of the backup, or was left already.
    #[error("'{0}' does not follow the directory it is in")]
    NoParent(String),
    /// A name before or equal to its predecessor's.
    #[error("'{0}' is there twice or out of order")]
    OutOfOrder(String),
}

impl Order {
    /// Accepts the next entry, or says why it cannot come here.
    pub(super) fn admit(&mut self, entry: &Entry) -> Result<(), OrderError> {
        let path = entry.path.as_str();
        let parent = path.rfind('/').map_or("", |at| &path[..at]);
        while self.open.last().is_some_and(|open| open != parent && !is_below(open, parent)) {
            self.open.pop();
        }
        if self.open.last().map_or("", String::as_str) != parent {
            return Err(OrderError::NoParent(path.to_owned()));
        }
        if self.last.as_ref().is_some_and(|last| !last.split('/').lt(path.split('/'))) {
            return Err(OrderError::OutOfOrder(path.to_owned()));
        }
        if entry.kind == EntryKind::Directory {
            self.open.push(path.to_owned());
        }
        self.last = Some(path.to_owned());
        Ok(())
    }
}

/// Whether `open` is `inner` or a directory that holds it.
fn is_below(open: &str, inner: &str) -> bool {
    inner.strip_prefix(open).is_some_and(|rest| rest.starts_with('/'))
}

#[cfg(test)]
mod tests {
    use super::{Order, OrderError};
    use crate::domain::{Entry, EntryKind, TreePath};

    /// Admits paths one by one; a trailing `/` makes a directory, a trailing `@` a link.
    fn admit(paths: &[&str]) -> Result<(), OrderError> {
        let mut order = Order::default();
        paths.iter().try_for_each(|path| order.admit(&entry(path)))
    }

    fn entry(path: &str) -> Entry {
        let kind = match path.as_bytes().last() {
            Some(b'/') => EntryKind::Directory,
            Some(b'@') => EntryKind::Symlink { target: "x".into() },
            _ => EntryKind::File { len: 0 },
        };
        let path = TreePath::parse(path.trim_end_matches(['/', '@'])).unwrap();
        Entry { path, kind, mode: 0, mtime_s: 0, mtime_ns: 0 }
    }

    #[test]
    fn a_sorted_walk_is_admitted() {
        admit(&["a/", "a/b/", "a/b/c", "a/b.", "a/c", "a.txt", "b", "c/", "c/a"]).unwrap();
    }

    #[test]
    fn what_is_there_twice_or_out_of_order_is_refused() {
        for bad in [&["a", "a"][..], &["b", "a"], &["a/", "a"], &["a/", "b", "a/c"], &["a/", "a/b", "a/b"]] {
            assert!(admit(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn nothing_is_put_into_what_is_no_directory_of_the_backup() {
        for bad in [&["a/b"][..], &["a@", "a/b"], &["a", "a/b"], &["a/", "a/b/c"], &["a/", "ab/c"]] {
            assert!(matches!(admit(bad), Err(OrderError::NoParent(_))), "{bad:?}");
        }
    }
}
