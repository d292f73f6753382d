use std::fmt;

/// A path inside a partition's state: relative, `/` between its parts, and never able to leave the tree.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TreePath(String);

/// Why a text is no path inside a state.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{given}' is not a path inside a state: {why}")]
pub struct PathError {
    given: String,
    why: &'static str,
}

impl TreePath {
    /// Reads a relative path. Absolute paths, empty parts, `.`, `..` and NUL are refused.
    pub fn parse(text: &str) -> Result<Self, PathError> {
        let refuse = |why| Err(PathError { given: text.escape_debug().to_string(), why });
        if text.contains('\0') {
            return refuse("it holds a NUL character");
        }
        if text.split('/').any(|part| matches!(part, "" | "." | "..")) {
            return refuse("a part is empty, '.' or '..'");
        }
        Ok(Self(text.to_owned()))
    }

    /// The path with one more part.
    pub fn join(&self, name: &str) -> Result<Self, PathError> {
        Self::parse(&format!("{}/{name}", self.0))
    }

    /// The text, `/` between the parts.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TreePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One thing in a partition's state. The root directory itself is no entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Where it is.
    pub path: TreePath,
    /// What it is.
    pub kind: EntryKind,
    /// The permission bits of its Unix mode (`0o7777`).
    pub mode: u32,
    /// When it was last modified: seconds since 1970, may be negative.
    pub mtime_s: i64,
    /// The nanoseconds of that second.
    pub mtime_ns: u32,
}

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EntryKind {
    /// A directory.
    Directory,
    /// A regular file of this many bytes, holes included.
    File {
        /// Length in bytes.
        len: u64,
    },
    /// A symbolic link; its target is kept as text and never followed.
    Symlink {
        /// Where it points to.
        target: String,
    },
}

#[cfg(test)]
mod tests {
    use super::TreePath;

    #[test]
    fn a_path_cannot_leave_the_tree() {
        for bad in ["", "/etc/passwd", "../x", "a/../b", "a//b", "a/", "./a", "a/.", "a\0b"] {
            assert!(TreePath::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["a", "a/b c/ü", ".hidden", "..a", "a\\b"] {
            assert_eq!(TreePath::parse(good).unwrap().as_str(), good);
        }
    }
}
